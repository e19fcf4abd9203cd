"""Whether what a request without the secret asks for is done although the request is refused: what its user is told afterwards shows it.

Rules:

- Of what people do, that is looked at after which a command is answered otherwise: who has put something into a cart is shown it.
- One does it, for two others the same is forged, and two leave it out. What they are told then is compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from chaosbot.core.case import Role
from chaosbot.core.event import ApiCalled, TrustTried
from chaosbot.core.kit import refused
from chaosbot.core.verdict import Threat
from chaosbot.fuzz.catalogue._auth import CHECK, WRONG
from chaosbot.fuzz.exploring import Way, at_hand, walk
from chaosbot.fuzz.replies import speaks
from chaosbot.fuzz.talks import Step, Talks

_MOST: Final = 3
"""So much of what people do is forged."""
_TWICE: Final = 2
_KEPT: Final = 200


def try_forged(talks: Talks, ways: Sequence[Way]) -> list[str]:
    """Forges what people do, and looks whether it was done.

    Args:
        talks: The stage's conversations.
        ways: What strangers have explored.

    Returns:
        For the coverage of judgement, what was forged.
    """
    context = talks.context
    if not context.spec.endpoint.secret:
        return []
    deeds: dict[str, Way] = {}
    for way in sorted(ways, key=lambda one: len(one.steps)):
        *_, deed, asked = (Step(""), *way.steps)
        # What is only asked for does nothing, whoever asks.
        if (deed.ours or deed.pressed) and asked.text.startswith("/") and " " not in asked.text and not asked.pressed:
            deeds.setdefault(deed.text.partition(" ")[0], way)
    tried = list(deeds.values())[:_MOST]
    done = talks.run(partial(_tried, talks, way) for way in tried)
    return [
        f"{way.steps[-2]}, then {way.steps[-1]}: {'tried' if one else 'not tried'}"
        for way, one in zip(tried, done, strict=True)
    ]


def _tried(talks: Talks, way: Way) -> bool:
    *before, deed, asked = way.steps
    rightful = _told(walk(talks, way.steps)[1].replies)
    name, tries = "", []
    for _ in range(_TWICE):
        person, _ = walk(talks, before, onwards=True) if before else (talks.stranger(), None)
        step = at_hand(deed, person.buttons, person.told, 0, apart=True).of(person.number)
        case = talks.case(
            person,
            step,
            "somebody without the secret",
            secret=WRONG,
            threat=Threat.FORGER,
            check=CHECK,
            role=Role.ATTEMPT,
            expect=refused(),
        )
        talks.send(case)
        name = case.name
        tries.append(_told(talks.say(person, asked)))
    # What all are shown is shown to who leaves it out as well, now that others have done it.
    plain = tuple(deed for _ in range(_TWICE) for deed in _told(walk(talks, (*before, asked))[1].replies))
    if not set(rightful) - set(plain):
        return False
    recorder = talks.context.recorder
    what = f"{deed}, of which {asked} tells"
    recorder.emit(TrustTried(recorder.now(), CHECK, "forged", name, what, Threat.FORGER, rightful, plain, tuple(tries)))
    return True


def _told(calls: Sequence[ApiCalled]) -> tuple[str, ...]:
    return tuple(f"{call.method}: {call.text[:_KEPT]}" for call in calls if speaks(call))
