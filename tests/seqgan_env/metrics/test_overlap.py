"""BLEU and Self-BLEU of an evaluation: means over sentences without their end."""

from __future__ import annotations

import numpy as np
import pytest

from seqgan_env.metrics import measure
from seqgan_env.metrics.overlap import LENGTHS, PROTOCOL, SMOOTHING, Overlap
from tests.support.text import bleu, self_bleu, text_batch

TEST = [(1, 2, 3, 4, 5), (2, 3, 4), (6, 1, 2, 3), ()]
GENERATED = [(1, 2, 3, 4), (2, 3, 4, 5, 6, 7), (1, 2, 3, 4), (), (8,)]


def test_both_are_means_over_sentences_against_all_others() -> None:
    found = Overlap()(text_batch(GENERATED, TEST))
    for n in LENGTHS:
        of_test = [bleu(sentence, TEST, n, SMOOTHING) if sentence else 0.0 for sentence in GENERATED]
        assert found[f"bleu_{n}"] == pytest.approx(np.mean(of_test), rel=1e-12)
        assert found[f"self_bleu_{n}"] == pytest.approx(np.mean(self_bleu(GENERATED, n, SMOOTHING)), rel=1e-12)
    assert len(found) == 12


def test_each_result_says_how_it_is_computed() -> None:
    found = Overlap()(text_batch(GENERATED, TEST))
    assert (found["bleu_references"], found["self_bleu_references"]) == (len(TEST), len(GENERATED) - 1)
    assert (found["bleu_smoothing"], found["bleu_protocol"]) == (0.1, 1)


def test_copies_of_the_held_out_sentences_have_bleu_1_and_no_more_self_bleu_than_these() -> None:
    sentences = [(1, 2, 3, 4, 5), (5, 4, 3, 2, 1), (6, 7, 8, 6, 7)]
    found = Overlap()(text_batch(sentences, sentences))
    assert [found[f"bleu_{n}"] for n in LENGTHS] == [1, 1, 1, 1]
    assert found["self_bleu_2"] < 0.7


def test_one_sentence_over_and_over_has_self_bleu_1_and_a_single_one_has_none() -> None:
    repeated = Overlap()(text_batch([(1, 2, 3, 4, 5)] * 3, TEST))
    assert [repeated[f"self_bleu_{n}"] for n in LENGTHS] == [1, 1, 1, 1]
    assert not [name for name in Overlap()(text_batch([(1, 2)], TEST)) if name.startswith("self")]


def test_only_empty_sentences_have_none_in_common() -> None:
    found = Overlap()(text_batch([(), ()], [()]))
    assert [found[name] for name in ("bleu_2", "self_bleu_5")] == [0, 0]


def test_the_columns_say_how_it_is_computed() -> None:
    for name in (f"{kind}_{n}" for kind in ("bleu", "self_bleu") for n in LENGTHS):
        for said in (f"protocol {PROTOCOL}", "smoothing method 1 with epsilon 0.1", "no end-of-sequence"):
            assert said in Overlap.columns[name].help


def test_it_is_measured_on_request() -> None:
    batch = text_batch(GENERATED, TEST)
    assert not Overlap.columns.keys() & measure(batch).keys()
    assert Overlap.columns.keys() <= measure(batch, ["text"]).keys()
