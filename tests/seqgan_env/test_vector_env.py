"""The vector environment is `num_envs` single ones: step for step, in every autoreset mode; and its bad input."""

from __future__ import annotations

import copy
import functools
import itertools
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from seqgan_env import SeqGANEnv, SeqGANVectorEnv
from seqgan_env.discriminators import Discriminator
from seqgan_env.registration import TASKS
from seqgan_env.weights import Weights
from tests.support.cases import CASES, SMALL_GRAMMAR, assert_same, nth_allowed
from tests.support.reference_env import BAD_ACTIONS, TINY

MODES = list(AutoresetMode)


def tiny(num_envs: int = 3, mode: AutoresetMode = AutoresetMode.NEXT_STEP, **kwargs: Any) -> SeqGANVectorEnv:
    return SeqGANVectorEnv(num_envs, autoreset_mode=mode, **{**TINY, **kwargs})


@st.composite
def histories(draw: st.DrawFn, actions: list[int], prefixes: list[list[int]]) -> tuple[int, list[tuple[str, Any]]]:
    """A number of environments, and what happens to them."""
    n = draw(st.integers(1, 4))
    mask = st.none() | st.lists(st.booleans(), min_size=n, max_size=n).filter(any)
    steps = st.tuples(st.just("step"), st.lists(st.sampled_from(actions), min_size=n, max_size=n))
    resets = st.tuples(st.just("reset"), st.tuples(mask, st.none() | st.sampled_from(prefixes)))
    changes = st.tuples(st.just("weights"), st.integers(1, 3))
    return n, draw(st.lists(st.one_of(steps, steps, steps, steps, resets, changes), min_size=5, max_size=25))


@functools.cache
def weights(case: str, seed: int) -> Weights:
    """The weights of another discriminator."""
    return SeqGANEnv(**CASES[case][0], discriminator_seed=seed).discriminator_weights()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", CASES)
@settings(max_examples=20)  # histories of each of eighteen combinations
@given(data=st.data())
def test_it_is_single_environments_side_by_side(case: str, mode: AutoresetMode, data: st.DataObject) -> None:
    """Bit for bit, in everything that is returned."""
    kwargs, actions, prefixes = CASES[case]
    n, history = data.draw(histories(actions, prefixes))
    ours = SeqGANVectorEnv(n, autoreset_mode=mode, **kwargs)
    theirs = SyncVectorEnv([lambda: SeqGANEnv(**kwargs)] * n, autoreset_mode=mode)
    assert ours.metadata["autoreset_mode"] is theirs.metadata["autoreset_mode"]
    for name in ("single_observation_space", "observation_space", "single_action_space", "action_space"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert_same(ours.reset(seed=0), theirs.reset(seed=0))
    ended_B = np.zeros(n, dtype=bool)
    for what, value in history:
        if what == "weights":
            ours.load_discriminator(weights(case, value))
            theirs.call("load_discriminator", weights(case, value))
            continue
        if what == "reset":
            mask, prefix = value
            options = ({} if mask is None else {"reset_mask": np.array(mask)}) | (
                {} if prefix is None else {"prefix": prefix}
            )
            mask_B = np.ones(n, dtype=bool) if mask is None else np.array(mask)
            assert_same(ours.reset(options=dict(options)), theirs.reset(options=dict(options)))
            ended_B &= ~mask_B
            continue
        if mode is AutoresetMode.DISABLED and ended_B.any():
            options = {"reset_mask": ended_B.copy()}
            assert_same(ours.reset(options=dict(options)), theirs.reset(options=dict(options)))
            ended_B[:] = False
        mask_BV = np.stack(theirs.call("action_masks"))
        assert_same(ours.action_masks(), mask_BV)
        action_B = np.array(value)
        if not ours.task.action_mask.is_free:
            action_B = np.array([nth_allowed(row, each) for row, each in zip(mask_BV, value, strict=True)])
        step_ours, step_theirs = ours.step(action_B), theirs.step(action_B)
        assert_same(step_ours, step_theirs)
        ended_B = step_ours[2].copy()


@pytest.mark.parametrize("env_id", TASKS)
def test_make_vec_finds_it(env_id: str) -> None:
    needs: dict[str, Any] = {"source": __file__} if env_id == "SeqGANText-v0" else {}
    envs = gym.make_vec(env_id, num_envs=3, **needs)
    assert isinstance(envs, SeqGANVectorEnv)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    assert SeqGANVectorEnv.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    observation_BT, _ = envs.reset()
    assert observation_BT in envs.observation_space
    same_step = gym.make_vec(env_id, num_envs=2, autoreset_mode="SameStep", reward="d", **needs)
    assert same_step.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert isinstance(same_step, SeqGANVectorEnv)
    assert same_step.task_config.reward == "d"
    assert isinstance(gym.make_vec(env_id, num_envs=2, vectorization_mode="sync", **needs), SyncVectorEnv)


class Counting(Discriminator):
    """A discriminator that notes how many sequences it is asked about."""

    def __init__(self, vector_env: SeqGANVectorEnv) -> None:
        super().__init__(vector_env.sequence_spec)
        self.batches: list[int] = []

    def forward(self, tokens_BT: Tensor, generator: torch.Generator | None = None) -> Tensor:
        self.batches.append(len(tokens_BT))
        return tokens_BT[:, 0].double()  # each row has a logit of its own


@pytest.mark.parametrize("mode", MODES)
def test_one_call_of_the_discriminator_scores_all_that_ended(mode: AutoresetMode) -> None:
    envs = SeqGANVectorEnv(5, autoreset_mode=mode, reward="log_ratio", **SMALL_GRAMMAR)
    discriminator = Counting(envs)
    envs.set_discriminator(discriminator)
    envs.reset()
    envs.step(np.array([11, 12, 13, 14, 15]))
    assert discriminator.batches == []
    _, reward_B, terminal_B, _, _ = envs.step(np.array([0, 1, 0, 1, 0]))
    assert discriminator.batches == [3]
    assert terminal_B.tolist() == [True, False, True, False, True]
    assert reward_B.tolist() == [11, 0, 13, 0, 15]


def arrays_in(value: Any) -> list[np.ndarray]:
    """Every array that can be written to, in a tree of lists, tuples, dictionaries and arrays of objects."""
    if isinstance(value, np.ndarray) and value.dtype != object:
        return [value] if value.flags.writeable else []
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (list, tuple, np.ndarray)):
        return []
    return [array for child in value for array in arrays_in(child)]


@pytest.mark.parametrize("mode", MODES)
def test_nothing_it_returned_changes_later(mode: AutoresetMode) -> None:
    envs = tiny(2, mode)
    results: list[Any] = [envs.reset()]
    seen = [(results[0], copy.deepcopy(results[0]))]
    for t in range(8):
        if mode is AutoresetMode.DISABLED and t in (3, 6):
            envs.reset(options={"reset_mask": np.ones(2, dtype=bool)})
        results.append(envs.step(np.array([t % 3, 1])))
        seen.append((results[-1], copy.deepcopy(results[-1])))
    for result, as_it_was in seen:
        assert_same(result, as_it_was)
    for a, b in itertools.combinations(arrays_in(results), 2):
        assert not np.shares_memory(a, b)
    # the caller's: the environment doesn't notice what becomes of them
    mask_B = np.ones(2, dtype=bool)
    for array in arrays_in(envs.reset(options={"reset_mask": mask_B})):
        array[...] = 1
        assert not np.shares_memory(array, mask_B)
    for array in arrays_in(envs.step(np.array([0, 1]))):
        array[...] = 1
    assert envs.step(np.array([2, 2]))[0].tolist() == [[0, 2, 3], [1, 2, 3]]


def future(envs: SeqGANVectorEnv) -> Any:
    """What a copy does next, up to a refusal: two environments in the same state have the same."""
    envs = copy.deepcopy(envs)
    steps: list[Any] = []
    try:
        steps.extend(envs.step(np.array(action)) for action in ([2, 0, 1], [1, 1, 2], [0, 2, 2]))
    except ResetNeeded as error:
        steps.append(str(error))
    return tuple(steps)


class TestBadInput:
    """A named error, and every episode is where it was."""

    @pytest.fixture(params=MODES)
    def envs(self, request: pytest.FixtureRequest) -> SeqGANVectorEnv:
        """Three episodes, each with a prefix of its own, none of them at its end."""
        envs = tiny(3, request.param)
        envs.reset()
        envs.step(np.array([0, 1, 2]))
        return envs

    @pytest.mark.parametrize(("action", "message"), BAD_ACTIONS)
    def test_an_action_that_is_no_token(self, envs: SeqGANVectorEnv, action: Any, message: str) -> None:
        before = future(envs)
        actions = np.array([action] * 3)
        if actions.dtype.kind in "iu":
            actions[:2] = 1  # two right ones, before the wrong one, are not carried out either
        with pytest.raises(ValueError, match=message):
            envs.step(actions)
        assert_same(future(envs), before)

    @pytest.mark.parametrize("actions", [1, [], [1, 1], [1, 1, 1, 1], [[1, 1, 1]], [[1], [1], [1]], None])
    def test_a_wrong_number_of_actions(self, envs: SeqGANVectorEnv, actions: Any) -> None:
        before = future(envs)
        with pytest.raises(ValueError, match=r"actions must have shape \(3,\), got \("):
            envs.step(actions)
        assert_same(future(envs), before)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"prefix": [0, 1, 2]}, "prefix must be shorter than T = 3 tokens, got 3"),
            ({"prefix": [7]}, "prefix must hold ids in .* got 7"),
            ({"prefix": "a"}, "prefix must be token ids"),
            ({"mask": [True] * 3}, "options may hold 'prefix', got 'mask'"),
            ({"reset_mask": [True] * 3}, r"reset_mask must be a boolean array of shape \(3,\), got \[True"),
            ({"reset_mask": np.array([1, 0, 0])}, r"reset_mask must be a boolean array of shape \(3,\)"),
            ({"reset_mask": np.array([True])}, r"reset_mask must be a boolean array of shape \(3,\)"),
            ({"reset_mask": np.zeros(3, dtype=bool)}, "reset_mask must choose at least one episode"),
            ({"reset_mask": np.array([True, False, False]), "prefix": [7]}, "prefix must hold ids in"),
        ],
    )
    def test_bad_reset_options(self, envs: SeqGANVectorEnv, options: dict[str, Any], message: str) -> None:
        before, given_options = future(envs), dict(options)
        with pytest.raises(ValueError, match=message):
            envs.reset(options=options)
        assert_same(future(envs), before)
        assert options.keys() == given_options.keys()

    def test_a_discriminator_that_fails(self, envs: SeqGANVectorEnv) -> None:
        envs.step(np.array([0, 0, 0]))
        working, before = envs.task.scoring.discriminator, future(envs)

        class Broken(Discriminator):
            def forward(self, tokens_BT: Tensor, generator: torch.Generator | None = None) -> Tensor:
                raise RuntimeError("out of order")

        envs.set_discriminator(Broken(envs.sequence_spec), version=0)
        with pytest.raises(RuntimeError, match="out of order"):
            envs.step(np.array([1, 1, 1]))
        envs.set_discriminator(working, version=0)
        assert_same(future(envs), before)

    def test_a_step_before_the_first_reset(self) -> None:
        envs = tiny()
        with pytest.raises(ResetNeeded, match="no episode began"):
            envs.step(np.array([0, 0, 0]))
        with pytest.raises(ResetNeeded, match="reset all episodes once"):
            envs.reset(options={"reset_mask": np.array([True, False, True])})
        with pytest.raises(ResetNeeded, match="no episode began"):
            envs.step(np.array([0, 0, 0]))

    def test_without_autoreset_a_step_after_the_end(self) -> None:
        envs = SeqGANVectorEnv(3, autoreset_mode="Disabled", **SMALL_GRAMMAR)
        envs.reset()
        envs.step(np.array([0, 1, 0]))
        before = envs.reset(options={"reset_mask": np.array([True, False, False])})[0]
        with pytest.raises(ResetNeeded, match=r"reset the episodes that ended before step\(\): \[2\]"):
            envs.step(np.array([1, 1, 1]))
        after = envs.reset(options={"reset_mask": np.array([False, False, True])})[0]
        np.testing.assert_array_equal(after[:2], before[:2])
        assert envs.step(np.array([1, 1, 1]))[0][:, :3].tolist() == [[1, 152, 152], [1, 1, 152], [1, 152, 152]]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"num_envs": 0}, "num_envs must be a whole number of at least 1, got 0"),
            ({"num_envs": 2.0}, "num_envs must be a whole number of at least 1, got 2.0"),
            ({"autoreset_mode": "Sometimes"}, "'Sometimes' is not a valid AutoresetMode"),
            ({"render_mode": "human"}, "the vector environment renders nothing"),
            ({"reward": "praise"}, "reward must be one of"),
            ({"max_episode_steps": 4}, "max_episode_steps must be left out: an episode ends with its sequence"),
        ],
    )
    def test_construction(self, arguments: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            SeqGANVectorEnv(**{**TINY, **arguments})


def test_the_action_of_an_episode_that_begins_anew_is_ignored() -> None:
    envs = SeqGANVectorEnv(2, autoreset_mode="NextStep", **SMALL_GRAMMAR)
    envs.reset()
    envs.step(np.array([0, 3]))
    observation_BT, reward_B, terminal_B, _, _ = envs.step(np.array([-5, 10]))
    assert observation_BT[:, :3].tolist() == [[152, 152, 152], [3, 10, 152]]
    assert reward_B.tolist() == [0, 0]
    assert not terminal_B.any()
