"""The ways in which a sequence delivers badly, by name: what `chaosbot fuzz --list` says of the stage that has no fixed cases.

Each row is played once by itself, in this order, before chance combines those that are rules of the state machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from chaosbot.core.dice import Dice
from chaosbot.core.platform import Endpoint, Platform
from chaosbot.core.verdict import Threat
from chaosbot.fuzz.catalogue import Listed

SHORTEST_ID: Final = 10_000
"""Shorter delivery ids may stand in a body for something else, too."""
_AGAIN: Final = "2xx or 409; at most one effect"
_ACTED: Final = "2xx; exactly one effect"
_SERVED: Final = "2xx or 429 or 503; what is acknowledged has exactly one effect"
_REFUSED: Final = "2xx; no privileged effect"
_OWN: Final = "2xx; no effect on what is another user's"


@dataclass(frozen=True, slots=True)
class ScenarioRow:
    """One way in which deliveries go wrong, or users reach for what is not theirs.

    Args:
        name: How lists call it.
        rule: The state machine's rule; empty where chance does not combine it with others.
        summary: What is sent.
        expectation: What a correct server does.
        check: The check that judges it.
        threat: Who can cause it.
        arguments: What the rule is played with when it is played by itself.
        command: The command that it needs; empty where it needs none.
        counted: Whether it needs delivery ids that are numbers.
        kind: The kind of update in which somebody must be able to write; empty where any will do.
    """

    name: str
    rule: str
    summary: str
    expectation: str
    check: str
    threat: Threat = Threat.NETWORK
    arguments: tuple[Any, ...] = ()
    command: str = ""
    counted: bool = False
    kind: str = ""


SCENARIOS: Final = (
    ScenarioRow("order-ahead", "", "an update after a gap in the delivery ids", _ACTED, "nobody_starves", counted=True),
    ScenarioRow("order-late", "", "an update with a lower delivery id than the one before it", _ACTED, "nobody_starves", counted=True),
    ScenarioRow("burst", "", "200 updates from 200 users at once on 16 connections", _SERVED, "nobody_starves", Threat.LOAD),
    ScenarioRow("redeliver", "redeliver", "an earlier update once more", _AGAIN, "effect_at_most_once", arguments=(0,)),
    ScenarioRow("together", "together", "a new update on five connections at once", _AGAIN, "effect_at_most_once", arguments=(5,)),
    ScenarioRow(
        "foreign-read", "foreign", "another user's reminder, by its number", _OWN, "own_objects_only", Threat.USER, ("",),
        command="reminders",
    ),
    ScenarioRow(
        "foreign-approve", "foreign_button", "the button under another user's text: approve", _OWN, "own_objects_only",
        Threat.USER, ("approve",), command="rewrite",
    ),
    ScenarioRow("other-body", "other_body", "a known delivery id with another body", _AGAIN, "effect_at_most_once", counted=True),
    ScenarioRow(
        "demoted", "demoted", "a command before its right is granted, with it, while it is revoked, and afterwards", _REFUSED,
        "no_escalation", Threat.USER, command="grant",
    ),
    ScenarioRow("reorder", "reorder", "two updates, the later one first", _AGAIN, "effect_at_most_once"),
    ScenarioRow(
        "edit-first", "edit_first", "an edit before its original", _AGAIN, "effect_at_most_once", kind="edited_message"
    ),
    ScenarioRow(
        "foreign-delete", "foreign", "another user's reminder is deleted by its number", _OWN, "own_objects_only",
        Threat.USER, ("delete ",), command="reminders",
    ),
    ScenarioRow(
        "foreign-reject", "foreign_button", "the button under another user's text: reject", _OWN, "own_objects_only",
        Threat.USER, ("reject",), command="rewrite",
    ),
)  # fmt: skip


def check_of(rule: str) -> str:
    """The check that judges what a rule of the state machine plays."""
    return next(row.check for row in SCENARIOS if row.rule == rule)


def scenarios_of(platform: Platform) -> tuple[ScenarioRow, ...]:
    """The scenarios that make sense on a platform."""
    if not platform.golden(Dice(0)):
        return ()
    counted = _counts(platform)
    return tuple(
        row
        for row in SCENARIOS
        if (counted or not row.counted)
        and (not row.command or row.command in platform.commands)
        and (not row.kind or platform.say("x", Dice(0), kind=row.kind) is not None)
    )


def _counts(platform: Platform) -> bool:
    """Whether deliveries have ids that are numbers, long enough to be found in a body."""
    request = platform.encode(Endpoint(), platform.golden(Dice(0))[platform.canary()])
    facts = platform.read(request)
    return facts is not None and isinstance(facts.update_id, int) and facts.update_id >= SHORTEST_ID


def listed_scenarios(platform: Platform) -> tuple[Listed, ...]:
    """The scenarios as lines of ``chaosbot fuzz --list``."""
    return tuple(
        Listed(f"sequences/{row.name}", "sequences", str(row.threat), row.summary, row.expectation, row.check)
        for row in scenarios_of(platform)
    )
