"""The rule engine: one decider under every transport (HTTP proxy, byte pipe, mocks).

Rules:

- A rule is decided once for each exchange (or connection), apart from the other rules: one that raises is recorded as failed and as
  trouble, and the others go on.
- Every decision comes to exactly one end in the journal: applied when the transport says that it physically happened, failed when it
  broke, missed when its exchange, its connection or its rule was gone before it could act.
- Windows are exact: `next_change` tells when one opens or closes next, and the transport comes back then.
- Of several workers only the first says when rules become active; all of them count.

The engine knows no sockets and no HTTP. A transport asks it (`decide`, `ConnectionContext.effects`) and tells it what happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, get_args

from chaosbot.core.dice import Dice
from chaosbot.core.effect import BytesEffect, Effect, in_words
from chaosbot.core.event import Event, Injected, RuleSwitched, RuleTallied, Trouble
from chaosbot.core.exchange import Depth, Exchange
from chaosbot.core.plan import Decision, FaultPlan, Moment, Rule, Scope, Tally, Window, decide

_BYTES_EFFECT: Final = get_args(BytesEffect)
ALL_SCOPES: Final = frozenset(Scope)
_EDGE_S: Final = 1e-4
"""A look this much later than a window's edge finds the window as it is after the edge, whatever rounding does."""


@dataclass(eq=False, slots=True)
class ArmedFault:
    """A rule whose fault is to happen to one exchange or connection, and what became of it.

    Args:
        decision: The rule and the effects that its fault returned.
        exchange: What it meets; a connection stands as an exchange without method and path.
    """

    decision: Decision
    exchange: Exchange
    applied: bool = False
    failed: bool = False
    settled: bool = False
    """Whether it is recorded (applied, failed or missed), so that nothing is recorded twice."""

    @property
    def rule(self) -> Rule:
        """The rule."""
        return self.decision.rule

    @property
    def effects(self) -> tuple[Effect, ...]:
        """What its fault returned."""
        return self.decision.effects


@dataclass(slots=True)
class _Count:
    depth: Depth
    considered: int = 0
    decided: int = 0
    applied: int = 0
    failed: int = 0


class RuleEngine:
    """Decides which armed faults meet an exchange or a connection, and records what became of them.

    Args:
        plan: The rules from the start.
        dice: The run's dice.
        emit: Takes the events.
        now: Seconds since the run started.
        phase: The phase or profile stage that runs.
        announces: Whether this engine says when rules become active (one of several workers does).
    """

    def __init__(
        self,
        plan: FaultPlan,
        dice: Dice,
        emit: Callable[[Event], None],
        now: Callable[[], float],
        *,
        phase: str = "",
        announces: bool = True,
    ) -> None:
        self.phase = phase
        self._dice = dice
        self._emit = emit
        self._now = now
        self._announces = announces
        self._tally = Tally()
        self._plan = FaultPlan()
        self._alone: dict[Rule, FaultPlan] = {}
        self._open: dict[str, Rule] = {}
        self._counts: dict[tuple[str, str], _Count] = {}
        self.set_plan(plan)

    # ── the plan and its windows ─────────────────────────────────────────────────────────────────────────────────────

    @property
    def plan(self) -> FaultPlan:
        """The plan in force."""
        return self._plan

    @property
    def moment(self) -> Moment:
        """Now, as windows see it."""
        return Moment(self._now(), self.phase)

    def set_plan(self, plan: FaultPlan) -> None:
        """From now on this plan holds. Rules that stay as they are go on counting; rules that are new or changed begin anew."""
        for rule in self._plan.rules:
            if rule not in plan.rules:
                self._tally.active.pop(rule.name, None)
                for key in [key for key in self._tally.matched if key[0] == rule.name]:
                    del self._tally.matched[key]
        self._plan = plan
        self._alone = {rule: FaultPlan((rule,)) for rule in plan.rules}
        for rule in plan.rules:
            self._count(rule)

    def look_at_windows(self) -> None:
        """Says which rules became active or inactive since the last look."""
        moment = self.moment
        active = {rule.name: rule for rule in self._plan.rules if rule.window.open_at(moment)}
        for name, rule in self._open.items():
            if active.get(name) != rule:
                self._switched(moment.t, rule, active=False)
        for name, rule in active.items():
            if self._open.get(name) != rule:
                self._switched(moment.t, rule, active=True)
        self._open = active

    def _switched(self, t: float, rule: Rule, *, active: bool) -> None:
        if self._announces:
            self._emit(RuleSwitched(t, rule.name, rule.fault.name, active))

    def next_change(self) -> float | None:
        """In how many seconds a window opens or closes; None when none ever does again by time alone."""
        now = self._now()
        edges = [next_edge(rule.window, now) for rule in self._plan.rules]
        nearest = min((edge for edge in edges if edge is not None), default=None)
        return None if nearest is None else max(0.0, nearest - now) + _EDGE_S

    # ── decisions ────────────────────────────────────────────────────────────────────────────────────────────────────

    def decide(
        self, exchange: Exchange, scopes: frozenset[Scope], *, forced: str | None = None, only: Rule | None = None
    ) -> list[ArmedFault]:
        """The faults that are to happen.

        Args:
            exchange: What is known of the exchange, or of the connection.
            scopes: Only rules of these scopes.
            forced: Names of the rules that are to meet it whatever their conditions, separated by commas (``none`` for none),
                when its client may say so.
            only: Only this rule.
        """
        armed: list[ArmedFault] = []
        wanted = None if forced is None else {name.strip() for name in forced.split(",")}
        # An exchange belongs to the moment at which its driver said that it was due.
        moment = self.moment if exchange.due_s is None else Moment(exchange.due_s, self.phase)
        for rule, alone in self._alone.items():
            if rule.scope not in scopes or (wanted is not None and rule.name not in wanted) or only not in (None, rule):
                continue
            try:
                if wanted is None:
                    decisions = decide(alone, self._dice, exchange, moment, self._tally)
                elif not rule.fault.possible(exchange):
                    continue
                else:
                    stream = self._dice.at("fault", rule.name, "exchange", exchange.key)
                    decisions = (Decision(rule, True, rule.fault.effects(stream, exchange)),)
            except Exception as error:  # noqa: BLE001 - a broken fault must not look like a healthy run
                count = self._count(rule)
                count.considered += 1
                count.decided += 1
                self.failed(ArmedFault(Decision(rule, True), exchange), error)
                continue
            for decision in decisions:
                count = self._count(rule)
                count.considered += 1
                if decision.fires:
                    count.decided += 1
                    if rule.cap is not None:
                        self._tally.begin(rule)
                    armed.append(ArmedFault(decision, exchange))
        return armed

    def applied(self, armed: ArmedFault, detail: str = "") -> None:
        """It physically happened; recorded the first time."""
        if not armed.settled:
            armed.settled = armed.applied = True
            self._count(armed.rule).applied += 1
            self._injected(armed, "applied", detail)

    def failed(self, armed: ArmedFault, error: Exception) -> None:
        """It broke: the run cannot be a pass."""
        armed.settled = armed.failed = True
        rule = armed.rule
        self._count(rule).failed += 1
        what = f"{type(error).__name__}: {error}"
        self._injected(armed, "failed", what)
        self._emit(Trouble(self._now(), f"fault {rule.fault.name} (rule {rule.name})", what))

    def missed(self, armed: ArmedFault, why: str = "") -> None:
        """What it was for is over before it could act, or cannot be had (`why`); nothing when it did act."""
        if not armed.settled:
            armed.settled = True
            self._injected(armed, "missed", why)

    def end(self, faults: Iterable[ArmedFault]) -> None:
        """These act no longer, which frees their rules' caps."""
        for armed in faults:
            # A rule that was replaced took its count with it; a new one of its name counts its own.
            if armed.rule.cap is not None and armed.rule in self._alone:
                self._tally.end(armed.rule)

    def _injected(self, armed: ArmedFault, stage: str, detail: str) -> None:
        rule, met = armed.rule, armed.exchange
        fault = rule.fault
        self._emit(
            Injected(
                self._now(), rule.name, fault.name, fault.depth, met.direction, met.key, stage, met.connection, detail
            )
        )

    def _count(self, rule: Rule) -> _Count:
        key = (rule.name, rule.fault.name)
        count = self._counts.get(key)
        if count is None:
            count = self._counts[key] = _Count(rule.fault.depth)
        return count

    def tallies(self) -> list[RuleTallied]:
        """What each rule came to, rules of former plans included; one for each fault that a rule had."""
        now = self._now()
        return [
            RuleTallied(now, rule, fault, count.depth, count.considered, count.decided, count.applied, count.failed)
            for (rule, fault), count in self._counts.items()
        ]


def needs_connection_only(rule: Rule) -> bool:
    """Whether a rule can be decided for a bare connection: a byte fault, targeted by direction and upstream at most."""
    return rule.fault.depth is Depth.BYTES and not rule.match.needs_exchange


class ConnectionContext:
    """The byte faults of one connection: those that last as long as it does, and those armed for one of its exchanges.

    A transport reports what effects have done so far (`acted`) before it asks for others.

    Args:
        engine: Decides.
        connection: The connection, as an exchange without method and path.
        bare: Whether its transport knows no exchanges, so that every rule that a connection can be judged by is decided for it.
    """

    def __init__(self, engine: RuleEngine, connection: Exchange, *, bare: bool = False) -> None:
        self.connection = connection
        self._engine = engine
        self._bare = bare
        self._decided: dict[Rule, ArmedFault | None] = {}
        self._armed: list[tuple[ArmedFault, BytesEffect]] = []

    def lasting(self) -> tuple[BytesEffect, ...]:
        """The byte effects decided for the connection as a whole that act now.

        A plan that changes, or a window that opens, decides what is new and leaves what was decided; the decision of a rule that
        has gone comes to its end.
        """
        engine, moment = self._engine, self._engine.moment
        rules = engine.plan.rules
        for rule in [rule for rule in self._decided if rule not in rules]:
            self._over(self._decided.pop(rule))
        effects: list[BytesEffect] = []
        for rule in rules:
            mine = needs_connection_only(rule) if self._bare else rule.scope is Scope.CONNECTION
            if not mine or not rule.window.open_at(moment):
                continue
            if rule not in self._decided:
                found = engine.decide(self.connection, ALL_SCOPES, only=rule)
                self._decided[rule] = found[0] if found else None
            armed = self._decided[rule]
            effects += () if armed is None else _bytes_effects(armed)
        return tuple(effects)

    def armed(self) -> tuple[BytesEffect, ...]:
        """The byte effects that were armed for exchanges that are not over."""
        return tuple(effect for _, effect in self._armed)

    def arm(self, armed: ArmedFault, effect: BytesEffect) -> None:
        """This effect acts on the connection until `disarm` of its exchange."""
        self._armed.append((armed, effect))

    def disarm(self, exchanges: Iterable[Exchange]) -> bool:
        """What was armed for these exchanges acts no longer; whether there was anything."""
        over = {id(exchange) for exchange in exchanges}
        gone = [armed for armed, _ in self._armed if id(armed.exchange) in over]
        self._armed = [pair for pair in self._armed if id(pair[0].exchange) not in over]
        for armed in gone:
            self._engine.missed(armed)
        return bool(gone)

    def acted(self, effect: BytesEffect) -> None:
        """The connection's bytes really met this effect (the same object that `lasting` or `armed` gave)."""
        for armed, one in self._armed:
            if one is effect:
                self._engine.applied(armed, in_words(effect))
                return
        for decided in self._decided.values():
            if decided is not None and any(one is effect for one in decided.effects):
                self._engine.applied(decided, in_words(effect))
                return

    def end(self) -> None:
        """The connection is over, and with it all that was decided for it."""
        for armed, _ in self._armed:
            self._engine.missed(armed)
        self._armed = []
        for decided in self._decided.values():
            self._over(decided)
        self._decided = {}

    def _over(self, armed: ArmedFault | None) -> None:
        if armed is not None:
            self._engine.missed(armed)
            self._engine.end((armed,))


def _bytes_effects(armed: ArmedFault) -> tuple[BytesEffect, ...]:
    return tuple(effect for effect in armed.effects if isinstance(effect, _BYTES_EFFECT))


def next_edge(window: Window, t: float) -> float | None:
    """When a window opens or closes next by time, in seconds of the run; None when it never does again.

    Args:
        window: The window; its phase is not looked at.
        t: Now, in seconds of the run.
    """
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


class WindowTimer:
    """Calls `refresh` at every edge of the rules' windows, while it is started.

    Args:
        engine: Tells when the next edge is.
        refresh: Brings connections in line with the rules that are active now; it calls `restart`.
    """

    def __init__(self, engine: RuleEngine, refresh: Callable[[], None]) -> None:
        self._engine = engine
        self._refresh = refresh
        self._running = False
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begins; needs a running loop. An edge that has passed meanwhile is made up for at once."""
        self._running = True
        self._refresh()

    def restart(self) -> None:
        """The plan, or the time, has changed: waits for the edge that is next now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        delay = self._engine.next_change() if self._running else None
        if delay is not None:
            self._timer = asyncio.get_running_loop().call_later(delay, self._refresh)

    def stop(self) -> None:
        """Ends."""
        self._running = False
        self.restart()
