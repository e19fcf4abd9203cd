"""Slack's Web API, and the `response_url` of commands and interactions: messages are posted, everything else is ``{"ok": true}``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from chaosbot.mocks._described import DescribedMock, Description, Route

_POSTED: Final = {"ok": True, "channel": "{chat}", "ts": "1767225600.{id}", "message": {"type": "message", "text": ""}}
_SELF: Final = {"ok": True, "url": "https://chaosbot.slack.com/", "team": "chaosbot", "user": "bot"} | {
    "team_id": "T02CHAOSBOT",
    "user_id": "U02THEBOT01",
    "bot_id": "B02THEBOT01",
}
API: Final = Description(
    (
        Route(r"(GET|POST) (/api)?/auth\.test", "auth.test", answer=_SELF),
        Route(
            r"POST (/api)?/(?P<method>chat\.(postMessage|postEphemeral|update|meMessage))",
            "{method}",
            ("channel",),
            ("text",),
            answer=_POSTED,
        ),
        Route(
            r"(GET|POST) (/api)?/(?P<method>[a-z]\w*(\.\w+)+)",
            "{method}",
            ("channel", "user_id"),
            ("text",),
            answer={"ok": True},
        ),
        Route(r"POST /(commands|actions)/.*", "response_url", (), ("text",), answer={"ok": True}),
    ),
    {"ok": False, "error": "unknown_method"},
    lambda status, _: {"ok": False, "error": "ratelimited" if status == 429 else "internal_error"},
    ("action_id", "value", "block_id"),
)


@dataclass(frozen=True)
class SlackApi(DescribedMock):
    """A mock of Slack's Web API."""

    description: ClassVar[Description] = API

    def hints(self, url: str) -> tuple[str, ...]:
        """Where SDKs are told of it."""
        return (
            f'Python: WebClient(base_url="{url}/api/")',
            f'Node: new WebClient(token, {{ slackApiUrl: "{url}/api/" }})',
        )
