"""The gate: who knows the secret may come in.

Rules:
1. The header must be there exactly once. The comparison takes the same time however wrong the secret is.
2. Nothing else of the request is looked at before, and no byte of the body is read.
3. What cannot be a secret (empty, non-ASCII, too long) is a wrong secret, not an error.
"""

from __future__ import annotations

import hmac
from typing import Final
from urllib.parse import parse_qsl

from chaosbot.demo.bugs import Bug

HEADER: Final = b"x-telegram-bot-api-secret-token"


def knows_secret(headers: list[tuple[bytes, bytes]], query: bytes, secret: str | None, bugs: frozenset[Bug]) -> bool:
    """Tells whether a request carries the secret.

    Args:
        headers: All headers as they came, names in lower case.
        query: The query string, which only a bug looks at.
        secret: What is expected; None lets everybody in.
        bugs: Planted bugs.

    Returns:
        Whether to go on.
    """
    if secret is None:
        return True
    given = [value for name, value in headers if name == HEADER]
    if Bug.SECRET_IN_QUERY in bugs and not given:
        given = [v.encode() for _, v in parse_qsl(query.decode("latin-1")) if v == secret]  # BUG: queries get logged
    if len(given) != 1:
        return False
    if Bug.CRASH_ON_NON_ASCII_SECRET in bugs:
        hmac.compare_digest(given[0].decode("latin-1"), secret)  # BUG: text with a non-ASCII character raises
    if Bug.SECRET_PREFIX_ACCEPTED in bugs and given[0] and secret.encode().startswith(given[0]):
        return True  # BUG: the wrong way round, and too generous in either
    return hmac.compare_digest(given[0], secret.encode())
