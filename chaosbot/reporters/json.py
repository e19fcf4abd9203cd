"""report.json: the contract ``chaosbot.report/1``.

Rules: times in milliseconds where the key ends with ``_ms`` (and for the quantiles in windows and faults), shares 0..1, keys
absent where a verb has none. Assertions speak in the unit of their bound.
"""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Final

from chaosbot.core.stats import Interval
from chaosbot.core.verdict import Assertion, Finding
from chaosbot.report.reporter import Reporter
from chaosbot.report.values import (
    WHOLE_RUN,
    Fates,
    FaultRow,
    Generator,
    Load,
    ModelUse,
    Quantiles,
    Report,
    SlowRequest,
    StreamRow,
)

SCHEMA: Final = "chaosbot.report/1"
ENVIRONMENT: Final = ("python", "mitmproxy", "platform")


def _number(value: float | None, digits: int = 3) -> float | int | None:
    """A figure as JSON knows it: rounded, whole where it is whole, null where it is none."""
    if value is None or not math.isfinite(value):
        return None
    rounded = round(value, digits)
    return int(rounded) if rounded == int(rounded) else rounded


def _ms(seconds: float | None) -> float | int | None:
    return None if seconds is None else _number(seconds * 1e3)


def _interval(interval: Interval | None) -> list[float | int | None] | None:
    return None if interval is None else [_number(end, 6) for end in interval]


def _quantiles(found: Quantiles) -> dict[str, Any]:
    places = {"p50": found.p50, "p90": found.p90, "p95": found.p95, "p99": found.p99}
    places |= {"p999": found.p999, "max": found.max, "mean": found.mean}
    return {name: _ms(value) for name, value in places.items()}


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.id,
        "check": finding.check,
        "severity": finding.severity.value,
        "threat": finding.threat.value,
        "title": finding.title,
        "category": finding.category,
        "case": {"summary": finding.summary or finding.case, "request_b64": b64encode(finding.request).decode()},
        "occurrences": finding.occurrences,
        "reproduce": {"chaosbot": finding.reproduce, "curl": finding.curl},
    }


def _assertion(assertion: Assertion) -> dict[str, Any]:
    plain = {
        "name": assertion.name,
        "target": assertion.target,
        "alert": assertion.alert,
        "observed": _number(assertion.observed, 6),
        "verdict": assertion.verdict.value,
        **({"window": assertion.window} if assertion.window else {}),
    }
    return plain if assertion.interval is None else {**plain, "interval": _interval(assertion.interval)}


def _load(load: Load) -> dict[str, Any]:
    return {
        "window": WHOLE_RUN,
        "planned": load.planned,
        "started": load.started,
        "completed": load.completed,
        "failed": load.failed,
        "timed_out": load.timed_out,
        "dropped": load.dropped,
        "offered_rps": _number(load.offered_rps),
        "achieved_rps": _number(load.achieved_rps),
        "response_ms": _quantiles(load.response),
        "service_ms": _quantiles(load.service),
        "errors": dict(load.errors),
        "by_task": dict(load.by_task),
        "tasks": [
            {
                "name": task.name,
                "requests": task.done,
                "failed": task.failed,
                "errors": dict(task.errors),
                "rps": _number(task.rps),
                "response_ms": _quantiles(task.response),
            }
            for task in load.tasks
        ],
        **({"streams": [_stream(one) for one in load.streams]} if load.streams else {}),
        **({"slowest": [_slow(one) for one in load.slowest]} if load.slowest else {}),
        **({"slowest_lacks": load.slowest_lacks} if load.slowest_lacks else {}),
    }


def _stream(one: StreamRow) -> dict[str, Any]:
    return {
        "name": one.name,
        "connects": one.connects,
        "failed_connects": dict(one.failed),
        "closes": dict(one.ends),
        "broken": one.broken,
        "quiet": one.quiet,
        "early": one.early,
        "dried": one.dried,
        "messages": one.messages,
        "messages_per_s": _number(one.messages_per_s),
        "bytes": one.received,
        "peak": one.peak,
        "connect_ms": _quantiles(one.connect),
        "gap_ms": _quantiles(one.gap),
        "latency_ms": _quantiles(one.latency),
        **({"missing": one.missing} if one.missing else {}),
    }


def _slow(one: SlowRequest) -> dict[str, Any]:
    return {
        "at_s": _number(one.at_s),
        "task": one.task,
        "response_ms": _ms(one.response),
        "status": one.status,
        "exchange": one.exchange,
        "trace": one.trace,
    }


def _fates(fates: Fates) -> dict[str, Any]:
    return {"requests": fates.requests, "errors": fates.errors, "p50": _ms(fates.p50), "p99": _ms(fates.p99)}


def _fault(row: FaultRow) -> dict[str, Any]:
    plain = {
        "rule": row.rule,
        "fault": row.fault,
        "depth": row.depth,
        "decided": row.decided,
        "applied": row.applied,
    }
    return plain if row.touched is None else {**plain, "touched": _fates(row.touched)}


def _models(use: ModelUse) -> dict[str, Any]:
    return {
        "prices_usd": {name: list(pair) for name, pair in use.prices.items()},
        "rows": [
            {
                "name": row.name,
                "updates": row.updates,
                "calls": row.calls,
                "failed": row.failed,
                "input_tokens": row.input_tokens,
                "output_tokens": row.output_tokens,
                "cost_usd": _number(row.cost, 6),
                "calls_per_update": _number(row.calls_per_update),
                "tokens_per_update": _number(row.tokens_per_update),
                "cost_per_update_usd": _number(row.cost_per_update, 8),
                "amplification": _number(use.amplification(row)),
                "first_token_ms": _quantiles(row.first_token),
                "first_sight_ms": _quantiles(row.first_sight),
            }
            for row in use.rows
        ],
    }


def _generator(generator: Generator) -> dict[str, Any]:
    lateness = {"p50": generator.lateness_p50, "p99": generator.lateness_p99, "max": generator.lateness_max}
    return {
        "lateness_ms": {name: _ms(value) for name, value in lateness.items() if value is not None},
        "cpu": _number(generator.cpu),
        "valid": generator.valid,
    }


def _sections(report: Report) -> Mapping[str, Any]:
    """The sections that not every verb has; those that are empty vanish."""
    coverage, deliveries, circuits = report.coverage, report.deliveries, report.circuits
    return {
        "load": report.load and _load(report.load),
        "coverage": coverage
        and {
            "commands": dict(coverage.commands),
            "update_kinds": dict(coverage.update_kinds),
            "cases": dict(coverage.cases),
            "operators": {name: asdict(share) for name, share in coverage.operators.items()},
            "places": {name: asdict(share) for name, share in coverage.places.items()},
            **{
                name: [asdict(one) for one in found]
                for name in ("code", "unreached", "blocked")
                if (found := getattr(coverage, name))
            },
        },
        "faults": [_fault(row) for row in report.faults],
        "windows": [
            {
                "name": window.name,
                "from_s": _number(window.from_s),
                "to_s": _number(window.to_s),
                "p50": _ms(window.p50),
                "p99": _ms(window.p99),
                "error_rate": _number(window.error_rate, 6),
                "rps": _number(window.rps),
            }
            for window in report.windows
        ],
        "recovery": [{"fault": one.fault, "seconds": _number(one.seconds)} for one in report.recovery],
        "deliveries": deliveries
        and {
            name: value
            for name in ("sent", "acknowledged", "lost", "duplicated", "unexpected", "redelivered")
            if (value := getattr(deliveries, name)) is not None
        },
        "models": report.models and _models(report.models),
        "circuits": circuits and {"trips": circuits.trips, "recovered": circuits.recovered},
        "soak": [
            {
                "series": one.series,
                "slope_per_hour": _number(one.slope_per_hour, 6),
                "interval": _interval(one.interval),
                "minimum_detectable": _number(one.minimum_detectable, 6),
                "verdict": one.verdict,
            }
            for one in report.soak
        ],
        "generator": report.generator and _generator(report.generator),
        "steered": [{"t": _number(t), "what": what, "value": value} for t, what, value in report.steered],
    }


def to_json(report: Report) -> dict[str, Any]:
    """The report as report.json holds it."""
    return {
        "schema": SCHEMA,
        "verb": report.verb,
        "version": report.version,
        "seed": report.seed,
        "target": report.target,
        "started": report.started,
        "duration_s": _number(report.duration_s),
        "verdict": report.verdict.value,
        "reasons": list(report.reasons),
        "findings": [_finding(finding) for finding in report.findings],
        "judged": [
            {"check": check, "subject": subject.name, "judged": not subject.reason, "reason": subject.reason}
            for check, subject in report.subjects
        ],
        "assertions": [_assertion(assertion) for assertion in report.assertions],
        **{name: section for name, section in _sections(report).items() if section},
        "environment": {name: report.environment[name] for name in ENVIRONMENT if name in report.environment},
    }


@dataclass(frozen=True)
class JsonReporter(Reporter):
    """The contract ``chaosbot.report/1``."""

    file: ClassVar[str] = "report.json"

    def render(self, report: Report) -> str:
        """The whole report."""
        return json.dumps(to_json(report), indent=2, ensure_ascii=False) + "\n"
