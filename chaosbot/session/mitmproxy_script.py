"""The script that mitmdump, mitmproxy and mitmweb load: ``mitmdump -s "$(chaosbot addon)" --set chaos_plan=plan.toml``.

Makes a run of mitmproxy's options: the plan, the seed, and a run directory when ``chaos_journal`` names one.
"""

from __future__ import annotations

import logging
import secrets
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from chaosbot.addons.chaos import AddonOptions, ChaosScript
from chaosbot.addons.spec import ProxySpec
from chaosbot.config import defaults
from chaosbot.config.fit import Ground, check_fit
from chaosbot.config.plan import parse_fault, plan_of, plan_to_mapping, read_plan
from chaosbot.core.event import Event, Trouble
from chaosbot.core.plan import FaultPlan, Rule
from chaosbot.core.platform import platform_of
from chaosbot.session.run import Run, known_secrets

logger: Final = logging.getLogger(__name__)


class MitmproxyRun:
    """One run in a foreign mitmproxy.

    Args:
        options: mitmproxy's options.

    Raises:
        ChaosbotError: An option is wrong.
    """

    def __init__(self, options: AddonOptions) -> None:
        options = replace(options, platform=options.platform or defaults.PLATFORM)
        plan = _plan(options)
        seed = options.seed or 1 + secrets.randbelow((1 << 32) - 1)
        self._run: Run | None = None
        if options.journal:
            settings = {"plan": plan_to_mapping(plan), "platform": options.platform}
            directory = Path(options.journal)
            self._run = Run("proxy", "mitmproxy", seed, directory, secrets=known_secrets(), settings=settings)
        started = self._run.started if self._run is not None else time.monotonic()
        self.spec = ProxySpec((), seed, plan, options.platform, http2=True, started=started)
        count = len(plan.rules)
        logger.info("chaosbot: %d rule%s, seed %d", count, "" if count == 1 else "s", seed)

    def emit(self, event: Event, /) -> None:
        """Records an event; trouble is logged too, so that mitmproxy's console shows it."""
        if isinstance(event, Trouble):
            logger.error("chaosbot: %s: %s", event.where, event.what)
        if self._run is not None:
            self._run.emit(event)

    def close(self) -> None:
        """Ends the journal and writes the report."""
        if self._run is not None:
            report = self._run.finish("completed")
            logger.info("chaosbot: %s; `chaosbot report %s`", report.verdict, self._run.directory)


def _plan(options: AddonOptions) -> FaultPlan:
    ground = Ground("", None, True, platform_of(options.platform).tiers)
    rules: list[Rule] = list(read_plan(Path(options.plan)).rules) if options.plan else []
    check_fit(FaultPlan(tuple(rules)), ground, options.plan)
    for text in options.faults:
        rule = parse_fault(text)
        check_fit(FaultPlan((rule,)), ground, f"chaos_fault={text}")
        rules.append(rule)
    return plan_of(rules)


addons = [ChaosScript(MitmproxyRun)]
