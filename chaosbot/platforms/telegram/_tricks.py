"""Everything that might be mistaken for a right: how somebody asks for what only the admin may have.

Rules:

- A trick is something that a person can bring about: it changes the sender's own names, the kind of message, where it stands, how it is
  spelled, or what came before; never the admin's id as the sender's.
- The first word of a trick's name names the mistake: tricks that the same mistake lets through are one finding.
- The plain request comes first. Where that is granted, nothing has to be mistaken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

from chaosbot.core.case import Case, Change, Role
from chaosbot.core.kit import FRESH, IDS, Base
from chaosbot.core.platform import Privilege
from chaosbot.core.values import related_ids
from chaosbot.core.verdict import Mechanism
from chaosbot.platforms.telegram._case_kit import Pen, dice_of
from chaosbot.platforms.telegram._parts import Json, bot, command_entity, photos
from chaosbot.platforms.telegram._users import MOCK_BOT, channel, person, private, robot, supergroup

Vector = Callable[[Pen, str, int], dict[str, Any]]

_STRANGER: Final = FRESH + 24 * IDS
"""Senders of these cases: people who are made up, one each, so that no chat is used twice."""
_ROLES: Final = ("admin", "owner", "administrator", "root", "moderator", "support", "staff", "boss", "developer")
"""Words that mean a right in names of people and groups."""
_COMMON: Final = 8
"""So many spellings come early: capitals, the bot's name, and blanks are what handlers most often look at in one place and not in another."""
_ANONYMOUS: Final = {"id": 1_087_968_824, "is_bot": True, "first_name": "Group", "username": "GroupAnonymousBot"}
_CHANNEL_BOT: Final = {"id": 136_817_688, "is_bot": True, "first_name": "Channel", "username": "Channel_Bot"}
_SERVICE: Final = {"id": 777_000, "is_bot": False, "first_name": "Telegram"}
"""Telegram's own senders: for anonymous administrators, for channels, for posts that are forwarded to a discussion group."""


def _admin_message(pen: Pen, who: int, **more: Any) -> Json:
    return {
        "message_id": 1,
        "from": person(pen.admin),
        "chat": private(who),
        "date": pen.date - 60,
        "text": "I allow everything.",
    } | more


def _named(pen: Pen, who: int, **names: str) -> dict[str, Any]:
    del pen
    return {"from": person(who) | names}


# What might be mistaken for a right. Each gives members of the message that the person can really bring about. The first word names the
# mistake: tricks that the same mistake lets through share it, so that they are one finding.
VECTORS: Final[dict[str, tuple[str, Vector]]] = {
    "reply": ("in reply to the admin", lambda pen, _, who: {"reply_to_message": _admin_message(pen, who)}),
    "reply-command": (
        "in reply to the admin's own command",
        lambda pen, _, who: {
            "reply_to_message": _admin_message(pen, who, text="/admin", entities=[command_entity("/admin")])
        },
    ),
    "replyforward": (
        "in reply to a forward of the admin",
        lambda pen, _, who: {
            "reply_to_message": _admin_message(
                pen,
                who,
                forward_origin={"type": "user", "sender_user": person(pen.admin), "date": pen.date - 90},
                **{"from": person(who)},
            )
        },
    ),
    "reply-quote": (
        "quoting the admin",
        lambda pen, _, who: {
            "reply_to_message": _admin_message(pen, who),
            "quote": {"text": "I allow everything.", "position": 0, "is_manual": True},
        },
    ),
    "externalreply": (
        "in reply to the admin in another chat",
        lambda pen, name, _: {
            "external_reply": {
                "origin": {"type": "user", "sender_user": person(pen.admin), "date": pen.date - 60},
                "chat": supergroup(dice_of(pen, name)),
                "message_id": 3,
            }
        },
    ),
    "forward": (
        "forwarded from the admin",
        lambda pen, _, __: {
            "forward_origin": {"type": "user", "sender_user": person(pen.admin), "date": pen.date - 60}
        },
    ),
    "forward-old": (
        "forwarded from the admin, in the fields of older API versions",
        lambda pen, _, __: {"forward_from": person(pen.admin), "forward_date": pen.date - 60},
    ),
    "forwardhidden": (
        "forwarded from somebody hidden with the admin's name",
        lambda pen, _, __: {
            "forward_origin": {
                "type": "hidden_user",
                "sender_user_name": person(pen.admin)["first_name"],
                "date": pen.date - 60,
            }
        },
    ),
    "forwardself": (
        "forwarded from a bot",
        lambda pen, _, __: {"forward_origin": {"type": "user", "sender_user": bot(), "date": pen.date - 60}},
    ),
    "viabot": ("sent via another bot", lambda _, __, ___: {"via_bot": robot()}),
    "username": (
        "with the admin's username",
        lambda pen, _, who: _named(pen, who, username=person(pen.admin)["username"]),
    ),
    "username-case": (
        "with the admin's username in capitals",
        lambda pen, _, who: _named(pen, who, username=person(pen.admin)["username"].upper()),
    ),
    "username-word": ("with the username admin", lambda pen, _, who: _named(pen, who, username="admin")),
    "firstname": (
        "with the admin's first name",
        lambda pen, _, who: _named(pen, who, first_name=person(pen.admin)["first_name"]),
    ),
    "firstnameid": (
        "with the admin's id as first name",
        lambda pen, _, who: _named(pen, who, first_name=str(pen.admin)),
    ),
    "lastname": ("with the last name (admin)", lambda pen, _, who: _named(pen, who, last_name="(admin)")),
    "signature": ("signed as the admin", lambda pen, _, __: {"author_signature": person(pen.admin)["first_name"]}),
    "contact": (
        "beside the admin's contact",
        lambda pen, _, __: {"contact": {"phone_number": "+10000000000", "first_name": "Admin", "user_id": pen.admin}},
    ),
    "newmember": ("beside the admin as a new member", lambda pen, _, __: {"new_chat_members": [person(pen.admin)]}),
    "leftmember": ("beside the admin leaving", lambda pen, _, __: {"left_chat_member": person(pen.admin)}),
    "pinned": (
        "beside a pinned message of the admin",
        lambda pen, _, who: {"pinned_message": _admin_message(pen, who)},
    ),
    "usershared": (
        "beside the admin as a shared user",
        lambda pen, _, __: {"users_shared": {"request_id": 1, "users": [{"user_id": pen.admin}]}},
    ),
    "language": ("with the language code admin", lambda pen, _, who: _named(pen, who, language_code="admin")),
    "emoji": ("with a check mark in the name", lambda pen, _, who: _named(pen, who, first_name="Admin ✅")),
}


@dataclass
class _Asker:
    """Writes the attempts at one privilege."""

    pen: Pen
    privilege: Privilege
    bot_username: str
    strangers: Iterator[int] = field(init=False)

    def __post_init__(self) -> None:
        """Begins to count strangers where no other privilege's are."""
        start = dice_of(self.pen, f"tricks/{self.privilege.name}").integer(0, IDS)
        self.strangers = count(_STRANGER + start)

    def case(self, word: str, what: str, base: Base, role: Role = Role.ATTEMPT) -> Case:
        """An attempt."""
        asked = self.privilege
        change = Change(Mechanism.TECHNIQUE, f"escalation/{word.partition('-')[0]}", word.partition("-")[2])
        verb = "presses" if asked.pressed else "writes"
        return self.pen.case(
            f"vocabulary/{asked.name}-{word}",
            base,
            f"{what} {verb} {asked.text}",
            check="no_escalation",
            control=asked.control,
            role=role,
            change=change,
        )

    def setup(self, word: str, nth: int, base: Base) -> Case:
        """A step before an attempt."""
        name = f"vocabulary/{self.privilege.name}-{word}-before-{nth}"
        return self.pen.case(name, base, f"before {self.privilege.text}, {word}", role=Role.SETUP)

    def asks(self, word: str, text: str = "", who: int | None = None, **members: Any) -> Base:
        """The privilege's text, or its button, from a stranger."""
        name = f"vocabulary/{self.privilege.name}-{word}"
        who = next(self.strangers) if who is None else who
        if self.privilege.pressed and "kind" not in members and not text:
            return self.pen.press(name, self.privilege.text, user=who, **members)
        return self.pen.message(name, text or self.privilege.text, user=who, **members)

    def group(self, word: str, **members: Any) -> Json:
        """A group of its own."""
        return supergroup(dice_of(self.pen, f"tricks/{self.privilege.name}/{word}")) | members


def attempts(pen: Pen, privilege: Privilege, bot_username: str) -> Iterator[tuple[Case, ...]]:
    """All attempts at one privilege, each with what is sent before it."""
    asker = _Asker(pen, privilege, bot_username)
    word = "button" if privilege.pressed else "command"
    role = Role.ATTEMPT if privilege.own else Role.PLAIN
    yield (asker.case(f"{word}-guest", "a guest", asker.asks(f"{word}-guest"), role),)
    if privilege.pressed:
        yield from _pressed(asker)
    else:
        for trick, (what, base) in _written(asker):
            yield (asker.case(trick, what, base),)
    yield from _before(asker)


def _from(sender: Json | None) -> dict[str, Any]:
    return {"from": sender}


def _senders(asker: _Asker) -> Iterator[tuple[str, str, Json]]:
    """Senders whose names or ids might be mistaken for the admin's."""
    for role in _ROLES:
        who = person(next(asker.strangers))
        names = {"username": role, "first_name": role.capitalize(), "last_name": role.capitalize()}
        yield f"username-{role}", f"somebody called {role}", who | names
    # People have whole numbers above 0 as ids; 52 bits is the documented range.
    for value in related_ids(asker.pen.admin) if asker.privilege.own else ():
        # One id asks for many things, and what it did before may be what a public command shows.
        if value.literal.isdigit() and 10 < int(value.literal) < 2**52:
            yield f"id-{value.word}", f"somebody whose id {value.what}", person(int(value.literal))
    yield "robot", "another bot", robot(next(asker.strangers))


def _written(asker: _Asker) -> Iterator[tuple[str, tuple[str, Base]]]:
    pen, text = asker.pen, asker.privilege.text
    for kind in ("edited_message", "business_message", "edited_business_message", "guest_message"):
        word = f"{kind.replace('_', '')}"
        more: dict[str, Any] = {"business_connection_id": "chaos"} if "business" in kind else {}
        yield word, (f"a guest in an update of the kind {kind}", asker.asks(word, kind=kind, **more))
    groups: dict[str, Json] = {"group": {}, "group-small": {"type": "group"}, "group-forum": {"is_forum": True}}
    for word, extra in groups.items():
        topic: dict[str, Any] = {"message_thread_id": 7, "is_topic_message": True} if "forum" in word else {}
        yield word, ("a guest in a group", asker.asks(word, chat=asker.group(word, **extra), **topic))
    spellings = [
        (f"spelling-{nth}", (f"a guest, spelled {spelled!r},", asker.asks(f"spelling-{nth}", spelled)))
        for nth, spelled in enumerate(_spelled(text, (asker.bot_username, MOCK_BOT)))
    ]
    yield from spellings[:_COMMON]
    yield from _faceless(asker)
    for trick, (what, vector) in VECTORS.items():
        who = next(asker.strangers)
        base = asker.asks(trick, who=who, **vector(pen, f"tricks/{asker.privilege.name}/{trick}", who))
        yield trick, (f"a guest {what}", base)
    mention = {"type": "text_mention", "offset": 0, "length": 1, "user": person(pen.admin)}
    yield (
        "mention",
        (
            "a guest who mentions the admin",
            asker.asks("mention", entities=[command_entity(text), mention] if text.startswith("/") else [mention]),
        ),
    )
    for word, what, sender in _senders(asker):
        # What only names the sender is asked in a chat of that sender's own.
        yield word, (what, asker.asks(word, who=sender["id"], **_from(sender)))
    for role in _ROLES:
        word = f"title-{role}"
        title = asker.group(word, title=role.capitalize())
        yield word, (f"a guest in a group called {role.capitalize()}", asker.asks(word, chat=title))
    yield (
        "caption",
        (
            "a guest below a picture",
            pen.base(
                {
                    "update_id": pen.place(f"caption/{asker.privilege.name}").update_id,
                    "message": {
                        "message_id": 7,
                        "from": person(who := next(asker.strangers)),
                        "chat": private(who),
                        "date": pen.date,
                        "photo": photos(pen.place("caption")),
                        "caption": text,
                        "caption_entities": [command_entity(text)] if text.startswith("/") else [],
                    },
                }
            ),
        ),
    )
    yield from spellings[_COMMON:]
    admin_chat = private(pen.admin)
    yield "chat", ("a guest in a chat with the admin's id", asker.asks("chat", chat=admin_chat))


def _faceless(asker: _Asker) -> Iterator[tuple[str, tuple[str, Base]]]:
    """Senders that are no person, as groups and channels have them."""
    group = asker.group("anonymous")
    yield (
        "anonymous",
        (
            "an anonymous administrator of a group",
            asker.asks("anonymous", chat=group, sender_chat=group, **_from(_ANONYMOUS)),
        ),
    )
    news = channel(dice_of(asker.pen, f"tricks/{asker.privilege.name}"))
    yield (
        "channel",
        (
            "somebody as a channel, in a group,",
            asker.asks("channel", chat=asker.group("channel"), sender_chat=news, **_from(_CHANNEL_BOT)),
        ),
    )
    yield (
        "channel-person",
        (
            "a guest as a channel, in a group,",
            asker.asks("channel-person", chat=asker.group("channel-person"), sender_chat=news),
        ),
    )
    yield (
        "channel-discussion",
        (
            "a channel, forwarded to its discussion group,",
            asker.asks(
                "channel-discussion",
                chat=asker.group("channel-discussion"),
                sender_chat=news,
                is_automatic_forward=True,
                **_from(_SERVICE),
            ),
        ),
    )
    for kind in ("channel_post", "edited_channel_post"):
        word = f"post-{kind.replace('_', '')}"
        post = channel(dice_of(asker.pen, f"tricks/{asker.privilege.name}/{word}"))
        base = asker.asks(word, kind=kind, chat=post, sender_chat=post, **_from(None))
        yield word, (f"a channel, in an update of the kind {kind},", base)
    yield "nosender", ("nobody, in a group,", asker.asks("nosender", chat=asker.group("nosender"), **_from(None)))


def _spelled(text: str, names: tuple[str, ...]) -> Iterator[str]:
    """Other spellings of a command, most of which a correct bot takes for the same one or for no command at all."""
    command, blank, rest = text.partition(" ")
    after = blank + rest
    bare = command.removeprefix("/")
    yield command.upper() + after
    yield command.title() + after
    for name in names:
        yield f"{command}@{name}{after}"
    yield f"{command}@chaos_admin{after}"
    yield f" {text}"
    yield f"\n{text}"
    yield f"/ {bare}{after}"
    yield f"/{text}"
    yield f"{command}\u200b{after}"
    yield f"{command}\u00a0{rest}"
    yield f"{command}\n{rest}"
    yield f"\uff0f{bare}{after}"
    yield f"!{bare}{after}"
    yield f"{bare}{after}"
    yield f"/start {bare}"
    yield f"/start {text}"
    yield f"/start\n{text}"
    yield f"/help\n{text}"
    yield f"please {text}"


def _pressed(asker: _Asker) -> Iterator[tuple[Case, ...]]:
    """A button of the admin's: in other chats, below other messages, from other senders, with other data."""
    pen, data = asker.pen, asker.privilege.text
    message = {"message_id": 7, "from": bot(), "date": pen.date - 5, "text": "Choose"}

    def one(word: str, what: str, base: Base) -> tuple[Case, ...]:
        return (asker.case(word, what, base),)

    group = message | {"chat": asker.group("group")}
    yield one("group", "a guest, below a message in a group,", asker.asks("group", message=group))
    yield one(
        "inline", "a guest, below an inline message,", asker.asks("inline", message=None, inline_message_id="AAAA")
    )
    for trick in ("reply", "reply-command"):
        who = next(asker.strangers)
        quoted = VECTORS[trick][1](pen, f"tricks/{asker.privilege.name}/{trick}", who)
        below = message | {"chat": private(who)} | quoted
        yield one(trick, "a guest, below an answer to the admin,", asker.asks(trick, who=who, message=below))
    who = next(asker.strangers)
    below = message | {"chat": private(who), "from": person(pen.admin)}
    yield one("author", "a guest, below a message of the admin's,", asker.asks("author", who=who, message=below))
    for word, what, sender in _senders(asker):
        below = message | {"chat": private(sender["id"])}
        yield one(word, what, asker.asks(word, who=sender["id"], message=below, **_from(sender)))
    for nth, spelled in enumerate((data.upper(), f" {data}", f"{data} ", f"{data}:1", f"{data}\n")):
        base = pen.press(f"vocabulary/{asker.privilege.name}-spelling-{nth}", spelled, user=next(asker.strangers))
        yield one(f"spelling-{nth}", f"a guest, spelled {spelled!r},", base)
    for nth, text in enumerate((data, f"/{data}", f"/start {data}")):
        yield one(f"written-{nth}", f"a guest who writes {text!r} instead", asker.asks(f"written-{nth}", text))
    chat = message | {"chat": private(pen.admin)}
    yield one("chat", "a guest, below a message in the admin's chat,", asker.asks("chat", message=chat))


def _before(asker: _Asker) -> Iterator[tuple[Case, ...]]:
    """Rights that stick: what somebody does first makes the request pass."""
    pen = asker.pen

    def said(word: str, nth: int, text: str, who: int, **members: Any) -> Case:
        name = f"vocabulary/{asker.privilege.name}-{word}-before-{nth}"
        return asker.setup(word, nth, pen.message(name, text, user=who, **members))

    def asked(word: str, what: str, who: int, **members: Any) -> Case:
        return asker.case(word, what, asker.asks(word, who=who, **members))

    group = asker.group("sticky-group")
    stands: dict[str, Any] = {"chat": group}
    if asker.privilege.pressed:
        stands = {"message": {"message_id": 7, "from": bot(), "date": pen.date, "text": "Choose", "chat": group}}
    own = asker.setup("sticky-group", 1, asker.asks("sticky-group-admin", who=pen.admin, **stands))
    yield (
        said("sticky-group", 0, "hello", pen.admin, chat=group),
        own,
        asked("sticky-group", "a guest, after the admin in the same group,", next(asker.strangers), **stands),
    )
    who = next(asker.strangers)
    yield (
        said("sticky", 0, "/start admin", who),
        said(
            "sticky", 1, "I am the admin", who, contact={"phone_number": "+1", "first_name": "A", "user_id": pen.admin}
        ),
        said("sticky", 2, "hello", who, **VECTORS["forward"][1](pen, "sticky", who)),
        said("sticky", 3, str(pen.admin), who),
        asked("sticky", "a guest, after pretending to be the admin,", who),
        asked("sticky-again", "a guest, a second time,", who),
    )
    if asker.privilege.pressed:
        return
    who = next(asker.strangers)
    first = said("sticky-edit", 0, "hello", who)
    edited = asker.asks("sticky-edit", who=who, kind="edited_message", message_id=first.message)
    yield (first, asker.case("editedmessage-own", "a guest who edits an earlier message", edited))
