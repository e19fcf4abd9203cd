"""Experiment files: everything that `chaosbot run` needs, read into one frozen value before anything starts.

The built-in experiments are such files too (``chaosbot/config/experiments/*.toml``), so each is an example to start from.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from chaosbot.config import defaults, renamed
from chaosbot.config.document import exists, parsed, read_document
from chaosbot.config.plan import PLAN, plan_to_mapping
from chaosbot.config.table import (
    DURATION,
    FLAG,
    FREQUENCY,
    OPTIONS,
    SHARE,
    STATUSES,
    TEXT,
    Key,
    Kind,
    Table,
    at,
    checked_table,
    choice,
    listed,
    named,
    schema_of_options,
    table,
    text_that,
    whole,
)
from chaosbot.core.check import ACCEPTED, CHECKS
from chaosbot.core.errors import ConfigError, UnknownName
from chaosbot.core.mock import is_mock, upstreams_of, with_llm
from chaosbot.core.plan import FaultPlan
from chaosbot.core.platform import PLATFORMS, platform_of, spoken
from chaosbot.core.prices import prices_of
from chaosbot.core.profile import PROFILES, Threshold, threshold_settings
from chaosbot.core.timeline import Lengths
from chaosbot.load.spec import BODIES
from chaosbot.transport import Address


@dataclass(frozen=True)
class Workload:
    """The load of an experiment.

    Args:
        profile: The load profile's name.
        options: Options of the profile.
        users: Virtual users; None leaves it to the profile.
        rate: Arrivals a second (open workload); None for a closed one.
        sender: ``raw`` or ``platform`` (``telegram`` is its old name).
        slow_share: Share of users that send and read slowly.
        processes: Driver processes; None for one, on a cluster one for each of its slots.
        timeout_s: Most time for a request.
        classes: Who takes part, as ``--class`` says it; empty for the platform's own shares.
        mix: What they do, as ``--mix`` says it.
        wait: A user's pause between two tasks, as ``--wait`` says it; empty for the journeys' own.
        max_in_flight: Most requests on their way at once, without connections of streams; None for no bound.
        traceparent: Whether requests carry a W3C trace context.
        bodies: Which answers' bodies the journal keeps: ``failed``, ``sample``, ``all`` or ``none``.
        accept_status: Statuses beside 2xx that are no failures.
    """

    profile: str = "sustained"
    options: Mapping[str, Any] = field(default_factory=dict)
    users: int | None = None
    rate: float | None = None
    sender: str = "raw"
    slow_share: float = 0.0
    processes: int | None = None
    timeout_s: float = 30.0
    classes: str = ""
    mix: str = ""
    wait: str = ""
    max_in_flight: int | None = None
    traceparent: bool = False
    bodies: str = "sample"
    accept_status: tuple[int, ...] = ()


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
        platform: The platform's name.
        secret_env: Environment variable that holds the webhook's secret; empty for the default one.
        seed: All chance; None draws one.
        allow_hosts: Hosts that may be broken although they are not loopback.
        workload: The load.
        lengths: How long each phase lasts.
        plan: The faults.
        alone: Whether each fault acts in a window of its own.
        outbound: ``mock``, ``off``, a base URL to pass through to, or several with commas; language models are the upstream ``llm``.
        llm_spend: What calls of real language models may cost, in US dollars.
        prices: What models cost, before the usual prices (`chaosbot.core.prices`).
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
    platform: str = defaults.PLATFORM
    secret_env: str = ""
    seed: int | None = None
    allow_hosts: tuple[str, ...] = ()
    workload: Workload = field(default_factory=Workload)
    lengths: Lengths = field(default_factory=Lengths)
    plan: FaultPlan = field(default_factory=FaultPlan)
    alone: bool = False
    outbound: str = "mock"
    llm_spend: float = 1.0
    prices: Mapping[str, tuple[float, float]] = field(default_factory=dict)
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
            "workload": {**asdict(self.workload), "options": dict(self.workload.options)},
            "lengths": {
                "warmup": self.lengths.warmup_s,
                "baseline": self.lengths.baseline_s,
                "fault": self.lengths.fault_s,
                "recovery": self.lengths.recovery_s,
                "burst": self.lengths.burst_s,
                "cooldown": self.lengths.cooldown_s,
            },
            "fuzz_s": self.fuzz_s,
            "limits": self.limits,
            "promised": list(self.thresholds),
            "abort_on": list(self.abort_on),
            **({"thresholds": threshold_settings(self.thresholds)} if self.thresholds else {}),
            **({"checks": list(self.checks)} if self.checks else {}),
            **({ACCEPTED: list(self.workload.accept_status)} if self.workload.accept_status else {}),
            **({"prices": {name: list(pair) for name, pair in self.prices.items()}} if self.prices else {}),
        }


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
    hidden = path_or_name in built_in() and path.is_dir()  # by a folder of that name, which nobody can mean
    if not path.suffix and (hidden or not exists(path)):
        return experiment_from(parsed(built_in_text(path_or_name), ".toml", path_or_name), f"{path_or_name}.toml")
    return experiment_from(read_document(path), str(path))


def outbound_of(word: str, where: str = "") -> str:
    """Where the target's own calls go: ``mock``, ``off``, a base URL, or several upstreams with commas (`upstreams_of`).

    Raises:
        ConfigError: It is none of them; the message begins with `where`.
    """
    word = renamed.with_new_word(word, renamed.OUTBOUND, where or "outbound")
    try:
        upstreams = upstreams_of(word, defaults.MOCK)
    except ConfigError as error:
        raise error.inside(where) if where else error from None
    for each in upstreams:
        if is_mock(each.where):
            continue
        if not each.where.startswith(("http://", "https://")):
            raise ConfigError(where, f"'{word}' is none of mock, off and no base URL such as https://api.telegram.org")
        Address.parse(each.where, where=where)
    return word


def _llm_of(word: str) -> str:
    if word not in ("off", ""):
        outbound_of(with_llm("off", word))
    return word


def _prices(value: Any, where: str) -> dict[str, tuple[float, float]]:
    return prices_of(OPTIONS.read(value, where), where)


def _dollars(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise ConfigError(where, f"{value!r:.40} is no amount of US dollars; write a number such as 0.5")
    return float(value)


PRICE: Final = {"type": "array", "items": {"type": "number", "minimum": 0}, "minItems": 2, "maxItems": 2}
PRICES: Final = Kind(_prices, lambda: {"type": "object", "additionalProperties": PRICE})
DOLLARS: Final = Kind(_dollars, lambda: {"type": "number", "minimum": 0})

WORKLOAD: Final = Table(
    "The load.",
    {
        "profile": Key(named(PROFILES), "Its shape; `chaosbot profiles` lists them.", "sustained"),
        "options": Key(OPTIONS, "Options of the profile; `chaosbot profiles NAME` explains them.", {}),
        "users": Key(whole(most=10_000_000), "Virtual users (closed profiles)."),
        "rate": Key(FREQUENCY, "Arrivals (open profiles)."),
        "sender": Key(
            choice("sender", ("raw", "platform", "telegram")),
            "Plain concurrency, or the platform's way of delivering.",
            "raw",
        ),
        "slow_share": Key(SHARE, "The share of users that send and read slowly.", 0.0),
        "processes": Key(whole(1, 1024), "Driver processes [1; with --cluster every slot]."),
        "timeout": Key(DURATION, "Most time for a request.", 30.0),
        "classes": Key(TEXT, "Who takes part, e.g. guest=80,admin=1.", ""),
        "mix": Key(TEXT, "What they do, e.g. chat=3,complex=1.", ""),
        "wait": Key(TEXT, "A user's pause between two tasks, e.g. 20s..60s.", ""),
        "max_in_flight": Key(whole(1), "Most requests on their way at once, without connections of streams."),
        "traceparent": Key(FLAG, "Whether requests carry a W3C trace context.", False),
        "bodies": Key(choice("choice", BODIES), "Answers whose bodies the journal keeps.", "sample"),
        "accept_status": Key(STATUSES, 'Statuses beside 2xx that are no failures, e.g. [304, "4xx"].', ()),
    },
)
USUAL: Final = Lengths()
PHASES: Final = Table(
    "How long each phase lasts.",
    {
        "warmup": Key(DURATION, "Load whose figures do not count.", USUAL.warmup_s),
        "baseline": Key(DURATION, "Load without faults, against which everything else is measured.", USUAL.baseline_s),
        "fault": Key(DURATION, "Each window in which faults act.", USUAL.fault_s),
        "recovery": Key(DURATION, "After each window.", USUAL.recovery_s),
        "burst": Key(DURATION, "For a burst of the load: promises name it (error_rate/burst<1%).", USUAL.burst_s),
        "cooldown": Key(DURATION, "At the end.", USUAL.cooldown_s),
    },
)


def _page(url: str) -> str:
    return Address.parse(url).url if url else url


PAGE: Final = text_that(_page, examples=["http://127.0.0.1:8000/health"])
PROBES: Final = Table(
    "What is looked at from outside while the experiment runs.",
    {
        "health": Key(PAGE, "A health page; its JSON may carry circuits.", ""),
        "metrics": Key(PAGE, "A page of Prometheus metrics.", ""),
        "pid": Key(whole(most=2**31 - 1), "The target's process on this machine."),
    },
)


def _targeted(url: str) -> str:
    if url:
        Address.parse(url)
    return url


def _threshold(text: str) -> str:
    Threshold.parse(text)
    return text


EXPERIMENT: Final = Table(
    "An experiment for `chaosbot run`.",
    {
        "name": Key(TEXT, "Names it in the report; by default the file's name."),
        "about": Key(TEXT, "The question that it answers.", ""),
        "target": Key(text_that(_targeted), "The webhook's URL; empty for the embedded demo bot.", ""),
        "platform": Key(
            Kind(TEXT.read, lambda: {"type": "string", "pattern": f"^({'|'.join(PLATFORMS.names())})(:.*)?$"}),
            "Whose webhook it is.",
            defaults.PLATFORM,
        ),
        "platform_options": Key(OPTIONS, "Options of the platform.", {}),
        "secret_env": Key(TEXT, "The environment variable that holds the webhook's secret.", ""),
        "seed": Key(whole(), "All chance derives from it; without one it is drawn."),
        "allow_hosts": Key(listed(TEXT), "Hosts that may be broken although they are not loopback.", ()),
        "workload": Key(table(WORKLOAD), WORKLOAD.about),
        "phases": Key(table(PHASES), PHASES.about),
        "probes": Key(table(PROBES), PROBES.about),
        "rules": Key(PLAN.keys["rules"].kind, "The faults.", ()),
        "alone": Key(FLAG, "Whether each fault acts in a window of its own.", False),
        "outbound": Key(
            text_that(
                outbound_of, examples=["mock", "off", "https://api.telegram.org", "mock,llm=http://127.0.0.1:9000"]
            ),
            "Where the target's own calls go: mock, off, or a base URL.",
            "mock",
        ),
        "llm": Key(
            text_that(_llm_of, examples=["mock", "off", "https://api.anthropic.com"]),
            "Where its calls of language models go, as the upstream 'llm': mock, off, or a base URL.",
            "off",
        ),
        "llm_spend": Key(DOLLARS, "What calls of real models may cost, in US dollars; more ends the run.", 1.0),
        "prices": Key(PRICES, "What models cost: name or glob = [sent, written], US dollars a million tokens.", {}),
        "thresholds": Key(
            listed(text_that(_threshold, examples=["p99<2s,5s", "error_rate<1%,5%"])),
            "What must hold: target, alert.",
            (),
        ),
        "abort_on": Key(listed(text_that(str, examples=["error_rate > 50% for 10s"])), "What ends the run early.", ()),
        "checks": Key(listed(named(CHECKS)), "The checks that judge it; without any, all.", ()),
        "fuzz": Key(DURATION, "A fuzz campaign of this length after the load.", 0.0),
        "limits": Key(FLAG, "For the embedded demo bot: whether its rate limits hold.", False),
    },
)


def experiment_from(document: Mapping[str, Any], where: str) -> Experiment:
    """Builds an experiment from a document.

    Raises:
        ConfigError: With file, key, rule and remedy.
    """
    document = renamed.with_new_keys(checked_table(document, where), renamed.EXPERIMENT_KEYS, where)
    values = EXPERIMENT.read(document, where)
    workload = values["workload"] or WORKLOAD.read({}, where)
    probes = values["probes"] or PROBES.read({}, where)
    phases = values["phases"] or PHASES.read({}, where)
    try:
        lengths = Lengths(**{f"{name}_s": value for name, value in phases.items()})
    except ValueError as error:
        raise ConfigError(at(where, "phases"), str(error)) from None
    try:
        PROFILES.build(workload["profile"], workload["options"])
    except ConfigError as error:
        raise error.inside(at(where, "workload.options")) from None
    try:
        platform = spoken(values["platform"], values["platform_options"])
        platform_of(platform)
    except ConfigError as error:
        raise error.inside(at(where, "platform")) from None
    try:
        plan = FaultPlan(tuple(values["rules"]))
    except ValueError as error:
        raise ConfigError(where, str(error)) from None
    return Experiment(
        name=Path(where).stem if values["name"] is None else values["name"],
        platform=platform,
        workload=Workload(timeout_s=workload.pop("timeout"), **workload),
        lengths=lengths,
        plan=plan,
        fuzz_s=values["fuzz"],
        probing=Probing(**probes),
        outbound=with_llm(values["outbound"], values["llm"]) if values["llm"] != "off" else values["outbound"],
        **{
            name: values[name]
            for name in (
                "about",
                "target",
                "secret_env",
                "seed",
                "allow_hosts",
                "alone",
                "llm_spend",
                "prices",
                "thresholds",
                "abort_on",
                "checks",
                "limits",
            )
        },
    )


# ── experiments written down again, and their JSON Schema ─────────────────────────────────────────────────────────────


DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"


def write_experiment(experiment: Experiment, about: str) -> str:
    """An experiment as a TOML file that `read_experiment` reads back.

    Args:
        experiment: What to write.
        about: The comment at its head.
    """
    settings = experiment.settings()
    workload = {key: value for key, value in settings["workload"].items() if value not in (None, {}, (), 0.0)}
    workload["timeout"] = f"{workload.pop('timeout_s')}s"
    if "rate" in workload:
        workload["rate"] = f"{workload['rate']}/s"
    lines = [f"# {about}", *_pairs({"name": experiment.name, "platform": experiment.platform})]
    lines += _pairs({"outbound": experiment.outbound, "alone": experiment.alone, "limits": experiment.limits})
    given = {
        "target": experiment.target,
        "secret_env": experiment.secret_env,
        "thresholds": experiment.thresholds,
        "abort_on": experiment.abort_on,
        "checks": experiment.checks,
    }
    lines += _pairs({name: value for name, value in given.items() if value})
    lines += ["", "[workload]", *_pairs(workload), "", "[phases]"]
    lines += _pairs({name: f"{value}s" for name, value in settings["lengths"].items()})
    for rule in settings["plan"]["rules"]:
        lines += ["", "[[rules]]", *_pairs(rule)]
    return "\n".join(lines) + "\n"


def _pairs(values: Mapping[str, Any]) -> list[str]:
    return [f"{key} = {_toml(value)}" for key, value in values.items()]


def _toml(value: Any) -> str:
    """A value in TOML; its strings, numbers and lists are JSON's, tables are written on one line."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def experiment_schema() -> dict[str, Any]:
    """The JSON Schema of experiment files, for editors."""
    schema = EXPERIMENT.schema()
    workload = schema["properties"]["workload"]
    workload["allOf"] = [
        {
            "if": {"required": ["profile"], "properties": {"profile": {"const": name}}},
            "then": {"properties": {"options": schema_of_options(PROFILES.get(name))}},
        }
        for name in PROFILES.names()
    ]
    return {"$schema": DRAFT, "title": "chaosbot experiment", **schema}


def plan_schema() -> dict[str, Any]:
    """The JSON Schema of plan files, for editors."""
    return {"$schema": DRAFT, "title": "chaosbot fault plan", **PLAN.schema()}
