"""BLEU of each of many sequences against all of some references, in one pass (Papineni et al., 2002).

Dimensions: those of ``ngrams``; R references, G the longest n-gram, 1 to the largest, L distinct lengths.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from seqgan_env.ngrams import Counts, NgramTable
from seqgan_env.tokens import SequenceSpec, Tokens


class Bleu:
    """Sentence BLEU with several references.

    BLEU-n is the geometric mean over 1 to n of the share of a sequence's n-grams that a reference holds, each counted
    at most as often as in the reference that holds it most often; times ``exp(1 - r / c)`` where its length c is below
    r, that of the reference which is nearest in length (the shorter of two). Where no n-gram of a length is found,
    ``smoothing`` is counted in its place (Chen and Cherry, 2014, method 1); a sequence without any token of the
    references has BLEU 0. Padding is no token; end-of-sequence, where it stands, is one.

    Args:
        spec: the sequences' form.
        references: ``(R, T)``.
        max_n: G, tokens of the longest n-grams.
        smoothing: above 0.
    """

    def __init__(self, spec: SequenceSpec, references: Tokens, max_n: int, smoothing: float) -> None:
        self._spec, self._smoothing = spec, smoothing
        self._references = references
        self._table = NgramTable(spec, references, max_n)
        self._held = list(self._table.counts(references))
        self._most = [np.zeros(size, dtype=np.int64) for size in self._table.sizes]
        for most_K, held in zip(self._most, self._held, strict=True):
            np.maximum.at(most_K, held.gram_C, held.count_C)
        self._length_L, self._n_L = np.unique(spec.lengths(references), return_counts=True)

    def of(self, tokens_BT: Tokens) -> npt.NDArray[np.float64]:
        """The BLEU of sequences, in [0, 1], shape ``(B, G)``: column n - 1 is BLEU-n.

        Args:
            tokens_BT: sequences, padded with V.
        """
        length_B = self._spec.lengths(tokens_BT)
        matched_GB = [
            _matched(held, most_K[held.gram_C], len(tokens_BT))
            for held, most_K in zip(self._table.counts(tokens_BT), self._most, strict=True)
        ]
        return self._combine(length_B, np.array(matched_GB), np.abs(self._length_L - length_B[:, None]))

    def of_references(self) -> npt.NDArray[np.float64]:
        """The BLEU of each reference against all others, in [0, 1], shape ``(R, G)``.

        Raises:
            ValueError: there are fewer than two.
        """
        if len(self._references) < 2:
            raise ValueError(f"references must be at least two to be compared, got {len(self._references)}")
        length_R = self._spec.lengths(self._references)
        matched_GR = [
            _matched(held, _most_of_others(held, n_known), len(length_R))
            for held, n_known in zip(self._held, self._table.sizes, strict=True)
        ]
        distance_RL = np.abs(self._length_L - length_R[:, None])
        is_alone_RL = (distance_RL == 0) & (self._n_L == 1)  # the only reference of its length
        distance_RL[is_alone_RL] = self._spec.max_length + 1
        return self._combine(length_R, np.array(matched_GR), distance_RL)

    def _combine(
        self, length_B: Tokens, matched_GB: npt.NDArray[np.float64], distance_BL: Tokens
    ) -> npt.NDArray[np.float64]:
        """BLEU from the numbers of matched n-grams and the distances of the references' lengths, shape ``(B, G)``."""
        n_G1 = np.arange(1, len(matched_GB) + 1)[:, None]
        smoothed_GB = np.where(matched_GB == 0, self._smoothing, matched_GB)
        log_precision_GB = np.log(np.minimum(1.0, smoothed_GB / np.maximum(1, length_B - n_G1 + 1)))
        nearest_B = self._length_L[distance_BL.argmin(axis=1)]  # of two, the first: the shorter
        brevity_B = np.minimum(0.0, 1 - nearest_B / np.maximum(1, length_B))
        bleu_GB = np.where(matched_GB[0] > 0, np.exp(log_precision_GB.cumsum(axis=0) / n_G1 + brevity_B), 0)
        return np.asarray(bleu_GB.T, dtype=np.float64)


def _matched(held: Counts, most_C: Tokens, n: int) -> npt.NDArray[np.float64]:
    """The number of n-grams of each of n sequences that the references hold, clipped, shape ``(B,)``."""
    matched_B = np.bincount(held.row_C, weights=np.minimum(held.count_C, most_C), minlength=n)
    return np.asarray(matched_B, dtype=np.float64)


def _most_of_others(held: Counts, n_known: int) -> Tokens:
    """The most that another sequence than its own holds of each n-gram, shape ``(C,)``."""
    order_C = np.lexsort((-held.count_C, held.gram_C))
    gram_C, count_C = held.gram_C[order_C], held.count_C[order_C]
    first_K = gram_C.searchsorted(np.arange(n_known))  # the sequence that holds it most often; the next one follows
    next_K = np.zeros(n_known, dtype=np.int64)
    has_next_K = np.diff(np.append(first_K, len(gram_C))) > 1
    next_K[has_next_K] = count_C[first_K[has_next_K] + 1]
    is_first_C = np.zeros(len(gram_C), dtype=bool)
    is_first_C[order_C[first_K]] = True
    return np.where(is_first_C, next_K[held.gram_C], count_C[first_K][held.gram_C])
