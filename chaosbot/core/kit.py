"""Makes cases: requests taken apart and put together again, and a kit that numbers, names and marks what it builds.

Platforms and the fuzzer's neutral groups both build cases with it, so that every case has a chat, a delivery id and a marker of
its own, read from the update by the platform itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

from chaosbot.core.case import Case, Change, Ending, Expect, Reach, Reading, Role, Segment
from chaosbot.core.dice import Dice
from chaosbot.core.exchange import UpdateFacts
from chaosbot.core.marker import marker
from chaosbot.core.platform import Endpoint, Platform
from chaosbot.core.units import whole
from chaosbot.core.verdict import Mechanism, Threat

ACK: Final = frozenset({2})
REFUSED: Final = frozenset({401, 403, 404})
"""A stranger's request: refused, or pretended not to exist."""
INVALID: Final = frozenset({400, 413, 415, 422})
"""A body that no correct parser accepts, from someone who knows the secret. (Acknowledging it is a policy, not an error.)"""
BROKEN: Final = INVALID | {2}
"""A body that some correct parsers accept and others refuse, or that is sound JSON but no sound update."""
BIG: Final = BROKEN | {411, 414, 431}
FRAMED: Final = frozenset({400, 405, 408, 411, 413, 414, 417, 426, 431, 501, 505})
"""A request that is no proper HTTP."""


FRESH: Final = 7_000_000_000
"""From here on, ids are of people who are made up for one case or one conversation: as long as people's ids are, for targets that look at that."""
IDS: Final = 100_000_000
"""So many ids each part of a campaign chooses from, by seed and start, so that runs against one target seldom meet the same people."""


@dataclass(frozen=True, slots=True)
class RawRequest:
    """A request taken apart: request line, headers in order, body. Values are bytes, so that wrong ones can be said."""

    line: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes = b""

    @classmethod
    def of(cls, data: bytes) -> RawRequest:
        """Takes a well-formed request apart."""
        head, _, body = data.partition(b"\r\n\r\n")
        line, *rest = head.split(b"\r\n")
        pairs = (entry.partition(b":") for entry in rest)
        return cls(line, tuple((name, value.strip()) for name, _, value in pairs), body)

    def header(self, name: str) -> bytes | None:
        """A header's first value."""
        wanted = name.lower().encode()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    def without(self, *names: str) -> RawRequest:
        """The same request without these headers."""
        gone = {name.lower().encode() for name in names}
        return replace(self, headers=tuple(pair for pair in self.headers if pair[0].lower() not in gone))

    def plus(self, *pairs: tuple[str, bytes | str]) -> RawRequest:
        """The same request with more headers, at the end."""
        more = tuple((name.encode("latin-1"), _raw(value)) for name, value in pairs)
        return replace(self, headers=(*self.headers, *more))

    def with_header(self, name: str, value: bytes | str) -> RawRequest:
        """The same request with one header of this name, in its place."""
        wanted = name.lower().encode()
        if self.header(name) is None:
            return self.plus((name, value))
        changed = tuple((key, _raw(value) if key.lower() == wanted else old) for key, old in self.headers)
        return replace(self, headers=changed)

    def with_body(self, body: bytes) -> RawRequest:
        """The same request with another body and its true length; a signature is not renewed."""
        return replace(self, body=body).with_header("Content-Length", str(len(body)))

    def with_line(self, line: bytes | str) -> RawRequest:
        """The same request with another request line."""
        return replace(self, line=_raw(line))

    def with_method(self, method: str) -> RawRequest:
        """The same request with another method."""
        return replace(self, line=method.encode() + self.line[self.line.index(b" ") :])

    def with_query(self, query: str) -> RawRequest:
        """The same request with more in its query."""
        method, target, version = self.line.split(b" ", 2)
        sign = b"&" if b"?" in target else b"?"
        return replace(self, line=b" ".join((method, target + sign + query.encode(), version)))

    @property
    def head(self) -> bytes:
        """Everything up to the body."""
        lines = [self.line, *(name + b": " + value for name, value in self.headers)]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    @property
    def data(self) -> bytes:
        """The whole request."""
        return self.head + self.body


def _raw(value: bytes | str) -> bytes:
    return value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")


@dataclass(frozen=True)
class Base:
    """A valid update with its request: what a case starts from."""

    update: Any
    request: RawRequest
    facts: UpdateFacts

    @property
    def body(self) -> bytes:
        """The update as it travels."""
        return self.request.body


@dataclass
class Kit:
    """Builds the cases of one group after the other.

    Args:
        platform: Whose updates.
        endpoint: Where they go.
        dice: The catalogue's place.
        taken: Chats that other cases use already.
        ordinary: What is written so that the target answers; empty where any text is.
    """

    platform: Platform
    endpoint: Endpoint
    dice: Dice
    taken: set[int | str] = field(default_factory=set)
    ordinary: str = ""

    @cached_property
    def golden(self) -> dict[str, Any]:
        """The platform's golden updates."""
        return self.platform.golden(self.dice.at("golden"))

    @property
    def intruder(self) -> Threat:
        """Who can send a broken body: a stranger where no secret is set, otherwise only something broken on the way."""
        return Threat.NETWORK if self.endpoint.secret else Threat.FORGER

    def place(self, name: str) -> Dice:
        """A case's place."""
        return self.dice.at("case", name)

    def base(self, name: str, golden: str = "") -> Base:
        """A valid update for the case of this name, in a chat that no other case uses where the platform has enough of them."""
        update = self.golden[golden or self.platform.canary()]
        made = None
        for attempt in range(200):
            made = self.wrap(self.platform.fresh(update, self.place(name).at("attempt", attempt)))
            if made.facts.chat is None or made.facts.chat not in self.taken:
                break
        if made is None:
            raise AssertionError("range(200) is not empty")
        return self.take(made)

    def crowd(self, name: str) -> Base:
        """A valid update for a case whose effects matter less than its bytes, in one of the chats that never run out."""
        return self.base(name, self.platform.crowd())

    def asked(self, name: str) -> Base:
        """Somebody new writes what the target answers, so that whatever comes to their chat is the case's effect; where nobody writes, `base`."""
        place = self.place(name)
        text = self.ordinary or f"hello {marker(place)}"
        update = self.platform.say(text, place, user=FRESH + place.at("user").integer(0, IDS))
        return self.take(self.wrap(update)) if update is not None else self.base(name)

    def wrap(self, update: Any) -> Base:
        """An update with its request and facts."""
        request = RawRequest.of(self.platform.encode(self.endpoint, update))
        return Base(update, request, self.platform.read(request.data) or UpdateFacts())

    def take(self, base: Base) -> Base:
        """Notes that the base's chat is used."""
        if base.facts.chat is not None:
            self.taken.add(base.facts.chat)
        return base

    def signed(self, body: bytes) -> RawRequest:
        """The request that the platform would make for this body, whatever is in it."""
        return RawRequest.of(self.platform.encode(self.endpoint, body))

    def case(
        self,
        name: str,
        base: Base,
        sent: RawRequest | bytes | tuple[Segment, ...],
        summary: str,
        expect: Expect,
        *,
        threat: Threat | None = None,
        check: str = "no_server_error",
        control: str = "",
        ending: Ending = Ending.WAIT,
        reading: Reading = Reading.ALL,
        change: Change | None = None,
        role: Role = Role.ATTEMPT,
        copies: int = 1,
    ) -> Case:
        """A case around a base.

        Args:
            name: ``group/what``.
            base: The update whose chat, marker and delivery id the case carries.
            sent: The request; bytes are a body, which is signed; segments are sent as they are.
            summary: What is special about it.
            expect: The outcome of a correct server.
            threat: Who can send it; by default `intruder`.
            check: The check that judges it first.
            control: The case that shows the privileged answer.
            ending: What the sender does after the last segment.
            reading: How it reads the answer.
            change: What makes it differ from an ordinary delivery; by default the technique that its name says (`technique`).
            role: What it is for where cases are compared.
            copies: How many times the request holds the same delivery.
        """
        unsigned = not isinstance(sent, bytes) and not _carries(sent, base)
        if isinstance(sent, bytes):
            # Where the signature stands in the body, there may be no place for it in these bytes.
            unsigned, sent = not self.platform.proof, self.signed(sent)
        if self.platform.signs and unsigned:
            # Whoever verifies signatures first refuses a body that is not the signed one, whatever else is wrong with it.
            expect = replace(expect, statuses=expect.statuses | REFUSED)
        segments = (Segment(sent.data),) if isinstance(sent, RawRequest) else sent
        return Case(
            name=name,
            group=name.partition("/")[0],
            threat=threat or self.intruder,
            segments=segments,
            expect=expect,
            summary=summary,
            ending=ending,
            reading=reading,
            marker=base.facts.marker or "",
            chat=base.facts.chat,
            update_id=base.facts.update_id,
            check=check,
            control=control,
            change=change or technique(name),
            role=role,
            copies=copies,
            user=base.facts.user,
            message=base.facts.message,
            callback=base.facts.callback,
        )


_VARIANT: Final = re.compile(r"[-_ ]?\d+.*$")


def technique(name: str) -> Change:
    """The technique that a case of the catalogue stands for: its group and the first word of its own name.

    Cases that try one thing in several ways share that word (``json/truncated-3`` and ``json/truncated-half``).
    """
    group, _, rest = name.partition("/")
    word = word_of(rest)
    return Change(Mechanism.TECHNIQUE, f"{group}/{word}", rest.removeprefix(word).strip("-_ "))


def shaped(name: str) -> Change:
    """Like `technique`, for updates that are not as described: where a target breaks on many of them, it has one root cause."""
    change = technique(name)
    return Change(Mechanism.SHAPE, change.place, change.operator)


def word_of(name: str) -> str:
    """The first word of a name, without its number: ``truncated-3`` is ``truncated``."""
    return _VARIANT.sub("", name).split("-", 1)[0] or name


def member(path: Path, kind: str | None, operator: str) -> Change:
    """The change of one member of an update: the member of the payload that the path leads into, whatever the update's kind.

    Args:
        path: The path from the update's root.
        kind: The name of the payload at the root; None where updates have no kinds.
        operator: What is done to it.
    """
    if path[0] == "update_id":
        return Change(Mechanism.MEMBER, "update_id", operator)
    if len(path) > 1:
        return Change(Mechanism.MEMBER, f"*.{path[1]}", operator)
    if path[0] == kind:
        return Change(Mechanism.PAYLOAD, operator=operator)
    return Change(Mechanism.MEMBER, f"*.{path[0]}", operator)


def _carries(sent: RawRequest | tuple[Segment, ...], base: Base) -> bool:
    """Whether what is sent still has the body that was signed."""
    return sent.body == base.body if isinstance(sent, RawRequest) else base.body in b"".join(part.data for part in sent)


def invalid(*more: int, close: bool = False) -> Expect:
    """What is right for a body that no correct parser accepts."""
    return Expect(INVALID | frozenset(more), close=close, reach=Reach.NONE)


def broken(*, close: bool = False, statuses: Iterable[int] = BROKEN) -> Expect:
    """What is right for a body on which correct servers differ: at most one effect, never a server error."""
    return Expect(frozenset(statuses), close=close, reach=Reach.AT_MOST_ONCE)


def refused(*more: int, close: bool = False) -> Expect:
    """What is right for a stranger: refused without any effect."""
    return Expect(REFUSED | frozenset(more), close=close, reach=Reach.NONE)


def accepted(reach: Reach = Reach.AT_MOST_ONCE, text: str = "") -> Expect:
    """What is right for a valid update: acknowledged."""
    return Expect(ACK, reach=reach, text=text)


Path = tuple[str | int, ...]

RETYPED: Final[tuple[tuple[str, Any], ...]] = (
    ("string", "chaos"),
    ("number", 7),
    ("object", {}),
    ("list", []),
    ("bool", True),
)


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every member and item of a JSON value with its path, parents first."""
    items: Iterable[tuple[str | int, Any]] = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, inner in items:
        yield (*path, key), inner
        yield from leaves(inner, (*path, key))


BETWEEN: Final = "\t"
"""What stands between the parts of a button's data, where it has several."""


def buttons_in(value: Any, places: tuple[str, ...]) -> tuple[str, ...]:
    """The data of the buttons anywhere in a message: of each object that holds a text at the first of these dotted places, what it has at all."""
    found = []
    for _, one in leaves(value) if places else ():
        if isinstance(one, dict) and isinstance(there(one, places[0]), str):
            parts = (there(one, place) for place in places)
            found.append(BETWEEN.join(part if isinstance(part, str) else "" for part in parts))
    return tuple(dict.fromkeys(found))


def look(value: Any, path: Path) -> Any:
    """What stands at a path."""
    for key in path:
        value = value[key]
    return value


def put(value: Any, path: Path, new: Any) -> Any:
    """A copy with something else at a path."""
    copy = deepcopy(value)
    look(copy, path[:-1])[path[-1]] = new
    return copy


def drop(value: Any, path: Path) -> Any:
    """A copy without what stands at a path."""
    copy = deepcopy(value)
    del look(copy, path[:-1])[path[-1]]
    return copy


def misshapen(value: Any, path: Path) -> Iterator[tuple[str, str, Any]]:
    """The four ways in which one member can be wrong: how, in words, and the value that has it so."""
    here = look(value, path)
    spelled = ".".join(map(str, path))
    yield "dropped", f"{spelled} is missing", drop(value, path)
    yield "null", f"{spelled} is null", put(value, path, None)
    kind = {str: "string", bool: "bool", int: "number", float: "number", dict: "object", list: "list"}.get(
        type(here), ""
    )
    # The nearest wrong type is the likeliest to slip through: a number as text, a text as number, anything else as text.
    other = "number" if kind == "string" else "string"
    wrong = str(here) if kind in ("number", "bool") else dict(RETYPED)[other]
    yield "retyped", f"{spelled} is a {other} instead of a {kind or 'null'}", put(value, path, wrong)
    yield "wrapped", f"{spelled} is wrapped in a list", put(value, path, [here])


class Gone:
    """Stands for "without this member" among changes."""


GONE: Final = Gone()
_MOST_INDEX: Final = 10**9


def path_of(dotted: str) -> Path:
    """The path that dots spell: ``entry.0.id``."""
    numbers = ((part, whole(part, _MOST_INDEX)) for part in dotted.split("."))
    return tuple(part if number is None else number for part, number in numbers)


def there(value: Any, dotted: str) -> Any:
    """What stands at a path; None where nothing does."""
    try:
        return look(value, path_of(dotted))
    except (KeyError, IndexError, TypeError):
        return None


def changed(value: Any, changes: Mapping[str, Any]) -> Any:
    """A copy with other values at some paths, or without what stands there (`GONE`). Missing members on the way are made.

    Raises:
        KeyError: A path leads through what is no object or list, or what is to be removed is not there.
    """
    for dotted, new in changes.items():
        path = path_of(dotted)
        for size in range(1, len(path)):
            if isinstance(look(value, path[: size - 1]), dict) and path[size - 1] not in look(value, path[: size - 1]):
                value = put(value, path[:size], {})
        try:
            value = drop(value, path) if new is GONE else put(value, path, new)
        except (TypeError, LookupError) as error:
            raise KeyError(dotted) from error
    return value
