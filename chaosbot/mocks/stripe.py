"""Stripe's API, as far as receivers of its events call it: objects are read and changed, refunds and payments made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final
from urllib.parse import urlsplit

from chaosbot.mocks._described import DescribedMock, Description, Route

_THING: Final = r"/v1/(?P<what>[a-z_]+(/[a-z_]+)?)/(?P<thing>[a-z]+_\w+)"
API: Final = Description(
    (
        Route(rf"GET {_THING}", "{what}.retrieve", ("thing",), answer={"id": "{thing}", "object": "{what}"}),
        Route(
            rf"POST {_THING}(/(?P<deed>[a-z_]+))?",
            "{what}.update",
            ("thing",),
            ("description", "metadata[plan]"),
            answer={"id": "{thing}", "object": "{what}"},
        ),
        Route(rf"DELETE {_THING}", "{what}.delete", ("thing",), answer={"id": "{thing}", "deleted": True}),
        Route(
            r"POST /v1/(?P<what>[a-z_]+(/[a-z_]+)?)",
            "{what}.create",
            ("customer", "charge", "payment_intent"),
            ("description",),
            answer={"id": "{what}_chaosbot{id}", "object": "{what}"},
        ),
        Route(
            r"GET /v1/(?P<what>[a-z_]+(/[a-z_]+)?)",
            "{what}.list",
            ("customer",),
            answer={"object": "list", "data": [], "has_more": False},
        ),
    ),
    {"object": "list", "data": []},
    lambda status, reason: {
        "error": {
            "type": "rate_limit_error" if status == 429 else "api_error",
            "code": "rate_limit" if status == 429 else "api_error",
            "message": reason,
        }
    },
)


@dataclass(frozen=True)
class StripeApi(DescribedMock):
    """A mock of Stripe's API."""

    description: ClassVar[Description] = API

    def hints(self, url: str) -> tuple[str, ...]:
        """Where SDKs are told of it."""
        at = urlsplit(url)
        return (
            f'Python: stripe.api_base = "{url}"',
            f'Node: new Stripe(key, {{ host: "{at.hostname}", port: {at.port}, protocol: "{at.scheme}" }})',
        )
