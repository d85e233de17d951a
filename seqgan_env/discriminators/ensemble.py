"""Several discriminators of one kind that answer as one.

Dimensions: those of ``tokens``; M members.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from seqgan_env.autoregressive import AutoregressiveModel
from seqgan_env.checks import (
    NonNegativeFloat,
    PositiveInt,
    build_config,
    check_choice,
    check_fields,
)
from seqgan_env.discriminators.base import Discriminator
from seqgan_env.discriminators.losses import Objective, discriminator_loss
from seqgan_env.discriminators.registry import DISCRIMINATORS, register_discriminator
from seqgan_env.seeding import derived_seed, hash_rows
from seqgan_env.tokens import SequenceSpec, Tokens

COMBINATIONS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "mean": lambda logit_real_MB, k: logit_real_MB.mean(dim=0),
    "minimum": lambda logit_real_MB, k: logit_real_MB.amin(dim=0),
    "pessimistic": lambda logit_real_MB, k: logit_real_MB.mean(dim=0) - k * logit_real_MB.std(dim=0, correction=0),
}
"""The logit of an ensemble as a function of its members' and of ``k``, by name."""


@dataclass(frozen=True)
class EnsembleConfig:
    """The settings of ``EnsembleDiscriminator``.

    Raises:
        ValueError: an unknown kind or combination, or a value out of range.
    """

    kind: str = "cnn"
    """The members' kind, a registered name."""
    n_members: PositiveInt = 3
    """Number of members, M."""
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    """The members' settings, fields of their own ``Config``; the others have their defaults. The command line has
    no flags for them."""
    combine: str = "mean"
    """The ensemble's logit from its members': ``"mean"``, ``"minimum"``, or ``"pessimistic"``, which is the mean less
    ``k`` standard deviations."""
    k: NonNegativeFloat = 1.0
    """Number of standard deviations of ``"pessimistic"``."""
    folds: bool = False
    """Leave another one of M parts of the real sequences out of the training of each member, in place of bootstraps.
    Those are of batches, so that every member comes to see every sequence: where these are few, all learn them by
    heart, and agree."""

    def __post_init__(self) -> None:
        check_fields(self)
        check_choice("combine", self.combine, COMBINATIONS)
        if self.folds and self.n_members == 1:
            raise ValueError("folds need at least 2 members, got n_members 1")
        object.__setattr__(self, "kwargs", json.loads(json.dumps(dict(self.kwargs))))  # equal to what a file holds
        self.member()

    def member(self) -> Any:
        """The settings of a member, an instance of its class's ``Config``."""
        return build_config(DISCRIMINATORS.lookup(self.kind).kind.Config, self.kwargs, f"discriminator {self.kind!r}")


class EnsembleDiscriminator(Discriminator):
    """M discriminators of one kind with initial weights of their own, each trained on a bootstrap of each batch.

    Where the members disagree they have seen too little to know; the combinations ``"minimum"`` and ``"pessimistic"``
    don't pay for such sequences. With ``folds`` each is trained on the batch without its own part of the real
    sequences, and on all generated ones. The first member begins as a discriminator of its kind by itself would with
    the same seed, and an ensemble of one is trained on the batch itself: it is its member.

    Where the members' logits are sums over tokens, so is that of the ensemble, whatever the combination: the term of a
    token is the difference that it makes to the combination of the sums so far, as ``prefix_logits`` gives them. With
    several members the terms need not be log-ratios of distributions, so the reward log_ratio has unbiased dense values
    by them, and the ratio ``p / G`` of beginnings, as in ``both_divergences``, has not.

    Args:
        spec: the task's sequences.
        config: the settings; None is three CNNs whose logits are averaged.
    """

    Config = EnsembleConfig

    def __init__(self, spec: SequenceSpec, config: EnsembleConfig | None = None) -> None:
        super().__init__(spec, config)
        kind, settings = DISCRIMINATORS[self.config.kind].kind, self.config.member()
        self.members = nn.ModuleList(kind(spec, settings) for _ in range(self.config.n_members))

    @classmethod
    def check(cls, spec: SequenceSpec, config: EnsembleConfig) -> None:
        """See ``Discriminator.check``."""
        DISCRIMINATORS.lookup(config.kind).kind.check(spec, config.member())

    def forward(self, tokens_BT: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """The members' logits, combined; see ``Discriminator.forward``."""
        return self._combined([member(tokens_BT, rng) for member in self._members])

    def token_logits(self, tokens_BT: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """The difference that each token makes to the combined sums; see ``Discriminator.token_logits``."""
        sum_BT = self._combined([member.token_logits(tokens_BT, rng).cumsum(dim=1) for member in self._members])
        return sum_BT.diff(dim=1, prepend=torch.zeros_like(sum_BT[:, :1]))

    def all_token_logits(self, tokens_BT: Tensor) -> Tensor:
        """The difference that every token would make; see ``Discriminator.all_token_logits``."""
        terms = [member.token_logits(tokens_BT) for member in self._members]
        before = [(term_BT.cumsum(dim=1) - term_BT)[:, :, None] for term_BT in terms]
        all_terms = [member.all_token_logits(tokens_BT) for member in self._members]
        sums = [before_BT1 + all_BTV for before_BT1, all_BTV in zip(before, all_terms, strict=True)]
        return self._combined(sums) - self._combined(before)

    def loss(
        self,
        real_BT: Tensor,
        generated_BT: Tensor,
        rng: torch.Generator | None = None,
        objective: Objective = discriminator_loss,
    ) -> Tensor:
        """The mean of the members' losses, each on rows of its own; see ``Discriminator.loss``.

        They are drawn with replacement, or, with ``folds``, all but the member's part of the real ones; a member for
        which no real one is left takes no part.

        The combination plays no part in it: no member learns to make up for another one.
        """
        more = () if objective is discriminator_loss else (objective,)  # which a member need not take
        losses = [
            member.loss(self._bootstrap(own_BT, rng), self._bootstrap(generated_BT, rng), rng, *more)
            for member, own_BT in self._with_real(real_BT)
        ]
        return torch.stack(losses).mean()

    @property
    def has_gradient_penalty(self) -> bool:
        """Whether its members have one."""
        return all(member.has_gradient_penalty for member in self._members)

    def gradient_penalty(self, real_BT: Tensor, generated_BT: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """The mean of the members' penalties, each of its own slope; see ``Discriminator.gradient_penalty``."""
        penalties = [member.gradient_penalty(own_BT, generated_BT, rng) for member, own_BT in self._with_real(real_BT)]
        return torch.stack(penalties).mean()

    def fit_real(self, real: Tokens, seed: int, on_part: Callable[[], None] = lambda: None) -> None:
        """Let each member learn what takes real sequences alone; see ``Discriminator.fit_real``."""
        for k, (member, own_BT) in enumerate(self._with_real(torch.from_numpy(real))):
            member.fit_real(own_BT.numpy(), derived_seed(seed, "member", k), on_part)

    def follow(self, generator: AutoregressiveModel | None) -> None:
        """Let each member follow the generator; see ``Discriminator.follow``."""
        for member in self._members:
            member.follow(generator)

    def penalty(self) -> Tensor:
        """The mean of the members' penalties."""
        return torch.stack([member.penalty() for member in self._members]).mean()

    def scorer(self, n: int) -> Callable[[Tensor], Tensor]:
        """The members' scorers, combined; see ``Discriminator.scorer``."""
        scorers = [member.scorer(n) for member in self._members]
        return lambda tokens_BT: self._combined([score(tokens_BT) for score in scorers])

    def row_logits(self, tokens_BT: Tokens | Tensor) -> npt.NDArray[np.float64]:
        """The members' logits of each row, combined; see ``Discriminator.row_logits``."""
        parts = [torch.from_numpy(member.row_logits(tokens_BT)) for member in self._members]
        return self._combined(parts).numpy()

    def prefix_logits(self, tokens_BT: Tokens | Tensor, *, exact: bool = True) -> npt.NDArray[np.float64]:
        """The members' logits of the prefixes, combined; see ``Discriminator.prefix_logits``."""
        parts = [torch.from_numpy(member.prefix_logits(tokens_BT, exact=exact)) for member in self._members]
        return self._combined(parts).numpy()

    @property
    def _members(self) -> list[Discriminator]:
        return [member for member in self.members if isinstance(member, Discriminator)]

    def _combined(self, parts: list[Tensor]) -> Tensor:
        return COMBINATIONS[self.config.combine](torch.stack(parts), self.config.k)

    def _with_real(self, real_BT: Tensor) -> list[tuple[Discriminator, Tensor]]:
        """The members, each with the real sequences that it may learn from, if there are any.

        The part that a sequence belongs to is a function of it alone, so that all its copies are left out together.
        """
        if not self.config.folds:
            return [(member, real_BT) for member in self._members]
        part_B = hash_rows(real_BT) % len(self.members)
        pairs = [(member, real_BT[part_B != m]) for m, member in enumerate(self._members)]
        return [pair for pair in pairs if len(pair[1])]

    def _bootstrap(self, tokens_BT: Tensor, rng: torch.Generator | None) -> Tensor:
        """As many rows, drawn with replacement; for a single member, and with ``folds``, the rows themselves."""
        n = len(tokens_BT)
        if len(self.members) == 1 or self.config.folds:
            return tokens_BT
        return tokens_BT[torch.randint(n, (n,), generator=rng, device=tokens_BT.device)]


register_discriminator(
    "ensemble",
    EnsembleDiscriminator,
    summary="Several discriminators of one kind, each on bootstraps or folds of its own; their logits are combined.",
    source="Lakshminarayanan et al., arXiv 1612.01474; Osband et al., arXiv 1602.04621; as rewards, Coste et al., "
    "arXiv 2310.02743, whose cautious mean subtracts the variance",
    formula="logit(Y) = mean, minimum, or mean - k std over m of logit_m(Y)",
    cost="As many times a member, in scores and in rounds, as there are members. Measured with three of the CNN's: 3.8 "
    "s a round.",
    when="A generator that finds sequences which a single discriminator overrates by accident.",
)
