"""Other people in the same roles: of the same tier, consistently, and nothing else changes."""

from __future__ import annotations

import json

from chaosbot.core.case import Case, Expect, Segment
from chaosbot.core.dice import Dice
from chaosbot.core.kit import IDS
from chaosbot.core.platform import Endpoint
from chaosbot.core.verdict import Threat
from chaosbot.fuzz.rejudge import Peers
from chaosbot.fuzz.requests import split, unsigned
from chaosbot.fuzz.scenario import NOBODY
from chaosbot.platforms.telegram import Telegram

TELEGRAM = Telegram()


def said(user: int, text: str) -> Case:
    request = TELEGRAM.encode(Endpoint(), TELEGRAM.say(text, Dice(7), user=user))
    cut = len(request) // 2
    return Case("a/b", "a", Threat.USER, (Segment(request[:cut]), Segment(request[cut:], 0.1)), Expect(), chat=user)


def body(case: Case) -> dict:
    return json.loads(split(case.request)[1])


def test_a_guest_becomes_another_guest_wherever_the_guest_stands() -> None:
    old = said(1_000_007, "it is me, 1000007")
    new = Peers(TELEGRAM, Dice(1)).instead(old, unsigned)
    message = body(new)["message"]
    assert new.chat != old.chat
    assert TELEGRAM.population.tier(new.chat) == "guest"
    assert (message["from"]["id"], message["chat"]["id"]) == (new.chat, new.chat)
    assert message["text"] == f"it is me, {new.chat}"
    assert message["from"]["username"] == f"chaos_{new.chat}"
    # Everything else is as it was, its pieces and pauses too.
    assert new.request.replace(str(new.chat).encode(), b"1000007") == old.request
    assert [(len(piece.data), piece.pause_s) for piece in new.segments] == [
        (len(piece.data), piece.pause_s) for piece in old.segments
    ]


def test_all_tiers_stay_and_the_admin_is_alone() -> None:
    for user, tier in ((2_000_005, "user"), (3_000_001, "developer"), (999_999_999, "admin")):
        new = Peers(TELEGRAM, Dice(2)).instead(said(user, "x"), unsigned)
        assert TELEGRAM.population.tier(new.chat) == tier
    assert new.chat == 999_999_999


def test_two_people_stay_two_and_one_stays_one() -> None:
    for seed in range(50):
        peers = Peers(TELEGRAM, Dice(seed))
        ids = [peers.instead(said(3_000_000 + number, "x"), unsigned).chat for number in range(10)]
        assert len(set(ids)) == len(ids)
        assert peers.instead(said(3_000_004, "x"), unsigned).chat == ids[4]


def test_senders_of_sequences_become_others_of_their_kind_and_other_numbers_stay() -> None:
    old = said(NOBODY + 5, "/remind 1234567 0001000007 12.1000007")
    new = Peers(TELEGRAM, Dice(3)).instead(old, unsigned)
    assert new.chat != old.chat
    assert NOBODY <= int(new.chat) < NOBODY + 5 * IDS
    assert body(new)["message"]["text"] == "/remind 1234567 0001000007 12.1000007"
    assert body(new)["update_id"] == body(old)["update_id"]
