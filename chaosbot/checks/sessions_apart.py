"""What one user says changes nothing in another user's conversation, and everybody gets their own answers.

A state that is kept for all, or for a whole chat, lets one user's text end what another one began; a chat that is kept in a global variable
sends an answer to whoever wrote last, the admin's answer to a message that was passed on as well. Compared is the same talk with nobody
beside it. In a group a game that everybody plays together is built so on purpose: accept the finding there (`--baseline`). State that
follows one user from a private chat into a group shows there what was meant for the target alone: frameworks keep it by user and chat.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import ClassVar, Final

from chaosbot.checks._cases import Violation
from chaosbot.checks._state import StateCheck, shape
from chaosbot.core.check import History
from chaosbot.core.event import ApiCalled, StateTried
from chaosbot.core.verdict import Finding, Judgement, RootCause, Severity, Threat, Verdict

_TAKEN: Final = {
    "displaced": ("displaced", "shows one user what another made in another chat in place of their own"),
    "interleaved": ("mixed", "ends one user's conversation with what another user has said in theirs"),
}
"""By trial, the cause and the title where one user is told another one's in place of their own."""


@dataclass(frozen=True)
class SessionsApart(StateCheck):
    """Nobody talks into another one's conversation."""

    trials: ClassVar[frozenset[str]] = frozenset(
        {"crossed", "conversation", "group-conversation", "elsewhere", "operator", "displaced", "interleaved"}
    )

    def judge(self, history: History) -> Judgement:
        """Conversations in turns, many users at once, and whose messages are edited."""
        judgement = super().judge(history)
        edits, foreign = _foreign_edits(history)
        if judgement.reason and not edits:
            return judgement
        findings = judgement.findings
        if foreign:
            title = "edits in one chat the message that it wrote in another"
            summary = f"{len(foreign)} of {edits} edits; first: message {foreign[0].message} in chat {foreign[0].chat}, made elsewhere"
            findings += (
                Finding(
                    self.name,
                    title,
                    Severity.HIGH,
                    Threat.USER,
                    RootCause("foreign-message"),
                    "state",
                    "",
                    summary,
                    occurrences=len(foreign),
                    stateful=True,
                ),
            )
        return Judgement(
            self.name, Verdict.FAIL if findings else Verdict.PASS, findings, judged=judgement.judged + edits
        )

    def broken(self, tried: StateTried) -> Violation | None:
        """Answers came to somebody else, or another's text was taken for the first one's."""
        if tried.trial == "crossed":
            return _crossed(tried)
        if tried.trial == "operator":
            return _misdirected(tried)
        if tried.trial in _TAKEN:
            return _taken(tried)
        usual = {shape(text) for play in tried.alone for text in play}
        ending = {shape(text) for text in tried.others if text} - usual
        taken = [play for play in tried.seen if shape(play[0]) in ending]
        if not ending or len(taken) < len(tried.seen):
            return None
        if tried.trial == "elsewhere":
            title = "what somebody says in a group goes on with the conversation that they began in private"
            summary = f"in {len(taken)} of {len(tried.seen)} tries: {tried.what}; answered there as in private"
            return Violation(RootCause("elsewhere"), title, Severity.MEDIUM, Threat.USER, summary)
        group = tried.trial.startswith("group")
        title = "one user's text ends the conversation that another user began" + (
            " in the same group" if group else ""
        )
        summary = f"in {len(taken)} of {len(tried.seen)} tries: {tried.what}; answered as if the first had written it"
        cause = RootCause("ended-by-another", place="group" if group else "")
        return Violation(cause, title, Severity.MEDIUM if group else Severity.HIGH, Threat.USER, summary)


def _crossed(tried: StateTried) -> Violation | None:
    usual = [Counter(shape(text) for text in play) for play in tried.alone]
    heard = [Counter(shape(text) for text in "\n".join(play).split("\n")) for play in tried.seen]
    usual = [Counter(text for line in play for text in line.split("\n")) for play in usual]
    lacking: Counter[str] = Counter()
    spare: Counter[str] = Counter()
    for own, came in zip(usual, heard, strict=False):
        lacking += own - came
        spare += came - own
    crossed = {text for text in lacking if text and spare[text]}
    if not crossed:
        return None
    summary = f"{tried.what}: answers that some lack came to others; first: {min(crossed)!r}"
    return Violation(
        RootCause("crossed"),
        "answers one user in another user's chat when many write at once",
        Severity.HIGH,
        Threat.USER,
        summary,
    )


def _misdirected(tried: StateTried) -> Violation | None:
    """The admin's answer reached the one who wrote last, and not the one who was answered."""
    if not all(len(play) == 1 and play != tried.alone[0] for play in tried.seen):
        return None
    title = "what the admin answers to one user goes to another, who wrote later"
    return Violation(RootCause("misdirected"), title, Severity.HIGH, Threat.USER, tried.what)


def _taken(tried: StateTried) -> Violation | None:
    """Somebody is told what another one has made, or said, in place of their own, once that is there."""
    if any({*play} != {"own"} for play in tried.alone) or any(play[-1] != "another's" for play in tried.seen):
        return None
    cause, title = _TAKEN[tried.trial]
    return Violation(RootCause(cause), title, Severity.HIGH, Threat.USER, tried.what)


def _foreign_edits(history: History) -> tuple[int, list[ApiCalled]]:
    """How many edits name a message that the target made, and those that name one of another chat."""
    made: dict[int, set[str]] = defaultdict(set)
    named: dict[str, set[object]] = defaultdict(set)
    for tried in history.cases:
        named[str(tried.chat)].add(tried.message)
    edits = 0
    foreign = []
    for call in sorted(history.all(ApiCalled), key=lambda call: call.t):
        if call.message is None or call.chat is None:
            continue
        if not call.method.startswith("edit"):
            made[call.message].add(str(call.chat))
        # Which message a request of a load run named is not known.
        elif call.message in made and call.message not in named.get(str(call.chat), {call.message}):
            edits += 1
            if str(call.chat) not in made[call.message]:
                foreign.append(call)
    return edits, foreign
