"""What a dialect is: one platform's tongue, as the engines need it.

A dialect knows how the platform speaks (requests, signatures, delivery rules) and what its updates mean; it performs nothing.
The proxy asks it for the facts of an exchange (`facts`), the fuzzer for golden updates and cases, the load driver for
journeys.
"""

# ruff: noqa: ARG002 -- the defaults of optional hooks ignore what they are told
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Final

from chaosbot.model.case import Case
from chaosbot.model.dice import Dice
from chaosbot.model.exchange import UpdateFacts
from chaosbot.model.shape import Shape
from chaosbot.model.shelf import Shelf, name_of


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where and how a target is spoken to.

    Args:
        host: The Host header's value, with port.
        path: The webhook's path (with query, when it has one).
        secret: The platform's secret, as text; empty when none is configured.
        headers: More headers that every request carries.
    """

    host: str = "localhost"
    path: str = "/"
    secret: str = ""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One request that a journey or a sender wants to make, already encoded.

    Args:
        data: The bytes on the wire, head and body, without the exchange header (the driver adds it when a proxy listens).
        task: The name under which reports count it.
        facts: What it is about.
    """

    data: bytes
    task: str = ""
    facts: UpdateFacts | None = None


class Dialect(ABC):
    """One platform's tongue."""

    default_path: str = "/"
    secret_header: str = ""
    tiers: ClassVar[tuple[str, ...]] = ()
    """The users' tiers, the lowest first; empty where the platform has none."""
    commands: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Each command's name (without slash) and the lowest tier that may use it."""

    @property
    def name(self) -> str:
        """The dialect's name: its file's or folder's."""
        return name_of(type(self))

    @abstractmethod
    def facts(self, method: str, path: str, headers: tuple[tuple[str, str], ...], body: bytes) -> UpdateFacts | None:
        """Reads what an inbound request is about; None when it is none of this platform's updates. Never raises."""

    @abstractmethod
    def encode(self, endpoint: Endpoint, update: Any) -> bytes:
        """The request that the platform would send for this update: head and body, signed."""

    @abstractmethod
    def golden(self, dice: Dice) -> dict[str, Any]:
        """Valid updates by name, one for every kind and every command: what mutations start from."""

    @abstractmethod
    def catalogue(self, endpoint: Endpoint, dice: Dice) -> tuple[Case, ...]:
        """The deterministic cases that only this platform knows (its identities, commands, signatures)."""

    def fresh(self, update: Any, dice: Dice) -> Any:
        """The same update as a delivery of its own: new delivery id, chat, sender (of the same tier) and marker.

        What is missing or has the wrong type stays so: mutated updates pass through here too. The marker is
        `marker(dice)` and stands where the platform's users write (text, caption, callback data), where there is such a place.
        """
        return update

    def say(self, text: str, dice: Dice, *, tier: str = "", user: int | None = None, kind: str = "") -> Any:
        """An update in which a user of this tier (or exactly this user) writes `text` in a private chat.

        `kind` asks for another kind than a plain message (``edited_message``). Delivery id, and chat and user unless given,
        come from `dice`; a text that begins with a slash is a command, with its entity. None where nobody writes.
        """
        return None

    def shape(self) -> Shape | None:
        """What valid updates look like, one payload each, for generation; None leaves generation out."""
        return None


DIALECTS: Final[Shelf[Dialect]] = Shelf("chaosbot.dialects", Dialect, "dialect")
