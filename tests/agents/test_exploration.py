"""Episodes at another temperature: weighed, their estimate is that of the generator's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from agents.baselines import BASELINES, OF_BEFORE
from agents.collection import Episodes
from agents.estimator import EstimatorConfig
from agents.exploration import importance_weights
from agents.gradient import estimate_gradient, policy_loss
from seqgan_env.autoregressive import AutoregressiveModel
from seqgan_env.tokens import SequenceSpec
from tests.support import reference
from tests.support.agents import collect, tiny_agent
from tests.support.builders import lstm, score_by, show
from tests.support.significance import assert_frequencies, counts_of

SPECS = pytest.mark.parametrize("spec", [SequenceSpec(3, 2, 0), SequenceSpec(2, 3)], ids=show)
HOT = 2.0


def hot(generator: AutoregressiveModel) -> AutoregressiveModel:
    """The generator at that temperature."""
    copy = lstm(generator.spec, 1)
    with torch.no_grad():
        copy.output.weight /= HOT
        copy.output.bias /= HOT
    return copy


def mean_gradient(spec: SequenceSpec, loss_of: object, n: int) -> Tensor:
    """Over every batch that the generator at that temperature may draw, of its own gradient."""
    generator, played = lstm(spec, 1), hot(lstm(spec, 1))
    rows_KT = torch.from_numpy(reference.all_sequences(spec))
    log_p_K = played.log_prob(rows_KT).detach().sum(dim=1)
    total = torch.zeros(sum(p.numel() for p in generator.parameters()), dtype=torch.float64)
    for batch in np.ndindex(*[len(rows_KT)] * n):
        gradient = reference.gradient_of(loss_of(generator, rows_KT[list(batch)]), list(generator.parameters()))  # type: ignore[operator]
        total += float(log_p_K[list(batch)].sum().exp()) * gradient
    return total


@pytest.mark.theory
@SPECS
@pytest.mark.parametrize("baseline", BASELINES)
def test_with_values_of_completions_it_is_unbiased(baseline: str, spec: SequenceSpec) -> None:
    """Eq. 13.44, by enumeration: the weight of a token covers those before it and itself."""
    table = reference.random_reward(spec)
    settings = EstimatorConfig(1, baseline, False, exploration_temperature=HOT)
    next_token = reference.next_token_of(lstm(spec, 1))
    rows = reference.sequences(spec)
    exact_KT = reference.action_values(spec, next_token, reference.reward_of(table), rows)
    of_row = {row: exact_KT[i] for i, row in enumerate(rows)}

    def loss(generator: AutoregressiveModel, tokens_BT: Tensor) -> Tensor:
        q_BT = torch.stack([of_row[row] for row in reference.unpadded(spec, tokens_BT)])
        episodes = Episodes(tokens_BT, spec.is_token(tokens_BT), q_BT[:, -1])
        weight_BT = importance_weights(generator, episodes, HOT, whole=False)
        return policy_loss(generator, episodes, q_BT, settings, weight_BT=weight_BT).loss

    generator = lstm(spec, 1)
    exact = reference.gradient_by_enumeration(
        spec, reference.next_token_of(generator), reference.reward_of(table), list(generator.parameters())
    )
    torch.testing.assert_close(mean_gradient(spec, loss, 2), -exact, rtol=1e-8, atol=1e-10)


@pytest.mark.theory
@SPECS
@pytest.mark.parametrize("baseline", [name for name in BASELINES if name not in OF_BEFORE])
def test_with_the_future_of_the_episode_itself_it_is_unbiased(baseline: str, spec: SequenceSpec) -> None:
    """The reward, the entropy and the divergence of the whole sequence have the weight of the whole sequence."""
    table, pretrained = reference.random_reward(spec), lstm(spec, 3)
    weights = {"entropy_bonus": 0.3, "kl_penalty": 0.2}
    settings = EstimatorConfig(0, baseline, False, exploration_temperature=HOT, **weights)
    score = score_by(spec, table)

    def loss(generator: AutoregressiveModel, tokens_BT: Tensor) -> Tensor:
        episodes = Episodes(tokens_BT, spec.is_token(tokens_BT), score(tokens_BT))
        return estimate_gradient(generator, episodes, score, settings, pretrained=pretrained).loss

    generator, rows_KT = lstm(spec, 1), torch.from_numpy(reference.all_sequences(spec))
    log_g_K, log_pre_K = (m.log_prob(rows_KT).sum(dim=1) for m in (generator, pretrained))
    cost_K = 0.3 * log_g_K + 0.2 * (log_g_K - log_pre_K)
    objective = (log_g_K.exp() * (score(rows_KT) - cost_K)).sum()
    exact = reference.gradient_of(objective, list(generator.parameters()))
    torch.testing.assert_close(mean_gradient(spec, loss, 2), -exact, rtol=1e-8, atol=1e-10)


def test_what_was_given_has_no_weight() -> None:
    spec = SequenceSpec(2, 3)
    tokens_BT = torch.tensor([[0, 1, 1], [1, 0, 1]])
    chosen_BT = torch.tensor([[False, True, True], [True, True, True]])
    episodes = Episodes(tokens_BT, chosen_BT, torch.zeros(2))
    generator = lstm(spec, 1)
    weight_BT = importance_weights(generator, episodes, HOT, whole=False)
    ratio_BT = (generator.log_prob(tokens_BT) - hot(generator).log_prob(tokens_BT)).detach().exp()
    assert weight_BT[0, 0] == 1
    torch.testing.assert_close(weight_BT[0, 1:], ratio_BT[0, 1:].cumprod(0))
    torch.testing.assert_close(weight_BT[1], ratio_BT[1].cumprod(0))


@pytest.mark.theory
def test_episodes_are_played_at_that_temperature_and_samples_are_not() -> None:
    """Eq. 13.30 with logits divided by it: a chi-square test of the episodes."""
    model, envs = tiny_agent(0, 3, 2, n_envs=8, n_episodes=400, exploration_temperature=3.0)
    spec = envs.sequence_spec
    with torch.no_grad():
        for parameter in model.policy.parameters():
            parameter.mul_(4)
    rows_KT = reference.all_sequences(spec)
    played_KT = np.concatenate([collect(model).tokens_BT.numpy() for _ in range(10)])
    for temperature, tokens_BT in ((3.0, played_KT), (1.0, model.sample(4000))):
        p_K = np.exp(model.generator.sequence_log_prob(rows_KT, temperature))
        assert_frequencies(counts_of(tokens_BT, rows_KT), p_K)
