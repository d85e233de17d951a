"""The work that the cells of a sweep need: each piece once, after the pieces that it begins with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from agents.runs.config import RunConfig
from agents.sweeps.cells import Cell, hashed, identity, with_seed, without_game, without_learner
from agents.sweeps.tracking import Tracking

Kind = Literal["pretraining", "discriminator", "run"]


@dataclass(frozen=True)
class Node:
    """A piece of work."""

    kind: Kind
    """Maximum likelihood, the discriminator's training before the game, or a run."""
    key: str
    """The hash of everything that decides its result."""
    work: RunConfig | Cell
    """The settings of it."""
    needs: tuple[tuple[Kind, str], ...] = ()
    """The kind and the key of each piece that it begins with, in the order in which the work takes them."""
    tracking: Tracking | None = None
    """The trackers that a run is told to while it plays; they decide no result."""

    @property
    def id(self) -> tuple[Kind, str]:
        """Its kind and its key."""
        return self.kind, self.key


def graph_of(cells: Sequence[Cell]) -> list[Node]:
    """The pieces of work, each after those that it needs.

    Args:
        cells: the runs.
    """
    nodes: dict[Any, Node] = {}
    beginnings: dict[str, list[tuple[Kind, RunConfig]]] = {}  # by the settings without their seed
    for cell in cells:
        value, needs = repr(with_seed(cell.config, 0)), tuple[tuple[Kind, str], ...]()
        if value not in beginnings:
            beginnings[value] = _beginnings(cell.config)
        for kind, config in beginnings[value]:
            config = with_seed(config, cell.config.seed)
            node = Node(kind, hashed(identity(config)), config, needs)
            nodes.setdefault(node.id, node)
            needs = (*needs, node.id)
        node = Node("run", cell.key, cell, needs)
        nodes.setdefault(node.id, node)
    return list(nodes.values())


def _beginnings(config: RunConfig) -> list[tuple[Kind, RunConfig]]:
    """The pieces that a run begins with, each of which needs those before it."""
    found: list[tuple[Kind, RunConfig]] = [("pretraining", without_game(config))]
    return [*found, ("discriminator", without_learner(config))] if config.is_adversarial else found
