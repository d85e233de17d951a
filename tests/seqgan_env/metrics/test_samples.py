"""What the generated sequences say by themselves: whole sentences, and different ones."""

from __future__ import annotations

import numpy as np

from seqgan_env.metrics import EvaluationBatch, measure
from seqgan_env.sources import KnownSource
from seqgan_env.tokens import Tokens
from tests.support.sources import tiny_grammar, tiny_oracle


def measured(source: KnownSource, generated_BT: Tokens) -> dict[str, float]:
    return measure(EvaluationBatch(source, generated_BT, generated_BT, source.log_prob))


def test_a_source_that_knows_its_grammar_counts_the_sentences() -> None:
    source = tiny_grammar()
    rows_BT = source.sample(40, np.random.default_rng(0))
    share = measured(source, rows_BT)["grammatical"]
    assert share == source.is_grammatical(rows_BT).mean()
    assert 0 < share < 1


def test_a_source_without_a_grammar_judges_no_sentence() -> None:
    source = tiny_oracle()
    assert "grammatical" not in measured(source, source.sample(5, np.random.default_rng(0)))


def test_sequences_that_differ_are_counted() -> None:
    rows_BT = np.array([[0, 1, 2], [0, 1, 2], [2, 1, 0], [0, 1, 1]])
    assert measured(tiny_oracle(), rows_BT)["distinct"] == 3 / 4
    assert measured(tiny_oracle(), rows_BT[:2])["distinct"] == 1 / 2


def test_tokens_that_differ_are_counted_and_padding_is_none() -> None:
    source = tiny_grammar()
    pad, end = source.spec.pad_id, source.spec.eos_id
    rows_BT = np.full((2, source.spec.max_length), pad)
    rows_BT[:, :3] = [[3, 4, end], [4, end, pad]]
    assert measured(source, rows_BT)["tokens_used"] == 3
