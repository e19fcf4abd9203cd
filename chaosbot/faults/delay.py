"""An exchange stands still for a while: before the upstream sees the request, or after it has acted.

A sender experiences a slow webhook, a bot a slow API. Placed ``before``, the request's own work starts late; placed ``after``,
the work is done in time and only its answer is late, which is what makes a client with a short timeout repeat something that
has happened already. Telegram waits 60 s for a webhook's answer; delays above that show what a bot does when it is
called again meanwhile. Other connections and exchanges are not touched; `latency` slows a connection's bytes instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import DelayLaw, Effect, Point, Shape, Wait
from chaosbot.core.exchange import Depth, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option
from chaosbot.faults._words import POINTS, SHAPES


@dataclass(frozen=True)
class Delay(Fault):
    """The exchange waits."""

    depth: ClassVar[Depth] = Depth.EXCHANGE

    time: float = option("duration", "how long the exchange waits", primary=True)
    jitter: float = option("duration", "spread around it (uniform: half width, normal: deviation)", 0.0, primary=True)
    shape: str = option(
        "text", "distribution; constant becomes uniform when there is jitter", "constant", choices=SHAPES
    )
    sigma: float = option("number", "sigma of lognormal, shape of pareto", 1.0)
    point: str = option("text", "before or after the upstream acted", "before", choices=POINTS)

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One wait, drawn for this exchange."""
        shape = Shape.UNIFORM if self.shape == "constant" and self.jitter else Shape(self.shape)
        law = DelayLaw(shape, self.time, self.jitter, self.sigma)
        return (Wait(Point(self.point), law.draw(dice)),)
