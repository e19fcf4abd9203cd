"""Histograms as text: what the HdrHistogram library writes and reads, bit for bit, and nothing else."""

from base64 import b64encode
from collections import Counter

import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chaosbot.core import hdr
from chaosbot.core.stats import Histogram

VALUES = st.lists(
    st.one_of(st.integers(0, 5000), st.integers(0, 10**7), st.integers(0, hdr.HIGHEST_US)), min_size=1, max_size=200
)


def hits(counts: dict[int, int]) -> Counter[int]:
    """The cells of so many occurrences of each value."""
    found: Counter[int] = Counter()
    for value, count in counts.items():
        found[hdr.cell_of(value)] += count
    return found


def reference(values: dict[int, int]) -> HdrHistogram:
    library = HdrHistogram(1, hdr.HIGHEST_US, hdr.DIGITS)
    for value, count in values.items():
        assert library.record_value(value, count)
    return library


@settings(deadline=None)
@given(VALUES, st.integers(1, 2**40))
def test_the_text_is_the_librarys_and_reads_back(values: list[int], count: int) -> None:
    counts = {**Counter(values), values[0]: count}
    library = reference(counts)
    text = hdr.encode(hits(counts))
    assert text == library.encode().decode()
    read = hdr.decode(text)
    assert read is not None
    ceilings: Counter[int] = Counter()
    for value, seen in counts.items():
        ceilings[library.get_highest_equivalent_value(value)] += seen
    assert [round(value * 1e6) for value in read.values] == sorted(ceilings)
    assert list(read.counts) == [ceilings[value] for value in sorted(ceilings)]


@settings(deadline=None)
@given(VALUES)
@example([0, 2047, 2048, 65_535, 65_536, hdr.HIGHEST_US])
def test_durations_fall_into_the_cells_of_their_microseconds(values: list[int]) -> None:
    seconds = [(value + 0.5) * 1e-6 for value in values]
    assert hdr.cells([*seconds, -1.0]) == hits(Counter([*values, 0]))


def test_values_outside_count_as_the_nearest_end() -> None:
    read = hdr.decode(hdr.encode(hits({hdr.HIGHEST_US * 5: 1, -3: 1})))
    assert read is not None
    assert read.values[0] == 0
    assert read.values[1] >= hdr.HIGHEST_US * 0.999e-6


def test_nothing_is_an_empty_text_and_back() -> None:
    assert hdr.encode(hdr.cells(())) == ""
    assert hdr.decode("") == Histogram()


@settings(deadline=None)
@given(st.one_of(st.text(max_size=60), st.binary(max_size=60).map(lambda raw: b64encode(raw).decode())))
def test_what_is_no_histogram_is_none(text: str) -> None:
    assert hdr.decode(text) is None or not text


@settings(deadline=None)
@given(VALUES, st.data())
def test_a_damaged_histogram_is_none_or_a_histogram(values: list[int], data: st.DataObject) -> None:
    text = hdr.encode(hits(Counter(values)))
    at = data.draw(st.integers(0, len(text) - 1))
    damaged = text[:at] + data.draw(st.sampled_from("A/b+")) + text[at + 1 :]
    read = hdr.decode(damaged)
    assert read is None or read.total >= 0


@pytest.mark.parametrize("layout", [(1, 60_000_000, 3), (1, hdr.HIGHEST_US, 2)])
def test_another_layout_is_not_guessed_at(layout: tuple[int, int, int]) -> None:
    library = HdrHistogram(*layout)
    library.record_value(1000)
    assert hdr.decode(library.encode().decode()) is None


def test_a_coded_histogram_is_the_sum_of_its_texts() -> None:
    one, two = hdr.encode(hits({10: 1, 20: 2})), hdr.encode(hits({20: 3}))
    coded = hdr.CodedHistogram(["", one, two])
    assert (coded.total, coded.maximum, coded.quantile(0.5)) == (6, pytest.approx(20e-6), pytest.approx(20e-6))
    assert Histogram.merged([coded, Histogram()]).counts == (1, 5)
