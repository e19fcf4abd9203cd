"""An answer of which only a part came is not passed off as the whole.

A stream that ends too early raises nothing in official SDKs, and neither does the bound of tokens or a filter: only the reason to stop says
so. Judged by what the user finally sees: the part alone, unchanged, and nothing after it. A note, an apology, or a complete second answer
all keep the rule.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from chaosbot.checks._models import Broken, ModelCheck, Models
from chaosbot.core.verdict import RootCause, Severity

_WHY: Final = {"length": "its bound of tokens", "refusal": "a refusal"}


@dataclass(frozen=True)
class LlmTruncationShown(ModelCheck):
    """A part of an answer is not shown as the whole."""

    def looks(self, models: Models) -> Iterator[Broken | None]:
        """Goes through the answers of which a part came."""
        for call in models.calls:
            called = call.called
            cut = call.incomplete and called.status == 200
            if not called.answer or not (cut or called.stop in ("length", "refusal")):
                continue
            shown = models.shown(called.answer)
            if not shown:
                continue
            last = shown[-1]
            alone = last.text.strip() in called.text and f"cbae{called.answer}" not in last.answers
            marker = next(iter(called.markers), "")
            after = [
                one
                for one in models.replies(marker, last.t)
                if one is not last and called.answer not in str(one.answers)
            ]
            if not alone or after or f"cbae{called.answer}" in [mark for one in shown for mark in one.answers]:
                yield None
                continue
            yield Broken(
                RootCause("partial", place="cut" if cut else called.stop),
                "shows a part of an answer as if it were the whole"
                + ("" if cut else f" (the model stopped for {_WHY[called.stop]})"),
                Severity.HIGH if cut else Severity.MEDIUM,
                called.exchange,
                f"chat {last.chat} got {last.text[:80]!r} and nothing more",
            )
