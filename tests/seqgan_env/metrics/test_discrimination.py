"""How well a discriminator tells real from generated sequences, as a metric."""

from __future__ import annotations

import math

import numpy as np
import pytest

from seqgan_env.discriminators import Discriminator, build_discriminator
from seqgan_env.metrics import EvaluationBatch, measure
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
    real_B, generated_B = best.logits(both.test_BT), best.logits(both.generated_BT)
    assert measured["optimal_accuracy"] == pytest.approx(((real_B > 0).mean() + (generated_B < 0).mean()) / 2)
    assert measured["optimal_log_loss"] == pytest.approx(log_loss(real_B.tolist(), generated_B.tolist()))


@pytest.mark.parametrize(("name", "prefix"), [("trained", "discriminator"), ("optimal", "optimal")])
def test_a_discriminator_that_is_not_there_is_not_measured(name: str, prefix: str) -> None:
    without = set(measure(batch()))
    with_it = set(measure(batch(**{name: optimal(tiny_oracle().spec)})))
    assert with_it - without == {f"{prefix}_accuracy", f"{prefix}_log_loss", f"{prefix}_calibration_error"}
