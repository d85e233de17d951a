"""Measures of the generated sequences themselves."""

from __future__ import annotations

import numpy as np

from seqgan_env.metrics.base import Column, EvaluationBatch, register_metric


class Grammatical:
    """The share of whole sentences, where the source knows its grammar."""

    columns = {
        "grammatical": Column(
            "grammatical",
            "share",
            "higher",
            "generated sequences that are sentences of the grammar",
            narrow="gram-\nmar",
        )
    }

    def __call__(self, batch: EvaluationBatch) -> dict[str, float]:
        """Ask the source."""
        is_grammatical = getattr(batch.source, "is_grammatical", None)
        if is_grammatical is None:
            return {}
        return {"grammatical": float(is_grammatical(batch.generated_BT).mean())}


class Distinct:
    """The share of different sequences, and the number of different tokens."""

    columns = {
        "distinct": Column(
            "distinct", "share", "neither", "generated sequences that differ from each other", narrow="dis-\ntinct"
        ),
        "tokens_used": Column(
            "tokens used", "tokens", "neither", "different tokens in the generated sequences", in_tables=False
        ),
    }

    def __call__(self, batch: EvaluationBatch) -> dict[str, float]:
        """Count the different rows, and tokens."""
        rows_BT = batch.generated_BT
        tokens = np.unique(rows_BT[rows_BT != batch.source.spec.pad_id])
        return {"distinct": len(np.unique(rows_BT, axis=0)) / len(rows_BT), "tokens_used": len(tokens)}


register_metric("grammatical", Grammatical())
register_metric("distinct", Distinct())
