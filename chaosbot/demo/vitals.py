"""How much this process uses, read where every POSIX system tells it."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path


def resident_bytes() -> int:
    """Returns the resident memory; where only the peak is known (macOS), the peak."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")


def open_descriptors() -> int:
    """Returns the number of open file descriptors."""
    return sum(1 for _ in Path("/dev/fd").iterdir())
