"""The CA that signs for TLS clients of the proxy.

Its key signs for any host: it stays in a directory of the user's own, readable by nobody else, and is never the one of a
mitmproxy that may be installed beside.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_NAME: Final = "mitmproxy"
_KEY_BITS: Final = 2048


def default_directory() -> Path:
    """Where the CA lives: ``$XDG_DATA_HOME/chaosbot/ca``, usually ``~/.local/share/chaosbot/ca``."""
    base = os.environ.get("XDG_DATA_HOME", "")
    return (Path(base) if base else Path.home() / ".local" / "share") / "chaosbot" / "ca"


def ensure_ca(directory: Path | None = None) -> Path:
    """Makes the CA when there is none yet and returns the PEM file with its certificate, which clients must trust."""
    from mitmproxy import certs  # noqa: PLC0415 - 0.3 s that only those pay who need a CA

    home = directory or default_directory()
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    certs.CertStore.from_store(home, _NAME, _KEY_BITS)
    return home / f"{_NAME}-ca-cert.pem"
