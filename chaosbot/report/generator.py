"""The generator's health: a late, saturated or overrun driver measures itself, and its numbers are INVALID.

A driver that finished has judged itself (a note of area ``generator``), from figures that are exact. Where it could not, because
it was killed, these bounds hold, each over the whole run:

- lateness: 1 of 100 arrivals may start up to 100 ms late (a run whose p99 bound is wider than a second: a tenth of it);
- CPU: no more than a tenth of the seconds above 95 % of the one core that a generator process has;
- arrivals that nobody could start: at most 1 %.
"""

from __future__ import annotations

from collections.abc import Sequence

from chaosbot.core.check import History
from chaosbot.core.event import Noted
from chaosbot.core.stats import Histogram, quantile
from chaosbot.report.values import Generator, Second

LATENESS_S = 0.1
BUSY, BUSY_SHARE = 0.95, 0.1
DROPPED_SHARE = 0.01


def generator_of(history: History, seconds: Sequence[Second], *, measured: bool) -> Generator | None:
    """The generator's health; None when nothing was generated."""
    if not seconds:
        return None
    # Single requests tell lateness exactly; intervals carry each second's p99, of which the weighted p99 is a close bound.
    single = [max(0.0, request.started - request.due) for request in history.requests]
    weighted = Histogram.of(_by_weight(seconds))
    p99 = (weighted.quantile(0.99) if measured else quantile(single, 0.99)) or 0.0
    cpu = quantile([second.cpu for second in seconds], 1 - BUSY_SHARE) or 0.0
    planned, dropped = sum(second.planned for second in seconds), sum(second.dropped for second in seconds)
    reasons = []
    if p99 > LATENESS_S:
        reasons.append(
            f"1 % of the arrivals started more than {p99 * 1e3:.0f} ms late (bound {LATENESS_S * 1e3:.0f} ms)"
        )
    if cpu > BUSY:
        reasons.append(f"the generator used {cpu:.0%} of its core in a tenth of the seconds (bound {BUSY:.0%})")
    if planned and dropped > DROPPED_SHARE * planned:
        reasons.append(f"{dropped} of {planned} arrivals could not be started (bound {DROPPED_SHARE:.0%})")
    said = [note for note in history.all(Noted) if note.area == "generator" and "valid" in note.data]
    if said:
        reasons = [note.text for note in said if note.data["valid"] is False]
        exact = [note.data.get("lateness_p99_s") for note in said]
        p99 = max((one for one in exact if isinstance(one, float)), default=p99)
    return Generator(
        lateness_p50=quantile(single, 0.5),
        lateness_p99=p99,
        lateness_max=max(second.lateness_max_s for second in seconds),
        cpu=cpu,
        valid=not reasons,
        reasons=tuple(reasons),
    )


def _by_weight(seconds: Sequence[Second]) -> dict[float, int]:
    weights: dict[float, int] = {}
    for second in seconds:
        weights[second.lateness_p99_s] = weights.get(second.lateness_p99_s, 0) + max(1, second.started)
    return weights
