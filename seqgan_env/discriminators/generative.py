"""The log-ratio of two likelihoods as a discriminator: language models of the real sequences against the generator.

Dimensions: those of ``tokens``; K members.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seqgan_env.autoregressive import CORES, AutoregressiveModel, LikelihoodConfig, MaximumLikelihoodTrainer
from seqgan_env.checks import (
    PositiveFloat,
    PositiveInt,
    ShareBelowOne,
    StepSize,
    build_config,
    check_choice,
    check_fields,
)
from seqgan_env.discriminators.base import Discriminator
from seqgan_env.discriminators.registry import register_discriminator
from seqgan_env.seeding import derived_seed, numpy_rng
from seqgan_env.tokens import SequenceSpec, Tokens


@dataclass(frozen=True)
class GenerativeConfig:
    """The settings of ``GenerativeDiscriminator``.

    Raises:
        ValueError: a value is out of range, or a core is unknown or doesn't take its settings.
    """

    n_members: PositiveInt = 4
    """K, the language models that are mixed."""
    core: str = "lstm"
    """The network of a member: a key of ``seqgan_env.autoregressive.CORES``."""
    embedding_dim: PositiveInt = 32
    """Size of a token's embedding in a member."""
    hidden_dim: PositiveInt = 64
    """Size of the state of a member."""
    n_layers: PositiveInt | None = None
    """Number of layers of a member; None is as many as its core has by default."""
    dropout: ShareBelowOne = 0.3
    """Share of the features of embedding and state that the fit of a member drops."""
    embedding_std: PositiveFloat = 0.1
    """Standard deviation of a member's embeddings before its fit."""
    n_epochs: PositiveInt = 40
    """Passes over the real sequences that fit a member, in which the step size falls to 0 by a cosine."""
    learning_rate: StepSize = 0.02
    """Step size of that fit, the largest."""
    validation: ShareBelowOne = 0.1
    """Share of the real sequences, another one for each member, by which the best of its passes is found; it learns
    from the rest. With 0 it learns from all, and the last pass is kept: where they are few it learns them by heart."""
    tune: bool = False
    """Go on training the members on eq. 13.32, as other discriminators are; off, the fit is all they learn."""
    generator_core: str = "lstm"
    """The core of the generator that it discriminates; a run fills it in."""
    generator_kwargs: Mapping[str, Any] = field(default_factory=dict)
    """The settings of that core; a run fills them in."""

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("core", "generator_core"):
            check_choice(name, getattr(self, name), CORES)
        self.likelihood()
        build_config(CORES[self.core].Config, self.member_kwargs, f"core {self.core!r}")
        build_config(CORES[self.generator_core].Config, self.generator_kwargs, f"core {self.generator_core!r}")

    @property
    def member_kwargs(self) -> dict[str, Any]:
        """The settings of a member's core."""
        names = ("embedding_dim", "hidden_dim", "dropout", "embedding_std")
        sizes = {name: getattr(self, name) for name in names}
        return sizes if self.n_layers is None else {**sizes, "n_layers": self.n_layers}

    def likelihood(self) -> LikelihoodConfig:
        """The settings of a member's fit."""
        return LikelihoodConfig(learning_rate=self.learning_rate)


class GenerativeDiscriminator(Discriminator):
    """``logit(Y) = log p(Y) - log G(Y)``, with language models for p and the generator's own likelihood for G.

    It is the optimum of eq. 13.32 for the real distribution as K regularised models, fitted to the real sequences by
    maximum likelihood (eq. 13.34), describe it. They are mixed token by token, ``p(y_t | Y_{1:t-1})`` being their mean:
    such a mixture knows more than each of its members, and more than a generator that is smaller than they are. G is a
    copy of the generator, renewed in each round (``follow``).

    Where other discriminators learn from what the generator writes, this one learns from what is real. It needs a
    generator whose likelihood can be computed.

    The logit of a prefix is the log-ratio of its probabilities, that of its beginning under both.

    Args:
        spec: the task's sequences.
        config: the settings; None is the defaults.
    """

    Config = GenerativeConfig
    follows_generator = True

    def __init__(self, spec: SequenceSpec, config: GenerativeConfig | None = None) -> None:
        super().__init__(spec, config)
        config = self.config
        self.members = nn.ModuleList(
            AutoregressiveModel(spec, config.core, **config.member_kwargs) for _ in range(config.n_members)
        )
        self.generator = AutoregressiveModel(spec, config.generator_core, **config.generator_kwargs)
        self.generator.requires_grad_(False)
        self.members.requires_grad_(config.tune)
        self.n_fitted: Tensor
        self.register_buffer("n_fitted", torch.zeros((), dtype=torch.int64))

    @property
    def language_models(self) -> list[AutoregressiveModel]:
        """The members, as what they are."""
        return [member for member in self.members if isinstance(member, AutoregressiveModel)]

    def forward(self, tokens_BT: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """The sum of ``token_logits``; see ``Discriminator.forward``."""
        return self.token_logits(tokens_BT, rng).sum(dim=1)

    def token_logits(self, tokens_BT: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """The log-ratio of each token given those before it, with gradient, in one pass.

        Args:
            tokens_BT: sequences or prefixes, padded with V.
            rng: where the members' dropout takes its noise from in training mode; None drops nothing.

        Returns:
            ``logit_real_BT``, nats; exactly 0 at padding.
        """
        noise = rng if self.training else None
        log_prob_KBT = torch.stack([member.log_prob(tokens_BT, rng=noise) for member in self.language_models])
        log_prob_BT = log_prob_KBT.logsumexp(dim=0) - math.log(len(self.members))
        log_prob_BT = log_prob_BT.masked_fill(~self.spec.is_token(tokens_BT), 0)
        return log_prob_BT - self.generator.log_prob(tokens_BT)

    def all_token_logits(self, tokens_BT: Tensor) -> Tensor:
        """The log-ratio of every token; see ``Discriminator.all_token_logits``."""
        log_prob_BTV = functools.reduce(torch.logaddexp, (m.all_log_prob(tokens_BT) for m in self.language_models))
        log_prob_BTV = log_prob_BTV - math.log(len(self.members))
        log_prob_BTV = log_prob_BTV.masked_fill(~self.spec.is_token(tokens_BT)[:, :, None], 0)
        return log_prob_BTV - self.generator.all_log_prob(tokens_BT)

    def fit_real(self, real: Tokens, seed: int, on_part: Callable[[], None] = lambda: None) -> None:
        """Fit the members that are not fitted yet; see ``Discriminator.fit_real``."""
        shuffled = real[numpy_rng(seed, "folds").permutation(len(real))]
        for k, member in enumerate(self.language_models):
            if k < int(self.n_fitted):
                continue
            member.requires_grad_(True)
            self._fit(member, shuffled, k, derived_seed(seed, "member", k))
            member.requires_grad_(self.config.tune)
            self.n_fitted += 1
            on_part()

    def _fit(self, member: AutoregressiveModel, real: Tokens, k: int, seed: int) -> None:
        """Fit member k, and leave it as it was when it foresaw the k-th part of the sequences best."""
        config = self.config
        n = int(config.validation * len(real))
        validation, learned = np.split(np.roll(real, -k * n, axis=0), [n])
        trainer = MaximumLikelihoodTrainer(member, config.likelihood(), seed, total_epochs=config.n_epochs)
        most, best = -math.inf, None
        for _ in range(config.n_epochs):
            trainer.epoch(learned)
            if n and (log_prob := float(member.sequence_log_prob(validation).sum())) > most:
                most, best = log_prob, {name: weight.clone() for name, weight in member.state_dict().items()}
        if best is not None:
            member.load_state_dict(best)

    def follow(self, generator: AutoregressiveModel | None) -> None:
        """Take over the generator's weights; see ``Discriminator.follow``."""
        if generator is None:
            raise ValueError(
                "a generative discriminator needs a generator whose likelihood is known, such as that of SeqGAN; got "
                "sequences alone"
            )
        weights, own = generator.state_dict(), self.generator.state_dict()
        if {name: weight.shape for name, weight in weights.items()} != {name: own[name].shape for name in own}:
            made_for = f"core {self.config.generator_core!r} with {dict(self.config.generator_kwargs)}"
            raise ValueError(f"the discriminator's generator_kwargs are of another generator: {made_for}")
        self.generator.load_state_dict(weights)


register_discriminator(
    "generative",
    GenerativeDiscriminator,
    summary="Language models of the real sequences against the generator's own likelihood.",
    source="the maximiser of eq. 13.32; eq. 13.34; this project",
    formula="logit(Y) = log p(Y) - log G(Y), p the mean of K language models token by token",
    cost="For each member and for the generator T (4 H (E + H) + H V), since a likelihood takes the whole softmax: "
    "with the defaults, T = 20 and V = 100, 2.7 million. All learning is before the first round, `n_epochs` "
    "passes of each member over the real sequences: measured 187 s, once. A round then copies the generator's "
    "weights, unless `tune` is on.",
    when="Whenever the likelihood of the generator can be computed and its real sequences are at hand. What it knows "
    "is what larger or several models know more than the generator, so they must not have fewer sequences than it had. "
    "Of a strong generator other kinds know next to nothing (docs/results.md).",
)
