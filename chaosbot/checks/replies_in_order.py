"""Messages of one chat are answered in their order.

Each update leaves when the one before it was acknowledged, and the API is slow for the first answer, as networks are now and then. A bot
that acknowledges first and works on the messages of a chat side by side answers the second before the first, and whatever depends on the
first (a name before an amount) goes wrong. Telegram itself may deliver updates of one chat at the same time when `max_connections` is above
1; here it did not, so the order is the bot's own doing. Compared is the same chat with every message awaited.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.checks._cases import Violation
from chaosbot.checks._state import StateCheck, shape
from chaosbot.core.event import StateTried
from chaosbot.core.verdict import RootCause, Severity, Threat


@dataclass(frozen=True)
class RepliesInOrder(StateCheck):
    """The second answer comes second."""

    trials: ClassVar[frozenset[str]] = frozenset({"order"})

    def broken(self, tried: StateTried) -> Violation | None:
        """The same answers came in another order."""
        usual = [[shape(text) for text in play] for play in tried.alone]
        if not usual or any(play != usual[0] for play in usual):
            return None
        heard = [[shape(text) for text in play] for play in tried.seen]
        swapped = [play for play in heard if play != usual[0] and sorted(play) == sorted(usual[0])]
        if not swapped:
            return None
        summary = f"in {len(swapped)} of {len(heard)} tries, while the first answer took longer: {tried.what}"
        title = "answers the messages of one chat in another order than they came"
        return Violation(RootCause("disorder"), title, Severity.MEDIUM, Threat.NETWORK, summary)
