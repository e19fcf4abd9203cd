"""A recorded run as something to run again: its seed, and its plan bound to its own ledger.

Rules of the bound plan:

- The ledger is what counts: an injection that was recorded (applied, failed or missed) was decided, everything else was not.
- Keys join the runs. A driver's exchange ids and the digests of equal requests are the same in both; with the recorded seed
  the faults' own draws are the same too.
- What a key cannot find again (other traffic, connections accepted in another order) shows as rules that did not fire.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

from chaosbot.config import defaults
from chaosbot.config.document import exists
from chaosbot.config.plan import plan_from
from chaosbot.core.check import History
from chaosbot.core.errors import ConfigError
from chaosbot.core.event import Injected
from chaosbot.core.plan import FaultPlan, Rule, Scope
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


def recorded_keys(history: History) -> dict[str, dict[Scope, frozenset[str]]]:
    """By rule: the exchanges and the connections that its fault was decided for."""
    exchanges: dict[str, set[str]] = defaultdict(set)
    connections: dict[str, set[str]] = defaultdict(set)
    for event in history.all(Injected):
        if event.exchange:
            exchanges[event.rule].add(event.exchange)
        connections[event.rule].add(f"{event.direction}:{event.connection}")
    return {
        rule: {
            Scope.EXCHANGE: frozenset(exchanges.get(rule, ())),
            Scope.CONNECTION: frozenset(connections.get(rule, ())),
        }
        for rule in exchanges.keys() | connections.keys()
    }


def ledger_plan(history: History, plan: FaultPlan) -> FaultPlan:
    """The recorded plan with its rules bound to what the ledger recorded.

    Args:
        history: The recorded run.
        plan: The plan that it ran with (its `RunStarted.settings["plan"]`, read back).
    """
    keys = recorded_keys(history)

    def bound(rule: Rule) -> Rule:
        scope = Scope.CONNECTION if rule.scope is Scope.CONNECTION else Scope.EXCHANGE
        return replace(rule, keys=keys.get(rule.name, {}).get(scope, frozenset()))

    return FaultPlan(tuple(map(bound, plan.rules)))
