"""Distillation: language models that learnt the same real sequences teach a generator token by token.

Word-level distillation (arXiv 1606.07947, section 3.1) where prefixes are real and the divergence is the forward one;
other divergences, and prefixes that are the generator's own, are those of arXiv 2306.13649. Dimensions: B sequences, T
time, M tokens, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from seqgan_env.autoregressive import AutoregressiveModel, LikelihoodConfig, MaximumLikelihoodTrainer
from seqgan_env.checks import Share, check_choice


def _kl(log_p_MV: Tensor, log_q_MV: Tensor) -> Tensor:
    """The sum over places of ``KL(p || q)``, nats."""
    return (log_p_MV.exp() * (log_p_MV - log_q_MV)).sum()


def _jensen_shannon(log_p_MV: Tensor, log_q_MV: Tensor) -> Tensor:
    """The sum over places of the mean divergence of both from their mean, nats."""
    log_mean_MV = torch.logaddexp(log_p_MV, log_q_MV) - math.log(2)
    return (_kl(log_p_MV, log_mean_MV) + _kl(log_q_MV, log_mean_MV)) / 2


DIVERGENCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "forward_kl": _kl,
    "reverse_kl": lambda log_p_MV, log_q_MV: _kl(log_q_MV, log_p_MV),
    "jensen_shannon": _jensen_shannon,
}
"""By name: from the log-probabilities of the teachers and of the generator, the sum of a divergence over places."""


@torch.no_grad()
def mixture_log_prob(models: Sequence[AutoregressiveModel], tokens_BT: Tensor) -> Tensor:
    """The log of the models' mean probability of every token at every prefix of sequences, nats, shape ``(M, V)``."""
    is_token_BT = models[0].spec.is_token(tokens_BT)
    of_each = [model.all_log_prob(tokens_BT)[is_token_BT] for model in models]
    return torch.stack(of_each).logsumexp(dim=0) - math.log(len(of_each))


@dataclass(frozen=True)
class DistillationConfig(LikelihoodConfig):
    """The settings of distillation.

    Raises:
        ValueError: a value is out of range, or one that this loss has no place for is set.
    """

    divergence: str = "forward_kl"
    """forward_kl, by which the generator leaves out nothing that its teachers write; reverse_kl, by which it leaves out
    what it cannot write well; or jensen_shannon."""
    own_share: Share = 0.5
    """Share of the prefixes that the generator draws; the others are real."""
    dropout: bool = True
    """Drop features of the generator while it learns, as its core does in maximum likelihood; off, none are dropped."""

    _unsmoothed = "distillation"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("divergence", self.divergence, DIVERGENCES)


class DistillationTrainer(MaximumLikelihoodTrainer):
    """Descent of ``KL(M || G)`` at every prefix, in closed form over every token, M being the mean of the teachers.

    Or of another divergence. What a token does to later prefixes is not asked: that is what a game adds.

    No reward and no discriminator: a gain that this has too is one of several models over one, and not of a game.

    Args:
        generator: the model to train.
        teachers: models of the same sequences, which stay as they are.
        config: the settings; None is the defaults.
        seed: as of ``MaximumLikelihoodTrainer``.
        total_epochs: how many epochs the schedule is for.

    Raises:
        ValueError: there is no teacher, or one is of other sequences.
    """

    Config = DistillationConfig
    config: DistillationConfig

    def __init__(
        self,
        generator: AutoregressiveModel,
        teachers: Sequence[AutoregressiveModel],
        config: DistillationConfig | None = None,
        seed: int = 0,
        *,
        total_epochs: int = 1,
    ) -> None:
        if not teachers:
            raise ValueError("teachers must be models, got none")
        for teacher in teachers:
            if teacher.spec != generator.spec:
                raise ValueError(f"the teachers must be of {generator.spec}, got {teacher.spec}")
        super().__init__(generator, config, seed, total_epochs=total_epochs)
        self.teachers = tuple(teachers)

    def loss(self, tokens_BT: Tensor, rng: torch.Generator) -> Tensor:
        """The divergence at real prefixes and at the generator's own, the mean over them, nats per token."""
        n_own = round(self.config.own_share * len(tokens_BT))
        if n_own:
            tokens_BT = torch.cat([tokens_BT[n_own:], self.generator.sample(n_own, rng)])
        return self.divergence(tokens_BT, rng if self.config.dropout else None)

    def divergence(self, tokens_BT: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """The divergence between the teachers' mean and the generator at the prefixes of sequences.

        Args:
            tokens_BT: sequences, padded with V.
            rng: where the generator's dropout takes its noise from; None drops nothing.

        Returns:
            The mean over the prefixes, nats, with gradient.
        """
        is_token_BT = self.generator.spec.is_token(tokens_BT)
        log_p_MV = mixture_log_prob(self.teachers, tokens_BT)
        log_g_MV = self.generator.output(self.generator.hidden(tokens_BT, rng)[is_token_BT]).log_softmax(dim=1)
        return DIVERGENCES[self.config.divergence](log_p_MV, log_g_MV) / len(log_p_MV)
