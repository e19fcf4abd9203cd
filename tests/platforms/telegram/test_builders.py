"""The public payload builders: real frameworks read what they build, and the ids are as promised."""

from collections import Counter

import aiogram
import pytest
import telegram as ptb
from aiogram.types import Update

from chaosbot.core.errors import UnknownName
from chaosbot.platforms import telegram

BOT = aiogram.Bot("123456:" + "a" * 35)

BUILT = {
    "text": telegram.text_message(1_000_001, "hello"),
    "command": telegram.text_message(1_000_001, "/help now"),
    "group": telegram.text_message(1_000_001, "hello", chat_id=-1_001_234_567_890),
    "reply": telegram.text_message(
        1_000_001, "yes", reply_to_message=telegram.text_message(1_000_001, "well?")["message"]
    ),
    "voice": telegram.voice_message(1_000_001, 42),
    "photo": telegram.photo_message(1_000_001, "a caption"),
    "document": telegram.document_message(1_000_001, "notes.txt", "text/plain"),
    "button": telegram.callback_query(1_000_001, "menu:1"),
    "button in a group": telegram.callback_query(1_000_001, "menu:1", chat_id=-1_001_234_567_890, message_id=7),
}


@pytest.mark.parametrize("update", BUILT.values(), ids=BUILT)
def test_aiogram_and_python_telegram_bot_read_them(update) -> None:
    kind = next(key for key in update if key != "update_id")
    assert Update.model_validate(update, context={"bot": BOT}).event_type == kind
    read = ptb.Update.de_json(update, None)
    assert getattr(read, kind) is not None
    assert read.effective_user.id == 1_000_001


def test_what_is_said_stands_where_telegram_puts_it() -> None:
    assert BUILT["command"]["message"]["entities"] == [{"type": "bot_command", "offset": 0, "length": 5}]
    assert BUILT["text"]["message"]["chat"]["type"] == "private"
    assert BUILT["group"]["message"]["chat"] | {"title": ""} == {
        "id": -1_001_234_567_890,
        "type": "supergroup",
        "title": "",
    }
    assert BUILT["voice"]["message"]["voice"]["duration"] == 42
    assert BUILT["photo"]["message"]["caption"] == "a caption"
    assert "caption" not in telegram.photo_message(1)["message"]
    assert BUILT["document"]["message"]["document"]["file_name"] == "notes.txt"
    assert BUILT["document"]["message"]["document"]["mime_type"] == "text/plain"
    assert BUILT["button in a group"]["callback_query"]["message"]["message_id"] == 7
    assert BUILT["button"]["callback_query"]["data"] == "menu:1"


def test_every_update_is_a_delivery_of_its_own_unless_an_id_is_given() -> None:
    ids = [telegram.text_message(1, "x")["update_id"] for _ in range(100)]
    assert len(set(ids)) == 100
    assert telegram.text_message(1, "x", update_id=5)["update_id"] == 5


def test_the_pool_gives_users_of_a_tier_and_tiers_by_their_shares() -> None:
    pool = telegram.UserPool(seed=3, admin_id=77)
    assert pool.get_user("admin") == 77
    assert pool.get_user("guest") in pool.users("guest")
    tiers = Counter(pool.tier_of(pool.get_weighted_user()) for _ in range(4000))
    assert 3050 < tiers["guest"] < 3350
    assert 500 < tiers["user"] < 700
    assert tiers["developer"] > 100
    assert tiers["admin"] > 10
    first, again = telegram.UserPool(seed=3), telegram.UserPool(seed=3)
    assert [first.get_weighted_user() for _ in range(20)] == [again.get_weighted_user() for _ in range(20)]


def test_an_unknown_tier_is_refused_with_those_there_are() -> None:
    with pytest.raises(UnknownName, match=r"tier.*owner"):
        telegram.UserPool().get_user("owner")
