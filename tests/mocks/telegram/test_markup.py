"""Markup as the real Bot API reads it: what it refuses, and in which words."""

from __future__ import annotations

import html

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from telegram.helpers import escape_markdown

from chaosbot.mocks.telegram.call import BadCall
from chaosbot.mocks.telegram.markup import plain

TAKEN = [
    ("HTML", '<b>bold</b> &lt;x&gt; <a href="https://x.example/?a=1&b=2">l</a>', "bold <x> l"),
    ("HTML", "<pre><code class='language-py'>1 &lt; 2</code></pre>", "1 < 2"),
    (
        "html",
        '<B>x</b><tg-spoiler>y</tg-spoiler><span class="tg-spoiler">z</span><blockquote expandable>q</blockquote>',
        "xyzq",
    ),
    ("Markdown", r"*bold* _it_ `co_de` [l](https://x.example/_a) \_ not", "bold it co_de l _ not"),
    ("Markdown", "```py\na_b*```", "py\na_b*"),
    ("MarkdownV2", r"*b _i __u__ ~s~ ||sp||_* \. [l](https://x.example/a\)b)", "b i u s sp . l"),
    ("MarkdownV2", "`a.b!c`\n>quoted\n```\nx=1;\n```", "a.b!c\nquoted\n\nx=1;\n"),
    ("", "<b *_[", "<b *_["),
]


@pytest.mark.parametrize(("mode", "text", "expected"), TAKEN)
def test_valid_markup_is_taken_off(mode: str, text: str, expected: str) -> None:
    assert plain(text, mode) == expected


REFUSED = [
    ("HTML", "1 < 2 and so on", "Unclosed start tag at byte offset 2"),
    ("HTML", "a <3 b> c", 'Unsupported start tag "3" at byte offset 2'),
    ("HTML", "<p>x</p>", 'Unsupported start tag "p" at byte offset 0'),
    ("HTML", "<b>x", 'Can\'t find end tag corresponding to start tag "b"'),
    ("HTML", "é</b>", "Unexpected end tag at byte offset 2"),
    ("HTML", "<b><i>x</b></i>", 'Unmatched end tag at byte offset 7, expected "</i>", found "</b>"'),
    ("HTML", "<span>x</span>", 'Tag "span" must have class "tg-spoiler" at byte offset 0'),
    ("Markdown", "snake_case", "Can't find end of the entity starting at byte offset 5"),
    ("Markdown", "[x", "Can't find end of the entity starting at byte offset 0"),
    ("MarkdownV2", "Done.", "Character '.' is reserved and must be escaped with the preceding '\\'"),
    ("MarkdownV2", "a-b", "Character '-' is reserved and must be escaped with the preceding '\\'"),
    ("MarkdownV2", "a > b", "Character '>' is reserved and must be escaped with the preceding '\\'"),
    ("MarkdownV2", "*x", "Can't find end of Bold entity at byte offset 0"),
    ("MarkdownV2", "é *_x*_", "Can't find end of Italic entity at byte offset 7"),
    ("MarkdownV2", "[x](http", "Can't find end of a URL at byte offset 4"),
]


@pytest.mark.parametrize(("mode", "text", "why"), REFUSED)
def test_invalid_markup_is_refused_in_the_real_servers_words(mode: str, text: str, why: str) -> None:
    with pytest.raises(BadCall) as caught:
        plain(text, mode)
    assert caught.value.description == f"Bad Request: can't parse entities: {why}"


def test_an_unknown_markup_is_refused() -> None:
    with pytest.raises(BadCall, match="unsupported parse_mode"):
        plain("x", "bbcode")


@given(st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_what_a_framework_escapes_always_passes(text: str) -> None:
    text = text.replace("\0", "")
    assert plain(f"<b>{html.escape(text)}</b>", "HTML") == text
    assert plain(f"*{escape_markdown(text, version=2)}*", "MarkdownV2") == text


@given(
    st.text(alphabet="_*[]()~`>#+-=|{}.!\\<>/abi &;\n\"'é", max_size=30),
    st.sampled_from(["HTML", "Markdown", "MarkdownV2"]),
)
@settings(max_examples=500, deadline=None)
def test_any_markup_is_taken_or_refused(text: str, mode: str) -> None:
    refused = None
    try:
        plain(text, mode)
    except BadCall as bad:
        refused = bad
    assert refused is None or refused.description.startswith("Bad Request: can't parse entities: ")
