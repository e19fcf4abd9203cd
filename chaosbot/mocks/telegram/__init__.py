"""Telegram's Bot API: answers every method in a well-formed way and records what the bot did."""

from __future__ import annotations

from dataclasses import dataclass

from chaosbot.core.mock import Mock, MockApi, MockServices


@dataclass(frozen=True, slots=True)
class Script:
    """A failure on purpose, for tests of a bot without a fault plan.

    Args:
        status: The HTTP status.
        method: For this method only; empty for all.
        first: For the first so many calls that match; None for all.
        description: The JSON answer's description.
        retry_after_s: `parameters.retry_after`, in whole seconds.
        html: Answer with an HTML page instead of JSON, as a broken gateway does.
    """

    status: int
    method: str = ""
    first: int | None = None
    description: str = "Internal Server Error"
    retry_after_s: int | None = None
    html: bool = False


@dataclass(frozen=True)
class TelegramApi(Mock):
    """A mock of Telegram's Bot API.

    Args:
        scripts: Failures on purpose; the first that matches counts.
    """

    scripts: tuple[Script, ...] = ()

    def api(self, services: MockServices) -> MockApi:
        """The Bot API of one worker."""
        from chaosbot.mocks.telegram.mock import BotApiMock  # noqa: PLC0415 - a list of mocks needs none of it

        return BotApiMock(
            services.now,
            services.emit,
            ids=services.ids,
            scripts=self.scripts,
            admin=services.admin,
            alone=services.alone,
        )
