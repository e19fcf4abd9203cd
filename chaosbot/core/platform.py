"""What a platform is: one webhook sender's language, in the parts that the engines need.

| part | who needs it |
|---|---|
| `Codec` | all: the requests of a delivery, and the facts of one (the proxy needs no more) |
| `Signer` | the fuzzer: changed requests are signed again |
| `Examples` | the fuzzer: valid updates, their shape, hostile cases |
| `Journeys` | the load driver: journeys, tasks, WebSocket scenarios |
| `DeliveryPolicy` | the load driver and the proxy: how the platform delivers and redelivers |

A `Platform` is all of them under one name; it performs nothing.

Rules: a platform reads no clock (the time is in `Endpoint`) and draws from `Dice` only, so the same seed and endpoint give the
same bytes.
"""

# ruff: noqa: ARG002 -- the defaults of optional hooks ignore what they are told
from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from chaosbot.core.case import Case, Expect
from chaosbot.core.dice import Dice
from chaosbot.core.errors import ConfigError, UnknownName, shown
from chaosbot.core.event import ApiCalled
from chaosbot.core.exchange import UpdateFacts
from chaosbot.core.journey import DeliveryRules, JourneySpec, StreamSpec, Task
from chaosbot.core.jsontext import read_json
from chaosbot.core.registry import Registry, name_of
from chaosbot.core.verdict import Threat

if TYPE_CHECKING:
    from chaosbot.core.shape import Shape

EPOCH: Final = 1_767_225_600
"""2026-01-01T00:00:00Z: the time that requests claim when nobody says what time it is."""


@dataclass(frozen=True, slots=True)
class Privilege:
    """Something that the target gives to its admin, as the admin asks for it.

    Args:
        name: Its name in cases.
        text: What the admin writes, or the data of the button that the admin presses.
        control: The name of the case in which the admin did so.
        pressed: Whether it is a button.
        own: Whether the target told or showed it to its admin only.
    """

    name: str
    text: str
    control: str
    pressed: bool = False
    own: bool = True


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where and how a target is spoken to.

    Args:
        host: The Host header's value, with port.
        path: The webhook's path (with query, when it has one).
        secret: The platform's secret, as text; empty when none is configured.
        headers: More headers that every request carries.
        started: Unix time at which the run started. Delivery ids are counted from it, so that a second run with the same
            seed is not taken for a redelivery of the first.
        now: Unix time that a request claims to be sent at; 0 takes `started`.
    """

    host: str = "localhost"
    path: str = "/"
    secret: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    started: int = EPOCH
    now: int = 0

    @property
    def time(self) -> int:
        """The Unix time that a request claims."""
        return self.now or self.started


@dataclass(frozen=True, slots=True)
class Doubt:
    """A delivery that must not be believed, beside the one that does the same by right.

    Args:
        check: The check that judges it.
        name: Its name in cases.
        summary: What it claims.
        threat: Who can send it.
        rightful: The request that has the effect by right.
        doubtful: The request that must not have it.
        plain: The doubtful request without its claim; what that does was not claimed. None where there is none.
        before: What is sent right before the doubtful one, as that is what it repeats.
    """

    check: str
    name: str
    summary: str
    threat: Threat
    rightful: bytes
    doubtful: bytes
    plain: bytes | None = None
    before: bytes | None = None


@dataclass(frozen=True, slots=True)
class Bait:
    """A delivery that somebody else signed, and that says itself where the key is with which it is to be verified.

    Args:
        place: Where it says so.
        path: The path that it names.
        case: The delivery.
        documents: What is served there and below, by what follows the path.
    """

    place: str
    path: str
    case: Case
    documents: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Batch:
    """Several updates of people in one delivery, once by themselves and once with something among them that is none.

    Args:
        check: The check that judges it.
        name: Its name in cases.
        summary: What stands among them.
        members: Each as an update of its own.
        whole: All of them in one update.
        mixed: The same, with what is none of them in between.
    """

    check: str
    name: str
    summary: str
    members: tuple[Any, ...]
    whole: Any
    mixed: Any


@dataclass(frozen=True, slots=True)
class Request:
    """One request that a journey or a sender wants to make, already encoded.

    Args:
        data: The bytes on the wire, head and body, without the exchange header (the driver adds it when a proxy listens).
        task: The name under which reports count it.
        facts: What it is about.
    """

    data: bytes
    task: str = ""
    facts: UpdateFacts | None = None


class Codec(Protocol):
    """How a platform writes a delivery, and what can be read from one."""

    default_path: ClassVar[str] = "/"
    """Where people usually serve this platform's webhook."""
    answers_act: ClassVar[bool] = True
    """Whether an answer to a repeated delivery acts once more; not where the platform reads one answer to each delivery only."""
    extends: ClassVar[bool] = True
    """Whether the platform adds members to its updates as it grows, so that a target must ignore those it does not know."""

    @abstractmethod
    def facts(self, method: str, path: str, headers: tuple[tuple[str, str], ...], body: bytes) -> UpdateFacts | None:
        """Reads what an inbound request is about; None when it is none of this platform's updates. Never raises."""

    @abstractmethod
    def encode(self, endpoint: Endpoint, update: Any) -> bytes:
        """The request that the platform would send for this update: head and body, signed.

        An update that is bytes already is sent (and signed) as it is.
        """

    def read(self, request: bytes) -> UpdateFacts | None:
        """The facts of a whole request as bytes; headers count, since some platforms name the kind of update there."""
        head, _, body = request.partition(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        method, target, *_ = *line.split(" ", 2), "", ""
        pairs = (entry.partition(":") for entry in lines)
        return self.facts(method, target, tuple((name.strip().lower(), text.strip()) for name, _, text in pairs), body)

    def effects(self, body: bytes) -> tuple[ApiCalled, ...]:
        """What the body of a 2xx answer makes the platform do, as calls of its API; empty where it only acknowledges. Never raises."""
        return ()


class Signer(Protocol):
    """How a delivery proves where it comes from."""

    secret_header: str = ""
    """The header that carries the secret as it is; empty where the platform signs instead, or has no secret."""
    otherwise: ClassVar[str] = ""
    """Why a target that has the right secret may refuse everything, with the remedy; completes "or …"."""
    signs: ClassVar[bool] = False
    """Whether requests are signed, so that a changed body is a forged one."""
    former_secret: str = ""
    """A secret that was replaced, so that nothing signed with it is genuine any more; empty where none is known."""
    second_secret: str = ""
    """A secret that is valid beside the usual one, as while one takes the place of the other; empty where there is none."""

    signed_with: ClassVar[str] = "the webhook's secret"
    """Which secret is meant, and where people find it; completes "signs with …"."""

    def refusal(self, status: int | None) -> bool:
        """Whether a status in answer to a valid update most likely refuses its proof; vendors' libraries have receivers answer 400 too."""
        return status in (401, 403) or (self.signs and status == 400)

    def mistaken(self, secret: str) -> str:
        """What a secret is that is plainly none of this platform's; empty where it may be one."""
        return ""

    withheld: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Golden updates that are there only with an option, and which; completes "needs …"."""

    @property
    def proof(self) -> str:
        """The header that proves where a request comes from: the secret's, or the signature's."""
        return self.secret_header

    @property
    def fresh_s(self) -> float:
        """How many seconds after it was made a signature is surely not too old for the target."""
        return 60.0

    @property
    def base_url(self) -> str:
        """Scheme and host by which the target knows itself, where URLs are signed; empty for the Host header's by plain HTTP."""
        return ""

    def public_key(self, secret: str) -> str:
        """The public key that belongs to a secret, as targets are configured with it; empty where a secret has none."""
        return ""

    def resigned(self, secret: str, before: bytes, after: bytes, later_s: int = 0) -> bytes | None:
        """The request `after`, signed as `before` was: a right signature stays right and a wrong one wrong.

        Timestamps move by `later_s` seconds. None where that cannot be done. Platforms that do not sign have nothing to do.
        """
        return after


class Examples(Protocol):
    """Valid deliveries, what they look like, and the hostile ones that only this platform knows."""

    neutral_groups: ClassVar[frozenset[str] | None] = None
    """Which of the catalogue's neutral groups make sense; None for all."""
    tiers: ClassVar[tuple[str, ...]] = ()
    """The users' tiers, the lowest first; empty where the platform has none."""
    commands: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Each command's name (without slash) and the lowest tier that may use it."""
    marked: ClassVar[frozenset[str]] = frozenset()
    """The golden updates in which somebody writes ordinary words, some of which are marked (bold, a link)."""
    joins: ClassVar[tuple[str, ...]] = ()
    """The kinds (see `say`) of what a target is sent when somebody joins a group, or asks to."""
    alike: ClassVar[int | None] = None
    """Users of one kind whose ids agree modulo this number send the same requests, but for their ids; None: nothing is known of that."""

    @abstractmethod
    def golden(self, dice: Dice) -> dict[str, Any]:
        """Valid updates by name, one for every kind and every command: what mutations start from."""

    @abstractmethod
    def catalogue(self, endpoint: Endpoint, dice: Dice) -> tuple[Case, ...]:
        """The deterministic cases that only this platform knows (its identities, commands, signatures)."""

    def canary(self) -> str:
        """The name of the golden update that any healthy target answers with 2xx."""
        return next(iter(self.golden(Dice(0))))

    def expected(self, name: str) -> Expect:
        """What a correct target answers to the golden update of this name."""
        return Expect()

    def inside(self, update: Any) -> tuple[str | int, ...]:
        """The path in an update of what people know as its body; empty where that is the update itself."""
        return ()

    def crowd(self) -> str:
        """Like `canary`, where every fresh one happens in a chat of its own, however many there are."""
        return self.canary()

    @property
    def administrator(self) -> int | None:
        """The id of the target's admin, where it is a number."""
        return None

    def called(self, user: int) -> str:
        """The names by which a user is known to others; empty where they have none."""
        return ""

    def mention(self, user: int) -> str:
        """How others write whom they mean by a name that is one user's at a time; empty where nobody has such a name."""
        return ""

    def renamed(self, update: Any, owner: int) -> Any:
        """The same update from somebody who bears the name by which `owner` is mentioned; None where nobody has such a name."""
        return None

    def fresh(self, update: Any, dice: Dice) -> Any:
        """The same update as a delivery of its own: new delivery id, chat, sender (of the same tier) and marker.

        What is missing or has the wrong type stays so: mutated updates pass through here too. The marker is
        `marker(dice)` and stands where the platform's users write (text, caption, callback data), where there is such a place.
        """
        return update

    def sent_by(self, update: Any, user: int, dice: Dice) -> Any:
        """A valid update as a delivery of its own from exactly this user, in the chat in which they alone write; None where there is none."""
        return None

    def forms(self, *, pressed: bool) -> Mapping[str, bool]:
        """The words for all valid forms, besides the usual one, in which a text can be written or a button be pressed.

        What stands before a dot names the mistake that lets them fail: ``without-message``, ``without-message.inline``.

        Returns:
            By word, whether it means the same to people, so that it must be answered as the usual form is.
        """
        return {}

    def say(
        self,
        text: str,
        dice: Dice,
        *,
        tier: str = "",
        user: int | None = None,
        kind: str = "",
        chat: int | None = None,
        message: int | None = None,
        answers: int | None = None,
        form: str = "",
    ) -> Any:
        """An update in which a user of this tier (or exactly this user) writes `text` in a private chat.

        Delivery id, and chat and user unless given, come from `dice`; a text that begins with a slash is a command, with its
        entity. A platform that knows no users gives `written` where nothing but a text is asked for, and None otherwise.

        Args:
            text: What is written; for ``callback_query`` the data of the button that is pressed.
            dice: The update's random stream.
            tier: Who writes, by tier.
            user: Exactly this user.
            kind: Another kind than a plain message: ``edited_message``, ``callback_query``, ``inline_query``; one of `joins`, which has
                no text, in a group.
            chat: In this group instead of a private chat.
            message: In answer to this message of the target; where a button is pressed, below it.
            answers: In answer to a message of this user.
            form: In this form (one of `forms`) instead of the usual one.
        """
        if tier or kind or form or any(one is not None for one in (user, chat, message, answers)):
            return None
        return self.written(text, dice)

    def written(self, text: str, dice: Dice) -> Any:
        """An update with this text in it, of a platform that knows no users; None where it has no place for a text."""
        return None

    def escalations(self, endpoint: Endpoint, dice: Dice, privilege: Privilege) -> Iterator[tuple[Case, ...]]:
        """Every way in which somebody who must not have a privilege may ask for it, compared with the admin's own case.

        Each item holds the cases that are sent one after the other, each when the target is done with the one before; those that come
        first matter most.

        Args:
            endpoint: Where they go.
            dice: Their random stream.
            privilege: What they ask for.
        """
        return iter(())

    def doubts(self, endpoint: Endpoint, dice: Dice) -> Iterator[Doubt]:
        """Deliveries that claim what must not be taken from them: another tenant, another kind, a privilege.

        The same doubts in the same order for any `dice`, which makes each a delivery of its own.
        """
        return iter(())

    def presses(self, endpoint: Endpoint, dice: Dice, data: str) -> Iterator[Doubt]:
        """Presses by who may not, of a button that the target showed to its admin only; as `doubts` for any `dice`.

        Args:
            endpoint: Where they go.
            dice: Their random stream.
            data: What is known of the button (`ApiCalled.buttons`).
        """
        return iter(())

    def baits(self, endpoint: Endpoint, dice: Dice, url: str) -> Iterator[Bait]:
        """Deliveries that the attacker signed, with the key served below `url` and named by the delivery; none where no proof names its key."""
        return iter(())

    def batches(self, dice: Dice) -> tuple[Batch, ...]:
        """Deliveries of several updates at once; empty where the platform sends one at a time."""
        return ()

    def answers_to(self) -> tuple[str, ...]:
        """The dotted places of the URLs in an update's body to which the target is meant to send its answer."""
        return ()

    def offers(self, call: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The data of the buttons, and the texts that can be written with one touch, that a call of the target shows its reader.

        Args:
            call: The call's parameters.
        """
        return (), ()

    def peer(self, user: int, dice: Dice) -> int | None:
        """Another user of the same tier as this synthetic user (perhaps the same again); None for an id that is not synthetic."""
        return None

    def shape(self) -> Shape | None:
        """What valid updates look like, one payload each, for generation; None leaves generation out."""
        return None

    @property
    def described(self) -> bool:
        """Whether everything that fits `shape` is valid; false where it is a guess, so that a target may refuse what fits."""
        return True


class Journeys(Codec, Examples, Protocol):
    """What virtual users of this platform do."""

    def journeys(self) -> tuple[JourneySpec, ...]:
        """What virtual users do. By default one client sends every golden update, each as often as the others."""
        tasks = tuple(Task(name) for name in self.golden(Dice(0)))
        return (JourneySpec("client", 1.0, (1.0, 5.0), tasks, range(1, 1001)),)

    def build(self, task: str, user: int | str, ordinal: int, dice: Dice, endpoint: Endpoint) -> Request:
        """Encodes one task of a journey.

        Args:
            task: A name from `journeys`.
            user: The virtual user's id.
            ordinal: The request's number, unique in its run (delivery ids are counted by it).
            dice: The request's random stream.
            endpoint: Where it goes.

        Raises:
            UnknownName: No journey has such a task.
        """
        golden = self.golden(dice.at("build", ordinal))
        if task not in golden:
            raise UnknownName.of("task", task, golden)
        data = self.encode(endpoint, golden[task])
        return Request(data, task, self.read(data))

    def streams(self) -> tuple[StreamSpec, ...]:
        """The platform's WebSocket scenarios."""
        return ()


class DeliveryPolicy(Protocol):
    """How the platform delivers and redelivers."""

    def delivery(self) -> DeliveryRules:
        """Its timeout, retries, expiry and number of connections."""
        return DeliveryRules()

    def again(self, request: bytes, secret: str, attempt: int, reason: str, later_s: int) -> bytes:
        """The request of another attempt: the same bytes, unless the platform says that it is one, or signs anew.

        Args:
            request: The first attempt.
            secret: The platform's secret.
            attempt: The number of the repetition, from 1.
            reason: Why the one before failed: ``late``, ``status`` or ``connection``.
            later_s: Seconds since the first attempt.
        """
        return request

    def queue(self, facts: UpdateFacts) -> str:
        """The FIFO queue that an update belongs to; inside a queue the platform delivers one after the other."""
        return f"chat:{facts.chat if facts.chat is not None else facts.user}"


class Platform(Journeys, Signer, DeliveryPolicy, ABC):
    """One webhook sender's language: what the parts above say, together, under one name."""

    greets: ClassVar[bool] = True
    """Whether a target is a webhook, so that an empty document sent there shows that it is one; false for an ordinary service."""
    is_default: ClassVar[bool] = False
    """Whether it is meant where no platform is named."""
    api_mock: ClassVar[str] = ""
    """The mock of the API that targets of this platform call, by its name; empty where there is none."""

    def secret_hint(self, secret: str, variable: str) -> str:
        """Why a target may have refused a valid update, and what to do.

        Args:
            secret: What was sent; empty when there was none.
            variable: The environment variable that was asked for it.
        """
        if secret:
            return f"the secret in {variable} is not the target's" + (
                f", or {self.otherwise}" if self.otherwise else ""
            )
        if self.signs:
            return (
                f"{self.name} signs its deliveries with {self.signed_with}, and none is set; name the environment "
                "variable that holds it by --secret-env"
            )
        return f"it asks for a secret, and {variable} is not set; export it, or name the variable that holds it by --secret-env"

    @property
    def name(self) -> str:
        """The platform's name: its file's or folder's."""
        return name_of(type(self))


PLATFORMS: Final[Registry[Platform]] = Registry("chaosbot.platforms", Platform, "platform")


def spoken(name: str, options: Mapping[str, object]) -> str:
    """A platform with its options as one text, as specs, journals and worker processes carry it.

    Raises:
        ConfigError: They cannot be told in JSON: keys that are no text, values that only YAML has.
    """
    try:
        return f"{name}:{json.dumps(dict(options), ensure_ascii=False, sort_keys=True)}" if options else name
    except (TypeError, ValueError) as error:
        raise ConfigError("platform_options", f"cannot be told in JSON ({error}); keys are text") from None


def unspoken(text: str) -> tuple[str, dict[str, Any]]:
    """The name and the options of a platform that `spoken` told.

    Raises:
        ConfigError: The options are no JSON object.
    """
    name, colon, written = text.partition(":")
    try:
        options = read_json(written) if colon else {}
    except ValueError:
        options = None
    if not isinstance(options, dict):
        raise ConfigError("platform", f"{shown(written)} is no JSON object of options")
    return name, options


def platform_of(text: str) -> Platform:
    """Builds the platform that a text names: ``acme``, or with options ``acme:{"key": 5}`` (`spoken`); without a name the default one.

    Raises:
        ConfigError: No such platform, an unknown option, or a value that it refuses.
    """
    name, options = unspoken(text)
    return PLATFORMS.build(name or next(each for each in PLATFORMS if PLATFORMS.get(each).is_default), options)
