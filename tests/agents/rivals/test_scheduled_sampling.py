"""Scheduled sampling: at its ends maximum likelihood and the loss on the model's own prefixes."""

from __future__ import annotations

import pytest
import torch

from agents.rivals import ScheduledSamplingConfig, ScheduledSamplingTrainer
from seqgan_env.autoregressive import LikelihoodConfig, MaximumLikelihoodTrainer
from seqgan_env.tokens import SequenceSpec
from tests.support import reference
from tests.support.builders import every_kind, lstm, make_generator, show
from tests.support.significance import assert_mean, assert_not_mean

SPECS = [SequenceSpec(3, 3), SequenceSpec(3, 3, 0), SequenceSpec(4, 1)]


@every_kind
@pytest.mark.parametrize("spec", SPECS, ids=show)
def test_where_all_that_is_read_is_real_it_is_maximum_likelihood(spec: SequenceSpec, kind: str) -> None:
    tokens_BT = torch.from_numpy(reference.all_sequences(spec))
    found = []
    for trainer_class, config in (
        (ScheduledSamplingTrainer, ScheduledSamplingConfig(final_real_share=1.0)),
        (MaximumLikelihoodTrainer, LikelihoodConfig()),
    ):
        generator = make_generator(kind, spec)
        trainer = trainer_class(generator, config, 0, total_epochs=3)  # type: ignore[arg-type]
        loss = trainer.loss(tokens_BT, torch.Generator().manual_seed(0))
        found.append(reference.gradient_of(loss, list(generator.parameters())))
    torch.testing.assert_close(*found)


@pytest.mark.theory
@pytest.mark.parametrize("spec", [SequenceSpec(3, 2), SequenceSpec(3, 2, 0)], ids=show)
def test_the_last_epoch_reads_what_the_model_draws(spec: SequenceSpec) -> None:
    """The mean loss is that over the model's own first tokens, by enumeration, and not that over the real ones."""
    generator = lstm(spec, 1)
    trainer = ScheduledSamplingTrainer(generator, total_epochs=3)
    trainer.n_epochs = 2
    row = next(row for row in reference.sequences(spec) if len(row) == 2)
    next_token = reference.next_token_of(generator)
    first = -torch.log(next_token(())[row[0]])
    of_own = sum(p * -torch.log(next_token((a,))[row[1]]) for a, p in enumerate(next_token(())))
    many_BT = torch.from_numpy(reference.padded(spec, [row])).repeat(20, 1)
    rng = torch.Generator().manual_seed(0)
    losses = [[float(trainer.loss(many_BT, rng).detach())] for _ in range(200)]
    assert_mean(torch.tensor(losses).double().numpy(), ((first + of_own) / 2).detach().numpy().reshape(1))
    of_real = (first - torch.log(next_token(row[:1])[row[1]])) / 2
    assert_not_mean(torch.tensor(losses).double().numpy(), of_real.detach().numpy().reshape(1))


def test_the_share_of_real_tokens_falls_to_its_last_value() -> None:
    trainer = ScheduledSamplingTrainer(lstm(SequenceSpec(3, 3, 0)), ScheduledSamplingConfig(final_real_share=0.4), 0)
    trainer.total_epochs, shares = 4, []
    tokens_BT = torch.from_numpy(reference.all_sequences(SequenceSpec(3, 3, 0))).repeat(200, 1)
    for epoch in range(5):
        trainer.n_epochs = epoch
        shares.append(trainer.real_share)
        mixed_BT = trainer.mixed(tokens_BT, torch.Generator().manual_seed(epoch))
        assert torch.equal(mixed_BT == 3, tokens_BT == 3)
    assert shares == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.4])
