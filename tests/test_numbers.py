"""A number that somebody else wrote may have any number of digits, of any script: Python reads 4300 of them, and not all that look like some."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chaosbot.addons.answers import plainly
from chaosbot.checks._state import numbers
from chaosbot.core.case import Case, Expect, Segment
from chaosbot.core.dice import Dice
from chaosbot.core.errors import ConfigError
from chaosbot.core.exchange import split_exchange
from chaosbot.core.llm import sample_of
from chaosbot.core.marker import markers_in
from chaosbot.core.platform import Endpoint, platform_of
from chaosbot.core.units import statuses, whole
from chaosbot.core.verdict import Threat
from chaosbot.fuzz import exploring, requests, usages
from chaosbot.fuzz.belongings import _absent
from chaosbot.fuzz.forms import odd_data
from chaosbot.fuzz.making import pattern_of
from chaosbot.mocks.telegram.call import ApiCall
from chaosbot.transport.answer import AnswerReader
from chaosbot.transport.probes import parse_metrics

ODD = {
    "long": "9" * 5000,
    "negative": "-" + "9" * 5000,
    "superscript": "\u00b2" * 3,
    "arabic": "\u0663" * 5000,
    "infinite": "1e999",
    "zeros": "0" * 5000,
}


def heard(text: str) -> None:
    for head in (f"HTTP/1.1 200 OK\r\nContent-Length: {text}\r\n\r\n", f"HTTP/1.1 {text} OK\r\n\r\n"):
        AnswerReader(100).feed(head.encode("utf-8"))
    AnswerReader(100).feed(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{text}\r\n".encode())


def sent(text: str) -> None:
    data = f"POST / HTTP/1.1\r\nContent-Length: {text}\r\nHost: x\r\n\r\n{{}}".encode()
    case = Case("n", "c", Threat.NETWORK, (Segment(data),), Expect())
    requests.whole(case)
    requests.with_body(data, b"{}")
    requests.renewed(replace(case, callback=text, user=text, chat=text), Dice(1), requests.unsigned)


def signed(text: str) -> None:
    """A request whose timestamp says that, signed again for another time."""
    platform = platform_of("slack")
    before = platform.encode(Endpoint("localhost", "/", "secret", started=1_700_000_000), platform.canary())
    lines = before.split(b"\r\n")
    garbled = b"\r\n".join(
        b"X-Slack-Request-Timestamp: " + text.encode() if b"timestamp" in one.lower() else one for one in lines
    )
    platform.resigned("secret", garbled, garbled, 60)


READERS: dict[str, Callable[[str], Any]] = {
    "whole": lambda text: whole(text, 10),
    "buttons": lambda text: odd_data(f"take:{text}:1", [f"take:{text}:1", "take:3:2"]),
    "names": _absent,
    "names of several": lambda text: _absent(f"1 {text}"),
    "patterns": lambda text: pattern_of(f"take:{text}", text),
    "answers of the target": numbers,
    "examples of the target": lambda text: (usages.usages("/take", f"/take {text}"), exploring._answers(f"1 - {text}")),
    "errors": lambda text: plainly(f"[Errno {text}] no such thing"),
    "markers": markers_in,
    "exchange ids": lambda text: split_exchange(f"a@{text}"),
    "heads of answers": heard,
    "heads of requests": sent,
    "timestamps": signed,
    "metrics": lambda text: parse_metrics(f"process_open_fds {text}\n"),
    "calls": lambda text: (
        ApiCall(None, "sendMessage", {"chat_id": text}).integer("chat_id"),
        ApiCall(None, "sendMessage", {"chat_id": text}).number("chat_id"),
    ),
    "schemas": lambda text: sample_of({"type": "integer", "minimum": text, "maximum": float("inf")}, Dice(1)),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("odd", ODD)
def test_no_number_of_somebody_elses_is_an_error_of_ours(reader: str, odd: str) -> None:
    READERS[reader](ODD[odd])


@pytest.mark.parametrize("odd", ODD)
def test_what_people_write_as_a_status_is_refused(odd: str) -> None:
    with pytest.raises(ConfigError, match="is no HTTP status"):
        statuses([ODD[odd]])
