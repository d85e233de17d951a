"""A generator's quality where it is as diverse as real sequences, on request."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from seqgan_env.metrics.base import Column, EvaluationBatch, register_metric
from seqgan_env.metrics.overlap import PROTOCOL, Overlap
from seqgan_env.metrics.temperatures import TEMPERATURES


class RealDiversity:
    """BLEU-4 at the temperature at which Self-BLEU-4 is that of real sequences; takes nine times as long as BLEU.

    A generator that a game has sharpened has a higher BLEU by that alone, and pays with its diversity. ``bleu_4_real``
    is what is left of it where ``self_bleu_4`` is that of held-out sequences, ``self_bleu_4_real``: a point of the
    curve over nine temperatures from 1.2 to 0.4, between two of which BLEU-4 is linear in Self-BLEU-4. Both kinds have
    the same number of sequences, ``real_sequences``, since Self-BLEU depends on it; the definitions are those of
    ``overlap``.

    Left out where no temperature reaches that diversity, where there is one sequence of a kind, where the likelihood of
    the generator is unknown, and in evaluations at a temperature.

    Source: the curves over temperature of arXiv 1811.02549, as one number.
    """

    columns = {
        "bleu_4_real": Column(
            "BLEU-4, real diversity",
            "BLEU",
            "higher",
            "BLEU-4 at the temperature at which Self-BLEU-4 is that of held-out sequences",
            panel="BLEU against held-out sequences",
        )
    } | {
        name: Column(label, unit, "neither", text, in_tables=False)
        for name, label, unit, text in (
            ("self_bleu_4_real", "Self-BLEU-4, real", "BLEU", "Self-BLEU-4 of held-out sequences"),
            ("real_sequences", "real sequences", "sequences", "sequences of each kind whose Self-BLEU-4 is compared"),
            ("real_protocol", "real protocol", "number", "the protocol of both, as bleu_protocol"),
        )
    }

    def __call__(self, batch: EvaluationBatch) -> dict[str, float]:
        """Measure; see the class."""
        n = min(len(batch.test_BT), len(batch.generated_BT))
        if batch.tempered is None or n < 2:
            return {}
        drawn = (batch.tempered(temperature)[0] for temperature in TEMPERATURES)
        real, *curve = (Overlap()(replace(batch, generated_BT=rows_BT[:n])) for rows_BT in (batch.test_BT, *drawn))
        curve.sort(key=lambda found: found["self_bleu_4"])
        diversity, quality = ([found[name] for found in curve] for name in ("self_bleu_4", "bleu_4"))
        bleu = np.interp(real["self_bleu_4"], diversity, quality, left=np.nan, right=np.nan)
        found = {"self_bleu_4_real": real["self_bleu_4"], "real_sequences": n, "real_protocol": PROTOCOL}
        return found if np.isnan(bleu) else {"bleu_4_real": float(bleu), **found}


register_metric("real_diversity", RealDiversity(), group="text_temperatures")
