"""The best point of the curve over temperature, where it is known beforehand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import log_softmax

from agents.runs.evaluation import Evaluator
from agents.runs.experiment import Experiment
from agents.runs.phases import ADVERSARIAL, FINAL_TEMPERATURE
from seqgan_env.metrics import EvaluationBatch, measure
from seqgan_env.metrics.temperatures import TEMPERATURES
from seqgan_env.sources.base import split_known
from seqgan_env.task import Task
from seqgan_env.task_config import TaskConfig
from seqgan_env.tokens import SequenceSpec, Tokens
from tests.support.runs import SHORT, changed

LOG_P = np.log([0.5, 0.3, 0.2])


class Token:
    """A source of one token; and a generator that has its distribution at a temperature of ``best`` and no other."""

    spec = SequenceSpec(3, 1)
    vocabulary = None

    def __init__(self, best: float = 1.0) -> None:
        self.best = best

    def _log_prob_V(self, temperature: float) -> npt.NDArray[np.float64]:
        return np.asarray(log_softmax(LOG_P * self.best / temperature))

    def draw(self, n: int, *, seed: int = 0, temperature: float = 1.0) -> Tokens:
        """Each token as often as its probability says, evenly spread."""
        ends_V = np.exp(self._log_prob_V(temperature)).cumsum()
        return np.searchsorted(ends_V, (np.arange(n) * 0.618034) % 1)[:, None]

    def sample(self, n: int, rng: np.random.Generator) -> Tokens:
        return self.draw(n, seed=int(rng.integers(1 << 30)))

    def sequence_log_prob(self, tokens_BT: Tokens, temperature: float = 1.0) -> npt.NDArray[np.float64]:
        return self._log_prob_V(temperature)[tokens_BT[:, 0]]

    def log_prob(self, tokens_BT: Tokens) -> npt.NDArray[np.float64]:
        return LOG_P[tokens_BT[:, 0]]

    def split(self, n_train: int, n_test: int, seed: int) -> tuple[Tokens, Tokens]:
        return split_known(self, n_train, n_test, seed)


@pytest.mark.parametrize("best", [0.5, 0.8, 1.0, 1.2])
def test_the_best_temperature_is_found(best: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """There nothing is left of the divergence, and at temperature 1 something is."""
    task = Task(TaskConfig(source="grammar", n_real=10, n_held_out=4_000))
    monkeypatch.setattr(task, "source", Token())
    monkeypatch.setattr(task, "_split", Token().split(10, 4_000, 0), raising=False)
    evaluator = Evaluator(task, Token(best), 2_000, 0, groups=["temperatures"])
    found = evaluator.measure()
    assert found["temperature_best"] == best
    assert found["kl_sum_best"] == pytest.approx(0, abs=1e-12)
    assert (found["kl_sum"] == pytest.approx(0, abs=1e-12)) is (best == 1.0)
    assert "kl_sum_best" not in evaluator.measure(temperature=0.8)


def test_without_a_temperature_nothing_is_measured() -> None:
    real_BT = Token().draw(20)
    batch = EvaluationBatch(Token(), real_BT, real_BT, Token().log_prob)
    assert measure(batch, ["temperatures"]) == measure(batch)


def test_a_run_measures_it_where_it_is_asked_for(tmp_path: Path) -> None:
    """It is the least of the sums of the final curve, on the same sequences."""
    config = changed(SHORT, evaluation={"metrics": ("temperatures",)})
    records = Experiment(config, tmp_path / "run").run()
    last = [record for record in records if record["phase"] == ADVERSARIAL][-1]
    sums = {record["temperature"]: record["kl_sum"] for record in records if record["phase"] == FINAL_TEMPERATURE}
    assert set(sums) == set(TEMPERATURES)
    assert last["kl_sum_best"] == min(sums.values()) == sums[last["temperature_best"]]
