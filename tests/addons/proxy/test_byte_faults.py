"""Byte faults on HTTP connections: once a connection, or armed for the exchange that matched."""

from __future__ import annotations

import pytest

from .conftest import BODY, Lab, answer, ask, read, request


def stages(lab: Lab) -> list[tuple[str, str, str]]:
    return [(event.rule, event.stage, event.exchange) for event in lab.injected]


def test_latency_slows_every_exchange_of_a_connection(lab: Lab) -> None:
    lab.faults("latency:80ms")
    with lab.connect() as sock:
        for _ in range(2):
            reply = ask(sock)
            assert (reply.status, reply.seconds >= 0.08) == (200, True)
    (injected,) = lab.injected
    assert injected.exchange == f"inbound-connection-{injected.connection}"


def test_latency_for_one_path_leaves_the_others_of_the_connection_alone(lab: Lab) -> None:
    lab.faults("latency:150ms;path=/slow")
    with lab.connect() as sock:
        replies = [ask(sock, request(path=path, key=path)) for path in ("/quick", "/slow", "/quick")]
    assert [reply.status for reply in replies] == [200, 200, 200]
    assert replies[1].seconds >= 0.15
    assert stages(lab) == [("latency", "applied", "/slow")]


def test_probability_is_rolled_once_a_connection(lab: Lab) -> None:
    lab.faults("latency:60ms;p=0.5")
    slow, quick = [], []
    for _ in range(16):
        told = len(lab.injected)
        with lab.connect() as sock:
            seconds = [ask(sock).seconds for _ in range(2)]
        hits = len(lab.injected) - told
        assert hits in (0, 1)
        (slow if hits else quick).extend(seconds)
    assert slow
    assert quick
    assert min(quick) < 0.06 <= min(slow)


def test_reset_in_the_middle_of_an_answer(lab: Lab) -> None:
    lab.faults("limit_data:90b;farewell=rst;path=/cut")
    reply = lab.send(request(path="/cut"))
    assert (reply.data, reply.end) == (answer(BODY)[:90], "rst")
    assert stages(lab)[0][:2] == ("limit_data", "applied")


def test_reset_peer_for_one_path(lab: Lab) -> None:
    lab.faults("reset_peer;path=/reset")
    assert lab.send(request(path="/fine")).status == 200
    assert lab.send(request(path="/reset")).end == "rst"


def test_refuse_turns_a_client_away_before_a_byte(lab: Lab) -> None:
    lab.faults("refuse")
    with lab.connect() as sock:
        reply = read(sock)
    assert (reply.data, reply.end) == (b"", "rst")
    assert not lab.upstream.connections or not lab.upstream.requests


def test_refuse_by_silence_answers_nothing_and_ends_with_the_plan(lab: Lab) -> None:
    lab.faults("refuse:silence")
    with lab.connect() as sock:
        sock.sendall(request())
        assert read(sock, quiet_s=0.2).end == "quiet"
    lab.faults()
    assert lab.send().status == 200


def test_timeout_is_a_black_hole_until_it_is_taken_away(lab: Lab) -> None:
    lab.faults("timeout")
    with lab.connect() as sock:
        sock.sendall(request())
        assert read(sock, quiet_s=0.2).end == "quiet"
        lab.proxy.clear()
        assert read(sock).end != "quiet"


def test_bandwidth_takes_its_time(lab: Lab) -> None:
    lab.faults("bandwidth:100KB;stream=down")
    body = b"x" * 40_000
    lab.upstream.respond = lambda _request: answer(body)
    reply = lab.send()
    assert reply.body == body
    assert reply.seconds >= 0.3


def test_slicer_cuts_into_pieces(lab: Lab) -> None:
    lab.faults("slicer:20b;pause=10ms;stream=down")
    reply = lab.send()
    assert reply.data == answer(BODY)
    assert reply.seconds >= 0.01 * (len(answer(BODY)) // 20 - 1)


def test_corrupt_keeps_lengths(lab: Lab) -> None:
    lab.faults("corrupt:5%;stream=down;skip=120b")
    reply = lab.send()
    assert len(reply.data) == len(answer(BODY))
    assert reply.data != answer(BODY)


@pytest.mark.parametrize("stream", ["up", "down"])
def test_an_armed_fault_that_never_acts_is_missed(lab: Lab, stream: str) -> None:
    lab.faults(f"limit_data:1MB;path=/x;stream={stream}")
    with lab.connect() as sock:
        sock.sendall(request(path="/x"))
        assert read(sock).status == 200
    lab.wait_for(lambda: bool(lab.injected))
    assert [stage for _rule, stage, _exchange in stages(lab)] == ["missed"]


def test_a_byte_fault_and_an_exchange_fault_on_one_exchange(lab: Lab) -> None:
    lab.faults("latency:60ms", "abort:503")
    reply = lab.send()
    assert (reply.status, reply.seconds >= 0.06) == (503, True)
    assert {rule for rule, _stage, _exchange in stages(lab)} == {"latency", "abort"}


def test_pipelined_requests_keep_the_byte_faults_of_their_own(lab: Lab) -> None:
    lab.faults("latency:120ms;path=/slow")
    with lab.connect() as sock:
        sock.sendall(request(path="/slow", key="/slow") + request(path="/quick", key="/quick"))
        sock.settimeout(5)
        data = b""
        while data.count(BODY) < 2:
            data += sock.recv(1 << 16)
    assert stages(lab) == [("latency", "applied", "/slow")]
    assert [event.exchange for event in lab.seen] == ["/slow", "/quick"]


@pytest.mark.parametrize(
    ("fault", "least_s"),
    [
        ("latency:300ms;stream=down", 0.3),
        ("latency:300ms;stream=up", 0.3),
        ("latency:300ms;path=/held", 0.3),
        ("bandwidth:100KB;stream=down", 0.3),
        ("bandwidth:2KB;stream=up", 0.1),
        ("slicer:2KB;pause=20ms;stream=down", 0.3),
        ("slicer:2KB;pause=20ms;path=/held", 0.3),
        ("dribble:2KB;pause=20ms", 0.3),
    ],
)
@pytest.mark.quick(6)
def test_an_exchange_takes_as_long_as_its_client_waits(lab: Lab, fault: str, least_s: float) -> None:
    lab.faults(fault)
    lab.upstream.respond = lambda _request: answer(b"x" * 40_000)
    replies = []
    with lab.connect() as sock:
        for key in ("one", "two"):
            replies.append(ask(sock, request(path="/held", key=key)))
            assert [event.exchange for event in lab.seen][-1:] == [key]  # it is there when the client has its answer
    for reply, event in zip(replies, lab.seen, strict=True):
        # The client's clock runs from before its first byte until after its last.
        assert least_s <= event.seconds <= reply.seconds
        assert event.whole
        assert event.connection == lab.injected[0].connection


@pytest.mark.parametrize(
    ("fault", "end"),
    [("limit_data:90b", "fin"), ("limit_data:90b;farewell=rst;path=/cut", "rst"), ("timeout", "quiet")],
)
def test_an_answer_that_its_client_never_has_is_not_whole(lab: Lab, fault: str, end: str) -> None:
    lab.faults(f"{fault};stream=down")
    with lab.connect() as sock:
        sock.sendall(request(path="/cut"))
        assert read(sock, quiet_s=0.3).end == end
    lab.wait_for(lambda: bool(lab.seen))
    assert [(event.status, event.whole) for event in lab.seen] == [(200, False)]


def test_a_client_that_leaves_before_the_last_byte_has_no_answer(lab: Lab) -> None:
    lab.faults("latency:400ms;stream=down")
    with lab.connect() as sock:
        sock.sendall(request())
        lab.upstream.wait_for(1)
    lab.wait_for(lambda: bool(lab.seen))
    assert [event.whole for event in lab.seen] == [False]


def test_what_is_held_when_the_plan_ends_is_seen_at_once(lab: Lab) -> None:
    lab.faults("latency:1h;stream=down")
    with lab.connect() as sock:
        sock.sendall(request())
        lab.upstream.wait_for(1)
        assert not lab.seen
        lab.proxy.clear()
        assert read(sock).status == 200
        assert [(event.whole, event.seconds < 3600) for event in lab.seen] == [(True, True)]
