"""What a campaign is told, what it tells while it runs, and what it comes to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Final

from chaosbot.core.check import CHECKS
from chaosbot.core.errors import ConfigError, UnknownName
from chaosbot.core.platform import Endpoint, platform_of
from chaosbot.core.verdict import Finding, Judgement
from chaosbot.transport import Address

STAGES: Final = (
    "served",
    "vocabulary",
    "guided",
    "growth",
    "urls",
    "catalogue",
    "state",
    "trust",
    "outbound",
    "forms",
    "mutations",
    "arguments",
    "generated",
    "sequences",
)
POLICIES: Final = ("reject", "ack", "any")


@dataclass(frozen=True)
class CampaignSpec:
    """A fuzz campaign.

    Args:
        address: Where requests go.
        endpoint: How the target is spoken to (host header, path, secret).
        platform: The platform's name.
        seed: All chance.
        duration_s: How long the campaign may take altogether.
        max_examples: Most cases in each stage after the catalogue; None leaves it to the time.
        stages: Which stages run, in the order of `STAGES`.
        checks: Which checks judge; None takes all that judge a campaign.
        malformed: What is right for a malformed request: ``reject`` (4xx), ``ack`` (2xx) or ``any``.
        accept_status: Statuses beside 2xx that are right for a valid update.
        bot_api: Whether a Bot API mock is attached, so that the bot's calls are seen.
        pid: The target's process, for memory and descriptors; None looks for whoever listens (loopback, Linux).
        metrics: URL of the target's metrics, the same from outside.
        health: URL of the target's health page.
        start_cmd: Command that starts the target; chaosbot then owns the process and starts it again when it has died.
        corpus: Where findings are remembered between runs (``.chaosbot``); None remembers nothing.
        baseline: File with the ids of findings that are accepted.
        findings: Where finding directories are written; None writes none.
        workers: Processes for the stages whose cases are independent.
        allow: Hosts besides loopback that may be spoken to.
        started: Monotonic time at which the run began; 0 takes the campaign's own beginning.
        latency_s: An answer that takes longer is a hang, when it does so again alone.
        timeout_s: Bound on one ordinary case.
        secret_env: The environment variable with the secret, named in what a finding tells to type.
        longest_s: How long the campaign may take altogether so that the catalogue runs to its end, the later stages keeping their
            time while there is some; None keeps the catalogue to its share of `duration_s`.
        only: Patterns (as in file names) of the catalogue cases to restrict the campaign to; empty runs all.
        guide: Whether the target is started with the agent inside (`chaosbot.agent`), which needs `start_cmd`.
        guide_include: Packages in site-packages that count as the target's own code.
        lcov: Where the coverage of the target's code is written; None writes none.
        part: Which of the workers this is; each sends every ``workers``-th mutation and round of generated updates.
    """

    address: Address
    endpoint: Endpoint
    platform: str = ""
    seed: int = 0
    duration_s: float = 60.0
    max_examples: int | None = None
    stages: tuple[str, ...] = STAGES
    checks: tuple[str, ...] | None = None
    malformed: str = "any"
    accept_status: tuple[int, ...] = ()
    bot_api: bool = False
    pid: int | None = None
    metrics: str | None = None
    health: str | None = None
    start_cmd: str | None = None
    corpus: Path | None = None
    baseline: Path | None = None
    findings: Path | None = None
    workers: int = 1
    allow: tuple[str, ...] = ()
    started: float = 0.0
    latency_s: float = 2.0
    timeout_s: float = 5.0
    secret_env: str = "TELEGRAM_SECRET_TOKEN"  # noqa: S105 - a variable's name
    longest_s: float | None = None
    only: tuple[str, ...] = ()
    part: int = 0
    guide: bool = False
    guide_include: tuple[str, ...] = ()
    lcov: Path | None = None

    def __post_init__(self) -> None:
        """Refuses what would only fail later."""
        for stage in self.stages:
            if stage not in STAGES:
                raise UnknownName.of("stage", stage, STAGES, where="--stages")
        for check in self.checks or ():
            CHECKS.get(check)
        if self.malformed not in POLICIES:
            raise UnknownName.of("policy", self.malformed, POLICIES, where="--malformed")
        if not self.duration_s > 0:
            raise ConfigError("--duration", f"{self.duration_s} s is no time; give the campaign at least a second")
        if self.guide and not self.start_cmd:
            raise ConfigError(
                "--guide", "needs --start-cmd: only a target that chaosbot starts can be watched from inside"
            )
        if self.stages == ("guided",) and not self.guide:
            raise ConfigError("--stages", "the stage guided needs --guide (with --start-cmd); nothing would be sent")
        if self.workers < 1:
            raise ConfigError("--workers", f"{self.workers} is none; a campaign needs at least 1")
        platform_of(self.platform)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a campaign is, for whoever watches."""

    stage: str
    sent: int
    planned: int
    findings: int
    duration_s: float


@dataclass(frozen=True, slots=True)
class CampaignResult:
    """What a campaign came to.

    Args:
        findings: What was found, the worst first; accepted ones (baseline) are left out.
        judgements: What every check said.
        unjudged: Checks that could not judge, each with its reason.
        cases_sent: How many requests left.
        by_stage: The same by stage.
        muted: Ids of findings that the baseline accepts.
        complete: Whether every stage had its turn.
        cut: Whether time ran out before the whole catalogue was sent.
    """

    findings: tuple[Finding, ...]
    judgements: tuple[Judgement, ...]
    unjudged: tuple[tuple[str, str], ...]
    cases_sent: int
    by_stage: dict[str, int] = field(default_factory=dict)
    muted: tuple[str, ...] = ()
    complete: bool = True
    cut: bool = False


class TimeIsUp(Exception):
    """A conversation ends because the stage does."""


@dataclass(frozen=True)
class Clock:
    """Until when something may go on."""

    until: float
    should_stop: Callable[[], bool]

    def over(self) -> bool:
        """Whether the time is up or somebody asked to stop."""
        return monotonic() >= self.until or self.should_stop()

    def left(self) -> float:
        """Seconds left; 0 when somebody asked to stop."""
        return 0.0 if self.should_stop() else max(0.0, self.until - monotonic())
