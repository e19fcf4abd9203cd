"""Whether a rule can ever happen where its plan is to run: an impossible rule is refused, since silence would look like health."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chaosbot.config.plan import parse_fault, plan_of, read_plan
from chaosbot.core.errors import ConfigError
from chaosbot.core.exchange import Direction
from chaosbot.core.plan import FaultPlan, Rule
from chaosbot.tcp.server import runs_on_pipe

_HTTP2: Final = frozenset({"h2_goaway", "h2_rst_stream"})


@dataclass(frozen=True)
class Ground:
    """What a plan is to run on.

    Args:
        upstream: Where the inbound direction leads; empty for a forward proxy.
        outbound: The names of the APIs that the target's own calls go to; None where nothing says which.
        http2: Whether HTTP/2 is offered.
        tiers: The tiers that the platform's users have.
    """

    upstream: str
    outbound: Sequence[str] | None
    http2: bool
    tiers: Sequence[str]


def check_fit(plan: FaultPlan, ground: Ground, where: str) -> None:
    """Refuses rules that can never happen there.

    Raises:
        ConfigError: Naming `where`, the rule, why, and what to do.
    """
    for rule in plan.rules:
        why = _obstacle(rule, ground)
        if why:
            # On one line of --fault there is one rule.
            place = where if where.startswith("--fault") else f"{where}: rule '{rule.name}'"
            raise ConfigError(place, f"can never happen: {why}")


def plan_for(ground: Ground, file: Path | None, faults: Sequence[str]) -> FaultPlan:
    """The rules of a plan file and of ``--fault`` options; none that could never happen there.

    Raises:
        UsageError: Naming file or option, the rule, what is wrong and what to do.
    """
    rules: list[Rule] = []
    if file is not None:
        written = read_plan(file)
        check_fit(written, ground, str(file))
        rules += written.rules
    for text in faults:
        rule = parse_fault(text)
        check_fit(FaultPlan((rule,)), ground, f"--fault '{text}'")
        rules.append(rule)
    return plan_of(rules)


def _obstacle(rule: Rule, ground: Ground) -> str:
    direction = rule.fault.direction or rule.match.direction or (Direction.OUTBOUND if rule.match.upstream else None)
    outbound = ground.outbound is None or bool(ground.outbound)
    if direction is Direction.OUTBOUND and not outbound:
        return f"{rule.fault.name} is for the bot's own calls, and this proxy has no outbound direction; add --outbound mock"
    if rule.match.upstream and ground.outbound and not fnmatch.filter(ground.outbound, rule.match.upstream):
        return f"no upstream is called '{rule.match.upstream}'; choose one of {', '.join(ground.outbound)}"
    only_bytes = ground.upstream.startswith("tcp:") and (direction is Direction.INBOUND or not outbound)
    if only_bytes and not runs_on_pipe(FaultPlan((rule,))):
        return (
            "behind tcp:// there are bytes and no exchanges; use a byte fault targeted by direction at most, or http://"
        )
    if rule.fault.name in _HTTP2 and not ground.http2:
        return f"{rule.fault.name} needs HTTP/2; add --http2"
    if rule.window.phase:
        return f"it waits for phase '{rule.window.phase}', and only experiments have phases; use start and for"
    if rule.match.tier is not None and rule.match.tier not in ground.tiers:
        return (
            f"the platform's users have no tier '{rule.match.tier}'; choose one of {', '.join(ground.tiers) or 'none'}"
        )
    return ""
