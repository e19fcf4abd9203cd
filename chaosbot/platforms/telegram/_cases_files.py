"""files: what a bot is told about a file is no promise. Bounded, a safe name, a friendly failure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from chaosbot.core.case import Case
from chaosbot.core.kit import accepted, broken
from chaosbot.platforms.telegram._case_kit import MARK, Pen
from chaosbot.platforms.telegram._parts import document, photos, voice


def cases(pen: Pen) -> Iterator[Case]:
    """All cases of this group; a person chooses names and types, the platform the rest."""
    names: dict[str, tuple[str, str]] = {
        "upwards": ("../../../../tmp/chaosbot", "a path upwards"),
        "absolute": ("/etc/cron.d/chaosbot", "an absolute path"),
        "windows": ("..\\..\\chaosbot.exe", "a path upwards with backslashes"),
        "drive": ("C:\\chaosbot.exe", "a drive"),
        "device": ("CON", "a device of Windows"),
        "dots": ("..", "two dots"),
        "dot": (".", "a dot"),
        "hidden": (".bashrc", "a hidden file"),
        "empty": ("", "nothing"),
        "nul": ("a.pdf\x00.exe", "a NUL"),
        "lines": ("a\r\nSet-Cookie: b.pdf", "line ends"),
        "bidi": ("a\u202efdp.exe", "a direction override"),
        "long": ("x" * 5_000 + ".pdf", "5000 characters"),
        "encoded": ("..%2f..%2fchaosbot", "an encoded path"),
        "shell": ("$(id);`id`|id.pdf", "what a shell reads"),
        "option": ("--output=chaosbot", "an option"),
        "html": ("<img src=x onerror=alert(1)>.pdf", "HTML"),
        "emoji": ("отчёт 🙂.pdf", "Cyrillic and an emoji"),
        "double": ("report.pdf.exe", "two endings"),
        "zip": ("bomb.zip", "an archive's ending"),
    }
    for word, (given, what) in names.items():
        name = f"files/name-{word}"
        base = pen.media(name, MARK, document=document(pen.place(name)) | {"file_name": given})
        yield pen.case(name, base, f"a document whose name is {what}", accepted())
    types: dict[str, tuple[str | None, str]] = {
        "mismatch": ("image/png", "of another type than its name says"),
        "html": ("text/html", "of HTML"),
        "script": ("application/x-sh", "of a script"),
        "empty": ("", "of no type"),
        "absent": (None, "without a type"),
        "garbage": ("a/b/c; ;=", "of a garbled type"),
        "lines": ("text/plain\r\nX-Injected: 1", "of a type with line ends"),
        "long": ("a/" + "b" * 5_000, "of a type of 5000 characters"),
    }
    for word, (type_, what) in types.items():
        name = f"files/type-{word}"
        content = {
            key: value for key, value in (document(pen.place(name)) | {"mime_type": type_}).items() if value is not None
        }
        yield pen.case(name, pen.media(name, MARK, document=content), f"a document {what}", accepted())
    yield from _sizes(pen)
    yield from _ids(pen)
    yield from _lists(pen)


def _sizes(pen: Pen) -> Iterator[Case]:
    sizes: dict[str, tuple[Any, str, bool]] = {
        "limit": (20 * 1024 * 1024, "just 20 MB, as much as a bot may download", True),
        "over": (20 * 1024 * 1024 + 1, "a byte over 20 MB", True),
        "2gb": (2**31, "2 GB", True),
        "4gb": (2**32 + 5, "4 GB, the most that Telegram keeps", True),
        "zero": (0, "0", True),
        "absent": (None, "not given", True),
        "negative": (-1, "negative", False),
        "huge": (2**63, "beyond 63 bits", False),
        "string": ("183220", "a text", False),
        "fraction": (1.5, "a fraction", False),
        "list": ([1], "a list", False),
    }
    makers = {"voice": voice, "document": document}
    for word, (size, what, valid) in sizes.items():
        for kind, make in makers.items():
            if kind == "voice" and word not in ("over", "zero", "huge", "string"):
                continue
            name = f"files/size-{word}-{kind}"
            content = make(pen.place(name)) | {"file_size": size}
            if size is None:
                del content["file_size"]
            members: dict[str, Any] = {kind: content}
            base = pen.media(name, MARK, **members)
            yield _file(pen, name, base, f"a {kind} whose size is {what}", valid=valid)


def _file(pen: Pen, name: str, base: Any, summary: str, *, valid: bool) -> Case:
    if valid:
        return pen.case(name, base, summary, accepted())
    return pen.case(name, base, summary, broken(), threat=pen.kit.intruder)


def _ids(pen: Pen) -> Iterator[Case]:
    ids: dict[str, tuple[Any, str]] = {
        "empty": ("", "empty"),
        "upwards": ("../../getMe", "a path"),
        "query": ("abc?x=1&token=2#f", "with a query"),
        "lines": ("abc\r\nHost: evil.example", "with line ends"),
        "long": ("A" * 10_000, "of 10 000 characters"),
        "url": ("http://127.0.0.1:9/chaosbot", "a URL"),
        "number": (7, "a number"),
        "null": (None, "null"),
        "object": ({"id": 1}, "an object"),
        "expired": ("AgADBAADchaosbotexpired", "one that has expired"),
        "pathless": ("cbpathless1", "one of a file that has no file_path"),
    }
    for word, (value, what) in ids.items():
        name = f"files/id-{word}"
        base = pen.media(name, MARK, voice=voice(pen.place(name)) | {"file_id": value})
        valid = word in ("expired", "pathless")
        yield _file(pen, name, base, f"a voice whose file_id is {what}", valid=valid)


def _lists(pen: Pen) -> Iterator[Case]:
    def photo(word: str, what: str, value: Any, *, valid: bool = False) -> Case:
        name = f"files/photo-{word}"
        return _file(pen, name, pen.media(name, MARK, photo=value), f"a photo {what}", valid=valid)

    sizes = photos(pen.place("files/photo"))
    yield photo("empty", "without sizes", [])
    yield photo("one", "in one size", sizes[:1], valid=True)
    yield photo("many", "in 200 sizes", sizes * 66)
    yield photo("object", "that is no list", sizes[0])
    yield photo("nulls", "whose sizes are null", [None, None])
    yield photo("lists", "whose sizes are lists", [sizes])
    yield photo("zero", "of no width", [sizes[0] | {"width": 0, "height": 0}])
    yield photo("negative", "of a negative width", [sizes[0] | {"width": -1}])
    yield photo("unsorted", "whose largest size comes first", sizes[::-1], valid=True)
    for word, value in {"zero": 0, "negative": -5, "huge": 2**40, "text": "long"}.items():
        name = f"files/duration-{word}"
        base = pen.media(name, MARK, voice=voice(pen.place(name)) | {"duration": value})
        yield _file(pen, name, base, f"a voice whose duration is {value}", valid=word == "zero")
