"""The softmax's log-probabilities in chunks: against torch's own, in value, gradient and memory."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from seqgan_env.autoregressive import softmax
from seqgan_env.autoregressive.likelihood import expected_value, token_log_prob, weighted_log_prob


def inputs(n: int, vocab_size: int, hidden_dim: int, seed: int = 0, scale: float = 1.0) -> list[torch.Tensor]:
    """Hidden states, weights and biases in double precision, with gradient, and tokens."""
    generator = torch.Generator().manual_seed(seed)
    shapes = ((n, hidden_dim), (vocab_size, hidden_dim), (vocab_size,))
    floats = [
        (scale * torch.randn(shape, dtype=torch.float64, generator=generator)).requires_grad_() for shape in shapes
    ]
    return [*floats, torch.randint(vocab_size, (n,), generator=generator)]


@pytest.mark.theory
@given(
    n=st.integers(0, 9),
    vocab_size=st.integers(1, 12),
    hidden_dim=st.integers(1, 5),
    elements=st.integers(1, 40),
    seed=st.integers(0, 1000),
)
def test_it_is_the_log_softmax_whatever_the_chunks(
    n: int, vocab_size: int, hidden_dim: int, elements: int, seed: int
) -> None:
    """Equation 13.30 and its gradient, with an upstream gradient of each row's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(softmax._CHUNK_ELEMENTS, "cpu", elements)
        *ours, token_M = inputs(n, vocab_size, hidden_dim, seed, scale=3.0)
        *theirs, _ = inputs(n, vocab_size, hidden_dim, seed, scale=3.0)
        log_prob_M = token_log_prob(*ours, token_M)
        hidden_MH, weight_VH, bias_V = theirs
        expected_M = -F.cross_entropy(hidden_MH @ weight_VH.t() + bias_V, token_M, reduction="none")
        torch.testing.assert_close(log_prob_M, expected_M, rtol=1e-12, atol=1e-12)
        upstream_M = torch.linspace(-1, 2, n, dtype=torch.float64)
        (log_prob_M * upstream_M).sum().backward()
        (expected_M * upstream_M).sum().backward()
        for mine, its in zip(ours, theirs, strict=True):
            torch.testing.assert_close(mine.grad, its.grad, rtol=1e-10, atol=1e-12)


@pytest.mark.theory
@given(n=st.integers(0, 9), vocab_size=st.integers(1, 12), elements=st.integers(1, 40), seed=st.integers(0, 1000))
def test_the_weighted_sum_is_that_of_the_log_probabilities(n: int, vocab_size: int, elements: int, seed: int) -> None:
    """In value and gradient, whatever the chunks; what becomes of the sum scales its gradient."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(softmax._CHUNK_ELEMENTS, "cpu", elements)
        *ours, token_M = inputs(n, vocab_size, 3, seed, scale=3.0)
        *theirs, _ = inputs(n, vocab_size, 3, seed, scale=3.0)
        factor_M = torch.linspace(-1, 2, n, dtype=torch.float64)
        total, log_prob_M = weighted_log_prob(*ours, token_M, factor_M)
        expected_M = token_log_prob(*theirs, token_M)
        assert not log_prob_M.requires_grad
        torch.testing.assert_close(log_prob_M, expected_M.detach(), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(total, (factor_M * expected_M).sum(), rtol=1e-12, atol=1e-12)
        (3 * total).backward()
        (3 * factor_M * expected_M).sum().backward()
        for mine, its in zip(ours, theirs, strict=True):
            torch.testing.assert_close(mine.grad, its.grad, rtol=1e-10, atol=1e-12)


@pytest.mark.theory
@given(n=st.integers(0, 9), vocab_size=st.integers(1, 12), elements=st.integers(1, 40), seed=st.integers(0, 1000))
def test_the_mean_of_a_value_is_that_under_the_softmax(n: int, vocab_size: int, elements: int, seed: int) -> None:
    """In value and gradient, whatever the chunks: the sum over tokens of equation 13.30 times the value."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(softmax._CHUNK_ELEMENTS, "cpu", elements)
        ours, theirs = (inputs(n, vocab_size, 3, seed, scale=3.0)[:3] for _ in range(2))
        value_MV = torch.linspace(-1, 2, n * vocab_size, dtype=torch.float64).view(n, vocab_size).sin()
        total = expected_value(*ours, value_MV)
        expected = ((theirs[0] @ theirs[1].t() + theirs[2]).softmax(dim=1) * value_MV).sum()
        torch.testing.assert_close(total, expected, rtol=1e-12, atol=1e-12)
        (3 * total).backward()
        (3 * expected).backward()
        for mine, its in zip(ours, theirs, strict=True):
            torch.testing.assert_close(mine.grad, its.grad, rtol=1e-10, atol=1e-12)


@pytest.mark.theory
def test_its_gradient_is_that_of_finite_differences() -> None:
    *floats, token_M = inputs(4, 5, 3)
    factor_M = torch.tensor([1.0, -2.0, 0.0, 0.5], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda *x: token_log_prob(*x, token_M), floats)
    assert torch.autograd.gradcheck(lambda *x: weighted_log_prob(*x, token_M, factor_M)[0], floats)


@pytest.mark.parametrize("logit", [-1e4, 1e4])
def test_large_logits_stay_finite(logit: float) -> None:
    hidden, weight = torch.ones(2, 1, requires_grad=True), torch.tensor([[0.0], [logit]], requires_grad=True)
    log_prob_M = token_log_prob(hidden, weight, torch.zeros(2), torch.tensor([0, 1]))
    assert log_prob_M.tolist() == [min(0.0, -logit), min(0.0, logit)]
    log_prob_M.sum().backward()
    assert hidden.grad is not None
    assert hidden.grad.isfinite().all()


def test_the_logits_are_never_held_all_at_once() -> None:
    """With V = 50,000 and 4,000 tokens they would take 800 MB."""
    *floats, token_M = inputs(4_000, 50_000, 2)
    floats = [tensor.detach().float().requires_grad_() for tensor in floats]
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            nonlocal largest
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                largest = max(largest, out.numel())
            return out

    with Watch():
        token_log_prob(*floats, token_M).sum().backward()
        weighted_log_prob(*floats, token_M, torch.ones(4_000))[0].backward()
    assert 50_000 <= largest <= 1.5 * softmax._CHUNK_ELEMENTS["cpu"]
