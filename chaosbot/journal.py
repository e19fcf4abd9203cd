"""DOOR to structlog: the one event stream of a run, as NDJSON, and the one place where secrets are taken out.

Rules:

- Every event of a run passes `Journal.write`; worker processes send theirs to the parent, which writes them.
- Redaction happens here, once, on the encoded values of an event: known secret values (also in base64, percent-encoded and
  JSON-escaped) and everything that has the shape of a bot token. Reports are folds of the journal, so what is clean here
  is clean there; findings' request bytes are redacted before they are put into an event.
- A line is written whole or not at all; a torn last line is recognised when read back.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import quote

import orjson
import structlog

from chaosbot.core.check import History
from chaosbot.core.errors import JournalError, UsageError
from chaosbot.core.event import Event, from_json, to_json

REDACTED: Final = "[redacted]"
EVENTS_FILE: Final = "events.ndjson"

# A bot token is the bot's numeric id, a colon and 35 characters (Bot API, "Authorizing your bot"); shorter look-alikes of at
# least 30 are taken out too. In a URL a token follows "/bot" directly, so no word boundary is asked for.
_BOT_TOKEN: Final = re.compile(r"(?<!\d)\d{6,12}(?::|%3[Aa])[A-Za-z0-9_-]{30,}")
_BOT_TOKEN_BYTES: Final = re.compile(_BOT_TOKEN.pattern.encode())
# Secrets shorter than this would redact half of every line; they are refused where they are read.
SHORTEST_SECRET: Final = 4


@dataclass(frozen=True)
class Redactor:
    """Takes secrets out of texts, bytes and JSON values.

    Args:
        secrets: The values that must never be written. Each is searched as it is, in base64, percent-encoded and as JSON
            escapes it.
    """

    secrets: tuple[str, ...] = ()
    _texts: re.Pattern[str] | None = field(init=False, repr=False, compare=False)
    _bytes: re.Pattern[bytes] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Compiles one pattern of all spellings, the longest first."""
        spellings: set[str] = set()
        for secret in self.secrets:
            if len(secret) < SHORTEST_SECRET:
                raise UsageError(
                    f"a secret of {len(secret)} characters cannot be redacted; use at least {SHORTEST_SECRET}"
                )
            spellings |= {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], *_base64_cores(secret)}
        ordered = sorted(spellings, key=len, reverse=True)
        object.__setattr__(self, "_texts", re.compile("|".join(map(re.escape, ordered))) if ordered else None)
        raw = b"|".join(re.escape(spelling.encode("utf-8", "surrogatepass")) for spelling in ordered)
        object.__setattr__(self, "_bytes", re.compile(raw) if ordered else None)

    def text(self, value: str) -> str:
        """The text without secrets."""
        if self._texts is not None:
            value = self._texts.sub(REDACTED, value)
        return _BOT_TOKEN.sub(REDACTED, value) if ":" in value or "%3" in value else value

    def data(self, value: bytes) -> bytes:
        """The bytes without secrets; lengths may change."""
        if self._bytes is not None:
            value = self._bytes.sub(REDACTED.encode(), value)
        return _BOT_TOKEN_BYTES.sub(REDACTED.encode(), value)

    def json(self, value: Any) -> Any:
        """A JSON value without secrets, keys included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(key): self.json(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.json(item) for item in value]
        return value


def _base64_cores(secret: str) -> set[str]:
    """The parts of a secret's base64 that are the same wherever in a longer text it starts (three alignments)."""
    raw = secret.encode("utf-8", "surrogatepass")
    cores = set()
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + raw).decode()
        # The first characters mix in what stands before the secret, the last ones what follows it.
        core = encoded[(0, 2, 3)[shift] : len(encoded) - (0, 3, 2)[(shift + len(raw)) % 3]].rstrip("=")
        if len(core) >= 6:
            cores |= {core, core.replace("+", "-").replace("/", "_")}
    return cores


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
        self.events: list[Event] = []
        self.discarded = False
        self._lock = threading.Lock()
        self._made = [folder for folder in (directory, *directory.parents) if not folder.exists()]
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = (directory / EVENTS_FILE).open("xb", buffering=1 << 16)
        except FileExistsError:
            raise UsageError(
                f"--out {directory}: holds a run already; a run directory is written once; choose another directory"
            ) from None
        except OSError as error:
            raise UsageError(
                f"--out {directory}: cannot be written ({error.strerror}); choose a directory of yours"
            ) from None
        self._log = structlog.wrap_logger(
            structlog.BytesLogger(self._file),
            processors=[self._redact, structlog.processors.JSONRenderer(serializer=_encode)],
            wrapper_class=structlog.BoundLogger,
            context_class=dict,
        )

    def _redact(self, _logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event.pop("event", None)
        clean: structlog.typing.EventDict = self.redactor.json(event)
        return clean

    def write(self, event: Event) -> None:
        """Records one event; a journal that is closed already ignores it (a late worker)."""
        with self._lock:
            if not self._file.closed:
                self._log.info(None, **to_json(event, self.redactor.data))
                self.events.append(event)

    def flush(self) -> None:
        """Makes everything written so far readable for others."""
        with self._lock:
            if not self._file.closed:
                self._file.flush()

    def close(self) -> None:
        """Ends the journal."""
        with self._lock:
            self._file.close()

    def discard(self) -> None:
        """Takes the journal away again, with the directories that were made for it and hold nothing else: no run began."""
        self.close()
        self.discarded = True
        with suppress(OSError):
            (self.directory / EVENTS_FILE).unlink()
            for folder in self._made:
                folder.rmdir()


def _encode(value: Any, **_options: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        # What a hostile target said: lone surrogates, integers beyond 64 bits. The event must not be lost for that.
        return orjson.dumps(_writable(value))


def _writable(value: Any) -> Any:
    """The value with texts that UTF-8 can carry, and integers that JSON readers agree on."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value)
    if isinstance(value, dict):
        return {_writable(key): _writable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_writable(item) for item in value]
    return value


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from file
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); a run directory holds {EVENTS_FILE}") from None


def read(directory: Path) -> History:
    """Reads a run back.

    A torn last line (the process was killed while writing) or a missing end makes the history torn, which makes the run
    inconclusive. Anything unreadable before the last line is an error, since then nobody knows what else is missing.

    Raises:
        UsageError: No journal there.
        JournalError: One damaged in its middle.
    """
    path = directory / EVENTS_FILE
    lines = list(_lines(path))
    events: list[Event] = []
    torn = False
    for number, line in enumerate(lines, 1):
        try:
            events.append(from_json(orjson.loads(line)))
        except (orjson.JSONDecodeError, JournalError) as error:
            if number < len(lines) or line.endswith(b"\n"):
                raise JournalError(
                    f"{path}:{number}: {error}; the journal is damaged, the run cannot be judged"
                ) from None
            torn = True
    history = History.of(events)
    return History(history.events, torn or history.end is None)
