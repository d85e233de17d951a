"""The losses against their equations: what is descended is -J, with any baseline, and padding weighs nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from agents import LstmPolicy
from agents.losses import BASELINES, advantages, maximum_likelihood_loss, normalize, policy_gradient_loss
from agents.monte_carlo import action_values
from seqgan_env.tokens import SequenceSpec
from tests import reference
from tests.builders import lstm
from tests.reference import Prefix
from tests.significance import Array, assert_mean, assert_not_mean

SPECS = [SequenceSpec(3, 3), SequenceSpec(3, 3, 0), SequenceSpec(2, 4, 1), SequenceSpec(4, 1)]


def show(spec: SequenceSpec) -> str:
    return f"V={spec.vocab_size},T={spec.max_length},eos={spec.eos_id}"


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
    def test_is_least_at_the_law_of_the_data(self) -> None:
        """Eq. 13.33: at the law of the data the gradient is 0 and the loss is the entropy.

        The tokens are weighted by their sequence's probability, which makes the mean an expectation.
        """
        spec = SequenceSpec(3, 3, 0)
        policy = lstm(spec)
        rows = reference.sequences(spec)
        tokens_BT = torch.from_numpy(reference.padded(spec, rows))
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
    @pytest.mark.parametrize("spec", SPECS, ids=show)
    def test_its_expectation_is_the_gradient(self, spec: SequenceSpec) -> None:
        """Eq. 13.44: with the exact Q, the gradient of the loss averaged over all sequences is -grad J."""
        policy = lstm(spec)
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
    def test_of_a_given_prefix_is_the_gradient_of_what_follows_it(self) -> None:
        """Eq. 13.44 from Y_{1:1} instead of s_0: only the tokens that the policy chose carry a gradient."""
        spec, prefix = SequenceSpec(3, 3, 0), (2,)
        policy = lstm(spec)
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

    @given(batches)
    def test_is_the_mean_over_sequences_of_a_sum_over_tokens(self, batch: tuple[Tensor, Tensor]) -> None:
        advantage_BT, mask_BT = batch
        log_prob_BT = torch.randn(mask_BT.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        total = sum((log_prob_BT[b, t] * advantage_BT[b, t]).item() for b, t in mask_BT.nonzero().tolist())
        loss = policy_gradient_loss(log_prob_BT, advantage_BT, mask_BT)
        assert loss.item() == pytest.approx(-total / len(mask_BT), rel=1e-9, abs=1e-12)

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


def estimates(
    spec: SequenceSpec, prefix: Prefix, n_runs: int, advantage_of: Callable[[Tensor, Tensor], Tensor]
) -> tuple[Array, Array]:
    """Gradients of the shipped loss in independent runs of four episodes and two completions, and the exact -grad J.

    Returns:
        ``gradient_RK`` and ``exact_K``.
    """
    policy: LstmPolicy = lstm(spec, hidden_dim=2, scale=3.0)
    parameters = list(policy.parameters())
    table = reference.random_reward(spec)
    value = reference.expected_reward(spec, reference.next_token_of(policy), reference.reward_of(table), prefix)
    exact_K = -reference.gradient_of(value, parameters)

    def score(tokens_MT: Tensor) -> Tensor:
        rewards = [table[row] for row in reference.unpadded(spec, tokens_MT)]
        return torch.tensor(rewards, dtype=torch.float64)

    generator = torch.Generator().manual_seed(0)
    tokens_MT = policy.sample(4 * n_runs, generator, prefix=prefix)
    q_MT = action_values(policy, tokens_MT, score(tokens_MT), score, n_completions=2, generator=generator)
    gradients = []
    for tokens_BT, q_BT in zip(tokens_MT.split(4), q_MT.split(4), strict=True):
        chosen_BT = (tokens_BT != spec.pad_id) & (torch.arange(spec.max_length) >= len(prefix))
        loss = policy_gradient_loss(policy.log_prob(tokens_BT), advantage_of(q_BT, chosen_BT), chosen_BT)
        gradients.append(reference.gradient_of(loss, parameters))
    return torch.stack(gradients).numpy(), exact_K.numpy()


class TestBaselines:
    @pytest.mark.theory
    @pytest.mark.parametrize("prefix", [(), (2,)], ids=["from-the-start", "from-a-prefix"])
    @pytest.mark.parametrize("baseline", BASELINES)
    def test_the_estimate_stays_unbiased(self, baseline: str, prefix: Prefix) -> None:
        """Eq. 13.44 by Monte Carlo: the mean gradient is -grad J, and the runs tell it from half of it."""
        gradient_RK, exact_K = estimates(
            SequenceSpec(3, 3, 0), prefix, 800, lambda q_BT, mask_BT: advantages(q_BT, mask_BT, baseline)
        )
        assert_mean(gradient_RK, exact_K)
        assert_not_mean(gradient_RK, exact_K / 2)

    @pytest.mark.theory
    def test_a_baseline_that_depends_on_the_action_does_not(self) -> None:
        """The mean with the sequence itself among the four takes a quarter of the gradient away: the test sees it."""

        def mean_of_all(q_BT: Tensor, mask_BT: Tensor) -> Tensor:
            n_T = mask_BT.sum(dim=0).clamp(min=1)
            return (q_BT - (q_BT * mask_BT).sum(dim=0) / n_T) * mask_BT

        gradient_RK, exact_K = estimates(SequenceSpec(3, 3, 0), (), 800, mean_of_all)
        assert_not_mean(gradient_RK, exact_K)

    @given(batches, st.sampled_from(BASELINES))
    def test_are_what_the_plain_loops_say(self, batch: tuple[Tensor, Tensor], baseline: str) -> None:
        q_BT, mask_BT = batch
        advantage_BT = advantages(q_BT, mask_BT, baseline)
        n, max_length = q_BT.shape
        for b in range(n):
            for t in range(max_length):
                others = [q_BT[i, t].item() for i in range(n) if i != b and mask_BT[i, t]]
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
        advantages(q_BT, mask_BT, baseline)
        assert torch.equal(q_BT, before[0])
        assert torch.equal(mask_BT, before[1])

    def test_refuse_an_unknown_name(self) -> None:
        with pytest.raises(ValueError, match="baseline must be one of none, step, prefix; got 'mean'"):
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

    def test_of_nothing_to_learn_is_nothing(self) -> None:
        mask_BT = torch.ones(2, 3, dtype=torch.bool)
        assert torch.equal(normalize(torch.zeros(2, 3), mask_BT), torch.zeros(2, 3))
