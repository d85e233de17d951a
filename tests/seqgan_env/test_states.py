"""Cloning and restoring where episodes stand, prefixes of their own, and seeds."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any

import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

from seqgan_env import SeqGANEnv, SeqGANVectorEnv
from seqgan_env.mdp import EpisodeState
from tests.support.cases import CASES, assert_same, nth_allowed
from tests.support.reference_env import TINY, no_repetition

MODES = list(AutoresetMode)


def walk(env: SeqGANEnv, choices: list[int]) -> list[Any]:
    """Steps until the end, each choice being the place of a token among those allowed."""
    steps = []
    for choice in choices:
        steps.append(env.step(np.int64(nth_allowed(env.action_masks(), choice))))
        if steps[-1][2]:
            break
    return steps


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=40)
@given(data=st.data())
def test_an_episode_goes_on_from_where_it_was_cloned(case: str, data: st.DataObject) -> None:
    env = SeqGANEnv(**CASES[case][0])
    env.reset()
    choices = st.lists(st.integers(0, 3), max_size=20)
    walk(env, data.draw(choices.map(lambda made: made[:2])))
    state = env.clone_state()
    here = env._observation(), env._info()
    if state.ended_B[0]:
        env.reset()
        assert_same(env.restore_state(state), here)
        with pytest.raises(ResetNeeded, match="the episode ended"):
            env.step(np.int64(0))
        return
    future = data.draw(choices)
    first = walk(env, future)
    env.reset()
    assert_same(env.restore_state(state), here)
    assert_same(tuple(walk(env, future)), tuple(first))
    other = SeqGANEnv(**CASES[case][0])  # which was never reset
    assert_same(other.restore_state(pickle.loads(pickle.dumps(state))), here)
    assert_same(tuple(walk(other, future)), tuple(first))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", CASES)
def test_many_episodes_go_on_from_where_they_were_cloned(case: str, mode: AutoresetMode) -> None:
    envs = SeqGANVectorEnv(3, autoreset_mode=mode, **CASES[case][0])
    envs.reset()
    rng = np.random.default_rng(0)

    def step() -> Any:
        if mode is AutoresetMode.DISABLED and envs.clone_state().ended_B.any():
            return envs.reset(options={"reset_mask": envs.clone_state().ended_B})
        return envs.step(np.array([nth_allowed(row, int(rng.integers(4))) for row in envs.action_masks()]))

    for _ in range(6):
        step()
        state = envs.clone_state()
        rng = np.random.default_rng(1)
        first = [step() for _ in range(5)]
        envs.restore_state(state)
        rng = np.random.default_rng(1)
        assert_same(tuple(step() for _ in range(5)), tuple(first))
        envs.restore_state(state)
        rng = np.random.default_rng(len(first))


def test_one_episode_becomes_many_and_some_of_them_survive() -> None:
    """What a beam search or a tree search does."""
    env = SeqGANEnv(**TINY)
    env.reset(options={"prefix": [2]})
    envs = SeqGANVectorEnv(3, **TINY)
    observation_BT, info = envs.restore_state(env.clone_state().take([0, 0, 0]))
    assert observation_BT.tolist() == [[2, 3, 3]] * 3
    assert info["length"].tolist() == [1, 1, 1]
    envs.step(np.array([0, 1, 2]))
    observation_BT, _ = envs.restore_state(envs.clone_state().take(np.array([2, 2, 0])))
    assert observation_BT.tolist() == [[2, 2, 3], [2, 2, 3], [2, 0, 3]]
    reward_B = envs.step(np.array([0, 1, 1]))[1]
    np.testing.assert_array_equal(reward_B, env.score([[2, 2, 0], [2, 2, 1], [2, 0, 1]]))
    env.restore_state(envs.clone_state().take([1]))
    with pytest.raises(ResetNeeded, match="the episode ended"):
        env.step(np.int64(0))


def test_a_clone_is_a_copy() -> None:
    envs = SeqGANVectorEnv(2, **TINY)
    envs.reset()
    state = envs.clone_state()
    state.tokens_BT[:] = 0
    observation_BT = envs.step(np.array([1, 2]))[0]
    assert observation_BT.tolist() == [[1, 3, 3], [2, 3, 3]]
    state = envs.clone_state()
    returned = envs.restore_state(state)[0]
    returned[:] = 0
    state.length_B[:] = 0
    assert envs.step(np.array([1, 2]))[0].tolist() == [[1, 1, 3], [2, 2, 3]]


def test_the_discriminator_is_no_part_of_the_state() -> None:
    env = SeqGANEnv(**TINY)
    env.reset()
    env.step(np.int64(1))
    state = env.clone_state()
    env.load_discriminator(SeqGANEnv(**TINY, discriminator_seed=1).discriminator_weights())
    _, info = env.restore_state(state)
    assert info["discriminator_version"] == 1


@pytest.mark.parametrize("make", [lambda: SeqGANEnv(**TINY), lambda: SeqGANVectorEnv(1, **TINY)], ids=["one", "many"])
def test_a_bad_state_changes_nothing(make: Any) -> None:
    env, other = make(), SeqGANEnv(**{**TINY, "max_length": 4})
    with pytest.raises(ResetNeeded, match=r"call reset\(\) before clone_state"):
        env.clone_state()
    env.reset()
    good = env.clone_state()
    other.reset()
    wrong_length = SeqGANEnv(**TINY)
    wrong_length.reset()
    torn = wrong_length.clone_state()
    torn.length_B[0] = 2
    for state, message in [
        (None, "the state must be what clone_state gives, got NoneType"),
        (other.clone_state(), "the state"),
        (good.take([0, 0]), r"the state must be of 1 episodes of .*, got tokens \(2, 3\)"),
        (torn, "lengths and ends must be those of its tokens"),
        *(
            (dataclasses.replace(good, **{name: wrong}), f"the state's {name} must be a finite array of {kind}, got")
            for name, kind in zip(vars(good), ("int64", "int64", "bool", "float64", "float64"), strict=True)
            for wrong in (None, vars(good)[name].tolist(), vars(good)[name].astype(np.float32))
        ),
        (dataclasses.replace(good, reward_B=np.array([np.nan])), "the state's reward_B must be a finite array"),
        (dataclasses.replace(good, reward_B=np.zeros(2)), r"rewards must be one for each of 1 episodes, got \(2,\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            env.restore_state(state)
    assert_same(vars(env.clone_state()), vars(good))


class TestPrefixes:
    def test_one_for_each_episode_or_one_for_all(self) -> None:
        envs = SeqGANVectorEnv(3, source="grammar")
        for prefix in (
            [[3], [3, 10], []],
            ["a", "a bird", ""],
            [[3], "a bird", ()],
            np.array([[3, 152], [3, 10], [152, 152]]),
        ):
            observation_BT, info = envs.reset(options={"prefix": prefix})
            assert observation_BT[:, :3].tolist() == [[3, 152, 152], [3, 10, 152], [152, 152, 152]]
            assert info["length"].tolist() == [1, 2, 0]
        for prefix in ([3, 10], "a bird", np.array([3, 10])):
            assert envs.reset(options={"prefix": prefix})[0][:, :3].tolist() == [[3, 10, 152]] * 3

    def test_with_a_mask_those_of_the_others_are_ignored(self) -> None:
        envs = SeqGANVectorEnv(2, **TINY)
        envs.reset()
        options = {"prefix": [[1], [2]], "reset_mask": np.array([False, True])}
        assert envs.reset(options=options)[0].tolist() == [[3, 3, 3], [2, 3, 3]]

    @pytest.mark.parametrize(
        ("prefix", "message"),
        [
            ([[1], [2], [0]], "prefix must be a row of token ids, or one for each of 2 episodes; got 3 rows"),
            ([[1], [7]], "prefix must hold ids in .* got 7"),
            ([[1], [3]], "prefix must hold token ids in .* got the padding id 3"),
            ([[1], [0, 1, 2]], "prefix must be shorter than T = 3 tokens, got 3"),
            ([[1], [0.5]], "prefix must be whole numbers"),
            ([[1], "a"], "prefix must be token ids: the tokens of source 'oracle' have no text"),
            (np.array([[0, 1, 2], [0, 1, 2]]), "prefix must be shorter than T = 3 tokens, got 3"),
        ],
    )
    def test_a_bad_one_is_refused(self, prefix: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            SeqGANVectorEnv(2, **TINY).reset(options={"prefix": prefix})

    def test_a_single_episode_has_one(self) -> None:
        with pytest.raises(ValueError, match=r"prefix must be a row of token ids, got an array of shape \(1, 2\)"):
            SeqGANEnv(**TINY).reset(options={"prefix": [[0, 1]]})


class TestSeeds:
    @pytest.mark.parametrize("seed", [3, [7, 8, 9], (1, None, 2), np.array([4, 5, 6])])
    def test_they_are_those_of_single_environments(self, seed: Any) -> None:
        ours, theirs = SeqGANVectorEnv(3, **TINY), SyncVectorEnv([lambda: SeqGANEnv(**TINY)] * 3)
        given = seed if isinstance(seed, int) else [None if each is None else int(each) for each in seed]
        ours.reset(seed=seed)
        theirs.reset(seed=given)
        for b, (mine, its) in enumerate(zip(ours.np_random_seed, theirs.np_random_seed, strict=True)):
            if isinstance(given, int) or given[b] is not None:
                assert mine == its
                assert ours.np_random[b].integers(1 << 30) == theirs.np_random[b].integers(1 << 30)

    def test_a_mask_seeds_those_it_resets(self) -> None:
        envs = SeqGANVectorEnv(2, **TINY)
        envs.reset(seed=[1, 2])
        envs.reset(seed=[8, 9], options={"reset_mask": np.array([False, True])})
        assert envs.np_random_seed == (1, 9)
        envs.reset()
        assert envs.np_random_seed == (1, 9)

    @pytest.mark.parametrize("seed", [-1, [1, 2], [1, -2, 3], [1, 2.5, 3], [True, 1, 2], 1.5, "abcd"])
    def test_a_bad_one_changes_nothing(self, seed: Any) -> None:
        envs = SeqGANVectorEnv(3, **TINY)
        envs.reset(seed=5)
        envs.step(np.array([0, 1, 2]))
        with pytest.raises(ValueError, match="seed must be"):
            envs.reset(seed=seed)
        assert envs.np_random_seed == (5, 6, 7)
        assert envs.clone_state().length_B.tolist() == [1, 1, 1]


def test_constraints_hold_after_restoring() -> None:
    env = SeqGANEnv(**TINY, allowed_next=no_repetition)
    env.reset()
    env.step(np.int64(1))
    state = env.clone_state()
    env.reset()
    _, info = env.restore_state(state)
    assert info["action_mask"].tolist() == [1, 0, 1]
    with pytest.raises(ValueError, match=r"got 1 after \[1\]"):
        env.step(np.int64(1))


def two_episodes() -> EpisodeState:
    envs = SeqGANVectorEnv(2, **TINY)
    envs.reset()
    envs.step(np.array([0, 1]))
    return envs.clone_state()


@pytest.mark.parametrize("rows", [[2], [-3], [0.0], [[0]], [True], True, "0", [True, False, True], 1])
def test_rows_that_are_no_episodes_are_refused(rows: Any) -> None:
    state = two_episodes()
    with pytest.raises(ValueError, match="rows must be indices of 2 episodes or a boolean mask of them, got"):
        state.take(rows)


def test_no_rows_are_no_episodes() -> None:
    state = two_episodes()
    for rows in ([], [False, False]):
        assert len(state.take(rows).tokens_BT) == 0
    assert np.array_equal(state.take([-1, 0]).tokens_BT, state.tokens_BT[[1, 0]])
