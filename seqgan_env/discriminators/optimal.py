"""The discriminator that no training can beat, where both likelihoods are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqgan_env.discriminators.base import Discriminator
from seqgan_env.tokens import SequenceSpec, Tokens

LogProb = Callable[[Tokens], npt.NDArray[np.float64]]
"""Maps complete sequences ``(B, T)`` to their log-probabilities ``(B,)``, nats."""


class OptimalDiscriminator(Discriminator):
    """``D*(Y) = p(Y) / (p(Y) + G(Y))``, the maximiser of eq. 13.32 for a fixed generator.

    Its logit is ``log p(Y) - log G(Y)``. It has no parameters and follows the generator it was given as that one
    learns, so it is always the optimum for the current generator. It lives in one process only.

    Args:
        spec: the task's sequences.
        log_prob_real: log-probability of a sequence under the data's distribution, such as ``KnownSource.log_prob``.
        log_prob_generated: the same under the generator.
        token_log_ratio: the terms of their difference, one for each token, shape ``(B, T)``; may be left out.
        all_token_log_ratio: the same of every token that might stand in each place, shape ``(B, T, V)``.
    """

    def __init__(
        self,
        spec: SequenceSpec,
        log_prob_real: LogProb,
        log_prob_generated: LogProb,
        token_log_ratio: LogProb | None = None,
        all_token_log_ratio: LogProb | None = None,
    ) -> None:
        super().__init__(spec)
        self._token_log_ratio = token_log_ratio
        self._all_token_log_ratio = all_token_log_ratio
        self._log_prob_real = log_prob_real
        self._log_prob_generated = log_prob_generated

    def forward(self, tokens_BT: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """The exact log-ratio; see ``Discriminator.forward``."""
        tokens = tokens_BT.cpu().numpy()
        return torch.as_tensor(self._log_prob_real(tokens) - self._log_prob_generated(tokens))

    def token_logits(self, tokens_BT: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """The exact log-ratio of each token; see ``Discriminator.token_logits``."""
        if self._token_log_ratio is None:
            raise ValueError("the optimal discriminator was made without token_log_ratio")
        return torch.as_tensor(self._token_log_ratio(tokens_BT.cpu().numpy()))

    def all_token_logits(self, tokens_BT: Tensor) -> Tensor:
        """The exact log-ratio of every token; see ``Discriminator.all_token_logits``."""
        if self._all_token_log_ratio is None:
            raise ValueError("the optimal discriminator was made without all_token_log_ratio")
        return torch.as_tensor(self._all_token_log_ratio(tokens_BT.cpu().numpy()))
