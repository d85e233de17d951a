"""The settings of a run: one frozen dataclass, complete at construction, and the presets that fill it."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.losses import BASELINES
from seqgan_env.device import resolve_device
from seqgan_env.rewards import REWARDS
from seqgan_env.task import TaskConfig

PRECISIONS = ("highest", "high", "medium")
"""What ``torch.set_float32_matmul_precision`` knows."""
EXACT_REWARD = "exact_log_ratio"
"""The reward log p(Y) - log G(Y) of the optimal discriminator, where the source's likelihood is known."""


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides the result of ``seqgan train``.

    The same settings and seed give the same run on the same machine.

    Raises:
        ValueError: a value is out of range.
    """

    source: str = "grammar"
    """grammar (embedded English sentences), oracle (the synthetic LSTM), or a text file with one sequence a line."""
    vocab_size: int | None = None
    """V of the oracle; None is 5000."""
    max_length: int | None = None
    """T; None is the source's own: 20 for the oracle, the longest line for a text file."""
    level: str | None = None
    """word or char, for a text file; None is word."""
    min_count: int | None = None
    """Words of a text file that are rarer than this become the unknown token; None is 1."""
    long_lines: str | None = None
    """error or drop: what to do with lines of a text file that are longer than T; None is error."""
    source_seed: int = 0
    """The oracle's parameters and which real sequences are drawn."""
    n_real: int = 10_000
    """Real sequences to train on."""
    n_held_out: int = 5_000
    """Real sequences held out, one half to choose by (validation), the other to report (test)."""

    policy: str = "LstmPolicy"
    """The generator: LstmPolicy, GruPolicy, AttentionPolicy or TransformerPolicy."""
    embedding_dim: int = 32
    """Size of the generator's token embedding."""
    hidden_dim: int = 32
    """Size of the generator's state."""
    discriminator: str = "cnn"
    """The discriminator."""
    discriminator_embedding_dim: int = 64
    """Size of the discriminator's token embedding."""
    filter_widths: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 20)
    """Widths of the convolutions; those above T are left out."""
    filter_counts: tuple[int, ...] = (100, 200, 200, 200, 200, 100, 100, 100, 100, 100, 160, 160)
    """How many convolutions of each width."""
    dropout: float = 0.25
    """Share of the discriminator's features that training drops."""
    l2: float = 0.2
    """Weight of the L2 term on the discriminator's output layer."""
    reward: str = "log_d"
    """log_d, neg_log_one_minus_d, log_ratio, d, constant, or, where the law is known, exact_log_ratio."""

    generator_epochs: int = 40
    """At most so many epochs of maximum likelihood."""
    generator_patience: int = 5
    """Epochs without a better validation likelihood before maximum likelihood stops; the best epoch is kept."""
    generator_learning_rate: float = 0.01
    """Step size of maximum likelihood."""
    generator_batch_size: int = 64
    """Sequences in an update of maximum likelihood."""

    discriminator_rounds: int = 10
    """Rounds of the discriminator's pretraining, each on fresh negatives."""
    n_generated: int = 2048
    """Negatives of one discriminator training."""
    discriminator_epochs: int = 1
    """Passes over them."""
    discriminator_batch_size: int = 64
    """Sequences of each kind in an update of the discriminator."""
    discriminator_learning_rate: float = 1e-4
    """Step size of the discriminator."""

    n_updates: int = 100
    """Policy-gradient updates."""
    n_episodes: int = 64
    """B, episodes in an update."""
    n_completions: int = 16
    """N, Monte Carlo completions of each prefix."""
    learning_rate: float = 1e-3
    """Step size of the policy gradient."""
    final_learning_rate: float | None = None
    """The step size falls linearly to this at the last update; None keeps it as it is."""
    baseline: str = "prefix"
    """none, batch, step, prefix or learned: what is subtracted from the action values."""
    normalize_advantage: bool = True
    """Divide the advantages by their root mean square."""
    every_n_episodes: int = 64
    """Episodes between two trainings of the discriminator."""

    eval_every: int = 10
    """Updates between two evaluations; a checkpoint is written at each."""
    n_eval: int = 2_000
    """Sequences in an evaluation, of each kind."""
    seed: int = 0
    """Everything random follows it."""
    device: str = "auto"
    """auto, cpu, cuda, ..."""
    n_threads: int | None = None
    """Threads of torch on the CPU; None leaves it to torch. Small networks are no faster with several, and on a machine
    that others use too they are far slower."""
    matmul_precision: str | None = None
    """highest, high or medium: what torch.set_float32_matmul_precision allows matrix products. "high" is TF32 on a GPU
    that has it, "medium" also lets the cnn score in bfloat16 on a CPU, which is faster on one with instructions for it.
    None leaves it to torch: single precision everywhere."""

    def __post_init__(self) -> None:
        positive = [
            "generator_patience generator_batch_size n_generated discriminator_epochs discriminator_batch_size",
            "n_episodes n_completions every_n_episodes eval_every n_eval embedding_dim hidden_dim n_real",
            "discriminator_embedding_dim",
        ]
        for name in " ".join(positive).split():
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.n_threads is not None and self.n_threads < 1:
            raise ValueError(f"n_threads must be at least 1, got {self.n_threads}")
        if self.n_held_out < 2:
            raise ValueError(f"n_held_out must be at least 2, got {self.n_held_out}")
        for name in ("generator_epochs", "discriminator_rounds", "n_updates"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")
        for name in ("generator_learning_rate", "discriminator_learning_rate", "learning_rate", "final_learning_rate"):
            if getattr(self, name) is not None and not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        for name, allowed in (
            ("reward", (*REWARDS, EXACT_REWARD)),
            ("baseline", BASELINES),
            ("matmul_precision", (None, *PRECISIONS)),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(map(str, allowed))}; got {getattr(self, name)!r}")
        if len(self.filter_widths) != len(self.filter_counts) or not self.filter_widths:
            raise ValueError(
                "filter_widths and filter_counts must be as long as each other, "
                f"got {self.filter_widths} and {self.filter_counts}"
            )
        resolve_device(self.device)

    @property
    def task(self) -> TaskConfig:
        """The environment's part."""
        return TaskConfig(
            source=self.source,
            vocab_size=self.vocab_size,
            max_length=self.max_length,
            source_seed=self.source_seed,
            level=self.level,
            min_count=self.min_count,
            long_lines=self.long_lines,
            n_real=self.n_real,
            n_held_out=self.n_held_out,
            discriminator=self.discriminator,
            discriminator_kwargs={
                "embedding_dim": self.discriminator_embedding_dim,
                "filters": [list(pair) for pair in zip(self.filter_widths, self.filter_counts, strict=True)],
                "dropout": self.dropout,
                "l2": self.l2,
            },
            discriminator_seed=self.seed,
            reward="log_ratio" if self.reward == EXACT_REWARD else self.reward,
            device=self.device,
        )

    def save(self, path: Path) -> None:
        """Write ``config.json``."""
        path.write_text(json.dumps(dataclasses.asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> TrainConfig:
        """Read ``config.json``.

        Raises:
            ValueError: it is missing, damaged, or has fields that are unknown or out of range.
        """
        try:
            fields: dict[str, Any] = json.loads(path.read_text())
            names = {field.name for field in dataclasses.fields(cls)}
            if set(fields) != names:
                raise ValueError(f"unknown or missing fields: {', '.join(sorted(set(fields) ^ names))}")
            listed: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
            return cls(**listed)
        except (OSError, UnicodeDecodeError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is not a readable configuration: {error}") from error
