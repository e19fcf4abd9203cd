"""The proxy that tests use, in this process: nesting, seeds, live connections, the Bot API, replay by the ledger."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from chaosbot.config.replay import ledger_plan
from chaosbot.core.check import History
from chaosbot.core.errors import ConfigError, EngineError, TargetRefused
from chaosbot.core.event import ApiCalled
from chaosbot.core.exchange import Direction
from chaosbot.core.outcome import Fate
from chaosbot.core.plan import FaultPlan
from chaosbot.testing import ChaosProxy, abort, latency, rule_of
from chaosbot.transport import Address, Connection
from chaosbot.workers import Worker

POST = b"POST /%s HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """A server that answers every request with 200."""
    listener = socket.create_server(("127.0.0.1", 0))
    open_sockets: list[socket.socket] = []

    def one(sock: socket.socket) -> None:
        data = b""
        try:
            while piece := sock.recv(65536):
                data += piece
                while b"\r\n\r\n{}" in data:
                    data = data.partition(b"\r\n\r\n{}")[2]
                    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        except OSError:
            pass

    def accept() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            open_sockets.append(sock)
            threading.Thread(target=one, args=(sock,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    for sock in open_sockets:
        sock.close()


def statuses(proxy: ChaosProxy, count: int = 20) -> list[int | None]:
    with Connection(Address.parse(proxy.url)) as connection:
        return [connection.exchange(POST % str(n).encode()).status for n in range(count)]


@pytest.mark.slow
def test_the_seed_decides_and_a_replay_needs_no_seed(service: str) -> None:
    def run(seed: int) -> tuple[list[int | None], tuple[object, ...]]:
        with ChaosProxy(service, seed=seed) as proxy, proxy.inject(abort(503), rate=0.5) as injected:
            return statuses(proxy), injected.ledger

    first, ledger = run(7)
    assert set(first) == {200, 503}
    assert run(7)[0] == first
    assert run(8)[0] != first
    # The recorded ledger decides the same again, under another seed and in another order.
    rule = ledger_plan(History.of(ledger), FaultPlan((rule_of(abort(503), ledger[0].rule, rate=0.5),)))
    with ChaosProxy(service, seed=99) as proxy:
        proxy._running.replace_plan(rule)
        with Connection(Address.parse(proxy.url)) as connection:
            again = {n: connection.exchange(POST % str(n).encode()).status for n in reversed(range(20))}
    assert [again[n] for n in range(20)] == first


@pytest.fixture
def proxy(service: str) -> Iterator[ChaosProxy]:
    """A proxy in front of the service."""
    with ChaosProxy(service) as running:
        yield running


def test_blocks_nest_and_end_one_by_one_on_a_live_connection(proxy: ChaosProxy, soon: Callable[..., float]) -> None:
    with Connection(Address.parse(proxy.url)) as connection:

        def ask() -> tuple[int | None, bool]:
            began = time.monotonic()
            status = connection.exchange(POST % b"x").status
            return status, time.monotonic() - began >= 0.15

        assert ask()[0] == 200
        with proxy.inject(latency("150ms")) as slow:
            assert ask() == (200, True)
            with proxy.inject(abort(503)) as refused:
                assert ask() == (503, True)
            assert ask() == (200, True)
        assert ask()[0] == 200
        assert refused.count == 1
        assert slow.count >= 1
        assert [seen.status for seen in proxy.exchanges] == [200, 200, 503, 200, 200]
        assert soon(ask, 0.15) < 0.15


def test_clear_lets_go_of_what_is_held(proxy: ChaosProxy) -> None:
    with proxy.inject("delay:1h"), Connection(Address.parse(proxy.url)) as connection:
        timer = threading.Timer(0.2, proxy.clear)
        timer.start()
        assert connection.exchange(POST % b"x").status == 200
        timer.join()


@pytest.fixture(scope="module")
def shared(service: str) -> Iterator[ChaosProxy]:
    """One proxy for the tests that leave no fault behind."""
    with ChaosProxy(service) as running:
        yield running


@pytest.mark.parametrize(
    ("inject", "why"),
    [
        (lambda proxy: proxy.inject(), "no fault is named"),
        (lambda proxy: proxy.inject(abort(503), rate=2), "outside 0..1"),
        (lambda proxy: proxy.inject(abort(503), scope="connection"), "scope connection is for byte faults"),
        (lambda proxy: proxy.inject("abrt:503"), "did you mean 'abort'"),
    ],
)
def test_a_mistake_is_said_when_the_block_begins(
    shared: ChaosProxy, inject: Callable[[ChaosProxy], object], why: str
) -> None:
    with pytest.raises(ConfigError, match=why), inject(shared):
        pass
    assert statuses(shared, 1) == [200]


def test_a_block_that_raises_leaves_no_fault_behind(shared: ChaosProxy) -> None:
    with pytest.raises(ZeroDivisionError), shared.inject(abort(503)):
        _ = 1 / 0
    assert statuses(shared, 3) == [200, 200, 200]


def test_a_service_that_is_not_there_is_the_proxys_own_502(free_port: Callable[[], int]) -> None:
    with ChaosProxy(f"http://127.0.0.1:{free_port()}") as proxy:
        assert statuses(proxy, 1) == [502]
        assert proxy.exchanges[0].by == "proxy"


def test_somebody_elses_service_is_refused_before_anything_starts() -> None:
    with pytest.raises(TargetRefused, match="--allow-host example"):
        ChaosProxy("https://example.com/").start()


def test_the_bot_api_can_be_played_and_disturbed() -> None:
    body = b'{"chat_id": 5, "text": "hello"}'
    call = (
        b"POST /bot42:token/sendMessage HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        % len(body)
        + body
    )
    with ChaosProxy("mock:") as api, Connection(Address.parse(api.url)) as connection:
        assert connection.exchange(call).ok
        with api.inject("botapi_429") as injected:
            assert connection.exchange(call).status == 429
        assert injected.count == 1
        assert [(seen.chat, seen.text, seen.status) for seen in api.calls] == [(5, "hello", 200), (5, "hello", 429)]
        assert all(isinstance(seen, ApiCalled) for seen in api.calls)
        assert {seen.direction for seen in api.exchanges} == {Direction.OUTBOUND}


def _kill(worker: Worker) -> None:
    os.kill(worker.pid, signal.SIGKILL)
    worker._thread.join(60)
    assert not worker.alive


def test_a_dead_worker_is_the_tests_failure(service: str) -> None:
    proxy = ChaosProxy(service).start()
    (worker,) = proxy._running._workers
    _kill(worker)
    with Connection(Address.parse(proxy.url), timeout_s=0.5) as connection:
        assert connection.exchange(POST % b"x").fate is not Fate.ANSWERED
    with pytest.raises(EngineError, match="worker 0 died"):
        proxy.stop()


def test_a_dead_worker_does_not_hide_the_tests_own_failure(service: str) -> None:
    def use() -> None:
        with ChaosProxy(service) as proxy:
            (worker,) = proxy._running._workers
            _kill(worker)
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError) as caught:
        use()
    assert "worker 0 died" in "".join(caught.value.__notes__)
