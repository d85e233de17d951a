"""The file of an agent, which holds no code (see ``agents.checkpoint``)."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from agents.checkpoint import load_checkpoint, save_checkpoint
from agents.gradient import EstimatorConfig
from seqgan_env.checks import build_config, check_names, check_positive, check_whole_number, shown
from seqgan_env.files import refusal
from seqgan_env.tokens import SequenceSpec
from seqgan_env.weights import check_sizes

KIND = "SeqGAN"
"""The mark of such a file."""


@dataclass(frozen=True, kw_only=True)
class AgentArguments(EstimatorConfig):
    """The arguments of ``SeqGAN`` that a file keeps.

    Raises:
        ValueError: a value is out of range.
    """

    learning_rate: float
    """Step size of the policy's optimiser."""
    n_episodes: int
    """B, the episodes of an iteration."""
    max_grad_norm: float
    """The gradient is scaled down to this norm."""
    policy_kwargs: Mapping[str, Any]
    """Further arguments of the policy, as plain data."""
    seed: int
    """Everything random follows it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("learning_rate", self.learning_rate)
        check_whole_number("n_episodes", self.n_episodes, 1)
        check_positive("max_grad_norm", self.max_grad_norm)
        check_whole_number("seed", self.seed, 0)
        if "optimizer_class" in self.policy_kwargs:
            raise ValueError("policy_kwargs must be plain data, got an optimizer_class")


@dataclass(frozen=True)
class AgentFile:
    """The content of a file."""

    policy_class: str
    """The name of the policy's class."""
    spec: SequenceSpec
    """The form of the sequences."""
    arguments: AgentArguments
    """Arguments of the agent's constructor."""
    state: dict[str, Any]
    """The agent's ``state_dict``."""

    def write(self, path: Any) -> None:
        """Write it.

        Args:
            path: of the file; ``.zip`` is added where there is no suffix.
        """
        state = {
            "kind": KIND,
            "policy_class": self.policy_class,
            "spec": dataclasses.asdict(self.spec),
            "arguments": dataclasses.asdict(self.arguments),
            "agent": self.state,
        }
        save_checkpoint(_with_suffix(path), state)

    @classmethod
    def read(cls, path: Any) -> AgentFile:
        """Read one; nothing in it is executed.

        Raises:
            ValueError: it is missing, damaged or of something else.
        """
        path = _with_suffix(path)
        stored = load_checkpoint(path)
        with refusal(path, "SeqGAN agent"):
            if stored.get("kind") != KIND:
                raise ValueError(f"it holds {shown(stored.get('kind'))}")
            check_names("an agent", stored, ("kind", "policy_class", "spec", "arguments", "agent"))
            values = {name: stored[name] for name in ("policy_class", "spec", "arguments")}
            file = build_config(cls, {**values, "state": stored["agent"]}, "an agent", complete=True)
            check_sizes(file.spec, os.path.getsize(path))
            return file


def generator_weights(state: dict[str, Any]) -> dict[str, Tensor]:
    """The weights of the generator alone, from an agent's ``state_dict``."""
    return {name.removeprefix("generator."): tensor for name, tensor in state["policy"].items()}


def _with_suffix(path: Any) -> str:
    """Stable-Baselines3 names a checkpoint without its suffix."""
    text = str(path)
    return text if text.endswith(".zip") else text + ".zip"
