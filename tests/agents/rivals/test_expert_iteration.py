"""Expert iteration: the generator imitates the distribution that its discriminator makes of it by choosing."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
import torch

from agents.reranking import Reranked
from agents.rivals import ExpertIterationConfig, ExpertIterationTrainer
from seqgan_env.discriminators import DiscriminatorTrainer, TabularDiscriminator, build_discriminator
from seqgan_env.tokens import SequenceSpec
from tests.support import reference
from tests.support.builders import lstm

SPEC = SequenceSpec(3, 2, 0)
ROWS_KT = reference.all_sequences(SPEC)


def trainer_of(seed: int, logit_K: np.ndarray | None = None, **settings: object) -> ExpertIterationTrainer:
    """With a discriminator of the given logits that stays as it is, or a small one that learns."""
    if logit_K is None:
        kwargs = {"embedding_dim": 4, "filters": [[1, 8], [2, 8]]}
        discriminator = build_discriminator("cnn", SPEC, seed=0, kwargs=kwargs)
    else:
        discriminator = TabularDiscriminator(SPEC)
        with torch.no_grad():
            discriminator.table_K.copy_(torch.from_numpy(logit_K))
        discriminator.requires_grad_(False).eval()
    config = ExpertIterationConfig(**settings)  # type: ignore[arg-type]
    return ExpertIterationTrainer(lstm(SPEC, seed), DiscriminatorTrainer(discriminator, 0.01), config, total_epochs=8)


def probabilities(trainer: ExpertIterationTrainer) -> np.ndarray:
    return np.exp(trainer.generator.sequence_log_prob(ROWS_KT))


def chosen_by_definition(g_K: np.ndarray, logit_K: np.ndarray, n_candidates: int, rule: str) -> np.ndarray:
    """Every choice of candidates, and the one that is imitated, written out."""
    chosen_K = np.zeros(len(g_K))
    for candidates in itertools.product(range(len(g_K)), repeat=n_candidates):
        logit_N = logit_K[list(candidates)]
        weight_N = np.exp(logit_N) if rule == "importance" else (logit_N == logit_N.max()).astype(float)
        np.add.at(chosen_K, list(candidates), weight_N / weight_N.sum() * g_K[list(candidates)].prod())
    return chosen_K


@pytest.mark.theory
@pytest.mark.parametrize("rule", ["best", "importance"])
def test_the_loss_and_its_gradient_are_those_of_what_the_expert_draws(rule: str) -> None:
    """Eq. 13.34 by enumeration, with the distribution of the choice in the place of the real one."""
    logit_K = np.random.default_rng(0).normal(0, 2, len(ROWS_KT))
    trainer = trainer_of(1, logit_K, n_candidates=2, rule=rule)
    chosen_K = torch.from_numpy(chosen_by_definition(probabilities(trainer), logit_K, 2, rule))
    assert chosen_K.sum().item() == pytest.approx(1)
    rows_KT, n = torch.from_numpy(ROWS_KT), 20_000
    n_tokens = (chosen_K * SPEC.is_token(rows_KT).sum(dim=1)).sum()
    expected = -(chosen_K * trainer.generator.log_prob(rows_KT).sum(dim=1)).sum() / n_tokens
    found = trainer.loss(rows_KT[:1].expand(n, -1), torch.Generator().manual_seed(0))
    assert found.item() == pytest.approx(expected.item(), abs=0.01)
    parameters = list(trainer.generator.parameters())
    gradient, exact = (reference.gradient_of(each, parameters) for each in (found, expected))
    assert torch.cosine_similarity(gradient, exact, dim=0) > 0.95
    assert gradient.norm().item() == pytest.approx(exact.norm().item(), rel=0.15)


@pytest.mark.theory
def test_with_the_best_discriminator_the_choice_by_importance_stays_where_the_generator_is_real() -> None:
    """At G = p the maximiser of eq. 13.32 is indifferent, and the likelihood of G's own draws is greatest at G."""
    trainer = trainer_of(1, np.zeros(len(ROWS_KT)), rule="importance")
    loss = trainer.loss(torch.from_numpy(ROWS_KT[:1]).expand(20_000, -1), torch.Generator().manual_seed(0))
    assert reference.gradient_of(loss, list(trainer.generator.parameters())).norm() < 0.03


def test_repeated_it_goes_on_to_what_the_discriminator_likes() -> None:
    logit_K = np.random.default_rng(0).normal(0, 2, len(ROWS_KT))
    gains = []
    for n_candidates in (1, 4):
        trainer = trainer_of(1, logit_K, n_candidates=n_candidates, learning_rate=0.03, schedule="constant")
        first = probabilities(trainer) @ logit_K
        for _ in range(6):
            trainer.epoch(ROWS_KT[np.zeros(300, dtype=int)])
        gains.append(probabilities(trainer) @ logit_K - first)
    assert gains[1] > gains[0] + 1


def test_against_a_discriminator_that_learns_it_comes_nearer_to_real_sequences() -> None:
    real = lstm(SPEC, 7, scale=6.0).sample(600, torch.Generator().manual_seed(0)).numpy()
    trainer = trainer_of(1, rule="importance", learning_rate=0.03, batch_size=100)
    before = trainer.generator.sequence_log_prob(real).mean()
    for _ in range(6):
        trainer.epoch(real)
    assert trainer.discriminator.n_updates == 6 * 6
    assert trainer.generator.sequence_log_prob(real).mean() > before + 0.1


def test_the_expert_has_the_likelihoods_of_the_moment() -> None:
    trainer = trainer_of(1, n_candidates=2, learning_rate=0.3)
    first = trainer.expert.sequence_log_prob(ROWS_KT)
    trainer.epoch(ROWS_KT)
    other = Reranked(trainer.generator, trainer.discriminator.discriminator, 2)
    found = trainer.expert.sequence_log_prob(ROWS_KT)
    np.testing.assert_array_equal(found, other.sequence_log_prob(ROWS_KT))
    assert (found != first).any()


def test_it_goes_on_from_its_state() -> None:
    real = lstm(SPEC, 7).sample(100, torch.Generator().manual_seed(0)).numpy()
    whole, part = trainer_of(1), trainer_of(1)
    whole.epoch(real)
    state, weights = copy.deepcopy(whole.state_dict()), copy.deepcopy(whole.generator.state_dict())
    whole.epoch(real)
    part.generator.load_state_dict(weights)
    part.load_state_dict(state)
    part.epoch(real)
    for name, each in whole.generator.state_dict().items():
        assert torch.equal(each, part.generator.state_dict()[name])


def test_a_discriminator_of_other_sequences_is_refused() -> None:
    other = DiscriminatorTrainer(build_discriminator("cnn", SequenceSpec(4, 3), seed=0))
    with pytest.raises(ValueError, match="the discriminator must be of"):
        ExpertIterationTrainer(lstm(SPEC), other)
