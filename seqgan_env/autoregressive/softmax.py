"""The weights of a softmax over a large vocabulary, some rows at a time, so that they never leave the cache.

All is to the base 2, whose powers torch computes three times as fast as those of e: ``softmax(x)`` is
``2^y / sum 2^y`` with ``y = x log2 e``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

LOG2_E = 1 / math.log(2)
_CHUNK_ELEMENTS = {"cpu": 1 << 20, "cuda": 1 << 26}
"""About how many logits are held at once: 4 MB on a CPU, where they stay in its cache."""
_LARGEST_POWER = 100.0  # 2^100 times any number of tokens is finite in single precision, and 2^-100 is no denormal


class Logits2:
    """The logits ``(W h + c) scale log2 e`` of chunks of rows, all written to the same memory.

    Args:
        hidden_MH: the states that predict the next token.
        weight_VH: W, the output matrix.
        bias_V: c, the output bias; ``-inf`` forbids a token.
        scale: 1 / temperature.
        multiple: the columns are filled up with forbidden tokens to a multiple of it.
        allowed_MV: the tokens that each row may have, boolean, at least one; None allows all.
    """

    def __init__(
        self,
        hidden_MH: Tensor,
        weight_VH: Tensor,
        bias_V: Tensor,
        *,
        scale: float = 1.0,
        multiple: int = 1,
        allowed_MV: Tensor | None = None,
    ) -> None:
        fill = -len(weight_VH) % multiple
        self._allowed_MV = allowed_MV
        self._hidden_MH = hidden_MH
        self._weight_VH = weight_VH * (scale * LOG2_E)
        self._bias_V = bias_V * (scale * LOG2_E)
        if fill:  # `pad` copies all the same
            self._weight_VH = torch.nn.functional.pad(self._weight_VH, (0, 0, 0, fill))
            self._bias_V = torch.nn.functional.pad(self._bias_V, (0, fill), value=-torch.inf)
        n_columns = len(self._bias_V)
        elements = _CHUNK_ELEMENTS.get(hidden_MH.device.type, _CHUNK_ELEMENTS["cuda"])
        n_chunks = max(1, round(len(hidden_MH) * n_columns / elements))  # all of nearly the same size
        size = -(-len(hidden_MH) // n_chunks)
        self.chunks = [slice(start, start + size) for start in range(0, len(hidden_MH), max(1, size))]
        """The rows of each chunk."""
        self._buffer_CV = hidden_MH.new_empty(size, n_columns)
        # one look at all of them, by Cauchy and Schwarz, mostly spares a look at each row
        self._are_small = hidden_MH.device.type == "cpu" and self._bound() < _LARGEST_POWER

    def of(self, rows: slice) -> Tensor:
        """The logits of a chunk, to be overwritten, each row less a number that keeps their powers finite."""
        hidden_CH = self._hidden_MH[rows]
        logits_CV = torch.addmm(self._bias_V, hidden_CH, self._weight_VH.t(), out=self._buffer_CV[: len(hidden_CH)])
        if self._allowed_MV is not None:
            allowed_CV = self._allowed_MV[rows]
            logits_CV[:, : allowed_CV.shape[1]].masked_fill_(~allowed_CV, -torch.inf)
        if self._are_small:
            return logits_CV
        return logits_CV.sub_(logits_CV.amax(dim=1, keepdim=True))

    def _bound(self) -> float:
        """No logit is larger, and none that is not forbidden is lower than minus this."""
        if not len(self._hidden_MH):
            return 0.0
        bias_V = self._bias_V[self._bias_V != -torch.inf]
        if not len(bias_V):
            return math.inf
        longest = [torch.linalg.vector_norm(rows, dim=1).max() for rows in (self._hidden_MH, self._weight_VH)]
        return float(longest[0] * longest[1] + bias_V.abs().max())


def log2_prob(logits_CV: Tensor, token_C: Tensor) -> tuple[Tensor, Tensor]:
    """The log-probabilities to the base 2 of one token a row, from the logits of ``Logits2.of``, which become weights.

    Returns:
        ``log2_prob_C``, and the sum of each row's weights, shape ``(C, 1)``.
    """
    chosen_C1 = logits_CV.gather(1, token_C[:, None])
    total_C1 = logits_CV.exp2_().sum(dim=1, keepdim=True)
    # a token that is nearly certain may round to more than 0
    return (chosen_C1 - total_C1.log2()).squeeze(1).clamp_(max=0), total_C1
