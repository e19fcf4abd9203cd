"""What a run does: drives load through a timeline of phases and faults, lets the bot settle, fuzzes; the report judges.

Faults are switched by the proxy's phase, so a rule acts exactly while its window is announced; every exit path clears the plan
before anything else ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from chaosbot.config.experiment import Experiment
from chaosbot.core.case import Case, Expect, Segment
from chaosbot.core.dice import Dice
from chaosbot.core.errors import ConfigError, TargetUnusable, UnknownName
from chaosbot.core.exchange import Direction
from chaosbot.core.outcome import Fate
from chaosbot.core.plan import FaultPlan, Window
from chaosbot.core.platform import EPOCH, Endpoint, platform_of
from chaosbot.core.profile import PROFILES, Profile
from chaosbot.core.timeline import Step, schedule, shifted, steps, timed, total_s
from chaosbot.core.verdict import Threat
from chaosbot.fuzz.campaign import Campaign
from chaosbot.fuzz.spec import CampaignResult, CampaignSpec, Progress
from chaosbot.load.driver import drive
from chaosbot.load.spec import LoadSpec, Sampling
from chaosbot.session.run import Run
from chaosbot.session.stage import Conductor, Stage
from chaosbot.transport import Address, send

SETTLE_S: Final = 10.0
"""Most time that a bot gets, once all faults are gone, to deliver what it still holds."""
FIXED_MOMENT: Final = EPOCH + 1
HEAD_START_S: Final = 1.0
"""How long the driver gets to be ready before the first phase begins; load and phases then begin together."""
RARE: Final = 0.05
"""The share of the bot's calls that errors may meet while it is fuzzed."""
FUZZ_LATER_S: Final = 86_400
"""How far a campaign's delivery ids are from those of the load before it."""
QUIET_S: Final = 1.5
"""So long without a call counts as done."""


@dataclass(frozen=True)
class LoadPart:
    """The load of a run, as the command line or an experiment asks for it."""

    profile: Profile
    platform: str = "telegram"
    secret: str = ""
    sender: str = "raw"
    processes: int = 1
    slow_share: float = 0.0
    journey: Path | None = None
    corpus: Path | None = None
    allow_hosts: tuple[str, ...] = ()
    connect_timeout_s: float = 5.0
    timeout_s: float = 30.0
    streams: tuple[str, ...] = ()
    verify: bool = True
    ca: Path | None = None
    samples: Sampling = field(default_factory=Sampling)


def profile_for(experiment: Experiment) -> Profile:
    """The experiment's load profile, as long as its timeline.

    Raises:
        ConfigError: Unknown profile or options that it refuses.
    """
    workload = experiment.workload
    profile = PROFILES.build(workload.profile, workload.options)
    # A shape of the user's own stages keeps its own length; every other one lasts as long as the phases.
    length = total_s(timeline_of(experiment)) if hasattr(profile, "duration") else None
    return profile.overridden(users=workload.users, rate=workload.rate, duration=length)


def timeline_of(experiment: Experiment) -> tuple[Step, ...]:
    """The experiment's phases."""
    _, labels = schedule(experiment.plan, alone=experiment.alone)
    return steps(experiment.lengths, labels)


def lasting(experiment: Experiment, seconds: float) -> Experiment:
    """The experiment with all phases longer or shorter alike, so that they take so many seconds in all.

    Raises:
        ConfigError: No time, or a load profile that brings stages of its own length.
    """
    if seconds <= 0:
        raise ConfigError("--duration", "must be above 0")
    if not hasattr(PROFILES.get(experiment.workload.profile), "duration"):
        raise ConfigError("--duration", f"the profile '{experiment.workload.profile}' has stages of its own length")
    return replace(experiment, lengths=experiment.lengths.scaled(seconds / total_s(timeline_of(experiment))))


def stages_of(experiment: Experiment) -> tuple[Step, ...]:
    """The load profile's stages as windows that a rule may name: ``stage:1``, ``stage:2`` …

    Load and phases begin together, so a stage is known by its time.
    """
    found: list[Step] = []
    for stage in profile_for(experiment).pacer().stages:
        if stage.duration_s > 0:
            start = found[-1].end_s if found else 0.0
            found.append(Step("stage", start, stage.duration_s, str(len(found) + 1)))
    return tuple(found)


def check_windows(experiment: Experiment) -> None:
    """Refuses rules that wait for a phase which never comes.

    Raises:
        ConfigError: With the phases and stages that there are.
    """
    stages = {step.key for step in stages_of(experiment)}
    known = {step.key for step in timeline_of(experiment)} | stages
    plan, _ = schedule(experiment.plan, alone=experiment.alone)
    for rule in plan.rules:
        window = rule.window
        if window.phase and window.phase not in known:
            raise UnknownName.of("phase", window.phase, known, where=f"rule {rule.name}: phase")
        if window.phase in stages and window != Window(phase=window.phase):
            raise ConfigError(
                f"rule {rule.name}: phase",
                f"a stage ({window.phase}) cannot be narrowed; leave out start, for and period",
            )


def endpoint_for(stage: Stage, url: str, secret: str, *, later_s: int = 0) -> tuple[Address, Endpoint]:
    """Where and how a webhook is spoken to.

    Delivery ids count from a moment. For the embedded bot, which is born with the run, it is always the same, so that the seed
    alone decides every byte; a real bot may remember an earlier run, so there it is now.

    Args:
        stage: What the run works with.
        url: The webhook's URL, or that of a proxy before it.
        secret: Its secret.
        later_s: Moves the ids (not the time that requests claim), so that a campaign's are none of the load's before it.
    """
    address = Address.parse(url)
    moment = FIXED_MOMENT if stage.demo is not None else int(time.time())
    return address, Endpoint(address.authority, address.path, secret, started=moment + later_s, now=moment)


def require_webhook(stage: Stage, platform: str, secret: str, *, verify: bool = True, ca: Path | None = None) -> None:
    """Makes sure that what listens is a webhook that takes the secret, by one empty document that can have no effect.

    Raises:
        TargetUnusable: It speaks no HTTP, knows no such path or method, or refuses the secret.
    """
    address, endpoint = endpoint_for(stage, stage.webhook, secret)
    address = replace(address, verify=verify, ca_file=str(ca or ""))
    tongue = platform_of(platform)
    if not tongue.golden(Dice(0)):
        return  # a platform without updates (a market stream) has nothing to greet with
    segment = Segment(tongue.encode(endpoint, {}))
    case = Case("greeting", "greeting", Threat.USER, (segment,), Expect())
    seen = send(case, address, connect_timeout_s=5.0, timeout_s=10.0, keep=0)
    if seen.fate is Fate.TLS:
        raise TargetUnusable(
            f"{stage.webhook}: no TLS connection ({seen.detail}); a certificate of your own is trusted by `chaosbot load` with "
            "--ca FILE (or --insecure), by every verb with SSL_CERT_FILE=FILE"
        )
    if seen.fate is not Fate.ANSWERED:
        raise TargetUnusable(
            f"{stage.webhook}: no HTTP answer ({seen.detail or seen.fate}); is this the webhook's address?"
        )
    if seen.status in (404, 405, 501):
        raise TargetUnusable(
            f"{stage.webhook}: answers {seen.status} to a POST, so there is no webhook; check host, port and path"
        )
    if seen.status in (401, 403):
        told = "the secret is wrong" if secret else "it asks for a secret"
        raise TargetUnusable(
            f"{stage.webhook}: answers {seen.status}, {told}; export it as TELEGRAM_SECRET_TOKEN, or name its variable by "
            "--secret-env"
        )


def drive_load(
    run: Run,
    stage: Stage,
    part: LoadPart,
    *,
    phase: Callable[[], str] | None = None,
    per_request: bool = True,
    zero_s: float | None = None,
) -> None:
    """Drives the load until its profile ends or the run stops."""
    _, endpoint = endpoint_for(stage, stage.entry, part.secret)
    drive(
        LoadSpec(
            url=stage.entry,
            endpoint=endpoint,
            platform=part.platform,
            seed=run.seed,
            profile=part.profile,
            sender=part.sender,
            processes=part.processes,
            record_requests=per_request,
            exchange_header=stage.proxy is not None,
            zero_s=zero_s,
            slow_share=part.slow_share,
            connect_timeout_s=part.connect_timeout_s,
            timeout_s=part.timeout_s,
            journey=part.journey,
            corpus=part.corpus,
            streams=part.streams,
            verify=part.verify,
            ca=part.ca,
            started=run.started,
            samples=replace(part.samples, verify=part.verify, ca=part.ca),
            allow_hosts=part.allow_hosts,
        ),
        run.emit,
        run.should_stop,
        phase=phase,
    )


def run_experiment(run: Run, stage: Stage, experiment: Experiment, secret: str) -> None:
    """Walks through the experiment's phases under load, then lets the bot settle."""
    timeline = timeline_of(experiment)
    plan, _ = schedule(experiment.plan, alone=experiment.alone)
    part = LoadPart(
        profile=profile_for(experiment),
        platform=experiment.platform,
        secret=secret,
        sender=experiment.workload.sender,
        processes=experiment.workload.processes,
        slow_share=experiment.workload.slow_share,
        timeout_s=experiment.workload.timeout_s,
        allow_hosts=experiment.allow_hosts,
        samples=Sampling(
            pid=experiment.probing.pid,
            metrics=experiment.probing.metrics or stage.metrics,
            health=experiment.probing.health or stage.health,
        ),
    )
    proxy = stage.proxy
    zero = run.now() + HEAD_START_S
    if proxy is not None:
        proxy.replace_plan(shifted(timed(plan, (*timeline, *stages_of(experiment))), zero))

    def switch(step: Step) -> None:
        if proxy is not None:
            proxy.set_phase(step.key)

    conductor = Conductor(run, timeline, zero, switch)
    conductor.start()
    try:
        drive_load(run, stage, part, phase=lambda: conductor.current, zero_s=zero)
    finally:
        conductor.end()
        if proxy is not None:
            # Not only no new faults: what the old ones still hold goes on too.
            proxy.clear()
    settle(run, stage)


def settle(run: Run, stage: Stage) -> None:
    """Waits, without faults, until the bot has made no call for a moment."""
    if stage.proxy is None:
        return
    run.phase("settle")
    end = time.monotonic() + SETTLE_S
    seen, since = len(stage.calls()), time.monotonic()
    while time.monotonic() < end and not run.should_stop():
        if run.stopping.wait(0.1):
            return
        stage.proxy.flush()
        if len(stage.calls()) != seen:
            seen, since = len(stage.calls()), time.monotonic()
        elif time.monotonic() - since > QUIET_S:
            return


def fuzz_faults(plan: FaultPlan) -> FaultPlan:
    """What a campaign of an experiment runs under: the plan's errors of the API that the bot calls, rare and all the time.

    Replies stay possible, or no case could be judged by its effects; so errors meet at most `RARE` of the calls, and faults that
    hold or cut calls are left to the load.
    """
    api = [
        rule
        for rule in plan.rules
        if rule.fault.direction is Direction.OUTBOUND and rule.match.direction is not Direction.INBOUND
    ]
    return FaultPlan(tuple(replace(rule, rate=min(rule.rate, RARE), window=Window()) for rule in api))


def fuzz_stage(
    run: Run,
    stage: Stage,
    secret: str,
    settings: Mapping[str, Any],
    progress: Callable[[Progress], None] | None = None,
    *,
    faults: FaultPlan | None = None,
) -> CampaignResult:
    """Runs a fuzz campaign against the webhook itself: through a proxy the bytes would be the proxy's.

    Args:
        run: The run.
        stage: What it works with.
        secret: The webhook's secret.
        settings: More fields of the campaign's spec.
        progress: Hears how far it is.
        faults: What the bot's calls meet meanwhile; None leaves the proxy's plan as it is.
    """
    if faults is not None and stage.proxy is not None:
        stage.proxy.replace_plan(faults)
    address, endpoint = endpoint_for(stage, stage.webhook, secret, later_s=FUZZ_LATER_S)
    spec = CampaignSpec(
        address,
        endpoint,
        seed=run.seed,
        bot_api=bool(stage.bot_api),
        health=stage.health or None,
        findings=run.directory / "findings",
        started=run.started,
        **settings,
    )
    run.phase("fuzz")
    return Campaign(spec, run.emit, stage.calls, progress).run(run.should_stop)
