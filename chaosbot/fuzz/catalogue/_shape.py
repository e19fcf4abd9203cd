"""shape: each member of the plainest update dropped, nulled, retyped and wrapped in a list.

For platforms that bring no such cases of their own.
"""

from __future__ import annotations

from collections.abc import Iterator

from chaosbot.core.case import Case
from chaosbot.core.kit import Kit, broken, leaves, member, misshapen

_MOST = 40


def cases(kit: Kit) -> Iterator[Case]:
    """All cases of this group."""
    paths = [path for path, _ in leaves(kit.golden[kit.platform.canary()])][:_MOST]
    for path in paths:
        spelled = ".".join(map(str, path))
        for how in ("dropped", "null", "retyped", "wrapped"):
            name = f"shape/{spelled}-{how}"
            base = kit.base(name)
            _, summary, value = next(entry for entry in misshapen(base.update, path) if entry[0] == how)
            yield kit.case(name, base, kit.wrap(value).request, summary, broken(), change=member(path, None, how))
