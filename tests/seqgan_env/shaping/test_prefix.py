"""A reward for every prefix."""

from __future__ import annotations

import numpy as np
import pytest

from seqgan_env import SeqGANEnv
from tests.support.shaping import payments
from tests.support.tasks import GRAMMAR

TOKENS = [3, 10, 5, 0]


def test_with_the_centred_reward_each_step_pays_what_scratchgan_does() -> None:
    """ScratchGAN, arXiv 1905.09922, eq. 3: 2 D - 1 of every prefix and, once, of the whole."""
    env = SeqGANEnv(**GRAMMAR, reward="centered", shaping="prefix")
    prefixes_TT = [TOKENS[:t] + [env.task.spec.pad_id] * (4 - t) for t in range(1, 5)]
    logit_T = env.task.scoring.discriminator.exact_logits(env.task.spec.validate(prefixes_TT))
    np.testing.assert_allclose(payments(env, TOKENS), 2 / (1 + np.exp(-logit_T)) - 1, rtol=0, atol=1e-6)


@pytest.mark.parametrize("weight", [0.5, -3.0, 0.0])
def test_the_weight_is_of_prefixes_and_not_of_the_end(weight: float) -> None:
    once, env = (
        SeqGANEnv(**GRAMMAR, shaping="prefix", shaping_kwargs={"prefix": {"weight": each}}) for each in (1.0, weight)
    )
    expected_T = np.array(payments(once, TOKENS)) * [weight, weight, weight, 1]
    assert payments(env, TOKENS) == pytest.approx(expected_T, abs=1e-12)
    assert payments(env, TOKENS)[-1] == env.score([TOKENS])[0]
