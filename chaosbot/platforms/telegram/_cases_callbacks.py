"""callbacks and objects (user): buttons come from outside; what they say is asked, never allowed.

The `objects` cases first plant things that belong to one user, each with a marker, and then ask for them as another: a reply
to the other one that carries the owner's marker is a violation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from chaosbot.core.case import Case, Role
from chaosbot.core.kit import accepted, broken
from chaosbot.platforms.telegram._case_kit import MARK, Pen
from chaosbot.platforms.telegram._commands import SKILLS
from chaosbot.platforms.telegram._parts import bot
from chaosbot.platforms.telegram._users import person, private, robot

# No bot that this catalogue speaks to for the first time can have made as many.
NOBODYS = 999_999_937


def cases(pen: Pen) -> Iterator[Case]:
    """All cases of these groups."""
    yield from _objects(pen)
    yield from _sound(pen)
    yield from _forged(pen)
    yield from _messages(pen)
    yield from _senders(pen)


def _objects(pen: Pen) -> Iterator[Case]:
    owner = pen.someone("objects/owner", "user")
    pen.kit.taken.add(owner)
    for number, text in enumerate(
        ("/remind 10m water the plants", "/rewrite my secret letter", "/task my secret plan"), 1
    ):
        name = f"objects/planted-{number}"
        yield pen.case(name, pen.message(name, f"{text} {MARK}", user=owner), f"a user's own thing: {text.split()[0]}")
    for number in range(1, 7):
        for verb in ("", "delete "):
            name = f"objects/{'deleted' if verb else 'read'}-{number}"
            yield _reaching(pen, name, f"/reminders {verb}{number}", f"another user's /reminders {verb}{number}")
    yield _reaching(pen, "objects/listed", "/reminders", "a user without reminders lists them")
    for word in ("guest", "user"):
        for verb in ("approve", "reject"):
            for label, number in (("nobodys", NOBODYS), ("first", 1)):
                name = f"objects/{verb}-{label}-by-{word}"
                base = pen.press(name, f"improvement:{verb}:{number}", user=pen.someone(name, word))
                thing = "that nobody made" if label == "nobodys" else "of whoever made the first one"
                summary = f"a {word} presses {verb} for an improvement {thing}"
                yield pen.case(name, base, summary, accepted(), check="own_objects_only")


def _reaching(pen: Pen, name: str, text: str, summary: str) -> Case:
    """A command about somebody else's thing; the marker stands in the sender's name, since the arguments are the point."""
    who = pen.someone(name, "user")
    members: dict[str, Any] = {"from": person(who) | {"last_name": pen.place(name).marker}}
    base = pen.message(name, text, user=who, **members)
    return pen.case(name, base, summary, accepted(), check="own_objects_only")


def _sound(pen: Pen) -> Iterator[Case]:
    for category in SKILLS:
        name = f"callbacks/category-{category}"
        yield pen.case(name, pen.press(name, f"category:{category}"), f"a guest opens the category {category}")
    for skill in ("rewrite", "translate"):
        name = f"callbacks/skill-{skill}"
        base = pen.press(name, f"skill:{skill}", user=pen.someone(name, "user"))
        yield pen.case(name, base, f"a user chooses the skill {skill}")
    name = "callbacks/skill-by-guest"
    yield pen.case(
        name,
        pen.press(name, "skill:rewrite"),
        "a guest presses a user's button",
        accepted(),
        check="no_escalation",
        control="callbacks/skill-rewrite",
        role=Role.PLAIN,
    )


def _forged(pen: Pen) -> Iterator[Case]:
    data: dict[str, tuple[str | None, str]] = {
        "absent": (None, "no data"),
        "empty": ("", "empty data"),
        "colon": (":", "a colon"),
        "verb": ("category:", "a verb without argument"),
        "unknown": (f"chaos:{MARK}", "a verb that nobody knows"),
        "nothing": (f"category:{MARK}", "a category that is none"),
        "noskill": (f"skill:{MARK}", "a skill that is none"),
        "admin": ("admin:panel", "an admin's button"),
        "grant": ("grant:2000001:user", "a right"),
        "command": ("/admin", "a command"),
        "long65": ("x" * 65, "65 bytes, one more than allowed"),
        "long64": ("x" * 64, "64 bytes, as many as allowed"),
        "long4096": ("category:" + "x" * 4096, "4 KB"),
        "utf8": ("category:" + "é" * 28, "65 bytes in 37 characters"),
        "surrogate": ("category:\ud83d", "half a surrogate pair"),
        "nul": ("category:\x00", "a NUL"),
        "path": ("category:../../etc/passwd", "a path"),
        "proto": ("category:__proto__", "a name of JavaScript's inside"),
        "dunder": ("category:__class__", "a name of Python's inside"),
        "json": ('{"verb":"approve","n":1}', "JSON"),
        "pickle": ("gASVDAAAAAAAAAB9lC4=", "a pickle in base64"),
        "sql": ("category:' OR 1=1 --", "SQL"),
        "format": ("category:{0.__class__}%s", "a format string"),
        "negative": ("improvement:approve:-1", "a negative number"),
        "fraction": ("improvement:approve:1.5", "a fraction"),
        "huge": ("improvement:approve:" + "9" * 40, "a number of 40 digits"),
        "word": ("improvement:approve:abc", "a word instead of a number"),
        "parts": ("improvement:approve:1:2:3", "too many parts"),
        "noverb": ("improvement::1", "an empty verb"),
        "arabic": ("improvement:approve:\u0661", "an Arabic digit"),
        "case": ("CATEGORY:WRITING", "capitals"),
        "blank": (" category:writing ", "blanks around it"),
    }
    for word, (value, what) in data.items():
        name = f"callbacks/data-{word}"
        # The platform hands on what a client sends back, so a person can forge any data of up to 64 bytes.
        expect = broken() if word in ("long65", "long4096", "utf8", "surrogate") else accepted()
        check = "no_server_error" if word in ("long65", "long4096", "utf8", "surrogate") else "valid_accepted"
        yield pen.case(name, pen.press(name, value), f"a button's data is {what}", expect, check=check)


def _messages(pen: Pen) -> Iterator[Case]:
    """Where the button stood: nowhere, out of reach, in an inline message."""

    def at(name: str, what: str, *, valid: bool = True, **content: Any) -> Case:
        data = content.pop("data", "category:writing")
        base = pen.press(f"callbacks/{name}", data, **content)
        expect = accepted() if valid else broken()
        return pen.case(
            f"callbacks/{name}",
            base,
            f"a button {what}",
            expect,
            check="valid_accepted" if valid else "no_server_error",
        )

    who = pen.someone("callbacks/message-inaccessible")
    yield at("message-absent", "without its message", message=None)
    yield at("message-inline", "below an inline message", message=None, inline_message_id="AAAAchaos")
    yield at(
        "message-inaccessible",
        "below a message out of reach",
        user=who,
        message={"chat": private(who), "message_id": 7, "date": 0},
    )
    yield at("message-empty", "whose message is empty", valid=False, message={})
    yield at(
        "message-id0",
        "whose message has the number 0",
        user=who,
        message={"chat": private(who), "message_id": 0, "date": 0},
    )
    yield at("message-nochat", "whose message has no chat", valid=False, message={"message_id": 7, "date": pen.date})
    yield at("message-list", "whose message is a list", valid=False, message=[])
    yield at(
        "message-old",
        "below a message of two days ago",
        user=who,
        message={"message_id": 7, "from": bot(), "chat": private(who), "date": pen.date - 172_800, "text": "Old"},
    )
    yield at(
        "message-foreign",
        "below a message that somebody else wrote",
        user=who,
        message={"message_id": 7, "from": person(pen.admin), "chat": private(who), "date": pen.date, "text": "Mine"},
    )
    yield at("game", "of a game", data=None, game_short_name="chaos")
    yield at("instance-absent", "without chat_instance", valid=False, chat_instance=None)
    yield at("id-absent", "without an id", valid=False, id=None)
    yield at("id-empty", "with an empty id", valid=False, id="")
    yield at("id-long", "with an id of 10 000 digits", valid=False, id="9" * 10_000)


def _senders(pen: Pen) -> Iterator[Case]:
    def by(name: str, what: str, sender: Any) -> Case:
        members: dict[str, Any] = {"from": sender}
        base = pen.press(f"callbacks/{name}", "category:writing", **members)
        return pen.case(f"callbacks/{name}", base, f"a button pressed by {what}", broken())

    yield by("sender-absent", "nobody", None)
    yield by("sender-bot", "a bot", robot())
    yield by("sender-empty", "an empty user", {})
    yield by("sender-list", "a list", [1])
