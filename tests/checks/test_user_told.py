"""A user is told something: what the API refuses for its words is said in another way, and late is not never."""

from __future__ import annotations

from chaosbot.checks.user_told import STILL
from chaosbot.core.case import Change, Expect
from chaosbot.core.check import CHECKS, History
from chaosbot.core.event import ApiCalled, CampaignStarted, CaseTried
from chaosbot.core.outcome import Fate, Outcome
from chaosbot.core.verdict import Mechanism, Severity, Threat

CHAT = 4_503_570_000_000_007
MARKUP = "can't parse entities: Can't find end of the entity starting at byte offset 3"


def tried(name: str, sent: float, *, group: str = "forms", chat: int = CHAT, control: str = "") -> CaseTried:
    outcome = Outcome(Fate.ANSWERED, 200, total_s=0.01)
    more = {"chat": chat, "user": chat, "expect": Expect(), "control": control, "summary": name}
    return CaseTried(sent + 0.01, name, group, Threat.USER, "forms", outcome, sent=sent, **more)  # type: ignore[arg-type]


def refused(t: float, **more: object) -> ApiCalled:
    return ApiCalled(t, "sendMessage", CHAT, "*A_b*", status=400, refusal=MARKUP, **more)  # type: ignore[arg-type]


def said(t: float, chat: int = CHAT) -> ApiCalled:
    return ApiCalled(t, "sendMessage", chat, "said")


def causes(*events: CaseTried | ApiCalled) -> list[str]:
    history = History.of([CampaignStarted(0.0, "mock"), *events])
    return [str(one.cause) for one in CHECKS.build("user_told").judge(history).findings]


def test_a_refused_message_after_which_nothing_comes_is_lost() -> None:
    assert causes(tried("a", 1.0), refused(1.1), tried("b", 3.0), said(3.1)) == ["refused:can't parse entities"]
    assert causes(tried("a", 1.0), said(1.05), refused(1.1)) == ["refused:can't parse entities"], "one moment …"


def test_a_refused_message_that_is_said_in_another_way_is_not_lost() -> None:
    assert causes(tried("a", 1.0), refused(1.1), said(1.2)) == []
    late = (tried("a", 1.0), refused(1.003), tried("b", 1.004), said(1.006), said(1.008))
    assert causes(*late) == [], "the next message was written already, and has its own answer"


def test_a_notice_to_somebody_else_belongs_to_who_caused_it() -> None:
    guest = tried("guest", 1.0, chat=CHAT + 1)
    marked = CaseTried(
        **{name: getattr(guest, name) for name in guest.__struct_fields__} | {"marker": "cbm00000000000a"}
    )
    history = History.of(
        [CampaignStarted(0.0, "mock"), marked, said(1.05, CHAT + 1), refused(1.1, markers=(marked.marker,))]
    )
    (finding,) = CHECKS.build("user_told").judge(history).findings
    assert finding.case == "guest"


def test_an_answer_that_comes_after_the_next_message_was_written_is_no_missing_one() -> None:
    control = tried("control", 5.0, group="argument", chat=CHAT + 1)
    odd = tried("odd", 1.0, group="argument", control="control")
    answered = (control, said(5.1, CHAT + 1))
    assert causes(odd, tried("next", 2.0), said(2.2), *answered) == ["unanswered:technique"]
    assert causes(odd, tried("next", 2.0), said(2.2), said(2.3), *answered) == []


def test_a_reaction_and_the_end_of_a_presss_waiting_are_answers() -> None:
    control = tried("control", 5.0, group="argument", chat=CHAT + 1)
    odd = tried("odd", 1.0, group="argument", control="control")
    answered = (control, said(5.1, CHAT + 1))
    assert causes(odd, ApiCalled(1.1, "setMessageReaction", CHAT, status=200), *answered) == []
    assert causes(odd, ApiCalled(1.1, "sendChatAction", CHAT, status=200), *answered) == ["unanswered:technique"]
    fields = {name: getattr(odd, name) for name in odd.__struct_fields__}
    press = CaseTried(**fields | {"callback": "77"})
    assert causes(press, ApiCalled(1.1, "answerCallbackQuery", status=200, callback="77"), *answered) == []


def test_what_was_answered_at_first_and_is_not_any_more_is_worse_than_an_odd_argument() -> None:
    asked = tried("asked", 1.0, group="argument", control="control")
    fields = {name: getattr(asked, name) for name in asked.__struct_fields__}
    asked = CaseTried(**fields | {"change": Change(Mechanism.TECHNIQUE, STILL)})
    events = (asked, tried("control", 5.0, group="argument", chat=CHAT + 1), said(5.1, CHAT + 1))
    history = History.of([CampaignStarted(0.0, "mock"), *events])
    (finding,) = CHECKS.build("user_told").judge(history).findings
    assert finding.severity is Severity.HIGH
    assert "any more" in finding.title


def test_what_is_sent_again_is_all_that_was_written_in_the_chat() -> None:
    history = History.of(
        [CampaignStarted(0.0, "mock"), tried("a", 1.0), tried("b", 2.0), refused(2.1), tried("c", 3.0)]
    )
    assert CHECKS.build("user_told").reproducer(history, "b") == (("a",), ("b",))
