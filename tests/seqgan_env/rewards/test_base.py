"""Rewards by name: what they must declare, a user's own in both environments, and the discriminator that they need."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from torch import Tensor

from seqgan_env import SeqGANEnv, SeqGANVectorEnv
from seqgan_env.discriminators import Discriminator
from seqgan_env.rewards import REWARDS, Reward, RewardContext, register_reward
from tests.support.discriminators import optimal
from tests.support.reference import all_sequences
from tests.support.reference_env import TINY
from tests.support.tasks import tiny_task

DECLARED: dict[str, str] = {"label": "own", "summary": "A reward of a user.", "source": "a test"}


def novelty(context: RewardContext) -> Reward:
    """The logit, plus the last token, plus how rare the first token is among the real sequences."""
    n_V = np.bincount(context.real_sequences()[:, 0], minlength=context.spec.vocab_size)
    rarity_V = torch.from_numpy(1 - n_V / n_V.sum())

    def reward(logit_real_B: Tensor, tokens_BT: Tensor) -> Tensor:
        return logit_real_B + tokens_BT[:, -1] + rarity_V[tokens_BT[:, 0]]

    return reward


def always(answer: Callable[[Tensor], Tensor]) -> Callable[[RewardContext], Reward]:
    """What ``register_reward`` takes, of a function of the logits that may be no reward."""
    return lambda context: lambda logit_real_B, tokens_BT: answer(logit_real_B)


@pytest.fixture
def register() -> Iterator[Callable[..., None]]:
    """Registers the reward ``own``, and takes it away in the end."""

    def own(build: Callable[[RewardContext], Reward], **more: Any) -> None:
        register_reward("own", build, **{**DECLARED, **more})

    yield own
    if "own" in REWARDS:
        REWARDS.unregister("own")


@pytest.mark.parametrize("field", DECLARED)
def test_a_reward_declares_what_it_is(register: Callable[..., None], field: str) -> None:
    with pytest.raises(ValueError, match="reward 'own' must declare label, summary, source and unit"):
        register(novelty, **{field: " "})
    assert "own" not in REWARDS


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"unit": ""}, "reward 'own' must declare label, summary, source and unit"),
        ({"low": 1.0, "high": 0.0}, "low must be at most high, got 1.0 and 0.0"),
        ({"low": float("nan")}, "low must be at most high, got nan and inf"),
        ({"discriminator": "best"}, "discriminator must be one of trained, exact, none; got 'best'"),
    ],
)
def test_a_declaration_that_makes_no_sense_is_refused(
    register: Callable[..., None], more: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        register(novelty, **more)
    assert "own" not in REWARDS


@pytest.mark.parametrize("name", REWARDS)
def test_a_name_that_is_taken_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"a reward named '{name}' is registered already"):
        register_reward(name, novelty, label="own", summary="A reward of a user.", source="a test")


def test_a_reward_of_a_user_is_paid_by_both_environments(register: Callable[..., None]) -> None:
    register(novelty)
    env = gym.make("SeqGAN-v0", **TINY, reward="own")
    envs = SeqGANVectorEnv(27, autoreset_mode=AutoresetMode.DISABLED, **TINY, reward="own")
    task = env.get_wrapper_attr("task")
    sequences_BT = all_sequences(task.spec)
    rarity_V = 1 - np.bincount(task.real_sequences[:, 0], minlength=3) / len(task.real_sequences)
    logit_B = task.scoring.discriminator.exact_logits(sequences_BT)
    envs.reset()
    for action_B in sequences_BT.T:
        paid_B = envs.step(action_B)[1]
    np.testing.assert_allclose(paid_B, logit_B + sequences_BT[:, -1] + rarity_V[sequences_BT[:, 0]], rtol=1e-6)
    for row_T, paid in zip(sequences_BT, paid_B, strict=True):
        env.reset()
        rewards = [env.step(action)[1] for action in row_T]
        assert rewards == [0, 0, paid]
    np.testing.assert_array_equal(task.scoring.score(sequences_BT), paid_B)
    np.testing.assert_allclose(task.scoring.score_tensor(torch.from_numpy(sequences_BT)).numpy(), paid_B, rtol=1e-5)


def doubled(logit_real_B: Tensor, tokens_BT: Tensor) -> Tensor:
    """A reward of a user that no registry knows."""
    return 2 * logit_real_B + tokens_BT[:, 0]


@pytest.mark.parametrize("given", [doubled, f"{__name__}:doubled"])
def test_a_function_or_its_name_is_a_reward_too(given: Any) -> None:
    env = SeqGANEnv(**TINY, reward=given)
    rows = all_sequences(env.sequence_spec)
    logit_B = env.task.scoring.discriminator.exact_logits(rows)
    np.testing.assert_allclose(env.score(rows), 2 * logit_B + rows[:, 0], rtol=1e-6)
    copied = pickle.loads(pickle.dumps(env.task))
    np.testing.assert_array_equal(copied.scoring.score(rows), env.score(rows))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nowhere:reward", "reward must be a function or 'module:function', got 'nowhere:reward'"),
        (f"{__name__}:nothing", "reward must be a function or 'module:function'"),
        (3, "reward must be a string or a function, got 3"),
    ],
)
def test_what_is_no_reward_is_refused(given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SeqGANEnv(**TINY, reward=given)


def test_a_function_takes_no_settings() -> None:
    with pytest.raises(ValueError, match="takes no arguments; got weight"):
        SeqGANEnv(**TINY, reward=doubled, reward_kwargs={"weight": 1.0})


def test_a_reward_that_was_taken_away_is_unknown(register: Callable[..., None]) -> None:
    register(novelty)
    REWARDS.unregister("own")
    with pytest.raises(ValueError, match=r"reward must be one of log_d, .*; got 'own'"):
        SeqGANEnv(**TINY, reward="own")


def test_a_reward_that_needs_no_real_sequences_draws_none() -> None:
    task = tiny_task()
    task.scoring.score([[0, 1, 2]])
    assert "_split" not in vars(task)


def test_the_constant_reward_never_calls_the_discriminator(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("exact_logits", "prefix_logits", "logits", "tensor_logits", "__init__"):
        monkeypatch.delattr(Discriminator, name)
    env = SeqGANEnv(**TINY, reward="constant", shaping="discriminator")
    env.reset()
    assert [env.step(np.int64(token))[1] for token in (2, 0, 1)] == [0, 0, 0]  # 1 for the end, less the potential of 1
    sequences_BT = all_sequences(env.sequence_spec)
    assert (env.score(sequences_BT) == 1).all()
    assert (env.score(np.tile(sequences_BT, (10, 1))) == 1).all()
    assert (env.task.scoring.score_tensor(torch.from_numpy(sequences_BT)) == 1).all()


class TestExact:
    def test_it_is_the_log_ratio_of_the_optimal_discriminator(self) -> None:
        env = SeqGANEnv(**TINY, reward="exact_log_ratio")
        best = optimal(env.sequence_spec)
        env.set_discriminator(best)
        sequences_BT = all_sequences(env.sequence_spec)
        np.testing.assert_allclose(env.score(sequences_BT), best.logits(sequences_BT), rtol=1e-6)

    def test_a_source_of_unknown_likelihood_is_refused_at_once(self, tmp_path: Any) -> None:
        text = tmp_path / "a.txt"
        text.write_text("a bird\n" * 5)
        with pytest.raises(ValueError, match=r"reward 'exact_log_ratio' needs a source of known likelihood; .*a\.txt"):
            SeqGANEnv(source=str(text), reward="exact_log_ratio")

    def test_another_discriminator_is_refused(self) -> None:
        env = SeqGANEnv(**TINY, reward="exact_log_ratio")
        message = "the reward 'exact' needs the optimal discriminator, got CNNDiscriminator"
        with pytest.raises(ValueError, match=message):
            env.score([[0, 1, 2]])
        with pytest.raises(ValueError, match=message):
            env.task.scoring.score_tensor(torch.tensor([[0, 1, 2]]))
        env.reset()
        for token in (0, 1):
            env.step(np.int64(token))
        with pytest.raises(ValueError, match=message):
            env.step(np.int64(2))
        env.set_discriminator(optimal(env.sequence_spec))
        assert env.step(np.int64(2))[2]  # the refusal left the episode where it was


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda x: x[:, None], r"must give a tensor, one number for each sequence, shape \(2,\); got \(2, 1\) of"),
        (lambda x: x.sum(), r"must give a tensor, one number for each sequence, shape \(2,\); got \(\)"),
        (lambda x: x[:1], r"must give a tensor, one number for each sequence, shape \(2,\); got \(1,\)"),
        (lambda x: torch.full_like(x, torch.nan), "rewards must be finite in single precision, got nan"),
        (lambda x: torch.full_like(x, torch.inf), "rewards must be finite in single precision, got inf"),
        (lambda x: torch.full_like(x, -1e39), r"rewards must be finite in single precision, got -1e\+39"),
        (lambda x: x.to(torch.complex64), r"shape \(2,\); got \(2,\) of torch\.complex64"),
        (lambda x: x.numpy(), r"shape \(2,\); got array\("),
    ],
    ids=["a column", "a sum", "too few", "nan", "infinity", "too large", "complex", "an array"],
)
def test_a_reward_that_is_none_is_refused(register: Callable[..., None], answer: Any, message: str) -> None:
    register(always(answer))
    task = tiny_task(reward="own")
    with pytest.raises(ValueError, match=message):
        task.scoring.score([[0, 1, 2], [0, 1, 1]])
    with pytest.raises(ValueError, match=message):
        task.scoring.step_reward(np.array([[0, 1, 2], [0, 1, 1]]))


def test_a_reward_with_weights_of_its_own_pays_numbers(register: Callable[..., None]) -> None:
    weight = torch.nn.Parameter(torch.tensor(2.0))
    register(always(lambda x: weight * torch.ones_like(x)))
    scoring = tiny_task(reward="own").scoring
    assert scoring.score([[0, 1, 2]]).tolist() == [2.0]
    assert not scoring.score_tensor(torch.tensor([[0, 1, 2]])).requires_grad


@pytest.mark.parametrize(
    ("limits", "paid", "message"),
    [
        ({"high": 0.0}, 1e-3, r"the reward 'own' declares numbers in \[-inf, 0.0\], got 0.001"),
        ({"low": 0.0, "high": 1.0}, -1e-3, r"the reward 'own' declares numbers in \[0.0, 1.0\], got -0.001"),
        ({"low": 0.0, "high": 1.0}, 1e-9, None),
        ({"low": 0.0, "high": 1.0}, 1 + 1e-9, None),
        ({"high": -1e6}, -1e6 + 0.1, None),
    ],
)
def test_a_reward_stays_in_the_range_that_it_declares_up_to_rounding(
    register: Callable[..., None], limits: dict[str, float], paid: float, message: str | None
) -> None:
    """What it is clipped to afterwards makes no difference."""
    register(always(lambda x: torch.full_like(x, paid)), **limits)
    task = tiny_task(reward="own", reward_clip=[-0.5, 0.5])
    for score in (task.scoring.score, task.scoring.step_reward, task.scoring.prefix_reward):
        if message is None:
            assert score(np.array([[0, 1, 2]])) == np.float32(np.clip(paid, -0.5, 0.5))
            continue
        with pytest.raises(ValueError, match=message):
            score(np.array([[0, 1, 2]]))


def test_a_reward_cannot_write_to_the_sequences(register: Callable[..., None]) -> None:
    class Overwrites:
        def __call__(self, logit_real_B: torch.Tensor, tokens_BT: torch.Tensor) -> torch.Tensor:
            tokens_BT[:] = 0
            return logit_real_B

    register(lambda context: Overwrites())
    env = SeqGANEnv(**TINY, reward="own")
    env.reset()
    observations = [env.step(np.int64(token))[0] for token in (2, 1, 2)]
    assert observations[-1].tolist() == [2, 1, 2]
    rows_BT = torch.tensor([[2, 1, 2]])
    env.task.scoring.score_tensor(rows_BT)
    env.score(rows_BT.numpy())
    assert rows_BT.tolist() == [[2, 1, 2]]
