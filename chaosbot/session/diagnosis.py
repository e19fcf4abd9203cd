"""What `chaosbot doctor` looks at: this machine, the target, and the bot's way to its API; each with what to do where it is not well."""

from __future__ import annotations

import importlib
import platform
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chaosbot.addons.ca import ensure_ca
from chaosbot.config import defaults
from chaosbot.core.case import Case, Expect, Segment
from chaosbot.core.dice import Dice
from chaosbot.core.errors import ChaosbotError, UsageError
from chaosbot.core.event import ExchangeSeen, ModelCalled
from chaosbot.core.outcome import Fate, Outcome
from chaosbot.core.platform import platform_of
from chaosbot.core.verdict import Threat
from chaosbot.fuzz.process import listeners_are_seen
from chaosbot.mocks.llm import LlmApi
from chaosbot.session.driving import endpoint_for
from chaosbot.session.environment import Environment, EnvironmentSpec, check_target, prepared
from chaosbot.session.models import misdirected
from chaosbot.session.run import Run, versions
from chaosbot.transport import Tls, send

WANTED_DESCRIPTORS: Final = 4096
CALL_WAIT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that was looked at; `remedy` is what to do where it is not well."""

    ok: bool
    what: str
    remedy: str = ""


def machine() -> Iterator[Diagnosis]:
    """What can be said of this machine and installation."""
    found = ", ".join(f"{name} {version}" for name, version in versions().items())
    yield Diagnosis(True, found)
    modern = sys.version_info >= (3, 12)
    note = "" if modern else " (3.12 or newer gets mitmproxy 12; 11 has known holes in parts that are not used here)"
    yield Diagnosis(True, f"Python {platform.python_version()}{note}")
    for module in ("mitmproxy.proxy.server", "httptools"):
        try:
            importlib.import_module(module)
        except ImportError as error:
            yield Diagnosis(False, f"{module}: {error}", "install again: pip install --force-reinstall chaosbot")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = hard == resource.RLIM_INFINITY or hard >= WANTED_DESCRIPTORS
    yield Diagnosis(
        enough,
        f"file descriptors: {soft} now, {'no limit' if hard == resource.RLIM_INFINITY else hard} at most",
        f"thousands of users need as many; raise the limit: ulimit -n {WANTED_DESCRIPTORS * 4}",
    )
    if not listeners_are_seen():
        yield Diagnosis(
            True,
            f"processes: not seen on {platform.system()}, so a target's death shows by its connections only, and its memory by --metrics only",
        )
    try:
        free = shutil.disk_usage(Path.cwd()).free
    except OSError as error:
        yield Diagnosis(False, f"disk: this folder cannot be looked at ({error.strerror})", "run somewhere else")
    else:
        what = f"disk: {free / 1e9:.1f} GB free here"
        yield Diagnosis(free > 1e9, what, "journals need room; run somewhere else or clean up")
    try:
        yield Diagnosis(True, f"certificate authority: {ensure_ca()}")
    except UsageError as error:
        what, _, remedy = str(error).rpartition("; ")
        yield Diagnosis(False, f"certificate authority: {what}", remedy)


def target_diagnosis(
    url: str,
    port: int,
    platform: str,
    secret_of: Callable[[], str],
    allow: tuple[str, ...],
    tls: Tls,
    variable: str = defaults.SECRET_ENV,
    outbound: str = "",
) -> Iterator[Diagnosis]:
    """What can be said of a target, by a few requests that can have no effect.

    Args:
        url: The webhook.
        port: Where a mock of the API that the bot calls is started; 0 for none.
        platform: Whose webhook it is.
        secret_of: Gives the webhook's secret.
        allow: Hosts that may be spoken to besides loopback.
        tls: How TLS is spoken with it.
        variable: The environment variable that the secret comes from.
        outbound: The upstreams that are started there; by default the mock of the API that the bot calls.
    """
    try:
        secret = secret_of()
        check_target(url, allow)
    except ChaosbotError as error:
        yield Diagnosis(False, f"target: {error}", "mend this first; nothing else was tried")
        return
    yield Diagnosis(True, f"target: {url} accepts connections")
    with tempfile.TemporaryDirectory() as scratch:
        run = Run("doctor", url, 0, Path(scratch) / "run")
        spec = EnvironmentSpec(
            target=url,
            secret=secret,
            platform=platform,
            outbound=(outbound or "mock") if port else "off",
            outbound_port=port,
            inbound=False,
            allow_hosts=allow,
            tls=tls,
        )
        seen: list[ExchangeSeen | ModelCalled] = []
        run.listeners.append(lambda one: seen.append(one) if isinstance(one, ExchangeSeen | ModelCalled) else None)
        try:
            with prepared(run, spec) as environment:
                yield from _exchange(environment, platform, secret, variable)
                if environment.models:
                    yield from models_diagnosis(environment, seen)
        except ChaosbotError as error:
            yield Diagnosis(False, str(error), "see above")
        finally:
            run.journal.close()


def models_diagnosis(
    environment: Environment, seen: Sequence[ExchangeSeen | ModelCalled], wait_s: float | None = None
) -> Iterator[Diagnosis]:
    """Whether calls of language models arrive, and how they come.

    Args:
        environment: The environment; the bot has got an update in it.
        seen: The run's events so far; it grows.
        wait_s: How long a call is waited for.
    """
    until = time.monotonic() + (CALL_WAIT_S if wait_s is None else wait_s)
    while not any(isinstance(one, ModelCalled) for one in seen) and time.monotonic() < until:
        time.sleep(0.05)
    calls = [one for one in seen if isinstance(one, ModelCalled)]
    url = environment.models
    yield Diagnosis(
        bool(calls),
        f"language models: {len(calls)} call{'s' if len(calls) != 1 else ''} arrived at {url}",
        "the bot may talk to the paid API: set the base URL before it starts (most bots build their client once), e.g. "
        + "; ".join(LlmApi().hints(url)),
    )
    if environment.proxy is not None:
        environment.proxy.flush()
    paths = {one.exchange: one for one in seen if isinstance(one, ExchangeSeen)}
    known: set[str] = set()
    for call in calls:
        exchange = paths.get(call.exchange)
        remedy = misdirected(exchange, call) if exchange is not None else ""
        if remedy and remedy not in known:
            known.add(remedy)
            yield Diagnosis(False, f"language models: the real API has no such path ({remedy})", LlmApi().hints(url)[1])
        if call.problem and call.problem not in known:
            known.add(call.problem)
            what = f"language models: {call.model or call.api} was refused: {call.problem}"
            yield Diagnosis(False, what, "the real API refuses it too; mend the request")


def _exchange(environment: Environment, platform: str, secret: str, variable: str) -> Iterator[Diagnosis]:
    """A valid update, the same with a wrong secret, and the call that the valid one should cause."""
    if not platform_of(platform).golden(Dice(0)):
        yield Diagnosis(True, f"webhook: {platform} delivers no updates, so none was sent")
        return
    outcome = _send(environment, platform, secret)
    if platform_of(platform).refusal(outcome.status):
        yield Diagnosis(
            False,
            f"webhook: answers {outcome.status} to a valid update",
            platform_of(platform).secret_hint(secret, variable),
        )
        return
    if not outcome.ok:
        seen = outcome.status if outcome.fate is Fate.ANSWERED else f"{outcome.fate} {outcome.detail}".strip()
        yield Diagnosis(
            False,
            f"webhook: {seen} for a valid update",
            "is this the webhook's path, and is the platform right (--platform)?",
        )
        return
    yield Diagnosis(True, f"webhook: answers {outcome.status} to a valid update in {outcome.total_s * 1e3:.0f} ms")
    forged = _send(environment, platform, "wrong-secret-of-chaosbot")
    yield Diagnosis(
        not forged.ok,
        f"secret: a wrong one is answered {forged.status or forged.fate}",
        "the webhook accepts forged updates; set a secret token and check it before anything else",
    )
    if not environment.bot_api:
        return
    until = time.monotonic() + CALL_WAIT_S
    while not environment.calls() and time.monotonic() < until:
        time.sleep(0.05)
    calls = len(environment.calls())
    yield Diagnosis(
        bool(calls),
        f"Bot API: {calls} call{'s' if calls != 1 else ''} arrived at {environment.bot_api}",
        f"point the bot's Bot API base URL at {environment.bot_api} and start it again",
    )


def _send(environment: Environment, platform: str, secret: str) -> Outcome:
    address, endpoint = endpoint_for(environment, environment.webhook, secret)
    tongue = platform_of(platform)
    golden = tongue.golden(Dice(int(time.time())))
    update = golden.get("message/text", next(iter(golden.values())))
    case = Case("doctor/valid", "doctor", Threat.USER, (Segment(tongue.encode(endpoint, update)),), Expect())
    return send(case, address, connect_timeout_s=5.0, timeout_s=10.0, keep=256)
