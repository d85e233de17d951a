"""A task in plain values: the fields that environments, ``gymnasium.make`` and the command line take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from seqgan_env.checks import NonNegativeInt, PositiveInt, Share, build_config, check_choice
from seqgan_env.constraints import AllowedNext
from seqgan_env.device import resolve_device
from seqgan_env.rewards import RewardFunction, check_clip, reward_entry
from seqgan_env.shaping import Potential, shaping_configs
from seqgan_env.sources import SourceConfig

OBSERVATIONS = ("tokens", "dict")
"""The forms of an observation."""
CONSTRAINTS = ("min_length", "allowed_tokens", "allowed_next")
"""The fields of a task that forbid some tokens after some prefixes."""


@dataclass(frozen=True)
class TaskConfig(SourceConfig):
    """A task in plain values, so that it travels: through ``env.spec``, to a worker process, into ``config.json``.

    The fields of ``SourceConfig`` come first.

    Args:
        discriminator: a key of ``seqgan_env.discriminators.DISCRIMINATORS``, such as ``"cnn"``, or the path of a saved
            one; ``docs/discriminators.md`` describes each.
        discriminator_kwargs: fields of its ``Config``, such as ``{"filters": [[2, 64], [3, 64]]}``.
        discriminator_seed: its initial weights.
        reward: a key of ``seqgan_env.rewards.REWARDS`` (``docs/rewards.md``); or a function
            ``(logit_real_B, tokens_BT) -> reward_B`` of tensors, or its name, ``"module:function"``.
        reward_kwargs: fields of its settings, such as ``{"log_weight": 0.3}`` of ``both_divergences``.
        reward_clip: ``[low, high]``, limits of the reward, either of which may be None: ``[-10, None]`` for ``log D``.
        shaping: ``"none"``; a key of ``seqgan_env.shaping.SHAPINGS`` (``docs/shaping.md``); a potential, as a function
            ``(tokens_BT, length_B) -> potential_B`` or its name, ``"module:function"``; a list, whose payments add up.
        shaping_kwargs: fields of the settings of each by its name, such as ``{"length": {"weight": 0.1}}``.
        shaping_gamma: the discount of the agent that learns, which the shaping must share to keep the best policy.
        min_length: the tokens that a sequence has before it may end, counting end-of-sequence itself.
        allowed_tokens: a lexicon of ids or, where tokens have text, words; None allows all.
        allowed_next: a function ``(tokens_BT, length_B) -> allowed_BV`` of the prefixes, or its name,
            ``"module:function"``; None allows all.
        observation: ``"tokens"``, the padded prefix, or ``"dict"``, which adds its length and the action mask.
        device: where the discriminator and the oracle's likelihood are computed: ``"cpu"``, ``"cuda"``, ``"auto"``, …

    Raises:
        ValueError: an unknown name or device, a number out of range, or a text for ``allowed_tokens``.
    """

    discriminator: str = "cnn"
    discriminator_kwargs: Mapping[str, Any] = field(default_factory=dict)
    discriminator_seed: NonNegativeInt = 0
    reward: str | RewardFunction = "log_d"
    reward_kwargs: Mapping[str, Any] = field(default_factory=dict)
    reward_clip: Sequence[float | None] | None = None
    shaping: str | Potential | Sequence[str | Potential] = "none"
    shaping_kwargs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    shaping_gamma: Share = 1.0
    min_length: PositiveInt = 1
    allowed_tokens: Sequence[int | str] | None = None
    allowed_next: str | AllowedNext | None = None
    observation: str = "tokens"
    device: str = "cpu"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.build_reward_config()
        shaping_configs(self.shaping, self.shaping_kwargs)
        resolve_device(self.device)
        if self.reward_clip is not None:
            check_clip(self.reward_clip)
        if isinstance(self.allowed_tokens, str):
            raise ValueError(f"allowed_tokens must be a list of tokens, got the text {self.allowed_tokens!r}")
        check_choice("observation", self.observation, OBSERVATIONS)

    @property
    def kwargs(self) -> dict[str, Any]:
        """The fields by name, as the environments and ``gymnasium.make`` take them."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def build_reward_config(self) -> Any:
        """The settings of the reward.

        Raises:
            ValueError: an unknown reward or setting, or a value out of range.
        """
        return build_config(reward_entry(self.reward).config, self.reward_kwargs, f"reward {self.reward!r}")

    @property
    def constraints(self) -> dict[str, Any]:
        """The fields that forbid some tokens after some prefixes, by name; empty where none does."""
        return {name: value for name in CONSTRAINTS if (value := getattr(self, name)) not in (1, None)}

    @property
    def is_shaped(self) -> bool:
        """Whether a step before the last can be paid."""
        return self.shaping != "none"


class OwnDiscriminator(dict[str, Any]):
    """The ``discriminator_kwargs`` of a registered task: they hold as long as no other discriminator is named.

    Args:
        kwargs: fields of its ``Config``.
        discriminator: the one that they are of; "" is whichever is named, as where Gymnasium writes its specification.
    """

    def __init__(self, kwargs: Mapping[str, Any] | Iterable[tuple[str, Any]], discriminator: str = "") -> None:
        super().__init__(kwargs)
        self.discriminator = discriminator


def build_task_config(arguments: Mapping[str, Any]) -> TaskConfig:
    """The configuration that an environment's keyword arguments describe.

    Raises:
        ValueError: an unknown argument, or one of another type or out of range.
    """
    if "max_episode_steps" in arguments:
        raise ValueError(
            "max_episode_steps must be left out: an episode ends with its sequence, after max_length at most"
        )
    names = [each.name for each in fields(TaskConfig)]
    if unknown := sorted(set(arguments) - set(names)):
        raise ValueError(f"the environment takes {', '.join(names)}; got {', '.join(unknown)}")
    own = arguments.get("discriminator_kwargs")
    if isinstance(own, OwnDiscriminator):
        named = arguments.get("discriminator", TaskConfig.discriminator)
        arguments = {**arguments, "discriminator_kwargs": dict(own) if own.discriminator in ("", named) else {}}
    return TaskConfig(**arguments)  # which checks its fields
