"""sequence: deliveries that depend on each other. Each delivery takes effect at most once, and nobody starves.

Cases of this group share a delivery id or a chat on purpose and belong in the order in which they stand.
"""

from __future__ import annotations

from collections.abc import Iterator

from chaosbot.core.case import Case, Expect, Reach, Segment
from chaosbot.core.kit import Kit, accepted
from chaosbot.core.verdict import Threat


def cases(kit: Kit) -> Iterator[Case]:
    """All cases of this group."""
    base = kit.base("sequence/replay")
    for number, word in enumerate(("first", "second", "third"), 1):
        yield kit.case(
            f"sequence/replay-{word}",
            base,
            base.request,
            f"the same delivery for the {word} time",
            # What comes again may be acknowledged or called a duplicate.
            accepted() if number == 1 else Expect(frozenset({2, 409}), reach=Reach.AT_MOST_ONCE),
            threat=Threat.NETWORK,
            check="effect_at_most_once",
        )
    for count in (2, 5):
        name = f"sequence/pipelined-{count}"
        base = kit.base(name)
        yield kit.case(
            name,
            base,
            (Segment(base.request.data * count),),
            f"the same delivery {count} times on one connection",
            Expect(frozenset({2, 409}), close=True, reach=Reach.AT_MOST_ONCE),
            threat=Threat.NETWORK,
            check="effect_at_most_once",
            copies=count,
        )
