"""The sequences of policies: against the generator inside, and against all sequences there are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import DQN, PPO

from agents import GeneratorActorCritic, PrefixExtractor, make_seqgan_vec_env
from agents.runs.evaluation import Likely
from agents.sweeps.sequences import GreedySequences, StochasticSequences, sequences_of
from seqgan_env.tokens import SequenceSpec
from tests.support import reference

READER: dict[str, Any] = {"features_extractor_class": PrefixExtractor, "features_extractor_kwargs": {"features_dim": 4}}


def actor_critic(spec: SequenceSpec) -> GeneratorActorCritic:
    tokens = spaces.Box(0, spec.vocab_size, (spec.max_length,), np.int64)
    actions = spaces.Discrete(spec.vocab_size)
    policy = GeneratorActorCritic(
        tokens, actions, lambda _: 1e-3, eos_id=spec.eos_id, embedding_dim=8, hidden_dim=8
    )  # fmt: skip
    with torch.no_grad():
        for parameter in policy.generator.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(0))
    return policy


@pytest.mark.parametrize("eos_id", [0, None])
def test_a_policy_asked_token_by_token_is_its_generator(eos_id: int | None) -> None:
    spec = SequenceSpec(3, 3, eos_id)
    policy = actor_critic(spec)
    sequences = StochasticSequences(policy, spec)
    every_BT = reference.padded(spec, reference.sequences(spec))
    for temperature in (1.0, 0.5):
        ours_B = sequences.sequence_log_prob(every_BT, temperature)
        np.testing.assert_allclose(ours_B, policy.generator.sequence_log_prob(every_BT, temperature), atol=1e-5)
        assert np.exp(ours_B).sum() == pytest.approx(1, abs=1e-5)
        n = 4_000
        drawn_BT = spec.validate(sequences.draw(n, seed=3, temperature=temperature), complete=True)
        count_B = (drawn_BT[:, None] == every_BT).all(axis=2).sum(axis=0)
        assert np.all(np.abs(count_B / n - np.exp(ours_B)) < 5 * np.sqrt(0.25 / n))
        assert np.array_equal(drawn_BT, sequences.draw(n, seed=3, temperature=temperature))


def test_a_recurrent_policy_has_a_likelihood_too() -> None:
    contrib = pytest.importorskip("sb3_contrib")
    env = make_seqgan_vec_env("SeqGANTiny-v0", n_envs=2, vocab_size=3, max_length=3)
    model = contrib.RecurrentPPO("MlpLstmPolicy", env, n_steps=4, seed=0, device="cpu", policy_kwargs=dict(READER))
    spec = SequenceSpec(3, 3)
    sequences = sequences_of(model, spec)
    assert isinstance(sequences, Likely)
    every_BT = reference.padded(spec, reference.sequences(spec))
    log_prob_B = sequences.sequence_log_prob(every_BT)
    assert np.exp(log_prob_B).sum() == pytest.approx(1, abs=1e-5)
    assert np.ptp(log_prob_B) > 1e-4


def test_a_value_based_model_plays_its_best_tokens_and_explores() -> None:
    env = make_seqgan_vec_env("SeqGANTiny-v0", n_envs=2, vocab_size=3, max_length=3)
    model = DQN("MlpPolicy", env, seed=0, device="cpu", buffer_size=10, policy_kwargs=dict(READER))
    sequences = sequences_of(model, SequenceSpec(3, 3))
    assert isinstance(sequences, GreedySequences)
    assert not isinstance(sequences, Likely)
    model.exploration_rate = 0.0
    greedy_BT = sequences.draw(5, seed=0)
    assert len(np.unique(greedy_BT, axis=0)) == 1
    prefix = np.full((1, 3), 3)
    for t in range(3):
        assert model.predict(prefix, deterministic=True)[0][0] == greedy_BT[0, t]
        prefix[0, t] = greedy_BT[0, t]
    model.exploration_rate = 1.0
    counts = np.bincount(sequences.draw(3_000, seed=1).ravel(), minlength=3)
    assert np.all(np.abs(counts / counts.sum() - 1 / 3) < 5 * np.sqrt(2 / 9 / 9_000))


def test_a_model_of_neither_kind_is_refused() -> None:
    env = make_seqgan_vec_env("SeqGANTiny-v0", n_envs=2)
    model = PPO("MlpPolicy", env, n_steps=4, batch_size=8, device="cpu")
    assert isinstance(sequences_of(model, SequenceSpec(4, 4)), StochasticSequences)
    model.policy = torch.nn.Linear(1, 1)  # type: ignore[assignment]
    with pytest.raises(ValueError, match="the sequences of PPO can't be drawn"):
        sequences_of(model, SequenceSpec(4, 4))
