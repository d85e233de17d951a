"""A weighted sum of other rewards."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from seqgan_env.checks import build_config, check_fields
from seqgan_env.rewards.base import (
    REWARDS,
    ComparingReward,
    Reward,
    RewardContext,
    register_reward,
)
from seqgan_env.tokens import Tokens


@dataclass(frozen=True)
class CompositeConfig:
    """The settings of ``composite``.

    Raises:
        ValueError: a part is unknown, or can't be one, or its settings are wrong.
    """

    weights: tuple[tuple[str, float], ...] = (("log_d", 1.0),)
    """``(name, weight)`` of the parts."""
    kwargs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The settings of parts that have some, by the name of the part."""

    def __post_init__(self) -> None:
        check_fields(self)
        names = [name for name, _ in self.weights]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"weights must name at least one reward, and each once; got {names}")
        if unknown := sorted(set(self.kwargs) - set(names)):
            raise ValueError(f"kwargs must be of parts in weights, {', '.join(names)}; got {', '.join(unknown)}")
        for name in names:
            if REWARDS.lookup(name).discriminator == "exact" or REWARDS[name].config is CompositeConfig:
                raise ValueError(
                    f"a part must be a reward that no optimal discriminator and no parts make, got {name!r}"
                )
            self.part(name)

    def part(self, name: str) -> Any:
        """The settings of a part."""
        return build_config(REWARDS[name].config, self.kwargs.get(name, {}), f"reward {name!r}")


class Composite:
    """The weighted sum of some rewards.

    Args:
        weights: of each by name.
        rewards: each by name.
    """

    def __init__(self, weights: Mapping[str, float], rewards: Mapping[str, Reward]) -> None:
        self._weights, self._rewards = weights, rewards

    def parts(self, logit_real_B: Tensor, tokens_BT: Tensor) -> dict[str, Tensor]:
        """See ``CompositeReward``."""
        return {name: reward(logit_real_B, tokens_BT.clone()) for name, reward in self._rewards.items()}

    def __call__(self, logit_real_B: Tensor, tokens_BT: Tensor) -> Tensor:
        """See ``Reward``."""
        parts = self.parts(logit_real_B, tokens_BT)
        return sum((self._weights[name] * part_B for name, part_B in parts.items()), start=0 * logit_real_B)


class ComparingComposite:
    """The same with parts among them that compare with real sequences.

    Args:
        weights: of each by name.
        rewards: each by name.
    """

    def __init__(self, weights: Mapping[str, float], rewards: Mapping[str, Reward | ComparingReward]) -> None:
        self._weights, self._rewards = weights, rewards
        self._comparing = {name: each for name, each in rewards.items() if isinstance(each, ComparingReward)}
        self.compared: Tokens = np.concatenate([each.compared for each in self._comparing.values()])

    def beside(self, logit_compared_R: Tensor) -> Reward:
        """See ``ComparingReward``."""
        sizes = [len(each.compared) for each in self._comparing.values()]
        logits = dict(zip(self._comparing, logit_compared_R.split(sizes), strict=True))
        bound: dict[str, Reward] = {
            name: each.beside(logits[name]) if isinstance(each, ComparingReward) else each
            for name, each in self._rewards.items()
        }
        return Composite(self._weights, bound)


def _build(context: RewardContext) -> Reward | ComparingReward:
    config: CompositeConfig = context.config
    built = {
        name: REWARDS[name].build(dataclasses.replace(context, config=config.part(name))) for name, _ in config.weights
    }
    weights = dict(config.weights)
    plain: dict[str, Reward] = {name: each for name, each in built.items() if not isinstance(each, ComparingReward)}
    return Composite(weights, plain) if len(plain) == len(built) else ComparingComposite(weights, built)


register_reward(
    "composite",
    _build,
    label="composite",
    summary="A weighted sum of other rewards; `DiscriminatorCallback` logs what each of them pays.",
    source="this project",
    unit="of its parts",
    config=CompositeConfig,
)
