"""What a fault is: a named way to misbehave that turns dice and an exchange into effects."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Final

from chaosbot.model.dice import Dice
from chaosbot.model.effect import Effect
from chaosbot.model.exchange import Depth, Exchange, Lane
from chaosbot.model.shelf import Shelf, name_of


class Fault(ABC):
    """A named way to misbehave; subclasses are frozen dataclasses, one per file of the shelf.

    `depth` says where it acts. A fault of depth BYTES is decided once a connection (or, when its rule targets exchanges,
    armed for the exchange that matched); the others once an exchange.
    """

    depth: ClassVar[Depth]
    lane: ClassVar[Lane | None] = None
    """The only lane that it can act on; None for both."""

    @property
    def name(self) -> str:
        """The fault's name: its file's."""
        return name_of(type(self))

    @abstractmethod
    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """The physical actions for this exchange (for BYTES: this connection). Pure; an empty tuple means "does not apply"."""


FAULTS: Final[Shelf[Fault]] = Shelf("chaosbot.faults", Fault, "fault")
