"""Whether a rule can ever happen where its plan is to run: an impossible rule is refused, since silence would look like health."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chaosbot.addons.pipe import runs_on_pipe
from chaosbot.errors import ConfigError
from chaosbot.model.exchange import Lane
from chaosbot.model.plan import FaultPlan, Rule

_HTTP2: Final = frozenset({"h2_goaway", "h2_rst_stream"})


@dataclass(frozen=True)
class Ground:
    """What a plan is to run on.

    Args:
        upstream: Where the inbound lane leads; empty for a forward proxy.
        outbound: Whether there is a lane for the bot's own calls.
        http2: Whether HTTP/2 is offered.
        tiers: The tiers that the dialect's users have.
    """

    upstream: str
    outbound: bool
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


def _obstacle(rule: Rule, ground: Ground) -> str:
    lane = rule.fault.lane or rule.match.lane
    if lane is Lane.OUTBOUND and not ground.outbound:
        return f"{rule.fault.name} is for the bot's own calls, and this proxy has no outbound lane; add --outbound stand-in"
    only_bytes = ground.upstream.startswith("tcp:") and (lane is Lane.INBOUND or not ground.outbound)
    if only_bytes and not runs_on_pipe(FaultPlan((rule,))):
        return "behind tcp:// there are bytes and no exchanges; use a byte fault targeted by lane at most, or http://"
    if rule.fault.name in _HTTP2 and not ground.http2:
        return f"{rule.fault.name} needs HTTP/2; add --http2"
    if rule.window.phase:
        return f"it waits for phase '{rule.window.phase}', and only experiments have phases; use start and for"
    if rule.match.tier is not None and rule.match.tier not in ground.tiers:
        return (
            f"the dialect's users have no tier '{rule.match.tier}'; choose one of {', '.join(ground.tiers) or 'none'}"
        )
    return ""
