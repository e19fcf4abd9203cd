"""Thousands of genuine deliveries of a platform, and forged ones made of them, for the vendors' own libraries to judge."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from chaosbot.core.dice import Dice
from chaosbot.core.kit import RawRequest
from chaosbot.core.platform import Endpoint, Platform
from chaosbot.core.shape import sample

HOST = "127.0.0.1:8080"


@dataclass(frozen=True)
class Received:
    """A request as a server sees it."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def of(cls, data: bytes) -> Received:
        """Reads a request; headers of one name are joined."""
        request = RawRequest.of(data)
        headers: dict[str, str] = {}
        for name, value in request.headers:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
        method, target, _ = request.line.decode().split(" ")
        return cls(method, target, headers, request.body)


TAMPERED: dict[str, Callable[[Platform, Endpoint, RawRequest, str], RawRequest]] = {
    "unsigned": lambda platform, _where, right, _foreign: right.without(platform.proof),
    "foreign": lambda platform, _where, right, foreign: right.with_header(platform.proof, foreign),
    "one-byte": lambda _platform, _where, right, _foreign: right.with_body(
        right.body[:-1] + bytes([right.body[-1] ^ 0x01])
    ),
    "cut": lambda _platform, _where, right, _foreign: right.with_body(right.body[: len(right.body) // 2]),
    "other-body": lambda platform, where, right, _foreign: right.with_body(
        RawRequest.of(
            platform.encode(where, platform.fresh(platform.golden(Dice(77))[platform.canary()], Dice(78)))
        ).body
    ),
    "long-ago": lambda platform, where, right, _foreign: RawRequest.of(
        platform.encode(replace(where, started=where.started - 86_400, now=0), right.body)
    ),
}
"""Ways of forging a genuine delivery."""
TIMELESS = frozenset({"github", "whatsapp", "messenger", "twilio", "discord"})
"""Platforms whose signatures do not grow old, or whose library leaves that to the receiver."""


def deliveries(platform: Platform, where: Endpoint) -> Iterator[tuple[bytes, str, bytes]]:
    """More than 3000 genuine deliveries, each with one way of forging it and the forged one; empty where it cannot be forged so."""
    elsewhere = replace(where, secret="whsec_" + "QmFk" * 8)
    shape = platform.shape()
    assert shape is not None
    count = 0
    for number in range(100):
        dice = Dice(5_000 + number)
        updates = [platform.fresh(sample(shape, dice.at(draw)), dice.at("fresh", draw)) for draw in range(30)]
        for update in (*updates, *platform.golden(dice).values()):
            data = platform.encode(where, update)
            if platform.proof.lower().encode() not in data.lower():
                continue  # a handshake
            right, foreign = (
                RawRequest.of(data),
                RawRequest.of(platform.encode(elsewhere, update)).header(platform.proof),
            )
            word = tuple(TAMPERED)[count % len(TAMPERED)]
            count += 1
            made = b""
            if word != "long-ago" or platform.name not in TIMELESS:
                made = TAMPERED[word](platform, where, right, (foreign or b"").decode("latin-1")).data
            yield data, word, made if made != data else b""
