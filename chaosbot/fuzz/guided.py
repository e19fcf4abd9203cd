"""The guided stage: what the target's own code waits for, tried at the code that waits for it (`--guide`).

Rules:

- An input is what one new user writes, presses or sends, one act after the other. One that reaches code which nothing reached before
  is kept, and changed further with the words of the functions that it reached; where code is seen to be reached tells the next change.
- Who is next is a pure function of the seed and of what was reached (`Schedule`): energy rises with what an input has found and with
  how deep it stands, and falls with each time that it was taken.
- What breaks, ends or stalls the target is not followed further.
- Kept inputs are sent first by the next campaign with the same corpus. They hold words of the code and no secret.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, takewhile, zip_longest
from pathlib import Path as FilePath
from time import monotonic
from types import MappingProxyType
from typing import Any, Final

from chaosbot.core.case import Case, Change, Expect
from chaosbot.core.dice import Dice
from chaosbot.core.errors import UsageError, WorkerDied
from chaosbot.core.event import LoopBlocked, Noted, TargetRaised
from chaosbot.core.jsontext import read_json
from chaosbot.core.kit import FRESH, IDS, Path, look, put
from chaosbot.core.observation import Died, Dropped, Hung
from chaosbot.core.shape import Shape
from chaosbot.core.verdict import Mechanism, Threat
from chaosbot.files import read_text
from chaosbot.fuzz.context import CampaignContext
from chaosbot.fuzz.guide import Guide, Novelty, Word, by_function
from chaosbot.fuzz.mutations import sites
from chaosbot.fuzz.operators import fits, reached
from chaosbot.fuzz.spec import Clock
from chaosbot.fuzz.stages import observe
from chaosbot.fuzz.target import CaseResult
from chaosbot.fuzz.threads import ThreadPool
from chaosbot.journal import write_private

_IDS: Final = frozenset({"update_id", "id", "message_id", "date", "chat_id", "user_id"})
"""Members by which a case is told from others."""
_VOLLEY: Final = 24
_CHUNK: Final = 8
"""So many changes of one input before it is another one's turn."""
_DEEPEST: Final = 4
_FIRST_USER: Final = FRESH + 6 * IDS
_ORDINARY: Final = ("", "7", "green tea", "7 green tea")
_WEIGHTS: Final = {"command": 0, "equal": 1, "seen": 1, "prefix": 1, "suffix": 1, "contains": 1, "regex": 1, "length": 2, "number": 2, "word": 4}  # fmt: skip
"""The kinds of words that make texts, those that say most about what is waited for first."""
_NEAR: Final = 60
"""So many words of one function are tried at a time."""
_TEXTS: Final = 4
"""So many texts are tried for each other kind of change."""
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{1,31}")
_MARKS: Final = ":;,.|/#@=_-"
_SPOTS: Final = 24
_KEPT: Final = 200
_MOST_KEPT_BYTES: Final = 16 << 20
_DRAWING: Final = 0.3
"""The part of the stage's time in which texts for regular expressions are waited for."""


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that a user does.

    Args:
        text: What is written; the data of the button where `golden` is ``callback_query``.
        golden: The name of a valid update that is sent instead.
        sets: Places of the update with their new values.
    """

    text: str = ""
    golden: str = ""
    sets: tuple[tuple[Path, Any], ...] = ()


Acts = tuple[Act, ...]
PRESS: Final = "callback_query"


@dataclass(frozen=True, slots=True)
class Attempt:
    """An input that is to be sent.

    Args:
        number: Which one.
        acts: What is done.
        parent: The number of the kept input that it comes from; 0 for a seed.
        aim: The function that its parent reached last, or what it is otherwise about.
    """

    number: int
    acts: Acts
    parent: int
    aim: str


@dataclass
class _Kept:
    attempt: Attempt
    depth: int
    plan: Iterator[Acts]
    aim: str
    found: int = 0
    taken: int = 0
    done: bool = False

    @property
    def energy(self) -> float:
        """How soon it is taken again; 0 when its plan is done."""
        return 0.0 if self.done else math.sqrt(min(self.found, 16)) * 1.25 ** min(self.depth, 6) / (1 + self.taken)


class Schedule:
    """Decides which input is sent next. Pure: the same seed, words and reached code give the same inputs in the same order.

    Args:
        dice: Its random stream.
        words: The dictionary.
        spots: Members of updates that the code may read, with the values that they have: by golden update, ``""`` for a written text.
        first: Inputs to begin with.
        speaks: Whether the platform's users write, so that words can be texts.
        samples: By regular expression, texts that match it.
    """

    def __init__(
        self,
        dice: Dice,
        words: Sequence[Word],
        spots: Mapping[str, Sequence[tuple[Path, Any]]],
        first: Iterable[Acts] = (),
        *,
        speaks: bool = True,
        samples: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        self._dice = dice
        self._samples = samples
        self._spots = spots
        self.kept: dict[int, _Kept] = {}
        self._words: list[Word] = []
        self.learn(words)
        goldens = ((Act(golden=name),) for name in spots if name not in ("", PRESS))
        self._seeds = chain(first, self._openings() if speaks else (), goldens)
        self._sent: set[str] = set()
        self._attempts: dict[int, Attempt] = {}
        self._numbers = 0
        self._bad: list[Acts] = []

    def learn(self, words: Sequence[Word]) -> None:
        """Takes a newer dictionary; what is new in it is tried with what was kept before."""
        old = {(word.kind, word.value, word.function) for word in self._words}
        self._words = [word for word in words if word.kind in _WEIGHTS]
        self._functions = dict(by_function(self._words))
        new = [word for word in self._words if (word.kind, word.value, word.function) not in old]
        for one in self.kept.values() if new else ():
            *before, last = one.attempt.acts
            near = [word for word in new if word.function in ("<module>", one.aim.rpartition(":")[2])]
            one.plan = chain(((*before, act) for act in self._texts(last, near)), one.plan)
            one.done = False

    def take(self, most: int) -> list[Attempt]:
        """The next inputs, at most so many; none when there is nothing left to try."""
        found: list[Attempt] = []
        while len(found) < most:
            seed = next(self._seeds, None)
            if seed is not None:
                self._add(found, seed, 0, _about(seed))
                continue
            best = max(self.kept.values(), key=lambda one: (one.energy, -one.attempt.number), default=None)
            if best is None or best.energy < 1e-3:
                return found
            best.taken += 1
            before = len(found)
            chunk = list(islice(best.plan, _CHUNK))
            for acts in chunk:
                self._add(found, acts, best.attempt.number, best.aim)
            if not chunk:
                best.done = True
            elif len(found) == before:
                best.taken += 8  # nothing new
        return found

    def _openings(self) -> Iterator[Acts]:
        """Every command of the code, bare and with ordinary arguments; then every other word by itself, written and pressed."""
        commands = dict.fromkeys(str(word.value) for word in self._words if word.kind == "command")
        for text in _ORDINARY:
            yield from ((Act(f"{command} {text}".strip()),) for command in commands)
        # A table of commands names them without their slash.
        names = (str(word.value) for word in self._words if word.kind == "equal" and _NAME.fullmatch(str(word.value)))
        yield from ((Act(f"/{name}"),) for name in dict.fromkeys(names) if f"/{name}" not in commands)
        rest = [word for word in self._words if word.kind not in ("command", "length", "number", "word")]
        texts = dict.fromkeys(text for word in rest for text in self._spelled(word, "")[:2])
        for text in texts:
            yield (Act(text),)
            yield (Act(text, golden=PRESS),)

    def _add(self, found: list[Attempt], acts: Acts, parent: int, aim: str) -> None:
        if (key := repr(acts)) in self._sent or any(_extends(acts, bad) for bad in self._bad):
            return
        self._sent.add(key)
        self._numbers += 1
        self._attempts[self._numbers] = attempt = Attempt(self._numbers, acts, parent, aim)
        found.append(attempt)

    def reached(self, number: int, novelties: Sequence[Novelty]) -> None:
        """Tells what an attempt was the first to reach."""
        attempt = self._attempts.get(number)
        if attempt is None or not novelties:
            return
        known = self.kept.get(number)
        if known is None:
            parent = self.kept.get(attempt.parent)
            depth = parent.depth + 1 if parent is not None else 0
            functions = list(dict.fromkeys((one.path, one.function) for one in novelties))
            lines = {one.line for one in novelties}
            plan = self._changes(attempt, functions, lines)
            aim = f"{FilePath(functions[-1][0]).name}:{functions[-1][1]}"
            known = self.kept[number] = _Kept(attempt, depth, plan, aim)
        known.found += len(novelties)
        known.taken = 0
        parent = self.kept.get(attempt.parent)
        if parent is not None:
            parent.taken //= 2

    def presume(self, attempt: Attempt) -> None:
        """Where code cannot be watched: presumes that an input reaches the functions in which its command stands."""
        command = _about(attempt.acts)
        places = [word for word in self._words if word.kind == "command" and word.value == command]
        if attempt.parent == 0 and places:
            self.reached(attempt.number, [Novelty(one.path, one.function, one.line, -1) for one in places])

    def avoid(self, number: int, step: int) -> None:
        """Tells that an act of an attempt broke, ended or stalled the target: nothing that begins so is sent again."""
        acts = self._attempts[number].acts[: step + 1]
        if acts[-1].golden or " " in acts[-1].text or acts[-1].sets or not acts[-1].text.startswith("/"):
            self._bad.append(acts)  # what a bare command does, it may do better with an argument
            self.kept.pop(number, None)

    # -- changes --------------------------------------------------------------------------------------------------------

    def _near(self, functions: Sequence[tuple[str, str]], lines: set[int]) -> list[Word]:
        """The words of the functions, those that say most and stand nearest to the lines first."""
        words = {(word.kind, word.value): word for one in functions for word in self._functions.get(one, ())}
        for path in dict.fromkeys(path for path, _ in functions):
            for word in self._functions.get((path, "<module>"), ()):  # tables, and what was compiled once
                if word.kind != "word":
                    words.setdefault((word.kind, word.value), replace(word, line=0))

        def far(word: Word) -> float:
            return min((abs(word.line - line) for line in lines), default=0) / 8 if word.line else 1.0

        nearest = sorted(words.values(), key=lambda word: (_WEIGHTS[word.kind] + far(word), word.line, str(word.value)))
        return nearest[:_NEAR]

    def _changes(self, attempt: Attempt, functions: Sequence[tuple[str, str]], lines: set[int]) -> Iterator[Acts]:
        """What is made of an input that reached these functions: first what their words suggest, then by chance."""
        *before, last = attempt.acts
        words = self._near(functions, lines)
        rows: list[Iterator[Act | Acts]] = [self._texts(last, words), self._members(last, words)]
        if len(attempt.acts) < _DEEPEST:
            rows.append(self._further(attempt.acts, words))
        turns = chain.from_iterable(zip_longest(*[rows[0]] * _TEXTS, *rows[1:]))
        yield from ((*before, one) if isinstance(one, Act) else one for one in turns if one is not None)
        yield from self._pairs(before, last, words)
        for turn in range(4000):
            yield (*before, self._chance(last, words or self._words, self._dice.at(attempt.number, turn)))

    def _texts(self, act: Act, words: Sequence[Word]) -> Iterator[Act]:
        """The act's text with each of the words: after it, glued to it, before its last word, in place of that."""
        if act.golden not in ("", PRESS):
            return
        head, _, tail = act.text.rpartition(" ")
        spelled = [(word.kind, text) for word in words if word.kind != "command" for text in self._spelled(word, tail)]
        # As texts are put together of parts: "soort:senior".
        marks = [text for kind, text in spelled if kind == "contains" and len(text) == 1 and text in _MARKS]
        first = act.text.split(" ", 1)[0]
        texts = [
            *(f"{first} {text}" for _, text in spelled if first.startswith("/")),
            *(f"{act.text} {text}" for _, text in spelled),
            *(f"{act.text}{text}" for kind, text in spelled if kind not in ("regex", "length")),
            *(f"{act.text}{mark}{text}" for mark in marks for kind, text in spelled if kind == "equal"),
            *(f"{head} {text}{tail}".strip() for kind, text in spelled if kind in ("prefix", "contains") and head),
            *(f"{head} {text}".strip() for _, text in spelled if head),
            *(f"{word.value}{act.text[len(first) :]}" for word in words if word.kind == "command"),
        ]
        for text in dict.fromkeys(texts):
            yield replace(act, text=text[:4000])

    def _spelled(self, word: Word, tail: str) -> Sequence[str]:
        """The texts that a word stands for."""
        value = word.value
        if word.kind == "regex" and isinstance(value, str):
            return self._samples.get(value, ())
        if isinstance(value, str):
            return (value,)
        if word.kind == "length":
            return tuple(
                (tail or "x").ljust(int(value) + more, "x")[: int(value) + more] for more in (0, 1) if 0 < value < 4000
            )
        return tuple(str(one) for one in (value, value + 1, value - 1))

    def _members(self, act: Act, words: Sequence[Word]) -> Iterator[Act]:
        """The act with each of the words in each member that the code may read."""
        spots = self._spots.get(act.golden, self._spots.get("", ()))
        for path, value in spots[:_SPOTS]:
            if isinstance(value, (dict, list)):
                yield _with(act, path, value)
        for word in words:
            for path, value in spots[:_SPOTS]:
                if isinstance(value, str):
                    for text in self._spelled(word, value)[:2]:
                        yield _with(act, path, text)
                elif type(value) is int and isinstance(word.value, int):
                    yield _with(act, path, word.value)
                elif isinstance(value, bool):
                    yield _with(act, path, not value)

    def _further(self, acts: Acts, words: Sequence[Word]) -> Iterator[Acts]:
        """What the same user does next."""
        texts = dict.fromkeys(
            text for word in words if word.kind not in ("length", "word") for text in self._spelled(word, "")[:1]
        )
        for text in ("green tea", "7", *islice(texts, 20)):
            yield (*acts, Act(text))

    def _pairs(self, before: Sequence[Act], act: Act, words: Sequence[Word]) -> Iterator[Acts]:
        """Two words after the text."""
        texts = [text for word in words[:16] for text in self._spelled(word, "")[:1]]
        if act.golden in ("", PRESS):
            for first in texts:
                for second in texts:
                    for text in (f"{act.text} {first} {second}", f"{act.text} {first}{second}"):
                        yield (*before, replace(act, text=text))

    def _chance(self, act: Act, words: Sequence[Word], dice: Dice) -> Act:
        """The act changed by chance, with words of the functions that it reached or of any."""
        pool = words if dice.at("near").chance(0.7) or not self._words else self._words
        word = dice.at("word").choice(pool) if pool else Word("word", "x", 0, "")
        spelled = self._spelled(word, "") or ("x",)
        text = dice.at("spelled").choice(spelled)
        spots = self._spots.get(act.golden, self._spots.get("", ()))
        if spots and (act.golden not in ("", PRESS) or dice.at("member").chance(0.3)):
            path, value = dice.at("spot").choice(spots)
            new: Any = (
                text if isinstance(value, str) else dice.at("number").integer(0, 10**6) if type(value) is int else value
            )
            return _with(act, path, new)
        tokens = act.text.split(" ")
        at = dice.at("token").integer(0, len(tokens) - 1)
        match dice.at("how").integer(0, 5):
            case 0:
                tokens.insert(at + 1, text)
            case 1:
                tokens[at] = text
            case 2:
                tokens[at] += text
            case 3:
                tokens[-1] = str(dice.at("number").integer(0, 2 ** dice.at("bits").integer(3, 33)))
            case 4:
                tokens[at] = tokens[at].swapcase() if dice.at("case").chance(0.5) else tokens[at][::-1]
            case _:
                tokens[at] = (
                    tokens[at][: max(1, len(tokens[at]) // 2)] if dice.at("cut").chance(0.5) else tokens[at] * 2
                )
        return replace(act, text=" ".join(tokens)[:4000])


def _with(act: Act, path: Path, value: Any) -> Act:
    """The act with a value at a place, beside at most two others."""
    others = [one for one in act.sets if one[0] != path]
    return replace(act, sets=(*others[-2:], (path, value)))


def _extends(acts: Acts, bad: Acts) -> bool:
    """Whether acts begin with others, the last of which may hold more."""
    *before, last = bad
    if len(acts) < len(bad) or acts[: len(before)] != tuple(before):
        return False
    act = acts[len(before)]
    return (
        act.golden == last.golden
        and act.text.startswith(last.text)
        and {*map(repr, last.sets)} <= {*map(repr, act.sets)}
    )


def _about(acts: Acts) -> str:
    """What a seed is about: its command or its kind."""
    last = acts[-1]
    return last.golden or (last.text.split(" ")[0] if last.text.startswith("/") else "text")


# -- the stage -----------------------------------------------------------------------------------------------------------


def run_guided(context: CampaignContext, clock: Clock) -> None:
    """Sends inputs as the schedule says, until the time is up or nothing is left to try."""
    guide = context.target.guide
    if guide is None or not guide.sync("forget"):
        return
    words, goldens = guide.words(), context.platform.golden(context.dice)
    spots = _spots(context, words, goldens)
    shapes: dict[Path, list[Shape]] = {}
    first = chain(_remembered(context), _learned(context))
    samples = _samples(context, guide, clock)
    schedule = Schedule(context.dice.at("guided"), words, spots, first, speaks="" in spots, samples=samples)
    pool = ThreadPool(_VOLLEY, "fuzz-guided")
    steps: dict[str, tuple[int, int]] = {}

    def fire(cases: Sequence[Case]) -> list[CaseResult]:
        timely = takewhile(lambda _: not clock.over(), cases)
        return [context.target.fire(case, "guided") for case in timely]

    def send(attempts: Sequence[Attempt], turn: int) -> list[CaseResult]:
        made = [_cases(context, one, goldens, shapes, turn) for one in attempts]
        for one, cases in zip(attempts, made, strict=True):
            steps.update((case.name, (one.number, step)) for step, case in enumerate(cases))
        if not guide.alone:
            sent = pool.map(fire, made)
            guide.sync("rearm")
            return [result for row in sent for result in row]
        results: list[CaseResult] = []
        # After one that ends the target, those behind it would only be refused.
        for case in chain.from_iterable(made):
            if not clock.over() and context.target.lives:
                results += fire([case])
                if turn:
                    guide.sync("settle")
        guide.sync("settle")
        return results

    try:
        while not clock.over() and (attempts := schedule.take(_CHUNK if guide.alone else _VOLLEY)):
            results = send(attempts, 0)
            if guide.alone and guide.take_back():
                # Something new, and not whose: once more, by new users, one case after the other.
                with guide.one_by_one():
                    results += send(attempts, 1)
            events = guide.take_events(context)
            _placed(results, events)
            observe(context, results)
            bad = {steps[one.case] for one in events if one.case in steps and _tells(one)}
            worse = (
                one for one in results if any(isinstance(seen, Died | Hung | Dropped) for seen in one.observations)
            )
            bad.update(steps[one.case.name] for one in worse)
            for one in attempts if not guide.watches else ():
                schedule.presume(one)
            for number, novelties in _by_attempt(guide.novelties(), steps).items():
                schedule.reached(number, novelties)
            for number, step in sorted(bad):
                schedule.avoid(number, step)
            if guide.size != len(words):
                words = guide.words()
                schedule.learn(words)
            context.show("guided", 0)
    finally:
        pool.close()
        _remember(context, schedule)


def _samples(context: CampaignContext, guide: Guide, clock: Clock) -> Mapping[str, Sequence[str]]:
    try:
        return guide.samples((clock.until - monotonic()) * _DRAWING)
    except WorkerDied as error:
        text = f"the stage guided goes without texts that match the regular expressions of the code: {error}"
        context.recorder.emit(Noted(context.recorder.now(), "guide", text))
        return {}


def _tells(event: TargetRaised | LoopBlocked) -> bool:
    """Whether what an act did is known well enough: it broke something, or held the loop."""
    return isinstance(event, LoopBlocked) or not event.meant


def _by_attempt(novelties: Iterable[Novelty], steps: Mapping[str, tuple[int, int]]) -> dict[int, list[Novelty]]:
    found: dict[int, list[Novelty]] = defaultdict(list)
    for one in novelties:
        if one.case in steps:
            found[steps[one.case][0]].append(one)
    return dict(sorted(found.items()))


def _placed(results: Iterable[CaseResult], events: Iterable[TargetRaised | LoopBlocked]) -> None:
    """Names the function in which an error arose as what a case is about: it says more than the words that led there."""
    raised = (one for one in events if isinstance(one, TargetRaised) and not one.meant)
    where = {one.exchange: one.frames[0] for one in raised if one.exchange and one.frames}
    for result in results:
        if frame := where.get(result.exchange):
            path, _, function = frame.partition(" in ")
            place = f"{path.rpartition(':')[0]}:{function}"
            result.case = replace(result.case, change=Change(Mechanism.FRAME, place))


def _cases(
    context: CampaignContext, attempt: Attempt, goldens: Mapping[str, Any], shapes: dict[Path, list[Shape]], turn: int
) -> list[Case]:
    """An input as cases of one new user (another in each turn), one for each act; `shapes` remembers what the description says of a place."""
    platform, endpoint = context.platform, context.spec.endpoint
    stream = context.dice.at("guided", attempt.number, endpoint.started, *((turn,) if turn else ()))
    user = _FIRST_USER + stream.at("user").integer(0, IDS)
    found = []
    for step, act in enumerate(attempt.acts):
        place = stream.at(step)
        if act.golden in ("", PRESS):
            update = platform.say(act.text, place, user=user, kind=act.golden)
            summary = f"the {'button' if act.golden else 'text'} {act.text[:120]!r}"
        else:
            fresh = platform.fresh(goldens[act.golden], place)
            update = platform.sent_by(fresh, user, place) or fresh
            summary = f"a valid {act.golden}"
        if update is None:
            continue
        valid = True
        for path, value in act.sets:
            try:
                update = put(update, path, value)
            except (KeyError, IndexError, TypeError):  # the update lacks what holds it
                continue
            if path not in shapes:
                shape = platform.shape() if platform.described else None
                shapes[path] = list(reached(shape, path)) if shape is not None else []
            valid = valid and any(fits(one, value) for one in shapes[path])
            summary += f", {'.'.join(map(str, path))} = {str(value)[:60]!r}"
        name = f"guided/{attempt.number}" + (f".{step + 1}" if len(attempt.acts) > 1 else "")
        expect = Expect() if valid else Expect(frozenset({2, 4}))
        case = context.case(update, place, name, summary, expect)
        if act.golden not in ("", PRESS):
            case = context.target.renewed(case, place)  # a press has an id of its own
        change = Change(Mechanism.TECHNIQUE, f"guided/{attempt.aim}")
        threat = Threat.USER if valid else Threat.NETWORK
        found.append(replace(case, group="guided", threat=threat, change=change))
    return found


def _spots(
    context: CampaignContext, words: Sequence[Word], goldens: Mapping[str, Any]
) -> dict[str, list[tuple[Path, Any]]]:
    """The members of each kind of update that the code names, with their values; for a written text also those that it may have."""
    names = {str(word.value) for word in words}
    found: dict[str, list[tuple[Path, Any]]] = {}
    said = context.platform.say("x", context.dice)
    more: list[tuple[Path, Any]] = []
    written = next((path for path, value in _named(said, names | {"text"}) if value == "x"), None)
    for name, update in goldens.items():
        # What is written is tried with texts; the other members of this update come to those as well.
        found[name] = [one for one in _named(update, names) if one[0] != written]
        kind = next(iter(said.keys() & update.keys() - _IDS), "") if isinstance(said, dict) else ""
        if kind and isinstance(update[kind], dict):
            members = ((key, value) for key, value in update[kind].items() if key in names and key not in said[kind])
            more += [((kind, key), value) for key, value in members]
    if said is not None:
        found[""] = [
            *(one for one in _named(said, names) if one[1] != "x"),
            *{path: (path, value) for path, value in more}.values(),
        ]
    return found


def _named(update: Any, names: set[str]) -> list[tuple[Path, Any]]:
    leaves = ((path, look(update, path)) for path in sites(update))
    return [
        (path, value)
        for path, value in leaves
        if isinstance(value, (str, int)) and path[-1] in names and path[-1] not in _IDS
    ]


def _learned(context: CampaignContext) -> Iterator[Acts]:
    """What the vocabulary stage was told of: commands and buttons."""
    for note in (one for one in context.recorder.notes if one.area == "vocabulary"):
        yield from (
            (Act(f"/{command} {text}".strip()),) for text in _ORDINARY for command in note.data.get("commands", ())
        )
        yield from ((Act(str(data), golden=PRESS),) for data in note.data.get("buttons", ()))


# -- from run to run -----------------------------------------------------------------------------------------------------


def _home(context: CampaignContext) -> FilePath | None:
    name = context.spec.platform.partition(":")[0] or "default"
    return context.spec.corpus / "guided" / f"{name}.json" if context.spec.corpus is not None else None


def _remembered(context: CampaignContext) -> list[Acts]:
    """The inputs that the last campaign kept; none where there are none, or another version wrote them."""
    home = _home(context)
    try:
        told = read_json(read_text(home, most=_MOST_KEPT_BYTES)) if home is not None and home.exists() else []
        return [tuple(_act(*act) for act in acts) for acts in told[:_KEPT]]
    except (UsageError, OSError, ValueError, TypeError, RecursionError):
        return []


def _act(text: Any, golden: Any, sets: Any) -> Act:
    """An act as it was written down.

    Raises:
        TypeError: It was not written by this version.
        ValueError: See above.
    """
    places = tuple((tuple(path), value) for path, value in sets)
    steps = (step for path, _ in places for step in path)
    if not isinstance(text, str) or not isinstance(golden, str) or not all(type(step) in (int, str) for step in steps):
        raise TypeError("no act")
    return Act(text, golden, places)


def _remember(context: CampaignContext, schedule: Schedule) -> None:
    home = _home(context)
    if home is not None and schedule.kept:
        best = sorted(schedule.kept.values(), key=lambda one: (-one.depth, one.attempt.number))[:_KEPT]
        told = [[(act.text, act.golden, act.sets) for act in one.attempt.acts] for one in best]
        write_private(home, json.dumps(told, ensure_ascii=True, indent=0) + "\n")
