"""What makes a privileged reply recognisable, and which other sender got one: the difference between a control and its background.

Beside words, calls that change what a member may do (``ApiCalled.member``) are evidence: whoever makes the target change another one's rights
in the way that the control did has got what the control has.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from chaosbot.checks._cases import Violation, Violations, cause_of, overloaded, says
from chaosbot.checks._join import SHRINKING, Join, parts
from chaosbot.core.case import Role
from chaosbot.core.check import History
from chaosbot.core.event import ApiCalled, CaseTried
from chaosbot.core.marker import MARKER
from chaosbot.core.verdict import Mechanism, Severity

ALIKE: Final = 0.8
WHATEVER: Final = 3
"""What comes to somebody after so many different requests is the answer to none of them."""
_FEW: Final = 2
_SOME: Final = 5
"""A reply of fewer words tells nothing by being part of another one."""
_LONG: Final = 24
_LONGER: Final = 3
_LISTED: Final = ("catalogue", "sequences")
"""The stages that ask for what a list of the platform's says, whatever the target is."""
PLAINLY: Final = "guest"
"""The operator of a case in which somebody simply asks, without any trick."""
_WORD: Final = re.compile(r"[^\W\d_]+")
_DRAWN: Final = re.compile(r"(?<![^\W\d_])[A-Z]{4,8}(?![^\W\d_])")
_DIGITS: Final = re.compile(r"\d+")
_PERSON: Final = re.compile(r"\d{5,}")
"""The id of somebody, in what is written about them."""
_COMMAND: Final = re.compile(r"(?<![\w/.:<])/([A-Za-z][A-Za-z0-9_]{0,31})(?![\w/])")

Words = frozenset[str]


def words_in(text: str) -> set[str]:
    """The words of a text, in lower case, without markers, numbers and drawn names in capitals, where not all stands in capitals."""
    plain = MARKER.sub(" ", text)
    if any(map(str.islower, plain)):
        plain = _DRAWN.sub(" ", plain)
    return set(_WORD.findall(plain.lower()))


def words(calls: Iterable[ApiCalled]) -> set[str]:
    """The words of replies."""
    return {word for call in calls for word in words_in(call.text)}


def changed(calls: Iterable[ApiCalled]) -> dict[str, set[str]]:
    """The methods by which calls change what members may do, by the member's id."""
    found: dict[str, set[str]] = defaultdict(set)
    for call in calls:
        if call.member is not None:
            found[str(call.member)].add(call.method)
    return found


def deeds(calls: Sequence[ApiCalled]) -> set[str]:
    """The words of replies, and the methods by which they change what members may do."""
    return words(calls).union(*changed(calls).values())


def commands_in(text: str) -> list[str]:
    """The commands that a text names, as it writes them (some bots tell capitals apart), without their slash."""
    return _COMMAND.findall(text)


def _named(history: History) -> frozenset[str]:
    """The commands that the target names itself, and does not merely repeat."""
    wrote = {tried.marker: tried for tried in history.cases if tried.marker}
    named: set[str] = set()
    for call in history.all(ApiCalled):
        cases = [wrote[mark] for mark in call.markers if mark in wrote]
        if any(str(tried.chat) != str(call.chat) for tried in cases):
            continue  # it passes on what somebody wrote elsewhere
        words = {word.lower() for text in (call.text, *call.keys) for word in commands_in(text)}
        named |= words - {(tried.command or "").lower() for tried in cases}
    return frozenset(named)


def resembles(
    calls: Iterable[ApiCalled], model: set[str], whole: set[str] | None = None, names: Iterable[str] = ()
) -> bool:
    """Whether one of these replies has nearly all of the telling words.

    Args:
        calls: The replies.
        model: The telling words.
        whole: All words of the reply that they are from. Few telling words ("Moderators: 7, 8") stand in other sentences as well ("Only
            moderators may do that."), which say more beside them; and a long text (what there is to be had) may have any.
        names: Words of what who got these replies is called: they tell nothing.
    """
    size = len(whole) if whole is not None else 0
    most = size if len(model) <= _FEW else max(_LONG, _LONGER * size)
    for call in calls:
        said = words([call]).difference(names)
        if model and len(said & model) >= ALIKE * len(model) and (whole is None or len(said - whole) <= most):
            return True
    return False


def _beside(call: ApiCalled, calls: Iterable[ApiCalled], tried: CaseTried) -> bool:
    """Whether a reply names its receiver beside whom the control's named: who has joined in what is meant for several has taken nothing."""
    named = (name for name in tried.names if name)
    return any(call.text.count(name) > max((one.text.count(name) for one in calls), default=0) > 0 for name in named)


def _gets(call: ApiCalled, model: set[str], calls: Sequence[ApiCalled], tried: CaseTried, *, in_part: bool) -> bool:
    """Whether a reply resembles another one, or is much of it and nothing else: what only the owner is told besides (a link to share it) is left out."""
    names, whole = _names(tried), words(calls)
    if in_part and _beside(call, calls, tried):
        return False
    said = words([call]) - names
    part = len(said) >= _SOME and said <= whole and len(said & model) >= len(model) / 2
    return resembles([call], model, whole, names) or (in_part and part)


@dataclass(frozen=True)
class _Background:
    """What replies say that tells nothing.

    Args:
        nothing: Words of the replies to meaningless requests.
        usual: Replies (as sets of words) that ordinary senders got, each with the commands that they had sent: limits, apologies, outages.
        replied: The kinds of meaningless requests that were replied to at all.
        echoes: Whether a command is repeated that the target does not know.
        named: The commands that the target names.
    """

    nothing: Words
    usual: dict[Words, frozenset[str | None]]
    replied: frozenset[str | None]
    echoes: bool
    named: frozenset[str]

    def knows(self, tried: CaseTried) -> bool:
        """Whether a case may ask for something that the target has: what a list of ours asks for, and it never names, it need not have."""
        if tried.stage not in _LISTED:
            return True
        return tried.kind != "callback_query" and (not tried.command or tried.command.lower() in self.named)

    def echo(self, command: str | None) -> set[str]:
        """The command's own name, where a reply may hold it only because it was asked for."""
        return {(command or "").lower()} if self.echoes else set()

    def common(self, call: ApiCalled, command: str | None) -> bool:
        """Whether a reply is one that ordinary senders get for something else."""
        return bool(self.usual.get(frozenset(words([call])), frozenset()) - {command})


def compared(history: History, violations: Violations, severity: Severity, what: str, *, in_part: bool = False) -> None:
    """Judges every case of a check that is compared with a control, each scenario by itself.

    Args:
        history: The run.
        violations: Where it is told.
        severity: How bad it is.
        what: What the target does then.
        in_part: Whether a part of what the control got is too much as well; of rights, less is what others are meant to get.
    """
    usual: dict[Words, frozenset[str | None]] = {}
    known = _named(history)
    for part in parts(history):
        cases = [tried for tried in part.cases if tried.stage != SHRINKING]
        join = Join.of(part)
        named = {tried.control for tried in cases if tried.control}
        senders = {tried.user for tried in cases if tried.case in named}
        found: dict[Words, set[str | None]] = defaultdict(set)
        for tried in cases:
            if _ordinary(tried, named, senders):
                for call in join.calls(tried):
                    found[frozenset(words([call]))].add(tried.command)
        usual = {text: usual.get(text, frozenset()) | found.get(text, set()) for text in usual.keys() | found.keys()}
        background = [tried for tried in cases if tried.role is Role.BACKGROUND and not tried.control]
        told = [call for tried in background for call in join.calls(tried)]
        replied = frozenset(tried.kind for tried in background if join.calls(tried))
        echoes = not background or any((one.command or "").lower() in words(join.calls(one)) for one in background)
        _judged(
            cases,
            join,
            _Background(frozenset(words(told)), usual, replied, echoes, known),
            violations,
            severity,
            what,
            in_part=in_part,
        )


def _ordinary(tried: CaseTried, named: set[str], senders: set[int | str | None]) -> bool:
    """Whether a case is sent by somebody who is privileged in nothing, without any trick."""
    if tried.case in named or tried.user in senders or tried.role in (Role.BACKGROUND, Role.SETUP):
        return False
    if tried.group in ("argument", "guided"):
        return False  # a changed command may still be that command to the target
    if tried.change.mechanism in (Mechanism.MEMBER, Mechanism.PAYLOAD, Mechanism.SCENARIO):
        return False
    return not tried.control or tried.role is Role.PLAIN


def _judged(
    cases: list[CaseTried],
    join: Join,
    background: _Background,
    violations: Violations,
    severity: Severity,
    what: str,
    *,
    in_part: bool,
) -> None:
    compared_with: dict[str, list[CaseTried]] = defaultdict(list)
    plain: dict[str, list[CaseTried]] = defaultdict(list)
    own: dict[str, set[str]] = defaultdict(set)
    by_name = {tried.case: tried for tried in cases}
    strangers, asked_before, heard = _strangers(cases), _askers(cases), _heard(cases, join)
    refusals = _refusals(cases, by_name, join)
    for tried in cases:
        if tried.role is Role.BACKGROUND and tried.control:
            own[tried.control] |= words(join.calls(tried))
        elif tried.control and tried.check == violations.check:
            compared_with[tried.control].append(tried)
        if tried.role is Role.PLAIN:
            plain[tried.control].append(tried)
    for name, attempts in compared_with.items():
        control = by_name.get(name)
        if control is None and plain[name] and all(words(join.calls(one)) <= background.nothing for one in plain[name]):
            continue  # others get for it what a meaningless request gets: the target knows no such command
        if control is None:
            if background.knows(attempts[0]):
                violations.plan(
                    attempts[0].summary, "its control was not sent: give the campaign more time (--duration)"
                )
            continue
        subject, calls = _subject(control), brought_about(join.calls(control), heard, _pressed(control))
        telling = [
            call
            for call in calls
            if not background.common(call, control.command) and frozenset(words([call])) not in refusals
        ]
        # What was said to who asked: a message that is changed beside it stands in its owner's chat, whoever asked.
        dull = background.nothing | own[name] | background.echo(control.command) | _names(control)
        model = words(call for call in telling if not call.method.startswith("edit")) - dull or words(telling) - dull
        if in_part:
            model = _of_all(model, (words(join.calls(one)) for one in cases if one.summary == control.summary))
        rights = changed(calls)
        if not model and not rights:
            if reason := _no_control(control, calls, background):
                violations.plan(subject, reason)
            continue
        if plain[name] and all(
            resembles(join.calls(other), model) if model else _takes(join.calls(other), rights, other, control)
            for other in plain[name]
        ):
            continue  # where nobody is told apart from the admin, the target has another admin, or gives this to everybody
        whole = words(calls)
        if not rights and control.kind == "callback_query" and (control.user, frozenset(whole)) in _alike(cases, join):
            continue
        if plain[name] and any(resembles(join.calls(one), model, whole) for one in strangers(control)):
            continue  # what differs from time to time (a question, a quotation) is no right of whoever gets it
        for tried in sorted(attempts, key=lambda one: one.change.operator != PLAINLY):
            replies = _own(tried, control, join, heard)
            # Where the rightful one asked the same in this chat before, what has not come of that yet is theirs.
            before = asked_before(tried, control)
            late = sum(max(0, _alike_in(calls, model) - _alike_in(join.calls(one), model)) for one in before)
            # Whoever is called like the admin, or calls themself admin, is told so by what repeats their name.
            told = (call for call in replies if not background.common(call, tried.command))
            alike = sum(_gets(call, model, calls, tried, in_part=in_part) for call in told) > late
            # Who gets for themself what the control's sender got for themself has taken it from nobody.
            due = rights[str(control.user)] & changed(replies)[str(tried.user)]
            granted = (alike and not due) or _takes(replies, rights, tried, control)
            title = f"{what}: {tried.summary or tried.case}"
            violation = Violation(cause_of(tried, "granted"), title, severity, tried.threat, says(tried))
            violations.look(tried, violation if granted else None)
            if granted and tried.change.operator == PLAINLY:
                break  # where anybody gets it, no trick is needed
        violations.plan(subject)


def _subject(control: CaseTried) -> str:
    return f"/{control.command}" if control.command else control.summary or control.case


def _of_all(model: set[str], others: Iterable[set[str]]) -> set[str]:
    """The telling words that come with everything on which the same is done (of another hour, in another room), where these are most of them."""
    common = model.intersection(*filter(None, others))
    return common if len(common) >= max(_FEW, len(model) / 2) else model


def _strangers(cases: list[CaseTried]) -> Callable[[CaseTried], Iterator[CaseTried]]:
    """For a control, the cases in which others asked for its command, without those whom its sender has named: they may have been given the right."""
    asked: dict[str | None, list[CaseTried]] = defaultdict(list)
    meant: dict[int | str | None, set[str]] = defaultdict(set)
    for tried in cases:
        meant[tried.user].update(_PERSON.findall(tried.summary))
        if (
            tried.role is Role.SETUP
            and tried.change.mechanism is Mechanism.TECHNIQUE
            and tried.kind != "callback_query"
        ):
            asked[tried.command].append(tried)

    def strangers(control: CaseTried) -> Iterator[CaseTried]:
        for one in asked[control.command] if control.command else ():
            if one.user != control.user and str(one.user) not in meant[control.user]:
                yield one

    return strangers


def _alike(cases: list[CaseTried], join: Join) -> set[tuple[object, Words]]:
    """What who presses buttons of several kinds gets alike, by the sender: a refusal ("This button is not yours.") or what says nothing."""
    found: dict[tuple[object, Words], set[Words]] = defaultdict(set)
    for tried in cases:
        if tried.role is Role.SETUP and tried.kind == "callback_query":
            button = frozenset(words_in(tried.summary.partition(" presses ")[2]))
            if button:
                found[tried.user, frozenset(words(join.calls(tried)))].add(button)
    return {key for key, buttons in found.items() if len(buttons) > 1}


def _refusals(cases: Iterable[CaseTried], by_name: Mapping[str, CaseTried], join: Join) -> set[Words]:
    """What is told to whoever simply presses a button that is not theirs, where its control got something else.

    The control of another button may have got it as well: what that one was for was gone by then.
    """
    found: set[Words] = set()
    for tried in cases:
        control = by_name.get(tried.control)
        if control is not None and tried.kind == "callback_query" and tried.change.operator == PLAINLY:
            granted = {frozenset(words([call])) for call in join.calls(control)}
            found |= {frozenset(words([call])) for call in join.calls(tried)} - granted
    return found


def _own(tried: CaseTried, control: CaseTried, join: Join, heard: Callable[[ApiCalled], int]) -> list[ApiCalled]:
    """The replies to an attempt: in the chat of the control's sender, who is told of others' doings as well, without what comes there anyway."""
    replies = join.calls(tried)
    if tried.chat != control.chat or tried.user == control.user:
        return replies
    return [call for call in replies if call.callback or heard(call) < WHATEVER]


def _names(tried: CaseTried) -> set[str]:
    """The words of what a case's sender and chat are called: a reply may repeat them."""
    return {word for name in tried.names for word in words_in(name)}


def _takes(calls: Iterable[ApiCalled], rights: Mapping[str, set[str]], tried: CaseTried, control: CaseTried) -> bool:
    """Whether calls change another one's rights by a method of the control's.

    What the control did for its own sender (an oath, a captcha) is another one's only where a button was meant for that one.
    """
    pressed = tried.kind == "callback_query"
    methods = {one for member, found in rights.items() if pressed or member != str(control.user) for one in found}
    return any(methods & found for member, found in changed(calls).items() if member != str(tried.user))


def _alike_in(calls: Iterable[ApiCalled], model: set[str]) -> int:
    """How many of these replies resemble the control's."""
    return sum(resembles([call], model) for call in calls)


def _asked_for(tried: CaseTried) -> str | None:
    """What somebody asks for: the command, or the kind of the pressed button."""
    return _pressed(tried) or tried.command


def _pressed(tried: CaseTried) -> str | None:
    """The kind of the button that somebody presses; None where it is no press."""
    if tried.kind != "callback_query":
        return None
    return _DIGITS.sub("#", tried.summary.rpartition(" presses ")[2].strip("'"))


def _heard(cases: Sequence[CaseTried], join: Join) -> Callable[[ApiCalled], int]:
    """After how many different requests of who is privileged a reply came: what others do is told to who runs the target, whatever that one asks."""
    asked: dict[tuple[str, Words], set[object]] = defaultdict(set)
    controls = {tried.control for tried in cases if tried.control}
    senders = {tried.user for tried in cases if tried.case in controls}
    for tried in cases:
        for call in join.calls(tried) if tried.user in senders else ():
            asked[str(call.chat), frozenset(words([call]))].add(_asked_for(tried) or tried.summary)
    return lambda call: len(asked[str(call.chat), frozenset(words([call]))])


def brought_about(
    calls: Sequence[ApiCalled], heard: Callable[[ApiCalled], int], pressed: str | None = None
) -> list[ApiCalled]:
    """The replies that a request brought about, of all that came: what came after many different ones is left out, as far as anything is left.

    Args:
        calls: The replies.
        heard: After how many different requests a reply came.
        pressed: The kind of the button, where the request was a press.
    """
    # The answer to a press names it, and a page that is shown again holds the button that shows it.
    own = [call.callback or pressed in {_DIGITS.sub("#", data) for data in call.buttons} for call in calls]
    times = [0 if is_own else heard(call) for is_own, call in zip(own, calls, strict=True)]
    most = max(WHATEVER - 1, min(times, default=0))
    return [call for call, number in zip(calls, times, strict=True) if number <= most]


def _askers(cases: Iterable[CaseTried]) -> Callable[[CaseTried, CaseTried], list[CaseTried]]:
    """For a case and its control, the cases in which the control's sender asked for the same in the case's chat, before it."""
    asked: dict[tuple[object, ...], list[CaseTried]] = defaultdict(list)
    for one in cases:
        asked[one.user, one.kind, _asked_for(one), one.chat].append(one)

    def before(tried: CaseTried, control: CaseTried) -> list[CaseTried]:
        same = asked.get((control.user, control.kind, _asked_for(control), tried.chat), ())
        return [one for one in same if one.sent < tried.sent]

    return before


def _no_control(control: CaseTried, calls: list[ApiCalled], background: _Background) -> str:
    """Why a control shows nothing; empty where the target simply has no such command."""
    if not background.knows(control) and not calls:
        return ""
    if not control.outcome.ok or overloaded(control):
        return f"its control was answered {control.outcome.status or control.outcome.fate}"
    if calls and all(call.status is None or not 200 <= call.status < 300 for call in calls):
        return "the replies to its control failed: repeat the campaign without faults on the bot's calls"
    if not calls:
        return "its control got no reply, although other requests did" if control.kind in background.replied else ""
    limited = any(background.common(call, control.command) for call in calls)
    if limited and not words(calls) <= background.nothing | background.echo(control.command):
        return "its control met a limit or an apology: repeat the campaign with the bot's limits off"
    return ""
