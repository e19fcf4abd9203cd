"""The vendors' own libraries for Node judge each platform: what is genuine passes, and what must be refused is refused."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from chaosbot.core.case import Reach
from chaosbot.core.dice import Dice
from chaosbot.core.platform import PLATFORMS, Endpoint
from chaosbot.core.verdict import Threat
from tests.support.deliveries import HOST, Received, deliveries
from tests.support.node import with_packages

pytestmark = [pytest.mark.node, pytest.mark.slow, pytest.mark.timeout(900)]
SECRETS = {
    "discord": bytes(range(32)).hex(),
    "github": "chaosbot-secret",
    "slack": "8f742231b10e8888abcd99yyyzzz85a5",
    "standard_webhooks": "whsec_Y2hhb3Nib3Qtc2VjcmV0LTI0LWJ5dGVz",
    "stripe": "whsec_" + "a1B2" * 8,
    "twilio": "12345678901234567890123456789012",
}
PACKAGES = (
    "@octokit/webhooks@12",
    "@slack/bolt@4",
    "discord-interactions@4",
    "standardwebhooks@1",
    "stripe@18",
    "twilio@5",
)
Judge = Callable[[str, Sequence[bytes]], list[bool]]


@pytest.fixture(scope="module")
def accepted(tmp_path_factory: pytest.TempPathFactory) -> Judge:
    """Says of each delivery whether the library accepts it."""
    script = with_packages(tmp_path_factory.mktemp("judges"), Path(__file__).with_name("node_judges.cjs"), *PACKAGES)

    def judged(name: str, requests: Sequence[bytes]) -> list[bool]:
        secret = PLATFORMS.build(name, {}).public_key(SECRETS[name]) or SECRETS[name]
        rows = []
        for got in map(Received.of, requests):
            url, body = f"http://{HOST}{got.target}", base64.b64encode(got.body).decode()
            rows.append({"platform": name, "secret": secret, "headers": got.headers, "url": url, "body": body})
        lines = "\n".join(map(json.dumps, rows))
        ran = subprocess.run(
            ["node", str(script)], input=lines, capture_output=True, text=True, timeout=600, check=True
        )
        verdicts = [line == "1" for line in ran.stdout.split("\n")]
        assert len(verdicts) == len(requests)
        return verdicts

    return judged


def endpoint(name: str) -> Endpoint:
    return Endpoint(HOST, "/hook", SECRETS[name], started=int(time.time()))


@pytest.mark.parametrize("name", SECRETS)
def test_of_thousands_of_deliveries_the_genuine_ones_pass_and_the_forged_ones_do_not(
    accepted: Judge, name: str
) -> None:
    made = list(deliveries(PLATFORMS.build(name, {}), endpoint(name)))
    genuine, forged = [data for data, _, _ in made], [(word, data) for _, word, data in made if data]
    assert len(genuine) >= 3_000
    assert len(forged) >= 2_400
    passed = accepted(name, genuine)
    assert [data for data, passes in zip(genuine, passed, strict=True) if not passes] == []
    believed = accepted(name, [data for _, data in forged])
    assert [one for one, passes in zip(forged, believed, strict=True) if passes] == []


@pytest.mark.parametrize("name", SECRETS)
def test_no_case_contradicts_the_vendors_library(accepted: Judge, name: str) -> None:
    made = PLATFORMS.build(name, {}).catalogue(endpoint(name), Dice(1))
    decided = [one for one in made if "replayed" not in one.name and one.request.startswith(b"POST")]
    wrong = []
    for case, passes in zip(decided, accepted(name, [one.request for one in decided]), strict=True):
        if case.threat is Threat.FORGER and case.expect.reach is Reach.NONE and passes:
            wrong.append(f"{case.name} must be refused, and is accepted")
        if case.expect.statuses == frozenset({2}) and not passes:
            wrong.append(f"{case.name} must be accepted, and is refused")
    assert wrong == []
