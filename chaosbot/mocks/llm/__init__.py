"""Language models: Anthropic's Messages, OpenAI's Chat Completions, Responses, Embeddings and Transcriptions, Gemini's generateContent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from chaosbot.core.mock import Mock, MockApi, MockServices
from chaosbot.core.registry import option

SHAPES: Final = ("short", "long", "markdown", "html", "empty", "over4096", "tool")


@dataclass(frozen=True)
class LlmApi(Mock):
    """A mock of the APIs of language models; the provider is told by the path."""

    streams: ClassVar[bool] = True
    speaks: ClassVar[bool] = False
    reads_answers: ClassVar[bool] = True
    most_body: ClassVar[int] = 32 * 1024 * 1024

    shape: str = option(
        "text", "what answers look like; tool calls the first tool that a request offers, once", "short", choices=SHAPES
    )
    first_token: float = option("duration", "time until the first token", 0.0)
    pace: float = option("number", "tokens a second after that; 0 for all at once", 0.0)
    requests: int = option("count", "requests a minute that each key may make; 0 for any number", 0)
    tokens: int = option("count", "tokens a minute that each key may use; 0 for any number", 0)

    def api(self, services: MockServices) -> MockApi:
        """The providers' APIs of one worker."""
        from chaosbot.mocks.llm.mock import LlmMock  # noqa: PLC0415 - a list of mocks needs none of it

        return LlmMock(services, self)

    def hints(self, url: str) -> tuple[str, ...]:
        """The settings that lead each SDK here."""
        return (
            f"export ANTHROPIC_BASE_URL={url} ANTHROPIC_API_KEY=mock",
            f"export OPENAI_BASE_URL={url}/v1 OPENAI_API_KEY=mock",
            f"export GOOGLE_GEMINI_BASE_URL={url} GEMINI_API_KEY=mock",
        )
