"""Conversations in turns: what one user begins nobody else ends, in private, in a group, and from one chat to another.

Rules:

- A conversation is a line, mostly a question, after which a text is answered otherwise than it is where nothing was begun.
- Several begin at once, and others, who have begun nothing, say the text: where all share one conversation, one of them ends it, even if
  others beside take it away from the rest. Each is tried once; what is in doubt is tried again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Final

from chaosbot.checks._state import shape
from chaosbot.fuzz.exploring import deed_of
from chaosbot.fuzz.talks import Step
from chaosbot.fuzz.usages import NUMBER, TEXT
from chaosbot.fuzz.voices import Answer, Dialogue, Voices

SAID: Final = (Step(TEXT, ours=True), Step(NUMBER, ours=True))
"""What is said where a target may have asked for something: most questions take one of them."""
_MOST: Final = 4
"""So many conversations are tried."""
_ABREAST: Final = 3
"""So many begin one conversation at once."""
_TRIES: Final = 2

Plain = Mapping[tuple[bool, Step], Sequence[str]]
"""What is answered to who has begun nothing, by whether that is in a group, and what is said."""


class Conversations:
    """The trials.

    Args:
        voices: Who speaks.
        plain: See `Plain`.
    """

    def __init__(self, voices: Voices, plain: Plain) -> None:
        self.voices = voices
        self.plain = plain

    def known(self) -> list[tuple[Dialogue, Step]]:
        """The conversations that were gone through: what begins each, and what is said next; buttons side by side mostly begin the same."""
        own = [one for one in list(self.voices.alone) if not one.group and not one.admin]
        pairs = [
            (replace(one, lines=one.lines[:-1]), one.lines[-1])
            for one in own
            if len(one.lines) > 1 and one.lines[-1] in SAID and self.ends(self.voices.alone[one], one.lines[-1])
        ]
        return list({_name_of(opener): (opener, said) for opener, said in reversed(pairs)}.values())[::-1][:_MOST]

    def ends(self, answer: Answer, said: Step) -> bool:
        """Whether an answer is none that a text of somebody gets who has begun nothing."""
        return bool(answer.text) and shape(answer.text) not in map(shape, self.plain[False, said])

    def run(self, pairs: Sequence[tuple[Dialogue, Step]]) -> None:
        """Tries conversations in every way."""
        ways = (self._in_group, self.private, self._elsewhere)
        self.voices.side_by_side(lambda trial: trial(), [partial(way, *pair) for pair in pairs for way in ways])

    def private(self, opener: Dialogue, text: Step) -> None:
        """One begins it, and another one says the text."""
        self._tried("conversation", f"{opener} by one user, then {text} by another", opener, text, self._crossed)

    def _in_group(self, opener: Dialogue, text: Step) -> None:
        """Two in one group: more bots forget that several people write in one chat than mix up chats."""
        opener = replace(opener, group=True)
        self._tried("group-conversation", f"{opener} by one user, then {text} by another", opener, text, self._crossed)

    def _elsewhere(self, opener: Dialogue, text: Step) -> None:
        """What somebody begins in private does not go on by what they say in a group, where the target is silent about ordinary texts."""
        if not any(self.plain[True, text]):
            what = f"{opener} in private, then {text} by the same one in a group"
            self._tried("elsewhere", what, opener, text, self._moved)

    def _tried(
        self, trial: str, what: str, opener: Dialogue, text: Step, attempt: Callable[[Dialogue, Step], Sequence[str]]
    ) -> None:
        voices, whole = self.voices, opener.then(text)
        ending = (voices.alone.get(whole) or voices.one(whole)).text
        usual = [(one,) for one in self.plain[trial != "conversation", text]]
        several = [opener] * (_ABREAST if trial == "conversation" else 1)

        def once() -> list[Sequence[str]]:
            return voices.side_by_side(lambda one: attempt(one, text), several)

        def doubtful(rows: Iterable[Sequence[str]]) -> list[Sequence[str]]:
            return [row for row in rows if voices.in_doubt(trial, usual, [row], (ending,))]

        rounds = [once()]
        if doubtful(rounds[0]):
            with voices.heard_out():
                rounds += [once() for _ in range(_TRIES)]
        shown = [rows for rows in map(doubtful, rounds) if rows]
        # Others beside may take what was begun, so that one round of three need not show it.
        voices.tell(trial, what, usual, chain.from_iterable(shown if len(shown) >= _TRIES else rounds), (ending,))

    def _crossed(self, opener: Dialogue, text: Step) -> tuple[str, str]:
        first = self.voices.new(opener)
        other = replace(self.voices.new(), group=first.group)
        self.voices.walk(first, opener)
        return self.voices.ask(other, text).text, self.voices.ask(first, text).text

    def _moved(self, opener: Dialogue, text: Step) -> tuple[str]:
        who = self.voices.new(Dialogue((text,), group=True))
        self.voices.walk(replace(who, group=None), opener)
        return (self.voices.ask(who, text).text,)


def _name_of(opener: Dialogue) -> str:
    """What begins a conversation, the same for all buttons of a kind."""
    return " ".join(deed_of(line.text) if line.pressed else line.text for line in opener.lines)
