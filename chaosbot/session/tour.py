"""The demo's tour: an experiment against the embedded bot, then a fuzz campaign against a fresh one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from chaosbot.fuzz.spec import STAGES
from chaosbot.session.campaign import run_campaign
from chaosbot.session.environment import EnvironmentSpec, prepared
from chaosbot.session.experiment import Compiled, run_experiment
from chaosbot.session.run import Run

FUZZ_S: Final = 38.0
LAST_S: Final = 112.0
"""When the campaign must be over, in seconds of the run: a slow machine may take longer for the catalogue, but not for ever."""
AROUND_S: Final = 18.0
"""What starting, settling, the rest of the catalogue and judging take on an ordinary machine."""

_LEFT_OUT: Final = frozenset({"state", "growth"})
"""Stages that show nothing of the planted bugs which the tour does not show already."""


def tour(run: Run, compiled: Compiled, secret: str, bugs: str, say: Callable[[str], None]) -> bool:
    """Runs the tour.

    Args:
        run: The run.
        compiled: The experiment.
        secret: The webhook's secret.
        bugs: Planted bugs that are on: names with commas.
        say: Takes lines for the person (rich markup).

    Returns:
        Whether time ran out before all cases were sent.
    """
    with prepared(run, EnvironmentSpec(bugs=bugs, secret=secret, limits=False)) as environment:
        say(f"  bot              {environment.webhook}")
        say(f"  proxy, inbound   {environment.entry}")
        say(f"  Bot API mock     {environment.bot_api}")
        run_experiment(run, environment, compiled, secret)
        if run.should_stop() or environment.demo is None:
            return True
        # What the load broke for good (a circuit that never closes) would hide what the campaign is to find.
        with run.interruptible():
            environment.demo.restart()
        say("a fresh bot for the fuzz campaign")
        settings = {
            "platform": compiled.experiment.platform,
            "duration_s": FUZZ_S,
            "stages": tuple(name for name in STAGES if name not in _LEFT_OUT),
            "longest_s": max(FUZZ_S, LAST_S - run.now()),
        }
        return run_campaign(run, environment, secret, settings).cut
