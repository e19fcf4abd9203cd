"""Text arrives unharmed, however the network cut it.

A character that spans two segments is the classic: decoded piece by piece it becomes two replacement characters.
"""

# ruff: noqa: ARG002 -- the checks share one signature, whatever each of them needs of it
from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from unicodedata import category, normalize

from chaosbot.checks._cases import CaseCheck, Violation, says, texts
from chaosbot.core.event import ApiCalled, CampaignStarted, CaseTried
from chaosbot.core.verdict import RootCause, Severity

_RUNS = re.compile(r"([\x20-\x7e]+)")


@cache
def _lenient(text: str) -> re.Pattern[str]:
    """Matches the text with anything short in place of what is not ASCII."""
    return re.compile(
        "".join(re.escape(part) if part.isascii() else ".{0,32}" for part in _RUNS.split(text) if part), re.DOTALL
    )


def _tidied(text: str) -> str:
    """The text as a target may tidy it up: white space as one blank, characters composed, nothing that cannot be seen."""
    shown = (one for one in normalize("NFKC", text) if one.isspace() or not category(one).startswith("C"))
    return " ".join("".join(shown).split())


@dataclass(frozen=True)
class TextIntact(CaseCheck):
    """What the user wrote is what the bot works with."""

    needs_calls = True

    def looks_at(self, tried: CaseTried, seen: CampaignStarted) -> bool:
        """Cases with a text that matters."""
        return tried.expect is not None and bool(tried.expect.text)

    def violation(self, tried: CaseTried, calls: Sequence[ApiCalled], seen: CampaignStarted) -> Violation | None:
        """A reply repeats the text, but not unharmed. A reply that does not repeat it, or tidied up, says nothing."""
        wanted = tried.expect.text if tried.expect is not None else ""
        said = texts(calls)
        tidy = _tidied(wanted)
        if wanted.isascii() or any(wanted in text or tidy in _tidied(text) for text in said):
            return None
        if any(_lenient(wanted).search(text) for text in said):
            return Violation(
                RootCause("damaged"),
                f"text is damaged: {tried.summary or tried.case}",
                Severity.MEDIUM,
                tried.threat,
                says(tried),
                category="encoding",
            )
        return None
