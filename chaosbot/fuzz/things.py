"""Things that users make: whether all are there that are made at once, whose they are, and what the admin makes or decides about them.

Rules:

- A thing is known by a word of its own, which stands in what its maker says; a reader is a command by which its maker is shown the word.
- The admin makes things in groups of their own, and presses in private below what a maker caused to be shown there.
- Each trial has a control: the same, one after another.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice, product
from time import monotonic, sleep
from typing import Final

from chaosbot.checks._state import bounded, counts, limit, numbers, shape, views
from chaosbot.core.event import KEPT_TEXT, ApiCalled
from chaosbot.core.marker import plain_word
from chaosbot.fuzz.exploring import chosen, deed_of, kind_of
from chaosbot.fuzz.making import deeds_in
from chaosbot.fuzz.replies import POLL_S
from chaosbot.fuzz.talks import Step
from chaosbot.fuzz.usages import TEXT, usages
from chaosbot.fuzz.voices import NOBODYS, Answer, Dialogue, Speaker, Voices

WORD: Final = "{w}"
_TIMES: Final = 3
_AT_ONCE: Final = 5
"""So many things are made at once."""
_ALL: Final = tuple(str(nth) for nth in range(_AT_ONCE))
_SHORTER: Final = 0.9
_LISTED: Final = 4
_PRESSES: Final = 4
_MOST_MAKERS: Final = 10
_MOST_READERS: Final = 9
_MOST_NAMED: Final = 3
_MOST_PAIRS: Final = 4
_MOST_PRESSED: Final = 10
_ITSELF: Final = ("", "itself")
"""The view of what a press was answered last, or the message below which it stands was changed to."""
_MOST_SHOWING: Final = 6
_MOST_DISPLACED: Final = 8
_MOST_COUPONS: Final = 8
_MOST_FORMS: Final = 3
_MOST_WANTED: Final = 3
_WANTING: Final = 3
"""So many users want one thing."""
_SMALL: Final = 3
"""A number of so many digits may say how many."""
_CROWD: Final = 3
"""What more chats than this are told of is a message to everybody."""
_HANDS: Final = 8
_FREE_S: Final = 0.1
"""How often it is looked whether the admin's chat is free."""
_CODE: Final = re.compile(r"[^\W\d_]{2,12}\d{1,4}")
_REPLACED: Final = re.compile(r"(?<!\S)[^\W\d_]{3,}(?!\S)")
"""What may be replaced in what a maker says: a word."""


@dataclass(frozen=True)
class Maker:
    """What makes a thing: a dialogue in whose last line its word is ``{w}``."""

    dialogue: Dialogue

    def line(self, word: str) -> Step:
        """The last line, about the thing of this word."""
        last = self.dialogue.lines[-1]
        return replace(last, text=last.text.replace(WORD, word))

    def __str__(self) -> str:
        """For people."""
        return str(self.dialogue).replace(WORD, "…")


@dataclass(frozen=True)
class Shown:
    """A maker, and what its user says to be shown the thing."""

    maker: Maker
    reader: Step

    def __str__(self) -> str:
        """For people."""
        return f"{self.maker}, then {self.reader}"


class Things:
    """The trials with things.

    Args:
        voices: Who speaks.
    """

    def __init__(self, voices: Voices) -> None:
        self.voices = voices
        self.context = voices.context
        self._dice = voices.context.dice.at("state", "things", voices.context.spec.endpoint.started)
        self._made_words: set[str] = set()
        self._found: list[Shown] = []

    def made(self) -> None:
        """Finds what makes things and what shows them, makes several at once, and has one made twice; and what the admin decides."""
        with ThreadPoolExecutor(_HANDS, "fuzz-state-things") as hands:
            makers = list(self._makers())[:_MOST_MAKERS]
            beside = [hands.submit(self._decided, makers)]
            readers = self._plain_readers()
            found = [pair for pairs in hands.map(self._shown, makers) for pair in pairs]
            # Of the ways to make a thing that are alike, one is enough, and of what shows it.
            alike = {(self._deed(one.maker), one.reader.text): one for one in reversed(found)}
            self._found = list(alike.values())[::-1]
            first = {self._deed(one.maker): one for one in reversed(self._found)}
            for one in list(first.values())[::-1][:_MOST_PAIRS]:
                beside += [hands.submit(trial, one) for trial in (self._gathered, self._again)]
            beside += [hands.submit(self._pressed_again, one, readers) for one in self._presses() if readers]
            for future in beside:
                future.result()

    def interleaved(self) -> None:
        """Two people answer the same questions in turns, in one group and in private: what one ends with is what they have said themselves."""
        found: dict[tuple[str, ...], tuple[Dialogue, int]] = {}
        for one, answer in list(self.voices.alone.items()):
            said = [nth for nth, line in enumerate(one.lines[:-1]) if line.ours and line.text == TEXT]
            if said and not one.admin and TEXT in answer.whole:
                found.setdefault(deeds_in(one.lines), (replace(one, group=False), said[0]))
        for one, nth in list(found.values())[:_MOST_PAIRS]:
            self._interleaved(replace(one, group=True), nth)
            self._interleaved(one, nth)

    def _interleaved(self, one: Dialogue, nth: int) -> None:
        # Where all share one draft, others' doings beside this may have mixed the first ones up as well.
        controls = (self._ended(one, nth, turns=False) for _ in range(_TIMES))
        alone = [next((told for told in controls if told == ("own",)), ("",))]
        if alone[0] != ("own",) or self.voices.clock.over():
            return
        seen = [self._ended(one, nth, turns=True) for _ in range(2)]
        if not self.voices.clock.over():
            self.voices.tell("interleaved", f"{one}; another one answers the same questions meanwhile", alone, seen)

    def _ended(self, one: Dialogue, nth: int, *, turns: bool) -> tuple[str]:
        """Whose word somebody is told at the end."""
        first = self.voices.new(one)
        people = [(first, self._word()), (replace(self.voices.new(one), group=first.group), self._word())]
        for who, word in people[: 1 + turns]:
            for line in (*one.lines[:nth], replace(one.lines[nth], text=word)):
                self.voices.ask(who, line)
        told = [self.voices.ask(first, line).whole for line in one.lines[nth + 1 :]][-1]
        if people[0][1] in told:
            return ("own",)
        # What everybody says who tries something else is another one's as well.
        usual = self.voices.alone.get(replace(one, group=False), Answer())
        return ("another's" if told == usual.whole or self._anothers(told) else "",)

    def undisturbed(self) -> None:
        """Whether others' things take the place of one's own, and who gets what there is one of; nothing else may be made meanwhile."""
        for one in self._found[:_MOST_DISPLACED]:
            self._displaced(one)
        self._limited()

    def _deed(self, maker: Maker) -> tuple[str, ...]:
        return tuple(line.text.partition(" ")[0] for line in maker.dialogue.lines)

    def _texts(self) -> str:
        """All that the target has said."""
        return "\n".join(dict.fromkeys(call.text for call in list(self.context.target.calls())))

    def _word(self) -> str:
        """A word that stands nowhere else."""
        with self.voices.lock:
            word = plain_word(self._dice.at(str(len(self._made_words))))
            self._made_words.add(word)
        return word

    # ── what makes things, and what shows them ───────────────────────────────────────────────────────────────────────

    def _makers(self) -> Iterator[Maker]:
        """Dialogues that end with words, one for each place in which a word may stand; commands with arguments first."""
        ways = [one for one in list(self.voices.alone) if not one.admin and not one.lines[-1].pressed]
        seen: set[tuple[str, ...]] = set()
        for one in sorted(ways, key=lambda one: (one.group, not _commanded(one.lines[-1]), len(one.lines))):
            for text in _worded(one.lines[-1].text):
                key = (*(line.text.partition(" ")[0] for line in one.lines[:-1]), _REPLACED.sub("", text))
                if key not in seen:
                    seen.add(key)
                    yield Maker(replace(one, lines=(*one.lines[:-1], replace(one.lines[-1], text=text))))

    def _shown(self, maker: Maker) -> list[Shown]:
        """What shows its maker the thing, or another's that was made meanwhile."""
        word, who = self._word(), self._ready(maker)
        told = self.voices.ask(who, maker.line(word)).text
        bare = self.voices.alone.get(Dialogue((Step(maker.dialogue.lines[-1].text.partition(" ")[0]),)))
        if bare is not None and shape(bare.text) == shape(told):
            return []  # what is written so is answered by how it is to be written
        found: list[Shown] = []
        others: list[Shown] = []
        for reader in self._readers(maker, who):
            if self.voices.clock.over():
                break
            told = self._read(who, reader)
            if word in told or self._before_others(maker, reader, told, who):
                found.append(Shown(maker, reader))
            elif self._anothers(told):
                # Whether one's own is shown as well while nobody else makes any is seen when it is tried.
                others.append(Shown(maker, reader))
        return [*found, *others]

    def _before_others(self, maker: Maker, reader: Step, told: str, who: Speaker) -> bool:
        """Whether a reader that has just told something new shows somebody's thing before others make theirs."""
        usual = self.voices.alone.get(Dialogue((reader,), group=who.group is not None))
        if usual is None or shape(usual.whole.casefold()) == shape(told) or " " in reader.text:
            return False
        again, word = self._ready(maker), self._word()
        self.voices.ask(again, maker.line(word))
        return word in self._read(again, reader)

    def _anothers(self, told: str) -> bool:
        """Whether a thing that anybody has made here stands in it."""
        with self.voices.lock:
            return any(word in told for word in self._made_words)

    def _ready(self, maker: Maker) -> Speaker:
        """Somebody new who is about to make a thing, and takes for its number what they are told then."""
        who = self.voices.ready(maker.dialogue)
        who.settled = False
        return who

    def _readers(self, maker: Maker, who: Speaker) -> list[Step]:
        """What may show a thing: commands without an argument, with one that the target names, or with the number that was told."""
        own, texts = maker.dialogue.lines[0].text.partition(" ")[0], self._texts()
        names = [name for name in self.voices.commands if f"/{name}" != own]
        # What was seen to be answered otherwise after something else comes first.
        after = {one.lines[-1].text for one in list(self.voices.alone) if len(one.lines) > 1}
        bare = sorted((Step(f"/{name}") for name in names), key=lambda step: step.text not in after)
        named = [
            Step(f"/{name} {form}") for name in names for form in usages(f"/{name}", texts)[:2] if len(form.parts) == 1
        ]
        numbered = [Step(f"/{name} {{n}}") for name in names] if who.number else []
        return list(dict.fromkeys((*bare[:_MOST_READERS], *named[:_MOST_NAMED], *numbered[:_MOST_READERS])))

    def _read(self, who: Speaker, reader: Step) -> str:
        usual = self.voices.alone.get(Dialogue((reader,), group=who.group is not None))
        return self.voices.ask(who, reader, usual.calls if usual is not None else 0).whole.casefold()

    # ── trials ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _gathered(self, shown: Shown) -> None:
        """One user makes several at once: afterwards all of them are there."""
        self.voices.gathered(shown, partial(self._made, shown), _ALL)

    def _made(self, shown: Shown, whole: list[str], *, at_once: bool) -> tuple[str, ...]:
        """Which of the things that one makes are there afterwards.

        Args:
            shown: What makes them, and what shows them.
            whole: What was shown when all were there, one after another.
            at_once: Whether they are made at once.

        Returns:
            Nothing where not each was acknowledged alike, or others' things may have taken the place of those that are missing.
        """
        who = self._ready(shown.maker)
        words = [self._word() for _ in range(_AT_ONCE)]
        lines = [shown.maker.line(word) for word in words]
        if self.voices.clock.over():
            return ()
        if at_once:
            answers = self.voices.burst([(who, line) for line in lines])[0]
        else:
            answers = [self.voices.ask(who, line).text for line in lines]
        told = [shape(_without(text, words)) for text in answers]
        if len(told) < len(words) or len(set(told)) > 1:
            return ()
        there = self._read(who, shown.reader)
        found = tuple(name for name, word in zip(_ALL, words, strict=True) if word in there)
        if not at_once:
            whole.append(there)
        return found if found == _ALL or are_gone(there, whole) else ()

    def _displaced(self, shown: Shown) -> None:
        """Another one, elsewhere, makes theirs: the first is still shown what is their own."""
        alone = [self._looked(shown, other=False)]
        if alone[0] != ("own", "own") or self.voices.clock.over():
            return
        seen = [self._looked(shown, other=True) for _ in range(2)]
        self.voices.tell("displaced", f"{shown}; meanwhile another user does the same elsewhere", alone, seen)

    def _looked(self, shown: Shown, *, other: bool) -> tuple[str, str]:
        """Whose thing its maker is shown, before and after another one makes theirs."""
        words = {"own": self._word(), "another's": self._word()}
        who = self._ready(shown.maker)
        self.voices.ask(who, shown.maker.line(words["own"]))
        before = self._read(who, shown.reader)
        if other:
            someone = self._ready(shown.maker)
            self.voices.ask(someone, shown.maker.line(words["another's"]))
        after = self._read(who, shown.reader)
        first, second = (next((name for name, word in words.items() if word in text), "") for text in (before, after))
        return first, second

    def _again(self, shown: Shown) -> None:
        """The platform delivers once more what made a thing: there is still one of it."""
        self.voices.twice(shown, partial(self._delivered, shown))

    def _plain_readers(self) -> list[Step]:
        """Commands that tell people something, those first that tell numbers, and last what begins a conversation."""
        bare = [Dialogue((Step(f"/{name}"),)) for name in self.voices.commands]
        told = [(one, self.voices.alone[one].text) for one in bare if one in self.voices.alone]
        told.sort(key=lambda pair: ("?" in pair[1] or "/" in pair[1], not numbers(pair[1])))
        return [one.lines[0] for one, _ in told][:_MOST_SHOWING]

    def _presses(self) -> list[Dialogue]:
        """Dialogues that end with a press, one for each deed."""
        pressed = (one for one in list(self.voices.alone) if one.lines[-1].pressed and not one.admin)
        # The longest ways press what stands below things of one's own.
        deeds: dict[str, Dialogue] = {}
        for one in sorted(pressed, key=lambda one: -len(one.lines)):
            deeds.setdefault(deed_of(one.lines[-1].text), one)
        return list(deeds.values())[:_MOST_PRESSED]

    def _pressed_again(self, one: Dialogue, readers: Sequence[Step]) -> None:
        """The platform delivers a press once more: afterwards people are shown what one press has done, and not two."""
        once, first = self._after(one, readers), self._after(one, readers, deliveries=2)
        # Most presses that come once more show nothing else; only what does is looked into.
        if not any(once[view] != first[view] for view in once.keys() & first.keys()):
            return
        # In turns, since others' doings may change what is shown as well, and once more at the end.
        twice, other, again = (self._after(one, readers, presses=presses) for presses in (2, 1, 2))
        telling = sorted(
            view
            for view in once.keys() & other.keys() & twice.keys() & again.keys()
            if once[view] == other[view] != twice[view] == again[view]
            # Who is told that it is done already has done it once.
            and (view != _ITSELF or shape(once[view]) == shape(twice[view]))
        )
        if not telling:
            return
        delivered = [first, self._after(one, readers, deliveries=2)]
        last = self._after(one, readers)
        if all(delivered) and all(last.get(view) == once[view] for view in telling):
            told, others, *seen = ([shown.get(view, "") for view in telling] for shown in (once, twice, *delivered))
            self.voices.tell("pressed-again", one, [told], seen, others)

    def _after(
        self, one: Dialogue, readers: Sequence[Step], *, presses: int = 1, deliveries: int = 1
    ) -> dict[tuple[str, str], str]:
        """What somebody is shown (`views`), by reader, who has pressed so often, each press delivered so often; empty where the time is up."""
        who, last = self.voices.ready(one), ""
        for _ in range(presses):
            case = self.voices.case(who, one.lines[-1])
            for _ in range(deliveries):
                if case is not None and not self.voices.clock.over():
                    last = self.voices.heard(who, case).whole or last
        shown = {_ITSELF: last.replace(str(who.user), "{user}")} | {
            (str(reader), kind): text.replace(str(who.user), "{user}")
            for reader in readers
            for kind, text in views(self._read(who, reader)).items()
        }
        return shown if not self.voices.clock.over() else {}

    def _delivered(self, shown: Shown, *, times: int) -> tuple[str]:
        """How often its maker is shown a thing whose making was delivered so often."""
        who, word = self._ready(shown.maker), self._word()
        if not self.voices.delivered(who, shown.maker.line(word), times):
            return ("",)
        return (str(self._read(who, shown.reader).count(word)),)

    # ── the admin ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _admins(self) -> list[str]:
        """The admin's commands that are not told to everybody each time."""
        return [name for name in self.context.learned("admin") if not self.context.announces(name)]

    def issued(self) -> None:
        """What only the admin can make, taken by a user several times at once, and by several."""
        own, texts = self._admins(), self._texts()
        made = [Step(f"/{name} {form}") for name in own for form in _forms(f"/{name}", texts)]
        taken = [
            Step(f"/{name} {WORD}")
            for name in self.voices.commands
            if any(len(one.split()) == 1 for one in _forms(f"/{name}", texts))
        ]
        if not taken:
            return
        made = [one for one in made if self._keeps(one)]
        pairs = list(product(made, taken))
        tried = [partial(trial, *pair) for trial in (self._coupon, self._coupon_for_all) for pair in pairs]
        with ThreadPoolExecutor(_MOST_COUPONS, "fuzz-state-coupons") as hands:
            list(hands.map(lambda trial: trial(), tried))

    def _keeps(self, made: Step) -> bool:
        """Whether what the admin makes is told to few; else it is a message to everybody, which is not to be repeated."""
        if self.context.announces(made.text.partition(" ")[0]):
            return False  # as is known by now
        word = self._word()
        self.voices.ask(self.voices.new(Dialogue((made,), group=True, admin=True)), _filled(made, word))
        told = {str(call.chat) for call in list(self.context.target.calls()) if word in call.text.casefold()}
        return bool(told) and len(told) <= _CROWD and not self.voices.clock.over()

    def _coupon(self, made: Step, taken: Step) -> None:
        if self.voices.clock.over():
            return
        # What is made is taken otherwise than what is not there.
        missing = self.voices.ask(self.voices.new(), _filled(taken, self._word())).text
        alone = self._taken(made, taken, at_once=False)
        if not alone or shape(alone[0]) == shape(missing) or limit([alone]) is None:
            return
        control, attempt = (partial(self._taken, made, taken, at_once=at_once) for at_once in (False, True))
        what = f"{_filled(made, '…')} by the admin, then {_filled(taken, '…')}"
        self.voices.tried("at-once", what, [alone], control, attempt)

    def _coupon_for_all(self, made: Step, taken: Step) -> None:
        """Each of several takes what the admin has made, as one after another, which counts them or refuses the last ones."""
        alone = self._taken_by_all(made, taken)
        limited = bounded([alone]) is not None
        if self.voices.clock.over() or not (limited or counts([alone])):
            return

        def attempt() -> list[str]:
            word, people, line = self._offered(made, taken, _AT_ONCE)
            told = self.voices.contend([(who, line) for who in people], limited=limited)
            return [_without(text, [word]) for _, text in told]

        trial = "one-thing-once" if limited else "one-thing"
        what = f"{_filled(made, '…')} by the admin, then {_filled(taken, '…')} by {_AT_ONCE} users"
        self.voices.tried(trial, what, [alone], lambda: self._taken_by_all(made, taken), attempt)

    def _taken_by_all(self, made: Step, taken: Step) -> list[str]:
        word, people, line = self._offered(made, taken, _AT_ONCE)
        return [_without(self.voices.ask(who, line).text, [word]) for who in people if not self.voices.clock.over()]

    def _offered(self, made: Step, taken: Step, users: int) -> tuple[str, list[Speaker], Step]:
        """A word by which the admin has made something new, people who may take it, and what they say."""
        word = self._word()
        self.voices.ask(self.voices.new(Dialogue((made,), group=True, admin=True)), _filled(made, word))
        return word, [self.voices.new() for _ in range(users)], _filled(taken, word)

    def _taken(self, made: Step, taken: Step, *, at_once: bool) -> list[str]:
        """What one is told who takes what the admin has made."""
        word, (who,), line = self._offered(made, taken, 1)
        if at_once:
            texts = self.voices.burst([(who, line)] * _PRESSES)[0]
        else:
            texts = [self.voices.ask(who, line).text for _ in range(_PRESSES)]
        return [_without(text, [word]) for text in texts]

    def _limited(self) -> None:
        """What only the admin can make, for one only, is wanted by several users at once, as one after another."""
        own, texts = self._admins(), self._texts()
        forms = (Step(f"/{name} {form}") for name in own for form in _for_one(f"/{name}", texts))
        made = [(one, nth) for one in islice(forms, _MOST_FORMS) if (nth := self._number_told(one)) is not None]
        for numbered, wanted in product(made, self._by_number() if made else ()):
            self._wanted(*numbered, wanted)

    def _number_told(self, made: Step) -> int | None:
        """Where, among the numbers that the admin is told who makes a thing, its own stands; None where all are told of it, or it has none."""
        told: list[list[int]] = []
        announced = self.context.target.watch.announced
        for _ in range(2):
            began = len(self.context.target.calls())
            told.append(numbers(self._by_admin(made).text))
            about = (call for call in list(self.context.target.calls())[began:] if made.text.split()[-1] in call.text)
            if any(map(announced, about)):
                return None
        pairs = zip(*told, strict=False)
        return next((nth for nth, (first, second) in enumerate(pairs) if first != second), None)

    def _by_admin(self, made: Step) -> Answer:
        return self.voices.ask(self.voices.new(Dialogue((made,), group=True, admin=True)), made)

    def _by_number(self) -> list[Dialogue]:
        """What users do with things that have a number, which ``{n}`` stands for: the shortest way to each."""
        found: dict[str, Dialogue] = {}
        for one in sorted(self.voices.alone, key=lambda one: (not chosen(one.lines[-1]), len(one.lines))):
            last = one.lines[-1]
            text = last.text
            for digits in list(re.finditer(r"\d+", text))[-1:]:
                text = f"{text[: digits.start()]}{{n}}{text[digits.end() :]}"
            if not one.admin and not one.group and "{n}" in text and (last.pressed or text.startswith("/")):
                found.setdefault(deed_of(text), replace(one, lines=(*one.lines[:-1], replace(last, text=text))))
        # What asks for a number may not have been taken so far, for want of anything that has one.
        texts = self._texts()
        for name in self.voices.takers:
            if any(len(usage.parts) == len(usage.open) == 1 for usage in usages(f"/{name}", texts)):
                found.setdefault(deed_of(f"/{name} {{n}}"), Dialogue((Step(f"/{name} {{n}}"),)))
        return list(found.values())[:_MOST_WANTED]

    def _wanted(self, made: Step, nth: int, wanted: Dialogue) -> None:
        if self.voices.clock.over():
            return
        missing = self._asked_for(wanted, NOBODYS, [self.voices.ready(wanted)], at_once=False)
        alone = self._wanted_by_several(made, nth, wanted, at_once=False)
        if not alone or shape(alone[0]) in map(shape, missing) or bounded([alone]) is None:
            return
        control, attempt = (
            partial(self._wanted_by_several, made, nth, wanted, at_once=at_once) for at_once in (False, True)
        )
        what = f"{made} by the admin, then {wanted} by {_WANTING} users"
        self.voices.tried("one-thing-once", what, [alone], control, attempt)

    def _wanted_by_several(self, made: Step, nth: int, wanted: Dialogue, *, at_once: bool) -> list[str]:
        """What each is told who wants the one that the admin has just made; nothing where there is none, or the time is up."""
        if self.voices.clock.over():
            return []
        told = numbers(self._by_admin(made).text)
        people = self.voices.side_by_side(self.voices.ready, [wanted] * _WANTING) if nth < len(told) else []
        return self._asked_for(wanted, str(told[nth]), people, at_once=at_once) if people else []

    def _asked_for(self, wanted: Dialogue, number: str, people: Sequence[Speaker], *, at_once: bool) -> list[str]:
        last = wanted.lines[-1]
        step = last.of(number)
        if step.pressed and not all(step.text in who.buttons for who in people):
            return []
        if at_once:
            return ["\n".join(texts) for texts in self.voices.burst([(who, step) for who in people])]
        return [self.voices.ask(who, step).text for who in people]

    def _decided(self, makers: Sequence[Maker]) -> None:
        """The admin presses several times at once what is shown below another's thing: it is decided once."""
        desk = self.voices.case(Speaker(None), Step("x")) if len(self.context.platform.tiers) > 1 else None
        if desk is None:
            return
        while self.context.shared.reserves(desk.chat) and not self.voices.clock.over():
            sleep(_FREE_S)
        kinds: set[str] = set()
        for maker in makers:
            if self.voices.clock.over():
                return
            for data in self._notice(maker, desk.chat)[1]:
                if kind_of(data) not in kinds:
                    kinds.add(kind_of(data))
                    self._decision(maker, desk.chat, kind_of(data))

    def _decision(self, maker: Maker, chat: int | str | None, kind: str) -> None:
        one_by_one = [self._pressed(maker, chat, kind) for _ in range(2)]
        # Where every press has an answer of its own, what is said in the chat besides may repeat it.
        toasts = all(answer.toast for answers in one_by_one for answer in answers)
        alone = [[answer.toast if toasts else answer.text for answer in answers] for answers in one_by_one]
        if limit(alone) is not None:
            seen = [self._pressed_at_once(maker, chat, kind, toasts=toasts) for _ in range(_TIMES)]
            self.voices.tell("at-once", f"{maker}, then the admin presses {kind}", alone, seen)

    def _pressed(self, maker: Maker, chat: int | str | None, kind: str) -> list[Answer]:
        """What the admin is told who presses several times, one after another."""
        admin, step = self._asked(maker, chat, kind)
        # Others' things are told of in the same chat.
        return [self.voices.ask(replace(admin), step) for _ in range(_PRESSES)] if step is not None else []

    def _pressed_at_once(self, maker: Maker, chat: int | str | None, kind: str, *, toasts: bool) -> list[str]:
        admin, step = self._asked(maker, chat, kind)
        return self.voices.burst([(admin, step)] * _PRESSES, toasts=toasts)[0] if step is not None else []

    def _asked(self, maker: Maker, chat: int | str | None, kind: str) -> tuple[Speaker, Step | None]:
        """Somebody makes a thing; the admin as they are asked about it, and the button of this kind."""
        below, buttons = self._notice(maker, chat)
        data = next((data for data in buttons if kind_of(data) == kind), None)
        if data is None or self.voices.clock.over():
            return Speaker(None), None
        return Speaker(None, below=below, buttons=tuple(buttons)), Step(data, pressed=True)

    def _notice(self, maker: Maker, chat: int | str | None) -> tuple[int | None, list[str]]:
        """Somebody makes a thing; the message in which the admin is told of it, and its buttons."""
        who, word = self._ready(maker), self._word()
        self.voices.ask(who, maker.line(word))
        until = monotonic() + self.voices.patience_s
        while monotonic() < until and not self.voices.clock.over():
            told = [call for call in self.context.target.calls() if _tells(call, chat, word)]
            if told:
                return told[-1].message, list(told[-1].buttons)
            sleep(POLL_S)
        return None, []


def are_gone(there: str, whole: Sequence[str]) -> bool:
    """Whether things that a list does not show are gone, where it has shown all of them before.

    A list of everybody's that shows the latest is as long without them, and what stands far down in a long one was not kept.
    """
    return len(there) < KEPT_TEXT and all(_shorter(there, other) for other in whole)


def _shorter(text: str, other: str) -> bool:
    """Whether a list shows less: fewer lines, or, where all of it stands in one, fewer words. Lines of others' things may be shorter."""
    lines = other.count("\n")
    return text.count("\n") < lines or (lines < _LISTED and len(text) < _SHORTER * len(other))


def _tells(call: ApiCalled, chat: int | str | None, word: str) -> bool:
    return bool(call.buttons) and str(call.chat) == str(chat) and word in call.text.casefold()


def _commanded(line: Step) -> bool:
    return not line.pressed and line.text.startswith("/")


def _worded(text: str) -> list[str]:
    """The text with ``{w}`` in place of its last word, and of its first."""
    command, _, rest = text.partition(" ") if text.startswith("/") else ("", "", text)
    places = [found.span() for found in _REPLACED.finditer(rest)]
    chosen = dict.fromkeys([*places[-1:], *places[:1]])
    return [f"{command} {rest[:start]}{WORD}{rest[end:]}".strip() for start, end in chosen]


def _forms(command: str, texts: str) -> list[str]:
    """What texts show behind a command, with ``{w}`` in place of a code in an example (``SUMMER20``), or else of the first word that is asked for."""
    shown = usages(command, texts)
    codes = [
        str(one.with_part(nth, WORD)) for one in shown for nth, part in enumerate(one.parts) if _CODE.fullmatch(part)
    ]
    asked = [str(one.with_part(nth, WORD)) for one in shown for nth in one.open[:1] if not one.parts[nth].isdigit()]
    return list(dict.fromkeys((*codes, *asked)))[:2]


def _for_one(command: str, texts: str) -> list[str]:
    """What texts show behind a command, with 1 in place of each small number."""
    found = (
        " ".join("1" if part.isdecimal() and len(part) <= _SMALL else part for part in one.parts if part)
        for one in usages(command, texts)
    )
    return list(dict.fromkeys(form for form in found if "1" in form.split()))[:2]


def _filled(step: Step, word: str) -> Step:
    return replace(step, text=step.text.replace(WORD, word))


def _without(text: str, words: Sequence[str]) -> str:
    return re.sub("|".join(map(re.escape, words)), WORD, text, flags=re.IGNORECASE)
