"""What a load profile is: a shape of load, its workload, and what the target must keep under it.

Rules:

- A profile is a value: its pacer and thresholds are pure functions of its options.
- *closed* means users who wait for each answer (their number is paced), *open* means arrivals that come whether or not
  the target keeps up (their rate is paced). A report always says which one ran.
- A threshold has a target, which should hold, and an alert, which must not be passed.
"""

from __future__ import annotations

import dataclasses
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Final, Self

from chaosbot.core import units
from chaosbot.core.errors import ConfigError, UnknownName
from chaosbot.core.pacer import Pacer, Stage
from chaosbot.core.registry import Registry, name_of, options_of


class Workload(StrEnum):
    """Who decides when the next request starts."""

    CLOSED = "closed"  # the user, after the answer and a pause
    OPEN = "open"  # the clock


_THRESHOLD: Final = re.compile(
    r"([\w.]+(?:\{[^{}]+\})?)(?:/(\w+))?\s*(<=|>=|<|>)([^,]*[^,\s][^,]*)(?:,(.+))?", re.DOTALL
)
PHASES: Final = ("baseline", "fault", "recovery", "burst")
"""What the phases of an experiment are."""
WINDOWS: Final = ("all", *PHASES)
"""What a promise may be about instead of the time outside of faults."""
_METRIC: Final = re.compile(r"([^{}]+?)(?:\{([^{}]+)\})?")
_TIME: Final = re.compile(r"(?:stream_(gap|latency|connect)_)?(max|mean|p[0-9]{1,2}(?:\.[0-9]{1,4})?|p999)")


@dataclass(frozen=True, slots=True)
class Metric:
    """What a promise is about, read from its text.

    | text | what it is |
    |---|---|
    | ``p98``, ``p99.5``, ``p999`` (99.9 %), ``max``, ``mean`` | response time |
    | ``stream_gap_p99``, ``stream_latency_p95``, ``stream_connect_max`` | between two messages of a connection; their age; the handshake |
    | ``error_rate``, ``throughput``, ``stream_errors``, ``stream_messages``, ``circuit_trips`` | shares, rates and counts |

    Args:
        name: The text without its scope.
        of: The task or stream that it is about, from ``p95{/grant}``; empty for all.
        source: For times: ``response``, ``gap``, ``latency`` or ``connect``; empty for others.
        share: For times: the share of values (0..1) that it does not exceed; None for ``mean`` and for others.
    """

    name: str
    of: str = ""
    source: str = ""
    share: float | None = None

    @classmethod
    def parse(cls, text: str) -> Metric:
        """Reads it; what is unknown is no time and has that name."""
        match = _METRIC.fullmatch(text.strip())
        name, of = (match[1].strip(), (match[2] or "").strip()) if match else (text, "")
        time = _TIME.fullmatch(name)
        if time is None:
            return cls(name, of)
        word = time[2]
        if word in ("max", "mean"):
            return cls(name, of, time[1] or "response", 1.0 if word == "max" else None)
        share = 0.999 if word == "p999" else round(float(word[1:]) / 100, 8)
        return cls(name, of, time[1] or "response", share) if share else cls(name, of)

    def about(self, task: str) -> bool:
        """Whether it is about this task (all of them, without a scope): ``grant`` and ``/grant`` mean ``admin/grant`` too."""
        return not self.of or task == self.of or task.endswith("/" + self.of.removeprefix("/"))

    @property
    def streams(self) -> bool:
        """Whether it is about streams."""
        return self.name.startswith("stream_")

    @property
    def read(self) -> Callable[[object], float] | None:
        """Reads a bound with its unit; None where there is no such metric."""
        return units.duration if self.source else _READERS.get(self.name)


@dataclass(frozen=True, slots=True)
class Threshold:
    """One promise about a run.

    Args:
        metric: What it is about (`Metric`): seconds, shares, 1/s or a count.
        target: What should hold.
        alert: What must not be passed; None means that missing the target fails already.
        below: Whether smaller is better.
        window: Which of `WINDOWS` it is about; empty for the time outside of warm-up, faults and burst.
    """

    metric: str
    target: float
    alert: float | None = None
    below: bool = True
    window: str = ""

    @classmethod
    def parse(cls, text: str) -> Threshold:
        """Reads ``p99<2s``, ``error_rate<1%``, ``throughput>100/s``, ``p95{/grant}<1s``, of a window ``p99/fault<5s`` or, with
        the alert behind a comma, ``p99<2s,5s``.

        Raises:
            ConfigError: Unknown metric or window, no comparison, wrong unit, an alert inside the target.
        """
        match = _THRESHOLD.fullmatch(text.strip())
        if match is None:
            raise ConfigError("", f'\'{text}\' is no threshold; write for example "p99<2s" or "error_rate<1%"')
        metric, window, sign, target, alert = match[1], match[2] or "", match[3], match[4].strip(), match[5]
        read = Metric.parse(metric).read
        if read is None:
            raise ConfigError("", f"'{text}': unknown metric '{metric}'; there are {KNOWN_METRICS}")
        if metric.startswith("circuit_trips{"):
            raise ConfigError("", f"'{text}': circuits belong to no task; leave out the braces")
        if window and (metric == "circuit_trips" or window not in WINDOWS):
            raise UnknownName.of("window", window, () if metric == "circuit_trips" else WINDOWS, where=f"'{text}'")
        threshold = cls(
            metric, read(target), None if alert is None else read(alert.strip()), sign.startswith("<"), window
        )
        if threshold.alert is not None and threshold.alert != threshold.target and threshold.holds(threshold.alert):
            raise ConfigError("", f"'{text}': the alert lies inside the target; what must not be passed lies beyond it")
        return threshold

    def holds(self, observed: float) -> bool:
        """Whether the target holds; a bound of zero ("no trips") includes itself."""
        if self.below:
            return observed < self.target or observed == self.target == 0
        return observed > self.target

    def alarms(self, observed: float) -> bool:
        """Whether the alert is passed."""
        bound = self.target if self.alert is None else self.alert
        if self.alert is None:
            return not self.holds(observed)
        return observed > bound if self.below else observed < bound

    def write(self, value: float | None) -> str:
        """A bound as a person reads it (``< 2s``); an empty text for none."""
        if value is None:
            return ""
        read = Metric.parse(self.metric).read
        if read is units.share:
            shown = f"{value * 100:g}%"
        elif read is units.frequency:
            shown = f"{value:g}/s"
        elif self.metric == "circuit_trips":
            return "0" if value == 0 else f"{'<=' if self.below else '>='} {value:g}"
        else:
            shown = units.format_duration(value)
        return f"{'<' if self.below else '>'} {shown}"


def threshold_settings(texts: Sequence[str]) -> list[dict[str, str]]:
    """Thresholds as a run's settings record them: what should hold, and the alert beyond which it has failed."""
    settings = []
    for threshold in map(Threshold.parse, texts):
        bound = threshold.write(threshold.alert).lstrip("<>= ")
        alert = f"{'>' if threshold.below else '<'} {bound}" if bound else ""
        window = {"window": threshold.window} if threshold.window else {}
        settings.append(
            {"metric": threshold.metric, "target": threshold.write(threshold.target), "alert": alert, **window}
        )
    return settings


def _plain(text: object) -> float:
    try:
        return float(str(text))
    except ValueError:
        raise ConfigError("", f"'{text}' is not a number") from None


_READERS: Final[dict[str, Callable[[object], float]]] = {
    "error_rate": units.share,
    "throughput": units.frequency,
    "circuit_trips": _plain,
    "stream_errors": units.share,
    "stream_messages": units.frequency,
}
KNOWN_METRICS: Final = ", ".join(
    ("percentiles (p50, p99.5 …), max and mean", *_READERS, "stream_gap_p99, stream_latency_p99, stream_connect_p99")
)

LATENCY_AND_ERRORS: Final = (
    Threshold("p50", 0.5, 1.0),
    Threshold("p99", 2.0, 5.0),
    Threshold("error_rate", 0.01, 0.05),
    Threshold("stream_errors", 0.01, 0.05),
)
STANDARD: Final = (
    *LATENCY_AND_ERRORS,
    Threshold("throughput", 100.0, 50.0, below=False),
    Threshold("circuit_trips", 0.0, 3.0),
)
"""The table of targets and alerts for a loaded bot."""


class Profile(ABC):
    """A shape of load; subclasses are frozen dataclasses, one per file of the registry."""

    workload: ClassVar[Workload] = Workload.CLOSED
    thresholds: ClassVar[tuple[Threshold, ...]] = STANDARD

    @property
    def name(self) -> str:
        """The profile's name: its file's."""
        return name_of(type(self))

    @classmethod
    def stretched(cls, options: Mapping[str, Any], factor: float) -> dict[str, Any] | None:
        """The options of a profile that takes so many times as long; None where it has a duration of its own that says so."""
        del options, factor
        return None

    @classmethod
    def has_duration(cls) -> bool:
        """Whether it lasts as long as it is told; otherwise it brings a length of its own."""
        return any(field.name == "duration" for field in options_of(cls))

    @abstractmethod
    def pacer(self) -> Pacer:
        """The users at work, or the arrivals a second, at each moment."""

    def overridden(
        self,
        *,
        users: int | None = None,
        spawn_rate: float | None = None,
        duration: float | None = None,
        rate: float | None = None,
    ) -> Self:
        """The same profile with other figures.

        Raises:
            ConfigError: The profile has no such figure, or refuses the value.
        """
        wanted = {"users": users, "spawn_rate": spawn_rate, "duration": duration, "rate": rate}
        changes = {name: value for name, value in wanted.items() if value is not None}
        known = [field.name for field in options_of(type(self))]
        for name in changes:
            if name not in known:
                raise ConfigError(
                    f"--{name.replace('_', '-')}",
                    f"profile '{self.name}' has no such figure; it has {', '.join(known)}",
                )
        for name in changes.keys() & {"users", "rate"}:
            if not changes[name] > 0:
                raise ConfigError(
                    f"--{name}", f"{changes[name]:g} sends nothing; give more, or leave it to the profile"
                )
        try:
            return dataclasses.replace(self, **changes)  # type: ignore[type-var]  # every profile is a dataclass
        except ValueError as error:
            raise ConfigError(self.name, str(error)) from None


def climb(users: float, spawn_rate: float, duration: float, start: float = 0.0) -> tuple[Stage, ...]:
    """A climb (or descent) at the spawn rate, then that level for the rest of the time.

    Raises:
        ValueError: The spawn rate is 0, or the climb alone takes longer than the time there is.
    """
    if not spawn_rate > 0:
        raise ValueError(f"spawn_rate {spawn_rate:g}/s never reaches {users:g} users; use more than 0")
    ramp = abs(users - start) / spawn_rate
    if ramp > duration * (1 + 1e-9):
        raise ValueError(
            f"reaching {users:g} users at {spawn_rate:g}/s takes {units.format_duration(ramp)}, longer than the "
            f"{units.format_duration(duration)} there are; raise the spawn rate or the duration"
        )
    return Stage(ramp, users), Stage(max(duration - ramp, 0.0), users)


PROFILES: Final[Registry[Profile]] = Registry("chaosbot.profiles", Profile, "profile")
