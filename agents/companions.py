"""Copies of the generator that stay behind it: where learning began, and the policy of its completions."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch

from agents.estimator import EstimatorConfig
from seqgan_env.autoregressive import AutoregressiveModel
from seqgan_env.weights import check_weights

_MOST_ERROR, _GAIN = 0.2, 0.1  # of the controller of arXiv 1909.08593, section 2.2


class Companions:
    """The copies that an estimate asks for.

    Args:
        config: the estimate.
    """

    def __init__(self, config: EstimatorConfig) -> None:
        self.kl_weight = config.kl_penalty
        """The weight of the divergence from the generator when learning began."""
        self._kl_target = config.kl_target
        self._lag = config.rollout_lag
        self._wanted = {"pretrained": bool(config.kl_penalty), "rollout": bool(config.rollout_lag)}
        self._models: dict[str, AutoregressiveModel] = {}

    @property
    def pretrained(self) -> AutoregressiveModel | None:
        """The generator when learning began, if it is asked for and learning has begun."""
        return self._models.get("pretrained")

    @property
    def rollout(self) -> AutoregressiveModel | None:
        """The policy of the completions, the same."""
        return self._models.get("rollout")

    def begin(self, generator: AutoregressiveModel) -> None:
        """Take the copies that are asked for and not there yet."""
        for name, is_wanted in self._wanted.items():
            if is_wanted and name not in self._models:
                self._models[name] = copy.deepcopy(generator).requires_grad_(False)

    @torch.no_grad()
    def follow(self, generator: AutoregressiveModel) -> None:
        """Let the policy of the completions come nearer, after an update: ``lag`` of itself, the rest the generator.

        SeqGAN's code does so with a lag of 0.8, but for the embedding, which it copies.
        """
        if self.rollout is not None:
            for own, theirs in zip(self.rollout.parameters(), generator.parameters(), strict=True):
                own.lerp_(theirs, 1 - self._lag)

    def steer(self, divergence: float) -> None:
        """Change the weight of the divergence, if it has a target: by at most 2 % an update, more if it is above that.

        The weight is multiplied by ``1 + 0.1 clip(KL / target - 1, -0.2, 0.2)`` (arXiv 1909.08593, section 2.2).

        Args:
            divergence: on the episodes of the update, nats per sequence.
        """
        if self._kl_target is not None:
            error = divergence / self._kl_target - 1
            self.kl_weight *= 1 + _GAIN * max(-_MOST_ERROR, min(_MOST_ERROR, error))

    def state_dict(self) -> dict[str, Any]:
        """The weight of the divergence, and the weights of each copy, or nothing, by name."""
        copies = {name: dict(self._models[name].state_dict()) if name in self._models else {} for name in self._wanted}
        return {"kl_weight": self.kl_weight, **copies}

    def load_state_dict(self, state: Mapping[str, Any], generator: AutoregressiveModel) -> None:
        """Restore ``state_dict``; a copy that is not asked for is left out.

        Args:
            state: it.
            generator: of the same shape.

        Raises:
            ValueError: the weights are of another generator.
        """
        stored = {name: state[name] for name in self._wanted if state[name]}
        for weights in stored.values():
            check_weights(generator.state_dict(), weights)
        if self._kl_target is not None and state["pretrained"]:  # it has been steered, or was about to be
            self.kl_weight = state["kl_weight"]
        self._models = {}
        for name in (name for name in stored if self._wanted[name]):
            self._models[name] = copy.deepcopy(generator).requires_grad_(False)
            self._models[name].load_state_dict(stored[name])
