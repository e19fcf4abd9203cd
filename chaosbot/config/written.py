"""Experiments written down again, and the JSON Schema of their files for editors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from chaosbot.config.experiment import EXPERIMENT, Experiment
from chaosbot.config.plan import PLAN
from chaosbot.config.table import schema_of_options
from chaosbot.core.profile import PROFILES

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"


def write_experiment(experiment: Experiment, about: str) -> str:
    """An experiment as a TOML file that `read_experiment` reads back.

    Args:
        experiment: What to write.
        about: The comment at its head.
    """
    settings = experiment.settings()
    workload = {key: value for key, value in settings["workload"].items() if value not in (None, {}, 0.0)}
    workload["timeout"] = f"{workload.pop('timeout_s')}s"
    if "rate" in workload:
        workload["rate"] = f"{workload['rate']}/s"
    lines = [f"# {about}", *_pairs({"name": experiment.name, "platform": experiment.platform})]
    lines += _pairs({"outbound": experiment.outbound, "alone": experiment.alone, "limits": experiment.limits})
    given = {
        "target": experiment.target,
        "secret_env": experiment.secret_env,
        "thresholds": experiment.thresholds,
        "abort_on": experiment.abort_on,
        "checks": experiment.checks,
    }
    lines += _pairs({name: value for name, value in given.items() if value})
    lines += ["", "[workload]", *_pairs(workload), "", "[phases]"]
    lines += _pairs({name: f"{value}s" for name, value in settings["lengths"].items()})
    for rule in settings["plan"]["rules"]:
        lines += ["", "[[rules]]", *_pairs(rule)]
    return "\n".join(lines) + "\n"


def _pairs(values: Mapping[str, Any]) -> list[str]:
    return [f"{key} = {_toml(value)}" for key, value in values.items()]


def _toml(value: Any) -> str:
    """A value in TOML; its strings, numbers and lists are JSON's, tables are written on one line."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def experiment_schema() -> dict[str, Any]:
    """The JSON Schema of experiment files, for editors."""
    schema = EXPERIMENT.schema()
    workload = schema["properties"]["workload"]
    workload["allOf"] = [
        {
            "if": {"required": ["profile"], "properties": {"profile": {"const": name}}},
            "then": {"properties": {"options": schema_of_options(PROFILES.get(name))}},
        }
        for name in PROFILES.names()
    ]
    return {"$schema": DRAFT, "title": "chaosbot experiment", **schema}


def plan_schema() -> dict[str, Any]:
    """The JSON Schema of plan files, for editors."""
    return {"$schema": DRAFT, "title": "chaosbot fault plan", **PLAN.schema()}
