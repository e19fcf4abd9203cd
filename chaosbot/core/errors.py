"""Every error that chaosbot raises on purpose.

::

    ChaosbotError                 one clear line: where: what; rule; remedy
    ├── UsageError                the person can mend it before anything starts            exit 2
    │   ├── ConfigError           a plan, experiment or option value is wrong
    │   ├── UnknownName           no such fault, check, profile, platform … (lists what there is)
    │   ├── TargetRefused         not loopback and not named by --allow-host
    │   ├── TargetUnusable        nothing listens there, or it is no webhook
    │   ├── PortBusy              the address to listen on is taken
    │   └── SecretMissing         the named environment variable is not set
    ├── JournalError              a run directory cannot be read back                      exit 3
    └── EngineError               a part of chaosbot itself failed; the run is inconclusive exit 3
        └── WorkerDied            a worker process ended without being asked

Messages follow one pattern, *where: what; rule; remedy*, for example
``plan.toml: rules[2].fault: unknown fault 'latncy'; did you mean 'latency'? Available: …``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Final

MOST_SHOWN: Final = 60
"""So many characters of a wrong value are shown."""
MOST_SAID: Final = 1500
"""So many characters an error has at most, beside its place."""


def shown(value: object) -> str:
    """A wrong value as an error shows it: short, on one line, and never the whole of a table."""
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, (list, tuple, set, frozenset)):
        return "a list"
    try:
        text = repr(value)
    except ValueError:  # an integer with more digits than Python writes
        return "a number beyond all bounds"
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"


def brief(text: str) -> str:
    """A text that holds what somebody wrote, cut in its middle where that is too long."""
    return text if len(text) <= MOST_SAID else f"{text[:MOST_SHOWN]} … {text[MOST_SHOWN - MOST_SAID :]}"


class ChaosbotError(Exception):
    """Base of all errors raised on purpose; `exit_code` is what the command line returns for it."""

    exit_code = 3


class UsageError(ChaosbotError):
    """Something the person can mend before anything starts."""

    exit_code = 2


class ConfigError(UsageError):
    """A value in a plan, an experiment file or an option is wrong.

    Args:
        where: File and key (``plan.toml: rules[2].rate``) or option (``--fault latency:…``).
        what: What is wrong, the rule that it breaks and, where there is one, the remedy.
    """

    def __init__(self, where: str, what: str) -> None:
        # What somebody wrote may be of any length; the list of what there is may not be cut.
        self.where, self.what = brief(where), brief(what)
        super().__init__(f"{self.where}: {self.what}" if where else self.what)

    def inside(self, outer: str) -> ConfigError:
        """The same error, seen from one level further out (a file around a key)."""
        return type(self)(f"{outer}: {self.where}" if self.where else outer, self.what)


class UnknownName(ConfigError):
    """A name that no registry knows; the message offers the nearest one and lists all."""

    @classmethod
    def of(cls, kind: str, name: str, available: Iterable[str], where: str = "") -> UnknownName:
        """Builds the error for `name`, which is none of the `available` entries of this `kind`."""
        names = sorted(available)
        name = name if len(name) <= MOST_SHOWN and name.isprintable() else f"{ascii(name)[1:MOST_SHOWN]}…"
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        return cls(where, f"unknown {kind} '{name}'; {hint}Available: {', '.join(names) or 'none'}")


class TargetRefused(UsageError):
    """The target is neither loopback nor named by --allow-host, so nothing was sent to it."""


class TargetUnusable(UsageError):
    """Nothing listens at the target, or what listens is no webhook."""


class PortBusy(UsageError):
    """The address to listen on is taken."""


class SecretMissing(UsageError):
    """The environment variable that should hold a secret is not set."""


class JournalError(ChaosbotError):
    """A run directory that cannot be read back."""


class EngineError(ChaosbotError):
    """A part of chaosbot itself failed; what it measured cannot be a pass."""


class WorkerDied(EngineError):
    """A worker process ended without being asked to."""
