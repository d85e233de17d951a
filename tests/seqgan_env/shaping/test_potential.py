"""What a step is paid by a potential: no return changes but by the potential of the start."""

from __future__ import annotations

import copy
import functools
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqgan_env import SeqGANEnv
from seqgan_env.tokens import Tokens
from tests.support.reference_env import TINY, mean_token
from tests.support.tasks import GRAMMAR, TABULAR

TASKS = {"cnn": TINY, "variable length": GRAMMAR, "tabular": TABULAR}


def wrong_number(tokens_BT: np.ndarray, length_B: np.ndarray) -> Any:
    """A potential that answers for nobody."""
    return np.zeros(len(tokens_BT) + 1)


def not_a_number(tokens_BT: np.ndarray, length_B: np.ndarray) -> Any:
    """A potential that is none."""
    return np.full(len(tokens_BT), np.nan)


@functools.cache
def env_of(task: str, **arguments: Any) -> SeqGANEnv:
    return SeqGANEnv(**TASKS[task], **arguments)


def episode(env: SeqGANEnv, actions: list[int], prefix: list[int]) -> tuple[list[float], bool]:
    """The rewards of an episode."""
    env.reset(options={"prefix": prefix})
    rewards = []
    for action in actions:
        _, reward, terminated, _, _ = env.step(np.int64(action))
        rewards.append(reward)
        if terminated:
            return rewards, True
    return rewards, False


def start_potential(env: SeqGANEnv, prefix_BT: Tokens, length: int) -> float:
    """What an episode that begins there carries to its first step."""
    assert env.task.shaping is not None
    return float(env.task.shaping.start(prefix_BT, np.array([length]))[0, 0])


@pytest.mark.theory
@pytest.mark.parametrize("shaping", ["discriminator", mean_token])
@pytest.mark.parametrize("task", TASKS)
@given(data=st.data())
def test_shaping_changes_no_return_but_by_the_potential_of_the_start(
    task: str, shaping: Any, data: st.DataObject
) -> None:
    """Ng, Harada and Russell (1999): the discounted return is that of the task less a constant of the state."""
    gamma = data.draw(st.sampled_from([0.0, 0.5, 0.9, 1.0]))
    shaped, plain = env_of(task, shaping=shaping, shaping_gamma=gamma), env_of(task)
    spec = plain.sequence_spec
    prefix = data.draw(st.lists(st.integers(1, 2), max_size=2))
    actions = data.draw(st.lists(st.integers(0, 2), min_size=spec.max_length, max_size=spec.max_length))
    rewards, _ = episode(shaped, actions, prefix)
    paid, _ = episode(plain, actions, prefix)
    start_BT = np.array([prefix + [spec.pad_id] * (spec.max_length - len(prefix))])
    start = start_potential(shaped, start_BT, len(prefix))
    discount_T = gamma ** np.arange(len(rewards))
    assert len(rewards) == len(paid)
    assert np.sum(discount_T * rewards) == pytest.approx(np.sum(discount_T * paid) - start, rel=1e-9, abs=1e-12)


def test_each_step_pays_the_potential_it_gained() -> None:
    env = SeqGANEnv(**TINY, shaping=mean_token)
    rewards, _ = episode(env, [2, 0, 1], [])
    assert rewards[:2] == [pytest.approx(2 - 0.25), pytest.approx(1 - 2)]
    assert rewards[2] == pytest.approx(env.score([[2, 0, 1]])[0] - 1)


def test_the_discriminator_s_potential_is_the_reward_of_the_unfinished_prefix() -> None:
    env = SeqGANEnv(**GRAMMAR, shaping="discriminator", reward="log_ratio")
    rewards, _ = episode(env, [3, 10], [])
    pad = env.sequence_spec.pad_id
    rows_BT = np.array([[pad] * 17, [3] + [pad] * 16, [3, 10] + [pad] * 15])
    potential = env.task.scoring.discriminator(torch.from_numpy(rows_BT)).double().tolist()
    assert rewards == pytest.approx(np.diff(potential), abs=1e-6)


def test_a_discriminator_that_changes_meanwhile_leaves_the_sum_whole() -> None:
    env = SeqGANEnv(**GRAMMAR, shaping="discriminator")
    start = start_potential(SeqGANEnv(**GRAMMAR, shaping="discriminator"), np.full((1, 17), 152), 0)
    env.reset()
    total = 0.0
    for seed, action in enumerate([3, 10, 5, 0], start=1):
        total += env.step(np.int64(action))[1]
        env.load_discriminator(SeqGANEnv(**GRAMMAR, discriminator_seed=seed).discriminator_weights())
    paid_by = SeqGANEnv(**GRAMMAR, discriminator_seed=3)
    assert total == pytest.approx(paid_by.score([[3, 10, 5, 0]])[0] - start)


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))], ids=["deepcopy", "pickle"]
)
def test_a_duplicate_is_shaped_by_a_discriminator_of_its_own(duplicate: Any) -> None:
    env = SeqGANEnv(**GRAMMAR, shaping="discriminator")
    env.reset()
    twin, expected = duplicate(env), SeqGANEnv(**GRAMMAR, shaping="discriminator")
    env.load_discriminator(SeqGANEnv(**GRAMMAR, discriminator_seed=1).discriminator_weights())
    assert episode(twin, [3, 10, 0], []) == episode(expected, [3, 10, 0], [])
    assert episode(env, [3, 10, 0], []) != episode(expected, [3, 10, 0], [])


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"shaping_gamma": 1.5}, r"shaping_gamma must be a finite number in \[0, 1\], got 1.5"),
        ({"shaping_gamma": float("nan")}, r"shaping_gamma must be a finite number in \[0, 1\], got nan"),
    ],
)
def test_arguments_out_of_range_are_refused(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SeqGANEnv(**TINY, **kwargs)


@pytest.mark.parametrize("shaping", [wrong_number, not_a_number])
def test_a_potential_that_nothing_can_learn_from_is_refused(shaping: Any) -> None:
    env = SeqGANEnv(**TINY, shaping=shaping)
    with pytest.raises(ValueError, match="shaping must give 1 finite numbers"):
        env.reset()
