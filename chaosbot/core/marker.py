"""Markers: unique words planted in texts, which join what was sent to what the bot did afterwards.

Every driver plants them, the mock and the platforms read them back; a join by marker holds where a join by time would guess.
"""

from __future__ import annotations

import re
from typing import Final
from zlib import crc32

from chaosbot.core.dice import Dice

# Letters and digits only: a marker must survive every platform's parsing, a URL, a file name and a log line. No word of any
# language begins so, and the length keeps two of them apart in any run.
MARKER: Final = re.compile(r"cbm[0-9a-f]{12}(?![0-9a-f])")
ANSWER: Final = re.compile(r"cba[se][0-9a-f]{8}(?![0-9a-f])")
"""What the answer of a mocked model begins with (``cbas…``) and ends with (``cbae…``)."""


_LETTERS: Final = "bcdfghjklmnpqrstvwxz"


def plain_word(dice: Dice) -> str:
    """The word at this place in the tree of chance: it stands nowhere else either, and is no marker, so that it joins nothing by itself."""
    return "qu" + "".join(_LETTERS[dice.at(str(nth)).integer(0, len(_LETTERS) - 1)] for nth in range(8))


def marker(dice: Dice) -> str:
    """The marker at this place in the tree of chance."""
    return "cbm" + dice.at("marker").token(12)


def markers_in(text: str) -> tuple[str, ...]:
    """All markers in a text, in order, each once."""
    return tuple(dict.fromkeys(MARKER.findall(text)))


def digest(text: str) -> str:
    """A few digits by which a text is known again, whatever markers stand in it."""
    return f"{crc32(' '.join(MARKER.sub(' ', text).split()).encode(errors='replace')):08x}"


def answer_marks_in(text: str) -> tuple[str, ...]:
    """The marks of models' answers in a text, in order, repetitions included."""
    return tuple(ANSWER.findall(text))
