"""What guests, users, developers and admins do: weights and waits as values, and each task as an update.

A task with several forms takes them in turn by the request's number, so that a full run meets every command, every kind of
media and every button, whatever the dice say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

from chaosbot.core.dice import Dice
from chaosbot.core.errors import UnknownName
from chaosbot.core.journey import JourneySpec, Task
from chaosbot.platforms.telegram._commands import SKILLS, command_text
from chaosbot.platforms.telegram._parts import (
    HIGHEST_UPDATE,
    LOWEST_UPDATE,
    Json,
    Place,
    callback,
    document,
    message,
    photos,
    text_message,
    update,
    voice,
)
from chaosbot.platforms.telegram._updates import said
from chaosbot.platforms.telegram._users import SHARES, TIERS, Population, basic_group

_WAITS: Final = {
    "guest": (1.0, 5.0),
    "user": (2.0, 8.0),
    "developer": (5.0, 15.0),
    "admin": (10.0, 30.0),
    "mixed": (1.0, 5.0),
}

# What a tier does of its own; above a guest, everybody also does what those below may do, less often.
_OWN: Final[dict[str, dict[str, float]]] = {
    "guest": {"chat": 10, "complex": 3, "look": 3, "start": 1, "settings": 1, "category": 1},
    "user": {"task": 5, "skill": 3, "transform": 2, "media": 1, "reminder": 1, "select": 1, "improvement": 1},
    "developer": {"traces": 3, "circuits": 2, "tier": 1},
    "admin": {"admin": 2, "grant": 0.5, "revoke": 0.5},
}
_LOWER_SHARE: Final = 0.3
"""How much of what a tier does is what the tiers below it may do."""
MIXED: Final = "mixed"
"""A kind of user who takes part when asked for (``--class mixed=1``): simple texts, commands, complex texts and buttons as 10:5:3:1."""


def _with_lower(tiers: Sequence[str]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    below: dict[str, float] = {}
    for tier in tiers:
        own = _OWN[tier]
        scale = sum(own.values()) * _LOWER_SHARE / (1 - _LOWER_SHARE) / (sum(below.values()) or 1.0)
        found[tier] = {**{name: weight * scale for name, weight in below.items()}, **own}
        below = {**below, **own}
    return found


_TASKS: Final = {**_with_lower(TIERS), MIXED: {"chat": 10.0, "look": 5.0, "complex": 3.0, "category": 1.0}}

# A task's forms; what is no command here is built by the function of its name.
_COMMANDS: Final[dict[str, tuple[str, ...]]] = {
    "look": ("help", "status", "skills"),
    "start": ("start",),
    "settings": ("mode", "cancel", "clear"),
    "task": ("task",),
    "skill": ("skill",),
    "transform": ("translate", "summarize", "rewrite"),
    "reminder": ("remind", "reminders", "tasks"),
    "traces": ("traces", "trace"),
    "circuits": ("circuits",),
    "tier": ("tier",),
    "admin": ("admin", "circuits"),
    "grant": ("grant",),
    "revoke": ("revoke",),
}


_ASKED_IN_GROUPS: Final = frozenset({"look", "transform"})
_GROUP_SHARE: Final = 0.5
"""How much of what can be asked in a group is asked there; some troubles, such as a migration, happen to groups only."""


def journeys(population: Population) -> tuple[JourneySpec, ...]:
    """One journey a tier, and the mixed one, which takes part only when asked for."""
    return tuple(
        JourneySpec(
            name=tier,
            share=SHARES.get(tier, 0.0),
            wait_s=_WAITS[tier],
            tasks=tuple(Task(f"{tier}/{task}", weight) for task, weight in tasks.items()),
            users=population.ids("guest" if tier == MIXED else tier),
        )
        for tier, tasks in _TASKS.items()
    )


@lru_cache(maxsize=64)
def first_delivery(seed: int, started: int) -> int:
    """The delivery id that a run counts from."""
    return Dice(seed).at("telegram", "updates", started).integer(LOWEST_UPDATE, HIGHEST_UPDATE)


def perform(task: str, user: int, ordinal: int, place: Place) -> Json:
    """The update that a task sends."""
    tier, _, name = task.partition("/")
    if name not in _TASKS.get(tier, {}):
        known = (f"{tier}/{task}" for tier, tasks in _TASKS.items() for task in tasks)
        raise UnknownName.of("task", task, known)
    # The number of a user's requests and of everybody's share factors; mixing in the dice keeps the turns apart.
    turn = ordinal + place.dice.at("turn").integer(0, 5)
    if name in _COMMANDS:
        forms = _COMMANDS[name]
        text = command_text(forms[turn % len(forms)], place.dice, place.marker)
        # Only commands: in groups a bot is shown little else, unless it has asked for more.
        asked = name in _ASKED_IN_GROUPS and place.dice.at("group").chance(_GROUP_SHARE)
        where: Json = {"chat": basic_group(user)} if asked else {}
        return update(place, "message", text_message(place, user, text, **where))
    return _OTHERS[name](place, user, turn)


def _chat(place: Place, user: int, _turn: int) -> Json:
    return update(place, "message", message(place, user, text=said(place)))


def _complex(place: Place, user: int, _turn: int) -> Json:
    """A text with several wishes that depend on each other, which a bot with an orchestrator splits into steps."""
    first, second, third = (place.dice.at("wish", number).choice(WISHES) for number in range(3))
    text = f"First {first}. Then, with what you found, {second}; if that fails, {third} and tell me why. {place.marker}"
    return update(place, "message", message(place, user, text=text))


def _media(place: Place, user: int, turn: int) -> Json:
    kind, make = _MEDIA[turn % 3]
    content: Json = {kind: make(place)}
    return update(place, "message", message(place, user, caption=said(place), **content))


def _category(place: Place, user: int, turn: int) -> Json:
    return update(place, "callback_query", callback(place, user, f"category:{tuple(SKILLS)[turn % len(SKILLS)]}"))


def _select(place: Place, user: int, turn: int) -> Json:
    skills = tuple(skill for skills in SKILLS.values() for skill in skills)
    return update(place, "callback_query", callback(place, user, f"skill:{skills[turn % len(skills)]}"))


def _improvement(place: Place, user: int, turn: int) -> Json:
    verb = ("approve", "reject")[turn % 2]
    # The number of an improvement is only known from the bot's answer; a low one is likely to exist in a long run.
    number = place.dice.at("improvement").integer(1, 50)
    return update(place, "callback_query", callback(place, user, f"improvement:{verb}:{number}"))


WISHES: Final = (
    "compare the two cheapest flights to Hanoi next week",
    "summarise the report that I sent you yesterday in five points",
    "translate the summary into Vietnamese and German",
    "check whether the numbers in the table add up",
    "write a plan with three steps and a date for each",
    "remind me tomorrow at nine and again on Friday",
    "find out who wrote the last three notes and what they have in common",
)

_MEDIA: Final[tuple[tuple[str, Callable[[Place], Any]], ...]] = (
    ("voice", voice),
    ("photo", photos),
    ("document", document),
)

_OTHERS: Final[dict[str, Callable[[Place, int, int], Json]]] = {
    "chat": _chat,
    "complex": _complex,
    "media": _media,
    "category": _category,
    "select": _select,
    "improvement": _improvement,
}
