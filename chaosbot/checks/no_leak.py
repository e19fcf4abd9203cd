r"""Neither an answer nor a message tells about the inside: no traceback, no bot token, no path, no secret.

Answers go to whoever sent the request, messages to users: an exception's text often holds the URL of the call that failed, and that URL
the bot's token. What the case itself had sent and the target merely repeated does not count.
"""

# ruff: noqa: ARG002 -- the checks share one signature, whatever each of them needs of it
from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chaosbot.checks._cases import CaseCheck, Violation, Violations, answered, says
from chaosbot.core.check import History
from chaosbot.core.event import ApiCalled, CampaignStarted, CaseTried
from chaosbot.core.observation import Echoed, Leaked, observed
from chaosbot.core.verdict import Judgement, RootCause, Severity, Threat, Verdict

_EXCEPTION: Final = re.compile(rb"\b[A-Z]\w*(?:Error|Exception)\b(?: \[|[:(])|\bgoroutine \d+ \[|\bpanic: ")
_SECRETS: Final = {
    "token": "a bot's token",
    "secret": "the webhook's secret",
    "key": "a model provider's key",
    "instructions": "what a language model was told",
}
_LEAKS: Final = (
    (
        "traceback",
        Severity.MEDIUM,
        "a traceback",
        re.compile(rb"Traceback \(most recent call last\)|\n[ \t]+at .+:\d+:\d+\)?"),
    ),
    (
        "path",
        Severity.LOW,
        "a path of the server",
        re.compile(
            rb"(?:/(?:home|usr|opt|srv|app|var|root|Users)/[\w.@/-]+\.(?:py|js|ts|rb|php|go)\b)|node_modules/|site-packages/"
        ),
    ),
)
_PROVIDER: Final = (
    "provider",
    Severity.LOW,
    "a model provider's error",
    re.compile(
        rb"(?i)<center>cloudflare|\breq_[0-9a-f]{16}|api\.(?:anthropic|openai)\.com|Incorrect API key provided|'type': '\w+_error'"
    ),
)


@dataclass(frozen=True)
class NoLeak(CaseCheck):
    """Answers and messages carry nothing from the inside."""

    def looks_at(self, tried: CaseTried, seen: CampaignStarted) -> bool:
        """Every answer with a body."""
        return answered(tried)

    def violation(self, tried: CaseTried, calls: Sequence[ApiCalled], seen: CampaignStarted) -> Violation | None:
        """The worst thing that the body tells."""
        leaked = observed(tried.observations, Leaked)
        if leaked is not None:
            title = f"an answer with status {tried.outcome.status} shows {_SECRETS[leaked.what]}: {tried.summary or tried.case}"
            return Violation(RootCause(leaked.what), title, Severity.CRITICAL, tried.threat, says(tried))
        if not tried.outcome.body or observed(tried.observations, Echoed) is not None:
            return None
        # A reply in the answer goes to the platform, and is judged below as what the user reads.
        if any(call.in_answer for call in calls):
            return None
        for kind, severity, what, pattern in _LEAKS:
            if pattern.search(tried.outcome.body):
                title = f"an answer with status {tried.outcome.status} contains {what}"
                return Violation(RootCause(kind), title, severity, tried.threat, says(tried))
        return None

    def judge(self, history: History) -> Judgement:
        """The answers to the cases of a campaign, and what the target told its users."""
        judgement = super().judge(history)
        violations = Violations(self.name)
        for call in history.all(ApiCalled):
            # A command menu has no chat: what it says is the target's own list.
            if call.text and call.chat is not None:
                violations.judged += 1
                if (told := _told(call)) is not None:
                    # Only the first of a cause names its case, for which all cases are read.
                    case = "" if told.cause in violations.findings else _case_of(history, call)
                    violations.add(told, case, "outbound")
        found = violations.explained()
        kept = tuple(one for one in judgement.findings if one.cause not in found)
        findings = (*kept, *found.values())
        looked = judgement.judged + violations.judged
        if not findings and judgement.verdict is Verdict.INCONCLUSIVE and not violations.judged:
            return judgement
        return Judgement(self.name, Verdict.FAIL if findings else Verdict.PASS, findings, judged=looked)


def _told(call: ApiCalled) -> Violation | None:
    """The worst thing that a message tells."""
    how = f"{call.method} to {call.chat}"
    if call.tells:
        title = f"a message to a user shows {_SECRETS[call.tells]}"
        cause = RootCause(call.tells, place="message")
        return Violation(cause, title, Severity.CRITICAL, Threat.NETWORK, how, stateful=True)
    text = call.text.encode("utf-8", "replace")
    for kind, severity, what, pattern in (
        *_LEAKS,
        _PROVIDER,
        ("exception", Severity.LOW, "an exception's text", _EXCEPTION),
    ):
        if pattern.search(text):
            title = f"a message to a user contains {what}"
            return Violation(RootCause(kind, place="message"), title, severity, Threat.USER, how, stateful=True)
    return None


def _case_of(history: History, call: ApiCalled) -> str:
    """The case that was last sent in the call's chat before it; empty where there is none."""
    sent = [tried for tried in history.cases if str(tried.chat) == str(call.chat) and tried.sent <= call.t]
    return max(sent, key=lambda tried: tried.sent).case if sent else ""
