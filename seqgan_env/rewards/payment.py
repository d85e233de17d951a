"""A reward as a task pays it: bound to the discriminator of the moment, checked, and clipped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqgan_env.checks import shown
from seqgan_env.discriminators import Discriminator
from seqgan_env.rewards.base import (
    ComparingReward,
    Reward,
    RewardContext,
    RewardEntry,
    RewardFunction,
    reward_entry,
)

_HOST = torch.device("cpu")
_ROUNDING = 1e-6
_LARGEST = float(np.finfo(np.float32).max)  # of a number in single precision, which rewards are rounded to


class Payment:
    """The terminal reward of one task.

    Args:
        reward: a key of ``REWARDS``, or a function or its name, ``"module:function"``.
        context: the task that the reward is built for.
        clip: ``(low, high)``, either of which may be None: the limits that rewards are clipped to.

    Raises:
        ValueError: the reward is none of these or can't be built, or the limits are wrong.
    """

    def __init__(
        self, reward: str | RewardFunction, context: RewardContext, clip: Sequence[float | None] | None
    ) -> None:
        self._name = reward
        self._entry: RewardEntry | None = None
        self._context = context
        self.clip = None if clip is None else check_clip(clip)
        self._beside: dict[
            torch.device, tuple[Any, Reward]
        ] = {}  # a reward that compares: of which weights, and itself
        self._build()

    def _build(self) -> None:
        built = self.entry.build(self._context)
        # a step asks which of the two it is, and to ask a protocol takes as long as all the rest of it
        self._comparing = built if isinstance(built, ComparingReward) else None
        self._reward = None if isinstance(built, ComparingReward) else built

    def __getstate__(self) -> dict[str, Any]:
        """Without the reward, which may be a local function; a copy builds its own by name."""
        return {**self.__dict__, "_entry": None, "_reward": None, "_comparing": None, "_beside": {}}

    @property
    def entry(self) -> RewardEntry:
        """The reward's declaration, looked up once: a step asks for it several times."""
        if self._entry is None:
            self._entry = reward_entry(self._name)
        return self._entry

    def under(self, discriminator: Discriminator | None, device: torch.device = _HOST) -> Reward:
        """The reward as a function of logits and sequences, under the discriminator as it is now.

        Args:
            discriminator: None where the reward needs none.
            device: of those logits: steps are paid on the host, completions where the discriminator is.
        """
        if self._reward is None and self._comparing is None:
            self._build()
        if self._reward is not None:
            return self._reward
        assert self._comparing is not None
        assert discriminator is not None
        fingerprint = discriminator.fingerprint()
        known = self._beside.get(device)
        if known is None or known[0] != fingerprint:
            logit_compared_R = torch.from_numpy(discriminator.row_logits(self._comparing.compared))
            known = self._beside[device] = fingerprint, self._comparing.beside(logit_compared_R.to(device))
        return known[1]

    def pay(self, discriminator: Discriminator | None, logit_real_B: Tensor, tokens_BT: Tensor) -> Tensor:
        """The rewards, clipped, and not looked at: they may not be finite.

        Args:
            discriminator: as for ``under``.
            logit_real_B: its logits of the sequences, float64.
            tokens_BT: the sequences, padded with V.

        Returns:
            ``reward_B``, float64.

        Raises:
            ValueError: the reward's answer is not one number for each sequence.
        """
        reward_B = self._paid(discriminator, logit_real_B, tokens_BT)
        return reward_B if self.clip is None else reward_B.clamp(*self.clip)

    def pay_checked(
        self, discriminator: Discriminator | None, logit_real_B: npt.NDArray[np.float64], tokens_BT: npt.NDArray[Any]
    ) -> npt.NDArray[np.float64]:
        """``pay`` of arrays.

        Raises:
            ValueError: as for ``pay``; or a logit or a reward is not finite in single precision, or a reward, before it
                is clipped, is outside the range that its kind declares.
        """
        _check_finite("the discriminator's logits", logit_real_B)
        reward_B = np.asarray(
            self._paid(discriminator, torch.from_numpy(logit_real_B), torch.from_numpy(tokens_BT)).numpy(), np.float64
        )
        self._check_range(reward_B)
        if self.clip is not None:
            reward_B = reward_B.clip(*self.clip)
        _check_finite("rewards", reward_B)
        return reward_B

    def _paid(self, discriminator: Discriminator | None, logit_real_B: Tensor, tokens_BT: Tensor) -> Tensor:
        reward = self.under(discriminator, logit_real_B.device)
        reward_B = reward(logit_real_B, tokens_BT.clone())  # which it may write to
        if not isinstance(reward_B, Tensor) or reward_B.shape != logit_real_B.shape or reward_B.is_complex():
            got = f"{tuple(reward_B.shape)} of {reward_B.dtype}" if isinstance(reward_B, Tensor) else shown(reward_B)
            expected = tuple(logit_real_B.shape)
            raise ValueError(f"a reward must give a tensor, one number for each sequence, shape {expected}; got {got}")
        return reward_B.detach()

    def _check_range(self, reward_B: npt.NDArray[np.float64]) -> None:
        """Refuse rewards below ``low`` or above ``high`` of their kind by more than rounding."""
        low, high = self.entry.low, self.entry.high
        for got in (reward_B.min(), reward_B.max()) if len(reward_B) else ():
            if got < low - _ROUNDING * max(1.0, abs(low)) or got > high + _ROUNDING * max(1.0, abs(high)):
                raise ValueError(f"the reward {self._name!r} declares numbers in [{low}, {high}], got {got}")


def check_clip(clip: Any) -> tuple[float, float]:
    """The limits of ``reward_clip`` as two numbers, infinite where they are None.

    Raises:
        ValueError: it is no pair of numbers or None, the lower first, or has no number of single precision between.
    """
    try:
        low, high = clip
        limits = (-np.inf if low is None else float(low), np.inf if high is None else float(high))
    except (TypeError, ValueError):
        limits = (np.nan, np.nan)
    if not limits[0] < limits[1] or limits[0] > _LARGEST or limits[1] < -_LARGEST:
        raise ValueError(f"reward_clip must be [low, high], low below high, each a number or None; got {clip!r}")
    return limits


def _check_finite(name: str, values_B: npt.NDArray[np.float64]) -> None:
    is_finite_B = np.abs(values_B) <= _LARGEST
    if not is_finite_B.all():
        raise ValueError(f"{name} must be finite in single precision, got {values_B[~is_finite_B][0]}")
