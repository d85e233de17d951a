"""Drawing tokens from a softmax over a large vocabulary."""

from __future__ import annotations

from numbers import Integral

import torch
from torch import Tensor

from seqgan_env.softmax import LOG2_E, Logits2

_BLOCK = 64
_CHUNK_ELEMENTS = 1 << 20  # probabilities in flight: 4 MB, so that they stay in the processor's cache
_BELOW_ONE = 1.0 - 2.0**-23


@torch.no_grad()
def sample_tokens(
    hidden_MH: Tensor,
    weight_VH: Tensor,
    bias_V: Tensor,
    *,
    generator: torch.Generator | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Tensor:
    """Draw one token a row from ``softmax((W h + c) / temperature)`` (eq. 13.30).

    The cumulative distribution is inverted in two levels, blocks of tokens and then the tokens of one block, which at
    V = 5000 is some twenty times faster than ``torch.multinomial``. The rows are walked in chunks whose size does not
    change the result.

    With ``top_k`` only the k likeliest tokens are drawn, with ``top_p`` only the nucleus (arXiv 1904.09751): the
    smallest set of likeliest tokens whose probability reaches p. Both apply to the softmax at the temperature; with
    both, the nucleus is that of the k tokens, scaled up to 1. Of equally likely tokens at the border some are taken.

    Args:
        hidden_MH: the generator's output states.
        weight_VH: W, the output matrix.
        bias_V: c, the output bias; ``-inf`` forbids a token.
        generator: where the uniforms come from; None is torch's global generator.
        temperature: above 0.
        top_k: at least 1; None or V and more is all tokens.
        top_p: above 0 and at most 1; None or 1 is all tokens.

    Returns:
        Token ids, ``int64``, shape ``(M,)``.

    Raises:
        ValueError: temperature, top_k or top_p is out of range.
    """
    n_rows, vocab_size = len(hidden_MH), len(weight_VH)
    check_sampling(temperature, top_k, top_p)
    n_kept = vocab_size if top_k is None else min(top_k, vocab_size)
    mass = 1.0 if top_p is None else top_p
    logits2 = Logits2(hidden_MH, weight_VH, bias_V, chunk=_CHUNK_ELEMENTS, scale=1 / temperature, multiple=_BLOCK)
    uniform_M1 = torch.rand(n_rows, 1, generator=generator, device=hidden_MH.device, dtype=hidden_MH.dtype)
    token_M = torch.empty(n_rows, dtype=torch.int64, device=hidden_MH.device)
    for rows in logits2.chunks:
        weights_CV = logits2.of(rows)  # first logits, then weights
        if n_kept < vocab_size or mass < 1:
            token_M[rows] = _draw_likeliest(weights_CV[:, :vocab_size] / LOG2_E, uniform_M1[rows], n_kept, mass)
            continue
        weights_CKJ = weights_CV.exp2_().unflatten(1, (-1, _BLOCK))
        block_C1, target_C1 = _invert(weights_CKJ.sum(dim=2), uniform_M1[rows])
        inside_CJ = weights_CKJ.gather(1, block_C1[:, :, None].expand(-1, 1, _BLOCK)).squeeze(1)
        inside_C1, _ = _invert(inside_CJ, target_C1 / inside_CJ.sum(dim=1, keepdim=True))
        token_M[rows] = (block_C1 * _BLOCK + inside_C1).squeeze(1)
    return token_M


def check_sampling(temperature: float, top_k: int | None = None, top_p: float | None = None) -> None:
    """Refuse what no token can be drawn with.

    Raises:
        ValueError: temperature, top_k or top_p is out of range.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, got {temperature}")
    if top_k is not None and (isinstance(top_k, bool) or not isinstance(top_k, Integral) or top_k < 1):
        raise ValueError(f"top_k must be a whole number of at least 1, got {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p must be above 0 and at most 1, got {top_p}")


def _draw_likeliest(logits_CV: Tensor, uniform_C1: Tensor, n_kept: int, mass: float) -> Tensor:
    """Draw one of the ``n_kept`` likeliest tokens and of these only from the first that together reach ``mass``."""
    logits_CK, token_CK = logits_CV.topk(n_kept, dim=1)  # in descending order
    p_CK = logits_CK.softmax(dim=1)
    # a token belongs to the nucleus if those before it do not reach the mass yet: the likeliest always does
    before_CK = p_CK.cumsum(dim=1, dtype=torch.float64) - p_CK
    index_C1, _ = _invert(p_CK.masked_fill(before_CK >= mass, 0), uniform_C1)
    return token_CK.gather(1, index_C1).squeeze(1)


def _invert(weights_CK: Tensor, uniform_C1: Tensor) -> tuple[Tensor, Tensor]:
    """The first index whose cumulative weight exceeds ``uniform`` of the total, and how far inside it that lies.

    An index of weight 0 is never chosen: rounding is kept from carrying the target up to the total.
    """
    cumulative_CK = weights_CK.cumsum(dim=1)
    total_C1 = cumulative_CK[:, -1:]
    target_C1 = uniform_C1.clamp(0.0, _BELOW_ONE) * total_C1
    index_C1 = torch.searchsorted(cumulative_CK, target_C1, right=True).clamp_(max=weights_CK.shape[1] - 1)
    below_C1 = cumulative_CK.gather(1, (index_C1 - 1).clamp(min=0)) * (index_C1 > 0)
    return index_C1, target_C1 - below_C1
