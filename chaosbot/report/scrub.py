"""What a report's texts go through before anybody sees them.

Rules:

- `scrub` takes secrets out: a live fold has seen events before the journal's redaction.
- `tame` takes out what a text can do to its reader besides being read: terminal escapes, controls, text-direction overrides, and
  lone surrogates that no file can hold. The target chooses many of these texts. What is left is replaced visibly.
- Both walk the whole frozen value, so that no renderer can forget a field.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final, TypeVar, cast

from chaosbot.core.stats import Histogram
from chaosbot.journal import Redactor
from chaosbot.report.values import Second

T = TypeVar("T")

_WILD: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def scrub(value: T, redactor: Redactor) -> T:
    """The same frozen value with every text and byte string in it redacted."""
    return cast("T", _walk(value, redactor.text, redactor.data))


def tame(value: T) -> T:
    """The same frozen value with every text in it harmless to a terminal, a page and an XML file."""
    return cast("T", _walk(value, tamed, bytes))


def tamed(text: str) -> str:
    """A text of which nothing is left but what is read."""
    return _WILD.sub("\N{REPLACEMENT CHARACTER}", text)


def _walk(value: object, text: Callable[[str], str], data: Callable[[bytes], bytes]) -> object:
    match value:
        # Seconds hold figures; their few names are shown from the sums over all seconds only.
        case Enum() | Histogram() | Second() | bool() | int() | float() | None:
            return value
        case str():
            return text(value)
        case bytes():
            return data(value)
        case Mapping():
            return {_walk(key, text, data): _walk(item, text, data) for key, item in value.items()}
        case tuple():
            return tuple(_walk(item, text, data) for item in value)
        case list():
            return [_walk(item, text, data) for item in value]
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = dataclasses.fields(value)
            return type(value)(**{field.name: _walk(getattr(value, field.name), text, data) for field in fields})
        case _:
            return value
