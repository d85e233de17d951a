"""The best point of a generator's curve over temperature, on request."""

from __future__ import annotations

from seqgan_env.metrics.base import Column, EvaluationBatch, register_metric
from seqgan_env.metrics.likelihood import likelihood_metrics

TEMPERATURES = (1.2, 1.1, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4)
"""The temperatures of a curve."""


class BestTemperature:
    """The sum of both divergences at the temperature at which it is least, of nine from 1.2 to 0.4; takes seconds.

    A generator that a game has sharpened or flattened can look better, or worse, by that alone. At its best temperature
    it is compared with others for what a temperature cannot buy. The least of several estimates lies a little below the
    least of the true values: compare figures of equal numbers of sequences.

    Left out where the likelihood of the source or of the generator is unknown, and in evaluations at a temperature.

    Source: the curves over temperature of arXiv 1811.02549, as one number.
    """

    columns = {
        "kl_sum_best": Column(
            "KL sum, best T",
            "nats per token",
            "lower",
            "the sum of both divergences at the temperature that suits the generator best",
            panel="divergences",
        ),
        "temperature_best": Column(
            "best T", "temperature of the softmax", "neither", "the temperature at which the sum of both is least"
        ),
    }

    def __call__(self, batch: EvaluationBatch) -> dict[str, float]:
        """Measure; see the class."""
        if batch.tempered is None:
            return {}
        sums = {}
        for temperature in TEMPERATURES:
            generated_BT, log_prob = batch.tempered(temperature)
            found = likelihood_metrics(batch.source, batch.test_BT, generated_BT, log_prob, batch.source_test_B)
            sums[temperature] = found.get("kl_sum")
        known = {temperature: value for temperature, value in sums.items() if value is not None}
        if not known:
            return {}
        best = min(known, key=lambda temperature: known[temperature])
        return {"kl_sum_best": known[best], "temperature_best": best}


register_metric("best_temperature", BestTemperature(), group="temperatures")
