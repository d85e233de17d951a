"""The generator as a policy of Stable-Baselines3: the state is the prefix, the action is the next token."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import Tensor

from agents.observations import tokens_of, tokens_space
from seqgan_env.autoregressive import CORES, AutoregressiveModel, ConstrainedModel
from seqgan_env.autoregressive.constrained import AllowedAfter
from seqgan_env.device import may_look
from seqgan_env.tokens import SequenceSpec


class AutoregressivePolicy(BasePolicy):
    """The generator ``G_theta``, an ``AutoregressiveModel``, with the optimiser of the policy gradient.

    Args:
        observation_space: ``Box(0, V, (T,))``, the padded prefix, or a ``Dict`` with that as ``tokens``.
        action_space: ``Discrete(V)``.
        lr_schedule: step size of the policy gradient's optimiser, by remaining progress.
        eos_id: the end-of-sequence token, or None.
        vocabulary: the hash of the vocabulary in the task's ``SequenceSpec``, or None.
        core: a key of ``seqgan_env.autoregressive.CORES``.
        optimizer_class: the policy gradient's optimiser.
        optimizer_kwargs: its further arguments.
        **core_arguments: fields of the core's ``Config``: ``embedding_dim``, ``hidden_dim``, …

    Raises:
        ValueError: the spaces are not those of a sequence task, or an argument is unknown or out of range.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        lr_schedule: Schedule,
        *,
        eos_id: int | None = None,
        vocabulary: str | None = None,
        core: str = "lstm",
        optimizer_class: type[torch.optim.Optimizer] = torch.optim.Adam,
        optimizer_kwargs: dict[str, Any] | None = None,
        **core_arguments: Any,
    ) -> None:
        tokens = tokens_space(observation_space)  # it reads these alone, from an observation in either form
        super().__init__(tokens, action_space, optimizer_class=optimizer_class, optimizer_kwargs=optimizer_kwargs)
        if not isinstance(action_space, spaces.Discrete):
            raise ValueError(f"the actions must be Discrete(V), got {action_space}")
        spec = SequenceSpec(int(action_space.n), tokens.shape[0], eos_id, vocabulary)
        self.generator = AutoregressiveModel(spec, core, **core_arguments)
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]
        self.allowed: AllowedAfter | None = None
        """The tokens that may follow a prefix, where a task forbids some; no file holds it."""
        self._own_arguments = {"eos_id": eos_id, "vocabulary": vocabulary, "core": core, **core_arguments}

    @property
    def acting(self) -> AutoregressiveModel:
        """The generator as it acts: within the constraints of the task, where there are some."""
        return self.constrained(self.generator)

    def constrained(self, model: AutoregressiveModel) -> AutoregressiveModel:
        """A model within the constraints of the task, where there are some."""
        return model if self.allowed is None else ConstrainedModel(model, self.allowed)

    @property
    def spec(self) -> SequenceSpec:
        """The form of the sequences."""
        return self.generator.spec

    def obs_to_tensor(self, observation: Any) -> tuple[PyTorchObs, bool]:
        """See ``BasePolicy``; what torch makes no tensor of is refused by name."""
        observation = tokens_of(observation)
        if (dtype := np.asarray(observation).dtype).kind not in "iufb":
            raise ValueError(f"observation must be whole numbers, got an array of {dtype}")
        return super().obs_to_tensor(observation)

    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> Tensor:
        tokens_BT: Tensor = tokens_of(observation)
        if may_look(tokens_BT.device):  # on a GPU an id out of range is an error of the kernel's
            self.spec.validate(tokens_BT.numpy(), name="observation")
        acting = self.acting
        return acting.choose(acting.read(tokens_BT.long()), top_k=1 if deterministic else None)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {
            "observation_space": self.observation_space,
            "action_space": self.action_space,
            "lr_schedule": self._dummy_schedule,  # what learning has of the optimiser is the algorithm's to save
            "optimizer_class": self.optimizer_class,
            "optimizer_kwargs": self.optimizer_kwargs,
            **self._own_arguments,
        }


def policy_names() -> dict[str, str]:
    """The core of each policy that ``SeqGAN`` knows by name: ``LstmPolicy`` has the core ``lstm``, and so on."""
    return {"".join(part.capitalize() for part in core.split("_")) + "Policy": core for core in CORES}
