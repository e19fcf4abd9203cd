"""What a fault is: a named way to misbehave that turns dice and an exchange into effects."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Final

from chaosbot.core.dice import Dice
from chaosbot.core.exchange import Depth, Direction, Exchange
from chaosbot.core.registry import Registry, name_of

if TYPE_CHECKING:
    from chaosbot.core.effect import Effect


class Fault(ABC):
    """A named way to misbehave; subclasses are frozen dataclasses, one per file of the registry.

    `depth` says where it acts. A fault of depth BYTES is decided once a connection (or, when its rule targets exchanges,
    armed for the exchange that matched); the others once an exchange.
    """

    depth: ClassVar[Depth]
    direction: ClassVar[Direction | None] = None
    """The only direction that it can act on; None for both."""
    possible_when: ClassVar[str] = ""
    """When a real peer could cause it, for its page; empty where it can happen to any connection or exchange."""

    api: ClassVar[str] = ""
    """The one API that says so, by its mock's name; empty where any API, network or sender may cause it."""

    @property
    def name(self) -> str:
        """The fault's name: its file's."""
        return name_of(type(self))

    def possible(self, exchange: Exchange) -> bool:
        """Whether a real network, sender or API could cause it for this exchange; if not, its rule does not look at the exchange.

        Pure; overridden together with `possible_when`.
        """
        return self.direction is None or exchange.direction is self.direction

    def elsewhere(self) -> tuple[str, dict[str, object]] | None:
        """Name and options of the fault by which any other API than `api` says the same; None where none does."""
        return None

    @abstractmethod
    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """The physical actions for this exchange (for BYTES: this connection). Pure; an empty tuple means "does not apply"."""


FAULTS: Final[Registry[Fault]] = Registry("chaosbot.faults", Fault, "fault")
