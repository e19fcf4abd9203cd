"""The bots by which `--guide` is measured: each of their bugs is really there, behind the words that the roster hides."""

from __future__ import annotations

import re
from typing import Any

import pytest

from .roster import GUIDED, KASSA, KIOSKI, Bot
from .running import BOTS as FOLDER
from .running import TOKEN
from .talk import ADMIN, STICKER, USER, Talk, talking

CRASHES: dict[str, list[dict[str, Any]]] = {
    "campaign-over": [{"text": "/korting ZOMER-2019-XL"}],
    "day-unchecked": [{"text": "/kaart 30-02"}],
    "size-wraps": [{"text": "/groep 256"}],
    "language-without-text": [
        {"text": "/tarief", "from": {"id": USER, "is_bot": False, "first_name": "A", "language_code": "fy"}}
    ],
    "sticker-pays": [{"text": None, "sticker": {**STICKER, "emoji": "🎫"}}],
    "inline-order": [
        {"text": "kaart", "via_bot": {"id": 5, "is_bot": True, "first_name": "M", "username": "museumkaartbot"}}
    ],
    "agreed-too-early": [{"text": "/wissel"}, {"text": "akkoord"}],
    "template": [{"text": "/klacht sjabloon={0}"}],
    "receipt-recursion": [{"text": "bon:" + "x" * 3000}],
}


def statuses(talk: Talk, messages: list[dict[str, Any]]) -> list[int]:
    return [
        talk.post(
            talk.update("message", talk.message(USER, one["text"], **{k: v for k, v in one.items() if k != "text"}))
        )[0]
        for one in messages
    ]


def keeps_to_itself(talk: Talk, who: Bot, sold: str) -> None:
    """The admin's command is the admin's, and what is no update or is forged is refused."""
    assert sold.encode() in talk.post(talk.update("message", talk.message(ADMIN, who.admin)))[1]
    assert sold.encode() not in talk.post(talk.update("message", talk.message(USER, who.admin)))[1]
    assert talk.post(b"{")[0] == 400
    assert talk.post(talk.update("message", talk.message(USER, "/start")), secret="wrong")[0] == 401


@pytest.mark.timeout(120)
def test_the_healthy_desk_answers_and_takes_all_that_its_bugs_wait_for() -> None:
    with talking(KASSA) as talk:
        for messages in CRASHES.values():
            assert statuses(talk, messages)[-1] == 200
        assert talk.press(USER, "abonnement:stadspas") == 200
        for text in ("/onderhoud kelder", "/sluitingstijd nu", "/klacht %[ognl:x", "/klacht spoed! nu"):
            status, body = talk.post(talk.update("message", talk.message(USER, text)))
            assert status == 200
            assert TOKEN.encode() not in body
        keeps_to_itself(talk, KASSA, "1204")
        assert talk.alive


@pytest.mark.timeout(120)
@pytest.mark.parametrize("bug", CRASHES)
def test_a_rare_word_is_answered_500(bug: str) -> None:
    with talking(KASSA, bug) as talk:
        assert statuses(talk, [{"text": "/start"}, {"text": "/korting LENTE-25"}]) == [200, 200]
        assert statuses(talk, CRASHES[bug])[-1] == 500


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_others_show_by_a_press_a_leak_a_death_and_by_silence() -> None:
    with talking(KASSA, "pass-unknown") as talk:
        assert talk.press(USER, "abonnement:stadspas") == 500
    with talking(KASSA, "console") as talk:
        assert TOKEN.encode() in talk.post(talk.update("message", talk.message(USER, "/onderhoud kelder")))[1]
    with talking(KASSA, "urgent-is-lost") as talk:
        assert talk.post(talk.update("message", talk.message(USER, "/klacht spoed! nu"))) == (200, b"")
    with talking(KASSA, "switched-off") as talk:
        assert talk.post(talk.update("message", talk.message(USER, "/sluitingstijd nu")))[0] != 200
        assert talk.wait(lambda: not talk.alive)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_an_expression_is_resolved_for_seconds() -> None:
    with talking(KASSA, "expression") as talk:
        assert talk.post(talk.update("message", talk.message(USER, "/klacht %[ognl:x")), timeout_s=4)[0] == 0


KIOSK = {
    "offer-over": [{"text": "/etu JUHANNUS-25-ISO"}],
    "row-unchecked": [{"text": "/varaa C77"}],
    "sticker-pays": [{"text": None, "sticker": {**STICKER, "emoji": "⛴️"}}],
    "agreed-too-early": [{"text": "/vaihda"}, {"text": "sovittu"}],
}


@pytest.mark.timeout(120)
def test_the_healthy_kiosk_answers_and_takes_all_that_its_bugs_wait_for() -> None:
    with talking(KIOSKI) as talk:
        for messages in KIOSK.values():
            assert statuses(talk, messages)[-1] == 200
        for text in ("/huolto kellari", "/sulje heti", "/valitus kiire! heti"):
            status, body = talk.post(talk.update("message", talk.message(USER, text)))
            assert (status, TOKEN.encode() in body) == (200, False)
        keeps_to_itself(talk, KIOSKI, "1304")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("bug", KIOSK)
def test_a_rare_word_at_the_kiosk_is_answered_500(bug: str) -> None:
    with talking(KIOSKI, bug) as talk:
        assert statuses(talk, [{"text": "/start"}, {"text": "/etu SYKSY-26"}, {"text": "/varaa B12"}]) == [
            200,
            200,
            200,
        ]
        assert statuses(talk, KIOSK[bug])[-1] == 500


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_kiosks_others_show_by_a_leak_a_death_and_by_silence() -> None:
    with talking(KIOSKI, "console") as talk:
        assert TOKEN.encode() in talk.post(talk.update("message", talk.message(USER, "/huolto kellari")))[1]
    with talking(KIOSKI, "urgent-is-lost") as talk:
        assert talk.post(talk.update("message", talk.message(USER, "/valitus kiire! heti"))) == (200, b"")
    with talking(KIOSKI, "switched-off") as talk:
        assert talk.post(talk.update("message", talk.message(USER, "/sulje heti")))[0] != 200
        assert talk.wait(lambda: not talk.alive)


@pytest.mark.parametrize("which", GUIDED)
def test_every_bug_stands_in_its_bot_and_shows_somewhere(which: Bot) -> None:
    source = (FOLDER / which.file).read_text("utf-8")
    for bug in which.bugs:
        assert re.search(f'BUG ={{2,3}} "{bug.name}"', source)
        assert re.fullmatch(r"CWE-\d+|CVE-\d{4}-\d+", bug.seen)
        assert bug.kind == "magic"
        assert bug.shows
