"""Announces the phases of an experiment when their time has come."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from chaosbot.core.timeline import Step
from chaosbot.session.run import Run


class PhaseScheduler(threading.Thread):
    """Announces the phases of a timeline when their time has come.

    Args:
        run: Where they are announced.
        timeline: The phases.
        zero_s: When the first one begins, on the run's clock.
        on_step: Called first with each (the proxy's rules change before the phase is announced).
    """

    def __init__(self, run: Run, timeline: Sequence[Step], zero_s: float, on_step: Callable[[Step], None]) -> None:
        super().__init__(name="phases", daemon=True)
        self._run = run
        self._timeline = timeline
        self._on_step = on_step
        self._ended = threading.Event()
        self._zero = zero_s
        self.current = ""

    def run(self) -> None:
        """Walks the timeline until its end or until the run stops."""
        try:
            for step in self._timeline:
                if self._ended.wait(max(0.0, self._zero + step.start_s - self._run.now())) or self._run.should_stop():
                    return
                self._on_step(step)
                self.current = step.key
                self._run.phase(step.phase, step.label)
        except Exception as error:  # noqa: BLE001 - a phase that cannot be set must not end in silence
            self._run.trouble("phases", f"{type(error).__name__}: {error}")

    def end(self) -> None:
        """Announces nothing more."""
        self._ended.set()
        self.join(1.0)
