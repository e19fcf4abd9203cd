"""The phases of a chaos experiment on one time axis, as a pure function of how long each should last.

Rules:

- Warm-up and baseline come first, without faults; the baseline is what recovery is measured against.
- Faults act in one window together, or alone, one window each with a recovery after it, so that an effect has one cause.
- A burst of the load has a window of its own, after the last recovery: what it does is neither the faults' nor the calm's.
- The last recovery, the burst and the cool-down go without faults.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final

from chaosbot.core.plan import FaultPlan, Rule, Window


@dataclass(frozen=True, slots=True)
class Step:
    """One phase: `label` names the rule that acts in it, when there is one."""

    phase: str
    start_s: float
    length_s: float
    label: str = ""

    @property
    def end_s(self) -> float:
        """When it ends."""
        return self.start_s + self.length_s

    @property
    def key(self) -> str:
        """What a rule's window names to act only now."""
        return f"{self.phase}:{self.label}" if self.label else self.phase


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long each phase lasts, in seconds; `fault_s` and `recovery_s` are per window."""

    warmup_s: float = 5.0
    baseline_s: float = 15.0
    fault_s: float = 30.0
    recovery_s: float = 15.0
    burst_s: float = 0.0
    cooldown_s: float = 2.0

    def __post_init__(self) -> None:
        """Refuses an experiment that measures nothing."""
        if self.baseline_s <= 0:
            raise ValueError("baseline must be above 0; without one nothing can be said to have got worse")
        if min(self.warmup_s, self.fault_s, self.recovery_s, self.burst_s, self.cooldown_s) < 0:
            raise ValueError("phases cannot be shorter than 0")

    def scaled(self, factor: float) -> Lengths:
        """All phases longer or shorter by this factor."""
        return Lengths(**{name: length * factor for name, length in asdict(self).items()})


def steps(lengths: Lengths, windows: Sequence[str]) -> tuple[Step, ...]:
    """The phases in order; `windows` are the labels of the fault windows (empty text: one window without a label)."""

    def parts() -> Iterator[tuple[str, float, str]]:
        yield "warmup", lengths.warmup_s, ""
        yield "baseline", lengths.baseline_s, ""
        for label in windows:
            yield "fault", lengths.fault_s, label
            yield "recovery", lengths.recovery_s, label
        yield "burst", lengths.burst_s, ""
        yield "cooldown", lengths.cooldown_s, ""

    timeline: list[Step] = []
    for phase, length, label in parts():
        if length > 0:
            timeline.append(Step(phase, timeline[-1].end_s if timeline else 0.0, length, label))
    return tuple(timeline)


def total_s(timeline: Sequence[Step]) -> float:
    """How long the whole takes."""
    return timeline[-1].end_s if timeline else 0.0


def schedule(plan: FaultPlan, *, alone: bool) -> tuple[FaultPlan, tuple[str, ...]]:
    """The plan with windows by phase, and the labels of its fault windows.

    A rule that brings a window of its own (a start, a length, a phase) keeps it. The others act in the common fault window
    or, `alone`, each in one that is named after it. A plan without rules has no fault window at all.
    """
    labels: list[str] = []
    rules: list[Rule] = []
    for rule in plan.rules:
        if rule.window != Window():
            rules.append(rule)
            continue
        label = rule.name if alone else ""
        if label not in labels:
            labels.append(label)
        rules.append(replace(rule, window=Window(phase=f"fault:{label}" if label else "fault")))
    if plan.rules and not labels:
        labels.append("")
    return FaultPlan(tuple(rules)), tuple(labels)


EDGE_S: Final = 1e-5
"""Windows open this much early, so that a request due exactly at an edge falls on the same side in every run."""


def timed(plan: FaultPlan, timeline: Sequence[Step]) -> FaultPlan:
    """The plan with times in place of phases, where a rule's phase is one step of the timeline.

    A window by time is judged by when a request was due, which the seed decides; a window by phase by when it arrived.
    """
    steps_by_key = {step.key: step for step in timeline}

    def by_time(rule: Rule) -> Rule:
        step = steps_by_key.get(rule.window.phase)
        if step is None or rule.window != Window(phase=rule.window.phase):
            return rule
        return replace(rule, window=Window(start_s=max(0.0, step.start_s - EDGE_S), length_s=step.length_s))

    return FaultPlan(tuple(map(by_time, plan.rules)))


def shifted(plan: FaultPlan, seconds: float) -> FaultPlan:
    """The plan with every start later by so much: experiments count from the start of the load, the proxy from the run's."""
    return FaultPlan(
        tuple(replace(rule, window=replace(rule.window, start_s=rule.window.start_s + seconds)) for rule in plan.rules)
    )
