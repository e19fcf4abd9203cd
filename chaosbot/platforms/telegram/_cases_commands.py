"""commands (user): only the intended command runs, whatever a command is made to look like.

Guests write privileged commands in disguise; the answer is compared with the admin's own (the control).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from chaosbot.core.case import Case, Change
from chaosbot.core.kit import accepted, broken
from chaosbot.core.verdict import Mechanism
from chaosbot.platforms.telegram._case_kit import MARK, POLITE, Pen, dice_of
from chaosbot.platforms.telegram._commands import COMMANDS
from chaosbot.platforms.telegram._parts import document, utf16, voice
from chaosbot.platforms.telegram._users import TEST_SUBJECTS

# Spellings of a privileged command. The entity, where there is one, covers what a sloppy client would mark.
_SPELLINGS: dict[str, tuple[str, str]] = {
    "otherbot": ("/{}@some_other_bot", "addressed to another bot"),
    "upper": ("/{upper}", "in capitals"),
    "upper-first": ("/{title}", "with a capital"),
    "spaced": ("/ {}", "with a blank behind the slash"),
    "leading": (" /{}", "behind a blank"),
    "newline": ("\n/{}", "behind a line end"),
    "second": ("/help /{}", "as a second command"),
    "secondline": ("/help\n/{}", "as a second command, on a line of its own"),
    "middle": ("please /{} now", "in the middle of a text"),
    "doubled": ("//{}", "behind two slashes"),
    "backslash": ("\\{}", "behind a backslash"),
    "bang": ("!{}", "behind an exclamation mark"),
    "dot": (".{}", "behind a dot"),
    "fullwidth": ("\uff0f{}", "behind a full-width slash"),
    "zerowidth": ("/\u200b{}", "with a zero-width space"),
    "zerojoiner": ("/{half}\u200d{rest}", "with a zero-width joiner inside"),
    "softhyphen": ("/{half}\u00ad{rest}", "with a soft hyphen inside"),
    "rtl": ("\u202e/{}", "behind a direction override"),
    "nbsp": ("/{}\u00a0", "with a no-break space behind it"),
    "tab": ("/{}\t", "with a tab behind it"),
    "homoglyph": ("/{homoglyph}", "with a letter that only looks alike"),
    "mathematical": ("/{bold}", "in mathematical letters that normalise to it"),
    "nul": ("/{}\x00", "with a NUL behind it"),
    "dash": ("/{}-x", "with a suffix behind a dash"),
    "underscore": ("/{}_x", "with a suffix"),
    "digit": ("/{}1", "with a digit behind it"),
    "percent": ("/%{hex}", "with a percent code"),
    "emptyat": ("/{}@", "with an empty addressee"),
    "quoted": ("`/{}`", "in quotes"),
    "url": ("https://t.me/bot?start=/{}", "inside a link"),
}


def _spell(pattern: str, command: str) -> str:
    bold = "".join(chr(0x1D41A + ord(letter) - ord("a")) for letter in command)
    return pattern.format(
        command,
        upper=command.upper(),
        title=command.title(),
        half=command[:2],
        rest=command[2:],
        homoglyph=command.replace("a", "а", 1),
        bold=bold,
        hex=f"{ord(command[0]):x}{command[1:]}",
    )


def cases(pen: Pen) -> Iterator[Case]:
    """All cases of this group."""
    subject = dice_of(pen, "escalation/subject").choice(TEST_SUBJECTS)
    tails = {"grant": f" {subject} user {MARK}", "admin": f" {MARK} {POLITE}"}
    for word, (pattern, what) in _SPELLINGS.items():
        for command in (
            ("grant", "admin") if word in ("upper", "otherbot", "upper-first", "second", "emptyat") else ("grant",)
        ):
            name = f"commands/{word}-{command}"
            text = _spell(pattern, command) + tails[command]
            yield _attempt(pen, name, text, f"a guest's /{command} {what}", command)
    yield from _entities(pen, tails)
    yield from _places(pen, tails)
    yield from _sound(pen)


def _attempt(pen: Pen, name: str, text: str, summary: str, command: str, **content: Any) -> Case:
    base = pen.message(name, text, **content)
    # One mistake with the spellings that are tried of commands which only the target knows.
    change = Change(Mechanism.TECHNIQUE, "escalation/spelling", name.partition("/")[2])
    control = f"escalation/control-{command}"
    return pen.case(name, base, summary, accepted(), check="no_escalation", control=control, change=change)


def _entities(pen: Pen, tails: dict[str, str]) -> Iterator[Case]:
    """The text says one thing, the entity another. A real person's client writes no entities, the platform does."""
    text = "/grant" + tails["grant"]
    entities: dict[str, tuple[list[dict[str, Any]], str]] = {
        "none": ([], "without an entity"),
        "late": ([{"type": "bot_command", "offset": 1, "length": 5}], "with its entity one character late"),
        "short": ([{"type": "bot_command", "offset": 0, "length": 3}], "with its entity too short"),
        "long": ([{"type": "bot_command", "offset": 0, "length": 900}], "with its entity past the end"),
        "zero": ([{"type": "bot_command", "offset": 0, "length": 0}], "with an empty entity"),
        "bold": ([{"type": "bold", "offset": 0, "length": 6}], "marked bold instead"),
        "code": ([{"type": "code", "offset": 0, "length": 6}], "marked as code instead"),
        "twice": ([{"type": "bot_command", "offset": 0, "length": 6}] * 2, "with its entity twice"),
        "url": (
            [{"type": "text_link", "offset": 0, "length": 6, "url": "tg://resolve?domain=admin"}],
            "as a link",
        ),
    }
    for word, (list_, what) in entities.items():
        name = f"commands/entity-{word}"
        yield _attempt(pen, name, text, f"a guest's /grant {what}", "grant", entities=list_)


def _places(pen: Pen, tails: dict[str, str]) -> Iterator[Case]:
    """A command where none is looked for."""
    entity = [{"type": "bot_command", "offset": 0, "length": 6}]
    for word in ("voice", "document"):
        name = f"commands/caption-{word}"
        place = pen.place(name)
        file = voice(place) if word == "voice" else document(place)
        caption = "/grant" + tails["grant"]
        content: dict[str, Any] = {word: file, "caption_entities": entity}
        base = pen.media(name, caption, **content)
        yield pen.case(
            name,
            base,
            f"a guest's /grant in the caption of a {word}",
            accepted(),
            check="no_escalation",
            control="escalation/control-grant",
        )


def _sound(pen: Pen) -> Iterator[Case]:
    """Commands that are right: every one by somebody who may use it, and with arguments at the ends of what is allowed."""
    for command, tier in COMMANDS.items():
        if tier != "guest":
            continue
        name = f"commands/sound-{command}"
        base = pen.message(name, f"/{command} {MARK}")
        yield pen.case(name, base, f"a guest's /{command}, as it should be")
    long = 4096 - utf16("/help ") - 16
    arguments: dict[str, tuple[str, str]] = {
        "long": (f"/help {MARK} " + "x" * (long - 1), "4096 characters"),
        "long3500": (f"/help {MARK} " + "word " * 700, "an argument of 3500 characters"),
        "blanks": (f"/help {' ' * 300}{MARK}", "300 blanks before its argument"),
        "lines": ("/help" + "\n" * 300 + MARK, "300 line ends before its argument"),
        "emoji": (f"/help {'👩‍👩‍👧' * 50} {MARK}", "an argument of combined emoji"),
        "bidi": (f"/help \u202etxet\u202c {MARK}", "a direction override in its argument"),
        "nul": (f"/help \x00 {MARK}", "a NUL in its argument"),
        "format": (f"/help %s%n{{0}}${{x}} {MARK}", "format strings as its argument"),
        "sql": (f"/help '; DROP TABLE users; -- {MARK}", "SQL as its argument"),
        "html": (f"/help <b>&lt;</i>*_[x](y {MARK}", "broken markup as its argument"),
        "path": (f"/help ../../etc/passwd {MARK}", "a path as its argument"),
        "unknown": (f"/chaosbot_knows_no_such_command {MARK}", "a command that nobody knows"),
        "longname": (f"/{'a' * 32} {MARK}", "a name of 32 letters"),
        "longername": (f"/{'a' * 33} {MARK}", "a name of 33 letters, one too many"),
        "slash": (f"/ {MARK}", "a slash alone"),
        "digits": (f"/123 {MARK}", "digits as a name"),
        "many": ("/help " * 600 + MARK, "600 commands in a message"),
    }
    for word, (text, what) in arguments.items():
        name = f"commands/argument-{word}"
        expect = broken() if word == "nul" else accepted()
        check = "no_hang" if word in ("long", "long3500", "blanks", "lines", "many") else ""
        yield pen.case(
            name, pen.message(name, text), f"a guest's command: {what}", expect, check=check or "valid_accepted"
        )
    for word, arguments_of in {
        "empty": "",
        "word": " abc",
        "negative": " -1 user",
        "zero": " 0 user",
        "huge": " 99999999999999999999 user",
        "fraction": " 2000001.5 user",
        "tier": f" {TEST_SUBJECTS[0]} emperor",
        "swapped": f" user {TEST_SUBJECTS[0]}",
        "arabic": " \u0662\u0660\u0660\u0660\u0660\u0660\u0661 user",
        "many": f" {TEST_SUBJECTS[0]} user {TEST_SUBJECTS[1]} user",
    }.items():
        name = f"commands/grant-{word}"
        base = pen.message(name, f"/grant{arguments_of} {MARK}", user=pen.admin)
        yield pen.case(name, base, f"the admin's /grant{arguments_of or ' without argument'}")
