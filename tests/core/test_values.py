"""The lists of degenerate values hold what they promise."""

import json

import pytest

from chaosbot.core.values import BACKTRACKING, TEXTS, related_ids


def test_words_are_unique_so_that_coverage_counts_each_value_once() -> None:
    for values in (TEXTS + BACKTRACKING, related_ids(999_999_999)):
        words = [value.word for value in values]
        assert len(words) == len(set(words))


@pytest.mark.parametrize("number", [999_999_999, 7, 100, 2**40 + 1])
def test_no_related_id_is_the_id_itself(number: int) -> None:
    for value in related_ids(number):
        assert type(read := json.loads(value.literal)) is not int or read != number
