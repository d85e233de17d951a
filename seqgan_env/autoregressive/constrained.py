"""An autoregressive model that some tokens are forbidden to.

Dimensions: those of ``model``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from seqgan_env.autoregressive.cores import CoreState
from seqgan_env.autoregressive.model import AutoregressiveModel
from seqgan_env.tokens import Tokens

AllowedAfter = Callable[[Tokens], npt.NDArray[Any]]
"""Maps prefixes ``(B, T)``, padded with V, to the tokens that may follow, ``(B, V)``: at least one for each."""


class ConstrainedModel(AutoregressiveModel):
    """A model whose softmax is cut off at what may follow a prefix, and scaled up to 1 again.

    The weights are the model's own, so that a gradient through it is one of the model. Its states carry the prefixes.

    Args:
        model: the model without constraints.
        allowed: tells what may follow; on a GPU each step waits for it.
    """

    def __init__(self, model: AutoregressiveModel, allowed: AllowedAfter) -> None:
        nn.Module.__init__(self)  # nothing is built
        self.spec, self.core, self.output = model.spec, model.core, model.output
        self._allowed = allowed

    def start(self, n: int) -> CoreState:
        """See ``AutoregressiveModel.start``."""
        empty_BT = torch.full((n, self.spec.max_length), self.spec.pad_id, device=self.device)
        return *super().start(n), empty_BT

    def step(self, token_B: Tensor, state: CoreState) -> CoreState:
        """See ``AutoregressiveModel.step``; padding is read as well, and is no token of the prefix."""
        *own, prefix_BT = state
        place_B1 = self.spec.lengths(prefix_BT)[:, None].clamp(max=self.spec.max_length - 1)
        return *super().step(token_B, tuple(own)), prefix_BT.scatter(1, place_B1, token_B[:, None])

    def all_log_prob(self, tokens_BT: Tensor) -> Tensor:
        """See ``AutoregressiveModel.all_log_prob``; ``-inf`` for what is forbidden.

        Raises:
            ValueError: always: nothing here needs it.
        """
        raise ValueError("a constrained model gives the log-probabilities of the tokens of a sequence alone")

    def _allowed_next(self, state: CoreState) -> Tensor:
        return self._mask(state[-1])

    def _allowed_rows(self, tokens_BT: Tensor, row_M: Tensor) -> Tensor:
        place_M1 = (row_M % self.spec.max_length)[:, None]
        before_MT = torch.arange(self.spec.max_length, device=tokens_BT.device) < place_M1
        return self._mask(tokens_BT[row_M // self.spec.max_length].masked_fill(~before_MT, self.spec.pad_id))

    def _mask(self, prefix_MT: Tensor) -> Tensor:
        allowed_MV = np.asarray(self._allowed(prefix_MT.cpu().numpy()), dtype=np.bool_)
        return torch.from_numpy(allowed_MV).to(prefix_MT.device)
