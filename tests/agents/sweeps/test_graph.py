"""The pieces of work: shared where their settings are the same."""

from __future__ import annotations

from typing import Any

import pytest

from agents.runs.config import RunConfig
from agents.sweeps.graph import Node, graph_of
from agents.sweeps.spec import cells_of
from tests.support.sweeps import spec_with


def nodes(kind: str, **changes: Any) -> list[Node]:
    return [node for node in graph_of(cells_of(spec_with(**changes))) if node.kind == kind]


@pytest.mark.parametrize(
    ("changes", "n_pretrainings", "n_discriminators"),
    [
        ({"algorithm": ["seqgan", "ppo", "dqn", "random", "relaxed"], "reward": ["log_d", "log_ratio"]}, 1, 1),
        ({"reward": ["constant"]}, 1, 0),
        ({"shaping": ["none", "length"]}, 1, 1),
        ({"reward": ["constant"], "shaping": ["increments"]}, 1, 1),  # which is trained for the shaping
        ({"discriminator": ["tabular", "gru"]}, 1, 2),
        ({"grid": {"adversary.every_n_episodes": [8, 16]}}, 1, 1),
        ({"grid": {"adversary.learning_rate": [1e-3, 1e-4]}}, 1, 2),
        ({"grid": {"pretraining.n_epochs": [1, 2]}}, 2, 2),
        ({"seeds": [0, 1, 2]}, 3, 3),
    ],
)
def test_what_is_the_same_is_shared(changes: dict[str, Any], n_pretrainings: int, n_discriminators: int) -> None:
    assert len(nodes("pretraining", **changes)) == n_pretrainings
    assert len(nodes("discriminator", **changes)) == n_discriminators


def test_each_piece_comes_after_those_that_it_needs() -> None:
    seen: set[Any] = set()
    for node in graph_of(cells_of(spec_with(seeds=[0, 1], reward=["constant", "log_d"]))):
        assert set(node.needs) <= seen
        assert node.id not in seen
        seen.add(node.id)


def test_the_cost_of_a_seed_is_that_of_its_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    check, made = RunConfig.__post_init__, list[RunConfig]()
    monkeypatch.setattr(RunConfig, "__post_init__", lambda config: (made.append(config), check(config))[1])

    def n_made(*seeds: int) -> int:
        made.clear()
        graph_of(cells_of(spec_with(seeds=seeds, algorithm=["ppo", "random"], reward=["constant", "log_d"])))
        return len(made)

    assert n_made(0, 1, 2, 3) == n_made(7) > 0


def test_a_seed_among_others_is_the_same_as_alone() -> None:
    spec: dict[str, Any] = {"algorithm": ["seqgan", "random"], "reward": ["constant", "log_d"]}
    alone = [node for seed in (3, 0) for node in graph_of(cells_of(spec_with(seeds=[seed], **spec)))]
    assert graph_of(cells_of(spec_with(seeds=[3, 0, 3], **spec))) == alone


def test_a_wider_sweep_has_the_keys_of_the_narrower_one() -> None:
    narrow = {node.id for node in graph_of(cells_of(spec_with()))}
    assert narrow < {node.id for node in graph_of(cells_of(spec_with(seeds=[1, 0], reward=["constant", "log_d"])))}
