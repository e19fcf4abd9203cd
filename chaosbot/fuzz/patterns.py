"""What Hypothesis draws by the seed alone, and texts that match the regular expressions of the target's code, drawn in a process of its own: it takes seconds."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any, Final
from unittest.mock import patch

from chaosbot.core.dice import Dice
from chaosbot.workers import Parent

_SAMPLES: Final = 4

_changing: Final = Lock()
_inside = 0
_without: Final[list[Any]] = []


@contextmanager
def by_seed_only() -> Iterator[None]:
    """While entered, Hypothesis draws no constants of the modules that happen to be loaded.

    Which these are no seed says, and they are chaosbot's own where it runs from its sources; to read them all takes seconds.
    """
    from hypothesis.internal.conjecture import providers  # noqa: PLC0415 - it takes a second to load

    # Earlier versions draw none, and have neither name.
    provider, none = providers.HypothesisProvider, getattr(providers, "Constants", None)
    if none is None or not hasattr(provider, "_local_constants"):
        yield
        return
    global _inside  # noqa: PLW0603 - Hypothesis has one provider for all threads, some of which may be in here at once
    with _changing:
        _inside += 1
        if _inside == 1:
            _without.append(patch.object(provider, "_local_constants", none()))
            _without[-1].start()
        # What may be drawn is kept by kind, theirs and ours.
        providers.CONSTANTS_CACHE.cache.clear()
    try:
        yield
    finally:
        with _changing:
            _inside -= 1
            if not _inside:
                _without.pop().stop()
            providers.CONSTANTS_CACHE.cache.clear()


def match_patterns(parent: Parent, patterns: Sequence[str], seed: int) -> None:
    """The process: gives each pattern's texts as it becomes ready."""
    found: Mapping[str, tuple[str, ...]] = {
        one: matching(one, Dice(seed).at("regex", one).number()) for one in patterns
    }
    parent.ready(found)


def matching(pattern: str, seed: int, most: int = _SAMPLES) -> tuple[str, ...]:
    """Texts that match a regular expression, the same for the same seed; none where it is no expression."""
    import hypothesis  # noqa: PLC0415 - it takes a second to load

    found: list[str] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=3 * most,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(hypothesis.strategies.from_regex(pattern, fullmatch=True))
    def draw(text: str) -> None:
        found.append(text)

    try:
        with by_seed_only(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            draw()
    except Exception:  # noqa: BLE001 - whatever is wrong with a stranger's pattern, it gives no texts
        return ()
    return tuple(sorted(dict.fromkeys(found), key=lambda text: (not text.isprintable(), len(text), text))[:most])
