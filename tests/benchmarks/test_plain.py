"""The plain reference of ``benchmarks.speed`` computes what the package computes: its own correctness, and ours."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from agents.monte_carlo import action_values
from benchmarks import plain
from seqgan_env.autoregressive import AutoregressiveModel
from seqgan_env.discriminators import CNNDiscriminator, DiscriminatorTrainer
from seqgan_env.discriminators.cnn import CNNConfig
from seqgan_env.metrics.likelihood import likelihood_metrics
from seqgan_env.task import Task
from seqgan_env.task_config import TaskConfig
from seqgan_env.tokens import SequenceSpec
from tests.support import reference
from tests.support.builders import every_kind, make_generator, score_by
from tests.support.significance import assert_mean, assert_same_distribution, counts_of

SPEC = SequenceSpec(3, 3, 0)


def discriminator(spec: SequenceSpec = SPEC, dropout: float = 0.25) -> CNNDiscriminator:
    torch.manual_seed(0)
    return CNNDiscriminator(spec, CNNConfig(embedding_dim=4, filters=((1, 3), (2, 4), (3, 2)), dropout=dropout))


def generator_of(spec: SequenceSpec) -> AutoregressiveModel:
    return make_generator("lstm", spec)


@pytest.mark.theory
@every_kind
def test_its_action_values_are_unbiased_too(kind: str) -> None:
    """Eq. 13.40, by the loop that replays every prefix: the exact values lie in its interval, and in ours."""
    policy = make_generator(kind, SPEC)
    table = reference.random_reward(SPEC)
    rows = reference.representatives(SPEC)
    tokens_BT = torch.from_numpy(reference.padded(SPEC, rows))
    score, n = score_by(SPEC, table), 1000
    many_BT = tokens_BT.repeat(n, 1)
    exact_BT = reference.action_values(SPEC, reference.next_token_of(policy), reference.reward_of(table), rows)
    torch.manual_seed(0)
    for q_BT in (
        plain.action_values(policy, many_BT, score(many_BT), score, 2),
        action_values(policy, many_BT, score(many_BT), score, n_completions=2),
    ):
        assert_mean(q_BT.view(n, -1).numpy(), exact_BT.flatten().numpy())


@pytest.mark.theory
def test_its_sequences_follow_the_same_law() -> None:
    policy = generator_of(SPEC)
    torch.manual_seed(0)
    outcomes_BT = reference.all_sequences(SPEC)
    samples = plain.sample(policy, 20_000), policy.sample(20_000)
    assert_same_distribution(*(counts_of(tokens_BT.numpy(), outcomes_BT) for tokens_BT in samples))


def test_its_discriminator_is_the_same_function_and_learns_the_same() -> None:
    spec = SequenceSpec(20, 6)
    rng = np.random.default_rng(0)
    real, generated = (rng.integers(20, size=(64, 6)) for _ in range(2))
    ours, theirs = discriminator(spec, dropout=0.0), discriminator(spec, dropout=0.0)
    twin = plain.PlainDiscriminator(theirs)
    torch.testing.assert_close(twin(torch.from_numpy(real)), ours(torch.from_numpy(real)))
    trainer = DiscriminatorTrainer(ours, learning_rate=0.01)
    trainer.update(torch.from_numpy(real), torch.from_numpy(generated))
    plain.discriminator_epoch(twin, torch.optim.Adam(twin.parameters(), lr=0.01), real, generated)
    for (name, mine), its in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-3, atol=1e-5, msg=lambda m, name=name: f"{name}: {m}")


def test_its_likelihoods_and_their_updates_are_the_same() -> None:
    spec = SequenceSpec(20, 6)
    ours = generator_of(spec)
    theirs = copy.deepcopy(ours)
    tokens_BT = ours.sample(64)
    torch.testing.assert_close(plain.log_prob(theirs, tokens_BT), ours.log_prob(tokens_BT))
    optimizers = [torch.optim.Adam(policy.parameters(), lr=0.01) for policy in (ours, theirs)]
    loss = -ours.log_prob(tokens_BT).mean()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(ours.parameters(), 5.0)
    optimizers[0].step()
    plain.maximum_likelihood_epoch(theirs, optimizers[1], tokens_BT.numpy())
    for mine, its in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, its)


def test_its_evaluation_is_the_same() -> None:
    task = Task(TaskConfig(vocab_size=20, max_length=6, n_real=50, n_held_out=50))
    policy = generator_of(task.spec).float()
    generated = policy.sample(50).numpy()
    ours = likelihood_metrics(task.source, task.real_sequences, generated, policy.sequence_log_prob)
    theirs = plain.evaluate(policy, task.source, task.real_sequences, generated)
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, rel=1e-5), name
