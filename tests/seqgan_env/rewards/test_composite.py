"""A weighted sum of rewards, with settings of its parts, and its parts by name."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from agents import DiscriminatorCallback, SeqGAN, make_seqgan_vec_env
from seqgan_env.rewards import REWARDS
from seqgan_env.rewards.composite import CompositeConfig

PARTS = [["log_d", 1.5], ["bleu", -2.0], ["rank", 0.25], ["relativistic", 1.0], ["f_divergence", 0.1]]
KWARGS = {"bleu": {"max_n": 2}, "rank": {"gamma": 0.5}, "f_divergence": {"divergence": "chi_squared"}}
ARGUMENTS: dict[str, Any] = {"reward": "composite", "reward_kwargs": {"weights": PARTS, "kwargs": KWARGS}}


def task_with(**arguments: Any) -> Any:
    return gym.make("SeqGANSmall-v0", **arguments).unwrapped.task  # type: ignore[attr-defined]


def test_it_is_the_weighted_sum_of_its_parts_which_can_be_had_by_name() -> None:
    task = task_with(**ARGUMENTS)
    rows = task.real_sequences[:30]
    alone = {name: task_with(reward=name, reward_kwargs=KWARGS.get(name, {})).scoring.score(rows) for name, _ in PARTS}
    parts = task.scoring.parts(rows)
    assert list(parts) == [name for name, _ in PARTS]
    for name, part_B in parts.items():
        np.testing.assert_allclose(part_B, alone[name], rtol=1e-4, atol=1e-6)
    expected_B = sum(weight * alone[name] for name, weight in PARTS)
    np.testing.assert_allclose(task.scoring.score(rows), expected_B, rtol=1e-5)


def test_other_rewards_have_no_parts() -> None:
    task = task_with()
    assert task.scoring.parts(task.real_sequences[:3]) == {}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weights": []}, r"weights must name at least one reward, and each once; got \[\]"),
        ({"weights": [["log_d", 1.0], ["log_d", 2.0]]}, "and each once; got"),
        ({"weights": [["exact_log_ratio", 1.0]]}, "a part must be a reward that no optimal .*, got 'exact_log_ratio'"),
        ({"weights": [["composite", 1.0]]}, "a part must be a reward that .* no parts make, got 'composite'"),
        ({"weights": [["blue", 1.0]]}, "reward must be one of log_d, .*; got 'blue'"),
        ({"weights": [["log_d", float("nan")]]}, r"weights\[0\]\[1\] must be a finite number, got nan"),
        ({"kwargs": {"bleu": {}}}, "kwargs must be of parts in weights, log_d; got bleu"),
        ({"weights": [["bleu", 1.0]], "kwargs": {"bleu": {"n": 3}}}, "reward 'bleu' takes max_n, .*; got n"),
    ],
)
def test_parts_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gym.make("SeqGANSmall-v0", reward="composite", reward_kwargs=settings)


def test_a_part_that_needs_a_known_source_is_refused_where_it_is_not(tmp_path: Any) -> None:
    text = tmp_path / "a.txt"
    text.write_text("a bird\n" * 5)
    arguments = {"reward": "composite", "reward_kwargs": {"weights": [["oracle", 1.0]]}}
    with pytest.raises(ValueError, match="reward 'oracle' needs a source of known likelihood"):
        gym.make("SeqGAN-v0", source=str(text), **arguments)


def test_the_callback_logs_what_each_part_pays() -> None:
    env = make_seqgan_vec_env("SeqGANTiny-v0", n_envs=4, reward="composite", reward_kwargs={"weights": PARTS[:2]})
    agent = SeqGAN("LstmPolicy", env, n_episodes=4, n_completions=1, seed=0)
    callback = DiscriminatorCallback(every_n_episodes=4, n_generated=8, batch_size=4)
    agent.learn_updates(2, callback)
    logged = agent.logger.name_to_value
    assert logged["reward/log_d"] < 0 <= logged["reward/bleu"] <= 1


def test_the_default_is_the_usual_reward() -> None:
    assert CompositeConfig().weights == (("log_d", 1.0),)
    task, rows = task_with(reward="composite"), task_with().real_sequences[:5]
    np.testing.assert_array_equal(task.scoring.score(rows), task_with().scoring.score(rows))
    assert REWARDS["composite"].config is CompositeConfig
