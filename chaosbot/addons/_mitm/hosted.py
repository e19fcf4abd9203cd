"""The door to a mitmproxy that is not ours: somebody's mitmdump, mitmproxy or mitmweb that has loaded the chaos addon."""

from __future__ import annotations

from typing import Any

from mitmproxy.connection import Client
from mitmproxy.proxy.layers.http import HttpStream
from mitmproxy.proxy.mode_specs import ReverseMode

from chaosbot.addons._mitm.carrier import HandlerCarrier, substitute
from chaosbot.addons._mitm.http import ScriptedHttp
from chaosbot.addons.spec import ListenerSpec
from chaosbot.core.exchange import Direction
from chaosbot.transport import bracketed


class HostedHttp(ScriptedHttp):
    """The HTTP layer of somebody's mitmproxy, whose own options say what is held (`body_size_limit`, `stream_large_bodies`)."""

    stream_class = HttpStream


class HostedCarrier(HandlerCarrier):
    """A connection of somebody's mitmproxy."""

    layer_class = HostedHttp


class HostedDoor:
    """A running mitmproxy with its Master.

    Args:
        master: mitmproxy's Master.
    """

    def __init__(self, master: Any) -> None:
        self._master = master
        self._carriers: dict[str, HostedCarrier] = {}

    def carrier(self, client: Any) -> HostedCarrier:
        """The connection of a client that has just come."""
        handler = self._master.addons.get("proxyserver").connections[client.id]
        carrier = HostedCarrier(handler, _listener(client), frozenset())
        self._carriers = {key: each for key, each in self._carriers.items() if not each.gone}
        self._carriers[client.id] = carrier
        return carrier

    def choose_layer(self, chooser: Any) -> None:
        """Lets mitmproxy choose, then puts a layer that follows scripts in the place of an HTTP layer."""
        carrier = self._carriers.get(chooser.context.client.id)
        if chooser.layer is None:
            self._master.addons.get("nextlayer").next_layer(chooser)
        if carrier is not None:
            substitute(chooser, carrier)


def _listener(client: Client) -> ListenerSpec:
    """A reverse proxy stands before a webhook; any other mode carries what a client calls."""
    mode = client.proxy_mode
    if isinstance(mode, ReverseMode):
        scheme = "https" if mode.scheme in ("https", "tls") else "http"
        return ListenerSpec(Direction.INBOUND, f"{scheme}://{bracketed(mode.address[0])}:{mode.address[1]}")
    return ListenerSpec(Direction.OUTBOUND, "")
