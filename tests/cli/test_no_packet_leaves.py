"""Every option that takes a URL or a host refuses what is not this machine, before a name is looked up or a socket connects."""

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from chaosbot.cli import VERBS

EVIL = "evil.invalid"
TARGET = "http://127.0.0.1:9/webhook"
WATCH = """
import sys
def told(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto", "socket.sendmsg") and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    if event == "socket.getaddrinfo" and host and host.replace(".", "").isdecimal():
        return  # an address, of which no resolver is asked
    if host not in (None, "", "127.0.0.1", "::1", "localhost"):
        with open("asked", "a") as file:
            file.write(f"{event} {host}\\n")
sys.addaudithook(told)
"""
# Each option (or argument) that takes a URL or a host, with words that make it reach out.
WALK: dict[tuple[str, str], list[list[str]]] = {
    ("run", "what"): [
        ["http://evil.invalid/"],
        ["http://127.0.0.1@evil.invalid/"],
        ["resilience", "https://evil.invalid"],
    ],
    ("run", "outbound"): [
        ["--outbound", "http://evil.invalid"],
        ["--outbound", "http://127.0.0.1@evil.invalid/"],
        ["file.toml"],
        ["probed.toml"],
        ["watched.toml"],
    ],
    ("mock", "listen"): [["telegram", "--listen", "192.0.2.1:0"], ["telegram", "--listen", "evil.invalid:0"]],
    ("proxy", "upstream"): [["http://evil.invalid"], ["http://127.0.0.1@evil.invalid:80"], ["tcp://evil.invalid:80"]],
    ("proxy", "outbound"): [["http://127.0.0.1:9", "--outbound", "http://evil.invalid"]],
    ("proxy", "listen"): [
        ["http://127.0.0.1:9", "--listen", "192.0.2.1:0"],
        ["http://127.0.0.1:9", "--listen", "evil.invalid:0"],
    ],
    ("proxy", "outbound_listen"): [
        ["http://127.0.0.1:9", "--outbound", "mock", "--outbound-listen", "192.0.2.1:0", "--listen", "127.0.0.1:0"]
    ],
    ("proxy", "control"): [
        ["http://127.0.0.1:9", "--listen", "127.0.0.1:0", "--control", "192.0.2.1:0"],
        ["http://127.0.0.1:9", "--listen", "127.0.0.1:0", "--control", "evil.invalid:0"],
    ],
    ("fuzz", "target"): [["http://evil.invalid/"], ["http://127.0.0.1@evil.invalid/"]],
    ("fuzz", "metrics"): [
        [TARGET, "--metrics", "http://evil.invalid/"],
        ["--metrics", "http://127.0.0.1@evil.invalid/"],
    ],
    ("fuzz", "cluster"): [["--cluster", "tcp://evil.invalid:8786"]],
    ("load", "cluster"): [["--cluster", "tcp://evil.invalid:8786"]],
    ("run", "cluster"): [["--cluster", "tcp://evil.invalid:8786"]],
    ("load", "remote_write"): [["--remote-write", "http://evil.invalid/"]],
    ("load", "otlp"): [["--otlp", "http://evil.invalid/"]],
    ("run", "remote_write"): [["--remote-write", "http://evil.invalid/"]],
    ("run", "otlp"): [["--otlp", "http://evil.invalid/"]],
    ("fuzz", "bot_api"): [["--bot-api", "evil.invalid:80"]],
    ("load", "target"): [
        ["http://evil.invalid/"],
        ["http://127.0.0.1@evil.invalid/"],
        ["--host", "http://evil.invalid/"],
    ],
    ("load", "metrics"): [["--metrics", "http://evil.invalid/"], ["--metrics", "http://127.0.0.1@evil.invalid/"]],
    ("load", "health"): [["--health", "https://evil.invalid/"], ["--health", "http://127.0.0.1@evil.invalid/"]],
    ("send", "url"): [["github", "push", "http://evil.invalid/"], ["github", "push", "http://127.0.0.1@evil.invalid/"]],
    ("run", "llm"): [["--llm", "http://evil.invalid"]],
    ("fuzz", "llm"): [["--llm", "http://127.0.0.1@evil.invalid/"]],
    ("demo", "models"): [["--serve", "--port", "0", "--models", "http://evil.invalid"]],
    ("demo", "bot_api"): [["--serve", "--port", "0", "--bot-api", "http://evil.invalid"]],
    ("doctor", "target"): [["http://evil.invalid/"], ["http://127.0.0.1@evil.invalid/"]],
    ("doctor", "bot_api"): [[TARGET, "--bot-api", "evil.invalid:80"]],
    ("replay", "target"): [["finding", "http://evil.invalid/"]],
    ("replay", "bot_api"): [["finding", "--bot-api", "evil.invalid:80"]],
    ("replay", "directory"): [["finding"]],
    ("shrink", "directory"): [["recorded"]],
}
# Options that speak of URLs and hosts but reach nothing by themselves.
HARMLESS = {"port", "allow_host", "web", "prometheus", "bot_api_port", "directory", "unix", "printed", "stages"}


def parameters() -> set[tuple[str, str]]:
    """Every option and argument whose help or value speaks of a URL or a host."""
    found = set()
    for verb in VERBS:
        for parameter in typer.main.get_command(importlib.import_module(f"chaosbot.cli.{verb}").app).params:
            said = f"{getattr(parameter, 'help', '')} {parameter.metavar}".upper()
            words = ("URL", "HOST", "HTTP://", "LISTEN")
            if any(word in said for word in words) and parameter.name not in HARMLESS:
                found.add((verb, str(parameter.name)))
    return found


def test_every_option_that_takes_a_url_or_a_host_is_walked() -> None:
    missing = parameters() - WALK.keys()
    assert not missing, f"not walked: {missing}; add what makes them reach out, or say why they cannot"


@pytest.mark.parametrize("words", [[verb, *words] for (verb, _), ways in WALK.items() for words in ways], ids=" ".join)
def test_nothing_is_asked_of_a_resolver_and_nothing_connects(
    chaosbot: Callable[..., Any], tmp_path: Path, words: list[str]
) -> None:
    (tmp_path / "file.toml").write_text('outbound = "http://evil.invalid"\n')
    (tmp_path / "probed.toml").write_text('[probes]\nhealth = "http://evil.invalid/"\n')
    (tmp_path / "watched.toml").write_text('[probes]\nmetrics = "http://127.0.0.1@evil.invalid/"\n')
    finding = tmp_path / "finding"
    finding.mkdir()
    # A finding and a run that were found at a foreign host: going on with them needs the same permission.
    case = {"check": "no_hang", "target": "http://evil.invalid/", "segments": [], "name": "x"}
    (finding / "finding.json").write_text(json.dumps(case))
    recorded = tmp_path / "recorded"
    recorded.mkdir()
    done = chaosbot(*words, prelude=WATCH)
    assert done.code in (2, 3), done.err
    assert "Traceback" not in done.err
    assert done.err.count("\n") == 1 or words[0] == "doctor" or "warning" in done.err, done.err
    assert not (tmp_path / "asked").exists(), (tmp_path / "asked").read_text()
    if EVIL in " ".join(words):
        assert done.code == 2, done.err
