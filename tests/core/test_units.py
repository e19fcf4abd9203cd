"""Numbers as people and targets write them."""

from __future__ import annotations

import pytest

from chaosbot.core.plan import at_path
from chaosbot.core.units import whole


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("007", 7), ("65535", 65535), ("0" * 5000 + "8", 8)],
)
def test_digits_are_a_number(text: str, number: int) -> None:
    assert whole(text, 65535) == number


@pytest.mark.parametrize("text", ["", "65536", "-1", "+1", "1.0", "²", "٣", " 1", "1_0", "9" * 5000])
def test_what_is_no_number_within_the_bound_is_none(text: str) -> None:
    assert whole(text, 65535) is None


def test_a_place_of_too_many_digits_is_nowhere() -> None:
    with pytest.raises(LookupError):
        at_path({"a": [1]}, f"a.{'9' * 5000}")
