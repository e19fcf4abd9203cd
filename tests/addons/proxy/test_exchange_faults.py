"""What the peers of the proxy see of each exchange fault, on raw sockets."""

from __future__ import annotations

import contextlib
import json
import socket

import psutil
import pytest

from chaosbot.core.exchange import Direction

from .conftest import BODY, Lab, answer, read, request


def applied(lab: Lab) -> list[str]:
    return [event.rule for event in lab.injected if event.stage == "applied"]


def test_without_faults_the_proxy_changes_nothing(lab: Lab) -> None:
    reply = lab.send(request(b'{"a":1}', "x-own: 1", path="/p?q=1"))
    assert (reply.data, reply.end) == (answer(BODY), "open")
    (got,) = lab.upstream.requests
    assert (got.line, got.body) == ("POST /p?q=1 HTTP/1.1", b'{"a":1}')
    assert got.headers == [
        ("host", "bot.example"),
        ("content-type", "application/json"),
        ("content-length", "7"),
        ("x-own", "1"),
    ]
    (seen,) = lab.seen
    assert (seen.status, seen.by, seen.upstream_status, seen.path) == (200, "target", 200, "/p")
    assert not lab.injected


def test_the_exchange_id_is_read_and_does_not_reach_the_upstream(lab: Lab) -> None:
    lab.send(request(key="case-17"))
    assert lab.seen[0].exchange == "case-17"
    assert lab.upstream.requests[0].header("x-chaosbot-exchange") is None


def test_a_host_that_names_the_proxy_becomes_the_upstreams(lab: Lab) -> None:
    host, port = lab.address()
    lab.send(request(host=f"{host}:{port}"))
    assert lab.upstream.requests[0].header("host") == f"127.0.0.1:{lab.upstream.port}"


def test_delay_before_holds_the_request_back(lab: Lab) -> None:
    lab.faults("delay:150ms")
    reply = lab.send()
    assert reply.status == 200
    assert reply.seconds >= 0.15
    assert lab.upstream.requests
    assert applied(lab) == ["delay"]


def test_delay_after_lets_the_upstream_act_at_once(lab: Lab) -> None:
    lab.faults("delay:1h;point=after")
    with lab.connect() as sock:
        sock.sendall(request())
        lab.upstream.wait_for(1)
    lab.wait_for(lambda: len(lab.seen) == 1)  # the proxy has noticed that its client left
    lab.faults("delay:200ms;point=after")
    reply = lab.send()
    assert reply.status == 200
    assert reply.seconds >= 0.2
    (seen,) = lab.seen
    assert seen.seconds >= 0.2


def test_a_client_that_leaves_ends_the_wait(lab: Lab) -> None:
    lab.faults("header_edit:x-a;side=request;value=1", "delay:1h")
    with lab.connect() as sock:
        sock.sendall(request())
        lab.wait_for(lambda: len(lab.injected) > 0)  # the request is under way
    lab.wait_for(lambda: len(lab.seen) == 1)
    assert lab.seen[0].status is None
    assert not lab.upstream.requests


def test_abort_answers_instead_of_the_upstream(lab: Lab) -> None:
    lab.faults("abort:503;retry_after=7s;body=sorry")
    reply = lab.send()
    assert (reply.status, reply.body, reply.end) == (503, b"sorry", "open")
    assert (reply.header("retry-after"), reply.header("x-chaosbot")) == ("7", "abort")
    assert not lab.upstream.requests
    (seen,) = lab.seen
    assert (seen.status, seen.by, seen.upstream_status) == (503, "proxy", None)


def test_abort_after_lets_the_upstream_act_and_hides_it(lab: Lab) -> None:
    lab.faults("abort:502;point=after")
    assert lab.send().status == 502
    assert len(lab.upstream.requests) == 1
    (seen,) = lab.seen
    assert (seen.status, seen.by, seen.upstream_status) == (502, "proxy", 200)


@pytest.mark.parametrize(("farewell", "end"), [("rst", "rst"), ("fin", "fin")])
def test_hang_up_before_ends_the_connection_without_asking(lab: Lab, farewell: str, end: str) -> None:
    lab.faults(f"hang_up:{farewell}")
    reply = lab.send()
    assert (reply.data, reply.end) == (b"", end)
    assert not lab.upstream.requests
    assert lab.seen[0].status is None


@pytest.mark.parametrize(("farewell", "end"), [("rst", "rst"), ("fin", "fin")])
def test_hang_up_after_passes_exactly_so_many_bytes(lab: Lab, farewell: str, end: str) -> None:
    lab.faults(f"hang_up:{farewell};point=after;after_bytes=70")
    reply = lab.send()
    assert (reply.data, reply.end) == (answer(BODY)[:70], end)
    assert len(lab.upstream.requests) == 1
    assert lab.seen[0].by == "proxy"


def test_hang_up_by_silence_leaves_the_client_waiting_until_cleared(lab: Lab) -> None:
    lab.faults("hang_up:silence")
    with lab.connect() as sock:
        sock.sendall(request())
        assert read(sock, quiet_s=0.3).end == "quiet"
        lab.proxy.clear()
        assert read(sock).end == "fin"


def test_empty_reply_is_a_fin_without_a_byte(lab: Lab) -> None:
    lab.faults("empty_reply")
    reply = lab.send()
    assert (reply.data, reply.end) == (b"", "fin")


def test_lost_ack_lets_the_upstream_act_and_the_sender_fail(lab: Lab) -> None:
    lab.faults("lost_ack")
    reply = lab.send()
    assert (reply.data, reply.end) == (b"", "fin")
    assert len(lab.upstream.requests) == 1
    (seen,) = lab.seen
    assert (seen.status, seen.upstream_status, seen.by) == (None, 200, "proxy")


def test_lost_ack_with_a_status_shows_a_gateways_answer(lab: Lab) -> None:
    lab.faults("lost_ack:504")
    assert lab.send().status == 504
    assert lab.seen[0].upstream_status == 200


def test_ack_and_drop_acknowledges_what_nobody_gets(lab: Lab) -> None:
    lab.faults("ack_and_drop")
    assert lab.send().status == 200
    assert not lab.upstream.requests
    assert lab.seen[0].by == "proxy"


@pytest.mark.parametrize(("farewell", "end"), [("rst", "rst"), ("fin", "fin")])
def test_truncate_response_breaks_its_promise(lab: Lab, farewell: str, end: str) -> None:
    lab.faults(f"truncate_response:50%;farewell={farewell}")
    reply = lab.send()
    assert reply.end == end
    assert reply.header("content-length") == str(len(BODY))
    assert reply.body == BODY[: len(BODY) // 2]
    (seen,) = lab.seen
    assert (seen.status, seen.whole) == (200, False)


def test_an_answer_that_comes_whole_is_recorded_as_whole_whatever_else_a_fault_did(lab: Lab) -> None:
    lab.faults("delay:20ms", "header_edit:x-new;value=1")
    lab.send()
    assert lab.seen[0].whole


@pytest.mark.parametrize("farewell", ["fin", "rst"])
def test_truncate_request_breaks_the_senders_promise(lab: Lab, farewell: str) -> None:
    lab.faults(f"truncate_request:25%;farewell={farewell}")
    body = json.dumps({"text": "y" * 1000}).encode()
    reply = lab.send(request(body))
    (got,) = lab.upstream.wait_for(1)
    assert (got.whole, got.end) == (False, farewell)
    assert got.body == body[: len(body) // 4]
    assert got.header("content-length") == str(len(body))
    # The upstream said nothing: what the client gets is the proxy's own.
    assert (reply.status, reply.header("x-chaosbot")) == (502, "upstream")
    assert lab.seen[0].by == "proxy"


def test_huge_body_is_as_long_as_it_says(lab: Lab) -> None:
    lab.faults("huge_body:3MB")
    reply = lab.send()
    assert reply.header("content-length") == "3000000"
    assert len(reply.body) == 3_000_000
    assert not reply.body.strip()
    assert lab.seen[0].by == "proxy"


def test_malformed_chunk_begins_well_and_ends_badly(lab: Lab) -> None:
    lab.faults("malformed_chunk")
    reply = lab.send(whole=False)
    assert (reply.status, reply.end) == (200, "fin")
    assert reply.header("transfer-encoding") == "chunked"
    first, second, third = reply.body.split(b"\r\n")[:3]
    assert (int(first, 16), second) == (5, b'{"ok"')
    with pytest.raises(ValueError, match="invalid literal"):
        int(third.split(b";")[0], 16)


def test_garbage_is_no_http(lab: Lab) -> None:
    lab.faults("garbage:100")
    reply = lab.send(whole=False)
    assert (len(reply.data), reply.end, reply.status) == (100, "fin", None)


def test_garbage_of_any_length_is_made_while_it_is_sent(lab: Lab) -> None:
    lab.faults("garbage:3mb")
    reply = lab.send(whole=False)
    assert (len(reply.data), reply.end, reply.status) == (3_000_000, "fin", None)
    lab.faults("garbage:100gb;path=/endless")
    before = psutil.Process(lab.proxy.pids[0]).memory_info().rss
    with lab.connect() as sock:
        sock.sendall(request(path="/endless"))
        got = 0
        while got < 8 << 20:
            got += len(sock.recv(1 << 20))
        # The worker goes on to serve others meanwhile, and holds none of it.
        assert lab.send().status == 200
    assert psutil.Process(lab.proxy.pids[0]).memory_info().rss - before < 30 << 20
    assert [event.stage for event in lab.injected] == ["applied"]


def test_an_endless_head_of_an_answer_is_a_502_and_one_of_a_request_a_431(lab: Lab) -> None:
    lab.upstream.respond = lambda _request: b"HTTP/1.1 200 OK\r\nx-endless: " + b"a" * (4 << 20)
    reply = lab.send(quiet_s=10)
    assert (reply.status, b"a head of more than 256 KiB" in reply.body) == (502, True)
    with lab.connect() as sock:
        with contextlib.suppress(ConnectionError):
            sock.sendall(b"GET / HTTP/1.1\r\nhost: bot.example\r\nx-endless: " + b"a" * (300 << 10))
        assert read(sock).status == 431


def test_garbage_is_the_same_for_the_same_seed_and_exchange(lab: Lab) -> None:
    lab.faults("garbage")
    first, again, other = (lab.send(request(key=key), whole=False).data for key in ("a", "a", "b"))
    assert first == again != other


def test_wrong_content_length_promises_more_than_there_is(lab: Lab) -> None:
    lab.faults("wrong_content_length:5000")
    reply = lab.send()
    assert (reply.header("content-length"), reply.body, reply.end) == ("5000", BODY, "fin")


def test_wrong_content_length_can_leave_the_client_waiting(lab: Lab) -> None:
    lab.faults("wrong_content_length:5000;close=no")
    assert lab.send(quiet_s=0.3).end == "quiet"


def test_duplicate_content_length_says_two_things(lab: Lab) -> None:
    lab.faults("duplicate_content_length:3")
    reply = lab.send(whole=False)
    lengths = [value for name, value in reply.headers if name == "content-length"]
    assert (lengths, reply.end) == ([str(len(BODY)), "3"], "fin")


def test_missing_content_length_ends_the_body_with_the_connection(lab: Lab) -> None:
    lab.faults("missing_content_length")
    reply = lab.send()
    assert reply.header("content-length") is None
    assert (reply.body, reply.end) == (BODY, "fin")


def test_gzip_lie_does_not_compress(lab: Lab) -> None:
    lab.faults("gzip_lie")
    reply = lab.send()
    assert (reply.header("content-encoding"), reply.body) == ("gzip", BODY)


def test_header_edit_on_both_sides(lab: Lab) -> None:
    lab.faults(
        "header_edit:x-new;value=one",
        "header_edit:content-type;remove=yes;name=gone",
        "header_edit:x-up;value=two;side=request;name=up",
        "header_edit:content-type;value=text/odd;side=request;add=yes;name=double",
    )
    reply = lab.send()
    assert reply.header("x-new") == "one"
    assert reply.header("content-type") is None
    got = lab.upstream.requests[0]
    assert got.header("x-up") == "two"
    assert [value for name, value in got.headers if name == "content-type"] == ["application/json", "text/odd"]


def test_header_corrupt_sends_high_bytes(lab: Lab) -> None:
    lab.faults("header_corrupt:content-type")
    value = lab.send().header("content-type")
    assert value is not None
    assert len(value) == 12
    assert all(ord(char) >= 0x80 for char in value)


def test_dribble_takes_as_long_as_its_pauses(lab: Lab) -> None:
    lab.faults("dribble:30;pause=30ms")
    reply = lab.send()
    assert reply.body == BODY
    assert reply.seconds >= 0.03 * (len(BODY) // 30 - 1)
    assert lab.seen[0].status == 200


def test_clear_lets_what_trickles_go_at_once(lab: Lab) -> None:
    lab.faults("dribble:1;pause=10s")
    with lab.connect() as sock:
        sock.sendall(request())
        lab.wait_for(lambda: len(lab.injected) == 1)
        lab.proxy.clear()
        assert read(sock).body == BODY, "half an hour of pauses is left"


def test_slow_request_trickles_to_the_upstream_head_included(lab: Lab) -> None:
    lab.faults("slow_request:40;pause=20ms")
    reply = lab.send(request(b'{"a":"' + b"z" * 200 + b'"}'))
    assert reply.status == 200
    (got,) = lab.upstream.requests
    assert got.whole
    assert reply.seconds >= 0.1


@pytest.mark.parametrize(("farewell", "end"), [("rst", "rst"), ("fin", "fin")])
def test_stale_keepalive_closes_after_a_whole_answer(lab: Lab, farewell: str, end: str) -> None:
    lab.faults(f"stale_keepalive;after=50ms;farewell={farewell}")
    with lab.connect() as sock:
        sock.sendall(request())
        first = read(sock)
        assert (first.body, first.end) == (BODY, "open")
        assert first.header("connection") is None
        assert read(sock).end == end


def test_rate_limited_refuses_beyond_the_quota_and_notices_impatience(lab: Lab) -> None:
    lab.faults("rate_limited:2;within=1h")
    with lab.connect(Direction.OUTBOUND) as sock:
        replies = []
        for number in (1, 2, 3, 3):
            sock.sendall(request(b'{"chat_id":5,"text":"%d"}' % number, path="/bot42:token/sendMessage"))
            replies.append(read(sock))
    assert [reply.status for reply in replies] == [200, 200, 429, 429]
    wait = int(replies[2].header("retry-after") or 0)
    assert 3500 < wait <= 3600
    assert json.loads(replies[2].body)["parameters"] == {"retry_after": wait}
    details = [event.detail for event in lab.injected if event.stage == "applied"]
    assert "refused" in details[0]
    assert "too early" in details[1]
    (note,) = [event for event in lab.told if type(event).__name__ == "Noted"]
    assert note.area == "rate_limit"


def test_the_first_answer_stands_and_the_second_rule_is_missed(lab: Lab) -> None:
    lab.faults("abort:503", "hang_up:rst;name=late")
    assert lab.send().status == 503
    assert [(event.rule, event.stage) for event in lab.injected] == [("abort", "applied"), ("late", "missed")]


def test_faults_combine_where_they_can(lab: Lab) -> None:
    lab.faults("delay:100ms", "header_edit:x-new;value=1", "truncate_response:0%")
    reply = lab.send()
    assert reply.seconds >= 0.1
    assert (reply.header("x-new"), reply.body, reply.end) == ("1", b"", "fin")


def test_an_upstream_that_is_down_is_the_proxys_own_502_and_an_event(lab: Lab) -> None:
    dead = socket.create_server(("127.0.0.1", 0))
    port = dead.getsockname()[1]
    dead.close()
    import dataclasses  # noqa: PLC0415

    from chaosbot.addons.proxy import ListenerSpec, Proxy  # noqa: PLC0415

    events: list[object] = []
    spec = dataclasses.replace(
        lab.proxy.spec, listeners=(ListenerSpec(Direction.INBOUND, f"http://127.0.0.1:{port}"),), started=0.0
    )
    with Proxy(spec, events.append) as proxy:
        host, _, number = proxy.url(Direction.INBOUND)[7:].partition(":")
        with socket.create_connection((host, int(number))) as sock:
            sock.sendall(request())
            reply = read(sock)
        proxy.flush()
    assert (reply.status, reply.header("x-chaosbot")) == (502, "upstream")
    (seen,) = [event for event in events if type(event).__name__ == "ExchangeSeen"]
    assert (seen.status, seen.by, seen.upstream_status) == (502, "proxy", None)  # type: ignore[attr-defined]
    (note,) = [event for event in events if type(event).__name__ == "Noted"]
    assert f"127.0.0.1:{port}" in note.text  # type: ignore[attr-defined]
