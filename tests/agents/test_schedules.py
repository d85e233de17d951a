"""When the discriminator is trained: a schedule decides, before each collection, and is told how the game stands."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm

from agents import DiscriminatorCallback, make_seqgan_vec_env
from agents.adversary import Adversary
from agents.schedules import AccuracyBand, Decision, EveryEpisodes, EverySteps, GameStatus, Never
from tests.support.agents import N_STEPS, agent
from tests.support.builders import ORACLE


class Scripted:
    """Decides what it was told to, one after the other, and remembers what it saw."""

    def __init__(self, *decisions: Decision) -> None:
        self.decisions = list(decisions)
        self.seen: list[GameStatus] = []

    def decide(self, game: GameStatus) -> Decision:
        self.seen.append(game)
        return self.decisions[len(self.seen) - 1]


def retraining(schedule: Scripted) -> DiscriminatorCallback:
    return DiscriminatorCallback(schedule, n_generated=16, batch_size=8, n_held_out=8)


def ppo() -> PPO:
    """A collection of twelve steps of four environments: eight episodes, as one of `agent`."""
    env = make_seqgan_vec_env("SeqGAN-v0", 4, **ORACLE)
    return PPO("MlpPolicy", env, n_steps=12, batch_size=48, n_epochs=1, seed=0, device="cpu")


every_algorithm = pytest.mark.parametrize("make", [agent, ppo])


def test_every_few_episodes_waits_for_them() -> None:
    scores = {"loss": 0.1}
    decisions = [EveryEpisodes(3).decide(GameStatus(n, 100, 2, scores)) for n in range(5)]
    assert decisions == ["wait", "wait", "wait", "train", "train"]


def test_several_rounds_are_made_at_once_each_on_fresh_negatives() -> None:
    trained = {}
    for n_rounds in (1, 3):
        callback = DiscriminatorCallback(EveryEpisodes(1, n_rounds), n_generated=16, batch_size=8)
        agent().learn(2 * N_STEPS, callback)
        trained[n_rounds] = callback
    assert (trained[1].version, trained[3].version) == (1, 3)
    assert EveryEpisodes(3, 2).decide(GameStatus(2, 100, 2, {})) == "wait"


@pytest.mark.parametrize("n", [0, -1, 2.5])
def test_every_few_episodes_is_at_least_one(n: int) -> None:
    with pytest.raises(ValueError, match=f"n must be a whole number of at least 1, got {n}"):
        EveryEpisodes(n)


@every_algorithm
def test_a_schedule_of_ones_own_says_when_to_train(make: Callable[[], BaseAlgorithm]) -> None:
    schedule = Scripted("wait", "train", "wait", "train", "train")
    callback = retraining(schedule)
    make().learn(5 * N_STEPS, callback)
    assert [game.n_rounds for game in schedule.seen] == [0, 0, 1, 1, 2]
    assert callback.version == 3


@every_algorithm
def test_a_schedule_is_told_how_the_game_stands(make: Callable[[], BaseAlgorithm]) -> None:
    schedule = Scripted("wait", "wait", "train", "wait")
    callback = retraining(schedule)
    make().learn(4 * N_STEPS, callback)
    assert [game.n_episodes for game in schedule.seen] == [0, 8, 16, 8]
    assert [game.n_steps for game in schedule.seen] == [0, N_STEPS, 2 * N_STEPS, 3 * N_STEPS]
    assert [dict(game.scores) for game in schedule.seen] == [{}, {}, {}, callback.last_scores]
    assert {"loss", "accuracy", "log_loss", "calibration_error"} <= set(callback.last_scores)


@every_algorithm
def test_stop_ends_the_learning(make: Callable[[], BaseAlgorithm]) -> None:
    """At the first step of the collection before which it was said; another call of `learn` begins anew."""
    schedule = Scripted("wait", "stop", "wait", "wait")
    model, callback = make(), retraining(schedule)
    model.learn(10 * N_STEPS, callback)
    assert len(schedule.seen) == 2
    assert model.num_timesteps == N_STEPS + 4
    model.learn(2 * N_STEPS, callback)
    assert len(schedule.seen) == 4
    assert callback.trainer is not None
    assert callback.trainer.n_updates == 0


def test_every_few_steps_waits_for_them() -> None:
    decisions = [EverySteps(30).decide(GameStatus(9, 100, 2, {}, n_new_steps=n)) for n in (0, 29, 30, 31)]
    assert decisions == ["wait", "wait", "train", "train"]
    with pytest.raises(ValueError, match="n must be a whole number of at least 1, got 0"):
        EverySteps(0)


def test_never_waits_for_ever() -> None:
    assert Never().decide(GameStatus(10**6, 10**6, 0, {}, n_new_steps=10**6)) == "wait"


class TestAccuracyBand:
    BAND = AccuracyBand(low=0.6, high=0.8, n_episodes=10, max_rounds=3)

    def decide(self, accuracy: float, n_episodes: int = 10, n_rounds_now: int = 0) -> Decision:
        """With this accuracy measured now before a series, and after its last round within one."""
        other = {"accuracy": 0.123}  # of the wrong moment
        scores = {"accuracy": accuracy} if n_rounds_now else other
        measured = other if n_rounds_now else {"accuracy": accuracy}
        return self.BAND.decide(GameStatus(n_episodes, 0, 5, scores, 0, n_rounds_now, lambda: measured))

    def test_trains_below_until_it_is_in_the_band_once_within_and_never_above(self) -> None:
        decisions = [self.decide(accuracy) for accuracy in (0.5, 0.6, 0.7, 0.8, 0.81, 0.95)]
        assert decisions == ["more", "train", "train", "train", "skip", "skip"]
        assert [self.decide(0.5, 0, n) for n in (1, 2, 3)] == ["more", "more", "wait"]
        assert [self.decide(accuracy, 0, 1) for accuracy in (0.61, 0.95)] == ["wait", "wait"]

    def test_waits_for_the_episodes_without_measuring(self) -> None:
        def fails() -> dict[str, float]:
            raise AssertionError

        assert self.BAND.decide(GameStatus(9, 0, 5, {}, measure=fails)) == "wait"

    def test_needs_something_to_measure_on(self) -> None:
        with pytest.raises(ValueError, match="AccuracyBand needs n_held_out above 0"):
            self.BAND.decide(GameStatus(10, 0, 0, {}))

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"low": 0.9}, r"low must be at most high, got 0\.9 and 0\.8"),
            ({"high": 1.5}, r"high must be a finite number in \[0, 1\], got 1\.5"),
            ({"max_rounds": 0}, "max_rounds must be a whole number of at least 1, got 0"),
        ],
    )
    def test_settings_out_of_range_are_refused(self, settings: dict[str, float], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            AccuracyBand(**settings)  # type: ignore[arg-type]

    @every_algorithm
    def test_in_a_game_a_weak_discriminator_is_trained_and_a_strong_one_is_not(
        self, make: Callable[[], BaseAlgorithm]
    ) -> None:
        def rounds(band: AccuracyBand) -> int:
            callback = DiscriminatorCallback(band, n_generated=16, batch_size=8, n_held_out=8)
            make().learn(3 * N_STEPS, callback)
            return callback.version

        assert rounds(AccuracyBand(low=1.0, high=1.0, n_episodes=8, max_rounds=2)) == 4
        assert rounds(AccuracyBand(low=0.0, high=0.0, n_episodes=8)) == 0

    @every_algorithm
    def test_a_strong_discriminator_is_measured_every_n_episodes_alone(
        self, make: Callable[[], BaseAlgorithm], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """However often the algorithm collects."""
        at: list[int] = []
        callback = DiscriminatorCallback(AccuracyBand(0.0, 0.0, n_episodes=12), n_generated=16, n_held_out=8)

        def measure(self: Adversary, negatives: object) -> dict[str, float]:
            at.append(callback.num_timesteps)
            return {"accuracy": 1.0}

        monkeypatch.setattr(Adversary, "measure", measure)
        make().learn(10 * N_STEPS, callback)
        assert len(at) >= 3
        assert np.diff([0, *at]).min() >= 12 * ORACLE["max_length"]
