"""Distillation: language models that learnt the same real sequences teach a generator token by token.

Word-level distillation (arXiv 1606.07947, section 3.1) where prefixes are real, and where they are the generator's own
that of arXiv 2306.13649 with the forward divergence. Dimensions: B sequences, T time, M tokens, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from seqgan_env.autoregressive import AutoregressiveModel, LikelihoodConfig, MaximumLikelihoodTrainer
from seqgan_env.checks import Share


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

    own_share: Share = 0.5
    """Share of the prefixes that the generator draws; the others are real."""
    dropout: bool = True
    """Drop features of the generator while it learns, as its core does in maximum likelihood; off, none are dropped."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.label_smoothing:
            raise ValueError(f"label_smoothing must be 0 in distillation, got {self.label_smoothing}")


class DistillationTrainer(MaximumLikelihoodTrainer):
    """Descent of ``KL(M || G)`` at every prefix, in closed form over every token, M being the mean of the teachers.

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
        super().__init__(generator, config or DistillationConfig(), seed, total_epochs=total_epochs)
        self.teachers = tuple(teachers)

    def loss(self, tokens_BT: Tensor, rng: torch.Generator) -> Tensor:
        """The cross-entropy of the generator at real prefixes and at its own, the mean over them, nats per token."""
        n_own = round(self.config.own_share * len(tokens_BT))
        if n_own:
            tokens_BT = torch.cat([tokens_BT[n_own:], self.generator.sample(n_own, rng)])
        return self.cross_entropy(tokens_BT, rng if self.config.dropout else None)

    def cross_entropy(self, tokens_BT: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """``-sum_a M(a | prefix) log G(a | prefix)``, the mean over the prefixes of sequences, nats, with gradient.

        Args:
            tokens_BT: sequences, padded with V.
            rng: where the generator's dropout takes its noise from; None drops nothing.
        """
        is_token_BT = self.generator.spec.is_token(tokens_BT)
        p_MV = mixture_log_prob(self.teachers, tokens_BT).exp()
        log_g_MV: Tensor = self.generator.output(self.generator.hidden(tokens_BT, rng)[is_token_BT]).log_softmax(dim=1)
        return -(p_MV * log_g_MV).sum() / len(p_MV)
