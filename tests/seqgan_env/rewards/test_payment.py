"""A reward as a task pays it: its range, its limits, and the discriminator it is bound to."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch

from seqgan_env.discriminators import build_discriminator
from seqgan_env.rewards import Payment, RewardContext, check_clip
from seqgan_env.tokens import SequenceSpec

SPEC = SequenceSpec(3, 2)
ROWS = np.array([[0, 1], [2, 2], [1, 0]])
CONTEXT = RewardContext(SPEC, None, lambda: ROWS)


def test_it_is_clipped_after_its_range_is_checked() -> None:
    logit_B = np.array([-5.0, 0.0, 5.0])
    paid_B = Payment("log_d", CONTEXT, [-1.0, None]).pay_checked(None, logit_B, ROWS)
    expected_B = np.maximum(torch.nn.functional.logsigmoid(torch.from_numpy(logit_B)).numpy(), -1.0)
    np.testing.assert_array_equal(paid_B, expected_B)
    tensor_B = Payment("log_d", CONTEXT, [-1.0, None]).pay(None, torch.from_numpy(logit_B), torch.from_numpy(ROWS))
    np.testing.assert_array_equal(tensor_B, expected_B)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_a_logit_or_a_reward_that_is_not_finite_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match=f"the discriminator's logits must be finite in single precision, got {wrong}"):
        Payment("log_d", CONTEXT, None).pay_checked(None, np.array([0.0, wrong, 0.0]), ROWS)
    own = Payment(lambda logit_real_B, tokens_BT: logit_real_B + wrong, CONTEXT, None)
    with pytest.raises(ValueError, match=f"rewards must be finite.*, got {wrong}"):
        own.pay_checked(None, np.zeros(3), ROWS)


class _Beside:
    """Pays by real sequences' logits, as a tensor of more than one element, and keeps these."""

    compared = ROWS

    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []

    def beside(self, logit_compared_R: torch.Tensor) -> Any:
        self.seen.append(logit_compared_R)
        return lambda logit_real_B, tokens_BT: logit_real_B - logit_compared_R


def test_what_compares_does_so_on_the_device_of_the_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps are paid on the host, also where the discriminator is on a GPU, and completions there."""
    beside, discriminator = _Beside(), build_discriminator("tabular", SPEC, seed=0, kwargs={})
    payment = Payment("log_d", CONTEXT, None)
    monkeypatch.setattr(payment, "_reward", None)
    monkeypatch.setattr(payment, "_comparing", beside)
    logit_B = np.zeros(len(ROWS))
    expected_B = payment.pay_checked(discriminator, logit_B, ROWS)
    on_device = torch.from_numpy(logit_B).to("meta"), torch.from_numpy(ROWS).to("meta")
    assert payment.pay(discriminator, *on_device).device.type == "meta"
    np.testing.assert_array_equal(payment.pay_checked(discriminator, logit_B, ROWS), expected_B)
    assert [logit_R.device.type for logit_R in beside.seen] == ["cpu", "meta"]


def test_a_copy_builds_its_own_reward() -> None:
    payment = Payment("d", RewardContext(SPEC, None, _rows), None)
    copied = pickle.loads(pickle.dumps(payment))
    np.testing.assert_array_equal(copied.pay_checked(None, np.zeros(3), ROWS), [0.5] * 3)


def _rows() -> Any:
    return ROWS


@pytest.mark.parametrize("clip", [[1, 1], [2, 1], [1], "ab", 3, [math.nan, 1]])
def test_limits_that_are_none_are_refused(clip: Any) -> None:
    with pytest.raises(ValueError, match=r"reward_clip must be \[low, high\]"):
        check_clip(clip)
    assert check_clip([None, 2]) == (-math.inf, 2.0)
