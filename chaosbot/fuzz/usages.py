"""How a command is used, as the target's own texts show it: ``/mute <user id> <minutes>``, ``/book DD.MM.YYYY``, ``/spent 12.50 pizza``.

Rules:

- What stands in brackets, in capitals or in the letters of a form (``GG.AA.YYYY``, in any language) is asked for, and filled by what it asks
  for; everything else is an example and said as it is.
- What a place asks for is read from its form first, then from a few words that most languages write alike; who uses it may fill all
  places otherwise (`Usage.fillings`), since a word says little.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final

from chaosbot.core.marker import MARKER

TEXT: Final = "green tea"
NUMBER: Final = "7"
_WORD: Final = "tea"
_SOON_DAYS: Final = 3
_DAYS: Final = 7
_WEEKEND: Final = 5
_FORMS: Final = {
    re.compile(r"(?<!\w)[^\W\d]{2}(?P<sep>[./-])[^\W\d]{2}(?P=sep)[^\W\d]{4}(?!\w)"): "%d-%m-%Y",
    re.compile(r"(?<!\w)[^\W\d]{4}(?P<sep>[./-])[^\W\d]{2}(?P=sep)[^\W\d]{2}(?!\w)"): "%Y-%m-%d",
    re.compile(r"(?<![\w./-])(?P<m>[mм])(?P=m)(?P<sep>[./-])(?P<d>[^\W\d])(?P=d)(?![\w./-])", re.IGNORECASE): "%m-%d",
    re.compile(
        r"(?<![\w./-])(?P<d>[^\W\dmм])(?P=d)(?P<sep>[./-])(?P<m>[^\W\d])(?P=m)(?![\w./-])", re.IGNORECASE
    ): "%d-%m",
}
_TIME: Final = re.compile(r"(?<![\w/])[^\W\d]{1,2}:[^\W\d]{2}(?!\w)")
_BEHIND: Final = r"(?<![\w/.:]){}(?:@\w+)?[ \u00a0]+((?:[^\n/]|(?<=\S)/)+)"
"""What stands behind a command, up to the next one."""
_MARKUP: Final = re.compile(r"</?(?:b|strong|i|em|u|ins|s|code|pre)>|`")
_CHOICES: Final = re.compile(r"(?<!\w)\w++(?: ?[|/] ?\w++)+")
_TOKEN: Final = re.compile(
    r"<([^<>]{1,80})>|\[([^\[\]]{1,80})\]|\{([^{}]{1,80})\}|([«“„\"'][^«»“”„\"']{1,80}[»”\"'])|(\S+)"
)
_BETWEEN: Final = re.compile(r"[|;,+/=]|[-=]>")
"""What stands between places, and is none."""
_OVER: Final = {True: re.compile(r"[:–—•→-]|\(.*"), False: re.compile(r"[:–—=•→-]|\(.*")}
"""Where the usage is over and the text goes on, read as late as may be (``cat = gato``) or as early."""
_ENDS: Final = {True: re.compile(r"[.。)\]>!]+\Z"), False: re.compile(r"[,;.:、。)\]>!]+\Z")}
_END: Final = re.compile(r"[,;.:、。)\]>!]+\Z")
_CAPITALS: Final = re.compile(r"[^\W\d_]{2,}(?:_[^\W\d_]+)*")
_NUMERIC: Final = re.compile(
    r"[#№]|\b(?:ids?|no|nr|n|x|num\w*|núm\w*|numéro|nummer|zahl|anzahl|user\w*|member|count|amount|sum|price|quantity|page|"
    r"minut\w*|hours?|seconds?|sec|days|betrag|kwota|liczba|cantidad|importe|monto|montant|номер\w*|сумм\w*|числ\w*|минут\w*|"
    r"кол\w*|sayı\w*|tutar\w*|dakika\w*|numara\w*)\b|[番数号円]",
    re.IGNORECASE,
)
RANGE: Final = re.compile(r"(?<![\w.,:/-])(\d{1,4})\s?(?:[-–—~]|\.\.|[^\W\d]{1,3})\s?(\d{1,4})(?![\w.,:/-]*\d)")
"""From which number to which, as texts write it: ``1–12``, ``1..12``, ``1 to 12``."""
_DAY: Final = re.compile(r"\b(?:dates?|day|datum|tag|fecha|data|jour|дата|день|tarih|gün)\b|日", re.IGNORECASE)
_HOUR: Final = re.compile(r"\b(?:time|hh|uhrzeit|zeit|hora|godzina|heure|время|saat)\b|時", re.IGNORECASE)


@dataclass(frozen=True)
class Usage:
    """What may stand behind a command.

    Args:
        parts: What is said, part by part, what stands between places among it.
        open: Which parts fill a place that asks for something; the others are examples.
    """

    parts: tuple[str, ...]
    open: tuple[int, ...] = ()

    def __str__(self) -> str:
        """The whole argument."""
        return " ".join(part for part in self.parts if part)

    @property
    def places(self) -> tuple[int, ...]:
        """The parts that may be changed."""
        return tuple(nth for nth, part in enumerate(self.parts) if re.search(r"\w", part))

    def with_part(self, nth: int, text: str) -> Usage:
        """The usage with another part; empty leaves it out."""
        return replace(self, parts=(*self.parts[:nth], text, *self.parts[nth + 1 :]))

    def fillings(self) -> list[Usage]:
        """The usage as it is, and with its open places filled otherwise, in case its words were misunderstood."""
        others = [
            replace(self, parts=tuple(text if nth in self.open else part for nth, part in enumerate(self.parts)))
            for text in (NUMBER, _WORD, _day("%d.%m.%Y"), _day("%Y-%m-%d"))
            if self.open
        ]
        return list(dict.fromkeys([self, *others]))


def usages(command: str, texts: str) -> list[Usage]:
    """What texts show behind a command (with its slash), the first shown first."""
    found = (_usage(rest, late=late) for rest in _behind(command, texts) for late in (True, False))
    return [one for one in dict.fromkeys(found) if one.places and not MARKER.search(str(one))]


def choices(command: str, texts: str) -> list[str]:
    """What texts let one choose behind a command, with ``{}`` for its other place: ``user viewer|lead`` → ``{} viewer``, ``{} lead``."""
    found: list[str] = []
    for rest in _behind(command, texts):
        if named := _CHOICES.search(rest):
            form = "{} %s" if re.search(r"\w", rest[: named.start()]) else "%s {}"
            found += [form % word for word in re.findall(r"\w+", named[0])]
    return list(dict.fromkeys(found))


def _behind(command: str, texts: str) -> list[str]:
    plain = html.unescape(_MARKUP.sub("", texts))
    return re.findall(_BEHIND.format(re.escape(command)), plain, re.IGNORECASE)


def formed(text: str, choice: int = 0) -> Iterator[str]:
    """Answers in the forms that a text asks for: a day (``DD.MM.YYYY``, in any language's letters) or a time (``HH:MM``).

    Args:
        text: The text.
        choice: Which of the next days; who chooses otherwise takes nobody's place.
    """
    for form, meant in _FORMS.items():
        found = dict.fromkeys(one["sep"] for one in form.finditer(text))
        yield from (_day(meant.replace("-", sep), choice) for sep in found)
    if _TIME.search(text):
        yield "10:00"


def _day(form: str, choice: int = 0) -> str:
    """A day soon, but not on a weekend."""
    soon = date.today() + timedelta(days=_SOON_DAYS)  # noqa: DTZ011 - what people write has no zone
    days = (soon + timedelta(days=number) for number in range(2 * _DAYS))
    return [day for day in days if day.weekday() < _WEEKEND][choice % _DAYS].strftime(form)


def _usage(rest: str, *, late: bool) -> Usage:
    parts: list[str] = []
    opened: list[int] = []
    tokens = _TOKEN.findall(rest)
    for nth, (angle, square, brace, quoted, bare) in enumerate(tokens):
        asked, over = angle or square or brace, False
        if not asked:
            if _OVER[late].fullmatch(bare):
                break
            word = quoted[1:-1] if quoted else _ENDS[late].sub("", bare)
            over = not quoted and word != bare
            if not word:
                break
            if any(formed(word)) or (_CAPITALS.fullmatch(_END.sub("", word)) and word.isupper()):
                asked = _END.sub("", word)
            elif late and opened and nth == len(tokens) - 1 and word.isalpha():
                asked = word  # one more, in small letters, and the line is over
            elif opened and not (word.isdigit() or _BETWEEN.fullmatch(word) or _BETWEEN.fullmatch(parts[-1])):
                break  # behind what is asked for the text goes on
            else:
                parts.append(word)
        if asked:
            opened.append(len(parts))
            parts.append(_filled(asked))
        if over:
            break
    if parts and len(parts) - 1 not in opened:
        parts[-1] = _END.sub("", parts[-1]) or parts[-1]
    elif parts and parts[-1] == _WORD:
        parts[-1] = TEXT  # nothing comes behind it that its second word could be taken for
    return Usage(tuple(parts), tuple(opened))


def _filled(asked: str) -> str:
    """What a place gets that asks for this."""
    form = next(formed(asked), None)
    if form is not None:
        return form
    choices = re.split(r"\s*[|/]\s*", asked)
    if len(choices) > 1:
        return choices[0].strip()
    if _NUMERIC.search(asked):
        return NUMBER
    if _DAY.search(asked):
        return _day("%Y-%m-%d")
    return "10:00" if _HOUR.search(asked) else _WORD
