"""Looks at the target beside the load: its process, its metrics page, its health page; each look is a `ProbeSeen`.

| source | series |
|---|---|
| `pid` | ``memory`` (resident bytes), ``descriptors``, ``threads``, ``cpu`` (cores) – the process and its children |
| `metrics` | the same names from ``process_…`` where there is no pid, and each metric asked for under its own name |
| `health` | ``health`` (the status), ``circuit:NAME`` (``closed``, ``half-open``, ``open``) |

A look that fails is recorded as one that saw nothing; a probe that never saw anything makes the run inconclusive (the report
says so). Looks happen in threads, so a target that hangs does not hold up the load.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import orjson
import trio

from chaosbot.core.errors import ChaosbotError, ConfigError, UsageError
from chaosbot.core.event import Event, ProbeSeen
from chaosbot.load.spec import Sampling
from chaosbot.transport import USUAL_TLS, Tls, look, metrics

_TIMEOUT_S: Final = 5.0
_USUAL: Final = {
    "process_resident_memory_bytes": "memory",
    "process_open_fds": "descriptors",
    "process_threads": "threads",
}

Look = tuple[str, bool, float | str | None, str]


class ProcessWatch:
    """The memory, descriptors, threads and CPU of a process and its children.

    Raises:
        UsageError: There is no such process.
    """

    def __init__(self, pid: int) -> None:
        import psutil  # noqa: PLC0415 - only for who watches a process; it would be a tenth of every start

        self._error = psutil.Error
        try:
            self._root = psutil.Process(pid)
        except psutil.Error:
            raise UsageError(f"--pid {pid}: no such process; give the target's") from None
        self._busy: tuple[float, float] | None = None

    def __call__(self) -> Iterator[Look]:
        """One look."""
        memory = descriptors = threads = 0
        cpu = 0.0
        try:
            family = [self._root, *self._root.children(recursive=True)]
        except self._error as error:
            yield "memory", False, None, f"process {self._root.pid}: {type(error).__name__}"
            return
        for process in family:
            try:
                with process.oneshot():
                    memory += process.memory_info().rss
                    descriptors += process.num_fds()
                    threads += process.num_threads()
                    times = process.cpu_times()
                    cpu += times.user + times.system
            except self._error:
                continue  # a child that has just ended
        if not memory:
            yield "memory", False, None, f"process {self._root.pid} is gone"
            return
        yield "memory", True, float(memory), ""
        yield "descriptors", True, float(descriptors), ""
        yield "threads", True, float(threads), ""
        now = time.monotonic()
        if self._busy is not None and now > self._busy[0]:
            yield "cpu", True, round(max(cpu - self._busy[1], 0.0) / (now - self._busy[0]), 4), ""
        self._busy = (now, cpu)


class MetricsWatch:
    """Chosen samples of a Prometheus page.

    Args:
        url: The page.
        names: Metrics to follow beside the usual ones.
        usual: Whether memory and descriptors are taken from here.
        tls: How an https page is spoken to.
    """

    def __init__(self, url: str, names: tuple[str, ...], *, usual: bool, tls: Tls = USUAL_TLS) -> None:
        self._url = url
        self._tls = tls
        self._names = names
        self._usual = usual

    def __call__(self) -> Iterator[Look]:
        """One look."""
        try:
            page = metrics(self._url, timeout_s=_TIMEOUT_S, tls=self._tls)
        except ChaosbotError as error:
            yield "metrics", False, None, str(error)
            return
        found = False
        for name, series in _USUAL.items() if self._usual else ():
            if name in page:
                found = True
                yield series, True, page[name], ""
        for name in self._names:
            values = [value for key, value in page.items() if key == name or key.startswith(name + "{")]
            found = found or bool(values)
            if values:
                yield name, True, sum(values), ""
            else:
                yield name, False, None, f"{self._url} has no metric of this name"
        if not found and not self._names:
            yield "metrics", not self._usual, None, f"{self._url}: none of {', '.join(_USUAL)}"


class HealthWatch:
    """A health page and the circuits in it."""

    def __init__(self, url: str, circuits: str, *, tls: Tls = USUAL_TLS) -> None:
        self._url = url
        self._tls = tls
        self._path = [part for part in circuits.removeprefix("$").split(".") if part]

    def __call__(self) -> Iterator[Look]:
        """One look."""
        try:
            # Many services answer 503 while a circuit is open, with the circuits in the body.
            status, body = look(self._url, timeout_s=_TIMEOUT_S, tls=self._tls)
        except ChaosbotError as error:
            yield "health", False, None, str(error)
            return
        yield "health", 200 <= status < 300, float(status), ""
        try:
            found: Any = orjson.loads(body)
            for part in self._path:
                found = found[part]
        except (orjson.JSONDecodeError, LookupError, TypeError):
            return
        if isinstance(found, Mapping):
            for name, circuit in found.items():
                state = circuit.get("state") if isinstance(circuit, Mapping) else circuit
                if isinstance(state, (str, int, float)):
                    yield f"circuit:{name}", True, state, ""
        elif isinstance(found, (str, int, float)):
            yield "circuits", True, found, ""


def watches(sampling: Sampling, tls: Tls = USUAL_TLS) -> list[Callable[[], Iterator[Look]]]:
    """The looks that are asked for.

    Raises:
        UsageError: No such process, or a URL that is none.
    """
    found: list[Callable[[], Iterator[Look]]] = []
    if sampling.pid is not None:
        found.append(ProcessWatch(sampling.pid))
    for option, url in (("--metrics", sampling.metrics), ("--health", sampling.health)):
        if url and not url.startswith(("http://", "https://")):
            raise ConfigError(option, f"'{url}' is no http or https URL")
    if sampling.metrics:
        found.append(MetricsWatch(sampling.metrics, sampling.metric_names, usual=sampling.pid is None, tls=tls))
    if sampling.health:
        found.append(HealthWatch(sampling.health, sampling.circuits, tls=tls))
    return found


async def sample(
    look: Callable[[], Iterator[Look]],
    every_s: float,
    emit: Callable[[Event], None],
    now: Callable[[], float],
) -> None:
    """Looks again and again until cancelled.

    Args:
        look: One look; runs in a thread.
        every_s: Seconds between looks.
        emit: Takes the events.
        now: Seconds since the run's start.
    """
    due = trio.current_time()
    while True:
        seen = await trio.to_thread.run_sync(lambda: list(look()), abandon_on_cancel=True)
        for probe, ok, value, detail in seen:
            emit(ProbeSeen(now(), probe, ok, value, detail))
        due = max(due + every_s, trio.current_time())
        await trio.sleep_until(due)
