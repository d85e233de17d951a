"""The studies of rewards: every game is one, and differs in what it says."""

from __future__ import annotations

import json

import pytest

from benchmarks.harness import section
from benchmarks.rewards.ablations import ABLATIONS
from benchmarks.rewards.menu import MENU
from benchmarks.rewards.study import PAGE, Study
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
    runs, crossed = ABLATIONS.games(7).values()
    assert len({config.of_pretraining[2].real_share for config in crossed.values()}) == 1
    for games in (runs, crossed):
        values = list(games.values())
        assert all(config.of_pretraining == values[0].of_pretraining for config in values)
    plain = runs["1-live"]
    for group, own in ABLATIONS.groups.items():
        assert {} in own.values() or plain in runs.values()
        assert len({json.dumps(game) for game in own.values()}) == len(own), group


@pytest.mark.parametrize("study", [MENU, ABLATIONS], ids=lambda study: study.name)
def test_the_tables_are_made_from_the_committed_results(study: Study) -> None:
    if not study.file.exists():
        pytest.skip("no results are committed")
    assert study.tables(json.loads(study.file.read_text())) == section(PAGE, study.name)
