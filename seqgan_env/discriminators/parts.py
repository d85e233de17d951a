"""Parts that several networks share: the columns worth reading, and checks of settings."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from seqgan_env.checks import check_whole_number
from seqgan_env.device import may_look
from seqgan_env.tokens import SequenceSpec


def without_empty_columns(spec: SequenceSpec, tokens_BT: Tensor) -> Tensor:
    """The columns up to the end of the longest sequence, at least one; all of them on a GPU, which would have to wait.

    Args:
        spec: the task's sequences.
        tokens_BT: sequences, padded with V.
    """
    if not may_look(tokens_BT.device):
        return tokens_BT
    return tokens_BT[:, : max(1, int(spec.is_token(tokens_BT).any(dim=0).sum()))]


def check_sizes(config: Any, *names: str) -> None:
    """Refuse settings that are not whole numbers of at least 1.

    Raises:
        ValueError: one is not.
    """
    for name in names:
        check_whole_number(name, getattr(config, name), 1)


def check_regularisation(dropout: float, l2: float = 0.0) -> None:
    """Refuse a share of features or the weight of a penalty that is out of range.

    Raises:
        ValueError: one is.
    """
    if not 0 <= dropout < 1 or not 0 <= l2 < float("inf"):
        raise ValueError(f"dropout must be in [0, 1) and l2 at least 0, got {dropout} and {l2}")
