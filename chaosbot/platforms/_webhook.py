"""What platforms of signed webhooks share: a `Webhook` is a way of signing, transports by kind, golden payloads and places, as values.

Rules:

- An update is ``{kind: payload}``, as Telegram's are; the kind chooses the transport, and mutations act on the payload, which is then
  encoded and signed again. Anything else is sent as a JSON body of the canary's kind.
- Golden payloads are named ``kind`` or ``kind/variant``.
- A delivery of its own has other ids of the same form (`Places`), wherever they stand, and a marker in its text.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Final

from chaosbot.core.case import Answer, Case, Expect, Reach, Role
from chaosbot.core.dice import Dice
from chaosbot.core.errors import ConfigError, UnknownName
from chaosbot.core.exchange import UpdateFacts
from chaosbot.core.journey import DeliveryRules, JourneySpec, Task
from chaosbot.core.kit import GONE, Base, Kit, Path, RawRequest, changed, path_of, put, there
from chaosbot.core.marker import MARKER, marker, markers_in
from chaosbot.core.platform import Batch, Doubt, Endpoint, Platform, Request
from chaosbot.core.registry import option
from chaosbot.core.shape import Object, OneOf, Shape
from chaosbot.core.verdict import Threat
from chaosbot.platforms import _trust
from chaosbot.platforms._generic import SHORTEST_ID, alike, inferred
from chaosbot.platforms._keys import public_key
from chaosbot.platforms._signatures import Style, mistaken, resigned
from chaosbot.platforms._signed_cases import cases as signed_cases
from chaosbot.platforms._transport import FORM, JSON, NONE, BodyCodec, Places, Transport

_LARGEST: Final = 1 << 20
_DEEPEST: Final = 40
_IMPATIENT_S: Final = 5.0
"""A platform that waits no longer has a deadline that users notice."""
_ROLES: Final = ("delivery", "chat", "user", "message", "callback", "own")
_FEW: Final = range(1001, 1101)
"""Those who go through flows: as few as let each come through one in a short load, and none of the client's."""
_OF_DELIVERY: Final = ("delivery", "callback")
SERVED: Final = Expect(reach=Reach.AT_MOST_ONCE)
"""A valid update: acknowledged."""
ODD: Final = Expect(frozenset({2, 4}), reach=Reach.AT_MOST_ONCE)
"""An update that is odd but possible, or nearly one: taken or refused, and never a 5xx."""

GENUINE: Final[Mapping[str, Any]] = {"threat": Threat.NETWORK, "check": "valid_accepted", "expect": SERVED}
"""Of an `Odd`: an update that is rare but the platform's own, which must be acknowledged."""


@dataclass(frozen=True, slots=True)
class Odd:
    """One case of a platform's own: a golden update with changes.

    Args:
        name: ``group/what``.
        golden: The golden update that it starts from.
        summary: What is special about it.
        changes: Values by dotted path in the payload; `GONE` removes.
        headers: Values by header; None removes.
        expect: What a correct target does.
        threat: Who can send it.
        check: The check that judges it first.
        sign: ``right``, ``wrong`` (with another secret) or ``none``.
        body: Instead of the payload, this body.
        update: Instead of the golden update, this one.
        method: Instead of the kind's, this method.
        role: What it is for where cases are compared.
    """

    name: str
    golden: str
    summary: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str | None] = field(default_factory=dict)
    expect: Expect = ODD
    threat: Threat = Threat.USER
    check: str = "no_server_error"
    sign: str = "right"
    body: bytes | None = None
    update: Any = None
    method: str = ""
    role: Role = Role.ATTEMPT


def _kind(name: str) -> str:
    """The kind of a golden update, by its name: ``kind`` or ``kind/variant``."""
    return name.partition("/")[0]


def answers(*statuses: int, within_s: float | None = None, **wanted: Any) -> Expect:
    """An expectation of exact statuses (2xx by default) and of an answer (the arguments of `Answer`)."""
    return Expect(
        frozenset(statuses or (2,)),
        within_s=within_s,
        reach=Reach.AT_MOST_ONCE,
        answer=Answer(**wanted) if wanted else None,
    )


@dataclass(frozen=True)
class Webhook(Platform):
    """A platform whose deliveries are signed, described by values."""

    signs: ClassVar[bool] = True
    answers_act: ClassVar[bool] = False
    otherwise: ClassVar[str] = "it verifies another body than the bytes that came (it must not write the body anew)"
    style: ClassVar[Style]
    transports: ClassVar[Mapping[str, Transport]] = {}
    """By kind; kinds that are not here travel as JSON."""
    places: ClassVar[Places]
    rules: ClassVar[DeliveryRules] = DeliveryRules()
    expects: ClassVar[Mapping[str, Expect]] = {}
    """By name or kind of golden update, what a correct target answers; the others are just acknowledged."""
    usual: ClassVar[str]
    """The golden update that any healthy target acknowledges."""
    acting: ClassVar[tuple[str, ...]] = ()
    """Golden updates that targets most likely act on, beside the usual one."""
    weighty: ClassVar[tuple[str, ...]] = ()
    """Golden updates whose kind decides much and stands in an unsigned header."""
    anywhere: ClassVar[tuple[str, ...]] = ()
    """Members that any kind may have."""
    rights: ClassVar[tuple[_trust.Rights, ...]] = ()
    """How what only an admin may do is asked for."""
    pressing: ClassVar[tuple[_trust.Pressing, ...]] = ()
    """How buttons are pressed."""
    batching: ClassVar[tuple[_trust.Batching, ...]] = ()
    """Where one delivery holds several updates."""

    flows: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """What one person does about one thing, by name: golden updates in their order, which load sends one after the other."""

    only: str = option("text", "which kinds of update the target takes, with commas between; empty for all", "")
    tenant: str = option(
        "text", "the account (team, installation, business …) that the target serves; a made-up one otherwise", ""
    )
    other_tenant: str = option("text", "an account that the target serves with another secret", "")
    privileged: str = option("text", "what only an admin may write, e.g. '/deploy'", "")
    admin: str = option("text", "the id of an admin of the target", "")
    admin_name: str = option("text", "the name of that admin, as the platform shows it", "")
    former_secret: str = option("text", "a secret that was replaced (CHAOSBOT_FORMER_SECRET)", "")
    second_secret: str = option(
        "text", "a secret that is valid as well, while one is being replaced (CHAOSBOT_SECOND_SECRET)", ""
    )

    def __post_init__(self) -> None:
        """Refuses kinds that there are none of, and accounts that look like none."""
        names = self.payloads()
        known = {*names, *(_kind(name) for name in names)}
        for name in self._chosen - known:
            raise UnknownName.of("kind", name, {_kind(one) for one in names}, where="only")
        accounts = {"tenant": self.tenant, "other_tenant": self.other_tenant}
        for where, tenant in ((where, tenant) for where, tenant in accounts.items() if tenant):
            held = {
                str(one) for one in (self.places.first(each, "tenant") for each in names.values()) if one is not None
            }
            moved = (_trust.moved(one, self.places.tenant, tenant) != one for one in names.values())
            if tenant not in held and not any(moved):
                usual = min(held, default="")
                raise ConfigError(where, f"'{tenant}' looks like no account of {self.name}; write one like {usual}")

    @property
    def _chosen(self) -> frozenset[str]:
        return frozenset(filter(None, map(str.strip, self.only.split(","))))

    # ── what a platform says ──────────────────────────────────────────────────────────────────────────────────────────

    @abstractmethod
    def payloads(self) -> Mapping[str, Any]:
        """Golden payloads by name."""

    @abstractmethod
    def kind_in(self, headers: Mapping[str, str], payload: Any) -> str:
        """A payload's kind; empty where it cannot be told."""

    def odd(self) -> tuple[Odd, ...]:
        """Handshakes and hostile updates of the platform's own."""
        return ()

    @property
    def scheme(self) -> Style:
        """The way of signing."""
        return self.style

    def mistaken(self, secret: str) -> str:
        """A token, a key, or a secret of another way of signing."""
        return mistaken(secret, prefixed=self.scheme.name == "stripe")

    # ── what follows from that ────────────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def known(self) -> Mapping[str, Any]:
        """The golden payloads of the kinds that the target takes."""
        chosen = self._chosen
        every = self.payloads()
        if self.tenant:
            every = {name: _trust.moved(one, self.places.tenant, self.tenant) for name, one in every.items()}
        if not chosen:
            return every
        return {name: one for name, one in every.items() if name in chosen or _kind(name) in chosen}

    @property
    def eventful(self) -> tuple[str, ...]:
        """The golden updates that targets most likely act on, of the kinds that this one takes."""
        return tuple(name for name in dict.fromkeys((self.canary(), *self.acting)) if name in self.known)

    @cached_property
    def kinds(self) -> frozenset[str]:
        """The kinds of update, with those that only cases send."""
        return frozenset(_kind(name) for name in self.known) | self.transports.keys()

    @property
    def fresh_s(self) -> float:
        """By how old a signature may be."""
        return self.scheme.fresh_s

    @property
    def proof(self) -> str:
        """The signature's header."""
        return self.scheme.header

    @property
    def described(self) -> bool:
        """A few updates say what payloads may look like, not what each member may be."""
        return False

    def canary(self) -> str:
        """The plainest update of those that the target takes."""
        return self.usual if self.usual in self.known else next(iter(self.known))

    def public_key(self, secret: str) -> str:
        """In hexadecimal."""
        return public_key(secret).hex() if self.scheme.algorithm == "ed25519" else ""

    def transport(self, kind: str) -> Transport:
        """How a kind travels."""
        return self.transports.get(kind, _PLAIN)

    def split(self, update: Any) -> tuple[str, Any]:
        """Kind and payload of an update; what is none has no kind and is its own payload."""
        if isinstance(update, dict) and len(update) == 1:
            (kind,) = update
            if kind in self.kinds:
                return kind, update[kind]
        return "", update

    def encode(self, endpoint: Endpoint, update: Any) -> bytes:
        """A delivery as the platform sends it, signed; bytes are signed and sent as they are."""
        kind, payload = self.split(update)
        if not kind:
            kind = self._kind_of_body(payload) if isinstance(payload, bytes) else _kind(self.canary())
        transport = self.transport(kind)
        body = payload if isinstance(payload, bytes) else transport.codec.write(payload)
        target = transport.target(endpoint.path, payload)
        body = b"" if transport.query else body
        host = self.base_url or f"http://{endpoint.host}"
        body = self.scheme.sealed(endpoint.secret, endpoint.time, body, host + target) if transport.signed else body
        headers: list[tuple[str, str]] = [*transport.headers]
        if transport.signed:
            headers += self.scheme.headers(endpoint.secret, endpoint.time, body, kind, host + target)
        lines = [
            f"{transport.method} {target} HTTP/1.1",
            f"Host: {endpoint.host}",
            *(f"{name}: {value}" for name, value in (*headers, *endpoint.headers)),
            "Connection: keep-alive",
            "Accept-Encoding: gzip, deflate",
        ]
        if transport.method != "GET":
            lines += [f"Content-Type: {transport.codec.content_type}"] if transport.codec.content_type else []
            lines.append(f"Content-Length: {len(body)}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape") + body

    def _kind_of_body(self, body: bytes) -> str:
        """The kind of a body that is given as bytes; the canary's where it cannot be told."""
        kind = "" if len(body) > _LARGEST else self.kind_in({}, self.decoded("", body))
        return kind if kind in self.kinds else _kind(self.canary())

    @cached_property
    def _codecs(self) -> tuple[BodyCodec, ...]:
        """The codecs of all kinds; a plain form comes last, since it reads any form."""
        found = dict.fromkeys((*(self.transport(kind).codec for kind in sorted(self.kinds)), JSON))
        return tuple(sorted(found, key=lambda one: one is FORM))

    def decoded(self, content_type: str, body: bytes) -> Any:
        """A body's payload; None where no codec of the platform reads it."""
        for codec in self._codecs:
            if codec is NONE or (content_type and not _alike(codec.content_type, content_type)):
                continue
            try:
                payload = codec.read(body)
            except (ValueError, KeyError, TypeError, RecursionError):
                continue
            if payload:
                return payload
        return None

    def facts(self, method: str, path: str, headers: tuple[tuple[str, str], ...], body: bytes) -> UpdateFacts | None:
        """Kind, ids and marker of a delivery; None for what is none."""
        if method != "POST" or len(body) > _LARGEST:
            asked = next((kind for kind, one in self.transports.items() if one.query and one.method == method), None)
            return UpdateFacts(kind=asked) if asked and "?" in path else None
        named = dict(headers)
        payload = self.decoded(named.get("content-type", ""), body)
        if not isinstance(payload, dict):
            return None
        kind = self.kind_in(named, payload)
        found = markers_in(str(self.places.first(payload, "text") or "")) or markers_in(body.decode("utf-8", "replace"))
        at = self.places.first
        command = at(payload, "command")
        return UpdateFacts(
            update_id=named.get(self.scheme.id_header) or at(payload, "delivery"),
            kind=kind or None,
            chat=at(payload, "chat"),
            user=at(payload, "user"),
            command=command.removeprefix("/") if isinstance(command, str) else None,
            marker=found[0] if found else None,
            message=at(payload, "message"),
            callback=_text(at(payload, "callback")),
            tenant=at(payload, "tenant"),
        )

    def resigned(self, secret: str, before: bytes, after: bytes, later_s: int = 0) -> bytes | None:
        """Renews id, timestamp and signature where they were right."""
        return resigned(self.scheme, secret, before, after, later_s, self.base_url) if secret else after

    def golden(self, dice: Dice) -> dict[str, Any]:
        """A payload of each kind and variant."""
        return {name: self.made(name, dice.at("golden", name)) for name in self.known}

    def made(self, name: str, dice: Dice) -> Any:
        """A golden update of this name as a delivery of its own."""
        return self.fresh({_kind(name): self.known[name]}, dice)

    def expected(self, name: str) -> Expect:
        """What a correct target answers to this golden update."""
        said = self.expects.get(name) or self.expects.get(_kind(name))
        wait_s = self.delivery().answer_wait_s
        return said or Expect(within_s=wait_s if wait_s <= _IMPATIENT_S else None)

    def journeys(self) -> tuple[JourneySpec, ...]:
        """A client that sends whatever there is, and people who go through each flow that the target takes; half of the load each."""
        whole = {name: steps for name, steps in self.flows.items() if all(step in self.known for step in steps)}
        (client,) = super().journeys()
        return (
            client,
            *(
                replace(
                    client,
                    name=name,
                    share=1 / len(whole),
                    tasks=tuple(Task(f"{name}/{step}") for step in steps),
                    ordered=True,
                    users=_FEW,
                )
                for name, steps in whole.items()
            ),
        )

    def build(self, task: str, user: int | str, ordinal: int, dice: Dice, endpoint: Endpoint) -> Request:
        """Encodes one golden update as a delivery of its own, or the step of a flow: about the same thing as the other steps."""
        del user
        flow, _, step = task.partition("/")
        name = step if step in self.flows.get(flow, ()) else task
        if name not in self.known:
            raise UnknownName.of("task", task, [one.name for each in self.journeys() for one in each.tasks])
        place = dice.at("build", ordinal)
        made = self.made(name, place) if name == task else self._fresh({_kind(name): self.known[name]}, place, dice)
        data = self.encode(endpoint, made)
        return Request(data, task, self.read(data))

    def inside(self, update: Any) -> Path:
        """The payload's path."""
        kind, _ = self.split(update)
        return (kind,) if kind else ()

    def fresh(self, update: Any, dice: Dice) -> Any:
        """The same update with ids and a marker of its own; what is missing or of the wrong type stays so."""
        return self._fresh(update, dice)

    def _fresh(self, update: Any, dice: Dice, flow: Dice | None = None) -> Any:
        """As `fresh`; in a flow, what is no id of the delivery is that of the flow."""
        kind, payload = self.split(update)
        if not kind:
            return update
        swaps: dict[Any, Any] = {}
        for role in _ROLES:
            for dotted in getattr(self.places, role):
                old = there(payload, dotted)
                if isinstance(old, bool) or not isinstance(old, int | str) or len(str(old)) < SHORTEST_ID:
                    continue
                shared = flow.at("id", str(old)) if flow is not None and role not in _OF_DELIVERY else None
                swaps.setdefault(old, alike(old, shared or dice.at(role, dotted)))
        made = _swapped(payload, swaps, marker(dice), 0)
        place = self.places.place(made, "text")
        if place and marker(dice) not in there(made, place) and there(made, place):
            made = put(made, path_of(place), f"{there(made, place)} {marker(dice)}")
        return {kind: made}

    def doubts(self, endpoint: Endpoint, dice: Dice) -> Iterator[Doubt]:
        """Claimed privileges, other accounts, replays, other kinds."""
        for make in (_trust.rights, _trust.tenants, _trust.replays, _trust.headers):
            yield from make(self, endpoint, dice)

    def presses(self, endpoint: Endpoint, dice: Dice, data: str) -> Iterator[Doubt]:
        """Of a button that the admin was shown, by anybody else."""
        return _trust.presses(self, endpoint, dice, data)

    def batches(self, dice: Dice) -> tuple[Batch, ...]:
        """Where the platform puts several updates into one delivery."""
        return tuple(_trust.batches(self, dice))

    def answers_to(self) -> tuple[str, ...]:
        """Where the platform wants the answer."""
        return self.places.reply

    def written(self, text: str, dice: Dice) -> Any:
        """The canary with this text."""
        ((name, payload),) = self.made(self.canary(), dice).items()
        place = self.places.place(payload, "text")
        return {name: put(payload, path_of(place), text)} if place else None

    def shape(self) -> Shape:
        """Payloads like the golden ones."""
        return OneOf(tuple(Object({_kind(name): inferred(payload)}) for name, payload in self.known.items()))

    def delivery(self) -> DeliveryRules:
        """The platform's timeout, retries and expiry."""
        return self.rules

    # ── cases ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def catalogue(self, endpoint: Endpoint, dice: Dice) -> tuple[Case, ...]:
        """Signatures, handshakes, and the platform's own odd updates."""
        kit = Kit(self, endpoint, dice)
        signed = signed_cases(kit, self.scheme) if endpoint.secret else iter(())
        return (*signed, *self._odd(kit))

    def _wordless(self) -> Iterator[Odd]:
        """What targets most likely act on, without the words that they read."""
        for name in self.eventful:
            place = self.places.place(self.known[name], "text")
            for word, value in (("absent", GONE), ("null", None), ("empty", "")) if place else ():
                yield Odd(f"words/{name}-{word}", name, f"a {name} whose text is {word}", {place: value})

    def _unsigned(self) -> Iterator[Odd]:
        """What targets most likely act on, and one of each way of travelling, without signature: a handler of its own may not verify."""
        ways = {self.transport(_kind(name)): name for name in reversed(tuple(self.known))}
        for name in dict.fromkeys((*self.eventful, *ways.values())):
            if self.transport(_kind(name)).signed:
                stranger = Expect(frozenset({400, 401, 403, 404, 422}), reach=Reach.NONE)
                what = f"a {name} without signature"
                yield Odd(
                    f"unsigned/{name}",
                    name,
                    what,
                    sign="none",
                    threat=Threat.FORGER,
                    check="forged_refused",
                    expect=stranger,
                )

    def _own(self, changes: Mapping[str, Any], golden: Any, payload: Any) -> Mapping[str, Any]:
        """The changes with the ids that the golden payload has in this delivery: members that are made of golden ones are no others'."""
        swaps: dict[Any, Any] = {}
        for dotted in (one for role in _ROLES for one in getattr(self.places, role)):
            old, new = there(golden, dotted), there(payload, dotted)
            if isinstance(old, int | str) and len(str(old)) >= SHORTEST_ID and isinstance(new, int | str):
                swaps.setdefault(old, new)
        made: Mapping[str, Any] = _swapped(changes, swaps, "", 0)
        return made

    def _odd(self, kit: Kit) -> Iterator[Case]:
        for odd in (*self.odd(), *self._wordless(), *self._unsigned()):
            if odd.golden not in self.known or (odd.sign != "right" and not kit.endpoint.secret):
                continue
            base = kit.base(odd.name, odd.golden)
            ((kind, payload),) = base.update.items()
            changes = self._own(odd.changes, self.known[odd.golden], payload)
            update = {kind: changed(payload, changes)} if odd.body is None else odd.body
            update = update if odd.update is None else odd.update
            endpoint = kit.endpoint
            if odd.sign == "wrong":
                endpoint = replace(endpoint, secret=_OTHER)
            request = RawRequest.of(self.encode(endpoint, update))
            if odd.sign == "none":
                request = request.without(self.scheme.header)
            if odd.method:
                request = request.with_method(odd.method)
            for name, value in odd.headers.items():
                request = request.without(name) if value is None else request.with_header(name, value)
            base = kit.take(Base(update, request, self.read(request.data) or base.facts))
            yield kit.case(
                odd.name, base, request, odd.summary, odd.expect, threat=odd.threat, check=odd.check, role=odd.role
            )


_PLAIN: Final = Transport()
_OTHER: Final = "chaosbot-another-secret"


def _alike(codec: str, given: str) -> bool:
    return codec.partition(";")[0] == given.partition(";")[0].strip().lower()


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _swapped(value: Any, swaps: Mapping[Any, Any], mine: str, depth: int) -> Any:
    """The value with other ids and another marker, everywhere."""
    if depth > _DEEPEST:
        return value
    if isinstance(value, str):
        return swaps[value] if value in swaps else MARKER.sub(mine, value)
    if type(value) is int:
        return swaps.get(value, value)
    if isinstance(value, list):
        return [_swapped(item, swaps, mine, depth + 1) for item in value]
    if isinstance(value, dict):
        return {name: _swapped(item, swaps, mine, depth + 1) for name, item in value.items()}
    return value
