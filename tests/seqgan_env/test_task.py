"""A task in plain values: what it takes, and what it refuses."""

from __future__ import annotations

import copy
import dataclasses
import json
import threading
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqgan_env import SeqGANEnv
from seqgan_env.discriminators import DISCRIMINATORS, build_discriminator, save_discriminator
from seqgan_env.sources import NAMED_SOURCES, Corpus
from seqgan_env.task import Task
from seqgan_env.task_config import TaskConfig
from seqgan_env.tokens import SequenceSpec
from tests.support.reference_env import TINY
from tests.support.tasks import tiny_task

SPEC = SequenceSpec(3, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"reward": "blue"}, "reward must be one of log_d, .*; got 'blue'"),
        ({"device": "gpu"}, "device must be 'auto', 'cpu' or a device that is here; got 'gpu'"),
        ({"device": "meta"}, "device must be .*; got 'meta'"),
        ({"device": ""}, "device must be .*; got ''"),
        ({"device": None}, "device must be a string, got None"),
        ({"n_real": 0}, "n_real must be a whole number of at least 1, got 0"),
        ({"n_real": 2.5}, "n_real must be a whole number of at least 1, got 2.5"),
        ({"n_held_out": -1}, "n_held_out must be a whole number of at least 1, got -1"),
        ({"n_held_out": "5"}, "n_held_out must be a whole number of at least 1, got '5'"),
    ],
)
def test_a_config_refuses(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        TaskConfig(**arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"vocab_size": 0}, "vocab_size must be a whole number of at least 1 or None, got 0"),
        ({"max_length": 0}, "max_length must be a whole number of at least 1 or None, got 0"),
        ({"source": "nowhere.txt"}, "there is no file 'nowhere.txt'"),
        ({"source": "grammar", "vocab_size": 10}, "the grammar as a source takes no options"),
        ({"discriminator": "transformr"}, r"discriminator must be one of .*tabular.* or a file; got 'transformr'"),
        ({"discriminator_kwargs": {"depth": 3}}, "discriminator 'cnn' takes .*; got depth"),
        ({"discriminator_kwargs": {"filters": [[30, 5]]}}, "filters must hold a width of at most T = 3"),
        (
            {"discriminator_kwargs": {"filters": 3}},
            r"filters must be a list \(each \(a whole number of at least 1, a whole number of at least 1\)\), got 3",
        ),
    ],
)
def test_a_task_refuses_at_once(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Task(TaskConfig(**{"vocab_size": 3, "max_length": 3, **arguments} if "source" not in arguments else arguments))


def test_an_unknown_field_is_an_error() -> None:
    with pytest.raises(TypeError, match="vocabsize"):
        TaskConfig(vocabsize=3)  # type: ignore[call-arg]


def test_a_config_survives_json() -> None:
    config = TaskConfig(**TINY)
    assert TaskConfig(**json.loads(json.dumps(dataclasses.asdict(config)))) == config


def test_a_path_is_that_of_a_file_also_where_a_file_is_named_as_something_built_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in NAMED_SOURCES:
        Path(name).write_text("a b\nc d\ne f\n")
        source = Task(TaskConfig(source=Path(name))).source  # type: ignore[arg-type]
        assert isinstance(source, Corpus)
    judge = build_discriminator("cnn", SPEC, kwargs=TINY["discriminator_kwargs"], seed=5)
    for name in DISCRIMINATORS:
        save_discriminator(judge, name)
        config = TaskConfig(vocab_size=3, max_length=3, discriminator=Path(name))  # type: ignore[arg-type]
        again = TaskConfig(**json.loads(json.dumps(dataclasses.asdict(config))))
        found = Task(again).scoring.discriminator
        np.testing.assert_array_equal(found.logits([[0, 1, 2]]), judge.logits([[0, 1, 2]]))


@pytest.mark.parametrize(
    "settings",
    [
        {"discriminator_kwargs": {"filters": [[1, 8]]}},
        {"reward": "composite", "reward_kwargs": {"weights": [["log_d", 1.0]], "kwargs": {}}},
        {"shaping": ["length"], "shaping_kwargs": {"length": {"weight": 0.1}}},
    ],
)
def test_settings_within_settings_are_the_task_s_own(settings: dict[str, Any]) -> None:
    """Several environments made of one mapping that changes in between: each is as it was when it was made."""
    given = copy.deepcopy(settings)
    task = Task(TaskConfig(vocab_size=3, max_length=3, **given))
    for each in given.values():
        if isinstance(each, dict):
            for inner in each.values():
                inner.clear()
            each.clear()
    assert all(task.config.kwargs[name] == value for name, value in settings.items())
    assert np.isfinite(task.scoring.score([[0, 1, 2]])).all()


def test_a_setting_may_be_a_mapping_that_nobody_can_change_or_something_that_cannot_be_copied() -> None:
    ensemble = {"kind": "gru", "kwargs": types.MappingProxyType({})}
    task = Task(TaskConfig(vocab_size=3, max_length=3, discriminator="ensemble", discriminator_kwargs=ensemble))
    assert np.isfinite(task.scoring.score([[0, 1, 2]])).all()
    with pytest.raises(ValueError, match="filters must be a list"):
        Task(TaskConfig(discriminator_kwargs={"filters": threading.Lock()})).scoring.score([[0] * 20])


def test_a_discriminator_s_file_is_read_when_the_task_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever becomes of it later, by the same path or from another folder."""
    monkeypatch.chdir(tmp_path)
    judges = [build_discriminator("cnn", SPEC, kwargs=TINY["discriminator_kwargs"], seed=seed) for seed in range(2)]
    tasks = []
    for judge in judges:
        save_discriminator(judge, "judge")
        tasks.append(Task(TaskConfig(vocab_size=3, max_length=3, discriminator="judge", reward="log_ratio")))
    Path("judge").unlink()
    monkeypatch.chdir(tmp_path.parent)
    for task, judge in zip(tasks, judges, strict=True):
        np.testing.assert_allclose(task.scoring.score([[0, 1, 2]]), judge.logits([[0, 1, 2]]), rtol=1e-5)
        assert task.scoring.version == 0


def test_real_and_held_out_sequences_are_the_source_s_own() -> None:
    task = tiny_task(n_real=40, n_held_out=20, source_seed=5)
    train_BT, held_out_BT = task.source.split(40, 20, 5)
    np.testing.assert_array_equal(task.real_sequences, train_BT)
    np.testing.assert_array_equal(task.held_out_sequences, held_out_BT)


def test_words_are_text_where_there_is_one() -> None:
    grammar = Task(TaskConfig(source="grammar"))
    ids = grammar.encode_prefix({"prefix": "every bird sleeps"})
    assert grammar.words(np.array([*ids, grammar.spec.pad_id])) == ["every", "bird", "sleeps"]
    assert tiny_task().words(np.array([2, 0, 3])) == ["2", "0"]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"reward_clip": [0, -1]}, r"reward_clip must be \[low, high\], low below high, .* got \[0.0, -1.0\]"),
        ({"reward_clip": [None, -1e39]}, r"reward_clip must be \[low, high\], .* got \[None, -1e\+39\]"),
        ({"reward_clip": [1e39, None]}, r"reward_clip must be \[low, high\], .* got \[1e\+39, None\]"),
        ({"reward_clip": [0]}, r"reward_clip must be \[low, high\]"),
        ({"reward_clip": 5}, r"reward_clip must be a list \(each a finite number or None\) or None, got 5"),
        ({"reward_clip": ["a", None]}, r"reward_clip must be a list \(.*, got \['a', None\]"),
        ({"reward_clip": [float("nan"), None]}, r"reward_clip must be a list \(.*, got \[nan, None\]"),
        ({"observation": "image"}, "observation must be one of tokens, dict; got 'image'"),
    ],
)
def test_arguments_out_of_range_are_refused(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SeqGANEnv(**TINY, **kwargs)


def test_a_clip_survives_json() -> None:
    import gymnasium as gym
    from gymnasium.envs.registration import EnvSpec

    env = gym.make(
        "SeqGANTiny-v0", reward_clip=[-10, None], min_length=1, allowed_tokens=[0, 1], shaping="discriminator"
    )
    assert env.spec is not None
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert again.unwrapped.task_config == env.unwrapped.task_config  # type: ignore[attr-defined]
