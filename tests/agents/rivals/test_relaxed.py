"""The reparametrised generator: its samples follow it, and their gradient is that of the relaxed ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from agents.rivals import RelaxedConfig, RelaxedTrainer
from seqgan_env.discriminators import DiscriminatorTrainer, build_discriminator
from seqgan_env.tokens import SequenceSpec
from tests.support import reference
from tests.support.builders import every_kind, lstm, make_generator, show
from tests.support.significance import assert_frequencies, counts_of
from tests.support.training import goes_on

SPECS = [SequenceSpec(3, 2), SequenceSpec(3, 3, 0)]
CNN = {"embedding_dim": 4, "filters": [[1, 8], [2, 8]]}


def trainer_of(
    spec: SequenceSpec, kind: str = "lstm", config: RelaxedConfig | None = None, seed: int = 1
) -> RelaxedTrainer:
    generator = make_generator(kind, spec, seed).float()
    discriminator = build_discriminator("cnn", spec, seed=seed, kwargs=CNN)
    return RelaxedTrainer(generator, DiscriminatorTrainer(discriminator, 0.01), config, total_epochs=5)


@pytest.mark.theory
@every_kind
@pytest.mark.parametrize("spec", SPECS, ids=show)
def test_samples_follow_the_generator(spec: SequenceSpec, kind: str) -> None:
    """Eq. 13.30: the largest of the logits with Gumbel noise is a draw from the softmax, whatever the temperature."""
    trainer = trainer_of(spec, kind)
    tokens_BT, one_hot_BTV = trainer.sample(4000, torch.Generator().manual_seed(0))
    rows_KT = reference.all_sequences(spec)
    assert_frequencies(counts_of(tokens_BT.numpy(), rows_KT), np.exp(trainer.generator.sequence_log_prob(rows_KT)))
    is_token_BT = spec.is_token(tokens_BT)
    assert torch.equal(one_hot_BTV.sum(dim=2).round(), is_token_BT.float())
    assert torch.equal(one_hot_BTV.argmax(dim=2)[is_token_BT], tokens_BT[is_token_BT])


@pytest.mark.theory
def test_the_gradient_is_that_of_the_relaxed_sample() -> None:
    """At one step: the derivative of the softmax of logits and noise over the temperature, arXiv 1611.01144."""
    trainer = trainer_of(SequenceSpec(4, 1), config=RelaxedConfig(temperature=0.7))
    value_V = torch.tensor([1.0, -2.0, 0.5, 3.0])
    sampled = trainer.sample(50, torch.Generator().manual_seed(3))
    bias = trainer.generator.output.bias
    (found_V,) = torch.autograd.grad((sampled.one_hot_BTV * value_V).sum(), bias)
    rng = torch.Generator().manual_seed(3)
    logits_BV = trainer.generator.output(trainer.generator.start(50)[0]).detach()
    noise_BV = -torch.empty_like(logits_BV).exponential_(generator=rng).log()
    relaxed_BV = ((logits_BV + noise_BV) / 0.7).softmax(dim=1)
    expected_V = (relaxed_BV * (value_V - (relaxed_BV * value_V).sum(dim=1, keepdim=True))).sum(dim=0) / 0.7
    torch.testing.assert_close(found_V, expected_V, rtol=1e-4, atol=1e-4)
    assert torch.equal(sampled.tokens_BT[:, 0], relaxed_BV.argmax(dim=1))


@pytest.mark.theory
def test_later_tokens_have_a_gradient_by_those_before() -> None:
    """The generator reads on from the relaxed sample: by the chain rule, with the Jacobian of its second step."""
    trainer, temperature = trainer_of(SequenceSpec(4, 2), config=RelaxedConfig(temperature=0.7)), 0.7
    generator, value_V, n = trainer.generator, torch.tensor([1.0, -2.0, 0.5, 3.0]), 6
    sampled = trainer.sample(n, torch.Generator().manual_seed(3))
    (found_V,) = torch.autograd.grad((sampled.one_hot_BTV[:, 1] * value_V).sum(), generator.output.bias)

    def second_logits(read_V: torch.Tensor) -> torch.Tensor:
        embedded_BE = read_V[None] @ generator.core.embedding.weight[:-1]
        return generator.output(generator.core.step_embedded(embedded_BE, generator.start(1))[0])[0]

    def slope(logits_V: torch.Tensor, noise_V: torch.Tensor) -> torch.Tensor:
        p_V = ((logits_V + noise_V) / temperature).softmax(dim=0)
        return (torch.diag(p_V) - torch.outer(p_V, p_V)) / temperature

    rng = torch.Generator().manual_seed(3)
    noise_TBV = [-torch.empty(n, 4).exponential_(generator=rng).log() for _ in range(2)]
    expected_V, direct_V = torch.zeros(4), torch.zeros(4)
    for b in range(n):
        read_V = F.one_hot(sampled.tokens_BT[b, 0], 4).float()
        first, second = generator.output(generator.start(1)[0])[0], second_logits(read_V)
        jacobian_VV = torch.autograd.functional.jacobian(second_logits, read_V)
        of_logits_V = slope(second, noise_TBV[1][b]) @ value_V
        direct_V += of_logits_V.detach()
        expected_V += (of_logits_V + slope(first, noise_TBV[0][b]) @ jacobian_VV.T @ of_logits_V).detach()
    torch.testing.assert_close(found_V, expected_V, rtol=1e-3, atol=1e-4)
    assert (expected_V - direct_V).abs().max() > 0.01  # by way of the first token


def test_it_goes_on_from_a_file_as_if_nothing_had_happened(tmp_path: Path) -> None:
    real = lstm(SPECS[1], 7).sample(300, torch.Generator().manual_seed(0)).numpy()
    whole, fresh = trainer_of(SPECS[1]), trainer_of(SPECS[1], seed=5)
    goes_on(whole, fresh, real, tmp_path / "state")
    of_whole, of_fresh = (each.discriminator.discriminator.state_dict() for each in (whole, fresh))
    assert all(torch.equal(weight, of_fresh[name]) for name, weight in of_whole.items())


def test_the_embedding_of_a_sample_is_that_of_its_tokens() -> None:
    """The discriminator judges it as it judges the same sequence by its ids."""
    trainer = trainer_of(SPECS[1])
    tokens_BT, one_hot_BTV = trainer.sample(30, torch.Generator().manual_seed(0))
    network = trainer.discriminator.discriminator
    embedded_BTE = one_hot_BTV @ network.embedding.weight[:-1]  # type: ignore[operator, union-attr, index]
    relaxed = network.from_embedded(embedded_BTE, SPECS[1].is_token(tokens_BT))  # type: ignore[operator]
    torch.testing.assert_close(relaxed, network(tokens_BT), rtol=1e-4, atol=1e-5)


def test_the_discriminator_learns_and_the_generator_follows_it() -> None:
    spec = SPECS[1]
    real = lstm(spec, 7, scale=6.0).sample(1000, torch.Generator().manual_seed(0)).numpy()
    trainer = trainer_of(spec, config=RelaxedConfig(learning_rate=0.03, batch_size=250))
    before = trainer.generator.sequence_log_prob(real).mean()
    for _ in range(5):
        trainer.epoch(real)
    assert trainer.temperature == pytest.approx(0.1)
    assert trainer.discriminator.n_updates == 5 * 4
    assert trainer.generator.sequence_log_prob(real).mean() > before + 0.2


def test_what_does_not_fit_is_refused() -> None:
    discriminator = DiscriminatorTrainer(build_discriminator("log_ratio", SPECS[0], seed=0))
    with pytest.raises(ValueError, match="must read embeddings, as the cnn does, got LogRatioDiscriminator"):
        RelaxedTrainer(lstm(SPECS[0]), discriminator)
    other = DiscriminatorTrainer(build_discriminator("cnn", SPECS[1], seed=0, kwargs=CNN))
    with pytest.raises(ValueError, match="the discriminator must be of"):
        RelaxedTrainer(lstm(SPECS[0]), other)
