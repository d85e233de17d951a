"""A choice among candidates is a distribution that can be written down, and enumerated."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats

from agents import reranking
from agents.reranking import MAX_CANDIDATES, Reranked
from agents.runs.evaluation import Likely
from seqgan_env import enumeration
from seqgan_env.discriminators import TabularDiscriminator, build_discriminator
from seqgan_env.enumeration import Floats
from seqgan_env.tokens import SequenceSpec
from tests.support.builders import make_generator

SPEC = SequenceSpec(3, 2)
ALL_KT = enumeration.all_sequences(SPEC)
MODEL = make_generator("lstm", SPEC)
RULES = ("best", "importance")


def judge(logit_K: Floats) -> TabularDiscriminator:
    """A discriminator with the given logits."""
    made = TabularDiscriminator(SPEC).double()
    with torch.no_grad():
        made.table_K.copy_(torch.from_numpy(logit_K))
    return made.eval()


def by_definition(probability_K: Floats, logit_K: Floats, n_candidates: int, rule: str) -> Floats:
    """Every choice of candidates, and the one that is taken, written out."""
    chosen_K = np.zeros(len(probability_K))
    for candidates in itertools.product(range(len(probability_K)), repeat=n_candidates):
        logit_N = logit_K[list(candidates)]
        taken_N = np.exp(logit_N - logit_N.max()) if rule == "importance" else (logit_N == logit_N.max()).astype(float)
        for i, share in zip(candidates, taken_N / taken_N.sum(), strict=True):
            chosen_K[i] += share * probability_K[list(candidates)].prod()
    return chosen_K


LOGITS: dict[str, Floats] = {
    "each its own": np.random.default_rng(0).normal(0, 2, 9),
    "ties": np.repeat([1.0, -1.0, 0.5], 3),
    "alike": np.zeros(9),
}


@pytest.mark.theory
@pytest.mark.parametrize("logits", LOGITS)
@pytest.mark.parametrize("n_candidates", [1, 2, 4])
@pytest.mark.parametrize("rule", RULES)
def test_its_probabilities_are_those_of_the_definition(rule: str, n_candidates: int, logits: str) -> None:
    probability_K = np.exp(MODEL.sequence_log_prob(ALL_KT))
    chosen_K = by_definition(probability_K, LOGITS[logits], n_candidates, rule)
    assert chosen_K.sum() == pytest.approx(1)
    reranked = Reranked(MODEL, judge(LOGITS[logits]), n_candidates, rule, n_reference=100_000)  # type: ignore[arg-type]
    assert isinstance(reranked, Likely)
    np.testing.assert_allclose(np.exp(reranked.sequence_log_prob(ALL_KT)), chosen_K, rtol=0.08, atol=0.002)
    index_B = enumeration.sequence_index(SPEC, reranked.draw(20_000, seed=1))
    counts_K = np.bincount(index_B, minlength=len(chosen_K))
    assert stats.chisquare(counts_K, 20_000 * chosen_K).pvalue > 1e-4


@pytest.mark.theory
def test_importance_with_the_best_discriminator_comes_ever_nearer_to_the_data() -> None:
    """The maximiser of eq. 13.32 has the logit ``log p - log G``."""
    data_K = np.random.default_rng(1).dirichlet(np.ones(9))
    model_K = np.exp(MODEL.sequence_log_prob(ALL_KT))
    optimal = judge(np.log(data_K / model_K))
    distance = [np.abs(model_K - data_K).sum()]
    for n_candidates in (4, 32, 256):
        reranked = Reranked(MODEL, optimal, n_candidates, "importance")
        distance.append(np.abs(np.exp(reranked.sequence_log_prob(ALL_KT)) - data_K).sum())
    assert (np.diff(distance) < 0).all()
    assert distance[-1] < 0.1 * distance[0]
    best_K = np.exp(Reranked(MODEL, optimal, 256, "best").sequence_log_prob(ALL_KT))
    assert np.abs(best_K - data_K).sum() > distance[0]  # which goes on to the likest sequence alone


@pytest.mark.parametrize("rule", RULES)
def test_the_temperature_is_the_generator_s(rule: str) -> None:
    chosen_K = by_definition(np.exp(MODEL.sequence_log_prob(ALL_KT, 0.5)), LOGITS["each its own"], 2, rule)
    reranked = Reranked(MODEL, judge(LOGITS["each its own"]), 2, rule, n_reference=100_000)  # type: ignore[arg-type]
    estimate_K = np.exp(reranked.sequence_log_prob(ALL_KT, 0.5))
    np.testing.assert_allclose(estimate_K, chosen_K, rtol=0.05, atol=0.002)


@pytest.mark.parametrize("rule", RULES)
def test_a_likelihood_is_finite_whatever_the_logit(rule: str) -> None:
    """Of many candidates, a sequence that the discriminator abhors is hardly ever the one."""
    reranked = Reranked(MODEL, judge(np.linspace(-500, 500, 9)), 1000, rule)  # type: ignore[arg-type]
    log_prob_K = reranked.sequence_log_prob(ALL_KT)
    assert np.isfinite(log_prob_K).all()
    assert reranked.sequence_log_prob(ALL_KT[:0]).shape == (0,)
    assert np.exp(log_prob_K).sum() == pytest.approx(1, abs=0.05)


@pytest.mark.theory
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kind", ["cnn", "gru", "transformer"])
def test_a_network_s_rounding_does_not_part_a_sequence_from_its_copies(kind: str, rule: str) -> None:
    """The last bits of a logit depend on what is scored beside it."""
    network = build_discriminator(kind, SPEC, seed=1)
    with torch.no_grad():
        for weights in network.parameters():
            weights.mul_(1.5)
    logit_K = network.exact_logits(ALL_KT)
    chosen_K = by_definition(np.exp(MODEL.sequence_log_prob(ALL_KT)), logit_K, 4, rule)
    reranked = Reranked(MODEL, network, 4, rule, n_reference=4_000)  # type: ignore[arg-type]
    for size in (1, 9):
        found_K = np.concatenate([reranked.sequence_log_prob(ALL_KT[i : i + size]) for i in range(0, 9, size)])
        np.testing.assert_allclose(np.exp(found_K), chosen_K, rtol=0.1, atol=0.01)


@pytest.mark.parametrize("rule", RULES)
def test_what_is_drawn_in_parts_has_the_same_distribution(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the parts, none has more numbers than are allowed at once, and none is that of another one again."""
    monkeypatch.setattr(reranking, "_CHUNK", 4 * 2 * 500)
    sizes, draw = [], MODEL.draw
    monkeypatch.setattr(MODEL, "draw", lambda n, **arguments: sizes.append(n) or draw(n, **arguments))
    chosen_K = by_definition(np.exp(MODEL.sequence_log_prob(ALL_KT)), LOGITS["each its own"], 4, rule)
    reranked = Reranked(MODEL, judge(LOGITS["each its own"]), 4, rule)  # type: ignore[arg-type]
    rows = reranked.draw(4_750, seed=1)
    assert sizes == [2_000] * 9 + [1_000]
    counts_K = np.bincount(enumeration.sequence_index(SPEC, rows), minlength=len(chosen_K))
    assert stats.chisquare(counts_K, 4_750 * chosen_K).pvalue > 1e-4
    assert (rows[:500] != rows[500:1000]).any()
    np.testing.assert_array_equal(reranked.draw(4_750, seed=1), rows)


def test_the_chance_of_importance_takes_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    reference_R = np.linspace(-2, 2, 100)
    whole = reranking.log_gain_of_importance(reference_R, reference_R, 50)
    monkeypatch.setattr(reranking, "_CHUNK", 49 * 7)
    np.testing.assert_allclose(reranking.log_gain_of_importance(reference_R, reference_R, 50), whole, rtol=1e-12)


BAD: dict[str, tuple[Callable[[], object], str]] = {
    "no candidates": (lambda: Reranked(MODEL, judge(LOGITS["ties"]), 0), "n_candidates"),
    "more candidates than a likelihood can be told of": (
        lambda: Reranked(MODEL, judge(LOGITS["ties"]), MAX_CANDIDATES + 1),
        r"n_candidates must be a whole number in \[1, 10000\], got 10001",
    ),
    "more candidates on the command line": (lambda: reranking.choice(10**8, 1), r"best_of .* in \[1, 10000\], got 1"),
    "more candidates of the other rule": (lambda: reranking.choice(1, 10**8), r"resample .* in \[1, 10000\], got 1"),
    "no sequences": (lambda: Reranked(MODEL, judge(LOGITS["ties"]), 2).draw(0), "n must be .* at least 1, got 0"),
    "an unknown rule": (lambda: Reranked(MODEL, judge(LOGITS["ties"]), 2, "worst"), "rule"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_named(case: str) -> None:
    make, name = BAD[case]
    with pytest.raises(ValueError, match=name):
        make()
