"""BLEU against its definition, against NLTK's, and on sentences whose BLEU is known."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from seqgan_env.bleu import Bleu
from seqgan_env.sources import Grammar
from seqgan_env.tokens import SequenceSpec
from tests.support.reference import padded, unpadded
from tests.support.text import bleu, random_rows, self_bleu

SPEC = SequenceSpec(12, 9)


@pytest.mark.theory
@pytest.mark.parametrize("max_n", [1, 2, 5, 10])
@pytest.mark.parametrize("n_references", [1, 3, 20])
def test_it_is_the_definition(max_n: int, n_references: int) -> None:
    references, rows = random_rows(SPEC, n_references, 1, shortest=0), random_rows(SPEC, 60, 2, shortest=0)
    sentences, known = unpadded(SPEC, rows), unpadded(SPEC, references)
    expected = [[bleu(sentence, known, n, 0.1) for n in range(1, max_n + 1)] for sentence in sentences]
    assert len(set(map(tuple, expected))) > 5
    np.testing.assert_allclose(Bleu(SPEC, references, max_n, 0.1).of(rows), expected, rtol=1e-12)


@pytest.mark.theory
@pytest.mark.parametrize("n", [2, 6, 30])
def test_the_references_against_each_other_are_the_definition(n: int) -> None:
    rows = random_rows(SPEC, n, 3, shortest=0)
    rows[1] = rows[0]  # a sentence that stands there twice is a reference of itself
    expected = np.transpose([self_bleu(unpadded(SPEC, rows), k, 0.1) for k in range(1, 6)])
    np.testing.assert_allclose(Bleu(SPEC, rows, 5, 0.1).of_references(), expected, rtol=1e-12)


def nltk_bleu(references: Sequence[Sequence[Any]], sentence: Sequence[Any]) -> list[float]:
    """NLTK's BLEU-1 to BLEU-5."""
    score = pytest.importorskip("nltk.translate.bleu_score")
    weights, smoothing = [(1 / n,) * n for n in range(1, 6)], score.SmoothingFunction(epsilon=0.1).method1
    return list(score.sentence_bleu(references, sentence, weights=weights, smoothing_function=smoothing))


@pytest.mark.theory
def test_both_are_those_of_nltk() -> None:
    references, rows = random_rows(SPEC, 20, 4, shortest=0), random_rows(SPEC, 60, 5, shortest=0)
    known, sentences = unpadded(SPEC, references), unpadded(SPEC, rows)
    ours = Bleu(SPEC, references, 5, 0.1)
    expected = [nltk_bleu(known, sentence) for sentence in sentences]
    np.testing.assert_allclose(ours.of(rows), expected, rtol=1e-12)
    expected = [nltk_bleu([*known[:i], *known[i + 1 :]], known[i]) for i in range(len(known))]
    np.testing.assert_allclose(ours.of_references(), expected, rtol=1e-12)


@pytest.mark.theory
def test_of_five_thousand_sentences_of_english_both_are_those_of_nltk_and_take_seconds() -> None:
    source, rng = Grammar(), np.random.default_rng(0)
    references, rows = source.sample(5_000, rng), source.sample(5_000, rng)
    is_other = (rng.random(rows.shape) < 0.2) & (rows != source.spec.pad_id)  # words that nobody would write there
    rows = np.where(is_other, rng.integers(1, source.spec.vocab_size, rows.shape), rows)
    began = time.perf_counter()
    ours = Bleu(source.spec, references, 5, 0.1)
    of_rows, of_references = ours.of(rows), ours.of_references()
    assert time.perf_counter() - began < 30  # one on an idle core
    known, sentences = (
        [[source.vocabulary.tokens[token] for token in sentence] for sentence in unpadded(source.spec, each)]
        for each in (references, rows)
    )
    for i in rng.integers(5_000, size=4):
        np.testing.assert_allclose(of_rows[i], nltk_bleu(known, sentences[i]), rtol=1e-12)
        np.testing.assert_allclose(of_references[i], nltk_bleu([*known[:i], *known[i + 1 :]], known[i]), rtol=1e-12)
    assert 0.1 < of_rows[:, 3].mean() < of_references[:, 3].mean() < 1


def test_a_sentence_by_hand() -> None:
    """2 of 4 tokens count, as a reference holds 1 twice at most; of 3 pairs one; no triple, of 2; r = 5 over c = 4."""
    references = padded(SPEC, [[1, 1, 2, 4, 5], [1, 3, 6, 6, 6, 6]])
    brevity = math.exp(1 - 5 / 4)
    expected = [2 / 4, math.sqrt(2 / 4 * 1 / 3), (2 / 4 * 1 / 3 * 0.1 / 2) ** (1 / 3)]
    found = Bleu(SPEC, references, 3, 0.1).of(padded(SPEC, [[1, 1, 1, 7]]))[0]
    np.testing.assert_allclose(found, brevity * np.array(expected), rtol=1e-12)


def test_of_two_lengths_as_near_the_shorter_counts() -> None:
    references = padded(SPEC, [[1, 2, 3, 4], [1, 2]])
    assert Bleu(SPEC, references, 1, 0.1).of(padded(SPEC, [[1, 2, 3]]))[0, 0] == 1


@pytest.mark.theory
def test_without_its_own_length_the_next_one_counts() -> None:
    rows = padded(SPEC, [[1, 2], [1, 2, 3, 4]])
    np.testing.assert_allclose(Bleu(SPEC, rows, 1, 0.1).of_references()[:, 0], [math.exp(1 - 4 / 2), 2 / 4])


@pytest.mark.parametrize("row", [[], [7], [7, 8, 9]])
def test_a_sentence_that_shares_no_token_has_bleu_0(row: list[int]) -> None:
    assert not Bleu(SPEC, padded(SPEC, [[1, 2], []]), 3, 0.1).of(padded(SPEC, [row])).any()


def test_a_reference_itself_has_bleu_1_where_it_is_long_enough() -> None:
    references = padded(SPEC, [[1, 2, 3, 4, 5, 6], [2, 2]])
    expected = [[1, 1, 1], [1, 1, 0.1 ** (1 / 3)]]
    np.testing.assert_allclose(Bleu(SPEC, references, 3, 0.1).of(references), expected)


def test_sentences_that_are_alike_have_a_self_bleu_of_1() -> None:
    assert (Bleu(SPEC, padded(SPEC, [[1, 2, 3]] * 4), 3, 0.1).of_references() == 1).all()


def test_one_sentence_has_no_other_to_be_compared_with() -> None:
    with pytest.raises(ValueError, match="references must be at least two to be compared, got 1"):
        Bleu(SPEC, padded(SPEC, [[1, 2, 3]]), 3, 0.1).of_references()


def test_a_large_vocabulary_does_not_overflow() -> None:
    spec = SequenceSpec(2**24, 12)
    rows = np.random.default_rng(0).integers(0, 2**24, size=(3, 12))
    np.testing.assert_allclose(Bleu(spec, rows, 10, 0.1).of(rows), 1)
