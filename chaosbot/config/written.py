"""Experiments written down again, and the JSON Schema of their files for editors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from chaosbot.config.experiment import Experiment
from chaosbot.core.fault import FAULTS
from chaosbot.core.profile import PROFILES


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
    duration = {"type": "string", "pattern": r"^\s*[0-9.]+\s*(ns|us|µs|ms|s|m|min|h|d)", "examples": ["250ms", "1.5s"]}
    texts_schema = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
    strings = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}}
    rule_texts = {name: {"type": "string"} for name in ("name", "method", "path", "kind", "command", "tier", "phase")}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "chaosbot experiment",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            **{name: {"type": "string"} for name in ("name", "about", "target", "platform", "secret_env", "outbound")},
            "seed": {"type": "integer", "minimum": 0},
            "platform_options": {"type": "object"},
            **dict.fromkeys(("allow_hosts", "thresholds", "abort_on", "checks"), texts_schema),
            "alone": {"type": "boolean"},
            "limits": {"type": "boolean"},
            "fuzz": duration,
            "workload": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "profile": {"type": "string", "enum": list(PROFILES.names())},
                    "options": {"type": "object"},
                    "users": {"type": "integer", "minimum": 0},
                    "rate": {"type": "string", "examples": ["100/s"]},
                    "sender": {"enum": ["raw", "telegram"]},
                    "slow_share": {"type": ["number", "string"]},
                    "processes": {"type": "integer", "minimum": 1},
                    "timeout": duration,
                },
            },
            "phases": {
                "type": "object",
                "additionalProperties": False,
                "properties": dict.fromkeys(("warmup", "baseline", "fault", "recovery", "cooldown"), duration),
            },
            "probes": {
                "type": "object",
                "additionalProperties": False,
                "properties": {"health": {"type": "string"}, "metrics": {"type": "string"}, "pid": {"type": "integer"}},
            },
            "rules": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["fault"],
                    "additionalProperties": False,
                    "properties": {
                        "fault": {"type": "string", "examples": list(FAULTS.names())},
                        "options": {"type": "object"},
                        **rule_texts,
                        "user": {"type": ["string", "integer"]},
                        "direction": {"enum": ["inbound", "outbound"]},
                        "scope": {"enum": ["connection", "exchange", "update"]},
                        "per": {"enum": ["", "chat", "user", "update"]},
                        "p": {"type": ["number", "string"]},
                        "rate": {"type": ["number", "string"]},
                        "headers": strings,
                        "body": strings,
                        **{name: {"type": "integer", "minimum": 1} for name in ("first", "nth", "cap")},
                        "every": {"anyOf": [{"type": "integer", "minimum": 1}, duration]},
                        "start": duration,
                        "for": duration,
                    },
                },
            },
        },
    }
