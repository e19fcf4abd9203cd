"""The bot: decides what an update brings about, then hands it to the outbox or into the webhook's answer."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any, Final

from chaosbot.demo.access import Allowance, RateLimits, Roster, Tier
from chaosbot.demo.agent import Agent, Ask
from chaosbot.demo.botapi import MAX_FILE, BotApi, Circuit, Delivered, Failed, State
from chaosbot.demo.bugs import Bug
from chaosbot.demo.buttons import press
from chaosbot.demo.commands import Command, Commands, Trace, find_command, keyboard
from chaosbot.demo.desk import Deduplicator, Desk
from chaosbot.demo.flaws import acting_tier, die_like_a_bot, runs_forwards, slow_down, written_in_group
from chaosbot.demo.outbox import Call, Fetch, Outbox, Outgoing, answer_callback, send_message
from chaosbot.demo.settings import DemoSettings
from chaosbot.demo.updates import Callback, Media, Message, Update, as_object, read_message

_EDIT_KINDS: Final = frozenset({"edited_message"})


class Overloaded(Exception):
    """The outbox is full: this update must not be acknowledged now."""


class UnknownKind(Exception):
    """BUG: an update that is newer than the bot is taken for a mistake."""


class Bot:
    """One bot with its memory; everything in it belongs to one event loop."""

    def __init__(self, settings: DemoSettings) -> None:
        """Builds the bot; nothing is contacted.

        Args:
            settings: Whom to trust, where the Bot API is, what is broken.
        """
        self.bugs = settings.bugs
        self.circuits = {
            name: Circuit(closes=Bug.CIRCUIT_NEVER_CLOSES not in self.bugs) for name in ("botapi", "files", "skills")
        }
        self.handled: Counter[str] = Counter()
        self.outbound: Counter[str] = Counter()
        self.roster = Roster(settings.admin_id)
        self.desk = Desk(self.bugs)
        self.dedup = Deduplicator(self.bugs)
        # BUG: whether it was answered before is not asked for questions. What is wrong with other updates is right with these.
        self.asked = Deduplicator(frozenset({Bug.NO_DEDUP} if Bug.PAYS_ON_REDELIVERY in self.bugs else ()))
        self.commands = Commands(self.roster, self.desk, self.circuits, self._summary, self.bugs)
        self._limits = RateLimits(settings.limits, time.monotonic)
        self.admin_names = {"admin"}
        self.api: BotApi | None = None
        self.outbox: Outbox | None = None
        self.agent: Agent | None = None
        if settings.bot_api is not None:
            self.api = BotApi(settings.bot_api, settings.bot_token, self.circuits, self.bugs)
            if settings.models is not None:
                self.agent = Agent(settings.models, settings.model_key, self.roster, self.desk, self.bugs)
            self.outbox = Outbox(self.api, self.outbound, self.bugs, self.agent)

    async def close(self) -> None:
        """Lets the outbox finish what it can in a moment."""
        if self.outbox is not None and self.api is not None:
            await self.outbox.close()
            await self.api.close()
        if self.agent is not None:
            await self.agent.close()

    async def handle(self, update: Update) -> dict[str, Any] | None:
        """Does what an update asks for, once.

        Raises:
            Overloaded: When there is no room; the update is to be delivered again.
        """
        dedup = self.asked if self._asks(update) else self.dedup
        return await dedup.once(update.id, lambda: self._work(update))

    async def _work(self, update: Update) -> dict[str, Any] | None:
        if self.outbox is not None and not self.outbox.has_room:
            raise Overloaded
        outgoing = self.respond(update)
        self.handled[update.kind] += 1
        outcome = outgoing[-1].__class__.__name__.lower() if outgoing else "ignored"
        self.commands.traces.append(Trace(update.id, update.kind, outcome))
        if self.outbox is None:
            return _reply_in_response(outgoing)
        for item in outgoing:
            if isinstance(item, Ask) and Bug.ACK_AFTER_MODEL in self.bugs:
                for call in await self.outbox.asked(item):  # BUG: the platform waits for the model
                    self.outbox.put(call)
                continue
            if Bug.CRASH_ON_HTML_ERROR in self.bugs and await self._sent_unguarded(item):
                continue
            self.outbox.put(item)
        return None

    def respond(self, update: Update) -> tuple[Outgoing, ...]:
        """Decides what an update brings about; nothing is sent here."""
        payload = update.payload
        if isinstance(payload, Message):
            return self._message(payload)
        if isinstance(payload, Callback):
            return self._callback(payload)
        if Bug.UNKNOWN_KIND_REFUSED in self.bugs and update.kind == "unknown":
            raise UnknownKind
        if Bug.CRASH_ON_MISSING_CHAT in self.bugs and update.kind == "message":
            update.raw["message"]["chat"]["id"]  # BUG: whatever is missing here raises
        if Bug.EDITED_COMMAND_UNCHECKED in self.bugs and update.kind in _EDIT_KINDS:
            edited = read_message(as_object(update.raw[update.kind]))
            if edited is not None and (command := find_command(edited)) is not None:
                unchecked = Command(command.name, command.argument, unchecked=True)  # BUG: "was checked before"
                return self._run(unchecked, edited, Tier.GUEST)
        return ()

    def _message(self, message: Message) -> tuple[Outgoing, ...]:
        tier = acting_tier(message, self.roster, self.admin_names, self.bugs)
        if tier is None:  # a bot or an account behind which no user is
            return ()
        allowance = self._limits.take(message.sender.id, tier)
        if allowance is Allowance.SILENT:
            return ()
        if allowance is Allowance.TELL:
            return (self._reply(message, "That was a lot at once. Please wait a minute."),)
        if Bug.SLOW_TEXT_BLOCKS_LOOP in self.bugs and message.text:
            slow_down(message.text)
        command = find_command(message, self.bugs) if message.direct or runs_forwards(self.bugs) else None
        if self.agent is not None and command is not None and command.name == "ask":
            return (self._ask(message, tier, command.argument or "What can you do?"),) if command.ours else ()
        if command is not None:
            return self._run(command, message, tier) if command.ours else ()
        if message.media is not None:
            return (self._media(message, message.media),)
        if message.text is not None and self.agent is not None:
            return (self._ask(message, tier, message.text),)
        if message.text is not None:
            return (self._echo(message, f"You said: {message.text}"),)
        return ()

    def _run(self, command: Command, message: Message, tier: Tier) -> tuple[Outgoing, ...]:
        reply = self.commands.run(command, message.sender.id, tier)
        return (self._reply(message, reply.text, **keyboard(reply.buttons)),)

    def _media(self, message: Message, media: Media) -> Outgoing:
        about = f"your {media.kind}" + (f": {message.caption}" if message.caption else "")
        if media.size is not None and media.size > MAX_FILE:
            return self._reply(message, f"Files over 20 MB are too much for me, {about}")
        if self.outbox is None:
            return self._reply(message, f"I saw {about}")
        done, failed, chat_id = f"Got {{size}} bytes, {about}", f"I could not get {about}", message.chat_id
        return Fetch(media.file_id, chat_id, message.thread_id, done, failed, chat_id)

    def _callback(self, callback: Callback) -> tuple[Outgoing, ...]:
        if not callback.has_message and Bug.EXIT_ON_CALLBACK_WITHOUT_MESSAGE in self.bugs:
            die_like_a_bot()
        if not callback.sender.genuine:
            return ()
        tier = self.roster.tier(callback.sender.id)
        if self._limits.take(callback.sender.id, tier) is not Allowance.GO:
            return (answer_callback(callback.id, "Please wait a minute.", callback.sender.id),)
        pressed = press(callback.data, callback.sender.id, tier, self.desk, self.bugs)
        queue = callback.chat_id if callback.chat_id is not None else callback.sender.id
        outgoing: list[Outgoing] = [answer_callback(callback.id, pressed.notice, queue)]
        if pressed.counts and callback.chat_id is not None:
            extra = keyboard(pressed.buttons)
            outgoing.append(send_message(callback.chat_id, pressed.notice, callback.thread_id, **extra))
        return tuple(outgoing)

    def _asks(self, update: Update) -> bool:
        """Whether an update is a text for the model; a look that leaves no trace."""
        payload = update.payload
        text = payload.text if self.agent is not None and isinstance(payload, Message) else None
        return text is not None and not text.startswith("/")

    @staticmethod
    def _ask(message: Message, tier: Tier, question: str) -> Ask:
        return Ask(question[:4000], message.chat_id, message.thread_id, message.sender.id, tier, message.chat_id)

    def _echo(self, message: Message, text: str) -> Call:
        if Bug.REPLY_TO_SENDER in self.bugs and written_in_group(message):
            return send_message(message.sender.id, text)  # BUG: right in private chats, a stranger's screen here
        return self._reply(message, text)

    def _reply(self, message: Message, text: str, **more: Any) -> Call:
        return send_message(message.chat_id, text, message.thread_id, **more)

    async def _sent_unguarded(self, item: Outgoing) -> bool:
        """BUG: the first attempt happens before the acknowledgement, and what is no JSON is not expected."""
        if self.api is None or not isinstance(item, Call) or self.circuits["botapi"].state is not State.CLOSED:
            return False
        outcome = await self.api.call(item.method, item.payload)
        if isinstance(outcome, Failed) and outcome.html:
            raise ValueError("Expecting value: line 1 column 1 (char 0)")
        if isinstance(outcome, Failed):
            return Bug.ACK_THEN_LOSE in self.bugs  # then it is lost here, not in the outbox
        return isinstance(outcome, Delivered)

    def _summary(self) -> str:
        depth = 0 if self.outbox is None else self.outbox.depth
        return f"Handled {self.handled.total()}, waiting {depth}."


def _reply_in_response(outgoing: tuple[Outgoing, ...]) -> dict[str, Any] | None:
    """Picks the one call that fits into the answer: the notice of a callback, the message otherwise."""
    for item in outgoing:
        if isinstance(item, Call):
            return {"method": item.method, **item.payload}
    return None
