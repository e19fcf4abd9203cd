"""One genuine delivery of a platform, as `chaosbot send` sends it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from chaosbot.core.case import Case, Segment
from chaosbot.core.dice import Dice
from chaosbot.core.errors import ConfigError, UnknownName
from chaosbot.core.kit import GONE, changed, look, put
from chaosbot.core.platform import Endpoint, Platform
from chaosbot.core.verdict import Threat
from chaosbot.transport import Address


def delivery(
    platform: Platform, event: str, address: Address, secret: str, seed: int, changes: Mapping[str, Any]
) -> Case:
    """A genuine delivery, signed for now, with the answer that a correct target gives.

    Args:
        platform: Whose delivery.
        event: A golden update's name; empty for the platform's plainest.
        address: Where it goes.
        secret: The webhook's secret; empty sends it unsigned.
        seed: Ids and markers derive from it.
        changes: Values by dotted path of the body (``comment.body``); `chaosbot.core.kit.GONE` removes.

    Raises:
        UnknownName: The platform has no such event.
        ConfigError: A path leads nowhere, the event needs an option, or the platform delivers nothing.
    """
    known = platform.golden(Dice(seed))
    if not known:
        raise ConfigError(platform.name, "delivers no updates; choose another platform (chaosbot platforms)")
    name = event or platform.canary()
    if name not in known and (needs := platform.withheld.get(name)):
        raise ConfigError(name, f"needs {needs}")
    if name not in known:
        raise UnknownName.of("event", name, known)
    update = known[name]
    root = platform.inside(update)
    try:
        body = changed(look(update, root), changes)
    except KeyError as error:
        option = "--unset" if changes[error.args[0]] is GONE else "--set"
        raise ConfigError(option, f"{error.args[0]} is no place in {name}") from None
    endpoint = Endpoint(address.authority, address.path, secret, started=int(time.time()))
    data = platform.encode(endpoint, put(update, root, body) if root else body)
    return Case(f"send/{name}", "send", Threat.USER, (Segment(data),), platform.expected(name), name)
