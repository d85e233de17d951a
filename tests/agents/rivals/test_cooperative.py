"""Cooperative training: the divergence from the mediator in closed form, and a mediator of the mixture."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from agents.rivals import CooperativeConfig, CooperativeTrainer
from seqgan_env.autoregressive import AutoregressiveModel
from seqgan_env.tokens import SequenceSpec
from tests.support import reference
from tests.support.builders import lstm, show
from tests.support.training import goes_on

SPECS = [SequenceSpec(3, 2), SequenceSpec(3, 3, 0)]


@pytest.mark.theory
@pytest.mark.parametrize("n_mediators", [1, 3])
@pytest.mark.parametrize("spec", SPECS, ids=show)
def test_the_divergence_and_its_gradient_are_the_enumerated_ones(spec: SequenceSpec, n_mediators: int) -> None:
    """The sum over tokens of G log(G / M) after each prefix of a sequence, the prefix itself without a gradient.

    Of several mediators M is the mean of the probabilities.
    """
    generator, mediators = lstm(spec, 1), [lstm(spec, 2 + i) for i in range(n_mediators)]
    trainer = CooperativeTrainer(generator, mediator=mediators if n_mediators > 1 else mediators[0])
    next_token, others = reference.next_token_of(generator), [reference.next_token_of(each) for each in mediators]

    def mixed(prefix: tuple[int, ...]) -> Tensor:
        return torch.stack([other(prefix) for other in others]).mean(dim=0).detach()

    rows = reference.sequences(spec)[:3]
    terms = [
        (next_token(row[:t]) * (next_token(row[:t]) / mixed(row[:t])).log()).sum()
        for row in rows
        for t in range(len(row))
    ]
    expected, found = torch.stack(terms).mean(), trainer.divergence(torch.from_numpy(reference.padded(spec, rows)))
    assert found.item() == pytest.approx(expected.item())
    parameters = list(generator.parameters())
    torch.testing.assert_close(reference.gradient_of(found, parameters), reference.gradient_of(expected, parameters))


def test_generator_and_mediator_learn() -> None:
    """The generator comes nearer to the real sequences, and the mediator to the mixture of both, by enumeration."""
    spec = SPECS[1]
    source, generator, mediator = lstm(spec, 7, scale=6.0), lstm(spec, 1), lstm(spec, 2)
    rows_KT = torch.from_numpy(reference.all_sequences(spec))

    def divergence(p_K: Tensor, model: AutoregressiveModel) -> float:
        return float((p_K * (p_K.log() - model.log_prob(rows_KT).sum(dim=1).detach())).sum())

    p_K = source.log_prob(rows_KT).sum(dim=1).exp().detach()
    before = divergence(p_K, generator)
    config = CooperativeConfig(learning_rate=0.01, mediator_learning_rate=0.03, mediator_steps=2)
    trainer = CooperativeTrainer(generator, config, mediator=mediator, total_epochs=8)
    real = source.sample(1000, torch.Generator().manual_seed(0)).numpy()
    for _ in range(8):
        trainer.epoch(real)
    assert divergence(p_K, generator) < 0.25 * before
    mixture_K = (p_K + generator.log_prob(rows_KT).sum(dim=1).exp().detach()) / 2
    assert divergence(mixture_K, mediator) < 0.05


def test_every_mediator_learns_by_itself() -> None:
    """Its steps are those of one that is alone, its statistics included."""
    spec = SPECS[1]
    tokens_BT = torch.from_numpy(reference.all_sequences(spec))
    several, alone = [lstm(spec, 2), lstm(spec, 3)], [lstm(spec, 2), lstm(spec, 3)]
    trainers = [CooperativeTrainer(lstm(spec, 1), mediator=each) for each in (several, *alone)]
    for _ in range(3):
        for trainer in trainers:
            trainer.loss(tokens_BT, torch.Generator().manual_seed(0))
    for one, other in zip(several, alone, strict=True):
        assert all(torch.equal(weight, other.state_dict()[name]) for name, weight in one.state_dict().items())
        assert not torch.equal(one.output.weight, lstm(spec, 2).output.weight)


@pytest.mark.parametrize("n_mediators", [1, 2])
def test_it_goes_on_from_a_file_as_if_nothing_had_happened(n_mediators: int, tmp_path: Path) -> None:
    spec = SPECS[1]

    def trainer_of(seed: int) -> CooperativeTrainer:
        generator, *mediators = (lstm(spec, seed + i) for i in range(1 + n_mediators))
        return CooperativeTrainer(generator, CooperativeConfig(batch_size=9), mediator=mediators, total_epochs=3)

    goes_on(trainer_of(1), trainer_of(7), reference.all_sequences(spec), tmp_path / "state")


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="mediator must be a model or several, got none"):
        CooperativeTrainer(lstm(SPECS[0]), mediator=[])
    with pytest.raises(ValueError, match="the mediator must be of"):
        CooperativeTrainer(lstm(SPECS[0]), mediator=lstm(SPECS[1]))
    with pytest.raises(ValueError, match="label_smoothing must be 0 in cooperative training"):
        CooperativeConfig(label_smoothing=0.1)
