"""The discriminator is retrained on time, on fresh negatives, and every environment gets the same new version."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.wrappers import DtypeObservation
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, CallbackList, EvalCallback, EveryNTimesteps
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import VecEnv

from agents import (
    DiscriminatorCallback,
    GeneratorActorCritic,
    RelabellingReplayBuffer,
    SeqGAN,
    make_seqgan_vec_env,
)
from agents.checkpoint import load_checkpoint, save_checkpoint
from agents.runs.evaluation import optimal_discriminator
from agents.sb3.handle import TaskHandle
from agents.schedules import AccuracyBand, EveryEpisodes, EverySteps, Never, Schedule
from seqgan_env.discriminators import DiscriminatorTrainer
from seqgan_env.discriminators.optimal import beside_optimum
from tests.support.agents import ENVS, Env, agent
from tests.support.builders import ORACLE, POLICY, RETRAIN
from tests.support.trainers import Spy

PROBE = np.random.default_rng(0).integers(20, size=(5, 6))
SCORES = {"loss", "accuracy", "log_loss", "calibration_error"}
BESIDE_OPTIMUM = {"share_of_optimum", "correlation"}
"""Each where it is defined: some of the few sequences here show no difference."""


def ppo(env: Env) -> PPO:
    return PPO("MlpPolicy", env, n_steps=24, batch_size=12, n_epochs=2, seed=0, device="cpu")


def a2c(env: Env) -> A2C:
    return A2C("MlpPolicy", env, n_steps=7, seed=0, device="cpu")


def dqn(env: Env) -> DQN:
    more: dict[str, Any] = {"replay_buffer_class": RelabellingReplayBuffer, "buffer_size": 500}
    return DQN("MlpPolicy", env, train_freq=(6, "step"), learning_starts=20, batch_size=8, seed=0, device="cpu", **more)


ALGORITHMS: dict[str, Callable[[Env], BaseAlgorithm]] = {"SeqGAN": agent, "PPO": ppo, "A2C": a2c, "DQN": dqn}
SCHEDULES: dict[str, Schedule] = {
    "episodes": EveryEpisodes(8),
    "steps": EverySteps(50),
    "band": AccuracyBand(low=0.9, high=1.0, n_episodes=8, max_rounds=2),
}


def environment(kind: str, request: pytest.FixtureRequest) -> Env:
    shared: Env = request.getfixturevalue("subprocesses") if kind == "subprocesses" else ENVS[kind]()
    return shared


class Watch(BaseCallback):
    """Writes down, at the start of each rollout and at each step, what every environment would pay and why."""

    def __init__(self) -> None:
        super().__init__()
        self.versions: list[list[int]] = []
        """The version of each rollout's start."""
        self.episodes: list[np.ndarray] = []
        """Every sequence that an environment finished, in order."""

    def _look(self) -> tuple[list[int], np.ndarray]:
        env = self.training_env
        return env.get_attr("discriminator_version"), np.stack(env.env_method("score", PROBE))

    def _on_rollout_start(self) -> None:
        versions, self.scores = self._look()
        self.versions.append(versions)

    def _on_step(self) -> bool:
        versions, scores = self._look()
        assert versions == self.versions[-1]
        np.testing.assert_array_equal(scores, self.scores)
        for done, reward, info in zip(self.locals["dones"], self.locals["rewards"], self.locals["infos"], strict=True):
            assert info["discriminator_version"] == versions[0]
            if done:
                self.episodes.append(info["terminal_observation"])
                score = self.training_env.env_method("score", info["terminal_observation"][None], indices=[0])[0]
                assert reward == pytest.approx(score[0], rel=1e-4)
        assert (scores == scores[0]).all()
        return True


def weights_of(env: VecEnv) -> list[dict[str, np.ndarray]]:
    weights: list[dict[str, np.ndarray]] = env.env_method("discriminator_weights")
    return weights


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize(
    ("schedule", "kind"),
    [*((name, "native") for name in SCHEDULES), ("steps", "single"), ("band", "four"), ("episodes", "subprocesses")],
)
def test_every_environment_gets_the_same_new_version_between_rollouts(
    schedule: str, kind: str, name: str, request: pytest.FixtureRequest
) -> None:
    """`Watch` holds that nothing changes within a rollout, and that all environments agree, at every step."""
    model = ALGORITHMS[name](environment(kind, request))
    env = model.get_env()
    assert env is not None
    first = env.get_attr("discriminator_version")[0]
    before = weights_of(env)[0]
    callback, watch = DiscriminatorCallback(SCHEDULES[schedule], history=0.25, **RETRAIN), Watch()
    model.learn(300, [callback, watch])

    versions = [rollout[0] for rollout in watch.versions]
    assert all(len(set(rollout)) == 1 and len(rollout) == env.num_envs for rollout in watch.versions)
    assert versions == sorted(versions)
    assert versions[0] == first
    assert versions[-1] == callback.version >= first + 3
    assert env.get_attr("discriminator_version") == [callback.version] * env.num_envs
    assert callback.trainer is not None
    trained = callback.trainer.discriminator.state_dict()
    for weights in weights_of(env):
        assert weights.keys() == trained.keys()
        for parameter, array in weights.items():
            np.testing.assert_array_equal(array, trained[parameter].numpy())
    assert any((before[parameter] != trained[parameter].numpy()).any() for parameter in before)
    assert SCORES <= set(callback.last_scores) <= (SCORES | BESIDE_OPTIMUM if name == "SeqGAN" else SCORES)
    assert 0 <= callback.last_scores["accuracy"] <= 1


class TestWhen:
    def test_as_soon_as_enough_episodes_have_finished_and_a_rollout_begins(self) -> None:
        for every, expected in ((8, [0, 1, 2, 3, 4]), (9, [0, 0, 1, 1, 2]), (16, [0, 0, 1, 1, 2]), (99, [0] * 5)):
            model, watch = agent(), Watch()
            model.learn(5 * 48, [DiscriminatorCallback(every, **RETRAIN), watch])
            assert [rollout[0] for rollout in watch.versions] == expected

    def test_goes_on_counting_when_learning_goes_on(self) -> None:
        model, callback = agent(), DiscriminatorCallback(16, **RETRAIN)
        for expected in (0, 0, 1, 1, 2):
            model.learn(48, callback, reset_num_timesteps=False)
            assert callback.version == expected

    def test_records_what_it_measured(self) -> None:
        model = agent()
        callback = DiscriminatorCallback(8, **RETRAIN)
        model.learn(3 * 48, callback, log_interval=None)
        record = model.logger.name_to_value
        assert record["discriminator/version"] == callback.version == 2
        for name in ("loss", "accuracy", "log_loss", "calibration_error"):
            assert record[f"discriminator/{name}"] == callback.last_scores[name]

    @pytest.mark.parametrize("patience", [None, 2])
    @pytest.mark.parametrize("kind", ["SeqGAN", "PPO", "PPO in other processes"])
    def test_records_how_near_the_optimum_it_is(
        self, kind: str, patience: int | None, request: pytest.FixtureRequest
    ) -> None:
        """Beside log p and log G as the task and the policy have them, on the sequences that it is measured on."""
        env = environment("subprocesses" if kind == "PPO in other processes" else "native", request)
        assert isinstance(env, VecEnv)
        model: BaseAlgorithm = agent(env)
        if kind != "SeqGAN":
            more: dict[str, Any] = {"n_steps": 6, "batch_size": 6, "policy_kwargs": POLICY, "device": "cpu"}
            model = PPO(GeneratorActorCritic, env, **more)
        spy = Spy(TaskHandle(env).copy_discriminator(), 0.01)
        callback = DiscriminatorCallback(
            8, trainer=spy, n_generated=64, n_held_out=100, n_epochs=3, batch_size=8, patience=patience
        )
        model.set_logger(configure(None, []))
        callback.init_callback(model)
        callback.retrain()
        source = make_seqgan_vec_env("SeqGAN-v0", 1, **ORACLE).get_attr("task")[0].source
        optimum = optimal_discriminator(source, model.policy.generator)
        logits, optimal = (tuple(d.logits(rows) for rows in spy.evaluated[-1]) for d in (spy.discriminator, optimum))
        expected = beside_optimum(logits, optimal)  # type: ignore[arg-type]
        assert expected.keys() == BESIDE_OPTIMUM
        for name, value in expected.items():
            assert callback.last_scores[name] == pytest.approx(value, rel=1e-5)
            assert model.logger.name_to_value[f"discriminator/{name}"] == callback.last_scores[name]

    @pytest.mark.parametrize("why", ["no generator", "no likelihood", "constraints"])
    def test_says_nothing_of_an_optimum_that_is_not_known(self, why: str, tmp_path: Path) -> None:
        (tmp_path / "corpus.txt").write_text("\n".join(" ".join(row) for row in itertools.product("abcd", repeat=3)))
        arguments: dict[str, Any] = {**ORACLE, **({"allowed_tokens": [5, 6]} if why == "constraints" else {})}
        if why == "no likelihood":
            arguments = {**arguments, "source": str(tmp_path / "corpus.txt"), "n_real": 40, "n_held_out": 20}
            del arguments["vocab_size"], arguments["max_length"]
        env = make_seqgan_vec_env("SeqGANText-v0" if why == "no likelihood" else "SeqGAN-v0", 4, **arguments)
        callback = DiscriminatorCallback(8, **RETRAIN)
        (ppo if why == "no generator" else agent)(env).learn(100, callback)
        assert set(callback.last_scores) == SCORES

    def test_prints_a_line_where_it_is_asked_to(self, capsys: pytest.CaptureFixture[str]) -> None:
        for verbose, n_lines in ((0, 0), (1, 2)):
            model = agent()
            model.learn(3 * 48, DiscriminatorCallback(8, verbose=verbose, **RETRAIN))
            assert capsys.readouterr().out.count("discriminator version") == n_lines


class TestOnWhat:
    @staticmethod
    def spied(model: BaseAlgorithm, n_steps: int, **settings: Any) -> tuple[Spy, Watch, Any]:
        env = model.get_env()
        assert env is not None
        task = env.get_attr("task", indices=[0])[0]
        spy, watch = Spy(task.scoring.discriminator, 0.01), Watch()
        model.learn(n_steps, [DiscriminatorCallback(8, trainer=spy, **{**RETRAIN, **settings}), watch])
        assert len(spy.fitted) >= 3
        return spy, watch, task

    def test_a_sampler_gives_sequences_that_nothing_has_seen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """One sample each time, from the policy as it is then: its first part is trained on, its last measured on."""
        model = agent()
        drawn: list[np.ndarray] = []
        policies: list[torch.Tensor] = []
        sample = model.sample

        def watched(n: int, **arguments: Any) -> np.ndarray:
            drawn.append(sample(n, **arguments))
            policies.append(model.generator.output.bias.detach().clone())
            return drawn[-1]

        monkeypatch.setattr(model, "sample", watched)
        spy, _, _ = self.spied(model, 5 * 48)
        for (_, generated), (_, fresh), rows in zip(spy.fitted, spy.evaluated, drawn, strict=True):
            np.testing.assert_array_equal(np.concatenate([generated, fresh]), rows)
            assert (len(generated), len(fresh)) == (16, 8)
        for a in range(len(drawn)):
            for b in range(a):
                assert not (drawn[a] == drawn[b]).all(axis=1).any()
                assert not torch.equal(policies[a], policies[b])

    @pytest.mark.parametrize("name", ["PPO", "A2C"])
    @pytest.mark.parametrize(("n_generated", "n_held_out"), [(16, 8), (500, 8), (500, 100)])
    def test_other_models_give_the_newest_episodes(self, name: str, n_generated: int, n_held_out: int) -> None:
        """The newest of them are measured on, and no training has seen those."""
        model = ALGORITHMS[name](make_vec_env("SeqGAN-v0", 4, env_kwargs=ORACLE))
        spy, watch, _ = self.spied(model, 600, n_generated=n_generated, n_held_out=n_held_out)
        episodes = np.stack(watch.episodes)
        n_seen = 0
        for (_, generated), (_, fresh) in zip(spy.fitted, spy.evaluated, strict=True):
            rows = np.concatenate([generated, fresh])
            assert len(fresh) == min(n_held_out, len(rows) // 5)
            ends = [
                end for end in range(len(rows), len(episodes) + 1) if (episodes[end - len(rows) : end] == rows).all()
            ]
            (end,) = ends
            assert len(rows) == min(n_generated, end)
            assert n_seen <= end - len(fresh)
            n_seen = end - len(fresh)

    @pytest.mark.parametrize("name", ALGORITHMS)
    def test_real_sequences_are_those_of_the_task(self, name: str) -> None:
        spy, _, task = self.spied(ALGORITHMS[name](make_vec_env("SeqGAN-v0", 2, env_kwargs=ORACLE)), 300)
        for real, _ in spy.fitted:
            np.testing.assert_array_equal(real, task.real_sequences)
        for real, fresh in spy.evaluated:
            np.testing.assert_array_equal(real, task.held_out_sequences[: len(fresh)])

    def test_real_sequences_are_not_read_a_second_time(self, tmp_path: Path) -> None:
        """The file is another one meanwhile, with as many words and lines: the environment's own are trained on."""
        lines = [
            " ".join("abcdefgh"[letter] for letter in row) for row in np.random.default_rng(0).integers(8, size=(40, 5))
        ]
        corpus = tmp_path / "corpus.txt"
        corpus.write_text("\n".join(lines))
        small = ORACLE["discriminator_kwargs"]
        arguments = {"source": str(corpus), "n_real": 30, "n_held_out": 10, "discriminator_kwargs": small}
        model = agent(make_seqgan_vec_env("SeqGANText-v0", 4, **arguments))
        env = model.env
        assert env is not None
        corpus.write_text("\n".join(lines).upper())
        spy = Spy(env.get_attr("task")[0].scoring.discriminator, 0.01)
        model.learn(200, DiscriminatorCallback(8, trainer=spy, **RETRAIN))
        for real, _ in spy.fitted:
            np.testing.assert_array_equal(real, env.get_attr("real_sequences")[0])
        vocabulary = env.get_attr("task")[0].source.vocabulary
        assert {vocabulary.decode(row) for row in spy.fitted[-1][0]} <= set(lines)

    def test_measures_nothing_where_nothing_is_held_out(self) -> None:
        model = agent()
        spy, _, _ = self.spied(model, 4 * 48, n_held_out=0)
        assert not spy.evaluated
        assert all(len(generated) == 16 for _, generated in spy.fitted)

    def test_needs_an_episode_where_the_model_cannot_sample(self) -> None:
        model = ppo(gym.make("SeqGAN-v0", **ORACLE))
        callback = DiscriminatorCallback(8, **RETRAIN)
        callback.init_callback(model)
        with pytest.raises(ValueError, match="a training needs negatives, and no episode has finished yet"):
            callback.retrain()

    @pytest.mark.parametrize("name", ["PPO", "A2C"])
    def test_an_episode_that_is_cut_short_is_refused(self, name: str) -> None:
        """The discriminator must not learn that "unfinished" is "generated"."""
        model = ALGORITHMS[name](gym.make("SeqGAN-v0", **ORACLE, max_episode_steps=3))
        with pytest.raises(
            ValueError, match="sequences of ended episodes, which no wrapper may cut short, must be compl"
        ):
            model.learn(100, DiscriminatorCallback(8, **RETRAIN))

    @pytest.mark.parametrize("cut", [True, False])
    def test_an_episode_that_is_cut_short_is_refused_where_the_policy_has_a_generator(self, cut: bool) -> None:
        """Although nothing is learnt from it: it would never be paid. The dtype of its tokens is no matter."""
        env = DtypeObservation(gym.make("SeqGAN-v0", **ORACLE, max_episode_steps=3 if cut else 6), np.float32)
        model = PPO(GeneratorActorCritic, env, n_steps=12, batch_size=12, policy_kwargs=POLICY, device="cpu")
        callback = DiscriminatorCallback(1, **RETRAIN)
        if not cut:
            model.learn(24, callback)
            assert callback.state_dict()["n_rounds"] == 1
            return
        with pytest.raises(ValueError, match="which no wrapper may cut short, must be complete"):
            model.learn(24, callback)

    def test_tells_real_from_generated(self) -> None:
        """On 200 held-out sequences of each kind, an ignorant discriminator's accuracy is 1/2 with a standard deviation
        of at most 1/sqrt(4 * 400) = 0.025; four of them above it are an error rate below 1e-4.
        """
        arguments = {**ORACLE, "n_real": 2000, "n_held_out": 200}
        model = agent(make_seqgan_vec_env("SeqGAN-v0", 4, **arguments))
        callback = DiscriminatorCallback(8, n_generated=1000, n_epochs=8, n_held_out=200, learning_rate=0.01)
        model.set_logger(configure(None, []))
        callback.init_callback(model)
        callback.retrain()
        assert callback.last_scores["accuracy"] > 0.6
        assert callback.last_scores["log_loss"] < np.log(2)


class TestWhere:
    def test_begins_with_the_weights_and_the_version_of_the_environment(self) -> None:
        env = make_seqgan_vec_env("SeqGAN-v0", 4, **ORACLE)
        weights = {name: array * 3 for name, array in weights_of(env)[0].items()}
        env.env_method("load_discriminator", weights, version=7, indices=[0])
        model, callback = agent(env), DiscriminatorCallback(8, **RETRAIN)
        callback.init_callback(model)
        assert callback.version == 7
        assert callback.trainer is not None
        for name, tensor in callback.trainer.discriminator.state_dict().items():
            np.testing.assert_array_equal(tensor.numpy(), weights[name])
        model.learn(2 * 48, callback)
        assert callback.version == 8

    @pytest.mark.parametrize("kind", ["four", "native", "subprocesses"])
    @pytest.mark.parametrize("name", ALGORITHMS)
    def test_a_trainer_of_another_environment_pays_from_the_first_episode_on(
        self, name: str, kind: str, request: pytest.FixtureRequest
    ) -> None:
        first = DiscriminatorCallback(8, **RETRAIN)
        trained = make_seqgan_vec_env("SeqGAN-v0", 4, **ORACLE)
        agent(trained).learn(4 * 48, first)
        model = ALGORITHMS[name](environment(kind, request))
        env = model.get_env()
        assert env is not None
        version = env.get_attr("discriminator_version")[0]
        callback, watch = DiscriminatorCallback(1000, trainer=first.trainer, **RETRAIN), Watch()
        model.learn(48, [callback, watch])
        assert set(watch.versions[0]) == {version + 1}
        np.testing.assert_array_equal(watch.scores[0], trained.env_method("score", PROBE)[0])
        assert callback.version == version + 1

    @pytest.mark.parametrize("nested", [False, True])
    @pytest.mark.parametrize("kind", ["four", "native"])
    @pytest.mark.parametrize("name", ALGORITHMS)
    def test_an_evaluation_is_judged_by_the_same_discriminator(
        self, name: str, kind: str, nested: bool, request: pytest.FixtureRequest, tmp_path: Path
    ) -> None:
        """From the first episode on, whatever the weights and the place of the environment before."""
        model, callback = ALGORITHMS[name](environment(kind, request)), DiscriminatorCallback(8, **RETRAIN)
        arguments = {**ORACLE, "discriminator_seed": 9}
        if kind == "four":  # Stable-Baselines3 warns of an environment of another type
            eval_env = make_vec_env("SeqGAN-v0", 2, env_kwargs=arguments)
        else:
            eval_env = make_seqgan_vec_env("SeqGAN-v0", 2, **arguments)
        judged: list[np.ndarray] = []

        class Judge(EvalCallback):
            def _on_step(self) -> bool:
                env = model.get_env()
                assert env is not None
                scores = [each.env_method("score", PROBE)[0] for each in (env, self.eval_env)]
                np.testing.assert_array_equal(*scores)
                judged.append(scores[0])
                return super()._on_step()

        evaluation: BaseCallback = Judge(eval_env, eval_freq=20, n_eval_episodes=2, verbose=0, warn=False)
        evaluation = EveryNTimesteps(1, evaluation) if nested else evaluation
        model.learn(300, [evaluation, callback])
        assert len({scores.tobytes() for scores in judged}) > 2
        assert eval_env.get_attr("discriminator_version")[0] == callback.version

    @pytest.mark.parametrize(
        "event",
        [
            lambda callback: EveryNTimesteps(8, callback),
            lambda callback: [EveryNTimesteps(8, CallbackList([callback]))],
            lambda callback: EvalCallback(make_seqgan_vec_env("SeqGAN-v0", 2, **ORACLE), callback_after_eval=callback),
        ],
    )
    def test_inside_an_event_that_tells_it_of_no_collection_it_is_refused(
        self, event: Callable[[BaseCallback], Any]
    ) -> None:
        """It would never train; outside it does, also after that."""
        model, callback = agent(), DiscriminatorCallback(8, **RETRAIN)
        with pytest.raises(ValueError, match=r"must be given to learn itself, with EverySteps .*, got it inside E"):
            model.learn(48, event(callback))
        assert model.num_timesteps == 0
        model.learn(2 * 48, callback)
        assert callback.version == 1

    def test_an_evaluation_with_another_discriminator_is_left_alone(self) -> None:
        eval_env = make_seqgan_vec_env("SeqGAN-v0", 2, **{**ORACLE, "discriminator_kwargs": {"filters": [[2, 3]]}})
        model = agent()
        evaluation = EvalCallback(eval_env, eval_freq=20, n_eval_episodes=2, verbose=0)
        callbacks = [DiscriminatorCallback(8, **RETRAIN), evaluation]
        with pytest.warns(UserWarning, match=r"evaluation pays log_d of cnn .*\[2, 3\].* nothing trains, the learning"):
            model.learn(3 * 48, callbacks)
        assert eval_env.get_attr("discriminator_version")[0] == 0
        eval_env.env_method("load_discriminator", eval_env.env_method("discriminator_weights")[0])
        model.learn(48, callbacks)  # a judge that has been given weights is no mistake

    def test_an_evaluation_that_needs_no_discriminator_is_no_mistake(self) -> None:
        eval_env = make_seqgan_vec_env("SeqGAN-v0", 2, **ORACLE, reward="oracle")
        model = agent()
        model.learn(48, [DiscriminatorCallback(8, **RETRAIN), EvalCallback(eval_env, verbose=0)])

    def test_environments_that_differ_are_given_the_same_weights(self) -> None:
        env = make_vec_env("SeqGAN-v0", 3, env_kwargs=ORACLE)
        weights = {name: array * 3 for name, array in weights_of(env)[0].items()}
        env.env_method("load_discriminator", weights, indices=[1])
        watch = Watch()
        ppo(env).learn(48, [DiscriminatorCallback(1000, **RETRAIN), watch])
        assert set(watch.versions[0]) == {1}
        for other in weights_of(env)[1:]:
            for name, array in weights_of(env)[0].items():
                np.testing.assert_array_equal(other[name], array)

    @pytest.mark.parametrize("second", ["SeqGAN", "PPO"])
    @pytest.mark.parametrize("first", ["SeqGAN", "PPO"])
    def test_one_callback_serves_two_models_in_turn(self, first: str, second: str) -> None:
        """The second is paid by the discriminator that the first one trained, and its own episodes are counted."""
        callback = DiscriminatorCallback(16, **RETRAIN)
        ALGORITHMS[first](make_seqgan_vec_env("SeqGAN-v0", 4, **ORACLE)).learn(4 * 96, callback)
        assert callback.trainer is not None
        n_updates, version = callback.trainer.n_updates, callback.version
        env, watch = make_seqgan_vec_env("SeqGAN-v0", 4, **ORACLE), Watch()
        ALGORITHMS[second](env).learn(2 * 96, [callback, watch])
        assert watch.versions[0] == [version + 1] * 4
        assert callback.version == version + 2
        assert callback.trainer.n_updates > n_updates
        for name, array in weights_of(env)[0].items():
            np.testing.assert_array_equal(array, callback.trainer.discriminator.state_dict()[name].numpy())

    @pytest.mark.parametrize("loads", [True, False])
    def test_weights_that_came_between_two_learnings_have_a_version_of_their_own(self, loads: bool) -> None:
        """Rewards that are kept by the version, as in a replay buffer, would otherwise be those of others."""
        env = make_seqgan_vec_env("SeqGAN-v0", 4, **ORACLE)
        model, callback = agent(env), DiscriminatorCallback(10**6, **RETRAIN)
        model.learn(48, callback)
        before, version = weights_of(env)[0], callback.version
        if loads:
            env.env_method("load_discriminator", {name: 0 * array for name, array in before.items()})
        model.learn(48, callback, reset_num_timesteps=False)
        for name, array in weights_of(env)[0].items():
            np.testing.assert_array_equal(array, before[name])
        assert callback.version == version + 2 * loads == env.get_attr("discriminator_version")[0]

    def test_the_seed_decides_the_weights(self) -> None:
        def trained(seed: int) -> dict[str, np.ndarray]:
            env = make_seqgan_vec_env("SeqGAN-v0", 4, **ORACLE)
            agent(env).learn(3 * 48, DiscriminatorCallback(8, seed=seed, **RETRAIN))
            return weights_of(env)[0]

        first, again, other = trained(0), trained(0), trained(1)
        assert all((first[name] == again[name]).all() for name in first)
        assert any((first[name] != other[name]).any() for name in first)

    def test_a_run_goes_on_from_a_checkpoint_as_if_nothing_had_happened(self, tmp_path: Path) -> None:
        """Agent, trainer and callback are kept and the weights are given to new environments: all is the same."""

        def make() -> tuple[VecEnv, DiscriminatorCallback]:
            env = make_seqgan_vec_env("SeqGAN-v0", 4, **ORACLE)
            trainer = DiscriminatorTrainer(env.get_attr("task")[0].scoring.discriminator, 0.01)
            return env, DiscriminatorCallback(16, trainer=trainer, **RETRAIN)

        through_env, through_callback = make()
        through = agent(through_env).learn(7 * 48, through_callback)
        env, callback = make()
        assert callback.trainer is not None
        agent(env).learn(3 * 48, callback).save(tmp_path / "agent")
        state = {"trainer": callback.trainer.state_dict(), "callback": callback.state_dict()}
        save_checkpoint(tmp_path / "rest.zip", state)

        env, callback = make()
        state = load_checkpoint(tmp_path / "rest.zip")
        assert callback.trainer is not None
        callback.trainer.load_state_dict(state["trainer"])
        callback.load_state_dict(state["callback"])
        weights = {name: tensor.numpy() for name, tensor in state["trainer"]["discriminator"].items()}
        env.env_method("load_discriminator", weights, callback.version, indices=[0])
        resumed = SeqGAN.load(tmp_path / "agent", env=env).learn(4 * 48, callback, reset_num_timesteps=False)
        for ours, theirs in zip(resumed.policy.parameters(), through.policy.parameters(), strict=True):
            assert torch.equal(ours, theirs)
        for name, array in weights_of(through_env)[0].items():
            np.testing.assert_array_equal(weights_of(env)[0][name], array)
        ours, theirs = (each.state_dict() for each in (callback, through_callback))
        assert torch.equal(ours.pop("finished"), theirs.pop("finished"))
        assert ours == theirs
        assert callback.version == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"every_n_episodes": 0}, "every_n_episodes must be a whole number of at least 1 or Schedule, got 0"),
        ({"n_generated": 0}, "n_generated must be a whole number of at least 1, got 0"),
        ({"n_epochs": 0}, "n_epochs must be a whole number of at least 1, got 0"),
        ({"batch_size": -1}, "batch_size must be a whole number of at least 1, got -1"),
        ({"learning_rate": 0.0}, "learning_rate must be a finite number above 0 and at most 1000000, got 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate must be a finite number above 0 and at most 1000000, got nan"),
        ({"n_held_out": -1}, "n_held_out must be a whole number of at least 0, got -1"),
    ],
)
def test_settings_out_of_range_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DiscriminatorCallback(**arguments)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_frozen_discriminator_never_changes(name: str) -> None:
    model = ALGORITHMS[name](make_seqgan_vec_env("SeqGAN-v0", 4, **ORACLE))
    env = model.get_env()
    assert env is not None
    before, callback = weights_of(env)[0], DiscriminatorCallback(Never(), **RETRAIN)
    model.learn(200, callback)
    assert callback.version == 0
    for key, array in weights_of(env)[0].items():
        np.testing.assert_array_equal(array, before[key])


def spy_of(env: VecEnv) -> Spy:
    return Spy(env.get_attr("task")[0].scoring.discriminator, 0.01, seed=0)


@pytest.mark.parametrize("kind", [PPO, A2C])
def test_negatives_are_fresh_where_the_policy_has_a_generator(kind: Any) -> None:
    env = make_seqgan_vec_env("SeqGAN-v0", 4, **ORACLE)
    more = {"batch_size": 24} if kind is PPO else {}
    model = kind(GeneratorActorCritic, env, n_steps=6, seed=0, device="cpu", **more)
    spy = spy_of(env)
    callback = DiscriminatorCallback(4, trainer=spy, **RETRAIN)
    model.learn(3 * 24, callback)
    rows = [generated for _, generated in spy.fitted]
    assert len(rows) >= 2
    assert all(len(each) == RETRAIN["n_generated"] for each in rows)  # whatever has finished
    drawn = callback._negatives()
    assert not isinstance(drawn, np.ndarray)
    np.testing.assert_array_equal(drawn.sample(5, seed=3), model.policy.generator.draw(5, seed=3))


def test_a_callback_that_is_restored_has_its_old_negatives() -> None:
    def play(n_steps: int, state: dict[str, Any] | None = None) -> DiscriminatorCallback:
        env = make_seqgan_vec_env("SeqGAN-v0", 4, **ORACLE)
        callback = DiscriminatorCallback(8, trainer=spy_of(env), history=0.5, **RETRAIN)
        if state is not None:
            callback.load_state_dict(state)
        agent(env).learn(n_steps, callback)
        return callback

    state = play(3 * 48).state_dict()
    assert state["history"]["n_seen"] == 32
    restored = play(1, state)
    assert torch.equal(restored.state_dict()["history"]["kept"][:32], state["history"]["kept"])


def test_a_callback_that_is_restored_has_the_episodes_that_ended(tmp_path: Path) -> None:
    """They are the negatives of its next round where the model has no generator to draw from."""
    env = make_seqgan_vec_env("SeqGAN-v0", 4, **ORACLE)
    stopped = DiscriminatorCallback(20, **RETRAIN)
    ppo(env).learn(96, stopped)
    state = stopped.state_dict()
    assert state["n_rounds"] == 0
    assert len(state["finished"]) == 16
    save_checkpoint(tmp_path / "state.zip", state)

    restored = DiscriminatorCallback(16, trainer=spy_of(env), **RETRAIN)
    restored.load_state_dict(load_checkpoint(tmp_path / "state.zip"))
    ppo(env).learn(96, restored)
    assert isinstance(restored.trainer, Spy)
    (_, generated), *_ = restored.trainer.fitted
    np.testing.assert_array_equal(generated, state["finished"][: len(generated)].numpy())  # others are held out

    used = DiscriminatorCallback(16, trainer=spy_of(env), **RETRAIN)
    ppo(make_seqgan_vec_env("SeqGAN-v0", 4, **ORACLE)).learn(24, used)
    used.load_state_dict(state)
    ppo(env).learn(1, used)
    assert isinstance(used.trainer, Spy)
    np.testing.assert_array_equal(used.trainer.fitted[0][1], generated)

    with pytest.raises(ValueError, match=r"state of a callback has unknown or missing fields, .*: finished"):
        used.load_state_dict({name: value for name, value in state.items() if name != "finished"})
    with pytest.raises(ValueError, match="n_rounds_now must be a whole number of at least 0, got -5"):
        used.load_state_dict({**state, "version": 99, "n_rounds_now": -5})
    assert used.version < 99
    state["finished"][0, 0] = 99
    restored = DiscriminatorCallback(16, **RETRAIN)
    restored.load_state_dict(state)
    state["finished"][0, 0] = 0  # the callback has rows of its own
    with pytest.raises(ValueError, match="finished must hold"):
        ppo(env).learn(96, restored)


@pytest.mark.parametrize("through_state", [False, True])
def test_a_series_of_rounds_that_was_interrupted_is_made_up(
    through_state: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the same callback in its next learning, and by one that is restored."""
    callback = DiscriminatorCallback(EveryEpisodes(8, n_rounds=3), **RETRAIN)
    model, made = agent(), DiscriminatorCallback.retrain

    def retrain(self: DiscriminatorCallback) -> None:
        if self._n_rounds == 1:
            raise KeyboardInterrupt
        made(self)

    with monkeypatch.context() as patched:
        patched.setattr(DiscriminatorCallback, "retrain", retrain)
        with pytest.raises(KeyboardInterrupt):
            model.learn(2 * 48, callback)
    if through_state:
        state, callback = callback.state_dict(), DiscriminatorCallback(callback.schedule, **RETRAIN)
        callback.load_state_dict(state)
    model.learn(1, callback, reset_num_timesteps=False)
    assert callback.state_dict()["n_rounds"] == 3


def test_old_negatives_and_steps_are_those_of_one_learning() -> None:
    callback = DiscriminatorCallback(EverySteps(40), history=0.5, **RETRAIN)
    first = agent()
    first.learn(4 * 48, callback)
    n_seen, version = callback.state_dict()["history"]["n_seen"], callback.version
    first.learn(4 * 48, callback)  # which counts its steps from 0
    assert callback.version > version
    assert callback.state_dict()["history"]["n_seen"] > n_seen > 16
    agent().learn(3 * 48, callback)
    assert callback.state_dict()["history"]["n_seen"] < n_seen
