"""The choices of the policy gradient's estimate, each checked against the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from agents.baselines import BASELINES, OF_BEFORE
from agents.batch_statistics import BATCH_STATISTICS
from seqgan_env.autoregressive.sampling import Temperature
from seqgan_env.checks import (
    Interval,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ShareAboveZero,
    ShareBelowOne,
    check_choice,
    check_fields,
)


@dataclass(frozen=True)
class EstimatorConfig:
    """The choices of an update; by default it is the plain algorithm.

    Raises:
        ValueError: a value is out of range, or two of them contradict each other.
    """

    n_completions: Annotated[int, Interval(0, 100_000)] = 16
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
    rollout_lag: ShareBelowOne = 0.0
    """Share of its own weights that the policy of the completions keeps at each update, the rest being the generator's;
    with 0 it is the generator. The values are those of that policy: the gradient has a bias."""
    discount: ShareAboveZero = 1.0
    """Factor of the reward for each step that lies between a token and the end of its sequence."""

    dense: bool = False
    """Take the value of each token from the terms of a logit that is a sum over tokens: for the reward log_ratio the
    sum of its own and those after it, for another function of the logit the difference between its values at the whole
    and before the token. Needs ``n_completions`` 0."""
    inner_sums: bool = False
    """Take the part of ``dense`` values that is known with the token exactly, summed over every token in each place;
    needs a discriminator that gives the terms of all V of them, and B x T x V of these an update."""

    forward_kl: NonNegativeFloat = 0.0
    """Weight of KL(p(. | prefix) || G(. | prefix)), nats per sequence, on the generator's own prefixes, p being what
    the terms of the discriminator say: in closed form. Needs ``inner_sums`` and the reward log_ratio."""

    real_prefixes: NonNegativeFloat = 0.0
    """Weight of the inner sums, ``forward_kl`` among them, at every prefix of as many real sequences as episodes; what
    would come after the token counts for nothing there. With the reward log_ratio that is the weight of
    -KL(G(. | prefix) || p(. | prefix)), nats per sequence. Needs ``inner_sums``."""

    batch_statistic: str = "none"
    """softmax or rank: put in place of each value its weight in the batch, as MaliGAN does with the reward log_ratio,
    or a function of its rank at its step, as LeakGAN does; see ``agents.batch_statistics``."""
    exploration_temperature: Temperature = 1.0
    """Temperature of the episodes; they are weighed by what the generator at 1 would play."""

    entropy_bonus: NonNegativeFloat = 0.0
    """Weight of the generator's entropy, nats per sequence, in the objective."""
    kl_penalty: NonNegativeFloat = 0.0
    """Weight of KL(G || G_pre), nats per sequence, in the objective, G_pre being the generator when learning began."""
    kl_target: PositiveFloat | None = None
    """Steer the weight of that divergence from ``kl_penalty`` on so that it comes to this; None leaves it."""
    teacher_forcing: NonNegativeFloat = 0.0
    """Weight of the log-likelihood (eq. 13.34) of as many real sequences as episodes in each update."""
    teacher_forcing_steps: NonNegativeInt = 0
    """Steps of maximum likelihood, each on as many real sequences as episodes, after each update."""

    n_epochs: PositiveInt = 1
    """Steps on the same episodes and their values; those after the first weigh each token by what has changed."""
    clip_range: PositiveFloat | None = None
    """The distance from 1 that this weight may have on the side of its advantage, as in PPO; None is any."""

    weight_averaging: ShareBelowOne = 0.0
    """Decay of a moving average of the generator's weights for each update: the generator that is measured, drawn from
    and kept is the average, and the one that plays, teaches the discriminator and learns has the weights themselves. 0
    is none."""

    def __post_init__(self) -> None:
        check_fields(self)
        check_choice("baseline", self.baseline, BASELINES)
        check_choice("batch_statistic", self.batch_statistic, ("none", *BATCH_STATISTICS))
        sums = next((name for name in ("inner_sums", "exact_last_step") if getattr(self, name)), None)
        if self.exact_last_step and not self.n_completions:
            raise ValueError("exact_last_step needs completions, got n_completions 0")
        if self.dense and self.n_completions:
            raise ValueError(f"dense values need no completions, got n_completions {self.n_completions}")
        if self.inner_sums and not self.dense:
            raise ValueError("inner_sums needs dense values, got dense False")
        if self.forward_kl and not self.inner_sums:
            raise ValueError(f"forward_kl {self.forward_kl} needs inner sums, got inner_sums False")
        if self.real_prefixes and not self.inner_sums:
            raise ValueError(f"real_prefixes {self.real_prefixes} needs inner sums, got inner_sums False")
        if not self.n_completions and self.baseline in OF_BEFORE:
            raise ValueError(f"the baseline {self.baseline!r} needs completions, got n_completions 0: take 'step'")
        if self.kl_target is not None and not self.kl_penalty:
            raise ValueError(f"kl_target {self.kl_target} needs a weight to begin with, got kl_penalty 0.0")
        if self.rollout_lag and not self.n_completions:
            raise ValueError(f"rollout_lag {self.rollout_lag} needs completions, got n_completions 0")
        if self.discount < 1 and self.dense:
            raise ValueError(f"discount {self.discount} needs values that are no sums over tokens, got dense True")
        if self.clip_range is not None and self.n_epochs == 1:
            raise ValueError(f"clip_range {self.clip_range} needs steps after the first, got n_epochs 1")
        if self.batch_statistic == "softmax" and (self.n_completions or self.dense or self.discount < 1):
            raise ValueError(
                "batch_statistic 'softmax' is of the rewards of whole sequences: it needs n_completions 0, dense False "
                f"and discount 1, got {self.n_completions}, {self.dense} and {self.discount}"
            )
        if self.batch_statistic != "none" and self.exploration_temperature != 1:
            raise ValueError(
                f"batch_statistic {self.batch_statistic!r} is of episodes of the policy itself, got "
                f"exploration_temperature {self.exploration_temperature}"
            )
        for name, default in (("batch_statistic", "none"), ("exploration_temperature", 1), ("n_epochs", 1)):
            if sums is not None and getattr(self, name) != default:
                raise ValueError(f"{name} must be {default!r} with {sums}, got {getattr(self, name)!r}")
