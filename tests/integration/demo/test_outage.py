"""A Bot API that goes away and comes back: circuits trip and recover, nothing acknowledged is lost."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from chaosbot.demo.botapi import COOL_DOWN_S

World = Any


def test_what_was_acknowledged_during_an_outage_is_delivered_after_it_once_and_in_order(start: Any) -> None:
    world = start("--no-limits")
    chats = [world.fresh_chat() for _ in range(8)]
    world.bot.script = lambda *_: (503, b"<html>unavailable</html>")
    for turn in range(3):
        for chat in chats:
            assert world.post(world.message(f"turn {turn}", chat=chat))[0] == 200
    assert world.bot.wait(lambda calls: len(calls) >= 5)
    during = world.health()
    assert during["status"] == "degraded"
    assert during["outbox"] == 24
    assert "botapi" in during["circuits"]
    world.bot.script = lambda *_: None
    before = len(world.bot.calls)
    assert world.bot.wait(lambda calls: len(calls) >= before + 24)
    for chat in chats:
        sent = [call["text"] for call in world.bot.calls[before:] if call["chat_id"] == chat]
        assert sent == ["You said: turn 0", "You said: turn 1", "You said: turn 2"]
    assert world.health()["circuits"]["botapi"] == {"state": "closed", "trips": 1, "recovered": 1}
    times = [call["at"] for call in world.bot.calls[:before]]
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert sum(pause < COOL_DOWN_S - 0.5 for pause in pauses) < 11, "an open circuit does not hammer"
    world.close()


def test_a_chat_that_must_wait_delays_no_other(healthy: World) -> None:
    slow, quick = healthy.fresh_chat(), healthy.fresh_chat()
    throttled = json.dumps({"ok": False, "error_code": 429, "parameters": {"retry_after": 1}}).encode()
    left = [1]

    def script(_method: str, payload: dict[str, Any]) -> tuple[int, bytes] | None:
        return (429, throttled) if payload.get("chat_id") == slow and left and left.pop() else None

    healthy.bot.script = script
    for chat in (slow, slow, quick):
        healthy.post(healthy.message("hello", chat=chat))
    assert healthy.bot.wait(lambda calls: sum(call.get("chat_id") == slow for call in calls) == 3)
    order = [call["chat_id"] for call in healthy.bot.calls if call.get("chat_id") in (slow, quick)]
    assert set(order[:2]) == {slow, quick}, "the quick chat did not wait for the slow one"
    healthy.bot.script = lambda *_: None


def test_a_file_that_is_gone_is_reported_in_a_friendly_way(healthy: World) -> None:
    healthy.bot.script = lambda method, _payload: (404, b"gone") if method == "file" else None
    assert healthy.ask(None, voice={"file_id": "abc"}) == ["I could not get your voice"]
    healthy.bot.script = lambda *_: None
