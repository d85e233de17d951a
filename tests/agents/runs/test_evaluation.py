"""A finished run is measured afresh."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agents.runs.evaluation import evaluate_run
from agents.runs.experiment import Experiment
from agents.runs.phases import TEMPERATURES
from seqgan_env.metrics import METRICS
from seqgan_env.task import Task
from tests.support.runs import SHORT, changed, stored, without_pictures, without_time


def test_evaluate_run_measures_afresh_and_writes_nothing(finished: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    record = evaluate_run(finished)
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before
    last = next(record for record in reversed(stored(finished)) if record["phase"] == "adversarial")
    assert record["nll_test"] == pytest.approx(last["nll_test"], rel=1e-6)
    assert record["discriminator_version"] == last["discriminator_version"]
    assert evaluate_run(finished, n=10)["nll_test"] != record["nll_test"]


def fields_of(*groups: str | None) -> set[str]:
    """The columns of the metrics of some groups."""
    return {field for entry in METRICS.values() if entry.group in groups for field in entry.metric.columns}


@pytest.mark.parametrize("rule", ["best_of", "resample"])
def test_a_choice_by_the_discriminator_is_measured_as_a_generator_is(finished: Path, rule: str) -> None:
    alone = evaluate_run(finished, n=1000)
    chosen = evaluate_run(finished, n=1000, **{rule: 8})
    assert chosen.keys() == alone.keys()
    assert chosen["kl_forward"] != alone["kl_forward"]
    # the gain in the log-probability of any sequence, in a sequence of five tokens, is at most log 8
    assert alone["nll_test"] - chosen["nll_test"] < np.log(8) / 5
    assert evaluate_run(finished, n=1000, **{rule: 1}) == alone


def test_metrics_of_a_group_are_measured_on_request_and_the_others_stay_as_they_are(finished: Path) -> None:
    usual, more = evaluate_run(finished), evaluate_run(finished, metrics=["text"])
    assert not fields_of("text", "language_model") & usual.keys()
    assert more.items() >= usual.items()
    assert more.keys() - usual.keys() == fields_of("text")
    assert evaluate_run(finished, metrics=["text"]) == more != evaluate_run(finished, temperature=0.5, metrics=["text"])
    assert more["self_bleu_references"] == 49


def test_what_is_compared_with_is_all_real_sequences_of_the_run_and_each_half_of_those_held_out(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = []
    monkeypatch.setattr("agents.runs.evaluation.measure", lambda batch, groups: batches.append(batch) or {})
    evaluate_run(finished, n=10)
    (batch,), held_out_BT = batches, Task(SHORT.task).held_out_sequences
    assert (len(batch.train_BT), batch.seed) == (SHORT.task.n_real, SHORT.seed)
    half = len(held_out_BT) // 2
    assert np.array_equal(batch.validation_BT, held_out_BT[:half])  # all of it, as the features are not to depend on n
    assert np.array_equal(batch.test_BT, held_out_BT[half:][:10])


def test_a_run_measures_the_groups_of_its_settings_in_every_record_and_so_does_its_evaluation(tmp_path: Path) -> None:
    config = changed(SHORT, evaluation={"metrics": ("text",)})
    with without_pictures():
        Experiment(config, tmp_path / "run", progress=False).run()
    assert all(fields_of("text") <= record.keys() for record in stored(tmp_path / "run"))
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "<th>Self-BLEU-4</th>" in page
    assert "nltk" in page.lower()
    assert fields_of("text") <= evaluate_run(tmp_path / "run").keys()
    assert not fields_of("text") & evaluate_run(tmp_path / "run", metrics=[]).keys()


@pytest.mark.parametrize("metrics", [(), ("text",)])
def test_a_run_on_text_is_measured_at_every_temperature_where_its_metrics_make_a_curve(
    tmp_path: Path, metrics: tuple[str, ...]
) -> None:
    (file := tmp_path / "text.txt").write_text("".join(f"{a} eats {b}\n" for a in "abcdef" for b in "uvwxyz"))
    task = {"source": str(file), "vocab_size": None, "max_length": None}
    config = changed(SHORT, task=task, agent={"n_updates": 1}, evaluation={"metrics": metrics})
    with without_pictures():
        records = Experiment(config, tmp_path / "run", progress=False).run()
        more = changed(config, agent={"n_updates": 2})
        resumed = Experiment(more, tmp_path / "run", resume=True, progress=False).run()
        whole = Experiment(more, tmp_path / "whole", progress=False).run()
    assert without_time(resumed) == without_time(whole)
    for phase in ("temperature", "final_temperature"):
        curve = [r for r in records if r["phase"] == phase]
        assert [r["temperature"] for r in curve] == (list(TEMPERATURES) if metrics else [])
        assert len({(r["bleu_4"], r["self_bleu_4"]) for r in curve}) == len(curve)
