"""Single-site mutations over golden updates: one member dropped, nulled, retyped, wrapped, or one that nobody knows added.

Rules:

- One change a case, so a finding names the member that it is about and needs no further shrinking.
- Shallow members come first and golden updates take turns, so that whatever time there is covers what matters most.
- Nothing here is malformed JSON; a correct server ignores or refuses, and never breaks.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Final

from chaosbot.core.case import ORDINARY, Case, Change, Expect, Reach, Segment
from chaosbot.core.dice import Dice
from chaosbot.core.kit import member
from chaosbot.core.marker import marker
from chaosbot.core.platform import Endpoint, Platform
from chaosbot.core.verdict import Threat

Path = tuple[str | int, ...]

_DEEPEST: Final = 5
_EITHER: Final = Expect(frozenset({2, 4}), reach=Reach.AT_MOST_ONCE)
_VALID: Final = Expect(reach=Reach.AT_MOST_ONCE)

_RETYPED: Final[tuple[tuple[str, Any], ...]] = (
    ("text", "chaosbot"),
    ("number", 7),
    ("flag", True),
    ("list", []),
    ("object", {}),
    ("negative", -1),
    ("empty-text", ""),
    ("huge", 2**63),
    ("fraction", 1.5),
)


def sites(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every member and item below a value, the shallow ones first."""
    level: list[tuple[Path, Any]] = [((), value)]
    for _ in range(_DEEPEST):
        deeper: list[tuple[Path, Any]] = []
        for place, node in level:
            children: list[tuple[str | int, Any]] = []
            if isinstance(node, dict):
                children = list(node.items())
            elif isinstance(node, list):
                children = list(enumerate(node[:2]))
            for key, child in children:
                yield (*path, *place, key)
                deeper.append(((*place, key), child))
        level = deeper


def changed(update: Any, path: Path, how: str) -> Any:
    """A copy of the update with one site changed; None when the change changes nothing."""
    whole = copy.deepcopy(update)
    node = whole
    for key in path[:-1]:
        node = node[key]
    last = path[-1]
    old = node[last]
    if how == "drop":
        del node[last]
        return whole
    if how == "null":
        new: Any = None
    elif how == "wrap":
        new = [old]
    elif how == "double":
        new = old * 2 if isinstance(old, (str, list)) and old else old
    elif how == "as-text":
        new = str(old) if isinstance(old, int) and not isinstance(old, bool) else old
    else:
        new = dict(_RETYPED)[how]
        if type(new) is type(old) and how in ("text", "number", "flag", "list", "object"):
            return None
    if new == old and type(new) is type(old):
        return None
    node[last] = new
    return whole


HOWS: Final = ("drop", "null", "wrap", "as-text", *(name for name, _ in _RETYPED), "double")


def mutations(
    platform: Platform, endpoint: Endpoint, dice: Dice, without: frozenset[str] = frozenset()
) -> Iterator[Case]:
    """All mutations, the shallow and drastic ones first; the order within one depth is the seed's."""
    goldens = {name: update for name, update in platform.golden(dice).items() if name not in without}
    plan: list[tuple[int, str, Path, str]] = []
    seen: set[tuple[str, Path, str]] = set()
    for name, update in goldens.items():
        if not isinstance(update, dict):
            continue
        kind = next((key for key in update if key != "update_id"), "")
        for path in sites(update):
            for number, how in enumerate(HOWS):
                # The same member of the same kind is tried with two goldens at most: others would say the same.
                key = (kind, path, how)
                if key in seen and len(path) > 1 and number > 1:
                    continue
                seen.add(key)
                plan.append((len(path) * 4 + number // 3, name, path, how))
    ranked = sorted(dice.at("order").shuffled(plan), key=lambda entry: entry[0])
    for number, (_, name, path, how) in enumerate(ranked):
        place = dice.at(endpoint.started, "mutation", number)
        update = changed(goldens[name], path, how)
        if update is None:
            continue
        yield as_case(
            platform,
            endpoint,
            update,
            place,
            f"mutation/{name}/{written(path)}/{how}",
            f"{name}: {how} {written(path)}",
            change=member(path, next((key for key in goldens[name] if key != "update_id"), None), how),
        )
    for number, name in enumerate(goldens):
        place = dice.at(endpoint.started, "unknown", number)
        if isinstance(goldens[name], dict):
            for kind, payload in goldens[name].items():
                if isinstance(payload, dict):
                    update = {**goldens[name], kind: {**payload, "chaosbot_new_field": {"a": [1, None]}}}
                    yield as_case(
                        platform,
                        endpoint,
                        update,
                        place,
                        f"mutation/{name}/{kind}.chaosbot_new_field/add",
                        f"{name}: an unknown field",
                        _VALID if platform.extends else _EITHER,
                        change=member((kind, "chaosbot_new_field"), kind, "add"),
                    )


def written(path: Path) -> str:
    """A path as people read it."""
    return ".".join(str(key) for key in path)


def as_case(
    platform: Platform,
    endpoint: Endpoint,
    update: Any,
    place: Dice,
    name: str,
    summary: str,
    expect: Expect = _EITHER,
    *,
    fresh: bool = True,
    change: Change = ORDINARY,
) -> Case:
    """An update as a case of its own."""
    if fresh:
        update = platform.fresh(update, place)
    request = platform.encode(endpoint, update)
    planted = marker(place)
    head, _, body = request.partition(b"\r\n\r\n")
    facts = platform.facts("POST", endpoint.path, (), body)
    shown = planted.encode() in body
    del head
    return Case(
        name,
        "shape",
        Threat.NETWORK,
        (Segment(request),),
        expect,
        summary,
        marker=planted if shown else "",
        chat=facts.chat if facts is not None else None,
        update_id=facts.update_id if facts is not None else None,
        change=change,
        user=facts.user if facts is not None else None,
        message=facts.message if facts is not None else None,
        callback=facts.callback if facts is not None else None,
    )
