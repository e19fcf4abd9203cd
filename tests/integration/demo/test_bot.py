"""What a healthy bot does: commands, tiers, things of its users, media, buttons, replies."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from chaosbot.demo.access import COMMANDS, PER_MINUTE, Tier

World = Any
SENDERS = {Tier.GUEST: 1000001, Tier.USER: 2000001, Tier.DEVELOPER: 3000001, Tier.ADMIN: 999999999}
GRANT = "/grant 1000001 developer"


def reply_of(world: World, update: dict[str, Any]) -> str:
    status, body = world.post(update)
    assert status == 200
    return str(json.loads(body).get("text", ""))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_runs_for_its_tier_and_above_and_for_nobody_below(replying: World, name: str) -> None:
    control = reply_of(replying, replying.message(f"/{name} marker-77", SENDERS[Tier.ADMIN]))
    assert "is for the" not in control
    assert "marker-77" in control
    for tier, sender in SENDERS.items():
        reply = reply_of(replying, replying.message(f"/{name} marker-77", sender))
        assert ("Sorry" in reply) == (tier < COMMANDS[name])
        assert "marker-77" in reply


def test_the_commands_are_those_of_the_four_tiers() -> None:
    assert [sum(needed == tier for needed in COMMANDS.values()) for tier in Tier] == [7, 8, 4, 3]


def test_an_unknown_id_is_a_guest(replying: World) -> None:
    assert "you are guest" in reply_of(replying, replying.message("/admin", 4_000_000))


def test_grants_work_and_are_taken_back(replying: World) -> None:
    admin, someone = SENDERS[Tier.ADMIN], 1000777
    assert "Granted developer to 1000777." in reply_of(replying, replying.message(f"/grant {someone} developer", admin))
    assert "Circuits:" in reply_of(replying, replying.message("/circuits", someone))
    assert "Sorry" in reply_of(replying, replying.message(f"/grant {someone} developer", someone))
    assert "Revoked" in reply_of(replying, replying.message(f"/revoke {someone}", admin))
    assert "Sorry" in reply_of(replying, replying.message("/circuits", someone))


def test_nobody_is_granted_admin(replying: World) -> None:
    assert "Usage" in reply_of(replying, replying.message("/grant 1000777 admin", SENDERS[Tier.ADMIN]))


ODD = {
    "for another bot": {"text": "/grant@otherbot 1000001 developer", "entities": [{"type": "bot_command", "offset": 0, "length": 15}]},
    "upper case": {"text": GRANT.upper(), "entities": [{"type": "bot_command", "offset": 0, "length": 6}]},
    "in a caption": {"caption": GRANT, "caption_entities": [{"type": "bot_command", "offset": 0, "length": 6}]},
    "without entity": {"text": GRANT, "entities": []},
    "entity later": {"text": "x " + GRANT, "entities": [{"type": "bot_command", "offset": 2, "length": 6}]},
    "entity at false": {"text": GRANT, "entities": [{"type": "bot_command", "offset": False, "length": 6}]},
    "entity negative": {"text": GRANT, "entities": [{"type": "bot_command", "offset": -1, "length": 7}]},
    "entity too long": {"text": GRANT, "entities": [{"type": "bot_command", "offset": 0, "length": 9999}]},
    "entity too short": {"text": "/grantx 1", "entities": [{"type": "bot_command", "offset": 0, "length": 6}]},
    "zero width": {"text": "\u200b" + GRANT, "entities": [{"type": "bot_command", "offset": 0, "length": 7}]},
    "homoglyph": {"text": GRANT.replace("a", "а"), "entities": [{"type": "bot_command", "offset": 0, "length": 6}]},
    "second command": {"text": "/start " + GRANT, "entities": [{"type": "bot_command", "offset": 0, "length": 6}]},
    "forwarded": {"text": GRANT, "forward_origin": {"type": "user", "sender_user": {"id": 999999999}}},
    "via a bot": {"text": GRANT, "via_bot": {"id": 5, "is_bot": True, "first_name": "b"}},
    "by a bot": {"text": GRANT, "from": {"id": 999999999, "is_bot": True, "first_name": "b"}},
    "for a chat": {"text": GRANT, "sender_chat": {"id": -1001, "type": "supergroup"}},
    "by a service": {"text": GRANT, "from": {"id": 777000, "is_bot": False, "first_name": "Telegram"}},
    "id as text": {"text": GRANT, "from": {"id": "999999999", "is_bot": False}},
    "id as float": {"text": GRANT, "from": {"id": 999999999.0, "is_bot": False}},
}  # fmt: skip


@pytest.mark.parametrize("fields", ODD.values(), ids=ODD)
def test_only_a_plain_command_runs_even_for_the_admin(replying: World, fields: dict[str, Any]) -> None:
    update = replying.message(None, SENDERS[Tier.ADMIN])
    entities = [{"type": "bot_command", "offset": 0, "length": 6}]
    update["message"].update({"entities": entities, **fields})
    assert not reply_of(replying, update).startswith("Granted")


def test_the_admin_in_nested_places_gives_nothing(replying: World) -> None:
    admin = {"id": 999999999, "is_bot": False, "first_name": "A", "username": "admin"}
    nested = {
        "reply_to_message": {"message_id": 1, "from": admin}, "contact": {"user_id": admin["id"]},
        "new_chat_members": [admin], "quote": {"text": GRANT}, "external_reply": {"origin": {"sender_user": admin}},
    }  # fmt: skip
    for field, value in nested.items():
        assert "Sorry" in reply_of(replying, replying.message(GRANT, **{field: value}))
    named = {**admin, "id": 1000001}
    assert "Sorry" in reply_of(replying, replying.message(GRANT, **{"from": named}))


def test_the_longest_text_keeps_both_its_ends(replying: World) -> None:
    text = "begin " + "x" * 4084 + " end😀"
    reply = reply_of(replying, replying.message(text))
    assert reply.startswith("You said: begin")
    assert reply.endswith(" end😀")
    assert len(reply.encode("utf-16-le")) <= 8192


def test_a_topic_and_a_group_get_their_reply(replying: World) -> None:
    update = replying.message("hello", chat=-1001234567890, message_thread_id=7)
    answer = json.loads(replying.post(update)[1])
    assert (answer["chat_id"], answer["message_thread_id"]) == (-1001234567890, 7)


def test_a_reminder_belongs_to_its_owner(replying: World) -> None:
    number = reply_of(replying, replying.message("/remind water the plants", 2000001)).split()[1]
    assert "no such reminder" in reply_of(replying, replying.message(f"/reminders delete {number}", 2000002))
    assert "water" not in reply_of(replying, replying.message("/reminders", 2000002))
    assert "water" in reply_of(replying, replying.message("/reminders", 2000001))
    assert "Deleted" in reply_of(replying, replying.message(f"/reminders delete {number}", 2000001))


@pytest.mark.parametrize(
    "data", [None, "", "x" * 65, "improvement", "improvement:approve:", "improvement:approve:999", "skill:"]
)
def test_buttons_out_of_date_or_forged_do_nothing(replying: World, data: str | None) -> None:
    assert "This button" in reply_of(replying, replying.callback(data, 2000001))


def test_a_callback_is_answered_and_then_the_chat_is_told(healthy: World) -> None:
    chat = healthy.fresh_chat()
    healthy.post(healthy.callback("category:language", chat=chat))
    assert healthy.settled(chat) == ["Skills of language:"]
    assert any(call["method"] == "answerCallbackQuery" for call in healthy.bot.calls)


@pytest.mark.parametrize("message", [None, {"chat": {"id": -5}, "message_id": 1, "date": 0}, {}, 5])
def test_a_callback_without_a_usable_message_is_answered(replying: World, message: Any) -> None:
    update = replying.callback("skill:translate", 2000001, message=message, inline_message_id="x")
    assert "Skill selected" in reply_of(replying, update)


def test_an_improvement_is_approved_by_its_owner_once(healthy: World) -> None:
    number = healthy.ask("/rewrite this", healthy.USER)[0].split()[1]
    data, chat = f"improvement:approve:{number}", healthy.fresh_chat()
    for presser in (healthy.GUEST, healthy.OTHER_USER, healthy.USER, healthy.USER):
        healthy.post(healthy.callback(data, presser, chat))
    assert healthy.settled(chat) == [f"Improvement {number} approved."]


@pytest.mark.parametrize("kind", ["voice", "photo", "document"])
def test_media_is_downloaded(healthy: World, kind: str) -> None:
    file = {"file_id": "abc", "file_size": 5}
    replies = healthy.ask(None, **{kind: [file] if kind == "photo" else file}, caption="look")
    assert replies == [f"Got 5 bytes, your {kind}: look"]


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "http://x/y", "a/../b", None, 5, ""])
def test_media_with_a_strange_path_fails_friendly(healthy: World, path: Any) -> None:
    result = json.dumps({"ok": True, "result": {"file_id": "f", "file_path": path}}).encode()
    healthy.bot.script = lambda method, _payload: (200, result) if method == "getFile" else None
    seen = len(healthy.bot.calls)
    assert healthy.ask(None, document={"file_id": "abc"}) == ["I could not get your document"]
    assert not any(call["method"] == "file" for call in healthy.bot.calls[seen:])
    healthy.bot.script = lambda *_: None


def test_a_file_over_20_mb_is_not_fetched(healthy: World) -> None:
    assert "too much" in healthy.ask(None, document={"file_id": "abc", "file_size": 20_000_001})[0]


def test_an_update_takes_effect_once_however_it_is_repeated(healthy: World) -> None:
    update = healthy.message("once", chat=healthy.fresh_chat())
    threads = [threading.Thread(target=healthy.post, args=(update,)) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    update["message"]["text"] = "the same id with another body"
    assert healthy.post(update)[0] == 200
    assert healthy.settled(update["message"]["chat"]["id"]) == ["You said: once"]


def test_order_and_gaps_of_update_ids_do_not_matter(replying: World) -> None:
    for update_id in (900_000_000, 5_000_000, 800_000_000):
        assert "late" in reply_of(replying, {**replying.message("late"), "update_id": update_id})


def test_beyond_the_limit_a_user_is_told_once_and_then_ignored(start: Any) -> None:
    world = start(api=False)
    replies = [reply_of(world, world.message("again")) for _ in range(PER_MINUTE[Tier.GUEST] + 3)]
    assert replies == ["You said: again"] * 5 + ["That was a lot at once. Please wait a minute.", "", ""]
    world.close()


@pytest.mark.parametrize(
    ("status", "answer", "copies"),
    [
        (403, {"ok": False, "error_code": 403, "description": "Forbidden: bot was blocked by the user"}, 1),
        (400, {"ok": False, "error_code": 400, "description": "Bad Request: message is not modified"}, 1),
        (400, {"ok": False, "error_code": 400, "description": "Bad Request: chat not found"}, 1),
        (502, "<html>502</html>", 2),
        (200, "no json at all", 2),
        (429, {"ok": False, "error_code": 429, "parameters": {"retry_after": 0}}, 2),
    ],
)
def test_a_failed_reply_is_repeated_only_when_that_can_help(
    healthy: World, status: int, answer: Any, copies: int
) -> None:
    chat, left = healthy.fresh_chat(), [1]
    content = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()

    def script(method: str, payload: dict[str, Any]) -> tuple[int, bytes] | None:
        return (status, content) if payload.get("chat_id") == chat and left and left.pop() else None

    healthy.bot.script = script
    assert healthy.ask("hello", chat=chat) == ["You said: hello"] * copies
    healthy.bot.script = lambda *_: None
