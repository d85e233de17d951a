"""BLEU as a reward: an environment pays it against its own real sequences."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from seqgan_env.rewards.bleu import BleuConfig
from tests.support.reference import unpadded
from tests.support.text import bleu


@pytest.mark.theory
def test_it_is_paid_by_an_environment_against_its_own_real_sequences() -> None:
    settings = {"n_references": 20, "max_n": 3, "smoothing": 0.2}
    env = gym.make("SeqGANGrammar-v0", reward="bleu", reward_kwargs=settings).unwrapped
    task = env.task  # type: ignore[attr-defined]
    rows, references = task.real_sequences[15:25], unpadded(task.spec, task.real_sequences[:20])
    expected = [bleu(sentence, references, 3, 0.2) for sentence in unpadded(task.spec, rows)]
    assert expected[0] == pytest.approx(1)
    assert min(expected) < 0.9
    np.testing.assert_allclose(task.scoring.score(rows), expected, rtol=1e-6)


@pytest.mark.parametrize("settings", [{"max_n": 0}, {"n_references": 0}, {"smoothing": 0.0}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(settings))} must be"):
        BleuConfig(**settings)  # type: ignore[arg-type]
