"""Discriminators that read their tokens by their embeddings alone, and the penalty on the slope in these.

Dimensions: those of ``tokens``; E embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seqgan_env.device import twice_differentiable
from seqgan_env.discriminators.base import Discriminator


class Embedded(Discriminator):
    """Base class of the discriminators whose logit is a function of embeddings, which may be those of no token.

    A subclass makes ``embedding`` and implements ``from_embedded``.
    """

    embedding: nn.Embedding

    def forward(self, tokens_BT: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Score a batch; see ``Discriminator.forward``."""
        return self.from_embedded(self.embedding(tokens_BT), self.spec.is_token(tokens_BT), rng)

    def from_embedded(self, embedded_BTE: Tensor, is_token_BT: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """The logit of sequences of embeddings.

        Args:
            embedded_BTE: embeddings, of up to T places.
            is_token_BT: the places that are no padding, in each row the first ones.
            rng: where dropout takes its noise from in training mode.

        Returns:
            ``logit_real_B``, shape ``(B,)``.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement from_embedded")

    @property
    def has_gradient_penalty(self) -> bool:
        """True."""
        return True

    def gradient_penalty(self, real_BT: Tensor, generated_BT: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """The mean of ``(|gradient of the logit| - 1)^2`` between real and generated embeddings, a scalar.

        That of WGAN-GP (arXiv 1704.00028, eq. 3). Each point lies on the line from a generated to a real sequence's
        embeddings, at a place drawn evenly, and counts as a constant; the gradient is that by all embeddings of the
        sequence. A place that is padding in one of the two alone belongs to it, padding of both does not. Call it in
        evaluation mode: the function that scores is the one whose slope counts.

        Args:
            real_BT: real sequences.
            generated_BT: generated ones; of the longer batch the first are taken.
            rng: where the places are drawn from.
        """
        n = min(len(real_BT), len(generated_BT))
        real_BT, generated_BT = real_BT[:n], generated_BT[:n]
        with torch.no_grad():
            real_BTE, generated_BTE = self.embedding(real_BT), self.embedding(generated_BT)
            share_B11 = torch.rand(n, 1, 1, generator=rng, device=real_BTE.device, dtype=real_BTE.dtype)
            embedded_BTE = torch.lerp(generated_BTE, real_BTE, share_B11)
        embedded_BTE.requires_grad_()
        is_token_BT = self.spec.is_token(real_BT) | self.spec.is_token(generated_BT)
        with twice_differentiable():
            logit_real_B = self.from_embedded(embedded_BTE, is_token_BT)
            (slope_BTE,) = torch.autograd.grad(logit_real_B.sum(), embedded_BTE, create_graph=True)
        slope_BTE = slope_BTE.masked_fill(~is_token_BT[..., None], 0)
        penalty: Tensor = (torch.linalg.vector_norm(slope_BTE.flatten(1), dim=1) - 1).square().mean()
        return penalty


def freeze_embeddings(discriminator: Discriminator) -> None:
    """Let the embeddings stay as they are: a gradient penalty limits the slope in them, and not their own size."""
    for module in discriminator.modules():
        if isinstance(module, nn.Embedding):
            module.requires_grad_(False)
