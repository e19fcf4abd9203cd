"""What two people do at once to a third one's thing, whom its maker has let in or who need not be.

Rules:

- Who is shown a command with a drawn name behind it (``/join 5da5364c``) passes it on; others are let in by saying it.
- What they do is known by what it changes: its maker is shown something else afterwards, by one, and something else again by both, one after
  the other, the same each time. Nobody needs to know what that means (a balance, a list, a number of votes).
- People with odd names do it as well: what names them is shown to the maker.
- Where both were told that it is done, and what is shown is what only one of them has done, the other's is lost.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from chaosbot.checks._state import numbers, shape, views
from chaosbot.fuzz.exploring import complete
from chaosbot.fuzz.talks import Step
from chaosbot.fuzz.usages import usages
from chaosbot.fuzz.voices import Answer, Dialogue, Speaker, Voices

_MOST_MAKERS: Final = 4
_MOST_DEEDS: Final = 10
_MOST_READERS: Final = 8
_MOST_TRIALS: Final = 4
_EACH: Final = 2
"""So many deeds to things of one kind are tried."""
_TIMES: Final = 3
_HANDS: Final = 8
_ODD_NAME: Final = "odd-name"
_ONE: Final = ("0",)
_BOTH: Final = ("0", "1")

View = tuple[str, str]
"""A reader, and what of its answer (`views`)."""


@dataclass(frozen=True)
class _Company:
    """The maker of a thing, and two others who are let in where that is needed."""

    maker: Speaker
    others: tuple[Speaker, Speaker]
    words: tuple[tuple[str, str], ...]
    """Who they are and what is their own (the thing's number, its drawn name), and what each is called instead."""

    def without_names(self, text: str) -> str:
        """What was told, the same for every company."""
        for word, name in self.words:
            text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", name, text)
        return text


@dataclass(frozen=True)
class _Deed:
    """What is done to a thing, and what shows that."""

    maker: Dialogue
    line: Step
    readers: Mapping[str, int]
    """What shows it, and in how many calls."""

    def __str__(self) -> str:
        """For people."""
        return f"{self.maker}, then {self.line} by two others, then {' or '.join(self.readers)}"


class Sharing:
    """The trials.

    Args:
        voices: Who speaks.
    """

    def __init__(self, voices: Voices) -> None:
        self.voices = voices
        self.context = voices.context

    def run(self) -> None:
        """Finds what others do to people's things, and has two do it at once."""
        with ThreadPoolExecutor(_HANDS, "fuzz-state-sharing") as hands:
            found = [deed for deeds in hands.map(self._deeds, self._makers()) for deed in deeds]
            named = hands.map(self._named, found[:_MOST_TRIALS])
            list(hands.map(self._tried, found[:_MOST_TRIALS]))
            list(named)

    def _named(self, deed: _Deed) -> None:
        """Somebody does it whose name holds what markup is made of, and the maker looks at the thing: what the API refuses then is nobody's to see."""
        company = self._company(deed.maker) if _ODD_NAME in self.context.platform.forms(pressed=False) else None
        if company is not None:
            other, line = company.others[0], deed.line.of(company.maker.number)
            if (case := self.voices.case(other, line, form=_ODD_NAME)) is not None:
                self.voices.heard(other, case)
            self._shown(company, deed.readers)

    def _makers(self) -> list[Dialogue]:
        """What makes things, one dialogue for each command; first those that name a command by which others are let in."""
        learned = [one for one in list(self.voices.alone) if not one.admin and not one.group]
        known = {recipe.steps for recipe in self.context.recipes if not recipe.deeds}
        made = [
            one
            for one in learned
            if (one.lines[-1].ours or one.lines in known) and not complete(one.lines[0].text) and self._answer(one)
        ]
        made.sort(key=lambda one: (not complete(self.voices.alone[one].whole), len(one.lines)))
        first = {one.lines[0].text.partition(" ")[0]: one for one in reversed(made)}
        return sorted(first.values(), key=made.index)[:_MOST_MAKERS]

    def _answer(self, one: Dialogue) -> bool:
        answer = self.voices.alone[one]
        return bool(numbers(answer.text) or complete(answer.whole))

    def _company(self, maker: Dialogue) -> _Company | None:
        """Somebody new makes a thing, and lets two others in; None where the time is up."""
        who = self.voices.ready(maker)
        who.settled = False
        told = self.voices.act(who, maker).whole
        who.settled = True
        others = (self.voices.new(), self.voices.new())
        entries = complete(told)[:1]
        for entry in entries:
            for other in others:
                self.voices.ask(other, Step(entry))
        named = [*(entry.split()[-1] for entry in entries), *([who.number] if who.number else [])]
        words = [(word, "{it}") for word in named]
        for user, name in ((who.user, "{maker}"), (others[0].user, "{one}"), (others[1].user, "{other}")):
            if user is not None:
                called = self.context.platform.called(user)
                words += [(word, name) for word in (str(user), *filter(None, (called, *called.split())))]
        return _Company(who, others, tuple(words)) if not self.voices.clock.over() else None

    def _deeds(self, maker: Dialogue) -> list[_Deed]:
        """What another one does to what somebody has made, that shows."""
        company = self._company(maker)
        if company is None:
            return []
        readers = self._readers(company)
        before, now = (self._shown(company, readers) for _ in range(2))
        # What changes by itself shows nothing.
        steady = [view for view in before if before[view] == now.get(view)]
        found: list[_Deed] = []
        for line in self._lines(maker, company):
            if self.voices.clock.over() or not readers or len(found) >= _EACH:
                break
            self._says(company, company.others[0], line)
            before, now = now, self._shown(company, readers)
            telling = {view[0] for view in steady if before.get(view) != now.get(view)}
            if telling:
                found.append(_Deed(maker, line, {one: calls for one, calls in readers.items() if one in telling}))
        return found

    def _readers(self, company: _Company) -> dict[str, int]:
        """What tells the maker something that it tells nobody else, and in how many calls."""
        names = self.voices.commands
        numbered = [f"/{name} {{n}}" for name in self.voices.takers] if company.maker.number else []
        found: dict[str, int] = {}
        for reader in (*(f"/{name}" for name in names), *numbered):
            if self.voices.clock.over() or len(found) >= _MOST_READERS:
                break
            line = Step(reader).of(company.maker.number)
            # Its maker may be told in more calls than who has made nothing.
            own = self.voices.ask(company.maker, line)
            if shape(own.text) == shape(self.voices.alone.get(Dialogue((line,)), Answer()).text):
                continue
            theirs = self.voices.ask(self.voices.new(), line)
            # What names the command itself says how it is used.
            if own.text and shape(own.text) != shape(theirs.text) and reader.partition(" ")[0] not in own.whole:
                found[reader] = own.calls
        return found

    def _shown(self, company: _Company, readers: Mapping[str, int]) -> dict[View, str]:
        """What the maker is shown."""
        found: dict[View, str] = {}
        for reader, calls in readers.items():
            told = self.voices.ask(company.maker, Step(reader).of(company.maker.number), calls).whole
            found |= {(reader, kind): text for kind, text in views(company.without_names(told)).items()}
        return found

    def _says(self, company: _Company, who: Speaker, line: Step) -> str:
        """What somebody is told who does something to the maker's thing."""
        return company.without_names(self.voices.ask(who, line.of(company.maker.number)).text)

    def _lines(self, maker: Dialogue, company: _Company) -> list[Step]:
        """What may be done: commands as texts show them, with the thing's number in their first place where it has one, or before some words."""
        texts = "\n".join(dict.fromkeys(call.text for call in list(self.context.target.calls()) if "/" in call.text))
        begun = {line.text.partition(" ")[0] for line in maker.lines}
        lines: list[str] = []
        for name in (name for name in self.voices.commands if f"/{name}" not in begun):
            for usage in usages(f"/{name}", texts)[:1]:
                numbered = [str(usage.with_part(usage.places[0], "{n}"))] if company.maker.number else []
                lines += [f"/{name} {form}" for form in (*numbered, usage)]
        return [Step(text, ours=True) for text in dict.fromkeys(lines)][:_MOST_DEEDS]

    # ── at once ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _tried(self, deed: _Deed) -> None:
        """Two do it at once: afterwards the maker is shown what both have done, and not what one has."""
        # Whoever is first.
        both, again = (self._done(deed, order) for order in ((0, 1), (1, 0)))
        single = [self._done(deed, (nth,)) for nth in (0, 1)]
        if both is None or again is None or None in single:
            return
        (told, shown), (_, other) = both, again
        ones = [one[1] for one in single if one is not None]
        # Where two do as much as one, or it is never the same, nothing follows.
        telling = [
            view
            for view in shown
            if shown[view] == other.get(view) and all(one.get(view) not in (None, shown[view]) for one in ones)
        ]
        tried = [self._done(deed, (0, 1), at_once=True) for _ in range(_TIMES)] if telling else []
        seen = [
            _ONE if any(after.get(view) == one[view] for one in ones for view in telling) else _BOTH
            for answers, after in filter(None, tried)
            if answers == told
        ]
        # What others do meanwhile may change what is shown as well.
        last = self._done(deed, (0, 1)) if seen else None
        if last is not None and all(last[1].get(view) == shown[view] for view in telling):
            self.voices.tell("gathered", deed, [_BOTH], seen, _BOTH)

    def _done(
        self, deed: _Deed, by: Sequence[int], *, at_once: bool = False
    ) -> tuple[list[str], dict[View, str]] | None:
        """What those are told who do it to a thing that is made for it, in any order, and what its maker is shown afterwards."""
        company = self._company(deed.maker)
        if company is None:
            return None
        doing = [(company.others[nth], deed.line.of(company.maker.number)) for nth in by]
        if at_once:
            near = (str(company.maker.user),)
            told = [company.without_names("\n".join(texts)) for texts in self.voices.burst(doing, near=near)]
        else:
            told = [self._says(company, who, line) for who, line in doing]
        return (sorted(map(shape, told)), self._shown(company, deed.readers)) if not self.voices.clock.over() else None
