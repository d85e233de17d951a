"""The hot paths, and what each costs at least."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from agents import SeqGAN, make_seqgan_vec_env
from agents.collection import Episodes
from agents.gradient import policy_loss
from agents.monte_carlo import action_values
from benchmarks import plain
from seqgan_env.autoregressive import LikelihoodConfig, MaximumLikelihoodTrainer
from seqgan_env.discriminators import CNNDiscriminator, DiscriminatorTrainer
from seqgan_env.metrics import likelihood_metrics
from seqgan_env.sources import LSTMOracle
from seqgan_env.task import Task
from seqgan_env.tokens import Tokens


@dataclass(frozen=True)
class Size:
    """The size of a measurement; the defaults are the paper's."""

    vocab_size: int = 5000
    max_length: int = 20
    n_episodes: int = 64
    n_completions: int = 16
    n_sequences: int = 10_000
    """Real sequences, and as many generated ones."""
    embedding_dim: int = 32
    hidden_dim: int = 32
    filters: tuple[tuple[int, int], ...] | None = None
    """None is the paper's table."""


@dataclass(frozen=True)
class HotPath:
    """One hot path."""

    ours: Callable[[], Any]
    reference: Callable[[], Any] | None = None
    flops: float = 0.0
    """The multiplications and additions that any program must make."""
    moved_bytes: float = 0.0
    """The least that must be read from tables."""
    target: str = ""
    """The target it must meet, in words."""


@dataclass
class Setting:
    """Everything that the paths work on, made once."""

    size: Size
    device: str = "cpu"

    @cached_property
    def agent(self) -> SeqGAN:
        """An untrained generator's agent."""
        size = self.size
        discriminator = {} if size.filters is None else {"filters": [list(pair) for pair in size.filters]}
        env = make_seqgan_vec_env(
            "SeqGAN-v0",
            n_envs=size.n_episodes,
            vocab_size=size.vocab_size,
            max_length=size.max_length,
            n_real=size.n_sequences,
            n_held_out=size.n_sequences,
            discriminator_kwargs=discriminator,
            device=self.device,
        )
        agent = SeqGAN(
            "LstmPolicy",
            env,
            n_episodes=size.n_episodes,
            n_completions=size.n_completions,
            policy_kwargs={"embedding_dim": size.embedding_dim, "hidden_dim": size.hidden_dim},
            seed=0,
            device=self.device,
        )
        # `learn` prepares this before the first collection
        agent._setup_learn(total_timesteps=1)
        return agent

    @property
    def task(self) -> Task:
        """Of the environment."""
        assert self.agent.env is not None
        task: Task = self.agent.env.get_attr("task")[0]
        return task

    @cached_property
    def episodes(self) -> Episodes:
        """Whole episodes of the generator."""
        rng = torch.Generator(self.device).manual_seed(1)
        tokens_BT = self.agent.generator.sample(self.size.n_episodes, rng)
        reward_B = self.agent._score(tokens_BT).to(self.device)
        return Episodes(tokens_BT, self.task.spec.is_token(tokens_BT), reward_B)

    @cached_property
    def real(self) -> Tokens:
        """Real sequences."""
        return self.task.real_sequences

    @cached_property
    def source_real_B(self) -> npt.NDArray[np.float64]:
        """The source's log-probability of the real ones: known once for all evaluations of a run."""
        return cast(LSTMOracle, self.task.source).log_prob(self.real)

    @cached_property
    def generated(self) -> Tokens:
        """As many generated ones."""
        return self.agent.sample(self.size.n_sequences, seed=0)

    def estimate(self) -> torch.Tensor:
        """One action-value estimate."""
        tokens_BT, _, reward_B = self.episodes
        n, score = self.size.n_completions, self.agent._score
        return action_values(self.agent.generator, tokens_BT, reward_B, score, n_completions=n)


def paths(setting: Setting) -> dict[str, HotPath]:
    """Every hot path at one size; references are for the CPU."""
    discriminator = setting.task.scoring.discriminator
    assert isinstance(discriminator, CNNDiscriminator)
    cost = Cost.of(setting.size, discriminator)
    made = {
        **_of_the_generator(setting, cost, discriminator),
        "discriminator epoch": _discriminator_epoch(setting, cost, discriminator),
        **_of_updates(setting, cost),
        **_of_episodes(setting, cost),
    }
    if setting.device != "cpu":
        made = {name: replace(path, reference=None) for name, path in made.items()}
    return made


def _of_the_generator(setting: Setting, cost: Cost, discriminator: CNNDiscriminator) -> dict[str, HotPath]:
    """Completing and sampling."""
    size, agent, generator = setting.size, setting.agent, setting.agent.generator
    frozen = plain.PlainDiscriminator(discriminator).eval()

    @torch.no_grad()
    def plain_score(tokens_MT: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.logsigmoid(frozen(tokens_MT).double())

    def reference_estimate() -> torch.Tensor:
        tokens_BT, _, reward_B = setting.episodes
        return plain.action_values(generator, tokens_BT, reward_B, plain_score, size.n_completions)

    lane_steps = size.n_completions * size.n_episodes * size.max_length * (size.max_length - 1) / 2
    n_scored = size.n_completions * size.n_episodes * (size.max_length - 1)
    return {
        "action values": HotPath(
            setting.estimate,
            reference_estimate,
            lane_steps * cost.step + n_scored * cost.judge + cost.tables,
            n_scored * cost.table_bytes,
            "≥ 12 × the reference, ≤ 2 × the floor",
        ),
        "sampling": HotPath(
            lambda: agent.sample(size.n_sequences, seed=1),
            lambda: plain.sample(generator, size.n_sequences),
            size.n_sequences * size.max_length * cost.step,
            target="≥ 15 × the reference",
        ),
    }


def _discriminator_epoch(setting: Setting, cost: Cost, discriminator: CNNDiscriminator) -> HotPath:
    trainer = DiscriminatorTrainer(copy.deepcopy(discriminator))
    reference = plain.PlainDiscriminator(copy.deepcopy(discriminator))
    adam = torch.optim.Adam(reference.parameters(), lr=1e-4)
    return HotPath(
        lambda: trainer.fit(setting.real, setting.generated, batch_size=64),
        lambda: plain.discriminator_epoch(reference, adam, setting.real, setting.generated),
        2 * setting.size.n_sequences * 3 * (cost.convolve + cost.judge),
        target="≤ 1.5 × the floor",
    )


def _of_updates(setting: Setting, cost: Cost) -> dict[str, HotPath]:
    """Gradient steps of the generator."""
    size, agent = setting.size, setting.agent
    trainer, reference = MaximumLikelihoodTrainer(copy.deepcopy(agent.generator)), copy.deepcopy(agent.generator)
    strong = LikelihoodConfig(weight_decay=0.01, label_smoothing=0.1, weight_averaging=0.9)
    regularised = MaximumLikelihoodTrainer(copy.deepcopy(agent.generator), strong)  # whose core has dropout by default
    adam = torch.optim.Adam(reference.parameters(), lr=0.01)
    q_BT = setting.estimate()  # a policy-gradient step is timed without its action values
    of_step = size.n_episodes * size.max_length * 3 * cost.step
    return {
        "maximum-likelihood epoch": HotPath(
            lambda: trainer.epoch(setting.real),
            lambda: plain.maximum_likelihood_epoch(reference, adam, setting.real),
            size.n_sequences * size.max_length * 3 * cost.step,
            target="≤ 2 × the floor",
        ),
        "regularised epoch": HotPath(
            lambda: regularised.epoch(setting.real),
            lambda: plain.maximum_likelihood_epoch(reference, adam, setting.real),
            size.n_sequences * size.max_length * 3 * cost.step,
            target="≤ 1.2 × a maximum-likelihood epoch",
        ),
        "maximum-likelihood step": HotPath(
            lambda: trainer.epoch(setting.episodes.tokens_BT.cpu().numpy()), flops=of_step, target="for comparison"
        ),
        "policy-gradient step": HotPath(
            lambda: agent.update(
                setting.episodes, policy_loss(agent.generator, setting.episodes, q_BT, agent.estimator)
            ),
            flops=of_step,
            target="≤ 1.2 × a maximum-likelihood step",
        ),
    }


def _of_episodes(setting: Setting, cost: Cost) -> dict[str, HotPath]:
    """Playing and measuring."""
    size, agent, task, generator = setting.size, setting.agent, setting.task, setting.agent.generator
    callback = agent._init_callback(None)
    return {
        "collection": HotPath(
            lambda: agent.collect(callback),
            flops=size.n_episodes * (size.max_length * cost.step + cost.convolve + cost.judge),
            target="≤ 5 % of an iteration, without its reward",
        ),
        "reward of the episodes": HotPath(
            lambda: task.scoring.step_reward(setting.episodes.tokens_BT.cpu().numpy()),
            flops=size.n_episodes * (cost.convolve + cost.judge),
            target="for comparison",
        ),
        "evaluation": HotPath(
            lambda: likelihood_metrics(
                task.source, setting.real, setting.generated, generator.sequence_log_prob, setting.source_real_B
            ),
            lambda: plain.evaluate(generator, task.source, setting.real, setting.generated),
            3 * size.n_sequences * size.max_length * cost.step,
            target="≤ 1 × a maximum-likelihood epoch",
        ),
    }


@dataclass(frozen=True)
class Cost:
    """The least cost of one of each thing, in floating-point operations unless it says bytes."""

    step: float
    """A step of the generator: the LSTM and the softmax's logits."""
    convolve: float
    """The convolutions over one sequence as matrix products."""
    judge: float
    """The highway layer and the output for one sequence."""
    tables: float
    """The tables of embedding x filter."""
    table_bytes: float
    """The rows of the tables that one sequence sums up, in bytes."""

    @classmethod
    def of(cls, size: Size, discriminator: CNNDiscriminator) -> Cost:
        """The costs of the networks of one size."""
        e, h = size.embedding_dim, size.hidden_dim
        convolutions = [conv for conv in discriminator.convolutions if isinstance(conv, nn.Conv1d)]
        widths = [(conv.kernel_size[0], conv.out_channels) for conv in convolutions]
        windows = sum(w * n * (size.max_length - w + 1) for w, n in widths)
        d_embedding = discriminator.embedding.embedding_dim
        n_features = discriminator.output.in_features
        return cls(
            step=2.0 * (4 * h * (e + h) + h * size.vocab_size),
            convolve=2.0 * windows * d_embedding,
            judge=2.0 * (2 * n_features**2 + n_features),
            tables=2.0 * size.vocab_size * d_embedding * sum(w * n for w, n in widths),
            table_bytes=4.0 * windows,
        )
