"""A builder of histories, so that a test reads like the run that it judges."""

import sys
from collections import Counter
from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
from hdrh.histogram import HdrHistogram

from chaosbot.core.case import Expect
from chaosbot.core.check import Check, History
from chaosbot.core.dice import Dice
from chaosbot.core.event import (
    ApiCalled,
    CaseTried,
    Event,
    ExchangeSeen,
    Injected,
    IntervalMeasured,
    Judged,
    Noted,
    PhaseChanged,
    ProbeSeen,
    RequestDone,
    RuleSwitched,
    RuleTallied,
    RunEnded,
    RunStarted,
    Trouble,
)
from chaosbot.core.exchange import Depth, Direction
from chaosbot.core.outcome import Fate, Outcome
from chaosbot.core.verdict import Finding, Judgement, RootCause, Severity, Threat, Verdict


def encoded(seconds: list[float]) -> str:
    """Latencies as a frame carries them."""
    histogram = HdrHistogram(1, 3_600_000_000, 3)
    for value, count in Counter(round(value * 1e6) for value in seconds).items():
        histogram.record_value(value, count)
    return histogram.encode().decode() if seconds else ""


@cache
def latencies(dice: Dice, second: int, shard: int, rate: int, median: float, sigma: float) -> tuple[str, str]:
    """Response and service times of a second, log-normal; most tests tell the same calm seconds."""
    place = dice.at("second", second, "shard", shard)
    times = [place.at(one).lognormal(median, sigma) for one in range(rate)]
    return encoded(times), encoded([0.9 * time for time in times])


class Story:
    """A run, told event by event; `history` closes it."""

    def __init__(self, seed: int = 7, verb: str = "run", **settings: Any) -> None:
        self.dice = Dice(seed).at("story")
        self.t = 0.0
        self.numbers = 0
        self.loaded = 0.0
        self.events: list[Event] = [
            RunStarted(
                0.0,
                verb,
                "0.1.0",
                seed,
                "http://127.0.0.1:8081/webhook/telegram",
                "2026-01-02T03:04:05+00:00",
                {"verb": verb, **settings},
                {"python": "3.11.9", "mitmproxy": "11.0.2", "platform": "Linux x86_64"},
            )
        ]

    def add(self, *events: Event) -> "Story":
        self.events += events
        self.t = max([self.t, *(event.t for event in events)])
        return self

    def phase(self, t: float, phase: str, label: str = "") -> "Story":
        return self.add(PhaseChanged(t, phase, label))

    def fault(self, rule: str, fault: str, start: float, end: float | None = None) -> "Story":
        self.add(RuleSwitched(start, rule, fault, active=True))
        return self if end is None else self.add(RuleSwitched(end, rule, fault, active=False))

    def load(
        self,
        seconds: int,
        rate: int = 200,
        latency: float = 0.02,
        sigma: float = 0.4,
        errors: float = 0.0,
        kind: str = "status_500",
        faults: tuple[str, ...] = (),
        start: float | None = None,
        shard: int = 0,
        **fields: Any,
    ) -> "Story":
        """So many seconds of load; latency is the median, errors a share."""
        begin = self.loaded if start is None else start
        self.loaded = begin + seconds
        for number in range(seconds):
            response, service = latencies(self.dice, int(begin) + number, shard, rate, latency, sigma)
            failed = round(errors * rate)
            values = {
                "planned": rate,
                "started": rate,
                "completed": rate - failed,
                "failed": failed,
                "timed_out": 0,
                "dropped": 0,
                "errors": {kind: failed} if failed else {},
                "tasks": {"message": rate},
                "commands": {"start": rate // 10},
                "kinds": {"message": rate},
                "active_users": 50,
                "in_flight": max(1, round(rate * latency)),
                "cpu": 0.2,
                "lateness_p99_s": 0.002,
                "lateness_max_s": 0.004,
                "response": response,
                "service": service,
            } | fields
            frame = IntervalMeasured(
                t=begin + number + 1,
                second=int(begin) + number,
                shard=shard,
                faults=faults,
                **values,
            )
            self.add(frame)
        return self

    def request(
        self,
        t: float,
        *,
        total: float = 0.02,
        fate: Fate = Fate.ANSWERED,
        status: int | None = 200,
        late: float = 0.0,
        exchange: str | None = None,
        **fields: Any,
    ) -> "Story":
        self.numbers += 1
        started = t - total
        return self.add(
            RequestDone(
                t,
                exchange if exchange is not None else f"x{self.numbers}",
                started - late,
                started,
                Outcome(fate, status, total_s=total),
                **fields,
            )
        )

    def delivery(self, t: float, number: int, *, status: int = 200, replies: int = 1, **fields: Any) -> "Story":
        """An update with its marker, and the bot's replies to it."""
        marker = f"cb-{number}"
        self.request(t, status=status, update_id=number, marker=marker, kind="message", chat=number, **fields)
        for _ in range(replies):
            self.add(ApiCalled(t + 0.05, "sendMessage", number, f"echo {marker}", (marker,)))
        return self

    def judged(self, check: str, *findings: Finding, judged: int = 1, verdict: Verdict | None = None) -> "Story":
        default = Verdict.FAIL if findings else Verdict.PASS
        return self.add(Judged(self.t, Judgement(check, verdict or default, findings, judged=judged)))

    def history(self, how: str = "completed", reason: str = "", *, end: float | None = None) -> History:
        closing = RunEnded(max(self.t, end or 0.0), how, reason)
        return History.of([*self.events, closing])


def finding(check: str = "no_hang", bucket: str = "b", **fields: Any) -> Finding:
    """A finding with everything in it."""
    values = {
        "title": "the bot hangs",
        "severity": Severity.HIGH,
        "threat": Threat.USER,
        "category": "encoding",
        "summary": "POST with half a body; no answer in 5 s",
        "request": b"POST / HTTP/1.1\r\n\r\n",
        "reproduce": "chaosbot replay findings/x",
        "curl": "curl -d @body http://127.0.0.1/",
        "cause": RootCause(bucket),
    } | fields
    return Finding(check=check, **values)


class Told(Check):
    """Judges as the history's `Judged` events of its name say, so that renderers get judgements without a story behind them."""

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    def judge(self, history: History) -> Judgement:
        told = [event.judgement for event in history.all(Judged) if event.judgement.check == self._name]
        findings = tuple(one for judgement in told for one in judgement.findings)
        return replace(told[-1], findings=findings)


@pytest.fixture(autouse=True)
def told_checks(monkeypatch):
    """``fold(history, checks=())`` asks the checks that the story told of; all other calls ask the real ones."""
    module = sys.modules["chaosbot.report.fold"]
    real, registry = module._judge, module.CHECKS

    def judge(history, names):
        told = list(dict.fromkeys(event.judgement.check for event in history.all(Judged)))
        if names is None or names or not told:
            return real(history, names)
        module.CHECKS = SimpleNamespace(build=Told)
        try:
            return real(history, told)
        finally:
            module.CHECKS = registry

    monkeypatch.setattr(module, "_judge", judge)


@pytest.fixture
def story():
    return Story


@pytest.fixture
def make_finding():
    return finding


__all__ = [
    "CaseTried",
    "Depth",
    "Direction",
    "ExchangeSeen",
    "Expect",
    "Injected",
    "Noted",
    "ProbeSeen",
    "RuleTallied",
    "Story",
    "Trouble",
    "encoded",
    "finding",
]
