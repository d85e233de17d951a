"""A whole run: maximum likelihood, the discriminator's pretraining, the adversarial game.

A run is measured as it goes, kept, and can be resumed. Randomness is keyed by the seed and by what is being done
(``seqgan_env.seeding``), so a checkpoint needs no generator state and a resumed run equals an uninterrupted one.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from agents.callbacks import DiscriminatorCallback
from agents.checkpoint import atomic_write, load_checkpoint, save_checkpoint
from agents.config import EXACT_REWARD, TrainConfig
from agents.pretraining import MaximumLikelihoodTrainer
from agents.report import write_report
from agents.sb3 import SeqGANVecEnv
from agents.seqgan import SeqGAN
from seqgan_env.device import resolve_device
from seqgan_env.discriminators import DiscriminatorTrainer, OptimalDiscriminator, discriminator_scores
from seqgan_env.metrics import likelihood_metrics
from seqgan_env.seeding import derived_seed
from seqgan_env.sources.base import KnownSource
from seqgan_env.vector_env import SeqGANVectorEnv
from seqgan_env.vocabulary import Vocabulary

PHASES = ("generator", "discriminator", "adversarial", "done")
TEMPERATURES = (1.2, 1.1, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4)
CHECKPOINT, PRETRAINED, AGENT = "checkpoint.zip", "pretrained.zip", "agent.zip"
CONFIG, METRICS, SAMPLES, VOCABULARY, REPORT = (
    "config.json",
    "metrics.jsonl",
    "samples.txt",
    "vocabulary.json",
    "report.html",
)

Record = dict[str, Any]
"""One evaluation: a line of ``metrics.jsonl``."""


class Experiment:
    """One run in one folder.

    Args:
        config: the settings.
        out: the folder; it is made if it is not there.
        resume: go on where the run in ``out`` stopped.
        start_from: a run whose maximum-likelihood phase this one shares; None trains its own.
        progress: show a progress bar on the terminal.

    Raises:
        ValueError: ``out`` holds another run, there is nothing to resume, a file is damaged, or a setting does not fit
            the source. Construction checks everything and writes nothing.
    """

    def __init__(
        self,
        config: TrainConfig,
        out: str | Path,
        *,
        resume: bool = False,
        start_from: str | Path | None = None,
        progress: bool = True,
    ) -> None:
        self.config, self.out, self.progress = config, Path(out), progress
        if config.n_threads is not None:
            torch.set_num_threads(config.n_threads)
        if config.matmul_precision is not None:
            torch.set_float32_matmul_precision(config.matmul_precision)
        state = self._stored_state(resume, start_from)
        envs = SeqGANVectorEnv(config.n_episodes, autoreset_mode="SameStep", **dataclasses.asdict(config.task))
        self.env, self.task = SeqGANVecEnv(envs), envs.task
        source, spec = self.task.source, self.task.spec
        if config.reward == EXACT_REWARD and not isinstance(source, KnownSource):
            raise ValueError(f"reward {EXACT_REWARD} needs a source of known likelihood; {config.source} has none")
        self.agent = SeqGAN(
            config.policy,
            self.env,
            learning_rate=self._learning_rate,
            n_episodes=config.n_episodes,
            n_completions=config.n_completions,
            baseline=config.baseline,
            normalize_advantage=config.normalize_advantage,
            policy_kwargs={"embedding_dim": config.embedding_dim, "hidden_dim": config.hidden_dim},
            seed=config.seed,
            device=config.device,
        )
        self.agent.set_logger(Logger(folder=None, output_formats=[]))
        half = len(self.task.held_out_sequences) // 2
        self.validation = self.task.held_out_sequences[: max(1, half)][: config.n_eval]
        self.test = self.task.held_out_sequences[half:]
        self.optimal = (
            OptimalDiscriminator(spec, source.log_prob, self.agent.policy.sequence_log_prob)
            if isinstance(source, KnownSource)
            else None
        )
        self.likelihood_trainer = MaximumLikelihoodTrainer(
            self.agent.policy,
            learning_rate=config.generator_learning_rate,
            batch_size=config.generator_batch_size,
            seed=config.seed,
        )
        self.discriminator_trainer = DiscriminatorTrainer(
            self.task.discriminator, config.discriminator_learning_rate, seed=config.seed
        )
        self.callback = DiscriminatorCallback(
            config.every_n_episodes,
            n_generated=config.n_generated,
            n_epochs=config.discriminator_epochs,
            batch_size=config.discriminator_batch_size,
            n_held_out=0,
            trainer=self.discriminator_trainer,
            seed=config.seed,
        )
        self.records: list[Record] = []
        self._phase = PHASES[0]
        self._round = 0
        self._best: dict[str, Any] = {"epoch": -1, "nll": float("inf"), "policy": {}}
        self._seconds_before, self._started = 0.0, time.monotonic()
        if state is not None:
            self._load_state_dict(state)

    # The run

    def run(self) -> list[Record]:
        """Do what is left to do.

        Returns:
            Every evaluation of the run, as in ``metrics.jsonl``.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        self.config.save(self.out / CONFIG)
        if self.task.source.vocabulary is not None:
            self.task.source.vocabulary.save(self.out / VOCABULARY)
        # a run that was killed may have measured more than its checkpoint knows; it will measure the same again
        with atomic_write(self.out / METRICS) as file:
            file.write("".join(json.dumps(record) + "\n" for record in self.records).encode())
        self._tensorboard = SummaryWriter(str(self.out / "tensorboard"), purge_step=len(self.records))
        self._started = time.monotonic()
        try:
            if not self.records:
                self._record("random", 0)
                self._checkpoint()
            if self._phase == "generator":
                self._train_generator()
            if self._phase == "discriminator":
                self._train_discriminator()
            if self._phase == "adversarial":
                self._play()
        finally:
            self._tensorboard.close()
        self.report()
        return self.records

    def _train_generator(self) -> None:
        """Maximum likelihood (eq. 13.34) until the validation likelihood stops rising; the best epoch is kept."""
        config, trainer, policy = self.config, self.likelihood_trainer, self.agent.policy
        with self._bar("maximum likelihood", config.generator_epochs, trainer.n_epochs) as bar:
            while trainer.n_epochs < config.generator_epochs:
                if trainer.n_epochs - self._best["epoch"] > config.generator_patience and self._best["epoch"] >= 0:
                    break
                loss = trainer.epoch(self.task.real_sequences)
                nll = -policy.sequence_log_prob(self.validation).sum() / self.task.spec.lengths(self.validation).sum()
                if nll < self._best["nll"]:
                    weights = {name: tensor.clone() for name, tensor in policy.state_dict().items()}
                    self._best = {"epoch": trainer.n_epochs, "nll": float(nll), "policy": weights}
                self._record("maximum_likelihood", trainer.n_epochs, loss=loss, nll_validation=float(nll))
                self._checkpoint()
                bar.update()
                bar.set_postfix(nll_test=f"{self.records[-1]['nll_test']:.3f}")
        if self._best["policy"]:
            policy.load_state_dict(self._best["policy"])
            self._best["policy"] = {}
        if self.optimal is not None:
            for temperature in TEMPERATURES:
                self._record("temperature", trainer.n_epochs, temperature=temperature)
        self._phase = "discriminator"
        # before the checkpoint that says this phase is over: a run killed in between does it again
        save_checkpoint(self.out / PRETRAINED, self._state_dict())
        self._checkpoint()

    def _train_discriminator(self) -> None:
        """The discriminator's pretraining (eq. 13.32), each round on fresh negatives."""
        config, trainer = self.config, self.discriminator_trainer
        n_rounds = config.discriminator_rounds if self._is_adversarial else 0
        with self._bar("discriminator", n_rounds, self._round) as bar:
            while self._round < n_rounds:
                seed = derived_seed(config.seed, "negatives", trainer.n_updates)
                loss = trainer.fit(
                    self.task.real_sequences,
                    self.agent.sample(config.n_generated, seed=seed),
                    n_epochs=config.discriminator_epochs,
                    batch_size=config.discriminator_batch_size,
                )
                self._round += 1
                bar.update()
                if self._round % max(1, n_rounds // 10) == 0 or self._round == n_rounds:
                    self._record("discriminator", self._round, loss=loss)
                    self._checkpoint()
                    bar.set_postfix(held_out=f"{self.records[-1]['discriminator_log_loss']:.3f}")
        if n_rounds:
            # the trainer's network is the environment's own; only its version is news
            self.callback.version = self.task.discriminator_version = 1
        self._phase = "adversarial"

    def _play(self) -> None:
        """The adversarial game: policy gradient against a discriminator that is retrained every few episodes."""
        config = self.config
        with self._bar(f"SeqGAN, {config.reward}", config.n_updates, self.agent._n_updates) as bar:
            callbacks: list[BaseCallback] = [_Rounds(self, bar)]
            if self._is_adversarial:
                callbacks.insert(0, self.callback)
            elif config.reward == EXACT_REWARD:
                assert self.optimal is not None
                self.env.env_method("set_discriminator", self.optimal, indices=[0])
            self.agent.learn(sys.maxsize // 2, callbacks, log_interval=None, reset_num_timesteps=False)
        self._phase = "done"
        self._checkpoint()

    def _learning_rate(self, _: float) -> float:
        """The schedule of the policy gradient, by updates made; how many steps they will take is not known."""
        config = self.config
        if config.final_learning_rate is None or not hasattr(self, "agent"):
            return config.learning_rate
        done = min(1.0, self.agent._n_updates / max(1, config.n_updates - 1))
        return config.learning_rate + done * (config.final_learning_rate - config.learning_rate)

    @property
    def _is_adversarial(self) -> bool:
        return self.config.reward not in (EXACT_REWARD, "constant")

    # Measuring

    def evaluate(self, key: str = "evaluate", temperature: float = 1.0, n: int | None = None) -> Record:
        """Measure the current generator and discriminator on fresh samples and on held-out real sequences.

        Args:
            key: chooses the samples.
            temperature: of the generator.
            n: sequences of each kind; None is ``n_eval``.
        """
        seed = derived_seed(self.config.seed, "evaluation", key)
        generated = self.agent.sample(n or self.config.n_eval, seed=seed, temperature=temperature)
        source, test = self.task.source, self.test[: n or self.config.n_eval]
        record: Record = likelihood_metrics(
            source,
            test,
            generated,
            lambda tokens: self.agent.policy.sequence_log_prob(tokens, temperature),
            None if self._source_test_B is None else self._source_test_B[: len(test)],
        )
        record["distinct"] = len(np.unique(generated, axis=0)) / len(generated)
        if hasattr(source, "is_grammatical"):
            record["grammatical"] = float(source.is_grammatical(generated).mean())
        if temperature == 1.0:
            if self._is_adversarial:
                scores = self.discriminator_trainer.evaluate(test, generated)
                record |= {f"discriminator_{name}": value for name, value in scores.items()}
                record["discriminator_version"] = self.callback.version
            if self.optimal is not None:
                scores = discriminator_scores(self.optimal.logits(test), self.optimal.logits(generated))
                record |= {f"optimal_{name}": value for name, value in scores.items()}
        return record

    @cached_property
    def _source_test_B(self) -> npt.NDArray[np.float64] | None:
        """What the source says of the test set, which stays the same."""
        source = self.task.source
        return source.log_prob(self.test) if isinstance(source, KnownSource) else None

    def samples(self, n: int, seed: int = 0) -> list[str]:
        """Generated sequences as a person reads them."""
        return Generator(self.agent, self.task.source.vocabulary).texts(n, seed=seed)

    def report(self) -> None:
        """Write ``samples.txt`` and ``report.html``."""
        samples = self.samples(200)
        (self.out / SAMPLES).write_text("\n".join(samples) + "\n", encoding="utf-8")
        write_report(self.out / REPORT, self.config, self.records, samples[:30])

    def _record(self, phase: str, step: int, **more: Any) -> None:
        record: Record = {"phase": phase, "step": step}
        record |= {name: value for name, value in more.items() if value is not None}
        # the same random numbers each time, so that a difference between two records is the generator's
        record |= self.evaluate("record", more.get("temperature", 1.0))
        record["wall_time_s"] = round(self._seconds_before + time.monotonic() - self._started, 3)
        with open(self.out / METRICS, "a") as file:
            file.write(json.dumps(record) + "\n")
        for name, value in record.items():
            if isinstance(value, (int, float)) and name != "step":
                self._tensorboard.add_scalar(f"{phase}/{name}", value, len(self.records))
        self.records.append(record)

    def _bar(self, what: str, total: int, done: int) -> tqdm[Any]:
        return tqdm(desc=what, total=total, initial=min(done, total), disable=not self.progress, file=sys.stderr)

    # Keeping

    def _checkpoint(self) -> None:
        # the checkpoint last: what it says is done is on the disk
        self.agent.save(self.out / AGENT)
        save_checkpoint(self.out / CHECKPOINT, self._state_dict())

    def _state_dict(self) -> dict[str, Any]:
        return {
            "config": json.dumps(dataclasses.asdict(self.config)),
            "sha256": getattr(self.task.source, "sha256", None),
            "phase": self._phase,
            "round": self._round,
            "best": self._best,
            "agent": self.agent.state_dict(),
            "likelihood_trainer": self.likelihood_trainer.state_dict(),
            "discriminator_trainer": self.discriminator_trainer.state_dict(),
            "callback": self.callback.state_dict(),
            "records": self.records,
            "seconds": self._seconds_before + time.monotonic() - self._started,
        }

    def _load_state_dict(self, state: dict[str, Any]) -> None:
        if state.get("sha256") != getattr(self.task.source, "sha256", None):
            raise ValueError(f"{self.config.source} has changed since the run began")
        try:
            self._phase, self._round, self._best = state["phase"], state["round"], state["best"]
            self.agent.load_state_dict({**state["agent"], "seed": self.config.seed})
            self.likelihood_trainer.load_state_dict(state["likelihood_trainer"])
            self.discriminator_trainer.load_state_dict(state["discriminator_trainer"])
            self.callback.load_state_dict(state["callback"])
            self.records = list(state["records"])
            self._seconds_before = float(state["seconds"])
        except (KeyError, RuntimeError, TypeError) as error:
            raise ValueError(f"the checkpoint is not of this run: {error}") from error
        self.task.discriminator_version = self.callback.version

    def _stored_state(self, resume: bool, start_from: str | Path | None) -> dict[str, Any] | None:
        holds_run = (self.out / CONFIG).exists() or (self.out / CHECKPOINT).exists()
        if resume:
            if not holds_run:
                raise ValueError(f"there is no run to resume in {self.out}")
            stored = TrainConfig.load(self.out / CONFIG)
            _check_same(stored, self.config, f"the run in {self.out}")
            if not (self.out / CHECKPOINT).exists():
                return None  # killed before the first evaluation: nothing to go on from, and nothing to lose
            state = load_checkpoint(self.out / CHECKPOINT)
        elif self.out.exists() and (not self.out.is_dir() or any(self.out.iterdir())):
            what = "holds another run; resume it or choose another folder" if holds_run else "is not an empty folder"
            raise ValueError(f"{self.out} {what}")
        elif start_from is not None:
            state = load_checkpoint(Path(start_from) / PRETRAINED)
        else:
            return None
        try:
            fields = json.loads(state["config"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"the checkpoint is not of a run: {error}") from error
        if start_from is not None and not resume:
            own = dataclasses.asdict(self.config)
            differing = [name for name in _PRETRAINING if json.dumps(own[name]) != json.dumps(fields.get(name))]
            if differing:
                raise ValueError(f"the run in {start_from} was pretrained with another {', '.join(differing)}")
            # only the maximum-likelihood phase is shared
            fresh = {"n_updates": 0, "num_timesteps": 0}
            return {**state, "agent": {**state["agent"], **fresh}}
        return state


class _Rounds(BaseCallback):
    """Counts the updates, measures and keeps every few of them, and stops after the last."""

    def __init__(self, experiment: Experiment, bar: tqdm[Any]) -> None:
        super().__init__()
        self.experiment, self.bar = experiment, bar

    def _on_rollout_start(self) -> None:
        e, n_updates = self.experiment, self.model._n_updates
        self.bar.update(n_updates - self.bar.n)
        is_due = n_updates % e.config.eval_every == 0 or n_updates == e.config.n_updates
        last = e.records[-1]
        if is_due and (last["phase"], last["step"]) != ("adversarial", n_updates):
            values = self.model.logger.name_to_value
            reward = values.get("rollout/reward_mean")
            e._record("adversarial", n_updates, reward_mean=reward, policy_entropy=values.get("train/entropy"))
            e._checkpoint()
            name = "kl_reverse" if "kl_reverse" in e.records[-1] else "nll_test"
            self.bar.set_postfix({name: f"{e.records[-1][name]:.3f}"})

    def _on_step(self) -> bool:
        return bool(self.model._n_updates < self.experiment.config.n_updates)


_ADVERSARIAL = frozenset(
    {
        *("reward", "discriminator", "discriminator_embedding_dim", "filter_widths", "filter_counts", "dropout", "l2"),
        *("discriminator_rounds", "n_generated", "discriminator_epochs", "discriminator_batch_size"),
        *("discriminator_learning_rate", "n_updates", "n_episodes", "n_completions", "learning_rate", "baseline"),
        *("final_learning_rate",),
        *("normalize_advantage", "every_n_episodes", "eval_every", "device"),
    }
)
"""The settings that the maximum-likelihood phase does not depend on."""

_PRETRAINING = [field.name for field in dataclasses.fields(TrainConfig) if field.name not in _ADVERSARIAL]


def _check_same(stored: TrainConfig, given: TrainConfig, what: str) -> None:
    differing = [
        f"{name} {value!r} instead of {getattr(stored, name)!r}"
        for name, value in dataclasses.asdict(given).items()
        if value != getattr(stored, name)
    ]
    if differing:
        raise ValueError(f"{what} has other settings: {', '.join(differing)}")


def compare(
    config: TrainConfig, rewards: Mapping[str, Mapping[str, Any]], out: str | Path, *, progress: bool = True
) -> dict[str, list[Record]]:
    """The same run once for each reward, from one maximum-likelihood phase; what is done already is not done again.

    Args:
        config: the settings that they share.
        rewards: the rewards, each with the settings that it has of its own; the first one's run does the maximum
            likelihood.
        out: each run has a folder of its own in here.
        progress: show progress bars.

    Returns:
        The records of each run by reward.

    Raises:
        ValueError: see ``Experiment``.
    """
    out, first = Path(out), next(iter(rewards))
    configs = {reward: dataclasses.replace(config, reward=reward, **own) for reward, own in rewards.items()}
    records = {}
    for reward, own in configs.items():
        folder = out / reward
        start_from = None if reward == first else out / first
        resume = (folder / CONFIG).exists()
        records[reward] = Experiment(own, folder, resume=resume, start_from=start_from, progress=progress).run()
    return records


@dataclasses.dataclass(frozen=True)
class Generator:
    """The generator of a run, to sample from; it needs neither the run's data nor its discriminator."""

    agent: SeqGAN
    vocabulary: Vocabulary | None

    def texts(
        self,
        n: int,
        *,
        prefix: str = "",
        temperature: float = 1.0,
        seed: int = 0,
        top_k: int | None = None,
        top_p: float | None = None,
    ) -> list[str]:
        """Draw sequences as a person reads them.

        Args:
            n: how many.
            prefix: text or, where tokens have no text, token ids separated by spaces.
            temperature: of the softmax.
            seed: the same seed gives the same sequences.
            top_k: only the k likeliest tokens are drawn; None is all.
            top_p: only the likeliest tokens that together reach this probability are drawn; None is all.

        Raises:
            ValueError: a value is out of range, or the prefix is too long or out of vocabulary.
        """
        vocabulary, pad_id = self.vocabulary, self.agent.policy.spec.pad_id
        if vocabulary is not None:
            ids = vocabulary.encode(prefix, allow_unknown=False)
        else:
            try:
                ids = [int(word) for word in prefix.split()]
            except ValueError as error:
                raise ValueError(
                    f"prefix must be token ids, as this run's tokens have no text; got {prefix!r}"
                ) from error
        rows = self.agent.sample(n, seed=seed, temperature=temperature, prefix=ids, top_k=top_k, top_p=top_p)
        if vocabulary is not None:
            return [vocabulary.decode(row) for row in rows]
        return [" ".join(str(token) for token in row if token != pad_id) for row in rows]


def load_generator(run: str | Path, device: str = "auto") -> Generator:
    """Read the generator of a run.

    Raises:
        ValueError: there is no run, or a file is damaged.
    """
    run = Path(run)
    if not (run / AGENT).exists():
        raise ValueError(f"there is no run in {run}")
    resolve_device(device)
    vocabulary = Vocabulary.load(run / VOCABULARY) if (run / VOCABULARY).exists() else None
    return Generator(SeqGAN.load(run / AGENT, device=device), vocabulary)


def evaluate_run(run: str | Path, n: int | None = None, temperature: float = 1.0) -> Record:
    """Measure a run again on samples of its own; nothing in its folder changes.

    Raises:
        ValueError: there is no run, a file is damaged, or a value is out of range.
    """
    run = Path(run)
    if not (run / CHECKPOINT).exists():
        raise ValueError(f"there is no run in {run}")
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, got {temperature}")
    config = TrainConfig.load(run / CONFIG)
    if n is not None and n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    return Experiment(config, run, resume=True, progress=False).evaluate(n=n, temperature=temperature)
