"""chaosbot's virtual users for Locust: ``locust -f "$(chaosbot locustfile)" --host http://127.0.0.1:8000``.

DOOR to Locust, which runs, spreads, counts and shows; users, weights, waits, tasks and payloads are those of chaosbot's platforms.

- Four kinds of Telegram user (guest, power user, developer, admin) post updates to ``--webhook`` (`/webhook/telegram`).
- `RestUser` reads the market service's REST endpoints; four scenarios are clients of its WebSocket. Connects, messages and disconnects are
  entries of type ``WS`` in Locust's statistics.
- ``--health URL`` watches circuits: each trip is a failure of type ``CIRCUIT``.

Every process of a distributed run builds other update ids and other users, whatever the number of workers.
"""

from __future__ import annotations

import itertools
import logging
import os
import random
import time
from argparse import ArgumentParser
from typing import Any, ClassVar, Final
from urllib.parse import quote, urlsplit

import gevent
import locust.stats
import websocket
from locust import FastHttpUser, User, constant, events
from locust.env import Environment
from locust.runners import WorkerRunner

from chaosbot.core.dice import Dice
from chaosbot.core.errors import ChaosbotError
from chaosbot.core.journey import JourneySpec, StreamAction, StreamSpec
from chaosbot.core.platform import Endpoint, Platform, platform_of
from chaosbot.core.stream_end import FINE_CLOSES, FIRST, names_error
from chaosbot.load.sampling import HealthWatch
from chaosbot.transport import guard

logger: Final = logging.getLogger(__name__)
_PROCESSES: Final = 4096  # ids of one process are so far apart, so that no two processes share one
_LOOK_S: Final = 1.0
_USAGE: Final = 2
_UNTIL_KILLED_S: Final = 3600.0

locust.stats.PERCENTILES_TO_REPORT = [0.5, 0.9, 0.95, 0.99, 0.999, 1.0]
locust.stats.PERCENTILES_TO_STATISTICS = [0.5, 0.95, 0.99]

_BOT: Final = platform_of("telegram")
_MARKET: Final = platform_of("market")


def add_options(parser: ArgumentParser) -> None:
    """Options of this file, also shown in the web UI; secrets come from the environment and are named only."""
    group = parser.add_argument_group("chaosbot")
    group.add_argument("--webhook", default="/webhook/telegram", env_var="CHAOSBOT_WEBHOOK", help="the bot's path")
    group.add_argument("--secret-env", default="TELEGRAM_SECRET_TOKEN", help="variable that holds the webhook's secret")
    group.add_argument("--stream-token-env", default="WS_AUTH_TOKEN", help="variable that holds the stream's token")
    group.add_argument("--allow-host", default="", help="hosts beside loopback that may be loaded, with commas between")
    group.add_argument("--health", default="", help="health page (JSON) whose circuits are watched")
    group.add_argument("--circuits", default="$.circuits", help="where in it circuits stand")
    group.add_argument("--chaosbot-seed", type=int, default=0, help="seed of the payloads")


class _Numbers:
    """Numbers that no other user and no other process of the run draws."""

    def __init__(self) -> None:
        self._count = itertools.count()

    def next(self, environment: Environment) -> int:
        """The next one of this process."""
        runner = environment.runner
        index = runner.worker_index if isinstance(runner, WorkerRunner) else 0
        return next(self._count) * _PROCESSES + index


def _refuse(environment: Environment, why: str) -> None:
    """Ends the test with one line; in the web UI it can be started again with another host."""
    if environment.process_exit_code == _USAGE:
        return
    environment.process_exit_code = _USAGE
    logger.error("%s", why)
    if environment.runner is not None:
        gevent.spawn(environment.runner.stop if environment.web_ui is not None else environment.runner.quit)


_USERS: Final = _Numbers()
_REQUESTS: Final = _Numbers()


class _Guarded(User):
    """A user of one of chaosbot's platforms; sends nothing to a host that is not allowed."""

    abstract = True
    platform: ClassVar[Platform]
    journey: ClassVar[JourneySpec]

    def on_start(self) -> None:
        """Takes an id, and refuses a foreign host."""
        options = self.environment.parsed_options
        host = urlsplit(self.host or "").hostname or ""
        allow = tuple(name for name in options.allow_host.split(",") if name)
        try:
            guard(host, allow, where="--host")
        except ChaosbotError as error:
            _refuse(self.environment, str(error))
            gevent.sleep(_UNTIL_KILLED_S)  # Locust has no quieter way to keep a user from its first task
        index = _USERS.next(self.environment)
        ids = self.journey.users
        self.user_id = ids[(index // _PROCESSES + index % _PROCESSES) % len(ids)]
        self.dice = Dice(options.chaosbot_seed)
        self.endpoint = Endpoint(
            urlsplit(self.host or "").netloc,
            options.webhook if self.platform is _BOT else "/",
            os.environ.get(options.secret_env, "") if self.platform is _BOT else "",
            started=_STARTED,
        )


_STARTED: Final = int(time.time())


class _HttpUser(_Guarded, FastHttpUser):
    """Sends a journey's requests by Locust's fast client."""

    abstract = True
    network_timeout = 30.0
    connection_timeout = 5.0

    def perform(self, task: str) -> None:
        """Sends one request of the journey; Locust counts it under the task's name."""
        request = self.platform.build(task, self.user_id, _REQUESTS.next(self.environment), self.dice, self.endpoint)
        head, _, body = request.data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ", 2)
        headers = dict(line.split(": ", 1) for line in lines)
        for name in ("Host", "Connection", "Content-Length", "Accept-Encoding"):
            headers.pop(name, None)
        self.client.request(method, path, data=body.decode() or None, headers=headers, name=task)

    def wait_time(self) -> float:
        """The journey's pause."""
        return random.uniform(*self.journey.wait_s)


def _tasks(journey: JourneySpec) -> list[Any]:
    """A journey's tasks as Locust draws them: each as often as its weight says."""
    return [lambda user, name=task.name: user.perform(name) for task in journey.tasks for _ in range(int(task.weight))]


_JOURNEYS: Final = {journey.name: journey for journey in (*_BOT.journeys(), *_MARKET.journeys())}
_STREAMS: Final = {stream.name: stream for stream in _MARKET.streams()}


class GuestUser(_HttpUser):
    """Four of five: small talk, /help, /status, /skills, /start."""

    platform, journey = _BOT, _JOURNEYS["guest"]
    weight, tasks = 80, _tasks(_JOURNEYS["guest"])


class PowerUser(_HttpUser):
    """The tier ``user``: tasks, skills, translations, media, reminders."""

    platform, journey = _BOT, _JOURNEYS["user"]
    weight, tasks = 15, _tasks(_JOURNEYS["user"])


class DeveloperUser(_HttpUser):
    """Traces and circuits."""

    platform, journey = _BOT, _JOURNEYS["developer"]
    weight, tasks = 4, _tasks(_JOURNEYS["developer"])


class AdminUser(_HttpUser):
    """The admin, who grants and revokes rights of test ids only."""

    platform, journey = _BOT, _JOURNEYS["admin"]
    weight, tasks = 1, _tasks(_JOURNEYS["admin"])


class RestUser(_HttpUser):
    """A dashboard of the market service."""

    platform, journey = _MARKET, _JOURNEYS["client"]
    weight, tasks = 20, _tasks(_JOURNEYS["client"])


def _all_of(*tasks: Any) -> list[Any]:
    return list(tasks)


class _StreamUser(_Guarded):
    """A client of the market's WebSocket: connects, subscribes, reads, leaves."""

    abstract = True
    platform, journey = _MARKET, _JOURNEYS["client"]
    weight = 5
    stream: ClassVar[StreamSpec]
    wait_time = constant(0)

    def on_start(self) -> None:
        """Clients of one scenario begin within its spread: a rush is a rush whatever Locust's spawn rate."""
        super().on_start()
        gevent.sleep(random.uniform(0, self.stream.spread_s))

    def visit(self) -> None:
        """One connection, from its handshake to its end."""
        stream = self.stream
        token = os.environ.get(self.environment.parsed_options.stream_token_env, "")
        query = f"?{stream.token_param}={quote(token)}" if token else ""
        url = "ws" + (self.host or "").removeprefix("http").rstrip("/") + stream.path
        began = time.perf_counter()
        try:
            client = websocket.create_connection(url + query, timeout=5.0)
        except (OSError, websocket.WebSocketException) as error:
            self._count("connect", began, error=_told(error, token))
            gevent.sleep(1.0)  # a refused client does not hammer
            return
        self._count("connect", began)
        until = time.perf_counter() + random.uniform(*stream.stay_s)
        try:
            for message in stream.messages:
                client.send(message if isinstance(message, str) else message.decode())
            self._read(client, until)
            self._count("disconnect", time.perf_counter())
        except (OSError, websocket.WebSocketException) as error:
            self._count("disconnect", time.perf_counter(), error=_told(error, token))
        finally:
            client.close(timeout=1)
        gevent.sleep(random.uniform(*stream.pause_s))

    def _read(self, client: websocket.WebSocket, until: float) -> None:
        """Reads until the client has stayed long enough; each message is an entry with the gap before it as its time.

        Raises:
            WebSocketConnectionClosedException: The server ended it, and not as one that had done its work.
        """
        count, newest = 0, b""
        while (left := until - time.perf_counter()) > 0:
            client.settimeout(left)
            waited = time.perf_counter()
            try:
                opcode, data = client.recv_data()
            except websocket.WebSocketTimeoutException:
                return
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                code = int.from_bytes(data[:2], "big") if len(data) >= 2 else 1005
                if str(code) in FINE_CLOSES and count > FIRST and not names_error(newest):
                    return
                last = ", the last one an error" * names_error(newest)
                raise websocket.WebSocketConnectionClosedException(f"closed with {code} after {count} messages{last}")
            count, newest = count + 1, data
            self._count("receive", waited, length=len(data))

    def _count(self, what: str, began: float, *, length: int = 0, error: Exception | None = None) -> None:
        events.request.fire(
            request_type="WS",
            name=f"{self.stream.name}/{what}",
            response_time=(time.perf_counter() - began) * 1000,
            response_length=length,
            exception=error,
            context={},
        )

    tasks = _all_of(visit)


def _told(error: Exception, token: str) -> Exception:
    """The error as statistics may show it: without the token, which stands in the URL."""
    text = str(error).replace(quote(token), "***") if token else str(error)
    return ConnectionError(f"{type(error).__name__}: {text[:200]}")


class MarketStreamUser(_StreamUser):
    """Subscribes and listens."""

    stream = _STREAMS["market_stream"]


class ForeignFlowUser(_HttpUser):
    """Polls beside the stream."""

    platform = _MARKET
    journey = JourneySpec(
        "foreign_flow", 1.0, _STREAMS["foreign_flow"].pause_s, _STREAMS["foreign_flow"].tasks, _JOURNEYS["client"].users
    )
    weight, tasks = 5, _tasks(journey)


class BurstUser(_StreamUser):
    """Everybody connects within a second: the opening of a market."""

    stream = _STREAMS["burst_test"]


class ReconnectStormUser(_StreamUser):
    """Connects, leaves and comes back at once."""

    stream = _STREAMS["reconnect_storm"]


assert {stream.action for stream in _STREAMS.values()} == set(StreamAction)  # noqa: S101 - each has its class above


def watch_circuits(environment: Environment, **_: Any) -> None:
    """Looks at circuits while a test runs, on the machine that shows its results."""
    options = environment.parsed_options
    if options is not None and options.health and not isinstance(environment.runner, WorkerRunner):
        guard(urlsplit(options.health).hostname or "", options.allow_host.split(","), where="--health")
        gevent.spawn(_watch, environment, HealthWatch(options.health, options.circuits))


def _watch(environment: Environment, look: HealthWatch) -> None:
    before: dict[str, Any] = {}
    while environment.runner is not None and environment.runner.state not in ("stopping", "stopped", "cleanup"):
        for name, ok, state, _detail in gevent.get_hub().threadpool.apply(lambda: list(look())):
            if not ok or not name.startswith("circuit:"):
                continue
            tripped = state == "open" and before.get(name, "closed") != "open"
            before[name] = state
            events.request.fire(
                request_type="CIRCUIT",
                name=name.removeprefix("circuit:"),
                response_time=0,
                response_length=0,
                exception=RuntimeError("the circuit tripped") if tripped else None,
                context={},
            )
        gevent.sleep(_LOOK_S)


events.init_command_line_parser.add_listener(add_options)
events.test_start.add_listener(watch_circuits)
