"""The vocabulary stage: the target's own commands, learned from what it says, asked for by people who must not.

Rules:

- Words come from the target's replies (help texts, menus, hints), never from a list: commands are what stands behind a slash there.
- What the admin is told and nobody else is privileged by the target's own word. What everybody is told is asked for as well: there the
  difference between the admin's reply and a guest's says whether it is privileged, and tricks are compared with the admin's.
- With what arguments they are asked for is the next stage's (`chaosbot.fuzz.arguments`).
- Nothing is judged here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from time import monotonic
from typing import Final

from chaosbot.core.case import Case, Change, Expect
from chaosbot.core.event import ApiCalled, Noted
from chaosbot.core.verdict import Mechanism, Threat
from chaosbot.fuzz.context import CampaignContext
from chaosbot.fuzz.mutations import as_case
from chaosbot.fuzz.shared_chats import divided
from chaosbot.fuzz.spec import Clock
from chaosbot.fuzz.stages import observe, run_cases, take_shared

_COMMAND: Final = re.compile(r"(?<![\w/.:])/([A-Za-z][A-Za-z0-9_]{0,31})(?![\w/])")
_ASKED: Final = ("/start", "/help", "what can you do?")
_MOST_COMMANDS: Final = 24
_FIRST_USER: Final = 4_503_570_000_000_000
_SHARED: Final = 0.5
"""The part of the stage's time that the admin's chat, where one case at a time is awaited, may take."""


def run_vocabulary(context: CampaignContext, clock: Clock) -> None:
    """Learns the target's commands, then asks for them."""
    if context.store.seen.replies == "none" or not context.platform.tiers:
        return
    told_admin, told_all = _learned(context)
    commands = tuple(dict.fromkeys((*told_admin, *told_all)))[:_MOST_COMMANDS]
    own = frozenset(told_admin) - frozenset(told_all)
    text = f"the target speaks of {len(commands)} commands, {len(own)} of them to its admin only"
    context.recorder.emit(
        Noted(context.recorder.now(), "vocabulary", text, {"commands": list(commands), "admin": sorted(own)})
    )
    if not commands:
        return
    asked = context.platform.escalations(context.spec.endpoint, context.dice.at("vocabulary"), commands, own)
    shared, rest = divided(asked)
    context.shared.add(shared, "vocabulary")
    run_cases(context, rest, "vocabulary", clock)
    take_shared(context, Clock(clock.until + (clock.left() * _SHARED), clock.should_stop))


def _learned(context: CampaignContext) -> tuple[list[str], list[str]]:
    """The commands that the admin is told of, and those that everybody is told of, in the order in which they are told."""
    top, bottom = context.platform.tiers[-1], context.platform.tiers[0]
    told: dict[str, list[str]] = {top: [], bottom: []}
    admins = set()
    for tier in (top, bottom):
        for number, text in enumerate(_ASKED):
            case = _case(context, f"vocabulary/{tier}-{number}", text, tier=tier if tier == top else "", number=number)
            if case is None:
                return [], []
            if tier == top:
                admins.add(str(case.chat))
            began = monotonic()
            result = context.target.fire_quietly(case, "vocabulary")
            observe(context, [result])
            _, replies = context.recorder.tried(result)
            told[tier] += _commands([*replies, *context.target.watch.replies(case, began)])
    to_all = (call for call in context.target.calls() if call.chat is not None and str(call.chat) not in admins)
    return told[top], [*told[bottom], *_commands(to_all)]


def _commands(calls: Iterable[ApiCalled]) -> list[str]:
    return list(dict.fromkeys(word.lower() for call in calls for word in _COMMAND.findall(call.text)))


def _case(context: CampaignContext, name: str, text: str, *, tier: str = "", number: int = 0) -> Case | None:
    dice = context.dice.at("vocabulary", name, context.spec.endpoint.started)
    user = None if tier else _FIRST_USER + context.dice.at("vocabulary").integer(0, 10**9) + number
    update = context.platform.say(text, dice, tier=tier, user=user)
    if update is None:
        return None
    case = as_case(context.platform, context.spec.endpoint, update, dice, name, text[:80], Expect(), fresh=False)
    return replace(case, threat=Threat.USER, change=Change(Mechanism.TECHNIQUE, name.partition("/")[0]))
