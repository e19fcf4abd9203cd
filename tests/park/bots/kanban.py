"""Kanban: a task board for small teams in English, on python-telegram-bot behind Starlette.

A rate limiter of its own retries, a ConversationHandler makes cards, and what the teams have lies in one JSON file that is
read and written in transactions. The webhook acknowledges at once; every chat has a queue.
"""

from __future__ import annotations

import asyncio
import functools
import hmac
import json
import logging
import os
import re
import tempfile
import warnings
import weakref
from collections import OrderedDict, deque
from contextlib import asynccontextmanager
from datetime import date, timedelta
from pathlib import Path
from uuid import uuid4

import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from telegram import InlineKeyboardButton, InlineKeyboardMarkup, Update, User
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TelegramError,
)
from telegram.ext import (
    Application,
    BaseRateLimiter,
    CallbackQueryHandler,
    ConversationHandler,
    ExtBot,
    MessageHandler,
    filters,
)
from telegram.request import HTTPXRequest

warnings.filterwarnings("ignore", module=r"telegram")
warnings.filterwarnings("ignore", message=r".*CallbackQueryHandler.*")

PORT = int(os.environ.get("PORT", "8080"))
PATH = os.environ.get("WEBHOOK_PATH", "/webhook")
SECRET = os.environ.get("SECRET", "")
TOKEN = os.environ.get("BOT_TOKEN", "1:x")
API = os.environ.get("BOT_API", "https://api.telegram.org").rstrip("/")
ADMIN_ID = int(os.environ.get("ADMIN_ID", "0"))
BUG = os.environ.get("BUG", "")

COLUMNS = ("To do", "Doing", "Review", "Done")
MAX_OPEN = 20  # cards that one user may have open
MAX_PROJECTS, MAX_PROJECTS_EACH, MAX_CARDS, MAX_MEMBERS, MAX_COMMENTS = 400, 12, 1500, 50, 15
MAX_SEEN, MAX_QUEUE, MAX_CHATS, MAX_BODY = 20_000, 200, 5000, 1 << 20
BACKOFF = (0.5, 1, 2, 4, 8, 12)
STRANGE = (AttributeError, KeyError, TypeError, ValueError)  # what the library raises for answers that make no sense
HELP = """A board for your team:
/newproject NAME - start a project (in a group: the group hears of it)
/projects - your projects
/board PROJECT - its cards
/newcard [PROJECT] - write a card, step by step
/card CARD - one card, with buttons
/comment CARD TEXT - say something about it
/assign CARD USER - whose it is
/mine - what is assigned to you
/join PROJECT - accept an invitation
/cancel - stop what you are writing
For owners: /invite PROJECT USER, /kick PROJECT USER, /archive PROJECT
For the operator: /all"""

logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
log = logging.getLogger("kanban")


class Refused(Exception):
    """What somebody wants cannot be; the reason is for them."""


class Bounded(OrderedDict):
    """Forgets what was written first."""

    def __init__(self, limit):
        super().__init__()
        self.limit = limit

    def __setitem__(self, key, value):
        super().__setitem__(key, value)
        self.move_to_end(key)
        if len(self) > self.limit:
            self.popitem(last=False)


def clean(text, limit):
    return re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]+", " ", text or "").strip()[:limit].strip()


def number(text):
    return int(text.lstrip("#")) if re.fullmatch(r"#?[0-9]{1,15}", text, re.ASCII) else 0


# ---------------------------------------------------------------- the file


class Store:
    """One JSON file; `data` is what it held last."""

    def __init__(self):
        self.path = Path(tempfile.mkdtemp(prefix="kanban-")) / "board.json"
        self.lock = asyncio.Lock()
        self.data = {"projects": {}, "cards": {}, "last": {"project": 0, "card": 0}}
        self._write(self.data)

    def _write(self, data):
        half = self.path.with_suffix(f".{uuid4().hex}")
        with half.open("w", encoding="utf-8") as file:
            json.dump(data, file)
            file.flush()
            os.fsync(file.fileno())
        half.replace(self.path)

    async def _load(self):
        return json.loads(await asyncio.to_thread(self.path.read_text, "utf-8"))

    async def _save(self, data):
        await asyncio.to_thread(self._write, data)
        self.data = data

    @asynccontextmanager
    async def change(self):
        """What the file holds; written when the block ends well."""
        if BUG == "file-without-lock":
            data = await self._load()
            yield data
            await self._save(data)
            return
        async with self.lock:
            data = await self._load()
            yield data
            await self._save(data)


store = Store()
names = Bounded(20_000)
seen = Bounded(MAX_SEEN)


def name_of(user):
    return names.get(int(user), f"user {user}")


def new_id(data, what):
    data["last"][what] += 1
    return str(data["last"][what])


def make_card(project, title, due, by, watchers=[]):  # noqa: B006 - copied below
    if BUG != "shared-watchers":
        watchers = list(watchers)
    watchers.append(by)
    return {
        "project": project,
        "title": title,
        "due": due,
        "by": by,
        "assignee": by,
        "column": 0,
        "watchers": watchers,
        "comments": [],
    }


def project_in(data, which, user, *, owner=False):
    """A project on which the user may do something."""
    project = data["projects"].get(str(which))
    if project is None:
        raise Refused("There is no such project.")
    if user == ADMIN_ID:
        return project
    if owner:
        owners = {project["owner"]}
        if BUG == "owner-of-any":
            owners = {one["owner"] for one in data["projects"].values()}
        if user not in owners:
            raise Refused("Only the project's owner may do that.")
    elif user not in project["members"]:
        raise Refused("You are not a member of that project.")
    return project


def card_in(data, which, user):
    """A card with its project, for members."""
    card = data["cards"].get(str(which))
    if card is None:
        raise Refused("There is no such card.")
    return card, project_in(data, card["project"], user)


def card_text(which, card, project):
    lines = [
        f"#{which} {card['title']}",
        f"{project['name']} / {COLUMNS[card['column']]}",
        f"Assigned to {name_of(card['assignee'])}, written by {name_of(card['by'])}, due {card['due'] or 'any time'}",
        f"Watched by {len(card['watchers'])}",
    ]
    return "\n".join(lines + [f"{name_of(one['by'])}: {one['text']}" for one in card["comments"]])


def card_buttons(which, card):
    row = []
    if card["column"] > 0:
        row.append(("◀", f"mv:{which}:{card['column'] - 1}"))
    if card["column"] < len(COLUMNS) - 1:
        row.append(("▶", f"mv:{which}:{card['column'] + 1}"))
    if BUG == "buttons-redelivered":  # relative, as it was before the columns had names
        row = [("◀", f"mv:{which}:-"), ("▶", f"mv:{which}:+")]
    return keyboard([*row], [("Watch / unwatch", f"wa:{which}"), ("Close", f"cl:{which}")])


def keyboard(*rows):
    return InlineKeyboardMarkup([[InlineKeyboardButton(a, callback_data=b) for a, b in row] for row in rows if row])


# ---------------------------------------------------------------- Telegram


class Patient(BaseRateLimiter):
    """Retries what may be retried; one call at a time for each chat."""

    def __init__(self):
        self.locks = weakref.WeakValueDictionary()
        self.moved = Bounded(1000)

    async def initialize(self):
        pass

    async def shutdown(self):
        pass

    async def process_request(self, callback, args, kwargs, endpoint, data, rate_limit_args):
        chat = data.get("chat_id")
        if chat is None:
            return await self._tries(callback, args, kwargs, data, BACKOFF[:2])
        lock = self.locks.get(chat)
        if lock is None:
            lock = self.locks[chat] = asyncio.Lock()
        async with lock:
            return await self._tries(callback, args, kwargs, data, BACKOFF)

    async def _tries(self, callback, args, kwargs, data, backoff):
        waits = failures = 0
        while True:
            if data.get("chat_id") in self.moved:
                data["chat_id"] = self.moved[data["chat_id"]]
            try:
                return await asyncio.wait_for(callback(*args, **kwargs), 9)
            except RetryAfter as error:
                pause = error.retry_after
                pause = pause.total_seconds() if isinstance(pause, timedelta) else pause
                waits += 1
                if waits > 6 or pause > 300 or BUG == "except-order":
                    raise
                await asyncio.sleep(max(1, pause) + 0.1)
            except ChatMigrated as error:
                waits += 1
                if waits > 6:
                    raise
                self.moved[data["chat_id"]] = error.new_chat_id
            except (BadRequest, Forbidden, InvalidToken, Conflict):
                raise
            except (TelegramError, TimeoutError, *STRANGE):
                if failures >= len(backoff):
                    raise
                await asyncio.sleep(backoff[failures])
                failures += 1


class OwnBot(ExtBot):
    """Knows who it is without asking, so that it can start while Telegram is away."""

    async def get_me(self, *_, **__):
        self._bot_user = User(int(TOKEN.split(":")[0]), "Kanban", is_bot=True, username="kanban_team_bot")
        return self._bot_user


async def say(bot, chat, text, buttons=None):
    try:
        await bot.send_message(chat, text[:3500], reply_markup=buttons)
    except STRANGE as error:
        log.warning("strange answer: %s", error)


async def show(update, text, buttons=None):
    """Answers where the command or the button came from; a button's message is changed."""
    query = update.callback_query
    if query is None:
        await say(update.get_bot(), update.effective_chat.id, text, buttons)
        return
    if query.message is not None and query.message.is_accessible:
        try:
            await query.edit_message_text(text[:3500], reply_markup=buttons)
            return
        except (BadRequest, *STRANGE) as error:
            log.info("not edited: %s", error)
    await say(update.get_bot(), query.message.chat.id if query.message else query.from_user.id, text, buttons)


background = set()


def tell(bot, chats, text, buttons=None, delay=0.0):
    """Tells others, for which nobody waits."""

    async def one(chat):
        try:
            await asyncio.sleep(delay)
            await say(bot, chat, text, buttons)
        except (TelegramError, TimeoutError) as error:
            log.warning("%s was not told: %s", chat, error)

    for chat in chats:
        if len(background) < 5000:
            task = asyncio.create_task(one(chat))
            background.add(task)
            task.add_done_callback(background.discard)


def tell_watchers(bot, card, project, by, text):
    chats = set(card["watchers"]) - {by}
    if project["chat"] < 0:
        chats.add(project["chat"])
    tell(bot, chats, f"{project['name']}: {text}")


def answers(handler):
    """A handler whose refusals are told; buttons are acknowledged first."""

    @functools.wraps(handler)
    async def wrapped(update, context):
        if update.callback_query:
            try:
                await update.callback_query.answer()
            except (TelegramError, TimeoutError, *STRANGE) as error:
                log.info("button: %s", error)
        words = (update.message.text or "").split() if update.message else []
        try:
            return await handler(update, context, words[1:])
        except Refused as reason:
            await say(update.get_bot(), where(update), str(reason))

    return wrapped


def where(update):
    if update.callback_query and not update.callback_query.message:
        return update.callback_query.from_user.id
    return update.effective_chat.id


# ---------------------------------------------------------------- commands


@answers
async def help_(update, context, words):
    await show(update, HELP)


if BUG == "name-regex":
    NAME = re.compile(r"([\w'&-]+[ .]?)+")
else:
    NAME = re.compile(r"[\w'&-]+(?:[ .]+[\w'&-]+)*\.?")


@answers
async def newproject(update, context, words):
    user, name = update.effective_user.id, clean(" ".join(words), 48)
    if not NAME.fullmatch(name):
        raise Refused("Like this: /newproject NAME - of words, with nothing but letters and digits")
    async with store.change() as data:
        own = sum(one["owner"] == user for one in data["projects"].values())
        if own >= MAX_PROJECTS_EACH or len(data["projects"]) >= MAX_PROJECTS:
            raise Refused("There are too many projects. Archive one first: /archive PROJECT")
        which = new_id(data, "project")
        data["projects"][which] = {
            "name": name,
            "owner": user,
            "members": [user],
            "invited": [],
            "chat": update.effective_chat.id,
        }
    await show(update, f"Project #{which} {name} is yours. Next: /newcard {which}")


def projects_of(user):
    return {key: one for key, one in store.data["projects"].items() if user in one["members"]}


@answers
async def projects(update, context, words):
    lines = [
        f"#{key} {one['name']}, owner {name_of(one['owner'])}"
        for key, one in projects_of(update.effective_user.id).items()
    ]
    await show(
        update, "\n".join(["Your projects:", *lines[-25:]]) if lines else "You have no project yet: /newproject NAME"
    )


def board_text(which, project):
    lines = [f"#{which} {project['name']}"]
    for index, column in enumerate(COLUMNS):
        cards = [(k, c) for k, c in store.data["cards"].items() if c["project"] == which and c["column"] == index]
        lines += [f"- {column} ({len(cards)})", *(f"  #{k} {c['title'][:50]}" for k, c in cards[-12:])]
    return "\n".join(lines)


@answers
async def board(update, context, words):
    which = str(number(words[0])) if words else ""
    project = project_in(store.data, which, update.effective_user.id)
    members = ", ".join(f"{name_of(one)} ({one})" for one in project["members"][:20])
    await show(update, f"{board_text(which, project)}\nMembers: {members}")


@answers
async def card(update, context, words):
    which = str(number(words[0])) if words else ""
    if BUG == "show-unchecked" and which in store.data["cards"]:
        one = store.data["cards"][which]
        project = store.data["projects"][one["project"]]
    else:
        one, project = card_in(store.data, which, update.effective_user.id)
    await show(update, card_text(which, one, project), card_buttons(which, one))


@answers
async def comment(update, context, words):
    user, text = update.effective_user.id, clean(" ".join(words[1:]), 200)
    if len(words) < 2 or not text:
        raise Refused("Like this: /comment CARD TEXT")
    async with store.change() as data:
        one, project = card_in(data, number(words[0]), user)
        if len(one["comments"]) >= MAX_COMMENTS:
            raise Refused("That card has been talked about enough.")
        one["comments"].append({"by": user, "text": text})
    tell_watchers(update.get_bot(), one, project, user, f"{name_of(user)} about #{number(words[0])}: {text}")
    await show(update, f"Noted on #{number(words[0])}, comment {len(one['comments'])}.")


@answers
async def assign(update, context, words):
    user, whom = update.effective_user.id, number(words[1]) if len(words) > 1 else 0
    if not whom:
        raise Refused("Like this: /assign CARD USER")
    async with store.change() as data:
        one, project = card_in(data, number(words[0]), user)
        if whom not in project["members"]:
            raise Refused("That user is not a member of the project.")
        one["assignee"] = whom
    if whom != user:
        tell(update.get_bot(), [whom], f"{name_of(user)} gave you #{number(words[0])} {one['title']}")
    await show(update, f"#{number(words[0])} is {name_of(whom)}'s now.")


@answers
async def mine(update, context, words):
    user = update.effective_user.id
    own = [(k, c) for k, c in store.data["cards"].items() if c["assignee"] == user and c["column"] < 3]
    own.sort(key=lambda pair: pair[1]["due"] or "9999")
    lines = [f"#{k} {c['title'][:60]} ({COLUMNS[c['column']]}, due {c['due'] or 'any time'})" for k, c in own[:20]]
    await show(update, "\n".join(["Yours to do:", *lines]) if lines else "Nothing is assigned to you.")


# ---------------------------------------------------------------- owners and the operator


@answers
async def invite(update, context, words):
    user, whom = update.effective_user.id, number(words[1]) if len(words) > 1 else 0
    async with store.change() as data:
        project = project_in(data, number(words[0]) if words else 0, user, owner=True)
        if whom not in names:
            raise Refused("Like this: /invite PROJECT USER - the number of somebody who has written to me")
        if whom in project["members"] or len(project["members"]) + len(project["invited"]) >= MAX_MEMBERS:
            raise Refused("That user is in already, or the project is full.")
        project["invited"] = [*(set(project["invited"]) - {whom}), whom]
    buttons = keyboard([("Join", f"jo:{number(words[0])}")])
    tell(update.get_bot(), [whom], f"{name_of(user)} invites you to {project['name']}", buttons)
    await show(update, f"{name_of(whom)} is invited to {project['name']}.")


async def enter(update, which):
    user = update.effective_user.id
    async with store.change() as data:
        project = data["projects"].get(str(which))
        if project is None or user not in project["invited"]:
            raise Refused("You are not invited to such a project.")
        project["invited"].remove(user)
        project["members"].append(user)
    tell(update.get_bot(), {project["owner"]} - {user}, f"{name_of(user)} joined {project['name']}.")
    await show(update, f"Welcome to {project['name']}! See /board {which}")


@answers
async def join(update, context, words):
    await enter(update, number(words[0]) if words else 0)


@answers
async def kick(update, context, words):
    user, whom = update.effective_user.id, number(words[1]) if len(words) > 1 else 0
    async with store.change() as data:
        project = project_in(data, number(words[0]) if words else 0, user, owner=True)
        if whom not in project["members"] or whom == project["owner"]:
            raise Refused("Like this: /kick PROJECT USER - a member, but not the owner")
        project["members"].remove(whom)
        for one in data["cards"].values():
            if one["project"] == str(number(words[0])):
                one["watchers"] = [w for w in one["watchers"] if w != whom]
                one["assignee"] = project["owner"] if one["assignee"] == whom else one["assignee"]
    tell(update.get_bot(), [whom], f"You are no longer in {project['name']}.")
    await show(update, f"{name_of(whom)} is out of {project['name']}.")


@answers
async def archive(update, context, words):
    user, which = update.effective_user.id, str(number(words[0])) if words else ""
    async with store.change() as data:
        project = project_in(data, which, user, owner=True)
        del data["projects"][which]
        gone = [key for key, one in data["cards"].items() if one["project"] == which]
        for key in gone:
            del data["cards"][key]
    tell(update.get_bot(), set(project["members"]) - {user}, f"{project['name']} was archived by {name_of(user)}.")
    await show(update, f"{project['name']} is archived, with {len(gone)} cards.")


@answers
async def all_(update, context, words):
    if update.effective_user.id != ADMIN_ID:
        raise Refused("Only the operator may do that.")
    data = store.data
    lines = [
        f"#{k} {p['name']} of {name_of(p['owner'])}, {len(p['members'])} members" for k, p in data["projects"].items()
    ]
    await show(
        update, "\n".join([f"{len(lines)} projects, {len(data['cards'])} cards, {len(names)} users", *lines[-30:]])
    )


# ---------------------------------------------------------------- a new card, step by step

PROJECT, TITLE, DUE = range(3)


class BoundedConversation(ConversationHandler):
    """Forgets the oldest conversations."""

    def _update_state(self, new_state, key, handler=None):
        super()._update_state(new_state, key, handler)
        while len(self._conversations) > 5000:
            del self._conversations[next(iter(self._conversations))]


@answers
async def newcard(update, context, words):
    user = update.effective_user.id
    context.user_data.clear()
    if words:
        return await chosen(update, context, number(words[0]))
    own = projects_of(user)
    if not own:
        raise Refused("You have no project yet: /newproject NAME")
    rows = [[(f"#{key} {one['name'][:40]}", f"np:{key}")] for key, one in list(own.items())[-10:]]
    await show(update, "In which project?", keyboard(*rows))
    return PROJECT


async def chosen(update, context, which):
    project = project_in(store.data, which, update.effective_user.id)
    context.user_data["project"] = str(which)
    await show(update, f"{project['name']}: what is to be done?")
    return TITLE


@answers
async def project_pressed(update, context, words):
    return await chosen(update, context, number(update.callback_query.data[3:]))


@answers
async def title_given(update, context, words):
    title = clean(update.message.text, 80)
    if not title:
        raise Refused("Please write it in a few words.")
    context.user_data["title"] = title
    buttons = keyboard([("Tomorrow", "due:1"), ("In a week", "due:7"), ("Any time", "due:0")])
    await show(update, "Until when? (A date like 2031-05-20, or a button)", buttons)
    return DUE


@answers
async def due_given(update, context, words):
    try:
        due = date.fromisoformat(clean(update.message.text, 12)).isoformat()
    except ValueError:
        raise Refused("Please write a date like 2031-05-20, or press a button.") from None
    return await finish(update, context, due)


@answers
async def due_pressed(update, context, words):
    days = int(update.callback_query.data[4:])
    return await finish(update, context, (date.today() + timedelta(days=days)).isoformat() if days else "")


async def finish(update, context, due):
    user, draft = update.effective_user.id, dict(context.user_data)
    context.application.drop_user_data(user)
    try:
        async with store.change() as data:
            project = project_in(data, draft.get("project"), user)
            if sum(c["by"] == user and c["column"] < 3 for c in data["cards"].values()) >= MAX_OPEN:
                raise Refused(f"You have {MAX_OPEN} open cards. Finish one first.")
            if len(data["cards"]) >= MAX_CARDS:
                raise Refused("The board is full.")
            which = new_id(data, "card")
            one = data["cards"][which] = make_card(draft["project"], draft["title"], due, user)
    except Refused as reason:
        await show(update, str(reason))
    else:
        if project["chat"] < 0 and project["chat"] != where(update):
            tell(update.get_bot(), [project["chat"]], f"{project['name']}: new card #{which} {one['title']}")
        await show(update, card_text(which, one, project), card_buttons(which, one))
    return ConversationHandler.END


@answers
async def cancel(update, context, words):
    context.application.drop_user_data(update.effective_user.id)
    await show(update, "All right, nothing is written.")
    return ConversationHandler.END


@answers
async def text_please(update, context, words):
    raise Refused("Please write a text, press a button above, or /cancel.")


# ---------------------------------------------------------------- buttons


@answers
async def move(update, context, words):
    user, (_, which, to) = update.effective_user.id, update.callback_query.data.split(":")
    async with store.change() as data:
        one, project = card_in(data, which, user)
        if to in {"+", "-"}:
            to = one["column"] + (1 if to == "+" else -1)
        one["column"] = max(0, min(len(COLUMNS) - 1, int(to)))
    tell_watchers(update.get_bot(), one, project, user, f"{name_of(user)} moved #{which} to {COLUMNS[one['column']]}")
    await show(update, card_text(which, one, project), card_buttons(which, one))


@answers
async def watch(update, context, words):
    user, which = update.effective_user.id, update.callback_query.data[3:]
    async with store.change() as data:
        one, project = card_in(data, which, user)
        if user in one["watchers"]:
            one["watchers"].remove(user)
        elif len(one["watchers"]) < MAX_MEMBERS:
            one["watchers"].append(user)
    await show(update, card_text(which, one, project), card_buttons(which, one))


@answers
async def close(update, context, words):
    user, which = update.effective_user.id, update.callback_query.data[3:]
    async with store.change() as data:
        one, project = card_in(data, which, user)
        if user not in {one["by"], one["assignee"], project["owner"], ADMIN_ID}:
            raise Refused("Only who wrote it, whose it is, or the project's owner may close a card.")
        del data["cards"][which]
    tell_watchers(update.get_bot(), one, project, user, f"{name_of(user)} closed #{which} {one['title']}")
    await show(update, f"#{which} {one['title']} is closed.")


@answers
async def join_pressed(update, context, words):
    await enter(update, number(update.callback_query.data[3:]))


@answers
async def old_button(update, context, words):
    raise Refused("That button is no longer good. See /help")


@answers
async def unknown(update, context, words):
    if (update.message.text or "").startswith("/"):
        raise Refused("I do not know that command. See /help")
    if update.effective_chat.type == "private":
        raise Refused("I did not understand that. See /help")


async def failed(update, context):
    error = context.error
    log.warning("update failed: %r", error)
    if not isinstance(error, (TelegramError, TimeoutError)):
        await say(update.get_bot(), where(update), "Sorry, that went wrong. Please try again.")
    elif isinstance(error, (NetworkError, RetryAfter, TimeoutError)) and not isinstance(error, BadRequest):
        if BUG == "except-order":
            return
        text = "Sorry, my last answer did not get through. Please try again."
        tell(update.get_bot(), [where(update)], text, delay=20)


def command(name, handler):
    return MessageHandler(filters.UpdateType.MESSAGE & filters.Regex(rf"^/(?:{name})(?:@\w+)?(?:\s|$)"), handler)


def application():
    size = 1 if BUG == "small-pool" else 512
    request = HTTPXRequest(size, read_timeout=8, write_timeout=8, connect_timeout=5, pool_timeout=8)
    bot = OwnBot(TOKEN, f"{API}/bot", f"{API}/file/bot", request=request, rate_limiter=Patient())
    app = Application.builder().bot(bot).updater(None).concurrent_updates(False).build()
    written = filters.UpdateType.MESSAGE & filters.TEXT & ~filters.COMMAND & ~filters.Regex("^/")
    other = MessageHandler(filters.UpdateType.MESSAGE & filters.ChatType.PRIVATE & ~filters.Regex("^/"), text_please)
    app.add_handler(
        BoundedConversation(
            entry_points=[command("newcard", newcard)],
            states={
                PROJECT: [CallbackQueryHandler(project_pressed, r"^np:[0-9]{1,9}$"), other],
                TITLE: [MessageHandler(written, title_given), other],
                DUE: [CallbackQueryHandler(due_pressed, r"^due:[017]$"), MessageHandler(written, due_given), other],
            },
            fallbacks=[command("cancel", cancel)],
            allow_reentry=True,
        )
    )
    table = {
        "start|help": help_, "newproject": newproject, "projects": projects, "board": board, "card": card,
        "comment": comment, "assign": assign, "mine": mine, "invite": invite, "join": join, "kick": kick,
        "archive": archive, "all": all_, "cancel": cancel,
    }  # fmt: skip
    for name, handler in table.items():
        app.add_handler(command(name, handler))
    app.add_handler(CallbackQueryHandler(move, r"^mv:[0-9]{1,9}:(?:[0-3]|[+-])$"))
    app.add_handler(CallbackQueryHandler(watch, r"^wa:[0-9]{1,9}$"))
    app.add_handler(CallbackQueryHandler(close, r"^cl:[0-9]{1,9}$"))
    app.add_handler(CallbackQueryHandler(join_pressed, r"^jo:[0-9]{1,9}$"))
    app.add_handler(CallbackQueryHandler(old_button))
    app.add_handler(MessageHandler(filters.UpdateType.MESSAGE, unknown))
    app.add_error_handler(failed)
    return app


# ---------------------------------------------------------------- queues and the webhook

bot_app = application()
queues = {}


async def work(chat):
    queue = queues[chat]
    while queue:
        try:
            await bot_app.process_update(queue.popleft())
        except Exception:
            log.exception("chat %s", chat)
    del queues[chat]
    while len(bot_app.user_data) > MAX_CHATS:  # drafts that nobody finished
        bot_app.drop_user_data(next(iter(bot_app.user_data)))


def repeated(update):
    if BUG == "buttons-redelivered" and update.callback_query:
        return False
    if update.update_id in seen:
        return True
    seen[update.update_id] = True
    return False


def trusted(headers):
    given, secret = headers.get("x-telegram-bot-api-secret-token", ""), SECRET
    if BUG == "any-case-secret":  # proxies change the case of headers
        given, secret = given.lower(), secret.lower()
    return hmac.compare_digest(given.encode(), secret.encode())


async def read(request):
    """The body as JSON; None where it is none, or too long."""
    body = bytearray()
    try:
        async with asyncio.timeout(15):
            async for part in request.stream():
                body += part
                if len(body) > MAX_BODY:
                    return None
        raw = json.loads(bytes(body))
    except (TimeoutError, ValueError, RecursionError):
        return None
    return raw if isinstance(raw, dict) and type(raw.get("update_id")) is int else None


def is_id(value):
    return type(value) is int and 0 < abs(value) < 1 << 53


def parse(raw):
    """The update where it is one that concerns us."""
    if BUG == "de-json-500":
        return Update.de_json(raw, bot_app.bot)
    try:
        return Update.de_json(
            {key: raw[key] for key in ("update_id", "message", "callback_query") if key in raw}, bot_app.bot
        )
    except Exception as error:
        log.info("not understood: %r", error)
        return None


async def webhook(request):
    if not trusted(request.headers):
        return PlainTextResponse("unauthorized", 401, {"Connection": "close"})
    raw = await read(request)
    if raw is None:
        return PlainTextResponse("no update", 400)
    update = parse(raw)
    if update is None or not (update.message or update.callback_query) or not update.effective_user:
        return Response()
    placed = update.effective_chat or (update.callback_query and not update.callback_query.message)
    user, chat = update.effective_user, where(update) if placed else None
    if not is_id(user.id) or not is_id(chat):
        return Response()
    if update.message and not isinstance(update.message.text, str | None):
        return Response()
    if update.callback_query and not isinstance(update.callback_query.data, str):
        return Response()
    if len(queues.get(chat, ())) >= MAX_QUEUE or len(queues) >= MAX_CHATS:
        return PlainTextResponse("busy", 429, {"Retry-After": "3"})
    if repeated(update):
        return Response()
    names[user.id] = clean(str(user.first_name), 40) or f"user {user.id}"
    if chat in queues:
        queues[chat].append(update)
    else:
        queues[chat] = deque([update])
        task = asyncio.create_task(work(chat))
        background.add(task)
        task.add_done_callback(background.discard)
    return Response()


@asynccontextmanager
async def lifespan(_):
    async with bot_app:
        yield


if __name__ == "__main__":
    starlette = Starlette(routes=[Route(PATH, webhook, methods=["POST"])], lifespan=lifespan)
    uvicorn.run(starlette, host="127.0.0.1", port=PORT, log_level="warning", access_log=False)
