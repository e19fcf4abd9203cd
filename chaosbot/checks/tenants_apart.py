"""What one account signed does nothing in another's name.

A receiver that serves several accounts, each with a secret of its own, must choose the secret by the account that the delivery names. One
that takes any secret it knows lets each of its customers act as any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from chaosbot.checks._cases import Violation
from chaosbot.checks._trust import TrustCheck, granted
from chaosbot.core.event import TrustTried
from chaosbot.core.verdict import RootCause, Severity


@dataclass(frozen=True)
class TenantsApart(TrustCheck):
    """Another account's ids under this account's signature have no effect."""

    nothing: ClassVar[str] = (
        "needs another account of the target (--platform-option other_tenant=ID), and deliveries whose effects are seen (--bot-api)"
    )

    def violation(self, tried: TrustTried) -> Violation | None:
        """The foreign delivery did what the account's own does."""
        deed = granted(tried)
        if not deed:
            return None
        title = "acts in the name of an account on another account's signature"
        summary = f"{tried.what}: {deed}"
        return Violation(
            RootCause("foreign-tenant"), title, Severity.CRITICAL, tried.threat, summary, "tenant", stateful=True
        )
