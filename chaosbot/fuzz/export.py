"""Findings as regression tests: one pytest file that needs nothing but the standard library.

The file sends each finding's bytes as they were found and asserts what the target owes: an allowed status (or, where that is right,
a closed connection), in time, and a valid answer for the next client. Findings about the bot's calls need `chaosbot replay`, and
so do those whose signatures expire.
"""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Final

from chaosbot.core.errors import EngineError
from chaosbot.core.jsontext import read_json
from chaosbot.files import read_text
from chaosbot.fuzz.findings import MOST_BYTES

FILE: Final = "test_chaosbot_regressions.py"
_LARGEST: Final = 200_000


def export_pytest(findings: Path, directory: Path) -> int:
    """Writes the regression tests of all findings below a directory.

    Args:
        findings: A run's ``findings`` folder.
        directory: Where the file is written.

    Returns:
        How many findings became tests.

    Raises:
        EngineError: The directory cannot be written.
    """
    entries = []
    for path in sorted(findings.glob("*/case.json")):
        value = read_json(read_text(path, most=MOST_BYTES))
        size = sum(len(segment["data_b64"]) for step in value["steps"] for case in step for segment in case["segments"])
        if (
            value["needs_calls"]
            or value.get("perishable")
            or len(value["steps"]) != 1
            or len(value["steps"][0]) != 1
            or size > _LARGEST
        ):
            continue
        entries.append(_entry(path.parent.name, value))
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / FILE).write_text(_HEAD + "CASES = [\n" + "".join(entries) + "]\n" + _TAIL, encoding="utf-8")
    except OSError as error:
        raise EngineError(
            f"--export-pytest {directory}: cannot be written ({error.strerror}); the findings are in {findings}"
        ) from None
    return len(entries)


def _entry(identity: str, value: dict[str, object]) -> str:
    case = value["steps"][0][0]  # type: ignore[index]
    expect = case["expect"]
    right = value.get("accept_status", []) if {2, 200} & {*expect["statuses"]} else []  # declared for valid updates
    segments = [(base64.b64decode(segment["data_b64"]), segment["pause_s"]) for segment in case["segments"]]
    fields = {
        "id": re.sub(r"[^A-Za-z0-9_-]", "_", identity),
        "title": value["title"],
        "check": value["check"],
        "target": value.get("target", ""),
        "secret_env": value["secret_env"],
        "segments": segments,
        "ending": case["ending"],
        "statuses": sorted({*expect["statuses"], *right}),  # type: ignore[misc]
        "close": expect["close"],
        "within_s": expect["within_s"] or 5.0,
    }
    lines = "".join(f"        {name!r}: {content!r},\n" for name, content in fields.items())
    return f"    {{\n{lines}    }},\n"


_HEAD = '''"""Regression tests written by chaosbot: what each request made the target do, and what the target owes instead.

Run with pytest. CHAOSBOT_TARGET replaces the target's address; the webhook's secret comes from the environment.
"""

import os
import re
import socket
import time
from urllib.parse import unquote, urlsplit

import pytest

'''
_TAIL = """
PIECE = re.compile(rb"\\{\\{chaosbot:secret:(\\d+):(\\d+):(as-is|upper|lower|swap)\\}\\}")
CASES_OF = {b"as-is": str, b"upper": str.upper, b"lower": str.lower, b"swap": str.swapcase}


def reveal(data, secret):
    return PIECE.sub(lambda found: CASES_OF[found[3]](secret[int(found[1]) : int(found[2])]).encode(), data)


def connect(url):
    parts = urlsplit(url)
    if parts.netloc == "unix:":
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(unquote(parts.path.partition(":")[0]))
        return connection
    return socket.create_connection((parts.hostname, parts.port or 80), timeout=5.0)


def read_status(connection, until):
    received = b""
    while b"\\r\\n" not in received:
        connection.settimeout(max(0.05, until - time.monotonic()))
        piece = connection.recv(65536)
        if not piece:
            return None
        received += piece
    return int(received.split(b" ", 2)[1])


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_the_target_answers_as_it_should(case):
    secret = os.environ.get(case["secret_env"], "")
    if not secret and any(PIECE.search(data) for data, _ in case["segments"]):
        pytest.skip("set " + case["secret_env"])
    url = os.environ.get("CHAOSBOT_TARGET") or case["target"]
    began = time.monotonic()
    paused = 0.0
    status = None
    with connect(url) as connection:
        try:
            for data, pause in case["segments"]:
                time.sleep(pause)
                paused += pause
                connection.sendall(reveal(data, secret))
            if case["ending"] == "half_close":
                connection.shutdown(socket.SHUT_WR)
            status = read_status(connection, time.monotonic() + case["within_s"])
        except TimeoutError:
            pytest.fail(case["title"] + ": no answer in time")
        except (ConnectionResetError, BrokenPipeError):
            status = None
    took = time.monotonic() - began - paused
    if status is None:
        assert case["close"], case["title"] + ": the connection ended without an answer"
    else:
        allowed = status in case["statuses"] or status // 100 in case["statuses"]
        assert allowed, case["title"] + ": status " + str(status)
    assert took <= case["within_s"], case["title"] + ": took " + str(round(took, 1)) + " s"
    connect(url).close()  # still listening
"""
