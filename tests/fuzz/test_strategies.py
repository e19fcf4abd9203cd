"""Strategies from shapes: everything drawn is of its shape, and the simplest value is the shrunk one."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from chaosbot.core.platform import PLATFORMS, Endpoint
from chaosbot.core.shape import Array, Const, Flag, Integer, Number, Object, OneOf, Shape, Text, pick
from chaosbot.fuzz.generated import HOSTILE, CauseClasses, Violated, strategy
from chaosbot.fuzz.patterns import by_seed_only


def test_what_is_drawn_does_not_depend_on_the_modules_that_are_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = range(10**15, 10**15 + 200)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "loaded_beside.py").write_text(f"SAID = {list(said)}\n")
    import_module("loaded_beside")
    drawn: list[int] = []

    @settings(max_examples=600, database=None)
    @given(st.integers())
    def draw(number: int) -> None:
        drawn.append(number)

    with by_seed_only():
        draw()
    assert drawn
    assert not any(number in said for number in drawn)


def fits(shape: Shape, value: Any) -> bool:
    match shape:
        case Text(low, high):
            return isinstance(value, str) and (low <= len(value) <= high or value in shape.examples)
        case Integer(low, high):
            return type(value) is int and (low <= value <= high or value in shape.examples)
        case Number(low, high):
            return isinstance(value, float) and low <= value <= high
        case Flag():
            return isinstance(value, bool)
        case Const(expected):
            return bool(value == expected)
        case OneOf(options):
            return any(fits(option, value) for option in options)
        case Array(item, low, high):
            return isinstance(value, list) and low <= len(value) <= high and all(fits(item, each) for each in value)
        case Object(required, optional):
            return (
                isinstance(value, dict)
                and required.keys() <= value.keys() <= required.keys() | optional.keys()
                and all(fits((required | optional)[key], item) for key, item in value.items())
            )


SHAPE = Object(
    {"id": Integer(1, 9), "text": Text(0, 600, ("hi",), hostile=True)},
    {"flag": Flag(), "many": Array(pick("a", "b"), 0, 2), "number": Number(0.0, 1.0)},
)


@given(strategy(SHAPE))
@settings(max_examples=200, deadline=None)
def test_whatever_is_drawn_is_of_its_shape(value: Any) -> None:
    assert fits(SHAPE, value)
    json.dumps(value)


def test_the_simplest_value_has_only_what_is_required() -> None:
    assert find(strategy(SHAPE), lambda _: True).keys() == {"id", "text"}


def test_hostile_texts_are_met_soon() -> None:
    met = set()

    @given(strategy(Text(0, 64, hostile=True)))
    @settings(max_examples=300, deadline=None, database=None, derandomize=True)
    def draw(value: str) -> None:
        met.add(value)

    draw()
    assert len(met & set(HOSTILE)) >= len(HOSTILE) // 2


def test_every_generated_update_is_one_payload_that_the_platform_can_read() -> None:
    telegram = PLATFORMS.build("telegram")
    shape = telegram.shape()
    assert shape is not None

    @given(strategy(shape))
    @settings(max_examples=150, deadline=None, database=None, derandomize=True)
    def draw(update: Any) -> None:
        assert len(update) == 2
        body = telegram.encode(Endpoint(), update).partition(b"\r\n\r\n")[2]
        facts = telegram.facts("POST", "/", (), body)
        assert facts is not None
        assert facts.kind in update

    draw()


def test_each_root_cause_has_an_exception_class_of_its_own() -> None:
    classes = CauseClasses()
    one, same, other = classes.of(("a", "b")), classes.of(("a", "b")), classes.of(("a", "c"))
    assert one is same
    assert one is not other
    with pytest.raises(Violated):
        raise one
