"""Unmodified grammY and Telegraf, from npm, talk to the mock and believe it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.node import with_packages

from .conftest import TOKEN, Start

pytestmark = [pytest.mark.node, pytest.mark.timeout(240)]
EXPECTED = {
    "bot": True,
    "text": "hello cbm0123456789ab",
    "size": 5000,
    "album": [10, 11],
    "downloaded": 5000,
    "refused": [400, "Bad Request: message text is empty"],
}


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script beside its packages."""
    here = Path(__file__).with_name("node_bots.js")
    return with_packages(tmp_path_factory.mktemp("node"), here, "grammy@1", "telegraf@4")


def test_grammy_and_telegraf_send_upload_and_download(start: Start, script: Path) -> None:
    server = start()
    ran = subprocess.run(
        ["node", str(script), server.url, TOKEN], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == {"grammy": EXPECTED, "telegraf": EXPECTED}
    calls = server.calls()
    marked = [call for call in calls if call.markers]
    assert [(call.method, call.chat) for call in marked] == [("sendMessage", 7), ("sendMessage", 7)]
    assert {call.status for call in calls} == {200, 400}
