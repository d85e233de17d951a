"""The hyperparameters of the package are those that the committed search has found, and fit their tasks."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
from typing import Any

import gymnasium as gym
import pytest
import sb3_contrib
import stable_baselines3

import agents
from agents import DiscriminatorCallback, PretrainingCallback, make_seqgan_vec_env
from agents.runs.config import RunConfig
from agents.runs.presets import get_preset
from agents.sweeps.spec import cells_of
from benchmarks.algorithms import comparison
from seqgan_env.hyperparams import read

ALGORITHMS = ("ppo", "a2c", "trpo")
GIVEN = [(name, task) for name in ALGORITHMS for task in read(name)]


def hyperparameters(name: str, task: str) -> dict[str, Any]:
    """As the zoo finds them, by the name of a module."""
    return dict(importlib.import_module(f"seqgan_env.hyperparams.{name}").hyperparams[task])


def best(name: str, task: str) -> dict[str, Any]:
    """The best settings of the committed search."""
    found = json.loads(comparison.SEARCH.read_text(encoding="utf-8"))["tasks"][task]["tried"][name][0]["settings"]
    return dict(found)


def algorithm(name: str) -> Any:
    return getattr(stable_baselines3, name.upper(), None) or getattr(sb3_contrib, name.upper())


def searched_run(task: str) -> RunConfig:
    """The run whose settings the search has looked for."""
    own = {"task": [comparison.TASKS[task]], "algorithm": ["ppo"], "budget": comparison.BUDGET}
    return cells_of({**own, "run": comparison._RUN})[0].config


@pytest.mark.parametrize(("name", "task"), GIVEN)
def test_they_are_the_best_of_the_search(name: str, task: str) -> None:
    found = best(name, task) | comparison.FIXED.get(name, {})
    given = hyperparameters(name, task)
    assert {key: given[key] for key in found} == found
    known = set(inspect.signature(algorithm(name).__init__).parameters)
    of_the_zoo = {"n_timesteps", "n_envs", "env_kwargs", "callback"}
    assert set(given) - known == of_the_zoo
    assert set(given) - of_the_zoo - {"policy", "policy_kwargs", "n_steps", "batch_size", "gamma"} == set(found)


@pytest.mark.parametrize(("name", "task"), GIVEN)
def test_the_rest_is_the_setting_of_the_search(name: str, task: str) -> None:
    given, run = hyperparameters(name, task), searched_run(task)
    assert given["n_timesteps"] == comparison.BUDGET["steps"]
    pretraining, discriminator = (next(iter(each.items())) for each in given["callback"])
    assert (pretraining[0], discriminator[0]) == ("agents.PretrainingCallback", "agents.DiscriminatorCallback")
    likelihood = PretrainingCallback(**pretraining[1])
    assert likelihood.n_epochs == run.pretraining.n_epochs
    for field in dataclasses.fields(likelihood.config):
        assert getattr(likelihood.config, field.name) == getattr(run.pretraining, field.name), field.name
    retrain = DiscriminatorCallback(**discriminator[1])
    assert retrain.n_rounds_before == run.adversary.n_rounds
    assert retrain.schedule.n == run.adversary.every_n_episodes  # type: ignore[attr-defined]
    for field in dataclasses.fields(retrain.config):
        if field.name != "n_held_out":  # which decides what is measured of it
            assert getattr(retrain.config, field.name) == getattr(run.adversary, field.name), field.name
    spec = gym.make(task).unwrapped.sequence_spec  # type: ignore[attr-defined]
    assert given["n_steps"] * given["n_envs"] == spec.max_length * run.agent.n_episodes
    assert given.get("batch_size", run.agent.n_episodes) == run.agent.n_episodes
    assert ("batch_size" in given) == ("batch_size" in inspect.signature(algorithm(name).__init__).parameters)


@pytest.mark.parametrize(("name", "task"), GIVEN)
def test_the_generator_is_that_of_the_search(name: str, task: str) -> None:
    given, run = hyperparameters(name, task), searched_run(task)
    env = make_seqgan_vec_env(task, n_envs=1, n_real=64, n_held_out=2, **given["env_kwargs"])
    kwargs = dict(env.get_attr("task_config")[0].discriminator_kwargs)
    assert {key: value for key, value in run.task.discriminator_kwargs.items() if key in kwargs} == kwargs
    model = algorithm(name)(getattr(agents, given["policy"].split(".")[1]), env, policy_kwargs=given["policy_kwargs"])
    assert model.policy.generator.spec == env.get_attr("sequence_spec")[0]
    config = dataclasses.asdict(model.policy.generator.core.config)
    assert {key: config[key] for key in run.generator.kwargs} == dict(run.generator.kwargs)


def test_the_preset_is_what_the_search_has_found_for_seqgan() -> None:
    task, preset = "SeqGANGrammar-v0", get_preset("searched")
    run = searched_run(task)
    for part in ("task", "generator", "pretraining", "adversary"):
        assert getattr(preset, part) == getattr(run, part), part
    found = {"name": "seqgan", **best("seqgan", task)}
    own, searched = (
        cells_of({"task": [name], "algorithm": [algorithm], "budget": comparison.BUDGET})[0].settings
        for name, algorithm in (("searched", "seqgan"), (comparison.TASKS[task], found))
    )
    assert own == searched
