"""The bots of the park are healthy, and each bug is really there, without chaosbot's campaign being asked.

A demonstration runs against the healthy bot, where it must show nothing, and against the bot with the bug, where it must show it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from chaosbot.mocks.telegram import Script

from .demonstrations import DEMONSTRATIONS
from .roster import BOTS, KINDS, Bot, bot
from .strangers import HEALTHY, STRANGERS
from .talk import ADMIN, OTHER, STICKER, USER, Talk, talking

QUICK = {"recados", "laden"}  # these take their turn in every run of the tests; the others in the slow ones


def each(names: Callable[[Bot], bool]) -> list[object]:
    """A parameter for each bot, with its marks."""
    parameters = []
    for one in (*BOTS, *STRANGERS):
        if names(one):
            marks = [pytest.mark.node] if one.npm else []
            if one.name not in QUICK:
                marks.append(pytest.mark.slow)
            parameters.append(pytest.param(one, id=one.name, marks=marks))
    return parameters


def run_or_skip(one: Bot) -> None:
    if reason := one.missing():
        pytest.skip(reason)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("one", each(lambda _: True))
def test_a_healthy_bot_answers_keeps_its_secret_and_takes_anything(one: Bot) -> None:
    run_or_skip(one)
    with talking(one) as talk:
        answer = talk.ask(USER, one.user)
        assert answer
        refusal, report = talk.ask(USER, one.admin), talk.ask(ADMIN, one.admin)
        assert report
        assert report != refusal
        taken = {200, 400, 422} | ({500} if "no_server_error" in one.weaknesses else set())
        forged = talk.update("message", talk.message(OTHER, one.user))
        for secret in (
            None,
            "",
            "wrong",
            "Park_Secret-012345678",
            "Park_Secret-01234567890",
            "park_secret-0123456789",
            "\xff",
        ):
            assert talk.post(forged, secret=secret)[0] in {401, 403, 404}
        for body in (
            b"",
            b"null",
            b"[]",
            b"7",
            b'"x"',
            b'{"update_id":',
            b"{" * 50_000,
            b"\xff\xfe",
            b'{"update_id": 1e999}',
            b"[" * 9000,
        ):
            assert talk.post(body)[0] in taken | {413, 415}, body[:20]
        odd = [
            {},
            {"update_id": 5},
            {"update_id": 6, "message": None},
            {"update_id": 7, "message": {"chat": 5, "from": [], "text": {}}},
        ]
        for update in odd:
            assert talk.post(update)[0] in taken, update
        assert talk.post(talk.update("rocket_launch", {"id": 5}))[0] == 200
        assert talk.post(talk.update("message", talk.message(USER, None, sticker=STICKER)))[0] == 200
        assert talk.post(b'{"update_id": 8, "message": "' + b"x" * 3_000_000 + b'"}')[0] in {0, 200, 400, 413}
        assert talk.press(USER, "x" * 64, message=False) == 200
        assert talk.press(USER, "\x00:/:-1") == 200
        assert talk.alive
        assert not talk.heard(OTHER), "a forged update had an effect"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("one", each(lambda _: True))
def test_a_healthy_bot_does_a_redelivered_update_once(one: Bot) -> None:
    run_or_skip(one)
    with talking(one) as talk:
        update = talk.update("message", talk.message(USER, one.user))
        talk.at_once(*[lambda: talk.post(update)] * 3)
        talk.post(update)
        talk.wait(lambda: talk.heard(USER))
        talk.settled()
        assert len(talk.heard(USER)) == 1


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("one", each(lambda one: "answers in the webhook's response" not in one.style))
def test_a_healthy_bot_bears_an_api_that_fails_for_a_while(one: Bot) -> None:
    run_or_skip(one)
    troubles = [
        Script(429, method="sendMessage", first=1, description="Too Many Requests: retry after 1", retry_after_s=1),
        Script(502, method="sendMessage", first=1, html=True),
    ]
    for trouble in troubles:
        with talking(one, "", trouble) as talk:
            assert talk.say(USER, one.user) == 200
            assert talk.wait(lambda talk=talk: talk.heard(USER), 15), trouble
            assert len(talk.heard(USER, status=None)) == 2
            assert talk.alive


def demonstrations() -> list[object]:
    """A parameter for each demonstration."""
    parameters = []
    for (name, bug), show in DEMONSTRATIONS.items():
        marks = [pytest.mark.slow, *([pytest.mark.node] if bot(name).npm else [])]
        parameters.append(pytest.param(bot(name), bug, show, id=f"{name}-{bug}", marks=marks))
    return parameters


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("one", "bug", "show"), demonstrations())
def test_a_bug_shows_and_the_healthy_bot_does_not_have_it(one: Bot, bug: str, show: Callable[[Talk], bool]) -> None:
    run_or_skip(one)
    one.bug(bug)  # it stands in the roster
    scripts = getattr(show, "scripts", ())
    with talking(one, "", *scripts) as talk:
        assert not show(talk), "the healthy bot shows it"
    with talking(one, bug, *scripts) as talk:
        assert show(talk), "the bug does not show"


def test_the_roster_has_ten_styles_and_eight_bugs_a_bot_over_all_classes() -> None:
    everybody = (*BOTS, *STRANGERS)
    assert len({one.name for one in everybody}) == len(everybody)
    assert not any(one.bugs for one in HEALTHY)
    for one in (one for one in everybody if one not in HEALTHY):
        names = [bug.name for bug in one.bugs]
        assert len(names) == len(set(names)) >= 8, one.name
        assert {bug.kind for bug in one.bugs} == set(KINDS), one.name
        for bug in one.bugs:
            assert re.fullmatch(r"[\w.-]+/[\w.-]+#\d+" if one in BOTS else r"[\w.-]+/[\w.-]+#\d+|CWE-\d+", bug.seen)
            assert bug.shows, (one.name, bug.name)


def test_every_bug_of_the_roster_stands_in_its_bot_and_the_other_way_round() -> None:
    from .running import BOTS as FOLDER  # noqa: PLC0415 - only here

    for one in BOTS:
        source = (FOLDER / one.file).read_text("utf-8")
        for bug in one.bugs:
            assert re.search(rf"""["']{bug.name}["']""", source), (one.name, bug.name)
