"""The arguments stage: the target's own commands with arguments that break careless handlers.

Rules:

- Commands are those that the vocabulary stage has learned, and with a guide those that stand in the target's code. Each is asked for
  with ordinary arguments, with none, and with every degenerate text; commands and texts take turns.
- The admin's own commands are asked for by the admin beside that, one place of their usage changed at a time; users' places have had their turn
  (`chaosbot.fuzz.forms`), since what an admin says may change what everybody gets.
- What gets no answer is asked for once more, by somebody new, and after it the same command with an argument that it answers: the
  control. Only such pairs are judged, so that silence by design, a limit or a busy machine is no finding.
- Nothing is judged here.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice, zip_longest
from typing import Final

from chaosbot.checks._join import Join
from chaosbot.checks._outbound import reached
from chaosbot.core.case import Case, Change, Expect, Reach
from chaosbot.core.check import History
from chaosbot.core.kit import FRESH, IDS
from chaosbot.core.values import BACKTRACKING, SHORT_WORD, TEXTS, TextValue
from chaosbot.core.verdict import Mechanism, Threat
from chaosbot.fuzz.context import CampaignContext
from chaosbot.fuzz.places import ArgumentSeries, said
from chaosbot.fuzz.spec import Clock, TimeIsUp
from chaosbot.fuzz.stages import observe, run_cases
from chaosbot.fuzz.talks import Talks

_ORDINARY: Final = tuple(
    TextValue(f"ordinary-{number}", text, f"'{text}'")
    for number, text in enumerate(("chaosbot", "2000001", "2000001 user", "7", "tomorrow 10:00 tea"))
)
"""Arguments that most commands can do something with; a command that answers one of them answers."""
_BARE: Final = TextValue("bare", "", "no argument")
_GREETINGS: Final = ("start",)
_LONGEST: Final = 4096
_FIRST_USER: Final = FRESH + 2 * IDS
_PAIRS: Final = 48
"""So many unanswered arguments are asked for again."""
_HURRIED: Final = 12
"""So many where the stage's time is up already."""
_ALIKE: Final = 6
"""So many of them for one command: more would say the same."""
_ADMINS_S: Final = 3.0
"""So long at least the admin's commands are asked for."""
_CONFIRMING: Final = 0.6
"""The part of the stage's time after which what is unanswered is asked for again."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A command with an argument.

    Args:
        command: The command, without slash.
        value: The argument.
    """

    command: str
    value: TextValue

    @property
    def text(self) -> str:
        """What is written, no longer than a message may be."""
        text = f"/{self.command} {self.value.text}"[:_LONGEST]
        return text.rstrip(" ") if self.value.text.strip() else f"/{self.command}{self.value.text}"


def run_arguments(context: CampaignContext, clock: Clock) -> None:
    """Asks for each command with each argument, then again for what was not answered."""
    context.resume()
    guide = context.target.guide
    coded = [one.removeprefix("/") for one in guide.commands() if one.startswith("/")] if guide is not None else []
    commands = list(dict.fromkeys([*context.learned("commands"), *coded]))
    # A greeting with an argument is what a link to the target sends (deep links), named or not.
    commands += [one for one in _GREETINGS if commands and one not in commands and one in context.platform.commands]
    if not commands or context.store.seen.replies == "none":
        return
    _begin_admins(context, clock)
    asked = {f"argument/{one.command}-{one.value.word}": one for one in _product(context, commands)}
    cases = (case for name, one in asked.items() for case in _case(context, name, one))
    own = Clock(clock.until - clock.left() * (1 - _CONFIRMING), clock.should_stop)
    run_cases(context, cases, "arguments", own, planned=len(asked))
    sent = [context.recorder.cases[name] for name in asked if name in context.recorder.cases]
    _wait(context, sent, clock)
    pairs = list(islice(_again(context, asked), _HURRIED if clock.over() else _PAIRS))
    # All first, then all controls: what the first ones may have broken shows in the controls.
    for number in (0, 1):
        results = context.target.volley([pair[number] for pair in pairs], "arguments")
        observe(context, results)
    _wait(context, [case for pair in pairs for case in pair], clock)


def _begin_admins(context: CampaignContext, clock: Clock) -> None:
    """Begins to change the arguments of the admin's own commands, each command in turn, in the admin's chat."""
    own = [command for command in context.learned("admin") if not context.announces(command)]
    talks = Talks(context, clock, "arguments")
    if not own or not context.platform.tiers:
        return
    texts = said(context)
    series = [ArgumentSeries(talks, f"/{command}", texts, context.ways, admin=True).steps() for command in own]

    def work() -> None:
        talks.at_least(_ADMINS_S)
        with suppress(TimeIsUp):
            deque(zip_longest(*series), 0)

    context.shared.beside(talks, talks.admin_chat, work)


def _wait(context: CampaignContext, cases: Sequence[Case], clock: Clock) -> None:
    watch = context.target.watch
    if context.store.seen.replies == "mock":
        watch.all_replied(cases, max(clock.left(), watch.patience_s))


def _product(context: CampaignContext, commands: Sequence[str]) -> Iterator[Asked]:
    """Each command with each value: first those that show what it answers, then every command with another one in each turn."""
    for value in (_BARE, *_ORDINARY, SHORT_WORD):
        yield from (Asked(command, value) for command in commands)
    values = context.dice.at("arguments", "order").shuffled((*TEXTS, *BACKTRACKING[1:]))
    for turn in range(len(values)):
        for number, command in enumerate(commands):
            yield Asked(command, values[(turn + number * 7) % len(values)])


def _again(context: CampaignContext, asked: Mapping[str, Asked]) -> Iterator[tuple[Case, ...]]:
    """What was acknowledged and not answered once more, each with its command's control."""
    history = History.of([*context.recorder.events, *(call for call in context.target.calls() if not call.in_answer)])
    join = Join.of(history)
    tried = {one.case: one for one in history.cases if one.case in asked and one.outcome.ok}
    answered = {name for name, one in tried.items() if any(map(reached, join.calls(one)))}
    controls = {asked[name].command: asked[name] for name in answered if asked[name].value in _ORDINARY}
    # Other commands may want just what they say; a link may send any word.
    for name in (f"argument/{command}-{_BARE.word}" for command in _GREETINGS):
        if name in answered:
            controls.setdefault(asked[name].command, asked[name])
    # Who must not have a command may be ignored; one that everybody is told of and that answers nothing at all is compared with others.
    told = set(context.learned("commands")) - set(context.learned("admin"))
    another = next(iter(controls.values()), None)
    counts: Counter[str] = Counter()
    for name, one in tried.items():
        command, value = asked[name].command, asked[name].value
        control = controls.get(command) or (another if command in told and value is _BARE else None)
        if name in answered or one.threat is not Threat.USER or control is None or counts[command] >= _ALIKE:
            continue
        counts[command] += 1
        word = name.removeprefix("argument/")
        for case in _case(context, f"argument/again-{word}", asked[name]):
            compared = f"argument/control-{word}"
            yield replace(case, control=compared), *_case(context, compared, control)


def _case(context: CampaignContext, name: str, asked: Asked) -> Iterator[Case]:
    """Somebody new asks; nothing where the platform's users do not write."""
    endpoint, value = context.spec.endpoint, asked.value
    stream = context.dice.at("arguments", name, endpoint.started)
    user = _FIRST_USER + stream.at("user").integer(0, IDS)
    update = context.platform.say(asked.text, stream, user=user)
    if update is None:
        return
    expect = Expect() if value.valid else Expect(frozenset({2, 4}), reach=Reach.AT_MOST_ONCE)
    summary = f"/{asked.command} with {value.what}"
    case = context.case(update, stream, name, summary, expect)
    yield replace(
        case,
        group="argument",
        threat=Threat.USER if value.valid else Threat.NETWORK,
        change=Change(Mechanism.TECHNIQUE, f"argument/{asked.command}", value.word),
    )
