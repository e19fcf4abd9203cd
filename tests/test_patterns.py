"""Every regular expression of the product is linear: it runs over what targets, clients and people send."""

import gc
import importlib
import inspect
import pkgutil
import re
import time
from collections.abc import Callable, Iterator

import pytest

import chaosbot
from chaosbot.config.plan import parse_fault
from chaosbot.core import units
from chaosbot.core.errors import ConfigError
from chaosbot.core.profile import Threshold

LENGTH = 20_000
MOST_S = 0.25
"""A linear pattern takes at most 15 ms of CPU for a text of this length, the cheapest quadratic one that was met 900 ms."""
UNITS = (
    "1",
    " ",
    "a",
    "<",
    "<a ",
    "a=",
    '"',
    "\\",
    "[",
    "1_",
    "1 ",
    ".",
    "%",
    ":",
    ";",
    "/",
    "\n",
    "a.",
    "0:",
    "(",
    "{",
    "=a ",
    "-1",
    "a1",
)
ENDS = ("!", "")
NOT_IMPORTED = ("chaosbot.locustfile",)
"""Locust replaces the process's sockets, locks and threads by gevent's, which breaks every test after it; the file has no patterns."""


def patterns() -> Iterator[tuple[str, re.Pattern]]:
    for found in pkgutil.walk_packages(chaosbot.__path__, "chaosbot."):
        if found.name.endswith("__main__") or found.name in NOT_IMPORTED:
            continue
        module = importlib.import_module(found.name)
        for name, value in vars(module).items():
            members = value if isinstance(value, tuple) else (value,)
            for number, member in enumerate(members):
                for pattern in member if isinstance(member, tuple) else (member,):
                    if isinstance(pattern, re.Pattern):
                        yield f"{found.name}.{name}[{number}]", pattern


ALL = dict(patterns())


def looks(name: str, pattern: re.Pattern) -> tuple[Callable[..., object], ...]:
    """How the module uses the pattern; one that is only matched from the start need not be searched for."""
    module, _, variable = name.partition("[")[0].rpartition(".")
    source = inspect.getsource(importlib.import_module(module))
    searched = re.search(rf"\b{variable}\.(?:search|sub|subn|findall|finditer|split)\b", source)
    passed_on = re.search(rf"\b{variable}\b(?!\s*(?::|=|\.(?:full)?match))", source)
    return (pattern.fullmatch, pattern.search) if searched or passed_on else (pattern.fullmatch,)


def test_there_are_patterns_to_look_at() -> None:
    assert len(ALL) > 30


@pytest.fixture(autouse=True)
def no_garbage() -> Iterator[None]:
    """Nobody looks for garbage meanwhile: among what thousands of tests have left that takes longer than any pattern may."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("name", ALL)
def test_a_pattern_takes_linear_time_on_long_near_misses(name: str) -> None:
    pattern = ALL[name]
    for unit in UNITS:
        for end in ENDS:
            text = unit * (LENGTH // len(unit)) + end
            subject = text.encode() if isinstance(pattern.pattern, bytes) else text
            for look in looks(name, pattern):
                began = time.thread_time()
                look(subject)
                assert time.thread_time() - began < MOST_S, (
                    f"{look.__name__} on {unit!r}*{LENGTH // len(unit)} + {end!r}"
                )


@pytest.mark.parametrize(
    "read", [units.duration, units.size, units.frequency, units.share, parse_fault, Threshold.parse]
)
@pytest.mark.parametrize(
    "text", ["1" * 32 + "!", "250" + "0" * 60 + ".!", "latency:25" + "0" * 40 + ".!", "1 " * 5000 + "x"]
)
def test_a_quantity_that_is_none_is_refused_at_once(read, text: str) -> None:
    began = time.thread_time()
    with pytest.raises(ConfigError) as told:
        read(text)
    assert time.thread_time() - began < MOST_S
    assert len(str(told.value)) < 20_000
