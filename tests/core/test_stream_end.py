"""What a server says last, and when a stream has fallen silent."""

from __future__ import annotations

import pytest

from chaosbot.core.stream_end import Rhythm, names_error


@pytest.mark.parametrize(
    "message",
    [
        '{"type": "error", "code": "unauthorized"}',
        '{"event": "pusher:error", "data": {"code": 4001}}',
        '{"type": "connection_error"}',
        '{"type": "auth_invalid"}',
        '[{"T": "error", "code": 402, "msg": "auth failed"}]',
        '{"error": {"code": 2, "msg": "Invalid request"}}',
        '{"ok": false}',
        '{"code": "TOKEN", "status": "Forbidden"}',
        "unauthorized",
        "ERROR: bad token",
    ],
)
def test_messages_that_say_an_error(message: str) -> None:
    assert names_error(message.encode())


@pytest.mark.parametrize(
    "message",
    [
        "",
        "{}",
        "[]",
        "42",
        "\x00\xff",
        '{"type": "tick", "symbol": "VCB"}',
        '{"done": true, "error": null, "errors": []}',
        '{"text": "an error of mine", "type": "say"}',
        "The day went by without an error",
        '{"type": ["error"]}',
        "[" * 4000,
    ],
)
def test_messages_that_say_none(message: str) -> None:
    assert not names_error(message.encode("latin-1"))


def test_a_silence_is_measured_by_the_streams_own_gaps() -> None:
    regular, greeting = Rhythm(), Rhythm()
    for second in range(1, 13):
        regular.heard(1.0, float(second))
        greeting.heard(0.01, 0.01 * second)
    assert regular.broken_by(5.1)
    assert not regular.broken_by(4.9)
    assert not greeting.broken_by(600.0), "who speaks at the beginning alone has no rhythm"
