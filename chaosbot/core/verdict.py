"""Verdicts, findings and assertions: what a run comes to.

Rules:

- PASS < INCONCLUSIVE < FAIL; a verdict made of several is the worst of them.
- Nothing observed is never a pass: an empty set of verdicts is INCONCLUSIVE.
- INVALID stands apart: the generator, not the target, was the limit. It hides a pass, but never a failure that would be
  there with a faultless generator too (a finding).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b


class Verdict(StrEnum):
    """What a check, an assertion or a run comes to."""

    PASS = "pass"  # noqa: S105 - not a password
    INCONCLUSIVE = "inconclusive"
    INVALID = "invalid"
    FAIL = "fail"

    @property
    def exit_code(self) -> int:
        """0 pass, 1 findings or failed assertions, 3 inconclusive or invalid."""
        return {Verdict.PASS: 0, Verdict.FAIL: 1}.get(self, 3)

    @staticmethod
    def worst(verdicts: Iterable[Verdict]) -> Verdict:
        """The worst of several; of none at all, INCONCLUSIVE."""
        order = list(Verdict)
        return max(verdicts, key=order.index, default=Verdict.INCONCLUSIVE)


class Severity(StrEnum):
    """How bad a finding is; ordered from worst to mildest."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def rank(self) -> int:
        """Its place in the order; 0 is the worst."""
        return list(Severity).index(self)


class Threat(StrEnum):
    """Who can cause it."""

    FORGER = "forger"  # reaches the URL without the secret
    USER = "user"  # a real person writing through the platform
    NETWORK = "network"  # nobody: the network or an API misbehaves
    LOAD = "load"  # nobody: there is simply a lot of it


class Mechanism(StrEnum):
    """What kind of thing a root cause lies in."""

    BEHAVIOUR = "behaviour"  # what the target does as a whole, whichever request shows it
    FRAME = "frame"  # a line of the target's own code, as its traceback names it
    MEMBER = "member"  # one member of an update
    PAYLOAD = "payload"  # an update's payload as a whole
    SHAPE = "shape"  # updates that are not as described, in many places
    KIND = "kind"  # a valid update of a kind, of which no more is known
    SYNTAX = "syntax"  # a body that is no JSON by any reading
    HEAD = "head"  # the request's head
    DEPTH = "depth"  # nesting
    TECHNIQUE = "technique"  # a technique of the catalogue: group and word
    SCENARIO = "scenario"  # deliveries that depend on each other


@dataclass(frozen=True, slots=True, order=True)
class RootCause:
    """Why a check was violated; two violations of a check with equal root causes are one finding.

    Nothing measured belongs here (no byte counts, no counts of cases): ids derive from it.

    Args:
        symptom: What the target did: ``500``, ``died``, ``accepted``, ``elsewhere``.
        mechanism: What kind of thing sets it off.
        place: Which one: the member (``*.chat``), the technique (``auth/prefix``), the frame (``bot.py:10:handle``).
    """

    symptom: str
    mechanism: Mechanism = Mechanism.BEHAVIOUR
    place: str = ""

    def __str__(self) -> str:
        """``500:member:*.chat``; the symptom alone where there is nothing more to say."""
        if self.mechanism is Mechanism.BEHAVIOUR:
            return self.symptom + (f":{self.place}" if self.place else "")
        return f"{self.symptom}:{self.mechanism}" + (f":{self.place}" if self.place else "")


@dataclass(frozen=True, slots=True)
class Finding:
    """One distinct, reproducible violation of one check.

    Args:
        check: The check's name.
        title: One line that says what the target did and should not have done; without measured figures.
        severity: How bad it is.
        threat: Who can cause it.
        cause: The root cause; findings are the same when check and root cause are.
        category: Where it belongs (the case group, the command, the fault).
        case: The name of the case or of the exchange that shows it.
        summary: The shortest description of what was sent and what came back.
        request: The bytes that show it, when bytes can.
        occurrences: How often it was seen.
        reproduce: The chaosbot line that shows it again.
        curl: The same for curl, where curl can express it.
        stateful: Whether it needs a sequence or a race, so that one request alone does not show it.
    """

    check: str
    title: str
    severity: Severity
    threat: Threat
    cause: RootCause
    category: str = ""
    case: str = ""
    summary: str = ""
    request: bytes = b""
    occurrences: int = 1
    reproduce: str = ""
    curl: str = ""
    stateful: bool = False

    @property
    def id(self) -> str:
        """Stable over runs: names the root cause, not the occurrence."""
        text = f"{self.check}|{self.cause}"
        return f"{self.check}-{blake2b(text.encode('utf-8', 'surrogatepass'), digest_size=4).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Assertion:
    """One promise with what was observed.

    Args:
        name: What is asserted (``p99``, ``error_rate``, ``recovery:outbound-outage`` …).
        target: The bound that should hold, as a person reads it (``< 2s``).
        observed: What was seen, in the bound's unit; None when nothing was.
        verdict: What it comes to.
        alert: The bound that must not be passed, as a person reads it.
        interval: Confidence interval of `observed`.
        reason: Why it is not a pass.
        window: Which part of the run it was observed in, in words; empty where it is of no part of the time.
    """

    name: str
    target: str
    observed: float | None
    verdict: Verdict
    alert: str = ""
    interval: tuple[float, float] | None = None
    reason: str = ""
    window: str = ""

    @property
    def apart(self) -> bool:
        """Whether it was observed in a part of the run that its name does not say."""
        return self.window.startswith("outside")


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing that a check planned to judge: a privileged command, a kind of object, a scenario.

    Args:
        name: What it is.
        reason: Why it was not judged, with the remedy; empty where it was.
    """

    name: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one check made of a run.

    A check that could not judge says so (INCONCLUSIVE with a reason); one that crashed is recorded the same way by whoever
    ran it. `judged` counts what it looked at: a check that looked at nothing does not pass by that.
    """

    check: str
    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    assertions: tuple[Assertion, ...] = ()
    reason: str = ""
    judged: int = 0
    details: tuple[tuple[str, str], ...] = field(default=())
    subjects: tuple[Subject, ...] = ()  # what it planned to judge; one that judged less than half of it is no pass
    crashed: bool = False  # raised instead of judging: inconclusive even where there was nothing to look at
