"""The inner sums of eq. 13.44, taken exactly over every token as far as its value is known before what comes after it.

Dimensions: B sequences, T time, V vocabulary, K of the sequences.
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

    Args:
        generator: gives the probabilities.
        episodes: the episodes.
        values: maps complete sequences ``(K, T)`` to ``value_KTV``, which is summed, and to ``known_KTV``, the part of
            it that the sampled values hold too; float64.
    """
    tokens_BT, chosen_BT, _ = episodes
    token_BT1 = tokens_BT[:, :, None].clamp(max=generator.spec.vocab_size - 1)
    totals, known = [], []
    for some in chunks(len(tokens_BT), tokens_BT.shape[1] * generator.spec.vocab_size):
        value_KTV, known_KTV = (each * chosen_BT[some, :, None] for each in values(tokens_BT[some]))
        hidden_MH, output = generator.hidden(tokens_BT[some]).flatten(0, 1), generator.output
        value_MV = value_KTV.flatten(0, 1).to(hidden_MH.dtype)
        totals.append(expected_value(hidden_MH, output.weight, output.bias, value_MV))
        known.append(known_KTV.gather(2, token_BT1[some]).squeeze(2))
    return InnerSums(torch.stack(totals).sum(), torch.cat(known))
