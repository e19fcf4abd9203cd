"""The pytest plugin: the fixture ``chaos_proxy`` puts a real proxy in front of whatever a test talks to, ``chaos_llm`` one before mocked models.

::

    from chaosbot.testing import latency, llm_error

    def test_the_client_survives_a_slow_service(chaos_proxy, service):
        proxy = chaos_proxy(service.url)
        with chaos_proxy.inject(latency("200ms"), rate=0.5, path="/webhook/*"):
            ...


    def test_the_agent_answers_when_the_model_is_overloaded(chaos_llm):
        with chaos_llm.inject(llm_error(529)):
            reply = agent("Where is my order?")
        chaos_llm.assert_resilient(reply)

Works in synchronous, asyncio and trio tests alike; nothing is awaited. ``--chaos-seed N`` sets the seed of every probability
(0 unless told), so a failure shows again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from chaosbot.core.fault import Fault
    from chaosbot.testing import ChaosLlm, ChaosProxy, Injection


class ChaosProxies:
    """Starts proxies for one test and stops them after it.

    Args:
        seed: The seed of every probability.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._stack = ExitStack()
        self._proxies: list[ChaosProxy] = []

    def __call__(self, upstream: str, **options: Any) -> ChaosProxy:
        """Starts a proxy in front of a service (`chaosbot.testing.ChaosProxy`)."""
        from chaosbot.testing import ChaosProxy  # noqa: PLC0415 - most test runs that load this plugin never use it

        proxy = self._stack.enter_context(ChaosProxy(upstream, **{"seed": self.seed, **options}))
        self._proxies.append(proxy)
        return proxy

    to = __call__

    @contextmanager
    def inject(self, *what: Fault | str, **targeting: Any) -> Iterator[Injection]:
        """Lets a fault happen in every proxy of this test, for the length of the ``with``; the injection is the last one's."""
        if not self._proxies:
            pytest.fail(
                "chaos_proxy.inject: no proxy is there; start one first: proxy = chaos_proxy('http://127.0.0.1:8000')"
            )
        with ExitStack() as stack:
            injections = [stack.enter_context(proxy.inject(*what, **targeting)) for proxy in self._proxies]
            yield injections[-1]

    def close(self) -> None:
        """Stops the proxies.

        Raises:
            EngineError: Something of chaosbot itself failed during the test.
        """
        self._proxies.clear()
        self._stack.close()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds ``--chaos-seed``."""
    parser.getgroup("chaosbot").addoption(
        "--chaos-seed", type=int, default=0, metavar="N", help="Seed of all chaosbot faults (default 0)."
    )


def pytest_configure(config: pytest.Config) -> None:
    """Names the marker by which a test sets the models' options."""
    config.addinivalue_line(
        "markers", "chaos_llm(**options): options of the mocked models behind the fixture chaos_llm."
    )


def pytest_report_header(config: pytest.Config) -> str | None:
    """Names the seed when one was chosen."""
    seed = config.getoption("--chaos-seed")
    return f"chaosbot: --chaos-seed={seed}" if seed else None


@pytest.fixture
def chaos_proxy(request: pytest.FixtureRequest) -> Iterator[ChaosProxies]:
    """Starts chaos proxies: ``chaos_proxy(URL)``; faults by ``with chaos_proxy.inject(…):``."""
    proxies = ChaosProxies(request.config.getoption("--chaos-seed"))
    try:
        yield proxies
    finally:
        proxies.close()


@pytest.fixture
def chaos_llm(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ChaosLlm]:
    """Mocked language models to which the environment leads every SDK (`chaosbot.testing.ChaosLlm`).

    ``@pytest.mark.chaos_llm(shape="tool")`` sets the mock's options.
    """
    from chaosbot.testing import ChaosLlm  # noqa: PLC0415 - most test runs that load this plugin never use it

    marks = reversed(list(request.node.iter_markers("chaos_llm")))  # the closest last
    options: dict[str, Any] = {name: value for mark in marks for name, value in mark.kwargs.items()}
    with ChaosLlm(**{"seed": request.config.getoption("--chaos-seed"), **options}) as models:
        for name in models.misleading:
            monkeypatch.delenv(name, raising=False)
        for name, value in models.settings.items():
            monkeypatch.setenv(name, value)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(name, "127.0.0.1", prepend=",")
        yield models
