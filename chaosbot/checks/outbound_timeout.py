"""The bot gives up on a call that gets no answer.

A call that is waited for without end holds a connection, a task and whatever stands behind them in the same queue.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.checks._directions import NEEDS_CALLS, last_moment
from chaosbot.core.check import Check, History
from chaosbot.core.exchange import Direction
from chaosbot.core.registry import option
from chaosbot.core.verdict import Finding, Judgement, RootCause, Severity, Threat, Verdict

_SILENT = ("delay", "timeout", "latency", "dribble")


@dataclass(frozen=True)
class OutboundTimeout(Check):
    """Calls without an answer are given up."""

    live: ClassVar[bool] = True
    needs_calls: ClassVar[bool] = True
    shrinkable: ClassVar[bool] = False

    within: float = option("duration", "the longest that a call may be waited for", 20.0, primary=True)

    def judge(self, history: History) -> Judgement:
        """Looks at how the calls ended that a fault kept waiting."""
        outbound = {seen.exchange: seen for seen in history.exchanges if seen.direction is Direction.OUTBOUND}
        if not outbound:
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason=NEEDS_CALLS)
        end = last_moment(history)
        judged, worst = 0, 0.0
        patient: list[str] = []
        for exchange, faults in history.injections.items():
            held = [fault for fault in faults if fault.direction is Direction.OUTBOUND and fault.fault in _SILENT]
            if not held:
                continue
            seen = outbound.get(exchange)
            waited = seen.seconds if seen is not None else end - held[0].t
            gave_up = seen is not None and seen.status is None
            if not gave_up and waited < self.within:
                continue  # the answer came before anybody had to give up, or the run ended first
            judged += 1
            if waited > self.within:
                patient.append(exchange)
                worst = max(worst, waited)
        if not judged:
            reason = f"no call of the bot was kept waiting for {self.within:g} s"
            return Judgement(self.name, Verdict.INCONCLUSIVE, reason=reason)
        if not patient:
            return Judgement(self.name, Verdict.PASS, judged=judged)
        finding = Finding(
            self.name,
            f"still waits after {self.within:g} s for a call that gets no answer",
            Severity.HIGH,
            Threat.NETWORK,
            RootCause("no-timeout"),
            category="botapi",
            case=patient[0],
            summary=f"the longest wait was {worst:.0f} s (and not over, perhaps); {len(patient)} of {judged} held calls",
            occurrences=len(patient),
            stateful=True,
        )
        return Judgement(self.name, Verdict.FAIL, (finding,), judged=judged)
