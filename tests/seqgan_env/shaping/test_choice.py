"""The shaping that a task asks for: by name, as a function, or several whose payments add up."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from seqgan_env import SeqGANEnv, TaskConfig
from seqgan_env.shaping import SHAPINGS, shaping_configs
from seqgan_env.shaping.length import LengthConfig
from seqgan_env.shaping.repetition import RepetitionConfig
from tests.support.reference_env import TINY, mean_token
from tests.support.shaping import payments
from tests.support.tasks import GRAMMAR

SETTINGS: dict[str, Any] = {"length": {"weight": 0.5}, "repetition": {"n": 1}}
TOKENS = [3, 10, 3, 10, 5, 0]


def env_of(shaping: Any, **more: Any) -> SeqGANEnv:
    named = shaping if isinstance(shaping, list) else [shaping]
    kwargs = {name: settings for name, settings in SETTINGS.items() if name in named}
    return SeqGANEnv(**{**GRAMMAR, "shaping": shaping, "shaping_kwargs": kwargs, "shaping_gamma": 0.9, **more})


def test_the_payments_of_several_add_up() -> None:
    parts: list[Any] = [*SHAPINGS, mean_token]
    plain, summed = payments(env_of("none"), TOKENS), payments(env_of(parts), TOKENS)
    alone = [np.subtract(payments(env_of(part), TOKENS), plain) for part in parts]
    assert all(np.abs(paid_T).max() > 1e-4 for paid_T in alone)
    np.testing.assert_allclose(np.sum(alone, axis=0) + plain, summed, rtol=0, atol=1e-12)


def test_their_numbers_are_carried_side_by_side_and_survive_a_clone() -> None:
    parts: list[Any] = ["increments", "length", mean_token, "discriminator"]
    env = env_of(parts)
    whole = payments(env, TOKENS)
    payments(env, TOKENS[:2])
    state = env.clone_state()
    assert state.carry_BK.shape == (1, 3)
    other = env_of(parts)
    other.restore_state(state)
    assert [other.step(np.int64(token))[1] for token in TOKENS[2:]] == whole[2:]
    other = env_of("length")
    other.reset()
    with pytest.raises(ValueError, match="the state must be of a task with this shaping"):
        other.restore_state(state)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_duplicate_pays_the_same(duplicate: Any) -> None:
    env = env_of([*SHAPINGS, mean_token])
    twin = duplicate(env)
    env.load_discriminator(SeqGANEnv(**GRAMMAR, discriminator_seed=1).discriminator_weights())
    assert payments(twin, TOKENS) == payments(env_of([*SHAPINGS, mean_token]), TOKENS) != payments(env, TOKENS)


def test_an_environment_is_made_with_a_list_and_says_so_in_its_specification() -> None:
    env = gym.make("SeqGANGrammar-v0", shaping=("discriminator", "length"), shaping_kwargs={"length": {"weight": 0.1}})
    config = env.get_wrapper_attr("task_config")
    assert config.shaping == ["discriminator", "length"]
    assert config.shaping_kwargs == {"length": {"weight": 0.1}}
    assert env.spec is not None
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    assert again.get_wrapper_attr("task_config") == config
    assert payments(again.unwrapped, TOKENS) == payments(env.unwrapped, TOKENS)  # type: ignore[arg-type]


def test_the_settings_are_those_that_are_given_and_the_defaults() -> None:
    named = ["length", "discriminator", "repetition", "nowhere_at_all:f"]
    configs = shaping_configs(named, {"length": {"weight": 0.5}})
    assert configs == {"length": LengthConfig(0.5), "repetition": RepetitionConfig()}
    assert shaping_configs("none", {}) == {}


NAMES = ", ".join(SHAPINGS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shaping": "bonus"}, f"shaping must be one of {NAMES}; got 'bonus'"),
        ({"shaping": ["length", "bonus"]}, f"shaping must be one of {NAMES}; got 'bonus'"),
        ({"shaping": ["length", "none"]}, f"shaping must be one of {NAMES}; got 'none'"),
        ({"shaping": []}, "shaping must name at least one, or be 'none'; got an empty list"),
        ({"shaping": ["length", "prefix", "length"]}, "shaping must name each once, got 'length' twice"),
        ({"shaping": [mean_token, mean_token]}, "shaping must name each once, got <function mean_token at .*> twice"),
        ({"shaping": 3}, r"shaping must be a string or a function or a list \(each a string or a function\), got 3"),
        ({"shaping": [3]}, r"shaping must be a string or a function or a list .*, got \[3\]"),
        ({"shaping_kwargs": {"length": {}}}, "shaping_kwargs must be of .* none of which the task has; got length"),
        (
            {"shaping": ["length", "prefix"], "shaping_kwargs": {"repetition": {"n": 2}}},
            "shaping_kwargs must be of shapings by name, length, prefix; got repetition",
        ),
        ({"shaping": "length", "shaping_kwargs": {"length": {"n": 2}}}, "shaping 'length' takes weight; got n"),
        (
            {"shaping": "discriminator", "shaping_kwargs": {"discriminator": {"n": 2}}},
            "shaping 'discriminator' takes no arguments; got n",
        ),
        ({"shaping": "length", "shaping_kwargs": {"length": 3}}, r"shaping_kwargs\['length'\] must be a mapping"),
        (
            {"shaping": "length", "shaping_kwargs": {"length": {"weight": "x"}}},
            "weight must be a finite number",
        ),
    ],
)
def test_wrong_choices_are_refused_before_any_work(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TaskConfig(**TINY, **arguments)


def test_a_function_that_is_not_there_is_refused_when_the_task_is_made() -> None:
    with pytest.raises(ValueError, match="shaping must be a function or 'module:function', got 'nowhere_at_all:f'"):
        SeqGANEnv(**TINY, shaping=["length", "nowhere_at_all:f"])
