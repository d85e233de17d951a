"""The conventions of a batch of token sequences, in one place.

A batch is an ``int64`` array of shape ``(B, T)``. Row ``b`` holds ``length[b]`` token ids in ``[0, V)``, then the
padding id ``V`` up to the horizon ``T``. End-of-sequence, where a task has it, is an ordinary token: it is an action
that the agent chooses, it has a probability, and it counts towards the length. The padding id also stands for "nothing
yet": it is what a generator reads before the first token.

Dimension suffixes used throughout the project: ``B`` batch, ``T`` time, ``V`` vocabulary, ``N`` completions, ``H``
hidden.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch.nn.functional as F
from torch import Tensor

from seqgan_env.checks import is_whole

Tokens = npt.NDArray[np.int64]
"""An ``int64`` array of token ids; ``(B, T)`` unless said otherwise."""
Batch = TypeVar("Batch", Tokens, Tensor)
"""A batch of sequences as an array or as a tensor; what is computed of it is of the same kind."""
MAX_VOCAB_SIZE = 2**24
"""The largest V. Networks have a row for each token, and with 2**24 rows of 64 numbers an embedding fills 4 GB."""


@dataclass(frozen=True)
class SequenceSpec:
    """The form of the sequences of one task.

    Args:
        vocab_size: V, the number of tokens that can be chosen, ids ``0 .. V - 1``.
        max_length: T, the horizon, in tokens.
        eos_id: the token that ends a sequence early, or None where every sequence has T tokens.
        vocabulary: the beginning of the hash of the vocabulary, so that ids mean the same wherever specifications are
            equal; None where tokens have no text.

    Raises:
        ValueError: a size below 1, a larger V than ``MAX_VOCAB_SIZE``, an end-of-sequence id outside the vocabulary, or
            a hash that is no text.
    """

    vocab_size: int
    max_length: int
    eos_id: int | None = None
    vocabulary: str | None = None

    def __post_init__(self) -> None:
        for name in ("vocab_size", "max_length"):
            value = getattr(self, name)
            if not is_whole(value) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
        if self.vocab_size > MAX_VOCAB_SIZE:
            raise ValueError(f"vocab_size must be at most {MAX_VOCAB_SIZE}, got {self.vocab_size}")
        if self.eos_id is not None and not (is_whole(self.eos_id) and 0 <= self.eos_id < self.vocab_size):
            raise ValueError(f"eos_id must be a whole number in [0, {self.vocab_size}), got {self.eos_id!r}")
        if self.vocabulary is not None and not re.fullmatch("[0-9a-f]{16}", str(self.vocabulary)):
            raise ValueError(f"vocabulary must be 16 digits of the hash of one, or None; got {self.vocabulary!r}")
        for name, value in list(vars(self).items()):  # NumPy's integers would not go into JSON
            object.__setattr__(self, name, int(value) if is_whole(value) else value)

    @property
    def pad_id(self) -> int:
        """The id after the end of a sequence and before its first token: V."""
        return self.vocab_size

    def is_token(self, tokens_BT: Batch) -> Batch:
        """The mask of tokens against padding, boolean, of the shape of ``tokens_BT``."""
        mask_BT: Batch = tokens_BT != self.pad_id
        return mask_BT

    def lengths(self, tokens_BT: Batch) -> Batch:
        """The number of tokens in each row, end-of-sequence included, ``int64``, shape ``(B,)``."""
        length_B: Batch = self.is_token(tokens_BT).sum(-1)
        return length_B

    def is_complete(self, tokens_BT: Batch) -> Batch:
        """Whether each row has ended, by end-of-sequence or by reaching the horizon, boolean, shape ``(B,)``."""
        complete_B: Batch = self.lengths(tokens_BT) == self.max_length
        if self.eos_id is not None:
            complete_B |= (tokens_BT == self.eos_id).any(-1)
        return complete_B

    def with_start(self, tokens_BT: Tensor) -> Tensor:
        """The start symbol V, then the tokens, shape ``(B, T + 1)``.

        Entry t of what a causal network makes of it has read the first t tokens. The inputs that predict ``tokens_BT``
        are therefore ``with_start(tokens_BT[:, :-1])``.
        """
        return F.pad(tokens_BT, (1, 0), value=self.pad_id)

    def validate(self, tokens: Any, *, complete: bool = False, name: str = "tokens") -> Tokens:
        """Check a batch at the boundary and return it as an ``int64`` array of shape ``(B, T)``.

        Rows shorter than T are padded on the right.

        Args:
            tokens: anything ``numpy.asarray`` takes, of shape ``(B, t)`` with ``t <= T``.
            complete: also require that every row has ended.
            name: what to call the batch in an error.

        Raises:
            ValueError: a wrong rank or dtype, a row longer than T, an id outside the vocabulary, a token after padding
                or after end-of-sequence, or, with ``complete``, a sequence that has not ended.
        """
        array = np.asarray(tokens)
        if array.ndim != 2:
            raise ValueError(f"{name} must have shape (B, T), got an array of shape {array.shape}")
        if array.size and not np.issubdtype(array.dtype, np.integer):
            raise ValueError(f"{name} must be whole numbers, got an array of {array.dtype}")
        if array.shape[1] > self.max_length:
            raise ValueError(f"{name} must have at most T = {self.max_length} columns, got {array.shape[1]}")
        batch = np.full((array.shape[0], self.max_length), self.pad_id, dtype=np.int64)
        batch[:, : array.shape[1]] = array
        outside = (batch < 0) | (batch > self.pad_id)
        if outside.any():
            wrong = batch[outside][0]
            raise ValueError(
                f"{name} must hold ids in [0, {self.vocab_size}), or {self.pad_id} as padding; got {wrong}"
            )
        is_pad = batch == self.pad_id
        after_end = is_pad[:, :-1]
        if self.eos_id is not None:
            after_end = after_end | (batch[:, :-1] == self.eos_id)
        if (after_end & ~is_pad[:, 1:]).any():
            row = int(np.flatnonzero((after_end & ~is_pad[:, 1:]).any(axis=1))[0])
            raise ValueError(f"{name} must hold nothing after padding or end-of-sequence; row {row} does")
        if complete and not self.is_complete(batch).all():
            row = int(np.flatnonzero(~self.is_complete(batch))[0])
            end = "" if self.eos_id is None else f" or end with {self.eos_id}"
            raise ValueError(
                f"{name} must be complete: {self.max_length} tokens long{end}; row {row} has {self.lengths(batch)[row]}"
            )
        return batch


def distinct_rows(tokens_BT: Tokens) -> tuple[Tokens, npt.NDArray[np.intp]]:
    """The different sequences of many, ``(K, T)``, and the number of its own among them for each, ``(B,)``."""
    rows_BT = np.ascontiguousarray(tokens_BT)
    row_B = rows_BT.view(np.dtype((np.void, rows_BT.itemsize * rows_BT.shape[1]))).ravel()
    _, first_K, which_B = np.unique(row_B, return_index=True, return_inverse=True)
    return rows_BT[first_K], which_B
