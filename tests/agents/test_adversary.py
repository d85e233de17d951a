"""One round of the discriminator: which negatives it sees, what is measured on which, and who gets the weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

from agents import make_seqgan_vec_env
from agents.adversary import Adversary, RoundConfig, Sampler
from agents.history import NegativeHistory
from seqgan_env.discriminators import Discriminator, DiscriminatorTrainer
from seqgan_env.tokens import Tokens
from tests.support.agents import agent
from tests.support.builders import ORACLE
from tests.support.discriminators import SPEC, sequences, small
from tests.support.trainers import Spy

REAL, HELD_OUT = sequences(64, seed=1), sequences(40, seed=2)


class Drawn:
    """A sampler that remembers what it drew, and by which seed."""

    def __init__(self) -> None:
        self.seeds: list[int] = []
        self.rows: list[Tokens] = []

    def sample(self, n: int, *, seed: int = 0) -> Tokens:
        self.seeds.append(seed)
        self.rows.append(sequences(n, seed=seed % 1000))
        return self.rows[-1]


def adversary(seed: int = 0, push: Any = lambda discriminator: None, **config: Any) -> tuple[Adversary, Spy]:
    settings = RoundConfig(**{"n_generated": 16, "batch_size": 8, "n_held_out": 8, **config})
    spy = Spy(small(), settings.learning_rate, seed=0)
    return Adversary(spy, REAL, HELD_OUT, settings, seed=seed, push=push), spy


class TestNegatives:
    def test_of_a_sampler_are_drawn_at_once_with_those_to_measure_on(self) -> None:
        sampler, (ours, spy) = Drawn(), adversary()
        scores = ours.round(sampler)
        (rows,) = sampler.rows
        ((real, generated),) = spy.fitted
        ((held_out, fresh),) = spy.evaluated
        np.testing.assert_array_equal(real, REAL)
        np.testing.assert_array_equal(generated, rows[:16])
        np.testing.assert_array_equal(held_out, HELD_OUT[:8])
        np.testing.assert_array_equal(fresh, rows[16:])
        assert len(rows) == 24
        assert set(scores) == {"loss", "accuracy", "log_loss", "calibration_error"}

    def test_of_every_round_have_a_seed_of_their_own(self) -> None:
        def seeds(seed: int) -> list[int]:
            sampler, (ours, _) = Drawn(), adversary(seed)
            for _ in range(3):
                ours.round(sampler)
            return sampler.seeds

        assert seeds(0) == seeds(0)
        assert len({*seeds(0), *seeds(1)}) == 6

    def test_without_a_likelihood_cost_none_of_real_ones(self) -> None:
        asked: list[Tokens] = []
        settings = RoundConfig(n_generated=16, n_held_out=8)
        ours = Adversary(DiscriminatorTrainer(small()), REAL, HELD_OUT, settings, log_prob_real=asked.append)
        for negatives in (sequences(40, seed=3), Drawn()):
            assert "correlation" not in ours.round(negatives)
        assert not asked

    def test_that_are_given_are_measured_on_where_they_are_newest(self) -> None:
        ours, spy = adversary()
        rows = sequences(30, seed=3)
        ours.round(rows)
        ((_, generated),) = spy.fitted
        ((held_out, fresh),) = spy.evaluated
        np.testing.assert_array_equal(generated, rows[:24])  # a fifth of them is held out, and no more than was asked
        np.testing.assert_array_equal(fresh, rows[24:])
        np.testing.assert_array_equal(held_out, HELD_OUT[:6])
        ours.round(sequences(100, seed=3))
        assert [len(part) for part in (*spy.fitted[-1], *spy.evaluated[-1])] == [64, 92, 8, 8]

    def test_a_share_of_them_is_of_earlier_rounds_and_those_to_measure_on_are_new(self) -> None:
        settings = RoundConfig(n_generated=16, batch_size=8, n_held_out=8, history=0.5)
        spy, sampler = Spy(small(), settings.learning_rate, seed=0), Drawn()
        ours = Adversary(spy, REAL, HELD_OUT, settings, history=NegativeHistory(SPEC, 160, 0))
        for _ in range(3):
            ours.round(sampler)
        np.testing.assert_array_equal(spy.fitted[0][1], sampler.rows[0][:16])
        for i in (1, 2):
            generated = spy.fitted[i][1]
            np.testing.assert_array_equal(generated[8:], sampler.rows[i][8:16])
            earlier = np.concatenate([rows[:16] for rows in sampler.rows[:i]])
            assert {*map(tuple, generated[:8].tolist())} <= {*map(tuple, earlier.tolist())}
            np.testing.assert_array_equal(spy.evaluated[i][1], sampler.rows[i][16:])

    def test_measuring_draws_as_a_round_does_and_trains_nothing(self) -> None:
        (ours, spy), sampler = adversary(), Drawn()
        assert set(ours.measure(sampler)) == {"accuracy", "log_loss", "calibration_error"}
        assert len(sampler.rows[0]) == 8
        assert spy.fitted == []
        assert set(ours.measure(sequences(30, seed=3))) == {"accuracy", "log_loss", "calibration_error"}
        assert ours.measure(sequences(4, seed=3)) == {}
        assert adversary(n_held_out=0)[0].measure(sampler) == {}

    @pytest.mark.parametrize("negatives", [sequences(4, seed=3), sequences(30, seed=3), Drawn()])
    def test_are_all_trained_on_where_nothing_is_held_out(self, negatives: Any) -> None:
        ours, spy = adversary(n_held_out=0)
        assert set(ours.round(negatives)) == {"loss"}
        assert not spy.evaluated
        expected = negatives if isinstance(negatives, np.ndarray) else negatives.rows[0]
        np.testing.assert_array_equal(spy.fitted[0][1], expected)

    def test_must_be_there(self) -> None:
        pushed: list[Discriminator] = []
        ours, spy = adversary(push=pushed.append)
        with pytest.raises(ValueError, match="a training needs negatives, and no episode has finished yet"):
            ours.round(sequences(3)[:0])
        assert not spy.fitted
        assert not pushed


def test_the_weights_are_given_away_after_each_round() -> None:
    given: list[torch.Tensor] = []
    ours, spy = adversary(push=lambda discriminator: given.append(discriminator.output.weight.detach().clone()))
    for n in range(1, 3):
        ours.round(sequences(30, seed=3))
        assert len(given) == n
        assert torch.equal(given[-1], spy.discriminator.output.weight)
    assert not torch.equal(*given)


def test_goes_on_from_its_state_as_if_nothing_had_happened() -> None:
    through, before, after = (adversary(n_epochs=2)[0] for _ in range(3))
    scores = [through.round(Drawn()) for _ in range(4)]
    assert [before.round(Drawn()) for _ in range(2)] == scores[:2]
    after.load_state_dict(before.state_dict())
    assert [after.round(Drawn()) for _ in range(2)] == scores[2:]


def test_a_sampler_is_what_can_draw_sequences() -> None:
    assert isinstance(agent(), Sampler)
    env = make_seqgan_vec_env("SeqGAN-v0", 2, **ORACLE)
    assert not isinstance(PPO("MlpPolicy", env, n_steps=8, batch_size=16, device="cpu"), Sampler)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("n_generated", 0, "n_generated must be a whole number of at least 1, got 0"),
        ("n_epochs", 0.5, "n_epochs must be a whole number of at least 1, got 0.5"),
        ("batch_size", -1, "batch_size must be a whole number of at least 1, got -1"),
        ("learning_rate", 0.0, "learning_rate must be a finite number above 0 and at most 1000000, got 0.0"),
        ("n_held_out", -1, "n_held_out must be a whole number of at least 0, got -1"),
    ],
)
def test_settings_out_of_range_are_refused(name: str, value: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RoundConfig(**{name: value})  # type: ignore[arg-type]


class TestPatience:
    """A training that stops when the held-out log-loss no longer falls."""

    def test_keeps_the_best_pass_and_reports_it(self) -> None:
        ours, spy = adversary(n_epochs=50, patience=2, learning_rate=0.05, n_generated=32, n_held_out=32)
        scores = ours.round(Drawn())
        assert len(spy.fitted) < 50
        history = [DiscriminatorTrainer.evaluate(spy, *sets)["log_loss"] for sets in spy.evaluated[-1:]]
        assert scores["log_loss"] == pytest.approx(history[0])  # of the network as it is left
        assert scores["loss"] == scores["log_loss"]
        assert len(spy.evaluated) == len(spy.fitted) + 1  # before the first pass, and after each

    def test_needs_something_to_measure_on(self) -> None:
        with pytest.raises(ValueError, match="patience needs held-out sequences, got n_held_out 0"):
            RoundConfig(patience=1, n_held_out=0)
        with pytest.raises(ValueError, match="patience must be a whole number of at least 1 or None, got 0"):
            RoundConfig(patience=0)


def test_some_real_sequences_must_be_left() -> None:
    with pytest.raises(ValueError, match=r"^skip_real must leave real sequences to learn from, got 0\.999 of 64$"):
        adversary(skip_real=0.999)


def test_real_sequences_of_another_fold_are_skipped() -> None:
    ours, spy = adversary(skip_real=0.25)
    ours.round(Drawn())
    np.testing.assert_array_equal(spy.fitted[0][0], REAL[16:])
    for share in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match=r"skip_real must be a finite number in \[0, 1\), got"):
            RoundConfig(skip_real=share)
