"""What every discriminator does: logits of batches, without dropout and without side effects."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seqgan_env.discriminators import Discriminator
from tests.support.discriminators import SPEC, sequences, small


class TestLogits:
    @pytest.mark.parametrize("batch_size", [1, 3, 100])
    def test_the_batch_size_changes_nothing_but_the_last_bits(self, batch_size: int) -> None:
        tokens_BT = sequences(20)
        np.testing.assert_allclose(small().logits(tokens_BT, batch_size), small().logits(tokens_BT), rtol=1e-5)

    def test_there_is_no_dropout_and_the_mode_is_left_as_it_was(self) -> None:
        tokens_BT = sequences(20)
        discriminator = small(dropout=0.5)
        expected_B = discriminator.logits(tokens_BT)
        for mode in (True, False):
            discriminator.train(mode)
            np.testing.assert_array_equal(discriminator.logits(tokens_BT), expected_B)
            assert discriminator.training is mode

    def test_nothing_to_score(self) -> None:
        logits_B = small().logits(sequences(0))
        assert logits_B.shape == (0,)
        assert logits_B.dtype == np.float64
        with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
            small().logits(sequences(1), batch_size=0)

    def test_a_tensor_is_as_good_as_an_array(self) -> None:
        tokens_BT = sequences(5)
        np.testing.assert_array_equal(small().logits(torch.from_numpy(tokens_BT)), small().logits(tokens_BT))


def test_a_subclass_must_say_how_it_scores() -> None:
    with pytest.raises(NotImplementedError, match="Discriminator must implement forward"):
        Discriminator(SPEC).logits(sequences(1))
