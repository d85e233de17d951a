"""Baselines leave the estimate unbiased, and are what the plain loops say."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from agents.baselines import BASELINES, advantages, root_mean_square
from agents.losses import policy_gradient_loss
from agents.monte_carlo import action_values
from seqgan_env.tokens import SequenceSpec
from tests.support import reference
from tests.support.builders import batches, every_kind, make_generator, score_by
from tests.support.reference import Prefix
from tests.support.significance import Array, assert_mean, assert_not_mean


class Runs:
    """Independent runs of four episodes and two completions, by one policy from one prefix.

    A run's gradient needs the loss's own gradient in the log-probabilities alone, as theirs in the parameters are the
    same in all runs: the task has a handful of sequences.
    """

    SPEC = SequenceSpec(3, 3, 0)

    def __init__(self, kind: str, prefix: Prefix, n_runs: int = 800) -> None:
        spec = self.SPEC
        self.policy = make_generator(kind, spec)
        self.parameters = list(self.policy.parameters())
        table = reference.random_reward(spec)
        next_token, score = reference.next_token_of(self.policy), score_by(spec, table)
        value = reference.expected_reward(spec, next_token, reference.reward_of(table), prefix)
        self.exact_P = -reference.gradient_of(value, self.parameters).numpy()

        rng = torch.Generator().manual_seed(0)
        self.tokens_MT = self.policy.sample(4 * n_runs, rng, prefix=prefix)
        self.q_MT = action_values(self.policy, self.tokens_MT, score(self.tokens_MT), score, n_completions=2, rng=rng)
        self.chosen_MT = (self.tokens_MT != spec.pad_id) & (torch.arange(spec.max_length) >= len(prefix))
        with torch.no_grad():
            self.states_MTH = self.policy.hidden(self.tokens_MT)

        rows_KT = torch.from_numpy(reference.all_sequences(spec))
        self.row_M = (self.tokens_MT[:, None] == rows_KT).all(dim=2).long().argmax(dim=1)
        gradients = [reference.gradient_of(x, self.parameters) for x in self.policy.log_prob(rows_KT).flatten()]
        self.derivative_KTP = torch.stack(gradients).unflatten(0, rows_KT.shape)

    def gradients(self, advantage_of: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Array:
        """Those of the shipped loss, ``(R, P)`` for P parameters."""
        weights = []
        with torch.no_grad():
            log_prob_MT = self.policy.log_prob(self.tokens_MT)
        parts = zip(*(x.split(4) for x in (log_prob_MT, self.q_MT, self.chosen_MT, self.states_MTH)), strict=True)
        for log_prob_BT, q_BT, chosen_BT, states_BTH in parts:
            leaf_BT = log_prob_BT.clone().requires_grad_()
            loss = policy_gradient_loss(leaf_BT, advantage_of(q_BT, chosen_BT, states_BTH), chosen_BT)
            weights.append(torch.autograd.grad(loss, leaf_BT)[0])
        weight_RKT = torch.zeros(len(weights), *self.derivative_KTP.shape[:2], dtype=torch.float64)
        run_M = torch.arange(len(self.row_M)) // 4
        weight_RKT.index_put_((run_M, self.row_M), torch.cat(weights), accumulate=True)
        gradient_RP = weight_RKT.flatten(1) @ self.derivative_KTP.flatten(0, 1)
        # the first run once more, in one piece
        advantage_BT = advantage_of(self.q_MT[:4], self.chosen_MT[:4], self.states_MTH[:4])
        loss = policy_gradient_loss(self.policy.log_prob(self.tokens_MT[:4]), advantage_BT, self.chosen_MT[:4])
        torch.testing.assert_close(gradient_RP[0], reference.gradient_of(loss, self.parameters), rtol=0, atol=1e-10)
        return gradient_RP.numpy()


@functools.cache
def runs(kind: str, prefix: Prefix) -> Runs:
    """Which every baseline is tried on."""
    return Runs(kind, prefix)


class TestBaselines:
    @pytest.mark.theory
    @every_kind
    @pytest.mark.parametrize("prefix", [(), (2,)], ids=["from-the-start", "from-a-prefix"])
    @pytest.mark.parametrize("baseline", BASELINES)
    def test_the_estimate_stays_unbiased(self, baseline: str, prefix: Prefix, kind: str) -> None:
        """Eq. 13.44 by Monte Carlo: the mean gradient is -grad J, and the runs tell it from half of it."""
        gradient_RP = runs(kind, prefix).gradients(
            lambda q_BT, mask_BT, states_BTH: advantages(q_BT, mask_BT, baseline, states_BTH)
        )
        assert_mean(gradient_RP, runs(kind, prefix).exact_P)
        assert_not_mean(gradient_RP, runs(kind, prefix).exact_P / 2)

    @pytest.mark.theory
    def test_the_value_before_a_token_has_the_discount_once_more(self) -> None:
        """``Q(Y_{1:t-2}, y_{t-1}) = gamma V(Y_{1:t-1})``: with the exact values of a certain policy nothing is left."""
        q_BT = 0.5 ** torch.arange(3, -1, -1).double().expand(2, 4)
        mask_BT = torch.ones(2, 4, dtype=torch.bool)
        assert not advantages(q_BT, mask_BT, "prefix", discount=0.5).any()
        assert advantages(q_BT, mask_BT, "prefix")[:, 1:].all()

    @pytest.mark.theory
    @every_kind
    def test_a_baseline_that_depends_on_the_action_does_not(self, kind: str) -> None:
        """The mean with the sequence itself among the four takes a quarter of eq. 13.44 away: the test sees it."""

        def mean_of_all(q_BT: Tensor, mask_BT: Tensor, _: Tensor) -> Tensor:
            n_T = mask_BT.sum(dim=0).clamp(min=1)
            return (q_BT - (q_BT * mask_BT).sum(dim=0) / n_T) * mask_BT

        assert_not_mean(runs(kind, ()).gradients(mean_of_all), runs(kind, ()).exact_P)

    @pytest.mark.theory
    @every_kind
    def test_a_regression_that_has_seen_the_action_does_not(self, kind: str) -> None:
        """The same of the learned baseline: one that is told y_t by its features, its own value, biases eq. 13.44."""

        def told(q_BT: Tensor, mask_BT: Tensor, _: Tensor) -> Tensor:
            return advantages(q_BT, mask_BT, "learned", q_BT[:, :, None])

        assert_not_mean(runs(kind, ()).gradients(told), runs(kind, ()).exact_P)

    @given(batches, st.integers(1, 4), st.integers(0, 1000))
    @settings(max_examples=40)
    def test_the_learned_one_is_a_ridge_regression_on_the_other_half(
        self, batch: tuple[Tensor, Tensor], hidden_dim: int, seed: int
    ) -> None:
        """Written out as least squares with a row more for each weight, which asks it to be 0."""
        q_BT, mask_BT = batch
        features_BTH = np.random.default_rng(seed).normal(size=(*q_BT.shape, hidden_dim))
        advantage_BT = advantages(q_BT, mask_BT, "learned", torch.from_numpy(features_BTH))

        def describe(b: int, t: int) -> Array:
            known = t > 0 and bool(mask_BT[b, t - 1])
            return np.array([*features_BTH[b, t], q_BT[b, t - 1].item() if known else 0.0, float(not known), 1.0])

        tokens = [(b, t) for b, t in mask_BT.nonzero().tolist()]
        for b, t in tokens:
            others = [(i, s) for i, s in tokens if i % 2 != b % 2]
            x = np.vstack([*(describe(i, s) for i, s in others), np.eye(hidden_dim + 3)])
            y = np.array([*(q_BT[i, s].item() for i, s in others), *[0.0] * (hidden_dim + 3)])
            fitted = describe(b, t) @ np.linalg.lstsq(x, y, rcond=None)[0]
            assert advantage_BT[b, t].item() == pytest.approx(q_BT[b, t].item() - fitted, rel=1e-9, abs=1e-12)
        assert (advantage_BT[~mask_BT] == 0).all()

    def test_the_learned_one_needs_features(self) -> None:
        with pytest.raises(ValueError, match="the learned baseline needs features_BTH"):
            advantages(torch.zeros(1, 1), torch.ones(1, 1, dtype=torch.bool), "learned")

    @given(batches, st.sampled_from(sorted(set(BASELINES) - {"learned"})))
    def test_are_what_the_plain_loops_say(self, batch: tuple[Tensor, Tensor], baseline: str) -> None:
        q_BT, mask_BT = batch
        advantage_BT = advantages(q_BT, mask_BT, baseline)
        n, max_length = q_BT.shape
        for b in range(n):
            for t in range(max_length):
                others = [q_BT[i, t].item() for i in range(n) if i != b and mask_BT[i, t]]
                if baseline == "batch":
                    others = [q_BT[i, s].item() for i, s in mask_BT.nonzero().tolist() if i != b]
                subtracted = 0.0
                if baseline == "prefix" and t > 0 and mask_BT[b, t - 1]:
                    subtracted = q_BT[b, t - 1].item()
                elif baseline != "none" and others:
                    subtracted = sum(others) / len(others)
                expected = q_BT[b, t].item() - subtracted if mask_BT[b, t] else 0.0
                assert advantage_BT[b, t].item() == pytest.approx(expected, rel=1e-9, abs=1e-12)

    @given(batches, st.sampled_from(BASELINES))
    def test_leave_their_arguments_as_they_are(self, batch: tuple[Tensor, Tensor], baseline: str) -> None:
        q_BT, mask_BT = batch
        before = q_BT.clone(), mask_BT.clone()
        advantages(q_BT, mask_BT, baseline, q_BT[:, :, None])
        assert torch.equal(q_BT, before[0])
        assert torch.equal(mask_BT, before[1])

    def test_refuse_an_unknown_name(self) -> None:
        with pytest.raises(ValueError, match="baseline must be one of none, batch, step, prefix, learned; got 'mean'"):
            advantages(torch.zeros(1, 1), torch.ones(1, 1, dtype=torch.bool), "mean")


class TestRootMeanSquare:
    @given(batches)
    def test_dividing_by_it_keeps_the_direction_and_makes_the_mean_square_one(
        self, batch: tuple[Tensor, Tensor]
    ) -> None:
        advantage_BT, mask_BT = batch
        advantage_BT = advantage_BT * mask_BT
        normalized_BT = advantage_BT / root_mean_square(advantage_BT, mask_BT)
        values = [normalized_BT[b, t].item() for b, t in mask_BT.nonzero().tolist()]
        assert sum(value**2 for value in values) / len(values) == pytest.approx(1)
        scale = advantage_BT[mask_BT] / normalized_BT[mask_BT]
        torch.testing.assert_close(scale, scale[:1].expand_as(scale))
        assert scale[0] > 0
        assert scale[0].item() == pytest.approx(root_mean_square(advantage_BT, mask_BT).item())

    def test_of_nothing_to_learn_is_nothing(self) -> None:
        mask_BT = torch.ones(2, 3, dtype=torch.bool)
        nothing_BT = torch.zeros(2, 3)
        assert torch.equal(nothing_BT / root_mean_square(nothing_BT, mask_BT), nothing_BT)
