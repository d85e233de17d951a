"""The studies of rewards: every game is one, and differs in what it says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agents.runs.folder import flat_settings
from benchmarks.rewards.ablations import ABLATIONS, _members
from benchmarks.rewards.menu import BASE, MENU
from seqgan_env.discriminators import DISCRIMINATORS, LOSSES
from seqgan_env.rewards import REWARDS
from seqgan_env.shaping import SHAPINGS


def test_every_reward_shaping_kind_of_discriminator_and_loss_is_played() -> None:
    (runs,) = MENU.games(7).values()
    tasks = [config.task for config in runs.values()]
    assert {task.reward for task in tasks} == set(REWARDS)
    used = {name for task in tasks for name in ([task.shaping] if isinstance(task.shaping, str) else task.shaping)}
    assert used - {"none"} == set(SHAPINGS)
    assert {task.discriminator for task in tasks} == set(DISCRIMINATORS) - {"tabular"}  # which is of tiny tasks alone
    assert {config.adversary.loss for config in runs.values()} == set(LOSSES)
    plain = runs["0-log_d"]
    for name, config in runs.items():
        assert config.seed == 7
        assert config.of_pretraining == plain.of_pretraining
        assert name == "0-log_d" or config != plain


def test_an_ablation_changes_one_thing() -> None:
    """Each game of a group has another one there, or several in between, that differs from it in a single setting."""
    runs, crossed, halved = ABLATIONS.games(7).values()
    assert len({config.of_pretraining[2].real_share for config in crossed.values()}) == 1
    for games in (runs, crossed, halved):
        values = list(games.values())
        assert all(config.of_pretraining == values[0].of_pretraining for config in values)
    for group, own in ABLATIONS.groups.items():
        base = BASE.changed(ABLATIONS.bases.get(group, {}))
        games = [flat_settings(base.changed(parts).to_dict()) for parts in own.values()]
        assert flat_settings(base.to_dict()) in games
        if group == "Members of an ensemble":  # one is the base's own discriminator, here in the form of the others
            games[0] = flat_settings(base.changed(_members(1)).to_dict())
        linked = games[:1]
        while new := [g for g in games if g not in linked and any(_n_changes(g, other) == 1 for other in linked)]:
            linked += new
        assert len(linked) == len(games) == len({json.dumps(game) for game in own.values()}), group


def _n_changes(one: Mapping[str, Any], other: Mapping[str, Any]) -> int:
    return sum(one.get(name) != other.get(name) for name in one.keys() | other.keys())
