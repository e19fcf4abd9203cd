"""What holds where nobody says otherwise. Outside of the platform itself and its mock, this is the one place that knows Telegram."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

PLATFORM: Final = "telegram"
"""The platform of verbs, files and tests that name none."""
SECRET_ENV: Final = "TELEGRAM_SECRET_TOKEN"  # noqa: S105 - a variable's name
"""The environment variable of the webhook's secret, where none is named."""
SECRETS: Final = (
    SECRET_ENV,
    "BOT_TOKEN",
    "WS_AUTH_TOKEN",
    "WHATSAPP_VERIFY_TOKEN",
    "MESSENGER_VERIFY_TOKEN",
    "CHAOSBOT_FORMER_SECRET",
    "CHAOSBOT_SECOND_SECRET",
)
"""Environment variables whose values are redacted wherever they appear, whether or not a run uses them."""
OPTION_VARIABLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "telegram.admin_id": "ADMIN_TELEGRAM_ID",
        "whatsapp.verify_token": "WHATSAPP_VERIFY_TOKEN",
        "messenger.verify_token": "MESSENGER_VERIFY_TOKEN",
        "former_secret": "CHAOSBOT_FORMER_SECRET",
        "second_secret": "CHAOSBOT_SECOND_SECRET",
    }
)
"""Environment variables that say an option, of one platform or of all that have it, where no option does."""
MOCK: Final = "telegram"
"""The mock behind the target's own calls, for platforms that name none."""
DEMO_PATH: Final = "/webhook/telegram"
"""Where the embedded bot serves its webhook."""
