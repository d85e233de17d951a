"""The shaping that a task asks for: one, or several whose payments add up."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from seqgan_env.checks import build_config
from seqgan_env.functions import load_function
from seqgan_env.rewards import RewardFunction, reward_entry
from seqgan_env.rewards.base import DiscriminatorNeed
from seqgan_env.shaping.base import SHAPINGS, CheckedShaping, Floats, Shaping, ShapingContext
from seqgan_env.shaping.potential import Potential, PotentialShaping
from seqgan_env.tokens import Tokens


class SummedShaping:
    """The payments of several shapings added up; what they carry stands side by side.

    Args:
        parts: the shapings.
    """

    def __init__(self, parts: Sequence[Shaping]) -> None:
        self.parts = parts
        *self._cuts, self.n_carried = np.cumsum([part.n_carried for part in parts]).tolist()

    def start(self, tokens_BT: Tokens, length_B: Tokens) -> Floats:
        """See ``Shaping.start``."""
        return np.concatenate([part.start(tokens_BT, length_B) for part in self.parts], axis=1)

    def step(
        self, tokens_BT: Tokens, length_B: Tokens, ended_B: npt.NDArray[np.bool_], carry_BK: Floats
    ) -> tuple[Floats, Floats]:
        """See ``Shaping.step``."""
        bonus_B, carried = np.zeros(len(length_B)), []
        for part, part_BK in zip(self.parts, np.split(carry_BK, self._cuts, axis=1), strict=True):
            part_B, part_BK = part.step(tokens_BT, length_B, ended_B, part_BK)
            bonus_B += part_B
            carried.append(part_BK)
        return bonus_B, np.concatenate(carried, axis=1)


def shaping_configs(
    shaping: str | Potential | Sequence[str | Potential], kwargs: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """The settings of the shapings that a task asks for; no function is imported.

    Args:
        shaping: see ``build_shaping``.
        kwargs: see ``build_shaping``.

    Returns:
        An instance of the entry's ``config`` for each registered shaping that has settings, by name.

    Raises:
        ValueError: an unknown name, an empty list or one with a shaping twice, or settings that are wrong or of none.
    """
    entries = {part: SHAPINGS.lookup(part) for part in _parts(shaping) if _is_registered(part)}
    if idle := sorted(set(map(str, kwargs)) - set(entries)):
        named = ", ".join(entries) or "none of which the task has"
        raise ValueError(f"shaping_kwargs must be of shapings by name, {named}; got {', '.join(idle)}")
    configs = {
        name: build_config(entry.config, kwargs.get(name, {}), f"shaping {name!r}") for name, entry in entries.items()
    }
    return {name: config for name, config in configs.items() if dataclasses.fields(config)}


def needed_discriminator(
    reward: str | RewardFunction,
    shaping: str | Potential | Sequence[str | Potential],
    kwargs: Mapping[str, Mapping[str, Any]],
) -> DiscriminatorNeed:
    """The discriminator that the payments of a task are a function of; of a user's potential that isn't known.

    Args:
        reward: see ``reward_entry``.
        shaping: see ``build_shaping``.
        kwargs: see ``build_shaping``.

    Raises:
        ValueError: see ``reward_entry`` and ``shaping_configs``.
    """
    need = reward_entry(reward).discriminator
    asks = any(getattr(config, "asks_discriminator", False) for config in shaping_configs(shaping, kwargs).values())
    return "trained" if need == "none" and asks else need


def build_shaping(
    shaping: str | Potential | Sequence[str | Potential],
    kwargs: Mapping[str, Mapping[str, Any]],
    context: ShapingContext,
) -> Shaping | None:
    """The shaping that a task asks for.

    Args:
        shaping: ``"none"``; or a key of ``SHAPINGS``, or a potential, which is a function or its name,
            ``"module:function"``; or a list of these.
        kwargs: the settings of registered ones, by the name of the shaping.
        context: the task; its ``config`` is replaced.

    Raises:
        ValueError: see ``shaping_configs``, or there is no such function.
    """
    configs = shaping_configs(shaping, kwargs)
    built = []
    for part in _parts(shaping):
        if _is_registered(part):
            of_part = dataclasses.replace(context, config=configs.get(part))
            built.append(CheckedShaping(SHAPINGS[part].build(of_part), part))
        else:
            potential = PotentialShaping(load_function("shaping", part), context.gamma)
            built.append(CheckedShaping(potential, "potential"))
    return SummedShaping(built) if len(built) > 1 else built[0] if built else None


def _parts(shaping: str | Potential | Sequence[str | Potential]) -> list[Any]:
    """The shapings one by one."""
    if shaping == "none":
        return []
    parts = list(shaping) if isinstance(shaping, Sequence) and not isinstance(shaping, str) else [shaping]
    if not parts:
        raise ValueError("shaping must name at least one, or be 'none'; got an empty list")
    if twice := next((part for i, part in enumerate(parts) if part in parts[:i]), None):
        raise ValueError(f"shaping must name each once, got {twice!r} twice")
    return parts


def _is_registered(part: str | Potential) -> bool:
    """Whether it is meant to be a key of ``SHAPINGS``."""
    return isinstance(part, str) and ":" not in part
