"""The work that the cells of a sweep need: each piece once, after the pieces that it begins with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from agents.runs.config import RunConfig
from agents.sweeps.cells import Cell, hashed, identity, without_game, without_learner

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
    for cell in cells:
        run = without_game(cell.config)
        pretraining = Node("pretraining", hashed(identity(run)), run)
        needs = [pretraining]
        if cell.config.is_adversarial:
            run = without_learner(cell.config)
            needs.append(Node("discriminator", hashed(identity(run)), run, (pretraining.id,)))
        for node in (*needs, Node("run", cell.key, cell, tuple(need.id for need in needs))):
            nodes.setdefault(node.id, node)
    return list(nodes.values())
