"""Finds out what the target can do, by talking to it: commands, keys and buttons that it names itself, and where they lead.

Rules:

- Nothing is known beforehand: what is tried next is what the target has offered, an example that it gave, or an ordinary word.
- What everybody makes may be shown to all: bare commands are said again after each wave, by people who have done nothing else.
- Commands that are named on a way are said at its end, by who has gone it: people who have joined are told of more.
- What people have made is meant by the word that they gave it, where the target tells no number: whoever has a dog Rex may book for Rex.
- Each kind of button is pressed once, whoever is shown it; two data are of one kind when they differ in numbers only.
- Strangers explore; each way is short enough to be gone again by somebody else.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product, zip_longest
from math import inf
from time import monotonic
from typing import Final

from chaosbot.checks._likeness import ALIKE, WHATEVER, commands_in, words, words_in
from chaosbot.core.event import ApiCalled
from chaosbot.core.marker import MARKER
from chaosbot.fuzz.context import CampaignContext
from chaosbot.fuzz.numbered import Numbered, find_back, found_out, give_back, key_of, numbered, take
from chaosbot.fuzz.replies import speaks
from chaosbot.fuzz.spec import Clock
from chaosbot.fuzz.stages import observe
from chaosbot.fuzz.talks import MEANT, Person, Step, Talks
from chaosbot.fuzz.usages import NUMBER, RANGE, TEXT, formed, usages

ASKED: Final = ("/start", "/help", "what can you do?")
ENTRY: Final = Step("{e}", ours=True)
"""The command with a drawn name behind it that somebody was told who has made a thing, for others to write."""
_DEEPEST: Final = 8
_AFTER: Final = 2
"""After so many waves it is looked what one thing changes of another, and after each later one what the longer ways change."""
_MOST_DEEDS: Final = 8
_MOST_LATER: Final = 2
_LATEST: Final = 5
_MOST_AFTER: Final = 20
_MOST_NAMES: Final = 2
_MOST_BY_NAME: Final = 24
_MOST_WAYS: Final = {0.1: 800, 0.5: 480}
"""So many ways are gone, by how quick the target is: one that is not has a limit of its own, or has much to do for each."""
_FEW_WAYS: Final = 240
_LEAST_WAVE: Final = 40
_QUICKEST_S: Final = 0.05
_WAVE: Final = 0.5
"""The part of the ways that are left which may be gone in one wave, so that the longer ones get their turn."""
_TAKEN: Final = 2
"""One in so many of the things of which each can be had once (an hour, a seat) is taken at most; the others are left to what comes later."""
_LEAST_TAKEN: Final = 10
_MOST_TYPED: Final = 12
"""Of so many commands with a number it is found out whether they take something of which there is one each."""
_DRAWN: Final = 4
"""A drawn name has so many characters."""
_MOST_KINDS: Final = 64
_LIST: Final = "tea, milk"
_LINK: Final = "https://example.org/tea"
_LINKS: Final = re.compile(r"https?:|\b(?:link|ur[il])s?\b", re.IGNORECASE)
_MOST_EXAMPLES: Final = 5
_MOST_NAMED: Final = 48
_MOST_MEANT: Final = 3
_MOST_THINGS: Final = 2
_MOST_MAKERS: Final = 3
_TOLD_MANY: Final = 4
_INTRODUCED: Final = 3
_MOST_FIELDS: Final = 5
_SEVERAL: Final = 3
"""So many buttons of a kind are a choice."""
_MOST_SHOWN: Final = 3
_ASKS: Final = re.compile(r"[?？؟;]\s*$", re.MULTILINE)
_BETWEEN: Final = (r"\s*\|\s*", r"\s*;\s*", r"\s+=\s+", r"\s*,\s*", r"\s+")
"""What stands between the fields of an argument; the first that stands there at all."""
_NUMBER_SIGNS: Final = "#№"
_SHOWN: Final = re.compile(r"(?<!\w)[«\"“„`']([^«»\"“”„`'\n]{1,40})[»\"”`']|(?<!\S)(\d[^\s,;)]*\d(?: \d[^\s,;)]*\d)*)")
"""What may be an example of an answer: what stands in quotes, and what begins and ends with a digit, one after another (``25/12 20:00``)."""
_LISTED: Final = re.compile(r"(?:[:：]\s+|\()([^:：\n()]{1,80}(?::\d[^:：\n()]{0,40})?)[.!?)]*\s*$", re.MULTILINE)
"""What a line ends with behind a colon, or in brackets: examples of answers, or what may be chosen."""
_LONE: Final = re.compile(r"(?<!\S)([-–—.+*_])(?=[\"')\].,;!?]*\s*$)", re.MULTILINE)
"""A sign that stands alone at the end of a line (``an e-mail address, or -``): what is said by who has none."""
_LEADING: Final = re.compile(r"^(?:[^\W\d]{1,3}\.? )+(?=[^\W\d]*\d)")
"""Short words before an example (``or 25/12``, ``z. B. 10:00``)."""
_COMPLETE: Final = re.compile(r"(?<![\w/.:])(/\w{1,32}[ \u00a0](?=\S*\d)[\w-]{4,64})(?![\w-])", re.ASCII)
"""A command that is shown with a drawn name behind it (``/join 5da5364c``), to be written as it stands."""
_NUMBERED: Final = re.compile(r"[0-9a-fA-F-]{8,}|\d+|(?<=[:_|/])[A-Z]{4,8}(?![A-Za-z])")
ID: Final = re.compile(
    r"(?<![\w.,:@])[#№]?((?:(?:[A-Za-z]{0,4}[-_]?)?\d[A-Za-z0-9_-]{0,35}|[a-z]{5,30}\d{1,5}|[A-Z]{4,8}|[A-Z]{1,4}[-_][A-Z0-9]{2,12}))(?![A-Za-z\d])(?![:,]\d)",
    re.ASCII,
)
"""What may be the name of a thing: a number, a short word with a digit in it, a word with a number behind it, or a code in capitals."""


@dataclass(frozen=True)
class Way:
    """What somebody did, step by step, what the target said to the last step, who it was, and what they really wrote and pressed."""

    steps: tuple[Step, ...]
    replies: tuple[ApiCalled, ...]
    who: Person = field(default_factory=Person, compare=False)
    taken: tuple[Step, ...] = field(default=(), compare=False)

    @property
    def said(self) -> tuple[str, ...]:
        """What they really wrote."""
        return tuple(step.text for step in self.taken if not step.pressed)

    @property
    def buttons(self) -> tuple[str, ...]:
        """The data of the buttons that it showed."""
        return tuple(dict.fromkeys(data for call in self.replies for data in call.buttons))

    @property
    def ids(self) -> tuple[str, ...]:
        """What may name a thing in its words, but for what it was told itself, and who did it; what is marked as a number may stand in a button as well."""
        said = _words_of((str(self.who.user), *self.said, *(step.text for step in self.steps if not step.pressed)))
        pressed = _words_of(step.text for step in (*self.steps, *self.taken) if step.pressed)
        found = (name for call in self.replies for name in ID.finditer(MARKER.sub(" ", call.text)))
        new = [
            name
            for name in found
            if name[1] not in said and (name[0][0] in _NUMBER_SIGNS or _words_of(name.groups()) - pressed)
        ]
        return tuple(dict.fromkeys(name[1] for name in new))

    @property
    def number(self) -> str:
        """The number that may name a thing; empty where there is none."""
        return next((name for name in self.ids if name.isdigit()), "")

    @property
    def name(self) -> str:
        """What names a thing most likely: a drawn name, or else a number; empty where there is none."""
        ids, buttons = self.ids, self.buttons
        drawn = (name for call in self.replies for name in drawn_in(call.text, buttons) if name in ids)
        return next(drawn, "") or self.number

    @property
    def rights(self) -> bool:
        """Whether its last step changed what a member may do."""
        return any(call.member is not None for call in self.replies)

    @property
    def plain(self) -> bool:
        """Whether it takes no words but those that the target offered."""
        return not any(step.ours for step in self.steps)


def _words_of(texts: Iterable[str]) -> set[str]:
    return {word for text in texts for word in re.findall(r"\w+", text)}


def drawn_in(text: str, buttons: Iterable[str]) -> list[str]:
    """The drawn names in an answer: they begin with a letter, and hold a digit or stand in a button's data."""
    data = " ".join(buttons)
    names = (name for name in ID.findall(MARKER.sub(" ", text)) if name[0].isalpha() and len(name) >= _DRAWN)
    return [name for name in names if re.search(r"\d", name) or re.search(rf"(?<!\w){re.escape(name)}(?!\w)", data)]


def kind_of(data: str) -> str:
    """What buttons that differ in numbers only have in common."""
    return _NUMBERED.sub("#", data)


def chosen(step: Step) -> bool:
    """Whether a step takes one of several things of a kind, of which others may be left to others."""
    return step.shown or (step.pressed and kind_of(step.text) != step.text)


def deed_of(data: str) -> str:
    """What a button does, without what it does it to: ``cancel:1042`` → ``cancel``."""
    return re.split(r"[:\d|/,;#-]", data, maxsplit=1)[0] or data


def offers(calls: Iterable[ApiCalled]) -> list[Step]:
    """What calls name or show: commands in their words, keys, buttons."""
    found: list[Step] = []
    for call in calls:
        found += [Step(f"/{word}") for word in commands_in(call.text)]
        found += [Step(key) for key in call.keys]
        found += [Step(data, pressed=True) for data in call.buttons]
    return list(dict.fromkeys(found))


def walk(
    talks: Talks,
    steps: Sequence[Step],
    person: Person | None = None,
    what: str = "",
    *,
    apart: bool = False,
    onwards: bool = False,
) -> tuple[Person, Way]:
    """Somebody goes a way.

    Args:
        talks: The stage's conversations.
        steps: The way.
        person: Who goes it; somebody new when left out.
        what: Who that is, for people.
        apart: Whether people who go it choose different things of a kind, of which there may be one each.
        onwards: Whether who goes it goes on from its end.

    Returns:
        Who went it, and the way with what the target said to its last step.
    """
    someone = person or talks.stranger()
    replies: list[ApiCalled] = []
    done: list[Step] = []
    for nth, step in enumerate(steps, 1):
        part = (someone.group is not None, *steps[:nth])
        # On the way only what has been seen to come is waited for; at its end nobody knows whether more does.
        usual = talks.context.usual.get(part, 0) if person is None and (onwards or nth < len(steps)) else 0
        choice = (someone.user or 0) // talks.context.apart // someone.choices
        once = chosen(step) and talks.context.is_scarce(kind_of(step.text))
        taken = at_hand(step, someone.buttons, someone.told, choice, apart=apart or once)
        someone.choices *= len(_alike(step, someone.buttons, someone.told)) or 1
        taken = taken.of(someone.number)
        one_each = numbered(talks.context, step) if someone.user is not None else None
        if one_each is not None:
            taken, replies = take(talks, one_each, someone, step, what)
        else:
            replies = talks.say(someone, taken, what, usual)
        done.append(taken)
        someone.number = Way((taken,), tuple(replies)).name or someone.number
        if person is None:
            talks.context.usual.setdefault(part, sum(map(speaks, replies)))
    return someone, Way(tuple(steps), tuple(replies), someone, tuple(done))


def at_hand(step: Step, buttons: Collection[str], told: str, choice: int, *, apart: bool = False) -> Step:
    """The step, or a button or a shown answer that does the same where others were shown: what is taken is not offered again.

    Args:
        step: What is meant.
        buttons: The data of the buttons that there are.
        told: What the target said last, with the answers that it shows.
        choice: Which of several is taken; people who are shown the same take different ones.
        apart: Whether that also holds where the step itself could be taken.
    """
    if step.shown and not _answers(told):
        # Of days that are asked for by their form none is shown; each of the next ones has its own free places.
        days = (one for one in formed(told, choice) if kind_of(one) == kind_of(step.text))
        return replace(step, text=next(days, step.text))
    alike = _alike(step, buttons, told)
    if not alike or (step.text in alike and not apart):
        return step
    return replace(step, text=alike[choice % len(alike)])


def _alike(step: Step, buttons: Collection[str], told: str) -> list[str]:
    """What does the same as a step where these buttons were shown, or this was told."""
    offered = buttons if step.pressed else _answers(told) if step.shown else ()
    alike = [
        one for one in offered if kind_of(one) == kind_of(step.text) or (step.shown and _one_command(one, step.text))
    ]
    if step.pressed and not alike:
        alike = [data for data in buttons if deed_of(data) == deed_of(step.text)]
    return alike


def _one_command(one: str, other: str) -> bool:
    """Whether these are one command, whatever drawn names stand behind it."""
    return one.startswith("/") and one.partition(" ")[0] == other.partition(" ")[0]


def asked(talks: Talks, person: Person, texts: Iterable[str]) -> list[ApiCalled]:
    """What the target says to these texts."""
    return [call for text in texts for call in talks.say(person, Step(text))]


def ways_of(context: CampaignContext, clock: Clock) -> list[Way]:
    """The target's ways, as the vocabulary stage has found them; where it has found none so far, they are explored now, once."""
    if not context.ways and not context.explored:
        context.explored = True
        talks = Talks(context, clock, "vocabulary", part="ways")
        try:
            told = talks.run(partial(asked, talks, talks.stranger(), (text,)) for text in ASKED)
            offered = offers(call for calls in told for call in calls or ())
            context.ways.extend(explored(talks, offered))
            talks.grouped = True
            commands = [step for step in offered if not step.pressed and step.text.startswith("/")]
            context.group_ways.extend(in_groups(talks, commands, context.ways))
        finally:
            talks.stop()
            observe(context, talks.take())
    return context.ways


def explored(talks: Talks, first: Iterable[Step]) -> Iterator[Way]:
    """The ways that begin with these steps, the shorter ones first; a word where the target says the same to everything."""
    return _Explorer(talks, list(first)).ways()


class _Explorer:
    """Goes on from wave to wave of ways, and knows what was seen so far."""

    def __init__(self, talks: Talks, first: list[Step]) -> None:
        self.talks = talks
        self.first = first
        self.done: list[Way] = []
        self.unanswered: list[Way] = []
        """Commands that may be answered as if they were none because their argument is missing."""
        self._kinds: set[str] = set()
        self._named = {step.text.lower() for step in first}
        self._told_before: set[frozenset[str]] = set()
        self._unknown: set[frozenset[str]] = set()
        self._meant: list[str] = []
        self._makers: list[str] = []
        self._typed: set[str] = set()

    def ways(self) -> Iterator[Way]:
        """The ways, as they are found."""
        talks, known = self.talks, False
        if talks.context.peer is None and not talks.grouped:
            talks.context.peer = _introduced(talks, self.first)
        wave: list[tuple[Step, ...]] = [(one,) for one in self.first if not one.pressed or _new(one, self._kinds)]
        wave += [(Step(TEXT, ours=True),), (Step(NUMBER, ours=True),)]
        seen: set[tuple[Step, ...]] = set()
        ways: list[Way] = []
        pace = inf
        for depth in range(_DEEPEST):
            wave = list(self._sparing(_affordable(talks, wave, seen, pace)))
            seen.update(wave)
            began = monotonic()
            found = talks.run([partial(_gone, talks, steps) for steps in wave])
            pace = len(wave) / max(_QUICKEST_S, monotonic() - began)
            gone = [way for way in found if way is not None]
            named_things: list[tuple[Step, ...]] = []
            before, most = (self.done, _MOST_DEEDS) if depth == _AFTER else (self._ended(ways), _MOST_LATER)
            if _AFTER <= depth <= _LATEST and before:
                affordable = _WAVE * pace * talks.clock.left() / _MOST_AFTER
                most = max(_MOST_LATER, int(min(most, affordable)))
                changed, named_things = _dependent(talks, self.done, before, most, self._sparing)
                gone += changed
            gone = [way for way in gone if "{n}" not in way.steps[-1].text or _says(way) not in self._told_before]
            ways = self._understood(gone)
            known = known or bool(ways)
            yield from ways or ([way for way in gone if way.replies][:1] if not known else ())
            wave = named_things + self._next(gone, ways)
            if talks.clock.over() or (not wave and depth >= _AFTER):
                return

    def _sparing(self, wave: Iterable[tuple[Step, ...]]) -> Iterator[tuple[Step, ...]]:
        """Those of these ways that leave enough of what can be had once."""
        left = self.talks.context.choices
        for steps in wave:
            kinds = (kind_of(step.text) if chosen(step) else key_of(step) for step in steps)
            taken = [kind for kind in kinds if kind in left]
            if all(left[kind] > 0 for kind in taken):
                left.update({kind: left[kind] - 1 for kind in taken})
                yield steps

    def _taken(self, ways: Sequence[Way]) -> None:
        """Learns of what there is one each: who chooses what another one has chosen before is told otherwise, or is not offered it any more."""
        kinds = {kind_of(way.steps[-1].text): way for way in ways if chosen(way.steps[-1])}
        choices = self.talks.context.choices
        new = {kind: way for kind, way in kinds.items() if way.who.choices >= _SEVERAL and kind not in choices}
        taken = self.talks.run([partial(_is_taken, self.talks, way) for way in new.values()])
        for (kind, way), gone in zip(new.items(), taken, strict=True):
            if gone is not None:
                choices[kind] = max(_LEAST_TAKEN, way.who.choices // _TAKEN) if gone else inf

    def _numbered(self, ways: Sequence[Way], texts: str) -> None:
        """Learns which typed numbers take one of several things; there are as many as the target shows, and as few may be left."""
        bare = {way.steps[0].text: way for way in self.done if len(way.steps) == 1 and _bare(way.steps[0])}
        typed: dict[str, Way] = {}
        for way in ways:
            key, (command, _, argument) = key_of(way.steps[-1]), way.steps[-1].text.partition(" ")
            plain = bare.get(command)
            # What is said without a number as well takes nothing, and what takes something is shown by an example.
            new = plain is None or words(way.replies) - words(plain.replies)
            if key and key not in self._typed and new and argument in _examples(command.removeprefix("/"), texts):
                typed[key] = way
        asked = list(typed.items())[: _MOST_TYPED - len(self._typed)]
        self._typed.update(key for key, _ in asked)
        commands = {way.steps[0]: words(way.replies) for way in bare.values()}
        found = self.talks.run(
            partial(found_out, self.talks, way.steps[:-1], way.steps[-1], frozenset(words(way.replies)))
            for _, way in asked
        )
        for (key, way), one in zip(asked, found, strict=True):
            if one is None:
                continue
            known, step, owner = one
            for other in ways:
                if key_of(other.steps[-1]) == key and other.who.user is not None:
                    known.left_by(other.who.user, other.steps[-1])
            if known.ends:
                self.talks.context.numbered[key] = known
            # That takes many steps of one person, for which the others need not wait.
            found_back = partial(find_back, self.talks, way.steps[:-1], known, step, owner, commands)
            self.talks.begin(partial(self._find_back, key, known, found_back))

    def _find_back(self, key: str, known: Numbered, found_back: Callable[[], bool]) -> None:
        # Numbers without an end that nobody gives back are those of things that are used up: an order that is paid.
        if found_back():
            self.talks.context.numbered[key] = known
        elif known.ends:
            self.talks.context.choices[key] = known.most // _TAKEN

    def _ended(self, ways: Sequence[Way]) -> list[Way]:
        """Those that may have changed something: who has pressed a button, or was told a name that hardly anybody else was, is in the middle of nothing."""
        told = told_to([way.name for way in ways if way.name], self.talks.context.target.calls())
        return [way for way in ways if way.steps[-1].pressed or 0 < len(told.get(way.name, ())) < _TOLD_MANY]

    def _understood(self, gone: Sequence[Way]) -> list[Way]:
        """The ways that were answered otherwise than what the target does not understand: a text that nobody has asked for."""
        plain = ((Step(TEXT, ours=True),), (Step(NUMBER, ours=True),))
        self._unknown |= {frozenset(words(way.replies)) for way in gone if way.steps in plain}
        return [way for way in gone if way.rights or frozenset(words(way.replies)) not in self._unknown]

    def _next(self, gone: Sequence[Way], ways: Sequence[Way]) -> list[tuple[Step, ...]]:
        """The next wave, after these ways, of which those have told something: first the first step from each, then the second."""
        talks = self.talks
        self.done += ways
        self._taken(ways)
        told = "\n".join(call.text for call in talks.context.target.calls())
        self._numbered(ways, told)
        # What leads to the same words leads on alike: it is followed once.
        new: list[Way] = []
        for way in ways:
            says = _says(way)
            if says not in self._told_before or way.plain:
                self._told_before.add(says)
                new.append(way)
        # Without its argument a command may be answered as if it were none.
        bare = [way for way in gone if way not in ways and _bare(way.steps[-1]) and usages(way.steps[-1].text, told)]
        self.unanswered += bare
        further = [
            [(*way.steps, step) for step in _named(way, self._named)]
            + [steps for step in _further(way, self._kinds, told, talks.context.peer) for steps in _instead(way, step)]
            for way in (*new, *bare)
        ]
        asked = (*self.done, *self.unanswered)
        if len(self._meant) < 2 * _MOST_THINGS:  # what others do to them comes when there are any
            things = [one for one in _things(self.done, talks.context.target.calls()) if one not in self._meant]
            self._meant += things
            further = [*(list(_on_things(way, told, things)) for way in asked), *further]
        if len(self._makers) < _MOST_MAKERS:
            makers = _makers(ways, self._makers, talks.context.target.calls())
            further += [list(_in_things(way, asked)) for way in makers]
        return [steps for turn in zip_longest(*further) for steps in turn if steps is not None]


def _affordable(
    talks: Talks, wave: Iterable[tuple[Step, ...]], seen: Collection[tuple[Step, ...]], pace: float
) -> list[tuple[Step, ...]]:
    """The ways of a wave that are new, as many as may be gone, at so many a second, so that longer ones have their turn as well."""
    usual_s = talks.context.target.watch.usual_s
    left = next((most for quick_s, most in _MOST_WAYS.items() if usual_s < quick_s), _FEW_WAYS) - len(seen)
    new = [steps for steps in dict.fromkeys(wave) if steps not in seen]
    if pace == inf:
        return new[:left]
    return new[: max(_LEAST_WAVE, int(_WAVE * min(left, pace * max(0.0, talks.clock.left()))))]


def _renewed(talks: Talks, done: Sequence[Way]) -> list[Way]:
    """Bare commands that tell newcomers more than they did: what others have made meanwhile may be shown to all."""
    before = {way.steps[0]: _says(way) for way in done if len(way.steps) == 1 and _bare(way.steps[0])}
    again = talks.run([partial(_gone, talks, (step,)) for step in list(before)[:_MOST_AFTER]])
    return [way for way in again if way is not None and _says(way) - before[way.steps[0]]]


def _dependent(
    talks: Talks,
    done: Sequence[Way],
    ways: Sequence[Way],
    most: int,
    sparing: Callable[[Iterable[tuple[Step, ...]]], Iterable[tuple[Step, ...]]],
) -> tuple[list[Way], list[tuple[Step, ...]]]:
    """Commands that are answered otherwise by who has done something before: what is in a cart can be ordered.

    Args:
        talks: The stage's conversations.
        done: All ways so far.
        ways: Those after which commands are said.
        most: After so many of them at most.
        sparing: Leaves out what would take too much of what can be had once.

    Returns:
        The ways to such commands, and those that tell newcomers more by now; and further ones in which the commands are told what was made before by its name.
    """
    renewed = _renewed(talks, done)
    plain = {way.steps[0]: _says(way) for way in (*done, *renewed) if len(way.steps) == 1 and way.plain}
    commands = [step for step in plain if step.text.startswith("/")][:_MOST_AFTER]
    # What is written or pressed changes more than a bare command does, unless it is answered as one.
    usual = {frozenset(words(way.replies)) for way in done if way.steps[0] in plain and len(way.steps) == 1}
    ordered = sorted(ways, key=lambda way: (way.plain and len(way.steps) == 1, len(way.steps)))
    told = {way: frozenset(words(way.replies)) for way in ordered}
    deeds = {
        told[way]: way for way in reversed(ordered) if (way.plain and len(way.steps) == 1) or told[way] not in usual
    }
    firsts = list(reversed(deeds.values()))[:most]
    tried = {(*way.steps, step): way for way in firsts for step in commands if way.steps != (step,)}
    gone = talks.run([partial(_gone, talks, steps) for steps in sparing(tried)])
    found = [way for way in gone if way is not None and _says(way) - plain[way.steps[-1]]]
    # Who is in the middle of something may be told so whatever they write.
    said = Counter(says for says, _ in {(_says(way), way.steps[-1]) for way in found})
    first: dict[frozenset[str], Way] = {}
    for way in found:
        if said[_says(way)] < WHATEVER:
            first.setdefault(_says(way), way)
    texts = "\n".join(call.text for call in talks.context.target.calls())
    makers = dict.fromkeys(tried[way.steps] for way in first.values() if way.steps in tried)
    named = [list(_by_name(maker, commands, texts)) for maker in makers]
    byname = [steps for turn in zip_longest(*named) for steps in turn if steps is not None]
    return [*renewed, *first.values()], byname[:_MOST_BY_NAME]


def _by_name(maker: Way, commands: Sequence[Step], texts: str) -> Iterator[tuple[Step, ...]]:
    """What somebody does with a thing of their own, by the word that they gave it, or what the target calls it for short."""
    told = "\n".join(call.text for call in maker.replies)
    names = [name for name in (TEXT.partition(" ")[0], TEXT) if re.search(rf"\b{name}\b", told)]
    if not any(step.ours and TEXT in step.text for step in maker.steps):
        return
    examples = [_examples(command.text.removeprefix("/"), texts)[:_MOST_EXAMPLES] for command in commands]
    shown = [(command, max(one, key=len, default="")) for command, one in zip(commands, examples, strict=True)]
    for name, (command, longest) in product(names, shown):
        for argument in (list(_filled(longest, name)) or [name] * bool(longest))[:_MOST_NAMES]:
            yield (*maker.steps, Step(f"{command.text} {argument}", ours=True))


def _says(way: Way) -> frozenset[str]:
    """The words of what a way leads to, without those that were said, and the kinds of buttons that stand below it."""
    said = {word for text in (*(step.text for step in way.steps), *way.said) for word in words_in(text)}
    return frozenset((*(words(way.replies) - said), *map(kind_of, way.buttons)))


def in_groups(talks: Talks, commands: Sequence[Step], ways: Sequence[Way]) -> Iterator[Way]:
    """The ways that begin with those of these commands that a group gets another answer to than somebody in private."""
    private = {way.steps[0]: words(way.replies) for way in ways if len(way.steps) == 1}
    gone = [way for way in talks.run(partial(_gone, talks, (step,)) for step in commands) if way is not None]
    other = [way.steps[0] for way in gone if words(way.replies) - private.get(way.steps[0], set())]
    if other:
        yield from explored(talks, other)


def _gone(talks: Talks, steps: tuple[Step, ...]) -> Way:
    person, way = walk(talks, steps)
    give_back(talks, steps, person)
    return way


def _is_taken(talks: Talks, way: Way) -> bool:
    """Whether what somebody has chosen is another one's no more."""
    stranger = talks.stranger()
    same = [replace(step, text=step.text.replace(str(way.who.user), str(stranger.user))) for step in way.taken]
    again = walk(talks, same, stranger)[1]
    told = _says(way)
    return list(again.taken) != same or 0 < len(_says(again) & told) < ALIKE * len(told)


def _introduced(talks: Talks, first: Sequence[Step]) -> int | None:
    """Somebody says the first few commands, so that others can mean them."""
    number = MEANT + talks.context.dice.at("peer", talks.context.spec.endpoint.started).integer(0, 10**8)
    peer = Person(user=number - number % talks.context.apart)
    commands = [step.text for step in first if not step.pressed and step.text.startswith("/")][:_INTRODUCED]
    talks.run([partial(asked, talks, peer, dict.fromkeys((*ASKED[:1], *commands)))])
    return peer.user


def _named(way: Way, named: set[str]) -> Iterator[Step]:
    """The commands that a way names and that nobody was told of before."""
    for word in dict.fromkeys(word for call in way.replies for word in commands_in(call.text)):
        if f"/{word}".lower() not in named and len(named) < _MOST_NAMED:
            named.add(f"/{word}".lower())
            yield Step(f"/{word}")


def _bare(step: Step) -> bool:
    return not step.pressed and step.text.startswith("/") and " " not in step.text


def _things(ways: Sequence[Way], calls: Iterable[ApiCalled]) -> list[str]:
    """The numbers of the things that people have made lately by what they said, for others to mean; what many are told names none (an example)."""
    made = (way for way in reversed(ways) if way.steps[-1].ours or way.steps[-1].pressed)
    named = dict.fromkeys(way.name for way in made)
    told = told_to(named, calls)
    return [name for name in named if name and len(told[name]) < _TOLD_MANY][:_MOST_THINGS]


def _named_in(call: ApiCalled) -> list[str]:
    """All that may be a name, and each number by itself."""
    return [*re.findall(r"\d+", call.text), *re.findall(r"[\w-]+", call.text)]


def told_to(
    names: Iterable[str], calls: Iterable[ApiCalled], said: Callable[[ApiCalled], Iterable[str]] = _named_in
) -> dict[str, set[str]]:
    """The chats that were told each of these names.

    Args:
        names: The names.
        calls: What the target said.
        said: What may be a name in that; each number and word when left out.
    """
    told: dict[str, set[str]] = {name: set() for name in names}
    for call in calls:
        for name in told.keys() & set(said(call)):
            told[name].add(str(call.chat))
    return told


def _instead(way: Way, step: Step) -> Iterator[tuple[Step, ...]]:
    """The way with one more step, and where it answers what was said wrongly before, with that in its place."""
    last = way.steps[-1]
    if not step.pressed and not last.pressed and step.text.startswith(f"{last.text} "):
        yield (*way.steps[:-1], step)  # the command with an argument
        return
    if last.ours and step.ours and len(way.steps) > 1:
        yield (*way.steps[:-1], step)
    yield (*way.steps, step)


def complete(text: str) -> list[str]:
    """The commands that a text shows with a drawn name behind them."""
    return _COMPLETE.findall(text)


def _answers(text: str) -> list[str]:
    """What a text shows that may be an answer to it."""
    parts = (part.strip(" .!?") for shown in _LISTED.findall(text) for part in re.split(r"[,;]\s", shown))
    listed = [_LEADING.sub("", part) for part in parts if not part.startswith("/") and not any(formed(part))]
    ranges = [str(min(int(low) + 1, int(high))) for low, high in RANGE.findall(text) if int(low) < int(high)]
    shown = [quoted or digits for quoted, digits in _SHOWN.findall(text)]
    examples = [one for one in listed if any(map(str.isdigit, one))]
    found = dict.fromkeys([*complete(text), *examples, *shown, *ranges, *_LONE.findall(text), *filter(None, listed)])
    return [one for one in found if not MARKER.search(one)]


def _examples(command: str, texts: str) -> list[str]:
    """What texts show behind a command: all of it, and its first part."""
    found = usages(f"/{command}", texts)
    return list(dict.fromkeys(text for one in found for text in (str(one), str(one).partition(" ")[0])))


def _filled(example: str, by: str = NUMBER) -> Iterator[str]:
    """The example with a number, or a name, in place of one of its words or fields: nobody knows which of them must be one."""
    between = next((one for one in _BETWEEN if re.search(one, example)), "")
    parts = re.split(f"({between})", example) if between else []
    if 2 <= len(parts[::2]) <= _MOST_FIELDS:
        for nth in range(0, len(parts), 2):
            if not parts[nth].isdigit():
                yield "".join([*parts[:nth], by, *parts[nth + 1 :]])


def _new(step: Step, kinds: set[str]) -> bool:
    if kind_of(step.text) in kinds or len(kinds) >= _MOST_KINDS:
        return False
    kinds.add(kind_of(step.text))
    return True


def _pressed(buttons: Sequence[str], kinds: set[str]) -> Iterator[Step]:
    """The first button of each kind that is new, and the last where it is one of several: the first may be none that can be had (an hour that has passed)."""
    alike: dict[str, list[str]] = {}
    for data in buttons:
        alike.setdefault(kind_of(data), []).append(data)
    for data in buttons:
        same = alike[kind_of(data)]
        if data == same[0] and _new(step := Step(data, pressed=True), kinds):
            yield step
            if len(same) >= _SEVERAL:
                yield Step(same[-1], pressed=True)


def _keys(way: Way, kinds: set[str]) -> Iterator[Step]:
    """The first and the last key of each kind that a question shows in place of the keyboard, and that no other question with these words has shown."""
    question = " ".join(sorted(_says(way)))
    keys = dict.fromkeys(key for call in way.replies for key in call.keys if not key.startswith("/"))
    alike: dict[str, list[str]] = {}
    for key in keys:
        alike.setdefault(kind_of(key), []).append(key)
    for kind, same in alike.items():
        if _new(Step(f"{question}: {kind}"), kinds):
            yield from dict.fromkeys((Step(same[0]), Step(same[-1])))


def _meant(command: str, texts: str, name: str, places: int) -> Iterator[str]:
    """The command's argument with a name in one of its first places, and numbers in the others."""
    longest = max(usages(command, texts)[:_MOST_EXAMPLES], key=lambda one: len(one.places), default=None)
    if longest is not None and len(longest.places) <= _MOST_MEANT:
        for nth in longest.places[:places]:
            parts = (
                name if at == nth else NUMBER if at in longest.places else part for at, part in enumerate(longest.parts)
            )
            yield " ".join(filter(None, parts))


def _makers(ways: Sequence[Way], known: list[str], calls: Sequence[ApiCalled]) -> Iterator[Way]:
    """Ways at whose end somebody has made a thing that has a number, one for each command by which they begin, and not within another thing."""
    told = told_to([way.name for way in ways], calls)
    for way in ways:
        last, command = way.steps[-1], way.steps[0].text.partition(" ")[0]
        makes = (
            (last.ours or last.pressed)
            and 0 < len(told[way.name]) < _TOLD_MANY
            and not any("{n}" in step.text for step in way.steps)
        )
        if makes and command not in known and len(known) < _MOST_MAKERS:
            known.append(command)
            yield way


def _in_things(maker: Way, ways: Iterable[Way]) -> Iterator[tuple[Step, ...]]:
    """What somebody does with a thing of their own, by its number: things may hold others (a board its cards)."""
    for way in ways:
        if len(way.steps) == 1 and _bare(way.steps[0]) and way.steps[0].text != maker.steps[0].text.partition(" ")[0]:
            yield (*maker.steps, Step(f"{way.steps[0].text} {{n}}", ours=True))


def _on_things(way: Way, told: str, things: Sequence[str]) -> Iterator[tuple[Step, ...]]:
    """A bare command with the numbers of things that others have made."""
    last = way.steps[-1]
    if _bare(last):
        for argument in (argument for thing in things for argument in _meant(last.text, told, thing, 1)):
            yield (*way.steps[:-1], Step(f"{last.text} {argument}", ours=True))


def _further(way: Way, kinds: set[str], told: str, peer: int | None) -> Iterator[Step]:
    """What may be done next, where the target has said all this so far."""
    last = way.steps[-1]
    texts = "\n".join(call.text for call in way.replies)
    yield from _pressed(way.buttons, kinds)
    whole = [Step(one, ours=True, shown=True) for one in complete(texts)[:1] if one != last.text]
    shown = [Step(one, ours=True, shown=True) for one in (*formed(texts), *_answers(texts)) if one != last.text]
    shown = [step for step in shown if step not in whole][:_MOST_SHOWN]
    yield from whole
    keys = list(_keys(way, kinds))
    yield from keys
    if not last.ours:
        yield Step(TEXT, ours=True)
        yield from shown
        # Where nobody has asked for anything a number is no better than a word.
        if shown or keys or _ASKS.search(texts) or way.buttons:
            yield Step(NUMBER, ours=True)
    # One question after the other; what is said behind a command may be its first answer.
    elif (len(way.steps) > 1 or keys or _ASKS.search(texts)) and not way.buttons:
        yield from (*shown, Step(TEXT, ours=True), Step(NUMBER, ours=True), Step(_LIST, ours=True))
    if _bare(last):
        examples = _examples(last.text.removeprefix("/"), f"{texts}\n{told}")[:_MOST_EXAMPLES]
        longest = max(examples, key=len, default="")
        meant = _meant(last.text, f"{texts}\n{told}", str(peer), 2) if peer is not None else ()
        links = (_LINK,) if not examples or _LINKS.search(f"{texts}\n{told}") else ()
        for argument in dict.fromkeys((*examples, *meant, *_filled(longest), TEXT, *links, NUMBER, f"{NUMBER} {TEXT}")):
            yield Step(f"{last.text} {argument}", ours=True)
