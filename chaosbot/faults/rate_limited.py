"""A quota: so many exchanges pass in a period, the others get 429 with Retry-After.

A client that comes again before it may is noticed and the ledger says so: that is the defect that this fault is for. Calls
of the Bot API get its error object (``parameters.retry_after``), everything else a gateway's plain text. Telegram lets a bot send about 30 messages a second overall, 1 a second to one chat and
20 a minute to a group; ``by`` chooses what shares a quota.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect, Throttle
from chaosbot.core.exchange import Depth, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option
from chaosbot.faults._botapi import call_of

_WAIT: Final = ("retry-after", "{wait}")


@dataclass(frozen=True)
class RateLimited(Fault):
    """429 beyond a quota."""

    depth: ClassVar[Depth] = Depth.EXCHANGE

    quota: int = option("count", "exchanges that pass in a period", 30, primary=True)
    within: float = option("duration", "how long a period lasts", 1.0)
    by: str = option("text", "what shares a quota", "all", choices=("all", "path", "chat", "user"))

    def __post_init__(self) -> None:
        """Refuses a period of nothing."""
        if self.within <= 0:
            raise ValueError("within must be above 0")

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """One quota for this exchange's group."""
        call, facts = call_of(exchange), exchange.update
        known: dict[str, object] = {"path": exchange.path}
        if call is not None:
            known["chat"] = call.chat
        elif facts is not None:
            known |= {"chat": facts.chat, "user": facts.user}
        group = str(known.get(self.by, ""))
        if call is None:
            refused = b"Too many requests: wait for {wait} seconds\n"
            return (Throttle(self.quota, self.within, group, 429, (("content-type", "text/plain"), _WAIT), refused),)
        body = b'{"ok":false,"error_code":429,"description":"Too Many Requests: retry after {wait}",'
        body += b'"parameters":{"retry_after":{wait}}}'
        return (Throttle(self.quota, self.within, group, 429, (("content-type", "application/json"), _WAIT), body),)
