"""A bonus or a penalty for each token."""

from __future__ import annotations

import pytest

from seqgan_env import SeqGANEnv
from tests.support.shaping import payments
from tests.support.tasks import GRAMMAR


@pytest.mark.parametrize("weight", [0.25, -0.5])
def test_every_token_is_paid_the_weight_and_the_end_too(weight: float) -> None:
    env = SeqGANEnv(**GRAMMAR, reward="constant", shaping="length", shaping_kwargs={"length": {"weight": weight}})
    assert payments(env, [3, 10, 5, 0]) == [weight, weight, weight, 1 + weight]
    assert payments(env, [0], prefix=[3, 10]) == [1 + weight]
