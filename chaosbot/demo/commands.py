# ruff: noqa: ARG002 -- the commands share one signature, whatever each of them needs of it
"""The commands: finds the one a message asks for, checks the tier, writes the reply.

Rules:
1. Only a `bot_command` entity at offset 0 of `text` makes a command, only when it covers the whole first word, and only
   in exact lower case.
2. `/command@name` runs when the name is ours and is ignored otherwise.
3. The tier is checked in one place, before the command's own code.
4. Every reply repeats the argument, so that what was asked and what was answered can be joined.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from chaosbot.demo.access import COMMANDS, GRANTABLE, MAX_GRANTS, Roster, Tier
from chaosbot.demo.botapi import Circuit
from chaosbot.demo.bugs import Bug
from chaosbot.demo.desk import SKILLS, Desk
from chaosbot.demo.settings import BOT_USERNAME
from chaosbot.demo.updates import MAX_ID, Message

VOUCHERS: Final[dict[str, int]] = {}
"""Days by voucher; those of 2024 are over."""
_COMMAND: Final = re.compile(r"/([A-Za-z0-9_]{1,32})(?:@([A-Za-z0-9_]{1,64}))?\Z")
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,15}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Command:
    """A command as written: without the slash, and what followed it."""

    name: str
    argument: str
    ours: bool = True
    unchecked: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """A text for the chat, and buttons (text, data) below it."""

    text: str
    buttons: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Trace:
    """What happened to one update; never what was in it."""

    update_id: int
    kind: str
    outcome: str


def find_command(message: Message, bugs: frozenset[Bug] = frozenset()) -> Command | None:
    """Finds the command of a message.

    Returns:
        The command, or None when the message is to be read as plain text.
    """
    text = message.text
    if not text or text[0] != "/":
        return None
    for entity in message.entities:
        length = entity.get("length")
        if entity.get("type") != "bot_command" or type(entity.get("offset")) is not int or entity["offset"] != 0:
            continue
        if type(length) is not int or not 1 < length <= len(text) or not text[:length].isascii():
            continue
        match = _COMMAND.match(text[:length])
        if match is None or (length < len(text) and not text[length].isspace()):
            continue
        name, addressee = match[1], match[2]
        ours = addressee is None or addressee.lower() == BOT_USERNAME
        argument = text[length:].strip()
        if Bug.UPPERCASE_COMMAND_UNCHECKED in bugs and name.isupper() and name.lower() in COMMANDS:
            return Command(name.lower(), argument, ours, unchecked=True)  # BUG: the tiers list lower case only
        return Command(name, argument, ours)
    return None


class Commands:
    """Runs commands against the desk and the roster."""

    def __init__(
        self,
        roster: Roster,
        desk: Desk,
        circuits: dict[str, Circuit],
        counters: Callable[[], str],
        bugs: frozenset[Bug] = frozenset(),
    ) -> None:
        """Binds the commands to what they work on."""
        self._bugs = bugs
        self._roster = roster
        self._desk = desk
        self._breakers = circuits
        self._counters = counters
        self.traces: deque[Trace] = deque(maxlen=200)

    def run(self, command: Command, user_id: int, tier: Tier) -> Reply:
        """Runs a command for a user."""
        needed = COMMANDS.get(command.name)
        if needed is None:
            return _with_argument(Reply(f"I do not know /{command.name}. Try /help."), command.argument)
        if tier < needed and not command.unchecked:
            refusal = f"Sorry, /{command.name} is for the {needed.label} tier; you are {tier.label}."
            return _with_argument(Reply(refusal), command.argument)
        action: Callable[[str, int, Tier], Reply] = getattr(self, f"_{command.name}")
        return _with_argument(action(command.argument, user_id, tier), command.argument)

    def _start(self, argument: str, user_id: int, tier: Tier) -> Reply:
        if Bug.FORGOTTEN_VOUCHER in self._bugs and argument.startswith("promo-") and argument.endswith("-2024"):
            return Reply(
                f"{VOUCHERS[argument]} days more for you!"
            )  # BUG: nobody asks whether the voucher is still known
        return Reply(f"Welcome! You are {tier.label}. /help lists what you can do.")

    def _help(self, argument: str, user_id: int, tier: Tier) -> Reply:
        allowed = " ".join(f"/{name}" for name, needed in COMMANDS.items() if needed <= tier)
        return Reply(f"Commands for {tier.label}: {allowed}")

    def _status(self, argument: str, user_id: int, tier: Tier) -> Reply:
        return Reply(f"Status: awake, mode {self._desk.modes.get(user_id, 'plain')}.")

    def _skills(self, argument: str, user_id: int, tier: Tier) -> Reply:
        return Reply("Skill categories:", tuple((name, f"category:{name}") for name in SKILLS))

    def _mode(self, argument: str, user_id: int, tier: Tier) -> Reply:
        if argument:
            self._desk.modes.put(user_id, argument[:32])
        return Reply(f"Mode: {self._desk.modes.get(user_id, 'plain')}.")

    def _cancel(self, argument: str, user_id: int, tier: Tier) -> Reply:
        self._desk.skills.drop(user_id)
        return Reply("Cancelled.")

    def _clear(self, argument: str, user_id: int, tier: Tier) -> Reply:
        self._desk.modes.drop(user_id)
        self._desk.skills.drop(user_id)
        return Reply("Cleared your mode and skill.")

    def _skill(self, argument: str, user_id: int, tier: Tier) -> Reply:
        name = argument.split(maxsplit=1)[0] if argument else self._desk.skills.get(user_id, "none")
        return Reply(f"Skill {name[:32]} done.")

    def _translate(self, argument: str, user_id: int, tier: Tier) -> Reply:
        return Reply("Translation:" if argument else "Translate what? /translate <text>")

    def _summarize(self, argument: str, user_id: int, tier: Tier) -> Reply:
        return Reply(f"Summary of {len(argument.split())} words:" if argument else "Usage: /summarize <text>")

    def _rewrite(self, argument: str, user_id: int, tier: Tier) -> Reply:
        if not argument:
            return Reply("Rewrite what? /rewrite <text>")
        number = self._desk.improvements.put(user_id, argument[:200]).number
        buttons = tuple((verb, f"improvement:{verb}:{number}") for verb in ("approve", "reject"))
        return Reply(f"Improvement {number} proposed:", buttons)

    def _remind(self, argument: str, user_id: int, tier: Tier) -> Reply:
        if not argument:
            return Reply("Remind you of what? /remind <text>")
        return Reply(f"Reminder {self._desk.reminders.put(user_id, argument[:200]).number} set.")

    def _reminders(self, argument: str, user_id: int, tier: Tier) -> Reply:
        drawer, words = self._desk.reminders, argument.split()
        if not words:
            listed = "\n".join(f"{thing.number}: {thing.text}" for thing in drawer.of(user_id))
            return Reply(f"Your reminders:\n{listed}" if listed else "You have no reminders.")
        number = _number(words[-1])
        if words[0] in ("delete", "cancel"):
            gone = drawer.take(number, user_id)
            return Reply(f"Deleted reminder {gone.number}: {gone.text}" if gone else "You have no such reminder.")
        thing = drawer.get(number, user_id)
        return Reply(f"Reminder {thing.number}: {thing.text}" if thing else "You have no such reminder.")

    def _task(self, argument: str, user_id: int, tier: Tier) -> Reply:
        if not argument:
            return Reply("Which task? /task <text>")
        return Reply(f"Task {self._desk.tasks.put(user_id, argument[:200]).number} done.")

    def _tasks(self, argument: str, user_id: int, tier: Tier) -> Reply:
        numbers = ", ".join(str(thing.number) for thing in self._desk.tasks.of(user_id))
        return Reply(f"Your tasks: {numbers}." if numbers else "You have no tasks.")

    def _traces(self, argument: str, user_id: int, tier: Tier) -> Reply:
        newest = list(self.traces)[-10:]
        return Reply("Traces:\n" + "\n".join(f"{t.update_id} {t.kind} {t.outcome}" for t in reversed(newest)))

    def _trace(self, argument: str, user_id: int, tier: Tier) -> Reply:
        wanted = _number(argument)
        for trace in reversed(self.traces):
            if trace.update_id == wanted:
                return Reply(f"Trace {trace.update_id}: {trace.kind}, {trace.outcome}.")
        return Reply("Trace: nothing known about that update.")

    def _circuits(self, argument: str, user_id: int, tier: Tier) -> Reply:
        states = ", ".join(f"{name} {circuit.state}" for name, circuit in self._breakers.items())
        return Reply(f"Circuits: {states}.")

    def _tier(self, argument: str, user_id: int, tier: Tier) -> Reply:
        subject = _number(argument) or user_id
        return Reply(f"Tier of {subject}: {self._roster.tier(subject).label}.")

    def _grant(self, argument: str, user_id: int, tier: Tier) -> Reply:
        words = argument.split()
        subject = next((number for word in words if (number := _number(word))), 0)
        wanted = next((GRANTABLE[word] for word in words if word in GRANTABLE), None)
        if not subject or wanted is None:
            return Reply(f"Usage: /grant <user id> <{'|'.join(GRANTABLE)}>")
        if subject == self._roster.admin_id:
            return Reply("The admin's tier cannot be granted away.")
        self._roster.grant(subject, wanted)
        return Reply(f"Granted {wanted.label} to {subject}.")

    def _revoke(self, argument: str, user_id: int, tier: Tier) -> Reply:
        subject = _number(argument.split(maxsplit=1)[0]) if argument else 0
        if not subject:
            return Reply("Usage: /revoke <user id>")
        had = self._roster.revoke(subject)
        return Reply(f"Revoked the grant of {subject}." if had else f"Revoked nothing: {subject} has no grant.")

    def _admin(self, argument: str, user_id: int, tier: Tier) -> Reply:
        return Reply(f"Admin panel. {self._counters()} Grants {self._roster.grants} of {MAX_GRANTS}.")


def _with_argument(reply: Reply, argument: str) -> Reply:
    return Reply(f"{reply.text}\n» {argument}", reply.buttons) if argument else reply


def _number(word: str) -> int:
    number = int(word) if _NUMBER.match(word.strip()) else 0
    return number if number <= MAX_ID else 0


def keyboard(buttons: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """Builds the extra arguments of sendMessage for buttons, one in a row."""
    if not buttons:
        return {}
    rows = [[{"text": text, "callback_data": data}] for text, data in buttons]
    return {"reply_markup": {"inline_keyboard": rows}}
