"""A journey of your own: `chaosbot load URL --journey examples/journey.py`.

Two kinds of users of a shop bot. `journeys` says who they are and what they do, `build` writes each request as bytes. All chance
comes from the dice, so the same seed sends the same requests.
"""

from __future__ import annotations

from chaosbot.core.dice import Dice
from chaosbot.core.journey import JourneySpec, Task
from chaosbot.core.marker import marker
from chaosbot.core.platform import PLATFORMS, Endpoint, Request

TELEGRAM = PLATFORMS.build("telegram")
GOODS = ("tea", "coffee", "biscuits")


def journeys() -> tuple[JourneySpec, ...]:
    """Nine browsers for each buyer; shares and weights are relative, waits are seconds."""
    return (
        JourneySpec(
            name="browser",
            share=9,
            wait_s=(1.0, 4.0),
            tasks=(Task("start", weight=1), Task("search", weight=5), Task("help", weight=1)),
            users=range(2_000_000, 2_000_100),
        ),
        JourneySpec(
            name="buyer",
            share=1,
            wait_s=(2.0, 8.0),
            tasks=(Task("search", weight=2), Task("order", weight=1)),
            users=range(2_000_100, 2_000_150),
        ),
    )


def build(task: str, user: int | str, ordinal: int, dice: Dice, endpoint: Endpoint) -> Request:
    """One request as bytes.

    Args:
        task: A name from `journeys`.
        user: Who writes.
        ordinal: The request's number, unique in its run.
        dice: This request's chance.
        endpoint: Host, path and secret of the target.
    """
    place = dice.at("shop", ordinal, endpoint.started)
    goods = place.at("goods").choice(GOODS)
    # The marker lets reports join the update with the bot's reply, where the bot repeats what was asked.
    texts = {
        "start": "/start",
        "help": "/help",
        "search": f"Do you have {goods}? {marker(place)}",
        "order": f"/task order {goods} {marker(place)}",
    }
    update = TELEGRAM.say(texts[task], place, user=int(user))
    data = TELEGRAM.encode(endpoint, update)
    head, _, body = data.partition(b"\r\n\r\n")
    headers = tuple(
        (name.strip().lower(), value.strip())
        for name, _, value in (line.partition(":") for line in head.decode("latin-1").split("\r\n")[1:])
    )
    # The facts (chat, command, delivery id …) give the report its coverage and the telegram sender its queues.
    return Request(data, task, TELEGRAM.facts("POST", endpoint.path, headers, body))
