"""The lists of degenerate values hold what they promise."""

import json

import pytest

from chaosbot.core.values import BACKTRACKING, NUMBERS, TEXTS, at_limits, related_ids


def test_words_are_unique_so_that_coverage_counts_each_value_once() -> None:
    for values in (TEXTS + BACKTRACKING, NUMBERS, related_ids(999_999_999)):
        words = [value.word for value in values]
        assert len(words) == len(set(words))


@pytest.mark.parametrize("value", NUMBERS, ids=lambda value: value.word)
def test_a_number_says_whether_it_is_json(value) -> None:
    def refuse(word: str) -> None:
        raise ValueError(word)

    try:
        json.loads(value.literal, parse_int=float, parse_constant=refuse)
    except ValueError:
        assert not value.json
    else:
        assert value.json


@pytest.mark.parametrize("number", [999_999_999, 7, 100, 2**40 + 1])
def test_no_related_id_is_the_id_itself(number: int) -> None:
    for value in related_ids(number):
        assert type(read := json.loads(value.literal)) is not int or read != number


def test_texts_at_a_limit_have_just_that_many_units() -> None:
    assert [len(value.text) for value in at_limits(64)] == [63, 64, 65]
    assert [value.valid for value in at_limits(64)] == [True, True, False]
