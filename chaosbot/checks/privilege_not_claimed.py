"""Who may do what is not taken from what the sender can write.

A display name, a mention, the author of the thread, the bot's own permissions: all of them stand in a signed payload, and none of them
says that its sender is the admin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.checks._cases import Violation
from chaosbot.checks._trust import TrustCheck, granted
from chaosbot.core.event import TrustTried
from chaosbot.core.verdict import Mechanism, RootCause, Severity


@dataclass(frozen=True)
class PrivilegeNotClaimed(TrustCheck):
    """A stranger whose payload looks like an admin's gets what a stranger gets."""

    nothing: ClassVar[str] = (
        "nothing was done for the admin alone that is seen: say what only an admin may write (--platform-option privileged=TEXT, "
        "admin=ID, admin_name=NAME), and see the target's calls (--bot-api)"
    )

    def violation(self, tried: TrustTried) -> Violation | None:
        """The stranger got the admin's effect, and who claims nothing did not."""
        deed = granted(tried)
        if not deed:
            return None
        cause = RootCause("claimed", Mechanism.TECHNIQUE, tried.name.rpartition("/")[2])
        title = f"a stranger gets what only an admin may have: {tried.what}"
        return Violation(
            cause, title, Severity.CRITICAL, tried.threat, f"{tried.what}: {deed}", "rights", stateful=True
        )
