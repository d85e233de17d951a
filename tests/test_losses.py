"""The losses against their equations: what is descended is -J, with any baseline, and padding weighs nothing."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from agents.losses import (
    BASELINES,
    advantages,
    last_step_loss,
    maximum_likelihood_loss,
    normalize,
    policy_gradient_loss,
    root_mean_square,
)
from agents.monte_carlo import action_values, last_step
from agents.policy import POLICIES
from seqgan_env.tokens import SequenceSpec
from tests import reference
from tests.builders import every_kind, make_policy, prefixes, score_by, show, tasks
from tests.reference import Prefix
from tests.significance import Array, assert_mean, assert_not_mean

SPECS = [SequenceSpec(3, 3), SequenceSpec(3, 3, 0), SequenceSpec(2, 4, 1), SequenceSpec(4, 1)]


def masks(n: int, max_length: int, rng: np.random.Generator) -> Tensor:
    """Which tokens were chosen: from the end of a given prefix, often empty, to the end of the sequence."""
    start_B1 = rng.integers(max_length, size=(n, 1)) * (rng.random((n, 1)) < 0.3)
    length_B1 = rng.integers(start_B1 + 1, max_length + 1)
    return torch.from_numpy((np.arange(max_length) >= start_B1) & (np.arange(max_length) < length_B1))


batches = st.builds(
    lambda n, max_length, seed: (
        torch.from_numpy(np.random.default_rng(seed).normal(size=(n, max_length))),
        masks(n, max_length, np.random.default_rng(seed + 1)),
    ),
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(0, 1000),
)


class TestMaximumLikelihood:
    @pytest.mark.theory
    @given(batches)
    def test_is_the_mean_over_the_tokens(self, batch: tuple[Tensor, Tensor]) -> None:
        """Eq. 13.33-13.34: minus the sum of the tokens' log-probabilities over their number."""
        log_prob_BT, mask_BT = batch
        values = [log_prob_BT[b, t].item() for b, t in mask_BT.nonzero().tolist()]
        assert maximum_likelihood_loss(log_prob_BT, mask_BT).item() == pytest.approx(-sum(values) / len(values))

    @pytest.mark.theory
    @every_kind
    def test_is_least_at_the_law_of_the_data(self, kind: str) -> None:
        """Eq. 13.33: at the law of the data the gradient is 0 and the loss is the entropy.

        The tokens are weighted by their sequence's probability, which makes the mean an expectation.
        """
        spec = SequenceSpec(3, 3, 0)
        policy = make_policy(kind, spec)
        tokens_BT = torch.from_numpy(reference.all_sequences(spec))
        log_prob_BT = policy.log_prob(tokens_BT)
        p_B = torch.exp(log_prob_BT.sum(dim=1)).detach()
        mask_BT = (tokens_BT != spec.pad_id) * p_B[:, None]
        loss = maximum_likelihood_loss(log_prob_BT, mask_BT)
        entropy = -(p_B * p_B.log()).sum() / (p_B * (tokens_BT != spec.pad_id).sum(dim=1)).sum()
        assert loss.item() == pytest.approx(entropy.item(), abs=1e-12)
        gradient = reference.gradient_of(loss, list(policy.parameters()))
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-12)


class TestPolicyGradient:
    @pytest.mark.theory
    @every_kind
    @pytest.mark.parametrize("spec", SPECS, ids=show)
    def test_its_expectation_is_the_gradient(self, spec: SequenceSpec, kind: str) -> None:
        """Eq. 13.44: with the exact Q, the gradient of the loss averaged over all sequences is -grad J."""
        policy = make_policy(kind, spec)
        parameters = list(policy.parameters())
        next_token = reference.next_token_of(policy)
        reward = reference.reward_of(reference.random_reward(spec))
        rows = reference.sequences(spec)
        q_BT = reference.action_values(spec, next_token, reward, rows)
        total = torch.zeros(sum(parameter.numel() for parameter in parameters), dtype=torch.float64)
        for tokens_T, row, q_T in zip(reference.padded(spec, rows), rows, q_BT, strict=True):
            tokens_1T = torch.from_numpy(tokens_T[None])
            loss = policy_gradient_loss(policy.log_prob(tokens_1T), q_T[None], tokens_1T != spec.pad_id)
            total += reference.probability(next_token, row).detach() * reference.gradient_of(loss, parameters)
        gradient = reference.gradient_by_enumeration(spec, next_token, reward, parameters)
        torch.testing.assert_close(total, -gradient, rtol=0, atol=1e-12)
        assert gradient.abs().max() > 1e-3

    @pytest.mark.theory
    @every_kind
    def test_of_a_given_prefix_is_the_gradient_of_what_follows_it(self, kind: str) -> None:
        """Eq. 13.44 from Y_{1:1} instead of s_0: only the tokens that the policy chose carry a gradient."""
        spec, prefix = SequenceSpec(3, 3, 0), (2,)
        policy = make_policy(kind, spec)
        parameters = list(policy.parameters())
        next_token = reference.next_token_of(policy)
        reward = reference.reward_of(reference.random_reward(spec))
        rows = reference.sequences(spec, prefix)
        tokens_BT = torch.from_numpy(reference.padded(spec, rows))
        chosen_BT = (tokens_BT != spec.pad_id) & (torch.arange(3) >= len(prefix))
        q_BT = reference.action_values(spec, next_token, reward, rows)
        p_B = torch.stack([reference.probability(next_token, row, given=1) for row in rows]).detach()
        loss = policy_gradient_loss(policy.log_prob(tokens_BT), len(rows) * p_B[:, None] * q_BT, chosen_BT)
        value = reference.expected_reward(spec, next_token, reward, prefix)
        torch.testing.assert_close(
            reference.gradient_of(loss, parameters), -reference.gradient_of(value, parameters), rtol=0, atol=1e-12
        )

    @pytest.mark.theory
    @every_kind
    @pytest.mark.parametrize("spec", SPECS, ids=show)
    def test_the_last_step_may_be_summed_exactly(self, spec: SequenceSpec, kind: str) -> None:
        """Eq. 13.44 with its inner sum at t = T taken over every token: the expectation of the loss is still -grad J.

        Sequences that agree up to their last step then have one and the same last term: it has no variance left.
        """
        policy = make_policy(kind, spec)
        parameters = list(policy.parameters())
        next_token = reference.next_token_of(policy)
        table = reference.random_reward(spec)
        rows = reference.sequences(spec)
        tokens_BT = torch.from_numpy(reference.padded(spec, rows))
        last = last_step(policy, tokens_BT, score_by(spec, table))
        is_last_BT = torch.zeros(tokens_BT.shape, dtype=torch.bool)
        is_last_BT[last.sequence_M, -1] = True
        q_BT = reference.action_values(spec, next_token, reference.reward_of(table), rows)
        p_B = torch.stack([reference.probability(next_token, row) for row in rows]).detach()
        earlier_BT = (tokens_BT != spec.pad_id) & ~is_last_BT
        weighted_BT = len(rows) * p_B[:, None] * q_BT
        loss = policy_gradient_loss(policy.log_prob(tokens_BT), weighted_BT, earlier_BT)
        loss = loss + last_step_loss(last.log_prob_MV, p_B[last.sequence_M, None] * last.q_MV, 1)
        gradient = reference.gradient_by_enumeration(spec, next_token, reference.reward_of(table), parameters)
        torch.testing.assert_close(reference.gradient_of(loss, parameters), -gradient, rtol=0, atol=1e-12)
        own_M = [
            reference.gradient_of(last_step_loss(last.log_prob_MV[m : m + 1], last.q_MV[m : m + 1], 1), parameters)
            for m in range(len(last.sequence_M))
        ]
        of_prefix: dict[Prefix, Tensor] = {}
        for b, own in zip(last.sequence_M.tolist(), own_M, strict=True):
            torch.testing.assert_close(own, of_prefix.setdefault(rows[b][:-1], own), rtol=0, atol=1e-14)
        assert len(of_prefix) * spec.vocab_size == len(own_M)

    @given(batches)
    def test_is_the_mean_over_sequences_of_a_sum_over_tokens(self, batch: tuple[Tensor, Tensor]) -> None:
        advantage_BT, mask_BT = batch
        log_prob_BT = torch.randn(mask_BT.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        total = sum((log_prob_BT[b, t] * advantage_BT[b, t]).item() for b, t in mask_BT.nonzero().tolist())
        loss = policy_gradient_loss(log_prob_BT, advantage_BT, mask_BT)
        assert loss.item() == pytest.approx(-total / len(mask_BT), rel=1e-9, abs=1e-12)

    @pytest.mark.theory
    @given(batches)
    def test_what_was_not_chosen_has_no_gradient_and_advantages_are_constants(
        self, batch: tuple[Tensor, Tensor]
    ) -> None:
        advantage_BT, mask_BT = batch
        log_prob_BT = torch.zeros(mask_BT.shape, requires_grad=True)
        advantage_BT.requires_grad_()
        policy_gradient_loss(log_prob_BT, advantage_BT, mask_BT).backward()
        assert advantage_BT.grad is None
        assert log_prob_BT.grad is not None
        assert (log_prob_BT.grad[~mask_BT] == 0).all()
        assert (log_prob_BT.grad[mask_BT] != 0).all()


class TestPadding:
    @pytest.mark.theory
    @given(spec=tasks, kind=st.sampled_from(sorted(POLICIES)), n=st.integers(1, 5), seed=st.integers(0, 1000))
    @settings(max_examples=40)
    def test_a_padded_batch_is_its_sequences_one_by_one(self, spec: SequenceSpec, kind: str, n: int, seed: int) -> None:
        """Eq. 13.34 and 13.44: both losses and their gradients, against each sequence alone without its padding."""
        policy = make_policy(kind, spec, seed, scale=2.0)
        parameters = list(policy.parameters())
        rng = np.random.default_rng(seed)
        tokens_BT = policy.complete(prefixes(spec, n, rng), torch.Generator().manual_seed(seed))
        mask_BT = tokens_BT != spec.pad_id
        advantage_BT = torch.from_numpy(rng.normal(size=mask_BT.shape))
        log_prob_BT = policy.log_prob(tokens_BT)
        assert (log_prob_BT[~mask_BT] == 0).all()
        likelihood = gradient = torch.zeros((), dtype=torch.float64)
        for tokens_T, advantage_T in zip(tokens_BT, advantage_BT, strict=True):
            length = int((tokens_T != spec.pad_id).sum())
            alone_1T = policy.log_prob(tokens_T[None, :length])
            all_1T = torch.ones_like(alone_1T, dtype=torch.bool)
            likelihood = likelihood + length * maximum_likelihood_loss(alone_1T, all_1T) / mask_BT.sum()
            gradient = gradient + policy_gradient_loss(alone_1T, advantage_T[None, :length], all_1T) / n
        for loss, expected in (
            (maximum_likelihood_loss(log_prob_BT, mask_BT), likelihood),
            (policy_gradient_loss(log_prob_BT, advantage_BT, mask_BT), gradient),
        ):
            torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-10)
            torch.testing.assert_close(
                reference.gradient_of(loss, parameters),
                reference.gradient_of(expected, parameters),
                rtol=1e-9,
                atol=1e-10,
            )

    @given(batches, st.sampled_from(BASELINES))
    def test_what_stands_outside_the_mask_changes_nothing(self, batch: tuple[Tensor, Tensor], baseline: str) -> None:
        """To the bit, for every baseline, the normalisation and both losses."""
        q_BT, mask_BT = batch
        other_BT = torch.where(mask_BT, q_BT, 1e3 + q_BT)

        def results(values_BT: Tensor) -> list[Tensor]:
            advantage_BT = advantages(values_BT, mask_BT, baseline, values_BT[:, :, None] ** 2)
            return [
                advantage_BT,
                normalize(advantage_BT, mask_BT),
                policy_gradient_loss(q_BT, values_BT, mask_BT),
                policy_gradient_loss(values_BT, q_BT, mask_BT),
                maximum_likelihood_loss(values_BT, mask_BT),
            ]

        for before, after in zip(results(q_BT), results(other_BT), strict=True):
            assert torch.equal(before, after)


class Runs:
    """Independent runs of four episodes and two completions, by one policy from one prefix.

    A run's gradient needs the loss's own gradient in the log-probabilities alone, as theirs in the parameters are the
    same in all runs: the task has a handful of sequences.
    """

    SPEC = SequenceSpec(3, 3, 0)

    def __init__(self, kind: str, prefix: Prefix, n_runs: int = 800) -> None:
        spec = self.SPEC
        self.policy = make_policy(kind, spec)
        self.parameters = list(self.policy.parameters())
        table = reference.random_reward(spec)
        next_token, score = reference.next_token_of(self.policy), score_by(spec, table)
        value = reference.expected_reward(spec, next_token, reference.reward_of(table), prefix)
        self.exact_P = -reference.gradient_of(value, self.parameters).numpy()

        rng = torch.Generator().manual_seed(0)
        self.tokens_MT = self.policy.sample(4 * n_runs, rng, prefix=prefix)
        self.q_MT = action_values(
            self.policy, self.tokens_MT, score(self.tokens_MT), score, n_completions=2, generator=rng
        )
        self.chosen_MT = (self.tokens_MT != spec.pad_id) & (torch.arange(spec.max_length) >= len(prefix))
        with torch.no_grad():
            inputs_MT = torch.nn.functional.pad(self.tokens_MT[:, :-1], (1, 0), value=spec.pad_id)
            self.states_MTH = self.policy.core(inputs_MT)

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


class TestNormalize:
    @given(batches)
    def test_keeps_the_direction_and_makes_the_mean_square_one(self, batch: tuple[Tensor, Tensor]) -> None:
        advantage_BT, mask_BT = batch
        advantage_BT = advantage_BT * mask_BT
        normalized_BT = normalize(advantage_BT, mask_BT)
        values = [normalized_BT[b, t].item() for b, t in mask_BT.nonzero().tolist()]
        assert sum(value**2 for value in values) / len(values) == pytest.approx(1)
        scale = advantage_BT[mask_BT] / normalized_BT[mask_BT]
        torch.testing.assert_close(scale, scale[:1].expand_as(scale))
        assert scale[0] > 0
        assert scale[0].item() == pytest.approx(root_mean_square(advantage_BT, mask_BT).item())

    def test_of_nothing_to_learn_is_nothing(self) -> None:
        mask_BT = torch.ones(2, 3, dtype=torch.bool)
        assert torch.equal(normalize(torch.zeros(2, 3), mask_BT), torch.zeros(2, 3))
