"""Steering: what a person may change while a run goes on, and that it was changed.

Rules:

- Only what a part of the run has offered can be steered: a load its level and pauses, a proxy its rules, every run its end.
- Each change is an event of the journal (`Steered`), so that a report says that the run did not go as planned.
- Commands come from the live page's threads; parts are called on those, or look at `wish` when they have time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from chaosbot.core import units
from chaosbot.core.errors import ConfigError, UnknownName, shown
from chaosbot.core.event import Steered
from chaosbot.core.plan import FaultPlan
from chaosbot.load.spec import Wish

if TYPE_CHECKING:
    from chaosbot.session.run import Run

STOPPED: Final = "stopped on the live page"
MOST_RATE: Final = 1_000_000.0


class Steering:
    """What can be steered of one run.

    Args:
        run: The run.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._lock = threading.Lock()
        self._wish = Wish()
        self._level = ""  # "users" or "rate", where a load offers it
        self._most = 0.0
        self._plan = FaultPlan()
        self._apply: Callable[[FaultPlan], None] | None = None
        self._off: set[str] = set()

    def offer_load(self, level: str, most: float) -> None:
        """A load goes on whose ``users`` or ``rate`` can be changed, up to `most`; an empty word ends the offer."""
        self._level, self._most, self._wish = level, most, Wish()

    def offer_rules(self, plan: FaultPlan, apply: Callable[[FaultPlan], None] | None) -> None:
        """A plan acts whose rules can be switched; `apply` takes the plan that holds then, None ends the offer."""
        self._plan, self._apply, self._off = plan, apply, set()

    def wish(self) -> Wish:
        """What a person wants of the load."""
        return self._wish

    def state(self) -> dict[str, Any]:
        """What can be steered, and how it stands."""
        rules = [
            {"rule": rule.name, "fault": rule.fault.name, "on": rule.name not in self._off}
            for rule in (self._plan.rules if self._apply is not None else ())
        ]
        return {
            "level": self._level,
            "most": self._most,
            "paused": self._wish.paused,
            "to": self._wish.level,
            "rules": rules,
        }

    def command(self, words: Mapping[str, Any]) -> None:
        """Does what a person wants: ``{"do": "users", "value": 50}``, ``{"do": "rule", "rule": NAME, "on": false}``, ``{"do": "stop"}`` …

        Raises:
            ConfigError: It cannot be done; the message says why.
        """
        with self._lock:
            match words.get("do"):
                case "stop":
                    self._tell("stop", None)
                    self._run.stop(STOPPED)
                case "pause" | "resume" as what:
                    self._require_load(what)
                    self._wish = Wish(what == "pause", self._wish.level)
                    self._tell(what, None)
                case "users" | "rate" as what:
                    self._change(what, words.get("value"))
                case "rule":
                    self._switch(str(words.get("rule")), on=bool(words.get("on")))
                case other:
                    raise UnknownName.of("command", str(other), ("stop", "pause", "resume", "users", "rate", "rule"))

    def _tell(self, what: str, value: str | float | None) -> None:
        self._run.emit(Steered(self._run.now(), what, value))

    def _require_load(self, what: str) -> None:
        if not self._level:
            raise ConfigError(what, "there is no load now that could be changed (a search for the knee cannot)")

    def _change(self, what: str, value: object) -> None:
        self._require_load(what)
        if what != self._level:
            raise ConfigError(what, f"this load goes by {self._level}")
        low = 1.0 if what == "users" else 0.001
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < units.MOST:
            raise ConfigError(what, f"{shown(value)} is no number that there could be")
        if not low <= value <= self._most:
            raise ConfigError(what, f"{value:g} is not in {low:g}..{self._most:g}")
        self._wish = Wish(self._wish.paused, float(value))
        self._tell(what, value)

    def _switch(self, name: str, *, on: bool) -> None:
        known = [rule.name for rule in self._plan.rules]
        if self._apply is None or name not in known:
            raise UnknownName.of("rule", name, known if self._apply is not None else ())
        off = self._off - {name} if on else self._off | {name}
        self._apply(FaultPlan(tuple(rule for rule in self._plan.rules if rule.name not in off)))
        self._off = off
        self._tell("rule", f"{name} {'on' if on else 'off'}")
