"""The generator as its own discriminator: where it has the distribution of the real sequences it stays there."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from agents.rivals import SelfAdversarialConfig, SelfAdversarialTrainer
from seqgan_env.tokens import SequenceSpec
from tests.support import reference
from tests.support.builders import lstm, show

SPECS = [SequenceSpec(3, 2), SequenceSpec(3, 3, 0)]


@pytest.mark.theory
@pytest.mark.parametrize("spec", SPECS, ids=show)
def test_the_maximum_of_the_objective_is_the_distribution_of_the_real_sequences(spec: SequenceSpec) -> None:
    """Eq. 13.32 by enumeration: at G = p its gradient is 0 whatever the old generator, and elsewhere it is not."""
    rows_KT = torch.from_numpy(reference.all_sequences(spec))
    for seed in (1, 2):
        generator, source = lstm(spec, seed), lstm(spec, 1)
        trainer = SelfAdversarialTrainer(generator)
        trainer.old.load_state_dict(lstm(spec, 3).state_dict())
        p_K, old_K = (m.log_prob(rows_KT).sum(dim=1).exp().detach() for m in (source, trainer.old))
        logit_K = trainer.logits(rows_KT)
        objective = (p_K * F.logsigmoid(logit_K) + old_K * F.logsigmoid(-logit_K)).sum()
        gradient = reference.gradient_of(objective, list(generator.parameters()))
        assert (gradient.abs().max() < 1e-8) == (seed == 1)


def test_the_loss_is_that_of_real_sequences_and_of_the_old_generator() -> None:
    spec = SPECS[1]
    trainer = SelfAdversarialTrainer(lstm(spec, 1))
    trainer.old.load_state_dict(lstm(spec, 3).state_dict())
    real_BT = torch.from_numpy(reference.all_sequences(spec))
    own_BT = trainer.old.sample(len(real_BT), torch.Generator().manual_seed(5))
    real_B, own_B = (torch.sigmoid(trainer.logits(each)) for each in (real_BT, own_BT))
    expected = -0.5 * (real_B.log().mean() + (1 - own_B).log().mean())
    assert trainer.loss(real_BT, torch.Generator().manual_seed(5)).item() == pytest.approx(expected.item())


def test_it_begins_each_epoch_at_chance_and_comes_nearer_to_the_real_sequences() -> None:
    spec = SPECS[1]
    source = lstm(spec, 7, scale=6.0)
    real = source.sample(1000, torch.Generator().manual_seed(0)).numpy()
    generator = lstm(spec, 1)
    before = generator.sequence_log_prob(real).mean()
    trainer = SelfAdversarialTrainer(
        generator, SelfAdversarialConfig(learning_rate=0.03, batch_size=250), total_epochs=12
    )
    losses = [trainer.epoch(real) for _ in range(12)]
    assert all(loss < math.log(2) + 0.05 for loss in losses)
    assert generator.sequence_log_prob(real).mean() > before + 0.3


def test_label_smoothing_is_refused() -> None:
    with pytest.raises(ValueError, match="label_smoothing must be 0 in self-adversarial learning"):
        SelfAdversarialConfig(label_smoothing=0.1)
