"""Which inbound requests are deliveries of a platform, shared by the faults that act on them."""

from __future__ import annotations

from typing import Final

from chaosbot.core.exchange import Direction, Exchange

DELIVERIES: Final = (
    "for deliveries to the webhook (POST requests); health checks and other requests are never sent again or changed"
)


def is_delivery(exchange: Exchange) -> bool:
    """Whether a platform's sender could have sent it: platforms deliver by POST."""
    return exchange.direction is Direction.INBOUND and exchange.method.upper() == "POST"
