"""What the admin gets is the admin's, also where it comes to a chat in which others ask for the same."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from chaosbot.checks._likeness import brought_about
from chaosbot.core.case import Change, Role
from chaosbot.core.check import CHECKS, History
from chaosbot.core.event import ApiCalled, CampaignStarted, CaseTried
from chaosbot.core.observation import Quiet
from chaosbot.core.outcome import Fate, Outcome
from chaosbot.core.verdict import Mechanism, Threat, Verdict

ADMIN, GUEST, GROUP = 777, 42, -100


def pressed(
    name: str, sent: float, user: int, chat: int, *, role: Role, control: str = "", check: str = ""
) -> CaseTried:
    return CaseTried(
        sent,
        name,
        "vocabulary",
        Threat.USER,
        "vocabulary",
        Outcome(Fate.ANSWERED, 200, total_s=0.01),
        chat=chat,
        user=user,
        kind="callback_query",
        callback=name,
        role=role,
        control=control,
        check=check,
        sent=sent,
        observations=(Quiet(),),
        change=Change(Mechanism.TECHNIQUE, "escalation/sticky", "group"),
    )


@pytest.mark.parametrize(("again", "verdict"), [(1, Verdict.PASS), (2, Verdict.FAIL)])
def test_of_two_replies_to_the_admin_the_second_may_come_when_somebody_else_has_asked(
    again: int, verdict: Verdict
) -> None:
    history = History.of(
        [
            CampaignStarted(0.0, "mock"),
            pressed("control", 1.0, ADMIN, ADMIN, role=Role.SETUP),
            ApiCalled(1.1, "answerCallbackQuery", None, "Request 8 was refused.", callback="control"),
            ApiCalled(1.2, "sendMessage", ADMIN, "Request 8 was refused."),
            pressed("admin", 2.0, ADMIN, GROUP, role=Role.SETUP),
            ApiCalled(2.1, "answerCallbackQuery", None, "Request 9 was refused.", callback="admin"),
            pressed("guest", 3.0, GUEST, GROUP, role=Role.ATTEMPT, control="control", check="no_escalation"),
            *(ApiCalled(3.1 + nth / 10, "sendMessage", GROUP, "Request 9 was refused.") for nth in range(again)),
        ]
    )
    assert CHECKS.build("no_escalation").judge(history).verdict is verdict


@pytest.mark.parametrize(("other", "verdict"), [("vote:#", Verdict.FAIL), ("price:#", Verdict.PASS)])
def test_what_the_admin_asked_for_before_is_late_where_it_is_the_same(other: str, verdict: Verdict) -> None:
    def tapped(name: str, sent: float, user: int, data: str, **more: str) -> CaseTried:
        role = Role.ATTEMPT if more else Role.SETUP
        return replace(pressed(name, sent, user, ADMIN, role=role, **more), summary=f"somebody presses {data!r}")

    history = History.of(
        [
            CampaignStarted(0.0, "mock"),
            tapped("earlier", 0.5, ADMIN, other.replace("#", "7")),
            tapped("control", 1.0, ADMIN, "price:500"),
            ApiCalled(1.1, "answerCallbackQuery", None, "Wash: 8500 now.", callback="control"),
            tapped("guest", 3.0, GUEST, "price:500", control="control", check="no_escalation"),
            ApiCalled(3.1, "answerCallbackQuery", None, "Wash: 9000 now.", callback="guest"),
        ]
    )
    assert CHECKS.build("no_escalation").judge(history).verdict is verdict


@pytest.mark.parametrize(("shown", "verdict"), [("Wash: 9000 now.", Verdict.FAIL), ("Not for you.", Verdict.PASS)])
def test_what_comes_to_the_admin_whatever_the_admin_asks_for_is_no_part_of_the_control(
    shown: str, verdict: Verdict
) -> None:
    cases = [
        pressed(name, float(nth), ADMIN, ADMIN, role=Role.SETUP) for nth, name in enumerate(("ban", "pay", "end"), 1)
    ]
    cases = [replace(one, summary=f"the admin presses '{one.case}'") for one in cases]
    control = replace(cases[0], case="control", sent=4.0, callback="control", summary="the admin presses 'price:500'")
    guest = pressed("guest", 9.0, GUEST, GUEST, role=Role.ATTEMPT, control="control", check="no_escalation")
    notices = [
        ApiCalled(one.sent + 0.2, "sendMessage", ADMIN, "Ada wants to be a courier.") for one in (*cases, control)
    ]
    history = History.of(
        [
            CampaignStarted(0.0, "mock"),
            *cases,
            control,
            guest,
            *notices,
            ApiCalled(4.1, "answerCallbackQuery", None, "Wash: 8500 now.", callback="control"),
            ApiCalled(9.1, "answerCallbackQuery", None, shown, callback="guest"),
        ]
    )
    assert CHECKS.build("no_escalation").judge(history).verdict is verdict


@pytest.mark.parametrize(("approved", "verdict"), [("Request 8 is approved.", Verdict.PASS), ("Gone.", Verdict.FAIL)])
def test_a_button_of_what_is_gone_refuses_the_admin_as_the_other_buttons_refuse_guests(
    approved: str, verdict: Verdict
) -> None:
    plainly = Change(Mechanism.TECHNIQUE, "escalation/button", "guest")
    attempts = [
        replace(
            pressed(f"guest-{of}", 3.0, user, user, role=Role.ATTEMPT, control=of, check="no_escalation"),
            change=plainly,
        )
        for user, of in ((42, "approve"), (43, "reject"))
    ]
    history = History.of(
        [
            CampaignStarted(0.0, "mock"),
            pressed("approve", 1.0, ADMIN, ADMIN, role=Role.SETUP),
            ApiCalled(1.1, "answerCallbackQuery", None, approved, callback="approve"),
            pressed("reject", 2.0, ADMIN, ADMIN, role=Role.SETUP),
            ApiCalled(2.1, "answerCallbackQuery", None, "Gone.", callback="reject"),
            *attempts,
            *(ApiCalled(3.1, "answerCallbackQuery", None, "Gone.", callback=one.case) for one in attempts),
        ]
    )
    assert CHECKS.build("no_escalation").judge(history).verdict is verdict


@pytest.mark.parametrize(("notices", "verdict"), [(3, Verdict.PASS), (1, Verdict.FAIL)])
def test_what_comes_to_the_admin_anyway_is_no_reply_to_a_guest_in_the_chat_with_the_admins_id(
    notices: int, verdict: Verdict
) -> None:
    asked = [
        replace(
            pressed(name, float(nth), ADMIN, ADMIN, role=Role.SETUP),
            kind="message",
            callback=None,
            command=name,
            summary=f"the admin writes '/{name}'",
        )
        for nth, name in enumerate(("news", "votes", "debts", "members"), 1)
    ]
    guest = replace(
        pressed("guest", 9.0, GUEST, ADMIN, role=Role.ATTEMPT, control="members", check="no_escalation"),
        kind="message",
        callback=None,
        command="members",
    )
    came = [one.sent + 0.1 for one in asked[:notices]] + [9.1]
    history = History.of(
        [
            CampaignStarted(0.0, "mock"),
            *asked,
            guest,
            ApiCalled(4.2, "sendMessage", ADMIN, "Flat 15, Ada Lovelace. Flat 15, Grace Hopper."),
            *(ApiCalled(at, "sendMessage", ADMIN, "Grace Hopper, flat 15, with Ada Lovelace") for at in came),
        ]
    )
    assert CHECKS.build("no_escalation").judge(history).verdict is verdict


def test_a_page_that_is_shown_again_by_its_own_button_is_no_notice() -> None:
    page = ApiCalled(2.0, "sendMessage", 5, "Waiting: 0", buttons=("page:0", "page:1"))
    notice = ApiCalled(2.0, "sendMessage", 5, "Somebody has asked for a dog.", buttons=("take:7",))
    toast = ApiCalled(2.0, "answerCallbackQuery", callback="1")

    def often(_: ApiCalled) -> int:
        return 9

    assert brought_about([toast, page, notice], often, "page:#") == [toast, page]
    assert brought_about([toast, page, notice], often) == [toast]
