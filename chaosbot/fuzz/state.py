"""The state stage: what the target remembers, asked for by many at once, by two in turns, and out of turn.

Rules:

- What is said comes from the target: the ways that were explored (`chaosbot.fuzz.exploring`), the signs that its help texts name, the
  numbers that it tells. A dialogue is a few such lines; the last one is its action; ``{n}`` stands for the number that was told last.
- Each trial has controls: the same dialogue, by somebody new, one step after another. What is in doubt has two that
  agree, or nothing follows.
- All trials go on beside other stages, each in chats of its own; conversations, which all may share, once more with nobody beside them.
- Races are matters of chance: each is tried once, and a few times where that is in doubt or time is left; all tries stand in the event.
- Nothing is judged here: `StateTried` says what was asked and answered, checks judge the history.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from itertools import product
from threading import Event
from time import monotonic, sleep
from typing import Final

from chaosbot.checks._likeness import commands_in
from chaosbot.checks._state import counts, limit, moves, numbers, rises, shape
from chaosbot.core.case import Case
from chaosbot.core.event import ApiCalled, CaseTried, Noted
from chaosbot.fuzz.between import Between
from chaosbot.fuzz.contention import Contention
from chaosbot.fuzz.context import CampaignContext
from chaosbot.fuzz.conversations import SAID, Conversations
from chaosbot.fuzz.exploring import Way, deed_of, ways_of
from chaosbot.fuzz.making import deeds_in
from chaosbot.fuzz.replies import POLL_S, speaks, without_echo
from chaosbot.fuzz.requests import renumbered
from chaosbot.fuzz.sharing import Sharing
from chaosbot.fuzz.spec import Clock, TimeIsUp
from chaosbot.fuzz.stages import make_ahead, observe
from chaosbot.fuzz.talks import Step
from chaosbot.fuzz.things import Things
from chaosbot.fuzz.usages import TEXT, usages
from chaosbot.fuzz.voices import (
    FIRST_USER,
    KEPT,
    TRIES,
    Dialogue,
    Speaker,
    Voices,
    own,
    said_alike,
)

_AT_ONCE: Final = 6
"""So many times something is asked for at once."""
_LOOK: Final = 4
"""So many answers in a row show whether something is counted or bounded."""
_BY_OTHERS: Final = 0.5
"""So large a part of what rises may be others' doing."""
_IN_A_ROW: Final = 4
_ABREAST: Final = 5
"""So many of what one trial does go side by side, where others go on beside it: some are done before the rest has begun."""
_CROWD: Final = 16
"""So many users ask for something else each, at once."""
_MOST_COMMANDS: Final = 16
_MOST_ACTIONS: Final = 40
_MOST_ORDERS: Final = 16
_MOST_PRESSED: Final = 6
_LEAST: Final = 0.08
"""The part of the campaign's time that is left to what bears nobody beside it, however late it is."""
_FIRST: Final = 0.5
_MAIN: Final = 0.8
_UNDISTURBED: Final = 0.5
"""The parts of the time left after which what counts begins beside what is scarce, after which both end, and that is left to what bears no other trial."""
_SILENT: Final = 0.3
"""The part of the campaign's time in which trials keep still for other stages, most of it for the catalogue."""
_SLOWLY: Final = (12, 0.12)
"""So many replies of a slow target that takes, and the part of the campaign's time that it gets at most for that."""
_FIRST_QUIET: Final = 40_000
"""The number of the first one who speaks in a trial that bears nobody beside it, so that they are nobody who speaks in another one."""
_LEARNING: Final = 0.4
"""The part of the stage's time in which ways are explored, where nothing has done so before."""
_CONVERSATIONS: Final = 2
"""So many conversations are tried beside others, in which each has to be begun by several."""
_SLOWED_S: Final = 1.2
"""So long the first answer is held up: longer than a target waits that gives up its order after a moment."""
_ALONE: Final = 8
"""So many openers are looked at one at a time where, side by side, none began anything, and so many things to say to an operator."""
_DOUBTFUL: Final = 0.35
"""The part of the stage's time left for looking one at a time at what was not clear side by side."""
_QUESTION: Final = re.compile(r"[?？؟:：…]\s*$", re.MULTILINE)
_SIGN: Final = re.compile(r"(?<!\S)([^\w\s/.,;:!?()\[\]{}<>«»\"'“”„—–-]{1,2})(?=[\s.,;!]|$)")
_CAPITALS: Final = r"(?<![\w/.:])/{}[ \u00a0]+((?=\S*[^\W\d_]{{2}})[^\W_]{{3,20}})(?!\S)"
_MOST_LITERAL: Final = 4
_HELP: Final = ("start", "help")


def begin_state(context: CampaignContext) -> StateTrials:
    """Begins to try the target's memory, beside the stages that bear others beside them."""
    trials = StateTrials(context, Clock(context.until, context.target.should_stop))
    context.shared.beside(trials, "state", trials.run)
    return trials


def run_state(context: CampaignContext, clock: Clock) -> None:
    """Tries what bears nobody beside it, while the other trials wait; what is not done in time goes on beside the next stages."""
    if context.store.seen.replies == "none" or not context.platform.tiers:
        return
    make_ahead(context)
    # The vocabulary stage may have ended before it came to that, or not have run.
    context.recipes_known.set()
    context.looked.set()
    if context.trials is None:
        # Where nothing has explored them before, that is done first, and by this thread, which charges what it does.
        ways_of(context, Clock(monotonic() + clock.left() * _LEARNING, clock.should_stop))
        context.trials = begin_state(context)
    quiet = _Quiet(context.trials, clock)
    with suppress(TimeIsUp):
        quiet.run()
    observe(context, [*quiet.take(), *context.shared.take()])


class StateTrials(Voices):
    """Learns what the target remembers, and tries what many do at once, for one campaign."""

    def __init__(self, context: CampaignContext, clock: Clock) -> None:
        super().__init__(context, clock)
        self.plain: dict[tuple[bool, Step], list[str]] = defaultdict(list)
        self.learned = Event()

    def run(self) -> None:
        """All trials."""
        try:
            self.learn()
        finally:
            self.learned.set()
        self.abreast = _ABREAST
        things, between, sharing, contention = Things(self), Between(self), Sharing(self), Contention(self)
        first = (contention.run, things.issued, between.told_once, self.order)
        then = (
            *(self.at_once, self.shared_numbers, self.conversations),
            *(things.made, things.interleaved, between.run, sharing.run),
        )
        # No trial leaves nothing to those that come after it.
        self.clock = self.until(self._left_s() * _MAIN)
        with ThreadPoolExecutor(len(first) + len(then), "fuzz-state-trials") as hands:
            # What is scarce first, then what counts: of everything at once, nothing would be done in a short time.
            begun = [hands.submit(trial) for trial in first]
            alone_s = self.clock.left() - self._left_s() * _FIRST
            while not all(one.done() for one in begun) and self.clock.left() > alone_s:
                sleep(POLL_S)
            for one in [*begun, *(hands.submit(trial) for trial in then)]:
                one.result()
        # Nothing else may be made meanwhile.
        self.clock = self.until(self._left_s() * _UNDISTURBED)
        things.undisturbed()
        self.clock = self.until(self._left_s())
        with ThreadPoolExecutor(2, "fuzz-state-trials") as hands:
            for one in [hands.submit(trial) for trial in (self.operators, self.try_again)]:
                one.result()
        text = f"{len(self.alone)} dialogues were learned, {self.done} trials done"
        self.context.recorder.emit(
            Noted(self.context.recorder.now(), "state", text, {"dialogues": [str(one) for one in list(self.alone)]})
        )

    def _left_s(self) -> float:
        """How long may still be spoken, in seconds."""
        left = self.context.until - monotonic()
        if "catalogue" in self.context.spec.stages and not self.context.recorder.by_stage["catalogue"]:
            left = max(left / 2, left - _SILENT * self.context.spec.duration_s)
        return max(0.0, left)

    # ── learning ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def learn(self) -> None:
        """Takes the target's ways as dialogues, and asks for what they do not say: signs, numbers, and what comes to somebody who has begun nothing."""
        self._take_ways(self.context.ways)
        own, told = self._told()
        # A conversation that begins with the greeting need not be named anywhere.
        self.commands = [name for name in dict.fromkeys((*_HELP, *told)) if name not in own][:_MOST_COMMANDS]
        asked = [Dialogue((Step(text),)) for text in (*(f"/{name}" for name in self.commands), *self._literal())]
        self._try([one for one in asked if one not in self.alone])
        self._keep_telling()
        # In answer to somebody, and as people forget to.
        self._try([Dialogue((Step(sign),), group=True, answers=to) for sign in self._signs() for to in (True, False)])
        # What was begun before, where all share one conversation, ends with the first ones.
        for said in SAID:
            self.one(Dialogue((said,)))
        plain = [Dialogue((said,), group=group) for group in (False, True) for said in SAID for _ in range(2)]
        for dialogue, answer in zip(plain, self.side_by_side(self.one, plain), strict=True):
            self.plain[dialogue.group, dialogue.lines[0]].append(answer.text)
        # Groups are explored beside this, so that their ways are taken last.
        self._take_ways(self.context.group_ways)

    def _take_ways(self, ways: Iterable[Way]) -> None:
        for way in list(ways):
            if way.steps[0].joins:
                continue  # nothing that is said
            press = next((call.callback for call in way.replies if call.callback), None)
            answer = self.understood(Speaker(way.who.user), way.replies, way.who.chat, press)
            if answer.text:
                self.alone[Dialogue(way.steps, group=way.who.group is not None)] = answer

    def _try(self, dialogues: Sequence[Dialogue]) -> None:
        if not self.clock.over():
            answers = self.side_by_side(self.one, dialogues)
            self.alone.update((one, answer) for one, answer in zip(dialogues, answers, strict=True) if answer.text)

    def _told(self) -> tuple[frozenset[str], list[str]]:
        """The commands that only the admin is told of, and all in the order in which they were told."""
        by_admin: list[str] = []
        everybody: list[str] = []
        cases = self.context.recorder.cases.values()
        admin = self.case(Speaker(None), Step("hello"))
        admins = {str(admin.chat)} if admin is not None else set()
        # In a group the admin is answered before everybody's eyes.
        admins |= {str(case.chat) for case in list(cases) if admin is not None and case.user == admin.user}
        for call in self.calls():
            (by_admin if str(call.chat) in admins else everybody).extend(_commands(call))
        # Where that was noted, it was before the admin gave them in groups, whose cases are recorded a while after their replies.
        known = bool(self.context.learned("commands"))
        own = frozenset(self.context.learned("admin")) if known else frozenset(by_admin) - frozenset(everybody)
        return own, list(dict.fromkeys((*everybody, *by_admin)))

    def calls(self) -> list[ApiCalled]:
        """All that the target has said so far, in its answers as well."""
        inside = (event for event in self.context.recorder.events if isinstance(event, ApiCalled))
        tried = (event for event in self.context.recorder.events if isinstance(event, CaseTried))
        return list(without_echo([*self.context.target.calls(), *inside], tried))

    def _literal(self) -> list[str]:
        """Commands with a word in capitals as it stands behind them in a text: it may ask for something, or be an example."""
        texts = "\n".join(sorted({call.text for call in self.calls()}))
        found = ((name, re.findall(_CAPITALS.format(re.escape(name)), texts)) for name in self.commands)
        return [
            f"/{name} {word}"
            for name, words in found
            for word in dict.fromkeys(words[:_MOST_LITERAL])
            if word.isupper()
        ]

    def _signs(self) -> list[str]:
        """Signs that texts about commands name as something to write."""
        texts = {call.text for call in self.calls() if commands_in(call.text)}
        return list(dict.fromkeys(sign for text in sorted(texts) for sign in _SIGN.findall(text)))[:3]

    def _keep_telling(self) -> None:
        """Of what is done in the same way, with another argument or another button of a kind, keeps one for each answer."""
        seen: set[tuple[str, ...]] = set()
        bare = {one.lines[0].text: shape(answer.text) for one, answer in self.alone.items() if len(one.lines) == 1}
        for dialogue, answer in list(self.alone.items()):
            command, _, named = dialogue.lines[-1].text.partition(" ")
            if named == "{n}" and bare.get(command) == shape(answer.text):
                del self.alone[dialogue]  # nothing has that name
                continue
            deeds = (deed_of(line.text) if line.pressed else line.text.partition(" ")[0] for line in dialogue.lines)
            key = (str(dialogue.group), *deeds, said_alike(dialogue, answer))
            if key in seen:
                del self.alone[dialogue]
            seen.add(key)

    def conversations(self) -> None:
        """Conversations that are known, in turns."""
        trials = Conversations(self, self.plain)
        trials.run(trials.known()[:_CONVERSATIONS])

    # ── order ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def order(self) -> None:
        """Updates of one chat, each acknowledged before the next one leaves: answers come in their order."""
        # Each once: what is asked again may be answered otherwise (by the next question), which tells no order.
        rows = [one for one in self.deeds() if len(one.lines) == 1 and not one.group][:_IN_A_ROW]
        if len(rows) < 2:
            return

        def row(_: int) -> tuple[list[str], list[str]]:
            quiet, quick = self.new(), self.new()
            usual = [self.act(quiet, one).text for one in rows]
            like = self.case(quick, rows[0].lines[0])
            with self.slowed([like] if like is not None else [], _SLOWED_S, first=1):
                return usual, self._in_a_row(quick, [one.lines[0] for one in rows])

        pairs = self.side_by_side(row, range(TRIES))
        if self.clock.over():
            return
        self.tell("order", " · ".join(map(str, rows)), [usual for usual, _ in pairs], [heard for _, heard in pairs])

    def _in_a_row(self, who: Speaker, lines: Sequence[Step]) -> list[str]:
        """Says lines as fast as they are acknowledged; the answers in the order in which they come."""
        began = monotonic()
        inside: list[ApiCalled] = []
        case: Case | None = None
        for line in lines:
            case = self.case(who, line)
            inside += self.send(case) if case is not None else []
        if case is None:
            return []
        changed, calls = monotonic(), list[ApiCalled]()
        while monotonic() - changed < self.patience_s + _SLOWED_S and len(calls) < len(lines):
            heard = [call for call in own(self.said(case, began), case.chat, case.callback) if call.text]
            calls, changed = (heard, monotonic()) if len(heard) != len(calls) else (calls, changed)
            sleep(POLL_S)
        return [call.text[:KEPT] for call in [*inside, *sorted(calls, key=lambda call: call.t)] if call.text]

    # ── many at once ─────────────────────────────────────────────────────────────────────────────────────────────────

    def at_once(self) -> None:
        """One user does the same several times at once, the admin in a group as well: all of it counts, and no limit is passed."""
        orders = self._orders()
        # What counts is told in numbers.
        deeds = sorted(self.deeds(), key=lambda one: not numbers(self.alone[one].text))[:_MOST_ACTIONS]
        # Whether somebody belongs to a group is asked for there only.
        pressed = [replace(one, group=True) for one in deeds if one.lines[-1].pressed and not one.group]
        actions = [*deeds, *pressed[:_MOST_PRESSED], *orders]
        raced: set[tuple[object, ...]] = set()

        def race(action: Dialogue) -> None:
            # What only shows something mostly shows the same.
            plain = len(action.lines) == 1 and " " not in action.lines[-1].text
            play = self._play(action, _LOOK - 1 if plain else _LOOK)
            if plain and len(set(play)) > 1:
                play = self._play(action, _LOOK)
            # Of the forms of a command, and of the buttons of a kind, that are answered alike in the end one is enough.
            last = action.lines[-1]
            deed = deed_of(last.text) if last.pressed else last.text.partition(" ")[0]
            kind = (
                action.admin,
                action.group,
                action.lines[0].text.partition(" ")[0],
                deed,
                shape(play[-1] if play else ""),
            )
            with self.lock:
                new = kind not in raced and _changes(play)
                raced.update([kind] if new else [])
            if new:
                self._confirmed(action, play)
                self._raced(action)

        self.side_by_side(race, actions)

    def _confirmed(self, action: Dialogue, play: Sequence[str]) -> None:
        """What somebody has written is confirmed by a button, which is pressed again: a double tap makes no second one."""
        written = [line.text for line in action.lines[:-1] if line.ours and not line.shown]
        if action.group or not action.lines[-1].pressed or not any(text in play[0] for text in written):
            return
        if rises([play]) and not self.clock.over():
            other = self._play(action, _LOOK)
            self.tell("confirmed", action, [play], [other])

    def _raced(self, action: Dialogue) -> None:
        alone = self._play(action, _AT_ONCE + 2)
        limited = limit([alone]) is not None
        if len(alone) < _AT_ONCE + 2 or not (limited or counts([alone])):
            return

        def attempt() -> list[str]:
            who, last = self.ready(action), action.lines[-1]
            if limited:
                return self.burst([(who, last)] * (_AT_ONCE + 2))[0]
            first = self.act(who, action).text
            burst = self.burst([(who, last)] * _AT_ONCE)[0]
            return [first, *burst, self.act(who, action).text]

        self.tried("at-once", action, [alone], lambda: self._play(action, _AT_ONCE + 2), attempt)
        if not limited:
            self._edited(action, alone, own=True)

    def _play(self, action: Dialogue, times: int) -> list[str]:
        return [answer.text for answer in self.play(action, times=times)]

    def shared_numbers(self) -> None:
        """Several users do the same at once, where the target numbers what all of them do, or tells what is left: no two get one number."""
        # One of each command: with another argument it counts the same.
        deeds = {deeds_in(one.lines): one for one in reversed(self.deeds()) if numbers(self.alone[one].text)}
        self.side_by_side(self._numbered_at_once, list(deeds.values())[::-1])

    def _numbered_at_once(self, action: Dialogue) -> None:
        before, now = numbers(self.alone[action].text), numbers(self.one(action).text)
        if not any(later != earlier for earlier, later in zip(before, now, strict=False)):
            return
        alone = self.in_turn(action, _LOOK)
        if not moves([alone]) or self.clock.over():
            return

        def control() -> list[str]:
            began = monotonic()
            again = self.in_turn(action, _AT_ONCE + 2)
            numbered = moves([again]) and not self._moves_by_itself(action, again, monotonic() - began)
            return again if numbered else []

        self.tried("users-at-once", action, [alone], control, lambda: self._together(action))
        self._edited(action, alone)

    def _moves_by_itself(self, action: Dialogue, alone: Sequence[str], took_s: float) -> bool:
        """Whether what changes while several do the same does so, in as long a time, while nobody does: others' doings are counted there as well."""
        until = monotonic() + took_s
        while monotonic() < until and not self.clock.over():
            sleep(POLL_S)
        first, last, later = map(numbers, (alone[0], alone[-1], self.one(action).text))
        return self.clock.over() or not all(
            len(later) > place
            and (later[place] - last[place]) / step - 1 <= _BY_OTHERS * (last[place] - first[place]) / step
            for place, step in moves([alone]).items()
        )

    def _together(self, action: Dialogue) -> list[str]:
        first, *rest, last = self.side_by_side(self.ready, [action] * (_AT_ONCE + 2))
        before = self.act(first, action).text
        heard = self.burst([(who, action.lines[-1]) for who in rest])
        return [before, *("\n".join(texts) for texts in heard), self.act(last, action).text]

    def _edited(self, action: Dialogue, alone: Sequence[str], *, own: bool = False) -> None:
        """An edit of what was said does it no second time.

        Args:
            action: What is said.
            alone: What those were told who said it one after another.
            own: Whether what it counts is counted for each user.
        """
        if action.lines[-1].pressed or self.clock.over():
            return
        seen = []
        for _ in range(2):
            who = self.ready(action)
            case = self.case(who, action.lines[-1])
            edit = self.case(who, action.lines[-1], kind="edited_message", like=case)
            numbered = self._numbered(edit) if edit is not None else None
            if case is None or numbered is None:
                return
            first = self.heard(who, case).text
            again = self.heard(who, numbered).text
            seen.append((first, again, self.act(who if own else self.ready(action), action).text))
        self.tell("edited", action, [alone[:3]], seen)

    def _numbered(self, case: Case) -> Case | None:
        """The case with another delivery id."""
        number = case.update_id
        if not isinstance(number, int):
            return None
        return renumbered(case, number, number + 1, self.context.target.resigned, update_id=number + 1)

    # ── the admin ────────────────────────────────────────────────────────────────────────────────────────────────────

    def operators(self) -> None:
        """Where the target passes on to its admin what others write, the admin's answer reaches who wrote it."""
        desk = self.case(Speaker(None), Step(TEXT)) if len(self.context.platform.tiers) > 1 else None
        if desk is None or self.context.shared.reserves(desk.chat):
            return
        told = [one for one in self.deeds() if one.lines[-1].ours and not one.group]
        for one in (Dialogue((Step(TEXT, ours=True),)), *told[:_ALONE]):
            _, passed_on = self._written(one, desk)
            if passed_on is not None and not self.clock.over():
                alone = [self._operated(one, desk, others=0) for _ in range(2)]
                seen = [self._operated(one, desk, others=1) for _ in range(2)] if all(map(any, alone)) else []
                if seen:
                    self.tell("operator", f"{one} by two users, the admin answers the first", alone, seen)
                return

    def _written(self, dialogue: Dialogue, desk: Case) -> tuple[Case | None, int | None]:
        """Somebody new writes; the message in which the target passed it on to its admin."""
        who, began = self.ready(dialogue), monotonic()
        case = self.case(who, dialogue.lines[-1])
        if case is None:
            return None, None
        self.heard(who, case)
        told = [call.message for call in self.said(desk, began) if speaks(call) and str(call.chat) == str(desk.chat)]
        return case, next((message for message in told if message is not None), None)

    def _operated(self, dialogue: Dialogue, desk: Case, *, others: int) -> tuple[str, ...]:
        """Users write one after the other and the admin answers the first; which of them got something."""
        written = [self._written(dialogue, desk) for _ in range(1 + others)]
        if written[0][1] is None:
            return ()  # an answer to nothing may go to whoever is meant by it
        began = monotonic()
        answer = self.case(Speaker(None, quotes=written[0][1]), Step(f"answer {TEXT}"))
        if answer is None:
            return ()
        self.heard(Speaker(None), answer)
        names = ("who wrote first", "who wrote last")
        return tuple(
            name
            for name, (case, _) in zip(names, written, strict=False)
            if case is not None
            and any(speaks(call) and str(call.chat) == str(case.chat) for call in self.said(case, began))
        )

    def _orders(self) -> list[Dialogue]:
        """The admin's own commands, each in groups of its own, in answer to a member."""
        own, told = self._told()
        own -= self.context.announcers
        forms = self.context.orders or [f"/{name}{more}" for name in told if name in own for more in (" {member}", "")]
        forms = [form.replace("{member}", str(FIRST_USER)) for form in forms]
        return [Dialogue((Step(form),), group=True, answers=True, admin=True) for form in forms[:_MOST_ORDERS]]


class _Quiet(Voices):
    """Tries what bears nobody beside it: who else speaks then may be what ends a conversation, or takes an answer.

    Args:
        trials: Those that wait meanwhile, and have learned what is known.
        clock: Until when.
    """

    def __init__(self, trials: StateTrials, clock: Clock) -> None:
        super().__init__(trials.context, clock, first=_FIRST_QUIET)
        self.trials, self.alone, self.plain = trials, trials.alone, trials.plain

    def run(self) -> None:
        """All of them, while the others keep still."""
        until = self.clock
        while not self.trials.learned.wait(POLL_S):
            if until.over():
                return
        self.commands = self.trials.commands
        duration_s, (replies, most) = self.context.spec.duration_s, _SLOWLY
        slowly_s = min(replies * self.context.target.watch.usual_s, most * duration_s)
        whole = self.until(max(until.left(), _LEAST * duration_s, slowly_s))
        with self.trials.silent():
            for share, trial in ((0.4, self.crossed), (1.0, self.conversations)):
                self.clock = self.until(whole.left() * share)
                trial()

    # ── answers that cross ───────────────────────────────────────────────────────────────────────────────────────────

    def crossed(self) -> None:
        """Many users at once, each with something else: everybody gets the answer to their own."""
        single = [one for one in list(self.alone) if len(one.lines) == 1 and not one.group]
        # One of each command, and one with an argument: what one of them is told in turns, another one may be told next.
        words = ((one.lines[0].text.partition(" "), one) for one in reversed(single))
        asked = list({(name, bool(rest)): one for (name, _, rest), one in words}.values())[::-1][:_CROWD]
        # Where one's answer depends on who else is there (people are brought together), nobody's own can be told.
        again = self.side_by_side(lambda one: [self.one(one).text for _ in range(2)], asked)
        steady = [
            one
            for one, plays in zip(asked, again, strict=True)
            if {*map(shape, plays)} == {shape(self.alone[one].text)}
        ]
        astray = list(self._astray(steady))
        asked = [*steady, *astray]
        bound: set[Dialogue] = set()
        for choice in (asked, asked, astray):
            row = [one for one in choice if one not in bound]
            if self.clock.over() or len(asked) < 2 or not row:
                return
            users = [(self.new(), row[number % len(row)]) for number in range(_CROWD)]
            heard = self.burst([(who, one.lines[0]) for who, one in users])
            for (_, one), told in zip(users, heard, strict=True):
                # What is answered otherwise where nobody else says anything depends on who was there before.
                if shape("\n".join(told)) != shape(self.alone[one].text) and not self._alike_alone(one):
                    bound.add(one)
            kept = [(one, told) for (_, one), told in zip(users, heard, strict=True) if one not in bound]
            usual = [[self.alone[one].text] for one, _ in kept]
            self.tell("crossed", f"{_CROWD} users at once", usual, [told for _, told in kept])

    def _alike_alone(self, one: Dialogue) -> bool:
        """Whether people are answered as usual while nobody else says anything."""
        return all(shape(self.one(one).text) == shape(self.alone[one].text) for _ in range(2))

    def _astray(self, steady: Sequence[Dialogue]) -> Iterator[Dialogue]:
        """Commands that are answered alike one at a time only: while others write, the answer may go to one of them."""
        until = monotonic() + self.clock.left() * _DOUBTFUL
        texts = "\n".join(sorted({call.text for call in self.trials.calls()}))
        forms = [f"/{name} {form}" for name in self.commands for form in (*usages(f"/{name}", texts)[:1], "")]
        for text in dict.fromkeys(map(str.strip, forms)):
            one = Dialogue((Step(text),))
            if one in steady or (" " in text and one in self.alone) or monotonic() >= until:
                continue
            first, second = self.one(one), self.one(one)
            if first.text and shape(first.text) == shape(second.text):
                self.alone[one] = second
                yield one

    # ── conversations ────────────────────────────────────────────────────────────────────────────────────────────────

    def conversations(self) -> None:
        """Where all share one conversation, another may have ended somebody's: what begins one is looked for with nobody beside, questions first."""
        trials = Conversations(self, self.plain)
        known = trials.known()
        trials.run(known[_CONVERSATIONS:] if known else self._begun(trials))
        for opener, said in known[:_CONVERSATIONS]:
            trials.private(opener, said)

    def _begun(self, trials: Conversations) -> list[tuple[Dialogue, Step]]:
        own = [one for one in list(self.alone) if not one.group and not one.admin and not one.lines[-1].ours]
        openers = sorted(own, key=lambda one: not _QUESTION.search(self.alone[one].text))
        until = monotonic() + self.clock.left() * _DOUBTFUL
        for opener, said in product(openers[:_ALONE], SAID):
            if monotonic() >= until:
                break
            if trials.ends(answer := self.one(opener.then(said)), said):
                self.alone[opener.then(said)] = answer
                return [(opener, said)]
        return []


def _commands(call: ApiCalled) -> list[str]:
    keys = [key for key in call.keys if key.startswith("/")]
    return [word for text in (call.text, *keys) for word in commands_in(text)]


def _changes(play: Sequence[str]) -> bool:
    """Whether an action's answers change when it is repeated."""
    return len(play) == _LOOK and bool(play[0]) and len(set(play)) > 1
