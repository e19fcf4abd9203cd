"""What a run does: drives load through a timeline of phases and faults, then fuzzes, and leaves the judging to the report.

Faults are switched by the proxy's phase, so a rule acts exactly while its window is announced; every exit path clears the plan
before anything else ends.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from chaosbot.config.experiment import Experiment
from chaosbot.load.driver import LoadSpec, drive
from chaosbot.model.dialect import DIALECTS, Endpoint
from chaosbot.model.plan import FaultPlan
from chaosbot.model.profile import PROFILES
from chaosbot.model.timeline import Step, schedule, shifted, steps, total_s
from chaosbot.session.run import Run
from chaosbot.session.stage import Conductor, Stage
from chaosbot.wire import Address

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTLE_S: Final = 8.0
"""Most time that a bot gets, once all faults are gone, to deliver what it still holds."""
QUIET_S: Final = 1.5
"""So long without a call counts as done."""


def timeline_of(experiment: Experiment) -> tuple[Step, ...]:
    """The experiment's phases."""
    _, labels = schedule(experiment.plan, alone=experiment.alone)
    return steps(experiment.lengths, labels)
