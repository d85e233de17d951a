"""Distillation: a divergence from the mean of the teachers in closed form, at real prefixes and at own ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agents.rivals import DistillationConfig, DistillationTrainer
from seqgan_env.autoregressive import AutoregressiveModel
from seqgan_env.tokens import SequenceSpec
from tests.support import reference
from tests.support.builders import lstm, show
from tests.support.significance import assert_mean, assert_not_mean

SPECS = [SequenceSpec(3, 2), SequenceSpec(3, 3, 0)]


def kl(p_V: torch.Tensor, q_V: torch.Tensor) -> torch.Tensor:
    return sum(p * (p / q).log() for p, q in zip(p_V, q_V, strict=True))  # type: ignore[return-value]


DIVERGENCES = {
    "forward_kl": kl,
    "reverse_kl": lambda p_V, q_V: kl(q_V, p_V),
    "jensen_shannon": lambda p_V, q_V: kl(p_V, (p_V + q_V) / 2) / 2 + kl(q_V, (p_V + q_V) / 2) / 2,
}


@pytest.mark.theory
@pytest.mark.parametrize("name", DIVERGENCES)
@pytest.mark.parametrize("spec", SPECS, ids=show)
def test_the_loss_and_its_gradient_are_the_enumerated_ones(spec: SequenceSpec, name: str) -> None:
    """The mean is one of probabilities, after each prefix of a sequence."""
    generator, teachers = lstm(spec, 1), [lstm(spec, 2), lstm(spec, 3, scale=4.0)]
    trainer = DistillationTrainer(generator, teachers, DistillationConfig(divergence=name))
    next_token, taught = reference.next_token_of(generator), [reference.next_token_of(t) for t in teachers]
    rows = reference.sequences(spec)[:3]
    terms = [
        DIVERGENCES[name](sum(p(row[:t]) for p in taught).detach() / 2, next_token(row[:t]))
        for row in rows
        for t in range(len(row))
    ]
    expected, found = torch.stack(terms).mean(), trainer.divergence(torch.from_numpy(reference.padded(spec, rows)))
    assert found.item() == pytest.approx(expected.item())
    parameters = list(generator.parameters())
    torch.testing.assert_close(reference.gradient_of(found, parameters), reference.gradient_of(expected, parameters))


@pytest.mark.theory
@pytest.mark.parametrize("own_share", [0.0, 0.5, 1.0])
def test_some_prefixes_are_real_and_some_the_generator_s_own(own_share: float) -> None:
    """The mean loss is that over both kinds of prefix by their shares, by enumeration."""
    spec = SequenceSpec(3, 2)
    generator, teacher = lstm(spec, 1, scale=4.0), lstm(spec, 2, scale=4.0)
    trainer = DistillationTrainer(generator, [teacher], DistillationConfig(own_share=own_share))
    next_token, taught = reference.next_token_of(generator), reference.next_token_of(teacher)

    def divergence(prefix: tuple[int, ...]) -> float:
        return kl(taught(prefix), next_token(prefix)).item()

    of_own = sum(p.item() * divergence((a,)) for a, p in enumerate(next_token(())))
    real = (max(range(3), key=lambda a: abs(divergence((a,)) - of_own)), 0)
    second = own_share * of_own + (1 - own_share) * divergence(real[:1])
    rng, real_BT = torch.Generator().manual_seed(0), torch.tensor([real] * 20)
    losses_N1 = np.array([[float(trainer.loss(real_BT, rng).detach())] for _ in range(200)])
    assert_mean(losses_N1, np.array([(divergence(()) + second) / 2]))
    other = divergence(real[:1]) if own_share else of_own
    assert_not_mean(losses_N1, np.array([(divergence(()) + other) / 2]))


@pytest.mark.parametrize("dropout", [True, False])
def test_dropout_is_a_setting(dropout: bool) -> None:
    """Without it the loss at real prefixes is the divergence itself, whatever the noise."""
    spec = SPECS[0]
    generator = AutoregressiveModel(spec, "lstm", embedding_dim=3, hidden_dim=4, dropout=0.5)
    trainer = DistillationTrainer(generator, [lstm(spec, 2)], DistillationConfig(own_share=0.0, dropout=dropout))
    tokens_BT = torch.tensor([[0, 1], [2, 0]])
    noisy = trainer.loss(tokens_BT, torch.Generator().manual_seed(0))
    assert (noisy.item() == trainer.divergence(tokens_BT).item()) is not dropout


def test_the_generator_becomes_its_teacher() -> None:
    spec = SPECS[1]
    teacher, generator = lstm(spec, 7, scale=6.0), lstm(spec, 1)
    rows_KT = torch.from_numpy(reference.all_sequences(spec))
    real = rows_KT.repeat(20, 1).numpy()
    p_K = teacher.log_prob(rows_KT).sum(dim=1).exp().detach()

    def divergence() -> float:
        return float((p_K * (p_K.log() - generator.log_prob(rows_KT).sum(dim=1).detach())).sum())

    before = divergence()
    trainer = DistillationTrainer(generator, [teacher], DistillationConfig(learning_rate=0.03), total_epochs=8)
    weights = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    for _ in range(8):
        trainer.epoch(real)
    assert divergence() < 0.1 * before
    assert all(torch.equal(tensor, weights[name]) for name, tensor in teacher.state_dict().items())


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="the teachers must be of"):
        DistillationTrainer(lstm(SPECS[0]), [lstm(SPECS[1])])
    with pytest.raises(ValueError, match="teachers must be models, got none"):
        DistillationTrainer(lstm(SPECS[0]), [])
    with pytest.raises(ValueError, match="label_smoothing must be 0 in distillation"):
        DistillationConfig(label_smoothing=0.1)
    with pytest.raises(ValueError, match="divergence"):
        DistillationConfig(divergence="backward")
