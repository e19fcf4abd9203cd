"""A circuit breaker: stops calling a service that fails, and finds out when it works again.

| state | a call | a success | a failure |
|---|---|---|---|
| closed | goes | forgets the failures | the fifth in a row opens |
| open | waits | (of an earlier call) nothing | (of an earlier call) nothing |
| half-open, after 2 s | one goes, the others wait | closes, all go | opens |

Nothing is refused: whoever waits here holds a place in the bounded outbox, not a connection.
"""

from __future__ import annotations

import asyncio
from collections import deque
from enum import StrEnum
from typing import Final

FAILURES_TO_OPEN: Final = 5
COOL_DOWN_S: Final = 2.0


class State(StrEnum):
    """What a circuit does with calls."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Circuit:
    """Guards one service, within one event loop."""

    def __init__(self, closes: bool = True, cool_down: float = COOL_DOWN_S) -> None:
        """Starts closed.

        Args:
            closes: False is a BUG: a success while half-open is not believed.
            cool_down: Seconds before an open circuit tries again.
        """
        self.state = State.CLOSED
        self.trips = 0
        self.recovered = 0
        self._closes = closes
        self._cool_down = cool_down
        self._failures = 0
        self._probing = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def admit(self) -> None:
        """Returns when a call may be made; its outcome must be told by `succeeded` or `failed`."""
        while self.state is not State.CLOSED:
            if self.state is State.HALF_OPEN and not self._probing:
                self._probing = True
                return
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn

    def succeeded(self) -> None:
        """Notes that the service answered."""
        self._failures = 0
        if self.state is not State.HALF_OPEN:
            return
        self._probing = False
        if not self._closes:
            self._open()
            return
        self.state = State.CLOSED
        self.recovered += 1
        self._wake(len(self._waiting))

    def failed(self) -> None:
        """Notes that the service did not answer, or with its own fault."""
        self._failures += 1
        if self.state is State.HALF_OPEN:
            self._probing = False
            self._open()
        elif self.state is State.CLOSED and self._failures >= FAILURES_TO_OPEN:
            self.trips += 1
            self._open()

    def _open(self) -> None:
        self.state = State.OPEN
        asyncio.get_running_loop().call_later(self._cool_down, self._half_open)

    def _half_open(self) -> None:
        self.state = State.HALF_OPEN
        self._wake(1)

    def _wake(self, count: int) -> None:
        while count and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                count -= 1

    def as_json(self) -> dict[str, object]:
        """Shows the circuit as `/health` does."""
        return {"state": str(self.state), "trips": self.trips, "recovered": self.recovered}
