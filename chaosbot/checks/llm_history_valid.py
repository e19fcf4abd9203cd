"""What the bot sends is what the provider takes: a history that fits together, with every tool's result, without empty texts.

A history that is broken once is refused with each further call: the conversation is poisoned and stays so. The mock refuses what the
provider's own API does, and such a 400 is the bot's doing, not a fault's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from chaosbot.checks._models import Broken, ModelCheck, Models
from chaosbot.core.verdict import RootCause, Severity

_OWN: Final = re.compile(r"(?:toolu|call|fc)_\w+|[.\[]\d+\]?|cb[am]\w+")


@dataclass(frozen=True)
class LlmHistoryValid(ModelCheck):
    """Requests that the provider takes."""

    def looks(self, models: Models) -> Iterator[Broken | None]:
        """Goes through the calls that the mock itself answered."""
        for call in models.calls:
            called = call.called
            if called.status == 200:
                yield None
            if called.status != 400 or not called.problem:
                continue
            what = _OWN.sub("…", called.problem)
            yield Broken(
                RootCause("refused", place=what),
                f"sends a request that the provider refuses: {what}",
                Severity.HIGH,
                called.exchange,
                called.problem,
            )
