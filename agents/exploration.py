"""Episodes at another temperature, weighed by what the generator itself would play.

Dimensions: B sequences, T time.
"""

from __future__ import annotations

import torch
from torch import Tensor

from agents.collection import Episodes
from seqgan_env.autoregressive import AutoregressiveModel


@torch.no_grad()
def importance_weights(
    generator: AutoregressiveModel, episodes: Episodes, temperature: float, *, whole: bool
) -> Tensor:
    """The probability of each prefix ``Y_{1:t}`` under the generator over that under its temperature.

    The weight of a token covers those before it and itself, so that a value whose expectation given ``Y_{1:t}`` is
    right, as that of completions is, makes an unbiased estimate of eq. 13.44; one of the episode's own future needs
    that of the whole sequence. Below 1 a temperature never plays what is unlikely, and the weights, whose mean is 1,
    are then mostly near 0 and rarely vast: it is meant for temperatures above 1.

    Args:
        generator: as it was when it played the episodes.
        episodes: the episodes.
        temperature: at which they were played.
        whole: give each token the weight of its whole sequence.

    Returns:
        ``weight_BT``, float64; of no consequence where nothing was chosen.
    """
    tokens_BT, chosen_BT, _ = episodes
    own_BT, played_BT = (generator.log_prob(tokens_BT, each).double() for each in (1.0, temperature))
    weight_BT: Tensor = ((own_BT - played_BT) * chosen_BT).cumsum(dim=1).exp()
    return weight_BT[:, -1:].expand_as(weight_BT) if whole else weight_BT
