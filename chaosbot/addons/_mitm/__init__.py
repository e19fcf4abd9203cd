"""Everything of mitmproxy that is not its documented interface stands in this folder, behind the protocols of this file.

Rules:

- The rest of `addons/` sees mitmproxy's documented parts (hooks, flows, `mitmproxy.http`) and these protocols.
- Each behaviour has a plain implementation: `connection` (a client connection), `http` (the HTTP layer), `streams` (an exchange), `runtime` (the core without
  a Master). `shortcuts` holds faster ones of the same behaviour; ``CHAOSBOT_PLAIN_PROXY=1`` leaves them out.
- Works on mitmproxy 11.0.2 and on 12.x. Importing this file imports nothing of mitmproxy.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

from chaosbot.addons.spec import ListenerSpec
from chaosbot.core.effect import BytesEffect, Farewell

PLAIN: Final = "CHAOSBOT_PLAIN_PROXY"
"""The environment variable that switches the shortcuts off."""

SCRIPT: Final = "_chaosbot_script"
"""The attribute of a flow in which the HTTP layer finds its `Script`. Not in its metadata: mitmproxy copies and stores those."""

EXCHANGE: Final = "_chaosbot"
"""The attribute of a flow that holds its `ExchangeContext`."""

LONG: Final = "_chaosbot_long"
"""The attribute of a flow that holds in which directions (whether from the client) the message that comes to its end was too long to be held."""

MOST_REQUEST: Final = 16 << 20
"""So many bytes of a request's body are held; a longer one passes as it comes, decided by its head and what has come."""

MOST_ANSWER: Final = 64 << 20
"""So many bytes of an answer's body are held for a fault that needs the whole of it."""

MOST_MESSAGE: Final = 4 << 20
"""So many bytes of a WebSocket message are held; a longer one passes as it comes."""

MOST_WAITING: Final = 1 << 20
"""When more bytes of a connection wait inside for their time, it is not read from."""

Later = Coroutine[Any, Any, None]
"""What a hook returns when mitmproxy must wait for it."""


def plain() -> bool:
    """Whether the environment asks for mitmproxy's own ways only."""
    return os.environ.get(PLAIN, "") not in ("", "0")


class ByteCarrier(Protocol):
    """The bytes of one client connection and of its upstream connections.

    Attributes:
        acted: Called with a byte effect when it did something.
    """

    acted: Callable[[BytesEffect], None]

    def set_effects(self, lasting: tuple[BytesEffect, ...], armed: tuple[BytesEffect, ...]) -> None:
        """Replaces the byte effects: `lasting` for the client's connection, `armed` for the exchanges under way."""

    def admit(self) -> None:
        """Makes effects report what they have done so far, to bytes that they still hold too."""

    @property
    def holds_back(self) -> bool:
        """Whether effects act on what goes to the client."""

    def when_out(self, call: Callable[[bool], None]) -> None:
        """Calls when what was written to the client has left, with whether all of it has; never for what is held for ever."""

    def waited(self) -> float:
        """For how many seconds the request that has just come was held back."""

    def refuse(self, farewell: Farewell) -> Later | None:
        """Turns the new connection away."""


class Carrier(Protocol):
    """One client connection, as the exchange engine sees it.

    Attributes:
        listener: Where the connection came in.
        own: The listener's addresses as a Host header spells them (``HOST:PORT``).
        gone: Whether the client has left.
        on_gone: Each is called when the client leaves.
        bytes: What byte effects act on; None in a mitmproxy whose sockets are not ours.
    """

    listener: ListenerSpec
    own: frozenset[str]
    gone: bool
    on_gone: set[Callable[[], None]]

    @property
    def bytes(self) -> ByteCarrier | None:
        """What byte effects act on."""

    def release(self) -> None:
        """Ends all waiting in the HTTP layers: what trickles leaves at once, what was silenced is closed."""

    def repeat_message(self, flow: Any, message: Any) -> None:
        """Sends a WebSocket message once more."""

    def close_websocket(self, flow: Any, code: int) -> None:
        """Closes a WebSocket as if the server had, with this close code."""

    def send_half_frame(self, flow: Any, message: Any) -> None:
        """Sends half of a WebSocket message's frame, then ends the connection that it goes to."""


class Door(Protocol):
    """A running mitmproxy, as the chaos addon sees it."""

    def carrier(self, client: Any) -> Carrier:
        """The connection of a client that has just come (mitmproxy's `Client`)."""

    def choose_layer(self, chooser: Any) -> None:
        """Chooses the next protocol layer as mitmproxy would; an HTTP layer becomes one that follows scripts."""
