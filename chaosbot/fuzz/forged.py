"""Whether what a request without the secret asks for is done although the request is refused: what its user is told afterwards shows it.

Rules:

- Of what people do, that is looked at of which a command tells afterwards: who has put something into a cart is shown it.
- One does it, for two others the same is forged, and two leave it out, in turns. What they are told then is compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from chaosbot.checks._likeness import words
from chaosbot.core.case import Role
from chaosbot.core.event import ApiCalled, TrustTried
from chaosbot.core.kit import refused
from chaosbot.core.verdict import Threat
from chaosbot.fuzz.catalogue._auth import CHECK, WRONG
from chaosbot.fuzz.exploring import Way, at_hand, walk
from chaosbot.fuzz.talks import Person, Step, Talks

_MOST: Final = 3
"""So much of what people do is forged."""
_TWICE: Final = 2
_MOST_ASKED: Final = 8
_TELLS: Final = "tells"


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
    asked = [way.steps[0] for way in ways if len(way.steps) == 1 and _only_asks(way.steps[0])][:_MOST_ASKED]
    deeds = {recipe.steps: asked for recipe in context.recipes}
    for way in sorted(ways, key=lambda one: len(one.steps)):
        # What is only asked for does nothing, whoever asks.
        if len(way.steps) > 1 and _only_asks(way.steps[-1]) and not _only_asks(way.steps[-2]):
            deeds.setdefault(way.steps[:-1], [way.steps[-1]])
    tried = list(deeds.items())[:_MOST]
    done = talks.run(partial(_tried, talks, steps, asked) for steps, asked in tried)
    return [f"{steps[-1]}: {'tried' if one else 'not tried'}" for (steps, _), one in zip(tried, done, strict=True)]


def _only_asks(step: Step) -> bool:
    return not step.pressed and step.text.startswith("/") and " " not in step.text


def _tried(talks: Talks, steps: Sequence[Step], asked: Sequence[Step]) -> bool:
    """Forges the last of these steps, where one of these commands tells of it."""
    *before, deed = steps
    does, idle = walk(talks, steps)[0], _ready(talks, before)
    told = {step: words(talks.say(does, step)) - words(talks.say(idle, step)) for step in asked}
    tells = max(told, key=lambda step: len(told[step]), default=None)
    if tells is None or not told[tells]:
        return False
    name, tries = "", []
    plain: list[str] = []
    for _ in range(_TWICE):
        person = _ready(talks, before)
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
        tries.append(_told(talks.say(person, tells), told[tells]))
        # What all are told for a while (the shop is closed) is told to who leaves it out as well.
        plain += _told(talks.say(_ready(talks, before), tells), told[tells])
    if not told[tells] <= words(talks.say(does, tells)):
        return False
    what = f"{deed}, of which {tells} tells"
    recorder = talks.context.recorder
    rightful = (f"{_TELLS}: {' '.join(sorted(told[tells]))}",)
    recorder.emit(
        TrustTried(recorder.now(), CHECK, "forged", name, what, Threat.FORGER, rightful, tuple(plain), tuple(tries))
    )
    return True


def _ready(talks: Talks, before: Sequence[Step]) -> Person:
    """Somebody new who has done all that comes before, and has been told all that comes of it: a reply that is late would be the forgery's."""
    return walk(talks, before)[0] if before else talks.stranger()


def _told(calls: Sequence[ApiCalled], telling: set[str]) -> tuple[str, ...]:
    """Those of the telling words that somebody was told."""
    found = words(calls) & telling
    return (f"{_TELLS}: {' '.join(sorted(found))}",) if found else ()
