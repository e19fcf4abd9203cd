"""The mutation operators: everything that is done to one place of a valid update, in one table.

Rules:

- An operator says what kinds of value it applies to and what it makes of one; where it makes nothing new, the pair does not exist.
- Degenerate texts and numbers come from `chaosbot.core.values`; documented limits from the platform's shape of the place.
- `family` joins operators that try one thing in several ways, so that a target which is known to stall on one is not tried with all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from chaosbot.core.shape import Array, Integer, Number, Object, OneOf, Shape, Text, problems
from chaosbot.core.values import BACKTRACKING, TEXTS


@dataclass(frozen=True, slots=True)
class Literal:
    """A value as JSON text, because no Python value is written so."""

    text: bytes


ABSENT: Final = object()
"""Made by the operator that takes a place away."""
SAME: Final = object()
"""Made where an operator changes nothing, or does not apply."""

Make = Callable[[Any, Shape | None], Any]


@dataclass(frozen=True, slots=True)
class Operator:
    """One thing that is done to a place.

    Args:
        name: Its name in cases and coverage.
        kinds: The kinds of value that it applies to (`kind_of`); empty for all.
        make: The new value, from the old one and the place's shape; `ABSENT` or `SAME` instead.
        family: The name that it shares with its likes.
        valid: Whether what fits the shape afterwards is valid; a NUL fits, and no platform sends one.
    """

    name: str
    kinds: frozenset[str]
    make: Make
    family: str
    valid: bool = True


def kind_of(value: Any) -> str:
    """What kind of JSON value it is."""
    match value:
        case bool():
            return "flag"
        case int() | float():
            return "number"
        case str():
            return "text"
        case list():
            return "list"
        case dict():
            return "object"
    return "null"


def fits(shape: Shape, value: Any) -> bool:
    """Whether the platform's description allows this value."""
    return not isinstance(value, Literal) and next(problems(shape, value), None) is None


def _just(value: Any) -> Make:
    kind = kind_of(value)

    def make(old: Any, _shape: Shape | None) -> Any:
        return SAME if kind == kind_of(old) and (value == old or kind not in ("text", "number", "list")) else value

    return make


def _typed(value: Any) -> Make:
    """Another type altogether; nothing where the place has this type anyway."""
    return lambda old, _shape: SAME if kind_of(old) == kind_of(value) else value


def _literal(text: str) -> Make:
    return lambda _old, _shape: Literal(text.encode())


def _of_old(change: Callable[[Any], Any]) -> Make:
    return lambda old, _shape: change(old)


def _leaves(shape: Shape | None) -> Iterator[Shape]:
    if isinstance(shape, OneOf):
        for option in shape.options:
            yield from _leaves(option)
    elif shape is not None:
        yield shape


def _limit(which: str, off: int, letter: str = "x") -> Make:
    """A text, number or list at a documented limit of its place, or `off` it."""

    def make(old: Any, shape: Shape | None) -> Any:
        for leaf in _leaves(shape):
            match leaf:
                case Text(low, high) if isinstance(old, str):
                    # The platform counts UTF-16 units.
                    length = ((high if which == "high" else low) + off) // (1 if letter < "\U00010000" else 2)
                    return SAME if length < 0 else letter * length
                case Integer(low, high) if kind_of(old) == "number" and letter == "x":
                    return (high if which == "high" else low) + off
                case Number(low, high) if kind_of(old) == "number" and letter == "x":
                    return (high if which == "high" else low) + off
                case Array(_, low, high) if isinstance(old, list) and old and letter == "x":
                    length = (high if which == "high" else low) + off
                    return SAME if length < 0 or length == len(old) else (old * (length // len(old) + 1))[:length]
                case _:
                    continue
        return SAME

    return make


_HUGE: Final = 1_000
_LARGEST: Final = 48_000
"""Characters of the largest list that an operator makes: a platform's update is 64 KiB at most."""


def _many(old: list[Any]) -> Any:
    return old * min(_HUGE, max(2, _LARGEST // max(1, len(str(old))))) if old else SAME


_ALL: Final[frozenset[str]] = frozenset()
_TEXT: Final = frozenset({"text"})
_NUMBER: Final = frozenset({"number"})
_LIST: Final = frozenset({"list"})
_OBJECT: Final = frozenset({"object"})
_FLAG: Final = frozenset({"flag"})

STRUCTURAL: Final[tuple[Operator, ...]] = (
    Operator("absent", _ALL, lambda _old, _shape: ABSENT, "absent"),
    Operator("null", _ALL, _typed(None), "null"),
    Operator("wrapped", _ALL, _of_old(lambda old: [old]), "type"),
    Operator("as-text", _NUMBER | _FLAG, _of_old(lambda old: str(old).lower()), "type"),
    Operator("text", _ALL, _typed("chaosbot"), "type"),
    Operator("number", _ALL, _typed(7), "type"),
    Operator("flag", _ALL, _typed(True), "type"),
    Operator("list", _ALL, _typed([]), "type"),
    Operator("object", _ALL, _typed({}), "type"),
)
"""What can be done to a value of any kind."""

_WHOLE: Final[tuple[tuple[str, int], ...]] = (
    *(("0", 0), ("-1", -1), ("1", 1), ("2^31-1", 2**31 - 1), ("2^31", 2**31), ("-2^31-1", -(2**31) - 1)),
    *(("2^53-1", 2**53 - 1), ("2^53", 2**53), ("2^53+1", 2**53 + 1), ("-2^53-1", -(2**53) - 1)),
    *(("2^63-1", 2**63 - 1), ("2^63", 2**63), ("2^64", 2**64), ("10^40", 10**40)),
)
_SPECIFIC: Final[tuple[Operator, ...]] = (
    Operator("limit", _TEXT | _NUMBER | _LIST, _limit("high", 0), "limit"),
    Operator("limit-1", _TEXT | _NUMBER | _LIST, _limit("high", -1), "limit"),
    Operator("limit+1", _TEXT | _NUMBER | _LIST, _limit("high", 1), "limit"),
    Operator("limit-emoji", _TEXT, _limit("high", 0, "🙂"), "limit"),
    Operator("limit-wide", _TEXT, _limit("high", 0, "あ"), "limit"),
    Operator("least", _TEXT | _NUMBER | _LIST, _limit("low", 0), "limit"),
    Operator("least-1", _TEXT | _NUMBER | _LIST, _limit("low", -1), "limit"),
    *(Operator(f"text-{one.word}", _TEXT, _just(one.text), "text", one.valid) for one in TEXTS),
    *(Operator(f"long-{one.word}", _TEXT, _just(one.text), "backtracking") for one in BACKTRACKING),
    *(Operator(word, _NUMBER, _just(number), "number") for word, number in _WHOLE),
    *(Operator(word, _NUMBER, _literal(word), "number", valid=False) for word in ("NaN", "Infinity", "-Infinity", "1e999")),
    Operator("n+2^32", _NUMBER, _of_old(lambda old: int(old) + 2**32), "number"),
    Operator("-n", _NUMBER, _of_old(lambda old: -old if old else SAME), "number"),
    Operator("n.5", _NUMBER, _of_old(lambda old: SAME if old == int(old) + 0.5 else int(old) + 0.5), "number"),
    Operator("n.0", _NUMBER, _of_old(lambda old: Literal(b"%d.0" % int(old))), "number"),
    Operator("ne0", _NUMBER, _of_old(lambda old: Literal(b"%de0" % int(old))), "number"),
    Operator("nulls", _LIST, _just([None]), "items"),
    Operator("many", _LIST, _of_old(_many), "items"),
    Operator("empties", _LIST, _just([{}]), "items"),
    Operator("texts", _LIST, _just(["chaosbot"]), "items"),
    Operator("empty", _OBJECT, _of_old(lambda old: {} if old else SAME), "members"),
    Operator("new-member", _OBJECT, _of_old(lambda old: {**old, "chaosbot_new_field": {"a": [1, None]}}), "members"),
    Operator("proto", _OBJECT, _of_old(lambda old: {**old, "__proto__": {"a": 1}, "constructor": 1}), "members"),
    Operator("many-members", _OBJECT, _of_old(lambda old: {**old, **{f"m{n}": n for n in range(_HUGE)}}), "members"),
    Operator("other", _FLAG, _of_old(lambda old: not old), "flag"),
    Operator("0", _FLAG, _just(0), "flag"),
)  # fmt: skip

OPERATORS: Final = (*STRUCTURAL, *_SPECIFIC)
"""The whole table."""


def applicable(value: Any, shape: Shape | None) -> tuple[list[Operator], list[Operator]]:
    """The structural and the specific operators that make something new of a value."""
    kind = kind_of(value)

    def chosen(table: tuple[Operator, ...]) -> list[Operator]:
        fitting = (one for one in table if not one.kinds or kind in one.kinds)
        return [one for one in fitting if one.make(value, shape) is not SAME]

    return chosen(STRUCTURAL), chosen(_SPECIFIC)


def reached(shape: Shape | None, path: tuple[str | int, ...]) -> list[Shape]:
    """What the description says of a place: the shapes that stand there in any of its alternatives."""
    here = list(_leaves(shape))
    for key in path:
        here = below(here, key)
    return here


def below(shapes: Iterable[Shape], key: str | int) -> list[Shape]:
    """What stands at a member or an item of any of these, each once."""
    found: dict[int, Shape] = {}
    for one in shapes:
        inner: Shape | None = None
        if isinstance(one, Object) and isinstance(key, str):
            inner = one.required.get(key) or one.optional.get(key)
        elif isinstance(one, Array) and isinstance(key, int):
            inner = one.item
        found.update((id(leaf), leaf) for leaf in _leaves(inner))
    return list(found.values())


def optional_at(shape: Shape | None, path: tuple[str | int, ...], beside: frozenset[str]) -> bool:
    """Whether an update without this member is valid.

    Args:
        shape: The platform's description.
        path: Where the member stands.
        beside: The other members of the same object.
    """
    return any(
        one.required.keys() <= beside <= one.required.keys() | one.optional.keys()
        for one in reached(shape, path[:-1])
        if isinstance(one, Object)
    )
