"""Files of the Bot API mock: made up when they are sent, described by their ids, generated when they are downloaded.

Rules: a file id and a file path carry kind and size, so that any worker serves any download without shared state; content is
generated, begins as files of its kind do (enough for type sniffers) and is never stored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final
from zlib import crc32

from chaosbot.mocks.telegram.call import ApiCall, BadCall

DEFAULT_FILE: Final = 4096
MOST_DOWNLOAD: Final = 20 * 1024 * 1024
"""A bot downloads at most 20 MB (Bot API, getFile)."""

_OWN_FILE: Final = re.compile(r"cbfile-([a-z_]+)-([0-9]{1,12})-([0-9]+)")
_PATHLESS: Final = "cbpathless"
"""A file whose id begins so cannot be downloaded: its description has no path, which the Bot API allows."""
_OWN_PATH: Final = re.compile(r"([a-z_]+)/([0-9]{1,8})/file_[0-9]+\.[a-z0-9]+")

# Where files of each kind lie, their extension and how such a file begins (enough for type sniffers).
FILES: Final[dict[str, tuple[str, str, bytes]]] = {
    "photo": ("photos", "jpg", b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"),
    "voice": ("voice", "oga", b"OggS\x00\x02" + bytes(20) + b"\x01\x13OpusHead\x01\x01"),
    "audio": ("music", "mp3", b"ID3\x04\x00\x00\x00\x00\x00\x00"),
    "document": ("documents", "pdf", b"%PDF-1.4\n"),
    "video": ("videos", "mp4", b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp42"),
    "animation": ("animations", "mp4", b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp42"),
    "video_note": ("video_notes", "mp4", b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp42"),
    "live_photo": ("live_photos", "mp4", b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp42"),
    "sticker": ("stickers", "webp", b"RIFF\x00\x00\x00\x00WEBPVP8 "),
}
_FILLER: Final = bytes(range(256)) * 16


def file_of(kind: str, call: ApiCall, ids: Iterator[int], source: Any = None) -> dict[str, Any]:
    """The file that a call sends: an upload, one of ours by id, or a foreign id or URL of a nominal size."""
    source = call.params.get(kind) if source is None else source
    upload = call.files.get(kind)
    if isinstance(source, str) and source.startswith("attach://"):
        upload = call.files.get(source.removeprefix("attach://"))
    size, known = (upload.size if upload else DEFAULT_FILE), None
    if isinstance(source, str) and upload is None:
        known = _OWN_FILE.fullmatch(source)
        size = int(known[2]) if known else DEFAULT_FILE
    number = known[3] if known else str(next(ids))
    file_id = known[0] if known else f"cbfile-{kind}-{size}-{number}"
    found: dict[str, Any] = {"file_id": file_id, "file_unique_id": f"cbu{number}", "file_size": size}
    if upload is not None and kind in ("document", "audio", "video", "animation"):
        found |= {"file_name": upload.name} | ({"mime_type": upload.content_type} if upload.content_type else {})
    return found


def photo_of(call: ApiCall, ids: Iterator[int], source: Any = None) -> list[dict[str, Any]]:
    """A photo in its one size."""
    return [file_of("photo", call, ids, source) | {"width": 320, "height": 240}]


def sized_file(kind: str, call: ApiCall, ids: Iterator[int], source: Any = None) -> dict[str, Any]:
    """A file with the measures that its kind has."""
    found = file_of(kind, call, ids, source)
    match kind:
        case "video" | "animation" | "live_photo":
            found |= {"width": 320, "height": 240, "duration": call.integer("duration") or 1}
        case "video_note":
            found |= {"length": call.integer("length") or 240, "duration": call.integer("duration") or 1}
        case "voice" | "audio":
            found |= {"duration": call.integer("duration") or 1}
        case "sticker":
            found |= {"type": "regular", "width": 512, "height": 512, "is_animated": False, "is_video": False}
        case _:
            pass
    return found


def media_of(kind: str, call: ApiCall, ids: Iterator[int], source: Any = None) -> Any:
    """What stands in a message under the name of this kind: sizes for a photo, one file for the others."""
    return photo_of(call, ids, source) if kind == "photo" else sized_file(kind, call, ids, source)


def describe_file(file_id: str) -> dict[str, Any]:
    """A File with its path, which carries the size too."""
    known = _OWN_FILE.fullmatch(file_id)
    kind, size = (known[1], int(known[2])) if known else ("document", DEFAULT_FILE)
    if size > MOST_DOWNLOAD:
        raise BadCall(400, "Bad Request: file is too big")
    number = known[3] if known else str(crc32(file_id.encode("utf-8", "surrogatepass")))
    folder, extension, _ = FILES.get(kind, FILES["document"])
    path = {} if file_id.startswith(_PATHLESS) else {"file_path": f"{folder}/{size}/file_{number}.{extension}"}
    return {"file_id": file_id, "file_unique_id": f"cbu{number}", "file_size": size, **path}


def content_of(path: str) -> tuple[str, bytes] | None:
    """Content type and bytes behind a file path; None when it is no path of ours."""
    known = _OWN_PATH.fullmatch(path)
    if known is None or int(known[2]) > MOST_DOWNLOAD:
        return None
    kind = next((start for folder, _, start in FILES.values() if folder == known[1]), None)
    if kind is None:
        return None
    size = int(known[2])
    return "application/octet-stream", (kind + _FILLER * (size // len(_FILLER) + 1))[:size]
