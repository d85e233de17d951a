"""The phases of a run, each of which goes on where it stopped.

A phase trains, and calls ``journal.measure`` and ``journal.keep`` as it goes; its state holds everything it needs to go
on. Every phase and every measurement has one name, here and in ``metrics.jsonl``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from stable_baselines3.common.callbacks import BaseCallback
from tqdm import tqdm

from agents.runs.folder import Record
from agents.runs.game import Game
from seqgan_env.metrics import columns_of_role
from seqgan_env.metrics.base import trade_offs
from seqgan_env.metrics.temperatures import TEMPERATURES as TEMPERATURES

RANDOM, LIKELIHOOD, TEMPERATURE, DISCRIMINATOR, ADVERSARIAL, FINAL_TEMPERATURE = (
    "random",
    "maximum_likelihood",
    "temperature",
    "discriminator",
    "adversarial",
    "final_temperature",
)
"""The measurements: before training, of epochs, of the best epoch at several temperatures, of rounds, of updates, and
of the last update at several temperatures."""

MEASURED_EPOCHS = 25
"""About so many epochs of maximum likelihood are measured and kept, evenly spaced, and the best one."""


class Journal(Protocol):
    """The measurements and checkpoints of a run."""

    records: list[Record]

    def measure(self, phase: str, step: int, temperature: float = 1.0, **more: float | None) -> Record:
        """Measure now, and add the evaluation to the run's."""

    def keep(self) -> None:
        """Write a checkpoint."""

    def bar(self, what: str, total: int, done: int) -> tqdm[Any]:
        """A progress bar."""


class NoJournal:
    """The journal of a phase alone: it measures nothing, and so never reads the test half, and keeps nothing."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def measure(self, phase: str, step: int, temperature: float = 1.0, **more: float | None) -> Record:
        """See ``Journal``."""
        return {}

    def keep(self) -> None:
        """See ``Journal``."""

    def bar(self, what: str, total: int, done: int) -> tqdm[Any]:
        """See ``Journal``."""
        return tqdm(disable=True)


class Phase(Protocol):
    """A part of a run."""

    name: str

    def run(self, game: Game, journal: Journal) -> None:
        """Do what is left to do."""

    def state_dict(self) -> dict[str, Any]:
        """The state of the phase beside that of the game."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore ``state_dict``."""


class MaximumLikelihood:
    """Maximum likelihood (eq. 13.34) until the validation likelihood stops rising; the best or last epoch is kept.

    Args:
        on_epoch: called after each epoch with its number, from 1, and the negative log-likelihood of the validation
            set, nats per token; what it raises ends the phase.
    """

    name = LIKELIHOOD

    def __init__(self, on_epoch: Callable[[int, float], None] = lambda epoch, nll: None) -> None:
        self._on_epoch = on_epoch
        self._best_epoch, self._best_nll = -1, float("inf")
        self._best_weights: dict[str, Any] = {}

    def run(self, game: Game, journal: Journal) -> None:
        """Train, then measure the best epoch at several temperatures."""
        config, trainer, generator = game.config.pretraining, game.likelihood_trainer, game.agent.generator
        real = game.task.real_sequences
        real = real[: max(1, round(config.real_share * len(real)))]
        with journal.bar("maximum likelihood", config.n_epochs, trainer.n_epochs) as bar:
            while trainer.n_epochs < config.n_epochs and not self._is_stale(trainer.n_epochs, config.patience):
                loss = trainer.epoch(real)
                nll = game.evaluator.validation_nll()
                trainer.observe(nll)
                self._on_epoch(trainer.n_epochs, nll)
                if nll < self._best_nll:
                    self._best_epoch, self._best_nll = trainer.n_epochs, nll
                    if not config.keep_last:
                        self._best_weights = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
                bar.update()
                bar.set_postfix(nll_validation=f"{nll:.3f}")
                is_last = trainer.n_epochs == config.n_epochs or self._is_stale(trainer.n_epochs, config.patience)
                if is_last or trainer.n_epochs % max(1, config.n_epochs // MEASURED_EPOCHS) == 0:
                    journal.measure(LIKELIHOOD, trainer.n_epochs, loss=loss, nll_validation=nll)
                    journal.keep()
        if self._best_weights:
            generator.load_state_dict(self._best_weights)
            self._best_weights = {}
            if not any((r["phase"], r["step"]) == (LIKELIHOOD, self._best_epoch) for r in journal.records):
                journal.measure(LIKELIHOOD, self._best_epoch, nll_validation=self._best_nll)
        _measure_temperatures(journal, TEMPERATURE, trainer.n_epochs)

    def _is_stale(self, epoch: int, patience: int | None) -> bool:
        return patience is not None and self._best_epoch >= 0 and epoch - self._best_epoch > patience

    def state_dict(self) -> dict[str, Any]:
        """The best epoch so far."""
        return {"epoch": self._best_epoch, "nll": self._best_nll, "weights": self._best_weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore ``state_dict``."""
        self._best_epoch, self._best_nll = int(state["epoch"]), float(state["nll"])
        self._best_weights = dict(state["weights"])


class DiscriminatorPretraining:
    """The discriminator's pretraining (eq. 13.32), each round on fresh negatives.

    With a ``patience`` it stops when so many rounds have brought no lower log-loss on held-out sequences, and goes back
    to the best round.
    """

    name = DISCRIMINATOR

    def __init__(self) -> None:
        self._n_rounds = 0
        self._best_round, self._least_loss = 0, float("inf")
        self._best_state: dict[str, Any] = {}

    def run(self, game: Game, journal: Journal) -> None:
        """Train, if the reward needs a trained discriminator."""
        n_rounds = game.config.adversary.n_rounds if game.config.is_adversarial else 0
        patience = game.config.adversary.patience
        if n_rounds:
            game.adversary.prepare(journal.keep)
        with journal.bar("discriminator", n_rounds, self._n_rounds) as bar:
            while self._n_rounds < n_rounds and not self._is_stale(patience):
                scores = game.adversary.round(game.agent)
                self._n_rounds += 1
                if patience is not None and scores["log_loss"] < self._least_loss:
                    self._best_round, self._least_loss = self._n_rounds, scores["log_loss"]
                    self._best_state = game.adversary.trainer.snapshot()
                bar.update()
                if self._n_rounds % max(1, n_rounds // 10) == 0 or self._n_rounds == n_rounds:
                    record = journal.measure(DISCRIMINATOR, self._n_rounds, loss=scores["loss"])
                    journal.keep()
                    bar.set_postfix(headline(record, "discriminator"))
        if self._best_state:
            game.adversary.trainer.restore(self._best_state)
            self._best_state = {}
        if n_rounds:
            game.set_version(1)

    def _is_stale(self, patience: int | None) -> bool:
        return patience is not None and self._n_rounds - self._best_round >= patience

    def state_dict(self) -> dict[str, Any]:
        """The rounds so far, and the best of them."""
        best = {"round": self._best_round, "loss": self._least_loss, "state": self._best_state}
        return {"n_rounds": self._n_rounds, "best": best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore ``state_dict``."""
        self._n_rounds, best = int(state["n_rounds"]), state["best"]
        self._best_round, self._least_loss = int(best["round"]), float(best["loss"])
        self._best_state = dict(best["state"])


class AdversarialGame:
    """Policy gradient against a discriminator that is retrained every few episodes."""

    name = ADVERSARIAL

    def run(self, game: Game, journal: Journal) -> None:
        """Play, and measure every few updates."""
        config, agent = game.config, game.agent
        with journal.bar(f"SeqGAN, {config.label}", config.agent.n_updates, agent.n_updates) as bar:
            measuring = _Measuring(game, journal, bar)
            callbacks: list[BaseCallback] = [game.callback, measuring] if config.is_adversarial else [measuring]
            agent.learn_updates(config.agent.n_updates, callbacks)
            if config.is_adversarial:
                game.callback.retrain_if_due()
            measuring.measure_if_due()
        if config.agent.n_updates:
            _measure_temperatures(journal, FINAL_TEMPERATURE, agent.n_updates)

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the agent counts its updates."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore ``state_dict``."""


class _Measuring(BaseCallback):
    """Measures and keeps the game every few updates."""

    def __init__(self, game: Game, journal: Journal, bar: tqdm[Any]) -> None:
        super().__init__()
        self._game, self._journal, self._bar = game, journal, bar

    def _on_rollout_start(self) -> None:
        self.measure_if_due()

    def _on_step(self) -> bool:
        return True

    def measure_if_due(self) -> None:
        """Measure after every few updates and after the last, once each."""
        config, agent, last = self._game.config, self._game.agent, self._journal.records[-1]
        n_updates = agent.n_updates
        self._bar.update(n_updates - self._bar.n)
        is_due = n_updates % config.evaluation.every == 0 or n_updates == config.agent.n_updates
        if not is_due or (last["phase"], last["step"]) == (ADVERSARIAL, n_updates):
            return
        update = agent.last_update
        more = {} if update is None else {"reward_mean": update.reward_mean, "policy_entropy": update.entropy}
        record = self._journal.measure(ADVERSARIAL, n_updates, **more)
        self._journal.keep()
        self._bar.set_postfix(headline(record))


def _measure_temperatures(journal: Journal, phase: str, step: int) -> None:
    """Measure the generator at every temperature where that gives a curve of quality against diversity."""
    measured = {name for record in journal.records[-1:] for name in record}
    if any(measured.issuperset(pair) for pair in trade_offs()):
        for temperature in TEMPERATURES:
            journal.measure(phase, step, temperature)


def headline(record: Record, subject: str = "generator") -> dict[str, str]:
    """The number of a record that sums up the generator or the discriminator, for a progress bar."""
    shown = [name for name in columns_of_role("overall", subject) if name in record]
    shown += [name for name in columns_of_role("diversity", subject) if name in record]
    return {name: f"{record[name]:.3f}" for name in shown[:1]}


def phases() -> tuple[MaximumLikelihood, DiscriminatorPretraining, AdversarialGame]:
    """The phases of a run, in order."""
    return MaximumLikelihood(), DiscriminatorPretraining(), AdversarialGame()
