"""A finding sent again, with what it needs around it: a mock of the API that the bot calls, or the embedded bot itself."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from chaosbot.core.errors import JournalError, UsageError
from chaosbot.fuzz.findings import read as read_finding
from chaosbot.fuzz.replay import Replayed
from chaosbot.fuzz.replay import replay as replay_finding
from chaosbot.journal import EVENTS_FILE, read
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
    _require_finding(directory)
    read_finding(directory, "")  # what is damaged is said before anything is asked for or started
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


def _require_finding(directory: Path) -> None:
    """Refuses what is no finding's directory, and says where findings are.

    Raises:
        UsageError: With the path as it was given, and the findings there.
    """
    if directory.suffix == ".json" or (directory / "case.json").is_file():
        return
    if not directory.exists():
        raise UsageError(f"{directory}: is not there; a finding's directory is RUN_DIR/findings/ID")
    found = sorted(path.parent for pattern in ("*", "findings/*") for path in directory.glob(f"{pattern}/case.json"))
    if not found:
        raise UsageError(
            f"{directory}: holds no finding that requests show; a finding's directory is RUN_DIR/findings/ID"
        )
    first = shlex.quote(str(found[0]))
    raise UsageError(
        f"{directory}: choose one of its findings ({', '.join(path.name for path in found)}): chaosbot replay {first}"
    )


def _origin(directory: Path) -> dict[str, Any]:
    """What the run that found it says of its target; nothing when the finding was copied away from its run."""
    run = directory.resolve().parent.parent
    try:
        start = read(run).start if (run / EVENTS_FILE).is_file() else None
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
