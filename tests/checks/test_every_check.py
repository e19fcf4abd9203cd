"""Every check on the registry: pure, honest about what it did not see, and able to tell a breach from its opposite."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from chaosbot.core.case import Answer, Change, Expect, Reach, Role
from chaosbot.core.check import ACCEPTED, CHECKS, History
from chaosbot.core.event import (
    ApiCalled,
    CampaignStarted,
    CaseTried,
    CodeReached,
    Event,
    ExchangeSeen,
    Injected,
    Noted,
    OutboundTried,
    PhaseChanged,
    ProbeSeen,
    RequestDone,
    RunEnded,
    RunStarted,
    StateTried,
    TargetRaised,
    TrustTried,
    from_json,
    to_json,
)
from chaosbot.core.exchange import Depth, Direction
from chaosbot.core.journey import GUESSED
from chaosbot.core.kit import technique
from chaosbot.core.marker import digest
from chaosbot.core.observation import Died, Echoed, Fetched, Grew, HealthLost, Hung, Silenced, VictimOfDeath
from chaosbot.core.outcome import Fate, Outcome
from chaosbot.core.registry import describe, options_of
from chaosbot.core.verdict import Mechanism, Threat, Verdict
from tests.checks.models import Talk, fine, talks

START = RunStarted(0.0, "fuzz", "0", 1, "t", "now")
SEES = CampaignStarted(0.0, "mock", "any", memory=True)
BLIND = CampaignStarted(0.0)
ACK = Expect()
REFUSE = Expect(frozenset({401, 403}), reach=Reach.NONE)
M = "cbm0123456789ab"
N = "cbmba9876543210"


def answer(status: int, body: bytes = b"", seconds: float = 0.01) -> Outcome:
    return Outcome(Fate.ANSWERED, status, total_s=seconds, body=body)


def case(name: str, outcome: Outcome, *, expect: Expect = ACK, threat: Threat = Threat.USER, **more: Any) -> CaseTried:
    group = more.pop("group", name.split("/", maxsplit=1)[0])
    more.setdefault("change", technique(name))
    return CaseTried(1.0, name, group, threat, "catalogue", outcome, expect=expect, **more)


def call(text: str, *markers: str, t: float = 2.0, chat: int | str | None = 5, **more: Any) -> ApiCalled:
    return ApiCalled(t, more.pop("method", "sendMessage"), chat, text, markers, **more)


def request(marker: str, t: float, status: int = 200, **more: Any) -> RequestDone:
    return RequestDone(t, marker, t, t, answer(status), task="text", marker=marker, chat=5, **more)


def outage(exchange: str, t: float, fault: str = "botapi_5xx_html") -> Injected:
    return Injected(t, "rule", fault, Depth.EXCHANGE, Direction.OUTBOUND, exchange, "applied")


def trial(trouble: str = "502", **more: Any) -> OutboundTried:
    lossless = more.pop("lossless", True)
    return OutboundTried(
        9.0, trouble, "sendMessage", f"outbound/sendMessage-{trouble}", 77, 1.0, 8.0, lossless=lossless, **more
    )


def memory(trial: str, alone: list[list[str]], seen: list[list[str]], *others: str) -> StateTried:
    plays = (tuple(tuple(play) for play in plays) for plays in (alone, seen))
    return StateTried(9.0, trial, "state/1", "/add", *plays, others)


def at_once(*told: str) -> StateTried:
    return memory("at-once", [[f"You have {number}." for number in "1234"]] * 2, [[f"You have {one}." for one in told]])


def refused(t: float = 2.0, status: int = 502, **more: Any) -> ApiCalled:
    return call("hi", t=t, chat=77, status=status, **more)


def note(t: float, status: int = 200) -> ApiCalled:
    return call("You are late.", t=t, chat=None, status=status, method="answerCallbackQuery", callback="q1")


PRESS, REFUSED_PRESS = (
    case(f"outbound/sendMessage-{trouble}", answer(200), chat=77, callback="q1") for trouble in ("502", "refused")
)


def held(until: float) -> list[Event]:
    """A call of the trial's that got no answer, and when it was over."""
    name = "outbound/sendMessage-silence"
    met = Injected(until, name, "delay", Depth.EXCHANGE, Direction.OUTBOUND, "held", "applied")
    return [met, ExchangeSeen(until, "held", Direction.OUTBOUND, "POST", "/x", None, "proxy", 5.0)]


def unheard(times: int) -> list[Event]:
    """A press whose end was refused so often: nothing but the press's id joins these calls."""
    pressed = case("outbound/sendMessage-refused", answer(200), callback="p1")
    ends = (
        call("", t=2.0 + n, chat=None, method="answerCallbackQuery", status=400, callback="p1") for n in range(times)
    )
    return [pressed, *ends]


def edits(shown: str) -> list[Event]:
    """A message that shows something, and three edits to one text that are refused."""
    sent = call(shown, t=1.5, chat=77, message=5)
    edits = (call("4 of 4", t=2.0 + n, chat=77, method="editMessageText", status=400, message=5) for n in range(3))
    return [sent, *edits]


def trust(check: str, *tries: Sequence[str], plain: Sequence[str] = ()) -> list[Event]:
    """Something doubtful that was tried twice, where who may gets a deployment."""
    rightful, who = ("deployments.create: production",), case("doubt/x/rightful", answer(200))
    made = tuple(map(tuple, tries))
    return [who, TrustTried(9.0, check, "group/what", who.case, "a claim", Threat.USER, rightful, tuple(plain), made)]


def doubted(check: str) -> Example:
    said, done = "issues.createComment: Only maintainers deploy.", "deployments.create: production"
    # Once may be the answer to something else, and what everybody gets is no privilege.
    keeps = [*trust(check, [said], [done], plain=[said]), *trust(check, [done], [done], plain=[done])]
    return Example(keeps, trust(check, [said, done], [done], plain=[said]))


def batch(*tries: Sequence[str]) -> list[Event]:
    who = case("batch/entries-odd", answer(200))
    members, made = ("member 1", "member 2"), tuple(map(tuple, tries))
    name = "entries-odd"
    return [who, TrustTried(9.0, "batch_survives", name, who.case, "something odd", Threat.NETWORK, members, (), made)]


def lured(*seen: Fetched, threat: Threat = Threat.NETWORK) -> CaseTried:
    return case("urls/message", answer(200), threat=threat, observations=seen)


@dataclass(frozen=True)
class Example:
    """Events that keep a rule, and events that break it."""

    keeps: Sequence[Event]
    breaks: Sequence[Event]


WATCHED = (CodeReached(0.5, "start", 1, 2, 3, 4), case("guided/1", answer(200), exchange="case-1"))


def markers(count: int) -> list[str]:
    return [f"cbm{number:012x}" for number in range(count)]


def _arguments(*, silent: tuple[str, ...]) -> list[Event]:
    """A command with an odd argument, the same once more, and its control."""
    events: list[Event] = []
    for number, word in enumerate(("superscript", "again", "control")):
        change = Change(Mechanism.TECHNIQUE, "argument/regar", word)
        control = "argument/regar-2" if word == "again" else ""
        name = f"argument/regar-{number}"
        events.append(case(name, answer(200), chat=500 + number, group="argument", change=change, control=control))
        if word not in silent:
            events.append(call("Quanto devo regar?", chat=500 + number))
    return events


def _load(*, lost: bool) -> list[Event]:
    events: list[Event] = [PhaseChanged(0.0, "baseline")]
    for number, marker in enumerate(markers(40)):
        t = number * 0.5
        events.append(request(marker, t))
        if 10.0 <= t < 12.0:
            events += [outage(f"o{number}", t), call("hi", marker, t=t, status=500, exchange=f"o{number}")]
            if not lost:
                events.append(call("hi", marker, t=t + 4.0))
        else:
            events.append(call("hi", marker, t=t))
    return [*events, RunEnded(45.0, "completed")]


def _recovery(*, well: bool) -> list[Event]:
    events: list[Event] = [
        PhaseChanged(0.0, "baseline"),
        PhaseChanged(10.0, "fault", "x"),
        PhaseChanged(15.0, "recovery", "x"),
    ]
    for number, marker in enumerate(markers(80)):
        t = number * 0.5
        fine = t < 10.0 or (well and t >= 17.0)
        events.append(request(marker, t))
        if fine:
            events.append(call("hi", marker, t=t))
    return [*events, RunEnded(41.0, "completed")]


def _memory(step: float) -> list[Event]:
    level = [100e6 + step * number for number in range(60)]
    return [ProbeSeen(float(number), "memory", ok=True, value=value) for number, value in enumerate(level)]


SORRY = "Sorry, no answer today."


def part(talk: Talk) -> str:
    return talk.text.partition(" all")[0]


def _beside_a_stall(*, held: bool) -> Sequence[Event]:
    stalled = Talk(1, 10.0).asked().model("llm_stall", seconds=20.0, whole=False).told(SORRY, at=21.0)
    before = [fine(10 + number, 1.0 + number) for number in range(6)]
    beside = [
        Talk(20 + number, 12.0 + number).asked().model(at=8.0 if held else 0.1).told(at=9.0 if held else 1.0)
        for number in range(6)
    ]
    return talks(stalled, *before, *beside)


def _around_an_outage(*, back: bool) -> Sequence[Event]:
    before = [fine(number, 0.5 * number) for number in range(1, 21)]
    down = [Talk(30 + number, 11.0 + number).asked().model("llm_error", status=529).told(SORRY) for number in range(3)]
    after = [
        fine(50 + number, 20.0 + number) if back else Talk(50 + number, 20.0 + number).asked().told(SORRY)
        for number in range(20)
    ]
    return talks(*before, *down, *after)


def model_examples() -> dict[str, Example]:
    """Examples of the checks over calls of language models."""
    again = Talk().asked(times=2).model().told()
    paid_twice = Talk().asked(times=2).model().told().model(at=5.1, call="other").told(at=6.0)
    cut = Talk().asked().model("llm_cut_stream", whole=False)
    cut_alone = Talk().asked().model("llm_cut_stream", whole=False)
    tool = {"stop": "tool", "tools": ("grant",), "text": "", "answer": ""}
    carried = {"at": 1.0, "call": "after"}
    foreign = Talk(2, 3.0).asked().model(earlier=("cbm000000000001",)).told()
    failing = {"status": 529, "seconds": 0.1}
    limited = Talk().asked().model("llm_429", status=429, retry_after_s=2.0, seconds=0.1)
    down = [Talk(number, 1.0 + number).asked().model("llm_error", **failing) for number in range(1, 41)]
    rare = [Talk(number, 1.0 + 2 * number).asked().model("llm_error", **failing) for number in range(1, 21)]
    hostile = Talk().asked().model("llm_hostile_text")
    return {
        "llm_user_answered": Example(
            talks(Talk().asked().model("llm_error", **failing).told(SORRY)),
            talks(Talk().asked().model("llm_error", **failing)),
        ),
        "llm_truncation_shown": Example(
            talks(cut.told(f"{part(cut)} … (incomplete)")), talks(cut_alone.told(part(cut_alone)))
        ),
        "llm_retry_after_obeyed": Example(
            talks(Talk().asked().model("llm_429", status=429, retry_after_s=2.0).model(at=2.7)),
            talks(limited.model(at=0.8)),
        ),
        "llm_not_retried": Example(
            talks(Talk().asked().model("llm_error", status=401, error="authentication_error").told(SORRY)),
            talks(Talk().asked().model("llm_error", status=401).model("llm_error", status=401, at=1.0)),
        ),
        "llm_retry_bounded": Example(
            talks(_failing(3), fine(2)),
            talks(_failing(9), fine(2)),
        ),
        "llm_paid_once": Example(talks(again, fine(2)), talks(paid_twice, fine(2))),
        "llm_spend_bounded": Example(talks(fine()), talks(fine(), Talk(2).asked().model(turns=400))),
        "llm_concurrency": Example(talks(fine()), talks(*(Talk(number).asked().model() for number in range(1, 18)))),
        "llm_timeout": Example(
            talks(Talk().asked().model("llm_stall", seconds=10.0, read_timeout_s=30.0)),
            talks(Talk().asked().model("llm_stall", open_end=True)),
        ),
        "llm_circuit": Example(
            talks(*rare),
            talks(*down, *(Talk(100 + n, 1.5 + n / 4).asked().model("llm_error", **failing) for n in range(160))),
        ),
        "llm_ack_first": Example(
            talks(Talk().asked().model(seconds=8.0)), talks(Talk().asked(seconds=8.5).model(seconds=8.0))
        ),
        "llm_isolation": Example(_beside_a_stall(held=False), _beside_a_stall(held=True)),
        "llm_bad_tool_survived": Example(
            talks(Talk().asked().model("llm_bad_tool", **tool).told(SORRY)),
            talks(Talk().asked().model("llm_bad_tool", **tool)),
        ),
        "llm_history_valid": Example(
            talks(fine()),
            talks(
                fine(), Talk(2).asked().model(status=400, problem="messages.2: text content blocks must be non-empty")
            ),
        ),
        "llm_no_escalation": Example(
            talks(
                Talk().asked().model("llm_escalate", **tool).model(**carried, results=("error: not allowed",)).told()
            ),
            talks(
                Talk()
                .asked()
                .model("llm_escalate", **tool)
                .model(**carried, results=("Granted admin to 2000001.",))
                .told()
            ),
        ),
        "llm_foreign_text": Example(talks(fine(), fine(2, 3.0, earlier=("cbm000000000002",))), talks(fine(), foreign)),
        "llm_formatting_survived": Example(
            talks(Talk().asked().model().told(status=400).told(at=1.5)), talks(hostile.told(status=400))
        ),
        "llm_text_intact": Example(talks(fine()), talks(Talk().asked().model().told("cbas00010001 About all is"))),
        "llm_recovers": Example(_around_an_outage(back=True), _around_an_outage(back=False)),
    }


def _failing(times: int) -> Talk:
    talk = Talk().asked()
    for number in range(times):
        talk.model("llm_error", status=529, at=0.1 + number, seconds=0.1)
    return talk.told(SORRY, at=times + 1.0)


CONTROL = case("escalation/control-grant", answer(200), marker=M, chat=1)
NOTHING = case("control/nothing-grant", answer(200), marker="cbm000000000001", chat=2, role=Role.BACKGROUND)
TRICK = case(
    "escalation/reply-grant", answer(200), marker=N, chat=3, control="escalation/control-grant", check="no_escalation"
)
PRIVILEGED = [
    CONTROL,
    NOTHING,
    TRICK,
    call("Granted user to 7.", M, chat=1),
    call("Unknown command.", "cbm000000000001", chat=2),
]
EARLIER, LATE, AFTER = (
    case(f"sequences/order-{word}", answer(200), marker=planted, check="nobody_starves", scenario="order", role=role)
    for word, planted, role in (
        ("ahead", M, Role.ATTEMPT),
        ("late", N, Role.ATTEMPT),
        ("after", "cbm000000000001", Role.AFTERWARDS),
    )
)
OWNER = case("objects/planted", answer(200), marker=M, chat=1)
STRANGER = case("objects/read-1", answer(200), marker=N, chat=2, check="own_objects_only")


def _minute(answered: int) -> list[Event]:
    """A guest asks forty times within a minute and is answered so often."""
    sent = [
        RequestDone(
            float(t), f"load-{t}", float(t), float(t), answer(200), "guest/chat", "guest", 7, 100 + t, "message", 7
        )
        for t in range(40)
    ]
    return [*sent, *(call("x", t=float(t), chat=7) for t in range(answered))]


EXAMPLES: dict[str, Example] = {
    "no_server_error": Example(
        [case("json/empty", answer(400)), case("json/x", Outcome(Fate.ANSWERED, 503, headers=(("retry-after", "1"),)))],
        [case("json/empty", answer(500))],
    ),
    "no_hang": Example(
        [case("a/b", answer(200, seconds=9.0))], [case("a/b", answer(200), observations=(Hung(blocked=True),))]
    ),
    "no_death": Example(
        [case("a/b", Outcome(Fate.CLOSED), observations=(VictimOfDeath(),))],
        [case("a/b", Outcome(Fate.CLOSED), observations=(Died(),))],
    ),
    "canary_answered": Example(
        [case("a/b", answer(200), health_s=0.1)], [case("a/b", answer(200), health_s=5.0, observations=(HealthLost(),))]
    ),
    "auth_before_parsing": Example(
        [case("auth/u", answer(401), expect=REFUSE, threat=Threat.FORGER, check="auth_before_parsing")],
        [case("auth/u", answer(400), expect=REFUSE, threat=Threat.FORGER, check="auth_before_parsing")],
    ),
    "forged_refused": Example(
        [case("auth/wrong", answer(401), expect=REFUSE, threat=Threat.FORGER)],
        [case("auth/wrong", answer(200), expect=REFUSE, threat=Threat.FORGER)],
    ),
    "secret_exact": Example(
        [case("auth/prefix", answer(401), expect=REFUSE, threat=Threat.FORGER, check="secret_exact")],
        [case("auth/prefix", answer(200), expect=REFUSE, threat=Threat.FORGER, check="secret_exact")],
    ),
    "no_leak": Example(
        [
            case("a/b", answer(400, b'{"error":"no"}')),
            case("a/c", answer(400, b"Traceback (most recent"), observations=(Echoed(),)),
        ],
        [case("a/b", answer(500, b"Traceback (most recent call last):\n"))],
    ),
    "malformed_policy": Example(
        [
            CampaignStarted(0.0, malformed="reject"),
            case("json/x", answer(400), expect=Expect(frozenset({400}))),
        ],
        [
            CampaignStarted(0.0, malformed="reject"),
            case("json/x", answer(200), expect=Expect(frozenset({400}))),
        ],
    ),
    "answer_understood": Example(
        [case("handshake/ping", answer(200, b"c-1"), expect=Expect(frozenset({200}), answer=Answer("c-1")))],
        [case("handshake/ping", answer(200, b"ok"), expect=Expect(frozenset({200}), answer=Answer("c-1")))],
    ),
    "deadline_kept": Example(
        [case("golden/command", answer(200, seconds=1.0), group="kinds", expect=Expect(within_s=3.0))],
        [
            case(
                "golden/command",
                answer(200, seconds=3.5),
                group="kinds",
                expect=Expect(within_s=3.0),
                observations=(Hung(),),
            )
        ],
    ),
    "valid_accepted": Example([case("kinds/poll", answer(200))], [case("kinds/poll", answer(400))]),
    "text_intact": Example(
        [case("timing/split", answer(200), marker=M, expect=Expect(text="a é b")), call("You said: a é b", M)],
        [
            case("timing/split", answer(200), marker=M, expect=Expect(text="a é b")),
            call("You said: a \ufffd\ufffd b", M),
        ],
    ),
    "right_chat": Example(
        [case("chats/group", answer(200), marker=M, chat=-7), call("x", M, chat=-7), call("log", M, chat=99)],
        [case("chats/group", answer(200), marker=M, chat=-7), call("x", M, chat=5)],
    ),
    "effect_at_most_once": Example(
        [
            case("s/1", answer(200), marker=M, update_id=7),
            case("s/2", answer(200), marker=M, update_id=7),
            call("x", M),
        ],
        [
            case("s/1", answer(200), marker=M, update_id=7),
            case("s/2", answer(200), marker=M, update_id=7),
            call("x", M),
            call("x", M),
        ],
    ),
    "no_silent_exception": Example(
        [*WATCHED, TargetRaised(1.5, "KeyError", "'x'", ("bot.py:3 in handle",), meant=True, exchange="case-1")],
        [*WATCHED, TargetRaised(1.5, "KeyError", "'x'", ("bot.py:3 in handle",), exchange="case-1")],
    ),
    "user_told": Example(_arguments(silent=("superscript",)), _arguments(silent=("superscript", "again"))),
    "no_lost_update": Example([at_once("4", "5", "6")], [at_once("4", "4", "5")]),
    "replies_in_order": Example(
        [memory("order", [["a", "b"]], [["a", "b"]])], [memory("order", [["a", "b"]], [["b", "a"]])]
    ),
    "sessions_apart": Example(
        [memory("conversation", [["What?"]], [["What?", "Saved."]], "Saved.")],
        [memory("conversation", [["What?"]], [["Saved.", "What?"]], "Saved.")],
    ),
    "no_hol_blocking": Example([trial(others=True)], [trial(others=False)]),
    "nobody_starves": Example(
        [EARLIER, LATE, AFTER, call("x", M), call("x", N), call("x", "cbm000000000001")],
        [EARLIER, LATE, AFTER, call("x", M), call("x", "cbm000000000001")],
    ),
    "no_escalation": Example(
        [*PRIVILEGED, call("Sorry, that is for admins only.", N, chat=3)],
        [*PRIVILEGED, call("Granted user to 8.", N, chat=3)],
    ),
    "own_objects_only": Example(
        [OWNER, STRANGER, call("You have no such reminder.", N, chat=2)],
        [OWNER, STRANGER, call(f"Reminder 1: {M}", M, chat=2)],
    ),
    "bounded_resources": Example(
        [case("encoding/gzip", answer(413), observations=(Grew(1000),))],
        [case("encoding/gzip", answer(400), observations=(Grew(300000000),))],
    ),
    "pre_auth_cost": Example(
        [case("auth/flood", answer(401), threat=Threat.FORGER, check="pre_auth_cost", observations=(Grew(1000),))],
        [case("auth/flood", answer(401), threat=Threat.FORGER, check="pre_auth_cost", observations=(Grew(90000000),))],
    ),
    "acked_not_lost": Example(_load(lost=False), _load(lost=True)),
    "retry_after_obeyed": Example(
        [call("x", M, t=1.0, status=429, retry_after_s=3.0), call("x", M, t=4.1)],
        [call("x", M, t=1.0, status=429, retry_after_s=3.0), call("x", M, t=1.1)],
    ),
    "no_retry_storm": Example(
        [call("x", M, t=float(number), status=500) for number in range(8)],
        [call("x", M, t=number * 0.02, status=500) for number in range(20)],
    ),
    "rate_limit_holds": Example(_minute(answered=6), _minute(answered=40)),
    "migrate_followed": Example(
        [
            outage("o1", 1.0, "botapi_migrate"),
            call("x", M, t=1.0, status=400, exchange="o1"),
            call("x", M, t=1.5, chat=-100),
            RunEnded(20.0, "completed"),
        ],
        [
            outage("o1", 1.0, "botapi_migrate"),
            call("x", M, t=1.0, status=400, exchange="o1"),
            RunEnded(20.0, "completed"),
        ],
    ),
    "outbound_timeout": Example(
        [outage("o1", 1.0, "delay"), ExchangeSeen(6.0, "o1", Direction.OUTBOUND, "POST", "/", None, "proxy", 5.0)],
        [
            outage("o1", 1.0, "delay"),
            ExchangeSeen(6.0, "o2", Direction.OUTBOUND, "POST", "/", 200, "mock", 0.1),
            RunEnded(40.0, "completed"),
        ],
    ),
    "circuits_recover": Example(
        [ProbeSeen(float(t), "circuit:api", ok=True, value="open" if 5 <= t < 12 else "closed") for t in range(30)],
        [ProbeSeen(float(t), "circuit:api", ok=True, value="open" if t >= 5 else "closed") for t in range(30)],
    ),
    "recovers": Example(_recovery(well=True), _recovery(well=False)),
    "tenants_apart": doubted("tenants_apart"),
    "kind_as_signed": doubted("kind_as_signed"),
    "privilege_not_claimed": doubted("privilege_not_claimed"),
    "replay_recognised": doubted("replay_recognised"),
    "batch_survives": Example(
        batch(["member 1", "member 2"], ["member 2"]),
        batch(["member 1"], ["member 1"]),
    ),
    "urls_not_fetched": Example([lured()], [lured(Fetched("entry.attachments.payload.url"))]),
    "secrets_rotated": Example(
        [
            case("signed/rotation-former", answer(401), expect=REFUSE, threat=Threat.FORGER, check="secrets_rotated"),
            case("signed/rotation-second", answer(200), check="secrets_rotated"),
        ],
        [case("signed/rotation-former", answer(200), expect=REFUSE, threat=Threat.FORGER, check="secrets_rotated")],
    ),
    **model_examples(),
}


def judged(name: str, events: Sequence[Event]) -> Any:
    context: list[Event] = [START] if any(isinstance(event, CampaignStarted) for event in events) else [START, SEES]
    return CHECKS.build(name).judge(History.of([*context, *events]))


def test_every_check_has_an_example() -> None:
    assert set(EXAMPLES) == set(CHECKS.names())


@pytest.mark.parametrize("name", CHECKS.names())
class TestEveryCheck:
    def test_passes_what_keeps_its_rule(self, name: str) -> None:
        judgement = judged(name, EXAMPLES[name].keeps)
        assert (judgement.verdict, judgement.findings) == (Verdict.PASS, ()), judgement
        assert judgement.judged > 0

    def test_finds_what_breaks_its_rule_once(self, name: str) -> None:
        judgement = judged(name, EXAMPLES[name].breaks)
        assert judgement.verdict is Verdict.FAIL
        (finding,) = judgement.findings
        assert finding.check == name
        assert finding.title
        assert finding.cause

    def test_never_passes_by_absence(self, name: str) -> None:
        for events in ([], [START], [START, RunEnded(1.0, "completed")], [START, SEES], [START, BLIND]):
            judgement = CHECKS.build(name).judge(History.of(events))
            assert judgement.verdict is Verdict.INCONCLUSIVE
            assert judgement.reason

    def test_judges_a_journal_as_it_judged_the_run(self, name: str) -> None:
        for events in (EXAMPLES[name].keeps, EXAMPLES[name].breaks):
            read_back = [from_json(json.loads(json.dumps(to_json(event)))) for event in events]
            assert judged(name, read_back) == judged(name, events)

    def test_does_not_depend_on_what_it_does_not_know(self, name: str) -> None:
        noise: list[Event] = [
            ProbeSeen(0.5, "health", ok=True, value=200.0),
            call("unrelated", "cbmffffffffffff", chat=123456),
        ]
        for events in (EXAMPLES[name].keeps, EXAMPLES[name].breaks):
            assert judged(name, [*events, *noise]).findings == judged(name, events).findings

    def test_says_what_it_is_for_and_what_its_options_do(self, name: str) -> None:
        assert len(describe(CHECKS.get(name)).splitlines()) >= 2
        assert all(field.metadata["help"] for field in options_of(CHECKS.get(name)))


@pytest.mark.parametrize(
    ("threat", "credentials", "severity"),
    [
        (Threat.FORGER, True, "critical"),
        (Threat.FORGER, False, "high"),
        (Threat.USER, False, "high"),
        (Threat.NETWORK, True, "medium"),
        (Threat.NETWORK, False, "low"),
    ],
)
def test_a_fetch_is_as_bad_as_whoever_can_ask_for_it(threat: Threat, *, credentials: bool, severity: str) -> None:
    (finding,) = judged("urls_not_fetched", [lured(Fetched("url", credentials), threat=threat)]).findings
    assert finding.severity == severity


def test_a_second_secret_that_is_refused_is_a_finding_of_its_own() -> None:
    events = [case("signed/rotation-second", answer(401), check="secrets_rotated")]
    (finding,) = judged("secrets_rotated", events).findings
    assert "second" in finding.title
    assert judged("valid_accepted", events).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    "name", ["text_intact", "right_chat", "effect_at_most_once", "nobody_starves", "no_escalation", "own_objects_only"]
)
def test_what_needs_the_calls_is_inconclusive_without_them(name: str) -> None:
    events = [event for event in EXAMPLES[name].breaks if not isinstance(event, ApiCalled)]
    judgement = CHECKS.build(name).judge(History.of([START, BLIND, *events]))
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert "--bot-api" in judgement.reason


@pytest.mark.parametrize("name", ["bounded_resources", "pre_auth_cost"])
def test_what_needs_the_memory_is_inconclusive_without_it(name: str) -> None:
    judgement = CHECKS.build(name).judge(History.of([START, BLIND, *EXAMPLES[name].breaks]))
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert "--pid" in judgement.reason


def test_an_accepted_finding_is_muted() -> None:
    (finding,) = judged("no_server_error", EXAMPLES["no_server_error"].breaks).findings
    accepting = msgspec.structs.replace(SEES, accepted=(finding.id,))
    history = History.of([START, accepting, *EXAMPLES["no_server_error"].breaks])
    assert CHECKS.build("no_server_error").judge_safely(history).verdict is Verdict.PASS


def test_violations_with_one_cause_are_one_finding_and_others_are_others() -> None:
    cut = [case(f"json/truncated-{number}", answer(500), expect=Expect(frozenset({400}))) for number in range(5)]
    root = [case("json/root-null", answer(500), expect=Expect(frozenset({2, 400})))]
    judgement = judged("no_server_error", [*cut, *root])
    assert sorted(finding.occurrences for finding in judgement.findings) == [1, 5]


@pytest.mark.parametrize(("status", "found"), [(None, 1), (400, 1), (429, 0), (502, 0)])
def test_whom_the_api_makes_wait_is_not_silenced(status: int | None, found: int) -> None:
    silenced = case("argument/a", answer(200), chat=5, observations=(Silenced(everybody=False),))
    history = History.of([CampaignStarted(0.0, "mock"), silenced, call("hello", status=status)])
    assert len(CHECKS.build("canary_answered").judge(history).findings) == found


def test_nobody_starves_in_a_bot_that_does_not_answer_what_came_afterwards_either() -> None:
    judgement = judged("nobody_starves", [EARLIER, LATE, AFTER, call("x", M)])
    assert (judgement.verdict, judgement.findings) == (Verdict.INCONCLUSIVE, ())


def test_an_update_that_was_refused_will_come_again_and_has_not_starved() -> None:
    refused = msgspec.structs.replace(LATE, outcome=answer(503))
    judgement = judged("nobody_starves", [EARLIER, refused, AFTER, call("x", M), call("x", "cbm000000000001")])
    assert (judgement.verdict, judgement.judged) == (Verdict.PASS, 1)


def test_a_traceback_names_the_cause_whatever_the_case() -> None:
    body = b'Traceback (most recent call last):\n  File "/app/bot.py", line 10, in handle\nKeyError'
    judgement = judged("no_server_error", [case(f"a/{word}", answer(500, body)) for word in ("x", "y", "z")])
    (finding,) = judgement.findings
    assert "bot.py:10:handle" in str(finding.cause)


@pytest.mark.parametrize("via", ["reply", "answer"])
def test_what_an_answer_says_to_the_user_is_told_once_whatever_the_platform_calls_it(via: str) -> None:
    text = "Traceback (most recent call last):"
    tried = case("kinds/text", answer(200, f'{{"type":4,"data":{{"content":"{text}"}}}}'.encode()), exchange="x")
    (finding,) = judged("no_leak", [tried, call(text, via=via, exchange="x")]).findings
    assert str(finding.cause) == "traceback:message"
    (finding,) = judged("no_leak", [tried]).findings
    assert str(finding.cause) == "traceback"


def test_a_duplicate_that_an_outbound_lost_ack_explains_is_excused() -> None:
    twice = [
        msgspec.structs.replace(request(M, 1.0), update_id=1),
        msgspec.structs.replace(request(M, 2.0), update_id=1, attempt=2),
        outage("o1", 1.0, "lost_ack"),
        call("x", M, t=1.0, exchange="o1"),
        call("x", M, t=1.5),
    ]
    assert judged("effect_at_most_once", twice).verdict is Verdict.PASS
    unexplained = [event for event in twice if not isinstance(event, Injected)]
    assert judged("effect_at_most_once", unexplained).verdict is Verdict.FAIL


def test_a_bot_without_the_command_is_not_said_to_hand_it_out() -> None:
    echo = [call("You said: 7 user", marker, chat=chat) for marker, chat in ((M, 1), ("cbm000000000001", 2), (N, 3))]
    judgement = judged("no_escalation", [CONTROL, NOTHING, TRICK, *echo])
    assert judgement.verdict is Verdict.INCONCLUSIVE


def test_replies_that_were_still_open_when_the_run_ended_are_not_lost() -> None:
    events = [event for event in _load(lost=True) if not isinstance(event, RunEnded)]
    judgement = judged("acked_not_lost", [*events, RunEnded(19.6, "completed")])
    assert judgement.findings == ()


def test_a_steady_rise_of_memory_is_a_leak_and_a_step_is_not() -> None:
    assert judged("bounded_resources", _memory(2e6)).verdict is Verdict.FAIL
    assert judged("bounded_resources", _memory(0.0)).verdict is Verdict.PASS
    step = [
        msgspec.structs.replace(probe, value=100e6 if probe.t < 30 else 200e6)
        for probe in _memory(0.0)
        if isinstance(probe, ProbeSeen)
    ]
    assert judged("bounded_resources", step).verdict is Verdict.PASS


def kept(*levels: float) -> list[Event]:
    return [
        ProbeSeen(float(number), "kept-memory", ok=True, value=level * 2**20, detail=str(96 * (number + 1)))
        for number, level in enumerate(levels)
    ]


def test_what_is_kept_of_every_update_never_levels_off_and_late_garbage_does() -> None:
    grown = judged("bounded_resources", kept(*(60 + 2 * number for number in range(24))))
    levelled = judged("bounded_resources", kept(*(60 + 3 * min(number, 9) for number in range(24))))
    assert [finding.cause.place for finding in grown.findings] == ["kept-memory"]
    assert (levelled.verdict, levelled.findings) == (Verdict.PASS, ())


def test_smaller_rounds_of_a_slow_target_are_no_end_of_its_growth() -> None:
    sent = [*range(96, 673, 96), *range(696, 985, 24)]
    looks = [ProbeSeen(float(at), "kept-memory", ok=True, value=at * 40_000.0, detail=str(at)) for at in sent]
    assert [finding.cause.place for finding in judged("bounded_resources", looks).findings] == ["kept-memory"]


def test_a_server_error_under_load_is_found_unless_an_inbound_fault_explains_it() -> None:
    events: list[Event] = [request(M, 1.0, status=500)]
    assert judged("no_server_error", events).verdict is Verdict.FAIL
    fault = Injected(1.0, "r", "abort", Depth.EXCHANGE, Direction.INBOUND, M, "applied")
    assert judged("no_server_error", [*events, request(N, 2.0), fault]).verdict is Verdict.PASS
    by_the_proxy = ExchangeSeen(1.0, M, Direction.INBOUND, "POST", "/", 502, "proxy", 0.1)
    assert judged("no_server_error", [*events, request(N, 2.0), by_the_proxy]).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("check", "events", "verdict"),
    [
        ("acked_not_lost", (trial(), refused(), call("hi", t=3.0, chat=77)), Verdict.PASS),
        ("acked_not_lost", (trial(), refused()), Verdict.FAIL),
        ("acked_not_lost", (trial(), refused(), call("", t=3.0, chat=77, method="sendChatAction")), Verdict.FAIL),
        ("acked_not_lost", (trial("cut", lossless=False), refused()), Verdict.INCONCLUSIVE),
        # What is said in a note above a button only is told by that, or refused with it.
        ("acked_not_lost", (PRESS, trial(), note(2.0, status=502), note(3.0)), Verdict.PASS),
        ("acked_not_lost", (PRESS, trial(), note(2.0, status=502)), Verdict.FAIL),
        ("acked_not_lost", (REFUSED_PRESS, trial("refused"), note(2.0, status=400)), Verdict.PASS),
        ("recovers", (trial(again=True), refused()), Verdict.PASS),
        ("recovers", (trial(again=False), refused()), Verdict.FAIL),
        # A chat that was asked while its call was still held, and one whose call had been given up.
        ("recovers", (trial("silence", again=False), *held(until=9.5)), Verdict.INCONCLUSIVE),
        ("recovers", (trial("silence", again=False), *held(until=6.0)), Verdict.FAIL),
        ("no_hol_blocking", (trial(others=True),), Verdict.PASS),
        ("no_hol_blocking", (trial(others=False),), Verdict.FAIL),
        ("no_hol_blocking", (trial(),), Verdict.INCONCLUSIVE),
        (
            "migrate_followed",
            (trial("migrated", moved_to=-100), refused(status=400), call("hi", t=3.0, chat=-100)),
            Verdict.PASS,
        ),
        ("migrate_followed", (trial("migrated", moved_to=-100), refused(status=400)), Verdict.FAIL),
        ("no_retry_storm", (trial(), *(refused(2.0 + n / 50) for n in range(20))), Verdict.FAIL),
        ("no_retry_storm", (trial(), refused(2.0), refused(4.0)), Verdict.PASS),
        # Steady, but far too many; and what was refused for good, once more in vain and then again.
        ("no_retry_storm", (trial(), *(refused(2.0 + n * 0.3) for n in range(14))), Verdict.FAIL),
        ("no_retry_storm", (trial("blocked"), *(refused(2.0 + n, status=403) for n in range(3))), Verdict.FAIL),
        ("no_retry_storm", (trial("blocked"), refused(2.0, status=403), refused(3.0, status=403)), Verdict.PASS),
        # An edit that changes nothing is refused for that; one of a message that shows something else is not.
        ("no_retry_storm", (trial("refused"), *edits(shown="4 of 4")), Verdict.PASS),
        ("no_retry_storm", (trial("refused"), *edits(shown="3 of 4")), Verdict.FAIL),
        # To somebody else's chat the same words may come of what others do.
        (
            "no_retry_storm",
            (trial("blocked", answered=True), *(refused(2.0 + n, status=403) for n in range(3))),
            Verdict.INCONCLUSIVE,
        ),
        ("no_retry_storm", (trial("refused"), *unheard(2)), Verdict.PASS),
        ("no_retry_storm", (trial("refused"), *unheard(3)), Verdict.FAIL),
        ("user_told", (trial("blocked", answered=True), refused(status=403)), Verdict.PASS),
        ("user_told", (trial("blocked", answered=True, rest=True), refused(status=403)), Verdict.PASS),
        ("user_told", (trial("blocked", answered=True, rest=False), refused(status=403)), Verdict.FAIL),
        ("user_told", (trial("blocked", answered=False), refused(status=403)), Verdict.FAIL),
        # A trial whose trouble met no call says nothing.
        ("acked_not_lost", (trial(), refused(), outage("o1", 1.0)), Verdict.INCONCLUSIVE),
        (
            "retry_after_obeyed",
            (trial("429"), refused(status=429, retry_after_s=2.0), call("hi", t=2.3, chat=77)),
            Verdict.FAIL,
        ),
        (
            "retry_after_obeyed",
            (trial("429"), refused(status=429, retry_after_s=2.0), call("hi", t=4.1, chat=77)),
            Verdict.PASS,
        ),
    ],
)
def test_trouble_with_one_chat_is_judged_by_the_calls_to_that_chat(
    check: str, events: tuple[Event, ...], verdict: Verdict
) -> None:
    judgement = CHECKS.build(check).judge(History.of((SEES, *events)))
    assert judgement.verdict is verdict
    if verdict is Verdict.FAIL:
        assert (
            judgement.findings[0].cause
            == CHECKS.build(check).judge(History.of((SEES, *events, *events))).findings[0].cause
        )


def test_calls_of_another_chat_deliver_nothing_to_this_one() -> None:
    judgement = CHECKS.build("acked_not_lost").judge(History.of((SEES, trial(), refused(), call("hi", t=3.0, chat=78))))
    assert judgement.verdict is Verdict.FAIL


def in_chat(chat: int, marker: str, t: float, **more: Any) -> RequestDone:
    return msgspec.structs.replace(request(marker, t, **more), chat=chat)


def test_calls_of_a_bot_that_repeats_no_marker_are_joined_by_a_chat_that_a_request_has_to_itself() -> None:
    asked = [
        in_chat(1, "a", 1.0),
        in_chat(1, "b", 40.0),
        in_chat(2, "c", 1.0),
        in_chat(2, "d", 9.0),
        in_chat(3, "e", 2.0),
        in_chat(4, "f", 1.0),
        in_chat(4, "", 5.0),  # a press, which has no place for a marker
    ]
    moments = ((2.0, 1), (41.0, 1), (2.0, 2), (10.0, 2), (0.5, 3), (6.0, 4))
    calls = [call("hi", t=t, chat=chat) for t, chat in moments]
    history = History.of((START, *asked, *calls))
    assert {marker: [one.t for one in made] for marker, made in history.calls_by_marker.items()} == {
        "a": [2.0],
        "b": [41.0],
        "e": [],
    }
    assert [history.joins(one) for one in asked] == [True, True, False, False, True, False, False]
    repeating = History.of((START, *asked, call("hi a", "a", t=2.0, chat=1)))
    assert [*repeating.calls_by_marker] == ["a"]
    assert all(map(repeating.joins, asked))


def test_redeliveries_and_impatience_show_on_a_bot_that_repeats_no_marker() -> None:
    again = [in_chat(1, "a", 1.0), in_chat(1, "a", 5.0), in_chat(2, "b", 1.0)]
    once = [call("done", t=2.0, chat=1), call("done", t=2.0, chat=2)]
    assert judged("effect_at_most_once", [*again, *once]).verdict is Verdict.PASS
    assert judged("effect_at_most_once", [*again, *once, call("done", t=6.0, chat=1)]).verdict is Verdict.FAIL
    early = [call("hi", t=1.1, chat=1, status=429, retry_after_s=3.0), call("hi", t=1.5, chat=1)]
    assert judged("retry_after_obeyed", [in_chat(1, "a", 1.0), *early]).verdict is Verdict.FAIL


@pytest.mark.parametrize(("chat", "again"), [(5, True), (6, False)])
def test_two_drawn_delivery_ids_that_are_equal_by_chance_are_no_repetition(chat: int, again: bool) -> None:
    first = case("kinds/a", answer(200), marker=M, chat=5, update_id=7, kind="message")
    other = case("kinds/b", answer(200), marker=N, chat=chat, update_id=7, kind="message")
    events = [CampaignStarted(0.0, "mock"), first, other, call("x", M), call("x", M)]
    judgement = CHECKS.build("effect_at_most_once").judge(History.of(events))
    assert bool(judgement.findings) is again


@pytest.mark.parametrize(("ends", "cause"), [("own", []), ("another's", ["mixed"]), ("", [])])
def test_what_one_ends_with_is_their_own(ends: str, cause: list[str]) -> None:
    tried = memory("interleaved", [["own"]], [[ends], [ends]])
    judgement = CHECKS.build("sessions_apart").judge(History.of([CampaignStarted(0.0, "mock"), tried]))
    assert [str(one.cause) for one in judgement.findings] == cause
    once = memory("interleaved", [["own"]], [[ends], ["own"]])
    assert not CHECKS.build("sessions_apart").judge(History.of([CampaignStarted(0.0, "mock"), once])).findings


@pytest.mark.parametrize(("echo", "intact"), [("a b", True), ("a \ufffd\ufffdb", False)])
def test_white_space_that_a_reply_tidies_up_is_no_damage(echo: str, intact: bool) -> None:
    tried = case("timing/split", answer(200), marker=M, expect=Expect(text="a\u2003\u200bb"))
    judgement = CHECKS.build("text_intact").judge(History.of([CampaignStarted(0.0, "mock"), tried, call(echo, M)]))
    assert (judgement.verdict is not Verdict.FAIL) is (intact or echo == "A b"), (
        "what does not repeat the text says nothing"
    )


def test_a_group_that_moved_is_followed_by_the_same_words_elsewhere() -> None:
    told = [
        in_chat(-5, "a", 1.0),
        Injected(1.1, "rule", "botapi_migrate", Depth.EXCHANGE, Direction.OUTBOUND, "o1", "applied"),
        call("hi", t=1.1, chat=-5, status=400, exchange="o1"),
        RunEnded(30.0, "completed"),
    ]
    assert judged("migrate_followed", told).verdict is Verdict.FAIL
    followed = [*told[:3], call("hi", t=1.3, chat=-100_500), told[3]]
    assert judged("migrate_followed", followed).verdict is Verdict.PASS


@pytest.mark.parametrize("name", [name for name in CHECKS.names() if CHECKS.get(name).live])
def test_a_case_for_which_no_time_was_left_is_not_judged(name: str) -> None:
    cancelled = Outcome(Fate.CANCELLED, detail="the campaign's time is over")
    unsent = CaseTried(1.0, "json/root-null", "json", Threat.USER, "catalogue", cancelled, expect=Expect())
    judgement = CHECKS.build(name).judge(History((CampaignStarted(0.0, "mock", "reject", memory=True), unsent)))
    assert judgement.judged == 0
    assert judgement.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(("told", "lost"), [("5764", False), ("5765", True)])
def test_several_users_may_be_told_their_numbers_in_any_order(told: str, lost: bool) -> None:
    alone = [[f"Note {number} kept." for number in "1234"]]
    tried = memory("users-at-once", alone, [[f"Note {number} kept." for number in told]])
    judgement = CHECKS.build("no_lost_update").judge(History.of([START, SEES, tried]))
    assert bool(judgement.findings) is lost


@pytest.mark.parametrize(("told", "lost"), [((8, 9, 9, 10), True), ((8, 10, 10, 12), False), ((8, 12, 12, 9), False)])
def test_a_number_that_two_are_told_is_lost_where_who_comes_last_is_told_too_low_a_one(
    told: tuple[int, ...], lost: bool
) -> None:
    alone = [[f"You are number {number}." for number in (1, 3, 4, 7)]]
    tried = memory("users-at-once", alone, [[f"You are number {number}." for number in told]])
    judgement = CHECKS.build("no_lost_update").judge(History.of([START, SEES, tried]))
    assert bool(judgement.findings) is lost


@pytest.mark.parametrize(
    ("told", "lost"), [((70, 67, 67, 67), True), ((70, 67, 61, 58), False), ((70, 67, 67, 79), False)]
)
def test_what_is_left_and_told_to_two_is_lost_where_too_much_is_left_in_the_end(
    told: tuple[int, ...], lost: bool
) -> None:
    alone = [[f"Take 3 bags; {number} are left." for number in (90, 87, 81, 78)]]
    tried = memory("users-at-once", alone, [[f"Take 3 bags; {number} are left." for number in told]])
    judgement = CHECKS.build("no_lost_update").judge(History.of([START, SEES, tried]))
    assert bool(judgement.findings) is lost


@pytest.mark.parametrize(
    ("plays", "lost"),
    [
        (["12345123", "12345678", "12345678"], False),  # others have put it back to nothing
        (["12345123", "12341234", "12345678"], True),
        (["12312341", "12345678", "12345678"], False),
        (["12123456", "12345678", "12345678"], True),
        (["11122233", "12345678", "12345678"], True),
    ],
)
def test_a_number_that_begins_anew_once_is_no_race(plays: list[str], lost: bool) -> None:
    alone, *seen = ([f"Warning {number}." for number in play] for play in ("12345678", *plays))
    judgement = CHECKS.build("no_lost_update").judge(History.of([START, SEES, memory("at-once", [alone, alone], seen)]))
    assert bool(judgement.findings) is lost


@pytest.mark.parametrize(("second", "through"), [(57, False), (58, True)])
def test_an_order_that_is_named_twice_is_let_through_once(second: int, through: bool) -> None:
    late = ["That is done already."] * 6
    alone = [[f"Order {number} is yours.", *late, late[0]] for number in (17, 35)]
    tried = memory("at-once", alone, [["Order 57 is yours.", f"Order {second} is yours.", *late]])
    judgement = CHECKS.build("no_lost_update").judge(History.of([START, SEES, tried]))
    assert bool(judgement.findings) is through


@pytest.mark.parametrize(("people", "stray"), [(3, False), (2, True)])
def test_a_chat_that_is_told_what_several_people_write_gets_no_replies(people: int, stray: bool) -> None:
    events: list[Event] = []
    for number in range(people):
        marker = f"cbm{number:012x}"
        events += [case(f"s/{number}", answer(200), marker=marker, chat=number + 1, user=number + 1)]
        events += [call(f"somebody wrote {marker}", marker, chat=777)]
    judgement = CHECKS.build("right_chat").judge(History.of([START, SEES, *events]))
    assert bool(judgement.findings) is stray


@pytest.mark.parametrize(
    ("chat", "to", "stray"), [(777, 1, False), (777, 4000001, False), (5, 1, True), (5, 4000001, False)]
)
def test_what_an_operator_writes_may_be_for_others_and_whom_the_operator_names_may_be_one(
    chat: int, to: int, *, stray: bool
) -> None:
    events: list[Event] = []
    for number in range(3):
        marker = f"cbm{number:012x}"
        events += [case(f"s/{number}", answer(200), marker=marker, chat=number + 1, user=number + 1)]
        events += [call(f"somebody wrote {marker}", marker, chat=777)]
    named = case("s/named", answer(200), marker="cbm" + "8" * 12, chat=777, user=777, summary="/addop 4000001")
    marker = "cbm" + "9" * 12
    written = case("s/written", answer(200), marker=marker, chat=chat, user=chat)
    events += [named, written, call(f"somebody wrote {marker}", marker, chat=to)]
    judgement = CHECKS.build("right_chat").judge(History.of([START, SEES, *events]))
    assert bool(judgement.findings) is stray


@pytest.mark.parametrize(("control", "stray"), [("", True), ("s/admin", False)])
def test_who_tries_to_be_taken_for_somebody_else_may_write_as_they_do(control: str, *, stray: bool) -> None:
    tried = case("s/twice", answer(200), marker=M, chat=5, user=5, control=control)
    judgement = CHECKS.build("right_chat").judge(History.of([START, SEES, tried, call(f"told: {M}", M, chat=9)]))
    assert bool(judgement.findings) is stray


@pytest.mark.parametrize(
    ("text", "stray"),
    [
        (f"Nice weather. {M}", False),  # word by word what was written
        (f"You said: Nice weather. {M}", True),
        (f"A complaint about 8123456789: {M}", False),  # about who wrote it
        (f"Ticket 7: Nice weather. {M} and before that {N}", False),
    ],
)
def test_what_is_passed_on_or_tells_about_somebody_is_no_reply(text: str, *, stray: bool) -> None:
    tried = case("s/told", answer(200), marker=M, chat=8123456789, user=8123456789, wrote=digest(f"Nice weather. {M}"))
    told = call(text, *(mark for mark in (M, N) if mark in text), chat=9)
    judgement = CHECKS.build("right_chat").judge(History.of([START, SEES, tried, told]))
    assert bool(judgement.findings) is stray


@pytest.mark.parametrize(
    ("text", "t", "stray"),
    [
        ("Complaint 66 was handed on.", 2.0, False),
        ("Who are you?", 0.5, True),  # before
        ("Good night.", 9.0, True),  # long after
        (f"You said: {N}", 2.0, True),  # another one's
    ],
)
def test_what_is_passed_on_is_no_reply_where_who_wrote_it_is_answered_in_other_words(
    text: str, t: float, *, stray: bool
) -> None:
    tried = case("s/told", answer(200), marker=M, chat=5, user=5, sent=1.0)
    noted = case("s/noted", answer(200), chat=5, user=5, sent=1.5)
    other = case("s/other", answer(200), marker=N, chat=6, user=6, sent=1.5)
    told = [call(f"66 from flat 15: {M}", M, chat=777, t=2.5), call(text, *(N,) * (N in text), chat=5, t=t)]
    judgement = CHECKS.build("right_chat").judge(History.of([START, SEES, tried, noted, other, *told]))
    assert any("777" in one.summary for one in judgement.findings) is stray


@pytest.mark.parametrize(("via", "again"), [("reply", False), ("mock", True)])
def test_what_comes_with_the_answer_to_a_delivery_comes_once(via: str, *, again: bool) -> None:
    deliveries = [
        case(f"s/{nth}", answer(200), marker=M, update_id=7, exchange=f"e{nth}", kind="message") for nth in (1, 2)
    ]
    calls = [call(f"Hello {M}", M, via=via, exchange=f"e{nth}" if via == "reply" else "") for nth in (1, 2)]
    judgement = CHECKS.build("effect_at_most_once").judge(History.of([START, SEES, *deliveries, *calls]))
    assert (judgement.verdict, bool(judgement.findings)) == (Verdict.FAIL if again else Verdict.PASS, again)


@pytest.mark.parametrize(("heard", "shown"), [("Saved.", True), ("", False)])
def test_a_conversation_that_was_begun_in_private_does_not_go_on_in_a_group(heard: str, *, shown: bool) -> None:
    tried = memory("elsewhere", [[""]], [[heard], [heard]], "Saved.")
    judgement = CHECKS.build("sessions_apart").judge(History.of([START, SEES, tried]))
    assert [str(one.cause) for one in judgement.findings] == (["elsewhere"] if shown else [])


@pytest.mark.parametrize(("token", "stray"), [("tok-1", False), ("tok-2", True)])
def test_under_load_an_interaction_is_answered_by_its_token_and_not_in_a_chat(token: str, stray: bool) -> None:
    asked = request(M, 1.0, callback="tok-1")
    told = call(f"Good morning. {M}", M, chat=token, callback=token)
    judgement = CHECKS.build("right_chat").judge(History.of([asked, told]))
    assert bool(judgement.findings) is stray


@pytest.mark.parametrize(("last", "lost"), [(5, False), (4, True)])
def test_what_several_people_do_to_one_thing_counts_for_each(last: int, lost: bool) -> None:
    alone = [[f"Yes: {number}" for number in range(1, 6)]] * 2
    tried = memory("one-thing", alone, [["Yes: 1", f"Yes: {last}"]])
    judgement = CHECKS.build("no_lost_update").judge(History.of([START, SEES, tried]))
    assert bool(judgement.findings) is lost


@pytest.mark.parametrize(("again", "twice"), [("doing", False), ("done", True), ("That is over.", False)])
def test_a_press_that_comes_twice_counts_once(again: str, twice: bool) -> None:
    tried = memory("pressed-again", [["doing"]] * 2, [[again]] * 2, "done")
    judgement = CHECKS.build("effect_at_most_once").judge(History.of([START, SEES, tried]))
    assert bool(judgement.findings) is twice


@pytest.mark.parametrize(
    ("heard", "more"),
    [
        (["Sorry, somebody was quicker.", "Friday at 7 is yours.", "Sorry, somebody was quicker."], False),
        (["Friday at 7 is yours.", "Friday at 7 is yours.", "Sorry, somebody was quicker."], True),
        (["The bot is tired.", "The bot is tired.", "The bot is tired."], False),
        (["Friday at 7 is yours.", "Saturday at 7 is yours.\nSorry, somebody was quicker."], False),
    ],
)
def test_no_more_people_get_a_thing_at_once_than_one_after_another(heard: list[str], more: bool) -> None:
    alone = [[f"{day} at 9 is yours.", *["Sorry, somebody was quicker."] * 2] for day in ("Monday", "Sunday")]
    tried = memory("one-thing-once", alone, [heard])
    judgement = CHECKS.build("no_lost_update").judge(History.of([START, SEES, tried]))
    assert bool(judgement.findings) is more


@pytest.mark.parametrize(
    ("trouble", "expect", "body", "found"),
    [
        ("502", Expect(frozenset({2, 503})), b"", False),
        ("502", Expect(frozenset({2, 503})), b"Internal Server Error", True),
        ("refused", Expect(), b"", True),  # for good: no later delivery will do better
    ],
)
def test_a_bare_500_while_its_calls_fail_is_a_targets_own_wish_to_have_it_sent_again(
    trouble: str, expect: Expect, body: bytes, found: bool
) -> None:
    place = Change(Mechanism.TECHNIQUE, f"outbound-{trouble}")
    tried = case(f"outbound/sendMessage-{trouble}", answer(500, body), expect=expect, change=place)
    judgement = CHECKS.build("no_server_error").judge(History.of([START, SEES, tried]))
    assert bool(judgement.findings) is found


def test_a_press_to_which_no_reply_is_ever_known_says_nothing_of_recovery() -> None:
    marked = iter(markers(60))
    events: list[Event] = [PhaseChanged(0.0, "baseline"), PhaseChanged(10.0, "fault"), PhaseChanged(15.0, "recovery")]
    for start, step, kind, count in ((0.0, 0.5, "message", 20), (1.0, 1.0, "callback_query", 3)):
        events += [request(next(marked), start + step * number, kind=kind) for number in range(count)]
    for kind, count in (("message", 10), ("callback_query", 8)):
        events += [request(next(marked), 15.0 + number * 0.1, kind=kind) for number in range(count)]
    asked = [one for one in events if isinstance(one, RequestDone) and one.kind == "message"]
    events += [call("hi", one.marker or "", t=one.t) for one in asked]
    judgement = judged("recovers", [*events, PhaseChanged(16.0, "fault"), RunEnded(20.0, "completed")])
    assert [(one.observed, one.verdict) for one in judgement.assertions] == [(0.0, Verdict.PASS)]


def test_a_load_of_guessed_bodies_says_nothing_about_valid_ones() -> None:
    refused = [request(f"m{number}", 1.0, 422) for number in range(5)]
    assert judged("valid_accepted", refused).verdict is Verdict.FAIL
    assert judged("valid_accepted", [Noted(0.0, GUESSED, "guesses"), *refused]).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(("check", "status"), [("valid_accepted", 404), ("no_server_error", 501)])
def test_a_status_that_was_declared_right_is_no_finding_of_a_load(check: str, status: int) -> None:
    refused = [request(f"m{number}", 1.0, status) for number in range(5)]
    assert judged(check, refused).verdict is Verdict.FAIL
    start = msgspec.structs.replace(START, settings={**START.settings, ACCEPTED: [status]})
    assert CHECKS.build(check).judge(History.of([start, *refused])).verdict is Verdict.PASS


@pytest.mark.parametrize(("check", "status"), [("valid_accepted", 404), ("no_server_error", 501)])
def test_a_status_that_was_declared_right_is_no_finding_of_a_campaign(check: str, status: int) -> None:
    refused = case("kinds/poll", answer(status))
    assert judged(check, [CampaignStarted(0.0), refused]).verdict is Verdict.FAIL
    assert judged(check, [CampaignStarted(0.0, accept_status=(status,)), refused]).verdict is Verdict.PASS


def test_what_is_declared_right_for_valid_updates_is_not_right_for_forged_ones() -> None:
    forged = case("auth/wrong", answer(500), expect=REFUSE, threat=Threat.FORGER)
    assert judged("no_server_error", [CampaignStarted(0.0, accept_status=(500,)), forged]).verdict is Verdict.FAIL
