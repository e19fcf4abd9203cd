"""Unmodified grammY and Telegraf, from npm, talk to the mock and believe it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

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
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node or npm is not installed")
    directory = tmp_path_factory.mktemp("node")
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "grammy@1", "telegraf@4"]
    try:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("npm install took more than 120 s; is there a registry?")
    if done.returncode:
        pytest.skip(f"npm install failed: {done.stderr.strip()[-300:]}")
    return Path(shutil.copy(Path(__file__).with_name("node_bots.js"), directory))


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
