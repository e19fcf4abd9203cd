"""The park: who lives here, how each bot is started, and which bugs it can be given.

A bot is one file in `bots/`, healthy unless the environment variable BUG names one of its bugs. Every bug was described by people
who had it: `seen` names the repository and the number of the issue or pull request. `shows` names the checks of which at least one
must report it for it to count as found: those that name the bug's mechanism, not whatever else a campaign may say meanwhile. Where a
mechanism has no check yet, the name that it will have stands here (see `bench/recall.py`).
"""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

Kind = Literal["robustness", "authentication", "escalation", "state", "outbound"]
KINDS: tuple[Kind, ...] = ("robustness", "authentication", "escalation", "state", "outbound")

# How a bug can show, as sets of checks.
CRASH = frozenset({"no_server_error", "valid_accepted", "malformed_policy"})  # an answer that nobody chose
DEATH = frozenset({"no_death", "canary_answered"})
STUCK = frozenset({"nobody_starves", "acked_not_lost", "recovers", "canary_answered"})  # acknowledged, never served
UNANSWERED = frozenset(
    {"nobody_starves", "acked_not_lost", "valid_accepted", "user_told"}
)  # one message, while others are served
HANG = frozenset({"no_hang", "canary_answered", "no_hol_blocking"})
FORGED = frozenset({"forged_refused", "secret_exact"})
PRE_AUTH = frozenset({"pre_auth_cost", "auth_before_parsing", "bounded_resources"})
LEAK = frozenset({"no_leak"})
RIGHTS = frozenset({"no_escalation"})
OBJECTS = frozenset({"own_objects_only", "no_escalation"})
TWICE = frozenset({"effect_at_most_once"})
GROWTH = frozenset({"bounded_resources"})
MIXED = frozenset({"right_chat", "own_objects_only", "sessions_apart"})
RACE = frozenset({"no_lost_update", "effect_at_most_once", "sessions_apart"})
ORDER = frozenset({"replies_in_order", "sessions_apart"})
FLOOD = frozenset({"retry_after_obeyed", "no_retry_storm"})
STORM = frozenset({"no_retry_storm", "retry_after_obeyed"})
NO_TIMEOUT = frozenset({"outbound_timeout", "recovers", "acked_not_lost", "no_hang"})
MIGRATION = frozenset({"migrate_followed", "acked_not_lost"})
OUTAGE = frozenset({"acked_not_lost", "no_server_error", "valid_accepted", "recovers", "circuits_recover", "user_told"})
OUTAGE_DEATH = OUTAGE | DEATH
CIRCUIT = frozenset({"circuits_recover", "recovers", "acked_not_lost"})


@dataclass(frozen=True)
class Bug:
    """One switchable bug.

    Args:
        name: The value of BUG.
        kind: Its class.
        what: What is wrong, in the domain's words.
        seen: Where somebody reported one like it, as owner/repository#number.
        shows: The checks of which one must report it.
    """

    name: str
    kind: Kind
    what: str
    seen: str
    shows: frozenset[str]


@dataclass(frozen=True)
class Bot:
    """One bot of the park.

    Args:
        name: Its name, and its file's in `bots/`.
        language: What it speaks.
        style: In what it differs from the demo bot.
        file: The file in `bots/`.
        bugs: Its bugs.
        user: A command that everybody may use and gets an answer to.
        help: A command whose answer lists the others.
        admin: A command that only the admin may use.
        packages: Python modules that it needs.
        npm: npm packages that it needs.
        weaknesses: What the healthy one does not do well, by the check that may say so.
    """

    name: str
    language: str
    style: str
    file: str
    bugs: tuple[Bug, ...]
    user: str
    admin: str
    packages: tuple[str, ...] = ()
    npm: tuple[str, ...] = ()
    weaknesses: dict[str, str] = field(default_factory=dict)

    @property
    def runtime(self) -> Literal["python", "node", "go"]:
        """What runs it."""
        if self.file.endswith((".mjs", ".cjs")):
            return "node"
        return "go" if self.file.endswith(".go") else "python"

    def missing(self) -> str:
        """Why it cannot run here; empty when it can."""
        if self.runtime != "python" and shutil.which(self.runtime) is None:
            return f"{self.runtime} is not installed"
        if self.npm and shutil.which("npm") is None:
            return "npm is not installed"
        absent = [name for name in self.packages if not _importable(name)]
        return f"not installed: {', '.join(absent)}" if absent else ""

    def bug(self, name: str) -> Bug:
        """The bug of that name."""
        return next(bug for bug in self.bugs if bug.name == name)


@cache
def _importable(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


RECADOS = Bot(
    "recados",
    "Spanish",
    "acknowledges at once, answers from a queue per chat up to 2 s later; notes in SQLite; echoes nothing",
    "recados.py",
    user="/anotar comprar pan",
    admin="/usuarios",
    weaknesses={
        "acked_not_lost": "what waits in memory is lost with the process; a message is given up after five tries (about 10 s)"
    },
    bugs=(
        Bug(
            "message-assumed",
            "robustness",
            "every update is taken for a message; any other kind is answered 500",
            "rougeth/bottery#24",
            CRASH,
        ),
        Bug(
            "text-assumed",
            "robustness",
            "a message without text ends the chat's queue for good",
            "nickoala/telepot#341",
            STUCK,
        ),
        Bug("secret-optional", "authentication", "a request without the header passes", "krkn-chaos/krkn#1277", FORGED),
        Bug(
            "health-shows-settings",
            "authentication",
            "the health page shows token and secret",
            "greeves89/AI-Employee#372",
            LEAK,
        ),
        Bug(
            "broadcast-for-all",
            "escalation",
            "/difundir lacks the check that its siblings have",
            "BigOokie/skywire-wing-commander#10",
            RIGHTS,
        ),
        Bug(
            "trusted-chat",
            "escalation",
            "in a chat where the admin once wrote, everybody is admin",
            "Growth-Circle/cadis#239",
            RIGHTS,
        ),
        Bug("note-by-number", "escalation", "/ver and /borrar serve any number", "Sank6/Discord-Bot-List#140", OBJECTS),
        Bug(
            "one-pending-for-all", "state", "whose text completes /anotar is not asked", "Waterboy1602/Addarr#22", MIXED
        ),
        Bug("runs-twice", "state", "a redelivered update acts again", "telegraf/telegraf#806", TWICE),
        Bug("everything-kept", "state", "every update is kept for ever", "steve-goldberg/NocoBot#11", GROWTH),
        Bug(
            "retry-after-unread",
            "outbound",
            "429 is repeated 50 times a second",
            "NousResearch/hermes-agent#46762",
            FLOOD,
        ),
        Bug(
            "no-timeout",
            "outbound",
            "a silent Bot API is waited for, for ever",
            "KyleJamesWalker/telebot#1",
            NO_TIMEOUT,
        ),
        Bug("migration-lost", "outbound", "a migrated group gets no answer any more", "TwiN/gatus#179", MIGRATION),
        Bug(
            "html-kills-queue",
            "outbound",
            "an HTML error ends the chat's queue for good",
            "yagop/node-telegram-bot-api#573",
            OUTAGE | STUCK,
        ),
    ),
)

LADEN = Bot(
    "laden",
    "German",
    "FastAPI with raw dictionaries; answers in the webhook's response; menus of callbacks that edit one message",
    "laden.py",
    user="/sortiment",
    admin="/umsatz",
    packages=("fastapi",),
    weaknesses={
        "acked_not_lost": "an answer in the webhook's response is lost with it; notices to the owner are given up after three tries",
    },
    bugs=(
        Bug(
            "message-assumed",
            "robustness",
            "a press on an inline message has no message and is answered 500",
            "windkh/node-red-contrib-telegrambot#191",
            CRASH,
        ),
        Bug(
            "data-unpacked",
            "robustness",
            "callback data without exactly one colon is answered 500",
            "PokemonGoF/PokemonGo-Bot#5577",
            CRASH,
        ),
        Bug(
            "empty-secret-passes", "authentication", "an empty or absent secret passes", "octos-org/octos#1163", FORGED
        ),
        Bug(
            "body-before-secret",
            "authentication",
            "the whole body is read before the secret is looked at",
            "curie-eng/curie#633",
            PRE_AUTH,
        ),
        Bug(
            "error-shows-url",
            "authentication",
            "the user is told the failed call's URL, with the token",
            "n24q02m/better-telegram-mcp#960",
            LEAK,
        ),
        Bug(
            "button-unchecked",
            "escalation",
            "the command is checked, its button is not",
            "NousResearch/hermes-agent#9970",
            OBJECTS,
        ),
        Bug(
            "cancels-any-order", "escalation", "anybody cancels anybody's order", "Sank6/Discord-Bot-List#140", OBJECTS
        ),
        Bug("owner-by-username", "escalation", "the owner is known by a username", "bubbuild/bub#305", RIGHTS),
        Bug(
            "edits-unchecked",
            "escalation",
            "an edited command runs without the check",
            "NousResearch/hermes-agent#81183",
            RIGHTS,
        ),
        Bug(
            "one-cart-for-all", "state", "all users fill one cart", "python-telegram-bot/python-telegram-bot#910", MIXED
        ),
        Bug("no-memory-of-updates", "state", "a redelivered update acts again", "vercel/chat#799", TWICE),
        Bug("cart-race", "state", "two presses at once: one is lost", "telegraf/telegraf#1372", RACE),
        Bug("log-in-memory", "state", "every request is kept in memory", "griffinwork40/agent-afk#1657", GROWTH),
        Bug(
            "order-fails-with-notice",
            "outbound",
            "an order is answered 500 when the owner cannot be told",
            "PhilPinsdorf/FhAachenMensaBot#70",
            OUTAGE,
        ),
        Bug("no-timeout", "outbound", "the webhook waits for a silent Bot API, for ever", "aebrer/dreb#97", NO_TIMEOUT),
        Bug(
            "retries-for-ever",
            "outbound",
            "a failing call is repeated a hundred times a second",
            "ryokun6/ryos#1508",
            STORM,
        ),
    ),
)

OCHERED = Bot(
    "ochered",
    "Russian",
    "aiogram 3 with a finite state machine; acknowledges first; the admin's command writes into another user's chat",
    "ochered.py",
    user="/zapis",
    admin="/ochered",
    packages=("aiogram",),
    weaknesses={
        "acked_not_lost": "what is in work is lost with the process; a call is given up after five tries",
        "bounded_resources": "aiogram's MemoryStorage keeps a small record for every user, for ever",
    },
    bugs=(
        Bug(
            "press-without-message",
            "robustness",
            "a press whose message is gone is answered 500",
            "php-telegram-bot/telegram-bot-manager#63",
            CRASH,
        ),
        Bug(
            "number-assumed",
            "robustness",
            "callback data that is no number is answered 500",
            "EvamariaTG/EvaMaria#23",
            CRASH,
        ),
        Bug(
            "unknown-is-500",
            "robustness",
            "an update that does not validate is answered 500, for ever",
            "botpress/botpress#13923",
            CRASH,
        ),
        Bug(
            "secret-unchecked-without-header",
            "authentication",
            "a request without the header passes",
            "corsairdev/corsair#628",
            FORGED,
        ),
        Bug(
            "secret-startswith",
            "authentication",
            "whatever begins with the secret passes",
            "Keith-CY/carrier#1052",
            FORGED,
        ),
        Bug("error-told", "authentication", "errors are told with the token", "Tracer-Cloud/opensre#6048", LEAK),
        Bug(
            "anonymous-is-admin",
            "escalation",
            "anonymous group admins are the bot's admin",
            "dgongut/docker-controller-bot#25",
            RIGHTS,
        ),
        Bug(
            "forward-is-author",
            "escalation",
            "a forwarded command runs with its first author's rights",
            "sanguchi/TriggerBot#3",
            RIGHTS,
        ),
        Bug(
            "admin-by-id-text",
            "escalation",
            "an id that is part of the admin's is the admin",
            "HKUDS/nanobot#1677",
            RIGHTS,
        ),
        Bug(
            "case-decides",
            "escalation",
            "a command in capitals reaches a handler without the check",
            "crowbartools/Firebot#542",
            RIGHTS,
        ),
        Bug(
            "removes-any-ticket", "escalation", "anybody removes anybody's ticket", "Growth-Circle/cadis#1032", OBJECTS
        ),
        Bug(
            "state-of-chat",
            "state",
            "in a group one member's answer completes another's conversation",
            "father-bot/chatgpt_telegram_bot#279",
            MIXED,
        ),
        Bug("repeats-run", "state", "a redelivered update acts again", "felinics/Memoh#337", TWICE),
        Bug("number-race", "state", "two users at once get the same ticket", "yagop/node-telegram-bot-api#1021", RACE),
        Bug("all-kept", "state", "every update is kept for ever", "openclaw/openclaw#6764", GROWTH),
        Bug(
            "flood-hammered",
            "outbound",
            "429 is repeated twenty times a second",
            "NousResearch/hermes-agent#45312",
            FLOOD,
        ),
        Bug("flood-dropped", "outbound", "what met a 429 is dropped", "altryne/chatGPT-telegram-bot#52", OUTAGE),
        Bug(
            "migration-raises",
            "outbound",
            "a migrated group gets no answer any more",
            "atipugin/telegram-bot-ruby#40",
            MIGRATION,
        ),
        Bug("outage-drops", "outbound", "what met an outage is dropped", "nickoala/telepot#31", OUTAGE),
        Bug(
            "blocked-user-stops-call",
            "outbound",
            "a patient who blocked the bot ends the command without a word",
            "lnp2pBot/bot#269",
            OUTAGE,
        ),
        Bug(
            "no-timeout",
            "outbound",
            "a silent Bot API is waited for, for a day",
            "flynnoct/chatgpt-telegram-bot#65",
            NO_TIMEOUT,
        ),
    ),
)

HAVA = Bot(
    "hava",
    "Turkish",
    "Node without a framework or a package; a chain of promises per chat; echoes nothing",
    "hava.mjs",
    user="/hava izmir",
    admin="/istatistik",
    weaknesses={
        "acked_not_lost": "what is in work is lost with the process; a message is given up after five tries (about 15 s)"
    },
    bugs=(
        Bug(
            "text-assumed",
            "robustness",
            "a message without text ends the process",
            "klen/graphite-beacon#99",
            DEATH | CRASH,
        ),
        Bug("from-assumed", "robustness", "a channel post ends the process", "radio-t/super-bot#71", DEATH | CRASH),
        Bug(
            "regex-backtracks",
            "robustness",
            "a regular expression hangs on many words and an odd sign",
            "axisrow/tg_content_factory#1240",
            HANG,
        ),
        Bug(
            "prototype-city",
            "robustness",
            "/hava constructor is taken for a city, fails, and nobody is told",
            "minimaxir/big-list-of-naughty-strings#101",
            UNANSWERED,
        ),
        Bug(
            "strict-kinds", "robustness", "an update without an id is answered 500", "tdlib/telegram-bot-api#147", CRASH
        ),
        Bug(
            "secret-optional",
            "authentication",
            "a request without the header passes",
            "kondaurovDev/tg-bot-sdk#21",
            FORGED,
        ),
        Bug(
            "secret-any-case",
            "authentication",
            "the secret is compared without its case",
            "aiogram/aiogram#1024",
            FORGED,
        ),
        Bug(
            "secret-after-body",
            "authentication",
            "bodies of any size are read before the secret is looked at",
            "remoteclaw/remoteclaw#2955",
            PRE_AUTH,
        ),
        Bug(
            "stack-shown",
            "authentication",
            "errors are answered with the stack and the settings",
            "Yeachan-Heo/oh-my-codex#532",
            LEAK,
        ),
        Bug(
            "loose-admin", "escalation", "an id that begins with the admin's is the admin", "HKUDS/nanobot#1677", RIGHTS
        ),
        Bug(
            "first-name-admin",
            "escalation",
            "who calls himself Admin is the admin",
            "ableev/Zabbix-in-Telegram#111",
            RIGHTS,
        ),
        Bug(
            "cancels-anything",
            "escalation",
            "anybody cancels anybody's subscription",
            "Sank6/Discord-Bot-List#140",
            OBJECTS,
        ),
        Bug(
            "chat-in-global",
            "state",
            "the answer goes to the chat of who wrote last",
            "yagop/node-telegram-bot-api#1021",
            MIXED,
        ),
        Bug(
            "no-order",
            "state",
            "messages of one chat are worked on at the same time",
            "SamSaffron/term-llm#987",
            ORDER | RACE,
        ),
        Bug("limit-race", "state", "many at once pass the limit of three", "telegraf/telegraf#1713", RACE),
        Bug("repeats-run", "state", "a redelivered update acts again", "openclaw/openclaw#59160", TWICE),
        Bug("edits-run", "state", "an edit of a command runs it again", "NousResearch/hermes-agent#81183", TWICE),
        Bug("people-kept", "state", "a page for every update is kept for ever", "yaad-index/darbaan#66", GROWTH),
        Bug(
            "html-unhandled",
            "outbound",
            "an HTML error is a rejection that ends the process",
            "ro31337/libretaxi#675",
            OUTAGE_DEATH,
        ),
        Bug(
            "blocked-kills",
            "outbound",
            "a user who blocked the bot ends the process",
            "PhilPinsdorf/FhAachenMensaBot#70",
            OUTAGE_DEATH,
        ),
        Bug("flood-at-once", "outbound", "429 is repeated a hundred times a second", "crazy-max/diun#1725", FLOOD),
        Bug(
            "migration-ignored",
            "outbound",
            "a migrated group gets no answer any more",
            "FruitieX/teleirc#52",
            MIGRATION,
        ),
        Bug("no-timeout", "outbound", "a silent Bot API is waited for, for ever", "NVIDIA/NemoClaw#1398", NO_TIMEOUT),
    ),
)

LINKI = Bot(
    "linki",
    "Polish",
    "Go without a framework; a goroutine per chat; buttons edit their message",
    "linki.go",
    user="/zapisz https://example.org/a",
    admin="/raport",
    weaknesses={
        "acked_not_lost": "what is in work is lost with the process; a message is given up after four tries (about 9 s)"
    },
    bugs=(
        Bug(
            "blank-panics",
            "robustness",
            "a text of blanks ends the process",
            "LucaBernstein/beancount-bot-tg#16",
            DEATH,
        ),
        Bug(
            "argument-assumed",
            "robustness",
            "/otworz without a number ends the process",
            "0xjas0/Chegg-Answer-Bot#25",
            DEATH,
        ),
        Bug(
            "press-message-assumed",
            "robustness",
            "a press without a message ends the process",
            "windkh/node-red-contrib-telegrambot#191",
            DEATH,
        ),
        Bug(
            "one-queue", "robustness", "a slow chat stops all others", "flynnoct/chatgpt-telegram-bot#65", HANG | STUCK
        ),
        Bug(
            "secret-from-query",
            "authentication",
            "the secret may stand in the URL",
            "tdlib/telegram-bot-api#252",
            FORGED,
        ),
        Bug("no-size-limit", "authentication", "bodies of any size are read", "adnanh/webhook#756", PRE_AUTH),
        Bug(
            "strict-decoding",
            "authentication",
            "odd updates are answered 500 with the API's URL",
            "haseeb-heaven/gworkspace-agent#295",
            LEAK | CRASH,
        ),
        Bug(
            "report-for-all",
            "escalation",
            "/raport lacks the check that its siblings have",
            "BigOokie/skywire-wing-commander#10",
            RIGHTS,
        ),
        Bug(
            "reply-lends-rights",
            "escalation",
            "who answers to the admin's message has the admin's rights",
            "ohld/telegram-support-bot#19",
            RIGHTS,
        ),
        Bug("id-truncated", "escalation", "ids are compared by their lower 32 bits", "tucnak/telebot#314", RIGHTS),
        Bug("reads-any-link", "escalation", "/otworz serves any number", "Sank6/Discord-Bot-List#140", OBJECTS),
        Bug(
            "deletes-any-link",
            "escalation",
            "/usun and its button serve any number",
            "Growth-Circle/cadis#1032",
            OBJECTS,
        ),
        Bug(
            "counter-race",
            "state",
            "two at once get the same number; one link is lost",
            "telegram-rs/telegram-bot#88",
            RACE,
        ),
        Bug("repeats-run", "state", "a redelivered update acts again", "felinics/Memoh#337", TWICE),
        Bug("updates-kept", "state", "every update is kept for ever", "openJiuwen-ai/jiuwenswarm#4187", GROWTH),
        Bug(
            "outage-panics",
            "outbound",
            "a reset or an HTML error ends the process",
            "mehtadone/CryptoGramBot#85",
            OUTAGE_DEATH,
        ),
        Bug("flood-hammered", "outbound", "429 is repeated fifty times a second", "duhow/Telegram-PHP#12", FLOOD),
        Bug(
            "migration-forgotten",
            "outbound",
            "a migrated group gets no answer any more",
            "windkh/node-red-contrib-telegrambot#105",
            MIGRATION,
        ),
        Bug(
            "breaker-stays-open",
            "outbound",
            "after one 500 nothing is sent any more",
            "TokenBrice/pharos-watch#482",
            CIRCUIT,
        ),
        Bug(
            "bodies-left-open",
            "outbound",
            "answers are never closed; descriptors run out",
            "go-telegram-bot-api/telegram-bot-api#211",
            GROWTH,
        ),
        Bug(
            "no-timeout", "outbound", "a silent Bot API is waited for, for ever", "Growth-Circle/cadis#2908", NO_TIMEOUT
        ),
    ),
)

BOTS: tuple[Bot, ...] = (RECADOS, LADEN, OCHERED, HAVA, LINKI)


def bot(name: str) -> Bot:
    """The bot of that name.

    Raises:
        KeyError: There is none.
    """
    for one in BOTS:
        if one.name == name:
            return one
    raise KeyError(f"{name}: no bot of the park; there are {', '.join(one.name for one in BOTS)}")
