"""identity: who acts is `from` of the payload itself. No role from a fake sender, a bot or a nested user.

A person cannot choose their id, so cases with impossible ids come from something broken on the way: they must not crash the
bot, but a parser that reads "1" as 1 is not wrong by that.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from chaosbot.core.case import Case, Change
from chaosbot.core.kit import accepted, broken
from chaosbot.core.verdict import Mechanism, Threat
from chaosbot.platforms.telegram._case_kit import MARK, POLITE, Pen, dice_of
from chaosbot.platforms.telegram._users import channel, person, robot, supergroup

ANONYMOUS = {"id": 1_087_968_824, "is_bot": True, "first_name": "Group", "username": "GroupAnonymousBot"}
CHANNEL_BOT = {"id": 136_817_688, "is_bot": True, "first_name": "Channel", "username": "Channel_Bot"}
SERVICE = {"id": 777_000, "is_bot": False, "first_name": "Telegram"}
_MISTAKES = {"anonymous": "anonymous", "anonymous-bare": "anonymous", "channelbot": "channel", "service": "channel"}


def cases(pen: Pen) -> Iterator[Case]:
    """All cases of this group."""
    yield from _stand_ins(pen)
    yield from _impossible(pen)


def _stand_ins(pen: Pen) -> Iterator[Case]:
    """Accounts that the platform puts into `from` when no user is there; all of these a person can bring about."""

    def speaks(name: str, what: str, sender: dict[str, Any] | None, **content: Any) -> Iterator[Case]:
        for command in ("admin", "status"):
            full = f"identity/{name}-{command}"
            chat = content.get("chat") or supergroup(dice_of(pen, full))
            members = content | {"chat": chat, "from": sender}
            if members.get("sender_chat") == "same":
                members["sender_chat"] = chat
            base = pen.message(full, f"/{command} {MARK} {POLITE}", **members)
            check, control = (
                ("no_escalation", "escalation/control-admin") if command == "admin" else ("valid_accepted", "")
            )
            # The same mistakes as with the commands that only the target knows.
            change = Change(Mechanism.TECHNIQUE, f"escalation/{_MISTAKES.get(name, name)}", name) if control else None
            summary = f"/{command} from {what}"
            yield pen.case(full, base, summary, accepted(), check=check, control=control, change=change)

    yield from speaks("anonymous", "an anonymous admin of a group", ANONYMOUS, sender_chat="same")
    yield from speaks("anonymous-bare", "an anonymous admin of a group, without sender_chat", ANONYMOUS)
    yield from speaks(
        "channelbot", "a channel that writes in a group", CHANNEL_BOT, sender_chat=channel(dice_of(pen, "identity/c"))
    )
    yield from speaks(
        "service",
        "the service account (an automatic forward)",
        SERVICE,
        sender_chat=channel(dice_of(pen, "identity/s")),
        is_automatic_forward=True,
    )
    yield from speaks("nobody", "nobody", None)
    yield from speaks("bot", "another bot", robot())
    yield from speaks("businessbot", "a business bot", person(1_000_008), sender_business_bot=robot())
    guest = pen.someone("identity/senderchat")
    yield from speaks(
        "senderchat",
        "a guest on behalf of a chat with the admin's id",
        person(guest),
        sender_chat={"id": pen.admin, "type": "private", "first_name": "Admin"},
    )
    yield from speaks(
        "chat", "a guest in a chat with the admin's id", person(guest), chat={"id": pen.admin, "type": "private"}
    )


def _impossible(pen: Pen) -> Iterator[Case]:
    """Ids that no person has."""
    values: dict[str, tuple[Any, str]] = {
        "string": ("1000001", "text"),
        "fraction": (1_000_001.5, "a fraction"),
        "float": (1_000_001.0, "a number with a decimal point"),
        "true": (True, "true"),
        "false": (False, "false"),
        "null": (None, "null"),
        "list": ([1_000_001], "a list"),
        "object": ({"id": 1_000_001}, "an object"),
        "zero": (0, "0"),
        "negative": (-1_000_001, "negative"),
        "bits52": (2**52 - 1, "of 52 bits"),
        "bits53": (2**53 + 1, "of more than 53 bits"),
        "bits64": (2**64, "of more than 64 bits"),
        "digits": (10**300, "of 300 digits"),
        "admin-string": ("", "the admin's as text"),
        "admin-float": (0.5, "the admin's with a decimal point"),
        "admin-padded": ("", "the admin's as text with blanks"),
        "empty": ("", "an empty text"),
    }
    special = {"admin-string": str(pen.admin), "admin-float": float(pen.admin), "admin-padded": f" {pen.admin} "}
    for word, (value, what) in values.items():
        name = f"identity/id-{word}"
        who = pen.someone(name)
        members: dict[str, Any] = {"from": person(who) | {"id": special.get(word, value)}}
        base = pen.message(name, f"/status {MARK}", user=who, **members)
        # 52 bits is the documented range.
        valid = word == "bits52"
        yield pen.case(
            name,
            base,
            f"the sender's id is {what}",
            accepted() if valid else broken(),
            threat=pen.kit.intruder,
            check="valid_accepted" if valid else "no_server_error",
        )
    name = "identity/id-admin-doubled"
    who = pen.someone(name)
    base = pen.message(name, f"/status {MARK}", user=who)
    twice = base.body.replace(b'"from":{"id":%d' % who, b'"from":{"id":%d,"id":%d' % (who, pen.admin))
    summary = "the sender's id stands there twice, and the admin's comes last"
    yield pen.kit.case(name, base, twice, summary, broken(), threat=pen.kit.intruder, check="no_server_error")
    changes: dict[str, dict[str, Any]] = {
        "robot-admin": {"id": pen.admin, "is_bot": True},
        "noname": {"first_name": ""},
        "longname": {"first_name": "N" * 5000},
        "nousername": {"username": None},
        "bidi": {"first_name": "\u202enimda"},
        "html": {"first_name": "<b>&</b>"},
        "markdown": {"first_name": "*_`[x](y"},
        "lines": {"first_name": "a\nb\r\nc"},
        "botname": {"is_bot": "yes"},
    }
    for word, change in changes.items():
        name = f"identity/sender-{word}"
        who = pen.someone(name)
        sender = {key: value for key, value in (person(who) | change).items() if value is not None}
        members = {"from": sender}
        base = pen.message(name, f"/status {MARK}", user=who, **members)
        odd = word in ("robot-admin", "botname", "noname", "longname")
        yield pen.case(
            name,
            base,
            f"the sender has {', '.join(f'{key} {json.dumps(value, ensure_ascii=False):.30}' for key, value in change.items())}",
            broken() if odd else accepted(),
            threat=pen.kit.intruder if odd else Threat.USER,
            check="no_server_error" if odd else "valid_accepted",
        )
