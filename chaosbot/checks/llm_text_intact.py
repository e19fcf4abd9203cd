"""A whole answer arrives whole: its beginning and its end, once each.

Long answers are split, shortened or edited into place; what gets lost there is their end. Judged by the marks that the mock puts at both
ends of each answer. Where the stream itself was damaged so that nobody can notice, nothing is judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from chaosbot.checks._models import Broken, ModelCheck, Models
from chaosbot.core.verdict import RootCause, Severity

_HARMLESS: Final = frozenset(
    {"llm_slow", "llm_stall", "llm_split", "llm_keepalive", "llm_hostile_text", "llm_no_usage", "delay"}
)


@dataclass(frozen=True)
class LlmTextIntact(ModelCheck):
    """A whole answer is shown whole."""

    def looks(self, models: Models) -> Iterator[Broken | None]:
        """Goes through the answers that came whole and were shown."""
        for call in models.calls:
            called = call.called
            if not called.answer or not call.good or (call.faults and not set(call.faults) <= _HARMLESS):
                continue
            shown = models.shown(called.answer)
            if not shown:
                continue
            marks = [mark for one in shown for mark in one.answers if mark[4:] == called.answer]
            begins, ends = marks.count(f"cbas{called.answer}"), marks.count(f"cbae{called.answer}")
            if begins and ends == begins:
                yield None
                continue
            lost = "end" if ends < begins else "beginning"
            yield Broken(
                RootCause("cut", place=lost),
                f"shows an answer without its {lost}",
                Severity.MEDIUM,
                called.exchange,
                f"chat {shown[0].chat} got {len(shown)} messages of the answer; its {lost} is missing",
            )
