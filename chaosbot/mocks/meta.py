"""Meta's Graph API, as far as WhatsApp and Messenger bots call it: messages that are sent, receipts, media."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from chaosbot.mocks._described import DescribedMock, Description, Route

_WORDS: Final = ("text.body", "text", "message.text", "interactive.body.text", "template.name", "image.caption")
_SENT: Final = {"messaging_product": "whatsapp", "contacts": [{"input": "{chat}", "wa_id": "{chat}"}]} | {
    "messages": [{"id": "wamid.chaosbot{id}"}],
    "recipient_id": "{chat}",
    "message_id": "m_chaosbot{id}",
}
API: Final = Description(
    (
        Route(r"POST (/v[\d.]+)?/(?P<sender>\w+)/messages", "messages", ("to", "recipient.id"), _WORDS, answer=_SENT),
        Route(r"POST (/v[\d.]+)?/\w+/media", "media.upload", answer={"id": "{id}"}),
        Route(
            r"GET (/v[\d.]+)?/\d+",
            "media.get",
            answer={"id": "{id}", "url": "http://127.0.0.1:9/media/{id}", "mime_type": "image/jpeg"},
        ),
    ),
    {"success": True},
    lambda status, reason: {
        "error": {
            "message": reason,
            "type": "OAuthException",
            "code": 130429 if status == 429 else 131000,
            "fbtrace_id": "chaosbot",
        }
    },
    ("reply.id",),
)


@dataclass(frozen=True)
class GraphApi(DescribedMock):
    """A mock of Meta's Graph API."""

    description: ClassVar[Description] = API

    def hints(self, url: str) -> tuple[str, ...]:
        """What takes the place of the real host."""
        return (f"call {url} where you would call https://graph.facebook.com",)
