"""Pressed buttons. The data comes from outside: it says what is asked, never what is allowed.

| data | who | effect |
|---|---|---|
| `category:<name>` | everybody | lists the skills of a category |
| `skill:<name>` | user tier | selects a skill for the one who pressed |
| `improvement:approve:<number>` | its owner, user tier | approves; the improvement is gone |
| `improvement:reject:<number>` | its owner, user tier | rejects; the improvement is gone |
"""

from __future__ import annotations

from dataclasses import dataclass

from chaosbot.demo.access import Tier
from chaosbot.demo.bugs import Bug
from chaosbot.demo.desk import SKILLS, Desk


@dataclass(frozen=True, slots=True)
class Press:
    """The outcome of a press: a notice for the presser, and buttons for the chat when it `counts`."""

    notice: str
    counts: bool = False
    buttons: tuple[tuple[str, str], ...] = ()


def press(data: str | None, user_id: int, tier: Tier, desk: Desk, bugs: frozenset[Bug]) -> Press:
    """Does what a button asks for, when the presser may."""
    verb, _, rest = (data or "").partition(":")
    if data is None or len(data.encode("utf-8", "replace")) > 64 or not rest:
        return Press("This button is out of date.")
    if verb == "category":
        skills = SKILLS.get(rest)
        if skills is None:
            return Press(f"There is no category {rest}.")
        return Press(f"Skills of {rest}:", True, tuple((name, f"skill:{name}") for name in skills))
    if verb == "skill":
        if tier < Tier.USER:
            return Press("Skills are for the user tier.")
        if not any(rest in names for names in SKILLS.values()):
            return Press(f"There is no skill {rest}.")
        desk.skills.put(user_id, rest)
        return Press(f"Skill selected: {rest}.", True)
    if verb == "improvement":
        return _improvement(rest, user_id, tier, desk, bugs)
    return Press("This button is out of date.")


def _improvement(rest: str, user_id: int, tier: Tier, desk: Desk, bugs: frozenset[Bug]) -> Press:
    choice, _, number = rest.partition(":")
    if choice not in ("approve", "reject"):
        return Press("This button is out of date.")
    past = "approved" if choice == "approve" else "rejected"
    trusted = Bug.CALLBACK_TRUSTED in bugs  # BUG: whoever can write the data may do the deed
    if not (trusted or tier >= Tier.USER) or not (number.isascii() and number.isdigit() and len(number) < 16):
        return Press("This button is not yours.")
    if desk.improvements.take(int(number), None if trusted else user_id) is None:
        return Press("This button is not yours.")
    return Press(f"Improvement {number} {past}.", True)
