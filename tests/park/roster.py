"""The park: who lives here, how each bot is started, and which bugs it can be given.

A bot is one file in `bots/`, healthy unless the environment variable BUG names one of its bugs. Every bug was described by people
who had it: `seen` names the repository and the number of the issue or pull request. `shows` names the checks of which at least one
must report it for it to count as found: those that name the bug's mechanism, not whatever else a campaign may say meanwhile. Where a
mechanism has no check yet, the name that it will have stands here (see `bench/recall.py`).
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

Kind = Literal["robustness", "authentication", "escalation", "state", "outbound", "magic"]
KINDS: tuple[Kind, ...] = ("robustness", "authentication", "escalation", "state", "outbound")

# How a bug can show, as sets of checks.
CRASH = frozenset({"no_server_error", "valid_accepted", "malformed_policy"})  # an answer that nobody chose
DEATH = frozenset({"no_death", "canary_answered"})
STUCK = frozenset({"nobody_starves", "acked_not_lost", "recovers", "canary_answered"})  # acknowledged, never served
UNANSWERED = frozenset(
    {"nobody_starves", "acked_not_lost", "valid_accepted", "user_told"}
)  # one message, while others are served
HANG = frozenset({"no_hang", "canary_answered", "no_hol_blocking"})
SILENT = UNANSWERED | {"no_silent_exception"}
LATE = frozenset({"deadline_kept"})
HANDSHAKE = frozenset({"answer_understood"})
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
TENANT = frozenset({"tenants_apart"})
KIND = frozenset({"kind_as_signed"})
CLAIMED = frozenset({"privilege_not_claimed"})
BATCH = frozenset({"batch_survives"})
FETCHED = frozenset({"urls_not_fetched"})
ROTATED = frozenset({"secrets_rotated"})
REPLAYED = frozenset({"replay_recognised", "effect_at_most_once"})
CIRCUIT = frozenset({"circuits_recover", "recovers", "acked_not_lost"})


@dataclass(frozen=True)
class Bug:
    """One switchable bug.

    Args:
        name: The value of BUG.
        kind: Its class.
        what: What is wrong, in the domain's words.
        seen: Where somebody reported one like it, as owner/repository#number; or the entry of a public list of weaknesses.
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
        calls_at_start: Whether it calls the Bot API as it starts, so that somebody must answer there already.
        options: The platform's options for chaosbot, where it is no Telegram bot.
        secret: The webhook's secret, where it needs one of a certain form.
        weaknesses: What the healthy one does not do well, by the check that may say so.
        calls: Whether it calls its platform's API, at BOT_API, so that a mock of that shows what it does.
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
    calls_at_start: bool = False
    options: tuple[str, ...] = ()
    secret: str = ""
    weaknesses: dict[str, str] = field(default_factory=dict)
    calls: bool = False

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
        Bug(
            "read-before-secret",
            "authentication",
            "bodies of any size are read before the secret is looked at",
            "adnanh/webhook#756",
            PRE_AUTH,
        ),
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

REGOLE = Bot(
    "regole",
    "Italian",
    "python-telegram-bot's run_webhook; a moderator of groups that asks Telegram who is an administrator (getChatMember)",
    "regole.py",
    user="/regole",
    admin="/riepilogo",
    packages=("telegram", "tornado"),
    calls_at_start=True,
    weaknesses={
        "no_server_error": "tornado's handler answers 500 to broken JSON with the right secret",
        "malformed_policy": "the same",
        "pre_auth_cost": "tornado holds bodies up to 100 MB before the secret is looked at",
        "no_hang": "what is that large is parsed in the event loop",
        "bounded_resources": "the same; python-telegram-bot keeps a small record for every user and chat",
        "acked_not_lost": "what waits in python-telegram-bot's queue is lost with the process; a text is given up after five tries",
    },
    bugs=(
        Bug(
            "reply-assumed",
            "robustness",
            "/segnala that answers nothing fails, and its user is not told",
            "ohld/telegram-support-bot#19",
            UNANSWERED,
        ),
        Bug(
            "number-assumed",
            "robustness",
            "/ammonisci with a word fails, and the admin is not told",
            "EvamariaTG/EvaMaria#23",
            UNANSWERED,
        ),
        Bug("one-lock", "robustness", "a chat whose answer waits stops all others", "aebrer/dreb#97", HANG | STUCK),
        Bug(
            "secret-not-given",
            "authentication",
            "run_webhook is started without its secret",
            "irazasyed/telegram-bot-sdk#1180",
            FORGED,
        ),
        Bug("error-to-user", "authentication", "errors are told with the token", "greeves89/AI-Employee#372", LEAK),
        Bug(
            "via-bot-trusted",
            "escalation",
            "a message that came by an inline bot may do what administrators may",
            "letsrevel/revel-backend#252",
            RIGHTS,
        ),
        Bug(
            "sender-chat-trusted",
            "escalation",
            "who writes as a channel is an administrator",
            "jigarvarma2k20/Anti-Channel-bot#2",
            RIGHTS,
        ),
        Bug(
            "trusted-for-ever",
            "escalation",
            "in a group where the admin once moderated, everybody does",
            "Growth-Circle/cadis#239",
            RIGHTS,
        ),
        Bug(
            "check-fails-open",
            "escalation",
            "when getChatMember fails, everybody is an administrator",
            "corsairdev/corsair#628",
            RIGHTS,
        ),
        Bug(
            "summary-for-all",
            "escalation",
            "/riepilogo and /azzera are for everybody",
            "BigOokie/skywire-wing-commander#10",
            RIGHTS,
        ),
        Bug(
            "warnings-of-anybody",
            "escalation",
            "/ammonizioni with a number shows anybody's",
            "father-bot/chatgpt_telegram_bot#279",
            OBJECTS,
        ),
        Bug(
            "update-in-global",
            "state",
            "the answer goes to the chat of the latest update",
            "yagop/node-telegram-bot-api#1021",
            MIXED,
        ),
        Bug(
            "no-order",
            "state",
            "messages of one chat are worked on at the same time",
            "microsoft/agent-framework#5643",
            ORDER | RACE,
        ),
        Bug("seen-forgotten", "state", "a redelivered update acts again", "undrcrxwn/radzinsky#16", TWICE),
        Bug("edits-count", "state", "an edit of a command runs it again", "V35HR4J/Automate-Telegram#19", TWICE),
        Bug("count-race", "state", "two warnings at once count as one", "telegraf/telegraf#1372", RACE),
        Bug("all-kept", "state", "every update is kept for ever", "griffinwork40/agent-afk#1662", GROWTH),
        Bug(
            "flood-ends-it", "outbound", "what met a 429 is dropped", "altryne/chatGPT-telegram-bot#52", OUTAGE | FLOOD
        ),
        Bug(
            "fixed-pause",
            "outbound",
            "after a 429 it waits 0.3 s whatever was asked for",
            "NousResearch/hermes-agent#45312",
            FLOOD,
        ),
        Bug(
            "migration-unheard",
            "outbound",
            "a migrated group gets no answer any more",
            "ableev/Zabbix-in-Telegram#32",
            MIGRATION,
        ),
        Bug("outage-raises", "outbound", "what met an outage is dropped", "nickoala/telepot#31", OUTAGE),
        Bug(
            "no-timeout",
            "outbound",
            "a silent Bot API is waited for, for ever, with eight connections",
            "eternnoir/pyTelegramBotAPI#623",
            NO_TIMEOUT,
        ),
    ),
)

HABITOS = Bot(
    "habitos",
    "Portuguese",
    "python-telegram-bot behind Starlette; edits one panel per chat instead of writing new messages; buttons",
    "habitos.py",
    user="/habitos",
    admin="/panorama",
    packages=("telegram",),
    calls_at_start=True,
    weaknesses={
        "acked_not_lost": "what is in work is lost with the process; a call is given up after five tries",
        "bounded_resources": "python-telegram-bot keeps a small record for every user and chat",
    },
    bugs=(
        Bug(
            "argument-assumed",
            "robustness",
            "/feito without a number fails, and its user is not told",
            "0xjas0/Chegg-Answer-Bot#25",
            UNANSWERED,
        ),
        Bug(
            "parse-error-is-500",
            "robustness",
            "an update that does not parse is answered 500, for ever",
            "botpress/botpress#13923",
            CRASH,
        ),
        Bug(
            "edit-refused",
            "robustness",
            "when the panel cannot be edited, the answer is lost",
            "TelegramBots/Telegram.Bot#171",
            UNANSWERED | OUTAGE,
        ),
        Bug(
            "secret-stripped",
            "authentication",
            "signs at the end of the secret do not count",
            "Keith-CY/carrier#1052",
            FORGED,
        ),
        Bug(
            "secret-in-path", "authentication", "the secret may stand in the URL", "tdlib/telegram-bot-api#252", FORGED
        ),
        Bug("secret-contained", "authentication", "any part of the secret passes", "HKUDS/nanobot#1677", FORGED),
        Bug(
            "json-before-secret",
            "authentication",
            "bodies of any size are read before the secret is looked at",
            "sipeed/picoclaw#1407",
            PRE_AUTH,
        ),
        Bug(
            "parse-error-told",
            "authentication",
            "errors are answered with the API's URL and token",
            "haseeb-heaven/gworkspace-agent#314",
            LEAK,
        ),
        Bug(
            "chat-is-admin",
            "escalation",
            "whoever writes in the admin's chat is the admin; so is a forged chat",
            "Growth-Circle/cadis#212",
            RIGHTS,
        ),
        Bug(
            "reply-is-admin",
            "escalation",
            "who answers to the admin's message is the admin",
            "ohld/telegram-support-bot#19",
            RIGHTS,
        ),
        Bug(
            "button-for-all",
            "escalation",
            "the command is checked, its button is not",
            "NousResearch/hermes-agent#18180",
            OBJECTS,
        ),
        Bug(
            "overview-for-all",
            "escalation",
            "/panorama lacks the check that its siblings have",
            "BigOokie/skywire-wing-commander#10",
            RIGHTS,
        ),
        Bug("marks-anything", "escalation", "anybody marks anybody's habit", "Sank6/Discord-Bot-List#140", OBJECTS),
        Bug("erases-anything", "escalation", "anybody erases anybody's habit", "Sank6/Discord-Bot-List#140", OBJECTS),
        Bug(
            "asks-the-chat",
            "state",
            "in a group one member's text completes another's /novo",
            "father-bot/chatgpt_telegram_bot#279",
            MIXED,
        ),
        Bug(
            "one-panel",
            "state",
            "all chats share one panel: edits name another chat's message",
            "Waterboy1602/Addarr#22",
            MIXED,
        ),
        Bug("done-race", "state", "two marks at once count as one", "telegraf/telegraf#1713", RACE),
        Bug("update-repeated", "state", "a redelivered update acts again", "vercel/chat#799", TWICE),
        Bug("edits-run", "state", "an edit of a command runs it again", "UNICT-DMI/Telegram-SpottedDMI-Bot#57", TWICE),
        Bug("pages-kept", "state", "every update is kept for ever", "openclaw/openclaw#6764", GROWTH),
        Bug(
            "flood-halved",
            "outbound",
            "a 429 is repeated at once, five times",
            "NousResearch/hermes-agent#52143",
            FLOOD,
        ),
        Bug(
            "migration-loops",
            "outbound",
            "a migrated group gets no answer any more",
            "atipugin/telegram-bot-ruby#40",
            MIGRATION,
        ),
        Bug("one-try", "outbound", "what met an outage is dropped", "php-telegram-bot/core#353", OUTAGE),
        Bug(
            "no-timeout",
            "outbound",
            "a silent Bot API is waited for, for ever, with eight connections",
            "flynnoct/chatgpt-telegram-bot#65",
            NO_TIMEOUT,
        ),
    ),
)

SPLITTER = Bot(
    "splitter",
    "English",
    "grammY with sessions per chat, menus of callbacks and an API transformer; other commands than the demo's",
    "splitter.cjs",
    user="/balance",
    admin="/audit",
    npm=("grammy@1",),
    weaknesses={
        "acked_not_lost": "what is in work is lost with the process; a call is given up after five tries",
        "bounded_resources": "grammY's memory sessions keep a small record for every chat",
    },
    bugs=(
        Bug(
            "message-assumed",
            "robustness",
            "a press without a message ends the process",
            "windkh/node-red-contrib-telegrambot#191",
            DEATH,
        ),
        Bug(
            "data-assumed",
            "robustness",
            "callback data without a slash ends the process",
            "PokemonGoF/PokemonGo-Bot#5577",
            DEATH,
        ),
        Bug("amount-unchecked", "robustness", "/spent Infinity ends the process", "EvamariaTG/EvaMaria#23", DEATH),
        Bug(
            "chunks-decoded",
            "robustness",
            "a character that two packets share is corrupted",
            "sepivip/SeekerClaw#75",
            frozenset({"text_intact", "valid_accepted", "malformed_policy"}),
        ),
        Bug(
            "secret-after",
            "authentication",
            "the body is read and parsed before the secret is looked at",
            "adnanh/webhook#756",
            PRE_AUTH,
        ),
        Bug(
            "secret-list",
            "authentication",
            "any beginning of the secret passes, nothing too",
            "krkn-chaos/krkn#1277",
            FORGED,
        ),
        Bug(
            "parse-told",
            "authentication",
            "broken JSON is answered with the stack",
            "Yeachan-Heo/oh-my-codex#532",
            LEAK | CRASH,
        ),
        Bug(
            "failure-told",
            "authentication",
            "the user is told the failed call's URL, with the token",
            "n24q02m/better-telegram-mcp#656",
            LEAK,
        ),
        Bug(
            "channel-is-admin",
            "escalation",
            "who writes as a channel is the admin",
            "jigarvarma2k20/Anti-Channel-bot#2",
            RIGHTS,
        ),
        Bug(
            "prefix-is-admin",
            "escalation",
            "an id that begins with the admin's is the admin",
            "HKUDS/nanobot#1677",
            RIGHTS,
        ),
        Bug(
            "mention-is-admin",
            "escalation",
            "a command with the bot's name skips the check",
            "python-telegram-bot/python-telegram-bot#566",
            RIGHTS,
        ),
        Bug(
            "edits-obeyed",
            "escalation",
            "an edited command runs without the check",
            "NousResearch/hermes-agent#81183",
            RIGHTS,
        ),
        Bug(
            "button-open",
            "escalation",
            "the command is checked, its button is not",
            "NousResearch/hermes-agent#10536",
            OBJECTS,
        ),
        Bug("undoes-anything", "escalation", "anybody undoes anybody's receipt", "Growth-Circle/cadis#1032", OBJECTS),
        Bug(
            "session-of-all",
            "state",
            "all chats share one session",
            "python-telegram-bot/python-telegram-bot#910",
            MIXED,
        ),
        Bug("number-race", "state", "two receipts at once get one number", "telegram-rs/telegram-bot#88", RACE),
        Bug("chat-remembered", "state", "the answer goes to the chat that wrote last", "Waterboy1602/Addarr#22", MIXED),
        Bug("repeats", "state", "a redelivered update acts again", "telegraf/telegraf#806", TWICE),
        Bug("audit-kept", "state", "every update is kept for ever", "yagop/node-telegram-bot-api#52", GROWTH),
        Bug("retry-at-once", "outbound", "429 is repeated two hundred times a second", "badfarm/zanzara#88", FLOOD),
        Bug("outage-kills", "outbound", "a failed call ends the process", "lnp2pBot/bot#269", OUTAGE_DEATH),
        Bug(
            "migration-dropped",
            "outbound",
            "a migrated group gets no answer any more",
            "FruitieX/teleirc#52",
            MIGRATION,
        ),
        Bug("no-timeout", "outbound", "a silent Bot API is waited for, for a day", "NVIDIA/NemoClaw#1398", NO_TIMEOUT),
    ),
)

QUIZZ = Bot(
    "quizz",
    "French",
    "Telegraf with sessions per member; buttons edit the question into its answer",
    "quizz.cjs",
    user="/score",
    admin="/bilan",
    npm=("telegraf@4",),
    weaknesses={
        "acked_not_lost": "what is in work is lost with the process; a call is given up after five tries",
        "bounded_resources": "Telegraf's memory sessions keep a small record for every member",
    },
    bugs=(
        Bug(
            "message-assumed",
            "robustness",
            "a press without a message ends the process",
            "php-telegram-bot/telegram-bot-manager#63",
            DEATH,
        ),
        Bug(
            "index-assumed",
            "robustness",
            "an answer to a question that does not exist ends the process",
            "F33RNI/GPT-Telegramus#129",
            DEATH,
        ),
        Bug(
            "refuses-odd", "robustness", "an update without an id is answered 500", "tdlib/telegram-bot-api#147", CRASH
        ),
        Bug("name-as-html", "robustness", "a nickname with a < gets no answer", "eljojo/telegram_bot#19", UNANSWERED),
        Bug(
            "secret-if-given",
            "authentication",
            "a request without the header passes",
            "kondaurovDev/tg-bot-sdk#21",
            FORGED,
        ),
        Bug(
            "secret-cut", "authentication", "only the secret's first sixteen signs count", "HKUDS/nanobot#1677", FORGED
        ),
        Bug(
            "status-shows-token", "authentication", "the status page shows the token", "greeves89/AI-Employee#372", LEAK
        ),
        Bug(
            "stack-told",
            "authentication",
            "broken JSON is answered with the stack",
            "Yeachan-Heo/oh-my-codex#532",
            LEAK | CRASH,
        ),
        Bug(
            "body-first",
            "authentication",
            "bodies of any size are read before the secret is looked at",
            "Devlaner/devlane#329",
            PRE_AUTH,
        ),
        Bug("username-is-admin", "escalation", "a username makes the admin", "bubbuild/bub#305", RIGHTS),
        Bug("private-only", "escalation", "in groups everybody is the admin", "MMRIZE/MMM-TelegramBot#30", RIGHTS),
        Bug(
            "quote-is-admin",
            "escalation",
            "who answers to the admin's message is the admin",
            "ohld/telegram-support-bot#19",
            RIGHTS,
        ),
        Bug(
            "report-open",
            "escalation",
            "/bilan lacks the check that its siblings have",
            "BigOokie/skywire-wing-commander#10",
            RIGHTS,
        ),
        Bug(
            "stop-open",
            "escalation",
            "the command is checked, its button is not",
            "NousResearch/hermes-agent#9970",
            OBJECTS,
        ),
        Bug("results-of-all", "escalation", "/resultat serves any number", "Sank6/Discord-Bot-List#140", OBJECTS),
        Bug(
            "session-of-chat",
            "state",
            "in a group one member's text completes another's /surnom",
            "father-bot/chatgpt_telegram_bot#279",
            MIXED,
        ),
        Bug("score-race", "state", "two answers at once count as one", "telegraf/telegraf#1372", RACE),
        Bug("disorder", "state", "messages of one chat are worked on in any order", "SamSaffron/term-llm#987", ORDER),
        Bug("twice", "state", "a redelivered update acts again", "openclaw/openclaw#59160", TWICE),
        Bug(
            "answers-again", "state", "a second press on an answered question counts again", "ryokun6/ryos#1508", TWICE
        ),
        Bug("journal-kept", "state", "every update is kept for ever", "griffinwork40/agent-afk#1657", GROWTH),
        Bug("impatient", "outbound", "429 is repeated sixty times a second", "crazy-max/diun#1725", FLOOD),
        Bug(
            "no-retries", "outbound", "a failed call ends the process", "PhilPinsdorf/FhAachenMensaBot#70", OUTAGE_DEATH
        ),
        Bug(
            "migration-unread",
            "outbound",
            "a migrated group gets no answer any more",
            "windkh/node-red-contrib-telegrambot#105",
            MIGRATION,
        ),
        Bug("no-timeout", "outbound", "a silent Bot API is waited for, for ever", "aebrer/dreb#97", NO_TIMEOUT),
    ),
)

MADOGUCHI = Bot(
    "madoguchi",
    "Japanese",
    "Flask with threads; relays users' words to the owner and the owner's answers back; tickets in SQLite",
    "madoguchi.py",
    user="/rireki",
    admin="/ichiran",
    packages=("flask",),
    weaknesses={
        "acked_not_lost": "what waits in memory is lost with the process; a call is given up after four tries (about 9 s)"
    },
    bugs=(
        Bug(
            "text-assumed",
            "robustness",
            "a photo ends a sending thread, and its chats are silent for ever",
            "RasaHQ/rasa#8166",
            STUCK,
        ),
        Bug("number-assumed", "robustness", "/hyouji with a word gets no answer", "EvamariaTG/EvaMaria#23", UNANSWERED),
        Bug(
            "sql-by-hand",
            "robustness",
            "a text with an apostrophe is not taken",
            "minimaxir/big-list-of-naughty-strings#101",
            UNANSWERED,
        ),
        Bug("odd-is-500", "robustness", "an update without an id is answered 500", "tdlib/telegram-bot-api#147", CRASH),
        Bug(
            "secret-in-form",
            "authentication",
            "the secret may stand in the URL",
            "NousResearch/hermes-agent#9219",
            FORGED,
        ),
        Bug(
            "no-secret-in-debug",
            "authentication",
            "a header that says the request is local opens the door",
            "lomiafrica/lomi#49",
            FORGED,
        ),
        Bug(
            "body-read-first",
            "authentication",
            "the whole body is read before the secret is looked at",
            "open-mercato/open-mercato#4044",
            PRE_AUTH,
        ),
        Bug("any-size", "authentication", "bodies of any size are read", "JhaSourav07/commitpulse#6135", PRE_AUTH),
        Bug(
            "debug-page",
            "authentication",
            "broken JSON is answered with the settings",
            "Tracer-Cloud/opensre#6048",
            LEAK,
        ),
        Bug("same-name-is-owner", "escalation", "a last name makes the owner", "ableev/Zabbix-in-Telegram#111", RIGHTS),
        Bug(
            "chat-counts",
            "escalation",
            "in a group with the right title everybody is the owner",
            "Growth-Circle/cadis#239",
            RIGHTS,
        ),
        Bug("bot-is-owner", "escalation", "other bots are the owner", "corsicanu/tgbot#11", RIGHTS),
        Bug(
            "list-is-open",
            "escalation",
            "/ichiran lacks the check that its siblings have",
            "BigOokie/skywire-wing-commander#10",
            RIGHTS,
        ),
        Bug("tickets-are-open", "escalation", "/hyouji shows any ticket", "Sank6/Discord-Bot-List#140", OBJECTS),
        Bug("cancel-is-open", "escalation", "/torikeshi cancels any ticket", "Growth-Circle/cadis#1032", OBJECTS),
        Bug(
            "writing-is-global", "state", "whose text completes /toiawase is not asked", "Waterboy1602/Addarr#22", MIXED
        ),
        Bug(
            "answers-the-last",
            "state",
            "the owner's answer goes to who wrote last",
            "yagop/node-telegram-bot-api#1021",
            MIXED,
        ),
        Bug("served-again", "state", "a redelivered update acts again", "irazasyed/telegram-bot-sdk#548", TWICE),
        Bug("edit-opens-again", "state", "an edit opens another ticket", "sanguchi/TriggerBot#3", TWICE),
        Bug("requests-kept", "state", "every update is kept for ever", "steve-goldberg/NocoBot#11", GROWTH),
        Bug(
            "one-thread",
            "outbound",
            "one thread sends for all: a chat in trouble stops the others",
            "openclaw/openclaw#366",
            HANG | STUCK | OUTAGE,
        ),
        Bug(
            "html-ends-thread",
            "outbound",
            "an HTML error ends a sending thread for good",
            "mayoral/telegrammer#4",
            OUTAGE | STUCK,
        ),
        Bug(
            "pause-of-its-own",
            "outbound",
            "after a 429 it waits 0.2 s whatever was asked for",
            "badfarm/zanzara#88",
            FLOOD,
        ),
        Bug(
            "migration-skipped",
            "outbound",
            "a migrated group gets no answer any more",
            "Flexget/Flexget#967",
            MIGRATION,
        ),
        Bug(
            "no-timeout",
            "outbound",
            "a silent Bot API is waited for, for ever",
            "KyleJamesWalker/telebot#1",
            NO_TIMEOUT,
        ),
    ),
)

PUJIAN = Bot(
    "pujian",
    "Indonesian",
    "aiohttp without a framework; works first and acknowledges afterwards; state in Redis (or fakeredis); edits a board per group",
    "pujian.py",
    user="/nilai",
    admin="/laporan",
    packages=("fakeredis",),
    weaknesses={
        "valid_accepted": "while the Bot API is out it answers 503, so that the update comes again",
        "no_server_error": "the same, chosen",
    },
    bugs=(
        Bug(
            "blank-is-500",
            "robustness",
            "a message without text, or of blanks, is answered 500",
            "klen/graphite-beacon#127",
            CRASH,
        ),
        Bug(
            "quote-assumed",
            "robustness",
            "a plus that answers nothing is answered 500",
            "ohld/telegram-support-bot#19",
            CRASH,
        ),
        Bug("code-assumed", "robustness", "/tukar with a word is answered 500", "vtr0n/TelegramTUI#37", CRASH),
        Bug("one-lock", "robustness", "one chat at a time", "openclaw/openclaw#366", HANG),
        Bug(
            "secret-lowered",
            "authentication",
            "the secret is compared without its case",
            "aiogram/aiogram#1024",
            FORGED,
        ),
        Bug("absent-passes", "authentication", "a request without the header passes", "octos-org/octos#1163", FORGED),
        Bug(
            "refusal-shows-secret",
            "authentication",
            "a refusal says which secret was expected",
            "asternic/wuzapi#163",
            LEAK,
        ),
        Bug(
            "read-first",
            "authentication",
            "bodies of any size are read before the secret is looked at",
            "sipeed/picoclaw#1407",
            PRE_AUTH,
        ),
        Bug(
            "entity-is-admin",
            "escalation",
            "who mentions the admin is the admin",
            "letsrevel/revel-backend#252",
            RIGHTS,
        ),
        Bug(
            "float-is-admin",
            "escalation",
            "an id that begins with the admin's is the admin",
            "HKUDS/nanobot#1677",
            RIGHTS,
        ),
        Bug(
            "report-unchecked",
            "escalation",
            "/laporan lacks the check that its siblings have",
            "BigOokie/skywire-wing-commander#10",
            RIGHTS,
        ),
        Bug("praises-oneself", "escalation", "one praises oneself", "microsoft/agent-framework#5393", OBJECTS),
        Bug("any-gift", "escalation", "anybody redeems anybody's gift", "Sank6/Discord-Bot-List#140", OBJECTS),
        Bug("one-board", "state", "all groups share one board", "father-bot/chatgpt_telegram_bot#279", MIXED),
        Bug("gift-race", "state", "a gift is redeemed twice at once", "telegraf/telegraf#1713", RACE),
        Bug("score-race", "state", "two praises at once count as one", "telegraf/telegraf#1372", RACE),
        Bug(
            "message-in-global",
            "state",
            "the answer goes to the chat of the latest message",
            "Waterboy1602/Addarr#22",
            MIXED,
        ),
        Bug("again-and-again", "state", "a redelivered update acts again", "vercel/chat#799", TWICE),
        Bug("edits-praise", "state", "an edit of a plus praises again", "UNICT-DMI/Telegram-SpottedDMI-Bot#57", TWICE),
        Bug("store-grows", "state", "every update is kept for ever", "openJiuwen-ai/jiuwenswarm#4187", GROWTH),
        Bug("html-is-500", "outbound", "an HTML error of the API is answered 500", "nickoala/telepot#31", OUTAGE),
        Bug(
            "refusal-is-500",
            "outbound",
            "a user who blocked the bot is answered 500, for ever",
            "irazasyed/telegram-bot-sdk#314",
            OUTAGE,
        ),
        Bug(
            "tries-without-end",
            "outbound",
            "a failing call is repeated a hundred times a second, for ever",
            "ryokun6/ryos#1508",
            STORM,
        ),
        Bug(
            "waits-one-second",
            "outbound",
            "after a 429 it waits one second whatever was asked for",
            "NousResearch/hermes-agent#46762",
            FLOOD,
        ),
        Bug("migration-lost", "outbound", "a migrated group gets no answer any more", "TwiN/gatus#179", MIGRATION),
        Bug("no-timeout", "outbound", "a silent Bot API is waited for, for ever", "smartnode/telebot#71", NO_TIMEOUT),
    ),
)

BOTS: tuple[Bot, ...] = (RECADOS, LADEN, OCHERED, HAVA, LINKI, REGOLE, HABITOS, SPLITTER, QUIZZ, MADOGUCHI, PUJIAN)


def _receiver(name: str, platform: str, what: str, file: str, secret: str, bugs: tuple[Bug, ...], **more: Any) -> Bot:
    options = ("--platform", platform, *(part for one in more.pop("told", ()) for part in ("--platform-option", one)))
    return Bot(name, "English", what, file, bugs, user="", admin="", options=options, secret=secret, **more)


SIZE = Bug(
    "any-size",
    "authentication",
    "bodies of any size are read before the signature is looked at",
    "adnanh/webhook#756",
    PRE_AUTH,
)
KEPT = Bug("events-kept", "state", "every event is kept for ever", "steve-goldberg/NocoBot#11", GROWTH)
OLD_SECRET = Bug(
    "old-secret",
    "authentication",
    "the secret before the last rotation still signs",
    "openclaw/openclaw#68573",
    ROTATED,
)

RECEIVERS: tuple[Bot, ...] = (
    _receiver(
        "slack",
        "slack",
        "a Slack app on Bolt behind Starlette",
        "slack_bolt_app.py",
        "8f742231b10e8888abcd99yyyzzz85a5",
        (
            Bug("no-timestamp", "authentication", "old requests are accepted", "uhavin/slackers#3", FORGED),
            Bug(
                "header-optional",
                "authentication",
                "a request without a signature passes",
                "krkn-chaos/krkn#1277",
                FORGED,
            ),
            Bug(
                "prefix-only",
                "authentication",
                "any beginning of the signature passes",
                "HKUDS/nanobot#1677",
                FORGED | frozenset({"secret_exact"}),
            ),
            Bug(
                "compares-text",
                "robustness",
                "a signature that is not ASCII is answered 500",
                "NousResearch/hermes-agent#65307",
                CRASH,
            ),
            Bug(
                "challenge-unsigned",
                "authentication",
                "an unsigned challenge is answered",
                "paperclipai/paperclip#3349",
                FORGED,
            ),
            Bug("text-assumed", "robustness", "a message without text is answered 500", "RasaHQ/rasa#8166", CRASH),
            Bug("slow-command", "robustness", "a command is answered after 4 s", "integrations/slack#352", LATE),
            Bug(
                "challenge-dropped", "robustness", "the challenge does not come back", "elizaOS/eliza#17823", HANDSHAKE
            ),
            Bug(
                "challenge-html",
                "robustness",
                "the challenge comes back as a page",
                "fbsamples/messenger-platform-samples#181",
                HANDSHAKE,
            ),
            Bug(
                "forms-unverified",
                "authentication",
                "commands and buttons are not verified",
                "clearfeed/quix#395",
                FORGED,
            ),
            Bug(
                "payload-assumed",
                "robustness",
                "a form's payload that is no object is answered 500",
                "cisco-open/forge#532",
                CRASH,
            ),
            Bug(
                "unknown-is-404",
                "robustness",
                "an event without a listener is answered 404",
                "brigadecore/brigade#127",
                CRASH,
            ),
            SIZE,
        ),
        packages=("slack_bolt", "slack_sdk", "aiohttp"),
    ),
    _receiver(
        "stripe",
        "stripe",
        "a Stripe receiver in Flask with Stripe's library",
        "stripe_flask.py",
        "whsec_" + "a1B2" * 8,
        (
            Bug("no-tolerance", "authentication", "old events are accepted", "flippercloud/flipper#1022", FORGED),
            Bug(
                "header-optional",
                "authentication",
                "an event without a signature passes",
                "krkn-chaos/krkn#1277",
                FORGED,
            ),
            Bug(
                "signs-again",
                "robustness",
                "what was parsed and written again is compared: right signatures are refused",
                "stripe/stripe-node#341",
                CRASH,
            ),
            Bug(
                "own-compare", "robustness", "a header that lacks a part is answered 500", "vtr0n/TelegramTUI#37", CRASH
            ),
            Bug(
                "strict-shape",
                "robustness",
                "an event without an id is answered 500",
                "tdlib/telegram-bot-api#147",
                CRASH,
            ),
            Bug(
                "unknown-refused",
                "robustness",
                "an event that it does not know is answered 400",
                "taskcluster/taskcluster#8128",
                CRASH,
            ),
            KEPT,
            SIZE,
        ),
        packages=("stripe", "flask"),
    ),
    _receiver(
        "standard",
        "standard_webhooks",
        "a Standard Webhooks receiver in FastAPI with the reference library",
        "standard_fastapi.py",
        "whsec_Y2hhb3Nib3Qtc2VjcmV0LTI0LWJ5dGVz",
        (
            Bug("no-timestamp", "authentication", "old deliveries are accepted", "NangoHQ/nango#6218", FORGED),
            Bug(
                "empty-passes",
                "authentication",
                "a delivery without a signature passes",
                "octos-org/octos#1163",
                FORGED,
            ),
            Bug(
                "any-version",
                "authentication",
                "a signature of any version is taken for v1",
                "camunda/connectors#8989",
                FORGED,
            ),
            Bug(
                "compares-text", "robustness", "a signature that is not ASCII is answered 500", "srtab/daiv#1524", CRASH
            ),
            Bug(
                "parse-first",
                "authentication",
                "the body is parsed before the signature is looked at",
                "open-mercato/open-mercato#4044",
                PRE_AUTH | CRASH,
            ),
            Bug(
                "refusal-shows-secret",
                "authentication",
                "a refusal says which secret was expected",
                "asternic/wuzapi#163",
                LEAK,
            ),
            Bug("data-assumed", "robustness", "an event without data.id is answered 500", "rougeth/bottery#24", CRASH),
            KEPT,
            SIZE,
        ),
        packages=("standardwebhooks", "fastapi"),
    ),
    _receiver(
        "standard-raw",
        "standard_webhooks",
        "a Standard Webhooks receiver on bare node:http, with two secrets while one is replaced",
        "standard_raw.mjs",
        "whsec_Y2hhb3Nib3Qtc2VjcmV0LTI0LWJ5dGVz",
        (
            Bug("no-tolerance", "authentication", "old deliveries are accepted", "NangoHQ/nango#6218", FORGED),
            Bug(
                "nan-passes",
                "authentication",
                "a timestamp that is no number is never too old",
                "thirdweb-dev/js#7103",
                FORGED,
            ),
            Bug(
                "unsigned-passes",
                "authentication",
                "a delivery without a signature passes",
                "corsairdev/corsair#917",
                FORGED,
            ),
            Bug(
                "begins-alike", "authentication", "any beginning of the signature passes", "HKUDS/nanobot#1677", FORGED
            ),
            OLD_SECRET,
            Bug(
                "first-only",
                "robustness",
                "of several signatures only the first is looked at: right ones are refused",
                "octokit/webhooks.js#770",
                ROTATED | CRASH,
            ),
            Bug(
                "length-assumed",
                "robustness",
                "a signature of another length ends the process",
                "KanishJebaMathewM/Truxify#3806",
                CRASH | DEATH | PRE_AUTH,
            ),
            Bug(
                "chunks-decoded",
                "robustness",
                "a character that two packets share breaks the signature",
                "octokit/webhooks.js#938",
                CRASH | frozenset({"text_intact"}),
            ),
            Bug("data-assumed", "robustness", "an event without data.id is answered 500", "rougeth/bottery#24", CRASH),
            KEPT,
            SIZE,
        ),
        told=(
            "former_secret=whsec_bGFzdC15ZWFyLW9mLXRoZS1wYXJrLTAwMDE=",
            "second_secret=whsec_bmV4dC1tb250aC1vZi10aGUtcGFyay0wMQ==",
        ),
    ),
    _receiver(
        "github",
        "github",
        "a GitHub receiver on octokit's webhooks package, Node",
        "github_octokit.mjs",
        "chaosbot-secret",
        (
            Bug(
                "header-optional",
                "authentication",
                "a delivery without a signature passes",
                "krkn-chaos/krkn#1277",
                FORGED,
            ),
            Bug(
                "short-digest", "authentication", "any beginning of the signature passes", "HKUDS/nanobot#1677", FORGED
            ),
            Bug(
                "empty-key", "authentication", "a signature with an empty key passes", "corsairdev/corsair#712", FORGED
            ),
            Bug(
                "errors-thrown",
                "robustness",
                "no signature is answered 500 with the stack",
                "octokit/webhooks.js#21",
                CRASH | LEAK,
            ),
            Bug(
                "signs-again",
                "robustness",
                "what was parsed and written again is compared: right signatures are refused",
                "probot/smee-client#325",
                CRASH,
            ),
            Bug(
                "chunks-decoded",
                "robustness",
                "a character that two packets share breaks the signature",
                "octokit/webhooks.js#938",
                CRASH | frozenset({"text_intact"}),
            ),
            Bug(
                "body-assumed",
                "robustness",
                "a comment without a body ends the process",
                "klen/graphite-beacon#99",
                DEATH,
            ),
            Bug(
                "unknown-refused",
                "robustness",
                "an event that it does not know is answered 400",
                "phpmyadmin/error-reporting-server#156",
                CRASH,
            ),
            Bug("payloads-kept", "state", "every payload is kept for ever", "yagop/node-telegram-bot-api#52", GROWTH),
            SIZE,
        ),
        npm=("@octokit/webhooks@12",),
    ),
    _receiver(
        "discord",
        "discord",
        "Discord interactions in Starlette with discord-interactions",
        "discord_starlette.py",
        "5f1d2c3b4a59687706f5e4d3c2b1a09f8e7d6c5b4a39281706f5e4d3c2b1a09f",
        (
            Bug(
                "header-optional",
                "authentication",
                "an interaction without a signature passes",
                "krkn-chaos/krkn#1277",
                FORGED,
            ),
            Bug(
                "ping-first",
                "authentication",
                "a PING is answered before it is verified",
                "discord/user-install-example#22",
                FORGED | HANDSHAKE,
            ),
            Bug("refused-403", "robustness", "a wrong signature is answered 403", "getsentry/sentry#60881", HANDSHAKE),
            Bug(
                "pong-as-text",
                "robustness",
                "a PING is answered with a word",
                "discord/discord-api-docs#3809",
                HANDSHAKE,
            ),
            Bug(
                "member-assumed",
                "robustness",
                "a command in a private chat is answered 500",
                "AndBobsYourUncle/stable-diffusion-discord-bot#20",
                CRASH,
            ),
            Bug(
                "options-assumed",
                "robustness",
                "a command without options is answered 500",
                "breqdev/flask-discord-interactions#62",
                CRASH,
            ),
            Bug(
                "signature-assumed",
                "robustness",
                "a signature that is no number is answered 500",
                "discord/discord-interactions-js#26",
                CRASH,
            ),
            Bug("slow-command", "robustness", "a command is answered after 4 s", "integrations/slack#352", LATE),
            Bug("kept", "state", "every interaction is kept for ever", "steve-goldberg/NocoBot#11", GROWTH),
            SIZE,
        ),
        packages=("discord_interactions", "starlette"),
    ),
    _receiver(
        "whatsapp",
        "whatsapp",
        "a WhatsApp receiver in FastAPI with pywa's validator",
        "whatsapp_fastapi.py",
        "park-app-secret-01",
        (
            Bug(
                "header-optional",
                "authentication",
                "a delivery without a signature passes",
                "krkn-chaos/krkn#1277",
                FORGED,
            ),
            Bug(
                "any-token",
                "authentication",
                "a handshake with any token is answered",
                "filipporomani/whatsapp-python#31",
                FORGED | HANDSHAKE,
            ),
            Bug(
                "token-unset",
                "authentication",
                "an empty token is the unset one",
                "mr-rijal/laravel-sms#7",
                FORGED | HANDSHAKE,
            ),
            Bug(
                "get-signed",
                "robustness",
                "the handshake is refused since it is not signed",
                "elizaOS/eliza#17823",
                CRASH | HANDSHAKE,
            ),
            Bug(
                "challenge-html",
                "robustness",
                "the challenge comes back as a page",
                "fbsamples/messenger-platform-samples#181",
                HANDSHAKE,
            ),
            Bug(
                "signs-again",
                "robustness",
                "what was parsed and written again is compared: right signatures are refused",
                "probot/smee-client#325",
                CRASH,
            ),
            Bug(
                "contacts-assumed",
                "robustness",
                "statuses are answered 500",
                "evolution-foundation/evolution-api#2710",
                CRASH,
            ),
            Bug("text-assumed", "robustness", "a picture is answered 500", "RasaHQ/rasa#8166", CRASH),
            Bug(
                "failed-unknown",
                "robustness",
                "a failed status is refused",
                "MarcosNicolau/whatsapp-business-sdk#16",
                CRASH,
            ),
            Bug("kept", "state", "every delivery is kept for ever", "steve-goldberg/NocoBot#11", GROWTH),
            SIZE,
        ),
        packages=("pywa", "fastapi"),
        told=("verify_token=park-verify-token",),
    ),
    _receiver(
        "twilio",
        "twilio",
        "a Twilio number's webhook in Flask with Twilio's library",
        "twilio_flask.py",
        "park-auth-token-0123456789abcdef",
        (
            Bug(
                "header-optional",
                "authentication",
                "a message without a signature passes",
                "RatLoopz/sahidawa-india#2004",
                FORGED,
            ),
            Bug(
                "test-account",
                "authentication",
                "the account's id in the form is enough",
                "alexhawat/mergeCraft#72",
                FORGED,
            ),
            Bug("joins-text", "robustness", "the user's words become TwiML", "twilio/twilio-java#110", HANDSHAKE),
            Bug("answers-json", "robustness", "a message is answered with JSON", "chaskiq/chaskiq#858", HANDSHAKE),
            Bug("body-assumed", "robustness", "an empty message is answered 500", "RasaHQ/rasa#8166", CRASH),
            Bug(
                "media-assumed", "robustness", "media that are not there are answered 500", "rougeth/bottery#24", CRASH
            ),
            Bug("slow-call", "robustness", "a call is answered after 16 s", "integrations/slack#352", LATE),
            Bug("kept", "state", "every message is kept for ever", "steve-goldberg/NocoBot#11", GROWTH),
        ),
        packages=("twilio", "flask"),
    ),
    # Without a vendor's library; they do something that is seen at a mock.
    _receiver(
        "github-raw",
        "github",
        "a GitHub app on bare node:http that works after it has answered",
        "github_raw.mjs",
        "chaosbot-secret",
        (
            Bug(
                "header-optional",
                "authentication",
                "a delivery without a signature passes",
                "krkn-chaos/krkn#1277",
                FORGED,
            ),
            Bug(
                "first-digits", "authentication", "any beginning of the signature passes", "HKUDS/nanobot#1677", FORGED
            ),
            Bug(
                "length-first",
                "robustness",
                "a signature of another length ends the process",
                "octokit/webhooks.js#21",
                CRASH | DEATH | PRE_AUTH,
            ),
            OLD_SECRET,
            Bug(
                "header-decides",
                "escalation",
                "any signed body is what its header says",
                "adobe/spacecat-api-service#2281",
                KIND,
            ),
            Bug(
                "issue-author",
                "escalation",
                "whoever comments has the rights of who opened the issue",
                "opensource-observer/oss-directory#670",
                CLAIMED,
            ),
            Bug(
                "not-none",
                "escalation",
                "whoever is not NONE may deploy, also who is nothing",
                "majiayu000/harness#2074",
                CLAIMED,
            ),
            Bug(
                "comments-url",
                "outbound",
                "it posts with its token to whatever comments_url says",
                "novuhq/novu#11223",
                FETCHED,
            ),
            Bug(
                "id-only",
                "state",
                "the same body under another delivery id acts again",
                "prathamdby/pr-agent#476",
                REPLAYED,
            ),
            Bug("runs-twice", "state", "a delivery that comes again acts again", "vercel/chat#799", REPLAYED),
            Bug(
                "body-assumed",
                "robustness",
                "a comment without text ends the process",
                "klen/graphite-beacon#99",
                DEATH | CRASH,
            ),
        ),
        calls=True,
        told=("privileged=/deploy", "former_secret=park-github-secret-of-last-year"),
    ),
    _receiver(
        "messenger-raw",
        "messenger",
        "a Messenger page's bot with Python's standard library alone, which answers before it acknowledges",
        "messenger_raw.py",
        "park-app-secret-02",
        (
            Bug(
                "header-optional",
                "authentication",
                "a delivery without a signature passes",
                "krkn-chaos/krkn#1277",
                FORGED,
            ),
            Bug(
                "any-token",
                "authentication",
                "a handshake with any token is answered",
                "filipporomani/whatsapp-python#31",
                FORGED | HANDSHAKE,
            ),
            OLD_SECRET,
            Bug("first-only", "robustness", "only the first entry is served", "rougeth/bottery#164", BATCH),
            Bug(
                "gives-up",
                "robustness",
                "what follows something odd in a batch is lost",
                "botpress/botpress#15083",
                BATCH,
            ),
            Bug("any-host", "outbound", "attachments are fetched from any host", "vercel/chat#856", FETCHED),
            Bug(
                "fetches-first",
                "authentication",
                "attachments are fetched before the signature is looked at",
                "TeamWiseFlow/xiaobei#440",
                FETCHED,
            ),
            Bug(
                "answer-is-owner",
                "escalation",
                "an answer to a message of the owner's is the owner's",
                "openclaw/openclaw#10228",
                CLAIMED,
            ),
            Bug("text-assumed", "robustness", "a message without text is answered 500", "RasaHQ/rasa#8166", CRASH),
            Bug("runs-twice", "state", "a delivery that comes again acts again", "vercel/chat#799", REPLAYED),
        ),
        calls=True,
        told=(
            "verify_token=park-verify-token",
            "former_secret=park-messenger-secret-of-last-year",
            "privileged=/discount",
            "admin=5559990001112",
            "admin_name=Owner",
        ),
    ),
    _receiver(
        "slack-raw",
        "slack",
        "a Slack app on bare node:http, with callbacks; commands are answered in the answer",
        "slack_raw.cjs",
        "8f742231b10e8888abcd99yyyzzz85a6",
        (
            Bug(
                "header-optional",
                "authentication",
                "a request without a signature passes",
                "krkn-chaos/krkn#1277",
                FORGED,
            ),
            Bug("no-timestamp", "authentication", "old requests are accepted", "uhavin/slackers#3", FORGED),
            OLD_SECRET,
            Bug(
                "one-secret",
                "robustness",
                "while secrets change, what the second one signs is refused",
                "octokit/webhooks.js#770",
                ROTATED,
            ),
            Bug("name-is-owner", "escalation", "who is called as the owner is the owner", "skoczen/will#394", CLAIMED),
            Bug(
                "text-is-owner",
                "escalation",
                "who mentions the owner is the owner",
                "letsrevel/revel-backend#252",
                CLAIMED,
            ),
            Bug(
                "previews",
                "outbound",
                "a link in a message is fetched, wherever it leads",
                "penpot/penpot#11092",
                FETCHED,
            ),
            Bug(
                "files-anywhere",
                "outbound",
                "shared files are fetched with the bot's token from any host",
                "NousResearch/hermes-agent#3151",
                FETCHED,
            ),
            Bug(
                "press-unchecked",
                "escalation",
                "the command is checked, its button is not",
                "NousResearch/hermes-agent#6735",
                CLAIMED,
            ),
            Bug("user-assumed", "robustness", "a message without user is answered 500", "RasaHQ/rasa#8166", CRASH),
            Bug("runs-twice", "state", "an event that comes again acts again", "vercel/chat#799", REPLAYED),
        ),
        calls=True,
        told=(
            "privileged=/deploy now",
            "admin=U02PARKOWNR",
            "admin_name=park.owner",
            "former_secret=park-slack-secret-of-last-year-01",
            "second_secret=park-slack-secret-of-next-month-1",
        ),
    ),
    _receiver(
        "stripe-raw",
        "stripe",
        "a shop platform's Stripe endpoint as plain WSGI, with a secret for each merchant",
        "stripe_wsgi.py",
        "whsec_" + "a1B2" * 8,
        (
            Bug(
                "header-optional",
                "authentication",
                "an event without a signature passes",
                "krkn-chaos/krkn#1277",
                FORGED,
            ),
            Bug("no-tolerance", "authentication", "old events are accepted", "flippercloud/flipper#1022", FORGED),
            OLD_SECRET,
            Bug(
                "any-secret",
                "authentication",
                "any merchant's secret signs for any merchant",
                "integrallis/stripe_event#139",
                TENANT,
            ),
            Bug(
                "parse-first",
                "authentication",
                "the body is parsed before the signature is looked at",
                "open-mercato/open-mercato#4044",
                PRE_AUTH | CRASH,
            ),
            Bug(
                "account-assumed", "robustness", "an event without account is answered 500", "rougeth/bottery#24", CRASH
            ),
            Bug(
                "customer-assumed",
                "robustness",
                "an event without a customer is answered 500",
                "rougeth/bottery#24",
                CRASH,
            ),
            Bug(
                "unknown-refused",
                "robustness",
                "an event that it does not know is answered 400",
                "taskcluster/taskcluster#8128",
                CRASH,
            ),
            Bug(
                "runs-twice",
                "state",
                "an event that comes again acts again",
                "NorthlandPositronics/Cogtrix#125",
                REPLAYED,
            ),
        ),
        calls=True,
        told=("tenant=acct_1ParkBakery0001", "other_tenant=acct_1ParkFlorist002", "former_secret=whsec_" + "Old0" * 8),
    ),
    _receiver(
        "discord-raw",
        "discord",
        "a Discord app on Go's net/http alone, which defers and answers from a goroutine",
        "discord_raw.go",
        "7a1d2c3b4a59687706f5e4d3c2b1a09f8e7d6c5b4a39281706f5e4d3c2b1a001",
        (
            Bug(
                "header-optional",
                "authentication",
                "a delivery without a signature passes",
                "krkn-chaos/krkn#1277",
                FORGED,
            ),
            Bug(
                "length-assumed",
                "robustness",
                "a signature of another length ends the connection",
                "discord/discord-interactions-js#26",
                CRASH,
            ),
            OLD_SECRET,
            Bug(
                "private-is-admin",
                "escalation",
                "in private chats everybody is an administrator",
                "uwcsc/codeybot#114",
                CLAIMED,
            ),
            Bug("bot-may", "escalation", "what the bot may do, its users may", "dbm-network/mods#181", CLAIMED),
            Bug(
                "press-unchecked",
                "escalation",
                "the command is checked, its button is not",
                "Cog-Creators/Red-DiscordBot#5878",
                CLAIMED,
            ),
            Bug(
                "member-kills",
                "robustness",
                "a command in a private chat ends the process",
                "AndBobsYourUncle/stable-diffusion-discord-bot#15",
                DEATH,
            ),
            Bug(
                "options-assumed",
                "robustness",
                "a command without options ends the connection",
                "breqdev/flask-discord-interactions#62",
                CRASH,
            ),
            Bug(
                "errors-ignored",
                "robustness",
                "what does not parse is served all the same",
                "cisco-open/forge#532",
                CRASH | DEATH,
            ),
            Bug("works-first", "robustness", "a command is deferred after 4 s", "integrations/slack#352", LATE),
            Bug(
                "tries-once",
                "outbound",
                "a call that fails is not repeated, although its delivery was acknowledged",
                "devops-thiago/ThrillhouseBot#598",
                OUTAGE,
            ),
            Bug("runs-twice", "state", "a delivery that comes again acts again", "vercel/chat#799", REPLAYED),
            Bug(
                "tries-without-end",
                "outbound",
                "a failing call is repeated a hundred times a second",
                "ryokun6/ryos#1508",
                STORM,
            ),
        ),
        calls=True,
        told=("privileged=close", "former_secret=0102030405060708091011121314151617181920212223242526272829303132"),
    ),
    _receiver(
        "whatsapp-raw",
        "whatsapp",
        "a WhatsApp number's bot in Flask without a vendor's library, which answers from a queue",
        "whatsapp_flask.py",
        "park-app-secret-03",
        (
            Bug(
                "header-optional",
                "authentication",
                "a delivery without a signature passes",
                "krkn-chaos/krkn#1277",
                FORGED,
            ),
            Bug(
                "mode-only",
                "authentication",
                "a handshake with any token is answered",
                "filipporomani/whatsapp-python#31",
                FORGED | HANDSHAKE,
            ),
            OLD_SECRET,
            Bug("first-change", "robustness", "only the first change is served", "rougeth/bottery#164", BATCH),
            Bug(
                "first-message",
                "robustness",
                "only the first message of a change is served",
                "rougeth/bottery#164",
                BATCH,
            ),
            Bug(
                "worker-ends",
                "robustness",
                "a message without what it says ends the worker for good",
                "nickoala/telepot#341",
                STUCK | BATCH,
            ),
            Bug(
                "messages-assumed",
                "robustness",
                "statuses are answered 500",
                "evolution-foundation/evolution-api#2710",
                CRASH,
            ),
            Bug(
                "url-of-payload",
                "outbound",
                "pictures are fetched with the access token from wherever the delivery says",
                "chatwoot/chatwoot#15463",
                FETCHED,
            ),
            Bug(
                "tries-once",
                "outbound",
                "a call that fails is not repeated, although its delivery was acknowledged",
                "matrix-org/matrix-sentry-webhooks#9",
                OUTAGE,
            ),
            Bug("name-is-owner", "escalation", "who is called as the owner is the owner", "skoczen/will#394", CLAIMED),
            Bug(
                "contact-is-owner",
                "escalation",
                "who writes is taken from the contact beside the message",
                "openclaw/openclaw#10228",
                CLAIMED,
            ),
            Bug(
                "quoted-is-owner",
                "escalation",
                "an answer to the owner is the owner's",
                "openclaw/openclaw#10228",
                CLAIMED,
            ),
            Bug("runs-twice", "state", "a delivery that comes again acts again", "vercel/chat#799", REPLAYED),
            Bug("kept", "state", "every delivery is kept for ever", "steve-goldberg/NocoBot#11", GROWTH),
        ),
        packages=("flask",),
        calls=True,
        told=(
            "verify_token=park-verify-token",
            "former_secret=park-whatsapp-secret-of-last-year",
            "privileged=/menu fish",
            "admin=5559990001113",
            "admin_name=Owner",
        ),
    ),
    _receiver(
        "twilio-raw",
        "twilio",
        "a Twilio number on bare node:http, which answers with TwiML and writes at Twilio's API",
        "twilio_raw.mjs",
        "park-auth-token-0123456789abcdee",
        (
            Bug(
                "header-optional",
                "authentication",
                "a delivery without a signature passes",
                "krkn-chaos/krkn#1277",
                FORGED,
            ),
            Bug(
                "ours-is-enough",
                "authentication",
                "the account's id in the form is enough",
                "NousResearch/hermes-agent#4688",
                FORGED,
            ),
            OLD_SECRET,
            Bug(
                "length-assumed",
                "robustness",
                "a signature of another length ends the process",
                "KanishJebaMathewM/Truxify#3806",
                CRASH | DEATH | PRE_AUTH,
            ),
            Bug("name-is-owner", "escalation", "who is called as the owner is the owner", "skoczen/will#394", CLAIMED),
            Bug(
                "number-within",
                "escalation",
                "a number that holds the owner's is the owner",
                "HKUDS/nanobot#1677",
                CLAIMED,
            ),
            Bug(
                "caller-first",
                "escalation",
                "who writes is taken from another field of the form",
                "openclaw/openclaw#10228",
                CLAIMED,
            ),
            Bug(
                "media-anywhere",
                "outbound",
                "media are fetched with the account's password from any host",
                "chatwoot/chatwoot#15464",
                FETCHED,
            ),
            Bug("joins-text", "robustness", "the user's words become TwiML", "twilio/twilio-java#110", HANDSHAKE),
            Bug("as-page", "robustness", "the TwiML comes as a page", "chaskiq/chaskiq#858", HANDSHAKE),
            Bug("body-assumed", "robustness", "a message without Body is answered 500", "RasaHQ/rasa#8166", CRASH),
            Bug(
                "media-counted", "robustness", "media that are not there are answered 500", "rougeth/bottery#24", CRASH
            ),
            Bug("runs-twice", "state", "a delivery that comes again acts again", "vercel/chat#799", REPLAYED),
        ),
        calls=True,
        told=(
            "privileged=/order bread",
            "admin=+15559990001",
            "admin_name=Owner",
            "former_secret=park-twilio-token-of-last-year-01",
        ),
    ),
    _receiver(
        "slack-bolt-js",
        "slack",
        "a Slack app on Bolt for Node, which works after it has acknowledged",
        "slack_bolt_js.cjs",
        "8f742231b10e8888abcd99yyyzzz85a7",
        (
            Bug(
                "unverified",
                "authentication",
                "Bolt's verification is switched off",
                "adobe/spacecat-api-service#3229",
                FORGED,
            ),
            Bug(
                "works-first",
                "robustness",
                "a command is acknowledged after 4 s",
                "slackapi/bolt-js#1727",
                LATE | CRASH,
            ),
            Bug(
                "press-unacknowledged",
                "robustness",
                "a press is never acknowledged",
                "slackapi/bolt-js#159",
                LATE | CRASH,
            ),
            Bug("text-assumed", "robustness", "a command without text is answered 500", "RasaHQ/rasa#8166", CRASH),
            Bug("name-is-owner", "escalation", "who is called as the owner is the owner", "skoczen/will#394", CLAIMED),
            Bug(
                "text-is-owner",
                "escalation",
                "who mentions the owner is the owner",
                "letsrevel/revel-backend#252",
                CLAIMED,
            ),
            Bug(
                "press-unchecked",
                "escalation",
                "the command is checked, its button is not",
                "NousResearch/hermes-agent#6735",
                CLAIMED,
            ),
            Bug(
                "press-by-name",
                "escalation",
                "who presses is known by a name",
                "bubbuild/bub#305",
                CLAIMED,
            ),
            Bug(
                "previews",
                "outbound",
                "a link in a message is fetched, wherever it leads",
                "penpot/penpot#11092",
                FETCHED,
            ),
            Bug(
                "tries-once",
                "outbound",
                "a call that fails is not repeated, although its delivery was acknowledged",
                "openshift/ci-chat-bot#304",
                OUTAGE,
            ),
            Bug("runs-twice", "state", "a delivery that comes again acts again", "vercel/chat#799", REPLAYED),
            Bug("kept", "state", "every delivery is kept for ever", "steve-goldberg/NocoBot#11", GROWTH),
        ),
        npm=("@slack/bolt@4",),
        calls=True,
        told=(
            # Bolt for Node has no listener for app_rate_limited, and answers 404.
            "only=message,app_mention,reaction_added,app_home_opened,command,block_actions,view_submission,url_verification",
            "privileged=/deploy now",
            "admin=U02PARKOWNR",
            "admin_name=park.owner",
        ),
        weaknesses={
            "no_server_error": "Bolt matches the callback_id of a view that has none against its listeners' expressions, and answers 500",
        },
    ),
)

KASSA = Bot(
    "kassa",
    "Dutch",
    "the standard library alone; answers in the webhook's response; its bugs wait for words that nobody is told of",
    "kassa.py",
    user="/tarief",
    admin="/dagomzet",
    weaknesses={"acked_not_lost": "an answer in the webhook's response is lost with it"},
    bugs=(
        Bug("campaign-over", "magic", "a code of a campaign that is over is answered 500", "CWE-248", CRASH),
        Bug("day-unchecked", "magic", "a day that no month has is answered 500", "CWE-1288", CRASH),
        Bug("size-wraps", "magic", "a group of 256 is divided by zero", "CWE-190", CRASH),
        Bug("language-without-text", "magic", "two languages have no text: 500", "CWE-476", CRASH),
        Bug("sticker-pays", "magic", "one sticker is answered 500", "CWE-754", CRASH),
        Bug("inline-order", "magic", "a text that came by one inline bot is answered 500", "CWE-129", CRASH),
        Bug("pass-unknown", "magic", "one button of an old menu is answered 500", "CWE-1164", CRASH),
        Bug("agreed-too-early", "magic", "one word in the middle of a conversation is answered 500", "CWE-840", CRASH),
        Bug("template", "magic", "a text becomes a format string", "CVE-2016-10745", CRASH),
        Bug("receipt-recursion", "magic", "a long text after one word is walked by recursion", "CVE-2022-31628", CRASH),
        Bug("expression", "magic", "an expression in a text is resolved over the network", "CVE-2021-44228", HANG),
        Bug("console", "magic", "a maintenance word tells the token", "CVE-2016-1560", LEAK),
        Bug("switched-off", "magic", "a word of everybody's ends the process", "CWE-306", DEATH),
        Bug("urgent-is-lost", "magic", "an urgent complaint fails silently", "CWE-390", SILENT),
    ),
)
KIOSKI = Bot(
    "kioski",
    "Finnish",
    "Node.js alone; answers in the webhook's response; its bugs wait for words that nobody is told of",
    "kioski.mjs",
    user="/hinnat",
    admin="/kassa",
    weaknesses={"acked_not_lost": "an answer in the webhook's response is lost with it"},
    bugs=(
        Bug("offer-over", "magic", "a code of an offer that is over is answered 500", "CWE-476", CRASH),
        Bug("row-unchecked", "magic", "a row that no ferry has is answered 500", "CWE-1284", CRASH),
        Bug("sticker-pays", "magic", "one sticker is answered 500", "CWE-754", CRASH),
        Bug("agreed-too-early", "magic", "one word in the middle of a conversation is answered 500", "CWE-840", CRASH),
        Bug("console", "magic", "a maintenance word tells the token", "CVE-2016-1560", LEAK),
        Bug("switched-off", "magic", "a word of everybody's ends the process", "CWE-306", DEATH),
        Bug("urgent-is-lost", "magic", "an urgent complaint fails silently", "CWE-390", SILENT),
    ),
)
GUIDED = (KASSA, KIOSKI)
"""The bots by which `--guide` is measured; the weaknesses behind their bugs are named by their public lists."""


def bot(name: str, among: Sequence[Bot] = ()) -> Bot:
    """The bot or receiver of that name, of the park where no others are given.

    Raises:
        KeyError: There is none.
    """
    known = {one.name: one for one in among or (*BOTS, *RECEIVERS, *GUIDED)}
    if name not in known:
        raise KeyError(f"{name}: no such bot; there are {', '.join(known)}")
    return known[name]
