"""Experiment files: everything that `chaosbot run` needs, read into one frozen value before anything starts.

The built-in experiments are such files too (``chaosbot/config/experiments/*.toml``), so each is an example to start from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from chaosbot.config import renamed
from chaosbot.config.document import Section, flag, text, texts, whole
from chaosbot.config.plan import plan_from, plan_to_mapping, read_document
from chaosbot.core import units
from chaosbot.core.check import CHECKS
from chaosbot.core.errors import ConfigError, UnknownName
from chaosbot.core.plan import FaultPlan
from chaosbot.core.platform import platform_of, spoken
from chaosbot.core.profile import PROFILES, Threshold
from chaosbot.core.timeline import Lengths
from chaosbot.transport import Address

OUTBOUND: Final = ("mock", "off")
"""What the bot's outgoing calls meet; besides these words a base URL to pass through to."""


@dataclass(frozen=True)
class Workload:
    """The load of an experiment.

    Args:
        profile: The load profile's name.
        options: Options of the profile.
        users: Virtual users; None leaves it to the profile.
        rate: Arrivals a second (open workload); None for a closed one.
        sender: ``raw`` or ``telegram``.
        slow_share: Share of users that send and read slowly.
        processes: Driver processes.
        timeout_s: Most time for a request.
    """

    profile: str = "sustained"
    options: Mapping[str, Any] = field(default_factory=dict)
    users: int | None = None
    rate: float | None = None
    sender: str = "raw"
    slow_share: float = 0.0
    processes: int = 1
    timeout_s: float = 30.0


@dataclass(frozen=True)
class Probing:
    """What is looked at from outside while the experiment runs.

    Args:
        health: URL or path of a health page; its JSON may carry circuits.
        metrics: URL or path of Prometheus metrics.
        pid: The target's process id on this machine.
    """

    health: str = ""
    metrics: str = ""
    pid: int | None = None


@dataclass(frozen=True)
class Experiment:
    """One chaos experiment, complete.

    Args:
        name: Names it in the report.
        about: What question it answers.
        target: The webhook's URL; empty for the embedded demo bot.
        platform: The platform's tongue.
        secret_env: Environment variable that holds the webhook's secret; empty for the default one.
        seed: All chance; None draws one.
        allow_hosts: Hosts that may be broken although they are not loopback.
        workload: The load.
        lengths: How long each phase lasts.
        plan: The faults.
        alone: Whether each fault acts in a window of its own.
        outbound: ``mock``, ``off``, or a base URL to pass through to.
        thresholds: What must hold, as people write it (``p99<2s,5s``); empty for the standard table.
        abort_on: Conditions that end the run early, as texts (``error_rate > 50% for 10s``).
        checks: The checks that judge it; empty for all.
        fuzz_s: Seconds of fuzzing after the load; 0 for none.
        probing: What is looked at from outside.
        limits: For the embedded demo bot: whether its per-user rate limits hold.
    """

    name: str = "experiment"
    about: str = ""
    target: str = ""
    platform: str = "telegram"
    secret_env: str = ""
    seed: int | None = None
    allow_hosts: tuple[str, ...] = ()
    workload: Workload = field(default_factory=Workload)
    lengths: Lengths = field(default_factory=Lengths)
    plan: FaultPlan = field(default_factory=FaultPlan)
    alone: bool = False
    outbound: str = "mock"
    thresholds: tuple[str, ...] = ()
    abort_on: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    fuzz_s: float = 0.0
    probing: Probing = field(default_factory=Probing)
    limits: bool = False

    def settings(self) -> dict[str, Any]:
        """What the run's first event records, so that the run can be repeated and replayed."""
        return {
            "experiment": self.name,
            "platform": self.platform,
            "outbound": self.outbound,
            "plan": plan_to_mapping(self.plan),
            "alone": self.alone,
            "workload": {
                "profile": self.workload.profile,
                "options": dict(self.workload.options),
                "users": self.workload.users,
                "rate": self.workload.rate,
                "sender": self.workload.sender,
                "slow_share": self.workload.slow_share,
                "processes": self.workload.processes,
                "timeout_s": self.workload.timeout_s,
            },
            "lengths": {
                "warmup": self.lengths.warmup_s,
                "baseline": self.lengths.baseline_s,
                "fault": self.lengths.fault_s,
                "recovery": self.lengths.recovery_s,
                "cooldown": self.lengths.cooldown_s,
            },
            "fuzz_s": self.fuzz_s,
            "limits": self.limits,
            "promised": list(self.thresholds),
            "abort_on": list(self.abort_on),
            **({"thresholds": threshold_settings(self.thresholds)} if self.thresholds else {}),
            **({"checks": list(self.checks)} if self.checks else {}),
        }


def threshold_settings(texts: Sequence[str]) -> list[dict[str, str]]:
    """Thresholds as a run's settings record them: what should hold, and the alert beyond which it has failed."""
    settings = []
    for threshold in map(Threshold.parse, texts):
        bound = threshold.write(threshold.alert).lstrip("<>= ")
        alert = f"{'>' if threshold.below else '<'} {bound}" if bound else ""
        settings.append({"metric": threshold.metric, "target": threshold.write(threshold.target), "alert": alert})
    return settings


def built_in() -> tuple[str, ...]:
    """The names of the built-in experiments."""
    folder = files("chaosbot.config") / "experiments"
    return tuple(sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml")))


def built_in_text(name: str) -> str:
    """The file of a built-in experiment.

    Raises:
        UnknownName: With the list of those there are.
    """
    if name not in built_in():
        raise UnknownName.of("experiment", name, built_in(), where="")
    return (files("chaosbot.config") / "experiments" / f"{name}.toml").read_text(encoding="utf-8")


def read_experiment(path_or_name: str) -> Experiment:
    """Reads an experiment file, or a built-in experiment by its name.

    Raises:
        ConfigError: With file, key, rule and remedy.
    """
    path = Path(path_or_name)
    if not path.suffix and not path.exists():
        import tomllib  # noqa: PLC0415 - only for the built-in ones

        return experiment_from(tomllib.loads(built_in_text(path_or_name)), f"{path_or_name}.toml")
    return experiment_from(read_document(path), str(path))


def experiment_from(document: Mapping[str, Any], where: str) -> Experiment:
    """Builds an experiment from a document.

    Raises:
        ConfigError: With file, key, rule and remedy.
    """
    with Section(renamed.with_new_keys(document, renamed.EXPERIMENT_KEYS, where), where) as top:
        with top.section("workload") as part:
            workload = Workload(
                profile=part.take("profile", _profile, "sustained"),
                options=part.take("options", _mapping, {}),
                users=part.take("users", whole, None),
                rate=part.take("rate", units.frequency, None),
                sender=part.take("sender", _sender, "raw"),
                slow_share=part.take("slow_share", units.share, 0.0),
                processes=part.take("processes", whole, 1),
                timeout_s=part.take("timeout", units.duration, 30.0),
            )
        with top.section("phases") as part:
            usual = Lengths()
            values = {
                f"{name}_s": part.take(name, units.duration, getattr(usual, f"{name}_s"))
                for name in ("warmup", "baseline", "fault", "recovery", "cooldown")
            }
            lengths = _built(part.where, values)
        with top.section("probes") as part:
            probing = Probing(
                health=part.take("health", text, ""),
                metrics=part.take("metrics", text, ""),
                pid=part.take("pid", whole, None),
            )
        platform = spoken(top.take("platform", text, "telegram"), top.take("platform_options", _mapping, {}))
        try:
            platform_of(platform)
        except ConfigError as error:
            raise error.inside(f"{where}: platform") from None
        return Experiment(
            name=top.take("name", text, Path(where).stem),
            about=top.take("about", text, ""),
            target=top.take("target", _target, ""),
            platform=platform,
            secret_env=top.take("secret_env", text, ""),
            seed=top.take("seed", whole, None),
            allow_hosts=top.take("allow_hosts", texts, ()),
            workload=workload,
            lengths=lengths,
            plan=plan_from({"rules": top.take("rules", lambda value: value, [])}, where),
            alone=top.take("alone", flag, False),
            outbound=top.take("outbound", _outbound, "mock"),
            thresholds=top.take("thresholds", _thresholds, ()),
            abort_on=top.take("abort_on", texts, ()),
            checks=top.take("checks", _checks, ()),
            fuzz_s=top.take("fuzz", units.duration, 0.0),
            probing=probing,
            limits=top.take("limits", flag, False),
        )


def _profile(value: object) -> str:
    name = text(value)
    PROFILES.get(name)
    return name


def _checks(value: object) -> tuple[str, ...]:
    names = texts(value)
    for name in names:
        CHECKS.get(name)
    return names


def _target(value: object) -> str:
    url = text(value)
    if url:
        Address.parse(url)
    return url


def _thresholds(value: object) -> tuple[str, ...]:
    written = texts(value)
    for item in written:
        Threshold.parse(item)
    return written


def _mapping(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError("", f"{value!r} is no table")
    return value


def _built(where: str, values: dict[str, float]) -> Lengths:
    try:
        return Lengths(**values)
    except ValueError as error:
        raise ConfigError(where, str(error)) from None


def _sender(value: object) -> str:
    if value not in ("raw", "telegram"):
        raise UnknownName.of("sender", str(value), ("raw", "telegram"))
    return str(value)


def _outbound(value: object) -> str:
    return outbound_of(text(value))


def outbound_of(word: str, where: str = "") -> str:
    """Where the target's own calls go: ``mock``, ``off`` or a base URL.

    Raises:
        ConfigError: It is none of them; the message begins with `where`.
    """
    word = renamed.with_new_word(word, renamed.OUTBOUND, where or "outbound")
    if word in OUTBOUND:
        return word
    if not word.startswith(("http://", "https://")):
        raise ConfigError(
            where, f"'{word}' is none of {', '.join(OUTBOUND)} and no base URL such as https://api.telegram.org"
        )
    Address.parse(word, where=where)
    return word
