"""Whatever a client or an upstream sends, the proxy keeps going and has no trouble of its own."""

from __future__ import annotations

import random

import pytest

from .conftest import Lab, Request, answer, read, request

BAD_REQUESTS = {
    "no http": b"\x00\x01\x02\x03\r\n\r\n",
    "tls to nobody": b"\x16\x03\x01\x00\x05hello",
    "http/0.9": b"GET /\r\n\r\n",
    "http/9": b"GET / HTTP/9.9\r\nhost: x\r\n\r\n",
    "lower case": b"get / http/1.1\r\nhost: x\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "absolute": b"GET http://elsewhere.example/x HTTP/1.1\r\nhost: x\r\n\r\n",
    "connect": b"CONNECT elsewhere.example:443 HTTP/1.1\r\nhost: x\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
    "length and chunks": b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "negative length": b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n",
    "bad chunk": b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n",
    "chunk trailers": b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-t: 1\r\n\r\n",
    "strange coding": b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: banana\r\n\r\n",
    "header without colon": b"GET / HTTP/1.1\r\nhost: x\r\nnonsense\r\n\r\n",
    "folded header": b"GET / HTTP/1.1\r\nhost: x\r\nx-a: 1\r\n folded\r\n\r\n",
    "nul in header": b"GET / HTTP/1.1\r\nhost: x\r\nx-a: \x00\r\n\r\n",
    "high bytes": b"GET /\xff\xfe HTTP/1.1\r\nhost: \xff\r\nx-\xff: \xfe\r\n\r\n",
    "odd target": b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n",
    "huge header": b"GET / HTTP/1.1\r\nhost: x\r\nx-big: " + b"a" * 300_000 + b"\r\n\r\n",
    "expect": b"POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\nok",
    "websocket without key": b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    "exchange id of odd bytes": b"GET / HTTP/1.1\r\nhost: x\r\nx-chaosbot-exchange: \xff\xfe\x01\r\n\r\n",
    "pipelined": request() * 3,
    "half a head": b"POST / HTTP/1.1\r\nhost: x\r\ncont",
    "half a body": b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\nhalf",
    "deep json": request(b"[" * 100_000),
    "long number": request(b'{"update_id": ' + b"9" * 6000 + b"}"),
    "lone surrogate": request(b'{"update_id": 1, "message": {"text": "\\ud83e", "chat": {"id": "\\ud83e"}}}'),
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
@pytest.mark.parametrize(
    "faults", [(), ("delay:1ms", "drop_field", "duplicate", "header_edit:x;value=y")], ids=["bare", "faults"]
)
def test_a_bad_request_does_not_hurt_the_proxy(lab: Lab, name: str, faults: tuple[str, ...]) -> None:
    lab.faults(*faults)
    with lab.connect() as sock:
        sock.sendall(BAD_REQUESTS[name])
        read(sock, quiet_s=0.15)
    assert lab.send(request(key="after")).status == 200
    assert not lab.troubles


def test_noise_does_not_hurt_the_proxy(lab: Lab) -> None:
    chance = random.Random(7)
    whole = request()
    for _ in range(60):
        data = bytearray(whole)
        for _change in range(chance.randint(1, 6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        with lab.connect() as sock:
            sock.sendall(data[: chance.randint(1, len(data))])
            read(sock, quiet_s=0.02)
    assert lab.send(request(key="after")).status == 200
    assert not lab.troubles


BAD_ANSWERS = {
    "nothing": b"",
    "no http": b"\x00\xff nonsense\r\n\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\ncontent-le",
    "half a body": b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhalf",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
    "bad chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    "no length": b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
    "status 99": b"HTTP/1.1 099 Odd\r\ncontent-length: 0\r\n\r\n",
    "informational first": b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    "no body allowed": b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nextra",
    "high bytes": b"HTTP/1.1 200 \xff\r\nx-\xff: \xfe\r\ncontent-length: 0\r\n\r\n",
    "switching": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
@pytest.mark.parametrize("faults", [(), ("delay:1ms;point=after", "truncate_response")], ids=["bare", "faults"])
def test_a_bad_answer_does_not_hurt_the_proxy(lab: Lab, name: str, faults: tuple[str, ...]) -> None:
    lab.faults(*faults)

    def respond(got: Request) -> bytes:
        if got.header("x-bad") is None:
            return answer(b"{}")
        if BAD_ANSWERS[name]:
            lab.upstream.hang_up_after = True
            return BAD_ANSWERS[name]
        raise OSError("hangs up")

    lab.upstream.respond = respond
    with lab.connect() as sock:
        sock.sendall(request(None, "x-bad: 1"))
        read(sock, quiet_s=0.3)
    lab.faults()
    assert lab.send(request(key="after")).status == 200
    assert not lab.troubles
