"""What the demo says at its end: which planted bug was found by which check, and whether that is what it promised."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from chaosbot.cli._answers import Answered, answer_key, print_answers, summary
from chaosbot.core.check import History
from chaosbot.core.verdict import Finding, RootCause, Severity, Threat
from chaosbot.demo.bugs import CARDS, FRAGILE, Bug


def answers(*found: Bug) -> tuple[Answered, ...]:
    findings = [
        Finding(CARDS[bug].checks[0], "t", Severity.HIGH, Threat.USER, RootCause("b"), case="", category="")
        for bug in found
    ]
    keyed = answer_key(FRAGILE, (), History.of([]))
    shown = dict(zip(found, findings, strict=True))
    return tuple(Answered(one.card, (shown[one.card.bug],) if one.card.bug in shown else (), one.note) for one in keyed)


def test_the_table_fits_80_columns_and_names_every_bug_on_a_line_of_its_own() -> None:
    console = Console(file=io.StringIO(), width=80)
    print_answers(console, answers(Bug.GZIP_BOMB))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 90
    for bug in FRAGILE:
        assert [line for line in lines if line[2:].startswith(f"{bug} ")], bug
    assert any(line.startswith("✓ gzip-bomb") and line.endswith("bounded_resources") for line in lines)
    assert any(line.startswith("✗ no-dedup") and line.endswith("not found") for line in lines)


def test_a_kept_promise_says_so_beside_the_exit_code_and_explains_the_verdict() -> None:
    every = answers(*FRAGILE)
    text = summary(every, 64.6, cut=False)
    assert "44 of 44 planted bugs found in 1m 5s" in text
    assert "exit code 0" in text
    assert "FAIL" in text


@pytest.mark.parametrize(("cut", "why"), [(True, "too slow"), (False, "reasons")])
def test_a_broken_promise_names_what_is_missing_and_what_may_be_why(cut: bool, why: str) -> None:
    text = summary(answers(*(FRAGILE - {Bug.GZIP_BOMB, Bug.NO_DEDUP})), 89.0, cut=cut)
    assert "42 of 44" in text
    assert "not gzip-bomb, no-dedup" in text
    assert "exit code 1" in text
    assert why in text
