"""Cases as shell lines that show them again without chaosbot."""

from __future__ import annotations

import re
from typing import Final

from chaosbot.core.case import Case, Ending, Reading
from chaosbot.transport.address import Address, bracketed

# One argument of a command line is at most 128 KiB on Linux.
MOST_LINE: Final = 64 * 1024
_REQUEST_LINE: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e]+) HTTP/1\.1")
_FIELD: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ ]?([^\s\0](?:[^\r\n\0]*[^\s\0])?)?")
# What curl adds unasked; taken out where the request has none.
_ADDED: Final = ("User-Agent", "Accept")


def quoted(data: bytes) -> str:
    """Bytes as one word of a POSIX shell, `$'…'` where it needs escapes (bash, zsh, ksh; POSIX.1-2024)."""
    if re.fullmatch(rb"[A-Za-z0-9_@%+=:,./-]+", data):
        return data.decode()
    if all(0x20 <= byte < 0x7F for byte in data):
        return "'" + data.decode().replace("'", "'\\''") + "'"
    return "$'" + "".join(_escape(byte, "'") for byte in data) + "'"


def _escape(byte: int, quote: str) -> str:
    named = {0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t", 0x5C: "\\\\"}
    if byte in named:
        return named[byte]
    if chr(byte) == quote:
        return "\\" + quote
    # Three octal digits always end the escape; \xHH would swallow hexadecimal digits that follow.
    return chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:03o}"


def _printf(data: bytes) -> str:
    """A printf command that writes exactly these bytes."""
    text = "".join("%%" if byte == 0x25 else "\\047" if byte == 0x27 else _escape(byte, "'") for byte in data)
    return f"printf '{text}'"


def curl_line(case: Case, address: Address) -> str | None:
    """A curl line that sends the same request; None where curl cannot express it.

    Curl speaks valid HTTP only: no timing, no broken framing, no NUL in an argument.
    """
    plain = case.ending is Ending.WAIT and case.reading is Reading.ALL
    if not plain or any(segment.pause_s for segment in case.segments) or len(case.request) > MOST_LINE:
        return None
    head, gap, body = case.request.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    first = _REQUEST_LINE.fullmatch(lines[0])
    fields = [_FIELD.fullmatch(line) for line in lines[1:]]
    if first is None or not gap or not all(fields) or not first[2].startswith(b"/") or b"\0" in body:
        return None
    headers = [(field[1], field[2] or b"") for field in fields if field is not None]
    names = [name.lower() for name, _ in headers]
    lengths = [value for name, value in headers if name.lower() == b"content-length"]
    if lengths != ([b"%d" % len(body)] if lengths or body else []) or b"transfer-encoding" in names:
        return None
    if names.count(b"host") != 1:
        return None
    words = ["curl", "-sS", "-i", "--http1.1", "--path-as-is"]
    if address.tls and not address.trust.verify:
        words.append("-k")
    if address.tls and address.trust.ca_file:
        words += ["--cacert", quoted(address.trust.ca_file.encode())]
    words += _own_certificate(address, "--cert", "--key")
    words += ["--unix-socket", quoted(address.host.encode())] if address.on_socket else []
    words += ["--head"] if first[1] == b"HEAD" else ["-X", quoted(first[1])]
    for name, value in headers:
        if name.lower() == b"content-length" and body:
            continue
        if name.lower() == b"host" and value == address.authority.encode():
            continue
        words += ["-H", quoted(name + b": " + value if value else name + b";")]
    added = (*_ADDED, "Content-Type") if body else _ADDED
    for name in added:
        if name.lower().encode() not in names:
            words += ["-H", quoted(f"{name}:".encode())]
    if body:
        # A leading @ would name a file.
        words += ["--data-raw", quoted(body)]
    words.append(quoted(address.origin.encode() + first[2]))
    return " ".join(words)


def raw_line(case: Case, address: Address, *, file: str = "") -> str | None:
    """A line that sends exactly these bytes with their pauses through netcat (or openssl for TLS).

    Args:
        case: What to send.
        address: Where to.
        file: A file that holds the request's bytes; it is used when the case has no timing.

    Returns:
        None when the case is too long for a line and no file holds it, or when it ends in a way that netcat cannot (RST).
    """
    if case.ending is Ending.RESET:
        return None
    timed = any(segment.pause_s for segment in case.segments)
    if file and not timed:
        source = f"cat {quoted(file.encode())}"
    elif len(case.request) <= MOST_LINE:
        steps = []
        for segment in case.segments:
            if segment.pause_s:
                steps.append(f"sleep {segment.pause_s:g}")
            if segment.data:
                steps.append(_printf(segment.data))
        source = "; ".join(steps) or "true"
    else:
        return None
    # Netcat ends with its input; a moment of sleep keeps it reading.
    wait = "" if case.ending in (Ending.HALF_CLOSE, Ending.CLOSE) else "; sleep 5"
    host = quoted(address.host.encode())
    if address.tls:
        peer = address.host if address.on_socket else f"{bracketed(address.host)}:{address.port}"
        way = "-unix" if address.on_socket else "-connect"
        own = "".join(f" {word}" for word in _own_certificate(address, "-cert", "-key"))
        sink = f"openssl s_client -quiet {way} {quoted(peer.encode())}{own} 2>/dev/null"
    else:
        peer = f"-U {host}" if address.on_socket else f"{host} {address.port}"
        sink = f"nc {'-N ' if case.ending is Ending.HALF_CLOSE else ''}{peer}"
    return f"( {source}{wait} ) | {sink}"


def _own_certificate(address: Address, certificate: str, key: str) -> list[str]:
    """The words that show the client's certificate, with the options' names."""
    files = ((certificate, address.trust.cert_file), (key, address.trust.key_file))
    return [word for option, file in files if address.tls and file for word in (option, quoted(file.encode()))]
