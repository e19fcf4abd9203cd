"""Makes a delivery of its own out of an update: new delivery id, chat, sender of the same tier and marker; nothing else changes.

Mutated updates pass through here too, so nothing is assumed: what is missing or has the wrong type stays as it is.
"""

from __future__ import annotations

from typing import Any, Final

from chaosbot.core.marker import MARKER
from chaosbot.platforms.telegram._parts import Json, Place
from chaosbot.platforms.telegram._users import Population, supergroup

# Deeper than any real update; what a mutation nested further is passed through as it is.
DEEPEST: Final = 40
_ID_MEMBERS: Final = frozenset({"id", "user_id", "chat_id", "user_chat_id"})


def freshen(update: Any, place: Place, population: Population) -> Any:
    """The same update as another delivery."""
    if not isinstance(update, dict):
        return update
    swaps: dict[int, int] = {}
    for payload in update.values():
        if isinstance(payload, dict):
            _swap_ids(payload, swaps, place, population)
    fresh = _rewrite(update, swaps, place.marker, 0)
    if type(update.get("update_id")) is int:
        fresh["update_id"] = place.update_id
    for payload in fresh.values():
        if isinstance(payload, dict):
            _plant(payload, place.marker)
    return fresh


def sent_by(update: Any, user: int, place: Place) -> Any:
    """The same update as a delivery of its own, sent by this user in their private chat; None where it does not happen in one."""
    for payload in update.values() if isinstance(update, dict) else ():
        someone = payload.get("from") if isinstance(payload, dict) else None
        old = someone.get("id") if isinstance(someone, dict) else None
        message = payload.get("message") if isinstance(payload, dict) else None
        holder = message if isinstance(message, dict) else payload
        chat = holder.get("chat") if isinstance(holder, dict) else None
        if type(old) is int and isinstance(chat, dict) and chat.get("id") == old and chat.get("type") == "private":
            return _rewrite(update, {old: user}, place.marker, 0) | {"update_id": place.update_id}
    return None


def _swap_ids(payload: Json, swaps: dict[int, int], place: Place, population: Population) -> None:
    chat = payload.get("chat")
    for someone in (payload.get("from"), payload.get("user"), chat):
        old = someone.get("id") if isinstance(someone, dict) else None
        tier = population.tier(old)
        if tier is not None and type(old) is int and old in population.ids(tier):
            swaps[old] = population.pick(tier, place.dice.at("user"))
            break
    message = payload.get("message")
    for holder in (payload, message if isinstance(message, dict) else {}):
        chat = holder.get("chat")
        number = chat.get("id") if isinstance(chat, dict) else None
        if type(number) is int and number < 0:
            swaps[number] = supergroup(place.dice)["id"]


def _rewrite(value: Any, swaps: dict[int, int], marker: str, depth: int) -> Any:
    if depth > DEEPEST:
        return value
    if isinstance(value, str):
        return MARKER.sub(marker, value)
    if isinstance(value, list):
        return [_rewrite(item, swaps, marker, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    made = {name: _rewrite(item, swaps, marker, depth + 1) for name, item in value.items()}
    for name in _ID_MEMBERS & made.keys():
        number = made[name]
        if type(number) is int and number in swaps:
            made[name] = swaps[number]
            if made.get("username") == f"chaos_{number}":
                made["username"] = f"chaos_{swaps[number]}"
    return made


def _plant(payload: Json, marker: str) -> None:
    """Puts the marker where a person writes, unless it is there already.

    Buttons keep their data: with a marker in it no bot would know them, and a press is joined by its chat.
    """
    for name in ("text", "caption"):
        text = payload.get(name)
        if isinstance(text, str) and text and marker not in text:
            payload[name] = f"{text} {marker}"
            return
