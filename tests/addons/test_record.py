"""Recordings: readable by others, bounded, and without secrets."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mitmproxy.io import FlowReader

from chaosbot.addons.record import HarRecorder, Taped
from chaosbot.journal import Redactor

SECRET = "correct-horse-battery"
TOKEN = "4242424242:AAF-thirty-five-characters-of-token-x"
REDACTOR = Redactor((SECRET,))


def taped(**more: Any) -> Taped:
    given_values: dict[str, Any] = {
        "started": 1_700_000_000.25,
        "seconds": 0.125,
        "method": "POST",
        "url": "http://127.0.0.1:8000/hook?a=1&b=",
        "request_headers": (("Host", "127.0.0.1:8000"), ("Content-Type", "application/json")),
        "request_body": b'{"a": 1}',
        "status": 200,
        "response_headers": (("Content-Type", "text/plain"),),
        "response_body": "fine é".encode(),
        "exchange": "e1",
        "faults": ("latency",),
    }
    return Taped(**(given_values | more))


def saved(recorder: HarRecorder, directory: Path) -> tuple[dict[str, Any], bytes]:
    path = directory / "traffic.har"
    recorder.save(path)
    raw = path.read_bytes()
    return json.loads(raw)["log"], raw


def test_mitmproxy_reads_a_recording_back(tmp_path: Path) -> None:
    recorder = HarRecorder(REDACTOR)
    recorder.add(taped(started=1_700_000_001.0, method="GET", request_body=b"", status=503))
    recorder.add(taped())
    path = tmp_path / "traffic.har"
    recorder.save(path)
    with path.open("rb") as file:
        first, second = FlowReader(file).stream()
    assert (first.request.method, first.request.pretty_url) == ("POST", "http://127.0.0.1:8000/hook?a=1&b=")
    assert (first.request.text, first.response.text) == ('{"a": 1}', "fine é")
    assert (second.request.method, second.response.status_code) == ("GET", 503)


def test_an_entry_tells_when_what_and_which_fault(tmp_path: Path) -> None:
    recorder = HarRecorder(REDACTOR)
    recorder.add(taped())
    log, _ = saved(recorder, tmp_path)
    (entry,) = log["entries"]
    assert log["version"] == "1.2"
    assert entry["startedDateTime"] == "2023-11-14T22:13:20.250+00:00"
    assert entry["time"] == 125
    assert entry["request"]["queryString"] == [{"name": "a", "value": "1"}, {"name": "b", "value": ""}]
    assert entry["_chaosbot"]["faults"] == ["latency"]
    assert {"startedDateTime", "time", "request", "response", "cache", "timings"} <= entry.keys()


def test_secrets_are_nowhere_in_a_recording(tmp_path: Path) -> None:
    recorder = HarRecorder(REDACTOR, most_body=100)
    recorder.add(
        taped(
            url=f"http://127.0.0.1/bot{TOKEN}/sendMessage?secret={SECRET}",
            request_headers=(
                ("X-Telegram-Bot-Api-Secret-Token", "another-one-that-nobody-told-us"),
                ("Authorization", "Bearer unknown-to-the-redactor"),
                ("X-Other", SECRET),
                ("Content-Encoding", "gzip"),
            ),
            request_body=gzip.compress(f"text {SECRET} {TOKEN}".encode()),
            # The bound cuts through the secret.
            response_body=b"x" * 95 + SECRET.encode() + b"y" * 50,
            response_headers=(("Set-Cookie", "session=tale-tale"), ("Location", f"/?{SECRET}")),
            error=f"no {SECRET}",
        )
    )
    recorder.add(taped(request_headers=(("Content-Encoding", "br"),), request_body=b"\x0b\x02\x80unreadable\x03"))
    _, raw = saved(recorder, tmp_path)
    for leak in (SECRET, SECRET[:5], TOKEN[15:], "another-one", "unknown-to", "tale-tale", "unreadable"):
        assert leak.encode() not in raw


def test_bodies_are_cut_at_the_bound_and_say_so(tmp_path: Path) -> None:
    recorder = HarRecorder(REDACTOR, most_body=1001)
    recorder.add(taped(response_body="é".encode() * 5000, request_body=bytes(range(256))))
    recorder.add(
        taped(response_headers=(("Content-Encoding", "gzip"),), response_body=gzip.compress(bytes(10_000_000)))
    )
    log, raw = saved(recorder, tmp_path)
    content = log["entries"][0]["response"]["content"]
    assert content["text"] == "é" * 500
    assert content["comment"] == "cut: the first 1001 of 10000 bytes"
    assert log["entries"][0]["request"]["postData"]["encoding"] == "base64"
    assert len(raw) < 20_000


def test_a_full_recording_counts_what_it_leaves_out(tmp_path: Path) -> None:
    recorder = HarRecorder(REDACTOR, most_bytes=5000)
    for _ in range(50):
        recorder.add(taped())
    log, raw = saved(recorder, tmp_path)
    assert 0 < len(log["entries"]) < 10
    assert log["comment"].startswith(f"{50 - len(log['entries'])} later exchanges were left out")
    assert len(raw) < 6000


def test_workers_recordings_become_one_in_the_order_of_time(tmp_path: Path) -> None:
    parent, workers = HarRecorder(REDACTOR), [HarRecorder(REDACTOR), HarRecorder(REDACTOR, most_bytes=10)]
    for number in range(6):
        workers[0].add(taped(started=1000.0 - number, exchange=f"e{number}"))
    workers[1].add(taped())
    for worker in workers:
        parent.absorb(json.loads(json.dumps(worker.drain())))
        assert worker.drain() == []
    log, _ = saved(parent, tmp_path)
    assert [entry["_chaosbot"]["exchange"] for entry in log["entries"]] == [f"e{n}" for n in (5, 4, 3, 2, 1, 0)]
    assert log["comment"].startswith("1 later")


def test_an_exchange_without_an_answer_has_status_0(tmp_path: Path) -> None:
    recorder = HarRecorder(REDACTOR)
    recorder.add(taped(status=None, response_headers=(), response_body=b"", error="reset"))
    log, _ = saved(recorder, tmp_path)
    assert (log["entries"][0]["response"]["status"], log["entries"][0]["response"]["_error"]) == (0, "reset")


@given(
    st.binary(max_size=300),
    st.text(max_size=20),
    st.sampled_from(["", "gzip", "deflate", "identity", "br", "GZIP "]),
    st.integers(1, 50),
)
@settings(max_examples=200, deadline=None)
def test_anything_on_the_wire_can_be_recorded(body: bytes, text: str, encoding: str, most: int) -> None:
    recorder = HarRecorder(REDACTOR, most_body=most)
    odd = text + "\udc80"
    headers = (("Content-Encoding", encoding), (odd, odd), ("Content-Type", odd))
    recorder.add(
        taped(
            url=f"http://a/{odd}",
            method=odd,
            error=odd,
            request_headers=headers,
            request_body=body,
            response_headers=(*headers, ("location", odd)),
            response_body=body,
        )
    )
    assert len(recorder) == 1


@pytest.mark.parametrize("name", ["missing/traffic.har"])
def test_a_recording_that_cannot_be_written_raises(tmp_path: Path, name: str) -> None:
    with pytest.raises(OSError, match="No such file"):
        HarRecorder(REDACTOR).save(tmp_path / name)
