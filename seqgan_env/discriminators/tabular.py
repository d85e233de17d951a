"""A discriminator without any assumption: one number for each sequence of a task that can be enumerated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from seqgan_env.checks import NonNegativeFloat, check_fields
from seqgan_env.discriminators.base import Discriminator
from seqgan_env.discriminators.registry import register_discriminator
from seqgan_env.enumeration import index_weights, n_completions, n_sequences
from seqgan_env.tokens import SequenceSpec, Tokens


@dataclass(frozen=True)
class TabularConfig:
    """The settings of ``TabularDiscriminator``.

    Raises:
        ValueError: the scale is out of range.
    """

    scale: NonNegativeFloat = 0.0
    """Standard deviation of the initial logits, drawn from a normal distribution around 0; 0 is ``D = 1/2``."""

    def __post_init__(self) -> None:
        check_fields(self)


class TabularDiscriminator(Discriminator):
    """One free logit for each complete sequence.

    It can be any discriminator at all, so training on eq. 13.32 leads to the optimum ``p / (p + G)`` itself; and with a
    scale above 0 it is, untrained, a task whose every sequence has a reward of its own.

    Args:
        spec: the task's sequences, few enough to enumerate.
        config: the settings; None is ``D = 1/2`` for every sequence.

    Raises:
        ValueError: the task is too large to enumerate.
    """

    Config = TabularConfig

    weight_TU: Tensor
    """The share of each token, or padding, in the index of its sequence."""

    def __init__(self, spec: SequenceSpec, config: TabularConfig | None = None) -> None:
        super().__init__(spec, config)
        self.table_K = nn.Parameter(self.config.scale * torch.randn(n_sequences(spec)))
        """The logits, in the order of ``enumeration.all_sequences``."""
        self.register_buffer("weight_TU", torch.from_numpy(index_weights(spec)), persistent=False)

    @classmethod
    def check(cls, spec: SequenceSpec, config: TabularConfig) -> None:
        """See ``Discriminator.check``."""
        n_sequences(spec)

    def forward(self, tokens_BT: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Look each logit up; see ``Discriminator.forward``."""
        return self.table_K[self._index(tokens_BT)]

    def row_logits(self, tokens_BT: Tokens | Tensor) -> npt.NDArray[np.float64]:
        """Look each logit up; see ``Discriminator.row_logits``."""
        table_K = self.table_K.detach()
        if table_K.device.type != "cpu":
            return super().row_logits(tokens_BT)
        index_B = self.weight_TU.numpy()[np.arange(self.spec.max_length), np.asarray(tokens_BT)].sum(axis=1)
        return np.asarray(table_K.numpy()[index_B], dtype=np.float64)

    @torch.no_grad()
    def prefix_logits(self, tokens_BT: Tokens | Tensor, *, exact: bool = True) -> npt.NDArray[np.float64]:
        """The mean logit of all completions of each prefix; see ``Discriminator.prefix_logits``."""
        tokens = torch.as_tensor(tokens_BT, device=self.device)
        length_B = self.spec.lengths(tokens)
        n_B = torch.tensor(n_completions(self.spec), device=self.device)[length_B]
        if self.spec.eos_id is not None:
            n_B[(tokens == self.spec.eos_id).any(dim=1)] = 1
        first_B = self._index(tokens)  # padding adds nothing: the index of the first completion
        sum_K1 = torch.nn.functional.pad(self.table_K.double().cumsum(0), (1, 0))
        return ((sum_K1[first_B + n_B] - sum_K1[first_B]) / n_B).cpu().numpy()

    def _index(self, tokens_BT: Tensor) -> Tensor:
        step_T = torch.arange(self.spec.max_length, device=tokens_BT.device)
        return self.weight_TU[step_T, tokens_BT].sum(dim=1)


register_discriminator(
    "tabular",
    TabularDiscriminator,
    summary="A free logit for each sequence, for a task small enough to enumerate.",
    source="this project",
    formula="logit(Y) = table[Y]",
    cost="A look-up a score; but the table has a number for every sequence, V^T without an end-of-sequence token, and "
    "each update goes over all of it. Not measured.",
    when="A task that can be enumerated, to see what the game does with a discriminator that can be the optimum "
    "itself. It learns nothing about a sequence from any other one.",
)
