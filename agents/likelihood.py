"""The log-probability of given tokens under a softmax over a large vocabulary, in bounded memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

_CHUNK_ELEMENTS = {"cpu": 1 << 19, "cuda": 1 << 26}
"""Logits held at once: on a CPU 2 MB, which stay in the cache from the product to the sum."""


def token_log_prob(hidden_MH: Tensor, weight_VH: Tensor, bias_V: Tensor, token_M: Tensor) -> Tensor:
    """``log softmax(W h + c)[y]`` of each row's token y (eq. 13.30), nats, shape ``(M,)``, with gradient.

    It is ``-cross_entropy`` without the M x V logits: they are made some rows at a time, and made again for the
    gradient, which costs one product more of four and never leaves the cache.

    Args:
        hidden_MH: the generator's output states.
        weight_VH: W, the output matrix.
        bias_V: c, the output bias.
        token_M: token ids, ``int64``.
    """
    log_prob_M: Tensor = _TokenLogProb.apply(hidden_MH, weight_VH, bias_V, token_M)  # type: ignore[no-untyped-call]
    return log_prob_M


class _TokenLogProb(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden_MH: Tensor, weight_VH: Tensor, bias_V: Tensor, token_M: Tensor) -> Tensor:
        log_total_M = hidden_MH.new_empty(len(hidden_MH))
        logit_M = torch.empty_like(log_total_M)
        for rows in _chunks(hidden_MH, weight_VH):
            logits_CV = torch.addmm(bias_V, hidden_MH[rows], weight_VH.t())
            logit_M[rows] = logits_CV.gather(1, token_M[rows, None]).squeeze(1)
            largest_C1 = logits_CV.amax(dim=1, keepdim=True)
            total_C = logits_CV.sub_(largest_C1).exp_().sum(dim=1)
            log_total_M[rows] = total_C.log_().add_(largest_C1.squeeze(1))
        ctx.save_for_backward(hidden_MH, weight_VH, bias_V, token_M, log_total_M)
        return logit_M - log_total_M

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad_M: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        hidden_MH, weight_VH, bias_V, token_M, log_total_M = ctx.saved_tensors  # type: ignore[attr-defined]
        grad_hidden_MH = torch.empty_like(hidden_MH)
        grad_weight_VH, grad_bias_V = torch.zeros_like(weight_VH), torch.zeros_like(bias_V)
        for rows in _chunks(hidden_MH, weight_VH):
            # the gradient by the logits is g (1[y] - p)
            grad_CV = torch.addmm(bias_V, hidden_MH[rows], weight_VH.t())
            grad_CV.sub_(log_total_M[rows, None]).exp_().mul_(-grad_M[rows, None])
            grad_CV.scatter_add_(1, token_M[rows, None], grad_M[rows, None])
            torch.mm(grad_CV, weight_VH, out=grad_hidden_MH[rows])
            grad_weight_VH.addmm_(grad_CV.t(), hidden_MH[rows])
            grad_bias_V += grad_CV.sum(dim=0)
        return grad_hidden_MH, grad_weight_VH, grad_bias_V, None


def _chunks(hidden_MH: Tensor, weight_VH: Tensor) -> list[slice]:
    """Rows whose logits are few enough; where they begin changes no result but for rounding."""
    elements = _CHUNK_ELEMENTS.get(hidden_MH.device.type, _CHUNK_ELEMENTS["cuda"])
    size = max(1, elements // len(weight_VH))
    return [slice(start, start + size) for start in range(0, len(hidden_MH), size)]
