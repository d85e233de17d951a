"""N-grams against counters over tuples, and the longest shared spans against all of them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from seqgan_env.ngrams import NgramTable, longest_shared
from seqgan_env.tokens import SequenceSpec
from tests.support.reference import padded, unpadded
from tests.support.text import grams, longest_shared_span, random_rows

SPEC = SequenceSpec(5, 7)


def test_a_table_counts_the_known_n_grams_of_each_sequence() -> None:
    known, rows = (random_rows(SPEC, 12, seed, shortest=0) for seed in (0, 1))
    table = NgramTable(SPEC, known, 9)
    counted = list(table.counts(rows))
    for n, (size, counts) in enumerate(zip(table.sizes, counted, strict=True), start=1):
        own = {gram for sentence in unpadded(SPEC, known) for gram in grams(sentence, n)}
        assert size == len(own)
        found: dict[int, list[int]] = {b: [] for b in range(len(rows))}
        for row, count in zip(counts.row_C, counts.count_C, strict=True):
            found[int(row)].append(int(count))
        for b, sentence in enumerate(unpadded(SPEC, rows)):
            expected = [count for gram, count in grams(sentence, n).items() if gram in own]
            assert Counter(found[b]) == Counter(expected)
    assert sum(len(counts.row_C) for counts in counted) > 50


def test_an_index_is_that_of_one_n_gram() -> None:
    rows = random_rows(SPEC, 40, seed=0, shortest=0)
    total: Counter[tuple[int, ...]] = Counter()
    for sentence in unpadded(SPEC, rows):
        total += grams(sentence, 3)
    counts = list(NgramTable(SPEC, rows, 3).counts(rows))[-1]
    assert sorted(np.bincount(counts.gram_C, weights=counts.count_C)) == sorted(total.values())


@pytest.mark.parametrize("vocab_size", [2, 5, 10**7])
def test_the_longest_shared_span_is_the_definition(vocab_size: int) -> None:
    spec = SequenceSpec(vocab_size, 7)
    others = random_rows(spec, 6, seed=0, shortest=0)
    rows = np.concatenate([random_rows(spec, 25, seed=1, shortest=0), others[:2]])
    rows[:10, 2:5] = others[np.arange(10) % 6, :3]  # spans at another place
    expected = [longest_shared_span(sentence, unpadded(spec, others)) for sentence in unpadded(spec, rows)]
    assert len(set(expected)) > 2
    np.testing.assert_array_equal(longest_shared(spec, rows, others), expected)


def test_a_span_may_not_go_on_in_another_sequence() -> None:
    rows, others = padded(SPEC, [[1, 2, 3]]), padded(SPEC, [[0, 1, 2], [3, 4], [2, 3]])
    np.testing.assert_array_equal(longest_shared(SPEC, rows, others), [2])


@pytest.mark.parametrize(("rows", "others"), [([[]], [[1]]), ([[1]], [[]]), ([[]], [[]]), ([[1, 1]], [[2]])])
def test_nothing_is_shared(rows: list[list[int]], others: list[list[int]]) -> None:
    np.testing.assert_array_equal(longest_shared(SPEC, padded(SPEC, rows), padded(SPEC, others)), [0])
