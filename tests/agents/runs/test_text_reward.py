"""The discriminator of a run as a reward of texts."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from agents.runs.experiment import Experiment
from agents.runs.text_reward import TextReward, as_trl_reward
from seqgan_env.task_config import TaskConfig
from tests.support.runs import SHORT

LINES = ["a man rides a horse", "a dog runs", "the man runs", "a horse", "the dog rides"] * 8
LOWEST = -10.0


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """A run on the lines, whose discriminator was trained."""
    folder = tmp_path_factory.mktemp("text_reward")
    (folder / "lines.txt").write_text("\n".join(LINES))
    kwargs = SHORT.task.discriminator_kwargs
    task = TaskConfig(source=str(folder / "lines.txt"), discriminator_kwargs=kwargs)
    experiment = Experiment(dataclasses.replace(SHORT, task=task), folder / "run", progress=False)
    experiment.run()
    return experiment


@pytest.mark.parametrize("reward", ["log_d", "log_ratio", "centered", lambda logit, tokens: 2 * logit])
def test_a_line_is_paid_as_in_the_task(trained: Experiment, reward: object) -> None:
    task = trained.game.task
    rows = task.real_sequences[:5]
    vocabulary = task.source.vocabulary
    assert vocabulary is not None
    pay = as_trl_reward(trained.folder.path, reward)  # type: ignore[arg-type]
    logits = task.scoring.discriminator.logits(rows)
    paid = {"log_d": -np.log1p(np.exp(-logits)), "log_ratio": logits, "centered": np.tanh(logits / 2)}
    expected = paid[reward] if isinstance(reward, str) else 2 * logits
    assert pay([vocabulary.decode(row) for row in rows]) == pytest.approx(expected, abs=1e-6)
    assert all(type(value) is float for value in pay(["a dog"]))


def test_conversations_and_prompts_and_whatever_else_a_trainer_tells(trained: Experiment) -> None:
    alone, whole = (as_trl_reward(trained.folder.path, with_prompts=each) for each in (False, True))
    texts = ["man runs", "dog runs"]
    assert alone(texts, prompts=["the ", "a "], trainer_state=None) == alone(completions=texts)
    assert whole(texts, prompts=["the ", "a "]) == alone(["the man runs", "a dog runs"])
    messages = [[{"role": "assistant", "content": text}] for text in texts]
    assert alone(messages) == alone(texts)
    in_parts = [
        [{"content": [{"type": "image"}, {"type": "text", "text": text}]}, {"content": None}, {}] for text in texts
    ]
    assert alone(in_parts) == alone(texts)
    assert alone([]) == []
    assert isinstance(alone.__name__, str)
    with pytest.raises(ValueError, match="a prompt for each completion, got 1 for 2"):
        whole(texts, prompts=["the "])


@pytest.mark.parametrize(
    "wrong", [None, 7, ["a dog"], [{"content": 7}], [{"content": ["a dog"]}], [{"content": [{"text": 7}]}]]
)
def test_what_is_no_text_is_refused(trained: Experiment, wrong: object) -> None:
    pay = as_trl_reward(trained.folder.path)
    with pytest.raises(ValueError, match=r"a completion or prompt must be a text, or messages .*; got"):
        pay(["a dog", wrong])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="must be lists of texts, got one text"):
        pay("a dog")


@pytest.mark.parametrize("floor", ["-1", float("nan"), -float("inf")])
def test_a_floor_is_a_finite_number(trained: Experiment, floor: float) -> None:
    with pytest.raises(ValueError, match="floor must be"):
        as_trl_reward(trained.folder.path, floor=floor)


def test_what_no_line_could_be_is_the_surest_fake(trained: Experiment) -> None:
    pay = as_trl_reward(trained.folder.path)
    too_long, unknown, good = " ".join(["a"] * 50), "a zebra", "a dog"
    assert pay([too_long, unknown, good])[:2] == [LOWEST, LOWEST]
    assert pay([too_long, unknown, good])[2:] == pay([good])
    assert pay([good])[0] > LOWEST
    assert as_trl_reward(trained.folder.path, allow_unknown=True)([unknown])[0] > LOWEST
    assert as_trl_reward(trained.folder.path, floor=-0.1)([good, unknown]) == [-0.1, -0.1]


@pytest.mark.parametrize("reward", ["bleu", "rank", "oracle", "unheard_of"])
def test_rewards_that_need_more_are_refused_at_once(trained: Experiment, reward: str) -> None:
    with pytest.raises(ValueError, match="reward"):
        as_trl_reward(trained.folder.path, reward)


def test_a_run_without_text_has_none(finished: Path) -> None:
    with pytest.raises(ValueError, match="have no text"):
        as_trl_reward(finished)


def test_it_is_made_of_any_discriminator(trained: Experiment) -> None:
    vocabulary = trained.game.task.source.vocabulary
    assert vocabulary is not None
    discriminator = trained.game.task.scoring.discriminator
    assert TextReward(discriminator, vocabulary)(["a dog"]) == as_trl_reward(trained.folder.path)(["a dog"])
