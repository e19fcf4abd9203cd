"""The fuzz campaign of a run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from chaosbot.core.errors import UsageError
from chaosbot.core.exchange import Direction
from chaosbot.core.plan import FaultPlan, Rule, Window
from chaosbot.fuzz.campaign import Campaign
from chaosbot.fuzz.spec import CampaignResult, CampaignSpec, Progress
from chaosbot.session.driving import endpoint_for
from chaosbot.session.environment import Environment
from chaosbot.session.run import Run
from chaosbot.workers import StartWorker, Worker

RARE: Final = 0.05
"""The share of the bot's calls that errors may meet while it is fuzzed."""
LATER_S: Final = 86_400
"""How far a campaign's delivery ids are from those of the load before it."""


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


def check_corpus(folder: Path | None) -> None:
    """Refuses a folder for findings in which nothing can be written, before the campaign rather than after it.

    Raises:
        UsageError: It cannot be made, or not be written in.
    """
    if folder is None:
        return
    if folder.is_file():
        raise UsageError(
            f"--corpus {str(folder)[:200]}: is a file, and findings are remembered in a folder; the bodies of a recording are fuzzed by --platform json_webhook --platform-option sample=@{folder}"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(
            f"--corpus {str(folder)[:200]}: cannot be written in ({error.strerror}); name a folder of yours, or run somewhere else"
        ) from None


def run_campaign(
    run: Run,
    environment: Environment,
    secret: str,
    settings: Mapping[str, Any],
    progress: Callable[[Progress], None] | None = None,
    *,
    faults: FaultPlan | None = None,
    undisturbed: bool = True,
    start_worker: StartWorker = Worker,
) -> CampaignResult:
    """Runs a fuzz campaign against the webhook itself: through a proxy the bytes would be the proxy's.

    Args:
        run: The run.
        environment: What runs around it.
        secret: The webhook's secret.
        settings: More fields of the campaign's spec.
        progress: Hears how far it is.
        faults: What the bot's calls meet meanwhile; None leaves the proxy's plan as it is.
        undisturbed: Whether the proxy's plan leaves the bot's calls alone, so that the campaign may disturb them itself.
        start_worker: Starts the processes that share stages, here or on another machine.
    """
    if faults is not None and environment.proxy is not None:
        environment.proxy.replace_plan(faults)
    address, endpoint = endpoint_for(environment, environment.webhook, secret, later_s=LATER_S)
    spec = CampaignSpec(
        address,
        endpoint,
        seed=run.seed,
        bot_api=bool(environment.bot_api),
        health=environment.health or None,
        findings=run.directory / "findings",
        lcov=run.directory / "target.lcov",
        started=run.started,
        **settings,
    )
    run.phase("fuzz")
    proxy = environment.proxy

    def disturb(rules: tuple[Rule, ...]) -> None:
        if proxy is not None:
            proxy.replace_plan(FaultPlan(rules))

    free = proxy is not None and bool(environment.bot_api) and undisturbed and not (faults and faults.rules)
    return Campaign(spec, run.emit, environment.calls, progress, disturb if free else None, start_worker).run(
        run.should_stop
    )
