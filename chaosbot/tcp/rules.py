"""What a byte pipe decides for its connections, and what it tells of that.

Rules:

- A rule is decided once a connection, on dice keyed by the connection's ordinal, and the decision stays. It is decided anew
  only when the rule itself changes.
- What really happened is told by the lines, not assumed: a fault that was decided but had nothing to act on is ``missed``.
- A fault that breaks is recorded as failed and as trouble; the other rules go on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import get_args

from chaosbot.core.dice import Dice
from chaosbot.core.effect import BytesEffect
from chaosbot.core.errors import ConfigError
from chaosbot.core.event import Event, Injected, RuleSwitched, RuleTallied, Trouble
from chaosbot.core.exchange import Depth, Exchange
from chaosbot.core.plan import FaultPlan, Moment, Rule, Tally, Window, decide

_BYTES_EFFECT = get_args(BytesEffect)


def runs_on_pipe(plan: FaultPlan) -> bool:
    """Whether a plan needs no HTTP: byte faults only, targeted by direction at most."""
    return all(rule.fault.depth is Depth.BYTES and not rule.match.needs_exchange for rule in plan.rules)


def checked(plan: FaultPlan) -> FaultPlan:
    """The plan, when a byte pipe can run it.

    Raises:
        ConfigError: It needs HTTP.
    """
    for rule in plan.rules:
        if rule.fault.depth is not Depth.BYTES:
            raise ConfigError(
                f"rule '{rule.name}'",
                f"{rule.fault.name} acts on the {rule.fault.depth}; a byte pipe knows byte faults only; use an HTTP proxy",
            )
        if rule.match.needs_exchange:
            raise ConfigError(
                f"rule '{rule.name}'",
                "asks for more than the direction; a byte pipe knows no requests; drop the conditions or use an HTTP proxy",
            )
    return plan


def next_change(window: Window, t: float) -> float | None:
    """When a window opens or closes next, in seconds of the run; None when it never does again."""
    if t < window.start_s:
        return window.start_s
    if window.length_s is None:
        return None
    if window.every_s is None:
        end = window.start_s + window.length_s
        return end if t < end else None
    period_start = t - (t - window.start_s) % window.every_s
    closes = period_start + window.length_s
    return closes if t < closes else period_start + window.every_s


@dataclass
class Armed:
    """A rule's decision for one connection."""

    rule: Rule
    effects: tuple[BytesEffect, ...] = ()
    applied: bool = False


@dataclass
class Case:
    """What is known of a connection, and what was decided for it, by rule name."""

    exchange: Exchange
    armed: dict[str, Armed] = field(default_factory=dict)


class Rules:
    """The plan in force.

    Args:
        plan: Byte faults, targeted by direction at most.
        dice: The run's dice.
        emit: Takes the events.
        clock: Seconds since the run started.
        phase: The phase that runs.
    """

    def __init__(
        self, plan: FaultPlan, dice: Dice, emit: Callable[[Event], None], clock: Callable[[], float], phase: str = ""
    ) -> None:
        self.phase = phase
        self._dice = dice
        self._emit = emit
        self._clock = clock
        self._tally = Tally()
        self._counts: dict[str, Counter[str]] = {}
        self._known: dict[str, Rule] = {}
        self._open: dict[str, Rule] = {}
        self.set_plan(plan)

    @property
    def plan(self) -> FaultPlan:
        """The plan."""
        return self._plan

    def set_plan(self, plan: FaultPlan) -> None:
        """Replaces the plan; what was counted stays counted.

        Raises:
            ConfigError: The plan needs HTTP.
        """
        self._plan = checked(plan)
        for rule in plan.rules:
            self._known[rule.name] = rule
            self._counts.setdefault(rule.name, Counter())

    def moment(self) -> Moment:
        """Now, as windows see it."""
        return Moment(self._clock(), self.phase)

    def next_change(self) -> float | None:
        """In how many seconds a window opens or closes; None when none ever does again."""
        now = self._clock()
        changes = [next_change(rule.window, now) for rule in self._plan.rules]
        change = min((t for t in changes if t is not None), default=None)
        # A hair later than the edge, so that rounding does not find the window as it was.
        return None if change is None else max(0.0, change - now) + 1e-4

    def look(self) -> None:
        """Tells which rules became active or inactive since the last look."""
        moment = self.moment()
        active = {rule.name: rule for rule in self._plan.rules if rule.window.open_at(moment)}
        for name, rule in self._open.items():
            if active.get(name) != rule:
                self._emit(RuleSwitched(moment.t, name, rule.fault.name, active=False))
        for name, rule in active.items():
            if self._open.get(name) != rule:
                self._emit(RuleSwitched(moment.t, name, rule.fault.name, active=True))
        self._open = active

    def effects(self, case: Case) -> tuple[BytesEffect, ...]:
        """What acts on a connection now; decides what is not decided yet."""
        names = {rule.name for rule in self._plan.rules}
        for name in [name for name in case.armed if name not in names]:
            self._disarm(case, name)
        moment = self.moment()
        effects: list[BytesEffect] = []
        for rule in self._plan.rules:
            if not rule.window.open_at(moment):
                continue
            armed = case.armed.get(rule.name)
            if armed is None or armed.rule != rule:
                if armed is not None:
                    self._disarm(case, rule.name)
                armed = case.armed[rule.name] = self._arm(rule, case, moment)
            effects += armed.effects
        return tuple(effects)

    def _arm(self, rule: Rule, case: Case, moment: Moment) -> Armed:
        counts = self._counts[rule.name]
        try:
            decisions = decide(FaultPlan((rule,)), self._dice, case.exchange, moment, self._tally)
        except Exception as error:  # noqa: BLE001 - a broken fault must neither end the proxy nor look like a healthy run
            what = f"{type(error).__name__}: {error}"
            counts.update(considered=1, decided=1, failed=1)
            self._inject(rule, case, "failed", what)
            self._emit(Trouble(moment.t, f"fault {rule.fault.name} (rule {rule.name})", what))
            return Armed(rule)
        counts["considered"] += len(decisions)
        effects = tuple(
            effect for decision in decisions for effect in decision.effects if isinstance(effect, _BYTES_EFFECT)
        )
        if effects:
            counts["decided"] += 1
            self._tally.begin(rule)
        return Armed(rule, effects)

    def _disarm(self, case: Case, name: str) -> None:
        armed = case.armed.pop(name)
        if armed.effects:
            self._tally.end(armed.rule)
            if not armed.applied:
                self._inject(armed.rule, case, "missed", "")

    def applied(self, case: Case, effect: BytesEffect) -> None:
        """An effect really did something to a connection."""
        for armed in case.armed.values():
            if not armed.applied and effect in armed.effects:
                armed.applied = True
                self._counts[armed.rule.name]["applied"] += 1
                self._inject(armed.rule, case, "applied", "")
                return

    def ended(self, case: Case) -> None:
        """A connection is over."""
        for name in list(case.armed):
            self._disarm(case, name)

    def _inject(self, rule: Rule, case: Case, stage: str, detail: str) -> None:
        exchange, now = case.exchange, self._clock()
        fault = rule.fault.name
        self._emit(
            Injected(
                now, rule.name, fault, Depth.BYTES, exchange.direction, exchange.key, stage, exchange.connection, detail
            )
        )

    def tallied(self) -> tuple[RuleTallied, ...]:
        """What each rule came to, rules of former plans included."""
        now = self._clock()
        return tuple(
            RuleTallied(
                now,
                name,
                rule.fault.name,
                Depth.BYTES,
                self._counts[name]["considered"],
                self._counts[name]["decided"],
                self._counts[name]["applied"],
                self._counts[name]["failed"],
            )
            for name, rule in self._known.items()
        )
