"""A reparametrised generator against a discriminator: Gumbel-softmax with straight-through samples.

The way around the policy gradient that RelGAN (Nie, Narodytska and Patel, 2019) takes: the sample itself gets a
gradient (arXiv 1611.01144, 1611.00712). Dimensions: B sequences, T time, V vocabulary, E embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from agents.rivals.adversarial import AdversarialTrainer
from seqgan_env.autoregressive import AutoregressiveModel, LikelihoodConfig
from seqgan_env.checks import PositiveFloat
from seqgan_env.discriminators import DiscriminatorTrainer
from seqgan_env.discriminators.embedded import Embedded


@dataclass(frozen=True)
class RelaxedConfig(LikelihoodConfig):
    """The settings of the reparametrised game.

    Raises:
        ValueError: a value is out of range, or one that this loss has no place for is set.
    """

    temperature: PositiveFloat = 1.0
    """Temperature of the relaxed samples in the first epoch."""
    final_temperature: PositiveFloat = 0.1
    """That in the last one; between them it falls by the same factor each epoch."""

    _unsmoothed = "a reparametrised game"


class Relaxed(NamedTuple):
    """Samples with a gradient."""

    tokens_BT: Tensor
    """The samples, padded with V."""
    one_hot_BTV: Tensor
    """One at the token, with the gradient of the relaxed sample; 0 at padding."""


class RelaxedTrainer(AdversarialTrainer):
    """A GAN whose generator descends ``-log D(Y)`` by way of the samples, and whose discriminator learns in between.

    A sample is the argmax of ``log G + Gumbel noise``, which follows G exactly; its gradient is that of the softmax of
    the same sum over a temperature, which has a bias. It is read on, and judged, by its embedding.

    Args:
        generator: the model to train.
        discriminator: the trainer of one that reads tokens by their embeddings alone; it makes a step for each batch.
        config: the settings; None is the defaults.
        seed: as of ``MaximumLikelihoodTrainer``.
        total_epochs: how many epochs the schedules are for.

    Raises:
        ValueError: the discriminator reads no embeddings, or is of other sequences.
    """

    Config = RelaxedConfig
    config: RelaxedConfig

    def __init__(
        self,
        generator: AutoregressiveModel,
        discriminator: DiscriminatorTrainer,
        config: RelaxedConfig | None = None,
        seed: int = 0,
        *,
        total_epochs: int = 1,
    ) -> None:
        network = discriminator.discriminator
        if not isinstance(network, Embedded):
            raise ValueError(f"the discriminator must read embeddings, as the cnn does, got {type(network).__name__}")
        super().__init__(generator, discriminator, config, seed, total_epochs=total_epochs)
        self._network = network

    @property
    def temperature(self) -> float:
        """The temperature of the relaxed samples in this epoch."""
        progress = min(1.0, self.n_epochs / max(1, self.total_epochs - 1))
        first, last = self.config.temperature, self.config.final_temperature
        return float(first * (last / first) ** progress)

    def loss(self, tokens_BT: Tensor, rng: torch.Generator) -> Tensor:
        """A step of the discriminator, then ``-log D`` of the generator's samples, nats per sequence."""
        sampled = self.sample(len(tokens_BT), rng)
        self.discriminator.update(tokens_BT, sampled.tokens_BT)
        embedded_BTE = sampled.one_hot_BTV @ self._network.embedding.weight[:-1]
        is_token_BT = self.generator.spec.is_token(sampled.tokens_BT)
        return F.softplus(-self._network.from_embedded(embedded_BTE, is_token_BT)).mean()

    def sample(self, n: int, rng: torch.Generator) -> Relaxed:
        """Draw complete sequences that have a gradient.

        Args:
            n: how many.
            rng: of the noise.
        """
        generator, spec = self.generator, self.generator.spec
        embedding_VE = generator.core.embedding.weight[:-1]
        state, tokens, one_hot = generator.start(n), [], []
        open_B = torch.ones(n, dtype=torch.bool, device=generator.device)
        for _ in range(spec.max_length):
            logits_BV = generator.output(state[0])
            noise_BV = -torch.empty_like(logits_BV).exponential_(generator=rng).clamp_min(1e-30).log()
            relaxed_BV = ((logits_BV + noise_BV) / self.temperature).softmax(dim=1)
            token_B = relaxed_BV.argmax(dim=1)
            hard_BV = F.one_hot(token_B, spec.vocab_size).to(relaxed_BV)
            one_hot_BV = (hard_BV - relaxed_BV.detach() + relaxed_BV) * open_B[:, None]
            tokens.append(token_B.masked_fill(~open_B, spec.pad_id))
            one_hot.append(one_hot_BV)
            state = generator.core.step_embedded(one_hot_BV @ embedding_VE, state)
            if spec.eos_id is not None:
                open_B = open_B & (token_B != spec.eos_id)
        return Relaxed(torch.stack(tokens, dim=1), torch.stack(one_hot, dim=1))
