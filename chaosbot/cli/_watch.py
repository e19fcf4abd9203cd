"""Shows a run while it happens: a live panel on a terminal, plain lines everywhere else.

It listens to the run's events and never asks an engine anything, so watching cannot slow a hot path: load shows up once a second
as a frame, everything else as it comes.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.text import Text

from chaosbot.cli._console import escape_line
from chaosbot.core.event import (
    WORKERS,
    ApiCalled,
    CaseTried,
    Event,
    ExchangeSeen,
    Injected,
    IntervalMeasured,
    Noted,
    PhaseChanged,
    RuleSwitched,
    Trouble,
    plan_began,
)
from chaosbot.core.hdr import CodedHistogram
from chaosbot.core.units import format_duration

if TYPE_CHECKING:
    from rich.live import Live

PLAIN_EVERY_S: Final = 5.0
BAR_WIDTH: Final = 40
MOST_WORKERS: Final = 8
LATE_S: Final = 0.1


class Watch:
    """Shows a run to a person.

    Args:
        console: Where to.
        quiet: Say nothing until the verdict.
        total_s: How long the run is expected to take; gives progress and ETA.
        redact: Takes secrets out of what is shown.
    """

    def __init__(
        self,
        console: Console,
        *,
        quiet: bool = False,
        total_s: float | None = None,
        redact: Callable[[str], str] = str,
    ) -> None:
        self.console = console
        self.redact = redact
        self.quiet = quiet
        self.total_s = total_s
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self.began: float | None = None
        """When the plan began, in seconds since the start; None while parts start up."""
        self._phase = ""
        self._frames: dict[int, IntervalMeasured] = {}
        self._workers: dict[str, str] = {}
        self._failed = self._completed = 0
        self._cases: Counter[str] = Counter()
        self._stage = ""
        self._faults: Counter[str] = Counter()
        self._told: Counter[str] = Counter()
        self._active: dict[str, str] = {}
        self._exchanges = self._calls = 0
        self._breaches = 0
        self._last_plain = 0.0
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if not self.quiet and self.console.is_terminal:
            from rich.live import Live  # noqa: PLC0415 - none where nobody watches

            self._live = Live(console=self.console, get_renderable=self._panel, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def say(self, line: str) -> None:
        """Prints one line (rich markup)."""
        if not self.quiet:
            self.console.print(self.redact(line), highlight=False, emoji=False, soft_wrap=not self.console.is_terminal)

    def __call__(self, event: Event) -> None:
        """Takes notice of an event."""
        if self.began is None:
            self.began = plan_began(event)
        match event:
            case PhaseChanged(phase=phase, label=label):
                self._phase = f"{phase}: {label}" if label else phase
                self.say(f"[dim]{self._clock(event.t)}[/] {escape_line(self._phase)}")
            case IntervalMeasured():
                with self._lock:
                    self._frames[event.shard] = event
                    self._failed += event.failed + event.timed_out
                    self._completed += event.completed
                self._plain(event.t)
            case CaseTried(stage=stage, violations=violations):
                with self._lock:
                    self._breaches += bool(violations)
                    self._cases[stage] += 1
                    self._stage = stage
                self._plain(event.t)
            case RuleSwitched(rule=rule, fault=fault, active=active):
                with self._lock:
                    if active:
                        self._active[rule] = fault
                    else:
                        self._active.pop(rule, None)
            case Injected(stage="applied", fault=fault):
                with self._lock:
                    self._faults[fault] += 1
            case ExchangeSeen():
                self._exchanges += 1
            case ApiCalled():
                self._calls += 1
            case Noted(area=area, data=names) if area == WORKERS:
                self._workers = names
            case Trouble(where=where, what=what):
                self.say(f"[dim]{self._clock(event.t)}[/] [bold magenta]trouble[/]  {escape_line(f'{where}: {what}')}")
            case _:
                pass

    @staticmethod
    def _clock(seconds: float) -> str:
        return f"{int(seconds // 60):02}:{int(seconds % 60):02}"

    def _plain(self, now: float) -> None:
        """On no terminal: one line every few seconds."""
        if self._live is not None or self.quiet or now - self._last_plain < PLAIN_EVERY_S:
            return
        self._last_plain = now
        for line in self._lines():
            self.say(f"[dim]{self._clock(now)}[/]   {line.markup}")
        with self._lock:
            self._told = self._faults.copy()

    def _lines(self) -> list[Text]:
        with self._lock:
            lines = []
            if self._frames and not self._stage:
                frames = self._frames.values()  # each process's latest, of which some are a second behind
                response = CodedHistogram(frame.response for frame in frames)
                p50, p99 = (response.quantile(share) or 0.0 for share in (0.5, 0.99))
                finished = sum(frame.completed + frame.failed + frame.timed_out for frame in frames)
                users, in_flight = (
                    sum(getattr(frame, name) for frame in frames) for name in ("active_users", "in_flight")
                )
                latency = f"p50 {p50 * 1e3:.0f} ms  p99 {p99 * 1e3:.0f} ms" if finished else "nothing finished"
                said = [f"{finished:>5}/s", latency]
                said += [f"users {users}"] if users else []
                said += [f"in flight {in_flight}"] if in_flight else []
                said.append(f"failed {self._failed} of {self._completed + self._failed}")
                lines.append(Text("  ".join(said)))
                lines += self._by_worker()
            if self._stage:
                cases = "  ".join(f"{stage} {count}" for stage, count in self._cases.items())
                lines.append(Text(f"cases: {cases}  that broke a rule {self._breaches}"))
            # On plain lines only what is new; a panel shows all there was.
            fresh = self._faults if self._live is not None else self._faults - self._told
            if fresh:
                shown = "  ".join(f"{name} {count}" for name, count in fresh.most_common(6))
                lines.append(Text(f"faults injected: {shown}"))
            return lines

    def _by_worker(self) -> list[Text]:
        """A line for each process of the load on a panel; on plain lines one for the latest of them."""
        whole = max(sum(frame.planned for frame in self._frames.values()), 1)
        frames = sorted(self._frames.items(), key=lambda item: -item[1].lateness_p99_s)
        shown = frames[: MOST_WORKERS if self._live is not None else 1] if self._workers else []
        left_out = len(frames) - len(shown) if shown and self._live is not None else 0
        return [
            Text(
                f"{self._workers.get(str(shard), shard)}: {frame.planned / whole:.0%} of the load, "
                f"{frame.lateness_p99_s * 1e3:.0f} ms late, CPU {frame.cpu:.0%}",
                style="" if frame.lateness_p99_s < LATE_S else "yellow",
            )
            for shard, frame in shown
        ] + ([Text(f"and {left_out} more, none later")] if left_out else [])

    def _panel(self) -> RenderableType:
        elapsed = time.monotonic() - self._started
        if self.total_s:
            elapsed = 0.0 if self.began is None else max(0.0, elapsed - self.began)
        left = f", about {format_duration(round(max(0.0, self.total_s - elapsed)))} left" if self.total_s else ""
        phase = self._phase or ("running" if self._frames else "starting")
        head = Text.from_markup(f"[bold]{escape_line(phase)}[/] [dim]{format_duration(round(elapsed))}{left}[/]")
        parts: list[RenderableType] = [head]
        if self.total_s:
            bar = ProgressBar(total=self.total_s, completed=min(elapsed, self.total_s), width=BAR_WIDTH)
            parts.append(Padding(bar, 0))  # a bar alone ends no line
        with self._lock:
            active = sorted(set(self._active.values()))
        if active:
            parts.append(Text(f"active now: {', '.join(active)}", style="yellow"))
        return Group(*parts, *self._lines())
