"""The settings of a run: frozen dataclasses, one for each part, complete at construction."""

# Over 300 lines: each part of a run is a dataclass of fields that explain themselves.

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from agents.adversary import RoundConfig
from agents.estimator import EstimatorConfig
from seqgan_env.autoregressive import CORES, LikelihoodConfig
from seqgan_env.checks import (
    Interval,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Seed,
    ShareAboveZero,
    StepSize,
    build_config,
    check_choice,
    check_fields,
    check_names,
)
from seqgan_env.device import check_device
from seqgan_env.discriminators import DISCRIMINATORS, discriminator_kind
from seqgan_env.files import atomic_write, parse_json, read_bytes, refusal
from seqgan_env.metrics import check_groups
from seqgan_env.rewards import reward_entry
from seqgan_env.shaping import needed_discriminator, shaping_configs
from seqgan_env.sources import NAMED_SOURCES
from seqgan_env.task_config import TaskConfig

Parts = Mapping[str, Mapping[str, Any]]
"""Fields that differ, by the part of a ``RunConfig``."""
PRECISIONS = ("highest", "high", "medium")
"""The precisions of ``torch.set_float32_matmul_precision``."""


@dataclass(frozen=True)
class GeneratorConfig:
    """The generator.

    Raises:
        ValueError: an unknown core, or an argument that it does not take or that is out of range.
    """

    core: str = "lstm"
    """The network: a key of ``seqgan_env.autoregressive.CORES``."""
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the core's own settings."""

    def __post_init__(self) -> None:
        check_fields(self)
        settings = build_config(CORES.lookup(self.core).Config, self.kwargs, f"core {self.core!r}")
        object.__setattr__(self, "kwargs", dataclasses.asdict(settings))  # complete, so that equal ones are equal


@dataclass(frozen=True)
class PretrainingConfig(LikelihoodConfig):
    """Maximum likelihood for some epochs, of which the best on validation is kept.

    Raises:
        ValueError: a value is out of range.
    """

    n_epochs: NonNegativeInt = 25
    """At most so many epochs."""
    keep_last: bool = False
    """Keep the last epoch instead, as the SeqGAN paper does."""
    patience: PositiveInt | None = None
    """Epochs without a better validation likelihood before it stops; None makes all epochs."""
    real_share: ShareAboveZero = 1.0
    """Share of the real sequences, from the first, that it learns from; see ``adversary.skip_real``."""


@dataclass(frozen=True)
class AdversaryConfig(RoundConfig):
    """The discriminator's training, before the game and in it.

    Raises:
        ValueError: a value is out of range.
    """

    n_generated: PositiveInt = 2048
    """Negatives of one training."""
    n_held_out: NonNegativeInt = 0
    """Held-out sequences of each round's own measurement; a run's evaluations measure the discriminator anyway."""
    n_rounds: NonNegativeInt = 10
    """Rounds of the discriminator's pretraining, each on fresh negatives."""
    every_n_episodes: PositiveInt = 64
    """Episodes of the game after which it is trained again, before the next update."""
    rounds_at_once: PositiveInt = 1
    """Rounds made then, one after the other, each on fresh negatives; the paper makes five."""
    exact: bool = False
    """Play against the best possible discriminator, where the source's likelihood is known: an upper bound."""


@dataclass(frozen=True)
class AgentConfig(EstimatorConfig):
    """The policy gradient.

    Raises:
        ValueError: a value is out of range.
    """

    n_updates: NonNegativeInt = 100
    """Policy-gradient updates."""
    n_episodes: PositiveInt = 64
    """B, episodes in an update."""
    learning_rate: StepSize = 1e-3
    """Step size."""
    final_learning_rate: StepSize | None = None
    """The step size falls linearly to this at the last update; None keeps it as it is."""
    max_grad_norm: PositiveFloat = 5.0
    """The gradient is scaled down to this norm."""

    @property
    def estimator(self) -> dict[str, Any]:
        """The arguments of ``SeqGAN`` that are fields of ``EstimatorConfig``."""
        return {each.name: getattr(self, each.name) for each in dataclasses.fields(EstimatorConfig)}

    def step_size(self, n_updates: int) -> float:
        """The step size of the update after ``n_updates`` others."""
        if self.final_learning_rate is None:
            return self.learning_rate
        done = min(1.0, n_updates / max(1, self.n_updates - 1))
        return self.learning_rate + done * (self.final_learning_rate - self.learning_rate)


@dataclass(frozen=True)
class EvaluationConfig:
    """The measurements.

    Raises:
        ValueError: a value is out of range.
    """

    every: PositiveInt = 10
    """Updates between two evaluations; a checkpoint is written at each."""
    n: PositiveInt = 2_000
    """Sequences in an evaluation, of each kind."""
    metrics: tuple[str, ...] = ()
    """Groups of metrics to measure beside the usual ones: text, temperatures or text_temperatures, which take seconds,
    language_model, minutes."""

    def __post_init__(self) -> None:
        check_fields(self)
        check_groups(self.metrics)


@dataclass(frozen=True)
class RuntimeConfig:
    """The machine's part.

    Raises:
        ValueError: a value is out of range. The device need not be here: a run may be read where it is not.
    """

    device: str = "auto"
    """auto, cpu, cuda, ..."""
    n_threads: Annotated[int, Interval(1, 1024)] | None = None  # with too many torch ends the process
    """Threads of torch on the CPU; None leaves it to torch. Small networks are no faster with several."""
    matmul_precision: str | None = None
    """highest, high or medium, of torch.set_float32_matmul_precision: "high" is TF32 on a GPU that has it, "medium"
    also lets the cnn score in bfloat16 on a CPU. None leaves it to torch: single precision, but for TF32 in the LSTMs
    and convolutions of a GPU."""

    def __post_init__(self) -> None:
        check_fields(self)
        check_choice("matmul_precision", self.matmul_precision, (None, *PRECISIONS))
        check_device(self.device)


_GRAMMAR = TaskConfig(source="grammar")


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides the result of ``seqgan train``, and the machine's part.

    The same settings and seed give the same run on the same machine.

    Raises:
        ValueError: the parts do not fit each other.
    """

    task: TaskConfig = _GRAMMAR
    """The real sequences, the discriminator and the reward; its device and discriminator's seed are the run's."""
    generator: GeneratorConfig = GeneratorConfig()
    """The generator."""
    pretraining: PretrainingConfig = PretrainingConfig()
    """Maximum likelihood."""
    adversary: AdversaryConfig = AdversaryConfig()
    """The discriminator's training."""
    agent: AgentConfig = AgentConfig()
    """The policy gradient."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """The measurements."""
    runtime: RuntimeConfig = RuntimeConfig()
    """The machine's part."""
    seed: Seed = 0
    """Everything random follows it."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.task.n_held_out < 2:
            raise ValueError(f"n_held_out must be at least 2, got {self.task.n_held_out}")
        for name, of_run in (("device", "runtime.device"), ("discriminator_seed", "seed")):
            if getattr(self.task, name) != (default := getattr(TaskConfig, name)):
                raise ValueError(f"a run's {name} is its {of_run}; leave that of the task at {default!r}")
        for name in ("reward", "shaping", "allowed_next"):
            value = getattr(self.task, name)
            if any(map(callable, value if isinstance(value, list) else [value])):
                raise ValueError(f"a run's {name} must be given by its name, 'module:function'")
        object.__setattr__(self, "task", _with_all_settings(self.task, self.generator))

    def changed(self, *changes: Parts) -> RunConfig:
        """These settings with fields of some parts changed, one set of changes after the other."""
        config = self
        for parts in changes:
            replaced = {part: dataclasses.replace(getattr(config, part), **fields) for part, fields in parts.items()}
            config = dataclasses.replace(config, **replaced)
        return config

    @property
    def env_kwargs(self) -> dict[str, Any]:
        """The arguments of the environment."""
        kwargs = {**self.task.kwargs, "device": self.runtime.device, "discriminator_seed": self.seed}
        file = self.task.discriminator
        if file not in DISCRIMINATORS and Path(file).is_file() and discriminator_kind(file).follows_generator:
            kwargs["discriminator_kwargs"] = _followed(self.generator)
        return kwargs

    @property
    def label(self) -> str:
        """The name of the reward, and of a discriminator that isn't the usual one, in tables and pictures."""
        label, discriminator = reward_entry(self.task.reward).label, Path(self.task.discriminator).stem
        named = f"{label}, {discriminator}" if discriminator != TaskConfig.discriminator else label
        return named if self.is_adversarial else f"exact {label}" if self.adversary.exact else label

    @property
    def is_adversarial(self) -> bool:
        """Whether the reward or the shaping needs a discriminator, and it is one that is trained."""
        return self._need == "trained" and not self.adversary.exact

    @property
    def is_exact(self) -> bool:
        """Whether the reward or the shaping is that of the best possible discriminator."""
        return self._need == "exact" or (self._need == "trained" and self.adversary.exact)

    @property
    def _need(self) -> str:
        """The discriminator that the payments are a function of."""
        return needed_discriminator(self.task.reward, self.task.shaping, self.task.shaping_kwargs)

    @property
    def of_pretraining(self) -> tuple[Any, ...]:
        """The parts that the phase of maximum likelihood depends on."""
        return self.task.source_config, self.generator, self.pretraining, self.evaluation, self.seed

    def located(self) -> RunConfig:
        """The same settings with the full paths of files, so that a run can go on in another working folder."""
        named = (("source", NAMED_SOURCES), ("held_out", (None,)), ("discriminator", DISCRIMINATORS))
        files = {name: getattr(self.task, name) for name, names in named if getattr(self.task, name) not in names}
        paths = {name: os.path.abspath(path) for name, path in files.items() if os.path.exists(path)}
        return dataclasses.replace(self, task=dataclasses.replace(self.task, **paths))

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON has them."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return plain

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunConfig:
        """The settings from ``to_dict``.

        Raises:
            ValueError: a field is unknown, missing, of another type or out of range.
        """
        config = build_config(cls, values, "a run", complete=True)
        for part in ("task", "generator"):
            check_names(part, values[part], config.to_dict()[part])
        return config

    def save(self, path: Path) -> None:
        """Write ``config.json``; one that says the same is left alone."""
        content = (json.dumps(self.to_dict(), indent=2) + "\n").encode()
        if not path.exists() or path.read_bytes() != content:
            with atomic_write(path) as file:
                file.write(content)

    @classmethod
    def load(cls, path: Path) -> RunConfig:
        """Read ``config.json``.

        Raises:
            ValueError: it is missing, damaged, or has fields that are unknown or out of range.
        """
        with refusal(path, "configuration"):
            return cls.from_dict(parse_json(read_bytes(path)))


def _with_all_settings(task: TaskConfig, generator: GeneratorConfig) -> TaskConfig:
    """The task with every setting of its parts written out, so that equal tasks are equal."""
    of_shaping = shaping_configs(task.shaping, task.shaping_kwargs)
    complete: dict[str, Any] = {
        "reward_kwargs": dataclasses.asdict(task.build_reward_config()),
        "shaping_kwargs": {name: dataclasses.asdict(config) for name, config in of_shaping.items()},
    }
    if task.discriminator in DISCRIMINATORS:
        kind = DISCRIMINATORS[task.discriminator].kind
        given = {**task.discriminator_kwargs, **(_followed(generator) if kind.follows_generator else {})}
        settings = build_config(kind.Config, given, f"discriminator {task.discriminator!r}")
        complete["discriminator_kwargs"] = json.loads(json.dumps(dataclasses.asdict(settings)))
    return dataclasses.replace(task, **complete)


def _followed(generator: GeneratorConfig) -> dict[str, Any]:
    """The settings of a discriminator that follows this generator."""
    return {"generator_core": generator.core, "generator_kwargs": generator.kwargs}
