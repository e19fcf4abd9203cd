"""Telegram's Bot API: updates as JSON by webhook, with a secret in a header.

Knows every documented kind of update, four tiers of synthetic users (ids that never collide with real people's), the 22
commands and the buttons of the bots it was made for, journeys for load, and the platform's rules of delivery. For another bot the
commands are simply unknown ones; everything else holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.event import ApiCalled
from chaosbot.core.exchange import UpdateFacts
from chaosbot.core.journey import DeliveryRules, JourneySpec
from chaosbot.core.platform import EPOCH, Endpoint, Platform, Privilege, Request
from chaosbot.core.registry import option
from chaosbot.platforms.telegram import _parts as parts
from chaosbot.platforms.telegram._commands import COMMANDS
from chaosbot.platforms.telegram._forms import formed, forms
from chaosbot.platforms.telegram._fresh import freshen, sent_by
from chaosbot.platforms.telegram._journeys import first_delivery, journeys, perform
from chaosbot.platforms.telegram._keyboards import call_in, offered
from chaosbot.platforms.telegram._sender import RULES, queue_of
from chaosbot.platforms.telegram._speech import SECRET_HEADER, dumps, encode_body, facts_of, names_in, read_facts
from chaosbot.platforms.telegram._updates import golden
from chaosbot.platforms.telegram._users import ADMIN_ID, ALIKE, TIERS, Population, person
from chaosbot.platforms.telegram.builders import (
    UserPool,
    callback_query,
    document_message,
    photo_message,
    text_message,
    voice_message,
)

if TYPE_CHECKING:
    from chaosbot.core.case import Case
    from chaosbot.core.kit import Kit
    from chaosbot.core.shape import Shape

__all__ = [
    "Telegram",
    "UserPool",
    "callback_query",
    "document_message",
    "photo_message",
    "text_message",
    "voice_message",
]


@dataclass(frozen=True)
class Telegram(Platform):
    """Telegram's Bot API."""

    default_path: ClassVar[str] = "/webhook/telegram"
    is_default: ClassVar[bool] = True
    api_mock: ClassVar[str] = "telegram"
    secret_header = SECRET_HEADER
    tiers: ClassVar[tuple[str, ...]] = TIERS
    commands: ClassVar[Mapping[str, str]] = COMMANDS
    alike: ClassVar[int | None] = ALIKE
    marked: ClassVar[frozenset[str]] = frozenset({"message/text_entities"})
    joins: ClassVar[tuple[str, ...]] = ("new_chat_members", "chat_member", "chat_join_request")

    admin_id: int = option("count", "the id of the bot's admin (ADMIN_TELEGRAM_ID)", ADMIN_ID)
    date: int = option("count", "Unix time that golden updates claim", EPOCH)
    bot_username: str = option("text", "the bot's username, for /command@name", "chaosbot_demo_bot")

    @cached_property
    def population(self) -> Population:
        """Which ids belong to which tier."""
        return Population(self.admin_id)

    @property
    def administrator(self) -> int:
        """The bot's real admin."""
        return self.admin_id

    def called(self, user: int) -> str:
        """First and last name."""
        someone = person(user)
        return f"{someone['first_name']} {someone['last_name']}"

    def mention(self, user: int) -> str:
        """The username, which can be given up and taken by others."""
        return f"@{person(user)['username']}"

    def renamed(self, update: Any, owner: int) -> Any:
        """The same message from somebody with this user's username."""
        message = update["message"]
        username = {"username": person(owner)["username"]}
        own = {"chat": message["chat"] | username} if message["chat"]["type"] == "private" else {}
        return update | {"message": message | {"from": message["from"] | username} | own}

    def facts(self, method: str, path: str, headers: tuple[tuple[str, str], ...], body: bytes) -> UpdateFacts | None:
        """Reads a delivery; any path counts, since people choose theirs."""
        del path, headers
        return read_facts(body, self.population) if method == "POST" else None

    def read(self, request: bytes) -> UpdateFacts | None:
        """The facts of a whole request, with the names in it."""
        found = super().read(request)
        return found and replace(found, names=names_in(request.partition(b"\r\n\r\n")[2]))

    def encode(self, endpoint: Endpoint, update: Any) -> bytes:
        """A POST as Telegram sends it; an update that is bytes already is sent as it is."""
        return encode_body(endpoint, update if isinstance(update, bytes) else dumps(update))

    def effects(self, body: bytes) -> tuple[ApiCalled, ...]:
        """The method that an answer calls, when it does."""
        return call_in(body)

    def golden(self, dice: Dice) -> dict[str, Any]:
        """Valid updates by name: ``message/voice``, ``command/help``, ``callback_query/skill``, ``poll_answer`` …"""
        return golden(dice, self.date, self.population)

    def catalogue(self, endpoint: Endpoint, dice: Dice) -> tuple[Case, ...]:
        """Telegram's own cases."""
        from chaosbot.core.kit import Kit  # noqa: PLC0415 - load needs none

        date = endpoint.time if self.date == EPOCH else self.date
        return cases(Kit(self, endpoint, dice), self.population, date)

    def escalations(self, endpoint: Endpoint, dice: Dice, privilege: Privilege) -> Iterator[tuple[Case, ...]]:
        """A stranger's plain request first, then those with all that might be mistaken for a right."""
        from chaosbot.core.kit import Kit  # noqa: PLC0415 - load needs none
        from chaosbot.platforms.telegram._case_kit import Pen  # noqa: PLC0415
        from chaosbot.platforms.telegram._tricks import attempts  # noqa: PLC0415

        date = endpoint.time if self.date == EPOCH else self.date
        return attempts(Pen(Kit(self, endpoint, dice), self.population, date), privilege, self.bot_username)

    def offers(self, call: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Inline and reply keyboards, command menus, deep links."""
        return offered(call)

    def journeys(self) -> tuple[JourneySpec, ...]:
        """Guest, user, developer and admin."""
        return journeys(self.population)

    def build(self, task: str, user: int | str, ordinal: int, dice: Dice, endpoint: Endpoint) -> Request:
        """Encodes one task; delivery ids count up from a start of the run's own."""
        number = first_delivery(dice.seed, endpoint.started) + ordinal
        place = parts.Place(dice.at("build", ordinal), endpoint.time, number)
        update = perform(task, int(user), ordinal, place)
        return Request(encode_body(endpoint, dumps(update)), task, facts_of(update, self.population, place.marker))

    def delivery(self) -> DeliveryRules:
        """Telegram's timeout, redelivery and expiry."""
        return RULES

    def queue(self, facts: UpdateFacts) -> str:
        """One queue per chat; per user for callbacks and queries."""
        return queue_of(facts)

    def canary(self) -> str:
        """A guest's private text."""
        return "message/text"

    def crowd(self) -> str:
        """A guest's text in a supergroup; there are only so many guests."""
        return "message/group"

    def peer(self, user: int, dice: Dice) -> int | None:
        """Another guest for a guest, and so on; the admin is alone."""
        tier = self.population.tier(user)
        ids = self.population.ids(tier) if tier is not None else ()
        return dice.choice(ids) if user in ids else None

    def shape(self) -> Shape:
        """Every kind of update, one payload each."""
        from chaosbot.platforms.telegram._shape import shape  # noqa: PLC0415 - load needs none

        return shape()

    def fresh(self, update: Any, dice: Dice) -> Any:
        """The same update with a delivery id, chat, sender (of the same tier) and marker of its own."""
        return freshen(update, parts.Place(dice, self.date), self.population)

    def sent_by(self, update: Any, user: int, dice: Dice) -> Any:
        """The same update from this user in their private chat, where it happens in one."""
        return sent_by(update, user, parts.Place(dice, self.date))

    def forms(self, *, pressed: bool) -> Mapping[str, bool]:
        """Edited, in groups and channels, as a caption, in reply to all sorts, without the optional members."""
        return forms(pressed=pressed)

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
        """A person of a tier (a guest unless said otherwise) writes this text to the bot."""
        place = parts.Place(dice, self.date)
        writer = user if user is not None else self.population.pick(tier or "guest", dice.at("user"))
        if form:
            return formed(form, text, writer, place)
        where = {"id": chat, "type": "group", "title": "Chaos group"} if chat is not None else None
        if kind == "callback_query":
            return parts.update(place, kind, parts.callback(place, writer, text, chat=where, below=message))
        if kind == "inline_query":
            return parts.update(place, kind, parts.inline_query(place, writer, text))
        if kind in self.joins:
            return parts.joining(place, writer, kind, where) if where is not None else None
        more: dict[str, Any] = {"edit_date": self.date + 5} if kind.startswith("edited_") else {}
        if where is not None:
            more["chat"] = where
        if answers is not None:
            earlier = parts.Place(dice.at("answered"), self.date)
            more["reply_to_message"] = parts.text_message(earlier, answers, "hi", **({"chat": where} if where else {}))
        elif message is not None:
            passed_on = {"message_id": message, "from": parts.bot()} | ({"chat": where} if where else {})
            more["reply_to_message"] = parts.text_message(
                parts.Place(dice.at("answered"), self.date), writer, "hi", **passed_on
            )
        return parts.update(place, kind or "message", parts.text_message(place, writer, text, **more))


def cases(kit: Kit, population: Population, date: int) -> tuple[Case, ...]:
    """Telegram's own cases, group by group, in the order in which they are best sent: controls and planted things first."""
    from chaosbot.platforms.telegram import (  # noqa: PLC0415 - large tables, loaded when they are needed
        _cases_callbacks,
        _cases_commands,
        _cases_escalation,
        _cases_files,
        _cases_identity,
        _cases_kinds,
        _cases_messages,
        _cases_shape,
    )
    from chaosbot.platforms.telegram._case_kit import Pen  # noqa: PLC0415

    groups = (
        _cases_escalation,
        _cases_commands,
        _cases_identity,
        _cases_callbacks,
        _cases_messages,
        _cases_kinds,
        _cases_files,
        _cases_shape,
    )
    # The admin's private chat belongs to the controls; nobody else's case may happen there.
    pen = Pen(kit, population, date)
    return tuple(case for group in groups for case in group.cases(pen))
