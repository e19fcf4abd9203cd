"""A shape of your own: stages that go in straight lines from level to level.

The bot experiences what you wrote: ``stages:30s:100,5m:1000,30s:0`` on the command line, or a list of tables with `duration`
and `users` (or `rate`) in the experiment file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chaosbot.core import units
from chaosbot.core.errors import ConfigError
from chaosbot.core.pacer import Pacer, Stage
from chaosbot.core.profile import LATENCY_AND_ERRORS, Profile, Workload
from chaosbot.core.registry import option


@dataclass(frozen=True)
class Stages(Profile):
    """Stages of users, or of arrivals a second when one of them is a rate."""

    thresholds = LATENCY_AND_ERRORS

    stages: Any = option(  # noqa: RUF009 - a field whose Any hides that `option` returns one
        "json", 'stages, "30s:100,5m:1000" or [{duration = "30s", users = 100}, …]', primary=True
    )
    start: float = option("number", "the level to start from", 0.0)
    workload: Workload = field(init=False, default=Workload.CLOSED)  # type: ignore[misc]  # decided by the stages
    _read: tuple[Stage, ...] = field(init=False, default=(), repr=False)

    def __post_init__(self) -> None:
        """Reads the stages once; everything else is asked of what was read."""
        try:
            stages, rates = _read(self.stages)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        if not sum(stage.duration_s for stage in stages) > 0:
            raise ValueError("stages without any duration; give at least one a time")
        object.__setattr__(self, "_read", stages)
        object.__setattr__(self, "workload", Workload.OPEN if rates else Workload.CLOSED)

    @classmethod
    def stretched(cls, options: Mapping[str, Any], factor: float) -> dict[str, Any]:
        """Each stage so many times as long."""
        stages, rates = _read(options["stages"])
        unit = "/s" if rates else ""
        texts = (f"{one.duration_s * factor:g}s:{one.to:g}{unit}" for one in stages)
        return {**options, "stages": ",".join(texts)}

    def pacer(self) -> Pacer:
        """The stages as they are written."""
        return Pacer(self._read, self.start)


def _read(value: Any) -> tuple[tuple[Stage, ...], bool]:
    items: Sequence[Any] = value.split(",") if isinstance(value, str) else value
    if isinstance(items, Mapping) or not isinstance(items, Sequence) or not items:
        raise ConfigError("", f'{value!r} is no list of stages; write for example "30s:100,5m:1000"')
    pairs = [_pair(item, index) for index, item in enumerate(items)]
    rates = {rate for _, rate in pairs}
    if len(rates) > 1:
        raise ConfigError("", "stages mix users and rates; a run is closed (users) or open (rates), not both")
    return tuple(stage for stage, _ in pairs), rates.pop()


def _pair(item: Any, index: int) -> tuple[Stage, bool]:
    where = f"stages[{index}]"
    if isinstance(item, str):
        duration, colon, level = item.strip().partition(":")
        is_rate = level.strip().endswith(("/s", "rps", "/min", "/m", "/h"))
        if not colon:
            raise ConfigError(where, f"'{item}' has no level; write DURATION:USERS or DURATION:RATE/s")
    elif isinstance(item, Mapping) and {"users", "rate"} & item.keys() and item.keys() <= {"duration", "users", "rate"}:
        is_rate = "rate" in item
        duration, level = item.get("duration", 0), item["rate" if is_rate else "users"]
    else:
        raise ConfigError(where, f"{item!r} is no stage; it needs `duration` and one of `users` or `rate`")
    try:
        amount = units.frequency(level) if is_rate else float(level)
        return Stage(units.duration(duration), amount), is_rate
    except (ConfigError, ValueError, TypeError) as error:
        raise ConfigError(where, str(error)) from None
