"""What a step is paid: shaping, clipping, and the precision of the reward."""

from __future__ import annotations

import copy
import itertools
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqgan_env import SeqGANEnv
from seqgan_env.discriminators import DiscriminatorTrainer
from seqgan_env.enumeration import all_sequences
from seqgan_env.task import MAX_EXACT_SCORES, Task, TaskConfig
from tests.reference_env import TINY, mean_token

GRAMMAR: dict[str, Any] = {
    "source": "grammar",
    "discriminator_kwargs": {"embedding_dim": 4, "filters": [[1, 3], [3, 3]]},
}
TABULAR: dict[str, Any] = {
    "vocab_size": 3,
    "max_length": 4,
    "discriminator": "tabular",
    "discriminator_kwargs": {"scale": 2.0},
}


def wrong_number(tokens_BT: np.ndarray, length_B: np.ndarray) -> Any:
    """A potential that answers for nobody."""
    return np.zeros(len(tokens_BT) + 1)


def not_a_number(tokens_BT: np.ndarray, length_B: np.ndarray) -> Any:
    """A potential that is none."""
    return np.full(len(tokens_BT), np.nan)


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


@pytest.mark.theory
@pytest.mark.parametrize("shaping", ["discriminator", mean_token])
@pytest.mark.parametrize("task", [TINY, GRAMMAR, TABULAR], ids=["cnn", "variable length", "tabular"])
@given(data=st.data())
def test_shaping_changes_no_return_but_by_the_potential_of_the_start(
    task: dict[str, Any], shaping: Any, data: st.DataObject
) -> None:
    """Ng, Harada and Russell (1999): the discounted return is that of the task less a constant of the state."""
    gamma = data.draw(st.sampled_from([0.0, 0.5, 0.9, 1.0]))
    shaped, plain = SeqGANEnv(**task, shaping=shaping, shaping_gamma=gamma), SeqGANEnv(**task)
    spec = plain.sequence_spec
    prefix = data.draw(st.lists(st.integers(1, 2), max_size=2))
    actions = data.draw(st.lists(st.integers(0, 2), min_size=spec.max_length, max_size=spec.max_length))
    rewards, _ = episode(shaped, actions, prefix)
    paid, _ = episode(plain, actions, prefix)
    start_BT = np.array([prefix + [spec.pad_id] * (spec.max_length - len(prefix))])
    start = shaped.task.potential(start_BT, np.array([len(prefix)]))[0]
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
    potential = env.task.discriminator(torch.from_numpy(rows_BT)).double().tolist()
    assert rewards == pytest.approx(np.diff(potential), abs=1e-6)


def test_a_discriminator_that_changes_meanwhile_leaves_the_sum_whole() -> None:
    env = SeqGANEnv(**GRAMMAR, shaping="discriminator")
    start = SeqGANEnv(**GRAMMAR, shaping="discriminator").task.potential(np.full((1, 17), 152), np.array([0]))[0]
    env.reset()
    total = 0.0
    for seed, action in enumerate([3, 10, 5, 0], start=1):
        total += env.step(np.int64(action))[1]
        env.load_discriminator(SeqGANEnv(**GRAMMAR, discriminator_seed=seed).discriminator_weights())
    paid_by = SeqGANEnv(**GRAMMAR, discriminator_seed=3)
    assert total == pytest.approx(paid_by.score([[3, 10, 5, 0]])[0] - start)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"shaping": "bonus"}, "shaping must be a function or 'module:function', got 'bonus'"),
        ({"shaping": 3}, "shaping must be a function or 'module:function', got 3"),
        ({"shaping_gamma": 1.5}, r"shaping_gamma must be in \[0, 1\], got 1.5"),
        ({"shaping_gamma": float("nan")}, r"shaping_gamma must be in \[0, 1\], got nan"),
        ({"reward_clip": [0, -1]}, r"reward_clip must be \[low, high\], low below high, .* got \[0, -1\]"),
        ({"reward_clip": [0]}, r"reward_clip must be \[low, high\]"),
        ({"reward_clip": 5}, r"reward_clip must be \[low, high\]"),
        ({"reward_clip": ["a", None]}, r"reward_clip must be \[low, high\]"),
        ({"reward_clip": [float("nan"), None]}, r"reward_clip must be \[low, high\]"),
        ({"observation": "image"}, "observation must be one of tokens, dict; got 'image'"),
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


@pytest.mark.parametrize(
    ("clip", "low", "high"), [([-1, None], -1, np.inf), ([None, -1.5], -np.inf, -1.5), ((-2, -1), -2, -1)]
)
def test_the_reward_is_cut_off_at_the_clip(clip: Any, low: float, high: float) -> None:
    free, clipped = (Task(TaskConfig(**TABULAR, **more)) for more in ({}, {"reward_clip": clip}))
    sequences_BT = all_sequences(free.spec)
    reward_B = free.score(sequences_BT)
    assert (reward_B < low).any() or (reward_B > high).any()
    np.testing.assert_array_equal(clipped.score(sequences_BT), np.clip(reward_B, low, high))


def test_a_clip_survives_json() -> None:
    import gymnasium as gym
    from gymnasium.envs.registration import EnvSpec

    env = gym.make(
        "SeqGANTiny-v0", reward_clip=[-10, None], min_length=1, allowed_tokens=[0, 1], shaping="discriminator"
    )
    assert env.spec is not None
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert again.unwrapped.task_config == env.unwrapped.task_config  # type: ignore[attr-defined]


class TestPrecision:
    @pytest.mark.parametrize("task", [GRAMMAR, {"vocab_size": 50}], ids=["small", "the paper's"])
    def test_a_reward_does_not_depend_on_its_neighbours(self, task: dict[str, Any]) -> None:
        """Where single precision alone would show it: the logits of one batch differ from those of another."""
        t = Task(TaskConfig(**task))
        tokens_BT = t.real_sequences[:33]
        alone = np.concatenate([t.score_complete(row[None]) for row in tokens_BT])
        np.testing.assert_array_equal(t.score_complete(tokens_BT), alone)
        np.testing.assert_array_equal(t.score_complete(tokens_BT[::-1].copy())[::-1], alone)
        single = np.concatenate([t.discriminator.logits(row[None]) for row in tokens_BT])
        assert (t.discriminator.logits(tokens_BT) != single).any()

    def test_it_is_the_single_precision_one_up_to_rounding(self) -> None:
        task = Task(TaskConfig(**GRAMMAR, reward="log_ratio"))
        rows_BT = np.resize(task.real_sequences, (MAX_EXACT_SCORES + 1, task.spec.max_length))
        exact, fast = task.score(rows_BT[:-1]), task.score(rows_BT)[:-1]
        np.testing.assert_allclose(exact, fast, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(exact, exact.astype(np.float32))

    def test_weights_and_mode_of_the_discriminator_stay(self) -> None:
        task = Task(TaskConfig(**GRAMMAR))
        before = task.discriminator_weights()
        task.discriminator.train()
        first, second = (task.score_complete(task.real_sequences[:5]) for _ in range(2))
        np.testing.assert_array_equal(first, second)  # no dropout
        assert task.discriminator.training
        for name, weight in task.discriminator_weights().items():
            assert weight.dtype == before[name].dtype
            np.testing.assert_array_equal(weight, before[name])

    def test_weights_changed_in_place_count_at_once(self) -> None:
        task = Task(TaskConfig(**GRAMMAR))
        rows_BT = task.real_sequences[:5]
        seen = [task.score_complete(rows_BT)]
        with torch.no_grad():
            for parameter in task.discriminator.parameters():
                parameter.mul_(1.5)
        seen.append(task.score_complete(rows_BT))
        trainer = DiscriminatorTrainer(task.discriminator, learning_rate=0.1)
        trainer.fit(rows_BT, rows_BT)  # by a fused optimiser, which torch's count of changes does not see
        seen.append(task.score_complete(rows_BT))
        for parameter in task.discriminator.parameters():
            parameter.data.clamp_(-0.05, 0.05)
        seen.append(task.score_complete(rows_BT))
        task.load_discriminator(SeqGANEnv(**GRAMMAR, discriminator_seed=1).discriminator_weights())
        seen.append(task.score_complete(rows_BT))
        task.discriminator.output.weight = torch.nn.Parameter(torch.ones_like(task.discriminator.output.weight))
        seen.append(task.score_complete(rows_BT))
        for a, b in itertools.pairwise(seen):
            assert (a != b).all()

    def test_a_copy_has_weights_of_its_own(self) -> None:
        task = Task(TaskConfig(**GRAMMAR))
        rows_BT = task.real_sequences[:5]
        before = task.score_complete(rows_BT)
        for twin in (copy.deepcopy(task), pickle.loads(pickle.dumps(task))):
            np.testing.assert_array_equal(twin.score_complete(rows_BT), before)
            with torch.no_grad():
                twin.discriminator.output.weight.zero_()
            assert (twin.score_complete(rows_BT) != before).all()
        np.testing.assert_array_equal(task.score_complete(rows_BT), before)


@pytest.mark.theory
@pytest.mark.parametrize("eos_id", [None, 1])
def test_a_table_s_logit_of_a_prefix_is_the_mean_of_its_completions(eos_id: int | None) -> None:
    from seqgan_env.discriminators import TabularDiscriminator
    from seqgan_env.enumeration import open_prefixes
    from seqgan_env.tokens import SequenceSpec

    spec = SequenceSpec(3, 3, eos_id)
    torch.manual_seed(0)
    discriminator, sequences = TabularDiscriminator(spec, scale=1.0), all_sequences(spec)
    table = discriminator.table_K.detach().double().numpy()
    prefixes = np.concatenate([open_prefixes(spec), sequences])
    for prefix, logit in zip(prefixes, discriminator.prefix_logits(prefixes), strict=True):
        n = spec.lengths(prefix)
        assert logit == pytest.approx(table[(sequences[:, :n] == prefix[:n]).all(axis=1)].mean(), abs=1e-12)


def test_dict_observations_are_the_same_tokens_with_their_length_and_mask() -> None:
    plain, env = SeqGANEnv(**GRAMMAR), SeqGANEnv(**GRAMMAR, observation="dict")
    tokens, _ = plain.reset()
    observation, info = env.reset()
    for action in (3, 10, 0):
        assert observation in env.observation_space
        np.testing.assert_array_equal(observation["tokens"], tokens)
        assert observation["length"] == info["length"]
        np.testing.assert_array_equal(observation["action_mask"], env.action_masks())
        observation["tokens"][:] = observation["action_mask"][:] = 1  # the caller's own
        tokens = plain.step(np.int64(action))[0]
        observation, *_, info = env.step(np.int64(action))
    np.testing.assert_array_equal(observation["tokens"], tokens)
    assert observation in env.observation_space
