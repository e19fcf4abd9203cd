"""Who answers 2xx to a forged request has taken it, unless the same with the right secret does something and the forged one does nothing."""

from __future__ import annotations

import pytest

from chaosbot.checks._cases import ASKED
from chaosbot.core.case import Expect, Reach
from chaosbot.core.check import CHECKS, History
from chaosbot.core.event import ApiCalled, CampaignStarted, CaseTried
from chaosbot.core.kit import FRESH
from chaosbot.core.outcome import Fate, Outcome
from chaosbot.core.verdict import Severity, Threat

REFUSED = Expect(frozenset({401, 403, 404}), reach=Reach.NONE)
TAKEN = Outcome(Fate.ANSWERED, 200, total_s=0.01)


def tried(name: str, user: int, *, check: str = "forged_refused", forged: bool = True) -> CaseTried:
    return CaseTried(
        1.0,
        name,
        "auth",
        Threat.FORGER if forged else Threat.NETWORK,
        "catalogue",
        TAKEN,
        marker=f"cbm{user:012x}"[:15],
        chat=user,
        user=user,
        expect=REFUSED if forged else Expect(),
        check=check,
        sent=1.0,
    )


def told(*chats: int, origin: int | None = None) -> list[ApiCalled]:
    return [ApiCalled(1.5, "sendMessage", chat, "Welcome!", message=7, origin=origin) for chat in chats]


def findings(check: str, *calls: ApiCalled, name: str = "forged_refused") -> list[tuple[str, Severity]]:
    cases = [tried(ASKED, FRESH + 1, forged=False, check="valid_accepted"), tried("auth/x", FRESH + 2, check=name)]
    history = History.of([CampaignStarted(0.0, "mock"), *cases, *calls])
    return [(one.cause.symptom, one.severity) for one in CHECKS.build(check).judge(history).findings]


def test_a_forged_request_that_is_answered_takes_effect_without_any_echo() -> None:
    assert findings("forged_refused", *told(FRESH + 1, FRESH + 2)) == [("effect", Severity.CRITICAL)]


def test_what_is_passed_on_because_of_a_forged_request_is_its_effect() -> None:
    passed_on = told(777, origin=FRESH + 2)
    assert findings("forged_refused", *told(FRESH + 1), *passed_on) == [("effect", Severity.CRITICAL)]


def test_who_acknowledges_and_does_nothing_has_refused_silently() -> None:
    assert findings("forged_refused", *told(FRESH + 1)) == [("silent", Severity.LOW)]


def test_where_the_right_secret_does_nothing_either_the_acknowledgement_counts() -> None:
    assert findings("forged_refused") == [("accepted", Severity.HIGH)]


@pytest.mark.parametrize(
    ("chats", "expected"),
    [
        ((1, 2), [("inexact", Severity.CRITICAL)]),
        ((1,), []),
        ((), [("accepted", Severity.CRITICAL)]),
    ],
)
def test_a_secret_that_resembles_the_right_one(chats: tuple[int, ...], expected: list[tuple[str, Severity]]) -> None:
    calls = told(*(FRESH + number for number in chats))
    assert findings("secret_exact", *calls, name="secret_exact") == expected


@pytest.mark.parametrize(("others", "symptom"), [(4, "silent"), (1, "effect")])
def test_what_is_announced_to_whoever_is_known_is_no_effect(others: int, symptom: str) -> None:
    announced = told(FRESH + 2, *range(9000, 9000 + others))
    assert [one for one, _ in findings("forged_refused", *told(FRESH + 1), *announced)] == [symptom]
