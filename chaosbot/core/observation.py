"""What was observed of a case beside its answer: a closed set of frozen values.

Attribution, measurement and the request itself tell them; checks interpret them with ``match``. A new observation is a class here
and a member of `Observation`, and type checking then names every place that must say what it means.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias, TypeVar

import msgspec


class Seen(msgspec.Struct, frozen=True, tag=True, tag_field="type", omit_defaults=True, forbid_unknown_fields=True):
    """Base of all observations; in the journal each carries its class's name as ``type``."""


class Died(Seen, frozen=True):
    """The target's process ended; with `alone`, it ended again when the case was sent alone.

    Otherwise nobody could tell by sending it again: `for_good` says that the target did not come back, and `beside` names the other
    cases that were under way when the process ended.
    """

    alone: bool = True
    for_good: bool = False
    beside: tuple[str, ...] = ()


class VictimOfDeath(Seen, frozen=True):
    """The process ended while the case was under way, of a mechanism that is known to end it; the case is not blamed."""


class Hung(Seen, frozen=True):
    """Sent a second time, alone, the case was answered late again or not at all; `blocked`: a health request beside it was, too."""

    blocked: bool = False


class VictimOfStall(Seen, frozen=True):
    """Slow, of a mechanism that is known to stall the target; the case was not sent a second time."""


class Dropped(Seen, frozen=True):
    """The connection ended without an answer, again when the case was sent alone."""


class HealthLost(Seen, frozen=True):
    """The health request after the case was not answered, although the process lives.

    `for_good` says that the target answered nothing from then on, and `beside` names the other cases that were under way.
    """

    for_good: bool = False
    beside: tuple[str, ...] = ()


class Silenced(Seen, frozen=True):
    """Acknowledged, and from then on its sender's ordinary messages get no answer any more, as they had before; `everybody`: nobody's.

    `beside` names the other cases that were under way when everybody's answers stopped.
    """

    everybody: bool = False
    beside: tuple[str, ...] = ()


class Echoed(Seen, frozen=True):
    """The answer repeats a long piece of the request."""


class Leaked(Seen, frozen=True):
    """The answer shows a secret that the request did not hold: ``token`` (a bot's) or ``secret`` (the webhook's)."""

    what: str


class Grew(Seen, frozen=True):
    """The target's peak memory grew by so many bytes over what it held before the case, which was sent alone."""

    size: int


class Lacks(Seen, frozen=True):
    """A valid update that lacks a member which most updates of its kind have."""

    member: str


class Quiet(Seen, frozen=True):
    """After the case, the target was awaited until it was quiet, and nothing else was sent in its chat meanwhile."""


class NotJson(Seen, frozen=True):
    """The body is no JSON by any reading, and is not framed or coded in a way that explains it."""


class HeadNotAscii(Seen, frozen=True):
    """The request's head holds bytes beyond ASCII."""


class NoProof(Seen, frozen=True):
    """The request lacks the header with the secret or signature."""


class Fetched(Seen, frozen=True):
    """The target fetched a URL that the case held at this place; `credentials`: it showed some to whoever stands there."""

    place: str
    credentials: bool = False


Observation: TypeAlias = (
    Died
    | VictimOfDeath
    | Hung
    | VictimOfStall
    | Dropped
    | HealthLost
    | Silenced
    | Echoed
    | Leaked
    | Grew
    | Lacks
    | Quiet
    | NotJson
    | HeadNotAscii
    | NoProof
    | Fetched
)

Kind = TypeVar("Kind")


def observed(observations: Iterable[Observation], kind: type[Kind]) -> Kind | None:
    """The first observation of one kind; None when there is none."""
    return next((one for one in observations if isinstance(one, kind)), None)
