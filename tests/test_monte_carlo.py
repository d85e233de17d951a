"""The estimate of the action values: unbiased, with the right variance, and every number in its place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from agents import LstmPolicy
from agents.monte_carlo import action_values, last_step, stratified_tokens
from seqgan_env.tokens import SequenceSpec
from tests import reference
from tests.builders import lstm, prefixes
from tests.significance import assert_frequencies, assert_mean, assert_not_mean, z_limit

SPECS = [SequenceSpec(3, 3), SequenceSpec(3, 4, 0), SequenceSpec(2, 4, 1)]


def show(spec: SequenceSpec) -> str:
    return f"V={spec.vocab_size},T={spec.max_length},eos={spec.eos_id}"


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def score_by(spec: SequenceSpec, table: dict[reference.Prefix, float]) -> Callable[[Tensor], Tensor]:
    """The reward of each row of a batch, looked up."""
    code_T = (spec.vocab_size + 1) ** torch.arange(spec.max_length)
    rows_BT = torch.from_numpy(reference.padded(spec, table))
    values = torch.zeros((spec.vocab_size + 1) ** spec.max_length, dtype=torch.float64)
    values[rows_BT @ code_T] = torch.tensor(list(table.values()), dtype=torch.float64)
    return lambda tokens_MT: values[tokens_MT @ code_T]


@pytest.mark.theory
@pytest.mark.parametrize("exact_last_step", [False, True], ids=["sampled", "exact-last"])
@pytest.mark.parametrize("stratified", [False, True], ids=["independent", "stratified"])
@pytest.mark.parametrize("n_completions", [1, 4])
@pytest.mark.parametrize("spec", SPECS, ids=show)
def test_is_unbiased_for_every_sequence_and_step(
    spec: SequenceSpec, n_completions: int, stratified: bool, exact_last_step: bool
) -> None:
    """Eq. 13.40: the mean over 1,500 runs is the exact Q for all (b, t) at once, each sequence with its own reward."""
    policy = lstm(spec)
    table = reference.random_reward(spec)
    rows = reference.sequences(spec)
    tokens_BT = torch.from_numpy(reference.padded(spec, rows))
    score = score_by(spec, table)
    exact_BT = reference.action_values(spec, reference.next_token_of(policy), reference.reward_of(table), rows)
    n_runs = 1500
    many_BT = tokens_BT.repeat(n_runs, 1)
    q_BT = action_values(
        policy,
        many_BT,
        score(many_BT),
        score,
        n_completions=n_completions,
        generator=generator(),
        stratified=stratified,
        last=last_step(policy, many_BT, score) if exact_last_step else None,
    )
    samples_RK = q_BT.reshape(n_runs, -1).numpy()
    assert_mean(samples_RK, exact_BT.flatten().numpy())
    # and it isn't the value of another step, of another sequence, or of the sequence itself
    for wrong_BT in (exact_BT.roll(1, dims=1), exact_BT.roll(1, dims=0), score(tokens_BT)[:, None].expand_as(exact_BT)):
        assert_not_mean(samples_RK, wrong_BT.flatten().numpy())


@pytest.mark.theory
@pytest.mark.parametrize("spec", SPECS, ids=show)
def test_variance_falls_as_one_over_the_completions(spec: SequenceSpec) -> None:
    """Var of the estimate = Var of one completion's reward / N, both by enumeration, for each N at every prefix.

    The mean square about the exact Q over R runs has the variance (mu_4 - sigma^4) / R, and the fourth moment of a mean
    of N is (mu_4 + 3 (N - 1) sigma^4) / N^3.
    """
    policy = lstm(spec)
    table = reference.random_reward(spec)
    score = score_by(spec, table)
    next_token = reference.next_token_of(policy)
    starts = [prefix for prefix in reference.open_prefixes(spec) if prefix]
    tokens_BT = torch.from_numpy(reference.padded(spec, [reference.sequences(spec, prefix)[-1] for prefix in starts]))
    moments = []
    for prefix in starts:
        rows = reference.sequences(spec, prefix)
        p = np.array([reference.probability(next_token, row, given=len(prefix)).item() for row in rows])
        r = np.array([table[row] for row in rows])
        moments.append((p @ r, p @ (r - p @ r) ** 2, p @ (r - p @ r) ** 4))
    mean_B, variance_B, fourth_B = np.array(moments).T
    n_runs, sizes = 1000, (1, 4, 16)
    many_BT = tokens_BT.repeat(n_runs, 1)
    for n in sizes:
        q_BT = action_values(policy, many_BT, score(many_BT), score, n_completions=n, generator=generator(n))
        q_RBT = q_BT.reshape(n_runs, len(starts), -1).numpy()
        q_RB = q_RBT[:, np.arange(len(starts)), [len(prefix) - 1 for prefix in starts]]
        square_B = ((q_RB - mean_B) ** 2).mean(axis=0)
        fourth_of_mean_B = (fourth_B + 3 * (n - 1) * variance_B**2) / n**3
        error_B = np.sqrt((fourth_of_mean_B - (variance_B / n) ** 2) / n_runs)
        assert np.abs((square_B - variance_B / n) / error_B).max() < z_limit(len(starts) * len(sizes))


@pytest.mark.theory
@pytest.mark.parametrize("spec", [*SPECS, SequenceSpec(4, 1), SequenceSpec(1, 3), SequenceSpec(1, 3, 0)], ids=show)
def test_is_exact_at_the_last_token_and_zero_after_it(spec: SequenceSpec) -> None:
    """Eq. 13.38: the last token's value is the reward that the sequence was given, whatever ``score`` would say."""
    rows = reference.sequences(spec)
    tokens_BT = torch.from_numpy(reference.padded(spec, rows))
    reward_B = torch.randn(len(rows), generator=generator(), dtype=torch.float64)
    q_BT = action_values(
        lstm(spec), tokens_BT, reward_B, lambda rows_MT: torch.full((len(rows_MT),), 1e6), n_completions=2
    )
    assert q_BT.dtype == torch.float64
    for b, row in enumerate(rows):
        assert q_BT[b, len(row) - 1] == reward_B[b]
        assert (q_BT[b, : len(row) - 1] == 1e6).all()
        assert (q_BT[b, len(row) :] == 0).all()


class Lanes:
    """A score that gives every completion a number of its own and remembers which."""

    def __init__(self, max_length: int) -> None:
        self.tokens_MT = torch.zeros(0, max_length, dtype=torch.int64)
        self.reward_M = torch.zeros(0)
        self.n_calls = 0

    def __call__(self, tokens_MT: Tensor) -> Tensor:
        self.n_calls += 1
        self.tokens_MT = tokens_MT.clone()
        self.reward_M = torch.randperm(len(tokens_MT), generator=generator()).double() ** 1.5
        return self.reward_M


def continues_with_other_tokens(spec: SequenceSpec, first: int) -> LstmPolicy:
    """A policy that only chooses ids from ``first`` on."""
    policy = lstm(spec)
    with torch.no_grad():
        policy.output.bias[:first] = -torch.inf
    return policy


@given(
    n_sequences=st.integers(1, 6),
    max_length=st.integers(1, 6),
    n_completions=st.integers(1, 5),
    with_end=st.booleans(),
    stratified=st.booleans(),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60)
def test_every_value_is_the_mean_of_the_completions_of_its_own_prefix(
    n_sequences: int, max_length: int, n_completions: int, with_end: bool, stratified: bool, seed: int
) -> None:
    """No axis is scrambled: each (b, t) takes exactly its N completions, each of which has a reward of its own.

    The sequences are told apart by their first token, and use ids that the policy never chooses: where a completion
    branches off can be read in it.
    """
    rng = np.random.default_rng(seed)
    n_known = n_sequences + 2
    spec = SequenceSpec(n_known + 4, max_length, n_known + 3 if with_end else None)
    rows = []
    for b in range(n_sequences):
        length = int(rng.integers(1, max_length + 1)) if with_end else max_length
        row = (b, *rng.integers(n_known, size=length - 1).tolist())
        rows.append(row if spec.eos_id is None or length == max_length else (*row[:-1], spec.eos_id))
    tokens_BT = torch.from_numpy(spec.validate(reference.padded(spec, rows), complete=True))
    reward_B = -torch.arange(1.0, n_sequences + 1)
    lanes = Lanes(max_length)
    policy = continues_with_other_tokens(spec, n_known)
    q_BT = action_values(
        policy,
        tokens_BT,
        reward_B,
        lanes,
        n_completions=n_completions,
        generator=generator(seed),
        stratified=stratified,
    )

    spec.validate(lanes.tokens_MT.numpy(), complete=True)
    rewards_of_prefix = defaultdict(list)
    for completion, reward in zip(reference.unpadded(spec, lanes.tokens_MT), lanes.reward_M.tolist(), strict=True):
        branch = next(t for t, token in enumerate(completion) if token >= n_known)
        rewards_of_prefix[completion[:branch]].append(reward)
    for b, row in enumerate(rows):
        for t in range(1, len(row)):
            rewards = rewards_of_prefix.pop(row[:t])
            assert len(rewards) == n_completions
            assert q_BT[b, t - 1].item() == pytest.approx(sum(rewards) / n_completions, rel=1e-12)
        assert q_BT[b, len(row) - 1] == reward_B[b]
        assert (q_BT[b, len(row) :] == 0).all()
    assert not rewards_of_prefix
    assert lanes.n_calls <= 1


@pytest.mark.theory
def test_completions_are_read_from_the_start_symbol() -> None:
    """Eq. 13.40 again, on a policy whose choice is its first input's: one that skipped it would read something else."""
    spec = SequenceSpec(3, 3)
    policy = lstm(spec)
    with torch.no_grad():
        policy.core.embedding.weight[:3] = 0
        policy.core.embedding.weight[3] = 20
    rows = [(0, 1, 2)]
    tokens_BT = torch.from_numpy(reference.padded(spec, rows)).repeat(4000, 1)
    table = reference.random_reward(spec)
    score = score_by(spec, table)
    exact_BT = reference.action_values(spec, reference.next_token_of(policy), reference.reward_of(table), rows)
    q_BT = action_values(policy, tokens_BT, score(tokens_BT), score, n_completions=1, generator=generator())
    assert_mean(q_BT.numpy(), exact_BT[0].numpy())
    with torch.no_grad():
        policy.core.embedding.weight[3] = 0
    other_BT = reference.action_values(spec, reference.next_token_of(policy), reference.reward_of(table), rows)
    assert_not_mean(q_BT.numpy(), other_BT[0].numpy())


def test_sequences_of_one_token_need_no_completion() -> None:
    spec = SequenceSpec(3, 4, 0)
    tokens_BT = torch.from_numpy(reference.padded(spec, [(0,), (0,)]))

    def score(tokens_MT: Tensor) -> Tensor:
        raise AssertionError("there is nothing to score")

    q_BT = action_values(lstm(spec), tokens_BT, torch.tensor([1.0, 2.0]), score, n_completions=3)
    assert q_BT.tolist() == [[1, 0, 0, 0], [2, 0, 0, 0]]


@pytest.mark.parametrize("stratified", [False, True], ids=["independent", "stratified"])
def test_randomness_comes_from_the_generator_alone(stratified: bool) -> None:
    spec = SequenceSpec(4, 5, 3)
    policy = lstm(spec)
    tokens_BT = policy.sample(20, generator())
    score = score_by(spec, reference.random_reward(spec))

    def values(seed: int) -> Tensor:
        return action_values(
            policy,
            tokens_BT,
            score(tokens_BT),
            score,
            n_completions=2,
            generator=generator(seed),
            stratified=stratified,
        )

    torch.manual_seed(0)
    q_BT = values(1)
    torch.manual_seed(1)
    assert torch.equal(values(1), q_BT)
    assert not torch.equal(values(2), q_BT)
    assert not q_BT.requires_grad


def test_leaves_its_arguments_as_they_are() -> None:
    spec = SequenceSpec(4, 5, 3)
    policy = lstm(spec)
    tokens_BT = policy.complete(prefixes(spec, 20, np.random.default_rng(0)), generator())
    score = score_by(spec, reference.random_reward(spec))
    reward_B = score(tokens_BT)
    before = tokens_BT.clone(), reward_B.clone()
    action_values(policy, tokens_BT, reward_B, score, n_completions=2)
    assert torch.equal(tokens_BT, before[0])
    assert torch.equal(reward_B, before[1])


@pytest.mark.parametrize("n_completions", [0, -1])
def test_refuses_fewer_than_one_completion(n_completions: int) -> None:
    spec = SequenceSpec(3, 3)
    with pytest.raises(ValueError, match=f"n_completions must be at least 1, got {n_completions}"):
        action_values(
            lstm(spec),
            torch.zeros(1, 3, dtype=torch.int64),
            torch.zeros(1),
            torch.ones_like,
            n_completions=n_completions,
        )


class TestLastStep:
    @pytest.mark.theory
    @pytest.mark.parametrize("spec", [*SPECS, SequenceSpec(4, 1), SequenceSpec(1, 3), SequenceSpec(1, 3, 0)], ids=show)
    def test_holds_every_last_token_of_every_sequence_that_reaches_it(self, spec: SequenceSpec) -> None:
        """Eq. 13.38 for all V tokens, and their sum, eq. 13.40 at t = T - 1, to 1e-12."""
        policy = lstm(spec)
        table = reference.random_reward(spec)
        next_token = reference.next_token_of(policy)
        rows = reference.sequences(spec)
        last = last_step(policy, torch.from_numpy(reference.padded(spec, rows)), score_by(spec, table))
        assert last.sequence_M.tolist() == [b for b, row in enumerate(rows) if len(row) == spec.max_length]
        for m, b in enumerate(last.sequence_M.tolist()):
            before = rows[b][:-1]
            ends = [(*before, token) for token in range(spec.vocab_size)]
            assert last.q_MV[m].tolist() == [table[row] for row in ends]
            torch.testing.assert_close(last.log_prob_MV[m].exp(), next_token(before), rtol=0, atol=1e-12)
            value = reference.expected_reward(spec, next_token, reference.reward_of(table), before)
            assert last.value_M[m].item() == pytest.approx(value.item(), abs=1e-12)

    @pytest.mark.theory
    @pytest.mark.parametrize("spec", SPECS, ids=show)
    def test_makes_the_last_but_one_value_exact_and_spares_its_completions(self, spec: SequenceSpec) -> None:
        policy = lstm(spec)
        table = reference.random_reward(spec)
        score = score_by(spec, table)
        rows = reference.sequences(spec)
        tokens_BT = torch.from_numpy(reference.padded(spec, rows))
        n_lanes = []

        def counted(tokens_MT: Tensor) -> Tensor:
            n_lanes.append(len(tokens_MT))
            return score(tokens_MT)

        last = last_step(policy, tokens_BT, score)
        q_BT = action_values(policy, tokens_BT, score(tokens_BT), counted, n_completions=2, last=last)
        exact_BT = reference.action_values(spec, reference.next_token_of(policy), reference.reward_of(table), rows)
        reaches_B = torch.tensor([len(row) == spec.max_length for row in rows])
        torch.testing.assert_close(q_BT[reaches_B, -2:], exact_BT[reaches_B, -2:], rtol=0, atol=1e-12)
        assert n_lanes == [2 * sum(min(len(row), spec.max_length - 1) - 1 for row in rows)]

    def test_of_sequences_that_all_ended_before_asks_for_no_score(self) -> None:
        spec = SequenceSpec(3, 4, 0)

        def score(tokens_MT: Tensor) -> Tensor:
            raise AssertionError("there is nothing to score")

        last = last_step(lstm(spec), torch.from_numpy(reference.padded(spec, [(0,), (1, 0)])), score)
        assert last.q_MV.shape == last.log_prob_MV.shape == (0, 3)
        assert last.value_M.shape == (0,)


class TestStratified:
    @pytest.mark.theory
    @pytest.mark.parametrize("n", [1, 3, 8])
    def test_each_token_alone_follows_the_softmax(self, n: int) -> None:
        """Eq. 13.30 for every one of the n, by a chi-square test; without the random order it would fail."""
        logits_V = torch.randn(7, generator=generator(1), dtype=torch.float64)
        p_V = logits_V.softmax(dim=0).numpy()
        token_NB = stratified_tokens(logits_V.expand(4000, -1), n, generator())
        assert token_NB.shape == (n, 4000)
        for token_B in token_NB:
            assert_frequencies(np.bincount(token_B.numpy(), minlength=7), p_V, n_tests=n)

    @pytest.mark.theory
    @given(vocab_size=st.integers(1, 9), n=st.integers(1, 12), seed=st.integers(0, 1000))
    def test_together_they_are_spread_as_evenly_as_can_be(self, vocab_size: int, n: int, seed: int) -> None:
        """Of n draws of row b, as many are at most v as n times their probability, to within one."""
        logits_BV = 3 * torch.randn(5, vocab_size, generator=generator(seed))
        logits_BV[:, vocab_size // 2 + 1 :] = -torch.inf
        token_NB = stratified_tokens(logits_BV, n, generator(seed))
        share_BV = logits_BV.double().softmax(dim=1).cumsum(dim=1)
        for v in range(vocab_size):
            count_B = (token_NB <= v).sum(dim=0)
            assert ((count_B - n * share_BV[:, v]).abs() < 1 + 1e-6).all()
        assert (token_NB <= vocab_size // 2).all()

    @pytest.mark.theory
    def test_lowers_the_variance_where_the_first_token_decides(self) -> None:
        """With T = 2 a completion is one token: 4,000 estimates of eq. 13.40 vary less than half as much."""
        spec = SequenceSpec(4, 2)
        policy = lstm(spec, scale=1.0)
        score = score_by(spec, reference.random_reward(spec))
        tokens_BT = torch.zeros(4000, 2, dtype=torch.int64)
        reward_B = score(tokens_BT)
        variance = [
            action_values(
                policy, tokens_BT, reward_B, score, n_completions=8, generator=generator(), stratified=stratified
            )[:, 0].var()
            for stratified in (False, True)
        ]
        assert variance[1] < variance[0] / 2


@pytest.mark.theory
@pytest.mark.parametrize("spec", SPECS, ids=show)
def test_a_lagging_policy_gives_its_own_values(spec: SequenceSpec) -> None:
    """Eq. 13.40 with the completions of another policy: unbiased for that policy's Q, biased for the present one's.

    Only the last token's value is the same (eq. 13.38): there is nothing to complete.
    """
    policy, lagging = lstm(spec, seed=0), lstm(spec, seed=1)
    table = reference.random_reward(spec)
    score = score_by(spec, table)
    rows = reference.sequences(spec)
    own_BT, lagging_BT = (
        reference.action_values(spec, reference.next_token_of(p), reference.reward_of(table), rows)
        for p in (policy, lagging)
    )
    many_BT = torch.from_numpy(reference.padded(spec, rows)).repeat(1500, 1)
    q_BT = action_values(lagging, many_BT, score(many_BT), score, n_completions=2, generator=generator())
    samples_RK = q_BT.reshape(1500, -1).numpy()
    assert_mean(samples_RK, lagging_BT.flatten().numpy())
    assert_not_mean(samples_RK, own_BT.flatten().numpy())
    for b, row in enumerate(rows):
        assert own_BT[b, len(row) - 1] == lagging_BT[b, len(row) - 1]


@pytest.mark.theory
@pytest.mark.parametrize("spec", SPECS, ids=show)
def test_a_lagging_policy_biases_the_gradient(spec: SequenceSpec) -> None:
    """Eq. 13.44 with a lagging Q, summed exactly, is not grad J, and is again as the lagging policy catches up."""
    policy = lstm(spec)
    next_token = reference.next_token_of(policy)
    parameters = list(policy.parameters())
    reward = reference.reward_of(reference.random_reward(spec))
    exact = reference.gradient_by_enumeration(spec, next_token, reward, parameters)
    bias = []
    for lag in (1.0, 0.1, 0.01, 0.0):
        lagging = lstm(spec)
        with torch.no_grad():
            for parameter, other in zip(lagging.parameters(), lstm(spec, seed=1).parameters(), strict=True):
                parameter.lerp_(other, lag)
        its_next_token = reference.next_token_of(lagging)
        total = torch.zeros((), dtype=torch.float64)
        for prefix in reference.open_prefixes(spec):
            reached = reference.probability(next_token, prefix).detach()
            for token, p in enumerate(next_token(prefix)):
                q = reference.action_value(spec, its_next_token, reward, prefix, token).detach()
                total = total + reached * p * q
        bias.append(((reference.gradient_of(total, parameters) - exact).norm() / exact.norm()).item())
    assert bias[0] > 0.05
    assert bias[0] > bias[1] > bias[2] > 1e-5
    assert bias[2] < bias[1] / 5  # in proportion to the lag
    assert bias[3] < 1e-10
