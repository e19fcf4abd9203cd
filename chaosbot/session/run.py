"""One run, from its first event to its report.

Rules:

- Whatever happens (an error, Ctrl-C, SIGTERM, a broken part), a run that has started ends with `RunEnded`, a folded verdict and a
  written report; only kill -9 leaves a torn journal, which `chaosbot report` then calls inconclusive.
- The first signal asks every part to stop and, a moment later, interrupts whatever did not listen. What is only starting is
  interrupted at once, what is ending is left to end; signals while the report is being written are ignored.
- A run that ended with a usage error before anything happened was none: its directory goes.
- Child processes end when their pipe from here does, so none outlives the run, however it dies.
"""

from __future__ import annotations

import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from chaosbot import __version__
from chaosbot.config import defaults
from chaosbot.core.errors import ChaosbotError, UsageError
from chaosbot.core.event import (
    SCHEMA,
    ApiCalled,
    Event,
    Noted,
    PhaseChanged,
    ProbeSeen,
    RuleTallied,
    RunEnded,
    RunStarted,
    Trouble,
)
from chaosbot.journal import Journal, Redactor
from chaosbot.session.steering import Steering

if TYPE_CHECKING:
    from chaosbot.report import Report

STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Signals that end a run with its report: Ctrl-C, a supervisor, a terminal that closed, and the terminal's quit key."""
SERVING: Final = frozenset({"proxy", "mock"})
"""Verbs without a plan: their time runs from the start."""
GRACE_S: Final = 0.6
"""How long parts may take to notice that they should stop before the main thread is interrupted."""


def known_secrets(*more: str) -> tuple[str, ...]:
    """All secret values that this process knows of, longest first."""
    values = {os.environ.get(name, "") for name in defaults.SECRETS} | set(more)
    return tuple(sorted((value for value in values if len(value) >= 4), key=len, reverse=True))


def versions(verb: str = "") -> dict[str, str]:
    """The versions that a report should name.

    Args:
        verb: What runs. A load has neither proxy nor cases: it names what it has loaded, without a look at what is installed besides.
    """
    found = {"python": platform.python_version(), "platform": f"{platform.system()} {platform.machine()}"}
    for package in ("mitmproxy", "hypothesis", "trio", "httptools"):
        if told := getattr(sys.modules.get(package), "__version__", ""):
            found[package] = told
        elif verb != "load":
            from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - a tenth of a load's start

            with suppress(PackageNotFoundError):
                found[package] = version(package)
    return found


def default_directory(verb: str) -> Path:
    """``chaosbot-runs/<time>-<verb>``, with a number when two runs start within a second."""
    base = Path("chaosbot-runs") / f"{datetime.now().astimezone():%Y%m%d-%H%M%S}-{verb}"
    number = 2
    directory = base
    while directory.exists():
        directory = base.with_name(f"{base.name}-{number}")
        number += 1
    return directory


class Run:
    """One run of one verb.

    Args:
        verb: What runs.
        target: What it runs against, for people.
        seed: All chance.
        directory: Where everything is written; it must not hold a run yet.
        secrets: Values that must never be written.
        settings: What a reader needs to run it again (redacted like everything else).
    """

    def __init__(
        self,
        verb: str,
        target: str,
        seed: int,
        directory: Path,
        *,
        secrets: tuple[str, ...] = (),
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.verb = verb
        self.seed = seed
        self.directory = directory
        self.redactor = Redactor(secrets)
        self.journal = Journal(directory, self.redactor)
        self.started = time.monotonic()
        self.stopping = threading.Event()
        self.reason = ""
        self.report: Report | None = None
        self.unwritten = ""
        self.starting = self.ending = False
        self._warming: threading.Thread | None = None
        self.listeners: list[Callable[[Event], None]] = []
        self.steering = Steering(self)
        self.aftermath: list[Callable[..., None]] = []
        """What is done once the verdict is told, such as a page that stays."""
        self.emit(
            RunStarted(
                0.0,
                verb,
                __version__,
                seed,
                target,
                datetime.now().astimezone().isoformat(timespec="seconds"),
                dict(settings or {}),
                versions(verb),
                SCHEMA,
            )
        )

    def now(self) -> float:
        """Seconds since the run started."""
        return time.monotonic() - self.started

    def emit(self, event: Event) -> None:
        """Records an event and shows it to whoever watches."""
        if isinstance(event, ApiCalled) and any(secret in event.text for secret in self.redactor.secrets):
            # The journal takes the secret out, and with it what shows that a user would have read it.
            event = event.telling("secret")
        if isinstance(event, ProbeSeen) and not event.ok and self.should_stop():
            return  # whoever stopped the run may have stopped the target with it
        self.journal.write(event)
        if self.journal.failure:
            self.stop(self.journal.failure)
        for listener in self.listeners:
            listener(event)

    def phase(self, name: str, label: str = "") -> None:
        """A phase begins."""
        self.emit(PhaseChanged(self.now(), name, label))

    def note(self, area: str, text: str, **data: Any) -> None:
        """Tells the report's reader something."""
        self.emit(Noted(self.now(), area, text, data))

    def trouble(self, where: str, what: str) -> None:
        """A part of chaosbot failed; the run cannot be a pass any more."""
        self.emit(Trouble(self.now(), where, what))

    def should_stop(self) -> bool:
        """Whether somebody asked the run to stop."""
        return self.stopping.is_set()

    def stop(self, reason: str) -> None:
        """Asks every part to stop."""
        if not self.stopping.is_set():
            self.reason = reason
            self.stopping.set()

    def warm_up(self) -> None:
        """Loads what the report needs while parts of the run start, so that its end does not wait for that."""
        if self._warming is None:
            self._warming = threading.Thread(target=_warm_up, name="report", daemon=True)
            self._warming.start()

    def warmed_up(self) -> None:
        """Waits until `warm_up` is done: drivers shall have the machine for themselves."""
        if self._warming is not None:
            self._warming.join()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """What is done inside listens to nobody yet, so a signal interrupts it at once.

        Raises:
            KeyboardInterrupt: A signal came, before or meanwhile.
        """
        self.starting = True
        try:
            if self.should_stop():
                raise KeyboardInterrupt
            yield
        finally:
            self.starting = False

    def finish(self, how: str, reason: str = "") -> Report:
        """Ends the journal, folds it and writes the report; the second call returns the first one's report.

        A report that cannot be written is told by `unwritten`; it is still returned, to be shown.
        """
        if self.report is not None:
            return self.report
        self.emit(RunEnded(self.now(), how, reason))
        from chaosbot.report import fold, write_all  # noqa: PLC0415 - a tenth of a second that no start waits for

        history = self.journal.history()
        self.journal.close()
        self.report = fold(history)
        try:
            write_all(self.report, self.directory, self.redactor)
        except UsageError as error:
            self.unwritten = str(error)
        return self.report

    @property
    def empty(self) -> bool:
        """Whether nothing has been seen yet that a report could tell."""
        return not self.journal.counts.keys() - {RunStarted, PhaseChanged, Noted, RuleTallied}


def _warm_up() -> None:
    # What keeps it from being read now (no file can be opened) is told by whoever needs it.
    with suppress(OSError, ImportError):
        from chaosbot.report import warm_up  # noqa: PLC0415 - as above

        warm_up()


@contextmanager
def signals_held() -> Iterator[None]:
    """Signals that come meanwhile take effect afterwards: for the moment in which a run is made and nobody conducts it yet."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def conducting(run: Run) -> Iterator[Run]:
    """Runs the body as the run's main part, with signals turned into a stop, and always finishes the run.

    Errors raised on purpose (`ChaosbotError`) are recorded as trouble, the report is written, and they go on upwards.
    """
    with _signals(run):
        try:
            yield run
        except KeyboardInterrupt:
            run.stop("interrupted")
        except ChaosbotError as error:
            if isinstance(error, UsageError) and run.empty:
                run.journal.discard()
                raise
            # Recorded, not shown: whoever called says it once.
            run.journal.write(Trouble(run.now(), run.verb, str(error)))
            run.finish("aborted", str(error))
            raise
        except Exception as error:
            run.trouble(run.verb, f"{type(error).__name__}: {error}")
            run.finish("aborted", f"{type(error).__name__}")
            raise
        finally:
            ignore_signals()
            how = "interrupted" if run.reason == "interrupted" else "aborted" if run.stopping.is_set() else "completed"
            if not run.journal.discarded:
                run.finish(how, run.reason)


def ignore_signals() -> None:
    """From now on signals change nothing: what is left to do takes a moment and must be done."""
    if threading.current_thread() is threading.main_thread():
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number in STOPPING:
            signal.signal(number, signal.SIG_IGN)


@contextmanager
def _signals(run: Run) -> Iterator[None]:
    """SIGINT and SIGTERM stop the run; outside the main thread (tests) nothing is touched."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    asked = False

    def ask(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        run.stop("interrupted")
        if asked:
            return
        asked = True
        if run.starting:
            raise KeyboardInterrupt
        signal.setitimer(signal.ITIMER_REAL, GRACE_S)

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        if not run.ending:
            raise KeyboardInterrupt

    numbers = (*STOPPING, signal.SIGALRM)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in STOPPING:
        if number is signal.SIGINT or before[number] is not signal.SIG_IGN:  # nohup means it
            signal.signal(number, ask)
    signal.signal(signal.SIGALRM, interrupt)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
