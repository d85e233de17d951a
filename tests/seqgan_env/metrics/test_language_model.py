"""Scores by small language models: both directions, the features, and what decides them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from seqgan_env.autoregressive import AutoregressiveModel
from seqgan_env.metrics import EvaluationBatch, language_model, measure
from seqgan_env.metrics.language_model import LanguageModelScores, mean_states
from seqgan_env.tokens import SequenceSpec, Tokens
from tests.support.reference import padded
from tests.support.text import text_batch

SCORES = {"lm_forward", "lm_reverse", "lm_real", "lm_sequences", "lm_protocol"}
DISTANCE = {"frechet", "feature_fit", "feature_sequences", "feature_protocol"}
SHARES = {"precision", "recall", "feature_neighbours"}
A, B = [(1, 2), (1, 2, 3), (2, 1)] * 20, [(5, 6), (7, 6, 5), (8,)] * 20


def test_a_generator_of_one_half_is_likely_and_misses_the_other() -> None:
    found = LanguageModelScores()(text_batch(A + A, A + B, A + B, A + B))
    other = LanguageModelScores()(text_batch(A + B, A + B, A + B, A + B))
    assert found["lm_forward"] < other["lm_forward"]
    assert found["lm_reverse"] > other["lm_reverse"] + 0.3
    assert found["lm_real"] == other["lm_real"]
    assert found["frechet"] > other["frechet"] == pytest.approx(0, abs=1e-9)
    assert (found["precision"], found["recall"]) == (1, 0.5)
    assert (other["precision"], other["recall"]) == (1, 1)


def test_the_generator_that_writes_the_training_set_has_three_equal_scores() -> None:
    found = LanguageModelScores()(text_batch(A, A, A))
    assert found["lm_forward"] == found["lm_reverse"] == found["lm_real"] < 2


def test_each_model_learns_its_own_sequences_and_the_test_set_is_learned_by_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fit, learned = language_model.MaximumLikelihoodTrainer.epoch, []

    def spy(self: Any, tokens_BT: Tokens) -> float:
        learned.append(tokens_BT)
        return fit(self, tokens_BT)

    monkeypatch.setattr(language_model.MaximumLikelihoodTrainer, "epoch", spy)
    batch = text_batch(A, B, [(4, n % 8 + 1) for n in range(90)], [(3, n % 8 + 1) for n in range(50)])
    found = LanguageModelScores()(batch)
    assert batch.train_BT is not None
    assert batch.validation_BT is not None
    for number, rows_BT in enumerate((batch.train_BT[:60], batch.generated_BT, batch.validation_BT)):
        own = learned[10 * number : 10 * (number + 1)]
        assert len(own) == 10
        assert all(np.array_equal(each, rows_BT) for each in own)
    assert len(learned) == 30
    assert LanguageModelScores()(batch) == found
    assert len(learned) == 40  # those of real sequences are shared


def test_the_features_are_those_of_the_validation_half_whatever_the_run_learns_and_its_seed() -> None:
    features = ("frechet", "precision", "recall")
    batch = text_batch(A[:40], A[20:] + B[20:], A[:50], A[:20] + B[:20])

    def of(batch: EvaluationBatch) -> list[float]:
        found = LanguageModelScores()(batch)
        return [found[name] for name in features]

    assert of(batch) == of(replace(batch, train_BT=batch.generated_BT, seed=7)) == of(replace(batch, train_BT=None))
    assert of(batch) != of(replace(batch, validation_BT=batch.test_BT))


def test_each_result_says_how_it_is_computed() -> None:
    found = LanguageModelScores()(text_batch(A[:30], B[:20], A + B, A[:25]))
    assert {name: found[name] for name in found if name.startswith(("lm_s", "lm_p", "feature"))} == {
        "lm_sequences": 30,
        "lm_protocol": 1,
        "feature_fit": 25,
        "feature_sequences": 20,
        "feature_neighbours": 3,
        "feature_protocol": 2,
    }


def test_it_follows_the_seed_alone() -> None:
    batch = text_batch(A[:30], B[:30], (A + B)[:30], B[:20])
    torch.manual_seed(1)
    first, state = LanguageModelScores()(batch), torch.get_rng_state()
    torch.manual_seed(2)
    assert LanguageModelScores()(batch) == first
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)
    assert LanguageModelScores()(replace(batch, seed=1)) != first


@pytest.mark.parametrize(
    ("batch", "missing"),
    [
        (text_batch(A, A), {*SCORES, *DISTANCE, *SHARES}),
        (text_batch(A, A, None, A), SCORES),
        (text_batch(A, A, A), {*DISTANCE, *SHARES}),
        (text_batch(A[:3], A, A, A), SHARES),
        (text_batch([()], [()], [()], [()]), SHARES),
    ],
)
def test_what_is_not_defined_is_left_out(batch: EvaluationBatch, missing: set[str]) -> None:
    found = measure(batch, ["language_model"])
    assert LanguageModelScores.columns.keys() - found.keys() == missing
    assert np.isfinite(list(found.values())).all()


def test_features_are_means_over_the_states_after_each_token() -> None:
    spec = SequenceSpec(9, 7, eos_id=0)
    torch.manual_seed(0)
    model = AutoregressiveModel(spec, "lstm", embedding_dim=4, hidden_dim=5)
    sentences = [[1, 2, 0], [0], [1, 2, 3, 4, 5, 6, 7]]
    found = mean_states(model, padded(spec, sentences))
    for row, sentence in zip(found, sentences, strict=True):
        state, states = model.start(1), []
        for token in sentence:
            state = model.step(torch.tensor([token]), state)
            states.append(state[0][0].detach().numpy())
        np.testing.assert_allclose(row, np.mean(states, axis=0), atol=1e-5)
    np.testing.assert_array_equal(found[:1], mean_states(model, padded(spec, [sentences[0]])))
