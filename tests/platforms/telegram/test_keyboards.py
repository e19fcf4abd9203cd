"""What a call of the bot offers: buttons, keys, command menus and deep links, whichever way they are encoded."""

import json

import orjson
import pytest

from chaosbot.core.event import decode, encode
from chaosbot.mocks.telegram.call import read_call
from chaosbot.mocks.telegram.mock import called, reply_in_response
from chaosbot.platforms.telegram._keyboards import MOST, offered

INLINE = {
    "inline_keyboard": [
        [{"text": "Ship 5", "callback_data": "ship:5"}, {"text": "Join", "url": "https://t.me/some_bot?start=ref_7"}],
        [{"text": "Back", "callback_data": "back"}],
    ]
}
KEYS = {"keyboard": [["Orders", {"text": "Help"}]], "resize_keyboard": True}
MENU = [{"command": "stats", "description": "Figures"}, {"command": "/ban", "description": "Ban"}]


@pytest.mark.parametrize("encoded", [lambda value: value, json.dumps], ids=["object", "text"])
def test_keyboards_are_read_as_objects_and_as_the_texts_that_forms_carry(encoded) -> None:
    assert offered({"reply_markup": encoded(INLINE)}) == (("ship:5", "back"), ("/start ref_7",))
    assert offered({"reply_markup": encoded(KEYS)}) == ((), ("Orders", "Help"))
    assert offered({"commands": encoded(MENU)}) == ((), ("/stats", "/ban"))


def test_a_deep_link_in_a_text_is_a_text_to_write() -> None:
    assert offered({"text": "Invite: https://t.me/some_bot?startgroup=x&start=abc-1"})[1] == ("/start abc-1",)


@pytest.mark.parametrize(
    "markup",
    [5, "{", [], {"inline_keyboard": 5}, {"inline_keyboard": [5, [5, {"callback_data": 5}]]}, {"keyboard": {}}],
)
def test_what_is_no_keyboard_offers_nothing(markup: object) -> None:
    assert offered({"reply_markup": markup}) == ((), ())


def test_a_huge_keyboard_is_cut() -> None:
    rows = [[{"text": "x", "callback_data": f"b{number}"}] for number in range(500)]
    assert len(offered({"reply_markup": {"inline_keyboard": rows}})[0]) == MOST


def test_the_mock_notes_what_a_call_offers_and_the_journal_holds_it() -> None:
    body = orjson.dumps({"chat_id": 5, "text": "Choose", "reply_markup": INLINE})
    call = read_call("POST", "/bot1:x/sendMessage", (("content-type", "application/json"),), body)
    assert call is not None
    event = called(call, 1.0, status=200)
    assert (event.buttons, event.keys) == (("ship:5", "back"), ("/start ref_7",))
    assert decode(encode(event)) == event


def test_an_answer_to_the_webhook_offers_as_well() -> None:
    event = reply_in_response(orjson.dumps({"method": "sendMessage", "chat_id": 5, "text": "x", "reply_markup": KEYS}))
    assert event is not None
    assert event.keys == ("Orders", "Help")


def test_a_menu_for_one_chat_is_that_chats() -> None:
    body = orjson.dumps({"commands": MENU, "scope": {"type": "chat", "chat_id": 999}})
    call = read_call("POST", "/bot1:x/setMyCommands", (("content-type", "application/json"),), body)
    assert call is not None
    assert called(call, 1.0, status=200).chat == 999
