"""The likelihood metrics against plain sums, and both divergences against enumeration."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from seqgan_env.metrics import likelihood_metrics
from seqgan_env.sources import KnownSource, LSTMOracle, Source
from seqgan_env.sources.base import split_known
from seqgan_env.tokens import SequenceSpec, Tokens
from seqgan_env.vocabulary import Vocabulary
from tests.support.reference import all_sequences


class Table:
    """A source, or a generator, that is a table: tokens 0 (the end) and 1, at most two of them."""

    spec = SequenceSpec(2, 2, eos_id=0)
    vocabulary: Vocabulary | None = None

    def __init__(self, *eighths: float) -> None:
        """Give the probabilities of "0", "1 0" and "1 1", in eighths."""
        self.outcomes_BT = all_sequences(self.spec)
        assert self.outcomes_BT.tolist() == [[0, 2], [1, 0], [1, 1]]
        self.eighths_B = np.array(eighths)

    def log_prob(self, tokens_BT: Tokens) -> npt.NDArray[np.float64]:
        p = {tuple(row): n / 8 for row, n in zip(self.outcomes_BT.tolist(), self.eighths_B.tolist(), strict=True)}
        return np.array([math.log(p[tuple(row)]) for row in tokens_BT.tolist()])

    def sample(self, n: int, rng: np.random.Generator) -> Tokens:
        return self.outcomes_BT[rng.choice(3, n, p=self.eighths_B / 8)]

    def split(self, n_train: int, n_test: int, seed: int) -> tuple[Tokens, Tokens]:
        return split_known(self, n_train, n_test, seed)

    def population(self) -> Tokens:
        """Each outcome as often as its probability says: a mean over it is the expectation."""
        return np.repeat(self.outcomes_BT, self.eighths_B, axis=0)


class TextLike:
    """A source of unknown likelihood."""

    def __init__(self, known: Table) -> None:
        self.spec, self.vocabulary, self.split = known.spec, known.vocabulary, known.split


REAL, GENERATOR = Table(4, 3, 1), Table(1, 2, 5)


def test_every_metric_is_a_total_per_token() -> None:
    rng = np.random.default_rng(0)
    test_BT, generated_BT = REAL.sample(7, rng), GENERATOR.sample(11, rng)
    totals = dict.fromkeys(["nll_test", "entropy", "nll_oracle", "kl_forward", "kl_reverse"], 0.0)
    for row in test_BT:
        p, g = float(REAL.log_prob(row[None])[0]), float(GENERATOR.log_prob(row[None])[0])
        totals["nll_test"] -= g
        totals["kl_forward"] += p - g
    for row in generated_BT:
        p, g = float(REAL.log_prob(row[None])[0]), float(GENERATOR.log_prob(row[None])[0])
        totals["entropy"] -= g
        totals["nll_oracle"] -= p
        totals["kl_reverse"] += g - p
    n_test, n_generated = (
        sum(token != 2 for row in rows.tolist() for token in row) for rows in (test_BT, generated_BT)
    )
    n_tokens = {"nll_test": n_test, "kl_forward": n_test}
    metrics = likelihood_metrics(REAL, test_BT, generated_BT, GENERATOR.log_prob)
    expected = {name: total / n_tokens.get(name, n_generated) for name, total in totals.items()}
    assert {name for name in metrics if name.endswith("_se")} == {f"{name}_se" for name in [*expected, "kl_sum"]}
    metrics = {name: value for name, value in metrics.items() if name in expected or name == "kl_sum"}
    assert metrics == pytest.approx({**expected, "kl_sum": expected["kl_forward"] + expected["kl_reverse"]})
    assert all(type(value) is float for value in metrics.values())


@pytest.mark.theory
def test_divergences_are_those_of_the_two_laws() -> None:
    """On a sample in which each outcome is as frequent as it is probable the estimate is the divergence itself."""
    metrics = likelihood_metrics(REAL, REAL.population(), GENERATOR.population(), GENERATOR.log_prob)
    p_B, g_B, length_B = REAL.eighths_B / 8, GENERATOR.eighths_B / 8, np.array([1, 2, 2])
    assert metrics["kl_forward"] == pytest.approx((p_B * np.log(p_B / g_B)).sum() / (p_B * length_B).sum())
    assert metrics["kl_reverse"] == pytest.approx((g_B * np.log(g_B / p_B)).sum() / (g_B * length_B).sum())
    mean_B = (p_B + g_B) / 2
    jensen_shannon = 0.5 * (p_B * np.log(p_B / mean_B) + g_B * np.log(g_B / mean_B)).sum()
    assert metrics["jensen_shannon"] == pytest.approx(jensen_shannon)
    entropy_of_real = -(p_B * np.log(p_B)).sum() / (p_B * length_B).sum()
    assert metrics["kl_forward"] == pytest.approx(metrics["nll_test"] - entropy_of_real)
    assert metrics["kl_reverse"] == pytest.approx(metrics["nll_oracle"] - metrics["entropy"])


@pytest.mark.theory
def test_divergences_estimated_from_samples() -> None:
    """Each lies within four standard errors of the enumerated one: a right estimator fails once in 8,000 seeds."""
    real, generator = LSTMOracle(3, 3, 2, 4, seed=0), LSTMOracle(3, 3, 2, 4, seed=1)
    rng, n = np.random.default_rng(0), 4000
    metrics = likelihood_metrics(real, real.sample(n, rng), generator.sample(n, rng), generator.log_prob)
    outcomes_BT = all_sequences(real.spec)
    log_p_B, log_g_B = real.log_prob(outcomes_BT), generator.log_prob(outcomes_BT)
    for name, log_own_B, log_other_B in [("kl_forward", log_p_B, log_g_B), ("kl_reverse", log_g_B, log_p_B)]:
        ratio_B = (log_own_B - log_other_B) / real.spec.max_length
        exact = (np.exp(log_own_B) * ratio_B).sum()
        variance = (np.exp(log_own_B) * (ratio_B - exact) ** 2).sum()
        assert exact > 0.1  # there is something to estimate
        assert abs(metrics[name] - exact) < 4 * math.sqrt(variance / n)
        assert metrics[f"{name}_se"] == pytest.approx(math.sqrt(variance / n), rel=0.1)


def test_standard_errors_are_the_spread_of_many_samples() -> None:
    """Of sequences of different lengths, each figure being a ratio of two sums."""
    rng = np.random.default_rng(0)
    found = [
        likelihood_metrics(REAL, REAL.sample(100, rng), GENERATOR.sample(200, rng), GENERATOR.log_prob)
        for _ in range(2000)
    ]
    names = [name for name in found[0] if name.endswith("_se")]
    assert len(names) == 6
    for name in names:
        spread = np.std([each[name.removesuffix("_se")] for each in found])
        assert spread > 0.01
        assert np.mean([each[name] for each in found]) == pytest.approx(spread, rel=0.05)


def test_a_single_sequence_has_no_standard_error() -> None:
    metrics = likelihood_metrics(REAL, REAL.population()[:1], GENERATOR.population()[:1], GENERATOR.log_prob)
    assert not [name for name in metrics if name.endswith("_se")]


def test_a_generator_that_is_the_source_has_no_divergence() -> None:
    rng = np.random.default_rng(0)
    test_BT, generated_BT = REAL.sample(50, rng), REAL.sample(50, rng)
    metrics = likelihood_metrics(REAL, test_BT, generated_BT, REAL.log_prob)
    assert metrics["kl_forward"] == metrics["kl_reverse"] == 0
    assert metrics["nll_oracle"] == metrics["entropy"]


def test_collapse_games_nll_oracle_and_nothing_else() -> None:
    """A generator that repeats the likeliest sequence: the reason why these numbers are shown together."""
    real, collapsed = Table(1, 1, 6), Table(0.01, 0.01, 7.98)
    likeliest_BT = real.outcomes_BT[[2, 2, 2]]
    gamed = likelihood_metrics(real, real.population(), likeliest_BT, collapsed.log_prob)
    perfect = likelihood_metrics(real, real.population(), real.population(), real.log_prob)
    assert gamed["nll_oracle"] < perfect["nll_oracle"]
    assert gamed["nll_test"] > perfect["nll_test"]
    assert gamed["entropy"] < perfect["entropy"]
    assert gamed["kl_forward"] > perfect["kl_forward"] == 0


def test_without_a_known_likelihood_there_are_two_numbers_and_their_errors() -> None:
    source: Source = TextLike(REAL)
    assert not isinstance(source, KnownSource)
    both = likelihood_metrics(REAL, REAL.population(), GENERATOR.population(), GENERATOR.log_prob)
    metrics = likelihood_metrics(source, REAL.population(), GENERATOR.population(), GENERATOR.log_prob)
    assert metrics == {name: both[name] for name in ("nll_test", "entropy", "nll_test_se", "entropy_se")}


def test_of_samples_alone_the_likelihood_under_the_source_is_left() -> None:
    whole = likelihood_metrics(REAL, REAL.population(), GENERATOR.population(), GENERATOR.log_prob)
    of_samples = likelihood_metrics(REAL, REAL.population(), GENERATOR.population(), None)
    assert of_samples == {name: whole[name] for name in ("nll_oracle", "nll_oracle_se")}
    assert likelihood_metrics(TextLike(REAL), REAL.population(), GENERATOR.population(), None) == {}
