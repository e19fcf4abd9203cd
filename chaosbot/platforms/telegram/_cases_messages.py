"""messages and chats: texts, entities, numbers and places at the ends of what is possible. Handled or ignored, never a crash."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from chaosbot.core.case import Case, Expect
from chaosbot.core.kit import accepted, broken
from chaosbot.platforms.telegram._case_kit import MARK, Pen, dice_of
from chaosbot.platforms.telegram._users import channel, supergroup

_COSTLY = "no_hang"


def cases(pen: Pen) -> Iterator[Case]:
    """All cases of these groups."""
    yield from _texts(pen)
    yield from _costly(pen)
    yield from _entities(pen)
    yield from _numbers(pen)
    yield from _chats(pen)


def _texts(pen: Pen) -> Iterator[Case]:
    """What people write. All of it is valid, and where the bot repeats it, it comes back unharmed."""
    texts: dict[str, tuple[str, str]] = {
        "latin": ("Zoë naïve façade", "accents"),
        "cyrillic": ("Привет, мир", "Cyrillic"),
        "chinese": ("你好，世界", "Chinese"),
        "vietnamese": ("Xin chào, tôi cần giúp đỡ", "Vietnamese"),
        "arabic": ("مرحبا بالعالم", "Arabic"),
        "hebrew": ("שלום עולם", "Hebrew"),
        "thai": ("สวัสดีชาวโลก", "Thai"),
        "emoji": ("🙂🚀🔥", "emoji"),
        "family": ("👩\u200d👩\u200d👧\u200d👦", "a family of four in one emoji"),
        "flag": ("🇻🇳🇩🇪", "flags"),
        "skin": ("👍🏽", "a skin tone"),
        "astral": ("𝕏𝒳𐍈", "letters beyond the first 65 536"),
        "combining": ("e\u0301 n\u0303", "combining marks"),
        "zalgo": ("Z" + "\u0321\u0348\u030b" * 30 + "!", "many marks on one letter"),
        "bidi": ("abc \u202etxt.exe\u202c def", "a direction override"),
        "isolate": ("\u2067abc\u2069 def", "isolated directions"),
        "zerowidth": ("a\u200bb\u200cc\u2060d", "zero-width characters"),
        "softhyphen": ("soft\u00adhyphen", "a soft hyphen"),
        "nbsp": ("a\u00a0b\u2003c", "other blanks"),
        "lineends": ("a\u2028b\u2029c", "other line ends"),
        "tag": ("🏴\U000e0067\U000e0062\U000e007f", "tag characters"),
        "private": ("a\uf8ffb", "a private character"),
        "quotes": ("\"double\" 'single' `back`", "quotes"),
        "backslashes": ("a\\b\\n\\u0041", "backslashes"),
        "html": ("<b>bold</b> &amp; <script>", "HTML"),
        "markdown": ("*bold* _under_ [a](b) `c` ~d~ ||e||", "Markdown"),
        "braces": ("{0} {} %s %n ${x} {{y}} #{z}", "placeholders"),
        "json": ('{"a": [1, 2]}', "JSON"),
        "slashes": ("a/b //c \\\\d", "slashes"),
        "dollars": ("$HOME `id` $(id) | cat", "what a shell reads"),
        "sql": ("'; DROP TABLE users; --", "SQL"),
        "link": ("https://example.com/?a=b&c=%20#d", "a link"),
        "number": ("007", "digits with zeros"),
        "null": ("null", "the word null"),
        "nan": ("NaN", "the word NaN"),
        "turkish": ("İIıi", "the four letters i of Turkish"),
        "sharp": ("straße ẞ", "letters that change length in capitals"),
    }
    for word, (text, what) in texts.items():
        name = f"messages/text-{word}"
        base = pen.message(name, f"{MARK} {text} end")
        yield pen.case(name, base, f"a text with {what}", accepted(text=f"{text} end"), check="text_intact")
    odd: dict[str, tuple[str, str]] = {
        "nul": ("a\x00b", "a NUL"),
        "control": ("a\x07\x1b[31mb", "control characters"),
        "surrogate": ("a\ud83d b", "half a surrogate pair"),
        "surrogates": ("a\ude00\ud83d b", "a surrogate pair, swapped"),
        "noncharacter": ("a\uffff\ufdd0b", "noncharacters"),
        "empty": ("", "nothing at all"),
    }
    for word, (text, what) in odd.items():
        name = f"messages/odd-{word}"
        base = pen.message(name, f"{MARK} {text}" if text else "")
        yield pen.case(name, base, f"a text with {what}", broken(), threat=pen.kit.intruder)


def _costly(pen: Pen) -> Iterator[Case]:
    """Texts of up to 4096 characters that make careless patterns take for ever."""
    texts: dict[str, tuple[str, str]] = {
        "full": ("x" * 4070, "4096 characters"),
        "blanks": (" " * 2_000 + "x", "2000 blanks"),
        "manyblanks": ("x" + " " * 4_000 + "x", "4000 blanks"),
        "lines": ("\n" * 4_000 + "x", "4000 line ends"),
        "tabs": ("\t" * 4_000 + "x", "4000 tabs"),
        "letters": ("a" * 4_000 + "!", "the same letter 4000 times, then another character"),
        "parentheses": ("(" * 4_000, "4000 open parentheses"),
        "brackets": ("[" * 2_000 + "]" * 2_000, "2000 nested brackets"),
        "stars": ("*" * 4_000, "4000 stars"),
        "underscores": ("_a" * 2_000, "2000 underscores"),
        "backticks": ("`" * 4_001, "an odd number of backticks"),
        "angles": ("<" * 4_000, "4000 angles"),
        "ampersands": ("&" * 4_000, "4000 ampersands"),
        "slashes": ("/" * 4_000, "4000 slashes"),
        "mail": ("a@" * 2_000, "something like mail addresses"),
        "links": ("http://a.b " * 370, "370 links"),
        "dots": ("a." * 2_000, "something like a host of 2000 parts"),
        "digits": ("9" * 4_000, "a number of 4000 digits"),
        "quotes": ('"' * 4_000, "4000 quotes"),
        "commas": ("a," * 2_000, "2000 commas"),
        "emoji": ("🙂" * 2_000, "2000 emoji"),
        "zerowidth": ("\u200b" * 4_000 + "x", "4000 zero-width blanks"),
        "combining": ("a" + "\u0301" * 4_000, "4000 marks on a letter"),
        "ligature": ("\ufdfa" * 4_000, "4000 ligatures that normalise to 18 letters each"),
        "dotted": ("İ" * 4_000, "4000 letters that change length in small letters"),
    }
    for word, (text, what) in texts.items():
        name = f"messages/costly-{word}"
        yield pen.case(name, pen.message(name, f"{MARK} {text}"), f"a text of {what}", accepted(), check=_COSTLY)
    name = "messages/costly-overlong"
    base = pen.message(name, MARK + " x" * 20_000)
    yield pen.case(name, base, "40 000 characters, ten times what Telegram allows", broken(), check=_COSTLY)


def _entities(pen: Pen) -> Iterator[Case]:
    """Marks on a text that do not fit it. The platform computes them, so a misfit is a defect on the way."""
    text = f"{MARK} 🙂 bold and 🙂 more"
    lists: dict[str, tuple[Any, str, bool]] = {
        "negative": ([{"type": "bold", "offset": -1, "length": 4}], "start before the text", False),
        "beyond": ([{"type": "bold", "offset": 900, "length": 4}], "start behind the text", False),
        "past": ([{"type": "bold", "offset": 0, "length": 900}], "end behind the text", False),
        "zero": ([{"type": "bold", "offset": 0, "length": 0}], "are empty", False),
        "minus": ([{"type": "bold", "offset": 4, "length": -2}], "have a negative length", False),
        "surrogate": ([{"type": "bold", "offset": 17, "length": 1}], "end inside an emoji", False),
        "huge": ([{"type": "bold", "offset": 2**53, "length": 2**53}], "have huge numbers", False),
        "overlapping": (
            [{"type": "bold", "offset": 0, "length": 10}, {"type": "italic", "offset": 5, "length": 10}],
            "overlap",
            True,
        ),
        "same": ([{"type": "bold", "offset": 0, "length": 5}] * 2, "are twice the same", True),
        "unsorted": (
            [{"type": "bold", "offset": 9, "length": 2}, {"type": "italic", "offset": 0, "length": 2}],
            "are not in order",
            True,
        ),
        "many": ([{"type": "bold", "offset": n % 20, "length": 1} for n in range(1_000)], "are a thousand", True),
        "unknown": ([{"type": "of_a_later_version", "offset": 0, "length": 3}], "are of a later version", True),
        "typeless": ([{"offset": 0, "length": 3}], "have no type", False),
        "empty": ([{}], "are empty objects", False),
        "null": ([None], "are null", False),
        "string": ("bold", "are a text", False),
        "text": ([{"type": "bold", "offset": "0", "length": "3"}], "have texts for numbers", False),
        "fraction": ([{"type": "bold", "offset": 0.5, "length": 1.5}], "have fractions", False),
        "nested": (
            [
                {"type": kind, "offset": 0, "length": 6}
                for kind in ("bold", "italic", "underline", "strikethrough", "spoiler")
            ],
            "are five on the same letters",
            True,
        ),
        "emoji": (
            [{"type": "custom_emoji", "offset": 16, "length": 2, "custom_emoji_id": "5368324170671202286"}],
            "mark a custom emoji",
            True,
        ),
        "noinside": ([{"type": "text_link", "offset": 0, "length": 3}], "lack the link that they need", False),
        "script": (
            [{"type": "text_link", "offset": 0, "length": 3, "url": "javascript:alert(1)"}],
            "link to a script",
            True,
        ),
    }
    for word, (entities, what, valid) in lists.items():
        name = f"messages/entities-{word}"
        base = pen.message(name, text, entities=entities)
        yield _odd(pen, name, base, f"a text's entities {what}", valid=valid)


def _odd(pen: Pen, name: str, base: Any, summary: str, *, valid: bool = False, expect: Expect | None = None) -> Case:
    if valid:
        return pen.case(name, base, summary)
    return pen.case(name, base, summary, expect or broken(), threat=pen.kit.intruder)


def _numbers(pen: Pen) -> Iterator[Case]:
    """Numbers and dates of a message, and messages with nothing in them."""
    members: dict[str, tuple[dict[str, Any], str, bool]] = {
        "id-zero": ({"message_id": 0}, "the number 0", True),
        "id-negative": ({"message_id": -5}, "a negative number", False),
        "id-huge": ({"message_id": 2**53 + 1}, "a number beyond 2^53", False),
        "id-31": ({"message_id": 2**31 - 1}, "the largest number of 31 bits", True),
        "date-zero": ({"date": 0}, "the date 0", False),
        "date-negative": ({"date": -1}, "a date before 1970", False),
        "date-future": ({"date": 4_102_444_800}, "a date in the year 2100", True),
        "date-huge": ({"date": 10**15}, "a date millions of years ahead", False),
        "date-old": ({"date": 1_400_000_000}, "a date of many years ago", True),
        "date-text": ({"date": "2026-01-01T00:00:00Z"}, "a date as text", False),
        "thread-zero": ({"message_thread_id": 0}, "the topic 0", False),
        "effect": ({"effect_id": "5104841245755180586"}, "an effect", True),
        "protected": ({"has_protected_content": True}, "protected content", True),
        "later": ({"of_a_later_version": {"a": [1, {"b": None}]}}, "a member of a later version", True),
    }
    for word, (content, what, valid) in members.items():
        name = f"messages/number-{word}"
        yield _odd(pen, name, pen.message(name, **content), f"a message with {what}", valid=valid)
    bare: dict[str, tuple[dict[str, Any], str, bool]] = {
        "nothing": ({}, "no content at all", True),
        "later": ({"content_of_a_later_version": {"id": 1}}, "content of a later version", True),
        "everything": (
            {
                "text": "text",
                "caption": "caption",
                "dice": {"emoji": "🎲", "value": 1},
                "location": {"latitude": 0.0, "longitude": 0.0},
            },
            "several contents",
            False,
        ),
        "deep": ({"reply_to_message": _deep(pen, 150)}, "a reply to a reply, 150 deep", False),
    }
    for word, (content, what, valid) in bare.items():
        name = f"messages/content-{word}"
        yield _odd(pen, name, pen.media(name, **content), f"a message with {what}", valid=valid)
    name = "messages/edited-before-original"
    base = pen.message(name, f"{MARK} edited first", kind="edited_message")
    yield pen.case(name, base, "an edit of a message that never came")


def _deep(pen: Pen, depth: int) -> dict[str, Any]:
    made: dict[str, Any] = {"message_id": 1, "date": pen.date, "chat": {"id": 1, "type": "private"}, "text": "a"}
    for number in range(2, depth):
        made = made | {"message_id": number, "reply_to_message": made}
    return made


def _chats(pen: Pen) -> Iterator[Case]:
    """Where a message was written: the answer belongs there."""

    def here(word: str, what: str, chat: Any, *, valid: bool = True, text: str = "", **content: Any) -> Case:
        name = f"chats/{word}"
        base = pen.message(name, text or f"/status {MARK}", chat=chat, **content)
        if valid:
            return pen.case(name, base, f"a message in {what}", accepted(), check="right_chat")
        return pen.case(name, base, f"a message in {what}", broken(), threat=pen.kit.intruder)

    def group(word: str) -> dict[str, Any]:
        return supergroup(dice_of(pen, f"chats/{word}"))

    yield here("group-super", "a supergroup", group("group-super"))
    yield here("group-small", "a small group", {"id": -4_812_345, "type": "group", "title": "Small"})
    yield here(
        "group-forum", "a topic", group("group-forum") | {"is_forum": True}, message_thread_id=5, is_topic_message=True
    )
    yield here("group-public", "a public group", group("group-public") | {"username": "chaos_public"})
    yield here("group-text", "a supergroup, plain text", group("group-text"), text=f"hello all {MARK}")
    yield here("group-notitle", "a group without title", {"id": -4_812_346, "type": "group"})
    yield here("group-html", "a group whose title is markup", group("group-html") | {"title": "<b>*_`[x](y"})
    for word, name in {"small": "group", "super": "supergroup"}.items():
        what = f"a group that calls itself {name}, under an id that was another type's"
        yield here(f"changed-{word}", what, {"id": -4_812_350, "type": name, "title": "Changing"})
    yield here("channel-as-message", "a channel", channel(dice_of(pen, "chats/channel")), valid=False)
    for word, type_ in {"unknown": {"type": "of_a_later_version"}, "absent": {}}.items():
        who = pen.someone(f"chats/type-{word}")
        what = "a chat of a later version's type" if type_ else "a chat without type"
        yield here(f"type-{word}", what, {"id": who, **type_}, valid=False, user=who)
    ids: dict[str, Any] = {
        "zero": 0,
        "one": 1,
        "string": "1000999",
        "username": "@chaos",
        "fraction": 1.5,
        "true": True,
        "null": None,
        "list": [1],
        "bits52": 2**52 - 1,
        "bits64": 2**64,
        "minus-bits64": -(2**64),
        "digits": 10**300,
    }
    for word, number in ids.items():
        what = f"a chat with the id {str(number)[:20]}"
        yield here(f"id-{word}", what, {"id": number, "type": "private"}, valid=False)
    for word, content in {
        "to": {"migrate_to_chat_id": group("migrate-to")["id"]},
        "from": {"migrate_from_chat_id": -4_812_347},
        "both": {"migrate_to_chat_id": group("migrate-both")["id"], "migrate_from_chat_id": -4_812_348},
        "self": {"migrate_to_chat_id": -4_812_349},
        "zero": {"migrate_to_chat_id": 0},
        "string": {"migrate_to_chat_id": "-1001"},
    }.items():
        name = f"chats/migrate-{word}"
        chat = {"id": -4_812_349, "type": "group", "title": "Moving"}
        yield _odd(
            pen,
            name,
            pen.media(name, chat=chat, **content),
            f"the group moves: {', '.join(f'{key} {value}' for key, value in content.items())}",
            valid=word in ("to", "from"),
        )
