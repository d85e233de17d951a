"""Log-probabilities of given tokens under a softmax over a large vocabulary, without ever holding M x V logits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from seqgan_env.autoregressive.softmax import LOG2_E, Logits2, log2_prob


def token_log_prob(
    hidden_MH: Tensor, weight_VH: Tensor, bias_V: Tensor, token_M: Tensor, allowed_MV: Tensor | None = None
) -> Tensor:
    """``log softmax(W h + c)[y]`` of each row's token y (eq. 13.30), nats, shape ``(M,)``, with gradient.

    For its gradient the logits are made a second time; ``weighted_log_prob`` spares that where it is known beforehand
    what becomes of the log-probabilities.

    Args:
        hidden_MH: the states that predict the next token.
        weight_VH: W, the output matrix.
        bias_V: c, the output bias.
        token_M: token ids, ``int64``.
        allowed_MV: the tokens that each row may have, boolean; the rest of the softmax is scaled up to 1. None allows
            all.
    """
    arguments = hidden_MH, weight_VH, bias_V, token_M, allowed_MV
    log_prob_M: Tensor = _TokenLogProb.apply(*arguments)  # type: ignore[no-untyped-call]
    return log_prob_M


def weighted_log_prob(
    hidden_MH: Tensor,
    weight_VH: Tensor,
    bias_V: Tensor,
    token_M: Tensor,
    factor_M: Tensor,
    smoothing: float = 0.0,
    allowed_MV: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The sum of ``factor * log_prob``, a scalar with gradient, and ``log_prob_M`` without.

    Every objective here is such a sum: with its factors given, the gradient is made in the same pass as the value.

    Args:
        hidden_MH: as for ``token_log_prob``.
        weight_VH: as for ``token_log_prob``.
        bias_V: as for ``token_log_prob``.
        token_M: as for ``token_log_prob``.
        factor_M: taken as constants.
        smoothing: s; in the sum a log-probability becomes ``1 - s`` of itself and ``s`` of the mean over all tokens.
        allowed_MV: as for ``token_log_prob``; not together with smoothing.
    """
    arguments = (hidden_MH, weight_VH, bias_V, token_M, factor_M, smoothing, allowed_MV)
    total, log_prob_M = _WeightedLogProb.apply(*arguments)  # type: ignore[no-untyped-call]
    return total, log_prob_M


def expected_value(hidden_MH: Tensor, weight_VH: Tensor, bias_V: Tensor, value_MV: Tensor) -> Tensor:
    """The sum over rows of the mean of a value under ``softmax(W h + c)`` (eq. 13.30), a scalar with gradient.

    Args:
        hidden_MH: as for ``token_log_prob``.
        weight_VH: as for ``token_log_prob``.
        bias_V: as for ``token_log_prob``.
        value_MV: the value of each token in each row, taken as constants.
    """
    total: Tensor = _ExpectedValue.apply(hidden_MH, weight_VH, bias_V, value_MV)  # type: ignore[no-untyped-call]
    return total


class _ExpectedValue(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden_MH: Tensor, weight_VH: Tensor, bias_V: Tensor, value_MV: Tensor) -> Tensor:
        mean_M1 = torch.empty_like(hidden_MH[:, :1])
        grad_hidden_MH = torch.empty_like(hidden_MH)
        grad_weight_VH, grad_bias_V = torch.zeros_like(weight_VH), torch.zeros_like(bias_V)
        logits2 = Logits2(hidden_MH, weight_VH, bias_V)
        for rows in logits2.chunks:
            p_CV = logits2.of(rows).exp2_()
            p_CV /= p_CV.sum(dim=1, keepdim=True)
            mean_M1[rows] = (p_CV * value_MV[rows]).sum(dim=1, keepdim=True)
            p_CV *= value_MV[rows] - mean_M1[rows]  # the gradient by the logits
            torch.mm(p_CV, weight_VH, out=grad_hidden_MH[rows])
            grad_weight_VH.addmm_(p_CV.t(), hidden_MH[rows])
            grad_bias_V += p_CV.sum(dim=0)
        ctx.save_for_backward(grad_hidden_MH, grad_weight_VH, grad_bias_V)
        return mean_M1.sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        return *(grad * gradient for gradient in ctx.saved_tensors), None  # type: ignore[attr-defined]


class _TokenLogProb(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden_MH: Tensor, weight_VH: Tensor, bias_V: Tensor, token_M: Tensor, allowed_MV: Tensor | None
    ) -> Tensor:
        ctx.save_for_backward(hidden_MH, weight_VH, bias_V, token_M)
        ctx.allowed_MV = allowed_MV
        return _pass(hidden_MH, weight_VH, bias_V, token_M, allowed_MV=allowed_MV)[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad_M: Tensor) -> tuple[Tensor | None, ...]:
        hidden_MH, weight_VH, bias_V, token_M = ctx.saved_tensors  # type: ignore[attr-defined]
        allowed_MV = ctx.allowed_MV  # type: ignore[attr-defined]
        return *_pass(hidden_MH, weight_VH, bias_V, token_M, grad_M, allowed_MV=allowed_MV)[1:], None, None


class _WeightedLogProb(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_MH: Tensor,
        weight_VH: Tensor,
        bias_V: Tensor,
        token_M: Tensor,
        factor_M: Tensor,
        smoothing: float,
        allowed_MV: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        arguments, factor = (hidden_MH, weight_VH, bias_V, token_M), factor_M if any(ctx.needs_input_grad) else None
        log_prob_M, *gradients = _pass(*arguments, factor, smoothing, allowed_MV)
        total_M = log_prob_M
        if smoothing:
            mean_M = _mean_log_prob(hidden_MH, weight_VH, bias_V, token_M, log_prob_M)
            total_M = (1 - smoothing) * log_prob_M + smoothing * mean_M
        ctx.save_for_backward(*gradients)
        ctx.mark_non_differentiable(log_prob_M)
        return (factor_M * total_M).sum(), log_prob_M

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        return *(grad * gradient for gradient in ctx.saved_tensors), None, None, None, None  # type: ignore[attr-defined]


def _mean_log_prob(hidden_MH: Tensor, weight_VH: Tensor, bias_V: Tensor, token_M: Tensor, log_prob_M: Tensor) -> Tensor:
    """The mean log-probability over all tokens of each row, nats: that of its own token, and their logits' distance."""
    toward_MH = weight_VH.mean(dim=0) - weight_VH[token_M]
    return log_prob_M + (hidden_MH * toward_MH).sum(dim=1) + bias_V.mean() - bias_V[token_M]


def _pass(
    hidden_MH: Tensor,
    weight_VH: Tensor,
    bias_V: Tensor,
    token_M: Tensor,
    factor_M: Tensor | None = None,
    smoothing: float = 0.0,
    allowed_MV: Tensor | None = None,
) -> tuple[Tensor, ...]:
    """The log-probabilities and, with factors, the gradients of their weighted sum by the first three arguments.

    The rows are walked in chunks; where these begin changes no result but for rounding.
    """
    log2_prob_M = hidden_MH.new_empty(len(hidden_MH))
    if factor_M is not None:
        grad_hidden_MH = torch.empty_like(hidden_MH)
        grad_weight_VH, grad_bias_V = torch.zeros_like(weight_VH), torch.zeros_like(bias_V)
    logits2 = Logits2(hidden_MH, weight_VH, bias_V, allowed_MV=allowed_MV)
    for rows in logits2.chunks:
        x_CV = logits2.of(rows)
        log2_prob_M[rows], total_C1 = log2_prob(x_CV, token_M[rows])
        if factor_M is not None:
            factor_C1 = factor_M[rows, None]
            x_CV.mul_(-factor_C1 / total_C1)
            if smoothing:
                x_CV += factor_C1 * (smoothing / x_CV.shape[1])
            x_CV.scatter_add_(1, token_M[rows, None], factor_C1 * (1 - smoothing))  # f (1[y] - p), or its smoothed form
            torch.mm(x_CV, weight_VH, out=grad_hidden_MH[rows])
            grad_weight_VH.addmm_(x_CV.t(), hidden_MH[rows])
            grad_bias_V += x_CV.sum(dim=0)
    log_prob_M = log2_prob_M / LOG2_E
    return (log_prob_M,) if factor_M is None else (log_prob_M, grad_hidden_MH, grad_weight_VH, grad_bias_V)
