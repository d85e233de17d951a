"""A vocabulary of the same size but of other words: everything that speaks in ids refuses it by name.

Ids mean the same where specifications are equal, since these hold a hash of the vocabulary.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from agents import (
    DiscriminatorCallback,
    GeneratorActorCritic,
    RelabellingReplayBuffer,
    SeqGAN,
    make_seqgan_vec_env,
    with_generator,
)
from agents.checkpoint import load_checkpoint, save_checkpoint
from agents.runs.evaluation import evaluate_run
from agents.runs.experiment import Experiment
from agents.runs.sample import load_generator
from seqgan_env import SeqGANEnv
from seqgan_env.discriminators import save_discriminator
from seqgan_env.vocabulary import Vocabulary
from tests.support.builders import ORACLE, POLICY
from tests.support.runs import TINY, changed

OURS, THEIRS = "cats eat fish\ndogs eat meat\n", "we go home\nyou go away\n"
SMALL = ORACLE["discriminator_kwargs"]


class Roads:
    """An agent and a discriminator of the one text, in memory and in files, and an environment of the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, text in (("ours", OURS), ("theirs", THEIRS)):
            (folder / f"{name}.txt").write_text(text)
        self.agent = SeqGAN("LstmPolicy", self.env("ours"), n_episodes=2, policy_kwargs=POLICY)
        self.agent.save(folder / "agent")
        self.discriminator = self.single("ours").task.scoring.discriminator
        save_discriminator(self.discriminator, folder / "d.safetensors")

    def arguments(self, name: str) -> dict[str, Any]:
        return {"source": str(self.folder / f"{name}.txt"), "discriminator_kwargs": SMALL}

    def env(self, name: str = "theirs") -> VecEnv:
        return make_seqgan_vec_env("SeqGANText-v0", 2, **self.arguments(name))

    def single(self, name: str = "theirs") -> SeqGANEnv:
        return SeqGANEnv(**self.arguments(name))

    def dqn(self, env: VecEnv) -> DQN:
        return DQN("MlpPolicy", env, replay_buffer_class=RelabellingReplayBuffer, learning_starts=4, device="cpu")

    def replay(self) -> None:
        model = self.dqn(self.env("ours"))
        model.learn(20, DiscriminatorCallback(100))
        model.save_replay_buffer(self.folder / "buffer.pkl")
        other = self.dqn(self.env())
        other.load_replay_buffer(self.folder / "buffer.pkl")
        other.learn(20, DiscriminatorCallback(100), reset_num_timesteps=False)

    def share_trainer(self) -> None:
        first = DiscriminatorCallback(100, n_generated=4)
        self.agent.learn(1, first)
        PPO("MlpPolicy", self.env(), n_steps=8, batch_size=8, device="cpu").learn(
            8, DiscriminatorCallback(100, trainer=first.trainer)
        )

    def actor_critic(self) -> Any:
        spec = self.single().sequence_spec
        kwargs = {**POLICY, "eos_id": spec.eos_id, "vocabulary": spec.vocabulary}
        return PPO(GeneratorActorCritic, self.env(), policy_kwargs=kwargs, device="cpu").policy

    def run_state(self) -> None:
        """The checkpoint of a run says its sequences too."""
        config = changed(TINY, task={"source": str(self.folder / "ours.txt"), "vocab_size": None, "max_length": None})
        config = changed(config, generator={"kwargs": POLICY}, pretraining={"n_epochs": 0}, agent={"n_updates": 0})
        Experiment(config, self.folder / "run", progress=False).run()
        self.actor_critic().load_generator(self.folder / "run" / "checkpoint.zip")


ROADS: dict[str, Callable[[Roads], Any]] = {
    "load": lambda r: SeqGAN.load(r.folder / "agent", env=r.env()),
    "set_env": lambda r: r.agent.set_env(r.env()),
    "load, then set_env": lambda r: SeqGAN.load(r.folder / "agent").set_env(r.env()),
    "with_generator, agent": lambda r: with_generator(PPO, r.env(), r.agent, device="cpu"),
    "with_generator, file": lambda r: with_generator(PPO, r.env(), r.folder / "agent", device="cpu"),
    "load_generator, agent": lambda r: r.actor_critic().load_generator(r.agent),
    "load_generator, file": lambda r: r.actor_critic().load_generator(r.folder / "agent.zip"),
    "load_generator, run": Roads.run_state,
    "discriminator's file": lambda r: SeqGANEnv(
        source=str(r.folder / "theirs.txt"), discriminator=str(r.folder / "d.safetensors")
    ),
    "set_discriminator": lambda r: r.single().set_discriminator(r.discriminator),
    "trainer": Roads.share_trainer,
    "replay buffer": Roads.replay,
    "two in one": lambda r: PPO(
        "MlpPolicy", DummyVecEnv([lambda: r.single("ours"), r.single]), n_steps=8, batch_size=8
    ).learn(8, DiscriminatorCallback(100)),
}


@pytest.mark.parametrize("road", ROADS)
def test_other_words_are_refused(road: str, tmp_path: Path) -> None:
    roads = Roads(tmp_path)
    ours, theirs = (roads.single(name).sequence_spec for name in ("ours", "theirs"))
    assert (ours.vocab_size, ours.max_length, ours.eos_id) == (theirs.vocab_size, theirs.max_length, theirs.eos_id)
    with pytest.raises(ValueError, match="vocabulary=") as refusal:
        ROADS[road](roads)
    assert str(ours.vocabulary) in str(refusal.value)
    assert str(theirs.vocabulary) in str(refusal.value)


def test_the_same_words_in_another_file_are_taken(tmp_path: Path) -> None:
    roads = Roads(tmp_path)
    (tmp_path / "theirs.txt").write_text("\n\n".join(OURS.splitlines()))
    for road in ("load", "with_generator, file", "discriminator's file", "set_discriminator", "trainer"):
        ROADS[road](roads)


def test_processes_of_their_own_say_their_vocabulary(tmp_path: Path) -> None:
    roads = Roads(tmp_path)
    env = make_vec_env("seqgan_env:SeqGANText-v0", 2, env_kwargs=roads.arguments("ours"))
    assert SeqGAN.load(tmp_path / "agent", env=env).policy.spec == roads.single("ours").sequence_spec


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on a text."""
    folder = tmp_path_factory.mktemp("text")
    (folder / "ours.txt").write_text("".join(f"{who} eat {what}\n" for who in "abcdef" for what in "uvwxyz"))
    config = changed(TINY, task={"source": str(folder / "ours.txt"), "vocab_size": None, "max_length": None})
    config = changed(config, pretraining={"n_epochs": 1}, adversary={"n_rounds": 1}, agent={"n_updates": 1})
    Experiment(config, folder / "run", progress=False).run()
    return folder / "run"


class TestRun:
    @pytest.mark.parametrize("swap", ["another", "missing", "of other length"])
    def test_a_vocabulary_that_is_not_the_generator_s_is_refused(self, run: Path, swap: str, tmp_path: Path) -> None:
        copy = shutil.copytree(run, tmp_path / "run")
        load_generator(copy)
        if swap == "missing":
            (copy / "vocabulary.json").unlink()
        else:
            Vocabulary.build([THEIRS if swap == "another" else "a b"]).save(copy / "vocabulary.json")
        with pytest.raises(
            ValueError, match=r"vocabulary\.json must hold the vocabulary [0-9a-f]{16} of .*agent\.zip, got"
        ):
            load_generator(copy)

    def test_a_text_that_is_read_in_another_way_is_refused(self, run: Path, tmp_path: Path) -> None:
        """As by a version with other rules of what a word is: the file's own hash is the same."""
        copy = shutil.copytree(run, tmp_path / "run")
        evaluate_run(copy)
        state = load_checkpoint(copy / "checkpoint.zip")
        state["spec"]["vocabulary"] = "0" * 16
        save_checkpoint(copy / "checkpoint.zip", state)
        with pytest.raises(ValueError, match=r"checkpoint\.zip is not a readable .*: spec must be one of"):
            evaluate_run(copy)
        assert json.loads(state["config"])["task"]["source"].endswith("ours.txt")
