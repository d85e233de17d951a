"""The inner sums of eq. 13.44, taken exactly over every token as far as its value is known before what comes after it.

Dimensions: B sequences, T time, V vocabulary, K of the sequences, t of their places.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from agents.collection import Episodes
from agents.monte_carlo import chunks
from seqgan_env.autoregressive import AutoregressiveModel
from seqgan_env.autoregressive.likelihood import expected_value
from seqgan_env.device import may_look


class InnerSums(NamedTuple):
    """The known part of the values of the tokens that were chosen, and its exact share of the gradient."""

    total: Tensor
    """``sum_t sum_a G(a | Y_{1:t-1}) value(Y_{1:t-1}, a)`` over the chosen places, a scalar whose gradient leaves
    ``value`` as it is."""
    known_BT: Tensor
    """``known(Y_{1:t-1}, y_t)``, float64; 0 where nothing was chosen."""


def inner_sums(
    generator: AutoregressiveModel, episodes: Episodes, values: Callable[[Tensor], tuple[Tensor, Tensor]]
) -> InnerSums:
    """Sum over all tokens in each place; some sequences at a time, so that memory does not grow with their number.

    Those of about the same length go together, without the padding that all of them have, which is most of a text.

    Args:
        generator: gives the probabilities.
        episodes: the episodes.
        values: maps complete sequences ``(K, t)``, of which no token is beyond ``t <= T``, to ``value_KtV``, which is
            summed, and to ``known_KtV``, the part of it that the sampled values hold too; float64.
    """
    tokens_BT, chosen_BT, _ = episodes
    T, V = tokens_BT.shape[1], generator.spec.vocab_size
    known_BT = torch.zeros(tokens_BT.shape, dtype=torch.float64, device=tokens_BT.device)
    length_B = generator.spec.is_token(tokens_BT).sum(dim=1)
    order_B, totals = length_B.argsort(stable=True), []
    for some in chunks(len(tokens_BT), T * V):
        rows_K = order_B[some]
        longest = int(length_B[rows_K[-1]]) if may_look(tokens_BT.device) else T
        tokens_Kt, chosen_Kt1 = tokens_BT[rows_K, :longest], chosen_BT[rows_K, :longest, None]
        value_KtV, known_KtV = (each * chosen_Kt1 for each in values(tokens_Kt))
        hidden_MH, output = generator.hidden(tokens_Kt).flatten(0, 1), generator.output
        value_MV = value_KtV.flatten(0, 1).to(hidden_MH.dtype)
        totals.append(expected_value(hidden_MH, output.weight, output.bias, value_MV))
        token_Kt1 = tokens_Kt[:, :, None].clamp(max=V - 1)
        known_BT[rows_K, :longest] = known_KtV.gather(2, token_Kt1).squeeze(2)
    return InnerSums(torch.stack(totals).sum(), known_BT)
