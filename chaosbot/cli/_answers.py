"""Compares what was found with what was planted: the demo's answer key.

A planted bug counts as found when a finding of one of its checks was shown by a case (or a fault) that meets this bug and none of the
others; a check's name alone would let one finding stand for many bugs.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from rich.console import Console
from rich.text import Text

from chaosbot.core.check import History
from chaosbot.core.units import format_duration
from chaosbot.core.verdict import Finding
from chaosbot.demo.bugs import CARDS, Bug, BugCard

SHOWN_BY: Final[dict[Bug, tuple[str, ...]]] = {
    Bug.CRASH_ON_MISSING_CHAT: ("shape/message-*", "chats/*", "mutation/message*"),
    Bug.CRASH_ON_NON_OBJECT_ROOT: ("json/root-*",),
    Bug.CRASH_ON_TRUNCATED_JSON: ("json/truncated-*",),
    Bug.CRASH_ON_DEEP_NESTING: ("structure/nested-*", "structure/deep-*"),
    Bug.SLOW_TEXT_BLOCKS_LOOP: ("*",),
    Bug.UNKNOWN_KIND_REFUSED: ("update_kinds/unknown-*",),
    Bug.SPLIT_UTF8_CORRUPTED: ("timing/split-*",),
    Bug.EXIT_ON_CALLBACK_WITHOUT_MESSAGE: (
        "callbacks/message-*",
        "update_kinds/callback_query-*",
        "golden/callback_query/*",
    ),
    Bug.GZIP_BOMB: ("encoding/*",),
    Bug.SECRET_PREFIX_ACCEPTED: ("auth/secret-*",),
    Bug.SECRET_IN_QUERY: ("auth/query-*",),
    Bug.BODY_BEFORE_SECRET: ("auth/unparsed-*",),
    Bug.UNCAPPED_BODY: ("auth/costly-*",),
    Bug.CRASH_ON_NON_ASCII_SECRET: ("auth/odd-*", "auth/secret-nbsp"),
    Bug.TIER_FROM_REPLY: ("escalation/reply*", "vocabulary/*-reply*"),
    Bug.TIER_FROM_FORWARD: ("escalation/forward*", "vocabulary/*-forward*"),
    Bug.ADMIN_BY_USERNAME: ("escalation/username*", "vocabulary/*-username*"),
    Bug.EDITED_COMMAND_UNCHECKED: ("escalation/edited*", "vocabulary/*-edited*"),
    Bug.UPPERCASE_COMMAND_UNCHECKED: ("commands/upper-*", "vocabulary/*-spelling-*"),
    Bug.FAKE_SENDER_TRUSTED: ("identity/*", "escalation/*anonymous*", "vocabulary/*-anonymous*"),
    Bug.CALLBACK_TRUSTED: ("objects/approve*", "*presses approve*"),
    Bug.FOREIGN_REMINDERS: ("objects/*", "foreign-*"),
    # What only load under faults shows has no case; its check is about nothing else.
    Bug.CRASH_ON_HTML_ERROR: ("answers 500 *while*",),
    Bug.CIRCUIT_NEVER_CLOSES: ("stuck",),
    Bug.MIGRATION_IGNORED: ("not-followed",),
    Bug.NO_OUTBOUND_TIMEOUT: ("no-timeout",),
    Bug.UPDATES_KEPT_FOR_EVER: ("drift*",),
    Bug.NO_LLM_TIMEOUT: ("no-timeout",),
    Bug.KEY_IN_ERROR: ("key:message",),
    Bug.MARKDOWN_UNESCAPED: ("refused:markup",),
    Bug.NO_SPLIT: ("refused:long",),
    Bug.EMPTY_ANSWER: ("silent:empty",),
    Bug.ERRORS_LEAK: ("token*", "secret*", "traceback*", "path*"),
}
"""Patterns over cases that met the bug, or over a finding's case, category, bucket and title; without an entry, the check is
enough."""

UNPROMISED: Final[dict[Bug, str]] = {
    Bug.UPDATES_KEPT_FOR_EVER: "needs a soak: chaosbot load --profile soak",
}
"""Bugs that a short tour cannot show, with what can."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One planted bug and the findings that show it."""

    card: BugCard
    findings: tuple[Finding, ...]
    note: str = ""

    @property
    def found(self) -> bool:
        """Whether it was found."""
        return bool(self.findings)

    @property
    def promised(self) -> bool:
        """Whether the tour promises to find it."""
        return not self.note


def answer_key(bugs: frozenset[Bug], findings: Sequence[Finding], history: History) -> tuple[Answered, ...]:
    """What was found of each planted bug, in the order of the cards."""
    breached = {(check, case.case) for case in history.cases for check in case.violations}
    return tuple(
        Answered(
            card,
            tuple(finding for finding in findings if _shows(card, finding, breached)),
            UNPROMISED.get(bug, ""),
        )
        for bug, card in CARDS.items()
        if bug in bugs
    )


def print_answers(console: Console, answers: Sequence[Answered]) -> None:
    """Shows which planted bug was found by which check, and below each what is wrong."""
    width = max((len(answer.card.bug) for answer in answers), default=0)
    console.print()
    for answer in answers:
        mark, style = ("✓", "green") if answer.found else ("✗", "red") if answer.promised else ("–", "dim")
        by = ", ".join(sorted({finding.check for finding in answer.findings})) or answer.note or "not found"
        line = Text.assemble((mark, style), f" {answer.card.bug:<{width}}  {by}")
        console.print(line, soft_wrap=True)
        console.print(Text(f"    {answer.card.what}", style="dim"), soft_wrap=True)


def summary(answers: Sequence[Answered], seconds: float, *, cut: bool) -> str:
    """What the tour came to (rich markup): it speaks of the tour, where the verdict speaks of the bot.

    Args:
        answers: The answer key.
        seconds: How long it took.
        cut: Whether time ran out before all cases were sent.
    """
    promised = [answer for answer in answers if answer.promised]
    missing = [str(answer.card.bug) for answer in promised if not answer.found]
    came = f"{len(promised) - len(missing)} of {len(promised)} planted bugs found in {format_duration(round(seconds))}"
    if not missing:
        return f"[bold green]As promised:[/] {came}, exit code 0. (FAIL is the verdict on the bot, which deserves it.)"
    why = (
        "Time ran out before all cases were sent: this machine is too slow, or busy with something else."
        if cut
        else "The report's reasons may say why."
    )
    return f"[bold red]Less than promised:[/] {came}, not {', '.join(missing)}; exit code 1. {why}"


def _shows(card: BugCard, finding: Finding, breached: AbstractSet[tuple[str, str]]) -> bool:
    """Whether the finding is of one of the bug's checks, and that check was broken by something that meets the bug."""
    if finding.check not in card.checks:
        return False
    patterns = SHOWN_BY.get(card.bug, ("*",))
    texts = [finding.case, finding.category, str(finding.cause), finding.title]
    texts += [case for check, case in breached if check == finding.check]
    return any(fnmatchcase(text, pattern) for pattern in patterns for text in texts)
