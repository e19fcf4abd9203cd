"""Takes secrets out of a report before anything is rendered, since a live fold has seen events before the journal's redaction."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import Enum
from typing import TypeVar, cast

from chaosbot.journal import Redactor
from chaosbot.model.stats import Histogram

T = TypeVar("T")


def scrub(value: T, redactor: Redactor) -> T:
    """The same frozen value with every text and byte string in it redacted."""
    return cast("T", _scrub(value, redactor))


def _scrub(value: object, redactor: Redactor) -> object:
    match value:
        case Enum() | Histogram() | bool() | int() | float() | None:
            return value
        case str():
            return redactor.text(value)
        case bytes():
            return redactor.data(value)
        case Mapping():
            return {_scrub(key, redactor): _scrub(item, redactor) for key, item in value.items()}
        case tuple():
            return tuple(_scrub(item, redactor) for item in value)
        case list():
            return [_scrub(item, redactor) for item in value]
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {field.name: _scrub(getattr(value, field.name), redactor) for field in dataclasses.fields(value)}
            return type(value)(**fields)
        case _:
            return value
