"""The single environment: every claim of its docstring, and what it does with bad input."""

from __future__ import annotations

import copy
import itertools
import math
import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from gymnasium.error import ResetNeeded
from torch import Tensor

from seqgan_env import SeqGANEnv
from seqgan_env.discriminators import Discriminator
from tests.support.reference import all_sequences
from tests.support.reference_env import BAD_ACTIONS, TINY
from tests.support.tasks import GRAMMAR, bare

EOS, A, BIRD = 0, 3, 10
"""Tokens of the grammar."""
SMALL_GRAMMAR: dict[str, Any] = {"source": "grammar", "discriminator_kwargs": {"filters": [[1, 4], [3, 4]]}}


def tiny(**kwargs: Any) -> SeqGANEnv:
    return SeqGANEnv(**{**TINY, **kwargs})


def play(env: SeqGANEnv, actions: list[int]) -> list[Any]:
    """What the steps return, as plain values."""
    return [plain(env.step(np.int64(action))) for action in actions]


def plain(value: Any) -> Any:
    """A tree of arrays as one of lists, which can be compared."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, tuple):
        return tuple(plain(each) for each in value)
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


def future(env: SeqGANEnv) -> Any:
    """What a copy of the environment does next: two environments in the same state have the same."""
    env = copy.deepcopy(env)
    try:
        return env.render(), play(env, [1]), play(env, [2])
    except ResetNeeded as error:
        return env.render(), str(error)


class Broken(Discriminator):
    """A discriminator that fails."""

    def forward(self, tokens_BT: Tensor, generator: torch.Generator | None = None) -> Tensor:
        raise RuntimeError("out of order")


@pytest.mark.theory
def test_an_episode_of_every_sequence() -> None:
    """0 before the end, and there log D(Y) (eq. 13.37): over all 27 sequences of V = T = 3."""
    env = tiny()
    sequences_BT = all_sequences(env.sequence_spec)
    with torch.no_grad():
        log_d_B = F.logsigmoid(env.task.scoring.discriminator(torch.from_numpy(sequences_BT)).double()).tolist()
    for sequence, log_d in zip(sequences_BT.tolist(), log_d_B, strict=True):
        observation, info = env.reset()
        assert observation.tolist() == [3, 3, 3]
        assert plain(info) == {"length": 0, "discriminator_version": 0, "action_mask": [1, 1, 1]}
        for t, token in enumerate(sequence, start=1):
            observation, reward, terminated, truncated, info = env.step(token)
            assert observation.dtype == np.int64
            assert observation in env.observation_space
            assert observation.tolist() == sequence[:t] + [3] * (3 - t)
            assert plain(info) == {"length": t, "discriminator_version": 0, "action_mask": [1, 1, 1]}
            assert type(reward) is float
            assert terminated is (t == 3)  # exactly bool, and at the horizon
            assert truncated is False
            assert reward == (pytest.approx(log_d, rel=1e-6) if terminated else 0.0)


def test_end_of_sequence_is_an_action_that_ends_the_episode() -> None:
    env = SeqGANEnv(**SMALL_GRAMMAR)
    env.reset()
    (_, *middle, _), (observation, reward, terminated, truncated, info) = play(env, [A, EOS])
    assert middle == [0.0, False, False]
    assert observation[:3] == [A, EOS, env.sequence_spec.pad_id]
    assert terminated is True
    assert truncated is False
    assert info["length"] == 2
    assert reward == pytest.approx(float(env.score([[A, EOS]])[0]), rel=1e-6)
    with pytest.raises(ResetNeeded, match="the episode ended"):
        env.step(np.int64(A))


def test_without_end_of_sequence_the_horizon_ends_it() -> None:
    env = SeqGANEnv(**SMALL_GRAMMAR)
    env.reset()
    steps = play(env, [A] * env.sequence_spec.max_length)
    assert [terminated for _, _, terminated, _, _ in steps] == [False] * 16 + [True]
    assert not any(truncated for _, _, _, truncated, _ in steps)


def test_another_reward_by_name() -> None:
    env = tiny(reward="d")
    env.reset()
    reward = play(env, [0, 1, 2])[-1][1]
    log_d = float(tiny().score([[0, 1, 2]])[0])
    assert reward == pytest.approx(math.exp(log_d))


def test_new_weights_count_from_the_next_reward_and_the_version_is_told() -> None:
    env, other = tiny(), tiny(discriminator_seed=1)
    env.reset()
    env.step(np.int64(0))
    env.load_discriminator(other.discriminator_weights())
    assert env.discriminator_version == 1
    (_, _, _, _, info), (_, reward, _, _, _) = play(env, [1, 2])
    assert info["discriminator_version"] == 1
    assert reward == float(other.score([[0, 1, 2]])[0]) != float(tiny().score([[0, 1, 2]])[0])


def test_observations_and_infos_share_no_memory() -> None:
    env = tiny()
    observation, info = env.reset()
    seen = [(observation, info, observation.copy(), dict(info))]
    for action in (0, 1, 2):
        observation, _, _, _, info = env.step(np.int64(action))
        seen.append((observation, info, observation.copy(), dict(info)))
    for (a, info_a, *_), (b, info_b, *_) in itertools.combinations(seen, 2):
        assert not np.shares_memory(a, b)
        assert info_a is not info_b
    for observation, info, observation_then, info_then in seen:
        np.testing.assert_array_equal(observation, observation_then)
        assert info == info_then
    first = env.reset()[0]
    first[:] = 1  # the caller's copy: the environment doesn't notice
    assert env.step(np.int64(0))[0].tolist() == [0, 3, 3]


class TestPrefix:
    @pytest.mark.parametrize("prefix", [[], [2], [1, 0], (1, 0), np.array([1, 0], dtype=np.uint8)])
    def test_ids_lead_where_the_actions_would(self, prefix: Any) -> None:
        env, walked = tiny(), tiny()
        observation, info = env.reset(options={"prefix": prefix})
        observation_walked, info_walked = walked.reset()
        for token in prefix:
            observation_walked, _, _, _, info_walked = walked.step(token)
        np.testing.assert_array_equal(observation, observation_walked)
        assert plain(info) == plain(info_walked)
        rest = [0, 2, 1][len(prefix) :]
        assert play(env, rest) == play(walked, rest)

    def test_text_is_its_ids(self) -> None:
        env = SeqGANEnv(**SMALL_GRAMMAR)
        assert env.task.words(np.array([A, BIRD])) == ["a", "bird"]
        from_text = env.reset(options={"prefix": "a bird"})[0]
        np.testing.assert_array_equal(from_text, env.reset(options={"prefix": [A, BIRD]})[0])
        np.testing.assert_array_equal(env.reset(options={"prefix": ""})[0], env.reset()[0])

    def test_it_holds_for_one_episode(self) -> None:
        env = tiny()
        env.reset(options={"prefix": [2]})
        assert env.reset()[0].tolist() == [3, 3, 3]

    def test_it_is_copied(self) -> None:
        env, prefix = tiny(), np.array([2, 1])
        env.reset(options={"prefix": prefix})
        prefix[:] = 0
        assert env.step(np.int64(0))[0].tolist() == [2, 1, 0]

    @pytest.mark.parametrize(
        ("kwargs", "options", "message"),
        [
            (TINY, {"prefix": [0, 1, 2]}, "prefix must be shorter than T = 3 tokens, got 3"),
            (TINY, {"prefix": [5]}, "prefix must hold ids in .* got 5"),
            (TINY, {"prefix": [3]}, "prefix must hold token ids in .* got the padding id 3"),
            (TINY, {"prefix": [-1]}, "prefix must hold ids in .* got -1"),
            (TINY, {"prefix": [[0, 1]]}, "prefix must be a row of token ids, got an array of shape"),
            (TINY, {"prefix": 1}, "prefix must be a row of token ids, got an array of shape"),
            (TINY, {"prefix": None}, "prefix must be a row of token ids, got an array of shape"),
            (TINY, {"prefix": [0.0]}, "prefix must be whole numbers, got an array of float64"),
            (TINY, {"prefix": "a bird"}, "prefix must be token ids: the tokens of source 'oracle' have no text"),
            (TINY, {"perfix": [0]}, "options may hold 'prefix', got 'perfix'"),
            (TINY, {1: 2, "b": 3}, "options must be a mapping from names or None, got"),
            (SMALL_GRAMMAR, {"prefix": [EOS]}, "prefix must not hold the end-of-sequence token 0"),
            (SMALL_GRAMMAR, {"prefix": [A, EOS]}, "prefix must not hold the end-of-sequence token 0"),
            (SMALL_GRAMMAR, {"prefix": "a dragon"}, "it does not have 'dragon'"),
            (SMALL_GRAMMAR, {"prefix": "a " * 17}, "prefix must be shorter than T = 17 tokens, got 17"),
        ],
    )
    def test_a_bad_one_changes_nothing(self, kwargs: dict[str, Any], options: Any, message: str) -> None:
        env = SeqGANEnv(**kwargs, render_mode="ansi")
        with pytest.raises(ValueError, match=message):
            env.reset(options=options)
        with pytest.raises(ResetNeeded, match="no episode began"):  # nor did it begin an episode
            env.step(np.int64(1))
        env.reset()
        env.step(np.int64(2))
        before = future(env)
        with pytest.raises(ValueError, match=message):
            env.reset(options=options)
        assert future(env) == before


def test_a_bad_seed_changes_nothing() -> None:
    env = tiny(render_mode="ansi")
    env.reset()
    env.step(np.int64(2))
    before = future(env)
    with pytest.raises(gym.error.Error):
        env.reset(seed=-1)
    assert future(env) == before


class TestBadActions:
    @pytest.mark.parametrize(("action", "message"), BAD_ACTIONS)
    def test_a_value_that_is_no_token_changes_nothing(self, action: Any, message: str) -> None:
        env = tiny(render_mode="ansi")
        env.reset()
        env.step(np.int64(2))
        before = future(env)
        with pytest.raises(ValueError, match=message):
            env.step(action)
        assert future(env) == before

    @pytest.mark.parametrize("action", [[1], np.array([1]), np.array([[1]]), [1, 2], [], [[1], [1, 2]]])
    def test_nor_does_a_wrong_shape(self, action: Any) -> None:
        env = tiny(render_mode="ansi")
        env.reset()
        before = future(env)
        with pytest.raises(ValueError, match=r"an action must be one token id, got an array of shape|inhomogeneous"):
            env.step(action)
        assert future(env) == before

    @pytest.mark.parametrize("action", [1, np.int32(1), np.uint8(1), np.array(1), torch.tensor(1)])
    def test_every_kind_of_whole_number_is_taken(self, action: Any) -> None:
        env = tiny()
        env.reset()
        assert env.step(action)[0].tolist() == [1, 3, 3]

    def test_a_step_before_the_first_reset(self) -> None:
        env = tiny()
        with pytest.raises(ResetNeeded, match=r"call reset\(\) before step\(\): no episode began"):
            env.step(np.int64(0))
        assert env.reset()[0].tolist() == [3, 3, 3]

    def test_a_step_after_the_end_changes_nothing(self) -> None:
        env = tiny(render_mode="ansi")
        env.reset()
        play(env, [0, 1, 2])
        before = env.render()
        for action in (1, 99):
            with pytest.raises(ResetNeeded, match=r"call reset\(\) before step\(\): the episode ended"):
                env.step(np.int64(action))
        assert env.render() == before
        assert env.reset()[0].tolist() == [3, 3, 3]

    def test_a_discriminator_that_fails_leaves_the_episode_where_it_was(self) -> None:
        env = tiny(render_mode="ansi")
        env.reset()
        play(env, [0, 1])
        working, before = env.task.scoring.discriminator, future(env)
        env.set_discriminator(Broken(env.sequence_spec), version=0)
        with pytest.raises(RuntimeError, match="out of order"):
            env.step(np.int64(2))
        env.set_discriminator(working, version=0)
        assert future(env) == before


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))], ids=["deepcopy", "pickle"]
)
@pytest.mark.parametrize("is_made", [False, True], ids=["bare", "made"])
def test_a_duplicate_goes_on_by_itself(duplicate: Any, is_made: bool) -> None:
    env: gym.Env[Any, Any] = gym.make("SeqGAN-v0", **TINY) if is_made else tiny()
    env.reset(seed=3)
    env.step(2)
    twin = duplicate(env)
    expected = [plain(twin.step(0)), plain(twin.step(1))]
    assert [plain(env.step(0)), plain(env.step(1))] == expected  # the twin's steps weren't this one's
    reward = expected[-1][1]
    bare(twin).load_discriminator(tiny(discriminator_seed=1).discriminator_weights())
    assert bare(env).discriminator_version == 0
    assert bare(env).score([[2, 0, 1]])[0] == reward
    assert bare(twin).score([[2, 0, 1]])[0] != reward


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
