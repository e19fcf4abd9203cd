"""The unmodified `chaostoolkit-toxiproxy` runs an experiment against the control API."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def chaos(tmp_path_factory):
    """The `chaos` command in an environment of its own: its pins are none of ours."""
    folder = tmp_path_factory.mktemp("chaostoolkit")
    venv.create(folder, with_pip=True)
    install = [folder / "bin" / "python", "-m", "pip", "install", "-q", "chaostoolkit", "chaostoolkit-toxiproxy"]
    try:
        done = subprocess.run(install, capture_output=True, text=True, timeout=100, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("pip install took more than 100 s; is there a registry?")
    if done.returncode != 0:
        pytest.skip(f"chaostoolkit-toxiproxy cannot be installed on {sys.version}: {done.stderr.strip()[-300:]}")
    return folder / "bin" / "chaos"


def action(name, module, function, **arguments):
    provider = {"type": "python", "module": f"chaostoxi.{module}", "func": function, "arguments": arguments}
    return {"type": "action", "name": name, "provider": provider}


def test_an_experiment_creates_a_proxy_adds_toxics_and_cleans_up(api, echo, chaos, tmp_path):
    toxics = "toxic.actions"
    experiment = {
        "title": "a slow bot",
        "description": "every toxic that the extension knows",
        "configuration": {"toxiproxy_url": api.server.url},
        "steady-state-hypothesis": {
            "title": "the proxy is there",
            "probes": [
                {
                    "type": "probe",
                    "name": "exists",
                    "tolerance": True,
                    "provider": {
                        "type": "python",
                        "module": "chaostoxi.proxy.probes",
                        "func": "proxy_exist",
                        "arguments": {"proxy_name": "bot"},
                    },
                }
            ],
        },
        "method": [
            action("slow", toxics, "create_latency_toxic", for_proxy="bot", toxic_name="slow", latency=5),
            action("thin", toxics, "create_bandwith_degradation_toxic", for_proxy="bot", toxic_name="thin", rate=9),
            action("late", toxics, "create_slow_connection_close_toxic", for_proxy="bot", toxic_name="late", delay=5),
            action("hole", toxics, "create_timeout_toxic", for_proxy="bot", toxic_name="hole", timeout=5),
            action("gone", toxics, "delete_toxic", for_proxy="bot", toxic_name="hole"),
            action(
                "cut",
                toxics,
                "create_slicer_toxic",
                for_proxy="bot",
                toxic_name="cut",
                average_size=9,
                size_variation=3,
                delay=5,
            ),
            action("short", toxics, "create_limiter_toxic", for_proxy="bot", toxic_name="short", bytes_limit=9),
            action(
                "rst",
                toxics,
                "create_toxic",
                for_proxy="bot",
                toxic_name="rst",
                toxic_type="reset_peer",
                stream="upstream",
                toxicity=0.5,
                attributes={"timeout": 5},
            ),
            action(
                "idle", toxics, "create_toxic", for_proxy="bot", toxic_name="idle", toxic_type="noop", attributes={}
            ),
            action("off", "proxy.actions", "disable_proxy", proxy_name="bot"),
            action("on", "proxy.actions", "enable_proxy", proxy_name="bot"),
        ],
        "rollbacks": [],
    }
    api.http.post("/proxies", json={"name": "bot", "upstream": echo})
    file = tmp_path / "experiment.json"
    file.write_text(json.dumps(experiment))
    environment = {**os.environ, "CHAOSTOOLKIT_NO_VERSION_CHECK": "1"}
    command = [chaos, "--no-version-check", "run", "experiment.json"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    journal = json.loads((tmp_path / "journal.json").read_text())
    assert journal["status"] == "completed"
    assert [step["output"] for step in journal["run"][:9]] == [True] * 9
    assert all(step["status"] == "succeeded" for step in journal["run"])
    assert api.http.get("/proxies/bot").json()["enabled"] is True
    assert {toxic["name"]: toxic["type"] for toxic in api.http.get("/proxies/bot/toxics").json()} == {
        "slow": "latency",
        "thin": "bandwidth",
        "late": "slow_close",
        "cut": "slicer",
        "short": "limit_data",
        "rst": "reset_peer",
        "idle": "noop",
    }
