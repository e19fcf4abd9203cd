"""What a webhook's answer asks the platform to do, however odd it is, can be written into the journal and read again."""

import json

import orjson
import pytest

from chaosbot.core.case import Case, Expect
from chaosbot.core.event import decode, encode
from chaosbot.core.outcome import Fate, Outcome
from chaosbot.core.platform import platform_of
from chaosbot.core.verdict import Threat
from chaosbot.fuzz.recorder import reply_in
from chaosbot.fuzz.target import KEPT


@pytest.mark.parametrize(
    ("chat", "kept"),
    [(5, 5), (-1001, -1001), ("@name", "@name"), (True, None), (2**62, None), (1.5, None), ([], None), (None, None)],
)
def test_a_reply_to_an_odd_chat_is_a_call_that_the_journal_holds(chat: object, kept: object) -> None:
    body = orjson.dumps({"method": "sendMessage", "chat_id": chat, "text": "x"})
    case = Case("a/b", "a", Threat.USER, (), Expect())
    call = reply_in(platform_of("telegram"), Outcome(Fate.ANSWERED, 200, body=body), case, 1.0)
    assert call is not None
    assert call.chat == kept
    assert decode(encode(call)) == call


def test_the_longest_reply_is_read_whole_however_it_is_written() -> None:
    body = json.dumps({"method": "sendMessage", "chat_id": 5, "text": "ạ" * 4096}).encode()
    case = Case("a/b", "a", Threat.USER, (), Expect())
    call = reply_in(platform_of("telegram"), Outcome(Fate.ANSWERED, 200, body=body[:KEPT]), case, 1.0)
    assert call is not None
    assert call.method == "sendMessage"
