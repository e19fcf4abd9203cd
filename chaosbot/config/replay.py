"""A recorded run as something to run again: its seed, and its plan bound to its own ledger."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chaosbot.config import defaults
from chaosbot.config.document import exists
from chaosbot.config.plan import plan_from
from chaosbot.core.check import History
from chaosbot.core.errors import ConfigError
from chaosbot.core.plan import FaultPlan
from chaosbot.core.replay import ledger_plan
from chaosbot.journal import read


@dataclass(frozen=True)
class Recording:
    """A recorded run.

    Args:
        seed: Its seed; with it the faults draw the same delays, cuts and bytes.
        plan: Its plan; each rule fires for the exchanges that it met then, and for nothing else.
        platform: Its platform.
        history: All that was recorded.
    """

    seed: int
    plan: FaultPlan
    platform: str
    history: History


def read_recording(directory: Path) -> Recording:
    """Reads a run directory for ``--replay``.

    Raises:
        JournalError: It cannot be read back.
        ConfigError: The run had no fault plan, or one that this version cannot read.
    """
    if not exists(directory / "events.ndjson"):
        raise ConfigError(
            f"--replay {str(directory)[:200]}",
            "is no run directory (it holds no events.ndjson); name one that a run wrote",
        )
    history = read(directory)
    start = history.start
    recorded = start.settings.get("plan") if start else None
    if start is None or not isinstance(recorded, dict) or not recorded.get("rules"):
        raise ConfigError(
            f"--replay {directory}", "the run had no fault plan; name the directory of a run with --plan or --fault"
        )
    plan = plan_from(recorded, f"{directory}: the recorded plan")
    platform = start.settings.get("platform")
    return Recording(
        start.seed, ledger_plan(history, plan), platform if isinstance(platform, str) else defaults.PLATFORM, history
    )
