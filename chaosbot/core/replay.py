"""A recorded run's fault decisions, applied again: a plan whose rules fire for the recorded keys and for nothing else.

Rules:

- The ledger is what counts: an injection that was recorded (applied, failed or missed) was decided, everything else was not.
- Keys join the runs. A driver's exchange ids and the digests of equal requests are the same in both; with the recorded seed
  the faults' own draws are the same too.
- What a key cannot find again (other traffic, connections accepted in another order) shows as rules that did not fire.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from chaosbot.core.check import History
from chaosbot.core.event import Injected
from chaosbot.core.plan import FaultPlan, Rule, Scope


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
