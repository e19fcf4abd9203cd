"""Faults for tests: a real proxy in front of the service that a test talks to, disturbed for the length of a ``with``.

::

    from chaosbot.testing import ChaosProxy, latency, lost_ack

    with ChaosProxy("http://127.0.0.1:8000") as proxy:
        client.post(proxy.url + "/webhook")
        with proxy.inject(latency("200ms"), rate=0.5, path="/webhook/*") as injected:
            client.post(proxy.url + "/webhook/orders")
        assert injected.count == 1

Every fault of the registry is a name of this module, third parties' faults included; `fault` builds one by its name as text.
With pytest, the fixture ``chaos_proxy`` starts and stops proxies, and ``chaos_llm`` is a `ChaosLlm` to which the SDKs of language models
are led (`chaosbot.pytest_plugin`).

Colourless: the proxy runs in a process of its own and nothing here waits for it longer than a moment, so the same lines work in
synchronous, asyncio and trio tests. The engines are loaded when the first proxy starts, not when this module is imported.
"""

from __future__ import annotations

import itertools
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from time import monotonic, sleep
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from chaosbot.config import defaults, renamed
from chaosbot.core import units
from chaosbot.core.dice import Dice
from chaosbot.core.errors import ConfigError, EngineError
from chaosbot.core.event import ApiCalled, Event, ExchangeSeen, Injected, ModelCalled, Noted, RuleSwitched, Trouble
from chaosbot.core.exchange import Depth, Direction
from chaosbot.core.fault import FAULTS, Fault
from chaosbot.core.marker import answer_marks_in, marker
from chaosbot.core.mock import PREFIX, is_mock, mock_of, told_of
from chaosbot.core.plan import FaultPlan, Rule
from chaosbot.core.registry import options_of
from chaosbot.core.verdict import Severity

if TYPE_CHECKING:
    from chaosbot.addons.proxy import Proxy


def fault(name: str, *values: object, **options: object) -> Fault:
    """Builds a fault of the registry: ``fault("latency", "200ms", jitter="50ms")`` or ``fault("latency", "200ms±50ms")``.

    Args:
        name: The fault's name.
        values: Its primary options, in their order, as people write them.
        options: Its options by name.

    Raises:
        ConfigError: No such fault or option, or a value without its unit; the message lists what there is.
    """
    entry = FAULTS.get(name)
    primaries = [field.name for field in options_of(entry) if field.metadata["primary"]]
    given: list[object] = []
    for value in values:
        centre, around = units.spread(value) if isinstance(value, str) else (value, None)
        given += [centre] if around is None else [centre, around]
    if len(given) > len(primaries):
        takes = " ± ".join(primaries) or "no value without a name"
        raise ConfigError(name, f"{len(given)} values are more than it takes ({takes}); give the others by name")
    return FAULTS.build(name, {**dict(zip(primaries, given, strict=False)), **options})


def __getattr__(name: str) -> Callable[..., Fault]:
    if name.startswith("_") or name not in FAULTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return partial(fault, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *FAULTS})


# Faults of each depth that need no options.
_NEUTRAL: Final = {Depth.BYTES: "refuse", Depth.EXCHANGE: "empty_reply", Depth.UPDATE: "duplicate"}


def rule_of(what: Fault | str, name: str, **targeting: Any) -> Rule:
    """A rule from a fault (or a text as ``--fault`` takes it) and the targeting keys of a plan file.

    Raises:
        ConfigError: A key or a value is wrong.
    """
    from chaosbot.config.plan import parse_fault, plan_from, rule_to_mapping  # noqa: PLC0415 - loads YAML; not for an import

    if isinstance(what, str):
        if ";" in what or not targeting:
            if targeting:
                raise ConfigError(
                    "inject", f"'{what}' has conditions of its own; give all in the text or all by keyword"
                )
            return replace(parse_fault(what), name=name)
        what = fault(*what.split(":", 1))
    if what.name in FAULTS:
        written = rule_to_mapping(Rule(name, what))
        item = {"fault": written["fault"], "options": written.get("options", {})}
    else:
        item = {"fault": _NEUTRAL[what.depth]}  # a test's own fault: it only needs the conditions read
    rule = plan_from({"rules": [{**item, **targeting, "name": name}]}, "inject").rules[0]
    return replace(rule, fault=what)


class Injection:
    """What an `inject` came to, readable during and after its ``with``."""

    def __init__(self, proxy: ChaosProxy, rule: Rule) -> None:
        self._proxy = proxy
        self.rule = rule

    @property
    def ledger(self) -> tuple[Injected, ...]:
        """Every exchange or connection that the fault was decided for, and what became of it."""
        return tuple(
            event for event in self._proxy.events if isinstance(event, Injected) and event.rule == self.rule.name
        )

    @property
    def count(self) -> int:
        """How often the fault physically happened."""
        return sum(event.stage == "applied" for event in self.ledger)


class ChaosProxy:
    """A proxy in front of a service, passing everything on until `inject` says otherwise.

    Args:
        upstream: Where it passes traffic on: ``http://HOST:PORT``, ``https://HOST``, ``tcp://HOST:PORT``, or ``mock:`` for
            a Bot API that chaosbot plays itself (its calls are in `calls`).
        seed: Same seed, same traffic, same faults.
        allow_hosts: Hosts other than loopback that may be broken.
        platform: What inbound updates are read as, for targeting by kind, command, tier and user.
        port: Where to listen; 0 for any free port.

    Raises:
        TargetRefused: The upstream is neither loopback nor allowed.
    """

    def __init__(
        self,
        upstream: str,
        *,
        seed: int = 0,
        allow_hosts: Sequence[str] = (),
        platform: str = defaults.PLATFORM,
        port: int = 0,
        **old: Any,
    ) -> None:
        if old:
            unknown = old.keys() - renamed.PARAMETERS.keys()
            if unknown:
                raise TypeError(f"ChaosProxy has no parameter {', '.join(sorted(unknown))}")
            platform = renamed.with_new_keys(old, renamed.PARAMETERS, "ChaosProxy")["platform"]
        self._upstream = renamed.with_new_word(upstream, renamed.OUTBOUND, "ChaosProxy")
        self._seed = seed
        self._allow = tuple(allow_hosts)
        self._platform = platform
        self._port = port
        self._proxy: Proxy | None = None
        self._running_parts = ExitStack()
        self._events: list[Event] = []
        self._lock = threading.RLock()
        self._rules: dict[str, Rule] = {}
        self._names = itertools.count(1)

    def start(self) -> Self:
        """Starts it; returns when its port accepts.

        Raises:
            PortBusy: The port is taken.
            EngineError: It did not come up.
        """
        from chaosbot.addons.proxy import ListenerSpec, ProxySpec  # noqa: PLC0415 - when the first starts
        from chaosbot.session.listeners import launched  # noqa: PLC0415
        from chaosbot.transport import Address, guard  # noqa: PLC0415

        direction = Direction.OUTBOUND if is_mock(self._upstream) else Direction.INBOUND
        upstream = self._upstream
        if not is_mock(upstream):
            http = upstream.startswith(("http:", "https:"))
            host = Address.parse(upstream if http else upstream.replace("tcp:", "http:", 1), where="upstream").host
            guard(host, self._allow)
        spec = ProxySpec(
            listeners=(ListenerSpec(direction, upstream, port=self._port),),
            seed=self._seed,
            plan=FaultPlan(),
            platform=self._platform,
            allow_hosts=self._allow,
            started=monotonic(),
        )
        self._direction = direction
        with ExitStack() as stack:
            proxy = stack.enter_context(launched(spec, self._events.append))
            proxy.ready()
            self._running_parts = stack.pop_all()
        self._proxy = proxy
        return self

    def stop(self) -> None:
        """Ends it.

        Raises:
            EngineError: Something of chaosbot itself failed meanwhile (a fault that broke, a dead worker), so the test has not
                seen what it asked for.
        """
        if self._proxy is None:
            return
        self._proxy = None
        self._running_parts.close()
        troubles = [event for event in self._events if isinstance(event, Trouble)]
        if troubles:
            raise EngineError("; ".join(f"{trouble.where}: {trouble.what}" for trouble in troubles[:3]))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        except EngineError as own:
            if error is None:
                raise
            error.add_note(f"chaosbot: {own}")  # the test's own failure stays the one that is shown

    @property
    def url(self) -> str:
        """Where it listens: ``http://127.0.0.1:PORT``."""
        return self._running.url(self._direction)

    @property
    def _running(self) -> Proxy:
        if self._proxy is None:
            raise EngineError("the proxy is not running; enter it by `with`, or use the fixture chaos_proxy")
        return self._proxy

    @contextmanager
    def inject(self, *what: Fault | str, **targeting: Any) -> Iterator[Injection]:
        """Lets a fault happen for the length of the ``with``, on connections that are in use too.

        Several faults act together; the injection that is returned counts the first. Blocks may be nested.

        Args:
            what: Faults, or texts as ``--fault`` takes them.
            targeting: For whom, when and how often, as in a plan file: ``rate``, ``path``, ``method``, ``headers``, ``body``,
                ``kind``, ``command``, ``tier``, ``user``, ``first``, ``nth``, ``every``, ``per``, ``cap``, ``scope`` …

        Raises:
            ConfigError: A fault or a condition is wrong.
        """
        if not what:
            raise ConfigError("inject", "no fault is named; write for example inject(latency('200ms'))")
        rules = []
        for item in what:
            label = item.partition(":")[0] if isinstance(item, str) else item.name
            rules.append(rule_of(item, f"{label}-{next(self._names)}", **targeting))
        self._change(add=rules)
        try:
            yield Injection(self, rules[0])
        finally:
            if self._proxy is not None:
                self._change(drop=rules)

    def _change(self, add: Sequence[Rule] = (), drop: Sequence[Rule] = ()) -> None:
        with self._lock:
            for rule in drop:
                self._rules.pop(rule.name, None)
            self._rules |= {rule.name: rule for rule in add}
            self._running.replace_plan(FaultPlan(tuple(self._rules.values())))

    def clear(self) -> None:
        """Takes all faults away and lets everything that they hold go on."""
        with self._lock:
            self._rules.clear()
            self._running.clear()

    @property
    def events(self) -> tuple[Event, ...]:
        """All events of exchanges that have ended."""
        if self._proxy is not None:
            self._proxy.flush()
        return tuple(self._events)

    @property
    def exchanges(self) -> tuple[ExchangeSeen, ...]:
        """The exchanges that have ended."""
        return tuple(event for event in self.events if isinstance(event, ExchangeSeen))

    @property
    def calls(self) -> tuple[ApiCalled, ...]:
        """The Bot API calls that were made through it."""
        return tuple(event for event in self.events if isinstance(event, ApiCalled))

    @property
    def model_calls(self) -> tuple[ModelCalled, ...]:
        """The calls of language models that were made through it."""
        return tuple(event for event in self.events if isinstance(event, ModelCalled))


# ── language models ──────────────────────────────────────────────────────────────────────────────────────────────────

_KEY: Final = "sk-chaosbot-0123456789abcdef"
_CHAT: Final = "the test"
_SETTLED_S: Final = 3.0
"""So long a call may take to end after the code that made it: a client that closes is noticed in a moment."""


class ChaosLlm(ChaosProxy):
    """Mocked language models behind a proxy: Anthropic's, OpenAI's and Gemini's API, to which `settings` lead their SDKs.

    Args:
        seed: Same seed, same questions, same answers and faults.
        options: Of the mock (`chaosbot.mocks.llm.LlmApi`): ``shape``, ``first_token``, ``pace``, ``requests``, ``tokens``.

    Raises:
        ConfigError: An option is none, or has a wrong value.
    """

    misleading: ClassVar = (
        "ANTHROPIC_AUTH_TOKEN",
        "GOOGLE_API_KEY",
        "GOOGLE_GENAI_USE_VERTEXAI",
        "OPENAI_ORG_ID",
        "OPENAI_PROJECT_ID",
    )
    """Environment variables that lead SDKs elsewhere, or are sent beside the key; unset them."""

    def __init__(self, *, seed: int = 0, **options: object) -> None:
        upstream = ";".join((f"{PREFIX}llm", *(f"{name}={value}" for name, value in options.items())))
        self._mock = mock_of(upstream)
        self._judged = 0
        super().__init__(upstream, seed=seed)

    @property
    def settings(self) -> dict[str, str]:
        """The environment variables that lead each SDK here."""
        found = {}
        for line in self._mock.hints(self.url):
            for word in line.removeprefix("export ").split():
                name, _, value = word.partition("=")
                found[name] = _KEY if name.endswith("_KEY") else value
        return found

    def assert_resilient(self, *shown: str | None, ignore: Sequence[str] = ()) -> None:
        """Judges the calls since the last time, as the answer to one question of one user.

        Args:
            shown: What the user got for it, message by message; None or blank where there was nothing. Without any, only what the
                calls themselves tell is judged: not whether a broken answer was passed off as a whole one, or whether the user heard anything.
            ignore: Checks whose findings are let pass. Findings of low severity are warnings.

        Raises:
            AssertionError: A check found something, no call arrived, or no injected fault met one. The message names each finding with
                its remedy.
            EngineError: A check broke.
        """
        from chaosbot.core.check import History  # noqa: PLC0415 - not for an import
        from chaosbot.report.fold import fold  # noqa: PLC0415
        from chaosbot.report.guidance import remedy  # noqa: PLC0415

        __tracebackhide__ = True  # pytest shows the test's line
        events = self._settled()
        self._judged, events = len(events), events[self._judged :]
        wrong = list(_blind(events))
        report = fold(History.of(_one_question(events, shown, self._seed)))
        if crashed := [one for one in report.judgements if one.crashed]:
            raise EngineError("; ".join(f"{one.check}: {one.reason}" for one in crashed))
        for one in report.findings:
            told = f"{one.check} ({one.severity}): {one.title}\n  {one.summary}\n  remedy: {remedy(one.check)}"
            if one.check in ignore:
                continue
            if one.severity is Severity.LOW:
                warnings.warn(told, stacklevel=2)
            else:
                wrong.append(told)
        if wrong:
            raise AssertionError("\n".join(wrong))

    def _settled(self) -> tuple[Event, ...]:
        """The events, once every call of a model has ended, or the time for that is over."""
        until = monotonic() + _SETTLED_S
        while True:
            events = self.events
            ended = {event.exchange for event in events if isinstance(event, ExchangeSeen)}
            if monotonic() > until or all(call.exchange in ended for call in self.model_calls):
                return events
            sleep(0.02)


def _blind(events: Sequence[Event]) -> Iterator[str]:
    """Why these events show nothing, or not what the test asked for."""
    calls = [event for event in events if isinstance(event, ModelCalled)]
    if not calls:
        yield (
            "no call of a language model arrived; make the client after the fixture has set ANTHROPIC_BASE_URL, OPENAI_BASE_URL "
            "or GOOGLE_GEMINI_BASE_URL, and give it no base URL of its own"
        )
    for call in calls:
        if call.problem.startswith("no such endpoint"):
            yield f"{call.problem}; the mock does not have it, and answered 404"
    switched = any(isinstance(event, RuleSwitched) and event.active for event in events)
    if calls and switched and not any(isinstance(event, Injected) and event.stage == "applied" for event in events):
        yield "no injected fault met a call of a language model; nothing was tested"


def _one_question(events: Sequence[Event], shown: Sequence[str | None], seed: int) -> list[Event]:
    """These events as those of one update, and what its user got as calls of a chat's API."""
    from chaosbot.checks._models import PATIENCE_S  # noqa: PLC0415 - not for an import

    key = marker(Dice(seed).at("question"))
    found: list[Event] = [event.made_for(key) if isinstance(event, ModelCalled) else event for event in events]
    start, end = (pick((event.t for event in events), default=0.0) for pick in (min, max))
    if shown:
        asked = ExchangeSeen(
            start, "question", Direction.INBOUND, "POST", "/", 200, "target", 0.0, chat=_CHAT, marker=key
        )
        found.insert(0, asked)
    for number, text in enumerate((text for text in shown if text and text.strip()), 1):
        said = ApiCalled(end, "sendMessage", _CHAT, text, message=number, answers=answer_marks_in(text))
        found.append(said.telling(told_of(text, {_KEY: "key"})))
    return [*found, Noted(end + PATIENCE_S, "test", "the test is over")]
