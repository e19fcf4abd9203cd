"""The demo's pure parts, and its small state machines in virtual or no time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chaosbot.demo.access import MAX_GRANTS, PER_MINUTE, WINDOW_S, Allowance, RateLimits, Roster, Tier
from chaosbot.demo.botapi import (
    FAILURES_TO_OPEN,
    Circuit,
    Delivered,
    Failed,
    Migrated,
    Refused,
    State,
    Throttled,
    classify,
    safe_path,
)
from chaosbot.demo.bugs import CARDS, FRAGILE, GUIDED, HEALTHY, Bug, parse_bugs
from chaosbot.demo.desk import MAX_THINGS, Deduplicator, Drawer
from chaosbot.demo.outbox import bounded
from chaosbot.demo.updates import MAX_ID, as_id

CHECKS = {
    "no_server_error", "no_hang", "no_death", "canary_answered", "auth_before_parsing", "forged_refused",
    "secret_exact", "no_leak", "malformed_policy", "effect_at_most_once", "acked_not_lost", "right_chat",
    "no_escalation", "own_objects_only", "bounded_resources", "pre_auth_cost", "no_retry_storm",
    "retry_after_obeyed", "recovers", "valid_accepted", "text_intact", "circuits_recover", "migrate_followed",
    "outbound_timeout", "llm_truncation_shown", "llm_timeout", "llm_not_retried", "llm_retry_bounded", "llm_paid_once",
    "llm_ack_first", "llm_formatting_survived", "llm_user_answered", "llm_no_escalation", "llm_history_valid", "llm_foreign_text",
}  # fmt: skip


def test_every_bug_has_a_card_that_names_known_checks() -> None:
    assert set(CARDS) == set(Bug)
    for bug, card in CARDS.items():
        assert card.bug is bug
        assert card.checks
        assert set(card.checks) <= CHECKS
        assert "\n" not in card.what


def test_the_fragile_bot_has_every_bug_that_no_other_hides() -> None:
    assert set(Bug) - FRAGILE == {Bug.RACY_DEDUP, *GUIDED}
    assert frozenset() == HEALTHY


def test_bugs_are_read_from_a_list() -> None:
    assert parse_bugs("") == parse_bugs("healthy") == HEALTHY
    assert parse_bugs("fragile") == FRAGILE
    assert parse_bugs(" no-dedup , errors-leak") == {Bug.NO_DEDUP, Bug.ERRORS_LEAK}
    with pytest.raises(ValueError, match="unknown bug 'no-dedupe'; available: fragile, healthy"):
        parse_bugs("no-dedupe")


@pytest.mark.parametrize("value", [1, -1001234567890, MAX_ID, -MAX_ID])
def test_an_id_is_an_int_of_52_bits(value: int) -> None:
    assert as_id(value) == value


@pytest.mark.parametrize("value", [0, True, "1", 1.0, None, [1], {"id": 1}, MAX_ID + 1, -MAX_ID - 1])
def test_everything_else_is_no_id(value: Any) -> None:
    assert as_id(value) is None


@pytest.mark.parametrize("text", ["", "x", "😀" * 2048, "x" * 4096])
def test_a_text_within_the_limit_is_left_alone(text: str) -> None:
    assert bounded(text) == text


@pytest.mark.parametrize("text", ["x" * 4097, "😀" * 2049, "x" + "😀" * 3000, "😀" * 3000 + "x", "é" * 9000])
def test_a_text_over_the_limit_keeps_its_ends_and_no_half_characters(text: str) -> None:
    short = bounded(text)
    assert 4090 < len(short.encode("utf-16-le")) // 2 <= 4096
    assert short[0] == text[0]
    assert short[-1] == text[-1]
    assert "…" in short


ANSWERS = [
    (200, b'{"ok":true,"result":{"message_id":1}}', Delivered({"message_id": 1})),
    (400, b'{"ok":false,"error_code":400,"description":"Bad Request: message is not modified"}', Delivered(None)),
    (400, b'{"ok":false,"error_code":400,"parameters":{"migrate_to_chat_id":-1005}}', Migrated(-1005)),
    (400, b'{"ok":false,"error_code":400,"description":"x"}', Refused(400)),
    (403, b'{"ok":false,"error_code":403}', Refused(403)),
    (409, b'{"ok":false,"error_code":409}', Failed("conflict")),
    (429, b'{"ok":false,"error_code":429,"parameters":{"retry_after":7}}', Throttled(7.0)),
    (429, b"<html>", Throttled(3.0)),
    (500, b'{"ok":false}', Failed("status 500")),
    (502, b"<html>", Failed("status 502 without JSON", html=True)),
    (200, b"", Failed("status 200 without JSON", html=True)),
    (302, b"{}", Failed("status 302")),
    (200, b'{"ok":false}', Failed("status 200")),
]


@pytest.mark.parametrize(("status", "body", "meaning"), ANSWERS)
def test_answers_of_the_bot_api_are_understood(status: int, body: bytes, meaning: object) -> None:
    assert classify(status, "3", body) == meaning


def test_a_throttle_that_names_no_time_means_a_second() -> None:
    assert classify(429, None, b'{"parameters":{"retry_after":"soon"}}') == Throttled(1.0)
    assert classify(429, "soon", b'{"parameters":{"retry_after":-5}}') == Throttled(1.0)


@pytest.mark.parametrize("path", ["photos/file_1.jpg", "a", "a/b/c.oga"])
def test_a_plain_file_path_is_safe(path: str) -> None:
    assert safe_path(path) == path


@pytest.mark.parametrize(
    "path", ["", "..", "../a", "a/../b", "/a", "a//b", "http://x/y", "a?b", "a\n", "a" * 256, None, 1, ".a"]
)
def test_any_other_file_path_is_not(path: object) -> None:
    assert safe_path(path) is None


def test_a_window_opens_again_after_a_minute() -> None:
    now = [0.0]
    limits = RateLimits(enabled=True, clock=lambda: now[0])
    for tier, allowed in PER_MINUTE.items():
        taken = [limits.take(int(tier), tier) for _ in range(allowed + 2)]
        assert taken == [Allowance.GO] * allowed + [Allowance.TELL, Allowance.SILENT]
    now[0] = WINDOW_S
    assert limits.take(int(Tier.GUEST), Tier.GUEST) is Allowance.GO


def test_what_is_kept_for_users_is_bounded() -> None:
    drawer, roster = Drawer(), Roster(1)
    for number in range(MAX_THINGS + 10):
        drawer.put(1, str(number))
    for user in range(2, MAX_GRANTS + 12):
        roster.grant(user, Tier.USER)
    assert (len(drawer), roster.grants) == (MAX_THINGS, MAX_GRANTS)
    assert drawer.get(1, 1) is None


def test_a_failed_first_attempt_may_be_repeated_and_its_duplicates_take_over() -> None:
    async def scenario() -> list[object]:
        dedup, attempts = Deduplicator(HEALTHY), []

        async def work() -> str:
            attempts.append(1)
            await asyncio.sleep(0)
            if len(attempts) == 1:
                raise ConnectionError
            return "done"

        return await asyncio.gather(*(dedup.once(7, work) for _ in range(4)), return_exceptions=True)

    first, *others = asyncio.run(scenario())
    assert isinstance(first, ConnectionError)
    assert others == ["done", None, None]


def test_the_memory_of_the_deduplicator_is_bounded() -> None:
    async def scenario() -> int:
        dedup = Deduplicator(HEALTHY, capacity=10)

        async def work() -> None:
            pass

        for number in range(30):
            await dedup.once(number, work)
        return len(dedup)

    assert asyncio.run(scenario()) == 10


async def turns() -> None:
    """Lets everybody run who can."""
    for _ in range(50):
        await asyncio.sleep(0)


def test_a_circuit_trips_lets_one_through_and_recovers() -> None:
    async def scenario() -> None:
        circuit = Circuit(cool_down=0.0)
        for _ in range(FAILURES_TO_OPEN):
            await circuit.admit()
            circuit.failed()
        assert (circuit.state, circuit.trips) == (State.OPEN, 1)
        waiting = [asyncio.create_task(circuit.admit()) for _ in range(5)]
        await turns()
        assert circuit.state is State.HALF_OPEN
        assert sum(task.done() for task in waiting) == 1
        circuit.failed()
        assert (circuit.state, circuit.trips) == (State.OPEN, 1)
        await turns()
        assert sum(task.done() for task in waiting) == 2
        circuit.succeeded()
        await asyncio.gather(*waiting)
        assert (circuit.state, circuit.trips, circuit.recovered) == (State.CLOSED, 1, 1)

    asyncio.run(scenario())


def test_a_success_between_failures_keeps_the_circuit_closed() -> None:
    circuit = Circuit()
    for _ in range(FAILURES_TO_OPEN * 3):
        circuit.failed()
        circuit.succeeded()
    assert (circuit.state, circuit.trips) == (State.CLOSED, 0)
