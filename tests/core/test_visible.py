"""What cannot be seen is written out, and nothing else changes."""

import io
import json

import pytest
from rich.table import Table
from rich.text import Text

from chaosbot.cli._console import make_console
from chaosbot.core.visible import one_line, visible

HOSTILE = "a\x1b[31mb\x9b2Jc\u202ed\x07e\rf\u2066\x7f"
SHOWN = r"a\x1b[31mb\u009b2Jc\u202ed\x07e\x0df\u2066\u007f"


def test_control_characters_and_marks_of_direction_are_written_out() -> None:
    assert visible(HOSTILE) == SHOWN
    assert visible("é 日本 👩\u200d👩 [b]\\x1b") == "é 日本 👩\u200d👩 [b]\\x1b"
    assert visible("two\nlines\tand a tab") == "two\nlines\tand a tab"
    assert one_line("two\nlines\tand\r\x1b") == r"two\nlines\tand\x0d\x1b"


def test_json_means_the_same_afterwards() -> None:
    text = json.dumps({"said": HOSTILE}, ensure_ascii=False, indent=1)
    assert json.loads(visible(text)) == {"said": HOSTILE}
    assert not {"\x1b", "\x9b", "\u202e", "\x7f"} & set(visible(text))


@pytest.mark.parametrize("terminal", [True, False])
def test_whatever_a_console_prints_shows_foreign_control_characters(*, terminal: bool) -> None:
    out = io.StringIO()
    colours = "standard" if terminal else None
    console = make_console(file=out, force_terminal=terminal, color_system=colours, width=200, highlight=False)
    table = Table("head")
    table.add_row(HOSTILE)
    for foreign in (HOSTILE, Text(HOSTILE, style="red"), table):
        console.print(foreign)
    printed = out.getvalue()
    assert printed.count(r"a\x1b[31mb\u009b2Jc\u202ed") == 3
    assert not {"\x9b", "\u202e", "\u2066", "\x7f"} & set(printed)
    assert "\x1b[31mb" not in printed
