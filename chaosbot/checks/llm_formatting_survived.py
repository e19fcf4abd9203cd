"""An answer that the platform refuses for its form is sent again in another one.

Models write open markup and more than a message holds; the Bot API answers 400 and the reply is lost, unless it is sent plainly, or in pieces.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from chaosbot.checks._models import Broken, ModelCheck, Models
from chaosbot.checks._outbound import reached
from chaosbot.core.registry import option
from chaosbot.core.verdict import RootCause, Severity

_LONG: Final = 1024
"""Tokens that a message does not hold."""


@dataclass(frozen=True)
class LlmFormattingSurvived(ModelCheck):
    """A refused form is not a lost answer."""

    within: float = option("duration", "how long another form may take", 5.0, primary=True)

    def looks(self, models: Models) -> Iterator[Broken | None]:
        """Looks at what follows a message with an answer that was refused with 400."""
        for mark, sent in models.said.items():
            refused = [one for one in sent if one.status == 400]
            if not refused:
                continue
            call = models.by_mark.get(mark)
            marker = next(iter(call.called.markers), "") if call is not None else ""
            arrived = [one for one in sent if reached(one)] or models.replies(marker, refused[0].t)
            if not arrived and models.end_s - refused[-1].t < self.within:
                continue
            yield (
                None
                if arrived
                else Broken(
                    RootCause(
                        "refused", place="long" if call is not None and call.called.output_tokens > _LONG else "markup"
                    ),
                    "loses an answer whose form the platform refuses",
                    Severity.HIGH,
                    refused[0].exchange,
                    f"{refused[0].method} to {refused[0].chat} was refused ({len(refused)} times) and nothing followed",
                )
            )
