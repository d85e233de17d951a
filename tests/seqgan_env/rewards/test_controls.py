"""Rewards that are controls."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from seqgan_env.rewards.controls import Random, RandomConfig
from seqgan_env.tokens import SequenceSpec
from tests.support import reference
from tests.support.rewards import pay


def test_the_constant_is_1_whatever_the_logit() -> None:
    logit_B = torch.tensor([-1e9, -1.0, 0.0, 1e9], dtype=torch.float64)
    assert pay("constant", logit_B).tolist() == [1, 1, 1, 1]


class TestRandom:
    def test_a_sequence_has_one_number_wherever_it_stands(self) -> None:
        tokens_BT = torch.from_numpy(np.random.default_rng(0).integers(0, 6, size=(3000, 4)))
        paid_B = Random(RandomConfig())(torch.zeros(3000, dtype=torch.float64), tokens_BT)
        numbers: dict[tuple[int, ...], float] = {}
        for row, number in zip(map(tuple, tokens_BT.tolist()), paid_B.tolist(), strict=True):
            assert numbers.setdefault(row, number) == number
        assert len(set(numbers.values())) == len(numbers) > 1000
        alone = Random(RandomConfig())(torch.ones(1, dtype=torch.float64), tokens_BT[7:8])
        assert alone.item() == paid_B[7].item()

    def test_the_numbers_are_uniform_and_no_token_tells_of_them(self) -> None:
        tokens_BT = torch.from_numpy(reference.all_sequences(SequenceSpec(6, 4)))
        paid_B = Random(RandomConfig(seed=3))(torch.zeros(len(tokens_BT), dtype=torch.float64), tokens_BT)
        assert 0 <= paid_B.min() < 0.01
        assert 0.99 < paid_B.max() < 1
        share_K = torch.histc(paid_B.float(), bins=10, min=0, max=1) / len(paid_B)
        np.testing.assert_allclose(share_K, 0.1, atol=0.02)
        for token_B in tokens_BT.T:
            assert abs(np.corrcoef(token_B, paid_B)[0, 1]) < 0.08

    def test_another_seed_gives_other_numbers(self) -> None:
        tokens_BT, logit_B = torch.arange(40).view(10, 4), torch.zeros(10, dtype=torch.float64)
        first_B, second_B = (Random(RandomConfig(seed=seed))(logit_B, tokens_BT) for seed in (0, 1))
        assert not bool((first_B == second_B).any())


class TestOracle:
    def test_it_is_the_true_log_likelihood(self) -> None:
        env = gym.make("SeqGANSmall-v0", reward="oracle").unwrapped
        task = env.task  # type: ignore[attr-defined]
        rows = task.real_sequences[:20]
        np.testing.assert_allclose(task.scoring.score(rows), task.source.log_prob(rows), rtol=1e-6)

    def test_what_is_impossible_is_paid_the_limit(self) -> None:
        env = gym.make("SeqGANGrammar-v0", reward="oracle", reward_kwargs={"limit": 12.5}).unwrapped
        task = env.task  # type: ignore[attr-defined]
        nonsense = np.full((1, task.spec.max_length), 5)
        assert task.scoring.score(nonsense)[0] == -12.5

    def test_a_source_of_unknown_likelihood_is_refused_at_once(self, tmp_path: Any) -> None:
        text = tmp_path / "a.txt"
        text.write_text("a bird\n" * 5)
        with pytest.raises(ValueError, match=r"reward 'oracle' needs a source of known likelihood; .*a\.txt"):
            gym.make("SeqGAN-v0", source=str(text), level="word", reward="oracle")
