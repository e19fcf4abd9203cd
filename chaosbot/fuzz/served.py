"""Whether the sender of an update is still answered afterwards: the first stage, for each kind of valid update; and for odd ones, later.

A target may acknowledge an update whose handler then fails, and with the handler ends the queue, the lock or the worker that serves
the chat, or everybody. No status shows that: only the answers that stop.

Rules:

- Each update has a sender of its own, who then asks something ordinary that others are answered, and once more where no answer came.
- Where the sender is not answered and somebody new is, the update is charged. Where nobody is any more, all of them are suspects.
- When all else is over, new people ask what was answered at first: what somebody has said since may have spoilt it for everybody (a list
  that shows a name with a brace).
- Odd updates are many, and a worker that one of them ended serves other people as well: what seems to blame is sent once more, by
  somebody who was answered a moment before, or a few at a time where people who have sent nothing are not answered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic, sleep
from typing import Any, Final

from chaosbot.checks.canary_answered import WAITING
from chaosbot.checks.user_told import STILL
from chaosbot.core.case import Case, Change
from chaosbot.core.event import ApiCalled, CaseTried
from chaosbot.core.kit import FRESH, IDS
from chaosbot.core.observation import Died, HealthLost, Hung, Silenced
from chaosbot.core.outcome import Fate
from chaosbot.core.verdict import Mechanism, Threat
from chaosbot.fuzz.context import CampaignContext
from chaosbot.fuzz.exploring import at_hand, kind_of, walk
from chaosbot.fuzz.replies import speaks
from chaosbot.fuzz.requests import renumbered
from chaosbot.fuzz.spec import Clock
from chaosbot.fuzz.stages import observe
from chaosbot.fuzz.talks import Person, Step, Talks
from chaosbot.fuzz.target import CaseResult

_FIRST_USER: Final = FRESH + 4 * IDS
_SURE_S: Final = 2.0
"""The least time, in seconds, after which an answer counts as missing."""
_GAP_S: Final = 0.5
"""The longest time between an update and its sender's next message."""
_OTHERS: Final = 3
"""So many people ask beside those who were not answered."""
_ODD: Final = frozenset({Mechanism.MEMBER, Mechanism.SHAPE, Mechanism.DEPTH})
"""What may be odd about an update whose sender is one person all the same, who wrote nothing that a target may rightly be silent about."""
_MOST_ODD: Final = 600
_MOST_ALONE: Final = 12
_PEOPLE: Final = 24
"""So many people who have sent nothing show whether some are not answered any more: those whom a worker served that is gone."""
_TOGETHER: Final = 4
"""So many suspects are sent again at once: each time that one ends a worker there is one less to show it."""

_SILENT_S: Final = (1.0, 2.0, 4.0)
"""So long a call is waited for, each time that a target is asked which makes none any more."""
_LATER: Final = "when all else is over a guest"
_SHORT: Final = 2
_MOST_STILL: Final = 32
_STILL_S: Final = 8.0
"""What was answered at first is asked for so long at the end: so many things, so many steps away at most."""
_PLAIN: Final = frozenset({"vocabulary", "state"})
"""The stages in which people say what the target understands."""
_AROUND_S: Final = 1.0
_SUSPECTS: Final = 8


@dataclass(frozen=True)
class Trial:
    """One update with its sender.

    Args:
        case: The update.
        user: Who sends it.
    """

    case: Case
    user: int


def run_served(context: CampaignContext, clock: Clock) -> None:
    """Sends every kind, then asks as each of their senders; as those who got no answer once more."""
    trials = list(_trials(context)) if context.store.seen.replies == "mock" else []
    if not trials:
        return
    target = context.target
    results = target.volley([trial.case for trial in trials], "served")
    sleep(min(_GAP_S, target.watch.patience_s))
    silent = _without(trials, _answered(context, trials, "after"))
    if silent and not clock.should_stop():
        # Who got an answer before shows, too, whether somebody does: one of a target's workers may have outlived the others for a moment.
        others = [Trial(trials[0].case, trials[0].user + number) for number in range(1, 1 + _OTHERS)]
        others += _without(trials, silent)[:_OTHERS]
        answered = _answered(context, [*silent, *others], "again", 2.0)
        silent, everybody = _without(silent, answered), not answered
        if everybody or any(other in answered for other in others):
            _charge(results, silent, everybody=everybody)
    observe(context, results)
    context.show("served", len(trials))
    context.afterwards.append(partial(_asked_as_at_first, context))


def still_served(context: CampaignContext, clock: Clock) -> None:
    """Asks as those who have sent something odd that was acknowledged, and as people who have sent nothing; charges what ends answers again."""
    suspects = _acknowledged(context) if context.store.seen.replies == "mock" else []
    if not suspects:
        return
    first = _FIRST_USER + context.dice.at("served", "people", context.spec.endpoint.started).integer(0, IDS)
    people = [Trial(suspects[0].case, first + number) for number in range(_PEOPLE)]
    asked = [*people, *(one for one in suspects if one.case.change.mechanism in _ODD and one.user > 0)]
    silent = _without(asked, _answered(context, asked, "later"))
    silent = _without(silent, _answered(context, silent, "later again")) if silent else []
    able = _without(people, silent)
    if len(able) < len(people):
        _look_for_worker(context, clock, suspects, able)
        return
    for suspect in silent[:_MOST_ALONE]:
        if clock.over() or _silencing(context, suspect):
            return  # one mistake ends the answers in many ways


def _calls(context: CampaignContext) -> list[ApiCalled]:
    """The calls so far that were requests of the target's own."""
    return [call for call in context.target.calls() if not call.in_answer]


def gone_silent(context: CampaignContext) -> bool:
    """Whether a target that called its API makes no call any more, though it acknowledges; what it was sent around its last call is suspected."""
    target, recorder = context.target, context.recorder
    before = _calls(context)
    last = max(before, key=lambda call: call.t, default=None)
    if last is not None and (last.status or 0) in WAITING:
        return False
    patient_s = sum(max(wait_s, target.watch.patience_s) for wait_s in _SILENT_S)
    target.until = max(target.until, monotonic() + patient_s + _SURE_S)  # however late it is
    for wait_s in _SILENT_S:
        result = target.fire(target.health_case(), "served")
        # What is not acknowledged is no silence either.
        if not result.outcome.ok or target.replied(result.case, result.outcome, max(wait_s, target.watch.patience_s)):
            return False
        if len(_calls(context)) > len(before):
            return False  # it is only busy
    tried = [event for event in recorder.events if isinstance(event, CaseTried)]
    # What needs no sender, or is odd otherwise, may be answered still.
    people = {str(one.user) for one in tried if one.stage in _PLAIN and one.user is not None}
    came = max((call.t for call in before if str(call.chat) in people), default=last.t if last is not None else 0.0)
    told = {str(call.chat) for call in before}
    around = [one for one in tried if abs(one.sent - came) < _AROUND_S and one.outcome.ok]
    around.sort(key=lambda one: (str(one.chat) in told, one.sent))
    suspects = tuple(one.summary or one.case for one in around if not one.case.startswith("growth/"))
    change = Change(Mechanism.BEHAVIOUR, "silent")
    case = replace(result.case, name="served/silent", threat=Threat.NETWORK, change=change)
    found = replace(result, case=case)
    found.observations.append(Silenced(everybody=True, beside=suspects[:_SUSPECTS]))
    recorder.record(found)
    return True


def _asked_as_at_first(context: CampaignContext) -> None:
    """New people ask what everybody was answered at first; what two of them are told nothing about, though they are answered, is charged."""
    if not context.target.lives:
        return
    talks = Talks(context, Clock(monotonic() + _STILL_S, lambda: False), "served", part="still", first=_FIRST_USER)
    plain = [way for way in context.ways if way.plain and len(way.steps) <= _SHORT and any(map(speaks, way.replies))]
    deeds = {kind_of(way.steps[-1].text): way.steps for way in reversed(plain)}

    def silent(nth: int, steps: tuple[Step, ...], **how: Any) -> Person | None:
        """Who has asked in vain."""
        person, _ = walk(talks, steps[:-1], onwards=True)
        step = at_hand(steps[-1], person.buttons, person.told, nth)
        replies = talks.say(person, step, _LATER, **how)
        return None if any(speaks(call) or call.callback for call in replies) else person

    def ask(nth: int, steps: tuple[Step, ...]) -> None:
        person, ordinary = silent(nth, steps), Step(context.target.ordinary)
        if person is None or not talks.answered(person, ordinary):
            return
        name, change = f"served/still-{nth}", Change(Mechanism.TECHNIQUE, STILL)
        control = f"{name}-control"
        if person := silent(nth, steps, name=name, change=change, control=control, group="argument"):
            talks.say(person, ordinary, name=control, group="argument")

    try:
        talks.run(partial(ask, nth, steps) for nth, steps in enumerate([*deeds.values()][:_MOST_STILL]))
    finally:
        talks.stop()
        observe(context, talks.take())


def hangs(context: CampaignContext) -> bool:
    """Whether a target that lives answers no delivery any more at the end; what was under way at its last answer, and never answered, is charged.

    Where several stages go on at once, the one that sees it may have sent nothing that did it.
    """
    target, recorder = context.target, context.recorder
    tried = [event for event in recorder.events if isinstance(event, CaseTried)]
    answered = [one.sent + one.outcome.total_s for one in tried if one.outcome.fate is Fate.ANSWERED]
    known = any(isinstance(seen, Died | HealthLost | Hung) for one in tried for seen in one.observations)
    held = monotonic() < context.held_until  # a call that gets no answer, by our doing
    if known or held or not answered or not target.lives or target.health().outcome.fate is not Fate.TIMEOUT:
        return False
    last = max(answered)
    waiting = [one for one in tried if one.outcome.fate is Fate.TIMEOUT and one.sent <= last + _AROUND_S]
    waiting = [one for one in waiting if one.sent + one.outcome.total_s > last and one.case in recorder.cases]
    if not waiting:
        return False
    first, *others = sorted(waiting, key=lambda one: one.sent)
    case = recorder.cases[first.case]
    found = CaseResult(replace(case, name=f"{case.name}-hangs"), "served", first.outcome, first.sent)
    found.observations.append(HealthLost(for_good=True, beside=tuple(one.case for one in others[:_SUSPECTS])))
    recorder.record(found)
    return True


def _acknowledged(context: CampaignContext) -> list[Trial]:
    """What was acknowledged, and the only thing that was sent in its chat; first what lacks a sender, or something else, over which handlers trip most."""
    tried = [event for event in context.recorder.events if isinstance(event, CaseTried)]
    uses = Counter(str(event.chat) for event in tried)
    found = [
        Trial(context.recorder.cases[event.case], event.chat)
        for event in tried
        if event.stage in ("served", "catalogue")
        and event.outcome.ok
        and isinstance(event.chat, int)
        and event.user in (None, event.chat)
        and uses[str(event.chat)] == 1
        and event.case in context.recorder.cases
    ]
    lacking = lambda one: (one.case.user is not None, one.case.change.mechanism is not Mechanism.MEMBER)  # noqa: E731 - one line
    return sorted(found, key=lacking)[:_MOST_ODD]


def _silencing(context: CampaignContext, suspect: Trial) -> bool:
    """Whether somebody who was answered before is not answered any more after they have sent it; charges it then."""
    (moved,) = _moved(context, [suspect])
    if not _answered(context, [moved], "before"):
        return False
    results = context.target.volley([moved.case], "served")
    silent = not _answered(context, [moved], "after") and not _answered(context, [moved], "again", 2.0)
    if silent:
        _charge(results, [moved], everybody=False)
    observe(context, results)
    return silent


def _look_for_worker(
    context: CampaignContext, clock: Clock, suspects: Sequence[Trial], people: Sequence[Trial]
) -> None:
    """Some people are not answered any more: sends a few suspects at a time again, until there are more of those people."""
    for start in range(0, len(suspects), _TOGETHER):
        if clock.over() or not people:
            return
        moved = _moved(context, suspects[start : start + _TOGETHER])
        results = context.target.volley([one.case for one in moved], "served")
        silent = _without(people, _answered(context, people, f"beside {start}"))
        silent = _without(silent, _answered(context, silent, f"beside {start} again", 2.0)) if silent else []
        if silent and moved:
            results[0].observations.append(Silenced(everybody=False, beside=tuple(one.case.name for one in moved[1:])))
        observe(context, results)
        if silent:
            return


def _moved(context: CampaignContext, suspects: Sequence[Trial]) -> list[Trial]:
    """The same updates, deliveries of their own, each in another chat and from another sender."""
    found = []
    for one in suspects:
        dice = context.dice.at("served", "moved", one.case.name, context.spec.endpoint.started)
        other = int(str(one.user)[:-3] + f"{dice.integer(0, 999):03}")
        case = context.target.renewed(one.case, dice)
        moved = renumbered(case, one.user, other, context.target.resigned, chat=other)
        name = f"served/{one.case.name}"
        found.append(Trial(replace(moved or case, name=name), other if moved is not None else one.user))
    return found


def _charge(results: Sequence[CaseResult], silent: Sequence[Trial], *, everybody: bool) -> None:
    charged = silent[:1] if everybody else silent
    beside = tuple(trial.case.name for trial in silent[1:]) if everybody else ()
    for result in results:
        if result.outcome.ok and any(result.case is trial.case for trial in charged):
            result.observations.append(Silenced(everybody, beside))


def _trials(context: CampaignContext) -> Iterator[Trial]:
    platform, endpoint = context.platform, context.spec.endpoint
    for name, update in platform.golden(context.dice).items():
        stream = context.dice.at("served", name, endpoint.started)
        user = _FIRST_USER + stream.at("user").integer(0, IDS)
        made = platform.sent_by(update, user, stream)
        if made is None or name == "my_chat_member":  # who blocks the bot is rightly not answered
            continue
        case = context.case(made, stream, f"served/{name}", f"a valid {name}")
        change = Change(Mechanism.KIND, context.kind_of(case) or "")
        yield Trial(replace(case, group="kinds", threat=Threat.USER, change=change), user)


def _without(trials: Sequence[Trial], answered: Sequence[Trial]) -> list[Trial]:
    return [trial for trial in trials if trial not in answered]


def _answered(context: CampaignContext, trials: Sequence[Trial], when: str, patience: float = 1.0) -> list[Trial]:
    """The trials whose sender is answered an ordinary message now.

    Args:
        context: The campaign.
        trials: Who asks.
        when: In relation to the update; messages of one person differ by it.
        patience: How many times longer than the target's habit suggests an answer is waited for.
    """
    target, endpoint = context.target, context.spec.endpoint
    text = target.ordinary
    asked: list[Case] = []
    for trial in trials:
        stream = context.dice.at("served", trial.user, when, endpoint.started)
        update = context.platform.say(text, stream, user=trial.user)
        asked.append(context.case(update, stream, f"served/{when}-{trial.user}", text))
    began = monotonic()
    results = target.volley(asked, "served")
    for result in results:
        context.recorder.record(result)  # what is said from now on belongs to this, and not to what was sent before
    until = monotonic() + patience * max(_SURE_S, 2 * target.watch.patience_s)
    return [
        trial
        for trial, case, result in zip(trials, asked, results, strict=True)
        # The reply may stand in the answer itself.
        if target.replies_in(result.outcome) or target.watch.replied(case, max(0.0, until - monotonic()), began)
    ]
