"""The CA that signs for TLS clients of the proxy.

Its key signs for any host: it stays in a directory of the user's own, readable by nobody else, and is never the one of a
mitmproxy that may be installed beside.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import platformdirs

from chaosbot.core.errors import UsageError

_NAME: Final = "mitmproxy"
_KEY_BITS: Final = 2048


def default_directory() -> Path:
    """Where the CA lives: ``chaosbot/ca`` in the user's data folder (Linux: ``$XDG_DATA_HOME`` or ``~/.local/share``)."""
    return platformdirs.user_data_path("chaosbot", appauthor=False) / "ca"


def ensure_ca(directory: Path | None = None) -> Path:
    """Makes the CA when there is none yet and returns the PEM file with its certificate, which clients must trust.

    Raises:
        UsageError: The directory cannot be written.
    """
    from mitmproxy import certs  # noqa: PLC0415 - 0.3 s that only those pay who need a CA

    home = directory or default_directory()
    if not home.is_absolute() and home.parts[:1] == ("~",):
        raise UsageError(
            "the proxy's CA has no place, since this user has no home; name a writable folder by XDG_DATA_HOME"
        )
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        certs.CertStore.from_store(home, _NAME, _KEY_BITS)
    except OSError as error:
        raise UsageError(unwritable(home, error)) from None
    return home / f"{_NAME}-ca-cert.pem"


def unwritable(directory: Path, error: OSError) -> str:
    """What a user is told when the CA cannot be made."""
    return (
        f"{directory}: the proxy's CA cannot be kept there ({error.strerror or error}); TLS clients need it; "
        "name a writable folder by XDG_DATA_HOME"
    )
