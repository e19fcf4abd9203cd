"""One guard before every socket: by text, by what a name leads to, and for a whole process."""

import socket
import subprocess
import sys
from typing import Any

import pytest

from chaosbot.core.errors import TargetRefused
from chaosbot.transport.access import guard, is_allowed, resolved


def leads_to(*addresses: str) -> Any:
    def getaddrinfo(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    return getaddrinfo


@pytest.mark.parametrize(
    ("host", "port", "entry", "passes"),
    [
        ("staging.example", 80, "staging.example", True),
        ("STAGING.example", 80, "staging.EXAMPLE", True),
        ("staging.example", 80, "*.example", True),
        ("staging.example", 80, "staging.example:80", True),
        ("staging.example", 81, "staging.example:80", False),
        ("10.0.0.1", 80, "10.0.0.1", True),
        ("10.0.0.1", 80, "10.0.0.*", True),
        ("::1:2", 80, "[::1:2]", True),
        ("evil.example.org", 80, "staging.example", False),
        ("example", 80, "*.example", False),
    ],
)
def test_what_an_entry_of_the_allow_list_allows(host: str, port: int, entry: str, passes: bool) -> None:
    assert is_allowed(host, [entry], port) is passes


def test_a_refusal_names_the_option_and_the_remedy() -> None:
    with pytest.raises(
        TargetRefused, match=r"^--metrics: evil.invalid: not sent anything; .* --allow-host evil.invalid$"
    ):
        guard("evil.invalid", where="--metrics")


@pytest.mark.parametrize(
    ("host", "addresses", "allow"),
    [
        ("localhost", ["10.0.0.5"], []),
        ("localhost", ["127.0.0.1", "10.0.0.5"], []),
        ("staging.example", ["169.254.169.254"], ["staging.example"]),
        ("staging.example", ["169.254.169.254"], ["*"]),
        ("staging.example", ["0.0.0.0"], ["staging.example"]),
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(
    host: str, addresses: list[str], allow: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", leads_to(*addresses))
    with pytest.raises(TargetRefused, match="leads to"):
        resolved(host, 80, allow)


@pytest.mark.parametrize(
    ("host", "addresses", "allow"),
    [
        ("localhost", ["127.0.0.1"], []),
        ("staging.example", ["203.0.113.7"], ["staging.example"]),
        ("meta.example", ["169.254.169.254"], ["meta.example", "169.254.169.254"]),
    ],
)
def test_a_name_that_leads_where_it_may_passes(
    host: str, addresses: list[str], allow: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", leads_to(*addresses))
    assert [info[4][0] for info in resolved(host, 80, allow)] == addresses


WAYS = {
    "the standard library": "socket.create_connection(place, 1)",
    "a socket without blocking": "socket.socket().connect_ex(place)",
    "a datagram": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'', place)",
    "asyncio": "asyncio.run(asyncio.wait_for(asyncio.open_connection(*place), 1))",
    "trio": "trio.run(trio.open_tcp_stream, *place)",
    "httpx": "httpx.get('http://%s:%d/' % place, timeout=1)",
    "a look at a name": "socket.getaddrinfo(place[0], place[1]); socket.create_connection(place, 1)",
    "an old look at a name": "socket.gethostbyname(place[0]); socket.create_connection(place, 1)",
}
IN_A_PROCESS = """
import asyncio, socket, sys
import httpx, trio
from chaosbot.transport.access import ConnectionRefusedByGuard, enforce

enforce()
place = (sys.argv[1], 81)
try:
    {way}
except BaseException as error:
    while error is not None and not isinstance(error, ConnectionRefusedByGuard):
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        else:
            error = error.__cause__ or error.__context__
    print("refused" if error is not None else "another error")
else:
    print("connected")
"""


# The interpreter itself looks up a name that is given to `connect`; nothing of chaosbot does that.
@pytest.mark.parametrize(
    ("way", "host"),
    [
        (way, host)
        for way in WAYS
        for host in ("192.0.2.1", "evil.invalid")
        if host != "evil.invalid" or way not in ("a socket without blocking", "a datagram")
    ],
)
def test_no_library_reaches_out_of_a_guarded_process(way: str, host: str) -> None:
    code = IN_A_PROCESS.format(way=WAYS[way])
    done = subprocess.run([sys.executable, "-c", code, host], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "refused", done.stdout + done.stderr


ALLOWED = """
import socket
from chaosbot.transport import access

real = access._process.look_up
access._process.look_up = lambda host, port, *a, **o: real("127.0.0.1" if host == "staging.example" else host, port, *a, **o)
access._check_lead = lambda *_: None  # what it leads to is this machine, which only a test can arrange
access.enforce(["staging.example"])
with socket.create_server(("127.0.0.1", 0)) as server:
    socket.create_connection(("staging.example", server.getsockname()[1]), 1)
    socket.create_connection(("localhost", server.getsockname()[1]), 1)
    a, b = socket.socketpair()
    a.sendmsg([b"x"])
print("all reached")
"""


def test_what_is_allowed_reaches_its_place() -> None:
    done = subprocess.run([sys.executable, "-c", ALLOWED], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "all reached", done.stderr


def test_a_program_that_only_imports_chaosbot_is_left_alone() -> None:
    code = "import socket; before = socket.getaddrinfo; import chaosbot.testing, chaosbot.transport; assert socket.getaddrinfo is before"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
