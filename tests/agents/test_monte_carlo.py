"""The estimate of the action values: unbiased, with the right variance, and every number in its place."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from agents import monte_carlo
from agents.monte_carlo import action_values, last_step, stratified_uniforms
from seqgan_env.autoregressive import CORES, AutoregressiveModel
from seqgan_env.autoregressive import model as model_module
from seqgan_env.autoregressive.cores import Core, CoreConfig, CoreState
from seqgan_env.autoregressive.sampling import sample_tokens
from seqgan_env.discriminators import build_discriminator
from seqgan_env.task import Task
from seqgan_env.task_config import TaskConfig
from seqgan_env.tokens import SequenceSpec
from tests.support import reference
from tests.support.builders import every_kind, lstm, make_generator, prefixes, score_by, show, tasks
from tests.support.reference_env import TINY
from tests.support.significance import assert_frequencies, assert_mean, assert_not_mean, z_limit

SPECS = [SequenceSpec(3, 3), SequenceSpec(3, 4, 0), SequenceSpec(2, 4, 1)]
EDGES = [SequenceSpec(4, 1), SequenceSpec(1, 3), SequenceSpec(1, 3, 0)]
kinds = st.sampled_from(sorted(CORES))


@pytest.fixture(params=["as on a CPU", "as on a GPU"])
def _both_forms(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """That which finds out what has ended, and that which computes on."""
    for module in (monte_carlo, model_module):
        monkeypatch.setattr(module, "may_look", lambda _: request.param == "as on a CPU")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.theory
@every_kind
@pytest.mark.parametrize(
    ("n_completions", "stratified", "exact_last_step"),
    [(1, False, False), (4, True, False), (4, False, True), (3, True, True)],
    ids=["one", "stratified", "exact-last", "stratified-exact-last"],
)
@pytest.mark.parametrize("spec", SPECS, ids=show)
@pytest.mark.usefixtures("_both_forms")
def test_is_unbiased_for_every_sequence_and_step(
    spec: SequenceSpec, n_completions: int, stratified: bool, exact_last_step: bool, kind: str
) -> None:
    """Eq. 13.40: the mean over 1,500 runs is the exact Q for all (b, t) at once, each sequence with its own reward.

    Every prefix of the task is there, as sequences that agree up to their last token have the same ones.
    """
    policy = make_generator(kind, spec)
    table = reference.random_reward(spec)
    rows = reference.representatives(spec)
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
        rng=seeded(),
        stratified=stratified,
        last=last_step(policy, many_BT, score) if exact_last_step else None,
    )
    samples_RK = q_BT.reshape(n_runs, -1).numpy()
    assert_mean(samples_RK, exact_BT.flatten().numpy())
    # and it isn't the value of another step, of another sequence, or of the sequence itself
    for wrong_BT in (exact_BT.roll(1, dims=1), exact_BT.roll(1, dims=0), score(tokens_BT)[:, None].expand_as(exact_BT)):
        assert_not_mean(samples_RK, wrong_BT.flatten().numpy())


@pytest.mark.theory
@pytest.mark.parametrize("n_completions", [0, 2])
@pytest.mark.parametrize("exact_last_step", [False, True])
@pytest.mark.parametrize("spec", [SequenceSpec(3, 3, 0), SequenceSpec(3, 1)], ids=show)
@pytest.mark.usefixtures("_both_forms")
def test_a_discount_counts_the_tokens_that_follow(
    spec: SequenceSpec, exact_last_step: bool, n_completions: int
) -> None:
    """Eq. 13.40 with a factor of 0.8 for each of them: by enumeration, of a reward that has it for every token."""
    policy, table, discount = lstm(spec), reference.random_reward(spec), 0.8
    whole = reference.reward_of({row: discount ** len(row) * reward for row, reward in table.items()})
    rows = reference.representatives(spec)
    tokens_BT = torch.from_numpy(reference.padded(spec, rows))
    exact_BT = reference.action_values(spec, reference.next_token_of(policy), whole, rows)
    if n_completions == 0:
        exact_BT = torch.tensor([whole(row) for row in rows], dtype=torch.float64)[:, None] * (tokens_BT != spec.pad_id)
    exact_BT = exact_BT / discount ** torch.arange(1, spec.max_length + 1).double()
    n_runs, score = 1500, score_by(spec, table)
    many_BT = tokens_BT.repeat(n_runs, 1)
    last = last_step(policy, many_BT, score) if exact_last_step and n_completions else None
    q_BT = action_values(
        policy, many_BT, score(many_BT), score, n_completions=n_completions, rng=seeded(), last=last, discount=discount
    )
    assert_mean(q_BT.reshape(n_runs, -1).numpy(), exact_BT.flatten().numpy())


@pytest.mark.theory
@every_kind
@pytest.mark.parametrize("spec", [SequenceSpec(3, 3), SequenceSpec(3, 3, 0), SequenceSpec(2, 4, 1)], ids=show)
def test_variance_falls_as_one_over_the_completions(spec: SequenceSpec, kind: str) -> None:
    """Eq. 13.40: Var of the estimate = Var of one completion's reward / N, by enumeration, for each N and every (b, t).

    The mean square about the exact Q over R runs has the variance (mu_4 - sigma^4) / R, and the fourth moment of a mean
    of N is (mu_4 + 3 (N - 1) sigma^4) / N^3. A variance off by a half would be seen.
    """
    policy = make_generator(kind, spec)
    table = reference.random_reward(spec)
    score = score_by(spec, table)
    next_token = reference.next_token_of(policy)
    rows = reference.representatives(spec)
    tokens_BT = torch.from_numpy(reference.padded(spec, rows))
    places = [(b, t) for b, row in enumerate(rows) for t in range(len(row) - 1)]
    moments = []
    for b, t in places:
        ends = reference.sequences(spec, rows[b][: t + 1])
        p = np.array([reference.probability(next_token, end, given=t + 1).item() for end in ends])
        r = np.array([table[end] for end in ends])
        moments.append((p @ r, p @ (r - p @ r) ** 2, p @ (r - p @ r) ** 4))
    mean_K, variance_K, fourth_K = np.array(moments).T
    sizes = {1: 4000, 4: 1000, 16: 250}
    for n, n_runs in sizes.items():
        many_BT = tokens_BT.repeat(n_runs, 1)
        q_BT = action_values(policy, many_BT, score(many_BT), score, n_completions=n, rng=seeded(n))
        q_RBT = q_BT.reshape(n_runs, *tokens_BT.shape).numpy()
        q_RK = q_RBT[:, [b for b, _ in places], [t for _, t in places]]
        square_K = ((q_RK - mean_K) ** 2).mean(axis=0)
        fourth_of_mean_K = (fourth_K + 3 * (n - 1) * variance_K**2) / n**3
        error_K = np.sqrt((fourth_of_mean_K - (variance_K / n) ** 2) / n_runs)
        limit = z_limit(len(places) * len(sizes))
        assert np.abs((square_K - variance_K / n) / error_K).max() < limit
        for wrong in (1.5, 0.5):
            assert np.abs((square_K - wrong * variance_K / n) / error_K).max() > limit


@pytest.mark.theory
@given(spec=tasks, kind=kinds, n_completions=st.integers(1, 4), stratified=st.booleans(), seed=st.integers(0, 1000))
@settings(max_examples=60)
def test_is_exact_at_the_last_token_and_zero_after_it(
    spec: SequenceSpec, kind: str, n_completions: int, stratified: bool, seed: int
) -> None:
    """Eq. 13.38: the last token's value is the reward that the sequence was given, whatever ``score`` would say."""
    policy = make_generator(kind, spec, seed)
    tokens_BT = policy.complete(prefixes(spec, 6, np.random.default_rng(seed)), seeded(seed))
    reward_B = torch.randn(len(tokens_BT), generator=seeded(seed), dtype=torch.float64)
    q_BT = action_values(
        policy,
        tokens_BT,
        reward_B,
        lambda rows_MT: torch.full((len(rows_MT),), 1e6),
        n_completions=n_completions,
        rng=seeded(seed),
        stratified=stratified,
    )
    assert q_BT.dtype == torch.float64
    for b, row in enumerate(reference.unpadded(spec, tokens_BT)):
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
        self.reward_M = torch.randperm(len(tokens_MT), generator=seeded()).double() ** 1.5
        return self.reward_M


def continues_with_other_tokens(kind: str, spec: SequenceSpec, first: int) -> AutoregressiveModel:
    """A policy that only chooses ids from ``first`` on."""
    policy = make_generator(kind, spec)
    with torch.no_grad():
        policy.output.bias[:first] = -torch.inf
    return policy


@pytest.mark.theory
@given(
    kind=kinds,
    n_sequences=st.integers(1, 6),
    max_length=st.integers(1, 6),
    n_completions=st.integers(1, 5),
    with_end=st.booleans(),
    stratified=st.booleans(),
    seed=st.integers(0, 1000),
)
@settings(max_examples=80)
def test_every_value_is_the_mean_of_the_completions_of_its_own_prefix(
    kind: str, n_sequences: int, max_length: int, n_completions: int, with_end: bool, stratified: bool, seed: int
) -> None:
    """Eq. 13.40, no axis scrambled: each (b, t) takes exactly its N completions, each with a reward of its own.

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
    policy = continues_with_other_tokens(kind, spec, n_known)
    q_BT = action_values(
        policy,
        tokens_BT,
        reward_B,
        lanes,
        n_completions=n_completions,
        rng=seeded(seed),
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
@given(spec=tasks, kind=kinds, n_completions=st.integers(1, 4), stratified=st.booleans(), seed=st.integers(0, 1000))
@settings(max_examples=80)
def test_every_token_of_a_completion_is_drawn_in_the_state_of_its_own_prefix(
    spec: SequenceSpec, kind: str, n_completions: int, stratified: bool, seed: int
) -> None:
    """Eq. 13.31: the log-probabilities of the drawn tokens where they were drawn sum to those of the completions.

    One state that belongs to another lane, as where some lanes have ended and others go on, and the sums differ.
    """
    policy = make_generator(kind, spec, seed)
    tokens_BT = policy.complete(prefixes(spec, 5, np.random.default_rng(seed)), seeded(seed))
    drawn: list[Tensor] = []
    completed: list[Tensor] = []

    def choose(state: CoreState, rng: torch.Generator | None = None, **where: Tensor) -> Tensor:
        token_MN = type(policy).choose(policy, state, rng, **where)
        drawn.append(policy.output(state[0]).log_softmax(dim=1).gather(1, token_MN))
        return token_MN

    def score(tokens_MT: Tensor) -> Tensor:
        completed.append(policy.log_prob(tokens_MT))
        return torch.zeros(len(tokens_MT))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(policy, "choose", choose)
        action_values(
            policy,
            tokens_BT,
            torch.zeros(len(tokens_BT)),
            score,
            n_completions=n_completions,
            rng=seeded(seed),
            stratified=stratified,
        )
    # what was given, Y_{1:t} for each t before the last, was not drawn
    is_given_BT = torch.nn.functional.pad(tokens_BT[:, 1:], (0, 1), value=spec.pad_id) != spec.pad_id
    log_prob_BT = policy.log_prob(tokens_BT).cumsum(dim=1)
    given = n_completions * (log_prob_BT * is_given_BT).sum().item()
    total = sum(log_prob_MT.sum().item() for log_prob_MT in completed)
    assert sum(log_prob.sum().item() for log_prob in drawn) == pytest.approx(total - given, rel=1e-9, abs=1e-8)


@pytest.mark.theory
@every_kind
@pytest.mark.usefixtures("_both_forms")
def test_completions_are_read_from_the_start_symbol(kind: str) -> None:
    """Eq. 13.40 again, on a policy whose choice is its first input's: one that skipped it would read something else."""
    spec = SequenceSpec(3, 3)
    policy = make_generator(kind, spec)
    with torch.no_grad():
        policy.core.embedding.weight[:3] = 0
        policy.core.embedding.weight[3] = 20
    rows = [(0, 1, 2)]
    tokens_BT = torch.from_numpy(reference.padded(spec, rows)).repeat(4000, 1)
    table = reference.random_reward(spec)
    score = score_by(spec, table)
    exact_BT = reference.action_values(spec, reference.next_token_of(policy), reference.reward_of(table), rows)
    q_BT = action_values(policy, tokens_BT, score(tokens_BT), score, n_completions=1, rng=seeded())
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
@pytest.mark.usefixtures("_both_forms")
def test_randomness_comes_from_the_generator_alone(stratified: bool) -> None:
    spec = SequenceSpec(4, 5, 3)
    policy = lstm(spec)
    tokens_BT = policy.sample(20, seeded())
    score = score_by(spec, reference.random_reward(spec))

    def values(seed: int) -> Tensor:
        return action_values(
            policy,
            tokens_BT,
            score(tokens_BT),
            score,
            n_completions=2,
            rng=seeded(seed),
            stratified=stratified,
        )

    torch.manual_seed(0)
    q_BT = values(1)
    torch.manual_seed(1)
    assert torch.equal(values(1), q_BT)
    assert not torch.equal(values(2), q_BT)
    assert not q_BT.requires_grad


@given(spec=tasks, seed=st.integers(0, 1000))
@settings(max_examples=20)
def test_leaves_its_arguments_as_they_are(spec: SequenceSpec, seed: int) -> None:
    policy = lstm(spec, seed)
    tokens_BT = policy.complete(prefixes(spec, 6, np.random.default_rng(seed)), seeded(seed))
    reward_B = tokens_BT.double().sum(dim=1)
    before = tokens_BT.clone(), reward_B.clone()
    action_values(policy, tokens_BT, reward_B, lambda rows_MT: rows_MT.double().sum(dim=1), n_completions=2)
    assert torch.equal(tokens_BT, before[0])
    assert torch.equal(reward_B, before[1])


def test_the_discriminator_scores_completions_without_dropout() -> None:
    """It may be in the middle of its training: rewards are those of evaluation, and its mode stays what it was."""
    task = Task(TaskConfig(**TINY))
    kwargs = {**TINY["discriminator_kwargs"], "dropout": 0.5}
    discriminator, quiet = (build_discriminator("cnn", task.spec, seed=3, kwargs=kwargs) for _ in range(2))
    task.scoring.set_discriminator(discriminator)
    discriminator.train()
    policy = lstm(task.spec)
    tokens_BT = policy.sample(50, seeded())
    reward_B = torch.from_numpy(task.scoring.score(tokens_BT.numpy()))
    scored: list[Tensor] = []

    def score(tokens_MT: Tensor) -> Tensor:
        scored.append(tokens_MT.clone())
        return torch.from_numpy(task.scoring.score(tokens_MT.numpy()))

    q_BT = action_values(policy, tokens_BT, reward_B, score, n_completions=1, rng=seeded())
    expected_M = torch.nn.functional.logsigmoid(torch.from_numpy(quiet.logits(scored[0].numpy())))
    # with a single completion each value is one reward
    torch.testing.assert_close(q_BT[:, :2].flatten().sort()[0], expected_M.sort()[0], rtol=0, atol=1e-5)
    assert expected_M.std() > 1e-3
    assert discriminator.training
    with torch.no_grad():
        dropped_M = discriminator(scored[0])
    assert (dropped_M - quiet(scored[0])).abs().max() > 1e-2  # dropout would have been seen


def test_without_completions_every_token_has_the_reward_of_its_sequence() -> None:
    spec = SequenceSpec(3, 3, 0)
    tokens_BT = torch.tensor([[1, 2, 1], [2, 0, 3], [0, 3, 3]])
    reward_B = torch.tensor([0.5, -2.0, 3.0])
    q_BT = action_values(lstm(spec), tokens_BT, reward_B, torch.ones_like, n_completions=0)
    assert q_BT.dtype == torch.float64
    assert q_BT.tolist() == [[0.5, 0.5, 0.5], [-2.0, -2.0, 0.0], [3.0, 0.0, 0.0]]


@every_kind
@pytest.mark.parametrize("spec", [SequenceSpec(5, 7), SequenceSpec(5, 7, 0)], ids=show)
@pytest.mark.parametrize(("stratified", "exact_last_step"), [(False, False), (True, True)])
@pytest.mark.parametrize("form", ["_looks", "_computes_on"])
def test_memory_is_bounded_and_its_bound_changes_nothing_but_rounding(
    kind: str, spec: SequenceSpec, stratified: bool, exact_last_step: bool, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monte_carlo, "may_look", lambda _: form == "_looks")
    policy = make_generator(kind, spec)
    tokens_BT = policy.sample(9, seeded())
    sizes: list[int] = []

    def score(tokens_MT: Tensor) -> Tensor:
        sizes.append(tokens_MT.numel())
        return (tokens_MT * torch.arange(1, 8) ** 2).sum(dim=1).double()

    def values() -> Tensor:
        sizes.clear()
        last = last_step(policy, tokens_BT, score) if exact_last_step else None
        reward_B = tokens_BT.sum(dim=1).double()
        return action_values(
            policy, tokens_BT, reward_B, score, n_completions=3, rng=seeded(1), stratified=stratified, last=last
        )

    whole_BT, n_whole = values(), sum(sizes)
    for bound in (400, 1):
        monkeypatch.setattr(monte_carlo, "_TOKENS_AT_ONCE", bound)
        torch.testing.assert_close(values(), whole_BT, rtol=1e-12, atol=1e-12)
        one = max(3 * (5 if exact_last_step else 6) * 7, 5 * 7 * exact_last_step)
        assert max(sizes) <= max(bound, one)  # at least one sequence at once
        assert sum(sizes) == n_whole


@pytest.mark.parametrize("horizon", [20, 40])
def test_the_tensors_of_completions_do_not_grow_with_the_batch_or_the_horizon(
    horizon: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No operation makes a larger tensor than the bound says, times the states of a few lanes."""
    monkeypatch.setattr(monte_carlo, "_TOKENS_AT_ONCE", 1 << 13)

    class Largest(TorchDispatchMode):
        numel = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            made = func(*args, **(kwargs or {}))
            if isinstance(made, Tensor):
                self.numel = max(self.numel, made.numel())
            return made

    spec = SequenceSpec(3, horizon)
    policy = lstm(spec)
    tokens_BT = policy.sample(64, seeded())
    with Largest() as largest:
        action_values(policy, tokens_BT, torch.zeros(64), lambda rows_MT: rows_MT.double().sum(dim=1), n_completions=2)
    assert largest.numel <= 1 << 15 < 64 * 2 * (horizon - 2) * horizon


def test_refuses_fewer_than_no_completions() -> None:
    spec, n_completions = SequenceSpec(3, 3), -1
    with pytest.raises(ValueError, match=f"n_completions must be at least 0, got {n_completions}"):
        action_values(
            lstm(spec),
            torch.zeros(1, 3, dtype=torch.int64),
            torch.zeros(1),
            torch.ones_like,
            n_completions=n_completions,
        )


class TestLastStep:
    @pytest.mark.theory
    @every_kind
    @pytest.mark.parametrize("spec", [*SPECS, *EDGES], ids=show)
    def test_holds_every_last_token_of_every_sequence_that_reaches_it(self, spec: SequenceSpec, kind: str) -> None:
        """Eq. 13.38 for all V tokens, and their sum, eq. 13.40 at t = T - 1, to 1e-12."""
        policy = make_generator(kind, spec)
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
    @every_kind
    @pytest.mark.parametrize("spec", SPECS, ids=show)
    def test_makes_the_last_but_one_value_exact_and_spares_its_completions(self, spec: SequenceSpec, kind: str) -> None:
        """Eq. 13.40 at t = T - 1, to 1e-12."""
        policy = make_generator(kind, spec)
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


def stratified_tokens(logits_BV: Tensor, n: int, rng: torch.Generator) -> Tensor:
    """Drawn as the estimate draws the first tokens of its completions."""
    uniform_BN = stratified_uniforms(*torch.rand(2, len(logits_BV), n, generator=rng))
    identity = torch.eye(logits_BV.shape[1], dtype=logits_BV.dtype)
    no_bias = identity.new_zeros(len(identity))
    return sample_tokens(logits_BV, identity, no_bias, uniform_MN=uniform_BN).t()


class TestStratified:
    @pytest.mark.theory
    @pytest.mark.parametrize("n", [1, 3, 8])
    def test_each_token_alone_follows_the_softmax(self, n: int) -> None:
        """Eq. 13.30 for every one of the n, by a chi-square test; without the random order it would fail."""
        logits_V = torch.randn(7, generator=seeded(1), dtype=torch.float64)
        p_V = logits_V.softmax(dim=0).numpy()
        token_NB = stratified_tokens(logits_V.expand(4000, -1), n, seeded())
        assert token_NB.shape == (n, 4000)
        for token_B in token_NB:
            assert_frequencies(np.bincount(token_B.numpy(), minlength=7), p_V, n_tests=n)

    @pytest.mark.theory
    @given(vocab_size=st.integers(1, 9), n=st.integers(1, 12), seed=st.integers(0, 1000))
    def test_together_they_are_spread_as_evenly_as_can_be(self, vocab_size: int, n: int, seed: int) -> None:
        """Eq. 13.30: of n draws of row b, as many are at most v as n times their probability, to within one."""
        logits_BV = 3 * torch.randn(5, vocab_size, generator=seeded(seed))
        logits_BV[:, vocab_size // 2 + 1 :] = -200.0
        token_NB = stratified_tokens(logits_BV, n, seeded(seed))
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
            action_values(policy, tokens_BT, reward_B, score, n_completions=8, rng=seeded(), stratified=stratified)[
                :, 0
            ].var()
            for stratified in (False, True)
        ]
        assert variance[1] < variance[0] / 2


@pytest.mark.theory
@every_kind
@pytest.mark.parametrize("spec", SPECS, ids=show)
def test_a_lagging_policy_gives_its_own_values(spec: SequenceSpec, kind: str) -> None:
    """Eq. 13.40 with the completions of another policy: unbiased for that policy's Q, biased for the present one's.

    Only the last token's value is the same (eq. 13.38): there is nothing to complete.
    """
    policy, lagging = make_generator(kind, spec, seed=0), make_generator(kind, spec, seed=1)
    table = reference.random_reward(spec)
    score = score_by(spec, table)
    rows = reference.representatives(spec)
    own_BT, lagging_BT = (
        reference.action_values(spec, reference.next_token_of(p), reference.reward_of(table), rows)
        for p in (policy, lagging)
    )
    many_BT = torch.from_numpy(reference.padded(spec, rows)).repeat(1500, 1)
    q_BT = action_values(lagging, many_BT, score(many_BT), score, n_completions=2, rng=seeded())
    samples_RK = q_BT.reshape(1500, -1).numpy()
    assert_mean(samples_RK, lagging_BT.flatten().numpy())
    assert_not_mean(samples_RK, own_BT.flatten().numpy())
    for b, row in enumerate(rows):
        assert own_BT[b, len(row) - 1] == lagging_BT[b, len(row) - 1]


@pytest.mark.theory
@every_kind
@pytest.mark.parametrize("spec", SPECS, ids=show)
def test_a_lagging_policy_biases_the_gradient(spec: SequenceSpec, kind: str) -> None:
    """Eq. 13.44 with a lagging Q, summed exactly, is not grad J, and is again as the lagging policy catches up."""
    policy, other = make_generator(kind, spec), make_generator(kind, spec, seed=1, scale=4.0)
    next_token = reference.next_token_of(policy)
    parameters = list(policy.parameters())
    reward = reference.reward_of(reference.random_reward(spec))
    exact = reference.gradient_by_enumeration(spec, next_token, reward, parameters)
    bias = []
    for lag in (1.0, 0.1, 0.01, 0.0):
        lagging = make_generator(kind, spec)
        with torch.no_grad():
            for parameter, towards in zip(lagging.parameters(), other.parameters(), strict=True):
                parameter.lerp_(towards, lag)
        its_next_token = reference.next_token_of(lagging)
        found = reference.gradient_by_theorem(spec, next_token, reward, parameters, completed_by=its_next_token)
        bias.append(((found - exact).norm() / exact.norm()).item())
    assert bias[0] > 0.05
    assert bias[0] > bias[1] > bias[2] > 1e-5
    assert bias[2] < bias[1] / 5  # in proportion to the lag
    assert bias[3] < 1e-10


class RepeatsItsFirstToken(Core):
    """The state is the first token that was read after the start symbol, and how many were."""

    def initial_state(self, n: int) -> CoreState:
        return self._zeros(n, self.hidden_dim), torch.zeros(n, dtype=torch.int64)

    def step(self, input_B: Tensor, state: CoreState) -> CoreState:
        first_BH, n_read_B = state
        read_BH = torch.nn.functional.one_hot(input_B, self.hidden_dim).to(first_BH)
        return torch.where((n_read_B == 1)[:, None], read_BH, first_BH), n_read_B + 1


@pytest.mark.theory
@pytest.mark.parametrize("stratified", [False, True], ids=["independent", "stratified"])
@pytest.mark.usefixtures("_both_forms")
def test_a_completion_keeps_its_own_state_when_others_end(stratified: bool) -> None:
    """Eq. 13.40: the policy repeats the first token or ends, with probability 1/2 each; another token is a mix-up."""
    spec = SequenceSpec(5, 6, 4)
    policy = lstm(spec)
    policy.core = RepeatsItsFirstToken(spec, CoreConfig(embedding_dim=1, hidden_dim=6)).double()
    policy.output = torch.nn.Linear(6, 5).double()
    with torch.no_grad():
        policy.output.weight.copy_(100 * torch.eye(5, 6))
        policy.output.weight[4] = 100
        policy.output.bias.zero_()
    tokens_BT = torch.from_numpy(reference.padded(spec, [(b,) * 6 for b in (0, 1, 2, 3)] + [(b, b, 4) for b in (3, 1)]))
    lengths = []

    def score(tokens_MT: Tensor) -> Tensor:
        is_own_MT = (tokens_MT == tokens_MT[:, :1]) | (tokens_MT >= 4)
        lengths.extend((tokens_MT != spec.pad_id).sum(dim=1).tolist())
        return is_own_MT.all(dim=1).double()

    q_BT = action_values(
        policy,
        tokens_BT,
        torch.ones(6),
        score,
        n_completions=8,
        rng=seeded(),
        stratified=stratified,
    )
    assert torch.equal(q_BT, (tokens_BT != spec.pad_id).double())
    assert len(set(lengths)) > 3
