"""Training against its objective."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from seqgan_env.discriminators import (
    LOSSES,
    CNNDiscriminator,
    Discriminator,
    DiscriminatorTrainer,
    EnsembleDiscriminator,
    build_discriminator,
    discriminator_scores,
)
from seqgan_env.tokens import Tokens
from tests.support.discriminators import SPEC, counting, sequences, small


class TestTraining:
    def test_an_update_reports_the_loss_before_it_and_goes_down_the_gradient(self) -> None:
        real_BT, generated_BT = torch.from_numpy(sequences(32)), torch.from_numpy(sequences(32, seed=1))
        discriminator = small(dropout=0.0)
        before = discriminator_scores(discriminator.logits(real_BT), discriminator.logits(generated_BT))["log_loss"]
        assert DiscriminatorTrainer(discriminator, 1e-3).update(real_BT, generated_BT) == pytest.approx(before)
        after = discriminator_scores(discriminator.logits(real_BT), discriminator.logits(generated_BT))["log_loss"]
        assert after < before
        assert not discriminator.training

    @pytest.mark.parametrize("part", ["loss", "penalty"])
    def test_an_update_that_is_interrupted_leaves_no_dropout(self, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupt(*_: Any) -> None:
            raise KeyboardInterrupt

        discriminator, tokens_BT = small(), torch.from_numpy(sequences(4))
        monkeypatch.setattr(discriminator, part, interrupt)
        with pytest.raises(KeyboardInterrupt):
            DiscriminatorTrainer(discriminator).update(tokens_BT, tokens_BT)
        assert not any(module.training for module in discriminator.modules())

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
            (3, 3, {"n_epochs": 0}, "n_epochs must be a whole number of at least 1, got 0"),
            (3, 3, {"batch_size": 0}, "batch_size must be a whole number of at least 1, got 0"),
        ],
    )
    def test_it_refuses(self, n_real: int, n_generated: int, kwargs: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            DiscriminatorTrainer(small()).fit(sequences(n_real), sequences(n_generated), **kwargs)


@pytest.mark.parametrize(
    ("kind", "learning_rate", "n_epochs", "kwargs"),
    [
        ("cnn", 1e-2, 4, {"embedding_dim": 8, "filters": [[1, 8], [2, 16]]}),
        ("gru", 1e-2, 4, {"embedding_dim": 8, "hidden_dim": 16}),
        ("causal", 1e-2, 4, {"embedding_dim": 8, "hidden_dim": 16}),
        ("transformer", 5e-3, 6, {"hidden_dim": 16, "n_heads": 2, "n_layers": 2}),
    ],
)
def test_it_learns_an_order_that_no_count_of_tokens_shows(
    kind: str, learning_rate: float, n_epochs: int, kwargs: dict[str, Any]
) -> None:
    """Real sequences count upwards, generated ones downwards; every token is as frequent in both.

    On 2,000 held-out sequences a discriminator that knows nothing has an accuracy of 0.5 with a standard deviation
    of 0.011: one of the three seeds passes 0.9 with a probability below 1e-200.
    """
    spec, real_BT, generated_BT = counting(2400)
    for seed in range(3):
        discriminator = build_discriminator(kind, spec, seed=seed, kwargs=kwargs)
        trainer = DiscriminatorTrainer(discriminator, learning_rate, seed=seed)
        trainer.fit(real_BT[:1400], generated_BT[:1400], n_epochs=n_epochs, batch_size=64)
        assert trainer.evaluate(real_BT[1400:], generated_BT[1400:])["accuracy"] > 0.9


class TestWeightDecay:
    def test_each_weight_shrinks_by_its_share_apart_from_the_gradient(self) -> None:
        """arXiv 1711.05101, algorithm 2: one update differs by ``learning_rate * weight_decay * w``, no more."""
        real_BT, generated_BT = torch.from_numpy(sequences(32)), torch.from_numpy(sequences(32, seed=1))
        before = dict(small().named_parameters())
        with_decay, without = small(), small()
        DiscriminatorTrainer(with_decay, 1e-2, weight_decay=0.5).update(real_BT, generated_BT)
        DiscriminatorTrainer(without, 1e-2).update(real_BT, generated_BT)
        for name, weight in with_decay.named_parameters():
            difference = weight - without.get_parameter(name)
            torch.testing.assert_close(difference, -1e-2 * 0.5 * before[name], rtol=1e-3, atol=1e-7)

    def test_none_is_adam_bit_for_bit(self) -> None:
        real_BT, generated_BT = torch.from_numpy(sequences(32)), torch.from_numpy(sequences(32, seed=1))
        ours, plain = small(dropout=0.0), small(dropout=0.0).train()
        trainer = DiscriminatorTrainer(ours, 1e-2, max_grad_norm=1e9, weight_decay=0.0)
        optimizer = torch.optim.Adam(plain.parameters(), lr=1e-2, fused=True)
        for _ in range(3):
            trainer.update(real_BT, generated_BT)
            optimizer.zero_grad()
            (plain.loss(real_BT, generated_BT) + plain.penalty()).backward()
            optimizer.step()
        assert all(map(torch.equal, ours.parameters(), plain.parameters()))

    @pytest.mark.parametrize("weight_decay", [-0.1, float("nan"), float("inf")])
    def test_it_refuses(self, weight_decay: float) -> None:
        with pytest.raises(ValueError, match="weight_decay must be a finite number of at least 0"):
            DiscriminatorTrainer(small(), weight_decay=weight_decay)


def often_a_one(n: int, seed: int) -> Tokens:
    """Sequences that begin with 1 more often than ``sequences`` do."""
    tokens_BT = sequences(n, seed)
    tokens_BT[: 2 * n // 5, 0] = np.where(tokens_BT[: 2 * n // 5, 0] == 0, 0, 1)
    return tokens_BT


class TestFitUntilStale:
    """On few sequences with little truth in them, so that what is learned is soon noise."""

    TRAIN = often_a_one(60, seed=0), sequences(60, seed=1)
    HELD_OUT = often_a_one(400, seed=2), sequences(400, seed=3)

    def trainer(self, seed: int = 0, learning_rate: float = 1e-2) -> DiscriminatorTrainer:
        kwargs = {"embedding_dim": 8, "filters": [[1, 16], [2, 32]], "l2": 0.0, "dropout": 0.5}
        network = build_discriminator("cnn", SPEC, seed=seed, kwargs=kwargs)
        return DiscriminatorTrainer(network, learning_rate, seed=3, weight_decay=0.1)

    def fit(self, trainer: DiscriminatorTrainer, **kwargs: Any) -> list[dict[str, float]]:
        arguments: dict[str, Any] = {"max_epochs": 12, "patience": 3, "batch_size": 16, **kwargs}
        return trainer.fit_until_stale(*self.TRAIN, *self.HELD_OUT, **arguments)

    def test_the_history_is_that_of_fit_and_the_best_epoch_is_restored(self) -> None:
        trainer, plain = self.trainer(), self.trainer()
        history = self.fit(trainer)
        log_losses, states = [plain.evaluate(*self.HELD_OUT)["log_loss"]], [copy.deepcopy(plain.state_dict())]
        for _ in history[1:]:
            plain.fit(*self.TRAIN, batch_size=16)
            log_losses.append(plain.evaluate(*self.HELD_OUT)["log_loss"])
            states.append(copy.deepcopy(plain.state_dict()))
        assert [scores["log_loss"] for scores in history] == log_losses
        best = int(np.argmin(log_losses))
        assert 0 < best == len(history) - 1 - 3  # it learned something, and then nothing for three epochs
        assert trainer.evaluate(*self.HELD_OUT) == history[best]
        found, expected = trainer.state_dict(), states[best]
        assert all(torch.equal(found["discriminator"][name], w) for name, w in expected["discriminator"].items())
        for i, moments in expected["optimizer"]["state"].items():
            assert all(torch.equal(found["optimizer"]["state"][i][name], value) for name, value in moments.items())
        assert found["n_updates"] == plain.n_updates
        assert "unfinished" not in found

    def test_what_only_does_harm_is_undone(self) -> None:
        trainer = self.trainer(learning_rate=1.0)
        before = copy.deepcopy(trainer.state_dict())
        history = self.fit(trainer, patience=2)
        assert len(history) == 3
        assert min(scores["log_loss"] for scores in history[1:]) > history[0]["log_loss"]
        assert all(torch.equal(before["discriminator"][k], v) for k, v in trainer.discriminator.state_dict().items())
        assert not trainer.optimizer.state_dict()["state"]
        assert trainer.n_updates == 8  # two epochs of four

    def test_there_is_a_last_epoch(self) -> None:
        n_calls: list[None] = []
        assert len(self.fit(self.trainer(), max_epochs=2, on_epoch=lambda: n_calls.append(None))) == 3
        assert len(n_calls) == 2

    @pytest.mark.parametrize("n_epochs", [1, 5, 7])
    def test_resuming_equals_going_on(self, n_epochs: int) -> None:
        """Interrupted after some epochs, before or after the best one, and taken up by another trainer."""
        whole, part = self.trainer(), self.trainer()
        expected = self.fit(whole)
        states: list[Any] = []

        class KilledError(Exception):
            pass

        def interrupt() -> None:
            states.append(copy.deepcopy(part.state_dict()))
            if len(states) == n_epochs:
                raise KilledError

        with pytest.raises(KilledError):
            self.fit(part, on_epoch=interrupt)
        resumed = self.trainer(seed=9)
        resumed.load_state_dict(states[-1])
        assert self.fit(resumed) == expected
        assert self.fit(part) == expected  # the interrupted one itself goes on too
        for other in (resumed, part):
            weights = other.discriminator.state_dict()
            assert all(torch.equal(weights[k], v) for k, v in whole.discriminator.state_dict().items())
            assert other.n_updates == whole.n_updates
            assert other.fit(*self.TRAIN) == copy.deepcopy(whole).fit(*self.TRAIN)

    @pytest.mark.parametrize("other", range(4))
    def test_with_other_sequences_it_begins_anew(self, other: int) -> None:
        """The round that comes after an interrupted one draws its own negatives, and is measured on others."""

        def interrupt() -> None:
            raise KeyboardInterrupt

        part, sets = self.trainer(), [*self.TRAIN, *self.HELD_OUT]
        with pytest.raises(KeyboardInterrupt):
            self.fit(part, on_epoch=interrupt)
        sets[other] = sets[other][::-1].copy()
        sets[other][0] = sequences(1, seed=99)[0]
        fresh, state = self.trainer(), copy.deepcopy(part.state_dict())
        del state["unfinished"]
        fresh.load_state_dict(state)
        assert part.fit_until_stale(*sets) == fresh.fit_until_stale(*sets)

    @pytest.mark.parametrize(
        ("kwargs", "message"),
        [
            ({"max_epochs": 0}, "max_epochs must be a whole number of at least 1, got 0"),
            ({"patience": 0}, "patience must be a whole number of at least 1, got 0"),
            ({"batch_size": 0}, "batch_size must be a whole number of at least 1, got 0"),
        ],
    )
    def test_it_refuses(self, kwargs: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            self.fit(self.trainer(), **kwargs)

    def test_there_must_be_something_to_measure_on(self) -> None:
        with pytest.raises(ValueError, match="the held-out sequences must be some of each kind, got 2 and 0"):
            self.trainer().fit_until_stale(*self.TRAIN, sequences(2), sequences(0))


class TestLossByName:
    @pytest.mark.parametrize("name", LOSSES)
    @pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
    def test_an_update_reports_it_and_lowers_it(self, name: str, label_smoothing: float) -> None:
        real_BT, generated_BT = torch.from_numpy(sequences(32)), torch.from_numpy(sequences(32, seed=1))
        discriminator, entry = small(dropout=0.0), LOSSES[name]
        more = {"label_smoothing": label_smoothing * entry.has_labels}
        more["gradient_penalty"] = 0.1 * entry.needs_gradient_penalty
        trainer = DiscriminatorTrainer(discriminator, 1e-3, loss=name, **more)
        losses = []
        for _ in range(2):
            logit_real_B, logit_generated_B = (
                discriminator.tensor_logits(real_BT),
                discriminator.tensor_logits(generated_BT),
            )
            losses.append(float(entry.function(logit_real_B, logit_generated_B, more["label_smoothing"])))
            assert trainer.update(real_BT, generated_BT).item() == pytest.approx(losses[-1], rel=1e-5, abs=1e-6)
        assert losses[1] < losses[0]

    def test_the_members_of_an_ensemble_learn_it_too(self) -> None:
        kwargs = {"kwargs": {"embedding_dim": 4, "filters": [[1, 2]], "dropout": 0.0}}
        real_1T, generated_1T = torch.from_numpy(sequences(1)), torch.from_numpy(sequences(1, seed=1))  # no bootstrap
        ensemble = build_discriminator("ensemble", SPEC, kwargs=kwargs)
        assert isinstance(ensemble, EnsembleDiscriminator)
        expected = [
            float(
                LOSSES["hinge"].function(
                    torch.from_numpy(member.logits(real_1T)), torch.from_numpy(member.logits(generated_1T)), 0
                )
            )
            for member in ensemble.members
            if isinstance(member, Discriminator)
        ]
        loss = DiscriminatorTrainer(ensemble, loss="hinge").update(real_1T, generated_1T)
        assert loss.item() == pytest.approx(sum(expected) / 3, rel=1e-5)

    def test_a_loss_of_the_network_s_own_takes_no_other(self) -> None:
        class Own(CNNDiscriminator):
            def loss(  # type: ignore[override]
                self, real_BT: Tensor, generated_BT: Tensor, rng: torch.Generator | None = None
            ) -> Tensor:
                loss: Tensor = (self(generated_BT, rng) - self(real_BT, rng)).mean()
                return loss

        network = Own(SPEC)
        assert (
            DiscriminatorTrainer(network).update(*(torch.from_numpy(sequences(4, seed)) for seed in (0, 1))).isfinite()
        )
        with pytest.raises(
            ValueError, match=r"the loss of a Own is its own, got loss 'hinge' and label_smoothing 0\.0"
        ):
            DiscriminatorTrainer(network, loss="hinge")

    @pytest.mark.parametrize(
        ("kwargs", "message"),
        [
            ({"loss": "focal"}, "loss must be one of logistic, .*relativistic; got 'focal'"),
            ({"loss": "wasserstein"}, "the loss 'wasserstein' needs a gradient_penalty above 0, such as 10; got 0"),
            ({"gradient_penalty": -1.0}, "gradient_penalty must be a finite number of at least 0, got -1.0"),
            ({"loss": "wasserstein", "label_smoothing": 0.1, "gradient_penalty": 10.0}, "label_smoothing must be 0"),
            ({"label_smoothing": 0.5}, r"label_smoothing must be a finite number in \[0, 0.5\), got 0.5"),
            ({"label_smoothing": -0.1}, r"label_smoothing must be a finite number in \[0, 0.5\), got -0.1"),
        ],
    )
    def test_it_refuses(self, kwargs: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            DiscriminatorTrainer(small(), **kwargs)
