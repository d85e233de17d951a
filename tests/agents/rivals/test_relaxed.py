"""The reparametrised generator: its samples follow it, and their gradient is that of the relaxed ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agents.rivals import RelaxedConfig, RelaxedTrainer
from seqgan_env.discriminators import DiscriminatorTrainer, build_discriminator
from seqgan_env.tokens import SequenceSpec
from tests.support import reference
from tests.support.builders import every_kind, lstm, make_generator, show
from tests.support.significance import assert_frequencies, counts_of

SPECS = [SequenceSpec(3, 2), SequenceSpec(3, 3, 0)]
CNN = {"embedding_dim": 4, "filters": [[1, 8], [2, 8]]}


def trainer_of(spec: SequenceSpec, kind: str = "lstm", config: RelaxedConfig | None = None) -> RelaxedTrainer:
    generator = make_generator(kind, spec, 1).float()
    discriminator = build_discriminator("cnn", spec, seed=0, kwargs=CNN)
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


def test_later_tokens_have_a_gradient_by_those_before() -> None:
    """The generator reads on from the relaxed sample: its first token moves the later ones."""
    trainer = trainer_of(SPECS[0])
    sampled = trainer.sample(20, torch.Generator().manual_seed(0))
    weight = trainer.generator.core.embedding.weight
    (gradient,) = torch.autograd.grad(sampled.one_hot_BTV[:, 1, 0].sum(), weight)
    assert gradient[:-1].abs().max() > 1e-4


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
