"""Likelihood in both directions.

``nll_oracle`` alone can be gamed by a generator that repeats one likely sequence; beside it stand ``nll_test``, which
such a generator ruins, and ``entropy``. The two Kullback-Leibler divergences put quality and diversity into one number
each.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from seqgan_env.metrics.base import Column, EvaluationBatch, LogProb, register_metric
from seqgan_env.sources import KnownSource, Source
from seqgan_env.tokens import Tokens


def likelihood_metrics(
    source: Source,
    test_BT: Tokens,
    generated_BT: Tokens,
    log_prob: LogProb | None,
    source_test_B: npt.NDArray[np.float64] | None = None,
) -> dict[str, float]:
    """Measure a generator by likelihoods, all in nats per token.

    Args:
        source: of the real sequences.
        test_BT: real sequences that nothing was trained on.
        generated_BT: sequences drawn from the generator.
        log_prob: the generator's log-probability of sequences, nats, shape ``(B,)``; None where it can only be drawn
            from, which leaves ``nll_oracle``.
        source_test_B: ``source.log_prob(test_BT)``; pass it to avoid recomputing.

    Returns:
        ``nll_test``: real sequences under the generator. ``entropy``: generated ones under the generator. Where the
        source's likelihood is known also ``nll_oracle``: generated ones under the source; ``kl_forward``:
        KL(source || generator), 0 at best and large where the generator misses what is real; ``kl_reverse``:
        KL(generator || source), 0 at best and large where the generator makes what is not real; ``kl_sum``: their sum,
        the divergence of Jeffreys; and ``jensen_shannon``, nats per sequence, from 0 to log 2. Both divergences are
        estimated on the same sequences as the likelihoods they are differences of. Each is a total over all sequences,
        divided by their tokens; as an expectation, that of a sequence over the expected length. Where there is more
        than one sequence of each kind, ``_se`` behind a name is its standard error.
    """
    test_length_B, generated_length_B = source.spec.lengths(test_BT), source.spec.lengths(generated_BT)
    if log_prob is None:
        if not isinstance(source, KnownSource):
            return {}
        nll_B = -source.log_prob(generated_BT)
        found = {
            "nll_oracle": _per_token(nll_B, generated_length_B),
            "nll_oracle_se": _standard_error(nll_B, generated_length_B),
        }
        return {name: value for name, value in found.items() if not np.isnan(value)}
    generator_test_B, generator_generated_B = log_prob(test_BT), log_prob(generated_BT)
    of_test, of_generated = {"nll_test": -generator_test_B}, {"entropy": -generator_generated_B}
    logits = None
    if isinstance(source, KnownSource):
        source_generated_B = source.log_prob(generated_BT)
        if source_test_B is None:
            source_test_B = source.log_prob(test_BT)
        logits = source_test_B - generator_test_B, source_generated_B - generator_generated_B
        of_test["kl_forward"] = logits[0]
        of_generated |= {"nll_oracle": -source_generated_B, "kl_reverse": -logits[1]}
    metrics = {name: _per_token(value_B, test_length_B) for name, value_B in of_test.items()}
    metrics |= {name: _per_token(value_B, generated_length_B) for name, value_B in of_generated.items()}
    metrics |= {f"{name}_se": _standard_error(value_B, test_length_B) for name, value_B in of_test.items()}
    metrics |= {f"{name}_se": _standard_error(value_B, generated_length_B) for name, value_B in of_generated.items()}
    if logits is not None:
        metrics["kl_sum"] = metrics["kl_forward"] + metrics["kl_reverse"]
        metrics["kl_sum_se"] = np.hypot(metrics["kl_forward_se"], metrics["kl_reverse_se"])  # of separate samples
        # log 2 less the log-loss of the best discriminator, whose logit is the log-ratio
        loss = 0.5 * (np.logaddexp(0, -logits[0]).mean() + np.logaddexp(0, logits[1]).mean())
        metrics["jensen_shannon"] = np.log(2) - loss
    return {name: float(value) for name, value in metrics.items() if not np.isnan(value)}


def _per_token(value_B: npt.NDArray[np.float64], length_B: npt.NDArray[np.int64]) -> float:
    return float(value_B.sum() / length_B.sum())


def _standard_error(value_B: npt.NDArray[np.float64], length_B: npt.NDArray[np.int64]) -> float:
    """That of a ratio of two sums over the same sequences, to first order; not a number of a single sequence."""
    n = len(value_B)
    if n < 2:
        return float("nan")
    rest_B = value_B - _per_token(value_B, length_B) * length_B
    return float(np.sqrt((rest_B**2).sum() / (n - 1) / n) / length_B.mean())


_COLUMNS = {
    "nll_oracle": Column(
        "nll oracle",
        "nats per token",
        "lower",
        "generated sequences under the true distribution; repeating a likely sequence lowers it too",
        panel="likelihoods",
        role="quality",
        narrow="nll\noracle",
    ),
    "nll_test": Column(
        "nll test",
        "nats per token",
        "lower",
        "held-out real sequences under the generator",
        panel="likelihoods",
        role="diversity",
        narrow="nll\ntest",
    ),
    "entropy": Column(
        "entropy",
        "nats per token",
        "neither",
        "generated sequences under the generator",
        panel="likelihoods",
    ),
    "kl_forward": Column(
        "KL forward",
        "nats per token",
        "lower",
        "KL(true || generator), which grows where the generator misses what is real",
        panel="divergences",
        narrow="KL\nfwd",
    ),
    "kl_reverse": Column(
        "KL reverse",
        "nats per token",
        "lower",
        "KL(generator || true), which grows where the generator makes what is not real",
        panel="divergences",
        narrow="KL\nrev",
    ),
    "kl_sum": Column(
        "KL sum",
        "nats per token",
        "lower",
        "the sum of both divergences (Jeffreys), which neither kind of fault can hide from",
        panel="divergences",
        role="overall",
        narrow="KL\nsum",
    ),
    "jensen_shannon": Column(
        "JS",
        "nats per sequence; 0.693 where nothing is common",
        "lower",
        "the Jensen-Shannon divergence of true distribution and generator",
        in_tables=False,
    ),
}
_COLUMNS |= {
    f"{name}_se": Column(
        f"{_COLUMNS[name].label}, s.e.",
        "nats per token",
        "neither",
        f"the standard error of {_COLUMNS[name].label}",
        in_tables=False,
    )
    for name in ("nll_oracle", "nll_test", "entropy", "kl_forward", "kl_reverse", "kl_sum")
}


class Likelihood:
    """``likelihood_metrics`` of an evaluation."""

    columns = _COLUMNS

    def __call__(self, batch: EvaluationBatch) -> dict[str, float]:
        """Measure both likelihoods; see ``likelihood_metrics``."""
        return likelihood_metrics(batch.source, batch.test_BT, batch.generated_BT, batch.log_prob, batch.source_test_B)


register_metric("likelihood", Likelihood())
