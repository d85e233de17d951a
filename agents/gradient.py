"""The estimate of the gradient of J (eq. 13.44): from episodes to action values, to advantages, to a loss.

Dimensions: B sequences, T time, H hidden.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from agents.baselines import BASELINES, OF_BEFORE, advantages, root_mean_square
from agents.collection import Episodes
from agents.inner_sums import InnerSums, inner_sums
from agents.losses import last_step_loss, policy_gradient_factors
from agents.monte_carlo import LastStep, Score, action_values, last_step
from seqgan_env.autoregressive import AutoregressiveModel
from seqgan_env.checks import NonNegativeFloat, NonNegativeInt, check_choice, check_fields
from seqgan_env.rewards.of_logit import to_go


@dataclass(frozen=True)
class EstimatorConfig:
    """The choices of ``estimate_gradient``.

    Raises:
        ValueError: a value is out of range.
    """

    n_completions: NonNegativeInt = 16
    """N, Monte Carlo completions of each prefix; with 0 the reward of a sequence is the value of each of its tokens."""
    baseline: str = "prefix"
    """none, batch, step, prefix or learned: what is subtracted from the action values. The last two need
    completions, which do not know the next token."""
    normalize_advantage: bool = True
    """Divide the advantages by their root mean square."""
    stratified: bool = False
    """Draw the first tokens of a prefix's completions from equal parts of their distribution."""
    exact_last_step: bool = False
    """Take the sums over the last token exactly, at the cost of V scores an episode."""

    dense: bool = False
    """Take the value of each token from the terms of a reward that is a sum over tokens; needs ``n_completions`` 0."""
    inner_sums: bool = False
    """Take the part of ``dense`` values that is known with the token exactly, summed over every token in each place;
    needs a discriminator that gives the terms of all V of them, and B x T x V of these an update."""

    entropy_bonus: NonNegativeFloat = 0.0
    """Weight of the generator's entropy, nats per sequence, in the objective."""
    kl_penalty: NonNegativeFloat = 0.0
    """Weight of KL(G || G_pre), nats per sequence, in the objective, G_pre being the generator when learning began."""
    teacher_forcing: NonNegativeFloat = 0.0
    """Weight of the log-likelihood (eq. 13.34) of as many real sequences as episodes in each update."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.exact_last_step and not self.n_completions:
            raise ValueError("exact_last_step needs completions, got n_completions 0")
        if self.dense and self.n_completions:
            raise ValueError(f"dense values need no completions, got n_completions {self.n_completions}")
        if self.inner_sums and not self.dense:
            raise ValueError("inner_sums needs dense values, got dense False")
        check_choice("baseline", self.baseline, BASELINES)
        if not self.n_completions and self.baseline in OF_BEFORE:
            raise ValueError(f"the baseline {self.baseline!r} needs completions, got n_completions 0: take 'step'")


class Estimate(NamedTuple):
    """An estimate of the gradient, as the loss that has it."""

    loss: Tensor
    """Its gradient estimates ``-grad J`` (eq. 13.44), over a positive scale where advantages are normalised."""
    q_BT: Tensor
    """The action values, float64."""
    log_prob_BT: Tensor
    """The log-probability of each token, nats."""


def estimate_gradient(
    generator: AutoregressiveModel,
    episodes: Episodes,
    score: Score,
    config: EstimatorConfig,
    rng: torch.Generator | None = None,
    dense_values: Score | None = None,
    known_values: Score | None = None,
    pretrained: AutoregressiveModel | None = None,
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
    """
    tokens_BT, _, reward_B = episodes
    last = last_step(generator, tokens_BT, score) if config.exact_last_step else None
    if config.dense:
        assert dense_values is not None
        q_BT = dense_values(tokens_BT) * generator.spec.is_token(tokens_BT)
    else:
        q_BT = action_values(
            generator,
            tokens_BT,
            reward_B,
            score,
            n_completions=config.n_completions,
            rng=rng,
            stratified=config.stratified,
            last=last,
        )
    cost, cost_BT = functools.partial(_cost, config, generator, pretrained), None
    if config.entropy_bonus or (config.kl_penalty and pretrained is not None):
        # grad E[cost(Y)] = E[grad log G(Y) cost(Y)]; what lies before a token does not depend on it
        cost_BT = to_go(cost(lambda model: model.log_prob(tokens_BT)))
        if last is not None:
            ends_MT = tokens_BT[last.sequence_M]
            last = last._replace(q_MV=last.q_MV - cost(lambda model: model.all_log_prob(ends_MT)[:, -1]))
    inner = None
    if config.inner_sums:
        assert known_values is not None

        def known(tokens_KT: Tensor) -> Tensor:
            known_KTV = known_values(tokens_KT)
            return known_KTV if cost_BT is None else known_KTV - cost(lambda model: model.all_log_prob(tokens_KT))

        inner = inner_sums(generator, episodes, known)
    return policy_loss(generator, episodes, q_BT, config, cost_BT, last, inner)


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
    """
    tokens_BT, chosen_BT, _ = episodes
    features_BTH = None
    if config.baseline == "learned":
        with torch.no_grad():
            features_BTH = generator.hidden(tokens_BT)
    advantage_BT = advantages(q_BT, chosen_BT, config.baseline, features_BTH)
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
    generator.train()
    factor_BT = policy_gradient_factors(advantage_BT / scale, sampled_BT)
    total, log_prob_BT = generator.weighted_log_prob(tokens_BT, factor_BT)
    generator.eval()
    loss = -total
    if last is not None:
        loss = loss + last_step_loss(last.log_prob_MV, last.q_MV / scale, len(tokens_BT))
    if inner is not None:
        loss = loss - inner.total / scale.to(inner.total.dtype) / len(tokens_BT)
    return Estimate(loss, q_BT, log_prob_BT)
