"""The registry of algorithms: each declares itself, and a user's own is one like the others."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
from stable_baselines3 import A2C
from stable_baselines3.common.base_class import BaseAlgorithm

from agents import with_generator
from agents.runs.presets import PRESETS
from agents.sweeps import ALGORITHMS, Contest, register_algorithm
from agents.sweeps.algorithms import algorithm_entry, algorithm_table, build_learner
from agents.sweeps.budget import Budget
from tests.support.package import ROOT
from tests.support.runs import changed

SMALL = changed(PRESETS["small"], task={"discriminator": "generative", "discriminator_kwargs": {}})
"""A task whose discriminator every algorithm can learn from."""
DECLARED: dict[str, Any] = {"label": "mine", "summary": "It does.", "source": "here", "shares": "nothing"}


def a2c_of_mine(contest: Contest) -> BaseAlgorithm:
    """A2C as the registered one has it."""
    game = contest.game
    n_steps, seed = game.task.spec.max_length, game.config.seed
    model: A2C = with_generator(A2C, game.env, game.agent, n_steps=n_steps, gamma=1.0, seed=seed, device="cpu")
    return model


def out_of_luck(contest: Contest) -> BaseAlgorithm:
    """An algorithm that fails when it learns."""

    class OutOfLuck(A2C):
        def train(self) -> None:
            raise ZeroDivisionError("no luck")

    game = contest.game
    model: A2C = with_generator(OutOfLuck, game.env, game.agent, n_steps=1, device="cpu")
    return model


@pytest.mark.parametrize("name", ALGORITHMS)
def test_settings_are_complete_and_their_names_checked(name: str) -> None:
    entry, run = ALGORITHMS[name], SMALL
    settings = entry.complete({}, run, name)
    assert entry.complete(settings, run, name) == settings
    assert "policy" not in settings
    assert "seed" not in settings
    with pytest.raises(ValueError, match=f"algorithm '{name}' takes .*; got colour"):
        entry.complete({"colour": 1}, run, name)


def test_tasks_choose_settings_where_a_task_has_some() -> None:
    assert ALGORITHMS["seqgan"].complete({}, PRESETS["small"], "seqgan")["learning_rate"] == 3e-3
    assert ALGORITHMS["maximum_likelihood"].complete({}, PRESETS["grammar"], "")["learning_rate"] == 0.02


def test_nothing_is_discounted() -> None:
    for name, entry in ALGORITHMS.items():
        assert entry.complete({}, SMALL, name).get("gamma", 1.0) == 1.0


@pytest.mark.parametrize("name", ["trpo", "maskable_ppo", "recurrent_ppo", "qrdqn"])
def test_an_optional_library_is_asked_for_by_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sb3_contrib", None)
    with pytest.raises(ValueError, match="needs sb3-contrib, which is not installed: pip install 'seqgan-env"):
        ALGORITHMS[name].complete({}, PRESETS["small"], name)


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ({"label": " "}, "must declare label, summary and source"),
        ({"shares": "everything"}, "shares must be"),
        ({"plays": "chess"}, "plays must be"),
        ({"colour": 1}, "algorithm 'mine' takes .*; got colour"),
    ],
)
def test_a_registration_is_complete(declared: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        register_algorithm("mine", a2c_of_mine, **{**DECLARED, **declared})
    assert "mine" not in ALGORITHMS


@pytest.mark.parametrize("given", [3, None, SimpleNamespace(sequences=3, learn=print)], ids=str)
def test_what_a_function_gives_is_checked(given: Any) -> None:
    register_algorithm("mine", lambda contest: given, **DECLARED)
    try:
        contest = Contest(None, {}, Budget(steps=1))  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="algorithm 'mine' must give a Learner or a model of Stable-Baselines3"):
            build_learner("mine", contest)
    finally:
        ALGORITHMS.unregister("mine")


def test_a_function_is_an_algorithm_by_its_name() -> None:
    entry = algorithm_entry(f"{__name__}:a2c_of_mine")
    assert entry.summary == "A2C as the registered one has it."
    assert entry.complete({"anything": 1}, PRESETS["small"], "") == {"anything": 1}


def test_the_page_lists_them() -> None:
    assert algorithm_table() in (ROOT / "docs" / "sweeps.md").read_text(encoding="utf-8")
