"""Statistics of a batch: against their definitions, and MaliGAN's against the gradient that it estimates."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from agents.batch_statistics import BATCH_STATISTICS, rank_values, softmax_values
from agents.collection import Episodes
from agents.estimator import EstimatorConfig
from agents.gradient import estimate_gradient
from seqgan_env.tokens import SequenceSpec
from tests.support import reference
from tests.support.builders import lstm

MASK_BT = torch.tensor([[True, True, True], [True, True, False], [True, False, False]])


@pytest.mark.theory
def test_softmax_is_the_normalised_likelihood_ratio() -> None:
    """D / (1 - D) over its mean, the logit being the reward; also where the ratio itself would overflow."""
    for shift in (0.0, 2000.0):
        logit_B = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
        found_BT = softmax_values((logit_B + shift)[:, None] * MASK_BT, MASK_BT)
        ratio_B = torch.sigmoid(logit_B) / (1 - torch.sigmoid(logit_B))
        torch.testing.assert_close(found_BT, (ratio_B / ratio_B.mean())[:, None] * MASK_BT)


@pytest.mark.theory
def test_rank_is_that_of_the_values_at_each_step() -> None:
    """LeakGAN's sigma(delta (0.5 - rank / n)), 1 being the highest; equals share, and the first of a step is alone."""
    q_BT = torch.tensor([[5.0, 1.0, -3.0], [5.0, 4.0, 99.0], [7.0, 99.0, 99.0]], dtype=torch.float64)
    ranks = [[2.5 / 3, 2 / 2, 1.0], [2.5 / 3, 1 / 2, None], [1 / 3, None, None]]
    for row, of_row in zip(rank_values(q_BT, MASK_BT).tolist(), ranks, strict=True):
        for value, rank in zip(row, of_row, strict=True):
            assert value == pytest.approx(0 if rank is None else 1 / (1 + math.exp(-16 * (0.5 - rank))))


def test_what_is_outside_the_mask_does_not_matter() -> None:
    q_BT = torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    q_BT = q_BT[:, :1].expand(3, 3)  # a reward of the whole, for softmax
    for statistic in BATCH_STATISTICS.values():
        found = [statistic(torch.where(MASK_BT, q_BT, other), MASK_BT) for other in (0.0, 1e9)]
        torch.testing.assert_close(*found, rtol=0, atol=0)
        assert not found[0][~MASK_BT].any()


@pytest.mark.theory
def test_the_bias_of_maligan_falls_with_the_batch() -> None:
    """Over every batch: the gradient tends to minus that of KL(p || G), with a share of bias that falls as 1/B."""
    spec = SequenceSpec(3, 1)
    generator, source = lstm(spec, 1), lstm(spec, 2)
    rows_KT = torch.from_numpy(reference.all_sequences(spec))
    log_p_K = source.log_prob(rows_KT).sum(dim=1).detach()
    divergence = (log_p_K.exp() * (log_p_K - generator.log_prob(rows_KT).sum(dim=1))).sum()
    exact = reference.gradient_of(divergence, list(generator.parameters()))
    settings = EstimatorConfig(0, "batch", False, batch_statistic="softmax")

    def loss(tokens_BT: Tensor) -> Tensor:
        log_ratio_B = (source.log_prob(tokens_BT) - generator.log_prob(tokens_BT)).sum(dim=1).detach()
        episodes = Episodes(tokens_BT, spec.is_token(tokens_BT), log_ratio_B)
        return estimate_gradient(generator, episodes, lambda _: torch.zeros(0), settings).loss

    bias = []
    for n in (2, 3, 6):
        mean, _ = reference.over_all_batches(generator, n, loss)
        bias.append(float((mean - exact).norm() / exact.norm()))
    assert bias[0] > 0.05
    assert bias[2] < 0.65 * bias[1]
    assert bias[1] < 0.85 * bias[0]


@pytest.mark.theory
def test_the_bias_of_ranks_is_that_of_another_reward_and_stays() -> None:
    """Over every batch: the gradient is that of what a sequence is paid in mean beside others, which its rank decides.

    It rises with the reward, but does not become it as the batch grows.
    """
    spec = SequenceSpec(4, 1)
    generator, reward_K = lstm(spec, 1), torch.tensor([0.0, 5.0, 0.2, -1.0], dtype=torch.float64)
    log_p_K = generator.log_prob(torch.arange(4)[:, None]).squeeze(1)
    weights, settings = list(generator.parameters()), EstimatorConfig(0, "none", False, batch_statistic="rank")
    exact = reference.gradient_of((log_p_K.exp() * reward_K).sum(), weights)

    def loss(tokens_B1: Tensor) -> Tensor:
        episodes = Episodes(tokens_B1, spec.is_token(tokens_B1), reward_K[tokens_B1[:, 0]])
        return estimate_gradient(generator, episodes, lambda _: torch.zeros(0), settings).loss

    for n in (2, 3):
        paid_K = torch.zeros(4, dtype=torch.float64)
        for k in range(4):
            for others in itertools.product(range(4), repeat=n - 1):
                q_B1 = reward_K[[k, *others]][:, None]
                first = rank_values(q_B1, torch.ones(n, 1, dtype=torch.bool))[0, 0]
                paid_K[k] += log_p_K[list(others)].sum().exp().detach() * first
        mean, _ = reference.over_all_batches(generator, n, loss)
        own = reference.gradient_of((log_p_K.exp() * paid_K).sum(), weights)
        torch.testing.assert_close(-mean, own, rtol=1e-8, atol=1e-10)
        assert paid_K.argsort().tolist() == reward_K.argsort().tolist()
        assert 0.3 < float(torch.cosine_similarity(own, exact, dim=0)) < 0.95
