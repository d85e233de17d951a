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
from agents.runs.evaluation import optimal_discriminator
from agents.runs.game import Game
from seqgan_env.autoregressive import AutoregressiveModel
from seqgan_env.discriminators import (
    Discriminator,
    EnsembleConfig,
    EnsembleDiscriminator,
    OptimalDiscriminator,
    build_discriminator,
)
from seqgan_env.discriminators.ensemble import COMBINATIONS
from seqgan_env.rewards import RewardContext
from seqgan_env.rewards.divergences import BothDivergencesConfig
from seqgan_env.rewards.f_divergence import DIVERGENCES, FDivergenceConfig
from seqgan_env.scoring import Scoring
from seqgan_env.sources import Grammar
from seqgan_env.tokens import SequenceSpec
from tests.support import reference
from tests.support.builders import lstm, show
from tests.support.runs import TINY, changed

SPECS = pytest.mark.parametrize("spec", [SequenceSpec(3, 2, 0), SequenceSpec(2, 3)], ids=show)
WIDE = BothDivergencesConfig(log_weight=0.7, log_clip=1e3, ratio_limit=1e9)
NARROW = BothDivergencesConfig(log_weight=0.7, log_clip=0.2, ratio_limit=1.2)
BOTH = {"baseline": "step"}, {"baseline": "step", "inner_sums": True}
Case = tuple[str, Any, tuple[float | None, float | None] | None]
"""A reward, its settings and its clip."""
LOG_RATIOS: dict[str, Case] = {name: (name, None, None) for name in ("log_ratio", "exact_log_ratio")}
CASES: dict[str, Case] = {
    **LOG_RATIOS,
    "both_divergences": ("both_divergences", WIDE, None),
    "log_d": ("log_d", None, None),
    "clipped log_ratio": ("log_ratio", None, (-0.3, 0.1)),
    "clipped both": ("both_divergences", WIDE, (None, 1.2)),
    **{name: ("f_divergence", FDivergenceConfig(name), None) for name in DIVERGENCES},
}


class Exact:
    """A generator, and the rewards of the exact log-ratio of another one and it."""

    def __init__(
        self, spec: SequenceSpec, reward: str, config: Any = None, clip: Any = None, combine: str | None = None
    ) -> None:
        self.spec, self.generator = spec, lstm(spec, 1)
        discriminator: Discriminator = self.optimal(lstm(spec, 2))
        if combine is not None:
            members = torch.nn.ModuleList(self.optimal(lstm(spec, seed)) for seed in (2, 3, 4))
            discriminator = EnsembleDiscriminator(spec, EnsembleConfig("log_ratio", 3, combine=combine))
            discriminator.members = members
        rows = reference.all_sequences(spec)
        context = RewardContext(spec, None, lambda: rows, config)
        self.scoring = Scoring(reward, context, clip, lambda: discriminator, torch.device("cpu"))

    def optimal(self, source: AutoregressiveModel) -> OptimalDiscriminator:
        def terms(tokens: Any) -> Any:
            tokens_BT = torch.from_numpy(tokens)
            return (source.log_prob(tokens_BT) - self.generator.log_prob(tokens_BT)).detach().numpy()

        def all_terms(tokens: Any) -> Any:
            tokens_BT = torch.from_numpy(tokens)
            return (source.all_log_prob(tokens_BT) - self.generator.all_log_prob(tokens_BT)).detach().numpy()

        likelihoods = source.sequence_log_prob, self.generator.sequence_log_prob
        return OptimalDiscriminator(self.spec, *likelihoods, terms, all_terms)

    def loss(
        self, tokens_BT: Tensor, chosen_BT: Tensor | None = None, real_RT: Tensor | None = None, **config: Any
    ) -> Tensor:
        mask_BT = self.spec.is_token(tokens_BT)
        reward_B = self.scoring.score_tensor(tokens_BT)
        episodes = Episodes(tokens_BT, mask_BT if chosen_BT is None else mask_BT & chosen_BT, reward_B)
        settings = EstimatorConfig(**{"n_completions": 0, "dense": True, "normalize_advantage": False, **config})
        values = self.scoring.action_values, self.scoring.known_values, lstm(self.spec, 3)
        return estimate_gradient(
            self.generator, episodes, self.scoring.score_tensor, settings, None, *values, real_RT=real_RT
        ).loss

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
class TestMean:
    @pytest.mark.parametrize("inner_sums", [False, True])
    @pytest.mark.parametrize("case", CASES.values(), ids=CASES)
    def test_is_the_gradient(self, case: Case, spec: SequenceSpec, inner_sums: bool) -> None:
        """Eq. 13.44: the mean over every sequence that may be drawn, of the reward as it is paid."""
        exact = Exact(spec, *case)
        gradient = exact.gradient()
        assert gradient.abs().max() > 1e-2
        mean, _ = exact.moments(1, baseline="none", inner_sums=inner_sums)
        torch.testing.assert_close(mean, -gradient, rtol=1e-8, atol=1e-10)

    @pytest.mark.parametrize("case", [CASES["log_ratio"], CASES["both_divergences"]], ids=str)
    def test_holds_the_entropy_and_the_divergence_too(self, case: Case, spec: SequenceSpec) -> None:
        """The entropy and the divergence are sums over tokens themselves."""
        exact, rows_KT = Exact(spec, *case), torch.from_numpy(reference.all_sequences(spec))
        log_g_K, log_pre_K = (m.log_prob(rows_KT).sum(dim=1) for m in (exact.generator, lstm(spec, 3)))
        more = -(log_g_K.exp() * (0.5 * log_g_K - 0.2 * log_pre_K)).sum()
        gradient = exact.gradient() + reference.gradient_of(more, list(exact.generator.parameters()))
        mean, _ = exact.moments(1, baseline="none", inner_sums=True, entropy_bonus=0.3, kl_penalty=0.2)
        torch.testing.assert_close(mean, -gradient, rtol=1e-8, atol=1e-10)

    @pytest.mark.parametrize("case", LOG_RATIOS.values(), ids=LOG_RATIOS)
    def test_holds_the_forward_divergence_of_each_token(self, case: Case, spec: SequenceSpec) -> None:
        """Of KL(p(. | prefix) || G(. | prefix)) on prefixes that come as often as G makes them, in closed form."""
        exact, source = Exact(spec, *case), reference.next_token_of(lstm(spec, 2))
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

    @pytest.mark.parametrize("case", LOG_RATIOS.values(), ids=LOG_RATIOS)
    def test_holds_the_divergence_at_the_prefixes_of_real_sequences(self, case: Case, spec: SequenceSpec) -> None:
        """Of KL(G(. | prefix) || p(. | prefix)), a sequence at a time, whatever G makes of what comes after."""
        exact, source = Exact(spec, *case), reference.next_token_of(lstm(spec, 2))
        own, parameters = reference.next_token_of(exact.generator), list(exact.generator.parameters())
        rows = reference.sequences(spec)[1:4]
        divergence = sum(
            (own(row[:t]) * (own(row[:t]) / source(row[:t]).detach()).log()).sum()
            for row in rows
            for t in range(len(row))
        )
        more = reference.gradient_of(divergence / len(rows), parameters)  # type: ignore[operator]
        assert more.abs().max() > 1e-2
        real_RT = torch.from_numpy(reference.padded(spec, rows))
        mean, _ = exact.moments(1, baseline="none", inner_sums=True, real_prefixes=0.5, real_RT=real_RT)
        torch.testing.assert_close(mean, 0.5 * more - exact.gradient(), rtol=1e-8, atol=1e-10)

    @pytest.mark.parametrize("case", CASES.values(), ids=CASES)
    def test_of_a_given_prefix_is_the_gradient_of_what_follows_it(self, case: Case, spec: SequenceSpec) -> None:
        exact = Exact(spec, *case)
        policy = reference.next_token_of(exact.generator)
        mean, chosen_BT = torch.zeros(()), torch.arange(spec.max_length)[None] >= 1
        for row in reference.sequences(spec, (1,)):
            loss = exact.loss(
                torch.from_numpy(reference.padded(spec, [row])), chosen_BT, baseline="none", inner_sums=True
            )
            p = reference.probability(policy, row, given=1).item()
            mean = mean + p * reference.gradient_of(loss, list(exact.generator.parameters()))
        torch.testing.assert_close(mean, -exact.gradient((1,)), rtol=1e-8, atol=1e-10)


class TestBias:
    """Of what is not the gradient, its share of it."""

    SPEC = SequenceSpec(3, 2, 0)

    def share(self, found: Tensor, exact: Tensor) -> float:
        return float((found - exact).norm() / exact.norm())

    @pytest.mark.theory
    @pytest.mark.parametrize("combine", COMBINATIONS)
    def test_an_ensemble_has_one_where_a_ratio_is_taken_for_that_of_distributions(self, combine: str) -> None:
        """The reward that a function of the whole logit pays has none, whatever the combination of the members."""
        for case in (
            CASES["log_ratio"],
            CASES["jensen_shannon"],
            ("f_divergence", FDivergenceConfig("forward_kl"), (None, 1e9)),
        ):
            exact = Exact(self.SPEC, *case, combine=combine)
            for exactly in (False, True):
                mean, _ = exact.moments(1, baseline="none", inner_sums=exactly)
                assert self.share(-mean, exact.gradient()) < 1e-8
        exact = Exact(self.SPEC, *CASES["both_divergences"], combine=combine)
        mean, _ = exact.moments(1, baseline="none")
        assert 0.05 < self.share(-mean, exact.gradient()) < 0.1

    @pytest.mark.theory
    def test_a_clip_has_one_that_falls_to_nothing_as_it_widens(self) -> None:
        """Against the reverse divergence, which the whole log-ratio descends; here this is nowhere above 3.2."""
        exact = Exact(self.SPEC, "log_ratio").gradient()
        shares = [
            self.share(Exact(self.SPEC, "log_ratio", None, (-c, c)).gradient(), exact) for c in (0.1, 0.4, 1.6, 3.2)
        ]
        assert shares == sorted(shares, reverse=True)
        assert shares[0] > 0.9
        assert shares[-1] < 1e-9

    @pytest.mark.theory
    @pytest.mark.parametrize("reward", ["both_divergences", "f_divergence"])
    def test_a_limit_of_the_ratio_has_less_where_tokens_have_values(self, reward: str) -> None:
        """Against the forward divergence: of a beginning the ratio is nearer to 1 than of the whole."""
        exact, shares = Exact(self.SPEC, "f_divergence", FDivergenceConfig("forward_kl")).gradient(), []
        for limit in (1.2, 2.0, 4.0, 30.0):
            config = (
                FDivergenceConfig("forward_kl", limit) if "f_" in reward else BothDivergencesConfig(0.0, 1.0, limit)
            )
            cut = Exact(self.SPEC, reward, config)
            mean, _ = cut.moments(1, baseline="none")
            shares.append(self.share(-mean, exact))
            assert shares[-1] <= self.share(cut.gradient(), exact) + 1e-9
        assert shares == sorted(shares, reverse=True)
        assert shares[0] > 0.8
        assert shares[-1] < 1e-9


@pytest.mark.theory
@pytest.mark.parametrize(("reward", "config"), [("log_ratio", None), ("both_divergences", NARROW)])
def test_the_mean_of_dense_values_stays_and_their_variance_falls(reward: str, config: Any) -> None:
    """Over every pair of sequences, with a baseline for what is still sampled, also where a reward is cut off."""
    exact = Exact(SequenceSpec(2, 3), reward, config)
    (plain, before), (mean, after) = (exact.moments(2, **arguments) for arguments in BOTH)
    torch.testing.assert_close(mean, plain, rtol=1e-8, atol=1e-10)
    assert after < 0.9 * before


@pytest.mark.theory
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_with_one_step_they_are_the_whole_gradient(case: Case) -> None:
    """Eq. 13.44 at T = 1 (IRGAN's case): nothing is left to chance."""
    exact = Exact(SequenceSpec(5, 1), *case)
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


@pytest.mark.parametrize("kind", ["generative", "optimal"])
def test_padding_that_all_sequences_have_changes_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some sentences at a time, of which no one is as long as a sentence may be."""
    source = Grammar()
    generator = AutoregressiveModel(source.spec, "lstm", embedding_dim=3, hidden_dim=3)
    sentences = source.split(200, 1, 1)[0]
    length_B = source.spec.lengths(sentences)
    tokens_BT = torch.from_numpy(sentences[length_B < source.spec.max_length - 2])
    chosen_BT = source.spec.is_token(tokens_BT)
    chosen_BT[:, 0] = False  # as after a prefix
    episodes = Episodes(tokens_BT, chosen_BT, torch.zeros(len(tokens_BT), dtype=torch.float64))
    members = {"n_members": 2, "embedding_dim": 3, "hidden_dim": 3}
    of_generator = {"generator_core": "lstm", "generator_kwargs": {"embedding_dim": 3, "hidden_dim": 3}}
    discriminator = (
        optimal_discriminator(source, generator)
        if kind == "optimal"
        else build_discriminator("generative", source.spec, kwargs={**members, **of_generator})
    )
    widths: list[int] = []

    def values(tokens_Kt: Tensor) -> tuple[Tensor, Tensor]:
        widths.append(tokens_Kt.shape[1])
        with torch.no_grad():
            known_KtV = discriminator.all_token_logits(tokens_Kt).double()
        return 2 * known_KtV, known_KtV

    monkeypatch.setattr(monte_carlo, "_TOKENS_AT_ONCE", 40 * source.spec.max_length * source.spec.vocab_size)
    found = inner_sums(generator, episodes, values)
    assert max(widths) == int(source.spec.lengths(tokens_BT).max()) < source.spec.max_length
    assert len(set(widths)) > 1
    gradient = torch.autograd.grad(found.total, generator.output.weight)[0]
    monkeypatch.setattr("agents.inner_sums.may_look", lambda device: False)
    whole = inner_sums(generator, episodes, values)
    assert widths[-1] == source.spec.max_length
    torch.testing.assert_close(found.known_BT, whole.known_BT)
    torch.testing.assert_close(found.total, whole.total)
    torch.testing.assert_close(gradient, torch.autograd.grad(whole.total, generator.output.weight)[0])
