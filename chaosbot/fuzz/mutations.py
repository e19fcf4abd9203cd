"""Mutations: the operators of `chaosbot.fuzz.operators` at every place of every kind of valid update, as one product.

Rules:

- A place is a member of a kind (``message.chat.id``), read from the platform's golden updates and, where none has it, from its shape.
- One change a case, so a finding names the member that it is about and needs no further shrinking.
- The seed's order visits every place once, each with another operator, before it visits one twice; shallow places and kinds that are
  not alike come round more often.
- What still fits the platform's description is valid and must be acknowledged; anything else may be ignored or refused, and never breaks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from typing import Any, Final

from chaosbot.core.case import ORDINARY, Case, Change, Expect, Reach, Segment
from chaosbot.core.dice import Dice
from chaosbot.core.event import MUTATION
from chaosbot.core.kit import Path, drop, look, member, put
from chaosbot.core.marker import marker
from chaosbot.core.platform import Endpoint, Platform
from chaosbot.core.shape import Const, Object, OneOf, Shape, Text, sample
from chaosbot.core.verdict import Threat
from chaosbot.fuzz.operators import (
    ABSENT,
    OPERATORS,
    SAME,
    Literal,
    Operator,
    applicable,
    below,
    fits,
    optional_at,
    reached,
)

_DEEPEST: Final = 5
_DIRECT: Final = 2
"""The length of the path of a payload's direct member."""
_EITHER: Final = Expect(frozenset({2, 4}), reach=Reach.AT_MOST_ONCE)
_VALID: Final = Expect(reach=Reach.AT_MOST_ONCE)
_STAND_IN: Final = "@@chaosbot-literal@@"
"""Stands for a `Literal` until the update is encoded."""
_DRAWS: Final = 2
"""So many updates with all optional members are drawn from each alternative of the description."""


@dataclass(frozen=True, slots=True)
class Place:
    """One place of one kind of update.

    Args:
        kind: The update's kind; empty for what stands beside the payload.
        path: Where it is in the update.
        update: A valid update that has it.
        golden: That update's name.
        name: The place as people read it: ``message.chat.id``.
        alike: The same place below the payload in other kinds, where it is no direct member: all of them are one place of the product.
    """

    kind: str
    path: Path
    update: Any
    golden: str
    name: str
    alike: tuple[Place, ...] = ()

    def turn(self, number: int) -> Place:
        """The place itself, or in another turn the like of it in another kind."""
        return (self, *self.alike)[number % (1 + len(self.alike))]

    @property
    def value(self) -> Any:
        """What stands there."""
        return look(self.update, self.path)


@dataclass(frozen=True)
class Product:
    """All pairs of an operator and a place, in the order in which they are sent.

    Args:
        pairs: The pairs.
    """

    pairs: tuple[tuple[Place, Operator], ...]

    def planned(self) -> dict[str, dict[str, int]]:
        """How many pairs each operator and each place has, in the order of the table and of the description."""
        places = Counter(place.name for place, _ in self.pairs)
        operators = Counter(operator.name for _, operator in self.pairs)
        named = dict.fromkeys(operator.name for operator in OPERATORS)
        return {"operators": {name: operators[name] for name in named if operators[name]}, "places": dict(places)}


def sites(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every member and first item below a value, the shallow ones first."""
    level: list[tuple[Path, Any]] = [(path, value)]
    for _ in range(_DEEPEST):
        deeper: list[tuple[Path, Any]] = []
        for place, node in level:
            children: list[tuple[str | int, Any]] = []
            if isinstance(node, dict):
                children = list(node.items())
            elif isinstance(node, list):
                children = list(enumerate(node[:1]))
            deeper += [((*place, key), child) for key, child in children]
        yield from (place for place, _ in deeper)
        level = deeper


def changed(update: Any, path: Path, new: Any) -> Any:
    """A copy of the update with another value at one place, or without it."""
    return drop(update, path) if new is ABSENT else put(update, path, new)


def places(platform: Platform, dice: Dice, without: frozenset[str] = frozenset()) -> list[Place]:
    """Every place of every kind.

    Args:
        platform: Whose updates.
        dice: The updates' random stream.
        without: Names of golden updates that the target breaks on anyway.
    """
    goldens = platform.golden(dice.at("golden"))
    kinds = {name.split("/", 1)[0] for name in goldens}
    found: dict[tuple[str, Path], dict[str, Place]] = {}
    sound = {name: update for name, update in goldens.items() if name not in without}
    spared = {_kind(update, kinds) for update in sound.values()}
    drawn = ((name, update) for name, update in _drawn(platform.shape(), dice) if _kind(update, kinds) in spared)
    for name, update in chain(sound.items(), drawn):
        if not isinstance(update, dict):
            continue
        kind = _kind(update, kinds)
        for path in sites(update):
            own = kind if path[0] == kind else ""
            key = ("", path[1:]) if own and len(path) > _DIRECT else (own, path)
            like = found.setdefault(key, {})
            named = next(iter(like.values())).name if like else ".".join(map(str, path))
            like.setdefault(own, Place(own, path, update, name, named))
    return [replace(first, alike=tuple(others)) for first, *others in (like.values() for like in found.values())]


def _kind(update: Any, kinds: set[str]) -> str:
    """The name of the payload: the member that holds it; empty where updates have none."""
    named = update if isinstance(update, dict) else {}
    return next((key for key, value in named.items() if key in kinds or isinstance(value, dict)), "")


def _drawn(shape: Shape | None, dice: Dice) -> Iterator[tuple[str, Any]]:
    """Updates of each alternative of the description: with required members only, then with all."""
    for number, one in enumerate(_alternatives(shape)):
        for draw, share in enumerate((0.0, *(1.0,) * _DRAWS)):
            yield f"drawn-{number}.{draw}", sample(one, dice.at("drawn", number, draw), share)


def _alternatives(shape: Shape | None) -> Iterator[Shape]:
    """The alternatives of an update and of its payload."""
    if isinstance(shape, OneOf):
        for option in shape.options:
            yield from _alternatives(option)
    elif isinstance(shape, Object):
        inner = {name: below for name, below in shape.required.items() if isinstance(below, OneOf)}
        if not inner:
            yield shape
        for name, below in inner.items():
            for option in below.options:
                yield from _alternatives(replace(shape, required=shape.required | {name: option}))


def product(platform: Platform, dice: Dice, without: frozenset[str] = frozenset()) -> Product:
    """The product in the seed's order."""
    standing: dict[Path, list[Shape]] = {(): reached(platform.shape(), ())}

    def at(path: Path) -> Shape | None:
        # Places share the way to them; from the root each would take milliseconds.
        for end in range(1, len(path) + 1):
            if path[:end] not in standing:
                standing[path[:end]] = below(standing[path[: end - 1]], path[end - 1])
        return OneOf(tuple(standing[path])) if standing[path] else None

    order = {operator: number for number, operator in enumerate(dice.at("operators").shuffled(OPERATORS))}
    ranked: list[tuple[int, int, Place, Operator]] = []
    for number, place in enumerate(dice.at("places").shuffled(places(platform, dice, without))):
        structural, specific = (
            sorted(fitting, key=lambda one: (order[one] + number) % len(order))
            for fitting in applicable(place.value, at(place.path))
        )
        weight = 2 ** max(0, len(place.path) - _DIRECT)
        both = (structural, specific) if number % 2 else (specific, structural)
        turns = (one for pair in zip_longest(*both) for one in pair if one is not None)
        ranked += [(turn * weight, number, place.turn(turn), operator) for turn, operator in enumerate(turns)]
    ranked.sort(key=lambda entry: entry[:2])
    return Product(tuple((place, operator) for _, _, place, operator in ranked))


def written_first(platform: Platform, pairs: Product, kinds: Collection[str]) -> Product:
    """The same product, every other pair one of a text that people write in an update of these kinds, as long as there are any."""
    shape = platform.shape()

    def written(pair: tuple[Place, Operator]) -> bool:
        place, operator = pair
        if place.kind not in kinds or operator.family not in ("text", "backtracking"):
            return False
        return any(isinstance(one, Text) and one.hostile for one in reached(shape, place.path))

    parts: tuple[list[tuple[Place, Operator]], list[tuple[Place, Operator]]] = [], []
    for pair in pairs.pairs:
        parts[not written(pair)].append(pair)
    return Product(tuple(pair for turn in zip_longest(*parts) for pair in turn if pair is not None))


def _at(shape: Shape | None, path: Path) -> Shape | None:
    found = reached(shape, path)
    return OneOf(tuple(found)) if found else None


def mutations(platform: Platform, endpoint: Endpoint, dice: Dice, pairs: Product) -> Iterator[Case]:
    """The cases of a product, in its order."""
    shape = platform.shape() if platform.described else None
    for number, (place, operator) in enumerate(pairs.pairs):
        stream = dice.at(endpoint.started, "mutation", number)
        # Freshened first: a marker in a degenerate text would make an ordinary one of it.
        base = platform.fresh(place.update, stream)
        try:
            new = operator.make(look(base, place.path), _at(shape, place.path))
        except (KeyError, IndexError, TypeError):  # made fresh, the update lacks the place
            continue
        if new is SAME:
            continue
        literal = new.text if isinstance(new, Literal) else None
        yield as_case(
            platform,
            endpoint,
            changed(base, place.path, _STAND_IN if literal is not None else new),
            stream,
            f"{MUTATION}/{place.name}/{operator.name}",
            f"{place.name}: {operator.name} (of a valid {place.golden})",
            _expected(platform, shape, place, operator, new),
            change=member(place.path, place.kind or None, operator.family),
            literal=literal,
        )


def _expected(platform: Platform, shape: Shape | None, place: Place, operator: Operator, new: Any) -> Expect:
    """Whether the changed update is still a valid one."""
    if operator.name == "new-member":
        return _VALID if platform.extends else _EITHER
    if shape is None or not operator.valid:
        return _EITHER
    if new is ABSENT:
        holder = look(place.update, place.path[:-1])
        beside = frozenset(holder) - {place.path[-1]} if isinstance(holder, Mapping) else frozenset[str]()
        valid = (
            isinstance(holder, Mapping) and optional_at(shape, place.path, beside) and not _named(shape, place, holder)
        )
    else:
        # An opaque id is no text that people write.
        free = operator.family not in ("text", "backtracking")
        leaves = (one for one in reached(shape, place.path) if free or (isinstance(one, Text) and one.hostile))
        valid = any(fits(one, new) for one in leaves)
    return _VALID if valid else _EITHER


def _named(shape: Shape, place: Place, holder: Mapping[str, Any]) -> bool:
    """Whether the one description that the holder's constants (``"type": "emoji"``) choose requires the member."""
    chosen = [
        one
        for one in reached(shape, place.path[:-1])
        if isinstance(one, Object)
        and all(holder.get(name) == inner.value for name, inner in one.required.items() if isinstance(inner, Const))
    ]
    return bool(chosen) and all(place.path[-1] in one.required for one in chosen)


def as_case(
    platform: Platform,
    endpoint: Endpoint,
    update: Any,
    place: Dice,
    name: str,
    summary: str,
    expect: Expect = _EITHER,
    *,
    change: Change = ORDINARY,
    literal: bytes | None = None,
) -> Case:
    """An update as a case of its own; `literal` takes the place of its stand-in in the encoded update."""
    request = platform.encode(endpoint, update)
    planted = marker(place)
    body = request.partition(b"\r\n\r\n")[2]
    if literal is not None:
        said = body.replace(b'"%b"' % _STAND_IN.encode(), literal)
        request, body = (request, body) if said == body else (platform.encode(endpoint, said), said)
    facts = platform.read(request)
    shown = planted.encode() in body
    return Case(
        name,
        "shape",
        Threat.NETWORK,
        (Segment(request),),
        expect,
        summary,
        marker=planted if shown else "",
        chat=facts.chat if facts is not None else None,
        update_id=facts.update_id if facts is not None else None,
        change=change,
        user=facts.user if facts is not None else None,
        message=facts.message if facts is not None else None,
        callback=facts.callback if facts is not None else None,
    )
