"""Tokens follow the softmax, whatever the chunk and the uniform number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from agents import sampling
from agents.sampling import sample_tokens
from tests.significance import FALSE_ALARM, assert_frequencies


def softmax(
    hidden_H: torch.Tensor, weight_VH: torch.Tensor, bias_V: torch.Tensor, temperature: float = 1.0
) -> np.ndarray:
    """Eq. 13.30, the slow form: exp over the sum of exp, in double precision."""
    logits_V = (weight_VH.double() @ hidden_H.double() + bias_V.double()).numpy() / temperature
    weight_V = np.exp(logits_V - logits_V.max())
    return np.asarray(weight_V / weight_V.sum())


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
        generator=torch.Generator().manual_seed(seed),
        temperature=temperature,
        **truncation,
    )
    assert token_M.dtype == torch.int64
    return token_M.numpy()


def truncated(p_V: np.ndarray, top_k: int | None = None, top_p: float | None = None) -> np.ndarray:
    """The definition, one token after the other: from the likeliest on, until there are k or they reach p."""
    kept_V = np.zeros_like(p_V)
    likeliest = sorted(range(len(p_V)), key=lambda token: -p_V[token])
    if top_k is not None:
        likeliest = likeliest[:top_k]
    goal = 1.0 if top_p is None else top_p * sum(p_V[token] for token in likeliest)
    for token in likeliest:
        if kept_V.sum() < goal:
            kept_V[token] = p_V[token]
    return np.asarray(kept_V / kept_V.sum())


@pytest.fixture
def uniforms(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[float]], None]:
    """Fixes the uniform numbers that are drawn next."""

    def fix(values: list[float]) -> None:
        def rand(*shape: int, dtype: torch.dtype, **_: object) -> torch.Tensor:
            return torch.tensor(values, dtype=dtype).reshape(shape)

        monkeypatch.setattr(torch, "rand", rand)

    return fix


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
@pytest.mark.parametrize("vocab_size", [1, 2, 63, 64, 65, 130, 200])
def test_every_uniform_number_chooses_where_the_cumulative_distribution_passes_it(
    vocab_size: int, uniforms: Callable[[list[float]], None]
) -> None:
    """Eq. 13.30 by inversion: token v is chosen where P(below v) <= u < P(up to v)."""
    hidden_H, weight_VH, bias_V = (tensor.double() for tensor in layer(vocab_size))
    u_M = (np.arange(3000) + 0.5) / 3000
    uniforms(u_M.tolist())
    upper_V = np.cumsum(softmax(hidden_H, weight_VH, bias_V))
    clear = np.abs(u_M[:, None] - upper_V).min(axis=1) > 1e-6
    expected_M = np.minimum(np.searchsorted(upper_V, u_M, side="right"), vocab_size - 1)
    np.testing.assert_array_equal(draw(hidden_H, weight_VH, bias_V, 3000)[clear], expected_M[clear])
    assert clear.mean() > 0.9


@given(data=st.data(), vocab_size=st.integers(1, 200), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_a_token_of_weight_zero_is_never_drawn(data: st.DataObject, vocab_size: int, dtype: torch.dtype) -> None:
    possible = sorted(data.draw(st.sets(st.integers(0, vocab_size - 1), min_size=1, max_size=5)))
    logits = data.draw(st.lists(st.floats(-80, 80), min_size=len(possible), max_size=len(possible)))
    bias_V = torch.full((vocab_size,), -torch.inf, dtype=dtype)
    bias_V[possible] = torch.tensor(logits, dtype=dtype)
    extremes = [0.0, 2.0**-53, 2.0**-24, 0.25, 0.5, 1 - 2.0**-22, 1 - 2.0**-23, 1 - 2.0**-24, 1 - 2.0**-53]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "rand", lambda *shape, **_: torch.tensor(extremes, dtype=dtype).reshape(shape))
        token_M = draw(torch.zeros(4, dtype=dtype), torch.zeros(vocab_size, 4, dtype=dtype), bias_V, len(extremes))
    assert set(token_M.tolist()) <= set(possible)


def test_the_ends_of_the_unit_interval_choose_the_first_and_the_last_token(
    uniforms: Callable[[list[float]], None],
) -> None:
    uniforms([0.0, 1 - 2.0**-24, 1.0])
    bias_V = torch.zeros(130)
    bias_V[[0, 1, 128, 129]] = -torch.inf
    assert draw(torch.zeros(4), torch.zeros(130, 4), bias_V, 3).tolist() == [2, 127, 127]


def test_a_single_token_is_always_drawn() -> None:
    assert draw(*layer(1), 10).tolist() == [0] * 10


def test_huge_logits_neither_overflow_nor_lose_the_rest() -> None:
    bias_V = torch.tensor([-1e30, 1e30, 1e30, -torch.inf])
    token_M = draw(torch.zeros(4), torch.zeros(4, 4), bias_V, 2000)
    assert_frequencies(np.bincount(token_M, minlength=4), np.array([0, 0.5, 0.5, 0]))


@pytest.mark.parametrize("vocab_size", [1, 50, 5000])
def test_the_size_of_a_chunk_changes_nothing(vocab_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    _, weight_VH, bias_V = layer(vocab_size)
    hidden_MH = torch.randn(300, 4, generator=torch.Generator().manual_seed(1))

    def tokens() -> list[int]:
        drawn: list[int] = sample_tokens(
            hidden_MH, weight_VH, bias_V, generator=torch.Generator().manual_seed(2)
        ).tolist()
        return drawn

    expected = tokens()
    for chunk in (1, 7 * 5056, 1 << 30):
        monkeypatch.setattr(sampling, "_CHUNK_ELEMENTS", chunk)
        assert tokens() == expected


def test_each_row_has_its_own_distribution() -> None:
    hidden_MH = torch.eye(70)[torch.randperm(70, generator=torch.Generator().manual_seed(0))]
    weight_VH = torch.eye(70) * 200.0
    assert sample_tokens(hidden_MH, weight_VH, torch.zeros(70)).tolist() == hidden_MH.argmax(dim=1).tolist()


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
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "rand", lambda *shape, **_: torch.from_numpy(inside).reshape(shape))
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

    def test_the_size_of_a_chunk_changes_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        parameters = layer(50)
        expected = draw(*parameters, 300, top_k=20, top_p=0.9)
        monkeypatch.setattr(sampling, "_CHUNK_ELEMENTS", 7 * 64)
        np.testing.assert_array_equal(draw(*parameters, 300, top_k=20, top_p=0.9), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": 0.0}, "temperature must be above 0, got 0.0"),
        ({"temperature": float("nan")}, "temperature must be above 0, got nan"),
        ({"top_k": 0}, "top_k must be a whole number of at least 1, got 0"),
        ({"top_k": 1.5}, "top_k must be a whole number of at least 1, got 1.5"),
        ({"top_k": True}, "top_k must be a whole number of at least 1, got True"),
        ({"top_p": 0.0}, "top_p must be above 0 and at most 1, got 0.0"),
        ({"top_p": 1.01}, "top_p must be above 0 and at most 1, got 1.01"),
        ({"top_p": float("nan")}, "top_p must be above 0 and at most 1, got nan"),
    ],
)
def test_refuses(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw(*layer(5), 3, **arguments)
