"""Rewards that compare with real sequences, under the discriminator of the moment."""

from __future__ import annotations

import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from seqgan_env import SeqGANEnv
from seqgan_env.discriminators import OptimalDiscriminator
from seqgan_env.rewards.comparing import Rank, RankConfig, Relativistic, RelativisticConfig
from tests.support.reference import all_sequences
from tests.support.reference_env import TINY

NAMES = ("relativistic", "rank")
X_B, X_R = torch.tensor([-2.0, 0.0, 3.5], dtype=torch.float64), torch.tensor([1.0, -1.5, 0.25], dtype=torch.float64)
REAL = np.zeros((3, 2), dtype=np.int64)


@pytest.mark.theory
def test_relativistic_is_the_log_probability_of_being_more_real_than_the_mean() -> None:
    paid_B = Relativistic(REAL).beside(X_R)(X_B, torch.zeros(3, 2))
    expected_B = torch.sigmoid(X_B - X_R.mean()).log()
    torch.testing.assert_close(paid_B, expected_B, rtol=1e-12, atol=0)


@pytest.mark.theory
@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_rank_is_the_log_probability_of_coming_first(gamma: float) -> None:
    paid_B = Rank(REAL, gamma).beside(X_R)(X_B, torch.zeros(3, 2))
    for paid, x in zip(paid_B.tolist(), X_B.tolist(), strict=True):
        field = torch.cat([torch.tensor([x], dtype=torch.float64), X_R])
        assert paid == pytest.approx(float((gamma * field).softmax(dim=0)[0].log()), rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_it_moves_with_the_discriminator_also_where_nobody_says_that_it_has_changed(name: str) -> None:
    env = SeqGANEnv(**TINY, reward=name, reward_kwargs={"n_compared": 5})
    rows, scoring = all_sequences(env.sequence_spec), env.task.scoring
    before_B = scoring.score(rows)
    with torch.no_grad():
        for parameter in scoring.discriminator.parameters():
            parameter.mul_(3.0)
    after_B = scoring.score(rows)
    assert np.abs(after_B - before_B).max() > 1e-3
    logit_B, logit_R = (
        torch.from_numpy(scoring.discriminator.exact_logits(each)) for each in (rows, env.real_sequences[:5])
    )
    made = Relativistic(rows) if name == "relativistic" else Rank(rows, RankConfig().gamma)
    np.testing.assert_allclose(after_B, made.beside(logit_R)(logit_B, torch.from_numpy(rows)), rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "settings"), [*((name, {}) for name in NAMES), ("composite", {"weights": [["rank", 1.0], ["log_d", 1.0]]})]
)
def test_it_moves_with_a_discriminator_without_weights(name: str, settings: dict[str, Any]) -> None:
    """The optimal one follows a generator, and another may take its place, without any weight to see it by."""
    used, learnt = SeqGANEnv(**TINY, reward=name, reward_kwargs=settings).task.scoring, 1.0
    rows = all_sequences(used.spec)

    def optimal(scale: float) -> OptimalDiscriminator:
        return OptimalDiscriminator(
            used.spec,
            lambda rows_BT: scale * learnt * (rows_BT @ (0.9, 0.3, 0.1)),
            lambda rows_BT: np.zeros(len(rows_BT)),
        )

    def check() -> None:
        fresh = SeqGANEnv(**TINY, reward=name, reward_kwargs=settings).task.scoring
        fresh.set_discriminator(used.discriminator)
        np.testing.assert_array_equal(used.score(rows), fresh.score(rows))

    used.set_discriminator(optimal(1.0))
    check()
    learnt = 2.0
    check()
    used.set_discriminator(optimal(3.0))
    check()


@pytest.mark.parametrize("name", NAMES)
def test_single_vector_and_pickled_environments_pay_the_same(name: str) -> None:
    env = gym.make("SeqGANSmall-v0", reward=name).unwrapped
    task, rows = env.task, env.task.real_sequences[:6]  # type: ignore[attr-defined]
    paid_B = task.scoring.score(rows)
    copied = pickle.loads(pickle.dumps(task))
    np.testing.assert_array_equal(copied.scoring.score(rows), paid_B)
    envs = gym.make_vec("SeqGANSmall-v0", num_envs=6, reward=name)
    envs.reset()
    for action_B in rows.T:
        vector_B = envs.step(action_B)[1]
    np.testing.assert_array_equal(vector_B, paid_B)
    for row, paid in zip(rows, paid_B, strict=True):
        env.reset()
        assert [env.step(token)[1] for token in row][-1] == paid


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="n_compared must be a whole number of at least 1, got 0"):
        RelativisticConfig(n_compared=0)
    with pytest.raises(ValueError, match=r"gamma must be a finite number above 0, got 0\.0"):
        RankConfig(gamma=0.0)
