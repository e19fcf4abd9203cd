"""Calls of language models as a run records them, for the examples of the checks that judge them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from chaosbot.core.event import ApiCalled, Event, ExchangeSeen, Injected, ModelCalled, RequestDone, RunEnded
from chaosbot.core.exchange import Depth, Direction
from chaosbot.core.outcome import Fate, Outcome

END = RunEnded(60.0, "completed")


@dataclass
class Talk:
    """One update, the calls of models that it leads to, and what its user gets.

    Args:
        number: Tells updates apart: marker, chat and user follow from it.
        t: When it is sent.
    """

    number: int = 1
    t: float = 1.0
    events: list[Event] = field(default_factory=list)
    calls: int = 0

    @property
    def marker(self) -> str:
        return f"cbm{self.number:012x}"

    @property
    def mark(self) -> str:
        return f"{self.number:04x}{self.calls:04x}"

    @property
    def text(self) -> str:
        return f"cbas{self.mark} About {self.marker} all is well cbae{self.mark}"

    def asked(self, seconds: float = 0.1, tier: str = "guest", times: int = 1) -> Talk:
        outcome = Outcome(Fate.ANSWERED, 200, total_s=seconds)
        for attempt in range(times):
            t = self.t + 5.0 * attempt
            more: dict[str, Any] = {
                "chat": 100 + self.number,
                "user": 200 + self.number,
                "tier": tier,
                "attempt": attempt + 1,
            }
            self.events.append(RequestDone(t, f"r{self.number}", t, t, outcome, marker=self.marker, **more))
        return self

    def model(
        self,
        *faults: str,
        at: float = 0.1,
        seconds: float = 0.5,
        whole: bool = True,
        status: int | None = 200,
        open_end: bool = False,
        **more: Any,
    ) -> Talk:
        self.calls += 1
        start, key = self.t + at, f"m{self.number}-{self.calls}"
        good = status is not None and status < 300
        told: dict[str, Any] = {"markers": (self.marker,), "call": f"d{self.number}", "exchange": key, "status": status}
        if good:
            told |= {"answer": self.mark, "text": self.text, "stop": "end", "output_tokens": 20, "input_tokens": 20}
        self.events.append(ModelCalled(start, "anthropic", "messages", "claude-haiku-4-5", **told | more))
        for name in faults:
            self.events.append(Injected(start, "rule", name, Depth.EXCHANGE, Direction.OUTBOUND, key, "applied"))
        if not open_end:
            by = "proxy" if faults else "mock"
            self.events.append(
                ExchangeSeen(
                    start + seconds, key, Direction.OUTBOUND, "POST", "/v1/messages", status, by, seconds, whole=whole
                )
            )
        return self

    def told(
        self, text: str | None = None, at: float = 1.0, status: int = 200, chat: int | None = None, **more: Any
    ) -> Talk:
        said = self.text if text is None else text
        answers = tuple(word for word in said.split() if word.startswith(("cbas", "cbae")))
        markers = (self.marker,) if self.marker in said else ()
        place = 100 + self.number if chat is None else chat
        message = more.pop("message", len(self.events) + 1000 * self.number)
        self.events.append(
            ApiCalled(
                self.t + at, "sendMessage", place, said, markers, status, message=message, answers=answers, **more
            )
        )
        return self

    def __iter__(self):  # type: ignore[no-untyped-def]  # an iterator of events
        return iter(self.events)


def fine(number: int = 1, t: float = 1.0, **more: Any) -> Talk:
    """An update that gets its answer."""
    return Talk(number, t).asked().model(**more).told()


def talks(*talks: Talk, end: Event = END) -> Sequence[Event]:
    """What several updates make of a run, in order."""
    return [*sorted((event for talk in talks for event in talk), key=lambda event: event.t), end]
