"""Latency histograms as text: HdrHistogram's compressed encoding (version 2), written and read from sparse counts.

Rules:

- Values are whole microseconds in 0..`HIGHEST_US` (an hour); what lies outside counts as the nearest end. Three digits are kept: below
  2048 µs every value is its own cell, above that a cell is at most 1/1024 of its value wide.
- The text is byte for byte what the HdrHistogram library writes for the same values, so its readers in other languages read a journal; a
  test holds the two equal. Only cells that were hit cost time and memory; the library's arrays have 23,552.
"""

from __future__ import annotations

import struct
import zlib
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Final

from chaosbot.core.stats import Histogram

HIGHEST_US: Final = 3_600_000_000
DIGITS: Final = 3
_SUB_BITS: Final = 11  # 2048 cells for the lowest values hold three digits
_HALF: Final = 1 << (_SUB_BITS - 1)
_TABLED_US: Final = 1 << 16
_MICRO: Final = 1e-6
_OUTER: Final = struct.Struct(">II")  # cookie, length of what follows
_INNER: Final = struct.Struct(">IIIIQQd")  # cookie, length, index offset, digits, lowest, highest, ratio
_OUTER_COOKIE, _INNER_COOKIE = 0x1C849314, 0x1C849313


def cell_of(value: int) -> int:
    """The cell of a value in microseconds."""
    value = 0 if value < 0 else min(value, HIGHEST_US)
    bucket = max(value.bit_length() - _SUB_BITS, 0)
    return (bucket << (_SUB_BITS - 1)) + (value >> bucket)


def cells(seconds: Iterable[float]) -> Counter[int]:
    """How often each cell was hit by these durations; short ones are looked up, which takes a third of the time."""
    table, most = _table(), _TABLED_US * _MICRO
    return Counter([table[int(value * 1e6)] if 0.0 <= value < most else cell_of(int(value * 1e6)) for value in seconds])


@lru_cache(maxsize=1)
def _table() -> list[int]:
    """The cells of the values below `_TABLED_US`, in order."""
    table = list(range(2 * _HALF))
    while len(table) < _TABLED_US:
        bucket = len(table).bit_length() - _SUB_BITS
        for cell in range(_HALF, 2 * _HALF):
            table += [(bucket << (_SUB_BITS - 1)) + cell] * (1 << bucket)
    return table


def encode(hits: Mapping[int, int]) -> str:
    """Cells as text; empty for none."""
    if not hits:
        return ""
    body, last = bytearray(), -1
    for cell in sorted(hits):
        gap, last = cell - last - 1, cell
        if gap:
            _write(body, -gap)
        _write(body, hits[cell])
    inner = _INNER.pack(_INNER_COOKIE, len(body), 0, DIGITS, 1, HIGHEST_US, 1.0)
    packed = zlib.compress(inner + body)
    return b64encode(_OUTER.pack(_OUTER_COOKIE, len(packed)) + packed).decode("ascii")


def _write(body: bytearray, number: int) -> None:
    """A signed number, zigzag and in seven bits a byte; no count of a run reaches the ninth byte's special rule."""
    left = (number << 1) ^ (number >> 63)
    while left >= 0x80:
        body.append(left & 0x7F | 0x80)
        left >>= 7
    body.append(left)


def _numbers(body: bytes) -> Iterator[int]:
    shift = number = 0
    for byte in body:
        if shift == 56:  # the ninth byte is a whole one
            number |= byte << shift
        else:
            number |= (byte & 0x7F) << shift
            if byte & 0x80:
                shift += 7
                continue
        yield (number >> 1) ^ -(number & 1)
        shift = number = 0
    if shift:
        raise ValueError("a number breaks off")


@lru_cache(maxsize=1 << 15)
def _ceiling_s(cell: int) -> float:
    """The largest value of a cell, in seconds."""
    bucket = max((cell >> (_SUB_BITS - 1)) - 1, 0)
    return float(((cell - (bucket << (_SUB_BITS - 1)) + 1) << bucket) - 1) * _MICRO


@lru_cache(maxsize=64)
def decode(text: str) -> Histogram | None:
    """Reads a text as a histogram of seconds, each value the largest of its cell; None when it is none, or of another layout."""
    if not text:
        return Histogram()
    try:
        raw = b64decode(text, validate=True)
        cookie, length = _OUTER.unpack_from(raw)
        data = zlib.decompress(raw[_OUTER.size : _OUTER.size + length])
        head = _INNER.unpack_from(data)
    except (ValueError, zlib.error, struct.error):
        return None
    body = data[_INNER.size :]
    if cookie != _OUTER_COOKIE or head[:6] != (_INNER_COOKIE, len(body), 0, DIGITS, 1, HIGHEST_US):
        return None
    values: list[float] = []
    counts: list[int] = []
    cell = 0
    try:
        for number in _numbers(body):
            if number > 0:
                values.append(_ceiling_s(cell))
                counts.append(number)
            cell += -number if number < 0 else 1
    except ValueError:
        return None
    return Histogram(tuple(values), tuple(counts))


class CodedHistogram(Histogram):
    """A histogram that is kept as its texts and read when it is looked at: a tenth of the memory, for the seconds of a long run.

    Args:
        texts: Readable texts, which are added up.
    """

    __slots__ = ("_texts",)

    def __init__(self, texts: Iterable[str]) -> None:
        object.__setattr__(self, "_texts", tuple(filter(None, texts)))

    def _read(self) -> Histogram:
        texts: tuple[str, ...] = self._texts  # type: ignore[attr-defined]
        return _read(texts)

    @property
    def values(self) -> tuple[float, ...]:
        """The distinct values, rising."""
        return self._read().values

    @property
    def counts(self) -> tuple[int, ...]:
        """How often each was seen."""
        return self._read().counts


@lru_cache(maxsize=16)
def _read(texts: tuple[str, ...]) -> Histogram:
    return Histogram.merged(part for text in texts if (part := decode(text)) is not None)
