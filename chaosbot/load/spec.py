"""What a load run is, and what it came to: the values at the engine's door."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from chaosbot.core.errors import ConfigError, UnknownName
from chaosbot.core.pacer import Pacer
from chaosbot.core.platform import Endpoint
from chaosbot.core.profile import Profile, Workload
from chaosbot.transport import Tls

SENDERS: Final = ("raw", "platform", "telegram")
BODIES: Final = ("failed", "sample", "all", "none")
MOST_CONNECTIONS: Final = 10_000


@dataclass(frozen=True)
class Sampling:
    """What is watched beside the load; each look becomes a `ProbeSeen`.

    Args:
        pid: The target's process: resident memory, descriptors, CPU, threads (its children included).
        metrics: A URL with Prometheus text.
        metric_names: Which of its metrics; empty takes memory, descriptors and CPU of the usual names.
        health: A health URL.
        circuits: The JSON path in the health answer under which circuits stand (``$.circuits``).
        every_s: Seconds between looks.
    """

    pid: int | None = None
    metrics: str = ""
    metric_names: tuple[str, ...] = ()
    health: str = ""
    circuits: str = "$.circuits"
    every_s: float = 1.0


@dataclass(frozen=True)
class LoadSpec:
    """One load run; it can be sent to another process.

    Where the load goes may be left open (an empty `url`, an endpoint without a host) until the target is there.

    Args:
        url: The target, ``http://host:port/path``.
        endpoint: How it is spoken to.
        platform: The platform's name on the registry.
        seed: The root of all chance.
        profile: The shape of load.
        sender: ``raw`` (plain concurrency) or ``platform`` (the platform's own delivery: queues, few connections,
            redelivery; ``telegram`` is its old name).
        rate: Makes any shape an open workload with this many arrivals a second at its peak.
        users: Another number of users at the peak.
        spawn_rate: Another number of users that start in a second.
        duration_s: Another length of the whole run.
        processes: How many processes share the plan.
        record_requests: Whether every request becomes a `RequestDone`; failures always do, up to a bound.
        most_recorded_rps: At more requests a second they do not.
        exchange_header: Whether requests carry their exchange id, for a proxy that strips it.
        zero_s: The moment on the run's clock at which the load begins, so that others can begin with it; an open workload then
            tells the proxy when each request was due. None begins at once and tells nothing.
        slow_share: Share of users who send slowly or leave their answer unread.
        connect_timeout_s: Most seconds to connect.
        timeout_s: Most seconds from start to answer.
        connections: Most connections of an open workload.
        journey: A person's own journey file.
        corpus: A folder of requests (fuzz findings) to be replayed as load.
        streams: The WebSocket scenarios to run, by name.
        tls: How TLS is spoken with the target and its pages.
        started: The run's start on the machine's monotonic clock; events count from it.
        allow_hosts: Hosts beside loopback that may be loaded.
        samples: What is watched beside the load.
        accepted: Statuses beside 2xx that count as completed.
        classes: Who takes part, kinds of users and streams with their weights; empty for the source's own shares.
        mix: What they do, tasks with their weights; empty for the journeys' own.
        wait_s: Shortest and longest pause of a user between two tasks; None for the journeys' own.
        max_in_flight: Most requests on their way at once, all processes together and without connections of streams; None for no bound.
        bodies: Which answers' bodies single requests keep: ``failed``, ``sample`` (those, and one request in a hundred), ``all``, ``none``.
        traceparent: Whether each request carries a W3C trace context of its own.
        promised: Metrics of the person's own promises: what one is about must take part.
        secret_env: The variable that holds the platform's secret on the machines of a cluster; empty where there is none.
        token_env: The same for the token of streams; empty where none takes one.
    """

    url: str
    endpoint: Endpoint
    platform: str
    seed: int
    profile: Profile
    sender: str = "raw"
    rate: float | None = None
    users: int | None = None
    spawn_rate: float | None = None
    duration_s: float | None = None
    processes: int = 1
    record_requests: bool = False
    most_recorded_rps: float = math.inf
    exchange_header: bool = False
    zero_s: float | None = None
    slow_share: float = 0.0
    connect_timeout_s: float = 5.0
    timeout_s: float = 30.0
    connections: int = MOST_CONNECTIONS
    journey: Path | None = None
    corpus: Path | None = None
    streams: tuple[str, ...] = ()
    tls: Tls = field(default_factory=Tls)
    started: float | None = None
    allow_hosts: tuple[str, ...] = ()
    samples: Sampling = field(default_factory=Sampling)
    accepted: frozenset[int] = frozenset()
    classes: tuple[tuple[str, float], ...] = ()
    mix: tuple[tuple[str, float], ...] = ()
    wait_s: tuple[float, float] | None = None
    max_in_flight: int | None = None
    bodies: str = "sample"
    traceparent: bool = False
    promised: tuple[str, ...] = ()
    secret_env: str = ""
    token_env: str = ""

    def __post_init__(self) -> None:
        """Refuses what no run can be."""
        if self.sender not in SENDERS:
            raise ConfigError("--sender", f"'{self.sender}' is none of {', '.join(SENDERS)}")
        if self.processes < 1:
            raise ConfigError("--processes", f"{self.processes} processes; at least 1")
        if not 0 <= self.slow_share <= 1:
            raise ConfigError("--slow", f"{self.slow_share} is no share between 0 and 1")
        if not (self.connect_timeout_s > 0 and self.timeout_s > 0):
            raise ConfigError("--timeout", "timeouts must be above 0")
        if self.bodies not in BODIES:
            raise UnknownName.of("choice", self.bodies, BODIES, where="--bodies")
        if self.max_in_flight is not None and self.max_in_flight < self.processes:
            raise ConfigError(
                "--max-in-flight", f"{self.max_in_flight} is less than one for each of {self.processes} processes"
            )
        if self.rate is not None and not self.rate > 0:
            raise ConfigError("--rate", f"{self.rate:g}/s; a rate is above 0")
        _, _, pacer = self.shaped()
        if not pacer.peak > 0:
            raise ConfigError(self.profile.name, "sends nothing at any moment; give it users or a rate above 0")

    def starts_at(self, soonest: float) -> float:
        """When the load begins, on the machine's monotonic clock: at its appointed moment, or as soon as it can."""
        if self.zero_s is None or self.started is None:
            return soonest
        return max(soonest, self.started + self.zero_s)

    def shaped(self) -> tuple[Profile, Workload, Pacer]:
        """The profile with its overrides, who decides about starts, and the shape itself.

        Raises:
            ConfigError: The profile has no such figure, or refuses the value.
        """
        if self.rate is not None and self.profile.workload is Workload.CLOSED:
            pacer = self.profile.overridden(users=self.users, spawn_rate=self.spawn_rate).pacer()
            pacer = pacer.scaled(self.rate / pacer.peak)
            if self.duration_s is not None:
                pacer = pacer.stretched(self.duration_s)
            return self.profile, Workload.OPEN, pacer
        profile = self.profile.overridden(
            users=self.users, spawn_rate=self.spawn_rate, duration=self.duration_s, rate=self.rate
        )
        return profile, profile.workload, profile.pacer()


@dataclass(frozen=True)
class Wish:
    """What a person wants of a load that goes on.

    Args:
        paused: Nothing new starts.
        level: Users at work, or arrivals a second; None leaves it to the plan.
    """

    paused: bool = False
    level: float | None = None


@dataclass(frozen=True)
class LoadResult:
    """What a run came to; percentiles are folded from its intervals.

    Args:
        how: ``completed``, ``stopped`` (somebody asked) or ``interrupted`` (Ctrl-C).
        planned: Arrivals that were due.
        started: Of these, started.
        completed: Answered below 400.
        failed: Answered with an error, refused, reset, broken.
        timed_out: No complete answer in time.
        cancelled: Still on their way when the run was ended.
        dropped: Never started.
        duration_s: From the first moment to the last answer.
        reasons: Why the run measured its generator rather than the target; empty when it did not.
        knee: The highest rate that the target sustained, when that was searched.
        undelivered: Share of the plan that lost processes owed.
    """

    how: str
    planned: int
    started: int
    completed: int
    failed: int
    timed_out: int
    cancelled: int
    dropped: int
    duration_s: float
    reasons: tuple[str, ...] = ()
    knee: float | None = None
    undelivered: float = 0.0

    @property
    def valid(self) -> bool:
        """Whether the numbers are the target's."""
        return not self.reasons
