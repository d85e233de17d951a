"""A moving average of a network's weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from seqgan_env.weights import check_weights


class WeightAverage:
    """Two sets of weights for one network: it has their average, but while it learns those that learn.

    Args:
        network: its parameters are averaged.
        decay: what an update leaves of the weight of each update before it; with 0 there is no average.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._network, self._decay = network, decay
        self._n = 0
        self.is_learning = False
        """Whether the network has the weights that learn."""
        self._other: dict[str, Tensor] = {}  # the weights that the network has not

    @contextmanager
    def having(self, *, learning: bool) -> Iterator[None]:
        """Give the network the weights that learn, or their average, for as long as the block lasts."""
        was_learning = self.is_learning
        self._set(learning)
        try:
            yield
        finally:
            self._set(was_learning)

    @torch.no_grad()
    def _set(self, learning: bool) -> None:
        if learning == self.is_learning:
            return
        self.is_learning = learning
        for name, other in self._other.items():
            weight = self._network.get_parameter(name)
            held = weight.clone()
            weight.copy_(other)
            other.copy_(held)

    @torch.no_grad()
    def take(self) -> None:
        """Take the weights into their average, after an update, while the network learns."""
        if not self._decay:
            return
        assert self.is_learning
        self._n += 1
        share = (1 - self._decay) / (1 - self._decay**self._n)  # of the newest in the sum of all weights so far
        for name, weight in self._network.named_parameters():
            self._other.setdefault(name, weight.clone()).lerp_(weight, share)

    def forget(self) -> None:
        """Begin anew with the weights that the network has."""
        self._n, self._other = 0, {}

    def state_dict(self) -> dict[str, Any]:
        """The number of updates, and a copy of the weights that learn, which a network with their average has not."""
        with self.having(learning=False):
            return {"n": self._n, "weights": {name: other.clone() for name, other in self._other.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore ``state_dict``; the network has the average, with which it goes on where there is none from now on.

        Raises:
            ValueError: the weights are not those of this network.
        """
        n, weights, own = int(state["n"]), state["weights"], dict(self._network.named_parameters())
        check_weights(own if n else {}, weights)
        self.forget()
        if not self._decay:
            return
        self._n = n
        self._other = {name: weights[name].to(weight, copy=True) for name, weight in own.items() if name in weights}
