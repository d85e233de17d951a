"""Tokens follow the softmax, whatever the chunk and the uniform number."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy import stats

from seqgan_env.autoregressive import softmax as softmax_module
from seqgan_env.autoregressive.sampling import sample_tokens
from tests.support.reference import softmax, truncated
from tests.support.significance import FALSE_ALARM, assert_frequencies

vocabularies = st.integers(1, 200) | st.sampled_from([63, 64, 65, 128, 129])
"""Sizes on both sides of whole blocks of tokens."""


def layer(vocab_size: int, seed: int = 0, scale: float = 1.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """An output state, W and c whose logits have a standard deviation of ``scale``."""
    generator = torch.Generator().manual_seed(seed)
    hidden_H = torch.randn(4, generator=generator)
    weight_VH = torch.randn(vocab_size, 4, generator=generator) * scale / (2 * hidden_H.norm())
    return hidden_H, weight_VH, torch.randn(vocab_size, generator=generator) * scale * 0.75**0.5


def draw(
    hidden_H: torch.Tensor,
    weight_VH: torch.Tensor,
    bias_V: torch.Tensor,
    n: int,
    seed: int = 0,
    temperature: float = 1.0,
    **truncation: Any,
) -> np.ndarray:
    token_M = sample_tokens(
        hidden_H.expand(n, -1),
        weight_VH,
        bias_V,
        rng=torch.Generator().manual_seed(seed),
        temperature=temperature,
        **truncation,
    )
    assert token_M.dtype == torch.int64
    return token_M.numpy()


@contextlib.contextmanager
def uniforms(values: npt.ArrayLike) -> Iterator[None]:
    """Fixes the uniform numbers that are drawn next."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "rand", lambda *shape, dtype, **_: torch.tensor(values, dtype=dtype).reshape(shape))
        yield


@pytest.mark.theory
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("vocab_size", [2, 50, 64, 65])
def test_tokens_follow_the_softmax(vocab_size: int, temperature: float) -> None:
    """Eq. 13.30: a chi-square test; at another temperature the logits are divided by it."""
    parameters = layer(vocab_size)
    counts = np.bincount(draw(*parameters, 20_000, temperature=temperature), minlength=vocab_size)
    assert_frequencies(counts, softmax(*parameters, temperature))


@pytest.mark.theory
def test_tails_of_a_large_vocabulary_follow_the_softmax() -> None:
    """Eq. 13.30 at V = 5000: tokens that can be tested one by one, and together the many that are too rare."""
    parameters = layer(5000, scale=3.0)
    n = 40_000
    p_V = softmax(*parameters)
    counts = np.bincount(draw(*parameters, n), minlength=5000)
    assert_frequencies(counts, p_V)
    order = np.argsort(p_V)
    for mass in (0.003, 0.03):
        rare = order[: np.searchsorted(np.cumsum(p_V[order]), mass)]
        assert len(rare) > 1000
        assert stats.binomtest(int(counts[rare].sum()), n, p_V[rare].sum()).pvalue > FALSE_ALARM / 2


@pytest.mark.theory
@given(vocab_size=vocabularies, temperature=st.sampled_from([0.5, 1.0, 2.0]), seed=st.integers(0, 1000))
@settings(max_examples=40)
def test_every_uniform_number_chooses_where_the_cumulative_distribution_passes_it(
    vocab_size: int, temperature: float, seed: int
) -> None:
    """Eq. 13.30 by inversion: token v is chosen where P(below v) <= u < P(up to v)."""
    parameters = [tensor.double() for tensor in layer(vocab_size, seed)]
    u_M = (np.arange(3000) + 0.5) / 3000
    upper_V = np.cumsum(softmax(*parameters, temperature))
    clear = np.abs(u_M[:, None] - upper_V).min(axis=1) > 1e-6
    expected_M = np.minimum(np.searchsorted(upper_V, u_M, side="right"), vocab_size - 1)
    with uniforms(u_M.tolist()):
        token_M = draw(*parameters, 3000, temperature=temperature)
    np.testing.assert_array_equal(token_M[clear], expected_M[clear])
    assert clear.mean() > 0.9


@given(data=st.data(), vocab_size=st.integers(1, 200), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_a_token_of_weight_zero_is_never_drawn(data: st.DataObject, vocab_size: int, dtype: torch.dtype) -> None:
    possible = sorted(data.draw(st.sets(st.integers(0, vocab_size - 1), min_size=1, max_size=5)))
    logits = data.draw(st.lists(st.floats(-80, 80), min_size=len(possible), max_size=len(possible)))
    bias_V = torch.full((vocab_size,), -torch.inf, dtype=dtype)
    bias_V[possible] = torch.tensor(logits, dtype=dtype)
    extremes = [0.0, 2.0**-53, 2.0**-24, 0.25, 0.5, 1 - 2.0**-22, 1 - 2.0**-23, 1 - 2.0**-24, 1 - 2.0**-53]
    with uniforms(extremes):
        token_M = draw(torch.zeros(4, dtype=dtype), torch.zeros(vocab_size, 4, dtype=dtype), bias_V, len(extremes))
    assert set(token_M.tolist()) <= set(possible)


@given(data=st.data(), vocab_size=vocabularies)
def test_the_ends_of_the_unit_interval_choose_the_first_and_the_last_token(
    data: st.DataObject, vocab_size: int
) -> None:
    first = data.draw(st.integers(0, vocab_size - 1))
    last = data.draw(st.integers(first, vocab_size - 1))
    bias_V = torch.full((vocab_size,), -torch.inf)
    bias_V[first : last + 1] = 0
    with uniforms([0.0, 1 - 2.0**-24, 1.0]):
        assert draw(torch.zeros(4), torch.zeros(vocab_size, 4), bias_V, 3).tolist() == [first, last, last]


def test_a_single_token_is_always_drawn() -> None:
    assert draw(*layer(1), 10).tolist() == [0] * 10


def test_huge_logits_neither_overflow_nor_lose_the_rest() -> None:
    bias_V = torch.tensor([-1e30, 1e30, 1e30, -torch.inf])
    token_M = draw(torch.zeros(4), torch.zeros(4, 4), bias_V, 2000)
    assert_frequencies(np.bincount(token_M, minlength=4), np.array([0, 0.5, 0.5, 0]))


@given(
    vocab_size=vocabularies | st.just(5000),
    n=st.integers(0, 60),
    chunk=st.integers(1, 20_000),
    truncation=st.sampled_from([{}, {"top_k": 20}, {"top_p": 0.9}, {"top_k": 5, "top_p": 0.5}]),
    seed=st.integers(0, 1000),
    dtype=st.just(torch.float64),
)
@example(vocab_size=5000, n=300, chunk=1, truncation={}, seed=0, dtype=torch.float32)
@example(vocab_size=50, n=300, chunk=7 * 64, truncation={"top_k": 20, "top_p": 0.9}, seed=0, dtype=torch.float32)
@settings(max_examples=40)
def test_the_size_of_a_chunk_changes_nothing(
    vocab_size: int, n: int, chunk: int, truncation: dict[str, Any], seed: int, dtype: torch.dtype
) -> None:
    """In double precision, where no last bit of a logit falls between two tokens; in single by example."""
    _, weight_VH, bias_V = (tensor.to(dtype) for tensor in layer(vocab_size, seed))
    hidden_MH = torch.randn(n, 4, generator=torch.Generator().manual_seed(seed + 1)).to(dtype)

    def tokens() -> list[int]:
        rng = torch.Generator().manual_seed(seed + 2)
        drawn: list[int] = sample_tokens(hidden_MH, weight_VH, bias_V, rng=rng, **truncation).tolist()
        return drawn

    expected = tokens()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(softmax_module._CHUNK_ELEMENTS, "cpu", chunk)
        assert tokens() == expected


@given(vocab_size=vocabularies, n=st.integers(1, 80), seed=st.integers(0, 1000))
def test_each_row_has_its_own_distribution(vocab_size: int, n: int, seed: int) -> None:
    """Each row is sure of a token of its own."""
    token_M = torch.randint(vocab_size, (n,), generator=torch.Generator().manual_seed(seed))
    hidden_MH = torch.nn.functional.one_hot(token_M, vocab_size).float()
    drawn_M = sample_tokens(hidden_MH, torch.eye(vocab_size) * 200.0, torch.zeros(vocab_size))
    assert drawn_M.tolist() == token_M.tolist()


def test_rows_are_independent() -> None:
    """Neighbouring rows with the same distribution: a chi-square test of the pairs."""
    pairs = draw(torch.zeros(4), torch.zeros(3, 4), torch.tensor([0.0, 0.5, 1.0]), 20_000).reshape(-1, 2)
    p_V = softmax(torch.zeros(4), torch.zeros(3, 4), torch.tensor([0.0, 0.5, 1.0]))
    assert_frequencies(np.bincount(pairs @ [3, 1], minlength=9), np.outer(p_V, p_V).ravel())


def test_randomness_comes_from_the_generator_alone() -> None:
    parameters = layer(50)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = draw(*parameters, 100, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    np.testing.assert_array_equal(draw(*parameters, 100, seed=3), first)
    assert (draw(*parameters, 100, seed=4) != first).any()


def test_no_rows_and_no_gradient() -> None:
    weight_VH = torch.ones(5, 4, requires_grad=True)
    assert sample_tokens(torch.zeros(0, 4), weight_VH, torch.zeros(5)).shape == (0,)
    assert not sample_tokens(torch.zeros(2, 4, requires_grad=True), weight_VH, torch.zeros(5)).requires_grad


TRUNCATIONS = [
    {"top_k": 1},
    {"top_k": 7},
    {"top_p": 0.05},
    {"top_p": 0.6},
    {"top_p": 0.95},
    {"top_k": 12, "top_p": 0.8},
    {"top_k": 2, "top_p": 0.99},
]


class TestTruncation:
    @pytest.mark.theory
    @pytest.mark.parametrize("temperature", [0.5, 2.0])
    @pytest.mark.parametrize("arguments", TRUNCATIONS, ids=str)
    def test_tokens_follow_the_softmax_that_is_left(self, arguments: dict[str, Any], temperature: float) -> None:
        """Eq. 13.30 at the temperature, then cut off by definition: a chi-square test, and no other token occurs."""
        parameters = layer(50)
        p_V = truncated(softmax(*parameters, temperature), **arguments)
        counts = np.bincount(draw(*parameters, 20_000, temperature=temperature, **arguments), minlength=50)
        if (p_V > 0).sum() == 1:
            assert counts[p_V.argmax()] == 20_000
        else:
            assert_frequencies(counts, p_V, n_tests=2 * len(TRUNCATIONS))
        assert set(np.flatnonzero(counts)) <= set(np.flatnonzero(p_V))

    @pytest.mark.theory
    def test_the_nucleus_of_a_large_vocabulary(self) -> None:
        """Eq. 13.30 at V = 5000: the thousands of tokens outside never occur, those inside as often as they should."""
        parameters = layer(5000, scale=3.0)
        p_V = truncated(softmax(*parameters), top_p=0.9)
        assert 100 < (p_V > 0).sum() < 1500
        assert_frequencies(np.bincount(draw(*parameters, 4000, top_p=0.9), minlength=5000), p_V)

    @given(
        p=st.lists(st.integers(1, 10**6), min_size=1, max_size=12, unique=True),
        top_k=st.none() | st.integers(1, 14),
        top_p=st.none() | st.floats(0.01, 1.0),
    )
    def test_exactly_the_tokens_of_the_definition_can_be_drawn(
        self, p: list[int], top_k: int | None, top_p: float | None
    ) -> None:
        p_V = np.array(p) / sum(p)
        kept = truncated(p_V, top_k, top_p)
        # a goal that is met by a hair is met or not by rounding
        below = np.cumsum(np.sort(kept * p_V[kept > 0].sum())[::-1])
        total = np.sort(p_V)[::-1][:top_k].sum()
        assume(top_p is None or top_p == 1 or np.abs(below - top_p * total).min() > 1e-9)
        inside = np.linspace(0, 1, 4001)[:-1]
        with uniforms(inside):
            bias_V = torch.from_numpy(np.log(p_V))
            zeros = torch.zeros(1, dtype=torch.float64), torch.zeros(len(p), 1, dtype=torch.float64)
            drawn = set(draw(*zeros, bias_V, len(inside), top_k=top_k, top_p=top_p).tolist())
        assert drawn <= set(np.flatnonzero(kept))
        assert drawn >= set(np.flatnonzero(kept > 1e-3))

    def test_top_1_is_the_likeliest_token_and_so_is_a_tiny_nucleus(self) -> None:
        parameters = layer(200)
        likeliest = int(softmax(*parameters).argmax())
        assert set(draw(*parameters, 500, top_k=1)) == set(draw(*parameters, 500, top_p=1e-6)) == {likeliest}

    def test_all_tokens_are_the_same_draws_as_without(self) -> None:
        parameters = layer(50)
        expected = draw(*parameters, 500)
        for arguments in ({"top_k": 50}, {"top_k": 1000}, {"top_p": 1.0}, {"top_k": 50, "top_p": 1}):
            np.testing.assert_array_equal(draw(*parameters, 500, **arguments), expected)

    def test_ties_leave_k_tokens(self) -> None:
        zeros = torch.zeros(4), torch.zeros(10, 4), torch.zeros(10)
        assert len(set(draw(*zeros, 1000, top_k=3))) == 3
        assert len(set(draw(*zeros, 1000, top_p=0.45))) == 5

    def test_a_forbidden_token_stays_forbidden(self) -> None:
        bias_V = torch.full((100,), -torch.inf)
        bias_V[[3, 70]] = torch.tensor([0.0, 1.0])
        for arguments in ({"top_k": 5}, {"top_p": 0.999}):
            assert set(draw(torch.zeros(4), torch.zeros(100, 4), bias_V, 500, **arguments)) == {3, 70}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": 0.0}, "temperature must be a finite number of at least 1e-30, got 0.0"),
        ({"temperature": 1e-39}, "temperature must be a finite number of at least 1e-30, got 1e-39"),
        ({"temperature": float("nan")}, "temperature must be a finite number of at least 1e-30, got nan"),
        ({"top_k": 0}, "top_k must be a whole number of at least 1 or None, got 0"),
        ({"top_k": 1.5}, "top_k must be a whole number of at least 1 or None, got 1.5"),
        ({"top_k": True}, "top_k must be a whole number of at least 1 or None, got True"),
        ({"top_p": 0.0}, "top_p must be a finite number above 0 and at most 1 or None, got 0.0"),
        ({"top_p": 1.01}, "top_p must be a finite number above 0 and at most 1 or None, got 1.01"),
        ({"top_p": float("nan")}, "top_p must be a finite number above 0 and at most 1 or None, got nan"),
    ],
)
def test_a_temperature_and_cuts_out_of_range_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw(*layer(5), 3, **arguments)
