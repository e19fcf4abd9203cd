"""The outbound stage: each kind of trouble with the API that the target calls, on each method that it was seen to use.

Rules:

- One trial is one update from a user (or group) of its own, whose chat alone meets the trouble: the fault's rule matches the chat
  in the call. Trials therefore run side by side, a few at a time, and a call belongs to the trial whose chat it names.
- Beside each trial another user writes, and after it the same user writes again: both must be answered as usual.
- How long a reply is waited for follows from the target's own habit, measured before the first trial.
- Nothing is judged here: `OutboundTried` says what was done and seen, checks judge the history.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from time import monotonic, sleep
from typing import Final

from chaosbot.checks._outbound import reached, speaks
from chaosbot.core.case import Case, Change, Expect
from chaosbot.core.dice import Dice
from chaosbot.core.event import ApiCalled, Noted, OutboundTried
from chaosbot.core.exchange import Direction
from chaosbot.core.fault import FAULTS
from chaosbot.core.marker import marker
from chaosbot.core.plan import Matcher, Rule, Scope
from chaosbot.core.verdict import Mechanism, Threat
from chaosbot.fuzz.context import CampaignContext
from chaosbot.fuzz.mutations import as_case
from chaosbot.fuzz.spec import Clock

AT_ONCE: Final = 3
"""Trials side by side: fewer than the failures in a row that trip a usual circuit breaker (5)."""
_FIRST_USER: Final = 4_503_580_000_000_000
_FIRST_GROUP: Final = -4_000_000_000
_LEAST_S: Final = 1.0
_MOST_S: Final = 8.0
"""Bounds on how long a reply is waited for."""
_RETRIES_S: Final = 7.0
"""How much longer the same chat may take afterwards: a target that keeps a chat's order first repeats the call that failed."""
_QUIET_S: Final = 0.25
_POLL_S: Final = 0.02


@dataclass(frozen=True)
class Trouble:
    """One kind of trouble with a call.

    Args:
        name: Its name in cases and findings.
        what: What happens, for people.
        fault: The fault's name.
        options: Its options.
        first: How many attempts of the trial meet it; None for all.
        lossless: Whether the message must arrive in the end all the same.
        group: Whether it happens to group chats only.
        wait_s: How much longer than usual the message may take.
        after: Whether the same chat must be answered afterwards; not where the target rightly still waits, or has been refused for good.
    """

    name: str
    what: str
    fault: str
    options: dict[str, object] = field(default_factory=dict)
    first: int | None = 1
    lossless: bool = False
    group: bool = False
    wait_s: float = 0.0
    after: bool = True


TROUBLES: Final = (
    Trouble("silence", "gets no answer", "delay", {"time": "25s"}, after=False),
    Trouble("429", "is answered 429 with retry_after", "botapi_429", {"retry_after": "2s"}, lossless=True, wait_s=2.0),
    Trouble(
        "502", "is answered 502 with a page of HTML", "botapi_5xx_html", {"status": 502}, lossless=True, wait_s=3.0
    ),
    Trouble("reset", "meets a connection reset", "hang_up", {"farewell": "rst"}, lossless=True, wait_s=3.0),
    Trouble("migrated", "is told that the group moved", "botapi_migrate", first=None, group=True, after=False),
    Trouble("blocked", "is answered 403, the user blocked the bot", "botapi_blocked", first=None, after=False),
    Trouble("429-bare", "is answered 429 without retry_after", "abort", {"status": 429}, lossless=True, wait_s=3.0),
    Trouble(
        "refused", "is answered 400", "botapi_400", {"description": "message text is empty"}, first=None, after=False
    ),
    Trouble("not-json", "is answered 200 with what is no JSON", "abort", {"status": 200, "body": "<html>ok</html>"}),
    Trouble("cut", "is answered with half of the JSON", "truncate_response", {"keep": "50%"}),
    Trouble(
        "500", "is answered 500 with a page of HTML", "botapi_5xx_html", {"status": 500}, lossless=True, wait_s=3.0
    ),
)
"""In the order of what hurts most; the first begins first because it takes the longest."""


@dataclass(frozen=True)
class Trigger:
    """A way to make the target call a method: what a user writes."""

    method: str
    text: str


def run_outbound(context: CampaignContext, clock: Clock) -> None:
    """Runs the trials that the time allows, the most frequent method first."""
    if context.disturb is None:
        return
    trials = _Trials(context, clock)
    triggers = trials.discover()
    if not triggers:
        text = "outbound trouble was not tried: no ordinary message made the target call its API"
        context.recorder.emit(Noted(context.recorder.now(), "outbound", text))
        return
    planned = [(trigger, trouble) for trigger in triggers for trouble in TROUBLES]
    try:
        with ThreadPoolExecutor(AT_ONCE, "fuzz-outbound") as pool:
            for _ in pool.map(lambda pair: trials.run(*pair), planned):
                context.show("outbound", len(planned))
    finally:
        context.disturb(())


class _Trials:
    """Runs trials for one campaign; its methods are called from several threads."""

    def __init__(self, context: CampaignContext, clock: Clock) -> None:
        self.context = context
        self.clock = clock
        self.habit_s = _LEAST_S
        self._dice = context.dice.at("outbound", context.spec.endpoint.started)
        self._count = 0
        self._rules: dict[str, Rule] = {}
        self._lock = threading.Lock()

    # ── what makes the target call ───────────────────────────────────────────────────────────────────────────────────

    def discover(self) -> list[Trigger]:
        """Finds texts that make the target call, one for each method; measures how long its replies take."""
        platform = self.context.platform
        texts = ["hello", *(f"/{command}" for command, tier in platform.commands.items() if tier == platform.tiers[0])]
        found: dict[str, Trigger] = {}
        for number, text in enumerate(texts[:8]):
            if self.clock.over():
                break
            case = self._case(f"outbound/discover-{number}", text, self._user())
            if case is None:
                return []
            began = monotonic()
            self._send(case)
            calls = self._await(case.chat, began, _MOST_S if not found else self.habit_s, bool)
            if calls:
                self.habit_s = min(_MOST_S, max(self.habit_s, 3 * (monotonic() - began) + 0.5))
            for call in calls:
                # A reply in the webhook's own answer is no call that trouble could meet.
                if speaks(call) and call.via != "reply":
                    found.setdefault(call.method, Trigger(call.method, text))
        return list(found.values())

    # ── one trial ────────────────────────────────────────────────────────────────────────────────────────────────────

    def run(self, trigger: Trigger, trouble: Trouble) -> None:
        """One trial, unless the time is up or the target cannot be asked so."""
        if self.clock.over():
            return
        chat = self._group() if trouble.group else None
        user = self._user()
        name = f"outbound/{trigger.method}-{trouble.name}"
        what = f"an update while {trigger.method} {trouble.what}"
        case = self._case(name, trigger.text, user, chat=chat, summary=what)
        if case is None or case.chat is None:
            return
        target, moved = self.context.target, 2_000_000_000 + user % 1_000_000_000
        options = {**trouble.options, **({"chat": moved} if trouble.group else {})}
        with self._trouble(name, trigger.method, case.chat, trouble, options):
            sent = monotonic() - self.context.spec.started
            began = monotonic()
            outcome = self._send(case)
            other = self._asked(f"{name}-other", trigger)
            patience = self.habit_s + trouble.wait_s
            calls = self._await(case.chat, began, patience, lambda calls: any(map(reached, calls)) and trouble.lossless)
            if trouble.lossless and not outcome and not any(map(reached, calls)) and not self.clock.over():
                # It was not acknowledged: the platform delivers it again.
                self._send(case)
                self._await(case.chat, began, patience, lambda calls: any(map(reached, calls)))
        until = self.context.recorder.now()
        again = (
            self._asked(f"{name}-again", trigger, user=user, chat=chat, more_s=_RETRIES_S) if trouble.after else None
        )
        tried = OutboundTried(
            self.context.recorder.now(),
            trouble.name,
            trigger.method,
            name,
            case.chat,
            sent,
            until,
            acknowledged=outcome,
            lossless=trouble.lossless,
            others=other,
            again=again,
            moved_to=-(1_000_000_000_000 + moved) if trouble.group else None,
            alive=target.lives,
        )
        with self._lock:
            self.context.recorder.emit(tried)

    def _trouble(
        self, name: str, method: str, chat: int | str, trouble: Trouble, options: dict[str, object]
    ) -> _Disturbed:
        match = Matcher(direction=Direction.OUTBOUND, path=f"*/{method}", body=(("chat_id", str(chat)),))
        rule = Rule(name, FAULTS.build(trouble.fault, options), match, scope=Scope.EXCHANGE, first=trouble.first)
        return _Disturbed(self, rule)

    def _asked(
        self, name: str, trigger: Trigger, *, user: int | None = None, chat: int | None = None, more_s: float = 0.0
    ) -> bool | None:
        """Whether an ordinary update is answered as usual; None when there was no time to ask."""
        if self.clock.over():
            return None
        case = self._case(name, trigger.text, user or self._user(), chat=chat)
        if case is None:
            return None
        began = monotonic()
        self._send(case)
        patience = max(2 * self.habit_s, 3.0) + more_s
        calls = self._await(case.chat, began, patience, lambda calls: any(map(reached, calls)))
        return any(map(reached, calls))

    # ── sending and waiting ──────────────────────────────────────────────────────────────────────────────────────────

    def _user(self) -> int:
        with self._lock:
            self._count += 1
            return _FIRST_USER + self._dice.integer(0, 10**9) + self._count

    def _group(self) -> int:
        with self._lock:
            self._count += 1
            return _FIRST_GROUP - self._dice.integer(0, 10**8) - self._count

    def _case(self, name: str, text: str, user: int, *, chat: int | None = None, summary: str = "") -> Case | None:
        context = self.context
        stream: Dice = self._dice.at("case", name, user)
        planted = marker(stream)
        written = text if text.startswith("/") else f"{text} {planted}"
        update = context.platform.say(written, stream, user=user, chat=chat)
        if update is None:
            return None
        endpoint = context.spec.endpoint
        case = as_case(context.platform, endpoint, update, stream, name, summary or text, Expect(), fresh=False)
        change = Change(Mechanism.TECHNIQUE, "outbound")
        return replace(case, group="outbound", threat=Threat.NETWORK, change=change)

    def _send(self, case: Case) -> bool:
        """Whether the update was acknowledged."""
        result = self.context.target.fire(case, "outbound")
        with self._lock:
            if self.context.target.suspicious(result):
                self.context.attribution.after([result])
            self.context.recorder.record(result)
        return result.outcome.ok

    def _await(
        self, chat: int | str | None, began: float, patience_s: float, done: Callable[[Sequence[ApiCalled]], bool]
    ) -> list[ApiCalled]:
        """The calls to a chat since `began`, when they are `done` and quiet for a moment, or patience ends."""
        start = began - self.context.spec.started
        until = began + patience_s
        seen: list[ApiCalled] = []
        changed = monotonic()
        while monotonic() < until and not self.clock.should_stop():
            now = list(self._calls(chat, start))
            if len(now) != len(seen):
                seen, changed = now, monotonic()
            if done(seen) and monotonic() - changed >= _QUIET_S:
                break
            sleep(_POLL_S)
        return seen

    def _calls(self, chat: int | str | None, since: float) -> Iterator[ApiCalled]:
        for call in reversed(self.context.target.calls()):
            if call.t < since - 1.0:
                return
            if call.t >= since and str(call.chat) == str(chat):
                yield call


class _Disturbed:
    """While entered, a rule is in force beside those of the other trials."""

    def __init__(self, trials: _Trials, rule: Rule) -> None:
        self._trials = trials
        self._rule = rule

    def __enter__(self) -> None:
        with self._trials._lock:  # noqa: SLF001 - one unit
            self._trials._rules[self._rule.name] = self._rule  # noqa: SLF001
            self._apply()

    def __exit__(self, *_: object) -> None:
        with self._trials._lock:  # noqa: SLF001
            del self._trials._rules[self._rule.name]  # noqa: SLF001
            self._apply()

    def _apply(self) -> None:
        disturb = self._trials.context.disturb
        if disturb is not None:
            disturb(tuple(self._trials._rules.values()))  # noqa: SLF001
