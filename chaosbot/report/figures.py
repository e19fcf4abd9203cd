"""Figures and texts as people read them, the same in every format."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from chaosbot.core.verdict import Assertion, Severity, Verdict
from chaosbot.report.values import Report

_UNIT: Final = re.compile(r"[<>]?=?\s*[-+]?[\d.,]+(?:e[-+]?\d+)?\s*(?P<unit>\S.*)?", re.IGNORECASE | re.DOTALL)
MARKS: Final = {Verdict.PASS: "✅", Verdict.INCONCLUSIVE: "❔", Verdict.INVALID: "⚠️", Verdict.FAIL: "❌"}
SERIOUS: Final = frozenset({Severity.CRITICAL, Severity.HIGH})
# GitHub cuts comments at 65 536 characters; a comment that long would not be read anyway.
LONGEST_TEXT: Final = 300
_ACTIVE: Final = re.compile(r"([\\`*_{}\[\]()#+!|~<>@$])")


def shown(value: float | None) -> str:
    """A figure as people read it."""
    if value is None:
        return "unknown"
    # Adding 0.0 turns a minus zero into a plain one.
    return f"{value + 0.0:.4g}" if abs(value) < 1e4 else f"{value:.0f}"


def dollars(value: float | None) -> str:
    """An amount of US dollars, which may be a small part of a cent."""
    if value is None:
        return "–"
    return f"${value:.2f}" if value >= 1 or not value else f"${Decimal(f'{value:.2g}'):f}"  # no exponent: $0.000025


def measured(assertion: Assertion) -> str:
    """What was observed, in the unit of its bound."""
    if assertion.observed is None:
        return "unknown"
    match = _UNIT.fullmatch(assertion.target.strip())
    return f"{shown(assertion.observed)} {match['unit'] if match and match['unit'] else ''}".strip()


def escape(text: str) -> str:
    """A text of the run as plain words: nothing in it is markup, a mention or a line of its own."""
    flat = " ".join(text.split())
    cut = flat if len(flat) <= LONGEST_TEXT else flat[: LONGEST_TEXT - 1] + "…"
    # The zero-width space keeps "@team" from paging anybody and a bare address from becoming a link.
    return _ACTIVE.sub(r"\\\1", cut).replace("\\@", "@\u200b").replace("://", ":\u200b//")


def code(text: str) -> str:
    """A text as inline code, whatever backticks it holds."""
    flat = " ".join(text.split())
    fence = "`" * (max((len(run) for run in re.findall(r"`+", flat)), default=0) + 1)
    pad = " " if flat.startswith("`") or flat.endswith("`") else ""
    return f"{fence}{pad}{flat}{pad}{fence}".replace("|", "\\|") if flat else ""


MOST_ANNOTATED: Final = 10
"""GitHub shows so many annotations of a step; the report has all."""


def github_lines(report: Report) -> list[str]:
    """Findings and broken promises as GitHub's workflow commands, the worst first; they show as annotations of the run."""
    lines = [
        (
            "error" if finding.severity in SERIOUS else "warning",
            f"{finding.check}: {finding.severity.value}",
            finding.title,
        )
        for finding in report.findings
    ]
    for one in report.assertions:
        if one.verdict is not Verdict.PASS:
            kind = "error" if one.verdict is Verdict.FAIL else "warning"
            lines.append((kind, f"promise {one.name}", f"{measured(one)}, wanted {one.target}. {one.reason}"))
    lines.sort(key=lambda line: line[0])  # errors before warnings
    return [
        f"::{kind} title={_command(title, more=True)}::{_command(text)}" for kind, title, text in lines[:MOST_ANNOTATED]
    ]


def _command(text: str, *, more: bool = False) -> str:
    """A text inside a workflow command, which ends at a line's end and, in a property, at a comma or colon."""
    for raw, escaped in (("%", "%25"), ("\r", "%0D"), ("\n", "%0A"), *((":", "%3A"), (",", "%2C")) * more):
        text = text.replace(raw, escaped)
    return text
