"""Scores of sequences: a discriminator, a reward and its clip behind one interface."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqgan_env.discriminators import Discriminator, OptimalDiscriminator
from seqgan_env.rewards import REWARDS, DenseReward, Reward, RewardContext, RewardEntry
from seqgan_env.tokens import SequenceSpec, Tokens
from seqgan_env.weights import Weights

Floats = npt.NDArray[np.float64]

MAX_EXACT_SCORES = 256
"""Up to so many sequences ``Scoring.score`` scores as a step does; more are scored faster, equal up to rounding."""

_ROUNDING = 1e-6


class Scoring:
    """The rewards of one task under the discriminator of the moment.

    Args:
        reward: a key of ``REWARDS``.
        context: the task that the reward is built for.
        clip: ``(low, high)``, either of which may be None: the limits that rewards are clipped to.
        build: makes the first discriminator, when it is first needed.
        device: where a discriminator of ``build`` computes.
    """

    def __init__(
        self,
        reward: str,
        context: RewardContext,
        clip: Sequence[float | None] | None,
        build: Callable[[], Discriminator],
        device: torch.device,
    ) -> None:
        self.spec: SequenceSpec = context.spec
        self.version = 0
        """The number of times that the discriminator was replaced or given new weights."""
        self._name = reward
        self._context = context
        self._reward: Reward | None = self.entry.build(context)
        self._clip = None if clip is None else check_clip(clip)
        self._build = build
        self._device = device
        self._discriminator: Discriminator | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without the reward, which may be a local function; a copy builds its own by name."""
        return {**self.__dict__, "_reward": None}

    @property
    def entry(self) -> RewardEntry:
        """The reward's declaration."""
        return REWARDS.lookup(self._name)

    @property
    def _built(self) -> Reward:
        if self._reward is None:
            self._reward = self.entry.build(self._context)
        return self._reward

    # The discriminator

    @property
    def discriminator(self) -> Discriminator:
        """The current discriminator."""
        if self._discriminator is None:
            self._discriminator = self._build().to(self._device)
        return self._discriminator

    def set_discriminator(self, discriminator: Discriminator, version: int | None = None) -> None:
        """Score with this very object from now on.

        Args:
            discriminator: of the same task.
            version: its version; None is one more than the current.

        Raises:
            ValueError: it is none, or is made for other sequences.
        """
        if not isinstance(discriminator, Discriminator):
            raise ValueError(f"the discriminator must be a Discriminator, got {type(discriminator).__name__}")
        if discriminator.spec != self.spec:
            raise ValueError(f"the discriminator is made for {discriminator.spec}, the task has {self.spec}")
        self._discriminator = discriminator.eval()
        self.version = self.version + 1 if version is None else version

    def discriminator_weights(self) -> Weights:
        """A copy of the discriminator's weights, as arrays, so that they travel between processes."""
        state = self.discriminator.state_dict()
        return Weights(self.spec, {name: tensor.cpu().numpy().copy() for name, tensor in state.items()})

    def load_discriminator(self, weights: Mapping[str, npt.NDArray[Any]], version: int | None = None) -> None:
        """Copy new weights into the discriminator.

        Args:
            weights: those of ``discriminator_weights``, of a discriminator of the same kind; another mapping does not
                say which vocabulary its ids are of.
            version: their version; None is one more than the current.

        Raises:
            ValueError: they do not fit, or are of other sequences; nothing has changed.
        """
        if isinstance(weights, Weights) and weights.spec != self.spec:
            raise ValueError(f"the weights are made for {weights.spec}, the task has {self.spec}")
        try:
            self.discriminator.load_weights({name: torch.tensor(array) for name, array in weights.items()})
        except (TypeError, ValueError) as error:
            raise ValueError(f"the weights do not fit the task's discriminator: {error}") from error
        self.version = self.version + 1 if version is None else version

    # Scores

    def score(self, sequences: Any) -> Floats:
        """The terminal reward of each complete sequence (eq. 13.38), shape ``(B,)``.

        Up to ``MAX_EXACT_SCORES`` sequences it is what a step pays; more are scored faster, and equal that up to
        rounding, and of those that occur more than once only one is.

        Args:
            sequences: token ids, shape ``(B, t)`` with ``t <= T``.

        Raises:
            ValueError: see ``SequenceSpec.validate`` and ``step_reward``.
        """
        tokens_BT = self.spec.validate(sequences, complete=True, name="sequences")
        if len(tokens_BT) <= MAX_EXACT_SCORES:
            return self.step_reward(tokens_BT)
        # completions of a long prefix are often the same; each is scored once
        rows_B = tokens_BT.view(np.dtype((np.void, tokens_BT.itemsize * tokens_BT.shape[1]))).ravel()
        _, first_K, which_B = np.unique(rows_B, return_index=True, return_inverse=True)
        distinct_KT = tokens_BT[first_K]
        reward_B: Floats = self._rewards(distinct_KT, lambda d: d.logits(distinct_KT))[which_B]
        return reward_B

    def score_tensor(self, tokens_BT: Tensor) -> Tensor:
        """``score`` of complete sequences on the discriminator's device, float64, without waiting for the device.

        Whether the rewards are finite is left to the caller to see.
        """
        tokens_BT = tokens_BT.to(self._device)
        if self.entry.discriminator == "none":
            logit_real_B = torch.zeros(len(tokens_BT), dtype=torch.float64, device=tokens_BT.device)
        else:
            logit_real_B = self._needed().tensor_logits(tokens_BT).double()
        return self._clipped(self._paid(logit_real_B, tokens_BT))

    def action_values(self, tokens_BT: Tensor) -> Tensor:
        """The values of tokens that the terms of a logit give, ``q_BT``, float64; see ``DenseReward``.

        Args:
            tokens_BT: complete sequences.

        Raises:
            ValueError: the reward is not of that kind, or is clipped, or the discriminator's logit is no sum.
        """
        reward = self._dense()
        with torch.no_grad():
            return reward.action_values(self._needed().token_logits(tokens_BT.to(self._device)).double())

    def known_values(self, tokens_BT: Tensor) -> Tensor:
        """The part of ``action_values`` that is known with the token, of every token: ``known_BTV``, float64.

        It holds B x T x V numbers at once.

        Args:
            tokens_BT: complete sequences.

        Raises:
            ValueError: as for ``action_values``.
        """
        reward = self._dense()
        with torch.no_grad():
            logit_real_BTV = self._needed().all_token_logits(tokens_BT.to(self._device)).double()
        token_BT1 = tokens_BT.to(logit_real_BTV.device)[:, :, None].clamp(max=self.spec.vocab_size - 1)
        term_BT1 = logit_real_BTV.gather(2, token_BT1)  # 0 at padding
        return reward.known_values(term_BT1.cumsum(dim=1) - term_BT1, logit_real_BTV)

    def _dense(self) -> DenseReward:
        """The reward, if it gives each token a value of its own."""
        if not isinstance(self._built, DenseReward) or self._clip is not None:
            what = "a clipped reward" if self._clip is not None else f"the reward {self.entry.label!r}"
            raise ValueError(f"{what} does not give each token a value of its own")
        return self._built

    def step_reward(self, tokens_BT: Tokens) -> Floats:
        """The reward that a step pays for sequences that are known to be complete.

        It doesn't depend on how many episodes end together (``Discriminator.row_logits``): the single and the vector
        environment pay the same number.

        Raises:
            ValueError: a logit or a reward is NaN or infinite, a reward is outside the range that its kind declares,
                or it needs another discriminator.
        """
        return _rounded(self._rewards(tokens_BT, lambda d: d.row_logits(tokens_BT)))

    def prefix_reward(self, tokens_BT: Tokens) -> Floats:
        """The reward that each prefix would get as if nothing came after it, shape ``(B,)``.

        Raises:
            ValueError: as for ``step_reward``.
        """
        return _rounded(self._rewards(tokens_BT, lambda d: d.prefix_logits(tokens_BT)))

    def beginning_logits(self, tokens_T: Tokens) -> Floats:
        """The discriminator's logit of each beginning of one sequence, shape ``(length,)``.

        Entry t is that of the first t + 1 tokens as if nothing came after them. Most discriminators are
        trained on complete sequences only.

        Raises:
            ValueError: the discriminator knows complete sequences only.
        """
        n = int(self.spec.lengths(tokens_T))
        beginnings_TT = np.where(np.arange(self.spec.max_length) <= np.arange(n)[:, None], tokens_T, self.spec.pad_id)
        return self.discriminator.prefix_logits(beginnings_TT)

    def _needed(self) -> Discriminator:
        """The current discriminator, if it is of the kind that the reward needs."""
        discriminator = self.discriminator
        if self.entry.discriminator == "exact" and not isinstance(discriminator, OptimalDiscriminator):
            raise ValueError(
                f"the reward {self.entry.label!r} needs the optimal discriminator, got {type(discriminator).__name__}; "
                "give it with set_discriminator(OptimalDiscriminator(...))"
            )
        return discriminator

    def _rewards(self, tokens_BT: Tokens, logits: Callable[[Discriminator], Floats]) -> Floats:
        if self.entry.discriminator == "none":
            logit_real_B = np.zeros(len(tokens_BT))
        else:
            logit_real_B = logits(self._needed())
            _check_finite("the discriminator's logits", logit_real_B)
        paid_B = self._paid(torch.from_numpy(logit_real_B), torch.from_numpy(tokens_BT))
        self._check_range(paid_B.numpy())
        reward_B = np.asarray(self._clipped(paid_B).numpy(), dtype=np.float64)
        _check_finite("rewards", reward_B)
        return reward_B

    def _paid(self, logit_real_B: Tensor, tokens_BT: Tensor) -> Tensor:
        """The rewards before they are clipped."""
        reward_B = self._built(logit_real_B, tokens_BT.clone())  # which it may write to
        if not isinstance(reward_B, Tensor) or reward_B.shape != logit_real_B.shape:
            got = tuple(reward_B.shape) if isinstance(reward_B, Tensor) else type(reward_B).__name__
            expected = tuple(logit_real_B.shape)
            raise ValueError(f"a reward must give one number for each sequence, shape {expected}; got {got}")
        return reward_B

    def _check_range(self, reward_B: Floats) -> None:
        """Refuse rewards below ``low`` or above ``high`` of their kind by more than rounding."""
        low, high = self.entry.low, self.entry.high
        for got in (reward_B.min(), reward_B.max()) if len(reward_B) else ():
            if got < low - _ROUNDING * max(1.0, abs(low)) or got > high + _ROUNDING * max(1.0, abs(high)):
                raise ValueError(f"the reward {self._name!r} declares numbers in [{low}, {high}], got {got}")

    def _clipped(self, reward_B: Tensor) -> Tensor:
        return reward_B if self._clip is None else reward_B.clamp(*self._clip)


def check_clip(clip: Any) -> tuple[float, float]:
    """The limits of ``reward_clip`` as two numbers, infinite where they are None.

    Raises:
        ValueError: it is no pair of numbers or None, the lower first.
    """
    try:
        low, high = clip
        limits = (-np.inf if low is None else float(low), np.inf if high is None else float(high))
    except (TypeError, ValueError):
        limits = (np.nan, np.nan)
    if not limits[0] < limits[1]:
        raise ValueError(f"reward_clip must be [low, high], low below high, each a number or None; got {clip!r}")
    return limits


def _check_finite(name: str, values_B: Floats) -> None:
    if not np.isfinite(values_B).all():
        raise ValueError(f"{name} must be finite, got {values_B[~np.isfinite(values_B)][0]}")


def _rounded(reward_B: Floats) -> Floats:
    return reward_B.astype(np.float32).astype(np.float64)
