"""The return of an episode is the sum of what its steps paid, whatever shapes it and wherever it began."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from seqgan_env import SeqGANEnv, SeqGANVectorEnv
from seqgan_env.scoring import MAX_EXACT_SCORES
from seqgan_env.shaping import SHAPINGS, PotentialShaping, register_shaping
from seqgan_env.shaping.increments import Increments
from seqgan_env.shaping.length import LengthBonus
from seqgan_env.tokens import Tokens
from tests.support.reference import all_sequences
from tests.support.reference_env import TINY, mean_token
from tests.support.tasks import GRAMMAR


class Counting:
    """Pays each step the number of steps before it times the token: what it carries counts."""

    n_carried = 1

    def start(self, tokens_BT: Tokens, length_B: Tokens) -> npt.NDArray[np.float64]:
        return np.full((len(length_B), 1), 10.0)

    def step(self, tokens_BT: Tokens, length_B: Tokens, ended_B: Any, carry_BK: Any) -> Any:
        token_B = tokens_BT[np.arange(len(length_B)), length_B - 1]
        return carry_BK[:, 0] * token_B + 100.0 * ended_B, carry_BK + 1


@pytest.fixture(autouse=True)
def _counting() -> Iterator[None]:
    declared: dict[str, Any] = {"summary": "a", "source": "a", "keeps_optimal_policy": False, "length_effect": "longer"}
    register_shaping("counting", lambda context: Counting(), **declared)
    yield
    SHAPINGS.unregister("counting")


@pytest.mark.theory
@pytest.mark.parametrize("task", [TINY, GRAMMAR], ids=["tiny", "variable length"])
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"shaping": "discriminator"},
        {"shaping": "discriminator", "shaping_gamma": 0.7},
        {"shaping": mean_token, "shaping_gamma": 0.0},
        {"shaping": "counting"},
        {"shaping": "increments", "shaping_gamma": 0.7},
        {"shaping": "prefix"},
        {"shaping": "length"},
        {"shaping": "repetition", "shaping_kwargs": {"repetition": {"n": 1}}},
        {"shaping": ["counting", "length", "discriminator", mean_token, "increments"]},
    ],
)
@pytest.mark.parametrize("n_given", [0, 1])
def test_a_return_is_the_sum_of_the_steps(task: dict[str, Any], arguments: dict[str, Any], n_given: int) -> None:
    env = SeqGANEnv(**task, **arguments)
    spec = env.sequence_spec
    rows = env.real_sequences[:12] if task is GRAMMAR else all_sequences(spec)
    rows = rows[spec.lengths(rows) > n_given]
    paid = []
    for row in rows:
        env.reset(options={"prefix": row[:n_given]})
        paid.append(sum(env.step(token)[1] for token in row[n_given:] if token != spec.pad_id))
    got = env.episode_return(rows, np.full(len(rows), n_given))
    np.testing.assert_allclose(got, paid, rtol=1e-5, atol=1e-5)
    assert len({round(each, 4) for each in paid}) > 3
    many = np.resize(np.arange(len(rows)), MAX_EXACT_SCORES + 1)  # which are scored in another way
    np.testing.assert_allclose(env.episode_return(rows[many], np.full(len(many), n_given)), got[many], atol=1e-5)
    if not n_given:
        np.testing.assert_array_equal(env.episode_return(rows), got)


def test_episodes_that_began_differently_have_their_own_sums() -> None:
    env = SeqGANEnv(**TINY, shaping="counting")
    rows = all_sequences(env.sequence_spec)[:6]
    start_B = np.array([0, 1, 2, 0, 1, 2])
    together = env.episode_return(rows, start_B)
    alone = [env.episode_return(row[None], np.array([n]))[0] for row, n in zip(rows, start_B, strict=True)]
    np.testing.assert_allclose(together, alone, rtol=1e-12)


def test_a_potential_that_is_not_discounted_is_asked_once() -> None:
    asked = []

    def potential(tokens_BT: Tokens, length_B: Tokens) -> npt.NDArray[np.float64]:
        asked.append(len(tokens_BT))
        return mean_token(tokens_BT, length_B)

    env = SeqGANEnv(**TINY, shaping=potential)
    env.episode_return(all_sequences(env.sequence_spec))
    assert len(asked) == 1


def test_what_telescopes_is_not_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (PotentialShaping, Increments, LengthBonus):
        monkeypatch.setattr(kind, "step", None)
    env = SeqGANEnv(**TINY, shaping=["discriminator", "increments", "length"])
    assert env.episode_return(all_sequences(env.sequence_spec)).shape == (27,)


def test_prefixes_of_many_episodes_are_scored_together_and_those_of_steps_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many environments step at once, each pays what it would pay alone."""
    n = MAX_EXACT_SCORES + 1
    envs = SeqGANVectorEnv(n, **GRAMMAR, shaping="prefix")
    rows, asked = np.resize(envs.real_sequences, (n, envs.sequence_spec.max_length)), []
    discriminator = envs.task.scoring.discriminator
    prefix_logits = discriminator.prefix_logits

    def seen(tokens_BT: Tokens, *, exact: bool = True) -> npt.NDArray[np.float64]:
        asked.append((len(tokens_BT), exact))
        return prefix_logits(tokens_BT, exact=exact)

    monkeypatch.setattr(discriminator, "prefix_logits", seen)
    envs.episode_return(rows)
    assert asked[0] == (len(np.unique(rows[:, 0])), False)
    asked.clear()
    envs.reset(seed=0)
    envs.step(rows[:, 0])
    assert asked == [(n, True)]
