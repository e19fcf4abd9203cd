"""Whatever is sent, the target answers with a status of its choice, never with a 5xx that nobody chose.

A 5xx means that an exception got to the top. The platform redelivers such an update for ever, and everything behind it waits.
503 or 429 with Retry-After is a choice (overload), and so is a status that the case itself allows.
"""

# ruff: noqa: ARG002 -- the checks share one whatever each of them needs of it
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chaosbot.checks._cases import (
    CaseCheck,
    Violation,
    answered,
    cause_of,
    frame,
    lacking,
    overloaded,
    right,
    says,
    together,
)
from chaosbot.core.case import Role
from chaosbot.core.check import History
from chaosbot.core.event import ApiCalled, CampaignStarted, CaseTried
from chaosbot.core.exchange import Direction
from chaosbot.core.journey import RECORDED
from chaosbot.core.observation import Dropped, observed
from chaosbot.core.outcome import Fate
from chaosbot.core.verdict import Finding, Judgement, Mechanism, RootCause, Severity, Threat, Verdict

_WRONG_PROOF: Final = "wrong-proof"
_CODED: Final = ("encoding/gzip", "encoding/deflate")


def _does(symptom: str) -> str:
    return "closes the connection without an answer" if symptom == "dropped" else f"answers {symptom}"


def _undoes_codings(tried: CaseTried) -> bool:
    """Whether the target's HTTP library undoes codings before the target's code sees a body, and answers 500 itself where one does not hold (aiohttp 3)."""
    return any(name == "server" and "aiohttp/" in value for name, value in tried.outcome.headers)


@dataclass(frozen=True)
class NoServerError(CaseCheck):
    """Nothing that is sent makes the target answer 5xx, or drop the connection without an answer."""

    def looks_at(self, tried: CaseTried, seen: CampaignStarted) -> bool:
        """Every case that got an answer, or was confirmed to get none."""
        return answered(tried) or observed(tried.observations, Dropped) is not None

    def violation(self, tried: CaseTried, calls: Sequence[ApiCalled], seen: CampaignStarted) -> Violation | None:
        """A status of 500 or more that the case does not allow."""
        # No platform sends a body whose coding does not hold.
        severity = Severity.LOW if tried.threat is Threat.FORGER or tried.group == "encoding" else Severity.MEDIUM
        if observed(tried.observations, Dropped):
            title = f"closes the connection without an answer to {tried.summary or tried.case}"
            cause = self._cause(tried, "dropped")
        else:
            status = tried.outcome.status or 0
            if status < 500 or right(tried, seen) or overloaded(tried):
                return None
            if tried.change.place in _CODED and _undoes_codings(tried):
                return None
            title = f"answers {status} to {tried.summary or tried.case}; an expected refusal is a 4xx"
            if tried.change.place.startswith("outbound-"):
                passes = tried.expect is not None and tried.expect.allows_status(503)
                if passes and not tried.outcome.body:
                    # No framework's page for what nobody caught: the target chose to have it sent again, when the trouble may be over.
                    return None
                title = (
                    f"answers {status} to an update while its own calls fail; what it asks to be sent again gets a 503"
                )
            where = frame(tried.outcome.body)
            cause = RootCause(str(status), Mechanism.FRAME, where) if where else self._cause(tried, str(status))
        instead = lacking(tried, cause)
        if tried.threat is Threat.FORGER and cause.mechanism is not Mechanism.FRAME:
            # Where a wrong proof alone is answered so, what else a stranger sends makes no difference.
            instead |= {RootCause(cause.symptom, Mechanism.HEAD, _WRONG_PROOF)}
        return Violation(cause, title, severity, tried.threat, says(tried), instead=instead)

    def _cause(self, tried: CaseTried, symptom: str) -> RootCause:
        if tried.threat is Threat.FORGER and tried.role is Role.PLAIN:
            return RootCause(symptom, Mechanism.HEAD, _WRONG_PROOF)
        if tried.change.place.startswith("outbound-"):
            return RootCause(symptom, Mechanism.TECHNIQUE, "outbound")  # that it fails is not caught, however it fails
        return cause_of(tried, symptom)

    def judge(self, history: History) -> Judgement:
        """The cases of a campaign and, in a load run, the requests that no inbound fault met."""
        judgement = together(super().judge(history), _does)
        if not history.requests:
            return judgement
        hit = {
            exchange
            for exchange, faults in history.injections.items()
            if any(fault.direction is Direction.INBOUND for fault in faults)
        }
        # A status that the proxy wrote itself (a connection that the target had just closed) is none that the target chose.
        hit |= {
            seen.exchange for seen in history.exchanges if seen.direction is Direction.INBOUND and seen.by == "proxy"
        }
        # What was recorded may be anything: it is replayed as load, and nothing says that it is valid.
        clean = [one for one in history.requests if one.exchange not in hit and one.tier != RECORDED]
        by_status: dict[tuple[int, str], int] = {}
        for request in clean:
            outcome = request.outcome
            if outcome.fate is not Fate.ANSWERED or (outcome.status or 0) < 500:
                continue
            if outcome.status in history.accepted_statuses:
                continue
            if outcome.status == 503:  # it asks for another delivery, since its own API fails
                continue
            key = (outcome.status or 0, request.kind or "")
            by_status[key] = by_status.get(key, 0) + 1
        found = tuple(
            Finding(
                self.name,
                f"answers {status} to valid updates while the calls that it makes fail",
                Severity.HIGH,
                Threat.NETWORK,
                RootCause(str(status), place="load"),
                category=kind,
                summary=f"{count} of {len(clean)} requests that no inbound fault met",
                occurrences=count,
                stateful=True,
            )
            for (status, kind), count in sorted(by_status.items())
        )
        merged: dict[RootCause, Finding] = {}
        for finding in found:
            merged.setdefault(finding.cause, finding)
        findings = judgement.findings + tuple(merged.values())
        verdict = Verdict.FAIL if findings else Verdict.PASS if clean or judgement.judged else judgement.verdict
        return Judgement(self.name, verdict, findings, judged=judgement.judged + len(clean))
