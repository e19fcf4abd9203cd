"""The target acts, but its acknowledgement never arrives.

The classic of exactly-once: the bot has handled the update (sent the message, taken the money) and the sender sees a failure, so
it delivers the same update again. A bot that does not remember ``update_id`` does everything twice; aiogram,
python-telegram-bot, grammY and Telegraf all run a repeated ``update_id`` twice by default. Without a status the connection
is closed instead of the answer; with one (``lost_ack:504``) a gateway's answer takes its place, and an answer that
streams is held until it has ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Answer, Effect, Farewell, HangUp, Point
from chaosbot.core.exchange import Depth, Exchange
from chaosbot.core.fault import Fault
from chaosbot.core.registry import option
from chaosbot.faults._words import ENDS


@dataclass(frozen=True)
class LostAck(Fault):
    """The upstream acts, the sender sees a failure."""

    depth: ClassVar[Depth] = Depth.EXCHANGE

    status: int = option(
        "count", "status that the sender sees; 0 closes the connection without an answer", 0, primary=True
    )
    farewell: str = option("text", "how the connection ends when there is no status", "fin", choices=ENDS)

    def __post_init__(self) -> None:
        """Refuses an acknowledgement as the sign of a lost one."""
        if self.status and not 300 <= self.status <= 599:
            raise ValueError(f"status {self.status} would be an acknowledgement; choose one from 300 to 599, or 0")

    def effects(self, dice: Dice, exchange: Exchange) -> tuple[Effect, ...]:
        """The answer is lost after the upstream acted."""
        if self.status:
            return (Answer(Point.AFTER, self.status, (("content-type", "text/plain"),), b"the answer was lost\n"),)
        return (HangUp(Point.AFTER, Farewell(self.farewell)),)
