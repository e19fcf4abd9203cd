"""A circuit that tripped closes again once its service is back.

A circuit that stays open, or half open for ever, turns a short outage into a lasting one.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from chaosbot.checks._directions import last_moment, outbound_trouble
from chaosbot.core.check import Check, History
from chaosbot.core.event import ProbeSeen
from chaosbot.core.registry import option
from chaosbot.core.verdict import Finding, Judgement, RootCause, Severity, Threat, Verdict


def _closed(probe: ProbeSeen) -> bool:
    return str(probe.value).lower() in ("closed", "0", "0.0", "false", "ok")


@dataclass(frozen=True)
class CircuitsRecover(Check):
    """Tripped circuits close again."""

    within: float = option("duration", "how long a circuit may take once faults are gone", 10.0, primary=True)

    def judge(self, history: History) -> Judgement:
        """Follows each circuit's state over the run."""
        states: dict[str, list[ProbeSeen]] = defaultdict(list)
        for probe in history.probes:
            if probe.probe.startswith("circuit:") and probe.ok:
                states[probe.probe.removeprefix("circuit:")].append(probe)
        if not states:
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason="nobody looked at circuits (--health)")
        troubles = outbound_trouble(history)
        judged = 0
        stuck: list[tuple[str, float]] = []
        short: list[str] = []
        for name, probes in states.items():
            tripped = next((probe for probe in probes if not _closed(probe)), None)
            if tripped is None:
                continue
            judged += 1
            since_closed = [probe.t for probe in probes if _closed(probe)]
            after = max([tripped.t, *(t for t in troubles if t <= probes[-1].t)])
            # Closed at the end, or at any time between two troubles for as long as it needs.
            if since_closed and since_closed[-1] > tripped.t:
                continue
            calm = probes[-1].t - after
            (stuck.append((name, calm)) if calm >= self.within else short.append(name))
        if stuck:
            name, calm = max(stuck, key=lambda entry: entry[1])
            finding = Finding(
                self.name,
                f"the circuit {name} does not close again after its service is back",
                Severity.HIGH,
                Threat.NETWORK,
                RootCause("stuck"),
                category="circuits",
                case=name,
                summary=f"not closed {calm:.0f} s after the last fault; the run ended at {last_moment(history):.0f} s",
                occurrences=len(stuck),
                stateful=True,
            )
            return Judgement(self.name, Verdict.FAIL, (finding,), judged=judged)
        if short:
            reason = f"{', '.join(short)}: the run ended before {self.within:g} s without faults had passed"
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason=reason, judged=judged)
        if not judged:
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason="no circuit tripped")
        return Judgement(self.name, Verdict.PASS, judged=judged)
