"""Twilio's REST API, as far as numbers call it: messages and calls that go out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from chaosbot.mocks._described import DescribedMock, Description, Route

_ACCOUNT: Final = r"/2010-04-01/Accounts/(?P<account>\w+)"
_MADE: Final = {"sid": "SM{id}", "status": "queued", "account_sid": "{account}", "to": "{chat}", "error_code": None}
API: Final = Description(
    (
        Route(rf"POST {_ACCOUNT}/Messages\.json", "messages.create", ("To",), ("Body",), 201, _MADE),
        Route(rf"POST {_ACCOUNT}/Calls\.json", "calls.create", ("To",), ("Twiml",), 201, _MADE | {"sid": "CA{id}"}),
        Route(
            rf"GET {_ACCOUNT}/Messages/(?P<message>\w+)\.json",
            "messages.get",
            answer=_MADE | {"sid": "{message}", "status": "delivered"},
        ),
    ),
    {},
    lambda status, reason: {"code": 20429 if status == 429 else 20500, "message": reason, "status": status},
)


@dataclass(frozen=True)
class TwilioApi(DescribedMock):
    """A mock of Twilio's REST API."""

    description: ClassVar[Description] = API

    def hints(self, url: str) -> tuple[str, ...]:
        """What takes the place of the real host."""
        return (
            f"call {url} where you would call https://api.twilio.com: Client(…, http_client=…) with one of your own",
        )
