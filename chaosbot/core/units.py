"""Units as people write them, as plain numbers in code.

Rules: durations are float seconds, sizes are int bytes, rates of a second are float 1/s, shares are float 0..1. Only text
that comes from people carries suffixes; a bare number is refused where it would be ambiguous.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from chaosbot.core.errors import MOST_SHOWN, ConfigError, shown

_NUMBER: Final = r"[+-]?(?:\d+(?:[_ ]\d+)*(?:\.\d+)?|\.\d+)"
_QUANTITY: Final = re.compile(rf"({_NUMBER})\s*([A-Za-zµμ%/]*)")

DURATION_UNITS: Final[Mapping[str, float]] = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}
SIZE_UNITS: Final[Mapping[str, float]] = {
    "b": 1,
    "kb": 1e3,
    "mb": 1e6,
    "gb": 1e9,
    "kib": 1024,
    "mib": 1024**2,
    "gib": 1024**3,
}
FREQUENCY_UNITS: Final[Mapping[str, float]] = {
    "/s": 1.0,
    "rps": 1.0,
    "/min": 1 / 60,
    "/m": 1 / 60,
    "/h": 1 / 3600,
}

MOST: Final = 1e15
"""No duration, size or rate is larger; beyond it floats and system calls lose their meaning."""


MOST_PORT: Final = 65535


def whole(text: str, most: int) -> int | None:
    """The whole number from 0 to `most` that a text of ASCII digits says; None for every other text, of whatever length.

    ``isdecimal`` alone is not enough: `int` refuses more digits than `sys.get_int_max_str_digits`.
    """
    if not (text.isascii() and text.isdecimal()) or len(text.lstrip("0")) > len(str(most)):
        return None
    number = int(text.lstrip("0") or "0")
    return number if number <= most else None


def statuses(texts: Iterable[str]) -> tuple[int, ...]:
    """HTTP statuses in order, from what people write: ``304``, or ``3xx`` for a whole class.

    Raises:
        ConfigError: No such status.
    """
    found: set[int] = set()
    for text in texts:
        status = whole(text, 599)
        if len(text) == 3 and text[0] in "12345" and text[1:].lower() == "xx":
            found.update(range(int(text[0]) * 100, int(text[0]) * 100 + 100))
        elif len(text) == 3 and status is not None and status >= 100:
            found.add(status)
        else:
            raise ConfigError("", f"{shown(text)} is no HTTP status; write for example 304 or 3xx")
    return tuple(sorted(found))


def _brief(text: object) -> str:
    """What was written, as an error shows it."""
    written = str(text)
    return written if len(written) <= MOST_SHOWN else f"{written[:MOST_SHOWN]}…"


def _quantity(text: str, kind: str, example: str) -> tuple[float, str]:
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        raise ConfigError("", f"'{_brief(text)}' is not a {kind}; write for example {example}")
    return float(match[1].replace("_", "").replace(" ", "")), match[2]


def _scaled(text: object, kind: str, example: str, units: Mapping[str, float], *, fold: bool) -> float:
    if isinstance(text, bool) or not isinstance(text, (str, int, float)):
        raise ConfigError("", f"{shown(text)} is not a {kind}; write for example {example}")
    number, unit = _quantity(str(text), kind, example)
    if not unit and number != 0:
        raise ConfigError(
            "", f"'{_brief(text)}' has no unit; a {kind} needs one of {', '.join(units)}, for example {example}"
        )
    if unit:
        key = unit.lower() if fold else unit
        if key not in units:
            raise ConfigError(
                "",
                f"'{_brief(text)}': unknown unit '{_brief(unit)}'; a {kind} needs one of {', '.join(units)}, for example {example}",
            )
        number *= units[key]
    if number < 0:
        raise ConfigError("", f"'{_brief(text)}' is negative; a {kind} is at least 0, for example {example}")
    if not number <= MOST:
        raise ConfigError("", f"{shown(text)} is beyond all bounds; a {kind} is for example {example}")
    return number


def duration(text: object) -> float:
    """Reads ``"250ms"``, ``"1.5s"`` or ``"12h"`` as seconds; zero needs no unit.

    A compound such as ``"1h30m"`` is the sum of its parts.

    Raises:
        ConfigError: No number, no unit, an unknown unit or a negative value.
    """
    if isinstance(text, str) and len(text) <= MOST_SHOWN:
        parts = re.findall(rf"{_NUMBER}\s*[A-Za-zµμ]+", text.strip())
        if len(parts) > 1 and "".join(parts).replace(" ", "") == text.replace(" ", ""):
            return sum(duration(part) for part in parts)
    return _scaled(text, "duration", '"250ms" or "1.5s"', DURATION_UNITS, fold=False)


def size(text: object) -> int:
    """Reads ``"10MB"`` (decimal), ``"64KiB"`` (binary) or ``"512b"`` as bytes; a whole number is bytes too.

    Raises:
        ConfigError: No number, an unknown unit or a negative value.
    """
    if isinstance(text, int) and not isinstance(text, bool) and 0 <= text <= MOST:
        return text
    if isinstance(text, str) and text.strip().isdecimal() and len(text) <= MOST_SHOWN:
        text = f"{text.strip()}b"
    elif isinstance(text, int) and not isinstance(text, bool) and text > MOST:
        raise ConfigError("", f'{shown(text)} is beyond all bounds; write for example "10MB"')
    return round(_scaled(text, "size", '"10MB" or "64KiB"', SIZE_UNITS, fold=True))


def frequency(text: object) -> float:
    """Reads ``"500/s"``, ``"500rps"`` or ``"30/min"`` as events a second."""
    return _scaled(text, "rate", '"500/s"', FREQUENCY_UNITS, fold=True)


def share(text: object) -> float:
    """Reads ``0.3``, ``"0.3"`` or ``"30%"`` as a share between 0 and 1."""
    if isinstance(text, bool) or not isinstance(text, (str, int, float)):
        raise ConfigError("", f'{shown(text)} is not a share; write for example 0.3 or "30%"')
    number, unit = _quantity(str(text), "share", '0.3 or "30%"')
    if unit == "%":
        number /= 100
    elif unit:
        raise ConfigError(
            "",
            f"'{_brief(text)}': unknown unit '{_brief(unit)}'; a share is a number from 0 to 1 or a percentage, for example 0.3 or \"30%\"",
        )
    if not 0 <= number <= 1:
        raise ConfigError(
            "", f"'{_brief(text)}' is outside 0..1; a share is a number from 0 to 1 or a percentage up to 100%"
        )
    return number


def spread(text: str) -> tuple[str, str | None]:
    """Splits ``"250ms±50ms"`` (or ``"250ms+-50ms"``) into its centre and its spread, still as text."""
    for sign in ("±", "+-", "+/-"):
        if sign in text:
            centre, _, around = text.partition(sign)
            return centre.strip(), around.strip()
    return text.strip(), None


def format_duration(seconds: float) -> str:
    """Writes seconds in the unit that a person would choose: ``250ms``, ``1.5s``, ``2m 30s``, ``1h 5m``."""
    if seconds < 1e-9:
        return "0s"
    # The bounds are those at which three digits would round up to the next unit's 1.
    if seconds < 0.9995e-3:
        return f"{seconds * 1e6:.3g}µs"
    if seconds < 0.9995:
        return f"{seconds * 1e3:.3g}ms"
    if seconds < 59.95:
        return f"{seconds:.3g}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest}s" if rest else f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes}m" if minutes else f"{hours}h"


def format_size(count: int) -> str:
    """Writes bytes with a decimal unit: ``512 B``, ``10 MB``, ``1.5 GB``."""
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} GB"
