"""Raw sockets: a case (bytes plus timing) becomes an Outcome, and no exception escapes.

Rules:

- `chaosbot.transport.access` comes before everything else: nothing is resolved, connected or sent for a host that it refuses.
- Everything here blocks and is bounded by the timeouts that it is given; engines call it from threads or processes.
- An outcome blames the target only for what the target did: limits of this machine are CANCELLED.
"""

from chaosbot.transport.access import enforce, guard, is_loopback, is_socket, permit, permit_listening, resolved
from chaosbot.transport.address import UNIX, USUAL_TLS, Address, Tls, bracketed, checked_address, require_reachable
from chaosbot.transport.answer import AnswerReader
from chaosbot.transport.connection import Connection
from chaosbot.transport.lines import curl_line, raw_line
from chaosbot.transport.link import client_context
from chaosbot.transport.probes import Probe, look, metrics, parse_metrics, post, probe
from chaosbot.transport.sending import send

__all__ = [
    "UNIX",
    "USUAL_TLS",
    "Address",
    "AnswerReader",
    "Connection",
    "Probe",
    "Tls",
    "bracketed",
    "checked_address",
    "client_context",
    "curl_line",
    "enforce",
    "guard",
    "is_loopback",
    "is_socket",
    "look",
    "metrics",
    "parse_metrics",
    "permit",
    "permit_listening",
    "post",
    "probe",
    "raw_line",
    "require_reachable",
    "resolved",
    "send",
]
