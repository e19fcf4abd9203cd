"""The fault plan: ordered rules, and the pure decision which of them meet an exchange.

Rules:

- `decide` is pure but for the `Tally` that it is given: the same plan, seed, exchange, moment and tally give the same decision.
- Probabilities roll dice keyed by rule and by the *scope's* key, so their outcome does not depend on the order of arrival.
  Counting conditions (`first`, `nth`, `every`) count matches in the order of arrival; `per` makes them count per chat, user
  or update, where the order is the sender's own.
- A rule is decided once for each exchange (or connection) and the decision is recorded.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from chaosbot.core.dice import Dice
from chaosbot.core.exchange import Depth, Direction, Exchange, UpdateFacts, values_of
from chaosbot.core.fault import Fault
from chaosbot.core.units import whole

if TYPE_CHECKING:
    from chaosbot.core.effect import Effect


class Scope(StrEnum):
    """What a probability is rolled for."""

    CONNECTION = "connection"
    EXCHANGE = "exchange"
    UPDATE = "update"


@dataclass(frozen=True, slots=True)
class Moment:
    """When a decision is made: seconds since the run started, and the phase or profile stage that runs."""

    t: float = 0.0
    phase: str = ""


@dataclass(frozen=True, slots=True)
class Window:
    """When a rule may fire.

    Args:
        start_s: From this second of the run on.
        length_s: For so long; None without end.
        every_s: Again and again with this period (from `start_s`); needs `length_s`.
        phase: Only while this phase or profile stage runs; times then count from the start of the run all the same.
    """

    start_s: float = 0.0
    length_s: float | None = None
    every_s: float | None = None
    phase: str = ""

    def __post_init__(self) -> None:
        """Refuses windows that can never open or never close."""
        if self.length_s is not None and self.length_s <= 0:
            raise ValueError("for must be above 0; a window of no length never opens")
        if self.every_s is not None and (self.length_s is None or self.every_s < self.length_s):
            raise ValueError("a window that opens again needs its length too; add for, not longer than the period")

    def open_at(self, moment: Moment) -> bool:
        """Whether the window is open."""
        if self.phase and self.phase != moment.phase:
            return False
        elapsed = moment.t - self.start_s
        if elapsed < 0:
            return False
        if self.every_s is not None:
            elapsed %= self.every_s
        return self.length_s is None or elapsed < self.length_s


@dataclass(frozen=True, slots=True)
class Matcher:
    """Which exchanges a rule is for; every condition that is given must hold.

    Args:
        direction: Inbound or outbound.
        method: The request method.
        path: A glob over the path.
        headers: Globs over header values by name; a header that is absent does not match.
        body: Values that the body must hold, as text or glob: by JSON path (``message.chat.id``, list items by index), or by the
            name of a form's field or of a parameter in the query.
        kind: The update's kind.
        command: The command's name, without slash.
        tier: The user's tier.
        user: The user's id, as text.
        upstream: A glob over the name of the API that an outbound exchange is for.
    """

    direction: Direction | None = None
    method: str | None = None
    path: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    body: tuple[tuple[str, str], ...] = ()
    kind: str | None = None
    command: str | None = None
    tier: str | None = None
    user: str | None = None
    upstream: str | None = None

    @property
    def needs_exchange(self) -> bool:
        """Whether more than direction and upstream is asked for, so that a bare connection cannot be judged."""
        return any((self.method, self.path, self.headers, self.body, self.kind, self.command, self.tier, self.user))

    @property
    def needs_update(self) -> bool:
        """Whether it asks for what only an update tells."""
        return any((self.kind, self.command, self.tier, self.user))

    def matches(self, exchange: Exchange) -> bool:
        """Whether all conditions hold."""
        if self.direction is not None and exchange.direction is not self.direction:
            return False
        if self.upstream is not None and not fnmatchcase(exchange.upstream, self.upstream):
            return False
        if self.method is not None and exchange.method.upper() != self.method.upper():
            return False
        if self.path is not None and not fnmatchcase(exchange.path, self.path):
            return False
        if self.needs_update and not self._update_matches(exchange.update):
            return False
        if self.headers:
            have_headers = {name.lower(): value for name, value in exchange.headers}
            if any(not fnmatchcase(have_headers.get(name.lower(), "\0"), glob) for name, glob in self.headers):
                return False
        return not self.body or self._body_matches(exchange)

    def _update_matches(self, facts: UpdateFacts | None) -> bool:
        return (
            facts is not None
            and self.kind in (None, facts.kind)
            and self.command in (None, facts.command)
            and self.tier in (None, facts.tier)
            and (self.user is None or (facts.user is not None and self.user == str(facts.user)))
        )

    def _body_matches(self, exchange: Exchange) -> bool:
        document = values_of(exchange)
        return document is not None and all(fnmatchcase(_text_at(document, path), glob) for path, glob in self.body)


def at_path(document: Any, path: str) -> Any:
    """The value at ``a.b.0.c`` (a leading ``$.`` is allowed).

    Raises:
        LookupError: Nothing there.
    """
    for step in path.removeprefix("$.").split("."):
        if isinstance(document, dict) and step in document:
            document = document[step]
        elif isinstance(document, list) and (place := whole(step, len(document) - 1)) is not None:
            document = document[place]
        else:
            raise LookupError(path)
    return document


def _text_at(document: Any, path: str) -> str:
    try:
        value = at_path(document, path)
    except LookupError:
        return "\0"
    return value if isinstance(value, str) else json.dumps(value)


@dataclass(frozen=True)
class Rule:
    """One line of a fault plan: for whom, when, how often, and what.

    Args:
        name: Names it in ledger and report; unique in its plan.
        fault: What happens.
        match: For which exchanges.
        window: When.
        rate: Probability, rolled once for each `scope`.
        scope: What the probability is rolled for.
        first: Only the first so many matches, then pass.
        nth: Only the n-th match (from 1).
        every: Every k-th match.
        per: Count matches for `first`, `nth`, `every` per ``chat``, ``user`` or ``update`` instead of over all.
        cap: At most so many faults of this rule active at once.
        keys: Fire for exactly these keys (`scope_key` for scope CONNECTION, the exchange's key otherwise) and for nothing else,
            whatever window, counting and dice would say: a recorded run's decisions, applied again.
    """

    name: str
    fault: Fault
    match: Matcher = field(default_factory=Matcher)
    window: Window = field(default_factory=Window)
    rate: float = 1.0
    scope: Scope = Scope.EXCHANGE
    first: int | None = None
    nth: int | None = None
    every: int | None = None
    per: str = ""
    cap: int | None = None
    keys: frozenset[str] | None = None

    def __post_init__(self) -> None:
        """Refuses combinations that cannot mean anything."""
        if not 0 <= self.rate <= 1:
            raise ValueError("rate must be from 0 to 1")
        if sum(value is not None for value in (self.first, self.nth, self.every)) > 1:
            raise ValueError("first, nth and every exclude each other; keep one")
        for name in ("first", "nth", "every", "cap"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1")
        only = self.fault.direction
        if only is not None and self.match.direction not in (None, only):
            raise ValueError(
                f"{self.fault.name} acts on the {only} direction only; set direction = {only} or leave it out"
            )
        if self.match.upstream is not None and Direction.INBOUND in (only, self.match.direction):
            raise ValueError("upstream names an API that the target calls, on the outbound direction; drop one of them")
        if (Direction.OUTBOUND in (only, self.match.direction) or self.match.upstream) and self.match.needs_update:
            raise ValueError(
                "kind, command, tier and user are read from updates, which run on the inbound direction; drop them"
            )
        if self.per not in ("", "chat", "user", "update"):
            raise ValueError("per must be chat, user or update")
        if self.per and self.first is None and self.nth is None and self.every is None:
            raise ValueError("per says what first, nth and every count by; add one of them, or drop per")
        if self.match.command is not None and self.match.command.startswith("/"):
            raise ValueError(f"command is written without its slash; write {self.match.command.lstrip('/') or 'help'}")
        if self.scope is Scope.CONNECTION and self.match.needs_exchange:
            raise ValueError("scope connection can be matched by direction only, and by upstream; use scope exchange")
        if self.scope is Scope.CONNECTION and self.fault.depth is not Depth.BYTES:
            raise ValueError(f"scope connection is for byte faults; {self.fault.name} acts on the {self.fault.depth}")

    @property
    def counts(self) -> bool:
        """Whether its decisions depend on the order of arrival (so that one worker must make them all)."""
        return self.keys is None and any(value is not None for value in (self.first, self.nth, self.every, self.cap))


@dataclass(frozen=True, slots=True)
class Decision:
    """A rule looked at an exchange that it matches; `fires` says whether its fault happens."""

    rule: Rule
    fires: bool
    effects: tuple[Effect, ...] = ()


@dataclass(frozen=True)
class FaultPlan:
    """Ordered rules; their names are unique."""

    rules: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        """Refuses two rules of one name."""
        names = [rule.name for rule in self.rules]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two rules are called '{name}'; rule names are unique")

    @property
    def counts(self) -> bool:
        """Whether any rule depends on the order of arrival."""
        return any(rule.counts for rule in self.rules)


class Tally:
    """Counts what decisions need to remember: matches per rule (and group), faults active now."""

    def __init__(self) -> None:
        self.matched: dict[tuple[str, str], int] = {}
        self.active: dict[str, int] = {}

    def match(self, rule: Rule, group: str) -> int:
        """Counts one more match and returns its ordinal, from 1."""
        ordinal = self.matched.get((rule.name, group), 0) + 1
        self.matched[rule.name, group] = ordinal
        return ordinal

    def begin(self, rule: Rule) -> None:
        """A fault of this rule starts to act."""
        self.active[rule.name] = self.active.get(rule.name, 0) + 1

    def end(self, rule: Rule) -> None:
        """It has ended."""
        self.active[rule.name] = max(0, self.active.get(rule.name, 0) - 1)


def _group(rule: Rule, exchange: Exchange) -> str:
    facts = exchange.update
    if not rule.per or facts is None:
        return ""
    return str({"chat": facts.chat, "user": facts.user, "update": facts.update_id}[rule.per])


def scope_key(scope: Scope, exchange: Exchange) -> str:
    """What a probability is keyed by; an exchange without update stands for itself."""
    if scope is Scope.CONNECTION:
        return f"{exchange.direction}:{exchange.connection}"
    if scope is Scope.UPDATE and exchange.update is not None and exchange.update.update_id is not None:
        return str(exchange.update.update_id)
    return exchange.key


def _chance(dice: Dice, rule: Rule, key: str) -> bool:
    if rule.rate in (0.0, 1.0):  # no need to roll
        return rule.rate == 1.0
    return dice.at("rule", rule.name, "scope", key).chance(rule.rate)


def decide(
    plan: FaultPlan,
    dice: Dice,
    exchange: Exchange,
    moment: Moment,
    tally: Tally,
    scopes: frozenset[Scope] | None = None,
) -> tuple[Decision, ...]:
    """Which rules meet this exchange, in the plan's order.

    Only rules that match, whose window is open and whose fault is possible for the exchange appear; those whose counting condition or dice said no have `fires`
    False. The caller tells the tally when a fault begins and ends to act (for `cap`).

    Args:
        plan: The rules.
        dice: The run's dice.
        exchange: What is known of the exchange (or, for scope CONNECTION, of the connection).
        moment: When.
        tally: What earlier decisions left behind.
        scopes: Look only at rules of these scopes.
    """
    decisions = []
    for rule in plan.rules:
        if scopes is not None and rule.scope not in scopes:
            continue
        open_now = rule.keys is not None or rule.window.open_at(moment)
        if not open_now or not rule.match.matches(exchange) or not rule.fault.possible(exchange):
            continue
        ordinal = tally.match(rule, _group(rule, exchange))
        key = scope_key(rule.scope, exchange)
        counted = (
            (rule.first is None or ordinal <= rule.first)
            and (rule.nth is None or ordinal == rule.nth)
            and (rule.every is None or ordinal % rule.every == 0)
            and (rule.cap is None or tally.active.get(rule.name, 0) < rule.cap)
        )
        if rule.keys is None:
            fires = counted and _chance(dice, rule, key)
        else:
            fires = (key if rule.scope is Scope.CONNECTION else exchange.key) in rule.keys
        effects = rule.fault.effects(dice.at("fault", rule.name, "exchange", exchange.key), exchange) if fires else ()
        decisions.append(Decision(rule, bool(effects), effects))
    return tuple(decisions)
