"""What a run comes to, as frozen values: the report that every renderer shows and none computes.

Rules: durations are seconds, shares 0..1 (only `jsonform` turns to milliseconds); a part that the run has nothing on is
None or empty and never zero by default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Protocol

from chaosbot.core.stats import Histogram, Interval
from chaosbot.core.stream_end import FIRST
from chaosbot.core.verdict import Assertion, Finding, Judgement, Subject, Verdict

NO_FAULT = "no fault"
"""The row of the updates that met none."""


SOME: Final = 0.01
"""Of more than this share of a stream's connections a reader must know (`stream_errors` has the same target)."""

WHOLE_RUN = "whole run"
"""The window of all figures of the load, and of promises where nothing was left out."""


def _empty() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Latency at the usual places, in seconds; `count` says from how many requests."""

    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    p999: float | None = None
    max: float | None = None
    count: int = 0
    mean: float | None = None

    @classmethod
    def of(cls, histogram: Histogram) -> Quantiles:
        """Reads them from a merged histogram."""
        p50, p90, p95, p99, p999 = (histogram.quantile(share) for share in (0.5, 0.9, 0.95, 0.99, 0.999))
        return cls(p50, p90, p95, p99, p999, histogram.maximum, histogram.total, histogram.mean)


@dataclass(frozen=True, slots=True)
class StreamSecond:
    """What the clients of all streams saw in one second.

    Args:
        open: Clients that were connected at its end.
        messages: Messages received.
        failed: Connects that failed, and connections that broke.
        gap_p95: Of the gaps between messages of a connection that ended in it, in seconds; None where there were none.
        latency_p95: Of the age of messages that carry their time, likewise.
    """

    open: int
    messages: int
    failed: int
    gap_p95: float | None
    latency_p95: float | None


@dataclass(frozen=True, slots=True)
class Second:
    """One second of load, all shards together; `at_s` is its start on the run's clock. `streams` is None where no stream took part."""

    at_s: float
    planned: int = 0
    started: int = 0
    completed: int = 0
    failed: int = 0
    timed_out: int = 0
    dropped: int = 0
    response: Histogram = field(default_factory=Histogram)
    service: Histogram = field(default_factory=Histogram)
    errors: Mapping[str, int] = field(default_factory=_empty)
    tasks: Mapping[str, int] = field(default_factory=_empty)
    commands: Mapping[str, int] = field(default_factory=_empty)
    kinds: Mapping[str, int] = field(default_factory=_empty)
    active_users: int = 0
    in_flight: int = 0
    faults: tuple[str, ...] = ()
    lateness_p99_s: float = 0.0
    lateness_max_s: float = 0.0
    cpu: float = 0.0
    streams: StreamSecond | None = None

    @property
    def finished(self) -> int:
        """Requests that ended in this second, whatever their fate."""
        return self.completed + self.failed + self.timed_out

    @property
    def bad(self) -> int:
        """Requests that ended without what their sender wanted."""
        return self.failed + self.timed_out


@dataclass(frozen=True, slots=True)
class TaskRow:
    """One task (or endpoint, or stream) over the whole run.

    Args:
        name: As the workload calls it.
        done: Requests that have their fate, cancelled ones left out.
        failed: Those that failed or timed out.
        errors: The same by kind, the most frequent first.
        rps: Requests a second, over the seconds of load.
        response: Response times; empty where only counts are known.
    """

    name: str
    done: int
    failed: int
    errors: Mapping[str, int]
    rps: float
    response: Quantiles


_ENDS: Final = {
    "1006": "dropped without a close frame (1006)",
    "bad_frame": "broke the protocol (bad_frame)",
    "too_long": "sent a message of more than 16 MiB (too_long)",
    "on_message": "refused by on_message",
    "error_message": "closed normally after an error message (error_message)",
}
"""How connections ended otherwise than by a close frame's code, in words."""


def how_ended(code: str) -> str:
    """How connections of a stream ended, in words."""
    return _ENDS.get(code) or f"closed with {code}"


class _Silences(Protocol):
    @property
    def early(self) -> int: ...
    @property
    def quiet(self) -> int: ...
    @property
    def dried(self) -> int: ...


def silences(seen: _Silences) -> dict[str, int]:
    """How many connections said less than they should, in words."""
    told = {
        f"ended by the server within {FIRST} messages": seen.early,
        "without a message": seen.quiet,
        "fell silent": seen.dried,
    }
    return {what: count for what, count in told.items() if count}


@dataclass(frozen=True, slots=True)
class StreamRow:
    """One stream over the whole run, as its clients saw it.

    Args:
        name: The scenario.
        connects: Connections that were accepted.
        failed: Those that were not, by kind.
        ends: Connections that the server ended, by close code.
        broken: Those of them that are errors: not a normal close, nothing or an error said before it, or a message that a hook refused.
        messages: Messages received.
        messages_per_s: The same a second, over the seconds of load.
        received: Their bytes.
        peak: Most clients connected at once.
        connect: Handshakes.
        gap: From one message of a connection to its next.
        latency: How old messages were that carry their time.
        missing: Why it did not run; empty where it did.
        quiet: Connections that their client left without a single message, where one was expected.
        early: Connections that the server ended normally within their first messages, where the scenario does not say that it may.
        finished: Those that it ended normally later.
        dried: Connections that their client left in a silence far longer than the stream's gaps were.
    """

    name: str
    connects: int
    failed: Mapping[str, int]
    ends: Mapping[str, int]
    broken: int
    messages: int
    messages_per_s: float
    received: int
    peak: int
    connect: Quantiles
    gap: Quantiles
    latency: Quantiles
    missing: str = ""
    quiet: int = 0
    early: int = 0
    finished: int = 0
    dried: int = 0

    @property
    def trouble(self) -> str:
        """Why it did not run, or failed connects, the server's closes and silences by kind, in words; empty when there were none."""
        if self.missing:
            return self.missing
        kinds = [f"{count} failed with {kind}" for kind, count in self.failed.items()]
        ends = [f"{count} {how_ended(code)}" for code, count in self.ends.items()]
        return ", ".join([*kinds, *ends, *(f"{count} {what}" for what, count in silences(self).items())])

    @property
    def unknown(self) -> str:
        """Why nothing is known of what it says, in words; empty where something is."""
        if self.missing:
            return ""
        if self._turned_away:
            them = (
                "its only connection"
                if self.early == self.connects == 1
                else f"{self.early} of {self.connects} connections"
            )
            return (
                f"the server ended {them} normally within {FIRST} messages; look at its token and its subscription, or give a scenario "
                "whose server has said all by then finite=True"
            )
        if self.messages or (self.failed and not self.connects):
            return ""
        if not self.connects:
            return "no client was connected before the run ended; let it run longer, or give it more users"
        if not self.quiet:
            return ""
        were = "1 connection was" if self.quiet == 1 else f"{self.quiet} connections were"
        return (
            f"{were} accepted and no message came; look at its token and its subscription, let it run longer, "
            "or give a scenario that only sends silent=True"
        )

    @property
    def _turned_away(self) -> bool:
        """Whether the server ended all connections early; or several, some client's again and again, and never one that had gone on."""
        again = self.early > max(self.peak, FIRST, SOME * self.connects) and not self.finished
        return again or 0 < self.early == self.connects

    @property
    def dry(self) -> str:
        """How it fell silent, in words; empty where it did not, or hardly ever."""
        if self.dried <= SOME * self.connects or self.gap.max is None:
            return ""
        which = f"{self.dried} of its connections" if self.dried > 1 else "a connection"
        return (
            f"{which} fell silent, for far longer than any gap before (up to {self.gap.max:.1f} s, while half of the gaps were below "
            f"{self.gap.p50:.2g} s); say by --slo 'stream_gap_max{{{self.name}}}<TIME' what it may take"
        )


@dataclass(frozen=True, slots=True)
class SlowRequest:
    """One of the slowest requests of a run; `trace` is the trace id under which the target's tracing knows it."""

    at_s: float
    task: str
    response: float
    status: int | None
    exchange: str
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Load:
    """The load of a run as a whole; `achieved_rps` counts answers that were right (goodput).

    `slowest_lacks` says in words why `slowest` was asked for and is not all; empty where it is.
    """

    planned: int
    started: int
    completed: int
    failed: int
    timed_out: int
    dropped: int
    offered_rps: float
    achieved_rps: float
    response: Quantiles
    service: Quantiles
    p99_interval: Interval | None
    errors: Mapping[str, int]
    by_task: Mapping[str, int]
    by_tier: Mapping[str, Quantiles]
    peak_users: int
    seconds: tuple[Second, ...]
    tasks: tuple[TaskRow, ...] = ()
    streams: tuple[StreamRow, ...] = ()
    slowest: tuple[SlowRequest, ...] = ()
    slowest_lacks: str = ""

    @property
    def finished(self) -> int:
        """Requests that ended, whatever their fate."""
        return self.completed + self.failed + self.timed_out

    @property
    def error_rate(self) -> float | None:
        """Share of the finished requests that failed or timed out."""
        return (self.failed + self.timed_out) / self.finished if self.finished else None


@dataclass(frozen=True, slots=True)
class Share:
    """How much was done of what there is: pairs of a mutation operator and a place, lines of code."""

    done: int
    planned: int


@dataclass(frozen=True, slots=True)
class StageCode:
    """How much of the target's own code has run by the end of a campaign's stage (`--guide`)."""

    stage: str
    lines: Share
    sides: Share


@dataclass(frozen=True, slots=True)
class Unreached:
    """A function of the target with lines that nothing reached."""

    file: str
    function: str
    lines: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Blocked:
    """A function that held the target's event loop: how often, and for how many seconds at most."""

    function: str
    times: int
    longest_s: float
    case: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """What was exercised, by name, with how often; a 0 stands for something that should have occurred and did not."""

    commands: Mapping[str, int]
    update_kinds: Mapping[str, int]
    cases: Mapping[str, int]
    operators: Mapping[str, Share] = field(default_factory=dict)
    places: Mapping[str, Share] = field(default_factory=dict)
    code: tuple[StageCode, ...] = ()
    unreached: tuple[Unreached, ...] = ()
    blocked: tuple[Blocked, ...] = ()


@dataclass(frozen=True, slots=True)
class Fates:
    """How a group of requests fared."""

    requests: int = 0
    errors: int = 0
    p50: float | None = None
    p99: float | None = None


@dataclass(frozen=True, slots=True)
class FaultRow:
    """One rule of the fault plan, and the requests that met it beside those of the same time that did not."""

    rule: str
    fault: str
    depth: str
    considered: int
    decided: int
    applied: int
    failed: int
    missed: int
    touched: Fates | None
    clean: Fates | None


@dataclass(frozen=True, slots=True)
class Episode:
    """A stretch of time during which a fault was active; `to_s` is None when the run ended first."""

    fault: str
    from_s: float
    to_s: float | None


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of the run with one character: ``baseline``, ``fault`` or ``recovery``."""

    name: str
    from_s: float
    to_s: float
    p50: float | None
    p99: float | None
    error_rate: float | None
    rps: float
    requests: int
    label: str = ""


@dataclass(frozen=True, slots=True)
class Recovery:
    """How the target came back after a fault.

    Args:
        fault: Which one had been active.
        ended_s: When it ended.
        seconds: Until the first of several windows inside the baseline band; None when that was not seen.
        watched_s: How long the run looked on after the fault, without another one.
        drained_s: Until no more requests were in flight than in the baseline; None when that was not seen.
        deficit: Right answers that are missing, against the baseline's pace, from the fault's start until recovery.
        metastable: Whether goodput stayed below the band although the fault was gone.
        brief: Whether the run looked on for too short a time to see any recovery.
    """

    fault: str
    ended_s: float
    seconds: float | None
    watched_s: float
    drained_s: float | None
    deficit: float
    metastable: bool
    brief: bool = False


@dataclass(frozen=True, slots=True)
class Deliveries:
    """What became of the updates that were sent, joined with the calls that the bot made.

    Args:
        sent: Distinct updates.
        acknowledged: Those that got a 2xx at least once.
        lost: Acknowledged, of a sort that is answered, and never answered; None when nobody watched the bot's calls.
        duplicated: Answered with the same call more than once, although the bot knew that the first had succeeded.
        unexpected: Answers to markers that were never sent.
        redelivered: Attempts beyond the first.
        reply: From sending to the first call that carries the update's marker.
        inbound_amplification: Attempts per update.
        outbound_amplification: Calls per distinct call: above 1 where the bot retries.
    """

    sent: int
    acknowledged: int
    lost: int | None
    duplicated: int | None
    unexpected: int | None
    redelivered: int
    reply: Quantiles | None
    inbound_amplification: float
    outbound_amplification: float | None


@dataclass(frozen=True, slots=True)
class ModelRow:
    """Calls of language models: all of them, or those that were made for the updates that one fault met.

    Args:
        name: The fault, or which calls they are.
        updates: Updates for which models were called.
        calls: Calls, each attempt of an SDK counted.
        failed: Those that brought no answer, or only a part of one.
        input_tokens: What was sent.
        output_tokens: What was written.
        cost: In US dollars.
        first_token: From the call until its answer began.
        first_sight: From the update until its user saw something of an answer.
    """

    name: str
    updates: int
    calls: int
    failed: int
    input_tokens: int
    output_tokens: int
    cost: float
    first_token: Quantiles
    first_sight: Quantiles

    @property
    def calls_per_update(self) -> float | None:
        """None without updates."""
        return self.calls / self.updates if self.updates else None

    @property
    def tokens_per_update(self) -> float | None:
        """The same for tokens, sent and written."""
        return (self.input_tokens + self.output_tokens) / self.updates if self.updates else None

    @property
    def cost_per_update(self) -> float | None:
        """The same in US dollars."""
        return self.cost / self.updates if self.updates else None


@dataclass(frozen=True, slots=True)
class ModelUse:
    """A run's calls of language models.

    Args:
        rows: First all calls, then those of updates that met no fault, those of updates that met one, by fault, and those that are
            not known to belong to an update.
        prices: What was reckoned for each model: US dollars for a million tokens sent and written.
    """

    rows: tuple[ModelRow, ...]
    prices: Mapping[str, tuple[float, float]]

    def amplification(self, row: ModelRow) -> float | None:
        """How many times the calls of an update that meets no fault are made; None where that is not known."""
        calm = next((one.calls_per_update for one in self.rows if one.name == NO_FAULT), None)
        return row.calls_per_update / calm if calm and row.calls_per_update is not None else None


@dataclass(frozen=True, slots=True)
class Circuits:
    """Circuit breakers of the target, as the probe saw them."""

    trips: int
    recovered: int


@dataclass(frozen=True, slots=True)
class Drift:
    """The trend of one series over a long run.

    Args:
        series: What was looked at.
        unit: In what it is measured.
        slope_per_hour: Theil–Sen slope.
        interval: Its confidence interval.
        minimum_detectable: The smallest slope that a run like this one would have shown in four of five cases.
        budget_per_hour: The slope that is still fine.
        p_value: Of the corrected Mann–Kendall test.
        exhaustion_h: Hours until the limit at this slope; None without a limit or without a rise.
        verdict: ``drift``, ``stable`` or ``inconclusive``.
        reason: In words.
        points: The series that was judged: seconds and values.
        warmup_s: How much of the start was left out.
    """

    series: str
    unit: str
    slope_per_hour: float
    interval: Interval
    minimum_detectable: float
    budget_per_hour: float
    p_value: float
    exhaustion_h: float | None
    verdict: str
    reason: str
    points: tuple[tuple[float, float], ...] = ()
    warmup_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Generator:
    """The health of the load generator: whether its numbers are the target's or its own."""

    lateness_p50: float | None
    lateness_p99: float
    lateness_max: float
    cpu: float
    valid: bool
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """A run, folded. `verdict` and `reasons` stand first because they are what people came for."""

    verdict: Verdict
    reasons: tuple[str, ...]
    verb: str
    version: str
    seed: int
    target: str
    started: str
    duration_s: float
    how: str
    findings: tuple[Finding, ...] = ()
    assertions: tuple[Assertion, ...] = ()
    judgements: tuple[Judgement, ...] = ()
    unjudged: tuple[tuple[str, str], ...] = ()
    subjects: tuple[tuple[str, Subject], ...] = ()
    load: Load | None = None
    coverage: Coverage | None = None
    faults: tuple[FaultRow, ...] = ()
    episodes: tuple[Episode, ...] = ()
    windows: tuple[Window, ...] = ()
    recovery: tuple[Recovery, ...] = ()
    deliveries: Deliveries | None = None
    models: ModelUse | None = None
    circuits: Circuits | None = None
    soak: tuple[Drift, ...] = ()
    generator: Generator | None = None
    environment: Mapping[str, str] = field(default_factory=_empty)
    settings: Mapping[str, Any] = field(default_factory=_empty)
    notes: tuple[tuple[str, str], ...] = ()
    events: int = 0
    steered: tuple[tuple[float, str, str | float | bool | None], ...] = ()

    @property
    def load_window(self) -> str:
        """The window of the load's figures in words, where others of the report are of a part of the run; otherwise empty."""
        parts = any(one.window not in ("", WHOLE_RUN) for one in self.assertions)
        return WHOLE_RUN if parts or self.windows else ""

    @property
    def promised_window(self) -> str:
        """The window of the promises that name none, in words; empty where that is the whole run."""
        return next((one.window for one in self.assertions if one.apart), "")

    @property
    def exit_code(self) -> int:
        """What the command line returns for it."""
        return self.verdict.exit_code
