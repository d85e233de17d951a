"""Training against its objective."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from seqgan_env.discriminators import (
    DiscriminatorTrainer,
    build_discriminator,
    discriminator_loss,
    discriminator_scores,
)
from tests.support.discriminators import counting, sequences, small
from tests.support.reference_env import log_loss


class TestLoss:
    @pytest.mark.theory
    @given(
        real=st.lists(st.floats(-15, 15), min_size=1, max_size=6),
        generated=st.lists(st.floats(-15, 15), min_size=1, max_size=6),
    )
    def test_it_is_half_of_minus_eq_13_32_and_so_is_its_gradient(
        self, real: list[float], generated: list[float]
    ) -> None:
        logit_real_B = torch.tensor(real, dtype=torch.float64, requires_grad=True)
        logit_generated_B = torch.tensor(generated, dtype=torch.float64, requires_grad=True)
        loss = discriminator_loss(logit_real_B, logit_generated_B)
        assert loss.item() == pytest.approx(log_loss(real, generated), rel=1e-6)
        loss.backward()
        # d/dx of -log D is D - 1, of -log(1 - D) it is D
        d_real, d_generated = torch.sigmoid(logit_real_B.detach()), torch.sigmoid(logit_generated_B.detach())
        torch.testing.assert_close(logit_real_B.grad, 0.5 * (d_real - 1) / len(real))
        torch.testing.assert_close(logit_generated_B.grad, 0.5 * d_generated / len(generated))

    def test_knowing_nothing_costs_log_2(self) -> None:
        assert float(discriminator_loss(torch.zeros(3), torch.zeros(5))) == pytest.approx(math.log(2))

    def test_it_stays_finite(self) -> None:
        far = torch.tensor([1e4, -1e4])
        assert float(discriminator_loss(far, far)) == pytest.approx(5e3)

    @given(
        real=st.lists(st.integers(-3, 3), min_size=1, max_size=6),
        generated=st.lists(st.integers(-3, 3), min_size=1, max_size=6),
    )
    def test_scores_are_counted_one_by_one(self, real: list[int], generated: list[int]) -> None:
        def right(logit_for: int) -> float:
            return 0.5 if logit_for == 0 else float(logit_for > 0)

        accuracy = 0.5 * sum(map(right, real)) / len(real)
        accuracy += 0.5 * sum(right(-logit) for logit in generated) / len(generated)
        scores = discriminator_scores(np.array(real, dtype=float), np.array(generated, dtype=float))
        assert scores == pytest.approx({"accuracy": accuracy, "log_loss": log_loss(real, generated)})
        assert all(type(value) is float for value in scores.values())


class TestTraining:
    def test_an_update_reports_the_loss_before_it_and_goes_down_the_gradient(self) -> None:
        real_BT, generated_BT = torch.from_numpy(sequences(32)), torch.from_numpy(sequences(32, seed=1))
        discriminator = small(dropout=0.0)
        before = discriminator_scores(discriminator.logits(real_BT), discriminator.logits(generated_BT))["log_loss"]
        assert DiscriminatorTrainer(discriminator, 1e-3).update(real_BT, generated_BT) == pytest.approx(before)
        after = discriminator_scores(discriminator.logits(real_BT), discriminator.logits(generated_BT))["log_loss"]
        assert after < before
        assert not discriminator.training

    def test_the_penalty_is_trained_on_but_not_reported(self) -> None:
        real_BT = torch.from_numpy(sequences(32))
        losses, norms = [], []
        for l2 in (0.0, 50.0):
            discriminator = small(dropout=0.0, l2=l2)
            losses.append(DiscriminatorTrainer(discriminator, 1e-2).update(real_BT, real_BT))
            norms.append(discriminator.output.weight.norm().item())
        assert losses[0] == losses[1]
        assert norms[1] < norms[0]

    def test_the_gradient_is_clipped(self) -> None:
        discriminator = small()
        trainer = DiscriminatorTrainer(discriminator, max_grad_norm=1e-3)
        trainer.update(torch.from_numpy(sequences(32)), torch.from_numpy(sequences(32, seed=1)))
        norm = torch.stack([p.grad.norm() for p in discriminator.parameters() if p.grad is not None]).norm()
        assert float(norm) == pytest.approx(1e-3, rel=1e-3)

    def test_an_epoch_sees_each_generated_sequence_once_beside_as_many_real_ones(self) -> None:
        seen: list[tuple[Tensor, Tensor]] = []

        class Recording(DiscriminatorTrainer):
            def update(self, real_BT: Tensor, generated_BT: Tensor) -> Tensor:
                seen.append((real_BT, generated_BT))
                return super().update(real_BT, generated_BT)

        numbered = np.array([[1 + i // 64 % 4, 1 + i // 16 % 4, 1 + i // 4 % 4, 1 + i % 4, 1, 1] for i in range(50)])
        n_calls: list[None] = []
        trainer = Recording(small())
        trainer.fit(sequences(7), numbered, n_epochs=2, batch_size=16, on_update=lambda: n_calls.append(None))
        assert [len(generated) for _, generated in seen] == [16, 16, 16, 2] * 2
        assert [len(real) for real, _ in seen] == [16, 16, 16, 2] * 2
        assert len(n_calls) == trainer.n_updates == 8
        epochs = [torch.cat([generated for _, generated in seen[i : i + 4]]).tolist() for i in (0, 4)]
        assert sorted(epochs[0]) == sorted(epochs[1]) == numbered.tolist()
        assert epochs[0] != epochs[1] != numbered.tolist()

    def test_the_same_seed_gives_the_same_weights_bit_for_bit(self) -> None:
        def trained(seed: int) -> dict[str, Tensor]:
            trainer = DiscriminatorTrainer(small(dropout=0.5), 1e-2, seed=seed)
            torch.rand(3)  # what others draw makes no difference
            trainer.fit(sequences(40), sequences(50, seed=1), n_epochs=2, batch_size=16)
            return trainer.discriminator.state_dict()

        first, again, other = trained(0), trained(0), trained(1)
        assert all(torch.equal(first[name], again[name]) for name in first)
        assert not torch.equal(first["output.weight"], other["output.weight"])

    def test_resuming_equals_going_on(self) -> None:
        data = sequences(40), sequences(50, seed=1)
        whole = DiscriminatorTrainer(small(dropout=0.5), 1e-2, seed=3)
        losses = [whole.fit(*data, batch_size=16) for _ in range(3)]
        part = DiscriminatorTrainer(small(dropout=0.5), 1e-2, seed=3)
        assert part.fit(*data, batch_size=16) == losses[0]
        state = copy.deepcopy(part.state_dict())
        part.fit(*data, batch_size=16)  # what happens to the interrupted one afterwards doesn't matter
        resumed = DiscriminatorTrainer(small(seed=9, dropout=0.5), 1e-2, seed=3)
        resumed.load_state_dict(state)
        assert [resumed.fit(*data, batch_size=16) for _ in range(2)] == losses[1:]
        assert resumed.n_updates == whole.n_updates
        expected, weights = whole.discriminator.state_dict(), resumed.discriminator.state_dict()
        assert all(torch.equal(expected[name], weights[name]) for name in expected)

    @pytest.mark.parametrize(
        ("n_real", "n_generated", "kwargs", "message"),
        [
            (0, 3, {}, "real and generated must hold sequences, got 0 and 3"),
            (3, 0, {}, "real and generated must hold sequences, got 3 and 0"),
            (3, 3, {"n_epochs": 0}, "n_epochs and batch_size must be at least 1, got 0 and 64"),
            (3, 3, {"batch_size": 0}, "n_epochs and batch_size must be at least 1, got 1 and 0"),
        ],
    )
    def test_it_refuses(self, n_real: int, n_generated: int, kwargs: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            DiscriminatorTrainer(small()).fit(sequences(n_real), sequences(n_generated), **kwargs)

    def test_it_learns_an_order_that_no_count_of_tokens_shows(self) -> None:
        """Real sequences count upwards, generated ones downwards; every token is as frequent in both.

        On 2,000 held-out sequences a discriminator that knows nothing has an accuracy of 0.5 with a standard deviation
        of 0.011: one of the three seeds passes 0.9 with a probability below 1e-200.
        """
        spec, real_BT, generated_BT = counting(2400)
        for seed in range(3):
            kwargs = {"embedding_dim": 8, "filters": [[1, 8], [2, 16]]}
            trainer = DiscriminatorTrainer(build_discriminator("cnn", spec, seed=seed, kwargs=kwargs), 1e-2, seed=seed)
            trainer.fit(real_BT[:1400], generated_BT[:1400], n_epochs=4, batch_size=64)
            assert trainer.evaluate(real_BT[1400:], generated_BT[1400:])["accuracy"] > 0.9
