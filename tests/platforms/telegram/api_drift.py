"""What the installed aiogram knows of the Bot API and our description does not: run it after an upgrade of aiogram.

    python tests/platforms/telegram/api_drift.py

A gap is no defect by itself: unknown kinds are covered by cases of their own. The test beside this file pins the gaps that are known,
so that a new one shows.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from dataclasses import dataclass

import aiogram
import aiogram.types as api

from chaosbot.core.dice import Dice
from chaosbot.core.shape import Array, Object, OneOf, Shape
from chaosbot.platforms.telegram import Telegram
from chaosbot.platforms.telegram._updates import KINDS


@dataclass(frozen=True)
class Drift:
    """Kinds and members of payloads that we do not know, and those that aiogram does not."""

    version: str
    missing_kinds: frozenset[str]
    extra_kinds: frozenset[str]
    missing_members: dict[str, frozenset[str]]
    extra_members: dict[str, frozenset[str]]

    def table(self) -> str:
        """The drift as a table."""
        rows = [("place", "aiogram has, we do not", "we have, aiogram does not")]
        rows.append(("Update", ", ".join(sorted(self.missing_kinds)), ", ".join(sorted(self.extra_kinds))))
        for name in sorted(self.missing_members.keys() | self.extra_members.keys()):
            missing = ", ".join(sorted(self.missing_members.get(name, ())))
            rows.append((name, missing, ", ".join(sorted(self.extra_members.get(name, ())))))
        wide = max(len(row[0]) for row in rows)
        return "\n".join(f"{name:<{wide}} | {missing or '-'} | {extra or '-'}" for name, missing, extra in rows)


def _members(shape: Shape, into: set[str]) -> None:
    """Names of the members at the top of a payload, over all its forms."""
    match shape:
        case Object(required, optional):
            into |= required.keys() | optional.keys()
        case OneOf(options):
            for option in options:
                _members(option, into)
        case Array(item):
            _members(item, into)
        case _:
            pass


def drift() -> Drift:
    """Compares aiogram's models with our description and golden updates."""
    ours: dict[str, set[str]] = defaultdict(set)
    options = Telegram().shape()
    for option in options.options if isinstance(options, OneOf) else ():
        for kind, payload in option.required.items() if isinstance(option, Object) else ():
            if kind != "update_id":
                _members(payload, ours[kind])
    for update in Telegram().golden(Dice(0)).values():
        for kind, payload in update.items():
            if kind != "update_id":
                ours[kind] |= payload.keys()
    theirs: dict[str, set[str]] = {}
    for name, field in api.Update.model_fields.items():
        models = [model for model in getattr(field.annotation, "__args__", ()) if hasattr(model, "model_fields")]
        if models:
            theirs[name] = {inner.alias or key for key, inner in models[0].model_fields.items()}
    missing, extra = {}, {}
    for kind in theirs.keys() & ours.keys():
        name = "Message" if theirs[kind] == theirs["message"] else kind
        if name == "Message":
            continue
        missing[name] = frozenset(theirs[kind] - ours[kind])
        extra[name] = frozenset(ours[kind] - theirs[kind])
    messages = {kind for kind in theirs if theirs[kind] == theirs["message"]}
    said = set().union(*(ours[kind] for kind in messages))
    missing["Message"] = frozenset(theirs["message"] - said)
    extra["Message"] = frozenset(said - theirs["message"])
    return Drift(
        aiogram.__version__,
        frozenset(theirs.keys() - set(KINDS)),
        frozenset(set(KINDS) - theirs.keys()),
        {name: members for name, members in missing.items() if members},
        {name: members for name, members in extra.items() if members},
    )


if __name__ == "__main__":
    found = drift()
    sys.stdout.write(f"aiogram {found.version}\n{found.table()}\n")
