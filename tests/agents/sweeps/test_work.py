"""Runs of every algorithm: what they share, what they spend, and what is measured of them."""

from __future__ import annotations

import json
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.base_class import BaseAlgorithm

from agents.runs.game import Game
from agents.sb3.actor_critic import GeneratorFeatures
from agents.sweeps import ALGORITHMS
from agents.sweeps.algorithms import Contest
from agents.sweeps.budget import Budget, Watch
from agents.sweeps.graph import Node, graph_of
from agents.sweeps.report import chosen_metrics, markdown
from agents.sweeps.spec import cells_of
from agents.sweeps.work import do
from seqgan_env.metrics import METRICS
from tests.support.runs import without_time
from tests.support.sweeps import spec_with

EVERY = list(ALGORITHMS)
GRAMMAR: dict[str, Any] = {
    "name": "SeqGANGrammar-v0",
    "n_real": 40,
    "n_held_out": 40,
    "discriminator_kwargs": {"embedding_dim": 2, "filters": [[1, 2]]},
}
DISCRIMINATORS: dict[str, dict[str, Any]] = {
    "relaxed": {"discriminator": [{"name": "cnn", "embedding_dim": 2, "filters": [[1, 2]]}]},  # of embeddings
    "distillation": {
        "discriminator": [{"name": "generative", "n_members": 2, "hidden_dim": 4, "embedding_dim": 4, "n_epochs": 1}]
    },
}
"""Those of algorithms that need one of a kind."""
OUTPUTS: dict[Any, bytes] = {}
"""The outputs of pretrainings and discriminators, which tests share as sweeps do."""


def output(node: Node, nodes: dict[Any, Node]) -> bytes:
    if node.kind == "run":
        return do(node, *(output(nodes[each], nodes) for each in node.needs))
    if node.id not in OUTPUTS:
        OUTPUTS[node.id] = do(node, *(output(nodes[each], nodes) for each in node.needs))
    return OUTPUTS[node.id]


def play(algorithm: Any, **changes: Any) -> dict[str, Any]:
    """The result of a sweep of one run."""
    nodes = {node.id: node for node in graph_of(cells_of(spec_with(algorithm=[algorithm], **changes)))}
    (run,) = (node for node in nodes.values() if node.kind == "run")
    result: dict[str, Any] = json.loads(output(run, nodes))
    return result


@cache
def played(algorithm: str) -> dict[str, Any]:
    """A run against a discriminator that learns, with a value-based algorithm that begins to learn at once."""
    starts = {"learning_starts": 8, "gradient_steps": 1} if algorithm in ("dqn", "qrdqn") else {}
    cheap = {"n_epochs": 1} if algorithm in ("ppo", "maskable_ppo", "recurrent_ppo") else {}
    return play({"name": algorithm, **starts, **cheap}, **DISCRIMINATORS.get(algorithm, {}))


@pytest.mark.parametrize("algorithm", EVERY)
def test_a_run_keeps_to_its_budget_and_is_measured_on_the_way(algorithm: str) -> None:
    result = played(algorithm)
    steps = [record["steps"] for record in result["records"]]
    assert steps == sorted(set(steps))
    assert steps[0] == 0
    assert result["steps"] == steps[-1]
    if algorithm != "random":
        assert len(steps) == 3
        # no more than a collection above it: eight episodes of four tokens, or a pass over the real sequences' part
        assert 64 <= steps[-1] < 64 + 32 + 32 * (algorithm == "self_adversarial")
    assert result["peak_memory_mb"] > 10
    assert result["environment"]["versions"]["torch"]
    assert {record["distinct"] <= 1 for record in result["records"]} == {True}


@pytest.mark.parametrize("algorithm", ["seqgan", "ppo"])
def test_a_run_is_measured_as_text_where_that_is_asked_for(algorithm: str) -> None:
    result = play({"name": algorithm}, run={"evaluation": {"n": 20, "metrics": ["text"]}})
    of_text = {n: c for entry in METRICS.values() if entry.group == "text" for n, c in entry.metric.columns.items()}
    for record in (result["start"], *result["records"]):
        assert of_text.keys() <= record.keys()
    report = markdown([result], chosen_metrics([result], []))
    assert all((f"| {column.label} |" in report) == column.in_tables for column in of_text.values())
    assert "Probability of improvement, BLEU-4" in report


@pytest.mark.parametrize("algorithm", EVERY)
def test_those_that_share_the_generator_begin_as_the_pretrained_one(algorithm: str) -> None:
    result = played(algorithm)
    of_generator = ("nll_test", "nll_oracle", "kl_sum", "distinct")
    start, first = ({name: each.get(name) for name in of_generator} for each in (result["start"], result["records"][0]))
    if ALGORITHMS[algorithm].shares == "generator":
        assert first == pytest.approx(start, abs=1e-6)
    else:
        assert first != start


def contest_of(algorithm: Any, **changes: Any) -> Contest:
    (cell,) = cells_of(spec_with(algorithm=[algorithm], **changes))
    return Contest(Game(cell.config), cell.settings, cell.budget)


@pytest.mark.parametrize("algorithm", [name for name, entry in ALGORITHMS.items() if entry.shares == "features"])
def test_those_that_share_its_features_read_a_prefix_as_it_does(algorithm: str) -> None:
    contest = contest_of(algorithm)
    generator = contest.game.agent.generator
    with torch.no_grad():
        for weights in generator.parameters():  # a new one of the same seed would begin with the same
            weights += 0.1
    expected = generator.state_dict()
    model = ALGORITHMS[algorithm].build(contest)
    assert isinstance(model, BaseAlgorithm)
    readers = [each for each in model.policy.modules() if isinstance(each, GeneratorFeatures)]
    assert readers
    for reader in readers:
        torch.testing.assert_close(reader.generator.state_dict(), expected, rtol=0, atol=0)


def test_all_learn_from_the_same_sequences_and_are_measured_on_the_same() -> None:
    """Whichever algorithm, reward, shaping, discriminator or seed; another ``source_seed`` has other ones."""
    changes: list[dict[str, Any]] = [{"reward": ["constant"]}, {"shaping": ["length"]}, {"seeds": [5]}]
    contests = [contest_of("seqgan", **each) for each in changes]
    contests += [contest_of(name, **DISCRIMINATORS.get(name, {})) for name in EVERY]
    tasks = [contest.game.task for contest in contests]
    for task in tasks:
        np.testing.assert_array_equal(task.real_sequences, tasks[0].real_sequences)
        np.testing.assert_array_equal(task.held_out_sequences, tasks[0].held_out_sequences)
    other = contest_of("seqgan", task=[{"name": "SeqGANTiny-v0", "source_seed": 1}]).game.task
    assert (other.real_sequences != tasks[0].real_sequences).any()


@pytest.mark.parametrize("algorithm", EVERY)
def test_likelihoods_are_measured_where_there_are_some(algorithm: str) -> None:
    for record in played(algorithm)["records"]:
        assert "nll_oracle" in record
        assert ("nll_test" in record) == ("kl_sum" in record) == ALGORITHMS[algorithm].has_likelihood
        assert ("optimal_accuracy" in record) == ALGORITHMS[algorithm].has_likelihood


@pytest.mark.parametrize("algorithm", EVERY)
def test_the_discriminator_is_trained_for_those_that_play_against_it(algorithm: str) -> None:
    records = played(algorithm)["records"]
    versions = [record.get("discriminator_version") for record in records]
    plays = ALGORITHMS[algorithm].plays
    if plays == "any":  # one pretraining, then a round after each eight episodes of four tokens, whoever plays them
        assert [(record["steps"], version) for record, version in zip(records, versions, strict=True)] == [
            (0, 1),
            (32, 2),
            (64, 3),
        ]
    else:
        assert versions == [1 if plays == "discriminator" else None] * len(versions)


@pytest.mark.parametrize(
    ("algorithm", "n_scored"),
    [
        ("ppo", 16),  # the episodes
        ("a2c", 16),
        ({"name": "seqgan", "n_completions": 2}, 16 * (1 + 3 * 2)),  # and two completions of the other prefixes
        ({"name": "seqgan", "n_completions": 3}, 16 * (1 + 3 * 3)),
        ("maximum_likelihood", 0),
    ],
    ids=str,
)
def test_scored_sequences_are_counted_and_checks_are_not(algorithm: Any, n_scored: int) -> None:
    assert play(algorithm, reward=["constant"])["scored"] == n_scored


@pytest.mark.parametrize("n_quantiles", [1, 7])
def test_settings_of_a_policy_reach_it(n_quantiles: int) -> None:
    """No other setting of a run is one of its networks'."""
    model = ALGORITHMS["qrdqn"].build(contest_of({"name": "qrdqn", "n_quantiles": n_quantiles}))
    assert model.policy.quantile_net.n_quantiles == n_quantiles  # type: ignore[attr-defined]


def test_scored_sequences_can_be_the_budget() -> None:
    result = play("seqgan", budget={"scored": 100, "evaluations": 1})
    assert [(record["steps"], record["scored"]) for record in result["records"]] == [(0, 0), (32, 56), (64, 112)][::2]


def watch_of(budget: Budget) -> Watch:
    """A watch of a game in which nothing happens."""
    game = SimpleNamespace(
        task=SimpleNamespace(scoring=SimpleNamespace(n_scored=0)), config=SimpleNamespace(is_adversarial=False)
    )
    return Watch(budget, game, SimpleNamespace(measure=lambda phase: {}))  # type: ignore[arg-type]


@pytest.mark.parametrize("spent", [(10.5,), (float("nan"),), (-1,), (1, -1), (None,)])
def test_only_whole_numbers_are_spent(spent: Any) -> None:
    watch = watch_of(Budget(steps=100))
    with pytest.raises(ValueError, match="must be a whole number of at least 0, got"):
        watch.spend(*spent)


def test_a_learner_that_never_spends_is_ended() -> None:
    watch = watch_of(Budget(steps=100))
    for _ in range(5):  # asked twice for each part
        assert watch.goes_on()
        assert watch.goes_on()
        watch.spend(1)
    with pytest.raises(ValueError, match="a learner must count what it spends"):
        all(watch.goes_on() for _ in range(1000))


@pytest.mark.parametrize(
    ("spent", "steps"), [((0, 0), [0, 0]), ((0, 7), [0, 0]), ((7, 0), [0, 7]), ((100, 0), [0, 100])]
)
def test_the_end_is_measured_wherever_a_learner_stops(spent: tuple[int, int], steps: list[int]) -> None:
    watch = watch_of(Budget(steps=100))
    watch.goes_on()
    watch.spend(*spent)
    watch.finish()
    watch.finish()
    assert [record["steps"] for record in watch.records] == steps


def test_steps_of_seqgan_are_its_tokens_where_sequences_end() -> None:
    """Of eight episodes side by side most end before the longest one does."""
    spec = {"task": [GRAMMAR], "budget": {"steps": 20, "evaluations": 1}, "reward": ["constant"]}
    result = play("seqgan", **spec)
    a2c = play({"name": "a2c", "n_steps": 1}, **spec)
    assert 20 <= result["steps"] < 20 + 8 * 20
    # two completions of each prefix but the whole sequence
    assert result["scored"] == 8 + 2 * (result["steps"] - 8)
    assert a2c["steps"] == 24


@pytest.mark.parametrize("evaluations", [1, 3])
def test_a_trainer_learns_for_as_long_however_often_it_is_measured(evaluations: int) -> None:
    """Sequences have up to twenty tokens, and one of them ends the run."""
    budget = {"steps": 200, "evaluations": evaluations}
    assert 200 <= play("maximum_likelihood", task=[GRAMMAR], budget=budget)["steps"] < 220
    assert 200 <= play("self_adversarial", task=[GRAMMAR], budget=budget)["steps"] < 240


def test_a_trainer_ends_with_the_sequence_that_spends_the_scored_ones() -> None:
    budget = {"steps": 1000, "scored": 50, "evaluations": 1}
    assert play("relaxed", task=[GRAMMAR], budget=budget)["scored"] == 50


@pytest.mark.parametrize("algorithm", ["seqgan", "a2c", "dqn", "cooperative"])
def test_the_same_run_again_is_the_same(algorithm: str) -> None:
    first, again = played(algorithm), played.__wrapped__(algorithm)
    assert without_time(again["records"]) == without_time(first["records"])


def test_an_exact_reward_follows_the_generator_that_learns() -> None:
    """With the optimal discriminator of the generator that it came from, the reward would not see what A2C changes."""
    settings = {"name": "a2c", "learning_rate": 0.05, "n_steps": 4}
    result = play(settings, reward=["exact_log_ratio"], budget={"steps": 960, "evaluations": 1})
    start, end = result["records"][0], result["records"][-1]
    assert end["kl_reverse"] < start["kl_reverse"]


def test_distillation_needs_language_models() -> None:
    with pytest.raises(ValueError, match="the language models of the discriminator generative, got 'gru'"):
        play("distillation", discriminator=["gru"])
