"""The run along its clock: episodes of faults, windows of one character, and how the target recovered after each fault.

Rules:

- Windows come from the phases that the session announced; a run without any has those that its rules' switches (or its
  intervals' active faults) imply: before the first fault, during faults, after the last.
- Recovery is judged against the run's own baseline, in slices wide enough to hold about twenty requests; it takes three
  slices in a row inside the band, so that one lucky second is no recovery.
- A run without a baseline of at least three slices has no recovery times: there is nothing to recover to.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from chaosbot.core.check import History
from chaosbot.core.event import RuleSwitched
from chaosbot.core.profile import PHASES
from chaosbot.core.stats import Histogram, median, quantile, share_interval
from chaosbot.report.values import Episode, Recovery, Second, Window

IN_A_ROW = 3
REQUESTS_A_SLICE = 20
WIDEST_SLICE_S = 5
# The band: a slice counts as recovered up to half again the baseline's slow slices, two points more errors than the
# baseline's upper bound, and from four fifths of its goodput on.
SLOWER, MORE_ERRORS, GOODPUT_SHARE, SLACK_S = 1.5, 0.02, 0.8, 0.005
# A target that is still below the band this long after the fault is gone is held down by something of its own.
METASTABLE_AFTER_S = 10.0
TOGETHER_S = 0.3
"""Faults whose ends are no further apart ended together: a recovery cannot be told to follow one of them."""


def _joined(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Overlapping spans become one."""
    joined: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        elif end > start:
            joined.append((start, end))
    return joined


def episodes_of(history: History, seconds: Sequence[Second]) -> tuple[Episode, ...]:
    """When which fault was active, from the rules' switches; from phases or intervals where nobody switched."""
    found, since = [], dict[str, RuleSwitched]()
    for switch in history.all(RuleSwitched):
        if switch.active:
            since.setdefault(switch.rule, switch)
        elif (begun := since.pop(switch.rule, None)) is not None:
            found.append(Episode(begun.fault, begun.t, switch.t))
    found += [Episode(begun.fault, begun.t, None) for begun in since.values()]
    if not found:
        found = _episodes_of_phases(history) or _episodes_of_seconds(seconds)
    return tuple(sorted(found, key=lambda episode: (episode.from_s, episode.fault)))


def _episodes_of_phases(history: History) -> list[Episode]:
    # A phase that the end of the run cuts off is open, like a rule that was never switched off.
    return [
        Episode(label or name, start, None if end == float("inf") else end)
        for name, start, end, label in phases_of(history, float("inf"))
        if name == "fault"
    ]


def _episodes_of_seconds(seconds: Sequence[Second]) -> list[Episode]:
    found, since = [], dict[str, float]()
    for second in seconds:
        for fault in second.faults:
            since.setdefault(fault, second.at_s)
        over = [fault for fault in since if fault not in second.faults]
        found += [Episode(fault, since.pop(fault), second.at_s) for fault in over]
    return found + [Episode(fault, start, None) for fault, start in since.items()]


def phases_of(history: History, end_s: float) -> list[tuple[str, float, float, str]]:
    """The phases that the session announced: name, bounds and label."""
    phases = history.phases
    ends = [phase.t for phase in phases[1:]] + [end_s]
    return [
        (phase.phase, phase.t, max(phase.t, until), phase.label) for phase, until in zip(phases, ends, strict=False)
    ]


def spans_of(history: History, episodes: Sequence[Episode], end_s: float) -> list[tuple[str, float, float, str]]:
    """The windows' names, bounds and labels, in order."""
    phases = phases_of(history, end_s)
    if any(phase[0] in PHASES for phase in phases):
        return [phase for phase in phases if phase[0] in PHASES]
    faulty = _joined((episode.from_s, end_s if episode.to_s is None else episode.to_s) for episode in episodes)
    if not faulty:
        return []
    spans, passed = [], 0.0
    for place, (start, end) in enumerate(faulty):
        if start > passed:
            spans.append(("recovery" if place else "baseline", passed, start, ""))
        names = sorted({episode.fault for episode in episodes if episode.from_s < end and _end(episode, end_s) > start})
        spans.append(("fault", start, end, ", ".join(names)))
        passed = end
    if passed < end_s:
        spans.append(("recovery", passed, end_s, ""))
    return spans


def _end(episode: Episode, end_s: float) -> float:
    return end_s if episode.to_s is None else episode.to_s


def inside(seconds: Iterable[Second], start: float, end: float) -> list[Second]:
    """The seconds whose middle lies in a span."""
    return [second for second in seconds if start <= second.at_s + 0.5 < end]


def windows_of(
    spans: Iterable[tuple[str, float, float, str]], seconds: Sequence[Second], *, latency: str = "response"
) -> tuple[Window, ...]:
    """Latency, errors and goodput of each window; windows in which no request ended have no latency."""
    found = []
    for name, start, end, label in spans:
        part = inside(seconds, start, end)
        merged = Histogram.merged(getattr(second, latency) for second in part)
        finished, bad = sum(second.finished for second in part), sum(second.bad for second in part)
        rps = (finished - bad) / len(part) if part else 0.0
        rate = bad / finished if finished else None
        found.append(Window(name, start, end, merged.quantile(0.5), merged.quantile(0.99), rate, rps, finished, label))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Slice:
    """A few seconds together."""

    from_s: float
    to_s: float
    goodput: float
    error_rate: float
    p95: float
    finished: int
    in_flight: int


def _slices(seconds: Sequence[Second], width: int) -> list[_Slice]:
    found = []
    for start in range(0, len(seconds) - width + 1, width):
        part = seconds[start : start + width]
        finished, bad = sum(second.finished for second in part), sum(second.bad for second in part)
        p95 = Histogram.merged(second.response for second in part).quantile(0.95) or 0.0
        found.append(
            _Slice(
                part[0].at_s,
                part[-1].at_s + 1,
                (finished - bad) / width,
                bad / finished if finished else 0.0,
                p95,
                finished,
                max(second.in_flight for second in part),
            )
        )
    return found


@dataclass(frozen=True, slots=True)
class Band:
    """What counts as normal, read from the baseline."""

    width: int
    goodput: float
    lowest_goodput: float
    highest_error_rate: float
    slowest_s: float
    in_flight: int

    def holds(self, part: _Slice) -> bool:
        """Whether a slice is normal."""
        return self.keeps_pace(part) and part.error_rate <= self.highest_error_rate and part.p95 <= self.slowest_s

    def keeps_pace(self, part: _Slice) -> bool:
        """Whether a slice has a normal goodput."""
        return part.goodput >= self.lowest_goodput


def band_of(baseline: Sequence[Second]) -> Band | None:
    """Reads the band from the baseline's seconds; None when there are too few to say what normal is."""
    finished = sum(second.finished for second in baseline)
    if not finished:
        return None
    width = min(WIDEST_SLICE_S, max(1, math.ceil(REQUESTS_A_SLICE * len(baseline) / finished)))
    slices = _slices(baseline, width)
    if len(slices) < IN_A_ROW:
        return None
    bad = sum(second.bad for second in baseline)
    goodput = median([part.goodput for part in slices])
    slow = quantile([part.p95 for part in slices], 0.9) or 0.0
    # A slow driver has few requests a slice; their scatter (two Poisson deviations) is no loss of goodput.
    scatter = max(0.0, 1 - 2 / math.sqrt(max(1.0, goodput * width)))
    return Band(
        width,
        goodput,
        goodput * min(GOODPUT_SHARE, scatter),
        share_interval(bad, finished)[1] + MORE_ERRORS,
        slow * SLOWER + SLACK_S,
        max(second.in_flight for second in baseline),
    )


def recoveries_of(
    spans: Sequence[tuple[str, float, float, str]],
    episodes: Sequence[Episode],
    seconds: Sequence[Second],
    end_s: float,
) -> tuple[Recovery, ...]:
    """How the target came back after each fault, or those that ended together; empty without a baseline."""
    baseline = [second for name, start, end, _ in spans if name == "baseline" for second in inside(seconds, start, end)]
    band = band_of(baseline)
    if band is None:
        return ()
    bursts = [start for name, start, _, _ in spans if name == "burst"]
    return tuple(
        _recovery(faults, start, end, min([until, *(one for one in bursts if one >= end)]), band, seconds)
        for faults, start, end, until in _ended_together(episodes, end_s)
        if until > end
    )


def _ended_together(episodes: Sequence[Episode], end_s: float) -> Iterator[tuple[str, float, float, float]]:
    """Faults that ended at the same time, when they had begun and ended, and until when no other one acts."""
    ended = sorted((episode for episode in episodes if episode.to_s is not None), key=lambda one: _end(one, end_s))
    while ended:
        end = _end(ended[0], end_s)
        group = [episode for episode in ended if _end(episode, end_s) - end < TOGETHER_S]
        ended = ended[len(group) :]
        last = _end(group[-1], end_s)
        # Another fault that begins (or still acts) ends the time in which a recovery can be seen.
        others = [other.from_s for other in episodes if other not in group and _end(other, end_s) > last]
        names = ", ".join(sorted({episode.fault for episode in group}))
        yield names, min(episode.from_s for episode in group), last, min([*others, end_s])


def _recovery(faults: str, began: float, ended: float, until: float, band: Band, seconds: Sequence[Second]) -> Recovery:
    slices = _slices(
        [second for second in seconds if ended <= second.at_s and second.at_s + 1 <= until + 0.5], band.width
    )
    back = next(
        (
            place
            for place in range(len(slices) - IN_A_ROW + 1)
            if all(band.holds(part) for part in slices[place : place + IN_A_ROW])
        ),
        None,
    )
    drained = next((part for part in slices if part.in_flight <= band.in_flight), None)
    back_s = None if back is None else slices[back].from_s
    hurt = inside(seconds, began, until if back_s is None else back_s)
    tail = slices[-IN_A_ROW:]
    watched = until - ended
    held_down = back is None and len(tail) == IN_A_ROW and not any(band.keeps_pace(part) for part in tail)
    return Recovery(
        fault=faults,
        ended_s=ended,
        seconds=None if back_s is None else max(0.0, back_s - ended),
        watched_s=watched,
        drained_s=None if drained is None else max(0.0, drained.from_s - ended),
        deficit=max(0.0, math.fsum(band.goodput - second.completed for second in hurt)),
        metastable=held_down and watched >= METASTABLE_AFTER_S,
        brief=back is None and len(slices) < IN_A_ROW,
    )
