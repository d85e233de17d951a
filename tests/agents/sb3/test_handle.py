"""The task behind an environment, wherever that lives: what is asked reaches it, and what is pushed reaches all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.wrappers import DtypeObservation
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv, VecFrameStack, VecNormalize

from agents import DiscriminatorCallback, GeneratorActorCritic, SeqGAN, make_seqgan_vec_env
from agents.sb3.handle import TaskHandle
from seqgan_env.discriminators import build_discriminator, save_discriminator
from seqgan_env.task_config import TaskConfig
from seqgan_env.tokens import SequenceSpec
from tests.support.builders import ORACLE, POLICY

ROWS = np.random.default_rng(0).integers(20, size=(7, 6))
LOCAL: dict[str, Callable[[], VecEnv]] = {
    "native": lambda: make_seqgan_vec_env("SeqGAN-v0", 2, **ORACLE),
    "dummy": lambda: make_vec_env("SeqGAN-v0", 2, env_kwargs=ORACLE),
    "normalised": lambda: VecNormalize(make_vec_env("SeqGAN-v0", 2, env_kwargs=ORACLE)),
}


@pytest.fixture(params=[*LOCAL, "subprocesses"])
def env(request: pytest.FixtureRequest) -> VecEnv:
    if request.param in LOCAL:
        return LOCAL[request.param]()
    shared: VecEnv = request.getfixturevalue("subprocesses")
    return shared


def test_knows_the_task(env: VecEnv) -> None:
    handle = TaskHandle(env)
    assert handle.spec == SequenceSpec(20, 6)
    assert handle.config == TaskConfig(**ORACLE)


def test_a_function_that_does_not_travel_from_another_process_is_refused() -> None:
    task = {**ORACLE, "allowed_next": lambda tokens_BT, length_B: np.ones((len(tokens_BT), 20), dtype=np.bool_)}
    env = make_vec_env("seqgan_env:SeqGAN-v0", 1, env_kwargs=task, vec_env_cls=SubprocVecEnv)
    with pytest.raises(ValueError, match=r"env must be a task .* give it its functions by name, 'module:function'"):
        TaskHandle(env)


def test_has_the_real_sequences_of_the_environment(env: VecEnv) -> None:
    handle = TaskHandle(env)
    assert handle.real_sequences.shape == (200, 6)
    assert handle.held_out_sequences.shape == (100, 6)
    np.testing.assert_array_equal(handle.real_sequences, env.get_attr("real_sequences")[0])
    np.testing.assert_array_equal(handle.held_out_sequences, env.get_attr("held_out_sequences")[0])


def test_scores_as_the_environment_does(env: VecEnv) -> None:
    handle = TaskHandle(env)
    expected_B = env.env_method("score", ROWS)[0]
    np.testing.assert_array_equal(handle.score(ROWS), expected_B)
    np.testing.assert_array_equal(handle.returns(ROWS), expected_B)
    scored_B = handle.returns_tensor(torch.from_numpy(ROWS))
    assert scored_B.dtype == torch.float64
    np.testing.assert_array_equal(scored_B.numpy(), expected_B)


def test_a_check_of_what_was_paid_does_not_count_as_scoring() -> None:
    handle = TaskHandle(LOCAL["native"]())
    task = handle.local_task
    assert task is not None
    return_B = handle.returns(ROWS)
    assert task.scoring.n_scored == len(ROWS)
    handle.check_returns(ROWS, np.zeros(len(ROWS), np.int64), return_B)
    assert task.scoring.n_scored == len(ROWS)


def test_gives_a_discriminator_to_every_environment(env: VecEnv) -> None:
    handle = TaskHandle(env)
    other = handle.copy_discriminator()
    with torch.no_grad():
        other.output.bias += 3
    before_B = handle.score(ROWS)
    handle.push(other, version=41)
    assert env.get_attr("discriminator_version") == [41, 41]
    assert handle.version == handle.newest_version == 41
    expected_B = torch.nn.functional.logsigmoid(torch.from_numpy(other.exact_logits(ROWS))).numpy()
    for score_B in env.env_method("score", ROWS):
        np.testing.assert_allclose(score_B, expected_B, rtol=1e-6)
    assert np.abs(expected_B - before_B).min() > 1e-3


def test_a_copy_of_the_discriminator_has_the_weights_of_the_moment_and_leaves_it_alone(env: VecEnv) -> None:
    handle = TaskHandle(env)
    changed = handle.copy_discriminator()
    with torch.no_grad():
        changed.output.bias += 1
    handle.push(changed, handle.version + 1)
    copy = handle.copy_discriminator()
    for name, tensor in changed.state_dict().items():
        assert torch.equal(copy.state_dict()[name], tensor)
    score_B = handle.score(ROWS)
    with torch.no_grad():
        copy.output.bias += 1
    np.testing.assert_array_equal(handle.score(ROWS), score_B)


@pytest.mark.parametrize("kind", [DummyVecEnv, SubprocVecEnv])
def test_a_discriminator_s_file_may_go_once_the_environment_is_made(
    kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever reads it later would meet another one, or none."""
    monkeypatch.chdir(tmp_path)
    judge = build_discriminator("gru", SequenceSpec(20, 6), seed=3)
    save_discriminator(judge, "judge")
    env = make_vec_env(
        "seqgan_env:SeqGAN-v0",
        1,
        env_kwargs={**ORACLE, "discriminator": "judge", "discriminator_kwargs": {}},
        vec_env_cls=kind,
    )
    Path("judge").unlink()
    copy = TaskHandle(env).copy_discriminator()
    assert type(copy) is type(judge)
    np.testing.assert_allclose(copy.logits(ROWS), judge.logits(ROWS), rtol=1e-5)
    callback = DiscriminatorCallback(8, n_generated=16, n_epochs=1)
    SeqGAN("GruPolicy", env, n_episodes=8, policy_kwargs=POLICY, device="cpu").learn(2 * 48, callback)
    assert callback.version == 1
    env.close()


@pytest.mark.parametrize("name", LOCAL)
def test_the_task_of_this_process_is_at_hand(name: str) -> None:
    env = LOCAL[name]()
    assert TaskHandle(env).local_task is env.get_attr("task")[0]


def test_the_task_of_another_process_is_not(subprocesses: VecEnv) -> None:
    assert TaskHandle(subprocesses).local_task is None


def test_knows_the_version_of_the_first_environment_and_the_newest() -> None:
    env = LOCAL["dummy"]()
    weights = env.env_method("discriminator_weights", indices=[0])[0]
    env.env_method("load_discriminator", weights, version=9, indices=[1])
    assert (TaskHandle(env).version, TaskHandle(env).newest_version) == (0, 9)


def test_refuses_an_environment_of_something_else() -> None:
    with pytest.raises(ValueError, match="env must be a task of seqgan_env, got"):
        TaskHandle(make_vec_env("CartPole-v1", 1))


def test_refuses_observations_that_a_wrapper_has_changed() -> None:
    wrapped: list[Callable[[], VecEnv]] = [
        lambda: VecFrameStack(LOCAL["dummy"](), 2),
        lambda: DummyVecEnv([lambda: DtypeObservation(gym.make("SeqGAN-v0", **ORACLE), np.float32)]),
    ]
    for make_env in wrapped:
        with pytest.raises(ValueError, match=r"observations must be tokens, Box\(0, 20, \(6,\), int64\); got Box"):
            SeqGAN("LstmPolicy", make_env())
        with pytest.raises(ValueError, match=r"observations must be tokens, Box\(0, 20, \(6,\), int64\); got Box"):
            PPO("MlpPolicy", make_env(), n_steps=8, batch_size=8).learn(8, DiscriminatorCallback())


@pytest.mark.parametrize("policy", ["MlpPolicy", GeneratorActorCritic])
def test_observations_that_are_scaled_are_refused_before_any_episode(policy: Any) -> None:
    scaled = VecNormalize(make_seqgan_vec_env("SeqGAN-v0", 2, **ORACLE))
    with pytest.raises(ValueError, match=r"observations must be tokens, .* VecNormalize; give that norm_obs=False"):
        PPO(policy, scaled, n_steps=8, batch_size=8).learn(8, DiscriminatorCallback())
    assert scaled.venv.get_attr("discriminator_version")[0] == 0


def test_refuses_an_environment_of_something_else_in_another_process() -> None:
    env = make_vec_env("CartPole-v1", 1, vec_env_cls=SubprocVecEnv)
    with pytest.raises(
        ValueError, match=r"env must be a task of seqgan_env, got one in another process .*Discrete\(2\)"
    ):
        TaskHandle(env)


def test_says_which_spaces_an_environment_of_something_else_has() -> None:
    with pytest.raises(ValueError, match=r"got one with observations Box.* and actions Discrete\(2\)"):
        PPO("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=8).learn(8, DiscriminatorCallback())
