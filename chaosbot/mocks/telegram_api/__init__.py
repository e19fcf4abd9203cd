"""Telegram's Bot API: answers every method in a well-formed way and records what the bot did."""

from __future__ import annotations

from dataclasses import dataclass

from chaosbot.core.mock import Mock, MockApi, MockServices


@dataclass(frozen=True)
class TelegramApi(Mock):
    """A mock of Telegram's Bot API."""

    def api(self, services: MockServices) -> MockApi:
        """The Bot API of one worker."""
        from chaosbot.mocks.telegram_api.mock import BotApiMock  # noqa: PLC0415 - a list of mocks needs none of it

        return BotApiMock(services.now, services.emit, ids=services.ids)
