"""A rule that can never happen where it is to run is refused, with the way out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chaosbot.config.fit import Ground, check_fit
from chaosbot.config.plan import parse_fault, plan_from
from chaosbot.core.errors import ConfigError
from chaosbot.core.plan import FaultPlan

HTTP = Ground("http://127.0.0.1:8000", outbound=False, http2=False, tiers=("guest", "admin"))
TCP = replace(HTTP, upstream="tcp://127.0.0.1:5432")


def fits(text: str, ground: Ground) -> None:
    check_fit(FaultPlan((parse_fault(text),)), ground, f"--fault '{text}'")


@pytest.mark.parametrize(
    ("text", "ground", "says"),
    [
        ("botapi_429", HTTP, "no outbound direction; add --outbound mock"),
        ("delay:1s;direction=outbound", HTTP, "no outbound direction"),
        ("abort", TCP, "bytes and no exchanges"),
        ("latency:1s;path=/x", TCP, "bytes and no exchanges"),
        ("abort;direction=inbound", replace(TCP, outbound=True), "bytes and no exchanges"),
        ("h2_goaway", HTTP, "add --http2"),
        ("abort;phase=fault", HTTP, "only experiments have phases"),
        ("abort;tier=boss", HTTP, "choose one of guest, admin"),
    ],
)
def test_an_impossible_rule_is_refused(text: str, ground: Ground, says: str) -> None:
    with pytest.raises(ConfigError, match="can never happen") as caught:
        fits(text, ground)
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"--fault '{text}': ")


@pytest.mark.parametrize(
    ("text", "ground"),
    [
        ("abort;tier=guest;first=2", HTTP),
        ("botapi_429", replace(HTTP, outbound=True)),
        ("abort", replace(HTTP, upstream="")),
        ("reset_peer;p=0.1;first=3", TCP),
        ("abort", replace(TCP, outbound=True)),
        ("h2_rst_stream", replace(HTTP, http2=True)),
    ],
)
def test_what_can_happen_passes(text: str, ground: Ground) -> None:
    fits(text, ground)


def test_a_plan_file_is_told_which_of_its_rules_it_is() -> None:
    plan = plan_from({"rules": [{"fault": "abort"}, {"name": "late", "fault": "h2_goaway"}]}, "plan.toml")
    with pytest.raises(ConfigError, match=r"plan\.toml: rule 'late': can never happen"):
        check_fit(plan, HTTP, "plan.toml")
