"""Webhooks with signed bodies: Standard Webhooks, GitHub's, Stripe's and Slack's way of signing.

| style | header | signed | timestamp |
|---|---|---|---|
| standard | ``webhook-signature: v1,<base64>`` … separated by blanks | ``id.timestamp.body`` | ``webhook-timestamp``, 5 min |
| github | ``X-Hub-Signature-256: sha256=<hex>`` | ``body`` | none |
| stripe | ``Stripe-Signature: t=<time>,v1=<hex>`` … | ``timestamp.body`` | ``t``, 5 min |
| slack | ``X-Slack-Signature: v0=<hex>`` | ``v0:timestamp:body`` | ``X-Slack-Request-Timestamp``, 5 min |

Everything is HMAC-SHA256. A secret that starts with ``whsec_`` is base64 behind that, as Standard Webhooks has it. The time comes
from the endpoint, never from a clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import orjson

from chaosbot.core.case import Case
from chaosbot.core.dice import Dice
from chaosbot.core.exchange import UpdateFacts
from chaosbot.core.kit import Kit
from chaosbot.core.marker import markers_in
from chaosbot.core.platform import EPOCH, Endpoint, Platform
from chaosbot.core.registry import option
from chaosbot.core.shape import Object, OneOf, Shape
from chaosbot.platforms._generic import delivery_id, dumps, inferred, marker_place, parsed, post, renew
from chaosbot.platforms._resigning import resigned
from chaosbot.platforms._signatures import STYLES, style_named
from chaosbot.platforms._signed_cases import cases


@dataclass(frozen=True)
class StandardWebhooks(Platform):
    """Signed webhooks."""

    signs: ClassVar[bool] = True

    style: str = option("text", "whose way of signing", "standard", choices=tuple(STYLES))
    sample: Any = option("json", "a valid body, as JSON, instead of the style's own events", None)  # noqa: RUF009 - frozen field

    def __post_init__(self) -> None:
        """Refuses an unknown style, and a sample that is no JSON."""
        style_named(self.style)
        object.__setattr__(self, "sample", parsed("sample", self.sample))

    @property
    def proof(self) -> str:
        """The signature's header."""
        return STYLES[self.style].header

    @property
    def described(self) -> bool:
        """A few events say what bodies may look like, not what each member may be."""
        return False

    def _events(self) -> dict[str, Any]:
        return STYLES[self.style].events(EPOCH) if self.sample is None else {"sample": self.sample}

    def facts(self, method: str, path: str, headers: tuple[tuple[str, str], ...], body: bytes) -> UpdateFacts | None:
        """Delivery id (of the header, or else of the body), kind and marker."""
        del path
        if method != "POST" or len(body) > 1 << 20:
            return None
        try:
            root = orjson.loads(body)
        except orjson.JSONDecodeError:
            return None
        if not isinstance(root, dict):
            return None
        named = dict(headers)
        found = markers_in(body.decode("utf-8", "replace"))
        kind = root.get("type") or named.get("x-github-event") or root.get("action")
        event = root.get("event")
        if self.style == "slack" and isinstance(event, dict):
            kind = event.get("type", kind)
        return UpdateFacts(
            update_id=named.get(STYLES[self.style].id_header) or delivery_id(root),
            kind=kind if isinstance(kind, str) else None,
            marker=found[0] if found else None,
        )

    def encode(self, endpoint: Endpoint, update: Any) -> bytes:
        """A signed POST; bytes are signed and sent as they are."""
        body = dumps(update)
        return post(endpoint, body, STYLES[self.style].headers(endpoint.secret, endpoint.time, body))

    def resigned(self, secret: str, before: bytes, after: bytes, later_s: int = 0) -> bytes | None:
        """Renews id, timestamp and signature where they were right."""
        return resigned(STYLES[self.style], secret, before, after, later_s) if secret else after

    def golden(self, dice: Dice) -> dict[str, Any]:
        """A few events as the style's platform sends them, or the sample."""
        return {name: renew(event, dice.at("golden", name)) for name, event in self._events().items()}

    def shape(self) -> Shape:
        """Bodies like the golden ones."""
        return OneOf(tuple(inferred(event) for event in self._events().values()) or (Object(),))

    def fresh(self, update: Any, dice: Dice) -> Any:
        """The same event with an id and marker of its own."""
        return renew(update, dice)

    def say(self, text: str, dice: Dice, *, tier: str = "", user: int | None = None, kind: str = "") -> Any:
        """The first event with this text in it; None where tiers or other kinds are asked for."""
        if tier or user is not None or kind:
            return None
        event = next(iter(self._events().values()))
        path = marker_place(event)
        return renew(event, dice, {path: text}) if path else None

    def catalogue(self, endpoint: Endpoint, dice: Dice) -> tuple[Case, ...]:
        """Forged, garbled, stale and replayed signatures."""
        if not endpoint.secret:
            return ()
        return tuple(cases(Kit(self, endpoint, dice), STYLES[self.style]))
