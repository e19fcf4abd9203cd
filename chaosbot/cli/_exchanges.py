"""Shows what a proxy does while it does it: the last exchanges and the faults that met them; plain lines on no terminal.

Rules:

- On a terminal a table of the last exchanges; elsewhere a line for each fault that acted and each exchange that failed without
  one, no more than a few a second, and how many more there were. What a reader should know is said on both.
- Paths may carry a bot's token; everything shown has passed the run's redactor.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from types import TracebackType
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from chaosbot.cli._console import escape_line
from chaosbot.cli._watch import Watch
from chaosbot.core.event import Event, ExchangeSeen, Injected, Noted
from chaosbot.core.exchange import Direction
from chaosbot.core.visible import one_line

SHOWN: Final = 15
LINES_A_SECOND: Final = 10
REMEMBERED: Final = 500
"""Exchanges whose faults are known; a fault may act before or after its exchange is recorded."""
ARROWS: Final = {Direction.INBOUND: "in", Direction.OUTBOUND: "out"}


class Exchanges(Watch):
    """Shows a proxy to a person; see `Watch` for the arguments."""

    def __init__(
        self,
        console: Console,
        *,
        quiet: bool = False,
        total_s: float | None = None,
        redact: Callable[[str], str] = str,
    ) -> None:
        super().__init__(console, quiet=quiet, total_s=total_s, redact=redact)
        self._phase = "proxying"
        self._recent: deque[ExchangeSeen] = deque(maxlen=SHOWN)
        self._met: OrderedDict[str, list[str]] = OrderedDict()
        self._broken = 0
        self._second = -1
        self._lines_said = self._swallowed = 0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._say_more()
        super().__exit__(kind, error, trace)

    def __call__(self, event: Event) -> None:
        """Takes notice of an event."""
        super().__call__(event)
        match event:
            case Injected(stage="applied" | "failed"):
                with self._lock:
                    if event.exchange:
                        self._met.setdefault(event.exchange, []).append(event.fault)
                        while len(self._met) > REMEMBERED:
                            self._met.popitem(last=False)
                self._tell(event.t, _injection(event))
            case ExchangeSeen():
                failed = event.status is None or event.status >= 500
                with self._lock:
                    self._recent.append(event)
                    self._broken += failed
                    told = event.by == "proxy" and event.exchange in self._met
                if failed and not told:
                    self._tell(event.t, self._failure(event))
            case Noted(area=area, text=text):
                self.say(f"[dim]{self._clock(event.t)}[/] [magenta]{area.replace('_', ' ')}[/] {escape_line(text)}")
            case _:
                pass

    # ── plain lines ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _tell(self, t: float, line: str) -> None:
        """On no terminal: says a line, unless this second had enough."""
        if self._live is not None or self.quiet:
            return
        with self._lock:
            fresh = int(t) != self._second
            said = 0 if fresh else self._lines_said
            self._lines_said = said + 1
        if fresh:
            self._say_more()
            self._second = int(t)
        if said < LINES_A_SECOND:
            self.say(f"[dim]{self._clock(t)}[/] {line}")
            return
        with self._lock:
            self._swallowed += 1
            first = self._swallowed == 1
        if first:
            # After a burst may come silence; then nobody else would say how many there were.
            timer = threading.Timer(1.0, self._say_more)
            timer.daemon = True
            timer.start()

    def _say_more(self) -> None:
        with self._lock:
            more, self._swallowed = self._swallowed, 0
        if more:
            self.say(f"[dim]{self._clock(self._second)} … {more} more[/]")

    def _failure(self, event: ExchangeSeen) -> str:
        met = self._met.get(event.exchange)
        faults = f"  [yellow]{escape_line(', '.join(met))}[/]" if met else ""
        what = "[red]no answer[/]" if event.status is None else f"[red]{event.status}[/] by {event.by}"
        return f"{event.direction} {escape_line(f'{event.method} {event.path}')} → {what} in {event.seconds * 1e3:.0f} ms{faults}"

    # ── the panel ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _panel(self) -> RenderableType:
        head = super()._panel()
        with self._lock:
            recent = [(event, list(self._met.get(event.exchange, ()))) for event in self._recent]
            total, broken = self._exchanges, self._broken
        if not recent:
            return Group(head, Text("no exchange yet", style="dim"))
        table = Table(box=None, pad_edge=False, header_style="dim", expand=True)
        for heading in ("time", "direction", "", "what", "status", "by", "ms", "faults"):
            table.add_column(
                heading,
                no_wrap=True,
                overflow="ellipsis",
                justify="right" if heading == "ms" else "left",
                ratio={"what": 3, "faults": 2}.get(heading),
            )
        for event, met in recent:
            about = " ".join(str(part) for part in (event.kind, event.command) if part)
            table.add_row(
                Text(self._clock(event.t), style="dim"),
                ARROWS[event.direction],
                Text(one_line(event.method[:7])),
                Text.assemble(one_line(self.redact(event.path)), (one_line(f"  {about}") if about else "", "dim")),
                Text(_status(event), style=_style(event)),
                event.by,
                f"{event.seconds * 1e3:.0f}",
                Text(", ".join(met), style="yellow"),
            )
        return Group(head, table, Text(f"{total} exchanges, {broken} failed", style="dim"))


def _injection(event: Injected) -> str:
    rule = f" ({escape_line(event.rule)})" if event.rule != event.fault else ""
    where = f"connection {event.connection}" if event.connection else ""
    what = f"[yellow]{escape_line(event.fault)}[/]{rule} {event.direction}"
    if event.stage == "failed":
        what = f"[bold magenta]failed[/] {what}"
    detail = escape_line(event.detail[:120])
    return "  ".join(part for part in (what, where, detail) if part)


def _status(event: ExchangeSeen) -> str:
    return "none" if event.status is None else str(event.status)


def _style(event: ExchangeSeen) -> str:
    if event.status is None or event.status >= 500:
        return "bold red"
    return "yellow" if event.status >= 400 else "green"
