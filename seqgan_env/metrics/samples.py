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
    """The share of different sequences."""

    columns = {"distinct": Column("distinct", "share", "neither", "generated sequences that differ from each other")}

    def __call__(self, batch: EvaluationBatch) -> dict[str, float]:
        """Count the different rows."""
        return {"distinct": len(np.unique(batch.generated_BT, axis=0)) / len(batch.generated_BT)}


register_metric("grammatical", Grammatical())
register_metric("distinct", Distinct())
