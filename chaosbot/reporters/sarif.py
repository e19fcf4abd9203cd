"""report.sarif: findings as SARIF 2.1.0, for code-scanning views.

A finding of a running target has no line of source; its place is the endpoint that showed it, as a logical location, and an
artifact location as a relative reference, which viewers that insist on files accept.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, ClassVar, Final
from urllib.parse import quote, urlsplit

from chaosbot.core.check import CHECKS
from chaosbot.core.errors import UnknownName
from chaosbot.core.registry import describe
from chaosbot.core.verdict import Finding, Severity
from chaosbot.report.guidance import guidance, page_address
from chaosbot.report.reporter import Reporter
from chaosbot.report.scrub import tame
from chaosbot.report.values import Report

SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS: Final = {
    Severity.CRITICAL: "error",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "note",
}
# GitHub sorts by this number (CVSS-like) where it is there.
SCORES: Final = {Severity.CRITICAL: "9.5", Severity.HIGH: "8.0", Severity.MEDIUM: "5.5", Severity.LOW: "3.0"}


def _rule(check: str, findings: list[Finding]) -> dict[str, Any]:
    try:
        page = describe(CHECKS.get(check))
    except UnknownName:
        page = check.replace("_", " ")
    told = guidance(check)
    worst = min(findings, key=lambda one: one.severity.rank).severity
    return {
        "id": check,
        "name": "".join(part.capitalize() for part in check.split("_")) or "Check",
        "shortDescription": {"text": page.splitlines()[0] if page else check},
        "fullDescription": {"text": page or check},
        **({"help": {"text": told, "markdown": told}} if told else {}),
        **({"helpUri": page_address(check)} if page_address(check) else {}),
        "defaultConfiguration": {"level": LEVELS[worst]},
        "properties": {
            "security-severity": SCORES[worst],
            "tags": sorted({"chaosbot", *(one.threat.value for one in findings)}),
        },
    }


def _result(finding: Finding, rules: list[str], target: str) -> dict[str, Any]:
    path = urlsplit(target).path.lstrip("/") if "://" in target else ""
    text = ": ".join(filter(None, [finding.title, finding.summary]))
    return {
        "ruleId": finding.check,
        "ruleIndex": rules.index(finding.check),
        "level": LEVELS[finding.severity],
        "message": {"text": text or finding.id},
        "locations": [
            {
                "physicalLocation": {"artifactLocation": {"uri": quote(path or "webhook")}, "region": {"startLine": 1}},
                "logicalLocations": [{"name": finding.category or finding.check, "kind": "resource"}],
            }
        ],
        "partialFingerprints": {"chaosbot/v1": finding.id},
        "occurrenceCount": max(1, finding.occurrences),
        "properties": {
            "severity": finding.severity.value,
            "threat": finding.threat.value,
            "case": finding.case,
            "reproduce": finding.reproduce,
            "curl": finding.curl,
        },
    }


def render_sarif(report: Report) -> str:
    """The findings as a SARIF 2.1.0 log."""
    report = tame(report)
    rules = list(dict.fromkeys(finding.check for finding in report.findings))
    run = {
        "tool": {
            "driver": {
                "name": "chaosbot",
                "version": report.version,
                "rules": [_rule(rule, [one for one in report.findings if one.check == rule]) for rule in rules],
            }
        },
        "invocations": [
            {
                "executionSuccessful": report.how == "completed",
                "properties": {"verdict": report.verdict.value, "reasons": list(report.reasons), "seed": report.seed},
            }
        ],
        "results": [_result(finding, rules, report.target) for finding in report.findings],
        "columnKind": "utf16CodeUnits",
    }
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=2, ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class SarifReporter(Reporter):
    """Findings for code-scanning views."""

    file: ClassVar[str] = "report.sarif"

    def render(self, report: Report) -> str:
        """The whole report."""
        return render_sarif(report)
