"""How Telegram delivers: queues, timeout, redelivery and expiry, as the Bot API server's source and documentation say.

| rule | value |
|---|---|
| acknowledgement | any 2xx; everything else is delivered again |
| pauses | none after the first failure, then 2, 4, 8 … s up to a random cap of 60 to 120 s; a ``Retry-After`` of up to 3600 s |
| timeout | 60 s for an answer |
| expiry | 24 h; callback, shipping and pre-checkout queries 150 s |
| order | one queue per chat, for callbacks and queries per user; serial inside, parallel across |
| connections | `max_connections`, 40 unless set |
| 410 | the webhook is closed |
"""

from __future__ import annotations

from typing import Final

from chaosbot.core.exchange import UpdateFacts
from chaosbot.core.journey import DeliveryRules

PER_USER: Final = frozenset(
    {
        "callback_query",
        "inline_query",
        "chosen_inline_result",
        "shipping_query",
        "pre_checkout_query",
        "purchased_paid_media",
    }
)

RULES: Final = DeliveryRules(
    connections=40,
    answer_wait_s=60.0,
    first_pause_s=0.0,
    base_s=2.0,
    cap_s=(60.0, 120.0),
    retry_after_cap_s=3600.0,
    expiry_s=86_400.0,
    short_expiry_s=150.0,
    short_kinds=frozenset({"callback_query", "shipping_query", "pre_checkout_query"}),
    final_statuses=frozenset({410}),
)


def queue_of(facts: UpdateFacts) -> str:
    """The queue that an update waits in."""
    if facts.kind in PER_USER:
        return f"user:{facts.user}"
    if facts.chat is not None:
        return f"chat:{facts.chat}"
    # Polls and the like belong to nobody's chat; the platform queues them apart.
    return f"kind:{facts.kind}:{facts.user}" if facts.user is not None else f"kind:{facts.kind}"
