"""Quotas of the `Throttle` effect: who may pass, who is refused, and who came back too early."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from chaosbot.core.effect import Throttle
from chaosbot.core.exchange import Exchange
from chaosbot.core.units import format_duration

Note = Callable[[str, str, dict[str, Any]], None]


@dataclass
class _Period:
    began: float
    used: int = 0
    refused: set[bytes] = field(default_factory=set)


@dataclass(frozen=True)
class Refusal:
    """An answer to somebody who is beyond the quota."""

    headers: tuple[tuple[str, str], ...]
    body: bytes
    detail: str


class Quotas:
    """The periods that run now, one a rule and group."""

    def __init__(self) -> None:
        self._periods: dict[tuple[str, str], _Period] = {}

    def ask(self, rule: str, effect: Throttle, exchange: Exchange, now: float, note: Note) -> Refusal | None:
        """Counts an exchange; None lets it pass.

        A request that was refused and comes again, the same to the byte, before the time that it was told to wait is over is
        noted: its client ignores Retry-After.
        """
        period = self._periods.get((rule, effect.group))
        if period is None or now >= period.began + effect.period_s:
            period = self._periods[rule, effect.group] = _Period(now)
        if period.used < effect.quota:
            period.used += 1
            return None
        left = period.began + effect.period_s - now
        wait = str(max(1, math.ceil(left)))
        digest = blake2b(
            b"\0".join(
                (exchange.method.encode("utf-8", "replace"), exchange.path.encode("utf-8", "replace"), exchange.body)
            ),
            digest_size=8,
        ).digest()
        detail = f"refused for {format_duration(left)}"
        if digest in period.refused:
            detail = f"came back {format_duration(left)} too early"
            facts = {"rule": rule, "exchange": exchange.key, "too_early_s": round(left, 3), "path": exchange.path}
            note("rate_limit", f"{exchange.method} {exchange.path} {detail}", facts)
        period.refused.add(digest)
        headers = tuple((name, value.replace("{wait}", wait)) for name, value in effect.headers)
        return Refusal(headers, effect.body.replace(b"{wait}", wait.encode()), detail)
