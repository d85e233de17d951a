"""The generator as a policy: its distribution against the equations, and its samples against its distribution."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import AutoregressivePolicy, LstmPolicy, policy
from agents.networks import RecurrentState
from seqgan_env.tokens import SequenceSpec
from tests import reference
from tests.builders import lstm, prefixes
from tests.significance import assert_frequencies, counts_of

SPECS = [
    SequenceSpec(3, 3),
    SequenceSpec(3, 3, 0),
    SequenceSpec(2, 4, 1),
    SequenceSpec(4, 4, 3),
    SequenceSpec(3, 1),
    SequenceSpec(1, 3),
    SequenceSpec(1, 3, 0),
]


def show(spec: SequenceSpec) -> str:
    return f"V={spec.vocab_size},T={spec.max_length},eos={spec.eos_id}"


every_spec = pytest.mark.parametrize("spec", SPECS, ids=show)
tasks = st.builds(
    lambda vocab_size, max_length, eos: SequenceSpec(vocab_size, max_length, eos % vocab_size if eos >= 0 else None),
    st.integers(1, 6),
    st.integers(1, 7),
    st.integers(-1, 5),
)


def all_tokens(spec: SequenceSpec) -> torch.Tensor:
    return torch.from_numpy(reference.padded(spec, reference.sequences(spec)))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def row(state: RecurrentState, b: int) -> torch.Tensor:
    """Everything that the state says about one sequence."""
    return torch.cat([part[b].flatten() for part in state])


@pytest.mark.theory
@every_spec
class TestDistribution:
    def test_is_that_of_the_recurrence(self, spec: SequenceSpec) -> None:
        """Eq. 13.28-13.30, the LSTM written out, for every token of every sequence."""
        agent = lstm(spec)
        next_token = reference.lstm_next_token(agent)
        expected = [
            [torch.log(next_token(row[:t])[row[t]]).item() for t in range(len(row))]
            for row in reference.sequences(spec)
        ]
        with torch.no_grad():
            log_prob_BT = agent.log_prob(all_tokens(spec))
        for b, values in enumerate(expected):
            np.testing.assert_allclose(log_prob_BT[b, : len(values)], values, rtol=0, atol=1e-12)

    def test_probabilities_of_all_sequences_sum_to_one(self, spec: SequenceSpec) -> None:
        """Eq. 13.31."""
        log_prob_B = lstm(spec).sequence_log_prob(all_tokens(spec).numpy())
        assert np.exp(log_prob_B).sum() == pytest.approx(1, abs=1e-12)

    def test_a_sequence_is_the_product_of_its_tokens(self, spec: SequenceSpec) -> None:
        """Eq. 13.31, against the conditionals of the shipped network one prefix at a time."""
        agent = lstm(spec)
        next_token = reference.next_token_of(agent)
        expected_B = [reference.probability(next_token, row).item() for row in reference.sequences(spec)]
        np.testing.assert_allclose(np.exp(agent.sequence_log_prob(all_tokens(spec).numpy())), expected_B, atol=1e-12)

    @pytest.mark.parametrize("temperature", [0.5, 3.0])
    def test_temperature_divides_the_logits(self, spec: SequenceSpec, temperature: float) -> None:
        """Softmax of logits / temperature: each conditional to the power 1 / temperature, normalised."""
        agent = lstm(spec)
        next_token = reference.next_token_of(agent)

        def cooled(prefix: reference.Prefix) -> torch.Tensor:
            weight_V = next_token(prefix).detach() ** (1 / temperature)
            return weight_V / weight_V.sum()

        expected_B = [reference.probability(cooled, row).item() for row in reference.sequences(spec)]
        log_prob_B = agent.sequence_log_prob(all_tokens(spec).numpy(), temperature)
        np.testing.assert_allclose(np.exp(log_prob_B), expected_B, atol=1e-12)


class TestLogProb:
    @every_spec
    def test_padding_has_exactly_none(self, spec: SequenceSpec) -> None:
        tokens_BT = prefixes(spec, 40, np.random.default_rng(0))
        log_prob_BT = lstm(spec).log_prob(tokens_BT)
        assert (log_prob_BT[tokens_BT == spec.pad_id] == 0).all()
        assert (log_prob_BT[tokens_BT != spec.pad_id] < 0).all() == (spec.vocab_size > 1)

    def test_padding_contributes_nothing_to_the_gradient(self) -> None:
        """The gradient of a padded batch is that of its sequences one by one without their padding."""
        spec = SequenceSpec(4, 5, 3)
        agent = lstm(spec)
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

    def test_does_not_depend_on_the_rest_of_the_batch(self) -> None:
        spec = SequenceSpec(4, 5, 3)
        agent = lstm(spec)
        tokens_BT = prefixes(spec, 20, np.random.default_rng(0))
        alone_BT = torch.cat([agent.log_prob(tokens_T[None]) for tokens_T in tokens_BT])
        torch.testing.assert_close(agent.log_prob(tokens_BT), alone_BT, rtol=0, atol=1e-12)

    def test_of_a_sequence_is_the_same_in_chunks_of_any_size(self, monkeypatch: pytest.MonkeyPatch) -> None:
        spec = SequenceSpec(4, 5, 3)
        agent = lstm(spec)
        tokens_BT = prefixes(spec, 20, np.random.default_rng(0))
        expected_B = agent.log_prob(tokens_BT).sum(dim=1).detach()
        for size in (1, 60, 1 << 20):
            monkeypatch.setattr(policy, "_CHUNK_LOGITS", size)
            np.testing.assert_allclose(agent.sequence_log_prob(tokens_BT.numpy()), expected_B, atol=1e-12)
        assert agent.sequence_log_prob(tokens_BT[:0].numpy()).shape == (0,)


class TestStart:
    def test_the_first_token_is_predicted_from_the_start_symbol(self) -> None:
        """The start symbol V is no token: the first prediction reads its embedding, and token 0's not at all."""
        spec = SequenceSpec(3, 3)
        agent = lstm(spec)
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

    def test_an_empty_prefix_differs_from_token_zero(self) -> None:
        agent = lstm(SequenceSpec(3, 3))
        state = agent.read(torch.tensor([[3, 3, 3], [0, 3, 3]]))
        assert not torch.allclose(row(state, 0), row(state, 1))


class TestState:
    @given(spec=tasks, seed=st.integers(0, 1000), dtype=st.sampled_from([torch.float32, torch.float64]))
    @settings(max_examples=30)
    def test_step_by_step_is_teacher_forced(self, spec: SequenceSpec, seed: int, dtype: torch.dtype) -> None:
        """Eq. 13.28 two ways: the state after t steps is the network's output at t; the same for log-probabilities."""
        agent = lstm(spec, seed, scale=2.0).to(dtype)
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
    def test_reading_a_prefix_is_stepping_through_it(self, spec: SequenceSpec, seed: int) -> None:
        agent = lstm(spec, seed, scale=2.0)
        tokens_BT = prefixes(spec, 6, np.random.default_rng(seed))
        with torch.no_grad():
            read = agent.read(tokens_BT)
            for b, prefix in enumerate(reference.unpadded(spec, tokens_BT)):
                state = agent.step(torch.tensor([spec.pad_id]), agent.core.initial_state(1))
                for token in prefix:
                    state = agent.step(torch.tensor([token]), state)
                torch.testing.assert_close(row(read, b), row(state, 0), rtol=0, atol=1e-12)

    def test_of_no_sequences(self) -> None:
        agent = lstm(SequenceSpec(3, 3))
        assert agent.read(torch.zeros(0, 3, dtype=torch.int64))[0].shape == (0, 4)
        assert agent.complete(torch.zeros(0, 3, dtype=torch.int64)).shape == (0, 3)


class TestCompletion:
    @given(spec=tasks, seed=st.integers(0, 1000))
    @settings(max_examples=40)
    def test_keeps_the_prefix_and_ends(self, spec: SequenceSpec, seed: int) -> None:
        tokens_BT = prefixes(spec, 30, np.random.default_rng(seed))
        given_BT = tokens_BT.clone()
        complete_BT = lstm(spec, seed).complete(tokens_BT, generator(seed))
        assert torch.equal(tokens_BT, given_BT)
        is_given_BT = tokens_BT != spec.pad_id
        assert torch.equal(complete_BT[is_given_BT], tokens_BT[is_given_BT])
        spec.validate(complete_BT.numpy(), complete=True)
        ended_B = torch.from_numpy(spec.is_complete(tokens_BT.numpy()))
        assert torch.equal(complete_BT[ended_B], tokens_BT[ended_B])

    @pytest.mark.theory
    @every_spec
    def test_sequences_occur_as_often_as_they_are_likely(self, spec: SequenceSpec) -> None:
        """Eq. 13.31: a chi-square test of whole sequences against the enumeration."""
        agent = lstm(spec)
        sampled_BT = agent.sample(8000, generator()).numpy()
        outcomes_BT = all_tokens(spec).numpy()
        counts = counts_of(sampled_BT, outcomes_BT)
        if len(outcomes_BT) > 1:
            assert_frequencies(counts, np.exp(agent.sequence_log_prob(outcomes_BT)))

    @pytest.mark.theory
    @pytest.mark.parametrize("temperature", [0.5, 2.0])
    @pytest.mark.parametrize("spec", [SequenceSpec(3, 3), SequenceSpec(3, 4, 0)], ids=show)
    def test_continuations_occur_as_often_as_they_are_likely(self, spec: SequenceSpec, temperature: float) -> None:
        """Eq. 13.31 given a prefix, for prefixes of all lengths completed side by side."""
        agent = lstm(spec)
        states = reference.open_prefixes(spec)
        outcomes_BT = all_tokens(spec).numpy()
        p_B = np.exp(agent.sequence_log_prob(outcomes_BT, temperature))
        tokens_BT = torch.from_numpy(reference.padded(spec, states)).repeat(3000, 1)
        complete_BT = agent.complete(tokens_BT, generator(), temperature).numpy()
        for s, prefix in enumerate(states):
            begins_B = (outcomes_BT[:, : len(prefix)] == prefix).all(axis=1)
            counts = counts_of(complete_BT[s :: len(states)], outcomes_BT)
            assert_frequencies(counts, np.where(begins_B, p_B, 0) / p_B[begins_B].sum(), n_tests=len(states))

    def test_a_sample_begins_with_its_prefix(self) -> None:
        spec = SequenceSpec(4, 5, 3)
        agent = lstm(spec)
        rows_BT = agent.sample(50, generator(), prefix=[2, 0])
        assert (rows_BT[:, :2] == torch.tensor([2, 0])).all()
        start_BT = torch.full((50, 5), spec.pad_id)
        start_BT[:, :2] = torch.tensor([2, 0])
        assert torch.equal(rows_BT, agent.complete(start_BT, generator()))
        spec.validate(rows_BT.numpy(), complete=True)

    def test_randomness_comes_from_the_generator_alone(self) -> None:
        agent = lstm(SequenceSpec(4, 5, 3))
        torch.manual_seed(0)
        rows_BT = agent.sample(50, generator(1))
        torch.manual_seed(1)
        assert torch.equal(agent.sample(50, generator(1)), rows_BT)
        assert not torch.equal(agent.sample(50, generator(2)), rows_BT)


class TestPredict:
    """What Stable-Baselines3 asks of a policy."""

    spec = SequenceSpec(5, 4, 4)

    def test_deterministic_is_the_likeliest_token(self) -> None:
        agent = lstm(self.spec)
        states = reference.open_prefixes(self.spec)
        next_token = reference.next_token_of(agent)
        expected = [int(next_token(prefix).argmax()) for prefix in states]
        observations = reference.padded(self.spec, states)
        actions, state = agent.predict(observations, deterministic=True)
        assert state is None
        assert actions.tolist() == expected
        assert len(set(expected)) > 1
        for observation, token in zip(observations, expected, strict=True):
            action, _ = agent.predict(observation, deterministic=True)
            assert action.shape == ()
            assert int(action) == token

    @pytest.mark.theory
    def test_stochastic_follows_the_softmax(self) -> None:
        """Eq. 13.30 through ``predict``, given a prefix."""
        agent = lstm(self.spec)
        observation = reference.padded(self.spec, [(2, 0)])
        torch.manual_seed(0)
        actions, _ = agent.predict(observation.repeat(5000, axis=0), deterministic=False)
        p_V = reference.next_token_of(agent)((2, 0)).detach().numpy()
        assert_frequencies(np.bincount(actions, minlength=5), p_V)
        single = [int(agent.predict(observation[0])[0]) for _ in range(300)]
        assert_frequencies(np.bincount(single, minlength=5), p_V)

    def test_is_possible_in_an_environment(self) -> None:
        env = gym.make("SeqGANGrammar-v0")
        observation, _ = env.reset()
        agent = LstmPolicy(env.observation_space, env.action_space, lambda _: 1e-3)
        action, _ = agent.predict(observation)
        assert env.action_space.contains(action[()])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"action_space": spaces.MultiDiscrete([3, 3])},
            r"the spaces must be Box\(0, V, \(T,\)\) and Discrete\(V\), got",
        ),
        ({"observation_space": spaces.Discrete(3)}, "the spaces must be"),
        ({"observation_space": spaces.Box(0, 3, (2, 2), np.int64)}, "the spaces must be"),
        ({"embedding_dim": 0}, "embedding_dim and hidden_dim must be at least 1, got 0 and 32"),
        ({"hidden_dim": 0}, "embedding_dim and hidden_dim must be at least 1, got 32 and 0"),
        ({"eos_id": 3}, "eos_id must be a whole number in"),
    ],
)
def test_refuses(arguments: dict[str, Any], message: str) -> None:
    defaults = {"observation_space": spaces.Box(0, 3, (2,), np.int64), "action_space": spaces.Discrete(3)}
    with pytest.raises(ValueError, match=message):
        LstmPolicy(**{**defaults, "lr_schedule": lambda _: 1e-3, **arguments})


def test_the_base_class_has_no_core() -> None:
    with pytest.raises(NotImplementedError, match="AutoregressivePolicy must choose a core"):
        AutoregressivePolicy(spaces.Box(0, 3, (2,), np.int64), spaces.Discrete(3), lambda _: 1e-3)
