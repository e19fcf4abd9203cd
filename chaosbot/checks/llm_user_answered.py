"""A user whose model call failed hears something: an apology, a plainer answer, anything that can be seen.

An overloaded provider is the ordinary case, and the only thing that the user can be given then is a word. Judged where an update was
acknowledged and none of its calls brought an answer that can be shown. A bot that is behind with everybody gets as long as it took with
those who heard something.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from chaosbot.checks._models import PATIENCE_S, Broken, Call, ModelCheck, Models
from chaosbot.core.registry import option
from chaosbot.core.verdict import RootCause, Severity


@dataclass(frozen=True)
class LlmUserAnswered(ModelCheck):
    """A failed call ends in a word to the user."""

    within: float = option(
        "duration", "how long a user may wait for a word after the last call", PATIENCE_S, primary=True
    )

    def looks(self, models: Models) -> Iterator[Broken | None]:
        """Goes through the updates for which no call was good."""
        silent: list[tuple[str, list[Call]]] = []
        heard_s: list[float] = []
        for marker, calls in models.by_marker.items():
            asked, last = models.asked.get(marker), calls[-1]
            if asked is None or asked.answered is None or any(call.good and not call.called.tools for call in calls):
                continue
            if replies := models.replies(marker, asked.start):
                heard_s.append(min(reply.t for reply in replies) - last.end)
                yield None
            else:
                silent.append((asked.chat, calls))
        patience_s = max(self.within, *heard_s) if heard_s else self.within
        for chat, calls in silent:
            last = calls[-1]
            if models.end_s - last.end < patience_s:
                continue
            met = ", ".join(sorted({name for call in calls for name in call.faults})) or f"status {last.called.status}"
            yield Broken(
                RootCause("silent", place="" if last.called.status != 200 or last.incomplete else "empty"),
                "acknowledges an update and says nothing when the model gives no answer",
                Severity.HIGH,
                last.called.exchange,
                f"{len(calls)} calls failed ({met}) and nothing reached chat {chat}",
            )
