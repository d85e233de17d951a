"""The optimum that nothing beats."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqgan_env.discriminators import DiscriminatorTrainer, OptimalDiscriminator, build_discriminator
from seqgan_env.sources import LSTMOracle
from tests.support.reference import all_sequences


@pytest.mark.theory
class TestOptimum:
    """On a task that can be enumerated the expected log-loss is a sum over all sequences, without any sampling."""

    REAL, GENERATOR = LSTMOracle(3, 3, 2, 4, seed=0), LSTMOracle(3, 3, 2, 4, seed=1)

    def expected_log_loss(self, logit_real_B: Any) -> float:
        """Half the negative of eq. 13.32, exactly."""
        outcomes_BT = all_sequences(self.REAL.spec)
        p_B, g_B = np.exp(self.REAL.log_prob(outcomes_BT)), np.exp(self.GENERATOR.log_prob(outcomes_BT))
        return float(0.5 * (p_B @ np.logaddexp(0, -logit_real_B) + g_B @ np.logaddexp(0, logit_real_B)))

    def optimal(self) -> OptimalDiscriminator:
        return OptimalDiscriminator(self.REAL.spec, self.REAL.log_prob, self.GENERATOR.log_prob)

    def test_d_is_p_over_p_plus_g(self) -> None:
        outcomes_BT = all_sequences(self.REAL.spec)
        p_B, g_B = np.exp(self.REAL.log_prob(outcomes_BT)), np.exp(self.GENERATOR.log_prob(outcomes_BT))
        logit_B = self.optimal().logits(outcomes_BT)
        np.testing.assert_allclose(logit_B, self.REAL.log_prob(outcomes_BT) - self.GENERATOR.log_prob(outcomes_BT))
        np.testing.assert_allclose(1 / (1 + np.exp(-logit_B)), p_B / (p_B + g_B))

    @given(st.lists(st.floats(-5, 5), min_size=27, max_size=27))
    def test_no_other_answer_has_a_lower_log_loss(self, change: list[float]) -> None:
        logit_B = self.optimal().logits(all_sequences(self.REAL.spec))
        least = self.expected_log_loss(logit_B)
        assert self.expected_log_loss(logit_B + np.array(change)) >= least - 1e-12
        assert least < math.log(2) - 0.05  # the two laws differ

    def test_no_cnn_beats_it_and_a_trained_one_comes_near(self) -> None:
        outcomes_BT, rng = all_sequences(self.REAL.spec), np.random.default_rng(0)
        least = self.expected_log_loss(self.optimal().logits(outcomes_BT))
        kwargs = {"embedding_dim": 8, "filters": [[1, 16], [2, 16], [3, 32]], "dropout": 0.0, "l2": 0.0}
        gaps = []
        for seed in range(3):
            discriminator = build_discriminator("cnn", self.REAL.spec, seed=seed, kwargs=kwargs)
            before = self.expected_log_loss(discriminator.logits(outcomes_BT)) - least
            trainer = DiscriminatorTrainer(discriminator, 1e-2, seed=seed)
            for _ in range(60):
                real_BT, generated_BT = (torch.from_numpy(law.sample(500, rng)) for law in (self.REAL, self.GENERATOR))
                trainer.update(real_BT, generated_BT)
            after = self.expected_log_loss(discriminator.logits(outcomes_BT)) - least
            gaps.append((before, after))
        for before, after in gaps:
            assert 0 < after < 0.01 < 0.05 < before

    def test_it_follows_a_generator_that_learns(self) -> None:
        laws = [self.GENERATOR, self.REAL]
        follower = OptimalDiscriminator(self.REAL.spec, self.REAL.log_prob, lambda tokens: laws[0].log_prob(tokens))
        outcomes_BT = all_sequences(self.REAL.spec)
        assert (follower.logits(outcomes_BT) != 0).all()
        laws.pop(0)
        np.testing.assert_array_equal(follower.logits(outcomes_BT), np.zeros(27))

    def test_it_has_nothing_to_train(self) -> None:
        assert not list(self.optimal().parameters())
        assert self.optimal().device == torch.device("cpu")
        assert float(self.optimal().penalty()) == 0
