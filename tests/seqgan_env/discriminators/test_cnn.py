"""The CNN against a plain form, its dropout, and its precision."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from seqgan_env.discriminators import (
    PAPER_FILTERS,
    CNNConfig,
    CNNDiscriminator,
    DiscriminatorTrainer,
    build_discriminator,
)
from seqgan_env.tokens import SequenceSpec
from tests.support.discriminators import SPEC, sequences, small
from tests.support.reference_env import cnn_logit


class TestCNN:
    def test_the_paper_s_table(self) -> None:
        """arXiv 1609.05473, appendix A: 1,720 filters for T = 20."""
        discriminator = CNNDiscriminator(SequenceSpec(50, 20))
        shapes = [tuple(p.shape) for name, p in discriminator.convolutions.named_parameters() if "weight" in name]
        assert shapes == [(count, 64, width) for width, count in PAPER_FILTERS]
        assert [count for width, count in PAPER_FILTERS] == [100] + [200] * 4 + [100] * 5 + [160] * 2
        assert [width for width, count in PAPER_FILTERS] == [*range(1, 11), 15, 20]
        assert discriminator.output.in_features == 1720

    @pytest.mark.parametrize(("max_length", "n_filters"), [(1, 100), (4, 700), (10, 1400), (19, 1560), (20, 1720)])
    def test_widths_above_t_are_left_out(self, max_length: int, n_filters: int) -> None:
        assert CNNDiscriminator(SequenceSpec(50, max_length)).output.in_features == n_filters

    def test_it_is_its_definition(self) -> None:
        discriminator = small()
        tokens_BT = sequences(20)
        weights = {name: tensor.numpy() for name, tensor in discriminator.state_dict().items()}
        expected_B = [cnn_logit(weights, row) for row in tokens_BT.tolist()]
        assert np.std(expected_B) > 0.01
        np.testing.assert_allclose(discriminator.logits(tokens_BT), expected_B, rtol=1e-5)

    def test_gate_and_transform_have_parameters_of_their_own(self) -> None:
        discriminator = small()
        tokens_BT = sequences(20)
        logits_B = discriminator.logits(tokens_BT)
        for name, other_name in (("gate", "transform"), ("transform", "gate")):
            changed = copy.deepcopy(discriminator)
            own, other = changed.get_submodule(name), changed.get_submodule(other_name)
            before = [p.clone() for p in other.parameters()]
            with torch.no_grad():
                for p in own.parameters():
                    p.add_(1.0)
            assert all(map(torch.equal, other.parameters(), before))
            assert (changed.logits(tokens_BT) != logits_B).any()

    @pytest.mark.parametrize(
        ("kwargs", "message"),
        [
            ({"embedding_dim": 0}, "embedding_dim must be a whole number of at least 1, got 0"),
            ({"filters": [[0, 4]]}, r"filters\[0\]\[0\] must be a whole number of at least 1, got"),
            ({"filters": [[2, 0]]}, r"filters\[0\]\[1\] must be a whole number of at least 1, got"),
            ({"filters": [[7, 4]]}, "filters must hold a width of at most T = 6"),
            ({"filters": []}, "filters must hold a width of at most T = 6"),
            ({"dropout": 1.0}, r"dropout must be a finite number in \[0, 1\), got"),
            ({"dropout": -0.1}, r"dropout must be a finite number in \[0, 1\)"),
            ({"dropout": float("nan")}, r"dropout must be a finite number in \[0, 1\)"),
            ({"l2": -1.0}, "l2 must be a finite number of at least 0, got"),
            ({"l2": float("nan")}, "l2 must be a finite number of at least 0, got"),
        ],
    )
    def test_it_refuses(self, kwargs: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            CNNDiscriminator(SPEC, CNNConfig(**kwargs))

    def test_padding_says_nothing_and_never_learns_to(self) -> None:
        discriminator = small()
        assert (discriminator.embedding.weight[SPEC.pad_id] == 0).all()
        before = discriminator.embedding.weight.clone()
        DiscriminatorTrainer(discriminator, 0.1).fit(sequences(64), sequences(64, seed=1), n_epochs=3)
        assert (discriminator.embedding.weight[SPEC.pad_id] == 0).all()
        assert (discriminator.embedding.weight[: SPEC.vocab_size] != before[: SPEC.vocab_size]).any(dim=1).all()


class TestScorer:
    @pytest.mark.parametrize("name", ["fixed length", "variable length"])
    def test_the_tables_of_frozen_convolutions_score_as_forward_does(self, name: str) -> None:
        """``scorer`` for many sequences is another sum of the same terms; for few it is ``forward`` itself."""
        spec = SequenceSpec(9, 6, eos_id=None if name == "fixed length" else 0)
        network = build_discriminator("cnn", spec, seed=3, kwargs={"filters": [[1, 5], [2, 4], [4, 3], [6, 2]]})
        rng = np.random.default_rng(0)
        tokens_BT = rng.integers(0, 9, size=(50, 6))
        if spec.eos_id is not None:
            ended_BT = np.cumsum(tokens_BT == 0, axis=1) - (tokens_BT == 0) > 0
            tokens_BT[ended_BT] = spec.pad_id
        assert network.scorer(1) is network
        tables = network.scorer(50)
        assert tables is not network
        with torch.no_grad():
            batch = torch.from_numpy(tokens_BT)
            torch.testing.assert_close(tables(batch), network(batch), rtol=1e-5, atol=1e-6)


class TestMediumPrecision:
    @pytest.fixture(autouse=True)
    def _restored(self) -> Iterator[None]:
        before = torch.get_float32_matmul_precision()
        yield
        torch.set_float32_matmul_precision(before)

    def test_scores_are_nearly_those_of_single_precision(self) -> None:
        discriminator = CNNDiscriminator(SequenceSpec(50, 20))
        tokens_BT = torch.randint(0, 50, (300, 20), generator=torch.Generator().manual_seed(0))
        logits = {}
        for precision in ("highest", "high", "medium"):
            torch.set_float32_matmul_precision(precision)
            logits[precision] = discriminator.logits(tokens_BT)
            np.testing.assert_allclose(discriminator.exact_logits(tokens_BT), logits["highest"], atol=1e-5)
        assert (logits["high"] == logits["highest"]).all()  # a CPU has nothing in between
        error_B = logits["medium"] - logits["highest"]
        assert 1e-5 < np.abs(error_B).max() < 0.02
        assert np.abs(error_B).mean() < 0.02 * logits["highest"].std()

    def test_training_is_in_single_precision(self) -> None:
        real_BT, generated_BT = torch.from_numpy(sequences(32)), torch.from_numpy(sequences(32, seed=1))
        losses = []
        for precision in ("highest", "medium"):
            torch.set_float32_matmul_precision(precision)
            losses.append(DiscriminatorTrainer(small(), 1e-2).update(real_BT, generated_BT))
        assert losses[0] == losses[1]


class TestDropout:
    def test_the_generator_decides_it(self) -> None:
        discriminator = small(dropout=0.5).train()
        tokens_BT = torch.from_numpy(sequences(20))

        def logits(seed: int) -> Tensor:
            logit_real_B: Tensor = discriminator(tokens_BT, torch.Generator().manual_seed(seed))
            return logit_real_B.detach()

        before = torch.get_rng_state()
        assert torch.equal(logits(0), logits(0))
        assert not torch.equal(logits(0), logits(1))
        assert torch.equal(torch.get_rng_state(), before)
