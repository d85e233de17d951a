"""Shapings by name: what they must declare, and one of a user that carries two numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import pytest
from gymnasium.vector import AutoresetMode

from seqgan_env import SeqGANEnv, SeqGANVectorEnv
from seqgan_env.shaping import SHAPINGS, Shaping, ShapingContext, register_shaping
from seqgan_env.shaping.base import Floats
from seqgan_env.tokens import SequenceSpec, Tokens
from tests.support.cases import assert_same
from tests.support.reference_env import TINY, mean_token
from tests.support.tasks import GRAMMAR


class Surprise:
    """Pays how far each token is from a running mean of those before it; the mean and its weight are carried."""

    n_carried = 2

    def __init__(self, spec: SequenceSpec, gamma: float) -> None:
        self.spec = spec
        self.gamma = gamma

    def start(self, tokens_BT: Tokens, length_B: Tokens) -> Floats:
        total_B = (tokens_BT * self.spec.is_token(tokens_BT)).sum(axis=1)
        return np.stack([total_B / np.maximum(length_B, 1), length_B.astype(np.float64)], axis=1)

    def step(
        self, tokens_BT: Tokens, length_B: Tokens, ended_B: npt.NDArray[np.bool_], carry_BK: Floats
    ) -> tuple[Floats, Floats]:
        mean_B, weight_B = carry_BK.T
        new_B = tokens_BT[np.arange(len(tokens_BT)), length_B - 1]
        bonus_B = np.where(ended_B, 0.1, self.gamma * np.abs(new_B - mean_B) / 3)
        return bonus_B, np.stack([mean_B + (new_B - mean_B) / (weight_B + 1), weight_B + 1], axis=1)


def build(context: ShapingContext) -> Shaping:
    return Surprise(context.spec, context.gamma)


DECLARATION: dict[str, Any] = {
    "summary": "Surprise.",
    "source": "a test",
    "keeps_optimal_policy": False,
    "length_effect": "longer",
}


@pytest.fixture
def surprise() -> Iterator[dict[str, Any]]:
    """The arguments of a task that is shaped so."""
    register_shaping("surprise", build, **DECLARATION)
    yield {**GRAMMAR, "shaping": "surprise", "shaping_gamma": 0.9}
    SHAPINGS.unregister("surprise")


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("discriminator", {}, "a shaping named 'discriminator' is registered already"),
        ("a:b", {}, "the name of a shaping must be an identifier, got 'a:b'"),
        ("own", {"summary": " "}, "shaping 'own' must declare summary and source"),
        ("own", {"source": ""}, "shaping 'own' must declare summary and source"),
        ("own", {"length_effect": "depends"}, "shaping 'own' must say in length_reason on what its effect depends"),
        (
            "own",
            {"length_effect": "long"},
            "length_effect must be one of longer, .*, depends; got 'long'",
        ),
        ("none", {}, "a shaping can't be called 'none', which stands for no shaping"),
    ],
)
def test_a_shaping_without_a_name_or_a_declaration_is_refused(name: str, more: dict[str, str], message: str) -> None:
    before = list(SHAPINGS)
    with pytest.raises(ValueError, match=message):
        register_shaping(name, build, **{**DECLARATION, **more})
    assert list(SHAPINGS) == before


def test_a_shaping_of_a_user_is_paid_by_name(surprise: dict[str, Any]) -> None:
    env = gym.make("SeqGANGrammar-v0", **{name: value for name, value in surprise.items() if name != "source"})
    env.reset(options={"prefix": [4]})
    rewards = [env.step(np.int64(token))[1] for token in (10, 1, 0)]
    assert rewards[:2] == pytest.approx([0.9 * (10 - 4) / 3, 0.9 * (7 - 1) / 3])
    assert rewards[2] == pytest.approx(env.get_wrapper_attr("score")([[4, 10, 1, 0]])[0] + 0.1)


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize(
    "shaping", ["surprise", *SHAPINGS, ["surprise", *SHAPINGS, mean_token]], ids=["surprise", *SHAPINGS, "all"]
)
def test_single_and_vector_environment_carry_and_pay_the_same_to_the_last_bit(
    surprise: dict[str, Any], shaping: Any, mode: AutoresetMode
) -> None:
    n = 4
    task = {**surprise, "shaping": shaping}
    singles, envs = [SeqGANEnv(**task) for _ in range(n)], SeqGANVectorEnv(n, autoreset_mode=mode, **task)
    envs.reset()
    for env in singles:
        env.reset()
    rng = np.random.default_rng(0)
    for _ in range(40):
        ended_B = envs.clone_state().ended_B
        if mode is AutoresetMode.DISABLED and ended_B.any():
            envs.reset(options={"reset_mask": ended_B})
            for b in np.flatnonzero(ended_B):
                singles[b].reset()
            continue
        action_B = rng.choice([0, 3, 10, 50, 151], size=n)
        reward_B, terminated_B = envs.step(action_B)[1:3]
        for b, env in enumerate(singles):
            if ended_B[b]:  # with NEXT_STEP this call was its reset
                env.reset()
                assert reward_B[b] == 0
                continue
            _, reward, terminated, _, _ = env.step(action_B[b])
            assert (reward, terminated) == (reward_B[b], terminated_B[b])
            if terminated and mode is AutoresetMode.SAME_STEP:
                env.reset()
        for b, env in enumerate(singles):
            np.testing.assert_array_equal(env.clone_state().carry_BK[0], envs.clone_state().carry_BK[b], strict=True)


def test_an_episode_goes_on_with_what_it_carried(surprise: dict[str, Any]) -> None:
    env, envs = SeqGANEnv(**surprise), SeqGANVectorEnv(3, **surprise)
    env.reset(options={"prefix": [4]})
    env.step(np.int64(10))
    state = env.clone_state()
    np.testing.assert_array_equal(state.carry_BK, [[7, 2]])
    first = [env.step(np.int64(token)) for token in (3, 50, 0)]
    env.restore_state(state)
    assert_same(tuple(env.step(np.int64(token)) for token in (3, 50, 0)), tuple(first))
    envs.reset()
    envs.restore_state(state.take([0, 0, 0]))
    for token, step in zip((3, 50, 0), first, strict=True):
        np.testing.assert_array_equal(envs.step(np.full(3, token))[1], [step[1]] * 3)


def test_a_clone_carries_numbers_of_its_own(surprise: dict[str, Any]) -> None:
    env, envs = SeqGANEnv(**surprise), SeqGANVectorEnv(2, **surprise)
    for each, action in ((env, np.int64(10)), (envs, np.full(2, 10))):
        each.reset(options={"prefix": [4]})
        state = each.clone_state()
        expected = each.step(action)[1]
        each.restore_state(state)
        state.carry_BK[:] = 99
        np.testing.assert_array_equal(each.step(action)[1], expected)


def test_a_task_carries_as_many_numbers_as_its_shaping(surprise: dict[str, Any]) -> None:
    for kwargs, n_carried in (({}, 0), ({"shaping": "discriminator"}, 1), ({"shaping": "surprise"}, 2)):
        for env in (SeqGANEnv(**{**GRAMMAR, **kwargs}), SeqGANVectorEnv(1, **{**GRAMMAR, **kwargs})):
            env.reset()
            assert env.clone_state().carry_BK.shape == (1, n_carried)


@pytest.mark.parametrize("make", [SeqGANEnv, lambda **task: SeqGANVectorEnv(1, **task)], ids=["one", "many"])
def test_a_state_of_another_shaping_is_refused(make: Any) -> None:
    plain, shaped = make(**TINY), make(**TINY, shaping=mean_token)
    for env, other in ((plain, shaped), (shaped, plain)):
        env.reset()
        other.reset()
        with pytest.raises(ValueError, match="the state"):
            env.restore_state(other.clone_state())


BOTH = pytest.mark.parametrize("make", [SeqGANEnv, lambda **task: SeqGANVectorEnv(2, **task)], ids=["one", "many"])


@pytest.fixture
def altered(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """The arguments of a task whose shaping is ``Surprise`` with some attributes of the test's own."""
    shaping = type("Altered", (Surprise,), request.param)
    register_shaping("altered", lambda context: shaping(context.spec, context.gamma), **DECLARATION)
    yield {**GRAMMAR, "shaping": "altered"}
    SHAPINGS.unregister("altered")


def step_gives(bonus: Any = 0.0, n_carried: int = 2) -> dict[str, Any]:
    """A ``step`` that pays the same in each episode and carries zeros; a list is the whole payment."""

    def step(self: Any, tokens_BT: Tokens, length_B: Tokens, ended_B: Any, carry_BK: Floats) -> tuple[Any, Any]:
        paid = bonus if isinstance(bonus, list) else np.full(len(length_B), bonus)
        return paid, np.zeros((len(length_B), n_carried))

    return {"step": step}


@BOTH
@pytest.mark.parametrize(
    ("altered", "message"),
    [
        (step_gives(np.nan), "step of shaping 'altered' must give finite numbers of shape .*, got nan"),
        (step_gives(-np.inf), "step of shaping 'altered' must give finite numbers of shape .*, got -inf"),
        (step_gives([0.0] * 3), r"step of shaping 'altered' must give finite numbers of shape .*, got shape \(3,\)"),
        (step_gives(n_carried=1), r"step of shaping 'altered' must give finite numbers of shape \(., 2\), got shape"),
        (
            {"start": lambda self, tokens_BT, length_B: np.zeros(1)},
            "start of shaping 'altered' must give finite numbers",
        ),
        (
            {"start": lambda self, tokens_BT, length_B: np.full((len(length_B), 2), np.nan)},
            "start of shaping 'altered' must give finite numbers of shape .*, got nan",
        ),
        ({"n_carried": -1}, "n_carried of shaping 'altered' must be a whole number of at least 0, got -1"),
    ],
    ids=["nan", "infinity", "too many", "carries too few", "starts with too few", "starts with nan", "n_carried"],
    indirect=["altered"],
)
def test_an_answer_that_is_none_is_refused(make: Any, altered: dict[str, Any], message: str) -> None:
    def play() -> None:
        env = make(**altered)
        env.reset()
        env.step(np.int64(3) if isinstance(env, SeqGANEnv) else np.array([3, 4]))

    with pytest.raises(ValueError, match=message):
        play()


def overwrites(self: Any, tokens_BT: Tokens, length_B: Tokens, *more: Any) -> Any:
    """Answer as ``Surprise`` does, and write to everything that was given."""
    answer = (Surprise.step if more else Surprise.start)(self, tokens_BT, length_B, *more)
    for array in (tokens_BT, length_B, *more):
        array[:] = 1
    return answer


@BOTH
@pytest.mark.parametrize("altered", [{"start": overwrites, "step": overwrites}], indirect=True)
def test_a_shaping_cannot_write_to_the_episode(make: Any, altered: dict[str, Any], surprise: dict[str, Any]) -> None:
    answers = []
    for arguments in (altered, {**surprise, "shaping_gamma": 1.0}):
        env = make(**arguments)
        action = np.int64 if isinstance(env, SeqGANEnv) else lambda token: np.array([token, token + 1])
        answers.append([env.reset()[0], *(env.step(action(token))[:3] for token in (3, 10, 0))])
    assert_same(tuple(answers[0]), tuple(answers[1]))
