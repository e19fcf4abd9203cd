"""The one event stream of a run, as NDJSON on disk, and the one place where secrets are taken out.

Rules:

- Every event of a run passes `Journal.write`; worker processes send theirs to the parent, which writes them. Nothing is kept in
  memory: reports read the file.
- Redaction happens here, once, on the encoded values of an event: known secret values and everything that has the shape of a bot
  token, as they are, in base64, in hexadecimal, and behind percent, backslash or entity escapes. Reports are folds of the
  journal, so what is clean here is clean there.
- Each line ends with its number (``n``) and a digest of itself and all lines before it (``chain``), so that a line that was lost,
  doubled, moved or edited is noticed when the journal is read back.
- A line is written whole or not at all; a torn last line is recognised when read back. When the file cannot be written any more
  (a full disk, a limit), what is there stays readable and `failure` says why.
- Run directories belong to their owner alone (0700), files in them too (0600).
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import os
import re
import tempfile
import threading
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final, overload
from urllib.parse import quote, quote_plus

from chaosbot.core.check import History
from chaosbot.core.errors import EngineError, JournalError, UsageError
from chaosbot.core.event import SCHEMA, TYPES, Event, Judged, RunEnded, RunStarted, decode, dumps, encode, to_json
from chaosbot.core.outcome import Outcome
from chaosbot.files import regular, why

REDACTED: Final = "[redacted]"
IGNORE_FILE: Final = ".gitignore"
"""Keeps a run out of the repository that it is written into: it may hold what a target said."""
EVENTS_FILE: Final = "events.ndjson"
RECENT: Final = 30_000
"""So many events a spool holds in memory."""
MOST_LINE: Final = 64 << 20
MOST_HELD: Final = 50_000
MOST_HELD_BYTES: Final = 24_000_000
"""Up to so many events of one type, and lines of so many bytes in all, are held in memory when a journal is read back."""

# A bot token is the bot's numeric id, a colon and 35 characters (Bot API, "Authorizing your bot"); shorter look-alikes of at
# least 30 are taken out too. In a URL a token follows "/bot" directly, so no word boundary is asked for.
_BOT_TOKEN: Final = re.compile(rb"(?<!\d)\d{6,12}(?::|%3[Aa])[A-Za-z0-9_-]{30,}")
_TOKEN_END: Final = re.compile(rb":[A-Za-z0-9_-]{30}")
# Secrets shorter than this would redact half of every line; they are refused where they are read.
SHORTEST_SECRET: Final = 4

# One escaped character: percent (a byte), backslash as JSON, JavaScript and Python write it, an HTML entity.
_ESCAPE: Final = re.compile(
    rb"%(?P<byte>[0-9A-Fa-f]{2})|\\(?:u(?P<unit>[0-9A-Fa-f]{4})|x(?P<hex>[0-9A-Fa-f]{2})|(?P<plain>[/\"\\]))"
    rb"|&(?:#(?:(?P<decimal>\d{1,7})|[xX](?P<entity>[0-9A-Fa-f]{1,6}))|(?P<name>quot|amp|lt|gt|apos));"
)
# The other ways of mail and of forms (multipart bodies): "=" before a byte, and base64 cut into lines.
_QUOTED: Final = re.compile(rb"=(?:(?P<byte>[0-9A-Fa-f]{2})|\r?\n)")
_FOLDED: Final = re.compile(rb"(?<=[A-Za-z0-9+/]{60})\r?\n(?=[A-Za-z0-9+/=])")
_NAMED: Final = {b"quot": b'"', b"amp": b"&", b"lt": b"<", b"gt": b">", b"apos": b"'"}
_DEEPEST: Final = 3
"""How often escapes of escapes are undone when secrets are looked for."""


@dataclass(frozen=True)
class Redactor:
    """Takes secrets out of texts, bytes and JSON values.

    Args:
        secrets: The values that must never be written. Each is searched as it is, in base64, in hexadecimal, and in any mixture
            of plain and escaped characters.
    """

    secrets: tuple[str, ...] = ()
    _known: re.Pattern[bytes] = field(init=False, repr=False, compare=False)
    _spellings: tuple[bytes, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Compiles one pattern of all spellings, the longest first."""
        spellings: set[bytes] = set()
        for secret in self.secrets:
            if len(secret) < SHORTEST_SECRET:
                raise UsageError(
                    f"a secret of {len(secret)} characters cannot be redacted; use at least {SHORTEST_SECRET}"
                )
            raw = secret.encode("utf-8", "surrogatepass")
            escaped = {quote(raw, safe=""), quote_plus(raw), json.dumps(secret)[1:-1], html.escape(secret)}
            escaped |= {secret.replace(" ", "+")}
            spellings |= {raw, raw.hex().encode(), raw.hex().upper().encode(), *_base64_cores(raw)}
            spellings |= {text.encode("utf-8", "surrogatepass") for text in escaped}
        object.__setattr__(self, "_spellings", tuple(sorted(spellings, key=len, reverse=True)))
        ordered = [re.escape(spelling) for spelling in self._spellings]
        object.__setattr__(self, "_known", re.compile(b"|".join([*ordered, _BOT_TOKEN.pattern])))

    def text(self, value: str) -> str:
        """The text without secrets."""
        raw = value.encode("utf-8", "surrogatepass")
        clean = self.data(raw)
        return value if clean is raw else clean.decode("utf-8", "surrogatepass")

    def data(self, value: bytes) -> bytes:
        """The bytes without secrets; lengths may change. What holds none comes back as it is, the same object."""
        if self._known.search(value) is not None:
            value = self._known.sub(REDACTED.encode(), value)
        if b"%" in value or b"\\" in value or b"&" in value:
            value = self._behind_escapes(value)
        for written in (_QUOTED, _FOLDED):
            if written.search(value) is not None:
                value = self._behind_escapes(value, written, 1)
        return value

    def json(self, value: Any) -> Any:
        """A JSON value without secrets, keys included (but for those that events are made of); bytes become base64."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {key if key in _MEMBERS else self.text(key): self.json(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.json(item) for item in value]
        return base64.b64encode(self.data(value)).decode() if isinstance(value, bytes) else value

    def may_hold(self, line: bytes) -> bool:
        """Whether an encoded event may hold a secret; False is certain."""
        if b"%" in line or b"\\" in line or b"&#" in line or _TOKEN_END.search(line) is not None:
            return True
        # A dozen plain searches take a fifth of the time that one pattern of as many alternatives takes.
        lines = (line, binascii.a2b_qp(line)) if _QUOTED.search(line) is not None else (line,)
        return any(spelling in one for one in lines for spelling in self._spellings)

    def _behind_escapes(self, value: bytes, written: re.Pattern[bytes] = _ESCAPE, deepest: int = _DEEPEST) -> bytes:
        """The bytes without secrets of which some characters are escaped, in one way of writing that."""
        layers: list[_Unescaped] = []
        decoded = value
        for _ in range(deepest):
            layer = _Unescaped(decoded, written)
            if not layer.escapes:
                break
            layers.append(layer)
            decoded = layer.data
            if (found := [match.span() for match in self._known.finditer(decoded)]) != []:
                for outer in reversed(layers):
                    found = [outer.span(*span) for span in found]
                return self._behind_escapes(_without(value, found), written, deepest)
        return value


class _Unescaped:
    """Bytes whose escapes are undone once, and where each of them came from."""

    def __init__(self, raw: bytes, written: re.Pattern[bytes] = _ESCAPE) -> None:
        pieces: list[bytes] = []
        self._starts: list[int] = [0]  # where, in the data, runs with one constant distance to the raw bytes begin
        self._raw: list[int] = [0]
        self._widths: list[int] = [0]  # 0 for a plain run, else how many raw bytes the escape takes
        self.escapes = 0
        at = size = 0
        for match in written.finditer(raw):
            plain, character = raw[at : match.start()], _character(match)
            at = match.end()
            pieces += (plain, character)
            size += len(plain)
            self._starts += (size, size + len(character))
            self._raw += (match.start(), at)
            self._widths += (at - match.start(), 0)
            size += len(character)
            self.escapes += 1
        pieces.append(raw[at:])
        self.data = b"".join(pieces)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The raw bytes that a span of the data came from."""
        first = bisect_right(self._starts, start) - 1
        begin = self._raw[first] + (0 if self._widths[first] else start - self._starts[first])
        last = bisect_right(self._starts, end - 1) - 1
        width = self._widths[last]
        return begin, self._raw[last] + (width or end - self._starts[last])


def _character(match: re.Match[bytes]) -> bytes:
    """What one escape stands for, in UTF-8."""
    if match.re is not _ESCAPE:
        return bytes.fromhex(match[1].decode()) if match.re is _QUOTED and match[1] else b""  # a line that goes on
    if (byte := match["byte"]) is not None:
        return bytes.fromhex(byte.decode())
    if (name := match["name"]) is not None:
        return _NAMED[name]
    if (plain := match["plain"]) is not None:
        return plain
    if (decimal := match["decimal"]) is not None:
        number = int(decimal)
    else:
        number = int(match["unit"] or match["hex"] or match["entity"], 16)
    return chr(number).encode("utf-8", "surrogatepass") if number < 0x110000 else b"?"


def _without(value: bytes, spans: list[tuple[int, int]]) -> bytes:
    """The bytes with each span replaced."""
    pieces, at = [], 0
    for start, end in sorted(spans):
        if start >= at:
            pieces += [value[at:start], REDACTED.encode()]
            at = end
    return b"".join([*pieces, value[at:]])


def _base64_cores(raw: bytes) -> set[bytes]:
    """The parts of a secret's base64 that are the same wherever in a longer text it starts (three alignments)."""
    cores = set()
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + raw)
        # The first characters mix in what stands before the secret, the last ones what follows it.
        core = encoded[(0, 2, 3)[shift] : len(encoded) - (0, 3, 2)[(shift + len(raw)) % 3]].rstrip(b"=")
        if len(core) >= 6:
            cores |= {core, core.replace(b"+", b"-").replace(b"/", b"_")}
    return cores


_MEMBERS: Final = frozenset({"type", *(name for kind in TYPES.values() for name in kind.__struct_fields__)})

# The end of a line: its number and the digest.
_SEAL: Final = re.compile(rb',"n":(\d{1,15}),"chain":"([0-9a-f]{12})"\}\n?$')
_LONGEST_SEAL: Final = 64


def _digest(before: bytes, body: bytes) -> bytes:
    return blake2b(body, digest_size=6, key=before).hexdigest().encode()


def private(path: str, flags: int) -> int:
    """An opener for files that only their owner may read (0600)."""
    return os.open(path, flags, 0o600)


def write_private(path: Path, content: bytes | str) -> None:
    """Writes a file that only its owner may read, in a folder that is made for its owner alone where there is none.

    Raises:
        EngineError: It cannot be written.
    """
    try:
        if not path.parent.is_dir():
            path.parent.parent.mkdir(parents=True, exist_ok=True)
            path.parent.mkdir(mode=0o700, exist_ok=True)
        with open(path, "wb", opener=private) as file:
            file.write(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    except OSError as error:
        raise EngineError(
            f"{path}: cannot be written ({error.strerror}); what was seen until then is in the run's journal"
        ) from None


class Journal:
    """Writes the events of one run.

    Thread-safe: drivers, the proxy's reader thread and probes write into the same journal.

    Args:
        directory: The run directory; it is made when it is not there.
        redactor: What must not be written.
    """

    def __init__(self, directory: Path, redactor: Redactor | None = None) -> None:
        self.directory = directory
        self.redactor = redactor or Redactor()
        self.counts: Counter[type] = Counter()
        """How many events of each type were written."""
        self.failure = ""
        """Why nothing can be written any more; empty while all is well."""
        self.lost = 0
        """How many events came after that."""
        self.discarded = False
        self._number = 0
        self._chain = b""
        self._lock = threading.Lock()
        self._made = [folder for folder in (directory, *directory.parents) if not folder.exists()]
        try:
            directory.parent.mkdir(parents=True, exist_ok=True)
            directory.mkdir(mode=0o700, exist_ok=True)
            self._file: IO[bytes] = open(  # noqa: SIM115 - Path.open knows no opener; `close` closes it
                directory / EVENTS_FILE, "xb", buffering=1 << 16, opener=private
            )
        except FileExistsError:
            if not directory.is_dir():
                raise UsageError(f"--out {directory}: is a file; name a directory, which is made for the run") from None
            raise UsageError(
                f"--out {directory}: holds a run already; a run directory is written once; choose another directory"
            ) from None
        except OSError as error:
            raise UsageError(
                f"--out {directory}: cannot be written ({error.strerror}); choose a directory of yours"
            ) from None
        # A folder of somebody's own (`--out .`) keeps what it says of its files.
        self._ignored = directory in self._made
        if self._ignored:
            with suppress(OSError), open(directory / IGNORE_FILE, "x", opener=private) as ignored:
                ignored.write("*\n")

    def write(self, event: Event) -> None:
        """Records one event; a journal that is closed already ignores it (a late worker)."""
        with self._lock:
            if self._file.closed:
                self.lost += bool(self.failure)
                return
            body = self._body(event)
            self._number += 1
            self._chain = _digest(self._chain, body)
            try:
                self._file.write(body[:-1] + b',"n":%d,"chain":"%b"}\n' % (self._number, self._chain))
            except OSError as error:
                self._fail(error)
                return
            self.counts[type(event)] += 1

    def _body(self, event: Event) -> bytes:
        """The event as a line without its seal and without secrets."""
        redactor = self.redactor
        # In base64 no search would find a secret that is escaped or cut in another way, so bytes are looked at before.
        outcome: Outcome | None = getattr(event, "outcome", None)
        if isinstance(event, Judged) or (outcome is not None and redactor.data(outcome.body) is not outcome.body):
            return dumps(redactor.json(to_json(event, bytes_too=False)))
        line = encode(event)
        return dumps(redactor.json(to_json(event))) if redactor.may_hold(line) else line

    def _fail(self, error: OSError) -> None:
        self.failure = f"{self.directory / EVENTS_FILE}: cannot be written ({error.strerror or error})"
        self.lost += 1
        with suppress(OSError):  # closing tries to write what is still in the buffer
            self._file.close()

    def flush(self) -> None:
        """Makes everything written so far readable for others."""
        with self._lock:
            if not self._file.closed:
                try:
                    self._file.flush()
                except OSError as error:
                    self._fail(error)

    def close(self) -> None:
        """Ends the journal."""
        self.flush()
        with self._lock:
            self._file.close()

    def discard(self) -> None:
        """Takes the journal away again, with the directories that were made for it and hold nothing else: no run began."""
        self.close()
        self.discarded = True
        with suppress(OSError):
            (self.directory / EVENTS_FILE).unlink()
            if self._ignored:
                (self.directory / IGNORE_FILE).unlink(missing_ok=True)
            for folder in self._made:
                folder.rmdir()

    def history(self) -> History:
        """What was written so far, read back from the file."""
        self.flush()
        history = read(self.directory)
        if not self.failure:
            return history
        kept = f"{self.failure}; {self.lost} events were lost"
        return replace(history, damage=(*history.damage, kept))


class _Reader:
    """Reads a journal line by line and checks that none is missing.

    Args:
        path: The file.
        checked: Whether the lines were checked before, so that only their events are of interest.
    """

    def __init__(self, path: Path, *, checked: bool = False) -> None:
        self.path = path
        self._checked = checked
        self.torn = False
        self.damage = ""
        """The first line that is not where or what it was; empty while all is well."""
        self.size = 0
        """How many bytes the line of the latest event has."""
        self._schema = 0
        self._next = 1
        self._chain = b""

    def __iter__(self) -> Iterator[Event]:
        """The events in order.

        Raises:
            UsageError: The file cannot be read.
            JournalError: A line is no event, or the journal is of a newer version.
        """
        for number, line in enumerate(_lines(self.path), 1):
            self.size = len(line)
            try:
                event = decode(self._unsealed(number, line), self._schema)
            except JournalError as error:
                if line.endswith(b"\n"):
                    raise JournalError(
                        f"{self.path}:{number}: {error}; the journal is damaged, the run cannot be judged"
                    ) from None
                self.torn = True
                return
            if isinstance(event, RunStarted) and event.schema > SCHEMA:
                raise JournalError(
                    f"{self.path}: written by chaosbot {event.version} in a newer form ({event.schema}; this version "
                    f"reads up to {SCHEMA}); use that version"
                )
            if isinstance(event, RunStarted) and event.schema == SCHEMA != self._schema:
                # Taken away from every line, they would look like those of an old version, which wrote none.
                self._damaged(number, "carries no number, as no other does; they were taken out")
            yield event

    def _unsealed(self, at: int, line: bytes) -> bytes:
        """The line without its number and digest, which are checked."""
        seal = _SEAL.search(line, max(0, len(line) - _LONGEST_SEAL))
        if seal is None:
            if self._schema == SCHEMA and line.endswith(b"\n"):
                self._damaged(at, "carries no number; it was not written by this run")
            self._schema = self._schema or 1
            return line
        self._schema = SCHEMA
        body = line[: seal.start()] + b"}"
        if self._checked:
            return body
        number, chain = int(seal[1]), seal[2]
        if number > self._next:
            lost = f"{self._next}" if number == self._next + 1 else f"{self._next} to {number - 1}"
            self._damaged(at, f"has number {number}; {lost} is missing before it")
        elif number < self._next:
            self._damaged(at, f"has number {number} where {self._next} was due; a line was doubled or moved")
        elif chain != _digest(self._chain, body):
            self._damaged(at, "is not what was written")
        self._next, self._chain = number + 1, chain
        return body

    def _damaged(self, at: int, what: str) -> None:
        self.damage = self.damage or f"{self.path.name}:{at}: this line {what}"


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with regular(path).open("rb") as file:
            while line := file.readline(MOST_LINE + 1):
                if len(line) > MOST_LINE:
                    raise JournalError(
                        f"{path}: a line has more than {MOST_LINE >> 20} MB; the journal is damaged, the run cannot be judged"
                    )
                yield line
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read ({why(error)}); a run directory holds {EVENTS_FILE}") from None


class _OnDisk(Collection[Event]):
    """The first events of something that is too long to be held; each walk reads it."""

    def __init__(self, walk: Callable[[], Iterable[Event]], count: int) -> None:
        self._walk = walk
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Event]:
        return islice(self._walk(), self._count)

    def __contains__(self, event: object) -> bool:
        return any(event == one for one in self)


class _OfType(Sequence[Event]):
    """The events of one type, of a journal that is too long to be held."""

    def __init__(self, events: Iterable[Event], kind: type, count: int) -> None:
        self._events = events
        self._kind = kind
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Event]:
        return (event for event in self._events if type(event) is self._kind)

    @overload
    def __getitem__(self, place: int) -> Event: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Event]: ...
    def __getitem__(self, place: int | slice) -> Event | Sequence[Event]:
        wanted = range(self._count)[place]
        if isinstance(wanted, int):
            return next(islice(self, wanted, None))
        return [event for number, event in enumerate(self) if number in wanted]


def read(directory: Path) -> History:
    """Reads a run back.

    Of a type with more than `MOST_HELD` events, or `MOST_HELD_BYTES`, none is held: they are read from the file each time they are walked through.

    A torn last line (the process was killed while writing), a missing end or a line that is missing, doubled, moved or changed
    make the run inconclusive. A line that is no event at all is an error, since nothing after it can be trusted.

    Raises:
        UsageError: No journal there.
        JournalError: One damaged in its middle, or of a newer version.
    """
    path = directory / EVENTS_FILE
    reader = _Reader(path)
    history = _held(((event, reader.size) for event in reader), partial(_OnDisk, partial(_Reader, path, checked=True)))
    return replace(
        history,
        torn=reader.torn or RunEnded not in (history.by_type or ()),
        damage=(reader.damage,) if reader.damage else (),
    )


def _held(sized: Iterable[tuple[Event, int]], on_disk: Callable[[int], Collection[Event]]) -> History:
    """Events as a history that holds what is little; the rest is read again each time it is walked through.

    Args:
        sized: Each event with the length of its line.
        on_disk: Gives so many events again.
    """
    held: dict[type, list[Event]] = {}
    everything: list[Event] | None = []
    counts: Counter[type] = Counter()
    sizes: Counter[type] = Counter()
    for event, size in sized:
        kind = type(event)
        counts[kind] += 1
        sizes[kind] += size
        if counts[kind] <= MOST_HELD and sizes[kind] <= MOST_HELD_BYTES:
            held.setdefault(kind, []).append(event)
        else:
            held.pop(kind, None)
            everything = None
        if everything is not None:
            everything.append(event)
    events = on_disk(counts.total()) if everything is None else tuple(everything)
    return History(
        events,
        by_type={
            kind: tuple(held[kind]) if kind in held else _OfType(events, kind, count) for kind, count in counts.items()
        },
    )


class EventSpool(Sequence[Event]):
    """Events in order, for those who look back on a run while it goes on: the latest in memory, older ones in a nameless file.

    Appending is thread-safe; a walk sees what was there when it began.

    Args:
        recent: How many are held in memory.
    """

    def __init__(self, recent: int = RECENT) -> None:
        self._most = recent
        self._recent: deque[Event] = deque()
        self._file: IO[bytes] | None = None
        self._older = 0
        self._lock = threading.Lock()

    def append(self, event: Event) -> None:
        """Adds an event."""
        with self._lock:
            self._recent.append(event)
            if len(self._recent) > self._most:
                if self._file is None:
                    self._file = tempfile.TemporaryFile(prefix="chaosbot-")  # noqa: SIM115 - open as long as the spool is there
                self._file.write(encode(self._recent.popleft()) + b"\n")
                self._older += 1

    def __len__(self) -> int:
        return self._older + len(self._recent)

    def __iter__(self) -> Iterator[Event]:
        return self._walk()

    def __reversed__(self) -> Iterator[Event]:
        with self._lock:
            older, recent = self._older, tuple(self._recent)
        yield from reversed(recent)
        if older:
            yield from reversed(tuple(islice(self._walk(), older)))

    @overload
    def __getitem__(self, place: int) -> Event: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Event]: ...
    def __getitem__(self, place: int | slice) -> Event | Sequence[Event]:
        with self._lock:
            wanted = range(len(self))[place]
            places = (wanted,) if isinstance(wanted, int) else wanted
            if not places or min(places[0], places[-1]) >= self._older:
                found = [self._recent[number - self._older] for number in places]
                return found[0] if isinstance(wanted, int) else found
        if isinstance(wanted, int):
            return next(islice(self._walk(), wanted, None))
        found = [event for number, event in enumerate(self._walk()) if number in wanted]
        return found if wanted.step > 0 else found[::-1]

    def _walk(self) -> Iterator[Event]:
        with self._lock:
            file, recent = self._file, tuple(self._recent)
            if file is not None:
                file.flush()
                end = file.tell()
        if file is not None:
            at, rest = 0, b""
            while at < end:
                block = os.pread(
                    file.fileno(), min(1 << 20, end - at), at
                )  # leaves the position where the spool writes
                at += len(block)
                *lines, rest = (rest + block).split(b"\n")
                yield from (decode(line, SCHEMA) for line in lines)
        yield from recent

    def history(self) -> History:
        """All of them; little of it is held."""
        return _held(((event, len(encode(event))) for event in self), partial(_OnDisk, self._walk))
