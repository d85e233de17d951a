"""BLEU against real sequences as a reward: PG-BLEU of the SeqGAN paper (arXiv 1609.05473, section 4).

Dimensions: B sequences, R references, P windows of n tokens, K distinct n-grams of the references.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqgan_env.checks import PositiveFloat, PositiveInt, check_fields
from seqgan_env.rewards.base import Reward, RewardContext, register_reward
from seqgan_env.tokens import SequenceSpec, Tokens


@dataclass(frozen=True)
class BleuConfig:
    """The settings of ``bleu``.

    Raises:
        ValueError: a value is out of range.
    """

    max_n: PositiveInt = 4
    """Tokens of the longest n-grams."""
    n_references: PositiveInt = 1000
    """R, the real sequences it is compared with: the first ones of the training set, at most all."""
    smoothing: PositiveFloat = 0.1
    """Counted where no n-gram of a length is found, so that one missing length does not make BLEU 0."""

    def __post_init__(self) -> None:
        check_fields(self)


class _Known(NamedTuple):
    """The n-grams of one length that the references hold."""

    code_K: npt.NDArray[np.int64]
    """Each as the index of its beginning, of n - 1 tokens, and its last token; ascending."""
    most_K: npt.NDArray[np.int64]
    """The most that one reference holds of it."""


class Bleu:
    """The BLEU of each sequence (Papineni et al., 2002), all references at once; end-of-sequence counts as a token.

    The geometric mean over n of the share of its n-grams that a reference holds, each counted at most as often as in
    the reference that holds it most often; times ``exp(1 - r / c)`` where its length c is below r, that of the
    reference which is nearest in length (the shorter of two).

    Args:
        spec: the sequences.
        references: real ones, ``(R, T)``.
        config: the settings.
    """

    def __init__(self, spec: SequenceSpec, references: Tokens, config: BleuConfig) -> None:
        self._spec, self._config = spec, config
        self._length_L = np.unique(spec.lengths(references))
        self._known: list[_Known] = []
        for n in range(1, config.max_n + 1):
            code_RP = self._codes(references, n)
            code_K = np.unique(code_RP[code_RP >= 0])
            self._known.append(_Known(code_K, np.zeros(len(code_K), dtype=np.int64)))
            _, gram_C, count_C = self._counts(self._find(references, n))
            np.maximum.at(self._known[-1].most_K, gram_C, count_C)

    def __call__(self, logit_real_B: Tensor, tokens_BT: Tensor) -> Tensor:
        """See ``Reward``."""
        return torch.from_numpy(self.of(tokens_BT.cpu().numpy())).to(logit_real_B)

    def of(self, tokens_BT: Tokens) -> npt.NDArray[np.float64]:
        """The BLEU of each sequence, in [0, 1].

        Args:
            tokens_BT: complete sequences.
        """
        length_B = self._spec.lengths(tokens_BT)
        log_precision_B = np.zeros(len(tokens_BT))
        for n, known in enumerate(self._known, start=1):
            row_C, gram_C, count_C = self._counts(self._find(tokens_BT, n))
            clipped_C = np.minimum(count_C, known.most_K[gram_C])
            matched_B = np.bincount(row_C, weights=clipped_C, minlength=len(tokens_BT))
            matched_B = np.where(matched_B == 0, self._config.smoothing, matched_B)
            log_precision_B += np.log(np.minimum(1.0, matched_B / np.maximum(1, length_B - n + 1))) / len(self._known)
        distance_BL = np.abs(self._length_L - length_B[:, None])
        nearest_B = self._length_L[distance_BL.argmin(axis=1)]  # of two, the first: the shorter
        brevity_B = np.minimum(0.0, 1 - nearest_B / np.maximum(1, length_B))
        bleu_B: npt.NDArray[np.float64] = np.exp(log_precision_B + brevity_B)
        return bleu_B

    def _find(self, tokens_BT: Tokens, n: int) -> npt.NDArray[np.int64]:
        """The index of each window's n-gram among the known ones, ``(B, P)``; -1 where it is none of them."""
        code_K, code_BP = self._known[n - 1].code_K, self._codes(tokens_BT, n)
        if not len(code_K):
            return np.full_like(code_BP, -1)
        index_BP = np.minimum(code_K.searchsorted(code_BP), len(code_K) - 1)
        return np.where(code_K[index_BP] == code_BP, index_BP, -1)

    def _codes(self, tokens_BT: Tokens, n: int) -> npt.NDArray[np.int64]:
        """The code of each window of n tokens, ``(B, P)``; -1 where its beginning is unknown or it holds padding."""
        if n > tokens_BT.shape[1]:
            return np.zeros((len(tokens_BT), 0), dtype=np.int64)
        last_BP = tokens_BT[:, n - 1 :]
        beginning_BP = np.zeros_like(last_BP) if n == 1 else self._find(tokens_BT, n - 1)[:, : last_BP.shape[1]]
        is_known_BP = (beginning_BP >= 0) & (last_BP != self._spec.pad_id)
        return np.where(is_known_BP, beginning_BP * self._spec.vocab_size + last_BP, -1)

    def _counts(self, index_BP: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], ...]:
        """Each known n-gram that a row holds: the row, its index, and how often it stands there."""
        row_C, place_C = np.nonzero(index_BP >= 0)
        pair_CR, count_C = np.unique(np.stack([row_C, index_BP[row_C, place_C]]), axis=1, return_counts=True)
        return pair_CR[0], pair_CR[1], count_C


def _build(context: RewardContext) -> Reward:
    return Bleu(context.spec, context.real_sequences()[: context.config.n_references], context.config)


register_reward(
    "bleu",
    _build,
    label="BLEU",
    summary="The BLEU of the sequence against real sequences: a fixed reward, as a rival of learnt ones.",
    source="PG-BLEU, arXiv 1609.05473, section 4",
    low=0.0,
    high=1.0,
    unit="BLEU",
    discriminator="none",
    config=BleuConfig,
)
