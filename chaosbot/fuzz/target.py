"""The target as the campaign sees it: sends cases, asks for its health, sees processes die and come back.

Rules:

- Every case that leaves passes `fire`; a target that the guard refuses is never connected.
- A death is seen in the process table where that is possible, and otherwise by a connection that was idle and ended at the
  same moment.
- A target that has died is waited for, or started again when chaosbot owns it. While it is away nothing is judged.
- What it does once a stop was asked for says nothing about it: whoever ended the run by a signal may have ended it by the same one.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from math import inf
from time import monotonic, sleep, time
from typing import TYPE_CHECKING, Final, cast

import msgspec

from chaosbot.core.case import Case, Expect, Segment
from chaosbot.core.dice import Dice
from chaosbot.core.errors import TargetUnusable
from chaosbot.core.event import KEPT_TEXT, ApiCalled
from chaosbot.core.kit import FRESH, IDS
from chaosbot.core.marker import marker, markers_in
from chaosbot.core.observation import Observation, Quiet
from chaosbot.core.outcome import Fate, Outcome, acknowledged
from chaosbot.core.platform import Platform
from chaosbot.core.verdict import Threat
from chaosbot.fuzz import process
from chaosbot.fuzz.replies import ReplyWatch
from chaosbot.fuzz.requests import pauses, renewed, resigned, whole
from chaosbot.fuzz.spec import CampaignSpec
from chaosbot.fuzz.threads import ThreadPool
from chaosbot.journal import EventSpool
from chaosbot.transport import guard, metrics, send
from chaosbot.transport.link import Link, LinkFailed

if TYPE_CHECKING:
    from chaosbot.fuzz.guide import Guide

HANDS: Final = 16
"""How many cases are under way at once."""

KEPT: Final = 32 * 1024
"""Most bytes of an answer that are read: a reply in it may hold a message of 4096 characters, each of them ``\\uXXXX`` in JSON."""
RETURN_S: Final = 20.0
STOPPED: Final = "the run was stopped first"
_MOST: Final = 2**62
_HEALTH_USER: Final = FRESH + 22 * IDS
"""Health requests come from people who are made up, one each, so that no rate limit counts them together, nor with those of other runs."""
_SMALL_USER: Final = 1_400_000_000
"""The same where a target refuses ids that need more than 32 bits, as those of many people do."""
_HEALTH_TEXT: Final = "chaosbot health ✓ é 日本 🙂"
_POLL_S: Final = 0.02


@dataclass
class CaseResult:
    """A case under way: what was sent, what came, what attribution found out."""

    case: Case
    stage: str
    outcome: Outcome
    sent: float
    observations: list[Observation] = field(default_factory=list)
    health_s: float | None = None
    exchange: str = ""
    starved_s: float = 0.0

    @property
    def took(self) -> float:
        """Seconds that the target took, without the case's own pauses, and without those in which it is known to have had no processor."""
        return max(0.0, self.outcome.total_s - pauses(self.case) - self.starved_s)


@dataclass(frozen=True, slots=True)
class HealthReply:
    """What became of a valid update: acknowledged or not, how fast, and where its reply was seen."""

    ok: bool
    seconds: float
    outcome: Outcome
    case: Case
    seen: str = ""


def reply_in(platform: Platform, outcome: Outcome, case: Case, t: float, exchange: str = "") -> ApiCalled | None:
    """The call that a webhook's answer asks the platform to make, when it does."""
    if not acknowledged(outcome.fate, outcome.status) or not outcome.body:
        return None
    for call in platform.effects(outcome.body):
        # The answer belongs to the case beyond doubt, so its marker joins even when the bot does not repeat it.
        markers = tuple(dict.fromkeys((*((case.marker,) if case.marker else ()), *markers_in(call.text))))
        chat, via = call.chat if call.chat is not None else case.chat, "reply" if platform.answers_act else "answer"
        text = call.text[:KEPT_TEXT]
        return msgspec.structs.replace(call, t=t, chat=chat, text=text, markers=markers, via=via, exchange=exchange)
    return None


class CampaignTarget:
    """The target of one campaign.

    Args:
        spec: What the campaign was told.
        platform: The platform.
        calls: The mock's calls so far.
        should_stop: Whether to give up waiting.
        guide: The other end of the agent that the target is started with.

    `answered` is what must be written so that a reply comes; empty where any text gets one. From `until` on (monotonic seconds) nothing
    is waited for any more, so that a target that hangs does not hold the campaign; what could not be told apart from a hang is not sent.
    """

    def __init__(
        self,
        spec: CampaignSpec,
        platform: Platform,
        calls: Callable[[], Sequence[ApiCalled]],
        should_stop: Callable[[], bool],
        guide: Guide | None = None,
    ) -> None:
        guard(spec.address.host, spec.allow)
        self.spec = spec
        self.platform = platform
        self._calls = calls
        self._said = EventSpool()
        self._looked = 0
        self._in_answers: set[str] = set()
        self._catching = threading.Lock()
        self.should_stop = should_stop
        self.guide = guide
        self.until = inf
        self.watch = ReplyWatch(calls, should_stop, spec.started)
        self.answered = ""
        self.replies_in_answers = False
        self.latency_s = spec.latency_s
        self.deaths = 0
        self.calm = threading.Event()
        """Clear while it is looked who ended the process: conversations beside that would end it again."""
        self.calm.set()
        self.small_ids = False
        """Whether only users with small ids are acknowledged."""
        self.takes: frozenset[int | None] = frozenset()
        """Statuses that are an acknowledgement of this target beside 2xx."""
        self._numbers = count(1)
        self.pids: frozenset[int] = frozenset()
        self._health_requests = 0
        self._dice = Dice(spec.seed).at("health", spec.endpoint.started, *((spec.part,) if spec.part else ()))
        self._first_user = self._dice.at("user").integer(0, IDS)
        self._owned: subprocess.Popen[bytes] | None = None
        self._pool = ThreadPool(HANDS, "fuzz")

    # -- the process -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the target when chaosbot owns it, and waits until it answers.

        Raises:
            TargetUnusable: It does not.
        """
        if self.spec.start_cmd:
            self._launch()
        self.await_return(RETURN_S)
        self.look()

    def _launch(self) -> None:
        self._end_owned()
        try:
            self._owned = subprocess.Popen(
                shlex.split(self.spec.start_cmd or ""),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env=self.guide.environment() if self.guide is not None else None,
            )
        except (OSError, ValueError) as error:
            raise TargetUnusable(f"--start-cmd {self.spec.start_cmd}: cannot be started ({error})") from None

    def _end_owned(self) -> None:
        if self._owned is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._owned.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._owned.wait(1.0)
                break
        self._owned = None

    def close(self) -> None:
        """Ends what was started here."""
        self._pool.close()
        self._end_owned()
        if self.guide is not None:
            self.guide.close()

    def look(self) -> None:
        """Finds the target's processes."""
        if self.spec.pid is not None:
            self.pids = process.family(self.spec.pid)
        elif self._owned is not None:
            self.pids = process.family(self._owned.pid)
        elif self.spec.address.host in ("localhost", "::1") or self.spec.address.host.startswith("127."):
            address = self.spec.address
            self.pids = process.listeners(address.host if address.on_socket else address.port)

    @property
    def lives(self) -> bool:
        """Whether the processes that were there are still there (true where that cannot be seen, or would say nothing any more)."""
        return process.alive(self.pids) or self.should_stop()

    def vitals(self) -> process.Vitals | None:
        """What the target holds; None where that cannot be read."""
        if self.pids:
            return process.vitals(self.pids)
        if self.spec.metrics:
            try:
                values = metrics(self.spec.metrics)
            except TargetUnusable:
                return None
            held, fds = (values.get(f"process_{name}", 0.0) for name in ("resident_memory_bytes", "open_fds"))
            if not (1 <= held < _MOST and 0 <= fds < _MOST):  # infinite, as a page may say
                return None
            return process.Vitals(int(held), int(held), int(fds))
        return None

    def await_return(self, within_s: float = RETURN_S) -> bool:
        """Waits until the target answers again, starting it when it is ours.

        Raises:
            TargetUnusable: It does not come back.
        """
        began = monotonic()
        until = min(began + within_s, self.until)
        while monotonic() < until:
            if self._owned is not None and self._owned.poll() is not None:
                self._launch()
            health = self.health(timeout_s=min(self.spec.timeout_s, max(0.5, until - monotonic())))
            if health.outcome.fate is Fate.ANSWERED:
                return True
            if self.should_stop():
                return False
            sleep(_POLL_S)
        raise TargetUnusable(
            f"{self.spec.address.url}: no answer for {max(0.0, until - began):.0f} s; start it again, or let chaosbot do it with --start-cmd"
        )

    def calls(self) -> Sequence[ApiCalled]:
        """All that the target has said so far, in the order in which it came: its calls, and what its answers asked the platform to call."""
        self._catch_up()
        return cast("Sequence[ApiCalled]", self._said)

    def _catch_up(self, reply: ApiCalled | None = None) -> None:
        """Takes over what came since the last look, and what an answer asks for now."""
        with self._catching:
            new = self._calls()[self._looked :]
            self._looked += len(new)
            for call in new:
                # What stood in an answer comes a second time, with the case's own events, and is known by its exchange.
                if not (call.in_answer and call.exchange in self._in_answers):
                    self._said.append(call)
            if reply is not None:
                self._in_answers.add(reply.exchange)
                self._said.append(reply)

    # -- sending -----------------------------------------------------------------------------------------------------

    def fire(self, case: Case, stage: str, *, timeout_s: float | None = None, fair: bool = False) -> CaseResult:
        """Sends one case and waits for its fate.

        Args:
            case: The case.
            stage: The stage that sends it.
            timeout_s: How long; by default what the case asks for.
            fair: Whether it is looked how long the target, and this process, waited for a processor meanwhile.
        """
        bound = timeout_s if timeout_s is not None else self._bound(case)
        exchange = f"case-{self.spec.part}.{next(self._numbers)}"
        self.watch.sending(case)
        if self.guide is not None:
            self.guide.sending(case, exchange)
        sent = monotonic() - self.spec.started
        before = self._waits() if fair else ()
        outcome = self._send(case, bound)
        self.watch.answered(case)
        if (reply := reply_in(self.platform, outcome, case, sent + outcome.total_s, exchange)) is not None:
            self._catch_up(reply)
        starved_s = sum(map(process.starved_s, before, self._waits())) if fair else 0.0
        return CaseResult(case, stage, outcome, sent, exchange=exchange, starved_s=starved_s)

    def _waits(self) -> tuple[Mapping[str, int], ...]:
        """How long threads waited for a processor so far: the target's, and those of this process."""
        return process.waits(self.pids), process.waits(frozenset({os.getpid()}))

    def _send(self, case: Case, bound_s: float) -> Outcome:
        left = self.until - monotonic()
        if left < min(bound_s, self.latency_s):
            return Outcome(Fate.CANCELLED, detail="the campaign's time is over")
        outcome = send(self._timely(case), self.spec.address, timeout_s=min(bound_s, left), keep=KEPT)
        if outcome.status in self.takes:
            outcome = msgspec.structs.replace(outcome, taken=True)
        return msgspec.structs.replace(outcome, fate=Fate.CANCELLED, detail=STOPPED) if self.should_stop() else outcome

    def fire_quietly(self, case: Case, stage: str, usual: int = 0) -> CaseResult:
        """Sends one case and waits until the target is quiet in its chat, so that what comes there meanwhile is the case's.

        Args:
            case: The case.
            stage: The stage that sends it.
            usual: So many calls are all that comes of it, where that is known.
        """
        began = monotonic()
        with self.watch.awaiting(case):
            result = self.fire(case, stage)
            if self.spec.bot_api and result.outcome.fate is Fate.ANSWERED:
                replied = self.replies_in(result.outcome)
                if self.watch.quiet(case, began, replied=replied, usual=usual):
                    result.observations.append(Quiet())
        return result

    def _timely(self, case: Case) -> Case:
        """The case with the time of now in its signature, where that would be stale before the campaign is over."""
        age = int(time()) - self.spec.endpoint.time if self.platform.signs else 0
        return case if age < self.platform.fresh_s else self.resigned(case, case, age) or case

    def resigned(self, before: Case, after: Case, later_s: int = 0) -> Case | None:
        """A changed case, signed as its original was."""
        return resigned(self.platform, self.spec.endpoint.secret, before, after, later_s)

    def renewed(self, case: Case, dice: Dice) -> Case:
        """The same case as a delivery of its own."""
        return renewed(case, dice, self.resigned)

    def _bound(self, case: Case) -> float:
        within = case.expect.within_s
        return pauses(case) + (self.spec.timeout_s if within is None else max(within, self.latency_s) + 0.5)

    def volley(self, cases: Sequence[Case], stage: str, *, timeout_s: float | None = None) -> list[CaseResult]:
        """Sends cases side by side; the results are in their order."""
        return self._pool.map(lambda case: self.fire(case, stage, timeout_s=timeout_s), cases)

    def burst(self, cases: Sequence[Case], stage: str) -> list[CaseResult]:
        """Like `volley`; a name for sequences, where being at the same time is the point."""
        return self.volley(cases, stage)

    # -- health requests --------------------------------------------------------------------------------------------------

    @property
    def ordinary(self) -> str:
        """What is written so that a reply comes; a greeting where any text gets one."""
        return self.answered or "/start"

    def replies_in(self, outcome: Outcome) -> bool:
        """Whether the answer itself makes the platform do something, each time that it is given."""
        if not self.platform.answers_act or not acknowledged(outcome.fate, outcome.status) or not outcome.body:
            return False
        return bool(self.platform.effects(outcome.body))

    @property
    def _newcomer(self) -> int:
        return (_SMALL_USER if self.small_ids else _HEALTH_USER) + self._first_user + self._health_requests

    def health_case(self) -> Case:
        """A valid update from somebody new."""
        self._health_requests += 1
        dice = self._dice.at(self._health_requests)
        planted = marker(dice)
        user = self._newcomer
        update = self.platform.say(f"{_HEALTH_TEXT} {planted}", dice, user=user)
        if update is None:
            update = self.platform.fresh(self.platform.golden(dice)[self.platform.canary()], dice)
        request = self.platform.encode(self.spec.endpoint, update)
        if planted.encode() not in request:
            planted = ""
        facts = self.platform.read(request)
        return Case(
            "health",
            "health",
            Threat.NETWORK,
            (Segment(request),),
            Expect(),
            summary="a valid update",
            marker=planted,
            chat=facts.chat if facts is not None else None,
        )

    def said(self, text: str) -> Case | None:
        """A case in which somebody new writes this; None where the platform's users do not write."""
        self._health_requests += 1
        user = self._newcomer
        update = self.platform.say(text, self._dice.at(self._health_requests), user=user)
        if update is None:
            return None
        request = self.platform.encode(self.spec.endpoint, update)
        return Case("health/said", "health", Threat.NETWORK, (Segment(request),), Expect(), summary=text, chat=user)

    def health(self, *, timeout_s: float | None = None) -> HealthReply:
        """Sends a valid update on a fresh connection."""
        case = self.health_case()
        self.watch.sending(case)
        outcome = self._send(case, timeout_s or self.spec.timeout_s)
        # A target that takes rising ids only may have answered the first one alone.
        self.replies_in_answers = self.replies_in_answers or self.replies_in(outcome)
        return HealthReply(self.acknowledges(outcome), outcome.total_s, outcome, case)

    def settle(self, within_s: float | None = None) -> bool:
        """Waits until the bot has answered a health request at the mock, so that "nothing was called" means something."""
        if not self.spec.bot_api:
            return True
        if not self.answered:
            health = self.health()
            return self.replied(health.case, health.outcome, within_s)
        case = self.said(self.answered)
        return case is not None and self.replied(case, self.fire(case, "health").outcome, within_s)

    def acknowledges(self, outcome: Outcome) -> bool:
        """Whether the target took a valid update: by 2xx, or by what the run's person calls right."""
        return outcome.ok or (outcome.fate is Fate.ANSWERED and outcome.status in self.spec.accept_status)

    def replied(self, case: Case, outcome: Outcome, within_s: float | None = None) -> bool:
        """Whether a reply comes to what was acknowledged, in the answer itself or at the mock; waits for that as `ReplyWatch.replied` does."""
        return self.acknowledges(outcome) and (self.replies_in(outcome) or self.watch.replied(case, within_s))

    # -- attribution -------------------------------------------------------------------------------------------------

    def suspicious(self, result: CaseResult) -> bool:
        """Whether the case's own fate calls for a second look."""
        expect, outcome = result.case.expect, result.outcome
        if outcome.fate is Fate.CANCELLED:
            return False
        if not whole(result.case):
            # It never completed its request: waiting for the rest is right, unless the case says until when.
            return expect.within_s is not None and outcome.fate is Fate.TIMEOUT
        if outcome.fate is Fate.ANSWERED:
            return result.took > (expect.within_s or self.latency_s)
        return outcome.fate is Fate.TIMEOUT or not expect.close

    @contextlib.contextmanager
    def sentinel(self) -> Iterator[Callable[[], bool]]:
        """An idle connection that ends when the process does; yields a function that tells whether it still stands.

        Raises:
            TargetUnusable: No connection can be had.
        """
        import socket  # noqa: PLC0415 - a look, not a request

        try:
            idle = Link.open(replace(self.spec.address, tls=False), 2.0).sock
        except LinkFailed as error:
            if self.should_stop():
                yield lambda: True
                return
            raise TargetUnusable(f"{self.spec.address.url}: takes no connection any more ({error.detail})") from None
        sleep(_POLL_S)  # long enough for the target to accept it

        def stands() -> bool:
            try:
                return bool(idle.recv(1, socket.MSG_PEEK))
            except BlockingIOError:
                return True
            except OSError:
                return False

        with idle:
            yield stands
