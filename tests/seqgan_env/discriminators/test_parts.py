"""The parts that several networks share."""

from __future__ import annotations

import torch
from scipy import stats

from seqgan_env.discriminators.parts import without_empty_columns
from seqgan_env.dropout import dropout
from seqgan_env.tokens import SequenceSpec


class TestDropout:
    def test_it_keeps_three_in_four_and_the_mean(self) -> None:
        """A right implementation fails for one seed in a thousand."""
        x = torch.full((400, 250), 3.0)
        dropped = dropout(x, 0.25, torch.Generator().manual_seed(0))
        kept = dropped != 0
        torch.testing.assert_close(dropped[kept], (x / 0.75)[kept])
        assert stats.binomtest(int(kept.sum()), kept.numel(), 0.75).pvalue > 1e-3


def test_columns_that_every_sequence_lacks_are_left_out() -> None:
    spec = SequenceSpec(3, 4, eos_id=0)
    tokens_BT = torch.tensor([[1, 0, 3, 3], [0, 3, 3, 3]])
    assert without_empty_columns(spec, tokens_BT).tolist() == [[1, 0], [0, 3]]
    assert without_empty_columns(spec, torch.full((2, 4), 3)).tolist() == [[3], [3]]
    assert without_empty_columns(spec, torch.ones(0, 4, dtype=torch.int64)).shape == (0, 1)
    full_BT = torch.ones(2, 4, dtype=torch.int64)
    assert torch.equal(without_empty_columns(spec, full_BT), full_BT)
