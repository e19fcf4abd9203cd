"""Degenerate values: the texts, numbers and ids that break careless code wherever they can stand.

Rules:

- Every list is written out, so that a product of values and places has a known size and its coverage can be told.
- A number is a JSON literal, because some of them (``7e0``) have no Python value that an encoder would write so.
- Values are about what code does with them, not about any target: a text of one superscript digit is here because
  ``"²".isdigit()`` is true and ``int("²")`` raises, whatever asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class TextValue:
    """A text and what is special about it.

    Args:
        word: Its name in cases and coverage.
        text: The text itself.
        what: What it is, for people.
        valid: Whether people can really write it; lone surrogates and NUL cannot pass a platform.
    """

    word: str
    text: str
    what: str
    valid: bool = True


@dataclass(frozen=True, slots=True)
class NumberValue:
    """A number as JSON text, and what is special about it.

    Args:
        word: Its name in cases and coverage.
        literal: The JSON text.
        what: What it is, for people.
    """

    word: str
    literal: bytes
    what: str


TEXTS: Final[tuple[TextValue, ...]] = (
    TextValue("empty", "", "nothing at all", valid=False),
    TextValue("blank", " ", "one blank", valid=False),
    TextValue("newline", "\n", "one line end", valid=False),
    TextValue("nbsp", "\u00a0", "a no-break space alone"),
    TextValue("zero-width", "\u200b", "a zero-width space alone"),
    TextValue("slash", "/", "a lone slash"),
    TextValue("slashes", "//", "two slashes"),
    TextValue("slash-at", "/@", "a slash and an at sign"),
    TextValue("slash-blank", "/ help", "a slash, a blank, a word"),
    TextValue("at", "@", "a lone at sign"),
    TextValue("hash", "#", "a lone hash sign"),
    TextValue("dot", ".", "a lone dot"),
    TextValue("colon", ":", "a lone colon"),
    TextValue("colons", "::::", "separators and nothing between"),
    TextValue("pipe", "|", "a lone bar"),
    TextValue("comma", ",", "a lone comma"),
    TextValue("equals", "=", "a lone equals sign"),
    TextValue("minus", "-", "a lone minus"),
    TextValue("quote", '"', "one quote"),
    TextValue("apostrophe", "'", "one apostrophe"),
    TextValue("backtick", "`", "one backtick"),
    TextValue("backslash", "\\", "one backslash"),
    TextValue("brace", "{", "an open brace"),
    TextValue("bracket", "[", "an open bracket"),
    TextValue("parenthesis", "(", "an open parenthesis"),
    TextValue("star", "*", "one star"),
    TextValue("underscore", "_", "one underscore"),
    TextValue("angle", "<", "one angle"),
    TextValue("ampersand", "&", "one ampersand"),
    TextValue("percent", "%", "one percent sign"),
    TextValue("zero", "0", "the digit 0"),
    TextValue("negative", "-1", "a negative number"),
    TextValue("superscript", "²", "a superscript digit (a digit that is no number)"),
    TextValue("arabic-digits", "٣", "an Arabic digit"),
    TextValue("fullwidth-digits", "１２", "full-width digits"),
    TextValue("fraction", "½", "a vulgar fraction (numeric, and no number)"),
    TextValue("underscored", "1_000", "a number with an underscore"),
    TextValue("signed", "+5", "a number with a plus"),
    TextValue("hex", "0x10", "a hexadecimal number"),
    TextValue("exponent", "1e999", "a number that overflows to infinity"),
    TextValue("nan", "NaN", "the word NaN"),
    TextValue("infinity", "inf", "the word inf"),
    TextValue("decimal", "1.5", "a decimal number"),
    TextValue("decimal-comma", "1,5", "a number with a comma"),
    TextValue("many-digits", "9" * 40, "a number of 40 digits"),
    TextValue("digits-5000", "9" * 4000, "a number of 4000 digits"),
    TextValue("null", "null", "the word null"),
    TextValue("none", "None", "the word None"),
    TextValue("true", "true", "the word true"),
    TextValue("proto", "__proto__", "the name of a prototype"),
    TextValue("constructor", "constructor", "the name of a constructor"),
    TextValue("class", "__class__", "the name of a class"),
    TextValue("method", "toString", "the name of every object's method"),
    TextValue("own", "hasOwnProperty", "the name of another"),
    TextValue("less", "a<b", "a comparison, which is no markup"),
    TextValue("entity", "&amp;&#x41;", "escapes of markup"),
    TextValue("quoted", 'it\'s "so"', "both kinds of quotes"),
    TextValue("semicolon", ";", "a lone semicolon"),
    TextValue("tab", "a\tb", "a tab"),
    TextValue("longest", ("chaos " * 683)[:4096], "a text as long as a message may be"),
    TextValue("long-word", "a" * 300, "one word of 300 letters"),
    TextValue("path", "../../../../etc/passwd", "a path upwards"),
    TextValue("format", "%s%n{0}{0.__class__}", "format strings"),
    TextValue("template", "{{7*7}}${7*7}", "templates"),
    TextValue("sql", "' OR '1'='1", "SQL"),
    TextValue("html", "<b>&<script>", "unclosed HTML"),
    TextValue("markdown", "*_[`](", "unclosed Markdown"),
    TextValue("lines", "a\nb\r\nc", "several lines"),
    TextValue("line-separator", "a\u2028b\u0085c", "other line ends"),
    TextValue("bidi", "\u202eabc", "a direction override"),
    TextValue("combining", "e\u0301" * 20, "combining marks"),
    TextValue("family", "👩\u200d👩\u200d👧\u200d👦", "several characters in one emoji"),
    TextValue("emoji", "🙂", "one emoji (two UTF-16 units)"),
    TextValue("dotted-i", "İ", "a letter that grows in small letters"),
    TextValue("sharp-s", "ß", "a letter that grows in capitals"),
    TextValue("rtl", "مرحبا", "Arabic"),
    TextValue("nul", "a\0b", "a NUL", valid=False),
    TextValue("escape", "\x1b[31m", "a control sequence", valid=False),
    TextValue("surrogate", "a\ud83db", "half a surrogate pair", valid=False),
    TextValue("noncharacter", "a\uffffb", "a noncharacter", valid=False),
)
"""Short texts; each can stand wherever a text can."""

SHORT_WORD: Final = TextValue("word-32", "a" * 32 + "!", "one word character 32 times, then another character")
"""What a regular expression with a repeated repetition takes minutes for, and what fits into most names."""

BACKTRACKING: Final[tuple[TextValue, ...]] = (
    SHORT_WORD,
    TextValue("word-chars", "a" * 3000 + "!", "one word character 3000 times, then another character"),
    TextValue("pairs", "aA" * 1500 + "!", "two word characters in turn, then another character"),
    TextValue("words", "a " * 1500 + "!", "single letters between blanks"),
    TextValue("blanks", " " * 3000 + "x", "3000 blanks, then a letter"),
    TextValue("digits", "1" * 3000 + "x", "3000 digits, then a letter"),
    TextValue("dots", "a." * 1500 + "!", "dots between letters"),
    TextValue("hyphens", "a-" * 1500 + "!", "hyphens between letters"),
    TextValue("mail", "a" * 1500 + "@" + "a." * 700, "nearly a mail address"),
    TextValue("link", "http://" + "a/" * 1500, "nearly a link"),
    TextValue("stars", "*a" * 1500, "emphasis that is never closed"),
    TextValue("brackets", "[" * 1500 + "]" * 1499, "brackets that do not match"),
    TextValue("open-angle", "<a " * 1000, "tags that are never closed"),
    TextValue("quotes", '"a' * 1500, "quotes in turn"),
    TextValue("commas", "a," * 1500 + "!", "a list that does not end"),
    TextValue("newlines", "\n" * 3000 + "x", "3000 line ends"),
)
"""Texts of some 3000 characters on which a careless regular expression takes exponential or quadratic time."""


PLACED: Final[tuple[TextValue, ...]] = (
    TextValue("digits-29", "9" * 29, "a number of 29 digits"),
    TextValue("nan", "NaN", "the word NaN"),
    TextValue("negative", "-1", "a negative number"),
    TextValue("exponent", "1e999", "a number that overflows to infinity"),
    TextValue("zero", "0", "the digit 0"),
    TextValue("word", "chaosbot", "a word"),
    TextValue("above-63", str(2**63), "2^63"),
    TextValue("digits-12", "9" * 12, "a number of 12 digits"),
    TextValue("infinity", "Infinity", "the word Infinity"),
    TextValue("superscript", "²", "a superscript digit (a digit that is no number)"),
    TextValue("html", "<b>&<script>", "unclosed HTML"),
    TextValue("format", "{x}{0}%s%n", "a format string"),
    TextValue("above-31", str(2**31), "2^31"),
    TextValue("decimal", "1.5", "a decimal number"),
    TextValue("digits-4000", "9" * 4000, "a number of 4000 digits"),
    TextValue("arabic-digits", "٣", "an Arabic digit"),
    TextValue("markdown", "*_[`](", "unclosed Markdown"),
    TextValue("fraction", "½", "a vulgar fraction (numeric, and no number)"),
    TextValue("underscored", "1_000", "a number with an underscore"),
    TextValue("long-word", "a" * 300, "one word of 300 letters"),
    TextValue("emoji", "🙂", "one emoji (two UTF-16 units)"),
)
"""Texts that stand in one place among several, the most telling first: none has a blank."""


def related_ids(number: int) -> tuple[NumberValue, ...]:
    """Ids that careless comparison takes for `number`: by prefix, suffix, truncation, sign, sum or coercion.

    None of them is the id itself, so nothing that the id may do is due to any of them.
    """
    digits = str(number)
    values: dict[str, tuple[bytes, str]] = {
        "prefix": (digits[:-1].encode() or b"0", "begins like it, one digit shorter"),
        "longer": (f"{digits}0".encode(), "begins with it"),
        "suffix": (digits[1:].lstrip("0").encode() or b"0", "ends like it, one digit shorter"),
        "contains": (f"1{digits}".encode(), "ends with it"),
        "negative": (f"-{digits}".encode(), "is its negative"),
        "wrapped-32": (str(number + 2**32).encode(), "is the same in 32 bits"),
        "wrapped-64": (str(number + 2**64).encode(), "is the same in 64 bits"),
        "truncated-32": (str(number % 2**31).encode(), "is its lower 31 bits"),
        "neighbour": (str(number + 1).encode(), "is the next one"),
        "reversed": (digits[::-1].lstrip("0").encode() or b"0", "has its digits in reverse"),
        "digit-sum": (str(sum(map(int, digits.lstrip("-")))).encode(), "is the sum of its digits"),
        "fraction": (f"{digits}.5".encode(), "is it and a half"),
        "exponent": (f"{digits}e0".encode(), "is it as a float"),
        "text": (f'"{digits}"'.encode(), "is it as text"),
        "padded-text": (f'" {digits} "'.encode(), "is it as text with blanks"),
        "zero-text": (f'"0{digits}"'.encode(), "is it as text with a zero before it"),
        "list": (f"[{digits}]".encode(), "is it in a list"),
        "true": (b"true", "is true"),
        "one": (b"1", "is 1"),
        "zero": (b"0", "is 0"),
        "null": (b"null", "is null"),
    }
    own = {digits.encode()}
    return tuple(NumberValue(word, literal, what) for word, (literal, what) in values.items() if literal not in own)
