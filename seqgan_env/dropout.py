"""Dropout whose noise comes from a generator of one's own."""

from __future__ import annotations

import torch
from torch import Tensor


def dropout(x: Tensor, p: float, rng: torch.Generator | None, shape: tuple[int, ...] | None = None) -> Tensor:
    """Inverted dropout (``torch.nn.functional.dropout`` takes no generator).

    Args:
        x: any tensor.
        p: probability that an element is dropped, in [0, 1).
        rng: where the noise comes from; None is torch's global generator.
        shape: of the noise, which is broadcast to ``x``; None is that of ``x``.
    """
    keep = torch.rand(x.shape if shape is None else shape, device=x.device, dtype=x.dtype, generator=rng) >= p
    return x * (keep.to(x.dtype) / (1.0 - p))
