"""Shows a finding again: sends what its directory holds, and asks the check that found it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, time, time_ns

from chaosbot.checks._cases import NEEDS_CALLS
from chaosbot.core.errors import ConfigError, SecretMissing
from chaosbot.core.event import ApiCalled
from chaosbot.core.platform import Endpoint, platform_of
from chaosbot.core.verdict import Verdict
from chaosbot.fuzz import findings as disk
from chaosbot.fuzz.attribution import Attribution
from chaosbot.fuzz.campaign import see
from chaosbot.fuzz.recorder import CaseRecorder
from chaosbot.fuzz.rejudge import Rejudge
from chaosbot.fuzz.spec import CampaignSpec
from chaosbot.fuzz.target import CampaignTarget
from chaosbot.transport import Address

TRIES = 3
"""A race does not show every time."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay came to.

    Args:
        still_fails: Whether the target still does what it should not.
        text: The same for people.
        conclusive: Whether it could be judged at all (a finding about the bot's calls needs to see them).
    """

    still_fails: bool
    text: str
    conclusive: bool = True


def replay(
    directory: Path,
    *,
    target: str | None = None,
    secret: str = "",
    allow: tuple[str, ...] = (),
    calls: Callable[[], Sequence[ApiCalled]] | None = None,
    started: float | None = None,
) -> Replayed:
    """Sends a finding's requests again.

    Args:
        directory: The finding's directory, or a ``case.json``.
        target: The webhook's URL; None takes the one that it was found at.
        secret: What stands in for the placeholder.
        allow: Hosts besides loopback that may be spoken to.
        calls: The calls at a Bot API mock, when one is attached.
        started: Monotonic time at which the run began whose clock the calls carry; None takes now.

    Raises:
        ConfigError: No finding there.
        SecretMissing: It needs the secret and there is none.
        TargetRefused: The target is neither loopback nor allowed.
        TargetUnusable: It does not answer valid updates.
    """
    name = disk.needs_secret(directory)
    if name and not secret:
        raise SecretMissing(f"{name}: not set; the finding's requests carry the webhook's secret; export {name}=…")
    found = disk.read(directory, secret)
    url = target or found.target
    if not url:
        raise ConfigError(str(directory), "names no target; give one: chaosbot replay DIR URL")
    address = Address.parse(url)
    endpoint = Endpoint(address.authority, found.path, secret, started=int(time()))
    spec = CampaignSpec(
        address,
        endpoint,
        found.platform,
        time_ns(),  # two replays within a second are two
        malformed=found.malformed,
        accept_status=found.accept_status,
        bot_api=calls is not None,
        allow=allow,
        started=monotonic() if started is None else started,
    )
    platform = platform_of(found.platform)
    found = disk.timely(found, endpoint, platform)
    source: Callable[[], Sequence[ApiCalled]] = calls or tuple
    recorder = CaseRecorder(spec, platform, lambda _event: None)
    shooter = CampaignTarget(spec, platform, source, lambda: False)
    attribution = Attribution(shooter, lambda result: result.case.change, recorder.health)
    try:
        shooter.start()
        seen = see(shooter, recorder)
        if found.needs_calls and not seen.sees_calls:
            return Replayed(True, f"cannot tell: {found.title}; {NEEDS_CALLS}", conclusive=False)
        rejudge = Rejudge(shooter, recorder, seen, attribution, source)
        passed = False
        for _ in range(TRIES if sum(len(step) for step in found.steps) > 1 else 1):
            judgement = rejudge.ask(found.check, found.steps)
            if judgement.findings:
                return Replayed(True, f"still fails: {found.check}: {found.title}")
            passed = passed or judgement.verdict is Verdict.PASS
        if not passed:
            return Replayed(True, f"cannot tell: {found.title}; {judgement.reason}", conclusive=False)
        return Replayed(False, f"mended: {found.check}: not seen any more: {found.title}")
    finally:
        attribution.close()
        shooter.close()
