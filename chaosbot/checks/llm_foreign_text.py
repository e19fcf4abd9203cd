"""What one user says, and what a model answers to it, reaches nobody else: neither their chat nor their prompt.

A history that is shared by accident, a cache by the wrong key, or a variable of the module hands one user's words to the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from chaosbot.checks._models import Broken, ModelCheck, Models
from chaosbot.core.verdict import RootCause, Severity, Threat


@dataclass(frozen=True)
class LlmForeignText(ModelCheck):
    """Conversations stay apart."""

    def looks(self, models: Models) -> Iterator[Broken | None]:
        """Looks for markers and marks where they do not belong."""
        for call in models.calls:
            called = call.called
            own = models.asked.get(next(iter(called.markers), ""))
            if own is None:
                continue
            foreign = [
                other
                for marker in called.earlier
                if (other := models.asked.get(marker)) is not None
                and not {other.chat, other.user} & {own.chat, own.user}
            ]
            shown = [
                one
                for one in models.said.get(called.answer, ())
                if called.answer and str(one.chat) not in (own.chat, own.user)
            ]
            if foreign:
                yield Broken(
                    RootCause("prompt"),
                    "sends one user's words to the model with another user's question",
                    Severity.CRITICAL,
                    called.exchange,
                    f"the call for chat {own.chat} holds words of chat {foreign[0].chat}",
                    Threat.USER,
                )
            elif shown:
                yield Broken(
                    RootCause("chat"),
                    "shows one user the answer to another",
                    Severity.CRITICAL,
                    called.exchange,
                    f"the answer for chat {own.chat} reached chat {shown[0].chat}",
                    Threat.USER,
                )
            else:
                yield None
