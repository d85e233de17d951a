"""The parts of a run that play against each other, made from its settings."""

from __future__ import annotations

from typing import Any

import torch
from stable_baselines3.common.logger import Logger

from agents.adversary import Adversary, trainer_of
from agents.callbacks import DiscriminatorCallback
from agents.policy import AutoregressivePolicy
from agents.runs.config import RunConfig
from agents.runs.evaluation import Evaluator
from agents.sb3.vec_env import SeqGANVecEnv
from agents.schedules import EveryEpisodes
from agents.seqgan import SeqGAN
from seqgan_env.autoregressive import MaximumLikelihoodTrainer
from seqgan_env.device import check_memory, set_matmul_precision
from seqgan_env.vector_env import SeqGANVectorEnv

_BYTES_OF_TOKEN = 32  # its id in some copies, a random number, its log-probability


class Game:
    """The task, the generator's agent, the discriminator's trainer, and their measurement.

    Construction also sets the threads and the precision of torch.

    Args:
        config: the settings.

    Raises:
        ValueError: a setting does not fit the source, or the reward gives no values to tokens where they are wanted.
    """

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        if config.runtime.n_threads is not None:
            torch.set_num_threads(config.runtime.n_threads)
        if config.runtime.matmul_precision is not None:
            set_matmul_precision(config.runtime.matmul_precision)
        if constraints := config.task.constraints:
            raise ValueError(f"a run measures the whole softmax, so it takes no constraints, got {constraints}")
        envs = SeqGANVectorEnv(config.agent.n_episodes, autoreset_mode="SameStep", **config.env_kwargs)
        self.env, self.task = SeqGANVecEnv(envs), envs.task
        n = max(config.evaluation.n, config.adversary.n_generated + config.adversary.n_held_out)
        n_tokens = self.task.spec.max_length
        check_memory(
            _BYTES_OF_TOKEN * n * n_tokens, f"{n} sequences of max_length {n_tokens}, which are drawn at once,"
        )
        self.agent = SeqGAN(
            AutoregressivePolicy,
            self.env,
            learning_rate=lambda _: config.agent.step_size(self.agent.n_updates if hasattr(self, "agent") else 0),
            n_episodes=config.agent.n_episodes,
            max_grad_norm=config.agent.max_grad_norm,
            policy_kwargs={"core": config.generator.core, **config.generator.kwargs},
            seed=config.seed,
            device=config.runtime.device,
            **config.agent.estimator,
        )
        self.agent.set_logger(Logger(folder=None, output_formats=[]))
        trainer = trainer_of(self.task.scoring.discriminator, config.adversary, config.seed)
        self.evaluator = Evaluator(
            self.task,
            self.agent.generator,
            config.evaluation.n,
            config.seed,
            trainer.discriminator if config.is_adversarial else None,
            groups=config.evaluation.metrics,
        )
        self.likelihood_trainer = MaximumLikelihoodTrainer(
            self.agent.generator, config.pretraining, config.seed, total_epochs=max(1, config.pretraining.n_epochs)
        )
        self.adversary = Adversary(
            trainer, self.task.real_sequences, self.task.held_out_sequences, config.adversary, seed=config.seed
        )
        schedule = EveryEpisodes(config.adversary.every_n_episodes, config.adversary.rounds_at_once)
        self.callback = DiscriminatorCallback(schedule, trainer=trainer, seed=config.seed, config=config.adversary)
        if config.is_exact:
            if self.evaluator.optimal is None:
                raise ValueError(
                    f"an exact discriminator needs a source of known likelihood, got {config.task.source!r}"
                )
            self.task.scoring.set_discriminator(self.evaluator.optimal)
        scoring, some_BT = self.task.scoring, torch.from_numpy(self.task.real_sequences[:1])
        if config.agent.dense:  # refused now, if at all, before anything is learned
            scoring.action_values(some_BT)
        if config.agent.inner_sums:
            scoring.known_values(some_BT)

    def set_version(self, version: int) -> None:
        """Name the discriminator's version, of which the environment has the very object."""
        self.callback.version = self.task.scoring.version = version

    def state_dict(self) -> dict[str, Any]:
        """Everything that goes on after a checkpoint, as plain data and tensors."""
        return {
            "agent": self.agent.state_dict(),
            "likelihood_trainer": self.likelihood_trainer.state_dict(),
            "adversary": self.adversary.state_dict(),
            "callback": self.callback.state_dict(),
        }

    def load_pretraining(self, state: dict[str, Any]) -> None:
        """Restore what maximum likelihood has made, also of a game with another discriminator."""
        self.agent.load_state_dict({**state["agent"], "seed": self.config.seed})
        self.likelihood_trainer.load_state_dict(state["likelihood_trainer"])

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore ``state_dict``."""
        self.load_pretraining(state)
        self.adversary.load_state_dict(state["adversary"])
        self.callback.load_state_dict(state["callback"])
        self.task.scoring.version = self.callback.version
