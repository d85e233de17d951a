"""Expert iteration: the generator imitates, again and again, the better ones of its own sequences.

The expert is made of the learner itself and a search (Anthony, Tian and Barber, arXiv 1705.08439). With a choice among
several draws as the search it is reward-ranked fine-tuning (RAFT, arXiv 2304.06767) and, with many updates between two
choices, reinforced self-training (ReST, arXiv 2308.08998). Dimensions: B sequences, T time.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from agents.reranking import NCandidates, Reranked, Rule
from agents.rivals.adversarial import AdversarialTrainer
from seqgan_env.autoregressive import LikelihoodConfig


@dataclass(frozen=True)
class ExpertIterationConfig(LikelihoodConfig):
    """The settings of expert iteration.

    Raises:
        ValueError: a value is out of range.
    """

    n_candidates: NCandidates = 4
    """Sequences that the generator draws for each that it imitates; with 1 there is no expert."""
    rule: Rule = "best"
    """The choice among them: the one that the discriminator finds most real, or by importance, each in proportion to
    D / (1 - D), so that what is imitated comes nearer to real sequences and not to the likeliest ones alone."""


class ExpertIterationTrainer(AdversarialTrainer):
    """Maximum likelihood of the generator's own sequences that a discriminator has chosen, which learns in between.

    Args:
        generator: the model to train.
        discriminator: the trainer of the one that chooses; it makes a step for each batch.
        config: the settings; None is the defaults.
        seed: as of ``MaximumLikelihoodTrainer``.
        total_epochs: how many epochs the schedule is for.

    Raises:
        ValueError: the discriminator is of other sequences.
    """

    Config = ExpertIterationConfig
    config: ExpertIterationConfig

    @property
    def expert(self) -> Reranked:
        """The generator and the discriminator as they are now, which a step changes."""
        judge = self.discriminator.discriminator
        return Reranked(self.generator, judge, self.config.n_candidates, self.config.rule)

    def loss(self, tokens_BT: Tensor, rng: torch.Generator) -> Tensor:
        """A step of the discriminator, then ``-log G`` of as many sequences of the expert, nats per token."""
        self.discriminator.discriminator.follow(self.generator)
        self.discriminator.update(tokens_BT, self.generator.sample(len(tokens_BT), rng))
        seed = int(torch.randint(2**31, (), generator=rng, device=rng.device))
        chosen_BT = torch.from_numpy(self.expert.draw(len(tokens_BT), seed=seed))
        return super().loss(chosen_BT.to(tokens_BT.device), rng)
