"""A provider refuses a call, with the status and in the words of its own API.

SDKs try 408, 409, 429 and everything from 500 on again, twice; what else is refused stays refused: a key that was revoked (401, which may
quote a part of it), money (402), a model that was retired (404), a history that is too long (400). Such a call must not be made again, and
the user must hear something else than the error's text.
"""

from __future__ import annotations

from dataclasses import dataclass

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect
from chaosbot.core.llm import LlmCall, Provider, wire
from chaosbot.core.registry import option
from chaosbot.faults._llm import CallFault, refused


@dataclass(frozen=True)
class LlmError(CallFault):
    """A refusal in the provider's words."""

    status: int = option(
        "count", "400 to 599; at Anthropic 529 is overloaded, elsewhere it becomes 503", 529, primary=True
    )
    retry: str = option(
        "text", "what x-should-retry tells the SDK; empty sends none", "", choices=("", "true", "false")
    )

    def __post_init__(self) -> None:
        """Refuses what is no error."""
        if not 400 <= self.status <= 599:
            raise ValueError(f"status {self.status} is no error; choose one from 400 to 599")
        if self.status == 429:
            raise ValueError("429 has a fault of its own: llm_429")

    def on_call(self, dice: Dice, call: LlmCall) -> tuple[Effect, ...]:
        """One answer by the proxy."""
        status = 503 if self.status == 529 and call.provider is not Provider.ANTHROPIC else self.status
        shown = f"{call.key[:12]}********{call.key[-4:]}"
        said = {
            400: f"prompt is too long: {210_000 + call.input_tokens} tokens > 200000 maximum",
            401: f"Incorrect API key provided: {shown}. You can find your API key in the console.",
            402: "Your credit balance is too low to access the API.",
            403: "Your API key does not have permission to use the specified resource.",
            404: f"model: {call.model} does not exist or was retired",
            413: "Request exceeds the maximum allowed number of bytes.",
            503: "The server is overloaded or not ready yet.",
            529: "Overloaded",
        }.get(status, "Internal server error" if status >= 500 else "The request is not valid.")
        code = {400: "context_length_exceeded"}.get(status)
        headers = (("x-should-retry", self.retry),) if self.retry else ()
        return refused(call, status, wire.error_document(call.provider, status, said, code=code), dice, headers)
