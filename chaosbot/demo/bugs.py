# ruff: noqa: S105 -- names of bugs about secrets are no secrets
"""The planted bugs: what each one is, and which check ought to reveal it.

A healthy bot is `HEALTHY`, the empty set. `FRAGILE` is every bug at once, except `RACY_DEDUP` (a bot that never recognises a duplicate cannot
also race while recognising it) and `FORGOTTEN_VOUCHER`, behind words that nobody is told (`GUIDED`, ``chaosbot demo --guide``).

The code of a bug sits where the healthy code would be, behind `if Bug.X in bugs`, so that both can be read side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Literal


class Area(StrEnum):
    """Where a bug lives."""

    ROBUSTNESS = "robustness"
    AUTHENTICATION = "authentication"
    ESCALATION = "escalation"
    STATE = "state"
    OUTBOUND = "outbound"
    AGENT = "agent"


class Bug(StrEnum):
    """A planted defect; the value is its name on the command line."""

    CRASH_ON_MISSING_CHAT = "crash-on-missing-chat"
    CRASH_ON_NON_OBJECT_ROOT = "crash-on-non-object-root"
    CRASH_ON_TRUNCATED_JSON = "crash-on-truncated-json"
    CRASH_ON_DEEP_NESTING = "crash-on-deep-nesting"
    SLOW_TEXT_BLOCKS_LOOP = "slow-text-blocks-loop"
    UNKNOWN_KIND_REFUSED = "unknown-kind-refused"
    SPLIT_UTF8_CORRUPTED = "split-utf8-corrupted"
    EXIT_ON_CALLBACK_WITHOUT_MESSAGE = "exit-on-callback-without-message"
    GZIP_BOMB = "gzip-bomb"
    FORGOTTEN_VOUCHER = "forgotten-voucher"

    SECRET_PREFIX_ACCEPTED = "secret-prefix-accepted"
    SECRET_IN_QUERY = "secret-in-query"
    BODY_BEFORE_SECRET = "body-before-secret"
    UNCAPPED_BODY = "uncapped-body"
    CRASH_ON_NON_ASCII_SECRET = "crash-on-non-ascii-secret"

    TIER_FROM_REPLY = "tier-from-reply"
    TIER_FROM_FORWARD = "tier-from-forward"
    ADMIN_BY_USERNAME = "admin-by-username"
    EDITED_COMMAND_UNCHECKED = "edited-command-unchecked"
    UPPERCASE_COMMAND_UNCHECKED = "uppercase-command-unchecked"
    FAKE_SENDER_TRUSTED = "fake-sender-trusted"
    CALLBACK_TRUSTED = "callback-trusted"
    FOREIGN_REMINDERS = "foreign-reminders"

    NO_DEDUP = "no-dedup"
    RACY_DEDUP = "racy-dedup"
    ACK_THEN_LOSE = "ack-then-lose"

    RETRY_AFTER_IGNORED = "retry-after-ignored"
    CIRCUIT_NEVER_CLOSES = "circuit-never-closes"
    CRASH_ON_HTML_ERROR = "crash-on-html-error"
    MIGRATION_IGNORED = "migration-ignored"
    NO_OUTBOUND_TIMEOUT = "no-outbound-timeout"
    REPLY_TO_SENDER = "reply-to-sender"
    ERRORS_LEAK = "errors-leak"
    UPDATES_KEPT_FOR_EVER = "updates-kept-for-ever"

    PARTIAL_AS_COMPLETE = "partial-as-complete"
    NO_LLM_TIMEOUT = "no-llm-timeout"
    RETRY_400 = "retry-400"
    RETRY_LOOP_AROUND_SDK = "retry-loop-around-sdk"
    PAYS_ON_REDELIVERY = "pays-on-redelivery"
    ACK_AFTER_MODEL = "ack-after-model"
    KEY_IN_ERROR = "key-in-error"
    MARKDOWN_UNESCAPED = "markdown-unescaped"
    NO_SPLIT = "no-split"
    EMPTY_ANSWER = "empty-answer"
    ADMIN_TOOL_UNCHECKED = "admin-tool-unchecked"
    POISONED_HISTORY = "poisoned-history"
    SHARED_HISTORY = "shared-history"


@dataclass(frozen=True, slots=True)
class BugCard:
    """What is known about one bug: the answer key that a tester's findings are compared with.

    Attributes:
        bug: Which one.
        area: Where it lives.
        what: One line: what is wrong.
        checks: Names of the checks, any of which reveals it.
        found_by: The verb that is expected to reveal it.
    """

    bug: Bug
    area: Area
    what: str
    checks: tuple[str, ...]
    found_by: Literal["fuzz", "run", "soak"]


_A, _B = Area, Bug
_CARDS = (
    BugCard(
        _B.CRASH_ON_MISSING_CHAT, _A.ROBUSTNESS, "a message without a chat is answered 500",
        ("no_server_error", "malformed_policy"), "fuzz",
    ),
    BugCard(
        _B.CRASH_ON_NON_OBJECT_ROOT, _A.ROBUSTNESS, "a body of null, an array, a string or a number is answered 500",
        ("no_server_error", "malformed_policy"), "fuzz",
    ),
    BugCard(
        _B.CRASH_ON_TRUNCATED_JSON, _A.ROBUSTNESS, "JSON that ends too early is answered 500",
        ("no_server_error", "malformed_policy"), "fuzz",
    ),
    BugCard(
        _B.CRASH_ON_DEEP_NESTING, _A.ROBUSTNESS, "deep nesting overflows a recursive function and is answered 500",
        ("no_server_error", "malformed_policy"), "fuzz",
    ),
    BugCard(
        _B.SLOW_TEXT_BLOCKS_LOOP, _A.ROBUSTNESS,
        "2000 spaces, or a command argument of 3500 characters, block the event loop for 3 s",
        ("no_hang", "canary_answered"), "fuzz",
    ),
    BugCard(
        _B.UNKNOWN_KIND_REFUSED, _A.ROBUSTNESS, "an update kind newer than the bot is answered 400, for ever",
        ("valid_accepted", "malformed_policy"), "fuzz",
    ),
    BugCard(
        _B.SPLIT_UTF8_CORRUPTED, _A.ROBUSTNESS, "a character split over two TCP segments is corrupted",
        ("text_intact",), "fuzz",
    ),
    BugCard(
        _B.EXIT_ON_CALLBACK_WITHOUT_MESSAGE, _A.ROBUSTNESS, "a callback without a message ends the process",
        ("no_death", "canary_answered"), "fuzz",
    ),
    BugCard(
        _B.GZIP_BOMB, _A.ROBUSTNESS, "a gzip body is inflated without a useful cap (200 MB)",
        ("bounded_resources",), "fuzz",
    ),
    BugCard(
        _B.FORGOTTEN_VOUCHER, _A.ROBUSTNESS, "/start with a voucher of a campaign that is over is answered 500",
        ("no_server_error", "valid_accepted"), "fuzz",
    ),
    BugCard(
        _B.SECRET_PREFIX_ACCEPTED, _A.AUTHENTICATION, "any beginning of the secret is accepted",
        ("secret_exact", "forged_refused"), "fuzz",
    ),
    BugCard(
        _B.SECRET_IN_QUERY, _A.AUTHENTICATION, "the secret is accepted from the query string",
        ("forged_refused", "secret_exact"), "fuzz",
    ),
    BugCard(
        _B.BODY_BEFORE_SECRET, _A.AUTHENTICATION, "the body is parsed first: wrong secret and broken JSON answer 400",
        ("auth_before_parsing", "pre_auth_cost"), "fuzz",
    ),
    BugCard(
        _B.UNCAPPED_BODY, _A.AUTHENTICATION, "a body of any size is held in memory before the secret is looked at",
        ("pre_auth_cost", "bounded_resources"), "fuzz",
    ),
    BugCard(
        _B.CRASH_ON_NON_ASCII_SECRET, _A.AUTHENTICATION, "a secret with a non-ASCII byte is answered 500",
        ("no_server_error", "forged_refused"), "fuzz",
    ),
    BugCard(
        _B.TIER_FROM_REPLY, _A.ESCALATION, "the tier is that of the author of the message replied to",
        ("no_escalation",), "fuzz",
    ),
    BugCard(
        _B.TIER_FROM_FORWARD, _A.ESCALATION, "a forwarded command runs with its first author's tier",
        ("no_escalation",), "fuzz",
    ),
    BugCard(
        _B.ADMIN_BY_USERNAME, _A.ESCALATION, "whoever has the admin's username is admin",
        ("no_escalation",), "fuzz",
    ),
    BugCard(
        _B.EDITED_COMMAND_UNCHECKED, _A.ESCALATION, "a command in an edited message runs without the tier check",
        ("no_escalation",), "fuzz",
    ),
    BugCard(
        _B.UPPERCASE_COMMAND_UNCHECKED, _A.ESCALATION, "/GRANT runs like /grant, without the tier check",
        ("no_escalation",), "fuzz",
    ),
    BugCard(
        _B.FAKE_SENDER_TRUSTED, _A.ESCALATION, "anonymous group admins (1087968824) count as the bot's admin",
        ("no_escalation",), "fuzz",
    ),
    BugCard(
        _B.CALLBACK_TRUSTED, _A.ESCALATION, "callback data is believed: anybody approves anybody's improvement",
        ("no_escalation", "own_objects_only"), "fuzz",
    ),
    BugCard(
        _B.FOREIGN_REMINDERS, _A.ESCALATION, "reminders of other users are shown and deleted by their number",
        ("own_objects_only", "no_escalation"), "fuzz",
    ),
    BugCard(
        _B.NO_DEDUP, _A.STATE, "the same update_id takes effect every time it comes",
        ("effect_at_most_once",), "fuzz",
    ),
    BugCard(
        _B.RACY_DEDUP, _A.STATE, "concurrent duplicates all take effect: looked up, awaited, then marked",
        ("effect_at_most_once",), "fuzz",
    ),
    BugCard(
        _B.ACK_THEN_LOSE, _A.STATE, "an acknowledged update is forgotten when its outbound call fails",
        ("acked_not_lost",), "run",
    ),
    BugCard(
        _B.RETRY_AFTER_IGNORED, _A.OUTBOUND, "429 is answered with 20 immediate retries, retry_after unread",
        ("retry_after_obeyed", "no_retry_storm"), "run",
    ),
    BugCard(
        _B.CIRCUIT_NEVER_CLOSES, _A.OUTBOUND, "once tripped, a circuit lets one call through every 2 s for ever",
        ("circuits_recover", "recovers", "acked_not_lost"), "run",
    ),
    BugCard(
        _B.CRASH_ON_HTML_ERROR, _A.OUTBOUND, "an HTML error of the Bot API makes the webhook answer 500",
        ("no_server_error", "valid_accepted"), "run",
    ),
    BugCard(
        _B.MIGRATION_IGNORED, _A.OUTBOUND, "migrate_to_chat_id is unread: messages to a migrated group are lost",
        ("migrate_followed", "acked_not_lost"), "run",
    ),
    BugCard(
        _B.NO_OUTBOUND_TIMEOUT, _A.OUTBOUND, "a Bot API that never answers is waited for, for ever",
        ("outbound_timeout", "recovers", "acked_not_lost"), "run",
    ),
    BugCard(
        _B.REPLY_TO_SENDER, _A.OUTBOUND, "texts written in a group are answered in the private chat with the sender",
        ("right_chat",), "fuzz",
    ),
    BugCard(
        _B.ERRORS_LEAK, _A.OUTBOUND, "error answers carry the traceback and the bot token",
        ("no_leak",), "fuzz",
    ),
    BugCard(
        _B.UPDATES_KEPT_FOR_EVER, _A.STATE, "every update is kept for ever",
        ("bounded_resources",), "soak",
    ),
    BugCard(
        _B.PARTIAL_AS_COMPLETE, _A.AGENT, "a stream that ends too early is sent as if it were the whole answer",
        ("llm_truncation_shown",), "run",
    ),
    BugCard(
        _B.NO_LLM_TIMEOUT, _A.AGENT, "a model that falls silent is waited for, for ever",
        ("llm_timeout",), "run",
    ),
    BugCard(
        _B.RETRY_400, _A.AGENT, "what the provider refuses for good is asked again",
        ("llm_not_retried",), "run",
    ),
    BugCard(
        _B.RETRY_LOOP_AROUND_SDK, _A.AGENT, "a loop around three attempts makes nine of them",
        ("llm_retry_bounded",), "run",
    ),
    BugCard(
        _B.PAYS_ON_REDELIVERY, _A.AGENT, "a question that is delivered again is answered, and paid, again",
        ("llm_paid_once",), "run",
    ),
    BugCard(
        _B.ACK_AFTER_MODEL, _A.AGENT, "the webhook is answered when the model is done",
        ("llm_ack_first",), "run",
    ),
    BugCard(
        _B.KEY_IN_ERROR, _A.AGENT, "the provider's error, which quotes the key, is sent to the user",
        ("no_leak",), "run",
    ),
    BugCard(
        _B.MARKDOWN_UNESCAPED, _A.AGENT, "answers are sent as Markdown as they are; those that cannot be parsed are lost",
        ("llm_formatting_survived",), "run",
    ),
    BugCard(
        _B.NO_SPLIT, _A.AGENT, "answers longer than a message are sent in one, and lost",
        ("llm_formatting_survived",), "run",
    ),
    BugCard(
        _B.EMPTY_ANSWER, _A.AGENT, "an empty answer is sent as an empty message, which the Bot API refuses",
        ("llm_user_answered",), "run",
    ),
    BugCard(
        _B.ADMIN_TOOL_UNCHECKED, _A.AGENT, "the model grants tiers for whoever asks",
        ("llm_no_escalation",), "run",
    ),
    BugCard(_B.POISONED_HISTORY, _A.AGENT, "a failed call of a tool stays in the history without its result", ("llm_history_valid",), "run"),
    BugCard(_B.SHARED_HISTORY, _A.AGENT, "all users share one conversation with the model", ("llm_foreign_text",), "run"),
)  # fmt: skip

CARDS: Mapping[Bug, BugCard] = MappingProxyType({card.bug: card for card in _CARDS})
HEALTHY: frozenset[Bug] = frozenset()
GUIDED: frozenset[Bug] = frozenset({Bug.FORGOTTEN_VOUCHER})
"""Those that wait for words which stand in the code only."""
FRAGILE: frozenset[Bug] = frozenset(Bug) - {Bug.RACY_DEDUP} - GUIDED
AGENTS: frozenset[Bug] = frozenset(bug for bug, card in CARDS.items() if card.area is Area.AGENT)
"""Those of the agent, which show only where it has a model to ask."""


def parse_bugs(text: str) -> frozenset[Bug]:
    """Reads a list such as `no-dedup,errors-leak`; `fragile` and `healthy` name whole sets.

    Raises:
        ValueError: For a name that no bug has; the message lists those that exist.
    """
    chosen: set[Bug] = set()
    for name in filter(None, (part.strip() for part in text.split(","))):
        if name == "fragile":
            chosen |= FRAGILE
        elif name != "healthy":
            try:
                chosen.add(Bug(name))
            except ValueError:
                known = ", ".join(("fragile", "healthy", *Bug))
                raise ValueError(f"bugs: unknown bug {name!r}; available: {known}") from None
    return frozenset(chosen)
