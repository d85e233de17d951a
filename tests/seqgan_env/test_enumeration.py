"""The exact answers against the plain loops of `tests.support.reference`, and what is concluded from them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from agents.baselines import advantages
from agents.losses import policy_gradient_loss
from agents.monte_carlo import action_values as monte_carlo_action_values
from seqgan_env import SeqGANEnv, enumeration
from seqgan_env.discriminators import Discriminator, build_discriminator
from seqgan_env.enumeration import Policy, Score
from seqgan_env.rewards import REWARDS
from seqgan_env.tokens import SequenceSpec, Tokens
from tests.support import reference
from tests.support.builders import every_kind, lstm, make_generator, show
from tests.support.discriminators import optimal
from tests.support.exact import of_generator, of_reference
from tests.support.reference_env import TINY
from tests.support.rewards import pay

SPECS = [
    SequenceSpec(3, 3),
    SequenceSpec(3, 3, 0),
    SequenceSpec(3, 4, 1),
    SequenceSpec(2, 4, 1),
    SequenceSpec(4, 4, 3),
    SequenceSpec(4, 1),
    SequenceSpec(3, 1, 2),
    SequenceSpec(1, 3),
    SequenceSpec(1, 3, 0),
]


every_spec = pytest.mark.parametrize("spec", SPECS, ids=show)


def score_by(spec: SequenceSpec, table: dict[reference.Prefix, float]) -> Score:
    """The reward of each row of a batch, looked up one by one."""
    return lambda tokens_BT: np.array([table[row] for row in reference.unpadded(spec, torch.from_numpy(tokens_BT))])


def along(spec: SequenceSpec, q_SV: npt.NDArray[Any], tokens_BT: Tokens) -> Tensor:
    """Q of every token of every sequence, from the table of all states, 0 at padding."""
    q_BT = np.zeros(tokens_BT.shape)
    for t in range(spec.max_length):
        row = np.flatnonzero(tokens_BT[:, t] != spec.pad_id)
        q_BT[row, t] = q_SV[enumeration.prefix_index(spec, tokens_BT[row, :t]), tokens_BT[row, t]]
    return torch.from_numpy(q_BT)


class TestSequences:
    @every_spec
    def test_all_are_there_in_lexicographic_order(self, spec: SequenceSpec) -> None:
        tokens_KT = enumeration.all_sequences(spec)
        assert tokens_KT.dtype == np.int64
        np.testing.assert_array_equal(tokens_KT, reference.padded(spec, sorted(reference.sequences(spec))))
        assert enumeration.n_sequences(spec) == len(tokens_KT)

    @every_spec
    def test_an_index_is_the_place(self, spec: SequenceSpec) -> None:
        tokens_KT = enumeration.all_sequences(spec)
        place_B = np.random.default_rng(0).integers(len(tokens_KT), size=50)
        np.testing.assert_array_equal(enumeration.sequence_index(spec, tokens_KT[place_B]), place_B)
        longest = int(spec.lengths(tokens_KT[:1])[0])  # rows may come without their padding
        assert enumeration.sequence_index(spec, tokens_KT[:1, :longest]).tolist() == [0]
        assert enumeration.sequence_index(spec, tokens_KT[:0]).shape == (0,)

    @every_spec
    def test_states_are_the_open_prefixes(self, spec: SequenceSpec) -> None:
        prefix_ST = enumeration.open_prefixes(spec)
        states = reference.unpadded(spec, prefix_ST)
        assert states == sorted(reference.open_prefixes(spec), key=lambda prefix: (len(prefix), prefix))
        place_B = np.random.default_rng(0).integers(len(states), size=50)
        np.testing.assert_array_equal(enumeration.prefix_index(spec, prefix_ST[place_B]), place_B)

    @pytest.mark.parametrize(
        "spec", [SequenceSpec(4, 10), SequenceSpec(2, 19), SequenceSpec(10, 6), SequenceSpec(1, 9)]
    )
    def test_a_million_are_not_too_many(self, spec: SequenceSpec) -> None:
        assert enumeration.n_sequences(spec) == spec.vocab_size**spec.max_length
        last = [[spec.vocab_size - 1] * spec.max_length]
        assert enumeration.sequence_index(spec, last) == spec.vocab_size**spec.max_length - 1

    @pytest.mark.parametrize(
        "spec",
        [
            SequenceSpec(5000, 20),
            SequenceSpec(2, 21),
            SequenceSpec(2, 5000, 0),
            SequenceSpec(1, 10**15),
            SequenceSpec(1, 10**15, 0),
            SequenceSpec(2**24, 10**15),
            SequenceSpec(2**12 + 1, 2),
        ],
        ids=show,
    )
    @pytest.mark.parametrize(
        "function",
        [
            enumeration.n_sequences,
            enumeration.all_sequences,
            enumeration.index_weights,
            enumeration.open_prefixes,
            lambda spec: enumeration.prefix_index(spec, np.zeros((0, 0), dtype=np.int64)),
            lambda spec: enumeration.optimal_value(spec, lambda tokens_BT: tokens_BT[:, 0]),
            lambda spec: enumeration.action_values(spec, lambda x: x[:, 0], enumeration.uniform_policy(spec)),
        ],
    )
    def test_too_many_are_refused_at_once(self, function: Callable[[SequenceSpec], Any], spec: SequenceSpec) -> None:
        with pytest.raises(
            ValueError, match="the task must be small enough to enumerate, with at most 16777216 tokens"
        ):
            function(spec)

    def test_what_has_no_place_is_refused(self) -> None:
        spec = SequenceSpec(3, 3, 0)
        with pytest.raises(ValueError, match=r"sequences must be complete: .* row 1 has 2"):
            enumeration.sequence_index(spec, [[1, 0, 3], [1, 1, 3]])
        with pytest.raises(ValueError, match="prefixes must not have ended; row 1 has"):
            enumeration.prefix_index(spec, [[1, 1, 3], [1, 0, 3]])
        with pytest.raises(ValueError, match=r"prefixes must hold ids in \[0, 3\)"):
            enumeration.prefix_index(spec, [[4]])


def policies_of(spec: SequenceSpec) -> dict[str, tuple[reference.NextToken, Policy]]:
    table, _ = reference.table_policy(spec, seed=1)
    generator = lstm(spec, seed=1)
    return {
        "table": (table, of_reference(table)),
        "lstm": (reference.next_token_of(generator), of_generator(generator)),
    }


@pytest.mark.theory
@every_spec
class TestValues:
    def test_the_probability_of_every_sequence(self, spec: SequenceSpec) -> None:
        """Eq. 13.31: the product of the conditionals."""
        for next_token, policy in policies_of(spec).values():
            probability_K = enumeration.sequence_probabilities(spec, policy)
            expected = [reference.probability(next_token, row).item() for row in reference.sequences(spec)]
            np.testing.assert_allclose(probability_K, expected, rtol=0, atol=1e-10)
            assert probability_K.sum() == pytest.approx(1, abs=1e-10)

    def test_the_value_of_every_action(self, spec: SequenceSpec) -> None:
        """Eq. 13.38 and 13.40, for every state and every token."""
        table = reference.random_reward(spec)
        for next_token, policy in policies_of(spec).values():
            q_SV = enumeration.action_values(spec, score_by(spec, table), policy)
            expected = [
                [
                    reference.action_value(spec, next_token, reference.reward_of(table), prefix, token).item()
                    for token in range(spec.vocab_size)
                ]
                for prefix in reference.unpadded(spec, enumeration.open_prefixes(spec))
            ]
            np.testing.assert_allclose(q_SV, expected, rtol=0, atol=1e-10)

    def test_the_objective(self, spec: SequenceSpec) -> None:
        """Eq. 13.41 = eq. 13.39."""
        table = reference.random_reward(spec)
        for next_token, policy in policies_of(spec).values():
            j = enumeration.value(spec, score_by(spec, table), policy)
            expected = reference.expected_reward(spec, next_token, reference.reward_of(table)).item()
            assert j == pytest.approx(expected, abs=1e-10)

    def test_the_best_value_of_every_action(self, spec: SequenceSpec) -> None:
        """Eq. 13.40 for the best policy: Q* is the highest reward of a sequence that begins so."""
        table = reference.random_reward(spec)
        q_SV = enumeration.optimal_action_values(spec, score_by(spec, table))
        for q_V, prefix in zip(q_SV, reference.unpadded(spec, enumeration.open_prefixes(spec)), strict=True):
            for token, q in enumerate(q_V):
                assert q == max(table[row] for row in reference.sequences(spec, (*prefix, token)))
        assert enumeration.optimal_value(spec, score_by(spec, table)) == max(table.values()) == q_SV[0].max()

    def test_the_best_policy_is_the_best(self, spec: SequenceSpec) -> None:
        """Its J (eq. 13.41) is the optimum, its Q (eq. 13.40) is Q*, and no other policy's J is higher."""
        score = score_by(spec, reference.random_reward(spec))
        best = enumeration.optimal_policy(spec, score)
        optimum = enumeration.optimal_value(spec, score)

        def policy(prefix_BT: Tokens) -> npt.NDArray[np.float64]:
            return np.eye(spec.vocab_size)[best(prefix_BT)]

        assert enumeration.value(spec, score, policy) == pytest.approx(optimum, abs=1e-12)
        np.testing.assert_allclose(
            enumeration.action_values(spec, score, policy), enumeration.optimal_action_values(spec, score), atol=1e-12
        )
        for seed in range(20):
            other = of_reference(reference.table_policy(spec, seed)[0])
            assert enumeration.value(spec, score, other) <= optimum + 1e-12

    def test_a_constant_reward_is_every_value(self, spec: SequenceSpec) -> None:
        for _, policy in policies_of(spec).values():
            q_SV = enumeration.action_values(spec, lambda tokens_BT: np.ones(len(tokens_BT)), policy)
            np.testing.assert_allclose(q_SV, 1.0, rtol=0, atol=1e-10)


class TestArguments:
    SPEC = SequenceSpec(3, 3, 0)

    @pytest.mark.parametrize(
        ("score", "message"),
        [
            (lambda x: np.zeros(3), r"score must give 15 finite rewards, got shape \(3,\) with 0"),
            (lambda x: np.zeros((len(x), 1)), r"score must give 15 finite rewards, got shape \(15, 1\)"),
            (lambda x: np.full(len(x), np.nan), r"score must give 15 finite rewards, .* with 15 values that are not"),
            (lambda x: np.where(x[:, 0] == 0, -np.inf, 0), "with 1 values that are not finite"),
        ],
    )
    def test_a_reward_that_is_none_is_refused(self, score: Score, message: str) -> None:
        uniform = enumeration.uniform_policy(self.SPEC)
        for function in (
            lambda: enumeration.optimal_value(self.SPEC, score),
            lambda: enumeration.optimal_policy(self.SPEC, score),
            lambda: enumeration.value(self.SPEC, score, uniform),
        ):
            with pytest.raises(ValueError, match=message):
                function()

    @pytest.mark.parametrize(
        ("policy", "message"),
        [
            (lambda x: np.zeros(7), r"policy must give shape \(7, 3\), got \(7,\)"),
            (lambda x: np.full((len(x), 4), 0.25), r"policy must give shape \(7, 3\), got \(7, 4\)"),
            (lambda x: np.full((len(x), 3), 0.25), "policy must give probabilities: .* sums from 0.75 to 0.75"),
            (lambda x: np.tile([1.5, -0.5, 0.0], (len(x), 1)), "policy must give probabilities: .* -0.5 as the least"),
            (lambda x: np.full((len(x), 3), np.nan), "policy must give probabilities"),
            (lambda x: np.log(np.full((len(x), 3), 1 / 3)), "policy must give probabilities"),
        ],
    )
    def test_a_policy_that_is_none_is_refused(self, policy: Policy, message: str) -> None:
        for function in (
            lambda: enumeration.value(self.SPEC, lambda x: x[:, 0], policy),
            lambda: enumeration.sequence_probabilities(self.SPEC, policy),
        ):
            with pytest.raises(ValueError, match=message):
                function()

    def test_the_best_token_of_a_whole_sequence_is_refused(self) -> None:
        best = enumeration.optimal_policy(self.SPEC, lambda x: x[:, 0])
        assert best([[3, 3, 3], [1, 3, 3]]).tolist() == [2, 0]  # on a tie the lowest id
        assert best([[], []]).tolist() == [2, 2]  # a prefix may come without its padding
        with pytest.raises(ValueError, match="prefixes must not have ended; row 0 has"):
            best([[0, 3, 3]])


@pytest.mark.theory
@pytest.mark.parametrize("reward", REWARDS)
def test_the_best_policy_of_an_environment_earns_the_optimum(reward: str) -> None:
    """Eq. 13.40: the shipped environment pays it, and from any state what Q* says."""
    env = SeqGANEnv(**{**TINY, "discriminator": "tabular", "discriminator_kwargs": {"scale": 3.0}, "reward": reward})
    spec, score = env.sequence_spec, env.score
    if REWARDS[reward].discriminator == "exact":
        env.set_discriminator(optimal(spec))
    best, q_SV = enumeration.optimal_policy(spec, score), enumeration.optimal_action_values(spec, score)
    for prefix in reference.unpadded(spec, enumeration.open_prefixes(spec)):
        observation, _ = env.reset(options={"prefix": prefix})
        promised = q_SV[enumeration.prefix_index(spec, observation[None])[0]].max()
        total, terminated = 0.0, False
        while not terminated:
            observation, paid, terminated, _, _ = env.step(best(observation[None])[0])
            total += paid
        assert total == promised
        if not prefix:
            assert total == enumeration.optimal_value(spec, score)


def discriminator_of(spec: SequenceSpec, seed: int = 0) -> Discriminator:
    """A logit of its own for every sequence."""
    return build_discriminator("tabular", spec, seed=seed, kwargs={"scale": 2.0}).double()


@pytest.mark.theory
@pytest.mark.parametrize("spec", [SequenceSpec(3, 3), SequenceSpec(3, 3, 0)], ids=show)
@every_kind
class TestGeneratorObjectives:
    """Eq. 13.35, 13.36 and 13.37 written out over all sequences and differentiated, against what the agent descends."""

    def written_out(self, kind: str, spec: SequenceSpec, name: str) -> tuple[float, Tensor]:
        """E_G of a function of D, and its gradient by autograd through the probability of every sequence."""
        functions: dict[str, Callable[[Tensor], Tensor]] = {
            "13.35": lambda d_K: torch.log(1 - d_K),
            "13.36": lambda d_K: -torch.log(1 - d_K),
            "13.37": torch.log,
        }
        policy = make_generator(kind, spec)
        tokens_KT = torch.from_numpy(enumeration.all_sequences(spec))
        d_K = torch.sigmoid(discriminator_of(spec)(tokens_KT)).detach()
        expectation = (policy.log_prob(tokens_KT).sum(dim=1).exp() * functions[name](d_K)).sum()
        return expectation.item(), gradient_of(expectation, policy)

    def descended(self, kind: str, spec: SequenceSpec, reward: str) -> tuple[float, Tensor]:
        """J by eq. 13.41 and the expected gradient of the shipped loss with the exact Q, all from shipped functions."""
        policy, discriminator = make_generator(kind, spec), discriminator_of(spec)

        def score(tokens_BT: Tokens) -> npt.NDArray[np.float64]:
            return np.asarray(pay(reward, torch.from_numpy(discriminator.logits(tokens_BT))))

        q_SV = enumeration.action_values(spec, score, of_generator(policy))
        tokens_KT = enumeration.all_sequences(spec)
        weight_K1 = enumeration.sequence_probabilities(spec, of_generator(policy))[:, None] * len(tokens_KT)
        loss = policy_gradient_loss(
            policy.log_prob(torch.from_numpy(tokens_KT)),
            along(spec, q_SV, tokens_KT) * torch.from_numpy(weight_K1),
            torch.from_numpy(tokens_KT != spec.pad_id),
        )
        return enumeration.value(spec, score, of_generator(policy)), gradient_of(loss, policy)

    def test_the_objective_of_the_gan(self, kind: str, spec: SequenceSpec) -> None:
        """Eq. 13.35: the reward of eq. 13.36 descends the gradient of min E_G[log(1 - D)], sign and all."""
        least, gradient = self.written_out(kind, spec, "13.35")
        j, descended = self.descended(kind, spec, "neg_log_one_minus_d")
        assert j == pytest.approx(-least, abs=1e-10)
        torch.testing.assert_close(descended, gradient, rtol=0, atol=1e-10)
        assert gradient.abs().max() > 1e-3

    @pytest.mark.parametrize(("number", "reward"), [("13.36", "neg_log_one_minus_d"), ("13.37", "log_d")])
    def test_a_reward_is_ascended(self, kind: str, spec: SequenceSpec, number: str, reward: str) -> None:
        """Eq. 13.36 and 13.37: J is their expectation, and the loss has minus its gradient."""
        expectation, gradient = self.written_out(kind, spec, number)
        j, descended = self.descended(kind, spec, reward)
        assert j == pytest.approx(expectation, abs=1e-10)
        torch.testing.assert_close(descended, -gradient, rtol=0, atol=1e-10)

    def test_the_two_rewards_pull_in_different_directions(self, kind: str, spec: SequenceSpec) -> None:
        """Eq. 13.36 and 13.37 differ by the log-ratio: where D is far from 1/2 so are their gradients."""
        (_, one), (_, other) = (self.written_out(kind, spec, number) for number in ("13.36", "13.37"))
        assert torch.cosine_similarity(one, other, dim=0) < 0.99


def gradient_of(scalar: Tensor, policy: torch.nn.Module) -> Tensor:
    return reference.gradient_of(scalar, [p for p in policy.parameters() if p.requires_grad])


@pytest.mark.theory
class TestOneStep:
    """T = 1, the case of IRGAN: an immediate reward and no long-term value."""

    SPEC = SequenceSpec(5, 1)

    @every_kind
    def test_the_value_is_the_reward_and_nothing_is_completed(self, kind: str) -> None:
        """Eq. 13.38 is all there is of eq. 13.40."""
        tokens_KT = torch.from_numpy(enumeration.all_sequences(self.SPEC))
        reward_K = torch.from_numpy(discriminator_of(self.SPEC).logits(tokens_KT))

        def score(tokens_MT: Tensor) -> Tensor:
            raise AssertionError("a completion was scored")

        policy = make_generator(kind, self.SPEC)
        q_KT = monte_carlo_action_values(policy, tokens_KT, reward_K, score, n_completions=3)
        assert torch.equal(q_KT[:, 0], reward_K)
        exact_SV = enumeration.action_values(self.SPEC, lambda _: reward_K.numpy(), of_generator(policy))
        np.testing.assert_array_equal(exact_SV, reward_K.numpy()[None])

    @every_kind
    def test_the_estimate_averages_to_the_gradient(self, kind: str) -> None:
        """Eq. 13.44 with T = 1: grad of sum_y G(y) log D(y), the estimate weighted by G over the five tokens."""
        policy, tokens_KT = make_generator(kind, self.SPEC), torch.from_numpy(enumeration.all_sequences(self.SPEC))
        d_K = torch.sigmoid(discriminator_of(self.SPEC)(tokens_KT)).detach()
        log_d_K = pay("log_d", torch.from_numpy(discriminator_of(self.SPEC).logits(tokens_KT)))
        average = torch.zeros(())
        for token_1T, reward, g in zip(
            tokens_KT.split(1),
            log_d_K,
            enumeration.sequence_probabilities(self.SPEC, of_generator(policy)),
            strict=True,
        ):
            q_1T = monte_carlo_action_values(policy, token_1T, reward[None], lambda _: torch.zeros(0), n_completions=1)
            chosen_1T = torch.ones_like(token_1T, dtype=torch.bool)
            loss = policy_gradient_loss(policy.log_prob(token_1T), advantages(q_1T, chosen_1T, "none"), chosen_1T)
            average = average + g * gradient_of(loss, policy)
        exact = gradient_of((policy.log_prob(tokens_KT)[:, 0].exp() * torch.log(d_K)).sum(), policy)
        torch.testing.assert_close(average, -exact, rtol=0, atol=1e-10)
        assert exact.abs().max() > 1e-3

    def test_the_best_policy_takes_the_best_token(self) -> None:
        reward_K = np.array([0.0, 2.0, -1.0, math.pi, 3.0])
        assert enumeration.optimal_policy(self.SPEC, lambda _: reward_K)([[]]).tolist() == [3]
        assert enumeration.value(self.SPEC, lambda _: reward_K, enumeration.uniform_policy(self.SPEC)) == pytest.approx(
            reward_K.mean()
        )
