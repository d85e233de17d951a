"""Drawing tokens from a softmax over a large vocabulary."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from seqgan_env.autoregressive.softmax import LOG2_E, Logits2
from seqgan_env.checks import Interval, PositiveInt, ShareAboveZero, check_arguments
from seqgan_env.device import may_look

Temperature = Annotated[float, Interval(1e-30)]
"""A temperature; logits that are divided by a smaller one leave the range of single precision."""

_BLOCK = 64
_BELOW_ONE = 1.0 - 2.0**-23


@torch.no_grad()
def sample_tokens(
    hidden_MH: Tensor,
    weight_VH: Tensor,
    bias_V: Tensor,
    *,
    rng: torch.Generator | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    uniform_MN: Tensor | None = None,
    allowed_MV: Tensor | None = None,
) -> Tensor:
    """Draw one token a row, or N, from ``softmax((W h + c) / temperature)`` (eq. 13.30).

    The cumulative distribution is inverted in two levels, blocks of tokens and then the tokens of one block, which at
    V = 5000 is some twenty times faster than ``torch.multinomial``. The rows are walked in chunks whose size does not
    change the result.

    With ``top_k`` only the k likeliest tokens are drawn, with ``top_p`` only the nucleus (arXiv 1904.09751): the
    smallest set of likeliest tokens whose probability reaches p. Both apply to the softmax at the temperature; with
    both, the nucleus is that of the k tokens, scaled up to 1. Of equally likely tokens at the border some are taken.

    Args:
        hidden_MH: the states that predict the next token.
        weight_VH: W, the output matrix.
        bias_V: c, the output bias; ``-inf`` forbids a token.
        rng: where the uniforms come from; None is torch's global generator.
        temperature: above 0.
        top_k: at least 1; None or V and more is all tokens.
        top_p: above 0 and at most 1; None or 1 is all tokens.
        uniform_MN: where to invert the distribution of each row, N times, from 0 to 1; None is once, at random.
        allowed_MV: the tokens that each row may have, boolean, at least one; the rest of the softmax is scaled up to 1.
            None allows all.

    Returns:
        Token ids, ``int64``, shape ``(M,)``, or that of ``uniform_MN``.

    Raises:
        ValueError: temperature, top_k or top_p is out of range.
    """
    n_rows, vocab_size = len(hidden_MH), len(weight_VH)
    check_sampling(temperature, top_k, top_p)
    n_kept = vocab_size if top_k is None else min(top_k, vocab_size)
    mass = 1.0 if top_p is None else top_p
    logits2 = Logits2(hidden_MH, weight_VH, bias_V, scale=1 / temperature, multiple=_BLOCK, allowed_MV=allowed_MV)
    shape: tuple[int, ...] = (n_rows,)
    if uniform_MN is None:
        uniform_MN = torch.rand(n_rows, 1, generator=rng, device=hidden_MH.device, dtype=hidden_MH.dtype)
    else:
        shape, uniform_MN = uniform_MN.shape, uniform_MN.to(hidden_MH.dtype)
    token_MN = torch.empty(uniform_MN.shape, dtype=torch.int64, device=hidden_MH.device)
    for rows in logits2.chunks:
        weights_CV = logits2.of(rows)  # first logits, then weights
        if n_kept < vocab_size or mass < 1:
            token_MN[rows] = _draw_likeliest(weights_CV[:, :vocab_size] / LOG2_E, uniform_MN[rows], n_kept, mass)
            continue
        weights_CKJ = weights_CV.exp2_().unflatten(1, (-1, _BLOCK))
        block_CN, target_CN = invert(weights_CKJ.sum(dim=2), uniform_MN[rows])
        inside_CNJ = weights_CKJ.gather(1, block_CN[:, :, None].expand(-1, -1, _BLOCK))
        inside_CN1, _ = invert(inside_CNJ, (target_CN / inside_CNJ.sum(dim=2))[:, :, None])
        token_MN[rows] = block_CN * _BLOCK + inside_CN1.squeeze(2)
    return token_MN.view(shape)


@check_arguments
def check_sampling(
    temperature: Temperature, top_k: PositiveInt | None = None, top_p: ShareAboveZero | None = None
) -> None:
    """Validate the sampling parameters.

    Raises:
        ValueError: temperature, top_k or top_p is out of range.
    """


def _draw_likeliest(logits_CV: Tensor, uniform_CN: Tensor, n_kept: int, mass: float) -> Tensor:
    """Draw from the ``n_kept`` likeliest tokens and of these only from the first that together reach ``mass``."""
    logits_CK, token_CK = logits_CV.topk(n_kept, dim=1)  # in descending order
    p_CK = logits_CK.softmax(dim=1)
    # a token belongs to the nucleus if those before it do not reach the mass yet: the likeliest always does
    before_CK = p_CK.cumsum(dim=1, dtype=torch.float64) - p_CK
    index_CN, _ = invert(p_CK.masked_fill(before_CK >= mass, 0), uniform_CN)
    return token_CK.gather(1, index_CN)


def invert(weights_K: Tensor, uniform_N: Tensor) -> tuple[Tensor, Tensor]:
    """The first indices whose cumulative weight exceeds ``uniform`` of the total, and how far inside them that lies.

    Both arguments have the same dimensions before the last. An index of weight 0 is never chosen: rounding is kept from
    carrying the target up to the total.

    Raises:
        ValueError: a weight is NaN or infinite, where seeing it forces no synchronisation.
    """
    cumulative_K = weights_K.cumsum(dim=-1)
    if may_look(weights_K.device) and not cumulative_K[..., -1].isfinite().all():
        raise ValueError("the probabilities of tokens must be finite, got NaN or infinity")
    target_N = uniform_N.clamp(0.0, _BELOW_ONE) * cumulative_K[..., -1:]
    index_N = torch.searchsorted(cumulative_K, target_N, right=True).clamp_(max=weights_K.shape[-1] - 1)
    below_N = cumulative_K.gather(-1, (index_N - 1).clamp(min=0)) * (index_N > 0)
    return index_N, target_N - below_N
