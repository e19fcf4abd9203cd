"""Addresses as people write them, and the guard that comes before every socket."""

from __future__ import annotations

import socket

import pytest

from chaosbot.core.errors import ConfigError, TargetRefused
from chaosbot.transport import Address, guard


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8000/webhook?x=1", Address("127.0.0.1", 8000, path="/webhook?x=1")),
        ("https://Example.com", Address("example.com", 443, tls=True)),
        ("http://[::1]:81", Address("::1", 81)),
        ("wss://localhost/ws", Address("localhost", 443, tls=True, path="/ws")),
        ("http://bücher.example/", Address("xn--bcher-kva.example", 80)),
    ],
)
def test_addresses_are_read(url: str, expected: Address) -> None:
    assert Address.parse(url) == expected


def test_an_address_is_written_as_a_person_writes_it() -> None:
    assert Address("::1", 81, path="/x").url == "http://[::1]:81/x"
    assert Address("example.com", 443, tls=True).url == "https://example.com/"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("127.0.0.1:8000", "no scheme"),
        ("ftp://127.0.0.1/", "no scheme of http"),
        ("http:///path", "no scheme"),
        ("http://:80/", "names no host"),
        ("http://h:99999/", "ports go from 1 to 65535"),
        ("http://h:0/", "port 0"),
        ("http://u:secret@h/", "user name or password"),
        ("http://h/#part", "fragment"),
        ("http://h/a b", "blanks"),
        ("http://h/\r\nX: y", "control"),
        ("http://h/ü", "outside ASCII"),
        ("http://[::1/", "is not a URL"),
    ],
)
def test_bad_addresses_are_refused_with_a_remedy(url: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        Address.parse(url, where="--target")
    assert caught.value.where == "--target"
    assert "secret@" not in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "[::1]", "localhost", "LOCALHOST"])
def test_loopback_passes(host: str) -> None:
    guard(host)


@pytest.mark.parametrize(
    "host",
    [
        "example.com",
        "10.0.0.1",
        "0.0.0.0",
        "::",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "127.0.0.1.example.com",
        "localhost.example.com",
        "localhost.",
        "::ffff:127.0.0.1",
        "fe80::1%lo",
        "",
    ],
)
def test_everything_else_is_refused_without_asking_a_resolver(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: object, **__: object) -> None:
        raise AssertionError("asked the network")

    monkeypatch.setattr(socket, "getaddrinfo", asked)
    monkeypatch.setattr(socket, "socket", asked)
    with pytest.raises(TargetRefused, match="--allow-host") as caught:
        guard(host, ["other.example"])
    assert host in str(caught.value)


def test_hosts_that_are_named_pass() -> None:
    guard("Staging.Example", ["staging.example"])
    guard("fd00::1", ["[FD00:0::1]"])
    with pytest.raises(TargetRefused):
        guard("sub.staging.example", ["staging.example"])
