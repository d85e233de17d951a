"""A bonus for what recent episodes did not say, in single and vector environments."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3.common.vec_env import DummyVecEnv

from agents import SeqGAN
from seqgan_env import SeqGANEnv, SeqGANVectorEnv
from seqgan_env.wrappers import DiversityBonus, VectorDiversityBonus
from tests.support.reference_env import TINY
from tests.support.tasks import GRAMMAR

CONSTANT: dict[str, Any] = {**TINY, "max_length": 4, "reward": "constant"}
FIRST, SECOND, THIRD = [0, 1, 0, 1], [0, 1, 2, 2], [1, 1, 1, 1]


def bonus(env: gym.Env[Any, Any], tokens: list[int], **reset: Any) -> float:
    """The payment of an episode beside its reward, 1."""
    env.reset(**reset)
    paid = [float(env.step(np.int64(token))[1]) for token in tokens]
    assert paid[:-1] == [0] * (len(paid) - 1)
    return paid[-1] - 1


def shares(episodes: list[list[int]], n: int, window: int) -> list[float]:
    """The slow form: of each episode the share of its different n-grams that no episode of the window has."""

    def ngrams(tokens: list[int]) -> set[tuple[int, ...]]:
        return {tuple(tokens[t : t + n]) for t in range(len(tokens) - n + 1)}

    answer = []
    for k, tokens in enumerate(episodes):
        recent = [ngrams(each) for each in episodes[max(0, k - window) : k]]
        new = [ngram for ngram in ngrams(tokens) if not any(ngram in each for each in recent)]
        answer.append(len(new) / len(ngrams(tokens)) if ngrams(tokens) else 0.0)
    return answer


def test_what_is_new_is_paid_and_what_was_said_is_not() -> None:
    env = DiversityBonus(SeqGANEnv(**CONSTANT), weight=0.5, n=2)
    assert bonus(env, FIRST) == 0.5
    assert bonus(env, FIRST) == 0
    assert bonus(env, SECOND) == pytest.approx(0.5 * 2 / 3)  # 01 was said, 12 and 22 were not


def test_the_window_forgets_the_oldest() -> None:
    env = DiversityBonus(SeqGANEnv(**CONSTANT), weight=1.0, n=2, window=1)
    assert [bonus(env, tokens) for tokens in (FIRST, FIRST, THIRD, FIRST)] == [1, 0, 1, 1]


def test_a_seed_begins_anew_and_a_plain_reset_does_not() -> None:
    env = DiversityBonus(SeqGANEnv(**CONSTANT), weight=1.0)
    assert [bonus(env, FIRST, seed=0), bonus(env, FIRST), bonus(env, FIRST, seed=0)] == [1, 0, 1]
    envs = VectorDiversityBonus(SeqGANVectorEnv(1, **CONSTANT), weight=1.0)
    for seed, expected in ((0, 1), (None, 0), (0, 1)):
        envs.reset(seed=seed)
        assert [envs.step(np.array([token]))[1][0] for token in FIRST][-1] - 1 == expected


@pytest.mark.parametrize("observation", ["tokens", "dict"])
@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("native", [True, False], ids=["native", "sync"])
def test_a_vector_environment_pays_what_single_episodes_are_paid_one_after_another(
    native: bool, mode: AutoresetMode, n: int, observation: str
) -> None:
    task = {**GRAMMAR, "observation": observation, "reward": "constant"}
    inner: Any = (
        SeqGANVectorEnv(3, autoreset_mode=mode, **task)
        if native
        else SyncVectorEnv([lambda: SeqGANEnv(**task)] * 3, autoreset_mode=mode)
    )
    envs = VectorDiversityBonus(inner, weight=0.25, n=n, window=4)
    single = DiversityBonus(SeqGANEnv(**task), weight=0.25, n=n, window=4)
    envs.reset(seed=0)
    single.reset(seed=0)
    rng = np.random.default_rng(0)
    written: list[list[int]] = [[], [], []]
    ended_B, episodes, paid = np.zeros(3, dtype=bool), [], []
    while len(episodes) < 15:
        if mode is AutoresetMode.DISABLED and ended_B.any():
            envs.reset(options={"reset_mask": ended_B})
            ended_B = np.zeros(3, dtype=bool)
        action_B = rng.choice([0, 3, 10, 50], size=3)
        begins_B = ended_B if mode is AutoresetMode.NEXT_STEP else np.zeros(3, dtype=bool)
        _, reward_B, terminated_B, _, _ = envs.step(action_B)
        for b in range(3):
            written[b] = [] if begins_B[b] else [*written[b], int(action_B[b])]
            if terminated_B[b]:
                episodes.append(written[b])
                paid.append(reward_B[b])
                written[b] = []
            else:
                assert reward_B[b] == 0
        ended_B = terminated_B
    assert paid == [1 + 0.25 * share for share in shares(episodes, n, 4)]
    assert len(set(paid)) > 2
    for tokens, expected in zip(episodes, paid, strict=True):
        single.reset()
        assert [single.step(np.int64(token))[1] for token in tokens][-1] == expected


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
@pytest.mark.parametrize("vector", [False, True])
def test_a_duplicate_has_a_window_of_its_own(duplicate: Any, vector: bool) -> None:
    env: Any = (
        VectorDiversityBonus(SeqGANVectorEnv(1, **CONSTANT), weight=1.0)
        if vector
        else DiversityBonus(SeqGANEnv(**CONSTANT), weight=1.0)
    )

    def play(env: Any, tokens: list[int]) -> float:
        env.reset()
        return float(np.squeeze([env.step(np.array([token]) if vector else token)[1] for token in tokens][-1])) - 1

    play(env, FIRST)
    twin = duplicate(env)
    assert [play(env, THIRD), play(env, THIRD)] == [1, 0]
    assert [play(twin, FIRST), play(twin, THIRD)] == [0, 1]


def test_it_is_in_the_specification_of_the_environment() -> None:
    env = DiversityBonus(gym.make("SeqGANTiny-v0"), weight=0.5, n=1, window=3)
    assert env.spec is not None
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    assert isinstance(again, DiversityBonus)
    assert again.spec == env.spec


def test_seqgan_refuses_rewards_that_it_changed() -> None:
    single = lambda: DiversityBonus(gym.make("SeqGANTiny-v0"), weight=5.0)  # noqa: E731 - one line
    model = SeqGAN("LstmPolicy", DummyVecEnv([single] * 2), n_episodes=2, n_completions=1)
    with pytest.raises(ValueError, match="rewards must be the task's own"):
        model.learn(8)


@pytest.mark.parametrize(
    ("env", "arguments", "message"),
    [
        (SeqGANEnv(**TINY), {"n": 4}, "n must be at most T = 3, got 4"),
        (SeqGANEnv(**TINY), {"window": 0}, "window must be a whole number of at least 1, got 0"),
        (SeqGANEnv(**TINY), {"weight": float("nan")}, "weight must be a finite number, got nan"),
        (SeqGANVectorEnv(2, **TINY), {"n": 4}, "n must be at most T = 3, got 4"),
        (SeqGANVectorEnv(2, **TINY), {"window": 1.5}, "window must be a whole number of at least 1, got 1.5"),
        (gym.make("CartPole-v1"), {}, "env must be a task of seqgan_env, with tokens as observations; got Box"),
        (gym.make("FrozenLake-v1"), {}, "env must be a task of seqgan_env, with tokens as observations; got Discrete"),
        (3, {}, "env must be Env, got 3"),
    ],
    ids=lambda value: "" if isinstance(value, (gym.Env, SeqGANVectorEnv)) else None,
)
def test_wrong_arguments_are_refused(env: Any, arguments: dict[str, Any], message: str) -> None:
    wrap: Any = VectorDiversityBonus if isinstance(env, SeqGANVectorEnv) else DiversityBonus
    with pytest.raises(ValueError, match=message):
        wrap(env, **arguments)
