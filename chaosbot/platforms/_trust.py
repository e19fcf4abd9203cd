"""What a target of signed webhooks must not believe, and must not lose, described as values by each platform.

| kind | a platform says | the doubt |
|---|---|---|
| tenants | where ids of accounts stand (`Places.tenant`) | another account's ids under this account's signature |
| headers | which kinds weigh most (`Webhook.weighty`) | an ordinary signed body whose unsigned header names such a kind |
| rights | who may write what only an admin may (`Rights`) | a stranger whose own words or neighbours claim it |
| presses | how a button is pressed, and by whom (`Pressing`) | a stranger who presses what was shown to the admin |
| batches | where several updates stand side by side (`Batching`) | something among them that no target understands |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from chaosbot.core.dice import Dice
from chaosbot.core.kit import BETWEEN, RawRequest, changed, look, path_of, put, there
from chaosbot.core.platform import Batch, Doubt, Endpoint
from chaosbot.core.verdict import Threat
from chaosbot.platforms._generic import alike

if TYPE_CHECKING:
    from chaosbot.platforms._webhook import Webhook

_WORDS: Final = ("{admin}", "{name}", "{text}", "{command}", "{rest}")


@dataclass(frozen=True, slots=True)
class Claim:
    """A stranger's delivery that looks like an admin's.

    Args:
        name: Its name.
        summary: What makes it look so.
        changes: Values by dotted path, on top of those of `Rights.plain`; texts may hold ``{admin}`` and ``{name}``.
    """

    name: str
    summary: str
    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rights:
    """How a privilege is asked for.

    Args:
        golden: In which golden update.
        asked: What is asked for, by dotted path: ``{text}`` is all of it, ``{command}`` the first word, ``{rest}`` what follows.
        granted: What makes the sender one who may; ``{admin}`` is the admin's id.
        plain: What makes the sender one who may not.
        claims: What looks as if they might.
    """

    golden: str
    asked: Mapping[str, Any]
    granted: Mapping[str, Any] = field(default_factory=dict)
    plain: Mapping[str, Any] = field(default_factory=dict)
    claims: tuple[Claim, ...] = ()


@dataclass(frozen=True, slots=True)
class Pressing:
    """How a button is pressed.

    Args:
        golden: In which golden update.
        places: Where the parts of the button's data stand in it, as dotted paths, in the mock's order.
        granted: What makes the presser one who may; ``{admin}`` and ``{name}`` are known of an admin.
        plain: What makes the presser one who may not.
        claims: What looks as if they might, beside a press that claims nothing.
    """

    golden: str
    places: tuple[str, ...]
    granted: Mapping[str, Any] = field(default_factory=dict)
    plain: Mapping[str, Any] = field(default_factory=dict)
    claims: tuple[Claim, ...] = ()


@dataclass(frozen=True, slots=True)
class Batching:
    """Where several updates stand side by side.

    Args:
        name: Its name.
        golden: An update of one member.
        place: The list, as a dotted path.
        odd: What may stand among them: its name, its summary and itself.
        along: Other lists that have a member for each.
    """

    name: str
    golden: str
    place: str
    odd: tuple[tuple[str, str, Any], ...]
    along: tuple[str, ...] = ()


def _said(changes: Mapping[str, Any], known: Mapping[str, str]) -> dict[str, Any] | None:
    """The changes with their words filled in; None where one of those is not known."""
    missing = [word for word in _WORDS if word not in known]
    if any(word in str(value) for value in changes.values() for word in missing):
        return None
    return {path: _filled(value, known) for path, value in changes.items()}


def _filled(value: Any, known: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {_filled(name, known): _filled(one, known) for name, one in value.items()}
    if not isinstance(value, str):
        return value
    for word, text in known.items():
        value = value.replace(word, text)
    return value


def tenants(platform: Webhook, endpoint: Endpoint, dice: Dice) -> Iterator[Doubt]:
    """Another account's ids, signed with this account's secret."""
    if not platform.other_tenant or not endpoint.secret:
        return
    for name in platform.eventful:
        rightful, doubtful = (platform.made(name, dice.at("tenant", name, which)) for which in ("own", "other"))
        ((kind, payload),) = doubtful.items()
        yield Doubt(
            "tenants_apart",
            f"tenant/{name}",
            f"a {name} of the account {platform.other_tenant} with this account's signature",
            Threat.USER,
            platform.encode(endpoint, rightful),
            platform.encode(endpoint, {kind: moved(payload, platform.places.tenant, platform.other_tenant)}),
        )


def moved(payload: Any, places: tuple[str, ...], tenant: str) -> Any:
    """The payload in another account: its id at all places that hold one of its form, or at the first where none holds any."""
    if places and "." not in places[0] and all(there(payload, place) is None for place in places):
        return payload | {places[0]: tenant} if isinstance(payload, dict) else payload
    for place in places:
        old = there(payload, place)
        if type(old) is int and tenant.isdecimal():
            payload = put(payload, path_of(place), int(tenant))
        elif isinstance(old, str) and old.isdecimal() == tenant.isdecimal() and ("/" in old) == ("/" in tenant):
            payload = put(payload, path_of(place), tenant)
    return payload


def replays(platform: Webhook, endpoint: Endpoint, dice: Dice) -> Iterator[Doubt]:
    """A signed body once more, under a delivery id that no signature covers."""
    header = platform.scheme.id_header
    if not header or platform.scheme.signs_id or not endpoint.secret:
        return
    for name in platform.eventful:
        rightful, repeated = (
            RawRequest.of(platform.encode(endpoint, platform.made(name, dice.at("replay", name, which))))
            for which in ("once", "again")
        )
        other = str(alike((repeated.header(header) or b"").decode("latin-1"), dice.at("replay", name, "id")))
        for word, request, summary in (
            ("new", repeated.with_header(header, other), "another delivery id"),
            ("missing", repeated.without(header), "no delivery id"),
        ):
            what = f"a {name} that was sent before, with {summary}"
            yield Doubt(
                "replay_recognised",
                f"replay/{name}/{word}",
                what,
                Threat.FORGER,
                rightful.data,
                request.data,
                before=repeated.data,
            )


def headers(platform: Webhook, endpoint: Endpoint, dice: Dice) -> Iterator[Doubt]:
    """An ordinary body that only its unsigned header turns into something that weighs."""
    header = platform.scheme.kind_header
    if not header or not endpoint.secret:
        return
    for name in platform.weighty:
        if name not in platform.known:
            continue
        kind = name.partition("/")[0]
        body = _ordinary(platform, name)
        if not body:
            continue
        rightful = platform.made(name, dice.at("header", name))
        ((_, payload),) = rightful.items()
        ((own, told),) = platform.made(body, dice.at("header", name, "ordinary")).items()
        # What any kind may have, and what happened to another thing, an ordinary body can have as well.
        told = {key: payload[key] for key in platform.anywhere if key in payload} | told
        told |= {"action": payload["action"]} if isinstance(payload.get("action"), str) else {}
        request = RawRequest.of(platform.encode(endpoint, {own: told}))
        yield Doubt(
            "kind_as_signed",
            f"header/{name}",
            f"a signed {own} whose header says {kind}",
            Threat.FORGER,
            platform.encode(endpoint, rightful),
            request.with_header(header, kind).data,
            request.data,
        )


def _ordinary(platform: Webhook, name: str) -> str:
    """The golden update of another kind that has the most of this one's members, and its action where one has it."""
    wanted = platform.known[name]
    kind, action = name.partition("/")[0], wanted.get("action")
    others = [one for one in platform.known if one.partition("/")[0] != kind and one not in platform.weighty]

    def likeness(one: str) -> tuple[bool, int]:
        held = platform.known[one]
        return isinstance(held.get("action"), str) == isinstance(action, str), len(held.keys() & wanted.keys())

    return max(others, key=likeness, default="")


def rights(platform: Webhook, endpoint: Endpoint, dice: Dice) -> Iterator[Doubt]:
    """What only an admin may do, asked for by strangers who look like one."""
    command, _, text = platform.privileged.strip().partition(" ")
    known = {"{text}": platform.privileged.strip(), "{command}": command, "{rest}": text}
    known |= {"{admin}": platform.admin} if platform.admin else {}
    known |= {"{name}": platform.admin_name} if platform.admin_name else {}
    for one in platform.rights if platform.privileged else ():
        asked = _said(one.asked, known)
        # Who may is so in every respect that is known, whichever of them the target looks at.
        granted = {path: _filled(value, known) for path, value in one.granted.items() if _said({path: value}, known)}
        if asked is None or not granted or one.golden not in platform.known:
            continue

        def delivery(changes: Mapping[str, Any], *place: str, what: Rights = one, base: Any = asked) -> bytes:
            ((kind, payload),) = platform.made(what.golden, dice.at("rights", what.golden, *place)).items()
            return platform.encode(endpoint, {kind: changed(payload, {**base, **changes})})

        rightful, plain = delivery(granted, "granted"), delivery(one.plain, "plain")
        for claim in one.claims:
            claimed = _said(claim.changes, known)
            if claimed is not None:
                doubtful = delivery({**one.plain, **claimed}, claim.name)
                name = f"rights/{one.golden}/{claim.name}"
                yield Doubt("privilege_not_claimed", name, claim.summary, Threat.USER, rightful, doubtful, plain)


def presses(platform: Webhook, endpoint: Endpoint, dice: Dice, data: str) -> Iterator[Doubt]:
    """A button that the admin was shown, pressed by anybody else."""
    known = ({"{admin}": platform.admin} if platform.admin else {}) | (
        {"{name}": platform.admin_name} if platform.admin_name else {}
    )
    for one in platform.pressing:
        granted = {path: _filled(value, known) for path, value in one.granted.items() if _said({path: value}, known)}
        if not granted or one.golden not in platform.known:
            continue
        parts = dict(zip(one.places, data.split(BETWEEN), strict=False))
        pressed = {place: part for place, part in parts.items() if part}

        def delivery(changes: Mapping[str, Any], word: str, what: Pressing = one, base: Any = pressed) -> bytes:
            ((kind, payload),) = platform.made(what.golden, dice.at("press", data, word)).items()
            return platform.encode(endpoint, {kind: changed(payload, {**base, **changes})})

        anybody = Claim("anybody", "a press by somebody else of a button that the admin was shown", {})
        for claim in (anybody, *one.claims):
            claimed = _said(claim.changes, known)
            if claimed is not None:
                name, doubtful = f"press/{one.golden}/{claim.name}", delivery({**one.plain, **claimed}, claim.name)
                yield Doubt(
                    "privilege_not_claimed", name, claim.summary, Threat.USER, delivery(granted, "granted"), doubtful
                )


def batches(platform: Webhook, dice: Dice) -> Iterator[Batch]:
    """Two members, and two with something odd between them."""
    for one in platform.batching:
        if one.golden not in platform.known:
            continue
        path = path_of(one.place)
        for name, summary, odd in one.odd:
            place = dice.at("batch", one.name, name)
            members = tuple(platform.made(one.golden, place.at(number)) for number in range(2))
            ((kind, base),), ((_, second),) = members[0].items(), members[1].items()
            for dotted in one.along:
                base = put(base, path_of(dotted), [*look(base, path_of(dotted)), *look(second, path_of(dotted))])
            first, last = look(base, path), look(second, path)
            whole, mixed = ({kind: put(base, path, [*first, *more, *last])} for more in ([], [odd]))
            yield Batch("batch_survives", f"{one.name}-{name}", summary, members, whole, mixed)
