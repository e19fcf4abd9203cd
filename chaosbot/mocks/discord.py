"""Discord's REST API, as far as HTTP bots call it: follow-ups, edits of the original answer, messages of channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from chaosbot.mocks._described import DescribedMock, Description, Route

_ROOT: Final = r"(/api)?(/v\d+)?"
_MESSAGE: Final = {"id": "84646263913{id}", "type": 0, "content": "", "channel_id": "{channel}"}
API: Final = Description(
    (
        Route(
            rf"POST {_ROOT}/interactions/\d+/(?P<token>[^/]+)/callback",
            "interactions.callback",
            text=("data.content",),
            chat=("token",),
            callback=("token",),
            status=204,
            answer=None,
        ),
        Route(
            rf"PATCH {_ROOT}/webhooks/\d+/(?P<token>[^/]+)/messages/@original",
            "interactions.edit",
            text=("content",),
            chat=("token",),
            callback=("token",),
            answer=_MESSAGE,
        ),
        Route(
            rf"POST {_ROOT}/webhooks/\d+/(?P<token>[^/]+)",
            "interactions.followup",
            text=("content",),
            chat=("token",),
            callback=("token",),
            answer=_MESSAGE,
        ),
        Route(
            rf"POST {_ROOT}/channels/(?P<channel>\d+)/messages",
            "channels.message",
            ("channel",),
            ("content",),
            answer=_MESSAGE,
        ),
        Route(rf"PUT {_ROOT}/applications/\d+/.*commands", "commands.register", answer=[]),
    ),
    {},
    lambda status, reason: (
        {"message": "You are being rate limited.", "retry_after": 0.5, "global": False}
        if status == 429
        else {"message": reason, "code": 0}
    ),
    ("custom_id",),
)


@dataclass(frozen=True)
class DiscordApi(DescribedMock):
    """A mock of Discord's REST API."""

    description: ClassVar[Description] = API

    def hints(self, url: str) -> tuple[str, ...]:
        """Where clients are told of it."""
        return (f'discord.js: new REST({{ api: "{url}/api" }})',)
