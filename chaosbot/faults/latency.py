"""Bytes arrive late, by a delay that is drawn anew for each chunk.

The peer experiences a slow network: every answer takes the delay longer (with stream "both": twice), connections stay
healthy, nothing is lost and nothing is reordered. The delay counts from the arrival of a chunk, so a large body is late once and
not once for each of its parts.

Shapes: `uniform` (delay ± jitter), `normal` (jitter is the standard deviation), `lognormal` (delay is the median, sigma the
deviation of the logarithm: mostly fast, sometimes very slow), `pareto` (delay is the minimum, alpha the tail: the smaller, the
heavier) and `constant`. `correlation` makes neighbouring delays alike, as congestion does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import DelayLaw, Effect, HoldBytes, Shape
from chaosbot.core.exchange import Depth, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option
from chaosbot.faults._words import stream_option, streams_of


@dataclass(frozen=True)
class Latency(Fault):
    """Bytes arrive late."""

    depth: ClassVar[Depth] = Depth.BYTES

    delay: float = option("duration", "centre of the delay", primary=True)
    jitter: float = option("duration", "spread of the delay (uniform: ±, normal: deviation)", 0.0, primary=True)
    shape: str = option("text", "distribution of the delay", "uniform", choices=tuple(Shape))
    sigma: float = option("number", "lognormal: deviation of the logarithm", 0.5)
    alpha: float = option("number", "pareto: weight of the tail; smaller is heavier", 2.0)
    correlation: float = option("share", "how much of the previous delay stays in the next", 0.0)
    most: float = option("duration", "upper bound of a delay", 3600.0)
    stream: str = stream_option()

    def __post_init__(self) -> None:
        """Refuses options that the shape does not know."""
        if self.jitter and self.shape not in (Shape.UNIFORM, Shape.NORMAL):
            raise ValueError(f"jitter has no meaning for shape {self.shape}; use shape uniform or normal, or drop it")
        if self.sigma <= 0 or self.alpha <= 0:
            raise ValueError("sigma and alpha must be above 0")
        if self.shape in (Shape.LOGNORMAL, Shape.PARETO) and self.delay <= 0:
            raise ValueError(f"shape {self.shape} needs a delay above 0")

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One hold for each direction, on dice of its own."""
        shape = Shape(self.shape)
        parameter = self.alpha if shape is Shape.PARETO else self.sigma
        law = DelayLaw(shape, self.delay, self.jitter, parameter, self.correlation, self.most)
        return tuple(HoldBytes(way, law, dice.at(way)) for way in streams_of(self.stream))
