"""The change that a token makes to the score of the prefix."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from seqgan_env import SeqGANEnv
from tests.support.builders import lstm
from tests.support.shaping import payments
from tests.support.tasks import GRAMMAR

TOKENS = [3, 10, 5, 0]
SPEC = SeqGANEnv(**GRAMMAR).sequence_spec


def paid(**settings: Any) -> tuple[np.ndarray, SeqGANEnv]:
    """The payments beside the terminal reward, and the environment."""
    env = SeqGANEnv(
        **GRAMMAR,
        shaping="increments",
        shaping_kwargs={"increments": settings},
        shaping_gamma=0.5,
        reward_clip=[-0.6, 0],
    )
    paid_T = np.array(payments(env, TOKENS))
    paid_T[-1] -= env.score([TOKENS])[0]
    return paid_T, env


def prefixes(env: SeqGANEnv) -> np.ndarray:
    """The empty prefix first and the complete sequence last."""
    return env.task.spec.validate([TOKENS[:t] + [env.task.spec.pad_id] * (4 - t) for t in range(5)])


@pytest.mark.parametrize("weight", [1.0, -2.5])
def test_each_step_pays_the_difference_of_the_logits(weight: float) -> None:
    paid_T, env = paid(weight=weight)
    logit_T1 = env.task.scoring.discriminator.exact_logits(prefixes(env))
    assert np.abs(np.diff(logit_T1)).min() > 1e-4
    np.testing.assert_allclose(paid_T, weight * np.diff(logit_T1), rtol=0, atol=1e-5)


def test_or_of_the_rewards_clip_included() -> None:
    paid_T, env = paid(of="reward")
    reward_T1 = env.task.scoring.prefix_reward(prefixes(env))
    assert (reward_T1 == np.float32(-0.6)).any()
    assert len(set(reward_T1.tolist())) > 1
    np.testing.assert_allclose(paid_T, np.diff(reward_T1), rtol=0, atol=1e-12)


def log_likelihood(tokens_BT: np.ndarray, length_B: np.ndarray) -> np.ndarray:
    """Of a generator that never learns."""
    own = lstm(SPEC, 1)
    np.testing.assert_array_equal(length_B, own.spec.lengths(tokens_BT))
    return own.sequence_log_prob(tokens_BT)


def one_number(tokens_BT: np.ndarray, length_B: np.ndarray) -> float:
    return 0.0


def test_or_of_what_a_function_says() -> None:
    """With the log-likelihood of a reference each token is paid that of itself: a part of KL(pi || ref)."""
    paid_T, env = paid(of=f"{__name__}:log_likelihood", weight=0.1)
    own_T = lstm(SPEC, 1).token_log_prob(prefixes(env)[-1:])[0, : len(TOKENS)]
    np.testing.assert_allclose(paid_T, 0.1 * own_T, rtol=0, atol=1e-6)


def test_with_a_sum_over_tokens_each_token_is_paid_its_own_term() -> None:
    sizes = {"vocab_size": 5, "max_length": 4, "n_real": 20, "n_held_out": 5}
    env = SeqGANEnv(**sizes, discriminator="log_ratio", reward="constant", shaping="increments")
    discriminator: Any = env.task.scoring.discriminator
    torch.nn.init.normal_(discriminator.output.weight, generator=torch.Generator().manual_seed(0))
    terms_T = discriminator.token_logits(torch.tensor([[3, 1, 4, 1]])).detach().double().numpy()[0]
    assert np.abs(terms_T).min() > 1e-3
    np.testing.assert_allclose(payments(env, [3, 1, 4, 1]), terms_T + np.eye(4)[3], atol=1e-5)


def test_an_episode_that_begins_at_a_prefix_is_paid_from_there() -> None:
    paid_T, env = paid()
    assert payments(env, TOKENS[2:3], prefix=TOKENS[:2]) == [paid_T[2]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"of": "d"}, "of must be 'logit', 'reward' or 'module:function', got 'd'"),
        ({"of": "no_such_module:f"}, "of must be a function or 'module:function', got 'no_such_module:f'"),
        ({"of": f"{__name__}:one_number"}, "one_number must give 1 numbers, got shape"),
        ({"weight": float("inf")}, "weight must be a finite"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paid(**settings)
