"""What stands behind a command in a target's texts, and what its places are filled with."""

from __future__ import annotations

import re

import pytest

from chaosbot.fuzz.usages import choices, formed, usages


@pytest.mark.parametrize(
    ("command", "text", "filled"),
    [
        ("mute", "Usage: /mute <user id> <minutes, at most a year>", r"7 7"),
        ("mute", "<b>/mute</b> &lt;user id&gt; &lt;minutes&gt; - be quiet", r"7 7"),
        ("warn", "/warn <user id> <reason>\n/unwarn <user id>", r"7 green tea"),
        ("save", "/save <name> <text> - keep a note", r"tea green tea"),
        ("bos", "Kullanım: /bos GG.AA.YYYY", r"\d\d\.\d\d\.20\d\d"),
        ("bos", "/bos <GG/AA/YYYY> - o günün boş saatleri", r"\d\d/\d\d/20\d\d"),
        ("at", "`/at HH:MM [text]`", r"10:00 green tea"),
        ("sound", "/sound <on|off>", r"on"),
        ("wydatek", "Tak: /wydatek 45,50 pizza", r"45,50 pizza"),
        ("poll", "/poll <question> | <answer> | <answer>", r"tea \| tea \| green tea"),
        ("nick", "Like this: /nick NAME, up to 32 letters.", r"green tea"),
        ("ile", "сколько: /ile <сумма> (в рублях)", r"7"),
    ],
)
def test_a_usage_is_filled_by_what_it_asks_for(command: str, text: str, filled: str) -> None:
    first = usages(f"/{command}", text)[0]
    assert re.fullmatch(filled, str(first)), str(first)


def test_one_place_is_changed_at_a_time_and_what_stands_between_places_is_none() -> None:
    poll = usages("/poll", "/poll <question> | <answer> | <answer>")[0]
    assert [str(poll.with_part(nth, "X")) for nth in poll.places] == [
        "X | tea | green tea",
        "tea | X | green tea",
        "tea | tea | X",
    ]
    assert str(usages("/mute", "/mute <id> <minutes>")[0].with_part(1, "")) == "7"


def test_what_a_usage_asks_for_may_be_misunderstood() -> None:
    close = [str(one) for one in usages("/kapat", "/kapat <gün>")[0].fillings()]
    assert "7" in close
    assert any(re.fullmatch(r"\d\d\.\d\d\.20\d\d", one) for one in close)
    assert [str(one) for one in usages("/spent", "/spent 12.50 pizza")[0].fillings()] == ["12.50 pizza"]


@pytest.mark.parametrize(
    ("command", "text", "chosen"),
    [
        ("/role", "Usage: /role user viewer|lead (somebody, or an id)", ["{} viewer", "{} lead"]),
        ("/rank", "/rank &lt;sailor&gt; &lt;mate | deckhand&gt;", ["{} mate", "{} deckhand"]),
        ("/set", "/set on/off [user]", ["on {}", "off {}"]),
        ("/ban", "/ban <id> - no choice\n/unban <id|name>", []),
    ],
)
def test_what_may_be_chosen_behind_a_command(command: str, text: str, chosen: list[str]) -> None:
    assert choices(command, text) == chosen


def test_what_no_text_shows_has_no_usage() -> None:
    assert usages("/mute", "/muted 5\n/mute - be quiet\nYou wrote /mute cbm0123456789ab") == []


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("Which day? (DD.MM.YYYY)", r"\d\d\.\d\d\.20\d\d"),
        ("Hangi gün? (GG/AA/YYYY)", r"\d\d/\d\d/20\d\d"),
        ("дата ГГГГ-ММ-ДД", r"20\d\d-\d\d-\d\d"),
        ("When, as HH:MM?", "10:00"),
        ("Коли? ДД.ММ", r"\d\d\.\d\d"),
        ("Which day (MM/DD)?", r"(0\d|1[0-2])/\d\d"),
    ],
)
def test_answers_have_the_form_that_is_asked_for(text: str, form: str) -> None:
    assert [re.fullmatch(form, one) is not None for one in formed(text)] == [True]
