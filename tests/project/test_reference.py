"""The slow forms of ``tests.support.reference`` agree with each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from seqgan_env.autoregressive import CORES
from seqgan_env.tokens import SequenceSpec
from tests.support import reference
from tests.support.builders import make_generator, show
from tests.support.reference import NextToken, Reward
from tests.support.rewards import OF_LOGIT, pay

SPECS = [
    SequenceSpec(3, 3),
    SequenceSpec(3, 3, 0),
    SequenceSpec(2, 4, 1),
    SequenceSpec(4, 2),
    SequenceSpec(3, 1),
    SequenceSpec(3, 1, 2),
    SequenceSpec(1, 3),
    SequenceSpec(1, 3, 0),
    SequenceSpec(4, 4),
    SequenceSpec(4, 4, 3),
]
KINDS = ["table", *CORES]


def policy_of(kind: str, spec: SequenceSpec) -> tuple[NextToken, list[torch.Tensor]]:
    if kind == "table":
        return reference.table_policy(spec, seed=1)
    policy = make_generator(kind, spec, seed=1)
    return reference.next_token_of(policy), list(policy.parameters())


def assert_values_agree(spec: SequenceSpec, next_token: NextToken, reward: Reward) -> None:
    """Eq. 13.39 = eq. 13.41, and eq. 13.40 = the expected reward after the prefix that the action makes."""
    enumerated = reference.expected_reward(spec, next_token, reward).item()
    assert reference.objective(spec, next_token, reward).item() == pytest.approx(enumerated, rel=0, abs=1e-10)
    for prefix in reference.open_prefixes(spec):
        for token in range(spec.vocab_size):
            recursive = reference.action_value(spec, next_token, reward, prefix, token).item()
            enumerated = reference.expected_reward(spec, next_token, reward, (*prefix, token)).item()
            assert recursive == pytest.approx(enumerated, rel=0, abs=1e-10)


def agreed_gradient(
    spec: SequenceSpec, next_token: NextToken, reward: Reward, parameters: list[torch.Tensor]
) -> torch.Tensor:
    """Eq. 13.44 = the gradient of eq. 13.39 = the gradient of eq. 13.41."""
    gradient = reference.gradient_by_enumeration(spec, next_token, reward, parameters)
    by_theorem = reference.gradient_by_theorem(spec, next_token, reward, parameters)
    from_start = reference.gradient_of(reference.objective(spec, next_token, reward), parameters)
    torch.testing.assert_close(by_theorem, gradient, rtol=0, atol=1e-10)
    torch.testing.assert_close(from_start, gradient, rtol=0, atol=1e-10)
    return gradient


@pytest.mark.parametrize("spec", SPECS, ids=show)
def test_there_are_as_many_sequences_as_the_task_allows(spec: SequenceSpec) -> None:
    rows = reference.sequences(spec)
    words, horizon = spec.vocab_size - 1, spec.max_length
    expected = (
        spec.vocab_size**horizon
        if spec.eos_id is None
        else sum(words ** (length - 1) for length in range(1, horizon)) + words ** (horizon - 1) * spec.vocab_size
    )
    assert len(set(rows)) == len(rows) == expected
    tokens_BT = spec.validate(reference.padded(spec, rows), complete=True)
    assert reference.unpadded(spec, tokens_BT) == rows


@pytest.mark.theory
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("spec", SPECS, ids=show)
class TestAgreement:
    def test_probabilities_sum_to_one(self, spec: SequenceSpec, kind: str) -> None:
        """Eq. 13.31, over all sequences and over those that begin with each prefix."""
        next_token, _ = policy_of(kind, spec)
        for prefix in reference.open_prefixes(spec):
            rows = reference.sequences(spec, prefix)
            total = sum(reference.probability(next_token, row, given=len(prefix)).item() for row in rows)
            assert total == pytest.approx(1, abs=1e-12)

    def test_values(self, spec: SequenceSpec, kind: str) -> None:
        """Eq. 13.39 = eq. 13.41, and eq. 13.40 = the expected reward after the prefix that the action makes."""
        next_token, _ = policy_of(kind, spec)
        assert_values_agree(spec, next_token, reference.reward_of(reference.random_reward(spec)))

    def test_gradients(self, spec: SequenceSpec, kind: str) -> None:
        """Eq. 13.44 = the gradient of eq. 13.39 = the gradient of eq. 13.41."""
        next_token, parameters = policy_of(kind, spec)
        reward = reference.reward_of(reference.random_reward(spec))
        gradient = agreed_gradient(spec, next_token, reward, parameters)
        assert (gradient.abs().max() > 1e-3) == (spec.vocab_size > 1)  # a single token leaves nothing to choose


@pytest.mark.theory
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("spec", [SequenceSpec(3, 3), SequenceSpec(3, 3, 2), SequenceSpec(4, 1)], ids=show)
@pytest.mark.parametrize("name", OF_LOGIT)
def test_all_forms_agree_for_every_reward(name: str, spec: SequenceSpec, kind: str) -> None:
    """Eq. 13.39, 13.40, 13.41 and 13.44 for the rewards of eq. 13.36, 13.37 and the others, of logits far from 0."""
    next_token, parameters = policy_of(kind, spec)
    logits = reference.random_reward(spec, seed=2)
    table = {row: pay(name, torch.tensor([3 * logit], dtype=torch.float64)).item() for row, logit in logits.items()}
    assert_values_agree(spec, next_token, reference.reward_of(table))
    gradient = agreed_gradient(spec, next_token, reference.reward_of(table), parameters)
    # a constant reward has no gradient
    assert gradient.abs().max() < 1e-10 if name == "constant" else gradient.abs().max() > 1e-3


@pytest.mark.theory
def test_one_step_is_the_immediate_reward() -> None:
    """Eq. 13.41 and 13.44 with T = 1 (IRGAN's case), by hand: the mean reward of a token, the softmax's own slope."""
    spec = SequenceSpec(4, 1)
    next_token, (logits_SV,) = reference.table_policy(spec)
    table = reference.random_reward(spec)
    reward_V = torch.tensor([table[(token,)] for token in range(4)], dtype=torch.float64)
    p_V = torch.softmax(logits_SV[0], dim=0).detach()
    mean = float((p_V * reward_V).sum())
    reward = reference.reward_of(table)
    assert reference.objective(spec, next_token, reward).item() == pytest.approx(mean, abs=1e-12)
    gradient = reference.gradient_by_theorem(spec, next_token, reward, [logits_SV])
    torch.testing.assert_close(gradient, p_V * (reward_V - mean), rtol=0, atol=1e-12)


@pytest.mark.theory
def test_values_worked_by_hand() -> None:
    """Eq. 13.38-13.41 on two tokens and two steps, with a = G(0 | s_0), b and c = G(0 | 0) and G(0 | 1)."""
    a, b, c = 0.25, 0.5, 0.8
    distribution = {(): a, (0,): b, (1,): c}
    reward = reference.reward_of({(0, 0): 1.0, (0, 1): 2.0, (1, 0): 4.0, (1, 1): 8.0})

    def next_token(prefix: reference.Prefix) -> torch.Tensor:
        return torch.tensor([distribution[prefix], 1 - distribution[prefix]], dtype=torch.float64)

    q_0, q_1 = b * 1 + (1 - b) * 2, c * 4 + (1 - c) * 8
    q_BT = reference.action_values(SequenceSpec(2, 2), next_token, reward, [(0, 1), (1, 0)])
    np.testing.assert_allclose(q_BT, [[q_0, 2.0], [q_1, 4.0]])
    assert reference.objective(SequenceSpec(2, 2), next_token, reward).item() == pytest.approx(a * q_0 + (1 - a) * q_1)
    assert math.isclose(reference.probability(next_token, (1, 0)).item(), (1 - a) * c)
