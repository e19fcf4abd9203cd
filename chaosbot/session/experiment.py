"""An experiment, compiled once into what its parts need, and its runner: load through phases and faults, then time to settle.

Faults are switched by the proxy's phase, so a rule acts exactly while its window is announced; every exit path clears the plan
before anything else ends.
"""

from __future__ import annotations

import math
import shlex
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from chaosbot.config import defaults
from chaosbot.config.experiment import Experiment
from chaosbot.core.errors import ConfigError, UnknownName
from chaosbot.core.exchange import Direction
from chaosbot.core.fault import FAULTS
from chaosbot.core.plan import FaultPlan, Rule, Window
from chaosbot.core.platform import Endpoint, platform_of
from chaosbot.core.profile import PROFILES, WINDOWS, Profile, Threshold
from chaosbot.core.timeline import Step, schedule, shifted, steps, timed, total_s
from chaosbot.core.units import format_duration
from chaosbot.fuzz.spec import STAGES
from chaosbot.load.cast import waits, weights
from chaosbot.load.spec import LoadSpec, Sampling
from chaosbot.session.abort import Sentinel, StopCondition
from chaosbot.session.campaign import fuzz_faults, run_campaign
from chaosbot.session.driving import drive_load, require_webhook, worker_processes
from chaosbot.session.environment import Environment, EnvironmentSpec, check_pages, check_target, prepared
from chaosbot.session.listeners import check_upstreams, tell_addresses
from chaosbot.session.run import Run
from chaosbot.transport import permit
from chaosbot.workers import StartWorker, Worker

SETTLE_S: Final = 10.0
"""Most time that a bot gets, once all faults are gone, to deliver what it still holds."""
HEAD_START_S: Final = 1.0
"""How long the driver gets to be ready before the first phase begins; load and phases then begin together."""
QUIET_S: Final = 1.5
"""So long without a call counts as done."""


@dataclass(frozen=True)
class Compiled:
    """An experiment with everything that follows from it.

    Args:
        experiment: As it was written.
        profile: Its load, as long as its phases.
        timeline: Its phases.
        windows: Its plan with each rule bound to a phase or to times of its own, as people read it.
        plan: Its plan with times in place of phases, as the proxy takes it.
        conditions: What ends it early.
        classes: Who takes part, with weights; empty for the platform's own shares.
        mix: What they do, with weights; empty for their own.
        wait_s: Shortest and longest pause of a user between two tasks; None for their own.
        left_out: The rules whose trouble no call of the target can meet.
        fitted: How the phases were made as long as the load, in words; empty where they were so already.
    """

    experiment: Experiment
    profile: Profile
    timeline: tuple[Step, ...]
    windows: FaultPlan
    plan: FaultPlan
    conditions: tuple[StopCondition, ...]
    classes: tuple[tuple[str, float], ...] = ()
    mix: tuple[tuple[str, float], ...] = ()
    wait_s: tuple[float, float] | None = None
    left_out: tuple[str, ...] = ()
    fitted: str = ""

    @property
    def load_s(self) -> float:
        """How long its phases take in all."""
        return total_s(self.timeline)

    @property
    def remarks(self) -> tuple[str, ...]:
        """In what it differs from what was written, as lines."""
        left_out = f"left out, as no call of this target can meet such trouble: {', '.join(self.left_out)}"
        return tuple(filter(None, (left_out if self.left_out else "", self.fitted)))


def compiled(experiment: Experiment) -> Compiled:
    """Compiles an experiment.

    Raises:
        ConfigError: Options that the profile refuses, a profile that searches, a rule that waits or a promise for a phase which never
            comes, no stop condition, or no rule that the platform's API could cause.
    """
    experiment, left_out = fitted(experiment)
    windows, labels = schedule(experiment.plan, alone=experiment.alone)
    timeline = steps(experiment.lengths, labels)
    workload = experiment.workload
    profile = PROFILES.build(workload.profile, workload.options)
    if getattr(profile, "search", None) is not None:
        raise ConfigError(
            f"profile '{profile.name}'",
            f"searches a rate, which faults would change on the way; use `chaosbot load --profile {profile.name}`",
        )
    written = total_s(timeline)
    profile = profile.overridden(
        users=workload.users, rate=workload.rate, duration=written if profile.has_duration() else None
    )
    fitted_to = ""
    # A shape with a length of its own (stages) keeps it, and the phases last as long; every other one lasts as long as they do.
    if not math.isclose(length := profile.pacer().duration_s, written, abs_tol=0.001):
        experiment = replace(experiment, lengths=experiment.lengths.scaled(length / written))
        timeline = steps(experiment.lengths, labels)
        fitted_to = (
            f"the phases take {format_duration(length)}, as long as the load's {profile.name}, not {format_duration(written)} "
            "as written"
        )
    stages = _stages_of(profile)
    _check_windows(windows, timeline, stages)
    _check_promises(experiment.thresholds, timeline)
    return Compiled(
        experiment,
        profile,
        timeline,
        windows,
        timed(windows, (*timeline, *stages)),
        tuple(map(StopCondition.parse, experiment.abort_on)),
        weights("--class", workload.classes) if workload.classes else (),
        weights("--mix", workload.mix) if workload.mix else (),
        waits("--wait", workload.wait) if workload.wait else None,
        left_out,
        fitted_to,
    )


def fitted(experiment: Experiment) -> tuple[Experiment, tuple[str, ...]]:
    """The experiment with faults that its platform's own API could cause, and the names of the rules that it could not.

    An error in the words of another API becomes the same error in the words of this one. Where no call of the target is seen, since its
    platform has no API or the outbound direction is off, none meets trouble.

    Raises:
        ConfigError: No rule is left.
    """
    api = platform_of(experiment.platform).api_mock
    rules: list[Rule] = []
    unseen = experiment.outbound == "off" or (experiment.outbound == "mock" and not api)
    for rule in experiment.plan.rules:
        if unseen and Direction.OUTBOUND in (rule.match.direction, rule.fault.direction):
            continue
        fits = not rule.fault.api or rule.fault.api == (api or defaults.MOCK)
        other = None if fits else rule.fault.elsewhere()
        if fits or other is not None:
            rules.append(replace(rule, fault=FAULTS.build(*other)) if other else rule)
    kept = {rule.name for rule in rules}
    left_out = tuple(rule.name for rule in experiment.plan.rules if rule.name not in kept)
    if left_out and not rules:
        name = platform_of(experiment.platform).name
        raise ConfigError(
            f"rule {left_out[0]}",
            "can never act: no call of the target is seen; name what it calls by --outbound"
            if unseen
            else f"is no trouble of {name}'s API; take another fault, such as api_error:503",
        )
    return replace(experiment, plan=FaultPlan(tuple(rules))), left_out


def lasting(experiment: Experiment, seconds: float, *, own_load: bool = False) -> Experiment:
    """The experiment with all phases longer or shorter alike, so that they take so many seconds in all.

    Args:
        experiment: The experiment.
        seconds: How long it should take.
        own_load: Whether the person gave the load beside the experiment: stages of their own are sent as written.

    Raises:
        ConfigError: No time, or another one than that of a load which has its own.
    """
    if seconds <= 0:
        raise ConfigError("--duration", "must be above 0")
    ready = compiled(experiment)
    if own_load and not ready.profile.has_duration():
        if not math.isclose(ready.load_s, seconds, abs_tol=0.001):
            raise ConfigError(
                "--duration",
                f"--profile {ready.profile.name} takes {format_duration(ready.load_s)} as it is written; leave --duration out, or "
                f"write stages of {format_duration(seconds)}",
            )
        return experiment
    factor = seconds / ready.load_s
    workload = experiment.workload
    stretched = PROFILES.get(workload.profile).stretched(workload.options, factor)
    if stretched is not None:
        workload = replace(workload, options=stretched)
    return replace(experiment, workload=workload, lengths=experiment.lengths.scaled(factor))


def environment_for(experiment: Experiment, secret: str, *, bugs: str = "", port: int = 0) -> EnvironmentSpec:
    """What an experiment needs around it.

    Args:
        experiment: The experiment.
        secret: The webhook's secret.
        bugs: Planted bugs of the embedded bot.
        port: Where the outbound direction listens, for a target of one's own.
    """
    return EnvironmentSpec(
        target=experiment.target,
        bugs=bugs,
        secret=secret,
        limits=experiment.limits,
        platform=experiment.platform,
        outbound=experiment.outbound,
        outbound_port=port if experiment.target else 0,
        llm_spend=experiment.llm_spend,
        prices=experiment.prices,
        allow_hosts=experiment.allow_hosts,
    )


def check_experiment(experiment: Experiment) -> None:
    """Refuses an experiment whose target or pages must not be spoken to, or whose target is not there.

    Raises:
        UsageError: Naming the key and the remedy; nothing was sent.
    """
    check_pages(experiment.allow_hosts, metrics=experiment.probing.metrics, health=experiment.probing.health)
    check_upstreams(experiment.outbound, experiment.platform, experiment.allow_hosts)
    permit(experiment.allow_hosts)
    if experiment.target:
        check_target(experiment.target, experiment.allow_hosts)


def perform(
    run: Run,
    compiled: Compiled,
    secret: str,
    say: Callable[[str], None],
    *,
    bugs: str = "",
    port: int = 0,
    cluster: str | None = None,
    secret_env: str = "",
) -> None:
    """Performs an experiment from its environment's start to its end: load under faults, then the fuzz campaign that it asks for.

    Args:
        run: The run.
        compiled: The experiment.
        secret: The webhook's secret.
        say: Takes lines for the person (rich markup).
        bugs: Planted bugs of the embedded bot.
        port: Where the outbound direction listens, for a target of one's own.
        cluster: The cluster whose machines drive the load; None for this one.
        secret_env: The variable with the secret, which its machines read themselves.
    """
    experiment = compiled.experiment
    run.listeners.append(Sentinel(compiled.conditions, run.stop).notice)
    with prepared(run, environment_for(experiment, secret, bugs=bugs, port=port)) as environment:
        if experiment.target:
            tell_addresses(environment.upstreams, experiment.outbound, experiment.platform, say)
        for remark in compiled.remarks:
            say(remark)
        require_webhook(
            environment,
            experiment.platform,
            secret,
            variable=experiment.secret_env or defaults.SECRET_ENV,
            accepted=experiment.workload.accept_status,
        )
        with worker_processes(
            run, environment, cluster, experiment.workload.processes, (secret_env,), (), experiment.allow_hosts
        ) as (count, start_worker):
            run_experiment(run, environment, compiled, secret, count, start_worker, secret_env)
        if experiment.fuzz_s and not run.should_stop():
            settings = {
                "platform": experiment.platform,
                "duration_s": experiment.fuzz_s,
                "allow": experiment.allow_hosts,
                "accept_status": experiment.workload.accept_status,
            }
            run_campaign(run, environment, secret, settings, faults=fuzz_faults(experiment.plan))


def _stages_of(profile: Profile) -> tuple[Step, ...]:
    """The load profile's stages as windows that a rule may name: ``stage:1``, ``stage:2`` …

    Load and phases begin together, so a stage is known by its time.
    """
    found: list[Step] = []
    for stage in profile.pacer().stages:
        if stage.duration_s > 0:
            start = found[-1].end_s if found else 0.0
            found.append(Step("stage", start, stage.duration_s, str(len(found) + 1)))
    return tuple(found)


def _check_windows(plan: FaultPlan, timeline: tuple[Step, ...], stages: tuple[Step, ...]) -> None:
    """Refuses rules that wait for a phase which never comes.

    Raises:
        ConfigError: With the phases and stages that there are.
    """
    named = {step.key for step in stages}
    known = {step.key for step in timeline} | named
    for rule in plan.rules:
        window = rule.window
        if window.phase and window.phase not in known:
            raise UnknownName.of("phase", window.phase, known, where=f"rule {rule.name}: phase")
        if window.phase in named and window != Window(phase=window.phase):
            raise ConfigError(
                f"rule {rule.name}: phase",
                f"a stage ({window.phase}) cannot be narrowed; leave out start, for and period",
            )


def _check_promises(thresholds: Sequence[str], timeline: tuple[Step, ...]) -> None:
    """Refuses promises about a window that the experiment has not, since nothing would ever be seen of it.

    Raises:
        UnknownName: With the windows that there are.
    """
    known = {"all", *(step.phase for step in timeline if step.phase in WINDOWS)}
    for text in thresholds:
        if (window := Threshold.parse(text).window) and window not in known:
            raise UnknownName.of("window", window, known, where=f"promise '{text}'")


def load_of(compiled: Compiled) -> LoadSpec:
    """The load that an experiment asks for; where it goes, with which seed and secret, is added at its start."""
    workload = compiled.experiment.workload
    return LoadSpec(
        url="",
        endpoint=Endpoint(),
        platform=compiled.experiment.platform,
        seed=0,
        profile=compiled.profile,
        sender=workload.sender,
        processes=workload.processes or 1,
        record_requests=True,
        slow_share=workload.slow_share,
        timeout_s=workload.timeout_s,
        allow_hosts=compiled.experiment.allow_hosts,
        classes=compiled.classes,
        mix=compiled.mix,
        wait_s=compiled.wait_s,
        max_in_flight=workload.max_in_flight,
        traceparent=workload.traceparent,
        bodies=workload.bodies,
        accepted=frozenset(workload.accept_status),
        promised=tuple(Threshold.parse(text).metric for text in compiled.experiment.thresholds),
    )


def run_experiment(
    run: Run,
    environment: Environment,
    compiled: Compiled,
    secret: str,
    processes: int = 1,
    start_worker: StartWorker = Worker,
    secret_env: str = "",
) -> None:
    """Walks through the experiment's phases under load, then lets the bot settle."""
    proxy = environment.proxy
    zero = run.now() + HEAD_START_S
    probing = compiled.experiment.probing
    load = replace(
        load_of(compiled),
        url=environment.entry,
        endpoint=Endpoint(secret=secret),
        seed=run.seed,
        processes=processes,
        zero_s=zero,
        samples=Sampling(
            probing.pid, probing.metrics or environment.metrics, health=probing.health or environment.health
        ),
        secret_env=secret_env,
    )
    if proxy is not None:
        plan = shifted(compiled.plan, zero)
        proxy.replace_plan(plan)
        run.steering.offer_rules(plan, proxy.replace_plan)

    def switch(step: Step) -> None:
        if proxy is not None:
            proxy.set_phase(step.key)

    scheduler = PhaseScheduler(run, compiled.timeline, zero, switch)
    scheduler.start()
    try:
        drive_load(run, environment, load, phase=lambda: scheduler.current, start_worker=start_worker)
    finally:
        scheduler.end()
        run.steering.offer_rules(FaultPlan(), None)
        if proxy is not None:
            # Not only no new faults: what the old ones still hold goes on too.
            proxy.clear()
    settle(run, environment)


def settle(run: Run, environment: Environment) -> None:
    """Waits, without faults, until the bot has made no call for a moment."""
    if environment.proxy is None:
        return
    run.phase("settle")
    end = time.monotonic() + SETTLE_S
    seen, since = len(environment.calls()), time.monotonic()
    while time.monotonic() < end and not run.should_stop():
        if run.stopping.wait(0.1):
            return
        environment.proxy.flush()
        if len(environment.calls()) != seen:
            seen, since = len(environment.calls()), time.monotonic()
        elif time.monotonic() - since > QUIET_S:
            return


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


# ── the demo's tour ───────────────────────────────────────────────────────────────────────────────────────────────────


FUZZ_S: Final = 32.0
LAST_S: Final = 112.0
"""When the campaign must be over, in seconds of the run: a slow machine may take longer for the catalogue, but not for ever."""
GUIDED_S: Final = 35.0
AROUND_S: Final = 26.0
"""What starting, settling, the rest of the catalogue and judging take on an ordinary machine."""

_LEFT_OUT: Final = frozenset({"state", "growth", "urls", "forms", "arguments"})
"""Stages that show nothing of the planted bugs which the tour does not show already; the last stage, `sequences`, needs their time."""


def tour(
    run: Run, compiled: Compiled, secret: str, bugs: str, say: Callable[[str], None], *, fuzzed: bool = True
) -> bool:
    """Runs the tour: load under faults on a bot and its agent, then a campaign on the bot.

    Args:
        run: The run.
        compiled: The experiment.
        secret: The webhook's secret.
        bugs: Planted bugs that are on: names with commas.
        say: Takes lines for the person (rich markup).
        fuzzed: Whether there is a campaign.

    Returns:
        Whether time ran out before all cases were sent.
    """
    with prepared(run, environment_for(compiled.experiment, secret, bugs=bugs)) as environment:
        say(f"  bot              {environment.webhook}")
        say(f"  proxy, inbound   {environment.entry}")
        say(f"  Bot API mock     {environment.bot_api}")
        say(f"  language models  {environment.models}")
        run_experiment(run, environment, compiled, secret)
        if run.should_stop() or environment.demo is None:
            return True
        if not fuzzed:
            return False
        # What the load broke for good (a circuit that never closes) would hide what the campaign is to find.
        with run.interruptible():
            environment.demo.restart()
        say("a fresh bot, without the agent, for the fuzz campaign")
        settings = {
            "platform": compiled.experiment.platform,
            "duration_s": FUZZ_S,
            "stages": tuple(name for name in STAGES if name not in _LEFT_OUT),
            "longest_s": max(FUZZ_S, LAST_S - run.now()),
        }
        return run_campaign(run, environment, secret, settings).cut


def guided_tour(run: Run, secret: str, bugs: str) -> bool:
    """Lets the bot's own code guide a short campaign, which needs a Python that can watch code.

    Args:
        run: The run.
        secret: The webhook's secret.
        bugs: Planted bugs that are on: names with commas.

    Returns:
        Whether time ran out.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "chaosbot.demo",
        "--port",
        str(port),
        "--bugs",
        bugs,
        "--no-limits",
        "--no-supervised",
    ]
    start = shlex.join(["env", f"{defaults.SECRET_ENV}={secret}", *command])
    target = EnvironmentSpec(
        f"http://127.0.0.1:{port}{platform_of(defaults.PLATFORM).default_path}",
        secret=secret,
        outbound="off",
        inbound=False,
        reachable=False,
    )
    with prepared(run, target) as environment:
        settings = {
            "platform": defaults.PLATFORM,
            "duration_s": GUIDED_S,
            "stages": ("vocabulary", "guided"),
            "start_cmd": start,
            "guide": True,
            "guide_include": ("chaosbot.demo",),
        }
        return run_campaign(run, environment, secret, settings).cut
