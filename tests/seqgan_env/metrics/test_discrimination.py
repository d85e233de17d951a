"""How well a discriminator tells real from generated sequences, as a metric."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from seqgan_env.discriminators import Discriminator, OptimalDiscriminator, build_discriminator
from seqgan_env.discriminators.losses import calibration_error
from seqgan_env.discriminators.optimal import correlation, share_of_optimum
from seqgan_env.enumeration import all_sequences, sequence_index
from seqgan_env.metrics import EvaluationBatch, measure
from seqgan_env.tokens import SequenceSpec
from tests.support.discriminators import optimal
from tests.support.reference_env import log_loss
from tests.support.sources import tiny_oracle


def batch(**discriminators: Discriminator) -> EvaluationBatch:
    source, generator = tiny_oracle(), tiny_oracle(seed=1)
    rng = np.random.default_rng(0)
    real_BT, generated_BT = source.sample(30, rng), generator.sample(40, rng)
    return EvaluationBatch(source, real_BT, generated_BT, generator.log_prob, discriminators)


def test_each_discriminator_has_columns_of_its_own() -> None:
    best, blind = optimal(tiny_oracle().spec), build_discriminator("tabular", tiny_oracle().spec)
    both = batch(optimal=best, trained=blind)
    measured = measure(both)
    assert measured["discriminator_accuracy"] == 0.5
    assert measured["discriminator_log_loss"] == pytest.approx(math.log(2))
    assert measured["discriminator_calibration_error"] == pytest.approx(0)
    real_B, generated_B = best.logits(both.test_BT), best.logits(both.generated_BT)
    assert measured["optimal_accuracy"] == pytest.approx(((real_B > 0).mean() + (generated_B < 0).mean()) / 2)
    assert measured["optimal_log_loss"] == pytest.approx(log_loss(real_B.tolist(), generated_B.tolist()))
    assert measured["optimal_calibration_error"] == calibration_error(real_B, generated_B) > 0


@pytest.mark.parametrize(("name", "prefix"), [("trained", "discriminator"), ("optimal", "optimal")])
def test_a_discriminator_that_is_not_there_is_not_measured(name: str, prefix: str) -> None:
    without = set(measure(batch()))
    with_it = set(measure(batch(**{name: optimal(tiny_oracle().spec)})))
    assert with_it - without == {f"{prefix}_accuracy", f"{prefix}_log_loss", f"{prefix}_calibration_error"}


def test_a_sequence_is_scored_once_by_each_discriminator(monkeypatch: pytest.MonkeyPatch) -> None:
    best, blind = optimal(tiny_oracle().spec), build_discriminator("tabular", tiny_oracle().spec)
    scored: list[Discriminator] = []
    logits = Discriminator.logits
    monkeypatch.setattr(Discriminator, "logits", lambda self, rows_BT: scored.append(self) or logits(self, rows_BT))
    measure(batch(optimal=best, trained=blind))
    assert scored == [best, best, blind, blind]


SPEC = SequenceSpec(3, 3)
N_REAL_K, N_GENERATED_K = np.random.default_rng(0).integers([[1], [3]], [[9], [20]], size=(2, 27))
P_K, G_K = N_REAL_K / N_REAL_K.sum(), N_GENERATED_K / N_GENERATED_K.sum()
LOG_RATIO_K = np.log(P_K / G_K)


def table(logit_real_K: Any) -> Discriminator:
    """A discriminator by its answer to each sequence of a task that can be enumerated."""
    answer_K = np.asarray(logit_real_K, dtype=np.float64)
    return OptimalDiscriminator(
        SPEC, lambda rows_BT: answer_K[sequence_index(SPEC, rows_BT)], lambda rows_BT: np.zeros(len(rows_BT))
    )


def against_optimum(logit_real_K: Any, log_ratio_K: Any = LOG_RATIO_K) -> dict[str, float]:
    """The measures on a batch that has every sequence as often as it is likely, so that a mean is an expectation."""
    real_BT, generated_BT = (np.repeat(all_sequences(SPEC), n_K, axis=0) for n_K in (N_REAL_K, N_GENERATED_K))
    discriminators = {"trained": table(logit_real_K), "optimal": table(log_ratio_K)}
    source = tiny_oracle()
    return measure(EvaluationBatch(source, real_BT, generated_BT, source.log_prob, discriminators))


@pytest.mark.theory
class TestAgainstTheOptimum:
    OTHERS = {
        "flat": 0.3 * LOG_RATIO_K,
        "steep": 2 * LOG_RATIO_K + 0.1,
        "noisy": LOG_RATIO_K + np.random.default_rng(1).normal(size=27),
        "contrary": -LOG_RATIO_K,
        "constant": np.full(27, 0.5),
    }

    def test_the_optimum_is_all_of_itself_and_calibrated(self) -> None:
        measured = against_optimum(LOG_RATIO_K)
        assert measured["discriminator_share_of_optimum"] == 1
        assert measured["discriminator_correlation"] == pytest.approx(1, abs=1e-12)
        assert measured["discriminator_calibration_error"] == pytest.approx(0, abs=1e-12)

    @pytest.mark.parametrize("other", OTHERS)
    def test_the_share_is_1_less_the_divergence_of_the_answers_over_that_of_the_distributions(self, other: str) -> None:
        mixture_K = (P_K + G_K) / 2
        jensen_shannon = (P_K @ np.log(P_K / mixture_K) + G_K @ np.log(G_K / mixture_K)) / 2
        best_K, d_K = P_K / (P_K + G_K), 1 / (1 + np.exp(-self.OTHERS[other]))
        kl_K = best_K * np.log(best_K / d_K) + (1 - best_K) * np.log((1 - best_K) / (1 - d_K))
        share = against_optimum(self.OTHERS[other])["discriminator_share_of_optimum"]
        assert share == pytest.approx(1 - mixture_K @ kl_K / jensen_shannon)
        assert share < 1
        assert (share < 0) == (other in ("contrary", "constant"))

    def test_guessing_has_no_share_and_no_correlation(self) -> None:
        measured = against_optimum(np.zeros(27))
        assert measured["discriminator_share_of_optimum"] == pytest.approx(0, abs=1e-12)
        assert "discriminator_correlation" not in measured

    @pytest.mark.parametrize("other", OTHERS)
    def test_the_correlation_is_taken_over_both_kinds_with_equal_weight(self, other: str) -> None:
        mixture_K = (P_K + G_K) / 2
        x_K, y_K = (each_K - mixture_K @ each_K for each_K in (self.OTHERS[other], LOG_RATIO_K))
        variances = (mixture_K @ x_K**2) * (mixture_K @ y_K**2)
        measured = against_optimum(self.OTHERS[other])
        if other == "constant":
            assert "discriminator_correlation" not in measured
        else:
            assert measured["discriminator_correlation"] == pytest.approx(mixture_K @ (x_K * y_K) / variances**0.5)


@pytest.mark.parametrize("log_ratio_K", [np.zeros(27), np.random.default_rng(2).normal(size=27) / 100])
def test_nothing_to_learn_has_no_share(log_ratio_K: Any) -> None:
    """Neither where the distributions are equal, nor where the sequences are too few to show that they differ."""
    measured = against_optimum(LOG_RATIO_K, log_ratio_K)
    assert "discriminator_share_of_optimum" not in measured
    assert ("discriminator_correlation" in measured) == log_ratio_K.any()


@pytest.mark.parametrize("least", [-11.0, -1e3, -np.inf])
def test_an_impossible_sequence_counts_as_a_very_unlikely_one(least: float) -> None:
    """To the correlation a logit of -10 is the lowest there is, of either side."""
    x_real_B, x_generated_B, y_real_B, y_generated_B = np.random.default_rng(3).normal(size=(4, 20))

    def with_lowest(of_d: float, of_optimum: float) -> float | None:
        trained = x_real_B, np.append(x_generated_B, of_d)
        return correlation(trained, (y_real_B, np.append(y_generated_B, of_optimum)))

    assert with_lowest(least, -10) == with_lowest(-10, least) == with_lowest(-10, -10) != with_lowest(-10, -9)
    far_B = np.array([least, least])
    assert share_of_optimum((np.zeros(2), np.zeros(2)), (-far_B.clip(-100), far_B)) == pytest.approx(0, abs=1e-12)
