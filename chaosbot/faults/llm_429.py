"""A provider says "too many requests": a rate to wait for, or money that is gone, which no waiting brings back.

A rate limit comes with `retry-after` (Gemini's `retryDelay` in the body). A quota or a monthly cap looks alike but for its code, comes
without a time to wait, and is still tried again by every SDK. A time of days is obeyed without a bound by some SDKs: the bot sleeps.
"""

from __future__ import annotations

from dataclasses import dataclass

from chaosbot.core.dice import Dice
from chaosbot.core.effect import Effect
from chaosbot.core.llm import LlmCall, Provider, wire
from chaosbot.core.registry import option
from chaosbot.faults._llm import CallFault, refused


@dataclass(frozen=True)
class Llm429(CallFault):
    """429 in the provider's words."""

    retry_after: float = option(
        "duration", "what a rate limit tells to wait, in whole seconds; 0 says nothing", 2.0, primary=True
    )
    what: str = option(
        "text",
        "a rate limit, a quota that is used up, a prepaid account that is empty, a monthly cap, a load that grows too fast",
        "rate",
        choices=("rate", "quota", "credit", "spend_cap", "slow_down"),
    )

    def on_call(self, dice: Dice, call: LlmCall) -> tuple[Effect, ...]:
        """One answer by the proxy."""
        said, code = {
            "rate": ("This request would exceed your rate limit.", "rate_limit_exceeded"),
            "quota": (
                "You exceeded your current quota, please check your plan and billing details.",
                "insufficient_quota",
            ),
            "credit": ("Your credit balance is exhausted.", "credit_balance_exhausted"),
            "spend_cap": ("You have reached your specified monthly spend limit.", "insufficient_quota"),
            "slow_down": ("Your load grows too fast; please slow down.", "slow_down"),
        }[self.what]
        document = wire.error_document(call.provider, 429, said, code=code)
        error = document["error"]
        if call.provider is Provider.ANTHROPIC and self.what not in ("rate", "slow_down"):
            error["details"] = {"error_code": "enforced_spend_limit_reached"}
        if call.provider is Provider.OPENAI:
            error["type"] = "rate_limit_error" if self.what in ("rate", "slow_down") else "insufficient_quota"
        seconds = max(1, round(self.retry_after)) if self.retry_after and self.what in ("rate", "slow_down") else 0
        if not seconds:
            return refused(call, 429, document, dice)
        if call.provider is Provider.GEMINI:
            kind = "type.googleapis.com/google.rpc.RetryInfo"
            error["details"] = [{"@type": kind, "retryDelay": f"{seconds}s"}]
            return refused(call, 429, document, dice)
        return refused(call, 429, document, dice, (("retry-after", str(seconds)),))
