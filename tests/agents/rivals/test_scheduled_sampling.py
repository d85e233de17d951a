"""Scheduled sampling: at its ends maximum likelihood and the loss on the model's own prefixes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
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
        trainer = trainer_class(generator, config, 0, total_epochs=3)
        loss = trainer.loss(tokens_BT, torch.Generator().manual_seed(0))
        found.append(reference.gradient_of(loss, list(generator.parameters())))
    torch.testing.assert_close(*found)


def test_the_settings_of_another_training_are_refused() -> None:
    with pytest.raises(ValueError, match="config must be ScheduledSamplingConfig, got LikelihoodConfig"):
        ScheduledSamplingTrainer(lstm(SPECS[0]), LikelihoodConfig())


@pytest.mark.theory
@pytest.mark.parametrize("epoch", [1, 2])
@pytest.mark.parametrize("spec", [SequenceSpec(3, 2), SequenceSpec(3, 2, 0)], ids=show)
def test_an_epoch_reads_what_the_model_draws_by_its_share(spec: SequenceSpec, epoch: int) -> None:
    """The mean loss is that over real and own first tokens, by enumeration, and not that of another share."""
    generator = lstm(spec, 1)
    trainer = ScheduledSamplingTrainer(generator, total_epochs=3)
    trainer.n_epochs, real_share = epoch, 1 - epoch / 2
    row = next(row for row in reference.sequences(spec) if len(row) == 2)
    next_token = reference.next_token_of(generator)
    first = -torch.log(next_token(())[row[0]])
    of_own = sum(p * -torch.log(next_token((a,))[row[1]]) for a, p in enumerate(next_token(())))
    of_real = -torch.log(next_token(row[:1])[row[1]])

    def expected(share: float) -> npt.NDArray[np.float64]:
        mean: torch.Tensor = (first + share * of_real + (1 - share) * of_own) / 2
        return mean.detach().numpy().reshape(1)

    many_BT = torch.from_numpy(reference.padded(spec, [row])).repeat(20, 1)
    rng = torch.Generator().manual_seed(0)
    losses_N1 = np.array([[float(trainer.loss(many_BT, rng).detach())] for _ in range(200)])
    for share in (0.0, 0.5, 1.0):
        (assert_mean if share == real_share else assert_not_mean)(losses_N1, expected(share))


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
