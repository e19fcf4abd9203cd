"""The ledger of one worker: decides by the plan, and records what became of each decision.

Rules:

- A rule is decided once for each exchange, each rule apart from the others: one that raises is recorded as failed and as
  trouble, and the others go on.
- What was decided and did not come to act is recorded as missed. Nothing is recorded twice.
- The first worker alone says when rules become active; all of them count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chaosbot.addons.spec import ProxySpec
from chaosbot.core.dice import Dice
from chaosbot.core.event import Event, Injected, RuleSwitched, RuleTallied, Trouble
from chaosbot.core.exchange import Depth, Exchange
from chaosbot.core.plan import Decision, FaultPlan, Moment, Rule, Scope, Tally, decide
from chaosbot.injection.visit import Fired


@dataclass(slots=True)
class _Count:
    """What a rule has come to so far."""

    depth: Depth
    considered: int = 0
    decided: int = 0
    applied: int = 0
    failed: int = 0


class Ledger:
    """Decides and records.

    Args:
        spec: Seed and plan.
        emit: Takes the events.
        now: Seconds of the run.
        speaks: Whether this worker says when rules become active.
    """

    def __init__(
        self, spec: ProxySpec, emit: Callable[[Event], None], now: Callable[[], float], *, speaks: bool
    ) -> None:
        self.phase = ""
        self._emit = emit
        self._now = now
        self._speaks = speaks
        self._dice = Dice(spec.seed)
        self._tally = Tally()
        self._rules: tuple[tuple[Rule, FaultPlan], ...] = ()
        self._open: dict[str, Rule] = {}
        self._counts: dict[tuple[str, str], _Count] = {}

    @property
    def moment(self) -> Moment:
        """Now, as windows see it."""
        return Moment(self._now(), self.phase)

    def _moment_of(self, exchange: Exchange) -> Moment:
        """When an exchange belongs to: its due time where its driver said one."""
        return self.moment if exchange.due_s is None else Moment(exchange.due_s, self.phase)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules of the plan."""
        return tuple(rule for rule, _alone in self._rules)

    @property
    def has_windows(self) -> bool:
        """Whether time alone can switch a rule."""
        return any(rule.window.start_s or rule.window.length_s is not None for rule in self.rules)

    def set_plan(self, plan: FaultPlan) -> None:
        """From now on this plan holds. Rules that stay as they are go on counting, others begin anew."""
        for rule in self.rules:
            if rule not in plan.rules:
                self._tally.active.pop(rule.name, None)
                for key in [key for key in self._tally.matched if key[0] == rule.name]:
                    del self._tally.matched[key]
        self._rules = tuple((rule, FaultPlan((rule,))) for rule in plan.rules)
        for rule in plan.rules:
            self._count(rule)

    def look_at_windows(self) -> None:
        """Says which rules became active or inactive since the last look."""
        moment = self.moment
        active = {rule.name: rule for rule in self.rules if rule.window.open_at(moment)}
        for name, rule in self._open.items():
            if active.get(name) != rule:
                self._switched(rule, active=False)
        for name, rule in active.items():
            if self._open.get(name) != rule:
                self._switched(rule, active=True)
        self._open = active

    def _switched(self, rule: Rule, *, active: bool) -> None:
        if self._speaks:
            self._emit(RuleSwitched(self._now(), rule.name, rule.fault.name, active))

    def windows_moved(self) -> bool:
        """Whether a window opened or closed since the last look."""
        moment = self.moment
        return any(rule.window.open_at(moment) != (rule.name in self._open) for rule in self.rules)

    def decide(
        self, exchange: Exchange, scopes: frozenset[Scope], forced: str | None = None, only: Rule | None = None
    ) -> list[Fired]:
        """The rules whose faults are to happen.

        Args:
            exchange: What is known of the exchange, or of the connection.
            scopes: Only rules of these scopes.
            only: Only this rule.
            forced: Names of the rules that are to meet it whatever their conditions (``none`` for none), when its client may
                say so.
        """
        if not self._rules:
            return []
        fired: list[Fired] = []
        wanted = None if forced is None else {name.strip() for name in forced.split(",")}
        moment = self._moment_of(exchange)
        for rule, alone in self._rules:
            if rule.scope not in scopes or (wanted is not None and rule.name not in wanted) or only not in (None, rule):
                continue
            try:
                if wanted is None:
                    decisions = decide(alone, self._dice, exchange, moment, self._tally)
                else:
                    place = self._dice.at("fault", rule.name, "exchange", exchange.key)
                    decisions = (Decision(rule, True, rule.fault.effects(place, exchange)),)
            except Exception as error:  # noqa: BLE001 - a broken fault must not look like a healthy run
                count = self._count(rule)
                count.considered += 1
                count.decided += 1
                self.failed(Fired(Decision(rule, True)), exchange, error)
                continue
            for decision in decisions:
                count = self._count(rule)
                count.considered += 1
                if decision.fires:
                    count.decided += 1
                    self._tally.begin(rule)
                    fired.append(Fired(decision))
        return fired

    def applied(self, fired: Fired, exchange: Exchange, detail: str = "") -> None:
        """It physically happened; recorded the first time."""
        if not fired.applied and not fired.failed:
            fired.applied = True
            self._count(fired.rule).applied += 1
            self._injected(fired, exchange, "applied", detail)

    def failed(self, fired: Fired, exchange: Exchange, error: Exception) -> None:
        """It broke."""
        fired.failed = True
        rule = fired.rule
        self._count(rule).failed += 1
        what = f"{type(error).__name__}: {error}"
        self._injected(fired, exchange, "failed", what)
        self._emit(Trouble(self._now(), f"fault {rule.fault.name} (rule {rule.name})", what))

    def missed(self, fired: Fired, exchange: Exchange) -> None:
        """The exchange ended before it could act; nothing when it did act."""
        if not fired.applied and not fired.failed:
            fired.failed = True
            self._injected(fired, exchange, "missed", "")

    def end(self, fired: Fired) -> None:
        """It acts no longer."""
        self._tally.end(fired.rule)

    def _injected(self, fired: Fired, exchange: Exchange, stage: str, detail: str) -> None:
        fault = fired.rule.fault
        self._emit(
            Injected(
                self._now(),
                fired.rule.name,
                fault.name,
                fault.depth,
                exchange.direction,
                exchange.key,
                stage,
                exchange.connection,
                detail,
            )
        )

    def _count(self, rule: Rule) -> _Count:
        key = (rule.name, rule.fault.name)
        count = self._counts.get(key)
        if count is None:
            count = self._counts[key] = _Count(rule.fault.depth)
        return count

    def tallies(self) -> list[RuleTallied]:
        """What each rule came to."""
        now = self._now()
        return [
            RuleTallied(now, rule, fault, count.depth, count.considered, count.decided, count.applied, count.failed)
            for (rule, fault), count in self._counts.items()
        ]
