"""The unmodified `toxiproxy-node-client` drives all eight toxics, and Node's own sockets see what they do."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.node
SCRIPT = Path(__file__).with_name("toxics.mjs")
NEEDED = "18"


@pytest.fixture(scope="module")
def node_folder(tmp_path_factory):
    """A folder in which the client is installed."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node or npm is not installed")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").split(".")[0]) < int(NEEDED):
        pytest.skip(f"node {version} is older than {NEEDED}, which the client needs")
    folder = tmp_path_factory.mktemp("node")
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "toxiproxy-node-client@4"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=90, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("npm install took more than 90 s; is there a registry?")
    if done.returncode != 0:
        pytest.skip(f"npm install failed: {done.stderr.strip()[-300:]}")
    shutil.copy(SCRIPT, folder)
    return folder


def test_the_node_client_drives_all_eight_toxics(api, echo, node_folder):
    command = ["node", SCRIPT.name, api.server.url, echo]
    done = subprocess.run(command, cwd=node_folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["toxics"] == [
        "bandwidth",
        "latency",
        "limit_data",
        "noop",
        "reset_peer",
        "slicer",
        "slow_close",
        "timeout",
    ]
    assert api.http.get("/proxies").json() == {}
