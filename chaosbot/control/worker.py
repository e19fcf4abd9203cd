"""The control API's own process; `control.ControlServer` starts it through `chaosbot.workers`.

The pipes live here, so that they share no interpreter with a load driver.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

from tornado.httpserver import HTTPServer

from chaosbot.control.http import application
from chaosbot.control.proxies import Proxies, Surroundings
from chaosbot.control.toxics import ApiError
from chaosbot.core.dice import Dice
from chaosbot.transport import enforce
from chaosbot.workers import AsyncParent

_ASK_TIMEOUT_S = 10.0


class PlanOwner:
    """The parent process, where the plan and the figures of the run are."""

    def __init__(self, parent: AsyncParent) -> None:
        self._parent = parent

    async def ask(self, question: str, value: Any = None) -> Any:
        """Asks the parent and waits for its answer.

        Raises:
            ApiError: It refused, or did not answer in time.
        """
        try:
            answer = await self._parent.ask((question, value), _ASK_TIMEOUT_S)
        except TimeoutError:
            raise ApiError(f"the proxy did not answer within {_ASK_TIMEOUT_S:.0f} s", 500) from None
        if "error" in answer:
            raise ApiError(str(answer["error"]), int(answer.get("status", 400)))
        return answer.get("value")

    def flush(self) -> None:
        """Sends the events so far."""
        self._parent.flush()


async def serve(parent: AsyncParent, seed: int, origin: float, allow: Collection[str]) -> None:
    """Serves until the parent wants it to end; the toxics' tallies are its last messages."""
    enforce(allow)
    parent.together_s = 0  # at the end of the loop's turn: a toxic may meet thousands of connections in one
    around = Surroundings(Dice(seed).at("control"), parent.send, lambda: time.monotonic() - origin, allow)
    proxies = Proxies(around)
    (api,) = parent.sockets
    api.setblocking(False)
    server = HTTPServer(application(proxies, PlanOwner(parent), allow), max_body_size=16 << 20)
    server.add_socket(api)
    parent.ready()
    await parent.stopping.wait()
    server.stop()
    await proxies.close()
    for proxy in proxies.all():
        for event in proxy.pipe.tallied():
            parent.send(event)
