"""The file of an agent, which holds no code (see ``agents.checkpoint``)."""

from __future__ import annotations

import dataclasses
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from agents.checkpoint import load_checkpoint, save_checkpoint
from agents.estimator import EstimatorConfig
from seqgan_env.checks import (
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Seed,
    StepSize,
    build_config,
    check_names,
    shown,
)
from seqgan_env.files import refusal
from seqgan_env.task_config import CONSTRAINTS
from seqgan_env.tokens import SequenceSpec
from seqgan_env.weights import check_sizes

KIND = "SeqGAN"
"""The mark of such a file."""
OPTIMIZERS = {
    name: kind
    for name, kind in vars(torch.optim).items()
    if isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer) and kind is not torch.optim.Optimizer
}
"""The optimisers that a file can name."""
_NO_ARGUMENTS = ("optimizer_class", "eos_id", "vocabulary")
"""The arguments of a policy that its file has in other places."""
_NAMES = ("policy_class", "optimizer_class", "spec", "constraints", "arguments")


@dataclass(frozen=True, kw_only=True)
class AgentArguments(EstimatorConfig):
    """The arguments of ``SeqGAN`` that a file keeps.

    Raises:
        ValueError: a value is out of range.
    """

    learning_rate: StepSize
    """Step size of the policy's optimiser."""
    n_episodes: PositiveInt
    """B, the episodes of an iteration."""
    max_grad_norm: PositiveFloat
    """The gradient is scaled down to this norm."""
    policy_kwargs: Mapping[str, Any]
    """Further arguments of the policy, as plain data."""
    seed: Seed
    """Everything random follows it."""
    stats_window_size: PositiveInt
    """Episodes in the logged means."""
    tensorboard_log: str | None
    """The folder of TensorBoard events, or None."""
    verbose: NonNegativeInt
    """0 silent, 1 tables of the logger."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if more := [name for name in _NO_ARGUMENTS if name in self.policy_kwargs]:
            raise ValueError(f"policy_kwargs must be a policy's own plain data, got {', '.join(more)}")


@dataclass(frozen=True)
class AgentFile:
    """The content of a file.

    Raises:
        ValueError: the constraints are not some of those that a task can have, in their order.
    """

    policy_class: str
    """The name of the policy's class."""
    optimizer_class: str
    """The name of the optimiser's class."""
    spec: SequenceSpec
    """The form of the sequences."""
    constraints: tuple[str, ...]
    """The names of the task's constraints, which the environment has."""
    arguments: AgentArguments
    """Arguments of the agent's constructor."""
    state: dict[str, Any]
    """The agent's ``state_dict``."""

    def __post_init__(self) -> None:
        if list(self.constraints) != [name for name in CONSTRAINTS if name in self.constraints]:
            raise ValueError(f"constraints must be some of {', '.join(CONSTRAINTS)}, got {shown(self.constraints)}")

    def write(self, file: Any) -> None:
        """Write it.

        Args:
            file: its path (``.zip`` is added where that has no suffix, and missing folders are made), or a stream.

        Raises:
            ValueError: it is neither.
        """
        state = {
            "kind": KIND,
            "policy_class": self.policy_class,
            "optimizer_class": self.optimizer_class,
            "spec": dataclasses.asdict(self.spec),
            "constraints": list(self.constraints),
            "arguments": dataclasses.asdict(self.arguments),
            "agent": self.state,
        }
        if not hasattr(_checked(file, "write"), "write"):
            if not Path(file).name:
                raise ValueError(f"path must name a file, got {str(file)!r}")
            file = Path(file) if Path(file).suffix else Path(f"{Path(file)}.zip")
            file.parent.mkdir(parents=True, exist_ok=True)
        save_checkpoint(file, state)

    @classmethod
    def read(cls, file: Any) -> AgentFile:
        """Read one; nothing in it is executed.

        Args:
            file: its path, with ``.zip`` or without, or a stream.

        Raises:
            ValueError: it is missing, damaged or of something else.
        """
        source: Path | io.BytesIO
        if hasattr(_checked(file, "read"), "read"):
            source, n_bytes = io.BytesIO(content := file.read()), len(content)
        else:
            source = existing_file(file)
            n_bytes = os.path.getsize(source) if source.exists() else 0
        stored = load_checkpoint(source)
        with refusal(source, "SeqGAN agent"):
            if stored.get("kind") != KIND:
                raise ValueError(f"it holds {shown(stored.get('kind'))}")
            check_names("an agent", stored, ("kind", *_NAMES, "agent"))
            values = {name: stored[name] for name in _NAMES}
            agent = build_config(cls, {**values, "state": stored["agent"]}, "an agent", complete=True)
            check_sizes(agent.spec, n_bytes)
            return agent


def stored_class(path: Any, argument: str, name: str, known: Mapping[str, Any], given: dict[str, Any]) -> Any:
    """The class that a file names, or the one in place of it, which is taken out of what is given.

    Raises:
        ValueError: it is a user's own, and not given.
    """
    found = given.pop(argument, known.get(name))
    if found is None:
        raise ValueError(f"{path} has the {argument} {name!r}; pass it in custom_objects[{argument!r}]")
    return found


def check_optimizer(kind: type[torch.optim.Optimizer], policy_kwargs: Mapping[str, Any]) -> None:
    """Refuse the arguments of an optimiser with which it cannot be made.

    Raises:
        ValueError, TypeError, RuntimeError: what the optimiser says of them.
    """
    kind([torch.nn.Parameter(torch.zeros(1))], lr=1.0, **(policy_kwargs.get("optimizer_kwargs") or {}))  # type: ignore[call-arg]


def optimizer_name(kind: type[torch.optim.Optimizer]) -> str:
    """The name of an optimiser in a file; one of a user's own has a dot in it and is known to no other program."""
    is_known = OPTIMIZERS.get(kind.__name__) is kind
    return kind.__name__ if is_known else f"{kind.__module__}.{kind.__qualname__}"


def plain_arguments(policy_kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a policy without the class of its optimiser, which a file names."""
    return {name: value for name, value in policy_kwargs.items() if name != "optimizer_class"}


def existing_file(path: str | Path) -> Path:
    """The path of a file that is named with its suffix ``.zip`` or without, also beside a folder of that name."""
    path, zipped = Path(path), Path(f"{Path(path)}.zip")
    return zipped if not path.exists() or (path.is_dir() and zipped.exists()) else path


def generator_weights(state: dict[str, Any]) -> dict[str, Tensor]:
    """The weights of the generator alone, from an agent's ``state_dict``."""
    return {name.removeprefix("generator."): tensor for name, tensor in state["policy"].items()}


def _checked(file: Any, method: str) -> Any:
    if isinstance(file, (str, Path)) or (hasattr(file, method) and not isinstance(file, io.TextIOBase)):
        return file
    raise ValueError(f"path must be a path or a stream of bytes, got {shown(file)}")
