"""A finding sent again, with what it needs around it: a mock of the API that the bot calls, or the embedded bot itself."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from chaosbot.core.errors import JournalError
from chaosbot.fuzz.replay import Replayed
from chaosbot.fuzz.replay import replay as replay_finding
from chaosbot.journal import read
from chaosbot.session.environment import EnvironmentSpec, check_target, prepared
from chaosbot.session.run import Run


def replayed(
    directory: Path,
    *,
    target: str | None,
    port: int | None,
    secret: Callable[[int | None], str],
    allow: tuple[str, ...],
) -> Replayed:
    """Sends a finding's requests again.

    Args:
        directory: The finding's directory.
        target: Another target than the one that it was found at.
        port: Where a mock API is started; None for none.
        secret: Gives the webhook's secret; it is told the seed when the embedded bot plays the target.
        allow: Hosts besides loopback that may be spoken to.

    Raises:
        UsageError: No finding, no target, or one that must not be spoken to.
        JournalError: The finding cannot be read.
    """
    origin = _origin(directory)
    embedded = None if target else origin.get("embedded")
    known = secret(origin["seed"] if embedded is not None else None)
    if target:
        check_target(target, allow)
    if embedded is None and port is None:
        return replay_finding(directory, target=target, secret=known, allow=allow)
    url = target or ("" if embedded is not None else origin.get("target", ""))
    spec = EnvironmentSpec(
        target=url,
        bugs=embedded or "",
        secret=known,
        outbound_port=port or 0,
        inbound=False,
        allow_hosts=allow,
    )
    return _surrounded(directory, spec, origin["seed"])


def _origin(directory: Path) -> dict[str, Any]:
    """What the run that found it says of its target; nothing when the finding was copied away from its run."""
    try:
        start = read(directory.resolve().parent.parent).start
    except JournalError:
        start = None
    if start is None:
        return {"seed": 0}
    return {"seed": start.seed, "target": start.target, "embedded": start.settings.get("bugs")}


def _surrounded(directory: Path, spec: EnvironmentSpec, seed: int) -> Replayed:
    """Replays with a mock (and, for the embedded bot, the bot) around it; what it records is thrown away."""
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        run = Run("replay", spec.target, seed, Path(scratch) / "run")
        stack.callback(run.journal.close)
        environment = stack.enter_context(prepared(run, spec))
        return replay_finding(
            directory,
            target=environment.webhook,
            secret=spec.secret,
            allow=spec.allow_hosts,
            calls=environment.calls,
            started=run.started,
        )
