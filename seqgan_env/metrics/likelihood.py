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
    log_prob: LogProb,
    source_test_B: npt.NDArray[np.float64] | None = None,
) -> dict[str, float]:
    """Measure a generator by likelihoods, all in nats per token.

    Args:
        source: of the real sequences.
        test_BT: real sequences that nothing was trained on.
        generated_BT: sequences drawn from the generator.
        log_prob: the generator's log-probability of sequences, nats, shape ``(B,)``.
        source_test_B: ``source.log_prob(test_BT)``; pass it to avoid recomputing.

    Returns:
        ``nll_test``: real sequences under the generator. ``entropy``: generated ones under the generator. Where the
        source's likelihood is known also ``nll_oracle``: generated ones under the source; ``kl_forward``:
        KL(source || generator), 0 at best and large where the generator misses what is real; ``kl_reverse``:
        KL(generator || source), 0 at best and large where the generator makes what is not real; ``kl_sum``: their sum,
        the divergence of Jeffreys; and ``jensen_shannon``, nats per sequence, from 0 to log 2. Both divergences are
        estimated on the same sequences as the likelihoods they are differences of. Each is a total over all sequences,
        divided by their tokens; as an expectation, that of a sequence over the expected length.
    """
    n_test, n_generated = (int(source.spec.lengths(tokens).sum()) for tokens in (test_BT, generated_BT))
    generator_test_B, generator_generated_B = log_prob(test_BT), log_prob(generated_BT)
    metrics = {
        "nll_test": -generator_test_B.sum() / n_test,
        "entropy": -generator_generated_B.sum() / n_generated,
    }
    if isinstance(source, KnownSource):
        source_generated_B = source.log_prob(generated_BT)
        if source_test_B is None:
            source_test_B = source.log_prob(test_BT)
        metrics |= {
            "nll_oracle": -source_generated_B.sum() / n_generated,
            "kl_forward": (source_test_B - generator_test_B).sum() / n_test,
            "kl_reverse": (generator_generated_B - source_generated_B).sum() / n_generated,
        }
        metrics["kl_sum"] = metrics["kl_forward"] + metrics["kl_reverse"]
        # log 2 less the log-loss of the best discriminator, whose logit is the log-ratio
        logit_test_B, logit_generated_B = source_test_B - generator_test_B, source_generated_B - generator_generated_B
        loss = 0.5 * (np.logaddexp(0, -logit_test_B).mean() + np.logaddexp(0, logit_generated_B).mean())
        metrics["jensen_shannon"] = np.log(2) - loss
    return {name: float(value) for name, value in metrics.items()}


class Likelihood:
    """``likelihood_metrics`` of an evaluation."""

    columns = {
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
            narrow="entr-\nopy",
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

    def __call__(self, batch: EvaluationBatch) -> dict[str, float]:
        """Measure both likelihoods; see ``likelihood_metrics``."""
        return likelihood_metrics(batch.source, batch.test_BT, batch.generated_BT, batch.log_prob, batch.source_test_B)


register_metric("likelihood", Likelihood())
