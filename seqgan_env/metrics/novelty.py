"""Comparison of generated sequences with those that the generator learned from."""

from __future__ import annotations

from seqgan_env.metrics.base import Column, EvaluationBatch, register_metric
from seqgan_env.ngrams import longest_shared


class Novelty:
    """Copies of the training set: the longest copied span, and sentences that are copied whole.

    ``copied_span`` is the mean over generated sentences of the largest n for which n tokens in a row stand in one
    training sentence too, from 0 to T; ``copied`` is the share of generated sentences that equal a training sentence,
    in [0, 1]. Both are 0 for a generator that copies nothing, and above 0 for new real sentences too, since short
    spans recur; end-of-sequence is no token here. Left out where the training set is not known.

    Source: McCoy et al. (2023), arXiv 2111.09509, for novelty by the length of n-grams.
    """

    columns = {
        "copied_span": Column(
            "copied span",
            "tokens",
            "neither",
            "mean length of the longest span of a generated sequence that stands in a training sequence",
            panel="longest copied span",
        ),
        "copied": Column(
            "copied",
            "share",
            "lower",
            "generated sequences that equal a training sequence",
        ),
    }

    def __call__(self, batch: EvaluationBatch) -> dict[str, float]:
        """Look for spans and whole sentences."""
        if batch.train_BT is None:
            return {}
        generated_BT, train_BT = map(batch.without_end, (batch.generated_BT, batch.train_BT))
        known = {row_T.tobytes() for row_T in train_BT}
        return {
            "copied_span": longest_shared(batch.source.spec, generated_BT, train_BT).mean(),
            "copied": sum(row_T.tobytes() in known for row_T in generated_BT) / len(generated_BT),
        }


register_metric("novelty", Novelty(), group="text")
