"""Prometheus figures of a run: a fold of its events, for `/metrics` of the control API.

Rules:

- Only what events say is counted; nothing is measured a second time.
- Labels come from small alphabets (lanes, rules, faults, status classes), never from paths or ids.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from chaosbot.model.event import Event, ExchangeSeen, Injected, RuleSwitched, Trouble

# Seconds; the default buckets of Prometheus' own clients up to their end, then what a webhook sender waits for.
_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

Labels = tuple[tuple[str, str], ...]


def escape(value: str) -> str:
    """A label's value as the text format wants it."""
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def family(name: str, kind: str, help_line: str, samples: Iterable[tuple[Mapping[str, str], float]]) -> list[str]:
    """The lines of one metric; none without samples."""
    lines = []
    for labels, value in samples:
        inside = ",".join(f'{key}="{escape(text)}"' for key, text in labels.items())
        lines.append(f"{name}{{{inside}}} {value}" if inside else f"{name} {value}")
    return [f"# HELP {name} {help_line}", f"# TYPE {name} {kind}", *lines] if lines else []


class EventMetrics:
    """Counts events as they pass; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._exchanges: Counter[Labels] = Counter()
        self._injections: Counter[Labels] = Counter()
        self._active: dict[Labels, int] = {}
        self._buckets: Counter[tuple[str, float]] = Counter()
        self._sums: dict[str, float] = {}
        self._counts: Counter[str] = Counter()
        self._troubles = 0

    def take(self, event: Event) -> None:
        """Counts an event; of most kinds nothing is counted."""
        with self._lock:
            match event:
                case ExchangeSeen():
                    self._exchange(event)
                case Injected():
                    labels = (
                        ("rule", event.rule),
                        ("fault", event.fault),
                        ("lane", str(event.lane)),
                        ("stage", event.stage),
                    )
                    self._injections[labels] += 1
                case RuleSwitched():
                    self._active[("rule", event.rule), ("fault", event.fault)] = int(event.active)
                case Trouble():
                    self._troubles += 1
                case _:
                    pass

    def _exchange(self, event: ExchangeSeen) -> None:
        status = "none" if event.status is None else f"{event.status // 100}xx"
        lane = str(event.lane)
        self._exchanges[("lane", lane), ("by", event.by), ("status", status)] += 1
        self._counts[lane] += 1
        self._sums[lane] = self._sums.get(lane, 0.0) + event.seconds
        for bound in _BUCKETS:
            if event.seconds <= bound:
                self._buckets[lane, bound] += 1

    def text(self) -> str:
        """The figures in Prometheus' text format."""
        with self._lock:
            lines = family(
                "chaosbot_exchanges_total",
                "counter",
                "Exchanges by lane, by who wrote the answer, and by status class.",
                [(dict(labels), count) for labels, count in sorted(self._exchanges.items())],
            )
            lines += self._histogram()
            lines += family(
                "chaosbot_injections_total",
                "counter",
                "Faults that met an exchange or a connection, by what became of them.",
                [(dict(labels), count) for labels, count in sorted(self._injections.items())],
            )
            lines += family(
                "chaosbot_rule_active",
                "gauge",
                "Whether a rule's window is open.",
                [(dict(labels), state) for labels, state in sorted(self._active.items())],
            )
            lines += family(
                "chaosbot_troubles_total",
                "counter",
                "Parts of chaosbot that failed; above zero the run cannot pass.",
                [({}, self._troubles)],
            )
        return "".join(line + "\n" for line in lines)

    def _histogram(self) -> list[str]:
        name = "chaosbot_exchange_seconds"
        lines: list[str] = []
        for lane, count in sorted(self._counts.items()):
            lines += [f'{name}_bucket{{lane="{lane}",le="{bound}"}} {self._buckets[lane, bound]}' for bound in _BUCKETS]
            lines.append(f'{name}_bucket{{lane="{lane}",le="+Inf"}} {count}')
            lines.append(f'{name}_sum{{lane="{lane}"}} {self._sums[lane]}')
            lines.append(f'{name}_count{{lane="{lane}"}} {count}')
        head = [f"# HELP {name} How long exchanges took, as the proxy saw them.", f"# TYPE {name} histogram"]
        return head + lines if lines else []
