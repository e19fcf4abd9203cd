"""What the agent reads from a source file."""

from pathlib import Path

from chaosbot.agent.code import Source, Word

TEXT = '''"""Docs."""
import re
from contextlib import suppress

TABLE = {"gin": 1}

@router.message(Command("grow"))
async def grow(message):
    """Says."""
    if message.text == "/Open Sesame" or message.chat["type"] in ("group", 7):
        return f"hello {message}"
    if re.match(r"a{2}b", message.text) and len(message.text) > 12:
        compare_digest(message.text, expected)

class Shop:
    def sell(self, text):
        try:
            text.removeprefix("vip-").endswith(b"!")
        except (KeyError, ValueError):
            pass
        try:
            self.sell(text)
            self.sell(text)
        except Exception:
            log()
        try:
            self.sell(text)
        except Exception:
            raise
        with suppress(LookupError):
            text[0]
'''


def source(tmp_path: Path) -> Source:
    (tmp_path / "bot.py").write_text(TEXT)
    return Source(str(tmp_path / "bot.py"))


def test_constants_are_told_with_what_the_code_does_with_them(tmp_path: Path) -> None:
    words = {(word.kind, word.value, word.function) for word in source(tmp_path).words}
    assert {
        ("command", "/grow", "grow"),
        ("command", "/Open Sesame", "grow"),
        ("equal", "group", "grow"),
        ("equal", 7, "grow"),
        ("key", "type", "grow"),
        ("name", "chat", "grow"),
        ("regex", "a{2}b", "grow"),
        ("length", 12, "grow"),
        ("equal", "gin", "<module>"),
        ("prefix", "vip-", "Shop.sell"),
        ("suffix", "!", "Shop.sell"),
    } <= words
    assert not any("hello" in str(value) or value in ("Docs.", "Says.") for _, value, _ in words)
    assert Word("equal", "group", 10, "grow") in source(tmp_path).words


def test_an_error_that_is_caught_by_its_name_is_told_from_one_that_is_caught_with_all_others(tmp_path: Path) -> None:
    read = source(tmp_path)
    line = TEXT.splitlines().index('            text.removeprefix("vip-").endswith(b"!")') + 1
    named = read.handler(line, {"KeyError", "LookupError", "Exception"})
    assert named is not None
    assert not named.broad
    assert read.handler(line, {"TypeError", "Exception"}) is None
    caught = read.handler(line + 4, {"TypeError", "Exception"})
    assert caught is not None
    assert caught.broad
    assert read.handler(line + 9, {"TypeError", "Exception"}) is None, "what raises again handles nothing"
    assert read.handler(line + 13, {"IndexError", "LookupError", "Exception"}) is not None


def test_lines_and_jumps_are_counted_by_function_and_comparisons_of_values_are_known(tmp_path: Path) -> None:
    read = source(tmp_path)
    assert set(read.lines) == {"<module>", "grow", "Shop", "Shop.sell"}
    assert {line for line, _, function in read.branches if function == "grow"} == {10, 12}
    assert read.compared == {13: {"compare_digest", "message", "expected"}}
