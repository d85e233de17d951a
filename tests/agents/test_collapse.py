"""The alarm for a generator that has collapsed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from agents import CollapseAlarm, DiscriminatorCallback, SeqGAN, make_seqgan_vec_env
from agents.collapse import diversity
from seqgan_env.tokens import SequenceSpec
from tests.support.agents import agent
from tests.support.builders import ORACLE


def test_diversity_is_as_its_docstring_says() -> None:
    spec = SequenceSpec(5, 3, 0)
    rows = np.array([[1, 2, 0], [1, 2, 0], [0, 5, 5], [4, 4, 4]])
    share = np.array([3, 2, 2, 3]) / 10
    assert diversity(spec, rows) == {"distinct": 0.75, "entropy": pytest.approx(float(-(share * np.log(share)).sum()))}


def other(kind: Any) -> BaseAlgorithm:
    env = make_seqgan_vec_env("SeqGAN-v0", 4, **ORACLE)
    more: dict[Any, dict[str, int]] = {
        DQN: {"learning_starts": 10_000},
        PPO: {"n_steps": 16, "batch_size": 64},
        A2C: {"n_steps": 16},
    }
    return kind("MlpPolicy", env, seed=0, device="cpu", **more[kind])  # type: ignore[no-any-return]


@pytest.mark.parametrize("make", [agent, lambda: other(PPO), lambda: other(A2C), lambda: other(DQN)])
def test_it_is_silent_while_episodes_differ(make: Any, capsys: pytest.CaptureFixture[str]) -> None:
    model, alarm = make(), CollapseAlarm(n_episodes=16)
    model.learn(300, alarm)
    assert alarm.alarm is None
    assert capsys.readouterr().out == ""
    assert model.num_timesteps >= 300


def collapsed() -> SeqGAN:
    """A policy that writes one sequence."""
    model = agent()
    with torch.no_grad():
        model.generator.output.weight.zero_()
        model.generator.output.bias.copy_(torch.where(torch.arange(len(model.generator.output.bias)) == 3, 50.0, 0.0))
    return model


@pytest.mark.parametrize("stop", [True, False])
def test_a_collapse_is_told_and_may_end_the_learning(stop: bool, capsys: pytest.CaptureFixture[str]) -> None:
    model, alarm = collapsed(), CollapseAlarm(least_distinct=0.5, least_entropy=0.01, n_episodes=8, stop=stop)
    model.learn(300, alarm)
    assert alarm.alarm is not None
    assert "the generator has collapsed after " in alarm.alarm
    assert alarm.alarm.endswith("distinct 0.125 below 0.5, entropy 0 below 0.01")
    assert alarm.alarm in capsys.readouterr().out
    assert (model.num_timesteps < 300) == stop


def test_another_learning_begins_without_an_alarm() -> None:
    alarm = CollapseAlarm(least_distinct=0.5, n_episodes=8, verbose=0)
    collapsed().learn(100, alarm)
    assert alarm.alarm
    agent().learn(100, alarm)
    assert alarm.alarm is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"least_distinct": 2.0}, r"least_distinct must be a finite number in \[0, 1\], got 2\.0"),
        ({"least_entropy": math.nan}, "least_entropy must be a finite number of at least 0, got nan"),
        ({"n_episodes": 0}, "n_episodes must be a whole number of at least 1, got 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CollapseAlarm(**settings)


@pytest.mark.parametrize("callback", [CollapseAlarm, DiscriminatorCallback])
def test_an_algorithm_that_does_not_tell_which_episodes_ended_is_refused(callback: type[BaseCallback]) -> None:
    asked = callback()
    asked.init_callback(agent())
    with pytest.raises(ValueError, match="SeqGAN does not tell its callbacks which episodes have ended"):
        asked.on_step()
