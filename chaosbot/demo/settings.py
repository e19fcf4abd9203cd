"""What the demo is told from outside, as one frozen value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from chaosbot.demo.bugs import Bug

BOT_USERNAME = "chaosbot_demo_bot"
"""Commands addressed to another name (`/grant@otherbot`) are not ours."""

BACKLOG = 1024
"""Connections that wait while a bot that died is started again."""


@dataclass(frozen=True)
class DemoSettings:
    """Where the demo listens, whom it trusts, what is broken in it.

    Attributes:
        host: Address to listen on; the demo is meant for loopback.
        port: Port to listen on; 0 takes a free one.
        bugs: Planted bugs that are switched on.
        secret: What `X-Telegram-Bot-Api-Secret-Token` must say; None lets everybody in.
        bot_token: Token of the bot, part of every Bot API address.
        bot_api: Base URL of the Bot API, such as `http://127.0.0.1:8081`; None replies in the webhook's answer.
        model_key: The key of the language models' API.
        models: Base URL of the language models, such as `http://127.0.0.1:8082`; None has no agent.
        admin_id: The one user who is admin.
        limits: Whether the rate limits per user hold.
        ws_token: What `/ws/market?token=` must say; None lets everybody in.
        supervised: Whether a bot process that dies is started again.
        log: Whether a line on standard error tells of each request.
    """

    host: str = "127.0.0.1"
    port: int = 0
    bugs: frozenset[Bug] = frozenset()
    secret: str | None = field(default=None, repr=False)
    bot_token: str = field(default="123456:demo-token", repr=False)
    bot_api: str | None = None
    models: str | None = None
    model_key: str = field(default="sk-demo-0123456789-no-secret", repr=False)
    admin_id: int = 999999999
    limits: bool = True
    ws_token: str | None = field(default=None, repr=False)
    supervised: bool = True
    log: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], **options: Any) -> Self:
        """Settings whose secrets come from the environment: TELEGRAM_SECRET_TOKEN, BOT_TOKEN, WS_AUTH_TOKEN; ADMIN_TELEGRAM_ID as well.

        Raises:
            ValueError: For a value that does not do.
        """
        return cls(
            secret=environment.get("TELEGRAM_SECRET_TOKEN") or None,
            bot_token=environment.get("BOT_TOKEN") or cls.bot_token,
            admin_id=int(environment.get("ADMIN_TELEGRAM_ID") or cls.admin_id),
            ws_token=environment.get("WS_AUTH_TOKEN") or None,
            **options,
        )

    def __post_init__(self) -> None:
        """Refuses values that would only fail later, out of sight."""
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port: {self.port} is outside 0..65535")
        for name, url in (("bot_api", self.bot_api), ("models", self.models)):
            if url is not None and not url.startswith(("http://", "https://")):
                raise ValueError(f"{name}: {url!r} is no base URL; write it like http://127.0.0.1:8081")
        if self.secret is not None and not (self.secret and self.secret.isascii()):
            raise ValueError("secret: must be None or 1 to 256 characters of A-Za-z0-9_-")
