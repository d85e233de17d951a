"""Statistics of text: its n-grams, the frequencies of its tokens, and its lengths.

Dimensions: those of ``ngrams``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from seqgan_env.metrics.base import Column, EvaluationBatch, register_metric
from seqgan_env.ngrams import NgramTable
from seqgan_env.tokens import Tokens

DISTINCT_LENGTHS = (1, 2, 3, 4)
"""The n of distinct-n."""
DISTANCE_LENGTHS = (1, 2, 3)
"""The n of the distance of n-grams."""
MOST_FREQUENT = 5_000
"""Tokens whose frequencies are fitted by Zipf's law: those of rarer ones are mostly equal."""


class NgramStatistics:
    """Distinct-n, and the Jensen-Shannon distance of the n-grams of generated and of held-out sequences.

    ``distinct_n`` is the number of different n-grams over that of all n-grams of the generated sequences together, in
    [0, 1]: low where they repeat themselves or each other. It falls as their number grows. ``js_n`` is the square root
    of the Jensen-Shannon divergence, to base 2, of the two distributions of n-grams: ``sqrt(H((p + q) / 2) - H(p) / 2 -
    H(q) / 2)`` in [0, 1], 0 where both are equal, 1 where they have no n-gram in common. Two finite samples of one
    distribution are apart too, the more so the larger n is. End-of-sequence is no token here. Left out is a number of
    n-grams that no sequence is long enough for.

    Source: Li et al. (2016), arXiv 1510.03055, for distinct-n; Endres and Schindelin (2003) for the distance.
    """

    columns = {
        f"distinct_{n}": Column(
            f"distinct-{n}",
            "share",
            "neither",
            f"different {n}-grams among all {n}-grams of the generated sequences; falls with their number",
            panel="different n-grams",
            in_tables=False,
        )
        for n in DISTINCT_LENGTHS
    } | {
        f"js_{n}": Column(
            f"JS distance, {n}-grams",
            "square root of bits, 0 to 1",
            "lower",
            f"Jensen-Shannon distance of the {n}-grams of generated and of held-out sequences",
            panel="Jensen-Shannon distance of n-grams",
        )
        for n in DISTANCE_LENGTHS
    }

    def __call__(self, batch: EvaluationBatch) -> dict[str, float]:
        """Count the n-grams of both sets."""
        rows = [batch.without_end(tokens_BT) for tokens_BT in (batch.generated_BT, batch.test_BT)]
        longest = max(*DISTINCT_LENGTHS, *DISTANCE_LENGTHS)
        table = NgramTable(batch.source.spec, np.concatenate(rows), longest)
        found = {}
        counted = zip(table.sizes, *(table.counts(tokens_BT) for tokens_BT in rows), strict=True)
        for n, (size, own, real) in enumerate(counted, start=1):
            own_K, real_K = (np.bincount(c.gram_C, weights=c.count_C, minlength=size) for c in (own, real))
            if own_K.any() and n in DISTINCT_LENGTHS:
                found[f"distinct_{n}"] = np.count_nonzero(own_K) / own_K.sum()
            if own_K.any() and real_K.any() and n in DISTANCE_LENGTHS:
                found[f"js_{n}"] = jensen_shannon_distance(own_K, real_K)
        return found


class TokenStatistics:
    """Zipf's exponent of the generated sequences beside that of held-out ones, and the distance of their lengths.

    ``zipf`` is the s of ``log f_r = a - s log r``, fitted by least squares to the frequencies f_r of the 5,000 most
    frequent tokens by rank r: about 1 for words of natural language, larger where few tokens dominate. ``zipf_error``
    is its distance from that of as many held-out sequences, at least 0. ``length_distance`` is Wasserstein's of order 1
    between both distributions of lengths, ``sum over t of |F(t) - G(t)|`` with their cumulative distributions, in
    tokens from 0 to T: the mean number of tokens by which sequences would have to be lengthened or shortened.
    End-of-sequence is no token here. Left out is Zipf's exponent where there are fewer than two different tokens.

    Source: Zipf (1949); Holtzman et al. (2020), arXiv 1904.09751, as a measure of generated text.
    """

    columns = {
        "zipf": Column(
            "Zipf",
            "exponent",
            "neither",
            "decrease of the logarithm of a token's frequency with that of its rank in generated sequences",
            in_tables=False,
        ),
        "zipf_error": Column(
            "Zipf error", "exponent", "lower", "distance of Zipf's exponent from that of as many held-out sequences"
        ),
        "length_distance": Column(
            "length distance",
            "tokens",
            "lower",
            "Wasserstein distance of the lengths of generated and of held-out sequences",
            panel="distance of lengths",
        ),
    }

    def __call__(self, batch: EvaluationBatch) -> dict[str, float]:
        """Compare frequencies and lengths."""
        spec = batch.source.spec
        own_BT, real_BT = map(batch.without_end, (batch.generated_BT, batch.test_BT))
        found = {"length_distance": wasserstein(spec.lengths(own_BT), spec.lengths(real_BT))}
        n = min(len(own_BT), len(real_BT))
        own, own_n, real_n = (zipf_exponent(each[each != spec.pad_id]) for each in (own_BT, own_BT[:n], real_BT[:n]))
        if own is not None:
            found["zipf"] = own
        if own_n is not None and real_n is not None:
            found["zipf_error"] = abs(own_n - real_n)
        return found


def jensen_shannon_distance(count_K: npt.NDArray[Any], other_K: npt.NDArray[Any]) -> float:
    """The square root of the Jensen-Shannon divergence, to base 2, of two distributions, in [0, 1].

    Args:
        count_K: weights of the first, not all 0; at least 0.
        other_K: weights of the second.
    """
    p_K, q_K = count_K / count_K.sum(), other_K / other_K.sum()
    divergence = _entropy((p_K + q_K) / 2) - (_entropy(p_K) + _entropy(q_K)) / 2
    return float(np.sqrt(np.clip(divergence, 0, 1)))


def wasserstein(length_B: Tokens, other_B: Tokens) -> float:
    """The Wasserstein distance of order 1 of two samples of whole numbers, in their unit.

    Args:
        length_B: the first sample, at least 0.
        other_B: the second sample.
    """
    size = int(max(length_B.max(), other_B.max())) + 1
    first_L, second_L = (np.bincount(each, minlength=size).cumsum() / len(each) for each in (length_B, other_B))
    return float(np.abs(first_L - second_L).sum())


def zipf_exponent(tokens: Tokens) -> float | None:
    """The exponent of Zipf's law, by least squares on logarithms of rank and frequency.

    Args:
        tokens: ids, of any shape.

    Returns:
        The exponent, at least 0; None where there are fewer than two different tokens.
    """
    count_R = np.sort(np.unique(tokens, return_counts=True)[1])[::-1][:MOST_FREQUENT]
    if len(count_R) < 2:
        return None
    x_R, y_R = np.log(np.arange(1, len(count_R) + 1)), np.log(count_R)
    x_R = x_R - x_R.mean()
    return max(0.0, float(-(x_R @ y_R) / (x_R @ x_R)))  # equal counts give a zero of either sign, or rounding


def _entropy(p_K: npt.NDArray[np.float64]) -> float:
    """The entropy in bits."""
    p_K = p_K[p_K > 0]
    return float(-(p_K * np.log2(p_K)).sum())


register_metric("ngram_statistics", NgramStatistics(), group="text")
register_metric("token_statistics", TokenStatistics(), group="text")
