"""The registered ids: their specifications, and that they are cheap to make."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import seqgan_env
import seqgan_env.task
from seqgan_env import TASKS, SeqGANEnv, SeqGANVectorEnv
from seqgan_env.discriminators import PAPER_FILTERS, CNNDiscriminator
from seqgan_env.sources import Grammar, LSTMOracle
from tests.support.tasks import NEEDS, ROOT, bare, make


@pytest.fixture(params=TASKS)
def env_id(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.consumers
class TestEveryId:
    def test_the_id_carries_its_module(self, env_id: str) -> None:
        """The form that works in a worker process which has not imported `seqgan_env`."""
        assert isinstance(gym.make(f"seqgan_env:{env_id}", **NEEDS.get(env_id, {})).unwrapped, SeqGANEnv)

    def test_make_and_reset_are_cheap(self, env_id: str) -> None:
        times = []
        for _ in range(5):
            start = time.perf_counter()
            gym.make(env_id, **NEEDS.get(env_id, {})).reset()
            times.append(time.perf_counter() - start)
        assert statistics.median(times) < 0.3

    def test_nothing_is_sampled_or_trained_until_needed(self, env_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*args: Any, **kwargs: Any) -> Any:
            raise AssertionError("too early")

        for source in (LSTMOracle, Grammar):
            monkeypatch.setattr(source, "sample", fail)
            monkeypatch.setattr(source, "split", fail)
        monkeypatch.setattr(LSTMOracle, "parameters", property(fail))
        monkeypatch.setattr(seqgan_env.task, "build_discriminator", fail)
        env = gym.make(env_id, **NEEDS.get(env_id, {}))
        env.reset()
        env.step(1)
        with pytest.raises(AssertionError, match="too early"):
            bare(env).score([[1] * bare(env).sequence_spec.max_length])

    def test_another_discriminator_is_a_name(self, env_id: str) -> None:
        """The id's own settings are those of its own discriminator, and given ones hold for whichever is named."""
        needs = NEEDS.get(env_id, {})
        own = gym.spec(env_id).kwargs.get("discriminator", "cnn")
        for name in {"gru", "ensemble", "log_ratio"} - {own}:
            env = gym.make(env_id, **needs, discriminator=name)
            assert dict(bare(env).task_config.discriminator_kwargs) == {}
            again = gym.make(env.spec)  # as a worker process does
            assert bare(again).task_config == bare(env).task_config
            vector: Any = gym.make_vec(env_id, 2, **needs, discriminator=name)
            assert vector.task_config == bare(env).task_config
        given = gym.make(env_id, **needs, discriminator="gru", discriminator_kwargs={"hidden_dim": 3})
        assert bare(given).task_config.discriminator_kwargs == {"hidden_dim": 3}
        registered = gym.spec(env_id).kwargs.get("discriminator_kwargs", {})
        assert bare(gym.make(env_id, **needs)).task_config.discriminator_kwargs == registered
        assert bare(gym.make(env_id, **needs, discriminator=own)).task_config.discriminator_kwargs == registered


def test_the_first_environment_of_a_process_is_cheap_too() -> None:
    """Nothing large is imported only then. In seconds of the processor, so that a busy machine can't blame the code."""
    needs = {env_id: NEEDS.get(env_id, {}) for env_id in TASKS}
    code = (
        "import time, gymnasium, seqgan_env; start = time.process_time();"
        f"[gymnasium.make(env_id, **needs).reset() for env_id, needs in {needs}.items()];"
        "print(time.process_time() - start)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert float(run.stdout) < 0.3


def test_the_default_is_the_paper_s_task() -> None:
    env = gym.make("SeqGAN-v0")
    assert env.action_space == gym.spaces.Discrete(5000)
    assert env.observation_space == gym.spaces.Box(0, 5000, (20,), np.int64)
    task = bare(env).task
    assert isinstance(task.source, LSTMOracle)
    assert task.config.reward == "log_d"
    assert isinstance(task.scoring.discriminator, CNNDiscriminator)
    assert task.scoring.discriminator.output.in_features == sum(count for _, count in PAPER_FILTERS)


class TestRegistration:
    def test_the_registry_holds_these_ids(self) -> None:
        ours = [i for i, spec in gym.registry.items() if str(spec.entry_point).startswith("seqgan_env.")]
        assert ours == list(TASKS) == list(seqgan_env.TASKS)

    def test_the_specification_adds_no_horizon(self, env_id: str) -> None:
        """A time limit would call the task's own end a truncation, and its step after the end would be refused."""
        spec = gym.spec(env_id)
        assert spec.max_episode_steps is None
        assert spec.nondeterministic is False
        assert spec.order_enforce is True
        assert spec.disable_env_checker is False
        assert (spec.reward_threshold is None) == (env_id != "SeqGANTiny-v0")
        assert spec.kwargs == TASKS[env_id].kwargs

    def test_the_same_actions_lead_to_the_same_steps(self, env_id: str) -> None:
        """So that it is not nondeterministic."""
        actions = np.random.default_rng(0).integers(1, make(env_id).sequence_spec.vocab_size, 99)
        histories = []
        for _ in range(2):
            env = make(env_id)
            history = [env.reset(seed=0)[0].tolist()]
            for action in actions[: env.sequence_spec.max_length]:
                observation, reward, *_ = env.step(action)
                history.append((observation.tolist(), reward))
            histories.append(history)
        assert histories[0] == histories[1]

    @pytest.mark.parametrize("mode", AutoresetMode)
    def test_many_at_once_pay_and_end_as_they_say(self, env_id: str, mode: AutoresetMode) -> None:
        envs = gym.make_vec(env_id, num_envs=3, autoreset_mode=mode, **NEEDS.get(env_id, {}))
        assert isinstance(envs, SeqGANVectorEnv)
        envs.reset(seed=0)
        spec, rng = envs.sequence_spec, np.random.default_rng(0)
        for t in range(1, spec.max_length + 1):
            _, reward_B, terminated_B, truncated_B, _ = envs.step(rng.integers(1, spec.vocab_size, 3))
            assert (terminated_B == (t == spec.max_length)).all()
            assert not truncated_B.any()
            assert (reward_B < 0).all() if t == spec.max_length else not reward_B.any()
