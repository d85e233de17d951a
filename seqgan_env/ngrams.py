"""N-grams of token sequences: finding, counting and comparing them.

Dimensions: B sequences, T time, P windows of n tokens, K distinct n-grams, C pairs of a sequence and an n-gram in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from seqgan_env.tokens import SequenceSpec, Tokens


class Counts(NamedTuple):
    """The n-grams of one length that sequences hold; by sequence and then by n-gram, both ascending."""

    row_C: Tokens
    """The sequence."""
    gram_C: Tokens
    """The n-gram, as its index among the known ones."""
    count_C: Tokens
    """The number of times that it stands there, at least 1."""


class NgramTable:
    """The n-grams of some sequences, of lengths 1 to ``max_n``.

    An n-gram is known by its index among those of its length: that of its beginning, of n - 1 tokens, and its last
    token make its code, whatever the size of the vocabulary.

    Args:
        spec: the sequences' form.
        tokens_BT: the sequences, padded with V.
        max_n: tokens of the longest n-grams.
    """

    def __init__(self, spec: SequenceSpec, tokens_BT: Tokens, max_n: int) -> None:
        self._spec = spec
        self._codes: list[Tokens] = []  # of each length, ascending, shape (K,)
        index_BP = np.zeros((len(tokens_BT), tokens_BT.shape[1] + 1), dtype=np.int64)  # of no tokens
        for _ in range(max_n):
            code_BP = self._longer(index_BP, tokens_BT)
            self._codes.append(np.unique(code_BP[code_BP >= 0]))
            index_BP = _find(self._codes[-1], code_BP)

    @property
    def sizes(self) -> list[int]:
        """The number of distinct n-grams of each length."""
        return [len(code_K) for code_K in self._codes]

    def counts(self, tokens_BT: Tokens) -> Iterator[Counts]:
        """The known n-grams of each length that sequences hold.

        Args:
            tokens_BT: sequences, padded with V.
        """
        index_BP = np.zeros((len(tokens_BT), tokens_BT.shape[1] + 1), dtype=np.int64)
        for code_K in self._codes:
            index_BP = _find(code_K, self._longer(index_BP, tokens_BT))
            row_C, place_C = np.nonzero(index_BP >= 0)
            n_known = max(1, len(code_K))
            pair_C, count_C = np.unique(row_C * n_known + index_BP[row_C, place_C], return_counts=True)
            yield Counts(pair_C // n_known, pair_C % n_known, count_C)

    def _longer(self, index_BP: Tokens, tokens_BT: Tokens) -> Tokens:
        """The codes of windows with one token more; -1 where the beginning is unknown or the token is padding."""
        beginning_BP = index_BP[:, :-1]
        last_BP = tokens_BT[:, tokens_BT.shape[1] - beginning_BP.shape[1] :]
        is_known_BP = (beginning_BP >= 0) & (last_BP != self._spec.pad_id)
        return np.where(is_known_BP, beginning_BP * self._spec.vocab_size + last_BP, -1)


def longest_shared(spec: SequenceSpec, tokens_BT: Tokens, others_BT: Tokens) -> npt.NDArray[np.int64]:
    """The length of the longest span of each sequence that stands in one of the others too, tokens, shape ``(B,)``.

    Spans grow by a token at a time, and only those that both sides hold grow on.

    Args:
        spec: the sequences' form.
        tokens_BT: the sequences, padded with V.
        others_BT: the other sequences.
    """
    longest_B = np.zeros(len(tokens_BT), dtype=np.int64)
    own, other = (_Spans(spec, rows_BT) for rows_BT in (tokens_BT, others_BT))
    for n in range(1, tokens_BT.shape[1] + 1):
        shared_K = np.intersect1d(own.grow(), other.grow())
        if not len(shared_K):
            break
        own.keep(shared_K)
        other.keep(shared_K)
        longest_B[own.row_S] = n
    return longest_B


class _Spans:
    """Spans of sequences that grow to the right; S are those that are left."""

    def __init__(self, spec: SequenceSpec, tokens_BT: Tokens) -> None:
        self._spec = spec
        self._padded_BT = np.pad(tokens_BT, ((0, 0), (0, 1)), constant_values=spec.pad_id)
        self.row_S, self._end_S = np.nonzero(spec.is_token(tokens_BT))
        self._code_S = np.zeros_like(self.row_S)

    def grow(self) -> Tokens:
        """Add a token to each span, drop those that had none to add, and give their codes."""
        token_S = self._padded_BT[self.row_S, self._end_S]
        self._code_S = np.where(token_S == self._spec.pad_id, -1, self._code_S * self._spec.vocab_size + token_S)
        self._end_S = self._end_S + 1
        self._select(self._code_S >= 0)
        return self._code_S

    def keep(self, shared_K: Tokens) -> None:
        """Keep the spans with these codes, ascending, and take the code's index for it."""
        self._code_S = _find(shared_K, self._code_S)
        self._select(self._code_S >= 0)

    def _select(self, kept_S: npt.NDArray[np.bool_]) -> None:
        self.row_S, self._end_S, self._code_S = self.row_S[kept_S], self._end_S[kept_S], self._code_S[kept_S]


def _find(code_K: Tokens, code: Tokens) -> Tokens:
    """The index of each code among ascending ones; -1 where it is none of them."""
    if not len(code_K):
        return np.full_like(code, -1)
    index = np.minimum(code_K.searchsorted(code), len(code_K) - 1)
    return np.where(code_K[index] == code, index, -1)
