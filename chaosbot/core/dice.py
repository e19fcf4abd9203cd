"""All chance in chaosbot: keyed hashes of one seed, never a shared stream.

Rules:

- A draw is a pure function of the seed and of a key (``dice.at("rule", 2, "exchange", id)``). Two runs with the same seed
  make the same draws whatever the scheduler does, because no draw depends on how many came before it.
- Probability 0 never fires and probability 1 always does; no rounding gets in between.
- A distribution draws by inverting its cumulative function, so one key gives one value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b, shake_128
from statistics import NormalDist
from typing import Final, TypeVar

T = TypeVar("T")
Key = str | int | bytes

_STANDARD_NORMAL: Final = NormalDist()
_SCALE: Final = float(1 << 53)


def _framed(raw: bytes, tag: bytes) -> bytes:
    """A key part so that no two different keys share a byte string: type tag and length first."""
    return tag + len(raw).to_bytes(4, "big") + raw


@lru_cache(maxsize=4096)
def _text(part: str) -> bytes:
    return _framed(part.encode("utf-8", "surrogatepass"), b"s")  # nearly all keys are words of the code


def _encode(part: Key) -> bytes:
    if isinstance(part, str):
        return _text(part)
    return _framed(part, b"b") if isinstance(part, bytes) else _framed(b"%d" % part, b"i")


@lru_cache(maxsize=256)
def _hasher(seed: int, size: int) -> blake2b:
    """The hash before its path; copies of it are cheaper than new ones with the same key."""
    return blake2b(digest_size=size, key=str(seed).encode()[:64], person=b"chaosbot")


@dataclass(frozen=True, slots=True)
class Dice:
    """One place in the tree of all chance under a seed.

    `at` goes one step deeper; the drawing methods read the value at this place, always the same one. To draw twice, go to
    two places.

    Args:
        seed: What a person writes after ``--seed``.
        path: Where in the tree; empty at the root.
    """

    seed: int
    path: bytes = b""

    def at(self, *key: Key) -> Dice:
        """The dice at a key below this one."""
        joined = self.path
        for part in key:
            joined += _encode(part)
        # Folding keeps a path short however deep the tree goes.
        if len(joined) > 64:
            joined = b"h" + blake2b(joined, digest_size=32).digest()
        return Dice(self.seed, joined)

    def _digest(self, size: int = 8) -> bytes:
        hasher = _hasher(self.seed, size).copy()
        hasher.update(self.path)
        return hasher.digest()

    def fraction(self) -> float:
        """A number in [0, 1), uniform, with 53 random bits."""
        return (int.from_bytes(self._digest(), "big") >> 11) / _SCALE

    def chance(self, probability: float) -> bool:
        """Whether an event of this probability happens; 0 never, 1 always."""
        return self.fraction() < probability

    def uniform(self, low: float, high: float) -> float:
        """A number between `low` and `high`, uniform."""
        return low + (high - low) * self.fraction()

    def integer(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included, uniform."""
        if high < low:
            raise ValueError(f"integer({low}, {high}): the range is empty")
        # 128 bits make the bias of the modulus smaller than 2**-64 for every range used here.
        return low + int.from_bytes(self._digest(16), "big") % (high - low + 1)

    def choice(self, options: Sequence[T]) -> T:
        """One of the options, each equally likely."""
        return options[self.integer(0, len(options) - 1)]

    def weighted(self, options: Sequence[T], weights: Sequence[float]) -> T:
        """One of the options, as likely as its weight says."""
        total = math.fsum(weights)
        if len(options) != len(weights) or not total > 0:
            raise ValueError("weighted() needs one weight an option and a sum above 0")
        point, passed = self.fraction() * total, 0.0
        for option, weight in zip(options, weights, strict=True):
            passed += weight
            if point < passed:
                return option
        return next(option for option, weight in zip(reversed(options), reversed(weights), strict=True) if weight > 0)

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in a random order."""
        order = list(items)
        for last in range(len(order) - 1, 0, -1):
            other = self.at("shuffle", last).integer(0, last)
            order[last], order[other] = order[other], order[last]
        return order

    def normal(self, mean: float, deviation: float) -> float:
        """A normally distributed number."""
        return mean + deviation * _STANDARD_NORMAL.inv_cdf(self.fraction() * (1 - 2e-16) + 1e-16)

    def lognormal(self, median: float, sigma: float) -> float:
        """A log-normally distributed number with this median; `sigma` is the deviation of its logarithm."""
        return median * math.exp(self.normal(0.0, sigma))

    def pareto(self, minimum: float, shape: float) -> float:
        """A Pareto distributed number of at least `minimum`; the smaller `shape`, the heavier the tail."""
        return minimum * math.exp(-math.log1p(-self.fraction()) / shape)

    def data(self, size: int) -> bytes:
        """`size` random bytes."""
        return shake_128(_text(str(self.seed)) + self.path).digest(size)

    def token(self, length: int = 16) -> str:
        """A random word of hexadecimal digits, for identifiers."""
        return self.data(-(-length // 2)).hex()[:length]

    def number(self) -> int:
        """A 32-bit seed for a library that wants its own (Hypothesis)."""
        return int.from_bytes(self._digest(4), "big")
