"""The losses against their equations: what is descended is -J, and padding weighs nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from agents.baselines import BASELINES, advantages, root_mean_square
from agents.losses import clipped_factors, last_step_loss, policy_gradient_loss
from agents.monte_carlo import last_step
from seqgan_env.autoregressive import CORES
from seqgan_env.autoregressive.maximum_likelihood import maximum_likelihood_loss
from seqgan_env.tokens import SequenceSpec
from tests.support import reference
from tests.support.builders import batches, every_kind, make_generator, prefixes, score_by, show, tasks
from tests.support.reference import Prefix

SPECS = [SequenceSpec(3, 3), SequenceSpec(3, 3, 0), SequenceSpec(2, 4, 1), SequenceSpec(4, 1)]


class TestPolicyGradient:
    @pytest.mark.theory
    @every_kind
    @pytest.mark.parametrize("spec", SPECS, ids=show)
    def test_its_expectation_is_the_gradient(self, spec: SequenceSpec, kind: str) -> None:
        """Eq. 13.44: with the exact Q, the gradient of the loss averaged over all sequences is -grad J."""
        policy = make_generator(kind, spec)
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
        policy = make_generator(kind, spec)
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
        policy = make_generator(kind, spec)
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


class TestClipped:
    @pytest.mark.theory
    @given(batches, st.sampled_from([0.1, 0.3, None]))
    def test_is_the_gradient_of_the_objective_of_ppo(
        self, batch: tuple[Tensor, Tensor], clip_range: float | None
    ) -> None:
        """``min(r A, clip(r) A)`` of arXiv 1707.06347, eq. 7, by automatic differentiation."""
        advantage_BT, mask_BT = batch
        factor_BT = advantage_BT * mask_BT
        log_ratio_BT = torch.randn(mask_BT.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 0.3
        log_ratio_BT.requires_grad_()
        ratio_BT = log_ratio_BT.exp()
        low, high = (0.0, torch.inf) if clip_range is None else (1 - clip_range, 1 + clip_range)
        objective = torch.minimum(ratio_BT * factor_BT, ratio_BT.clamp(low, high) * factor_BT).sum()
        (gradient_BT,) = torch.autograd.grad(objective, log_ratio_BT)
        found_BT = clipped_factors(factor_BT, log_ratio_BT.detach(), clip_range)
        torch.testing.assert_close(found_BT, gradient_BT, rtol=1e-12, atol=0)

    @pytest.mark.theory
    @given(batches)
    def test_without_change_they_are_the_factors_themselves(self, batch: tuple[Tensor, Tensor]) -> None:
        factor_BT, mask_BT = batch
        assert torch.equal(clipped_factors(factor_BT, torch.zeros(mask_BT.shape), 0.2), factor_BT)


class TestPadding:
    @pytest.mark.theory
    @given(spec=tasks, kind=st.sampled_from(sorted(CORES)), n=st.integers(1, 5), seed=st.integers(0, 1000))
    @settings(max_examples=40)
    def test_a_padded_batch_is_its_sequences_one_by_one(self, spec: SequenceSpec, kind: str, n: int, seed: int) -> None:
        """Eq. 13.34 and 13.44: both losses and their gradients, against each sequence alone without its padding."""
        policy = make_generator(kind, spec, seed, scale=2.0)
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
                root_mean_square(advantage_BT, mask_BT),
                policy_gradient_loss(q_BT, values_BT, mask_BT),
                policy_gradient_loss(values_BT, q_BT, mask_BT),
                maximum_likelihood_loss(values_BT, mask_BT),
            ]

        for before, after in zip(results(q_BT), results(other_BT), strict=True):
            assert torch.equal(before, after)
