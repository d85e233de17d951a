"""Which tokens may come next: the mask against a slow form, and what the environments make of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from hypothesis import given
from hypothesis import strategies as st

from seqgan_env import SeqGANEnv, SeqGANVectorEnv
from seqgan_env.constraints import ActionMask
from seqgan_env.tokens import SequenceSpec
from tests.support.reference_env import TINY, no_repetition

GRAMMAR: dict[str, Any] = {"source": "grammar", "discriminator_kwargs": {"embedding_dim": 4, "filters": [[1, 3]]}}
EOS, A, BIRD = 0, 3, 10
"""Tokens of the grammar."""


def any_answer(tokens_BT: np.ndarray, length_B: np.ndarray) -> Any:
    """A constraint that answers with nonsense."""
    return np.ones(len(tokens_BT), dtype=np.bool_)


def nothing(tokens_BT: np.ndarray, length_B: np.ndarray) -> Any:
    """A constraint that allows nothing after the first token."""
    return np.repeat(length_B[:, None] == 0, 3, axis=1)


@given(data=st.data())
def test_a_token_is_allowed_if_every_constraint_allows_it(data: st.DataObject) -> None:
    horizon = data.draw(st.integers(1, 5))
    spec = SequenceSpec(3, horizon, eos_id=data.draw(st.none() | st.integers(0, 2)))
    words = [token for token in range(3) if token != spec.eos_id]
    min_length = 1 if spec.eos_id is None else data.draw(st.integers(1, horizon))
    lexicon = data.draw(st.none() | st.lists(st.sampled_from(words), min_size=1))
    is_picky = lexicon is None and data.draw(st.booleans())
    mask = ActionMask(spec, min_length=min_length, allowed=lexicon, allowed_next=no_repetition if is_picky else None)
    length_B = np.array(data.draw(st.lists(st.integers(0, horizon), min_size=1, max_size=4)))
    tokens_BT = np.full((len(length_B), horizon), spec.pad_id)
    for b, length in enumerate(length_B):
        tokens_BT[b, :length] = data.draw(st.lists(st.sampled_from(words), min_size=int(length), max_size=int(length)))
    ended_B = length_B == horizon

    def allowed(b: int, token: int) -> bool:
        if ended_B[b]:
            return True  # an action here is ignored or refused as a whole
        if token == spec.eos_id and length_B[b] + 1 < min_length:
            return False
        if lexicon is not None and token not in lexicon and token != spec.eos_id:
            return False
        return not (is_picky and length_B[b] and token == tokens_BT[b, length_B[b] - 1])

    expected = [[int(allowed(b, token)) for token in range(3)] for b in range(len(length_B))]
    assert mask.is_free == (
        min_length == 1 and (lexicon is None or {*lexicon, spec.eos_id} >= {0, 1, 2}) and not is_picky
    )
    got = mask(tokens_BT, length_B, ended_B)
    assert got.dtype == np.int8
    assert got.tolist() == expected


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"min_length": 0}, "min_length must be a whole number of at least 1, got 0"),
        ({"min_length": 2.0}, "min_length must be a whole number of at least 1, got 2.0"),
        ({"min_length": 18}, "min_length must be at most T = 17, got 18"),
        (
            {**TINY, "source": "oracle", "min_length": 2},
            "min_length must be 1 where every sequence has T tokens, got 2",
        ),
        ({"allowed_tokens": []}, r"allowed_tokens must hold token ids in \[0, 152\), got \[\]"),
        ({"allowed_tokens": [152]}, r"allowed_tokens must hold token ids in \[0, 152\), got \[152\]"),
        ({"allowed_tokens": [-1]}, "a token of allowed_tokens must be a whole number of at least 0, got -1"),
        (
            {"allowed_tokens": [1.5]},
            r"allowed_tokens must be a list \(each .*\) or None, got \[1.5\]",
        ),
        ({"allowed_tokens": ["bird", "dragon"]}, "got 'dragon': its vocabulary does not hold it"),
        ({**TINY, "source": "oracle", "allowed_tokens": ["a"]}, "got 'a': its tokens have no text"),
        (
            {"allowed_tokens": "bird"},
            r"allowed_tokens must be a list \(each .*\) or None, got 'bird'",
        ),
        ({"allowed_tokens": [EOS], "min_length": 2}, "allowed_tokens must hold a token besides end-of-sequence"),
        ({"allowed_next": "no_colon"}, "allowed_next must be a function or 'module:function', got 'no_colon'"),
        ({"allowed_next": "tests.nowhere:f"}, "allowed_next must be .* got 'tests.nowhere:f': No module named"),
        (
            {"allowed_next": "..relative:function"},
            "allowed_next must be a function or 'module:function', got '..relative",
        ),
        ({"allowed_next": "tests.support.reference_env:nothing_here"}, "allowed_next must be .* has no attribute"),
        ({"allowed_next": 3}, "allowed_next must be a string or a function or None, got 3"),
        ({"allowed_next": "tests.support.reference_env:TINY"}, "allowed_next must be a function"),
    ],
)
def test_constraints_that_make_no_sense_are_refused_at_once(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SeqGANEnv(**{**GRAMMAR, **kwargs})


@pytest.mark.parametrize("make", [lambda **k: SeqGANEnv(**k), lambda **k: SeqGANVectorEnv(1, **k)], ids=["one", "many"])
@pytest.mark.parametrize(
    ("allowed_next", "message"),
    [
        (any_answer, r"allowed_next must answer with a boolean array of shape \(1, 3\), got bool of shape \(1,\)"),
        (nothing, r"constraints must leave a token to choose; after \[2\] none is left"),
    ],
)
def test_a_function_that_answers_nonsense(make: Any, allowed_next: Any, message: str) -> None:
    env = make(**TINY, allowed_next=allowed_next)
    if allowed_next is any_answer:
        with pytest.raises(ValueError, match=message):
            env.reset()
        with pytest.raises(ResetNeeded):
            env.action_masks()
        return
    env.reset()
    for _ in range(2):  # the state is where it was
        with pytest.raises(ValueError, match=message):
            env.step(2 if isinstance(env, SeqGANEnv) else np.array([2]))


def test_choosing_a_masked_token_is_an_error_that_says_which_and_changes_nothing() -> None:
    env = SeqGANEnv(**GRAMMAR, min_length=3, allowed_tokens=["a", "bird"])
    _, info = env.reset()
    assert np.flatnonzero(info["action_mask"]).tolist() == [A, BIRD]
    env.step(np.int64(A))
    with pytest.raises(ValueError, match=r"an action must be allowed by the task's constraints, got 0 .* after \[3\]"):
        env.step(np.int64(EOS))
    with pytest.raises(ValueError, match=r"got 11 \('[a-z]+'\) after \[3\]"):
        env.step(np.int64(11))
    observation, _, terminated, _, info = env.step(np.int64(BIRD))
    assert observation[:3].tolist() == [A, BIRD, 152]
    assert not terminated
    assert np.flatnonzero(env.action_masks()).tolist() == [EOS, A, BIRD]
    *_, terminated, _, info = env.step(np.int64(EOS))
    assert terminated
    assert info["action_mask"].all()


def test_a_masked_token_in_one_of_many_episodes_stops_all() -> None:
    envs = SeqGANVectorEnv(3, **TINY, allowed_next=no_repetition)
    envs.reset()
    envs.step(np.array([0, 1, 2]))
    with pytest.raises(ValueError, match=r"got 1 after \[1\]"):
        envs.step(np.array([1, 1, 1]))
    assert envs.step(np.array([1, 0, 1]))[0].tolist() == [[0, 1, 3], [1, 0, 3], [2, 1, 3]]


@pytest.mark.parametrize(("level", "allowed", "typo"), [("word", ["red", "<unk>"], "rde"), ("char", ["r"], "x")])
def test_a_token_that_a_text_does_not_hold_is_no_unknown_token(
    level: str, allowed: list[str], typo: str, tmp_path: Path
) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("the red cat\nthe blue dog\n")
    arguments = {**GRAMMAR, "source": str(corpus), "level": level}
    env = SeqGANEnv(**arguments, allowed_tokens=allowed)
    tokens = env.task.source.vocabulary.tokens
    allowed_V = env.reset()[1]["action_mask"]
    assert {tokens[i] for i in np.flatnonzero(allowed_V)} == {"<eos>", *allowed}
    with pytest.raises(ValueError, match=f"got '{typo}': its vocabulary does not hold it"):
        SeqGANEnv(**arguments, allowed_tokens=[*allowed, typo])


@pytest.mark.parametrize("kwargs", [{}, {"min_length": 4, "allowed_tokens": ["a", "bird"]}])
def test_actions_sampled_with_the_mask_are_always_taken(kwargs: dict[str, Any]) -> None:
    env = SeqGANEnv(**GRAMMAR, **kwargs)
    env.action_space.seed(0)
    lengths = []
    for _ in range(20):
        _, info = env.reset()
        terminated = False
        while not terminated:
            np.testing.assert_array_equal(info["action_mask"], env.action_masks())
            assert env.action_masks().dtype == np.bool_
            *_, terminated, _, info = env.step(env.action_space.sample(mask=info["action_mask"]))
        lengths.append(info["length"])
    assert min(lengths) >= kwargs.get("min_length", 1)
    assert len(set(lengths)) > 1  # end-of-sequence was chosen too


def test_the_constraints_are_for_what_follows_a_prefix() -> None:
    env = SeqGANEnv(**GRAMMAR, allowed_tokens=["bird"])
    observation, info = env.reset(options={"prefix": "a"})
    assert observation[0] == A
    assert np.flatnonzero(info["action_mask"]).tolist() == [EOS, BIRD]


@pytest.mark.parametrize("make", [lambda **k: SeqGANEnv(**k), lambda **k: SeqGANVectorEnv(2, **k)], ids=["one", "many"])
def test_there_is_no_mask_before_the_first_reset(make: Any) -> None:
    with pytest.raises(ResetNeeded, match="call reset"):
        make(**TINY).action_masks()


def test_the_mask_in_an_info_is_the_caller_s() -> None:
    env = SeqGANEnv(**TINY, allowed_next=no_repetition)
    _, info = env.reset()
    info["action_mask"][:] = 0
    env.step(np.int64(1))
    envs = SeqGANVectorEnv(2, **TINY, allowed_next=no_repetition)
    _, info = envs.reset()
    info["action_mask"][:] = 0
    envs.step(np.array([1, 1]))
