"""What becomes of the bytes of one exchange, where setting attributes of a flow cannot say it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from chaosbot.core.effect import CloseIdle, Dribble, Farewell, SendH2Frame, StreamBody
from chaosbot.injection.eventstream import EventStream, Step


@dataclass
class Script:
    """A plan for the bytes of one exchange; the HTTP layer follows it.

    Args:
        raw: Exactly these bytes go to the client instead of the answer.
        raw_count: So many bytes in all: `raw` again and again.
        most_bytes: So many bytes of the answer pass, its head included.
        most_body: The head passes, and so many bytes of the body.
        farewell: How the connection ends after `raw`, `most_bytes` or `most_body`.
        stream: The body that is made while it is sent.
        dribble: How the answer trickles.
        dribble_up: How the request trickles.
        cut_request: How the upstream's connection ends after the (shortened) request.
        close_idle: How the client's connection ends after the answer.
        events: What becomes of an answer that is a stream of events.
        frame: The HTTP/2 frame that takes the answer's place.
        asked: Whether the request is complete.
        dry: What follows when the whole answer has trickled out.
        ended: Called once, when everything that the client will ever see of the answer has left.
    """

    raw: bytes | None = None
    raw_count: int | None = None
    most_bytes: int | None = None
    most_body: int | None = None
    farewell: Farewell = Farewell.FIN
    stream: StreamBody | None = None
    dribble: Dribble | None = None
    dribble_up: Dribble | None = None
    cut_request: Farewell | None = None
    close_idle: CloseIdle | None = None
    events: EventStream | None = None
    frame: SendH2Frame | None = None
    ended: Callable[[], None] | None = None
    released: bool = False
    steps: deque[Step] = field(default_factory=deque)
    pumping: bool = False
    trickling: bool = False
    trickling_up: bool = False
    asked: bool = False
    dry: Callable[[], Generator[Any, Any, None]] | None = None
    complete: bool = False

    @property
    def outlived(self) -> bool:
        """Whether the client has seen the end of a stream of events that may go on upstream."""
        return self.events is not None and self.ended is None

    @property
    def for_answer(self) -> bool:
        """Whether the answer's bytes are touched, so that somebody else than the flow's hooks sees its end."""
        return (
            self.stops
            or self.stream is not None
            or self.dribble is not None
            or self.close_idle is not None
            or self.events is not None
            or self.frame is not None
        )

    @property
    def stops(self) -> bool:
        """Whether the answer does not arrive whole."""
        return self.raw is not None or self.most_bytes is not None or self.most_body is not None

    @property
    def status_arrives(self) -> bool:
        """Whether the client sees the answer's status line."""
        if self.raw is not None or self.frame is not None:
            return False
        return self.most_bytes is None or self.most_bytes >= len("HTTP/1.1 200")

    def finish(self) -> None:
        """Says that it is over, once."""
        ended, self.ended = self.ended, None
        if ended is not None:
            ended()
