"""Scores of sequences: a discriminator, a reward and its clip behind one interface."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqgan_env.discriminators import Discriminator, OptimalDiscriminator
from seqgan_env.discriminators.parts import evaluating
from seqgan_env.rewards import CompositeReward, DenseReward, Payment, RewardContext, RewardEntry, RewardFunction
from seqgan_env.rewards.of_logit import OfLogit
from seqgan_env.tokens import SequenceSpec, Tokens, distinct_rows
from seqgan_env.weights import Weights

Floats = npt.NDArray[np.float64]

MAX_EXACT_SCORES = 256
"""Up to so many sequences ``Scoring.score`` scores as a step does; more are scored faster, equal up to rounding."""


class Scoring:
    """The rewards of one task under the discriminator of the moment.

    Args:
        reward: a key of ``REWARDS``, or a function or its name, ``"module:function"``.
        context: the task that the reward is built for.
        clip: ``(low, high)``, either of which may be None: the limits that rewards are clipped to.
        build: makes the first discriminator, when it is first needed.
        device: where a discriminator of ``build`` computes.
    """

    def __init__(
        self,
        reward: str | RewardFunction,
        context: RewardContext,
        clip: Sequence[float | None] | None,
        build: Callable[[], Discriminator],
        device: torch.device,
    ) -> None:
        self.spec: SequenceSpec = context.spec
        self.version = 0
        """The number of times that the discriminator was replaced or given new weights."""
        self.n_scored = 0
        """The sequences and prefixes that have been scored so far, each as often as it was."""
        self._payment = Payment(reward, context, clip)
        self._build = build
        self._device = device
        self._discriminator: Discriminator | None = None
        self._is_exact = True  # whether many prefixes are scored as few are
        self._is_given = False  # whether that is an object of others, which may score elsewhere too

    @property
    def entry(self) -> RewardEntry:
        """The reward's declaration."""
        return self._payment.entry

    # The discriminator

    @property
    def discriminator(self) -> Discriminator:
        """The current discriminator."""
        if self._discriminator is None:
            with torch.inference_mode(False):  # whose tensors could never be trained
                self._discriminator = self._build().to(self._device)
        return self._discriminator

    def set_discriminator(self, discriminator: Discriminator, version: int | None = None) -> None:
        """Score with this very object from now on; ``load_discriminator`` leaves it as it is, and goes on with a copy.

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
        self._discriminator, self._is_given = discriminator.eval(), True
        self.version = self.version + 1 if version is None else version

    def discriminator_weights(self) -> Weights:
        """A copy of the discriminator's weights, as arrays, so that they travel between processes."""
        state = self.discriminator.state_dict()
        return Weights(self.spec, {name: tensor.cpu().numpy().copy() for name, tensor in state.items()})

    def load_discriminator(self, weights: Mapping[str, npt.NDArray[Any]], version: int | None = None) -> None:
        """Copy new weights into the discriminator, or into a copy of one that was given with ``set_discriminator``.

        Args:
            weights: those of ``discriminator_weights``, of a discriminator of the same kind; another mapping does not
                say which vocabulary its ids are of.
            version: their version; None is one more than the current.

        Raises:
            ValueError: they do not fit, or are of other sequences; nothing has changed.
        """
        if isinstance(weights, Weights) and weights.spec != self.spec:
            raise ValueError(f"the weights are made for {weights.spec}, the task has {self.spec}")
        discriminator, is_given = self.discriminator, self._is_given and len(weights) > 0
        try:
            with torch.inference_mode(False):
                discriminator = copy.deepcopy(discriminator) if is_given else discriminator
            discriminator.load_weights({name: torch.tensor(array) for name, array in weights.items()})
        except (TypeError, ValueError) as error:
            raise ValueError(f"the weights do not fit the task's discriminator: {error}") from error
        if is_given:
            self._discriminator, self._is_given = discriminator, False
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
        self.n_scored += len(tokens_BT)
        distinct_KT, which_B = distinct_rows(tokens_BT)
        reward_B: Floats = self._rewards(distinct_KT, lambda d: d.logits(distinct_KT))[which_B]
        return reward_B

    def score_tensor(self, tokens_BT: Tensor) -> Tensor:
        """``score`` of complete sequences on the discriminator's device, float64, without waiting for the device.

        Whether the rewards are finite is left to the caller to see.
        """
        tokens_BT = tokens_BT.to(self._device)
        self.n_scored += len(tokens_BT)
        if (discriminator := self._needed()) is None:
            logit_real_B = torch.zeros(len(tokens_BT), dtype=torch.float64, device=tokens_BT.device)
        else:
            logit_real_B = discriminator.tensor_logits(tokens_BT).double()
        return self._payment.pay(discriminator, logit_real_B, tokens_BT)

    def action_values(self, tokens_BT: Tensor) -> Tensor:
        """The values of tokens that the terms of a logit give, ``q_BT``, float64; see ``DenseReward``.

        Args:
            tokens_BT: complete sequences.

        Raises:
            ValueError: the reward is not of that kind, or the discriminator's logit is no sum.
        """
        reward, discriminator = self._dense()
        self.n_scored += len(tokens_BT)
        with torch.no_grad(), evaluating(discriminator):
            return reward.action_values(discriminator.token_logits(tokens_BT.to(self._device, copy=True)).double())

    def known_values(self, tokens_BT: Tensor) -> Tensor:
        """The part of ``action_values`` that is known with the token, of every token: ``known_BTV``, float64.

        It holds B x T x V numbers at once.

        Args:
            tokens_BT: complete sequences.

        Raises:
            ValueError: as for ``action_values``.
        """
        reward, discriminator = self._dense()
        with torch.no_grad(), evaluating(discriminator):
            logit_real_BTV = discriminator.all_token_logits(tokens_BT.to(self._device, copy=True)).double()
        token_BT1 = tokens_BT.to(logit_real_BTV.device)[:, :, None].clamp(max=self.spec.vocab_size - 1)
        term_BT1 = logit_real_BTV.gather(2, token_BT1)  # 0 at padding
        return reward.known_values(term_BT1.cumsum(dim=1) - term_BT1, logit_real_BTV)

    def _dense(self) -> tuple[DenseReward, Discriminator]:
        """The reward, if it gives each token a value of its own, and its discriminator."""
        discriminator = self._needed()
        reward, clip = self._payment.under(discriminator, self._device), self._payment.clip
        if clip is not None and isinstance(reward, OfLogit):
            reward, clip = reward.clipped(*clip), None
        if discriminator is None or not isinstance(reward, DenseReward) or clip is not None:
            where = "" if clip is None else " under reward_clip: only a function of the logit alone does"
            raise ValueError(f"the reward {self.entry.label!r} does not give each token a value of its own{where}")
        return reward, discriminator

    def step_reward(self, tokens_BT: Tokens) -> Floats:
        """The reward that a step pays for sequences that are known to be complete.

        It doesn't depend on how many episodes end together (``Discriminator.row_logits``): the single and the vector
        environment pay the same number.

        Raises:
            ValueError: a logit or a reward is NaN or infinite, a reward is outside the range that its kind declares,
                or it needs another discriminator.
        """
        self.n_scored += len(tokens_BT)
        return _rounded(self._rewards(tokens_BT, lambda d: d.row_logits(tokens_BT)))

    @contextlib.contextmanager
    def of_many(self) -> Iterator[None]:
        """A context in which more than ``MAX_EXACT_SCORES`` prefixes at once are scored faster, as ``score`` does.

        They equal those outside of it up to rounding, and each of them that occurs more than once is scored once.
        """
        self._is_exact = False
        try:
            yield
        finally:
            self._is_exact = True

    def prefix_reward(self, tokens_BT: Tokens) -> Floats:
        """The reward that each prefix would get as if nothing came after it, shape ``(B,)``; see ``of_many``.

        Raises:
            ValueError: as for ``step_reward``.
        """
        self.n_scored += len(tokens_BT)
        return _rounded(self._rewards(tokens_BT, lambda d: self._prefix_logits(d, tokens_BT)))

    def prefix_logit(self, tokens_BT: Tokens) -> Floats:
        """The discriminator's logit of each prefix, or complete sequence, as it is, shape ``(B,)``.

        Like ``step_reward`` it doesn't depend on what stands beside it, but in ``of_many``.
        """
        self.n_scored += len(tokens_BT)
        return _rounded(self._prefix_logits(self.discriminator, tokens_BT))

    def _prefix_logits(self, discriminator: Discriminator, tokens_BT: Tokens) -> Floats:
        if self._is_exact or len(tokens_BT) <= MAX_EXACT_SCORES:
            return discriminator.prefix_logits(tokens_BT)
        distinct_KT, which_B = distinct_rows(tokens_BT)
        logit_real_B: Floats = discriminator.prefix_logits(distinct_KT, exact=False)[which_B]
        return logit_real_B

    def parts(self, sequences: Any) -> dict[str, Floats]:
        """The terminal rewards that a composite one is made of, by name, each of shape ``(B,)`` and not yet weighted.

        Args:
            sequences: complete ones, shape ``(B, t)`` with ``t <= T``.

        Returns:
            Nothing where the reward is not made of others.

        Raises:
            ValueError: see ``SequenceSpec.validate``.
        """
        tokens_BT = self.spec.validate(sequences, complete=True, name="sequences")
        discriminator = self._needed()
        reward = self._payment.under(discriminator)
        if discriminator is None or not isinstance(reward, CompositeReward):
            return {}
        parts = reward.parts(torch.from_numpy(discriminator.logits(tokens_BT)), torch.from_numpy(tokens_BT))
        return {name: np.asarray(part_B.numpy(), dtype=np.float64) for name, part_B in parts.items()}

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

    def _needed(self) -> Discriminator | None:
        """The current discriminator, if it is of the kind that the reward needs; None where it needs none."""
        if self.entry.discriminator == "none":
            return None
        discriminator = self.discriminator
        if self.entry.discriminator == "exact" and not isinstance(discriminator, OptimalDiscriminator):
            raise ValueError(
                f"the reward {self.entry.label!r} needs the optimal discriminator, got {type(discriminator).__name__}; "
                "give it with set_discriminator(OptimalDiscriminator(...))"
            )
        return discriminator

    def _rewards(self, tokens_BT: Tokens, logits: Callable[[Discriminator], Floats]) -> Floats:
        discriminator = self._needed()
        logit_real_B = np.zeros(len(tokens_BT)) if discriminator is None else logits(discriminator)
        return self._payment.pay_checked(discriminator, logit_real_B, tokens_BT)


def _rounded(score_B: Floats) -> Floats:
    return score_B.astype(np.float32).astype(np.float64)
