"""Each reward against its definition, its limits and its gradient."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from seqgan_env.checks import NoConfig
from seqgan_env.rewards import REWARDS
from seqgan_env.rewards.of_logit import to_go
from tests.support.reference_env import rewards_of
from tests.support.rewards import pay

NAMES = [name for name, entry in REWARDS.items() if entry.config is NoConfig]


def reward(name: str, logit: float, dtype: torch.dtype = torch.float64) -> float:
    return float(pay(name, torch.tensor([logit], dtype=dtype)))


@pytest.mark.theory
@pytest.mark.parametrize("name", NAMES)
@given(logit=st.floats(-60, 60))
def test_a_reward_is_what_its_definition_says(name: str, logit: float) -> None:
    """Eqs. 13.36, 13.37 and the rest, from D itself; at 60 that takes 26 digits, and the definition is given 60."""
    assert reward(name, logit) == pytest.approx(rewards_of(logit)[name], rel=1e-14, abs=1e-50)


@pytest.mark.theory
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMES)
@given(logit=st.floats(-1e4, 1e4))
def test_a_reward_and_its_gradient_are_finite(name: str, dtype: torch.dtype, logit: float) -> None:
    logit_B = torch.tensor([logit], dtype=dtype, requires_grad=True)
    reward_B = pay(name, logit_B)
    assert reward_B.dtype == dtype
    assert reward_B.isfinite().all()
    if reward_B.requires_grad:
        reward_B.sum().backward()
        assert logit_B.grad is not None
        assert logit_B.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_far_from_the_boundary_the_logarithms_are_linear(dtype: torch.dtype) -> None:
    """log D -> logit as D -> 0, and -log(1 - D) -> logit as D -> 1, where D itself has long rounded to 0 or 1."""
    for logit in (100.0, 1e3, 1e4):
        assert reward("log_d", -logit, dtype) == -logit
        assert reward("neg_log_one_minus_d", logit, dtype) == logit
        assert reward("log_d", logit, dtype) == pytest.approx(0, abs=1e-40)
        assert reward("neg_log_one_minus_d", -logit, dtype) == pytest.approx(0, abs=1e-40)


def test_a_discriminator_that_knows_nothing() -> None:
    assert reward("log_d", 0) == pytest.approx(-math.log(2))
    assert reward("neg_log_one_minus_d", 0) == pytest.approx(math.log(2))
    assert reward("log_ratio", 0) == 0
    assert reward("d", 0) == 0.5


@pytest.mark.theory
@given(logit=st.floats(-30, 30))
def test_gradients_in_the_logit(logit: float) -> None:
    """Where D is sure of a fake d/dx log D = 1 - D is large and d/dx -log(1 - D) = D vanishes: why 13.37 is usual."""
    x = torch.tensor([logit], dtype=torch.float64)
    d = torch.sigmoid(x)

    def gradient(name: str) -> Tensor:
        leaf = x.clone().requires_grad_()
        return torch.autograd.grad(pay(name, leaf).sum() + 0.0 * leaf.sum(), leaf)[0]

    torch.testing.assert_close(gradient("log_d"), torch.sigmoid(-x), rtol=1e-12, atol=0)
    torch.testing.assert_close(gradient("neg_log_one_minus_d"), d, rtol=1e-12, atol=0)
    torch.testing.assert_close(gradient("d"), d * torch.sigmoid(-x), rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(gradient("log_ratio"), torch.ones(1, dtype=torch.float64))
    torch.testing.assert_close(gradient("constant"), torch.zeros(1, dtype=torch.float64))


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"constant"}))
def test_more_real_is_worth_more(name: str) -> None:
    logit_B = torch.linspace(-20, 20, 401, dtype=torch.float64)
    assert (pay(name, logit_B).diff() > 0).all()


def test_each_row_is_paid_for_itself() -> None:
    logit_B = torch.tensor([-2.0, 0.5, 3.0], dtype=torch.float64)
    for name in NAMES:
        assert pay(name, logit_B).tolist() == [reward(name, logit) for logit in logit_B.tolist()]


@pytest.mark.theory
@pytest.mark.parametrize("name", NAMES)
@given(logit=st.floats(-1e4, 1e4))
def test_a_reward_is_within_what_it_declares(name: str, logit: float) -> None:
    assert REWARDS[name].low <= reward(name, logit) <= REWARDS[name].high


@pytest.mark.parametrize("name", ["", "log D", "blue", None, 3])
def test_an_unknown_reward_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=f"reward must be one of log_d, .*exact_log_ratio.*constant.*; got {name!r}"):
        REWARDS.lookup(name)


def test_a_lookup_finds_each() -> None:
    assert [REWARDS.lookup(name) for name in REWARDS] == list(REWARDS.values())


def test_terms_to_go_are_discounted_once_a_step() -> None:
    term_BT = torch.tensor([[1.0, 2.0, 4.0], [0.0, -1.0, 3.0]], dtype=torch.float64)
    assert to_go(term_BT).tolist() == [[7.0, 6.0, 4.0], [2.0, 2.0, 3.0]]
    assert to_go(term_BT, 0.5).tolist() == [[3.0, 4.0, 4.0], [0.25, 0.5, 3.0]]
    assert term_BT[0].tolist() == [1.0, 2.0, 4.0]
