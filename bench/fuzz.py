"""How fast the fuzzer sends, beside Schemathesis (PyPI) against the same bot.

    python bench/fuzz.py                       # chaosbot alone
    python bench/fuzz.py --schemathesis PATH   # PATH of an installed `schemathesis` (or `st`) command

Prints catalogue requests a second, mutations a second and Hypothesis examples a second, each of one process against the embedded
demo bot on this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from chaosbot.core.event import CaseTried, PhaseChanged
from chaosbot.core.platform import PLATFORMS, Endpoint
from chaosbot.fuzz.campaign import Campaign
from chaosbot.fuzz.requests import slow
from chaosbot.fuzz.spec import CampaignSpec
from chaosbot.fuzz.stages import catalogue
from chaosbot.fuzz.target import CampaignTarget
from chaosbot.transport import Address

SECRET = "bench-secret-token"
OPENAPI = {
    "openapi": "3.0.3",
    "info": {"title": "webhook", "version": "1"},
    "paths": {
        "/webhook/telegram": {
            "post": {
                "parameters": [
                    {
                        "in": "header",
                        "name": "X-Telegram-Bot-Api-Secret-Token",
                        "required": True,
                        "schema": {"type": "string", "enum": [SECRET]},
                    }
                ],
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {
                            "schema": {
                                "type": "object",
                                "required": ["update_id", "message"],
                                "properties": {
                                    "update_id": {"type": "integer", "minimum": 0, "maximum": 2147483647},
                                    "message": {
                                        "type": "object",
                                        "required": ["message_id", "date", "chat"],
                                        "properties": {
                                            "message_id": {"type": "integer"},
                                            "date": {"type": "integer"},
                                            "chat": {"type": "object", "properties": {"id": {"type": "integer"}}},
                                            "from": {"type": "object", "properties": {"id": {"type": "integer"}}},
                                            "text": {"type": "string"},
                                        },
                                    },
                                },
                            }
                        }
                    },
                },
                "responses": {"200": {"description": "ok"}},
            }
        }
    },
}


@contextmanager
def demo() -> Iterator[str]:
    command = [sys.executable, "-m", "chaosbot.demo", "--no-limits", "--exit-with-stdin"]
    environment = dict(os.environ, TELEGRAM_SECRET_TOKEN=SECRET)
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True)
    try:
        yield process.stdout.readline().split()[1]
    finally:
        process.terminate()
        process.wait()


def spec_for(url: str, **changes: object) -> CampaignSpec:
    address = Address.parse(url + "/webhook/telegram")
    return CampaignSpec(address, Endpoint(address.authority, address.path, SECRET, started=int(time.time())), **changes)


def replay_rate(url: str, seconds: float) -> float:
    """Pre-encoded catalogue cases, sixteen at a time, as corpus replay sends them."""
    spec = spec_for(url)
    platform = PLATFORMS.build("telegram")
    cases = [case for case in catalogue(spec, platform) if not slow(case) and len(case.request) < 2000]
    target = CampaignTarget(spec, platform, tuple, lambda: False)
    sent, began = 0, time.monotonic()
    while time.monotonic() - began < seconds:
        sent += len(target.volley(cases, "bench"))
    took = time.monotonic() - began
    target.close()
    return sent / took


def stage_rate(url: str, stage: str, seconds: float) -> float:
    events: list[object] = []
    Campaign(spec_for(url, duration_s=seconds, stages=(stage,)), events.append).run()
    began = next(event.t for event in events if isinstance(event, PhaseChanged) and event.label == stage)
    ended = next(event.t for event in events if isinstance(event, PhaseChanged) and event.label == "judging")
    sent = sum(isinstance(event, CaseTried) and event.stage == stage for event in events)
    return sent / (ended - began)


def schemathesis_rate(command: str, url: str, examples: int) -> tuple[int, float]:
    with tempfile.TemporaryDirectory() as folder:
        schema = Path(folder) / "openapi.json"
        schema.write_text(json.dumps(OPENAPI))
        arguments = [command, "run", str(schema), "--url", url, "--phases", "fuzzing", "-n", str(examples)]
        before = handled(url)
        began = time.monotonic()
        subprocess.run([*arguments, "--continue-on-failure"], cwd=folder, capture_output=True, check=False)
        return handled(url) - before, time.monotonic() - began


def handled(url: str) -> int:
    lines = httpx.get(url + "/metrics", trust_env=False).text.splitlines()
    return sum(int(float(line.split()[-1])) for line in lines if line.startswith("webhook_answers_total"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--schemathesis", default="")
    options = parser.parse_args()
    with demo() as url:
        print(f"catalogue replay      {replay_rate(url, options.seconds):8.0f} requests/s")
    for stage, what in (("mutations", "requests/s, judged and recorded"), ("generated", "examples/s, shrinkable")):
        with demo() as url:
            print(f"{stage:<21} {stage_rate(url, stage, options.seconds):8.0f} {what}")
    if options.schemathesis:
        with demo() as url:
            sent, took = schemathesis_rate(options.schemathesis, url, 1000)
            print(f"schemathesis          {sent / took:8.0f} requests/s ({sent} in {took:.0f} s)")


if __name__ == "__main__":
    main()
