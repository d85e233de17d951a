"""The algorithms of Stable-Baselines3 and sb3-contrib, unchanged, on single and on native vector environments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import SubprocVecEnv, VecEnv

from agents import DiscriminatorCallback, PrefixExtractor, make_seqgan_vec_env
from tests.consumers.playing import callback, play
from tests.support.builders import GRAMMAR, ORACLE

sb3_contrib = pytest.importorskip("sb3_contrib")
pytestmark = pytest.mark.consumers

READER: dict[str, Any] = {
    "features_extractor_class": PrefixExtractor,
    "features_extractor_kwargs": {"features_dim": 16, "embedding_dim": 8},
    "net_arch": [16],
}
OFF_POLICY = {"learning_starts": 32, "train_freq": 8, "buffer_size": 512, "batch_size": 16}
ON_POLICY = {"n_steps": 32, "batch_size": 32}
ALGORITHMS: dict[str, tuple[str, dict[str, Any]]] = {
    "PPO": ("MlpPolicy", {**ON_POLICY, "policy_kwargs": READER}),
    "A2C": ("MlpPolicy", {"n_steps": 8, "policy_kwargs": READER}),
    "DQN": ("MlpPolicy", {**OFF_POLICY, "policy_kwargs": READER}),
    "MaskablePPO": ("MlpPolicy", {**ON_POLICY, "policy_kwargs": READER}),
    "QRDQN": ("MlpPolicy", {**OFF_POLICY, "policy_kwargs": {**READER, "n_quantiles": 5}}),
    "RecurrentPPO": ("MlpLstmPolicy", {**ON_POLICY, "policy_kwargs": {"lstm_hidden_size": 16, "net_arch": [16]}}),
    "TRPO": ("MlpPolicy", {**ON_POLICY, "policy_kwargs": READER}),
}


def build(name: str, env: Any) -> BaseAlgorithm:
    algorithm = getattr(stable_baselines3, name, None) or getattr(sb3_contrib, name)
    policy, kwargs = ALGORITHMS[name]
    model = algorithm(policy, env, seed=0, device="cpu", **kwargs)
    assert isinstance(model, BaseAlgorithm)
    return model


@pytest.mark.parametrize("name", ALGORITHMS)
def test_trains_on_one_environment_and_then_plays(name: str, tmp_path: Path) -> None:
    model = build(name, gym.make("SeqGANGrammar-v0", **GRAMMAR))
    retrains = callback()
    before = {key: value.clone() for key, value in model.policy.state_dict().items()}
    model.learn(400, callback=retrains)
    after = model.policy.state_dict()
    assert any(not before[key].equal(after[key]) for key in before)
    assert retrains.version >= 1
    assert model.get_env().get_attr("discriminator_version") == [retrains.version]
    assert np.isfinite(list(retrains.last_scores.values())).all()
    model.save(tmp_path / "model")
    again = type(model).load(tmp_path / "model", device="cpu")
    env = gym.make("SeqGANGrammar-v0", **GRAMMAR)
    episodes = play(env, lambda observation: again.predict(observation, deterministic=False)[0], 5)
    assert all(episode.total < 0 for episode in episodes)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_trains_on_the_native_vector_environment(name: str) -> None:
    env = make_seqgan_vec_env("SeqGAN-v0", n_envs=4, **ORACLE)
    model, retrains = build(name, env), callback()
    model.learn(640, callback=retrains)
    assert model.num_timesteps >= 640
    assert retrains.version >= 2
    assert env.get_attr("discriminator_version") == [retrains.version] * 4
    played = [(info["l"], info["r"]) for info in model.ep_info_buffer]
    assert len(played) >= 40
    assert {length for length, _ in played} == {6}
    assert all(np.isfinite(total) and total < 0 for _, total in played)
    mean, _ = evaluate_policy(model, env, n_eval_episodes=8)
    assert np.isfinite(mean)
    assert mean < 0


class TestMasks:
    """Where tokens are forbidden, `MaskablePPO` never chooses one: an environment that is given one raises."""

    RULES = {"min_length": 5, "allowed_tokens": [0, 1, 3, 10, 12]}

    @pytest.mark.parametrize("is_native", [False, True])
    def test_the_trained_agent_keeps_to_the_rules(self, is_native: bool) -> None:
        rules = {**GRAMMAR, **self.RULES}
        env: gym.Env[Any, Any] | VecEnv = (
            make_seqgan_vec_env("SeqGANGrammar-v0", n_envs=4, **rules)
            if is_native
            else gym.make("SeqGANGrammar-v0", **rules)
        )
        model, retrains = build("MaskablePPO", env), callback()
        model.learn(512, callback=retrains)
        assert retrains.version >= 1
        single = gym.make("SeqGANGrammar-v0", **rules)

        def act(observation: Any) -> Any:
            masks = sb3_contrib.common.maskable.utils.get_action_masks(single)
            return model.predict(observation, action_masks=masks, deterministic=False)[0]

        for episode in play(single, act, 10):
            assert len(episode.tokens) >= 5
            assert set(episode.tokens) <= set(self.RULES["allowed_tokens"])

    def test_an_agent_without_masks_breaks_them(self) -> None:
        model = build("PPO", gym.make("SeqGANGrammar-v0", **GRAMMAR, **self.RULES))
        with pytest.raises(ValueError, match="must be allowed"):
            model.learn(64)

    def test_each_episode_of_the_native_environment_has_its_own_mask(self) -> None:
        env = make_seqgan_vec_env("SeqGANGrammar-v0", n_envs=3, **GRAMMAR, min_length=3)
        env.set_options([{"prefix": prefix} for prefix in ([], [3], [3, 10])])
        env.reset()
        masks_BV = sb3_contrib.common.maskable.utils.get_action_masks(env)
        eos = env.get_attr("sequence_spec")[0].eos_id
        assert masks_BV.shape == (3, env.action_space.n)
        assert masks_BV[:, eos].tolist() == [False, False, True]


@pytest.mark.parametrize("n_envs", [1, 4])
def test_random_search_trains_with_a_discriminator_that_stays(n_envs: int) -> None:
    """ARS shows a callback neither the ends of episodes nor what they were: nothing there to retrain on."""
    env = make_seqgan_vec_env("SeqGAN-v0", n_envs=n_envs, **ORACLE) if n_envs > 1 else gym.make("SeqGAN-v0", **ORACLE)
    model = sb3_contrib.ARS("LinearPolicy", env, n_delta=2, n_eval_episodes=4, seed=0, device="cpu")
    before = {key: value.clone() for key, value in model.policy.state_dict().items()}
    model.learn(400)
    after = model.policy.state_dict()
    assert any(not before[key].equal(after[key]) for key in before)
    episodes = play(gym.make("SeqGAN-v0", **ORACLE), lambda observation: model.predict(observation)[0], 3)
    assert [len(episode.tokens) for episode in episodes] == [6, 6, 6]
    with pytest.raises(ValueError, match="ARS does not tell its callbacks which episodes have ended"):
        model.learn(400, callback=DiscriminatorCallback())


def test_trains_on_environments_in_other_processes() -> None:
    """The id carries its module: the worker processes have imported nothing of ours."""
    env = make_vec_env("seqgan_env:SeqGAN-v0", n_envs=2, vec_env_cls=SubprocVecEnv, env_kwargs=ORACLE)
    try:
        model, retrains = build("PPO", env), callback()
        model.learn(192, callback=retrains)
        assert retrains.version >= 1
        assert env.get_attr("discriminator_version") == [retrains.version] * 2
        assert {info["l"] for info in model.ep_info_buffer} == {6}
    finally:
        env.close()
