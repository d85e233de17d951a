"""The estimate of the gradient of J (eq. 13.44): from episodes to action values, to advantages, to a loss.

Dimensions: B sequences, T time, H hidden.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from agents.baselines import OF_BEFORE, advantages, root_mean_square
from agents.batch_statistics import BATCH_STATISTICS
from agents.collection import Episodes
from agents.estimator import EstimatorConfig
from agents.exploration import importance_weights
from agents.inner_sums import InnerSums, inner_sums
from agents.losses import clipped_factors, last_step_loss, policy_gradient_factors
from agents.monte_carlo import LastStep, Score, action_values, last_step
from seqgan_env.autoregressive import AutoregressiveModel
from seqgan_env.rewards.of_logit import to_go

_MOST_LOG_RATIO = 30.0  # of a token whose ratio is taken, nats


class Estimate(NamedTuple):
    """An estimate of the gradient, as the loss that has it."""

    loss: Tensor
    """Its gradient estimates ``-grad J`` (eq. 13.44), over a positive scale where advantages are normalised."""
    q_BT: Tensor
    """The action values, float64."""
    log_prob_BT: Tensor
    """The log-probability of each token, nats."""
    factor_BT: Tensor
    """The weights of those that were sampled in the objective."""
    divergence: Tensor | None = None
    """KL(G || G_pre) on the episodes, nats per sequence, where it is in the objective."""


def estimate_gradient(
    generator: AutoregressiveModel,
    episodes: Episodes,
    score: Score,
    config: EstimatorConfig,
    rng: torch.Generator | None = None,
    dense_values: Score | None = None,
    known_values: Score | None = None,
    pretrained: AutoregressiveModel | None = None,
    rollout: AutoregressiveModel | None = None,
    real_RT: Tensor | None = None,
) -> Estimate:
    """Estimate the gradient of J from the episodes of a collection; nothing changes.

    Args:
        generator: as it was when it played the episodes.
        episodes: the episodes.
        score: gives the rewards of complete sequences.
        config: how.
        rng: where the completions' randomness comes from; None is torch's global generator.
        dense_values: gives the value of each token of complete sequences, where ``config`` asks for these.
        known_values: the same of the part of the values of all tokens that is known with the token, ``known_BTV``.
        pretrained: the generator when learning began; None is the generator as it is.
        rollout: draws the completions; None is the generator.
        real_RT: real sequences, where ``config`` asks for their prefixes.
    """
    tokens_BT, chosen_BT, reward_B = episodes
    last = last_step(generator, tokens_BT, score) if config.exact_last_step else None
    if config.dense:
        assert dense_values is not None
        q_BT = dense_values(tokens_BT) * generator.spec.is_token(tokens_BT)
    else:
        q_BT = action_values(
            rollout or generator,
            tokens_BT,
            reward_B,
            score,
            n_completions=config.n_completions,
            rng=rng,
            stratified=config.stratified,
            last=last,
            discount=config.discount,
        )
    if config.batch_statistic != "none":
        q_BT = BATCH_STATISTICS[config.batch_statistic](q_BT, chosen_BT)
    cost, cost_BT = functools.partial(_cost, config, generator, pretrained), None
    if config.entropy_bonus or (config.kl_penalty and pretrained is not None):
        # grad E[cost(Y)] = E[grad log G(Y) cost(Y)]; what lies before a token does not depend on it
        cost_BT = to_go(cost(lambda model: model.log_prob(tokens_BT)), config.discount)
        if last is not None:
            ends_MT = tokens_BT[last.sequence_M]
            last = last._replace(q_MV=last.q_MV - cost(lambda model: model.all_log_prob(ends_MT)[:, -1]))
    summed = functools.partial(_summed, config, known_values, None if cost_BT is None else cost)
    inner = inner_sums(generator, episodes, summed) if config.inner_sums else None
    weight_BT = None
    if config.exploration_temperature != 1:
        whole = not config.n_completions or cost_BT is not None  # the episode's own future counts
        weight_BT = importance_weights(generator, episodes, config.exploration_temperature, whole=whole)
    estimate = policy_loss(generator, episodes, q_BT, config, cost_BT, last, inner, weight_BT)
    if config.real_prefixes:
        assert real_RT is not None
        real = Episodes(real_RT, generator.spec.is_token(real_RT), torch.zeros_like(real_RT[:, 0], dtype=torch.float64))
        total = inner_sums(generator, real, summed).total
        estimate = estimate._replace(loss=estimate.loss - total * (config.real_prefixes / len(real_RT)))
    if not config.kl_penalty or pretrained is None:
        return estimate
    return estimate._replace(divergence=_divergence(pretrained, episodes, estimate.log_prob_BT, weight_BT))


def _summed(
    config: EstimatorConfig,
    known_values: Score | None,
    cost: Callable[[Callable[[AutoregressiveModel], Tensor]], Tensor] | None,
    tokens_KT: Tensor,
) -> tuple[Tensor, Tensor]:
    """The values of all tokens that ``inner_sums`` takes.

    Args:
        config: the weights.
        known_values: see ``estimate_gradient``.
        cost: see ``_cost``; None where nothing is taken from the reward.
        tokens_KT: complete sequences.
    """
    assert known_values is not None
    term_KTV = known_KTV = known_values(tokens_KT)
    if cost is not None:
        known_KTV = known_KTV - cost(lambda model: model.all_log_prob(tokens_KT))
    if not (weight := config.forward_kl):
        return known_KTV, known_KTV
    # the mean of p / G over the token is 1, so nothing of it is left to sample
    return known_KTV + weight * term_KTV.clamp(max=_MOST_LOG_RATIO).exp(), known_KTV


@torch.no_grad()
def _divergence(
    pretrained: AutoregressiveModel, episodes: Episodes, log_prob_BT: Tensor, weight_BT: Tensor | None
) -> Tensor:
    """The mean log-ratio of the chosen tokens of an episode, float64.

    Args:
        pretrained: G_pre.
        episodes: the episodes.
        log_prob_BT: under G.
        weight_BT: of whole sequences, where another policy chose the tokens.
    """
    log_ratio_BT = (log_prob_BT - pretrained.log_prob(episodes.tokens_BT)).double() * episodes.chosen_BT
    if weight_BT is not None:
        log_ratio_BT = log_ratio_BT * weight_BT
    return log_ratio_BT.sum() / len(log_ratio_BT)


@torch.no_grad()
def _cost(
    config: EstimatorConfig,
    generator: AutoregressiveModel,
    pretrained: AutoregressiveModel | None,
    log_prob: Callable[[AutoregressiveModel], Tensor],
) -> Tensor:
    """A token's part of what the objective takes from the reward, float64.

    It is ``log G`` times the weight of the entropy, and ``log G - log G_pre`` times that of the divergence, whose own
    gradients have an expectation of 0.

    Args:
        config: the weights.
        generator: G.
        pretrained: G_pre; None is G.
        log_prob: gives the log-probabilities of some tokens under a model.
    """
    log_g = log_prob(generator).double()
    if pretrained is None:
        return config.entropy_bonus * log_g
    return config.entropy_bonus * log_g + config.kl_penalty * (log_g - log_prob(pretrained).double())


def likelihood_loss(generator: AutoregressiveModel, real_BT: Tensor, weight: float) -> Tensor:
    """``weight`` times the negative of eq. 13.34, nats per sequence: what teacher forcing adds to the loss."""
    factor_BT = generator.spec.is_token(real_BT) * (weight / len(real_BT))
    return -generator.weighted_log_prob(real_BT, factor_BT)[0]


def policy_loss(
    generator: AutoregressiveModel,
    episodes: Episodes,
    q_BT: Tensor,
    config: EstimatorConfig,
    cost_BT: Tensor | None = None,
    last: LastStep | None = None,
    inner: InnerSums | None = None,
    weight_BT: Tensor | None = None,
) -> Estimate:
    """The estimate that action values make.

    Args:
        generator: as it was when it played the episodes.
        episodes: the episodes.
        q_BT: the action values, float64.
        config: how.
        cost_BT: what is subtracted from them, each the sum of a token's own cost and of the costs after it.
        last: all values of the last step, where its sums are taken exactly.
        inner: the part of the values that is known with the token, where its sums are taken exactly.
        weight_BT: how much each token counts, where another policy chose them.
    """
    tokens_BT, chosen_BT, _ = episodes
    features_BTH = None
    if config.baseline == "learned":
        with torch.no_grad():
            features_BTH = generator.hidden(tokens_BT)
    advantage_BT = advantages(q_BT, chosen_BT, config.baseline, features_BTH, config.discount)
    if cost_BT is not None:
        # the cost to go of the token before holds that of the token itself, which a baseline must not know
        of_others = "step" if config.baseline in OF_BEFORE else config.baseline
        advantage_BT = advantage_BT - advantages(cost_BT, chosen_BT, of_others)
        q_BT = q_BT - cost_BT
    scale = root_mean_square(advantage_BT, chosen_BT) if config.normalize_advantage else torch.ones_like(q_BT[0, 0])
    if inner is not None:  # only the rest is sampled, and has a baseline of its own
        advantage_BT = advantage_BT - advantages(inner.known_BT, chosen_BT, config.baseline)
    sampled_BT = chosen_BT
    if last is not None:
        sampled_BT = chosen_BT.clone()
        sampled_BT[last.sequence_M, -1] = False
    if weight_BT is not None:
        advantage_BT = advantage_BT * weight_BT
    factor_BT = policy_gradient_factors(advantage_BT / scale, sampled_BT)
    total, log_prob_BT = generator.weighted_log_prob(tokens_BT, factor_BT)
    loss = -total
    if last is not None:
        loss = loss + last_step_loss(last.log_prob_MV, last.q_MV / scale, len(tokens_BT))
    if inner is not None:
        loss = loss - inner.total / scale.to(inner.total.dtype) / len(tokens_BT)
    return Estimate(loss, q_BT, log_prob_BT, factor_BT)


def further_loss(
    generator: AutoregressiveModel, tokens_BT: Tensor, estimate: Estimate, clip_range: float | None
) -> Tensor:
    """The loss of another step on the same episodes, once the generator has changed; see ``clipped_factors``.

    Args:
        generator: as it is now.
        tokens_BT: the sequences of the episodes.
        estimate: by the generator that played them.
        clip_range: c; None is no limit.
    """
    with torch.no_grad():
        log_ratio_BT = generator.log_prob(tokens_BT) - estimate.log_prob_BT
    total, _ = generator.weighted_log_prob(tokens_BT, clipped_factors(estimate.factor_BT, log_ratio_BT, clip_range))
    return -total
