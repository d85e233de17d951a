"""The inner sums of eq. 13.44, taken exactly: by enumeration, in mean and in variance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from agents import monte_carlo
from agents.collection import Episodes
from agents.estimator import EstimatorConfig
from agents.gradient import estimate_gradient
from agents.inner_sums import inner_sums
from agents.runs.game import Game
from seqgan_env.discriminators import OptimalDiscriminator
from seqgan_env.rewards import REWARDS, RewardContext
from seqgan_env.rewards.divergences import BothDivergencesConfig
from seqgan_env.scoring import Scoring
from seqgan_env.tokens import SequenceSpec
from tests.support import reference
from tests.support.builders import lstm, show
from tests.support.runs import TINY, changed

SPECS = pytest.mark.parametrize("spec", [SequenceSpec(3, 2, 0), SequenceSpec(2, 3)], ids=show)
WIDE = BothDivergencesConfig(log_weight=0.7, log_clip=1e3, ratio_limit=1e9)
NARROW = BothDivergencesConfig(log_weight=0.7, log_clip=0.2, ratio_limit=1.2)
BOTH = {"baseline": "step"}, {"baseline": "step", "inner_sums": True}


class Exact:
    """A generator, and the rewards of the exact log-ratio of another one and it."""

    def __init__(self, spec: SequenceSpec, reward: str, config: Any = None) -> None:
        self.spec, self.generator, source = spec, lstm(spec, 1), lstm(spec, 2)

        def terms(tokens: Any) -> Any:
            tokens_BT = torch.from_numpy(tokens)
            return (source.log_prob(tokens_BT) - self.generator.log_prob(tokens_BT)).detach().numpy()

        def all_terms(tokens: Any) -> Any:
            tokens_BT = torch.from_numpy(tokens)
            return (source.all_log_prob(tokens_BT) - self.generator.all_log_prob(tokens_BT)).detach().numpy()

        likelihoods = source.sequence_log_prob, self.generator.sequence_log_prob
        optimal = OptimalDiscriminator(spec, *likelihoods, terms, all_terms)
        rows = reference.all_sequences(spec)
        context = RewardContext(spec, None, lambda: rows, config if REWARDS[reward].config is type(config) else None)
        self.scoring = Scoring(reward, context, None, lambda: optimal, torch.device("cpu"))

    def loss(self, tokens_BT: Tensor, chosen_BT: Tensor | None = None, **config: Any) -> Tensor:
        mask_BT = self.spec.is_token(tokens_BT)
        reward_B = self.scoring.score_tensor(tokens_BT)
        episodes = Episodes(tokens_BT, mask_BT if chosen_BT is None else mask_BT & chosen_BT, reward_B)
        settings = EstimatorConfig(**{"n_completions": 0, "dense": True, "normalize_advantage": False, **config})
        values = self.scoring.action_values, self.scoring.known_values, lstm(self.spec, 3)
        return estimate_gradient(self.generator, episodes, self.scoring.score_tensor, settings, None, *values).loss

    def moments(self, n: int, **config: Any) -> tuple[Tensor, float]:
        return reference.over_all_batches(self.generator, n, lambda tokens_BT: self.loss(tokens_BT, **config))

    def gradient(self, prefix: reference.Prefix = ()) -> Tensor:
        """Of J, or of what follows a prefix (eq. 13.39), the reward held as it is."""
        rows = reference.sequences(self.spec)
        rewards = self.scoring.score_tensor(torch.from_numpy(reference.padded(self.spec, rows))).tolist()
        reward, policy = (
            reference.reward_of(dict(zip(rows, rewards, strict=True))),
            reference.next_token_of(self.generator),
        )
        value = reference.expected_reward(self.spec, policy, reward, prefix)
        return reference.gradient_of(value, list(self.generator.parameters()))


@pytest.mark.theory
@SPECS
@pytest.mark.parametrize("reward", ["log_ratio", "exact_log_ratio", "both_divergences"])
class TestMean:
    def test_is_the_gradient(self, reward: str, spec: SequenceSpec) -> None:
        """Eq. 13.44: the mean over every sequence that may be drawn."""
        exact = Exact(spec, reward, WIDE)
        gradient = exact.gradient()
        assert gradient.abs().max() > 1e-2
        mean, _ = exact.moments(1, baseline="none", inner_sums=True)
        torch.testing.assert_close(mean, -gradient, rtol=1e-8, atol=1e-10)

    def test_holds_the_entropy_and_the_divergence_too(self, reward: str, spec: SequenceSpec) -> None:
        """The entropy and the divergence are sums over tokens themselves."""
        exact, rows_KT = Exact(spec, reward, WIDE), torch.from_numpy(reference.all_sequences(spec))
        log_g_K, log_pre_K = (m.log_prob(rows_KT).sum(dim=1) for m in (exact.generator, lstm(spec, 3)))
        more = -(log_g_K.exp() * (0.5 * log_g_K - 0.2 * log_pre_K)).sum()
        gradient = exact.gradient() + reference.gradient_of(more, list(exact.generator.parameters()))
        mean, _ = exact.moments(1, baseline="none", inner_sums=True, entropy_bonus=0.3, kl_penalty=0.2)
        torch.testing.assert_close(mean, -gradient, rtol=1e-8, atol=1e-10)

    def test_holds_the_forward_divergence_of_each_token(self, reward: str, spec: SequenceSpec) -> None:
        """Of KL(p(. | prefix) || G(. | prefix)) on prefixes that come as often as G makes them, in closed form."""
        if reward == "both_divergences":
            pytest.skip("its known values are no log-ratios")
        exact, source = Exact(spec, reward, WIDE), reference.next_token_of(lstm(spec, 2))
        own, parameters = reference.next_token_of(exact.generator), list(exact.generator.parameters())
        divergence = sum(
            reference.probability(own, prefix).detach()
            * (source(prefix).detach() * (source(prefix).detach() / own(prefix)).log()).sum()
            for prefix in reference.open_prefixes(spec)
        )
        more = reference.gradient_of(divergence, parameters)  # type: ignore[arg-type]
        assert more.abs().max() > 1e-2
        mean, _ = exact.moments(1, baseline="none", inner_sums=True, forward_kl=0.5)
        torch.testing.assert_close(mean, 0.5 * more - exact.gradient(), rtol=1e-8, atol=1e-10)

    def test_of_a_given_prefix_is_the_gradient_of_what_follows_it(self, reward: str, spec: SequenceSpec) -> None:
        exact = Exact(spec, reward, WIDE)
        policy = reference.next_token_of(exact.generator)
        mean, chosen_BT = torch.zeros(()), torch.arange(spec.max_length)[None] >= 1
        for row in reference.sequences(spec, (1,)):
            loss = exact.loss(
                torch.from_numpy(reference.padded(spec, [row])), chosen_BT, baseline="none", inner_sums=True
            )
            p = reference.probability(policy, row, given=1).item()
            mean = mean + p * reference.gradient_of(loss, list(exact.generator.parameters()))
        torch.testing.assert_close(mean, -exact.gradient((1,)), rtol=1e-8, atol=1e-10)


@pytest.mark.theory
@pytest.mark.parametrize(("reward", "config"), [("log_ratio", None), ("both_divergences", NARROW)])
def test_the_mean_of_dense_values_stays_and_their_variance_falls(reward: str, config: Any) -> None:
    """Over every pair of sequences, with a baseline for what is still sampled, also where a reward is cut off."""
    exact = Exact(SequenceSpec(2, 3), reward, config)
    (plain, before), (mean, after) = (exact.moments(2, **arguments) for arguments in BOTH)
    torch.testing.assert_close(mean, plain, rtol=1e-8, atol=1e-10)
    assert after < 0.9 * before


@pytest.mark.theory
@pytest.mark.parametrize("reward", ["log_ratio", "both_divergences"])
def test_with_one_step_they_are_the_whole_gradient(reward: str) -> None:
    """Eq. 13.44 at T = 1 (IRGAN's case): nothing is left to chance."""
    exact = Exact(SequenceSpec(5, 1), reward, WIDE)
    for token in range(5):
        loss = exact.loss(torch.tensor([[token]]), baseline="none", inner_sums=True)
        found = reference.gradient_of(loss, list(exact.generator.parameters()))
        torch.testing.assert_close(found, -exact.gradient(), rtol=1e-8, atol=1e-10)


def test_normalised_advantages_only_change_the_length() -> None:
    exact = Exact(SequenceSpec(2, 3), "log_ratio")
    tokens_BT = exact.generator.sample(6, torch.Generator().manual_seed(0))
    plain, normalised = (
        reference.gradient_of(
            exact.loss(tokens_BT, **BOTH[1], normalize_advantage=normalize), list(exact.generator.parameters())
        )
        for normalize in (False, True)
    )
    ratio = float(normalised.norm() / plain.norm())
    assert ratio != pytest.approx(1)
    torch.testing.assert_close(normalised, ratio * plain)


def test_some_sequences_at_a_time_are_as_good_as_all(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = SequenceSpec(3, 2, 0)
    exact = Exact(spec, "log_ratio")
    tokens_BT = torch.from_numpy(reference.all_sequences(spec))
    episodes = Episodes(tokens_BT, spec.is_token(tokens_BT), torch.zeros(len(tokens_BT)).double())
    asked: list[int] = []

    def values(tokens_KT: Tensor) -> tuple[Tensor, Tensor]:
        asked.append(len(tokens_KT))
        known_KTV = exact.scoring.known_values(tokens_KT)
        return 2 * known_KTV, known_KTV

    whole = inner_sums(exact.generator, episodes, values)
    monkeypatch.setattr(monte_carlo, "_TOKENS_AT_ONCE", 2 * 2 * 3)
    parts = inner_sums(exact.generator, episodes, values)
    assert asked == [7, 2, 2, 2, 1]
    np.testing.assert_allclose(parts.known_BT, whole.known_BT, rtol=1e-12)
    assert parts.total.item() == pytest.approx(whole.total.item(), rel=1e-12)


def test_that_there_are_no_terms_is_said_before_anything_is_learned() -> None:
    agent = {"n_completions": 0, "dense": True, "inner_sums": True, "baseline": "step"}
    with pytest.raises(ValueError, match="the logit of a CNNDiscriminator is no sum over tokens"):
        Game(changed(TINY, task={"reward": "log_ratio"}, agent=agent))
