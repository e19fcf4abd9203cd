"""Every planted bug shows when it is on, and does not when it is off."""

from __future__ import annotations

import gzip
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest

from chaosbot.demo.botapi import READ_S
from chaosbot.demo.bugs import CARDS, FRAGILE, Area, Bug

World = Any  # see conftest.py
# `chaosbot demo`, which CI runs, finds them as well.
_LONG = (Bug.NO_OUTBOUND_TIMEOUT, Bug.CIRCUIT_NEVER_CLOSES, Bug.SLOW_TEXT_BLOCKS_LOOP)
PROBES: dict[Bug, Any] = {}


def shows(bug: Bug) -> Any:
    def register(probe: Any) -> Any:
        PROBES[bug] = probe
        return probe

    return register


def granted(world: World, update: dict[str, Any]) -> bool:
    """Whether a /grant that must not work does."""
    update["message" if "message" in update else "edited_message"]["chat"]["id"] = chat = world.fresh_chat()
    world.post(update)
    return any(text.startswith("Granted") for text in world.settled(chat))


@shows(Bug.CRASH_ON_MISSING_CHAT)
def _(w: World) -> bool:
    update = w.message("hello")
    del update["message"]["chat"]
    return w.post(update)[0] == 500


@shows(Bug.CRASH_ON_NON_OBJECT_ROOT)
def _(w: World) -> bool:
    return {w.post(body)[0] for body in (b"null", b"[]", b'"x"', b"7")} == {500}


@shows(Bug.CRASH_ON_TRUNCATED_JSON)
def _(w: World) -> bool:
    return w.post(b'{"update_id": 1, "message": {')[0] == 500


@shows(Bug.CRASH_ON_DEEP_NESTING)
def _(w: World) -> bool:
    return {w.post(b'{"update_id":1,"x":' + b"[" * n + b"]" * n + b"}")[0] for n in (1500, 100_000)} == {500}


@shows(Bug.FORGOTTEN_VOUCHER)
def _(w: World) -> bool:
    return w.post(w.message("/start promo-spring-2024"))[0] == 500


@shows(Bug.SLOW_TEXT_BLOCKS_LOOP)
def _(w: World) -> bool:
    w.raw(w.head(0))  # warm

    def stalls() -> bool:
        begun = time.monotonic()
        w.post(w.message("x" + " " * 2000))
        return time.monotonic() - begun > 2

    # A busy machine may stall a healthy bot once, the bug does it every time; where it should show, once will do.
    return all(stalls() for _ in range(1 if w.hammering else 10))


@shows(Bug.UNKNOWN_KIND_REFUSED)
def _(w: World) -> bool:
    return w.post({"update_id": w.number(), "thought_reading": {"id": 1}})[0] == 400


@shows(Bug.SPLIT_UTF8_CORRUPTED)
def _(w: World) -> bool:
    chat = w.fresh_chat()
    body = json.dumps(w.message("naïve", chat=chat), ensure_ascii=False).encode()
    cut = body.index("ï".encode()) + 1
    w.raw(w.head(len(body)) + body[:cut], body[cut:])
    return w.settled(chat) != ["You said: naïve"]


@shows(Bug.EXIT_ON_CALLBACK_WITHOUT_MESSAGE)
def _(w: World) -> bool:
    before = w.health()["pid"]
    update = w.callback("category:language")
    del update["callback_query"]["message"]
    status = w.post(update)[0]
    return status == 0 and w.health()["pid"] != before


@shows(Bug.GZIP_BOMB)
def _(w: World) -> bool:
    bomb = gzip.compress(b"\x20" * 50_000_000)
    assert len(bomb) < 1_000_000
    return w.post(bomb, more=b"content-encoding: gzip\r\n")[0] != 413


@shows(Bug.SECRET_PREFIX_ACCEPTED)
def _(w: World) -> bool:
    return w.post(w.message("hello"), w.SECRET[:5].encode())[0] == 200


@shows(Bug.SECRET_IN_QUERY)
def _(w: World) -> bool:
    return w.post(w.message("hello"), None, query=f"?secret={w.SECRET}")[0] == 200


@shows(Bug.BODY_BEFORE_SECRET)
def _(w: World) -> bool:
    return w.post(b'{"broken', b"wrong")[0] == 400


@shows(Bug.UNCAPPED_BODY)
def _(w: World) -> bool:
    before = w.metric("process_resident_memory_bytes")
    size = 60_000_000
    with w.connect() as sock:
        sock.sendall(w.head(size, b"wrong"))
        sock.settimeout(0.3)
        try:
            answered = bool(sock.recv(1))
        except TimeoutError:
            answered = False
        sock.settimeout(60)
        with suppress(ConnectionError):  # it has answered and hung up
            sock.sendall(bytes(size - 1))
        grown = w.metric("process_resident_memory_bytes") - before
    return not answered and grown > 30_000_000


@shows(Bug.CRASH_ON_NON_ASCII_SECRET)
def _(w: World) -> bool:
    return w.post(w.message("hello"), "gehéim".encode())[0] == 500


@shows(Bug.TIER_FROM_REPLY)
def _(w: World) -> bool:
    reply = w.message("x", w.ADMIN)["message"]
    return granted(w, w.message(f"/grant {w.GUEST} developer", reply_to_message=reply))


@shows(Bug.TIER_FROM_FORWARD)
def _(w: World) -> bool:
    origin = {"type": "user", "date": 1, "sender_user": {"id": w.ADMIN, "is_bot": False, "first_name": "A"}}
    return granted(w, w.message(f"/grant {w.GUEST} developer", forward_origin=origin))


@shows(Bug.ADMIN_BY_USERNAME)
def _(w: World) -> bool:
    user = {"is_bot": False, "first_name": "A", "username": "the_boss"}
    w.ask("/admin", w.ADMIN, **{"from": {"id": w.ADMIN, **user}})
    return granted(w, w.message(f"/grant {w.GUEST} developer", **{"from": {"id": w.GUEST, **user}}))


@shows(Bug.EDITED_COMMAND_UNCHECKED)
def _(w: World) -> bool:
    update = w.message(f"/grant {w.GUEST} developer", edit_date=2)
    update["edited_message"] = update.pop("message")
    return granted(w, update)


@shows(Bug.UPPERCASE_COMMAND_UNCHECKED)
def _(w: World) -> bool:
    return granted(w, w.message(f"/GRANT {w.GUEST} developer"))


@shows(Bug.FAKE_SENDER_TRUSTED)
def _(w: World) -> bool:
    sender = {"id": 1087968824, "is_bot": True, "first_name": "Group", "username": "GroupAnonymousBot"}
    chat = {"id": -1001, "type": "supergroup"}
    return granted(w, w.message(f"/grant {w.GUEST} developer", **{"from": sender, "sender_chat": chat}))


@shows(Bug.CALLBACK_TRUSTED)
def _(w: World) -> bool:
    proposed = w.ask("/rewrite my text", w.USER)[0]
    number = proposed.split()[1]
    chat = w.fresh_chat()
    w.post(w.callback(f"improvement:approve:{number}", chat=chat))
    return f"Improvement {number} approved." in w.settled(chat)


@shows(Bug.FOREIGN_REMINDERS)
def _(w: World) -> bool:
    number = w.ask("/remind private matter", w.USER)[0].split()[1]
    shown = "private matter" in w.ask(f"/reminders {number}", w.OTHER_USER)[0]
    deleted = w.ask(f"/reminders delete {number}", w.OTHER_USER)[0].startswith("Deleted")
    still_there = "private matter" in w.ask(f"/reminders {number}", w.USER)[0]
    assert shown == deleted != still_there
    return shown


@shows(Bug.NO_DEDUP)
def _(w: World) -> bool:
    update = w.message("once", chat=w.fresh_chat())
    assert [w.post(update)[0] for _ in range(2)] == [200, 200]
    return len(w.settled(update["message"]["chat"]["id"])) > 1


@shows(Bug.RACY_DEDUP)
def _(w: World) -> bool:
    update = w.message("once", chat=w.fresh_chat())
    threads = [threading.Thread(target=w.post, args=(update,)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(w.settled(update["message"]["chat"]["id"])) > 1


def refuse_first(w: World, chat: int, times: int, status: int, body: dict[str, Any] | bytes) -> None:
    left = [times]
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    def script(method: str, payload: dict[str, Any]) -> tuple[int, bytes] | None:
        if payload.get("chat_id") == chat and left[0]:
            left[0] -= 1
            return status, content
        return None

    w.bot.script = script


def calls_of(w: World, chat: int) -> list[dict[str, Any]]:
    return [call for call in list(w.bot.calls) if call.get("chat_id") == chat]


@shows(Bug.ACK_THEN_LOSE)
def _(w: World) -> bool:
    chat = w.fresh_chat()
    refuse_first(w, chat, 1, 500, {"ok": False, "error_code": 500, "description": "Internal Server Error"})
    assert w.post(w.message("important", chat=chat))[0] == 200
    w.settled(chat)  # the lane is served in order: either delivered before the canary, or never
    return [call["text"] for call in calls_of(w, chat)].count("You said: important") == 1


@shows(Bug.RETRY_AFTER_IGNORED)
def _(w: World) -> bool:
    chat = w.fresh_chat()
    answer = {"ok": False, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": 1}}
    refuse_first(w, chat, 15 if w.hammering else 1, 429, answer)
    w.post(w.message("slowly", chat=chat))
    w.settled(chat)
    if w.hammering:
        w.bot.wait(lambda calls: sum("slowly" in call.get("text", "") for call in calls) > 10)
    times = [call["at"] for call in calls_of(w, chat) if "slowly" in call["text"]]
    assert len(times) > 10 or not w.hammering
    # The clock starts before the answer, so a bot that waits is never too early; one that does not is, sooner or later.
    return min(later - earlier for earlier, later in pairwise(times)) < 1


@shows(Bug.CIRCUIT_NEVER_CLOSES)
def _(w: World) -> bool:
    w.bot.script = lambda *_: (502, b'{"ok":false,"error_code":502}')
    for _ in range(6):
        w.post(w.message("anybody there", chat=w.fresh_chat()))
    assert w.bot.wait(lambda calls: len(calls) >= 5)
    w.bot.script = lambda *_: None
    for _ in range(2):
        w.post(w.message("and now", chat=w.fresh_chat()))
    assert w.bot.wait(lambda calls: len(calls) >= 7)  # the half-open circuit has had an answer, or all are through
    until = time.monotonic() + (1 if w.hammering else 60)  # the answer to the last call is still to be read
    closed = {"state": "closed", "trips": 1, "recovered": 1}
    while (state := w.health()["circuits"]["botapi"]) != closed and time.monotonic() < until:
        assert state["trips"] == 1
    return state != closed


@shows(Bug.CRASH_ON_HTML_ERROR)
def _(w: World) -> bool:
    chat = w.fresh_chat()
    refuse_first(w, chat, 1, 502, b"<html><h1>502 Bad Gateway</h1></html>")
    return w.post(w.message("hello", chat=chat))[0] == 500


@shows(Bug.MIGRATION_IGNORED)
def _(w: World) -> bool:
    chat, new = w.fresh_chat(), w.fresh_chat()
    answer = {"ok": False, "error_code": 400, "description": "migrated", "parameters": {"migrate_to_chat_id": new}}
    refuse_first(w, chat, 1, 400, answer)
    w.post(w.message("hello", chat=chat))
    w.settled(chat)
    return "You said: hello" not in w.bot.texts(new)


@shows(Bug.NO_OUTBOUND_TIMEOUT)
def _(w: World) -> bool:
    w.bot.script = lambda *_: w.HANG
    threading.Thread(
        target=w.post, args=(w.message("hello"),), daemon=True
    ).start()  # who is not answered with the bug on
    assert w.bot.wait(lambda calls: len(calls) == 1)
    # A healthy bot gives up after five seconds, and may be late; one with the bug never does.
    return not w.bot.given_up.wait(READ_S + 0.5 if w.hammering else 60)


@shows(Bug.REPLY_TO_SENDER)
def _(w: World) -> bool:
    chat, text = w.fresh_chat(), f"for the group {w.number()}"
    update = w.message(text)
    update["message"]["chat"] = {"id": chat, "type": "supergroup", "title": "Group"}
    w.post(update)
    assert w.bot.wait(lambda calls: any(text in call.get("text", "") for call in calls))
    return f"You said: {text}" not in w.bot.texts(chat)


@shows(Bug.ERRORS_LEAK)
def _(w: World) -> bool:
    status, body = w.post(b"no json")
    assert status == 400
    return b"Traceback" in body and w.TOKEN.encode() in body


@shows(Bug.UPDATES_KEPT_FOR_EVER)
def _(w: World) -> bool:
    w.post(w.message("warm"))
    before = w.metric("process_resident_memory_bytes")
    for _ in range(60):
        update = {"update_id": w.number(), "poll": {"question": "x" * 400_000}}
        assert w.post(update)[0] == 200
    return w.metric("process_resident_memory_bytes") - before > 25_000_000


# The agent's bugs need a model: test_agent.py.
@pytest.mark.parametrize(
    "bug",
    [
        pytest.param(bug, marks=pytest.mark.slow) if bug in _LONG else bug
        for bug, card in CARDS.items()
        if card.area is not Area.AGENT
    ],
    ids=str,
)
def test_a_bug_shows_when_it_is_on_and_only_then(bug: Bug, start: Any, healthy: World) -> None:
    card = CARDS[bug]
    probe = PROBES[bug]
    with ThreadPoolExecutor(3) as pool:  # side by side: most of a probe is waiting
        on = pool.submit(lambda: tried(start("--no-limits", bugs=bug.value), probe, hammering=True))
        among = pool.submit(lambda: tried(start("--no-limits", bugs="fragile"), probe, hammering=True))
        if card.area is Area.OUTBOUND:  # these trip circuits; they get a healthy bot of their own
            off = pool.submit(lambda: tried(start("--no-limits"), probe))
        else:
            off = pool.submit(probe, healthy)
        assert on.result(), f"{bug} is on and does not show"
        assert among.result() or bug not in FRAGILE, f"{bug} is hidden by another bug of the fragile bot"
        assert not off.result(), f"{bug} shows in a healthy bot"
    healthy.bot.script = lambda *_: None


def tried(world: World, probe: Any, *, hammering: bool = False) -> bool:
    world.hammering = hammering
    try:
        return bool(probe(world))
    finally:
        world.close()
