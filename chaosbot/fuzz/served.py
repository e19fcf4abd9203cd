"""The first stage: each kind of valid update, and whether its sender is still answered afterwards.

A target may acknowledge an update whose handler then fails, and with the handler ends the queue, the lock or the worker that serves
the chat, or everybody. No status shows that: only the answers that stop.

Rules:

- Each update has a sender of its own, who then asks something ordinary that others are answered, and once more where no answer came.
- Where the sender is not answered and somebody new is, the update is charged. Where nobody is any more, all of them are suspects.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from time import monotonic, sleep
from typing import Final

from chaosbot.core.case import Case, Change
from chaosbot.core.observation import Silenced
from chaosbot.core.verdict import Mechanism, Threat
from chaosbot.fuzz.context import CampaignContext
from chaosbot.fuzz.spec import Clock
from chaosbot.fuzz.stages import observe
from chaosbot.fuzz.target import CaseResult

_FIRST_USER: Final = 4_503_300_000_000_000
_SURE_S: Final = 2.0
"""The least time, in seconds, after which an answer counts as missing."""
_GAP_S: Final = 0.5
"""The longest time between an update and its sender's next message."""
_OTHERS: Final = 3
"""So many people ask beside those who were not answered."""


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
        user = _FIRST_USER + stream.at("user").integer(0, 10**9)
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
        asked.append(context.case(update, stream, f"served/{when}", text))
    began = monotonic()
    results = target.volley(asked, "served")
    until = monotonic() + patience * max(_SURE_S, 2 * target.watch.patience_s)
    return [
        trial
        for trial, case, result in zip(trials, asked, results, strict=True)
        # The reply may stand in the answer itself.
        if target.replies_in(result.outcome) or target.watch.replied(case, max(0.0, until - monotonic()), began)
    ]
