"""What the checks over a target's outbound calls share: which calls were made for one and the same message, and trials of a campaign."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from chaosbot.checks._cases import Violation, Violations
from chaosbot.core.check import History
from chaosbot.core.event import ApiCalled, OutboundTried, RuleTallied
from chaosbot.core.verdict import Judgement, RootCause, Severity, Threat, Verdict

OUTAGE: Final = "outage/"
"""How the names of cases begin during which every call of the target failed."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One kind of trouble met the calls to one chat: what was done, and the calls that the target made to that chat.

    Args:
        tried: The trial.
        calls: The calls to its chat (and to the one that it moved to) and in answer to its press, in order.
    """

    tried: OutboundTried
    calls: tuple[ApiCalled, ...]

    @property
    def delivered(self) -> bool:
        """Whether anything reached the user: a call that says something succeeded, a note above a button as well."""
        return any(reached(call) or (succeeded(call) and _notes(call)) for call in self.calls)

    @property
    def refused_note(self) -> bool:
        """Whether all that the target had to say stood in a note above a button, which the API refuses when that has waited too long."""
        return self.tried.trouble == "refused" and bool(self.calls) and all(map(_notes, self.calls))


def succeeded(call: ApiCalled) -> bool:
    """Whether the API did what the target asked for."""
    return call.status is not None and 200 <= call.status < 300


def _notes(call: ApiCalled) -> bool:
    return bool(call.callback and call.text)


def speaks(call: ApiCalled) -> bool:
    """Whether a user sees something of the call; a chat action (``typing…``) is no answer."""
    method = call.method.lower()
    unseen = method.startswith(("get", "sendchataction", "set", "delete")) and method != "setmessagereaction"
    return call.chat is not None and not unseen


def reached(call: ApiCalled) -> bool:
    """Whether the call succeeded and its user sees something of it."""
    return succeeded(call) and speaks(call)


def trials(history: History) -> Iterator[Trial]:
    """The trials of a campaign, each with its own calls; without those whose trouble met no call, where the proxy's events tell."""
    met = {fault.rule for faults in history.injections.values() for fault in faults if fault.stage == "applied"}
    idle = {row.rule for row in history.all(RuleTallied) if not row.applied} - met
    for tried in history.all(OutboundTried):
        if tried.case in idle or (met and tried.case not in met):
            continue
        chats = {str(tried.chat), *([str(tried.moved_to)] if tried.moved_to is not None else [])}
        found = [call for chat in chats for call in history.calls_by_chat.get(chat, ())]
        case = history.case(tried.case)
        if case is not None and case.callback:
            # Its waiting is ended by the press's id alone.
            found += [call for call in history.calls_by_chat.get("None", ()) if call.callback == case.callback]
        timely = (call for call in found if tried.sent <= call.t <= tried.until)
        yield Trial(tried, tuple(sorted(timely, key=lambda call: call.t)))


def messages(history: History) -> Iterator[list[ApiCalled]]:
    """The calls that were made for one and the same message: by marker in a load run, by chat in a trial or an outage."""
    yield from history.calls_by_marker.values()
    for chat in {str(one.chat) for one in history.cases if one.case.startswith(OUTAGE)}:
        calls = [call for call in history.all(ApiCalled) if str(call.chat) == chat and not call.in_answer]
        if not any(call.markers for call in calls):
            yield calls
    for trial in trials(history):
        plain = [call for call in trial.calls if not call.markers]
        # To somebody else's chat the same words may come of what others do beside.
        if plain and trial.tried.answered is None:
            yield plain


def judged_trials(
    base: Judgement, judged: int, violations: Iterable[tuple[Trial, RootCause, str, Severity, str]]
) -> Judgement:
    """A load run's judgement together with that over a campaign's trials.

    Args:
        base: The judgement over the load run.
        judged: How many trials were looked at.
        violations: Trial, root cause, title, severity and summary of each violation; those with one cause are one finding.
    """
    found = Violations(base.check)
    for trial, cause, title, severity, summary in violations:
        one = Violation(cause, title, severity, Threat.NETWORK, summary, stateful=True)
        found.add(one, trial.tried.case, "outbound")
    findings = (*base.findings, *found.findings.values())
    total = base.judged + judged
    if findings:
        return Judgement(base.check, Verdict.FAIL, findings, base.assertions, judged=total)
    if judged and base.verdict is Verdict.INCONCLUSIVE and not base.crashed:
        return Judgement(base.check, Verdict.PASS, (), base.assertions, judged=total)
    return Judgement(
        base.check, base.verdict, (), base.assertions, judged=total, reason=base.reason, crashed=base.crashed
    )
