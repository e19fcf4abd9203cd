"""PATCH /plan: a merge patch in which rules go by their names."""

from __future__ import annotations

import pytest

from chaosbot.control.http import merged
from chaosbot.control.toxics import ApiError

PLAN = {
    "seed": 1,
    "rules": [{"name": "a", "fault": "latency", "window": {"start": "1s"}}, {"name": "b", "fault": "abort"}],
}


@pytest.mark.parametrize(
    ("patch", "rules"),
    [
        ({}, PLAN["rules"]),
        ({"rules": []}, PLAN["rules"]),
        ({"rules": {"b": None}}, PLAN["rules"][:1]),
        ({"rules": {"b": {"rate": 0.5}}}, [PLAN["rules"][0], {"name": "b", "fault": "abort", "rate": 0.5}]),
        ({"rules": [{"name": "c", "fault": "x"}]}, [*PLAN["rules"], {"name": "c", "fault": "x"}]),
        (
            {"rules": {"a": {"window": {"length": "2s"}}}},
            [{"name": "a", "fault": "latency", "window": {"start": "1s", "length": "2s"}}, PLAN["rules"][1]],
        ),
        ({"rules": {"a": {"window": None}}}, [{"name": "a", "fault": "latency"}, PLAN["rules"][1]]),
    ],
)
def test_rules_are_merged_by_name(patch, rules):
    assert merged(PLAN, patch) == {"seed": 1, "rules": rules}


def test_other_keys_follow_the_merge_patch_of_json():
    assert merged({"a": {"b": 1, "c": 2}}, {"a": {"b": None, "d": 3}, "e": [1]}) == {"a": {"c": 2, "d": 3}, "e": [1]}


def test_the_plan_that_was_read_is_not_changed():
    before = {"rules": [{"name": "a", "window": {"start": "1s"}}]}
    merged(before, {"rules": {"a": {"window": {"start": "2s"}}}})
    assert before == {"rules": [{"name": "a", "window": {"start": "1s"}}]}


@pytest.mark.parametrize("patch", [{"rules": [{"fault": "x"}]}, {"rules": ["x"]}, {"rules": "x"}, {"rules": {"a": 5}}])
def test_rules_without_names_are_refused(patch):
    with pytest.raises(ApiError):
        merged(PLAN, patch)
