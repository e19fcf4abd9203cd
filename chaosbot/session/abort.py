"""Stop conditions: what ends a run early, because going on would only break more.

A condition is a bound over the last frames, as people write it: ``error_rate > 50% for 10s``, ``p99 > 10s for 5s``. It must hold for
its whole time, so that a single bad second does not end an experiment whose purpose is bad seconds. ``health fails for 10s`` ends
a run whose target does not answer its health probe any more (`--health`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from chaosbot.core import units
from chaosbot.core.errors import ConfigError
from chaosbot.core.event import Event, IntervalMeasured, ProbeSeen
from chaosbot.core.hdr import decode

GRACE_S: Final = 5.0
"""Used where a condition names no time."""

_QUANTILES: Final = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
_METRICS: Final = ("error_rate", *_QUANTILES, "memory")


_FAILING: Final = re.compile(r"health\s+fails(?:\s+for\s+(\S+))?")
_LIMIT: Final = re.compile(r"(\w+)\s*>\s*(\S+)(?:\s+for\s+(\S+))?")


@dataclass(frozen=True, slots=True)
class StopCondition:
    """One bound that must not be passed for a time.

    Args:
        text: As it was written.
        metric: ``error_rate``, ``p50`` … ``p99``, ``memory`` or ``health`` (of the target, through a probe).
        limit: A share, seconds or bytes.
        grace_s: For how long it must be passed.
    """

    text: str
    metric: str
    limit: float
    grace_s: float

    def shown(self, value: float) -> str:
        """A value of the metric in its unit."""
        if self.metric == "health":
            return "no answer"
        if self.metric == "error_rate":
            return f"{value:.1%}"
        return units.format_size(round(value)) if self.metric == "memory" else units.format_duration(value)

    @classmethod
    def parse(cls, text: str, where: str = "abort_on") -> StopCondition:
        """Reads ``METRIC > LIMIT [for TIME]``; `where` is the key or option that has it.

        Raises:
            ConfigError: Another form, an unknown metric or a wrong unit.
        """
        failing = _FAILING.fullmatch(text.strip())
        if failing is not None:
            return cls(text, "health", 0.0, _time(failing[1], f"{where} '{text}'"))
        match = _LIMIT.fullmatch(text.strip())
        if match is None or match[1] not in _METRICS:
            raise ConfigError(
                where,
                f"'{text}' is no stop condition; write METRIC > LIMIT for TIME with one of {', '.join(_METRICS)}, "
                'for example "error_rate > 50% for 10s", or "health fails for 10s"',
            )
        read: Callable[[object], float] = units.duration
        if match[1] == "error_rate":
            read = units.share
        elif match[1] == "memory":
            read = units.size
        try:
            return cls(text, match[1], read(match[2]), _time(match[3], f"{where} '{text}'"))
        except ConfigError as error:
            raise error.inside(f"{where} '{text}'") from None


def _time(written: str | None, where: str) -> float:
    """For how long a condition must hold."""
    try:
        return units.duration(written) if written else GRACE_S
    except ConfigError as error:
        raise error.inside(where) from None


@dataclass
class Sentinel:
    """Watches a run's events and stops it when a condition has held for its whole time.

    Args:
        conditions: The conditions.
        stop: What stops the run; called once, with the reason.
    """

    conditions: Sequence[StopCondition]
    stop: Callable[[str], None]
    _since: dict[str, float] = field(default_factory=dict)

    def notice(self, event: Event) -> None:
        """Listens to the run's events."""
        for condition in self.conditions:
            value = self._value(condition, event)
            if value is None:
                continue
            if value <= condition.limit:
                self._since.pop(condition.text, None)
                continue
            since = self._since.setdefault(condition.text, event.t)
            if event.t - since >= condition.grace_s:
                self.stop(f"stop condition '{condition.text}' held (at last {condition.shown(value)})")

    @staticmethod
    def _value(condition: StopCondition, event: Event) -> float | None:
        if condition.metric == "health":
            return float(not event.ok) if isinstance(event, ProbeSeen) and event.probe == "health" else None
        if isinstance(event, ProbeSeen) and condition.metric == "memory" and event.probe == "memory" and event.ok:
            return float(event.value) if isinstance(event.value, (int, float)) else None
        if not isinstance(event, IntervalMeasured) or condition.metric == "memory":
            return None
        finished = event.completed + event.failed + event.timed_out
        if not finished:
            return None
        if condition.metric == "error_rate":
            return (event.failed + event.timed_out) / finished
        histogram = decode(event.response)
        return 0.0 if histogram is None else histogram.quantile(_QUANTILES[condition.metric]) or 0.0
