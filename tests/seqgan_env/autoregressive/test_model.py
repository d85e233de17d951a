"""The generator: its distribution against the equations, and its samples against its distribution."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from seqgan_env.autoregressive import model as model_module
from seqgan_env.autoregressive.cores import CoreState
from seqgan_env.tokens import SequenceSpec
from tests.support import reference
from tests.support.builders import SPECS, every_kind, make_generator, prefixes, show, tasks
from tests.support.significance import FALSE_ALARM, assert_frequencies, counts_of

every_spec = pytest.mark.parametrize("spec", SPECS, ids=show)


def all_tokens(spec: SequenceSpec) -> torch.Tensor:
    return torch.from_numpy(reference.padded(spec, reference.sequences(spec)))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def row(state: CoreState, b: int) -> torch.Tensor:
    """Everything that the state says about one sequence."""
    return torch.cat([part[b].flatten() for part in state])


@pytest.mark.theory
@every_kind
@every_spec
class TestDistribution:
    def test_probabilities_of_all_sequences_sum_to_one(self, spec: SequenceSpec, kind: str) -> None:
        """Eq. 13.31."""
        log_prob_B = make_generator(kind, spec).sequence_log_prob(all_tokens(spec).numpy())
        assert np.exp(log_prob_B).sum() == pytest.approx(1, abs=1e-12)

    def test_a_sequence_is_the_product_of_its_tokens(self, spec: SequenceSpec, kind: str) -> None:
        """Eq. 13.31, against the conditionals of the shipped network one prefix at a time."""
        agent = make_generator(kind, spec)
        next_token = reference.next_token_of(agent)
        expected_B = [reference.probability(next_token, row).item() for row in reference.sequences(spec)]
        np.testing.assert_allclose(np.exp(agent.sequence_log_prob(all_tokens(spec).numpy())), expected_B, atol=1e-12)

    @pytest.mark.parametrize("temperature", [0.5, 3.0])
    def test_temperature_divides_the_logits(self, spec: SequenceSpec, kind: str, temperature: float) -> None:
        """Softmax of logits / temperature: each conditional to the power 1 / temperature, normalised."""
        agent = make_generator(kind, spec)
        next_token = reference.next_token_of(agent)

        def cooled(prefix: reference.Prefix) -> torch.Tensor:
            weight_V = next_token(prefix).detach() ** (1 / temperature)
            return weight_V / weight_V.sum()

        expected_B = [reference.probability(cooled, row).item() for row in reference.sequences(spec)]
        log_prob_B = agent.sequence_log_prob(all_tokens(spec).numpy(), temperature)
        np.testing.assert_allclose(np.exp(log_prob_B), expected_B, atol=1e-12)


@every_kind
class TestLogProb:
    @every_spec
    def test_padding_has_exactly_none(self, spec: SequenceSpec, kind: str) -> None:
        tokens_BT = prefixes(spec, 40, np.random.default_rng(0))
        log_prob_BT = make_generator(kind, spec).log_prob(tokens_BT)
        assert (log_prob_BT[tokens_BT == spec.pad_id] == 0).all()
        assert (log_prob_BT[tokens_BT != spec.pad_id] < -1e-9).all() == (spec.vocab_size > 1)

    def test_padding_contributes_nothing_to_the_gradient(self, kind: str) -> None:
        """The gradient of a padded batch is that of its sequences one by one without their padding."""
        spec = SequenceSpec(4, 5, 3)
        agent = make_generator(kind, spec)
        parameters = list(agent.parameters())
        tokens_BT = prefixes(spec, 20, np.random.default_rng(0))
        weight_BT = torch.randn(tokens_BT.shape, generator=generator(), dtype=torch.float64)
        padded = reference.gradient_of((agent.log_prob(tokens_BT) * weight_BT).sum(), parameters)
        total = torch.zeros_like(padded)
        for tokens_T, weight_T in zip(tokens_BT, weight_BT, strict=True):
            length = int((tokens_T != spec.pad_id).sum())
            if length:
                log_prob_T = agent.log_prob(tokens_T[None, :length])[0]
                total += reference.gradient_of((log_prob_T * weight_T[:length]).sum(), parameters)
        torch.testing.assert_close(padded, total, rtol=0, atol=1e-12)
        assert padded.abs().max() > 1e-2

    @pytest.mark.theory
    def test_does_not_depend_on_later_tokens(self, kind: str) -> None:
        """Eq. 13.31: the factor of token t is given by Y_{1:t}; another token changes the factors from its own on."""
        spec = SequenceSpec(4, 5)
        agent = make_generator(kind, spec)
        tokens_BT = prefixes(SequenceSpec(4, 5, 3), 40, np.random.default_rng(0))
        tokens_BT = tokens_BT.where(tokens_BT != spec.pad_id, 0)
        before_BT = agent.log_prob(tokens_BT)
        for t in range(spec.max_length):
            other_BT = tokens_BT.clone()
            other_BT[:, t] = (other_BT[:, t] + 1) % spec.vocab_size
            after_BT = agent.log_prob(other_BT)
            assert torch.equal(after_BT[:, :t], before_BT[:, :t])
            assert (after_BT[:, t:] != before_BT[:, t:]).all()

    def test_does_not_depend_on_the_rest_of_the_batch(self, kind: str) -> None:
        spec = SequenceSpec(4, 5, 3)
        agent = make_generator(kind, spec)
        tokens_BT = prefixes(spec, 20, np.random.default_rng(0))
        alone_BT = torch.cat([agent.log_prob(tokens_T[None]) for tokens_T in tokens_BT])
        torch.testing.assert_close(agent.log_prob(tokens_BT), alone_BT, rtol=0, atol=1e-12)

    def test_of_a_sequence_is_the_same_in_chunks_of_any_size(self, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        spec = SequenceSpec(4, 5, 3)
        agent = make_generator(kind, spec)
        tokens_BT = prefixes(spec, 20, np.random.default_rng(0))
        expected_B = agent.log_prob(tokens_BT).sum(dim=1).detach()
        for size in (1, 60, 1 << 20):
            monkeypatch.setattr(model_module, "_CHUNK_TOKENS", size)
            np.testing.assert_allclose(agent.sequence_log_prob(tokens_BT.numpy()), expected_B, atol=1e-12)
        assert agent.sequence_log_prob(tokens_BT[:0].numpy()).shape == (0,)
        np.testing.assert_array_equal(agent.sequence_log_prob(tokens_BT), agent.sequence_log_prob(tokens_BT.numpy()))


@every_kind
class TestStart:
    def test_the_first_token_is_predicted_from_the_start_symbol(self, kind: str) -> None:
        """The start symbol V is no token: the first prediction reads its embedding, and token 0's not at all."""
        spec = SequenceSpec(3, 3)
        agent = make_generator(kind, spec)
        tokens_BT = all_tokens(spec)
        for symbol, matters in ((spec.pad_id, True), (0, False)):
            before_BT = agent.log_prob(tokens_BT).detach()
            with torch.no_grad():
                agent.core.embedding.weight[symbol] += 0.5
            after_BT = agent.log_prob(tokens_BT).detach()
            assert (after_BT[:, 0] != before_BT[:, 0]).all() == matters
            assert (after_BT[:, 0] != before_BT[:, 0]).any() == matters
        reads_zero = (tokens_BT[:, :-1] == 0).any(dim=1)
        assert (after_BT[reads_zero] != before_BT[reads_zero]).any()
        assert torch.equal(after_BT[~reads_zero], before_BT[~reads_zero])

    def test_an_empty_prefix_differs_from_token_zero(self, kind: str) -> None:
        agent = make_generator(kind, SequenceSpec(3, 3))
        state = agent.read(torch.tensor([[3, 3, 3], [0, 3, 3]]))
        assert not torch.allclose(row(state, 0), row(state, 1))


@every_kind
class TestState:
    @pytest.mark.theory
    @given(spec=tasks, seed=st.integers(0, 1000), dtype=st.sampled_from([torch.float32, torch.float64]))
    @settings(max_examples=30)
    def test_step_by_step_is_teacher_forced(self, spec: SequenceSpec, kind: str, seed: int, dtype: torch.dtype) -> None:
        """Eq. 13.28 two ways: the state after t steps is the network's output at t; the same for log-probabilities."""
        agent = make_generator(kind, spec, seed, scale=2.0).to(dtype)
        tokens_BT = torch.from_numpy(np.random.default_rng(seed).integers(spec.vocab_size, size=(5, spec.max_length)))
        with torch.no_grad():
            hidden_BTH = agent.core(torch.cat([torch.full((5, 1), spec.pad_id), tokens_BT], dim=1))
            log_prob_BT = agent.log_prob(tokens_BT)
            state = agent.read(torch.full_like(tokens_BT, spec.pad_id))
            for t in range(spec.max_length):
                torch.testing.assert_close(state[0], hidden_BTH[:, t], rtol=0, atol=1e-5)
                stepped_BV = torch.log_softmax(agent.output(state[0]), dim=1)
                stepped_B = stepped_BV.gather(1, tokens_BT[:, t, None]).squeeze(1)
                torch.testing.assert_close(stepped_B, log_prob_BT[:, t], rtol=0, atol=1e-5)
                state = agent.step(tokens_BT[:, t], state)
            torch.testing.assert_close(state[0], hidden_BTH[:, -1], rtol=0, atol=1e-5)

    @given(spec=tasks, seed=st.integers(0, 1000))
    @settings(max_examples=30)
    def test_reading_a_prefix_is_stepping_through_it(self, spec: SequenceSpec, kind: str, seed: int) -> None:
        agent = make_generator(kind, spec, seed, scale=2.0)
        tokens_BT = prefixes(spec, 6, np.random.default_rng(seed))
        with torch.no_grad():
            read = agent.read(tokens_BT)
            for b, prefix in enumerate(reference.unpadded(spec, tokens_BT)):
                state = agent.step(torch.tensor([spec.pad_id]), agent.core.initial_state(1))
                for token in prefix:
                    state = agent.step(torch.tensor([token]), state)
                torch.testing.assert_close(row(read, b), row(state, 0), rtol=0, atol=1e-12)

    def test_of_no_sequences(self, kind: str) -> None:
        agent = make_generator(kind, SequenceSpec(3, 3))
        assert agent.read(torch.zeros(0, 3, dtype=torch.int64))[0].shape == (0, 4)
        assert agent.complete(torch.zeros(0, 3, dtype=torch.int64)).shape == (0, 3)


@every_kind
class TestCompletion:
    @given(spec=tasks, seed=st.integers(0, 1000))
    @settings(max_examples=40)
    def test_keeps_the_prefix_and_ends(self, spec: SequenceSpec, kind: str, seed: int) -> None:
        tokens_BT = prefixes(spec, 30, np.random.default_rng(seed))
        given_BT = tokens_BT.clone()
        complete_BT = make_generator(kind, spec, seed).complete(tokens_BT, generator(seed))
        assert torch.equal(tokens_BT, given_BT)
        is_given_BT = tokens_BT != spec.pad_id
        assert torch.equal(complete_BT[is_given_BT], tokens_BT[is_given_BT])
        spec.validate(complete_BT.numpy(), complete=True)
        ended_B = torch.from_numpy(spec.is_complete(tokens_BT.numpy()))
        assert torch.equal(complete_BT[ended_B], tokens_BT[ended_B])

    @pytest.mark.theory
    @every_spec
    def test_sequences_occur_as_often_as_they_are_likely(self, spec: SequenceSpec, kind: str) -> None:
        """Eq. 13.31: a chi-square test of whole sequences against the enumeration."""
        agent = make_generator(kind, spec)
        sampled_BT = agent.sample(8000, generator()).numpy()
        outcomes_BT = all_tokens(spec).numpy()
        counts = counts_of(sampled_BT, outcomes_BT)
        if len(outcomes_BT) > 1:
            assert_frequencies(counts, np.exp(agent.sequence_log_prob(outcomes_BT)))

    @pytest.mark.theory
    @pytest.mark.parametrize("temperature", [0.5, 2.0])
    @pytest.mark.parametrize("spec", [SequenceSpec(3, 3), SequenceSpec(3, 4, 0)], ids=show)
    def test_continuations_occur_as_often_as_they_are_likely(
        self, spec: SequenceSpec, kind: str, temperature: float
    ) -> None:
        """Eq. 13.31 given a prefix, for prefixes of all lengths completed side by side."""
        agent = make_generator(kind, spec)
        states = reference.open_prefixes(spec)
        outcomes_BT = all_tokens(spec).numpy()
        p_B = np.exp(agent.sequence_log_prob(outcomes_BT, temperature))
        tokens_BT = torch.from_numpy(reference.padded(spec, states)).repeat(3000, 1)
        complete_BT = agent.complete(tokens_BT, generator(), temperature).numpy()
        for s, prefix in enumerate(states):
            begins_B = (outcomes_BT[:, : len(prefix)] == prefix).all(axis=1)
            counts = counts_of(complete_BT[s :: len(states)], outcomes_BT)
            assert_frequencies(counts, np.where(begins_B, p_B, 0) / p_B[begins_B].sum(), n_tests=len(states))

    def test_cached_states_choose_as_a_replay_from_the_start_does(self, kind: str) -> None:
        """Token by token with the same randomness, for prefixes of all lengths that reach their ends side by side."""
        spec = SequenceSpec(4, 5, 3)
        agent = make_generator(kind, spec)
        tokens_BT = prefixes(spec, 200, np.random.default_rng(0))
        expected_BT, uniform_BT = tokens_BT.clone(), torch.rand(200, 5, generator=generator(), dtype=torch.float64)
        open_M = torch.from_numpy(~spec.is_complete(tokens_BT.numpy())).nonzero().squeeze(1)
        while len(open_M):
            length_M = (expected_BT[open_M] != spec.pad_id).sum(dim=1)
            start_M1 = torch.full((len(open_M), 1), spec.pad_id)
            hidden_MTH = agent.core(torch.cat([start_M1, expected_BT[open_M]], dim=1)).detach()
            hidden_MH = hidden_MTH[torch.arange(len(open_M)), length_M]
            uniform_M1 = uniform_BT[open_M, length_M, None]
            expected_BT[open_M, length_M] = agent.choose((hidden_MH,), uniform_BN=uniform_M1).squeeze(1)
            open_M = open_M[torch.from_numpy(~spec.is_complete(expected_BT[open_M].numpy()))]
        assert torch.equal(agent.complete(tokens_BT, generator()), expected_BT)

    @pytest.mark.theory
    def test_cached_states_give_the_log_probabilities_of_a_replay(
        self, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Eq. 13.31: what the tokens of a completion had in the states they were drawn from is what log_prob says."""
        spec = SequenceSpec(4, 6)
        agent = make_generator(kind, spec)
        drawn = []

        def choose(state: CoreState, *arguments: Any, **more: Any) -> torch.Tensor:
            token_M1 = type(agent).choose(agent, state, *arguments, **more)
            drawn.append(agent.output(state[0]).log_softmax(dim=1).gather(1, token_M1)[:, 0])
            return token_M1

        monkeypatch.setattr(agent, "choose", choose)
        with torch.no_grad():
            rows_BT = agent.sample(30, generator(), prefix=[2, 0])
            expected_BT = agent.log_prob(rows_BT)[:, 2:]
        torch.testing.assert_close(torch.stack(drawn, dim=1), expected_BT, rtol=0, atol=1e-10)

    @pytest.mark.theory
    @pytest.mark.parametrize(("vocab_size", "n", "mass"), [(50, 20_000, 0.2), (5000, 40_000, 0.05)])
    def test_tokens_and_tails_follow_the_softmax(self, kind: str, vocab_size: int, n: int, mass: float) -> None:
        """Eq. 13.30 for a large vocabulary after a prefix: single tokens, and together the many rare ones."""
        agent = make_generator(kind, SequenceSpec(vocab_size, 3))
        p_V = reference.next_token_of(agent)((vocab_size - 1, 3)).detach().numpy()
        token_B = agent.sample(n, generator(), prefix=[vocab_size - 1, 3])[:, 2].numpy()
        counts = np.bincount(token_B, minlength=vocab_size)
        assert_frequencies(counts, p_V)
        order = np.argsort(p_V)
        rare = order[: np.searchsorted(np.cumsum(p_V[order]), mass)]
        assert len(rare) > mass * vocab_size
        assert stats.binomtest(int(counts[rare].sum()), n, p_V[rare].sum()).pvalue > FALSE_ALARM

    @pytest.mark.theory
    def test_top_k_and_top_p_hold_for_every_token_of_a_sequence(self, kind: str) -> None:
        """The cut-off conditionals times each other (eq. 13.31), against a chi-square test of whole sequences."""
        spec = SequenceSpec(4, 3, 1)
        agent = make_generator(kind, spec)
        next_token = reference.next_token_of(agent)
        outcomes = reference.sequences(spec)
        for arguments in ({"top_k": 2}, {"top_p": 0.7}, {"top_k": 3, "top_p": 0.8}):

            def cut(prefix: reference.Prefix, arguments: dict[str, Any] = arguments) -> torch.Tensor:
                return torch.from_numpy(reference.truncated(next_token(prefix).detach().numpy(), **arguments))

            p_B = np.array([reference.probability(cut, row).item() for row in outcomes])
            assert (p_B == 0).any()
            sampled_BT = agent.sample(4000, generator(), **arguments).numpy()
            counts = counts_of(sampled_BT, reference.padded(spec, outcomes))
            assert_frequencies(counts, p_B, n_tests=3)

    def test_more_sequences_than_fit_into_memory_are_refused(self, kind: str) -> None:
        model = make_generator(kind, SequenceSpec(4, 5, 3))
        with pytest.raises(ValueError, match=f"^{2**62} sequences of max_length 5 must fit into the memory"):
            model.draw(2**62)

    def test_a_sample_begins_with_its_prefix(self, kind: str) -> None:
        spec = SequenceSpec(4, 5, 3)
        agent = make_generator(kind, spec)
        rows_BT = agent.sample(50, generator(), prefix=[2, 0])
        assert (rows_BT[:, :2] == torch.tensor([2, 0])).all()
        start_BT = torch.full((50, 5), spec.pad_id)
        start_BT[:, :2] = torch.tensor([2, 0])
        assert torch.equal(rows_BT, agent.complete(start_BT, generator()))
        spec.validate(rows_BT.numpy(), complete=True)

    def test_randomness_comes_from_the_generator_alone(self, kind: str) -> None:
        agent = make_generator(kind, SequenceSpec(4, 5, 3))
        torch.manual_seed(0)
        rows_BT = agent.sample(50, generator(1))
        torch.manual_seed(1)
        assert torch.equal(agent.sample(50, generator(1)), rows_BT)
        assert not torch.equal(agent.sample(50, generator(2)), rows_BT)


@pytest.mark.theory
@every_kind
@given(spec=tasks, seed=st.integers(0, 1000))
@settings(max_examples=20)
def test_a_weighted_sum_of_log_probabilities_in_one_pass(kind: str, spec: SequenceSpec, seed: int) -> None:
    agent = make_generator(kind, spec, seed)
    tokens_BT = prefixes(spec, 5, np.random.default_rng(seed))
    factor_BT = torch.randn(tokens_BT.shape, generator=generator(seed), dtype=torch.float64)
    total, log_prob_BT = agent.weighted_log_prob(tokens_BT, factor_BT)
    expected_BT = agent.log_prob(tokens_BT)
    torch.testing.assert_close(log_prob_BT, expected_BT.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(total, (factor_BT * expected_BT).sum(), rtol=1e-12, atol=1e-12)
    parameters = list(agent.parameters())
    ours, theirs = (torch.autograd.grad(x, parameters) for x in (total, (factor_BT * expected_BT).sum()))
    for mine, its in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-9, atol=1e-12)
