"""A task in plain values, and the discriminator that it carries."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from seqgan_env.device import resolve_device
from seqgan_env.discriminators import Discriminator, OptimalDiscriminator, build_discriminator, save_discriminator
from seqgan_env.rewards import REWARDS
from seqgan_env.task import Task, TaskConfig
from seqgan_env.tokens import SequenceSpec
from tests.reference import all_sequences
from tests.reference_env import TINY


def tiny_task(**kwargs: Any) -> Task:
    return Task(TaskConfig(**{**TINY, **kwargs}))


class Answers(Discriminator):
    """A discriminator that says what it is told to."""

    def __init__(self, spec: SequenceSpec, logit_real: float) -> None:
        super().__init__(spec)
        self.logit_real = logit_real

    def forward(self, tokens_BT: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return torch.full((len(tokens_BT),), self.logit_real)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"reward": "bleu"}, "reward must be one of log_d, .*; got 'bleu'"),
        ({"device": "gpu"}, "device must be 'auto', 'cpu' or a device that is here; got 'gpu'"),
        ({"device": "meta"}, "device must be .*; got 'meta'"),
        ({"device": ""}, "device must be .*; got ''"),
        ({"device": None}, "device must be .*; got None"),
        ({"n_real": 0}, "n_real must be a whole number of at least 1, not 0"),
        ({"n_real": 2.5}, "n_real must be a whole number of at least 1, not 2.5"),
        ({"n_held_out": -1}, "n_held_out must be a whole number of at least 1, not -1"),
        ({"n_held_out": "5"}, "n_held_out must be a whole number of at least 1, not '5'"),
    ],
)
def test_a_config_refuses(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        TaskConfig(**arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"vocab_size": 0}, "vocab_size must be a whole number of at least 1, not 0"),
        ({"max_length": 0}, "max_length must be a whole number of at least 1, not 0"),
        ({"source": "nowhere.txt"}, "there is no file 'nowhere.txt'"),
        ({"source": "grammar", "vocab_size": 10}, "the grammar as a source takes no options"),
        ({"discriminator": "transformr"}, "discriminator must be one of cnn, tabular or a file; got 'transformr'"),
        ({"discriminator_kwargs": {"depth": 3}}, "discriminator 'cnn' takes .*; got depth"),
        ({"discriminator_kwargs": {"filters": [[30, 5]]}}, "filters must hold a width of at most T = 3"),
        ({"discriminator_kwargs": {"filters": 3}}, "discriminator_kwargs {'filters': 3} of 'cnn'"),
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


def test_a_device_that_is_absent_is_refused_in_one_line() -> None:
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    absent = "mps" if torch.cuda.is_available() or not torch.backends.mps.is_available() else "cuda"
    with pytest.raises(ValueError, match=f"got '{absent}'") as caught:
        resolve_device(absent)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_real_and_held_out_sequences_are_the_source_s_own() -> None:
    task = tiny_task(n_real=40, n_held_out=20, source_seed=5)
    train_BT, held_out_BT = task.source.split(40, 20, 5)
    np.testing.assert_array_equal(task.real_sequences, train_BT)
    np.testing.assert_array_equal(task.held_out_sequences, held_out_BT)


@pytest.mark.theory
@pytest.mark.parametrize("reward", REWARDS)
def test_the_score_of_every_sequence_is_the_reward_of_its_logit(reward: str) -> None:
    """Eq. 13.38, over all 27 sequences of V = T = 3, each with a logit of its own."""
    task = tiny_task(reward=reward)
    tokens_BT = all_sequences(task.spec)
    with torch.no_grad():
        logit_real_B = task.discriminator(torch.from_numpy(tokens_BT)).double()
    assert len(set(logit_real_B.tolist())) == len(tokens_BT)
    score_B = task.score(tokens_BT)
    assert score_B.dtype == np.float64
    # the network computes in single precision, and many sequences at once are another order of the same sums
    single = {"rtol": 1e-6, "atol": 1e-6}
    np.testing.assert_allclose(score_B, REWARDS[reward](logit_real_B).numpy(), **single)
    if reward == "log_d":
        np.testing.assert_allclose(score_B, F.logsigmoid(logit_real_B).numpy(), **single)


def test_only_complete_sequences_are_scored() -> None:
    task = tiny_task()
    with pytest.raises(ValueError, match="sequences must be complete: 3 tokens long; row 1 has 2"):
        task.score([[0, 1, 2], [0, 1, 3]])
    with pytest.raises(ValueError, match="sequences must have at most T = 3 columns, got 4"):
        task.score([[0, 1, 2, 0]])
    assert task.score(np.zeros((0, 3), dtype=int)).shape == (0,)
    grammar = Task(TaskConfig(source="grammar", discriminator_kwargs={"filters": [[1, 2]]}))
    short, padded = [[3, 0]], [[3, 0, *[grammar.spec.pad_id] * 15]]
    np.testing.assert_array_equal(grammar.score(short), grammar.score(padded))


@pytest.mark.parametrize("logit", [float("nan"), float("inf"), -float("inf")])
def test_a_score_that_nothing_can_learn_from_is_refused(logit: float) -> None:
    task = tiny_task()
    task.set_discriminator(Answers(task.spec, logit))
    with pytest.raises(ValueError, match=f"logits must be finite, got {logit}"):
        task.score([[0, 1, 2]])


def test_the_version_counts_changes_or_is_given() -> None:
    task = tiny_task()
    assert task.discriminator_version == 0
    task.set_discriminator(build_discriminator("cnn", task.spec, seed=1))
    assert task.discriminator_version == 1
    task.load_discriminator(task.discriminator_weights())
    assert task.discriminator_version == 2
    task.load_discriminator(task.discriminator_weights(), version=7)
    assert task.discriminator_version == 7
    task.set_discriminator(build_discriminator("cnn", task.spec), version=9)
    assert task.discriminator_version == 9


def test_weights_travel_from_task_to_task() -> None:
    sender, receiver = tiny_task(discriminator_seed=1), tiny_task(discriminator_seed=2)
    tokens_BT = all_sequences(sender.spec)
    expected_B = sender.score(tokens_BT)
    assert (receiver.score(tokens_BT) != expected_B).all()
    weights = sender.discriminator_weights()
    receiver.load_discriminator(weights)
    np.testing.assert_array_equal(receiver.score(tokens_BT), expected_B)
    for array in weights.values():  # a copy went out, and a copy came in
        array[...] = 0
    np.testing.assert_array_equal(sender.score(tokens_BT), expected_B)
    np.testing.assert_array_equal(receiver.score(tokens_BT), expected_B)


def test_read_only_weights_are_taken() -> None:
    task = tiny_task()
    weights = dict(task.discriminator_weights())
    for array in weights.values():
        array.flags.writeable = False
    task.load_discriminator(weights)
    assert task.discriminator_version == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"output.bias": None}, "missing or unknown: output.bias"),
        ({"extra": np.zeros(1)}, "missing or unknown: extra"),
        ({"output.bias": np.zeros(2)}, r"output.bias must have shape \(1,\), got \(2,\)"),
        ({"output.bias": np.zeros(())}, r"output.bias must have shape \(1,\), got \(\)"),
        ({"output.bias": np.array([np.nan])}, "output.bias must be finite"),
        ({"output.bias": np.array(["a"])}, "can't convert"),
    ],
)
def test_weights_that_do_not_fit_change_nothing(change: dict[str, Any], message: str) -> None:
    task = tiny_task()
    before_B = task.score(all_sequences(task.spec))
    others = dict(tiny_task(discriminator_seed=1).discriminator_weights()) | change
    weights = {name: array for name, array in others.items() if array is not None}
    with pytest.raises(ValueError, match=f"the weights do not fit the task's discriminator: .*{message}"):
        task.load_discriminator(weights)
    assert task.discriminator_version == 0
    np.testing.assert_array_equal(task.score(all_sequences(task.spec)), before_B)


def test_an_object_set_as_discriminator_is_used_itself_and_without_dropout() -> None:
    task = tiny_task()
    discriminator = build_discriminator("cnn", task.spec, seed=3, kwargs={"filters": [[1, 4]], "dropout": 0.9})
    discriminator.train()
    task.set_discriminator(discriminator)
    assert task.discriminator is discriminator
    np.testing.assert_array_equal(task.score([[0, 1, 2]] * 3), task.score([[0, 1, 2]])[[0, 0, 0]])
    assert not discriminator.training


def test_a_discriminator_of_another_task_is_refused() -> None:
    task = tiny_task()
    other = OptimalDiscriminator(SequenceSpec(3, 4), task.source.log_prob, task.source.log_prob)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=r"made for SequenceSpec\(.*max_length=4.*, the task has .*max_length=3"):
        task.set_discriminator(other)
    with pytest.raises(ValueError, match="must be a Discriminator, got Linear"):
        task.set_discriminator(torch.nn.Linear(2, 2))  # type: ignore[arg-type]
    assert task.discriminator_version == 0


def test_a_discriminator_comes_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "d.safetensors"
    original = tiny_task(discriminator_seed=4)
    save_discriminator(original.discriminator, path)
    task = Task(TaskConfig(vocab_size=3, max_length=3, discriminator=str(path)))
    np.testing.assert_array_equal(task.score(all_sequences(task.spec)), original.score(all_sequences(task.spec)))
    with pytest.raises(ValueError, match=r"is a discriminator of SequenceSpec.*, the task has SequenceSpec"):
        Task(TaskConfig(vocab_size=4, max_length=3, discriminator=str(path)))
    with pytest.raises(ValueError, match="discriminator_kwargs come with the file"):
        Task(TaskConfig(vocab_size=3, max_length=3, discriminator=str(path), discriminator_kwargs={"l2": 0.1}))


def test_words_are_text_where_there_is_one() -> None:
    grammar = Task(TaskConfig(source="grammar"))
    ids = grammar.encode_prefix({"prefix": "every bird sleeps"})
    assert grammar.words(np.array([*ids, grammar.spec.pad_id])) == ["every", "bird", "sleeps"]
    assert tiny_task().words(np.array([2, 0, 3])) == ["2", "0"]


def test_of_many_sequences_each_is_scored_once() -> None:
    task = Task(TaskConfig(**{**TINY, "vocab_size": 4, "max_length": 5}))
    distinct_KT = np.unique(np.random.default_rng(0).integers(4, size=(100, 5)), axis=0)
    which_B = np.random.default_rng(1).integers(len(distinct_KT), size=1000)
    seen = []
    logits = task.discriminator.logits
    task.discriminator.logits = lambda tokens: (seen.append(tokens), logits(tokens))[1]  # type: ignore[method-assign]
    reward_B = task.score(distinct_KT[which_B])
    (scored,) = seen
    assert sorted(scored.tolist()) == distinct_KT[np.unique(which_B)].tolist()
    np.testing.assert_allclose(reward_B, task.score(distinct_KT)[which_B], rtol=1e-5)
