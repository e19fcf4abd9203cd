"""Turns results into events, and keeps what a campaign seems to have found so far.

Rules:

- Bounds are kept here: a body keeps what a check may want to see, headers those that a reader may want to see.
- What seems to be found steers the campaign (what to shrink, what not to repeat) and never reaches a report.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from time import monotonic
from typing import Final

import msgspec
import orjson

from chaosbot.checks._cases import CaseCheck, Violation
from chaosbot.checks._join import SHRINKING
from chaosbot.core.case import Case, Role
from chaosbot.core.check import CHECKS, Check
from chaosbot.core.dice import Dice
from chaosbot.core.event import ApiCalled, CampaignStarted, CaseTried, Event, Noted, ProbeSeen
from chaosbot.core.exchange import UpdateFacts
from chaosbot.core.marker import digest
from chaosbot.core.observation import Echoed, HeadNotAscii, Lacks, Leaked, NoProof, NotJson, Observation
from chaosbot.core.outcome import Fate, Outcome
from chaosbot.core.platform import Platform
from chaosbot.core.verdict import Mechanism, RootCause
from chaosbot.fuzz.findings import CaseSteps
from chaosbot.fuzz.requests import split, with_body
from chaosbot.fuzz.spec import CampaignSpec
from chaosbot.fuzz.target import STOPPED, CaseResult, HealthReply, reply_in
from chaosbot.journal import EventSpool

_KEPT_HEADERS: Final = frozenset(
    {"content-type", "retry-after", "server", "connection", "allow", "location", "x-powered-by"}
)
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"')
_CODED: Final = re.compile(rb"(?im)^content-encoding:")
_KEPT_OK: Final = 256
_KEPT_BODY: Final = 4096
_LARGEST_PARSED: Final = 100_000
_MOST_READ: Final = 65_536
_SHORTEST_SECRET: Final = 6
"""A shorter one may stand in an answer by chance."""


def _echoes(outcome: Outcome, case: Case) -> bool:
    """Whether the answer repeats a long piece of the request, so that what it holds is the sender's own."""
    parts = split(case.request)
    body = parts[1] if parts else case.request
    return len(outcome.body) >= 8 and any(
        piece in body for piece in (outcome.body[:64], outcome.body[16:80]) if len(piece) >= 32
    )


_TOKEN: Final = re.compile(rb"\b\d{6,12}:[A-Za-z0-9_-]{30,64}|/bot\d{4,12}(?::|%3A)[\w-]{1,64}")


def _leaked(outcome: Outcome, case: Case, secret: str) -> Leaked | None:
    """The worst secret that an answer shows and its request did not hold."""
    if not outcome.body:
        return None
    request = case.request[:_LARGEST_PARSED]
    if any(token not in request for token in _TOKEN.findall(outcome.body)):
        return Leaked("token")
    known = secret.encode()
    return (
        Leaked("secret") if len(known) >= _SHORTEST_SECRET and known in outcome.body and known not in request else None
    )


def _damage(case: Case, proof: str) -> list[Observation]:
    """What is wrong with a request that was refused, where that names the cause better than its group does.

    Args:
        case: What was sent.
        proof: The header that proves where a request comes from.
    """
    parts = split(case.request)
    if parts is None or len(parts[1]) > _LARGEST_PARSED:
        return []
    found: list[Observation] = [] if parts[0].isascii() else [HeadNotAscii()]
    if proof and f"\r\n{proof}:".lower().encode() not in parts[0].lower():
        found.append(NoProof())
    # A body that is framed or coded otherwise is no JSON as it stands, and that says nothing.
    if with_body(case.request, b"") is not None and not _CODED.search(parts[0]) and not _is_json(parts[1]):
        found.append(NotJson())
    return found


def _went_well(outcome: Outcome) -> bool:
    """Whether a target that is being ended may have said this all the same."""
    return outcome.fate is Fate.ANSWERED and (outcome.status or 0) < 500


def _wrote(case: Case) -> str:
    """The digest of the JSON string in which a case's marker stands; empty where none does."""
    marker, request = case.marker.encode(), case.request[:_MOST_READ]
    if not marker or marker not in request:
        return ""
    body = request.partition(b"\r\n\r\n")[2]
    try:
        return next((digest(orjson.loads(one)) for one in _STRING.findall(body) if marker in one), "")
    except orjson.JSONDecodeError:
        return ""


def _payload(update: object) -> tuple[str, set[str]]:
    """An update's kind and the names of its payload's members; empty where it has none."""
    members = update.items() if isinstance(update, dict) else ()
    return next(((key, set(value)) for key, value in members if isinstance(value, dict)), ("", set()))


def _is_json(body: bytes) -> bool:
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return "recursion" in str(error)  # too deep for this parser is another matter
    return True


class CaseRecorder:
    """Emits what happened.

    Args:
        spec: What the campaign was told.
        platform: Reads kind and command from requests.
        emit: Where events go.
    """

    def __init__(self, spec: CampaignSpec, platform: Platform, emit: Callable[[Event], None]) -> None:
        self.spec = spec
        self.platform = platform
        self._emit = emit
        self.events = EventSpool()
        self.notes: list[Noted] = []
        """What stages have noted; it stands among the events as well, which are many to look through."""
        self.cases: dict[str, Case] = {}
        self.stopped: Callable[[], bool] = lambda: False
        """Whether a stop was asked for; a target that was ended with the run is not charged with what its last cases met."""
        self.by_stage: Counter[str] = Counter()
        self.store: FindingStore | None = None

    @cached_property
    def _usual(self) -> dict[str, set[str]]:
        """By kind, the members that most golden updates of the kind have."""
        bodies: dict[str, list[set[str]]] = defaultdict(list)
        for update in self.platform.golden(Dice(0)).values():
            kind, payload = _payload(update)
            bodies[kind].append(payload)
        return {
            kind: {name for name in set.union(*found) if sum(name in one for one in found) * 2 > len(found)}
            for kind, found in bodies.items()
        }

    def _lacking(self, case: Case) -> list[Observation]:
        """The members that other updates of this kind have and this one lacks."""
        parts = split(case.request)
        if parts is None or len(parts[1]) > _LARGEST_PARSED:
            return []
        try:
            kind, payload = _payload(orjson.loads(parts[1]))
        except orjson.JSONDecodeError:
            return []
        return [Lacks(name) for name in sorted(self._usual.get(kind, set()) - payload)]

    @cached_property
    def _kinds(self) -> frozenset[str]:
        """The kinds that the platform has golden updates of; anything else in their place is a sender's word."""
        return frozenset(name.split("/", 1)[0] for name in self.platform.golden(Dice(0)))

    def now(self) -> float:
        """Seconds since the run started."""
        return monotonic() - self.spec.started

    def emit(self, event: Event) -> None:
        """Emits an event and keeps it for the checks at the end."""
        self.events.append(event)
        if isinstance(event, Noted):
            self.notes.append(event)
        self._emit(event)

    def tried(self, result: CaseResult) -> tuple[CaseTried, list[ApiCalled]]:
        """The result as an event, not emitted yet, with the call in its answer."""
        case, outcome = result.case, result.outcome
        facts = self.facts_of(case)
        observations = list(result.observations)
        if self.stopped() and (observations or not _went_well(outcome)):
            outcome, observations = msgspec.structs.replace(outcome, fate=Fate.CANCELLED, detail=STOPPED), []
        if _echoes(outcome, case):
            observations.append(Echoed())
        if (leaked := _leaked(outcome, case, self.spec.endpoint.secret)) is not None:
            observations.append(leaked)
        if case.change.mechanism is Mechanism.KIND and not outcome.ok:
            observations += self._lacking(case)
        if result.stage == "catalogue" and not outcome.ok:
            observations += _damage(case, self.platform.proof)
        reply = reply_in(self.platform, outcome, case, result.sent + outcome.total_s, result.exchange)
        bounded = msgspec.structs.replace(
            outcome,
            headers=tuple(header for header in outcome.headers if header[0] in _KEPT_HEADERS),
            body=outcome.body[: _KEPT_OK if reply is not None else _KEPT_BODY],
        )
        event = CaseTried(
            self.now(),
            case.name,
            case.group,
            case.threat,
            result.stage,
            bounded,
            marker=case.marker,
            chat=case.chat,
            update_id=case.update_id,
            command=facts.command,
            kind=facts.kind,
            expect=case.expect,
            control=case.control,
            check=case.check,
            summary=case.summary,
            sent=result.sent,
            health_s=result.health_s,
            observations=tuple(observations),
            change=case.change,
            role=case.role,
            scenario=case.scenario,
            copies=case.copies,
            exchange=result.exchange,
            user=case.user,
            message=case.message,
            callback=case.callback,
            names=facts.names if case.check or case.control or case.role is not Role.ATTEMPT else (),
            wrote=_wrote(case),
        )
        return event, [reply] if reply is not None else []

    def facts_of(self, case: Case) -> UpdateFacts:
        """What a case says; its kind only where the platform knows that."""
        parts = split(case.request)
        found = self.platform.read(case.request) if parts is not None and len(parts[1]) <= _MOST_READ else None
        if found is None:
            return UpdateFacts()
        return found if found.kind in self._kinds else replace(found, kind=None)

    def record(self, result: CaseResult) -> list[tuple[str, Violation]]:
        """Judges and emits one result; what it broke."""
        event, replies = self.tried(result)
        for reply in replies:
            self.emit(reply)
        broken = self.store.violations(event, replies) if self.store is not None else []
        self.by_stage[result.stage] += 1
        self.cases.setdefault(result.case.name, result.case)
        if broken:
            event = msgspec.structs.replace(event, violations=tuple(name for name, _ in broken))
        self.emit(event)
        if self.store is not None and result.stage != SHRINKING:
            for name, violation in broken:
                self.store.offer(name, violation.cause, result.case)
        return broken

    def health(self, health: HealthReply) -> None:
        """Emits a health request's fate, and the reply in its answer."""
        if self.stopped() and not health.ok:
            return
        reply = reply_in(self.platform, health.outcome, health.case, self.now())
        if reply is not None:
            self.emit(reply)
        detail = "" if health.ok else (health.outcome.detail or f"status {health.outcome.status}")
        self.emit(ProbeSeen(self.now(), "canary", health.ok, round(health.seconds, 4), detail))


Key = tuple[str, RootCause]
"""A check's name and a root cause."""


@dataclass
class KnownCause:
    """One root cause: the case that shows it best, or the sequence that does."""

    check: str
    cause: RootCause
    case: Case
    sequence: CaseSteps = ()


class FindingStore:
    """Judges tried cases while the campaign runs.

    Args:
        names: The checks that judge.
        seen: What the campaign can see.
    """

    def __init__(self, names: Iterable[str], seen: CampaignStarted) -> None:
        self.seen = seen
        self.found: dict[Key, KnownCause] = {}
        self.asked: list[Check] = [CHECKS.build(name) for name in names]
        self.checks = [check for check in self.asked if isinstance(check, CaseCheck)]

    def violations(self, tried: CaseTried, calls: Sequence[ApiCalled] = ()) -> list[tuple[str, Violation]]:
        """What this case violates, as far as its answer tells; checks that need calls wait until those have come in."""
        found = []
        for check in self.checks:
            if check.needs_calls or not check.looks_at(tried, self.seen):
                continue
            violation = check.violation(tried, calls, self.seen)
            if violation is not None:
                found.append((check.name, violation))
        return found

    def offer(self, check: str, cause: RootCause, case: Case) -> None:
        """Records a violation; keeps the shortest case of each root cause."""
        known = self.found.get((check, cause))
        if known is None:
            self.found[check, cause] = KnownCause(check, cause, case)
        elif len(case.request) < len(known.case.request) and len(case.segments) <= len(known.case.segments):
            known.case = case

    def offer_sequence(self, check: str, cause: RootCause, steps: CaseSteps) -> None:
        """Records what a scenario shows; keeps the shortest one of each root cause."""
        known = self.found.get((check, cause))
        size = sum(len(step) for step in steps)
        if known is None:
            self.found[check, cause] = KnownCause(check, cause, steps[-1][-1], steps)
        elif known.sequence and size <= sum(len(step) for step in known.sequence):
            known.sequence, known.case = steps, steps[-1][-1]
