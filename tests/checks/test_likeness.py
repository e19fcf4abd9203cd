"""What the admin gets is the admin's, also where it comes to a chat in which others ask for the same."""

from __future__ import annotations

import pytest

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
