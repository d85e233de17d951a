"""N-grams, frequencies and lengths: by hand, in limiting cases, and against SciPy."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from scipy import stats
from scipy.spatial import distance

from seqgan_env.metrics.statistics import (
    MOST_FREQUENT,
    NgramStatistics,
    TokenStatistics,
    jensen_shannon_distance,
    wasserstein,
    zipf_exponent,
)
from tests.support.text import grams, text_batch

TEST = [(1, 2, 1, 2), (3, 4, 5), ()]
GENERATED = [(1, 2, 1), (1, 2), (5,), ()]


class TestNgrams:
    def test_distinct_n_is_the_share_of_different_ones(self) -> None:
        found = NgramStatistics()(text_batch(GENERATED, TEST))
        assert {name: value for name, value in found.items() if name.startswith("distinct")} == {
            "distinct_1": 3 / 6,
            "distinct_2": 2 / 3,
            "distinct_3": 1,
        }

    @pytest.mark.parametrize("n", [1, 2, 3])
    def test_the_distance_is_that_of_scipy_over_all_n_grams(self, n: int) -> None:
        own, real = (sum((grams(sentence, n) for sentence in each), Counter()) for each in (GENERATED, TEST))
        both = sorted(own.keys() | real.keys())
        expected = distance.jensenshannon([own[gram] for gram in both], [real[gram] for gram in both], base=2)
        assert 0 < expected < 1
        assert NgramStatistics()(text_batch(GENERATED, TEST))[f"js_{n}"] == pytest.approx(expected, rel=1e-12)

    def test_equal_texts_have_no_distance_and_texts_without_a_common_n_gram_have_1(self) -> None:
        same = NgramStatistics()(text_batch(TEST, TEST))
        other = NgramStatistics()(text_batch([(6, 7, 8)], TEST))
        assert [(same[f"js_{n}"], other[f"js_{n}"]) for n in (1, 2, 3)] == [(0, 1)] * 3

    def test_sentences_too_short_for_an_n_gram_have_none(self) -> None:
        assert set(NgramStatistics()(text_batch([(1, 2)], TEST))) == {"distinct_1", "distinct_2", "js_1", "js_2"}
        assert set(NgramStatistics()(text_batch(TEST, [()]))) == {f"distinct_{n}" for n in (1, 2, 3, 4)}
        assert NgramStatistics()(text_batch([()], TEST)) == {}


def slope(frequencies: list[int]) -> float:
    """Zipf's exponent by SciPy's regression on the logarithms of rank and frequency."""
    ranks = range(1, len(frequencies) + 1)
    return float(-stats.linregress(np.log(ranks), np.log(frequencies)).slope)


class TestTokens:
    def test_lengths_and_frequencies_are_compared(self) -> None:
        found = TokenStatistics()(text_batch(GENERATED, TEST))
        assert found["length_distance"] == pytest.approx(stats.wasserstein_distance([3, 2, 1, 0], [4, 3, 0]))
        assert found["zipf"] == pytest.approx(slope([3, 2, 1]))
        assert found["zipf_error"] == pytest.approx(abs(slope([3, 2, 1]) - slope([2, 2, 1, 1, 1])))

    def test_the_exponents_are_compared_on_as_many_sequences(self) -> None:
        many = [*TEST, (8, 8, 8, 8, 8, 7)]
        found = TokenStatistics()(text_batch(many, TEST))
        assert found["zipf_error"] == 0
        assert found["zipf"] == pytest.approx(slope([5, 2, 2, 1, 1, 1, 1]))

    def test_a_text_without_two_tokens_has_no_exponent(self) -> None:
        assert TokenStatistics()(text_batch([(1, 1)], TEST)) == {"length_distance": pytest.approx(5 / 3)}
        assert set(TokenStatistics()(text_batch(TEST, [()]))) == {"length_distance", "zipf"}


@pytest.mark.parametrize("exponent", [0.0, 0.7, 1.0, 2.0])
def test_frequencies_of_zipfs_law_have_its_exponent(exponent: float) -> None:
    count_R = np.round(1e4 * np.arange(1, 41) ** -exponent).astype(int)
    assert zipf_exponent(np.repeat(np.arange(40)[::-1], count_R)) == pytest.approx(exponent, abs=5e-3)


def test_rare_tokens_of_a_large_vocabulary_are_left_out_of_the_fit() -> None:
    many = np.repeat(np.arange(MOST_FREQUENT), 2)
    assert zipf_exponent(np.append(many, np.arange(MOST_FREQUENT, 9_000))) == pytest.approx(0)


@pytest.mark.parametrize(("first", "second", "expected"), [([3], [3, 3], 0), ([0], [5], 5), ([1, 2], [2, 4], 1.5)])
def test_the_distance_of_lengths(first: list[int], second: list[int], expected: float) -> None:
    assert wasserstein(np.array(first), np.array(second)) == expected == wasserstein(np.array(second), np.array(first))


def test_the_jensen_shannon_distance_by_hand() -> None:
    divergence = 0.75 * math.log2(1 / 0.75) + 0.25 * math.log2(1 / 0.25) - 0.5
    found = jensen_shannon_distance(np.array([1.0, 1.0]), np.array([7.0, 0.0]))
    assert found == pytest.approx(math.sqrt(divergence), rel=1e-12)


@pytest.mark.parametrize(("n", "count"), [(2, 1), (3, 7), (9, 3), (40, 2), (1000, 6)])
def test_equal_counts_have_no_exponent_below_zero(n: int, count: int) -> None:
    """Nor is it the zero that is written as -0.0."""
    exponent = zipf_exponent(np.repeat(np.arange(n), count))
    assert exponent == pytest.approx(0)
    assert math.copysign(1, exponent) == 1
