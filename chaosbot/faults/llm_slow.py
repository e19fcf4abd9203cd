"""A model is slow: its first token comes late, and then one event after the other with pauses.

Users wait, and so does everything behind them: a webhook that answers only when the model is done is delivered again by its platform
after a minute, and the model is paid twice. Providers send a few tokens in each event.
"""

from __future__ import annotations

from dataclasses import dataclass

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect, PaceEvents, Point, Wait
from chaosbot.core.llm import LlmCall
from chaosbot.core.registry import option
from chaosbot.faults._llm import AnswerFault


@dataclass(frozen=True)
class LlmSlow(AnswerFault):
    """The first token comes late, the others slowly."""

    first_token: float = option("duration", "time until the answer begins", 3.0, primary=True)
    pause: float = option("duration", "time between two events of a stream", 0.1)

    def on_call(self, dice: Dice, call: LlmCall) -> tuple[Effect, ...]:
        """One wait, and pauses in a stream."""
        late = Wait(Point.BEFORE, self.first_token)
        return (late, PaceEvents(self.pause)) if self.pause and call.events else (late,)
