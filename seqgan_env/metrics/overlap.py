"""BLEU against held-out sequences, and of generated sequences against each other."""

from __future__ import annotations

from seqgan_env.bleu import Bleu
from seqgan_env.metrics.base import Column, EvaluationBatch, register_metric

LENGTHS = (2, 3, 4, 5)
"""The n of BLEU-n."""
COMPARED = 4
"""The n of the plot of quality against diversity."""
SMOOTHING = 0.1
"""Counted where no n-gram of a length is found: method 1 of Chen and Cherry (2014), with NLTK's constant."""
PROTOCOL = 1
"""The number of the definition, which rises with each change of it; figures of two protocols are not comparable."""
_PROTOCOL = (
    f"protocol {PROTOCOL}: mean of NLTK's sentence_bleu, smoothing method 1 with epsilon {SMOOTHING}, "
    "no end-of-sequence"
)


class Overlap:
    """BLEU-n and Self-BLEU-n, means over the generated sentences, in [0, 1].

    BLEU-n of a sentence is ``exp(min(0, 1 - r / c)) * (p_1 * ... * p_n) ** (1 / n)``: ``p_k`` is the share of its
    k-grams that a reference holds, each counted at most as often as in the reference that holds it most often; where
    none is held, 0.1 is counted, and where the sentence has none, one. c is its length and r that of the reference
    nearest to it. BLEU is 0 for a sentence without a token of the references, as for an empty one. The references are
    the half of the held-out sequences that chooses nothing, at most as many as sentences are generated; those of
    Self-BLEU are all other generated sentences, never the sentence itself. Both depend on the number of references, on
    the constant 0.1 and on the rest of this definition, so these stand in every record too: compare figures with the
    same numbers only. Quality is BLEU; Self-BLEU is low where generated sentences are diverse, and real ones have one
    above 0 as well.

    Source: Papineni et al. (2002); Texygen, arXiv 1802.01886, for Self-BLEU; Chen and Cherry (2014) for smoothing.
    """

    columns = (
        {
            f"bleu_{n}": Column(
                f"BLEU-{n}",
                "BLEU",
                "higher",
                f"{n}-grams and shorter ones of generated sequences in all held-out ones ({_PROTOCOL})",
                panel="BLEU against held-out sequences",
                role="quality" if n == COMPARED else "",
            )
            for n in LENGTHS
        }
        | {
            f"self_bleu_{n}": Column(
                f"Self-BLEU-{n}",
                "BLEU",
                "lower",
                f"{n}-grams and shorter ones of generated sequences in all other generated ones ({_PROTOCOL})",
                panel="Self-BLEU",
                role="diversity" if n == COMPARED else "",
            )
            for n in LENGTHS
        }
        | {
            "bleu_references": Column(
                "BLEU references",
                "sequences",
                "neither",
                "held-out sequences that BLEU compares with; BLEU rises with their number",
                in_tables=False,
            ),
            "self_bleu_references": Column(
                "Self-BLEU references",
                "sequences",
                "neither",
                "generated sequences that Self-BLEU compares each one with; it rises with their number",
                in_tables=False,
            ),
            "bleu_smoothing": Column(
                "BLEU smoothing", "n-grams", "neither", "counted where no n-gram of a length is found", in_tables=False
            ),
            "bleu_protocol": Column(
                "BLEU protocol",
                "number",
                "neither",
                f"the definition of BLEU and Self-BLEU; {_PROTOCOL}",
                in_tables=False,
            ),
        }
    )

    def __call__(self, batch: EvaluationBatch) -> dict[str, float]:
        """Compare with the held-out sequences, and with each other where there are two."""
        spec, longest = batch.source.spec, max(LENGTHS)
        test_BT, generated_BT = map(batch.without_end, (batch.test_BT, batch.generated_BT))
        bleu_G = Bleu(spec, test_BT, longest, SMOOTHING).of(generated_BT).mean(axis=0)
        found = {f"bleu_{n}": float(bleu_G[n - 1]) for n in LENGTHS} | {"bleu_references": len(test_BT)}
        found |= {"bleu_smoothing": SMOOTHING, "bleu_protocol": PROTOCOL}
        if len(generated_BT) > 1:
            self_bleu_G = Bleu(spec, generated_BT, longest, SMOOTHING).of_references().mean(axis=0)
            found |= {f"self_bleu_{n}": float(self_bleu_G[n - 1]) for n in LENGTHS}
            found["self_bleu_references"] = len(generated_BT) - 1
        return found


register_metric("overlap", Overlap(), group="text")
