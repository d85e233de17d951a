"""The file of an agent, which holds no code (see ``agents.checkpoint``)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from agents.checkpoint import load_checkpoint, save_checkpoint
from seqgan_env.tokens import SequenceSpec

KIND = "SeqGAN"
"""The mark of such a file."""


@dataclass(frozen=True)
class AgentFile:
    """The content of a file."""

    policy_class: str
    """The name of the policy's class."""
    spec: SequenceSpec
    """The form of the sequences."""
    arguments: dict[str, Any]
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
            "arguments": self.arguments,
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
        try:
            if stored["kind"] != KIND:
                raise ValueError(f"{path} holds a {stored['kind']}, not a SeqGAN agent")
            spec, arguments = SequenceSpec(**stored["spec"]), {**stored["arguments"]}
            return cls(str(stored["policy_class"]), spec, arguments, stored["agent"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path} is not a SeqGAN agent: {error!r}") from error


def generator_weights(state: dict[str, Any]) -> dict[str, Tensor]:
    """The weights of the generator alone, from an agent's ``state_dict``."""
    return {name.removeprefix("generator."): tensor for name, tensor in state["policy"].items()}


def _with_suffix(path: Any) -> str:
    """Stable-Baselines3 names a checkpoint without its suffix."""
    text = str(path)
    return text if text.endswith(".zip") else text + ".zip"
