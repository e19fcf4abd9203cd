"""Joining cases with calls where nothing echoes: exchange, chat, quote, press, edit, quiet chat, and the marker last."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from chaosbot.checks._join import Join, parts
from chaosbot.core.case import Change, Expect, Role
from chaosbot.core.check import CHECKS, History
from chaosbot.core.event import ApiCalled, CampaignStarted, CaseTried, Event
from chaosbot.core.observation import Quiet
from chaosbot.core.outcome import Fate, Outcome
from chaosbot.core.verdict import Mechanism, Threat, Verdict

OK = Outcome(Fate.ANSWERED, 200, total_s=0.01)
ADMIN, GUEST, OTHER = 999, 5, 6
SEES = CampaignStarted(0.0, "mock")


def case(name: str, sent: float, chat: int | None = GUEST, **more: Any) -> CaseTried:
    more.setdefault("exchange", name)
    more.setdefault("update_id", hash(name) % 10**6)
    group = name.partition("/")[0]
    return CaseTried(
        sent + 0.1, name, group, Threat.USER, "catalogue", OK, expect=Expect(), chat=chat, sent=sent, **more
    )


def call(text: str, t: float, chat: int | None = GUEST, **more: Any) -> ApiCalled:
    return ApiCalled(t, more.pop("method", "sendMessage"), chat, text, **more)


def joined(*events: Event) -> dict[str, list[str]]:
    history = History.of(events)
    join = Join(history)
    return {tried.case: [one.text for one in join.calls(tried)] for tried in history.cases}


def test_a_chat_that_one_case_uses_needs_no_marker() -> None:
    found = joined(case("a", 1.0), case("b", 1.1, OTHER), call("late", 9.0), call("soon", 1.2, OTHER))
    assert found == {"a": ["late"], "b": ["soon"]}


def test_an_answer_to_the_webhook_belongs_to_its_exchange_whatever_chat_it_names() -> None:
    found = joined(case("a", 1.0, ADMIN), case("b", 1.0, ADMIN), call("for a", 1.1, ADMIN, via="reply", exchange="a"))
    assert found == {"a": ["for a"], "b": []}


def test_a_quoted_message_tells_two_cases_of_one_chat_apart() -> None:
    found = joined(
        case("a", 1.0, message=10),
        case("b", 1.0, message=11),
        call("to b", 1.5, reply_to=11),
        call("to a", 1.6, reply_to=10),
    )
    assert found == {"a": ["to a"], "b": ["to b"]}


def test_a_press_is_joined_by_its_callback_id_and_by_the_edit_of_the_message_below_it() -> None:
    found = joined(
        case("a", 1.0, message=10, callback="77"),
        case("b", 1.0, message=11, callback="78"),
        call("done", 1.5, None, method="answerCallbackQuery", callback="78"),
        call("edited", 1.6, method="editMessageText", message=11),
    )
    assert found == {"a": [], "b": ["done", "edited"]}


def test_in_a_shared_chat_only_what_was_awaited_is_joined_by_time() -> None:
    quiet = (Quiet(),)
    found = joined(
        case("a", 1.0, ADMIN, observations=quiet),
        case("b", 3.0, ADMIN, observations=quiet),
        case("c", 5.0, ADMIN),
        call("to a", 1.9, ADMIN),
        call("to b", 3.2, ADMIN),
        call("whose?", 5.1, ADMIN),
    )
    assert found == {"a": ["to a"], "b": ["to b"], "c": []}


def test_a_marker_joins_where_nothing_else_does() -> None:
    found = joined(
        case("a", 1.0, ADMIN, marker="cbm0"), case("b", 1.0, ADMIN), call("x cbm0", 1.1, 4, markers=("cbm0",))
    )
    assert found == {"a": ["x cbm0"], "b": []}


def test_what_an_attempt_at_a_smaller_case_causes_is_nobody_s() -> None:
    shrinking = CaseTried(9.0, "a", "a", Threat.USER, "shrink", OK, chat=GUEST, sent=8.0, exchange="s")
    assert joined(case("a", 1.0), call("mine", 1.5), shrinking, call("of the attempt", 8.5))["a"] == ["mine"]


def test_scenarios_that_share_a_chat_do_not_mix() -> None:
    events = [
        case("one", 1.0, ADMIN, scenario="s1"),
        call("first", 1.2, ADMIN),
        case("two", 5.0, ADMIN, scenario="s2"),
        call("second", 5.2, ADMIN),
    ]
    told = {
        tried.case: [c.text for c in Join(part).calls(tried)]
        for part in parts(History.of(events))
        for tried in part.cases
    }
    assert told == {"one": ["first"], "two": ["second"]}


def test_the_answer_to_a_press_is_its_own_cases_whatever_scenario_goes_on_meanwhile() -> None:
    events = [
        case("alone", 1.1, message=10, callback="77"),
        case("one", 1.0, ADMIN, scenario="s1"),
        case("two", 5.0, OTHER, scenario="s2", message=11, callback="78"),
        call("toast", 1.2, None, method="answerCallbackQuery", callback="77"),
        call("late toast", 6.0, None, method="answerCallbackQuery", callback="78"),
        case("three", 5.5, ADMIN, scenario="s3"),
    ]
    told = {
        tried.case: [c.text for c in Join(part).calls(tried)]
        for part in parts(History.of(events))
        for tried in part.cases
    }
    assert told == {"alone": ["toast"], "one": [], "two": ["late toast"], "three": []}


def escalation(control: str, trick: str, *more: Event, ordinary: str = "Hallo!") -> Any:
    """The judgement of a privileged command whose control and trick got these replies."""
    quiet = (Quiet(),)
    events: list[Event] = [
        SEES,
        case("control/nothing", 1.0, ADMIN, role=Role.BACKGROUND, observations=quiet, user=ADMIN, kind="message"),
        call("Kenne ich nicht.", 1.1, ADMIN),
        case("escalation/control-ban", 3.0, ADMIN, observations=quiet, user=ADMIN, command="ban", kind="message"),
        call(control, 3.1, ADMIN),
        case(
            "escalation/forward-ban", 5.0, GUEST, control="escalation/control-ban", check="no_escalation", command="ban"
        ),
        call(trick, 5.1, GUEST),
        case("commands/start", 6.0, OTHER, command="start", user=OTHER),
        call(ordinary, 6.1, OTHER),
        *more,
    ]
    return CHECKS.build("no_escalation").judge(History.of(events))


def test_an_escalation_shows_without_any_echo() -> None:
    judgement = escalation("Benutzer 2000001 gesperrt.", "Benutzer 2000001 gesperrt.")
    assert [finding.check for finding in judgement.findings] == ["no_escalation"]
    assert judgement.subjects[0].reason == ""
    assert escalation("Benutzer 2000001 gesperrt.", "Das darfst du nicht.").verdict is Verdict.PASS


@pytest.mark.parametrize("apology", ["Bitte warte eine Minute.", "Der Dienst ist gerade nicht da."])
def test_a_control_that_met_a_limit_or_an_apology_is_no_control(apology: str) -> None:
    judgement = escalation(apology, apology, ordinary=apology)
    assert (judgement.verdict, judgement.findings) == (Verdict.INCONCLUSIVE, ())
    (subject,) = judgement.subjects
    assert (subject.name, "limit" in subject.reason) == ("/ban", True)


def test_a_command_that_the_target_does_not_know_was_not_planned_to_be_judged() -> None:
    judgement = escalation("Kenne ich nicht.", "Kenne ich nicht.")
    assert (judgement.verdict, judgement.subjects) == (Verdict.INCONCLUSIVE, ())


@pytest.mark.parametrize(("replies", "findings"), [(1, 0), (2, 1)])
def test_the_admins_own_late_answer_in_a_group_is_no_escalation(replies: int, findings: int) -> None:
    group, quiet = -7, (Quiet(),)
    asked = {"command": "ban", "kind": "message", "observations": quiet}
    late = [call("Benutzer 2000001 gesperrt.", 5.2 + nth / 10, group) for nth in range(replies)]
    judgement = escalation(
        "Benutzer 2000001 gesperrt.",
        "Das darfst du nicht.",
        case("before", 4.0, group, user=ADMIN, role=Role.SETUP, **asked),
        case("after", 5.0, group, user=8, control="escalation/control-ban", check="no_escalation", **asked),
        *late,
    )
    assert len(judgement.findings) == findings


def test_a_redelivery_that_acts_again_shows_without_any_echo_and_another_body_under_its_id_is_no_second_reply() -> None:
    def judged(*replies: ApiCalled) -> Any:
        twice = [case("a", 1.0, update_id=7, marker="cbm0"), case("b", 2.0, update_id=7, marker="cbm1")]
        return CHECKS.build("effect_at_most_once").judge(History.of([SEES, *twice, *replies]))

    assert judged(call("Gespeichert.", 1.1)).verdict is Verdict.PASS
    assert judged(call("Gespeichert.", 1.1), call("Gespeichert.", 2.1)).verdict is Verdict.FAIL
    bodies = [
        call(f"You said: {word} {mark}", 1.1, markers=(mark,)) for word, mark in (("one", "cbm0"), ("two", "cbm1"))
    ]
    assert judged(*bodies).verdict is Verdict.FAIL


def test_edits_of_one_panel_belong_to_the_case_that_was_awaited() -> None:
    quiet = (Quiet(),)
    found = joined(
        case("a", 1.0, ADMIN, observations=quiet, callback="1", message=7),
        call("for a", 1.1, ADMIN, method="editMessageText", message=7),
        case("b", 2.0, ADMIN, observations=quiet, callback="2", message=7),
        call("for b", 2.1, ADMIN, method="editMessageText", message=7),
    )
    assert found == {"a": ["for a"], "b": ["for b"]}


def test_a_background_of_one_control_is_not_anothers() -> None:
    events = [
        SEES,
        case("own", 1.0, 20, user=20),
        call("Note deleted.", 1.1, 20),
        case("absent", 2.0, 21, role=Role.BACKGROUND, control="other"),
        call("Note deleted.", 2.1, 21),
        case("stranger", 3.0, 22, control="own", check="own_objects_only"),
        call("Note deleted.", 3.1, 22),
    ]
    judge = CHECKS.build("own_objects_only").judge
    assert judge(History.of(events)).verdict is Verdict.FAIL
    events[3] = case("absent", 2.0, 21, role=Role.BACKGROUND, control="own")
    assert not judge(History.of(events)).findings


def test_where_anybody_gets_it_no_trick_is_reported_beside() -> None:
    change = Change(Mechanism.TECHNIQUE, "escalation/command", "guest")
    trick = Change(Mechanism.TECHNIQUE, "escalation/forward")
    events = [
        SEES,
        case("nothing", 1.0, 30, role=Role.BACKGROUND),
        call("Hm?", 1.1, 30),
        case("own", 1.0, ADMIN, user=ADMIN),
        call("Twelve users.", 1.1, ADMIN),
        case("tricked", 2.0, 31, control="own", check="no_escalation", change=trick),
        call("Twelve users.", 2.1, 31),
        case("plain", 3.0, 32, control="own", check="no_escalation", change=change),
        call("Twelve users.", 3.1, 32),
    ]
    (finding,) = CHECKS.build("no_escalation").judge(History.of(events)).findings
    assert finding.cause.place == "escalation/command"


def test_a_message_that_is_passed_on_belongs_to_the_case_that_was_it() -> None:
    found = joined(
        case("alone", 1.0, OTHER),
        case("a", 1.0, message=10),
        case("b", 1.0, message=11),
        call("", 1.5, ADMIN, method="forwardMessage", origin=OTHER, original=3),
        call("of b", 1.5, ADMIN, method="copyMessage", origin=GUEST, original=11),
        call("elsewhere", 1.5, ADMIN, method="copyMessage", origin=7, original=10),
    )
    assert found == {"alone": [""], "a": [], "b": ["of b"]}


@pytest.mark.parametrize(
    ("named", "planned"), [("Ask for /skill or /help.", 1), ("Ask for <b>help</b>.", 0), ("/skill? No.", 0)]
)
def test_what_a_list_of_ours_asks_for_is_planned_where_the_target_names_it(named: str, planned: int) -> None:
    wrote = case("x", 0.5, OTHER, marker="cbm000000000001", command="skill")
    control = case("escalation/control-skill", 1.0, ADMIN, command="skill", observations=(Quiet(),))
    guest = case(
        "escalation/skill-by-guest",
        2.0,
        command="skill",
        check="no_escalation",
        control="escalation/control-skill",
        role=Role.ATTEMPT,
    )
    nothing = case("control/nothing", 0.1, 44, kind="message", role=Role.BACKGROUND)
    marked = ("cbm000000000001",) if named.startswith("/") else ()
    told = [call(named, 0.6, OTHER, markers=marked), call("What?", 0.2, 44)]
    control, guest, wrote = (msgspec.structs.replace(one, kind="message") for one in (control, guest, wrote))
    judgement = CHECKS.build("no_escalation").judge(History.of([SEES, wrote, nothing, control, guest, *told]))
    assert len(judgement.subjects) == planned


def test_an_edit_of_a_message_that_a_load_runs_press_may_have_named_is_no_foreign_one() -> None:
    calls = [call("made", 1.0, 7, message=500), call("edited", 2.0, 8, method="editMessageText", message=500)]
    found = CHECKS.build("sessions_apart").judge(History.of([SEES, *calls])).findings
    assert not found
    told = (
        CHECKS.build("sessions_apart").judge(History.of([SEES, case("a", 0.5, 7), case("b", 1.5, 8), *calls])).findings
    )
    assert [one.cause.symptom for one in told] == ["foreign-message"]


def granted(owners: str, guests: str, *events: Event, **more: Any) -> bool:
    """Whether a guest who gets an answer is said to have what only the owner gets."""
    trick = Change(Mechanism.TECHNIQUE, "escalation/forward")
    told = [
        SEES,
        case("nothing", 1.0, 30, role=Role.BACKGROUND),
        call("Hm?", 1.1, 30),
        case("own", 1.0, ADMIN, user=ADMIN, command="list"),
        call(owners, 1.1, ADMIN),
        case("tricked", 2.0, 31, user=31, control="own", check="no_escalation", change=trick, command="list"),
        call(guests, 2.1, 31),
        *events,
    ]
    return bool(CHECKS.build("no_escalation").judge(History.of(told)).findings)


def test_a_refusal_that_names_what_it_refuses_is_none_of_it() -> None:
    assert not granted("Moderators: 7, 8", "Only moderators may do that.")
    assert granted("Moderators: 7, 8", "Moderators: 7, 8, 9")
    assert granted("Users: Ann, Bob", "Users: Ann, Bob, Cem, Dan, Eve")


def test_what_changes_each_time_is_no_right_of_who_gets_it_by_chance() -> None:
    asks = Change(Mechanism.TECHNIQUE, "vocabulary")
    question, another = "Which planet is the largest?", "Who wrote Frankenstein?"
    plain = [case("plain", 3.0, 32, user=32, control="own", role=Role.PLAIN, command="list"), call(another, 3.1, 32)]
    earlier = [case("way", 0.5, 33, user=33, role=Role.SETUP, change=asks, command="list"), call(question, 0.6, 33)]
    assert granted(question, question, *plain)
    assert not granted(question, question, *plain, *earlier)


@pytest.mark.parametrize(("ban", "unban", "found"), [("Not yours.", "Not yours.", 0), ("Banned 7.", "Pardoned.", 1)])
def test_what_buttons_of_several_kinds_get_alike_is_a_refusal(ban: str, unban: str, found: int) -> None:
    own = {"kind": "callback_query", "user": ADMIN, "role": Role.SETUP, "change": Change(Mechanism.TECHNIQUE, "x")}
    trick = Change(Mechanism.TECHNIQUE, "escalation/button", "guest")
    told = [
        SEES,
        case("nothing", 0.1, 30, kind="callback_query", callback="0", role=Role.BACKGROUND),
        case("ban", 1.0, ADMIN, callback="1", summary="the admin presses 'ban:7'", **own),
        case("unban", 2.0, ADMIN, callback="2", summary="the admin presses 'unban:7'", **own),
        case("guest", 3.0, 31, kind="callback_query", callback="3", control="ban", check="no_escalation", change=trick),
    ]
    answers = [
        call(text, number + 0.1, None, method="answerCallbackQuery", callback=str(number))
        for number, text in enumerate(("Out of date.", ban, unban, ban))
    ]
    assert len(CHECKS.build("no_escalation").judge(History.of([*told, *answers])).findings) == found


@pytest.mark.parametrize(("names", "verdict"), [(("Admin", "Lovelace"), Verdict.PASS), ((), Verdict.FAIL)])
def test_a_name_that_a_reply_repeats_is_no_privilege(names: tuple[str, ...], verdict: Verdict) -> None:
    quiet = (Quiet(),)
    trick = {"control": "escalation/control-who", "check": "no_escalation", "command": "who"}
    history = History.of(
        [
            SEES,
            case("control/nothing", 1.0, ADMIN, role=Role.BACKGROUND, observations=quiet, user=ADMIN, kind="message"),
            call("Kenne ich nicht.", 1.1, ADMIN),
            case(
                *("escalation/control-who", 3.0, ADMIN),
                observations=quiet,
                user=ADMIN,
                command="who",
                kind="message",
                names=("Ada",),
            ),
            call("You are Ada, admin.", 3.1, ADMIN),
            case("escalation/name-who", 5.0, GUEST, names=names, **trick),
            call("You are Admin, guest.", 5.1, GUEST),
        ]
    )
    assert CHECKS.build("no_escalation").judge(history).verdict is verdict
