"""What a task pays for complete sequences: the score, its precision, and the discriminator that gives it."""

from __future__ import annotations

import copy
import itertools
import pickle
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from seqgan_env import SeqGANEnv
from seqgan_env.discriminators import (
    DISCRIMINATORS,
    Discriminator,
    DiscriminatorTrainer,
    OptimalDiscriminator,
    build_discriminator,
    save_discriminator,
)
from seqgan_env.rewards import REWARDS
from seqgan_env.scoring import MAX_EXACT_SCORES
from seqgan_env.task import Task
from seqgan_env.task_config import TaskConfig
from seqgan_env.tokens import SequenceSpec
from tests.support.discriminators import optimal
from tests.support.reference import all_sequences
from tests.support.reference_env import TINY
from tests.support.rewards import pay_in
from tests.support.tasks import GRAMMAR, TABULAR, tiny_task


class Answers(Discriminator):
    """A discriminator that says what it is told to."""

    def __init__(self, spec: SequenceSpec, logit_real: float) -> None:
        super().__init__(spec)
        self.logit_real = logit_real

    def forward(self, tokens_BT: Tensor, rng: torch.Generator | None = None) -> Tensor:
        return torch.full((len(tokens_BT),), self.logit_real)


class Writing(Discriminator):
    """A bag of tokens that embeds padding as many people do, by writing another id in its place."""

    def __init__(self, spec: SequenceSpec) -> None:
        super().__init__(spec)
        self.embedding = torch.nn.Embedding(spec.vocab_size, 1)

    def all_token_logits(self, tokens_BT: Tensor) -> Tensor:
        return self.token_logits(tokens_BT)[:, :, None] * torch.ones(self.spec.vocab_size)

    def token_logits(self, tokens_BT: Tensor, rng: torch.Generator | None = None) -> Tensor:
        is_token_BT = self.spec.is_token(tokens_BT)
        tokens_BT[~is_token_BT] = 0
        return self.embedding(tokens_BT)[:, :, 0] * is_token_BT

    def forward(self, tokens_BT: Tensor, rng: torch.Generator | None = None) -> Tensor:
        return self.token_logits(tokens_BT).sum(dim=1)


def test_a_discriminator_may_write_to_the_tokens_that_it_is_given() -> None:
    """Neither an episode nor the sequences of a task change, whoever asks, with an array or a tensor."""
    env = SeqGANEnv(**GRAMMAR, reward="log_ratio", n_real=20, n_held_out=20, shaping="discriminator")
    scoring, rows_BT = env.task.scoring, env.held_out_sequences
    before_BT, tensor_BT = rows_BT.copy(), torch.from_numpy(rows_BT)
    discriminator = Writing(scoring.spec).eval()
    scoring.set_discriminator(discriminator)
    for ask in (
        lambda tokens_BT: discriminator(tokens_BT, rng=None),
        discriminator.tensor_logits,
        discriminator.exact_logits,
        scoring.score_tensor,
        scoring.action_values,
        scoring.known_values,
    ):
        ask(tensor_BT)
        np.testing.assert_array_equal(rows_BT, before_BT)
    for ask_array in (discriminator.logits, discriminator.row_logits, discriminator.prefix_logits, scoring.step_reward):
        ask_array(rows_BT)
        np.testing.assert_array_equal(rows_BT, before_BT)
    trainer = DiscriminatorTrainer(discriminator)
    trainer.fit_until_stale(rows_BT, rows_BT, rows_BT, rows_BT, max_epochs=1)
    np.testing.assert_array_equal(rows_BT, before_BT)
    observation_T, _ = env.reset()
    row_T = rows_BT[scoring.spec.lengths(rows_BT) < scoring.spec.max_length][0]
    for token in row_T[scoring.spec.is_token(row_T)]:
        observation_T, *_ = env.step(token)
    np.testing.assert_array_equal(observation_T, row_T)


@pytest.mark.theory
@pytest.mark.parametrize("reward", REWARDS)
def test_the_score_of_every_sequence_is_the_reward_of_its_logit(reward: str) -> None:
    """Eq. 13.38, over all 27 sequences of V = T = 3, each with a logit of its own."""
    task = tiny_task(reward=reward)
    if task.scoring.entry.discriminator == "exact":
        task.scoring.set_discriminator(optimal(task.spec))
    tokens_BT = all_sequences(task.spec)
    with torch.no_grad():
        logit_real_B = task.scoring.discriminator(torch.from_numpy(tokens_BT)).double()
    assert len(set(logit_real_B.tolist())) == len(tokens_BT)
    score_B = task.scoring.score(tokens_BT)
    assert score_B.dtype == np.float64
    # the network computes in single precision, and many sequences at once are another order of the same sums
    single = {"rtol": 1e-6, "atol": 1e-6}
    np.testing.assert_allclose(score_B, pay_in(task, logit_real_B, torch.from_numpy(tokens_BT)).numpy(), **single)
    if reward == "log_d":
        np.testing.assert_allclose(score_B, F.logsigmoid(logit_real_B).numpy(), **single)


def test_only_complete_sequences_are_scored() -> None:
    task = tiny_task()
    with pytest.raises(ValueError, match="sequences must be complete: 3 tokens long; row 1 has 2"):
        task.scoring.score([[0, 1, 2], [0, 1, 3]])
    with pytest.raises(ValueError, match="sequences must have at most T = 3 columns, got 4"):
        task.scoring.score([[0, 1, 2, 0]])
    assert task.scoring.score(np.zeros((0, 3), dtype=int)).shape == (0,)
    grammar = Task(TaskConfig(source="grammar", discriminator_kwargs={"filters": [[1, 2]]}))
    short, padded = [[3, 0]], [[3, 0, *[grammar.spec.pad_id] * 15]]
    np.testing.assert_array_equal(grammar.scoring.score(short), grammar.scoring.score(padded))


@pytest.mark.parametrize("logit", [float("nan"), float("inf"), -float("inf")])
def test_a_score_that_nothing_can_learn_from_is_refused(logit: float) -> None:
    task = tiny_task()
    task.scoring.set_discriminator(Answers(task.spec, logit))
    with pytest.raises(ValueError, match=f"logits must be finite in single precision, got {logit}"):
        task.scoring.score([[0, 1, 2]])


def test_the_version_counts_changes_or_is_given() -> None:
    task = tiny_task()
    assert task.scoring.version == 0
    task.scoring.set_discriminator(build_discriminator("cnn", task.spec, seed=1))
    assert task.scoring.version == 1
    task.scoring.load_discriminator(task.scoring.discriminator_weights())
    assert task.scoring.version == 2
    task.scoring.load_discriminator(task.scoring.discriminator_weights(), version=7)
    assert task.scoring.version == 7
    task.scoring.set_discriminator(build_discriminator("cnn", task.spec), version=9)
    assert task.scoring.version == 9


def test_weights_travel_from_task_to_task() -> None:
    sender, receiver = tiny_task(discriminator_seed=1), tiny_task(discriminator_seed=2)
    tokens_BT = all_sequences(sender.spec)
    expected_B = sender.scoring.score(tokens_BT)
    assert (receiver.scoring.score(tokens_BT) != expected_B).all()
    weights = sender.scoring.discriminator_weights()
    receiver.scoring.load_discriminator(weights)
    np.testing.assert_array_equal(receiver.scoring.score(tokens_BT), expected_B)
    for array in weights.values():  # a copy went out, and a copy came in
        array[...] = 0
    np.testing.assert_array_equal(sender.scoring.score(tokens_BT), expected_B)
    np.testing.assert_array_equal(receiver.scoring.score(tokens_BT), expected_B)


def test_read_only_weights_are_taken() -> None:
    task = tiny_task()
    weights = dict(task.scoring.discriminator_weights())
    for array in weights.values():
        array.flags.writeable = False
    task.scoring.load_discriminator(weights)
    assert task.scoring.version == 1


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
    before_B = task.scoring.score(all_sequences(task.spec))
    others = dict(tiny_task(discriminator_seed=1).scoring.discriminator_weights()) | change
    weights = {name: array for name, array in others.items() if array is not None}
    with pytest.raises(ValueError, match=f"the weights do not fit the task's discriminator: .*{message}"):
        task.scoring.load_discriminator(weights)
    assert task.scoring.version == 0
    np.testing.assert_array_equal(task.scoring.score(all_sequences(task.spec)), before_B)


def test_an_object_set_as_discriminator_is_used_itself_and_without_dropout() -> None:
    task = tiny_task()
    discriminator = build_discriminator("cnn", task.spec, seed=3, kwargs={"filters": [[1, 4]], "dropout": 0.9})
    discriminator.train()
    task.scoring.set_discriminator(discriminator)
    assert task.scoring.discriminator is discriminator
    np.testing.assert_array_equal(task.scoring.score([[0, 1, 2]] * 3), task.scoring.score([[0, 1, 2]])[[0, 0, 0]])
    assert not discriminator.training


def test_new_weights_leave_an_object_that_others_score_with_as_it_is() -> None:
    given, ours, theirs = (
        build_discriminator("cnn", tiny_task().spec, kwargs=TINY["discriminator_kwargs"], seed=3),
        tiny_task(),
        tiny_task(),
    )
    tokens_BT = all_sequences(given.spec)
    for task in (ours, theirs):
        task.scoring.set_discriminator(given)
    before_B = theirs.scoring.score(tokens_BT)
    with pytest.raises(ValueError, match="the weights do not fit"):
        ours.scoring.load_discriminator({"no": np.zeros(1)})
    assert ours.scoring.discriminator is given
    for seed in (1, 2):
        sender = tiny_task(discriminator_seed=seed).scoring
        ours.scoring.load_discriminator(sender.discriminator_weights())
        np.testing.assert_array_equal(ours.scoring.score(tokens_BT), sender.score(tokens_BT))
        np.testing.assert_array_equal(theirs.scoring.score(tokens_BT), before_B)
        np.testing.assert_array_equal(given.row_logits(tokens_BT), theirs.scoring.discriminator.row_logits(tokens_BT))
    assert (theirs.scoring.version, ours.scoring.version) == (1, 3)
    follows = optimal(given.spec)  # a copy of what follows a generator would follow a copy of that
    ours.scoring.set_discriminator(follows)
    ours.scoring.load_discriminator(ours.scoring.discriminator_weights())
    assert ours.scoring.discriminator is follows


def test_a_discriminator_can_be_trained_although_it_was_first_needed_in_inference_mode() -> None:
    env, given, tokens_BT = SeqGANEnv(**TINY), tiny_task(), np.array([[0, 1, 2]])
    given.scoring.set_discriminator(build_discriminator("cnn", given.spec, kwargs=TINY["discriminator_kwargs"], seed=3))
    for scoring in (env.task.scoring, given.scoring):
        with torch.inference_mode():
            before_B = scoring.score(tokens_BT)
            scoring.load_discriminator(scoring.discriminator_weights())
        np.testing.assert_array_equal(scoring.score(tokens_BT), before_B)
        DiscriminatorTrainer(scoring.discriminator, learning_rate=0.1).fit(tokens_BT, 2 - tokens_BT)
        assert (scoring.score(tokens_BT) != before_B).all()


def test_a_discriminator_of_another_task_is_refused() -> None:
    task = tiny_task()
    other = OptimalDiscriminator(SequenceSpec(3, 4), task.source.log_prob, task.source.log_prob)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=r"made for SequenceSpec\(.*max_length=4.*, the task has .*max_length=3"):
        task.scoring.set_discriminator(other)
    with pytest.raises(ValueError, match="must be a Discriminator, got Linear"):
        task.scoring.set_discriminator(torch.nn.Linear(2, 2))  # type: ignore[arg-type]
    assert task.scoring.version == 0


def test_a_discriminator_comes_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "d.safetensors"
    original = tiny_task(discriminator_seed=4)
    save_discriminator(original.scoring.discriminator, path)
    task = Task(TaskConfig(vocab_size=3, max_length=3, discriminator=str(path)))
    np.testing.assert_array_equal(
        task.scoring.score(all_sequences(task.spec)), original.scoring.score(all_sequences(task.spec))
    )
    with pytest.raises(ValueError, match=r"is a discriminator of SequenceSpec.*, the task has SequenceSpec"):
        Task(TaskConfig(vocab_size=4, max_length=3, discriminator=str(path)))
    with pytest.raises(ValueError, match="discriminator_kwargs come with the file"):
        Task(TaskConfig(vocab_size=3, max_length=3, discriminator=str(path), discriminator_kwargs={"l2": 0.1}))


def test_of_many_sequences_each_is_scored_once() -> None:
    task = Task(TaskConfig(**{**TINY, "vocab_size": 4, "max_length": 5}))
    distinct_KT = np.unique(np.random.default_rng(0).integers(4, size=(100, 5)), axis=0)
    which_B = np.random.default_rng(1).integers(len(distinct_KT), size=1000)
    seen = []
    logits = task.scoring.discriminator.logits
    task.scoring.discriminator.logits = lambda tokens: (seen.append(tokens), logits(tokens))[1]  # type: ignore[method-assign]
    reward_B = task.scoring.score(distinct_KT[which_B])
    (scored,) = seen
    assert sorted(scored.tolist()) == distinct_KT[np.unique(which_B)].tolist()
    np.testing.assert_allclose(reward_B, task.scoring.score(distinct_KT)[which_B], rtol=1e-5)


@pytest.mark.parametrize(
    ("clip", "low", "high"), [([-1, None], -1, np.inf), ([None, -1.5], -np.inf, -1.5), ((-2, -1), -2, -1)]
)
def test_the_reward_is_cut_off_at_the_clip(clip: Any, low: float, high: float) -> None:
    free, clipped = (Task(TaskConfig(**TABULAR, **more)) for more in ({}, {"reward_clip": clip}))
    sequences_BT = all_sequences(free.spec)
    reward_B = free.scoring.score(sequences_BT)
    assert (reward_B < low).any() or (reward_B > high).any()
    np.testing.assert_array_equal(clipped.scoring.score(sequences_BT), np.clip(reward_B, low, high))


class PerToken:
    """A reward of one's own whose tokens have values, by more than the logit."""

    def __call__(self, logit_real_B: Tensor, tokens_BT: Tensor) -> Tensor:
        return logit_real_B + tokens_BT[:, 0]

    def action_values(self, logit_real_BT: Tensor) -> Tensor:
        return logit_real_BT

    def known_values(self, before_BT1: Tensor, logit_real_BTV: Tensor) -> Tensor:
        return logit_real_BTV


class TestActionValues:
    """The values that the terms of a logit give to tokens."""

    GENERATIVE: ClassVar[dict[str, Any]] = {
        "discriminator": "generative",
        "discriminator_kwargs": {"embedding_dim": 3, "hidden_dim": 4, "n_members": 1},
    }

    @pytest.mark.parametrize("make", [gym.make, lambda *a, **k: gym.make_vec(*a, num_envs=2, **k)])
    def test_are_those_of_the_reward_and_the_discriminator(self, make: Any) -> None:
        env = make("SeqGANTiny-v0", reward="log_ratio", **self.GENERATIVE).unwrapped
        tokens_BT = env.task.source.sample(6, np.random.default_rng(0))
        q_BT = env.action_values(tokens_BT)
        with torch.no_grad():
            term_BT = env.task.scoring.discriminator.token_logits(torch.from_numpy(tokens_BT)).double().numpy()
        for t in range(tokens_BT.shape[1]):
            np.testing.assert_allclose(q_BT[:, t], term_BT[:, t:].sum(axis=1), rtol=1e-6)
        assert q_BT.dtype == np.float64
        known_BTV = env.known_values(tokens_BT)
        own_BT = np.take_along_axis(known_BTV, tokens_BT[:, :, None], axis=2)[:, :, 0]
        np.testing.assert_allclose(own_BT, term_BT, rtol=1e-6, atol=1e-6)

    @pytest.mark.parametrize("reward", ["log_ratio", "log_d", "both_divergences", "relativistic"])
    def test_of_a_clipped_reward_are_those_of_what_is_paid(self, reward: str) -> None:
        """The clipped reward of the whole less that of the beginning: no more of it is a matter of the token."""
        clip = {
            "log_ratio": [-0.3, None],
            "log_d": [None, -0.7],
            "both_divergences": [0.8, 1.2],
            "relativistic": [-0.7, -0.6],
        }
        env: Any = gym.make("SeqGANTiny-v0", reward=reward, reward_clip=clip[reward], **self.GENERATIVE).unwrapped
        scoring = env.task.scoring
        tokens_BT = env.task.source.sample(6, np.random.default_rng(0))
        q_BT, known_BTV = env.action_values(tokens_BT), env.known_values(tokens_BT)
        paid_B = scoring.score(tokens_BT)
        for t in range(tokens_BT.shape[1]):
            beginning_BT = tokens_BT.copy()
            beginning_BT[:, t:] = scoring.spec.pad_id
            before_B = scoring.prefix_reward(beginning_BT)
            np.testing.assert_allclose(q_BT[:, t], paid_B - before_B, rtol=0, atol=1e-5)
            beginning_BT[:, t] = tokens_BT[:, t]
            known_B = known_BTV[np.arange(6), t, tokens_BT[:, t]]
            np.testing.assert_allclose(known_B, scoring.prefix_reward(beginning_BT) - before_B, rtol=0, atol=1e-5)
        assert np.ptp(q_BT[:, -1]) > 1e-3

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"reward": "bleu", **GENERATIVE}, "the reward 'BLEU' does not give each token a value of its own$"),
            (
                {"reward": PerToken(), "reward_clip": [-1, 1], **GENERATIVE},
                "the reward 'PerToken' does not give each token a value of its own under reward_clip: only a function",
            ),
            ({"reward": "log_ratio"}, "the logit of a TabularDiscriminator is no sum over tokens"),
        ],
    )
    def test_that_there_are_none_is_said(self, arguments: dict[str, Any], message: str) -> None:
        env: Any = gym.make("SeqGANTiny-v0", **arguments).unwrapped
        with pytest.raises(ValueError, match=message):
            env.action_values(env.task.source.sample(2, np.random.default_rng(0)))
        with pytest.raises(ValueError, match=message):
            env.known_values(env.task.source.sample(2, np.random.default_rng(0)))


class TestPrecision:
    @pytest.mark.parametrize("task", [GRAMMAR, {"vocab_size": 50}], ids=["small", "the paper's"])
    def test_a_reward_does_not_depend_on_its_neighbours(self, task: dict[str, Any]) -> None:
        """Where single precision alone would show it: the logits of one batch differ from those of another."""
        t = Task(TaskConfig(**task))
        tokens_BT = t.real_sequences[:33]
        alone = np.concatenate([t.scoring.step_reward(row[None]) for row in tokens_BT])
        np.testing.assert_array_equal(t.scoring.step_reward(tokens_BT), alone)
        np.testing.assert_array_equal(t.scoring.step_reward(tokens_BT[::-1].copy())[::-1], alone)
        single = np.concatenate([t.scoring.discriminator.logits(row[None]) for row in tokens_BT])
        assert (t.scoring.discriminator.logits(tokens_BT) != single).any()

    def test_it_is_the_single_precision_one_up_to_rounding(self) -> None:
        task = Task(TaskConfig(**GRAMMAR, reward="log_ratio"))
        rows_BT = np.resize(task.real_sequences, (MAX_EXACT_SCORES + 1, task.spec.max_length))
        exact, fast = task.scoring.score(rows_BT[:-1]), task.scoring.score(rows_BT)[:-1]
        np.testing.assert_allclose(exact, fast, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(exact, exact.astype(np.float32))

    @pytest.mark.parametrize("kind", [name for name in DISCRIMINATORS if name not in ("generative", "tabular")])
    def test_that_of_many_prefixes_is_the_exact_one_up_to_rounding(
        self, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each prefix is scored once, and only where many are asked for at once in such a context."""
        task = Task(TaskConfig(**{**GRAMMAR, "discriminator": kind, "discriminator_kwargs": {}}, reward="log_ratio"))
        scoring, n, asked = task.scoring, MAX_EXACT_SCORES + 1, []
        rows_BT = np.resize(task.real_sequences[:40], (n, task.spec.max_length))
        length_B = 1 + np.arange(n) % 3
        rows_BT[np.arange(task.spec.max_length) >= length_B[:, None]] = task.spec.pad_id
        prefix_logits = scoring.discriminator.prefix_logits

        def counted(tokens_BT: Any, *, exact: bool = True) -> Any:
            asked.append((len(tokens_BT), exact))
            return prefix_logits(tokens_BT, exact=exact)

        monkeypatch.setattr(scoring.discriminator, "prefix_logits", counted)
        for ask in (scoring.prefix_reward, scoring.prefix_logit):
            exact = ask(rows_BT)
            with scoring.of_many():
                few, fast = ask(rows_BT[:-1]), ask(rows_BT)
            again = ask(rows_BT)
            np.testing.assert_array_equal(few, exact[:-1])
            np.testing.assert_array_equal(again, exact)
            np.testing.assert_allclose(fast, exact, rtol=1e-4, atol=1e-6)
            n_distinct = len(np.unique(rows_BT, axis=0))
            assert asked == [(n, True), (n - 1, True), (n_distinct, False), (n, True)]
            asked.clear()
        assert scoring.n_scored == 8 * n - 2

    def test_weights_and_mode_of_the_discriminator_stay(self) -> None:
        task = Task(TaskConfig(**GRAMMAR))
        before = task.scoring.discriminator_weights()
        task.scoring.discriminator.train()
        first, second = (task.scoring.step_reward(task.real_sequences[:5]) for _ in range(2))
        np.testing.assert_array_equal(first, second)  # no dropout
        assert task.scoring.discriminator.training
        for name, weight in task.scoring.discriminator_weights().items():
            assert weight.dtype == before[name].dtype
            np.testing.assert_array_equal(weight, before[name])

    def test_values_of_tokens_know_no_dropout_in_either_mode(self) -> None:
        kwargs = {"discriminator": "log_ratio", "discriminator_kwargs": {"dropout": 0.5}}
        task = tiny_task(**kwargs, reward="log_ratio")
        discriminator, tokens_BT = task.scoring.discriminator, torch.from_numpy(all_sequences(task.spec))
        for parameter in discriminator.parameters():
            parameter.data.fill_(0.1)
        for ask in (task.scoring.action_values, task.scoring.known_values):
            expected = ask(tokens_BT)
            discriminator.train()
            assert torch.equal(ask(tokens_BT), expected)
            assert discriminator.training
            discriminator.eval()

    def test_weights_changed_in_place_count_at_once(self) -> None:
        task = Task(TaskConfig(**GRAMMAR))
        rows_BT = task.real_sequences[:5]
        seen = [task.scoring.step_reward(rows_BT)]
        with torch.no_grad():
            for parameter in task.scoring.discriminator.parameters():
                parameter.mul_(1.5)
        seen.append(task.scoring.step_reward(rows_BT))
        trainer = DiscriminatorTrainer(task.scoring.discriminator, learning_rate=0.1)
        trainer.fit(rows_BT, rows_BT)
        seen.append(task.scoring.step_reward(rows_BT))
        for parameter in task.scoring.discriminator.parameters():
            parameter.data.clamp_(-0.05, 0.05)
        seen.append(task.scoring.step_reward(rows_BT))
        task.scoring.load_discriminator(SeqGANEnv(**GRAMMAR, discriminator_seed=1).discriminator_weights())
        seen.append(task.scoring.step_reward(rows_BT))
        task.scoring.discriminator.output.weight = torch.nn.Parameter(
            torch.ones_like(task.scoring.discriminator.output.weight)
        )
        seen.append(task.scoring.step_reward(rows_BT))
        for a, b in itertools.pairwise(seen):
            assert (a != b).all()

    def test_a_copy_has_weights_of_its_own(self) -> None:
        task = Task(TaskConfig(**GRAMMAR))
        rows_BT = task.real_sequences[:5]
        before = task.scoring.step_reward(rows_BT)
        for twin in (copy.deepcopy(task), pickle.loads(pickle.dumps(task))):
            np.testing.assert_array_equal(twin.scoring.step_reward(rows_BT), before)
            with torch.no_grad():
                twin.scoring.discriminator.output.weight.zero_()
            assert (twin.scoring.step_reward(rows_BT) != before).all()
        np.testing.assert_array_equal(task.scoring.step_reward(rows_BT), before)


def test_weights_of_another_vocabulary_of_the_same_size_are_refused(tmp_path: Path) -> None:
    """They say which sequences they are made for, also after a trip to another process."""
    sizes = {"discriminator_kwargs": {"embedding_dim": 4, "filters": [[1, 4]]}}
    envs = []
    for name, text in (("ours", "cats eat fish\ndogs eat meat\n"), ("theirs", "we go home\nyou go away\n")):
        (tmp_path / name).write_text(text)
        envs.append(SeqGANEnv(source=str(tmp_path / name), **sizes))
    weights = pickle.loads(pickle.dumps(envs[0].discriminator_weights()))
    with pytest.raises(ValueError, match=r"the weights are made for .*, the task has"):
        envs[1].load_discriminator(weights)
    envs[0].load_discriminator(weights)
    assert (envs[0].discriminator_version, envs[1].discriminator_version) == (1, 0)


@pytest.mark.parametrize(
    ("road", "n"),
    [
        ("score", MAX_EXACT_SCORES + 1),
        *((road, 3) for road in ("score", "step_reward", "score_tensor", "action_values", "prefix_reward")),
        ("prefix_logit", 3),
    ],
)
def test_whatever_is_scored_is_counted(road: str, n: int) -> None:
    scoring = tiny_task(discriminator="log_ratio", discriminator_kwargs={}, reward="log_ratio").scoring
    tokens_BT = np.zeros((n, scoring.spec.max_length), dtype=np.int64)  # each counts, also where all are the same
    rows = torch.from_numpy(tokens_BT) if road in ("score_tensor", "action_values") else tokens_BT
    for times in (1, 2):
        getattr(scoring, road)(rows)
        assert scoring.n_scored == times * n
