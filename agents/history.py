"""Negatives of earlier rounds, so that a discriminator does not forget what the generator has unlearnt."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqgan_env.checks import NonNegativeInt, check_names, check_type
from seqgan_env.seeding import numpy_rng
from seqgan_env.tokens import SequenceSpec, Tokens


class NegativeHistory:
    """A uniform sample of all negatives so far, of bounded size (reservoir sampling, Vitter 1985, algorithm R).

    Args:
        spec: the sequences.
        capacity: how many it keeps.
        seed: of which ones it keeps and gives.
    """

    def __init__(self, spec: SequenceSpec, capacity: int, seed: int) -> None:
        self._spec, self._capacity, self._seed = spec, capacity, seed
        self._kept = np.zeros((0, spec.max_length), dtype=np.int64)
        self._n_seen = 0

    def __len__(self) -> int:
        return len(self._kept)

    def mixed(self, new: Tokens, share: float) -> Tokens:
        """New negatives of which a share is replaced by old ones; as many as there are, and never more than asked.

        Args:
            new: the negatives of a round, ``(n, T)``.
            share: of the result that is old.
        """
        n_old = min(round(share * len(new)), len(self._kept))
        rng = numpy_rng(self._seed, "history", "draw", self._n_seen)
        return np.concatenate([self._kept[rng.choice(len(self._kept), n_old, replace=False)], new[n_old:]])

    def add(self, new: Tokens) -> None:
        """Take the negatives of a round into the sample."""
        rng = numpy_rng(self._seed, "history", "keep", self._n_seen)
        n_free = max(0, self._capacity - len(self._kept))
        self._kept = np.concatenate([self._kept, new[:n_free]])
        rest = new[n_free:]
        n_before = self._n_seen + np.arange(len(new))[n_free:]
        place_R = rng.integers(0, n_before + 1) if len(rest) else n_before
        for row, place in zip(rest, place_R, strict=True):
            if place < self._capacity:
                self._kept[place] = row
        self._n_seen += len(new)

    def state_dict(self) -> dict[str, Any]:
        """The state that ``load_state_dict`` restores."""
        return {"kept": torch.from_numpy(self._kept.copy()), "n_seen": self._n_seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore ``state_dict``.

        Raises:
            ValueError: the sequences are not those of the task, or more than there is room for.
        """
        check_names("history", state, ["kept", "n_seen"])
        n_seen = check_type("n_seen", state["n_seen"], NonNegativeInt)
        kept = self._spec.validate(check_type("kept", state["kept"], Tensor).numpy(), complete=True, name="kept")
        if len(kept) != min(n_seen, self._capacity):
            raise ValueError(f"of {n_seen} negatives {min(n_seen, self._capacity)} must be kept, got {len(kept)}")
        self._kept, self._n_seen = kept, n_seen
