"""A discriminator's trainer that remembers."""

from __future__ import annotations

from typing import Any

import numpy as np

from seqgan_env.discriminators import DiscriminatorTrainer


class Spy(DiscriminatorTrainer):
    """A trainer that remembers what it was given."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fitted: list[tuple[np.ndarray, np.ndarray]] = []
        self.evaluated: list[tuple[np.ndarray, np.ndarray]] = []

    def fit(self, real: Any, generated: Any, **settings: Any) -> float:
        self.fitted.append((real.copy(), generated.copy()))
        return super().fit(real, generated, **settings)

    def evaluate(self, real: Any, generated: Any, *more: Any) -> dict[str, float]:
        self.evaluated.append((real.copy(), generated.copy()))
        return super().evaluate(real, generated, *more)
