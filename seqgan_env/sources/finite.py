"""A finite source: the sequences of a file, of unknown distribution, and how they are split.

Lines are kept as one flat array of ids with a start and a length for each, so that one long line among a million short
ones costs nothing until rows are asked for.

Suffixes: B rows asked for, L lines of the file, T time, V vocabulary; F the flat array of all ids.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from seqgan_env.checks import NonNegativeInt, PositiveInt, check_arguments
from seqgan_env.device import check_memory
from seqgan_env.seeding import numpy_rng
from seqgan_env.tokens import SequenceSpec, Tokens
from seqgan_env.vocabulary import Vocabulary

HELD_OUT_SHARE = 5
"""At most one line in this many is held out."""


class FiniteSource:
    """The sequences of a file.

    Args:
        path: of the file, for errors.
        sha256: of its content.
        spec: the form of its sequences; end-of-sequence, where there is one, is added to each.
        token_F: the ids of all lines, one line after the other.
        length_L: the number of tokens of each line.
        vocabulary: the map between text and ids, or None where tokens have no text.
    """

    def __init__(
        self,
        path: str,
        sha256: str,
        spec: SequenceSpec,
        token_F: npt.NDArray[np.int32],
        length_L: Tokens,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        self.path, self.sha256, self.spec, self.vocabulary = path, sha256, spec, vocabulary
        self._token_F, self._length_L = token_F, length_L
        self._start_L: Tokens = np.cumsum(length_L) - length_L

    def __len__(self) -> int:
        """The number of sequences, repeated ones included."""
        return len(self._length_L)

    @check_arguments
    def split(self, n_train: PositiveInt, n_test: PositiveInt, seed: NonNegativeInt) -> tuple[Tokens, Tokens]:
        """Draw a training and a held-out set without replacement, shapes ``(n, T)``, in an order that the seed decides.

        Identical sequences go to the same side, all of them, so that the held-out set holds nothing that was trained
        on; each side otherwise keeps them as often as the file has them. At most a fifth of the file is held out, but
        always at least one sequence. The held-out set does not depend on ``n_train``.

        Args:
            n_train: at most this many sequences to train on.
            n_test: at most this many held-out sequences.
            seed: decides which, and their order.

        Raises:
            ValueError: a size below 1, a negative seed, a file with fewer than two distinct sequences, or sets
                that do not fit into memory.
        """
        rng = numpy_rng(seed, "split")
        group_L = self._group_L
        size = np.bincount(group_L)
        if len(size) < 2:
            raise ValueError(f"{self.path}: a split needs at least 2 distinct sequences, it has 1")
        n_test = min(n_test, max(1, len(self) // HELD_OUT_SHARE))
        order = rng.permutation(len(size))
        held_out = np.zeros(len(size), dtype=np.bool_)
        room = n_test
        for group in order.tolist():
            if size[group] <= room:
                held_out[group] = True
                room -= size[group]
                if not room:
                    break
        if not held_out.any():  # each sequence stands there more often than n_test: hold out the rarest, in part
            held_out[order[np.argmin(size[order])]] = True
        row_L = rng.permutation(len(self))
        is_test_L = held_out[group_L[row_L]]
        return self.rows(row_L[~is_test_L][:n_train]), self.rows(row_L[is_test_L][:n_test])

    @functools.cached_property
    def _group_L(self) -> Tokens:
        return same_lines(self._token_F, self._length_L)

    def lines(self) -> Iterator[bytes]:
        """A key of each line: equal sequences have the same."""
        return lines_of(self._token_F, self._length_L)

    def rows(self, row_B: Tokens) -> Tokens:
        """The sequences of some lines, with end-of-sequence and padding, shape ``(B, T)``.

        Args:
            row_B: the numbers of the lines, from 0 on.

        Raises:
            ValueError: they do not fit into memory.
        """
        length_B, n_tokens = self._length_L[row_B], self.spec.max_length
        check_memory(8 * len(row_B) * n_tokens, f"{len(row_B)} lines of {self.path} of max_length {n_tokens}")
        tokens_BT = np.full((len(row_B), self.spec.max_length), self.spec.pad_id, dtype=np.int64)
        row_F = np.repeat(np.arange(len(row_B)), length_B)
        time_F = np.arange(len(row_F)) - np.repeat(np.cumsum(length_B) - length_B, length_B)
        tokens_BT[row_F, time_F] = self._token_F[self._start_L[row_B][row_F] + time_F]
        if self.spec.eos_id is not None:
            tokens_BT[np.arange(len(row_B)), length_B] = self.spec.eos_id
        return tokens_BT


def same_lines(token_F: npt.NDArray[np.int32], length_L: Tokens) -> Tokens:
    """A number for each line, from 0 on, the same for the same sequence.

    Args:
        token_F: the ids of all lines, one line after the other.
        length_L: the number of tokens of each line.
    """
    numbers: dict[bytes, int] = {}
    keys = lines_of(token_F, length_L)
    return np.fromiter((numbers.setdefault(key, len(numbers)) for key in keys), np.int64, count=len(length_L))


def lines_of(token_F: npt.NDArray[np.int32], length_L: Tokens) -> Iterator[bytes]:
    """A key of each line: equal sequences have the same.

    Args:
        token_F: the ids of all lines, one line after the other.
        length_L: the number of tokens of each line.
    """
    end_L = np.cumsum(length_L)
    spans = zip((end_L - length_L).tolist(), end_L.tolist(), strict=True)
    return (token_F[start:end].tobytes() for start, end in spans)
