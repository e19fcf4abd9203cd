"""Where and how a target is spoken to, and the load of a run."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from chaosbot.config import defaults
from chaosbot.core.case import Case, Expect, Segment
from chaosbot.core.dice import Dice
from chaosbot.core.errors import TargetUnusable
from chaosbot.core.outcome import Fate, Outcome
from chaosbot.core.platform import EPOCH, Endpoint, platform_of
from chaosbot.core.profile import Workload
from chaosbot.core.verdict import Threat
from chaosbot.load.closed import MOST_ADDED
from chaosbot.load.driver import drive
from chaosbot.load.spec import LoadSpec
from chaosbot.session.environment import Environment
from chaosbot.session.run import Run
from chaosbot.session.steering import MOST_RATE
from chaosbot.transport import Address, send
from chaosbot.workers import StartWorker, Worker

FIXED_MOMENT: Final = EPOCH + 1

_REFUSALS: Final = frozenset(range(400, 500)) - {408, 429}
"""Statuses by which a target says no, and not that it has too much to do."""

_NOT_FOUND: Final = 404
_REFUSED: Final = frozenset({400, 401, 403})


def endpoint_for(environment: Environment, url: str, secret: str, *, later_s: int = 0) -> tuple[Address, Endpoint]:
    """Where and how a webhook is spoken to.

    Delivery ids count from a moment. For the embedded bot, which is born with the run, it is always the same, so that the seed
    alone decides every byte; a real bot may remember an earlier run, so there it is now.

    Args:
        environment: What the run works with.
        url: The webhook's URL, or that of a proxy before it.
        secret: Its secret.
        later_s: Moves the ids (not the time that requests claim), so that a campaign's are none of the load's before it.
    """
    address = Address.parse(url).over(environment.tls)
    moment = FIXED_MOMENT if environment.demo is not None else int(time.time())
    # A proxy is nobody to the sender, whose signature may hold the URL: it speaks to the target's own name.
    host = Address.parse(environment.webhook).authority
    return address, Endpoint(host, address.path, secret, started=moment + later_s, now=moment)


def require_webhook(
    environment: Environment,
    platform: str,
    secret: str,
    *,
    variable: str = defaults.SECRET_ENV,
    accepted: Container[int] = (),
) -> None:
    """Makes sure that what listens is a webhook that takes the secret, by one empty document that can have no effect.

    Args:
        environment: What the run works with.
        platform: Whose updates it takes.
        secret: What they are signed with.
        variable: The environment variable with the secret, for what is told.
        accepted: Statuses that are right for this target.

    Raises:
        TargetUnusable: It speaks no HTTP, knows no such path or method, or refuses the secret.
    """
    address, endpoint = endpoint_for(environment, environment.webhook, secret)
    tongue = platform_of(platform)
    if not tongue.greets or not tongue.golden(Dice(0)):
        return  # no webhook: an ordinary service answers 404 to what is none of its paths

    def greeted(as_: Endpoint) -> Outcome:
        case = Case("greeting", "greeting", Threat.USER, (Segment(tongue.encode(as_, {})),), Expect())
        return send(case, address, connect_timeout_s=5.0, timeout_s=10.0, keep=0)

    seen = greeted(endpoint)
    if seen.fate is Fate.ANSWERED and seen.status in accepted:
        return
    # Frameworks answer 404 to a signed document that no handler wants; one that refuses an unsigned document is a webhook.
    if seen.status == _NOT_FOUND and tongue.signs and greeted(replace(endpoint, secret="")).status in _REFUSED:
        return
    if seen.fate is Fate.TLS:
        raise TargetUnusable(
            f"{environment.webhook}: no TLS connection ({seen.detail}); a certificate of your own is trusted with --ca FILE (or "
            "--insecure), by verbs without that option with SSL_CERT_FILE=FILE"
        )
    if seen.fate is not Fate.ANSWERED:
        raise TargetUnusable(
            f"{environment.webhook}: no HTTP answer ({seen.detail or seen.fate}); is this the webhook's address?"
        )
    if seen.status in (404, 405, 501):
        usual = f" ({tongue.name}'s usual one is {tongue.default_path})" if address.path == "/" else ""
        raise TargetUnusable(
            f"{environment.webhook}: answers {seen.status} to a POST, so there is no webhook; check host, port and path{usual}"
        )
    if seen.status in (401, 403):
        raise TargetUnusable(
            f"{environment.webhook}: answers {seen.status}; {platform_of(platform).secret_hint(secret, variable)}"
        )


def check_cluster(address: str | None, allow: tuple[str, ...]) -> None:
    """Refuses a cluster that cannot be used, before anything starts.

    Raises:
        UsageError: Dask is not installed, no such address, or a host that is neither loopback nor allowed.
    """
    if address is not None:
        from chaosbot.cluster import check_address  # noqa: PLC0415 - an optional part, slow to import

        check_address(address, allow)


@contextmanager
def worker_processes(
    run: Run,
    environment: Environment,
    cluster: str | None,
    count: int | None,
    variables: Sequence[str] = (),
    files: Sequence[Path | None] = (),
    allow: tuple[str, ...] = (),
) -> Iterator[tuple[int, StartWorker]]:
    """Where processes that share a load or a campaign run: on this machine, or on a cluster.

    Args:
        run: The run, which is told what takes part.
        environment: What the run works with; its entry must be reached from each machine.
        cluster: The cluster's address; None for this machine.
        count: How many processes; None is one, on a cluster one for each of its slots.
        variables: Environment variables with secrets, which each machine must have; empty names count for nothing.
        files: What each machine must have under the same path, beside the files of TLS.
        allow: Hosts beside loopback that may be spoken to.

    Raises:
        ConfigError: No such cluster, or a machine of it that cannot take part.
    """
    if cluster is None or count == 0:
        yield 1 if count is None else count, Worker
        return
    from chaosbot.cluster import Requirements, connected, in_order  # noqa: PLC0415 - an optional part, slow to import

    tls = environment.tls
    more = [Path(name) for name in (tls.ca_file, tls.cert_file, tls.key_file) if name]
    found = (*(path for path in files if path is not None), *more)
    needs = Requirements(environment.entry, tuple(filter(None, variables)), found, allow)
    with connected(cluster, needs, count) as machines:
        run.note(
            "cluster",
            f"up to {count or machines.slots} processes on {in_order(list(machines.machines.values()))}; "
            f"clocks known to ±{machines.uncertain_s * 1000:.1f} ms",
            processes=count or machines.slots,
            uncertain_s=machines.uncertain_s,
            clocks_s=sorted(machines.clocks.values()),
        )
        yield count or machines.slots, machines.worker


def drive_load(
    run: Run,
    environment: Environment,
    spec: LoadSpec,
    *,
    phase: Callable[[], str] | None = None,
    start_worker: StartWorker = Worker,
    look: Callable[[], None] = lambda: None,
) -> None:
    """Drives a load until its profile ends or the run stops.

    Args:
        run: The run, which is told what happens.
        environment: Says where the load goes, and how TLS is spoken there.
        spec: The load; where it goes is filled in, with the secret that its endpoint has.
        phase: The phase that the run is in; figures carry it.
        start_worker: Starts the processes that share the load.
        look: Makes sure that the target takes the platform's requests; called where any are sent.
    """
    here = start_worker is Worker
    variable = "" if here else spec.secret_env
    _, endpoint = endpoint_for(environment, environment.entry, "" if variable else spec.endpoint.secret)
    # Whether a recorded request is valid nobody knows: a refusal is an answer, and no failure of the target.
    accepted = spec.accepted | (_REFUSALS if spec.corpus is not None else frozenset())
    spec = replace(
        spec,
        url=environment.entry,
        endpoint=endpoint,
        tls=environment.tls,
        exchange_header=environment.proxy is not None,
        started=run.started,
        accepted=accepted,
        secret_env=variable,
    )
    steering = run.steering
    pacer = spec.profile.pacer()
    if getattr(spec.profile, "search", None) is None:
        is_open = spec.profile.workload is Workload.OPEN
        steering.offer_load("rate" if is_open else "users", MOST_RATE if is_open else int(pacer.peak) + MOST_ADDED)
    try:
        drive(spec, run.emit, run.should_stop, phase=phase, wish=steering.wish, start_worker=start_worker, look=look)
    finally:
        steering.offer_load("", 0.0)
