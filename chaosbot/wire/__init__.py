"""DOOR to httpx and raw sockets: a case (bytes plus timing) becomes an Outcome, and no exception escapes.

Rules:

- `guard` comes before everything else: nothing is resolved, connected or sent for a host that it refuses.
- Everything here blocks and is bounded by the timeouts that it is given; engines call it from threads or processes.
- An outcome blames the target only for what the target did: limits of this machine are CANCELLED.
"""

from chaosbot.wire.address import Address, guard, require_reachable
from chaosbot.wire.answer import AnswerReader
from chaosbot.wire.connection import Connection
from chaosbot.wire.lines import curl_line, raw_line
from chaosbot.wire.probes import Probe, metrics, parse_metrics, probe
from chaosbot.wire.sending import send

__all__ = [
    "Address",
    "AnswerReader",
    "Connection",
    "Probe",
    "curl_line",
    "guard",
    "metrics",
    "parse_metrics",
    "probe",
    "raw_line",
    "require_reachable",
    "send",
]
