"""The report of a sweep, from made-up results."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.sweeps.environment import describe
from agents.sweeps.groups import ALL_TASKS, Group, groups_of
from agents.sweeps.pictures import curve, pictures
from agents.sweeps.report import (
    chosen_metrics,
    comma_separated,
    improvement_table,
    markdown,
    measurements,
    shown_interval,
    write_report,
)
from agents.sweeps.spec import cells_of
from agents.sweeps.statistics import Interval
from seqgan_env.metrics import columns
from tests.support.browser import too_wide
from tests.support.sweeps import result_of, spec_with

SCORES = {"seqgan": 1.0, "ppo": 1.5, "random": 2.5}


def results(**changes: Any) -> list[dict[str, Any]]:
    """Three seeds of three algorithms with two rewards; DQN's results have no divergence."""
    spec = {"algorithm": [*SCORES, "dqn"], "reward": ["log_d", "constant"], "seeds": [0, 1, 2], **changes}
    found = []
    for cell in cells_of(spec_with(**spec)):
        better = 0.25 * (cell.axes["reward"] == "log_d") + 0.01 * cell.config.seed
        result = result_of(cell, SCORES.get(cell.algorithm, 3.0) - better)
        if cell.algorithm == "dqn":
            for record in result["records"]:
                del record["kl_sum"]
        found.append(result)
    return found


def test_rows_are_named_by_what_differs_and_hold_the_middle_of_the_seeds() -> None:
    (group,) = groups_of(results())
    assert set(group.runs) == {
        "random",
        *(f"{algorithm}, {reward}" for algorithm in ("seqgan", "ppo", "dqn") for reward in ("log_d", "constant")),
    }
    assert group.strata(group.runs["seqgan, log_d"], "kl_sum") == {"SeqGANTiny-v0": [0.75, 0.74, 0.73]}
    assert group.strata(group.runs["dqn, log_d"], "kl_sum") == {}
    text = markdown(results(), ["kl_sum"])
    assert "| seqgan, log_d | 3 | 1.740 [1.730, 1.750] | 0.740 [0.730, 0.750] | 64 | 16 | 1 s |" in text
    assert "| pretrained generator |  | 3.000 | 2.000 |" in text
    assert "| dqn, constant | 3 | 3.990 [3.980, 4.000] |  | 64 | 16 | 1 s |" in text
    row = next(line for line in text.splitlines() if line.startswith("| seqgan, log_d |  |"))
    assert row.count("1.00 [1.00, 1.00]") == 4  # than itself without log D, ppo twice, random; dqn has no such number
    assert "Failed" not in text


def test_tasks_are_put_together_by_their_share_of_the_start() -> None:
    both = results(task=["SeqGANTiny-v0", {"name": "SeqGANTiny-v0", "n_real": 50}])
    for result in both:
        if result["axes"]["task"] != "SeqGANTiny-v0":
            for record in (result["start"], *result["records"]):
                record.update({name: 10 * record[name] for name in ("kl_sum", "nll_oracle") if name in record})
    *single, together = groups_of(both)
    assert [group.name for group in single] == ["SeqGANTiny-v0", "SeqGANTiny-v0 (n_real=50)"]
    assert together.name == ALL_TASKS
    strata = together.strata(together.runs["ppo, constant"], "kl_sum")
    np.testing.assert_allclose([*strata.values()], [[0.75, 0.745, 0.74]] * 2)
    assert "| ppo, constant | 6 |" in markdown(both)


def test_runs_are_compared_on_the_tasks_that_both_have() -> None:
    """Both algorithms are equal, and the second task is the easier one."""
    tasks = {"a": 1.0, "b": 0.5, "c": 0.1}

    def improvements(lacking: dict[str, str]) -> list[str]:
        runs: dict[str, list[dict[str, Any]]] = {}
        for algorithm in ("ppo", "a2c"):
            for cell in cells_of(spec_with(algorithm=[algorithm])):
                for task, score in tasks.items():
                    if task not in lacking[algorithm]:
                        run = result_of(cell, score)
                        runs.setdefault(algorithm, []).append({**run, "axes": {**run["axes"], "task": task}})
        return improvement_table(Group(ALL_TASKS, runs, is_relative=True), "kl_sum").splitlines()[2:]

    assert improvements({"ppo": "a", "a2c": "b"}) == [
        "| ppo |  | 0.50 [0.50, 0.50] |",
        "| a2c | 0.50 [0.50, 0.50] |  |",
    ]
    assert improvements({"ppo": "bc", "a2c": "a"}) == ["| ppo |  |  |", "| a2c |  |  |"]


def test_curves_meet_at_the_same_places() -> None:
    runs = [
        {"records": [{"steps": 0, "kl_sum": 2.0}, {"steps": 10, "kl_sum": 1.0}]},
        {"records": [{"steps": 0, "kl_sum": 4.0}, {"steps": 20, "kl_sum": 2.0}]},
        {"records": [{"steps": 0}]},
    ]
    places, values = curve(runs, "kl_sum", "steps")
    assert (places[0], places[-1]) == (0, 10)
    np.testing.assert_allclose(values[[0, -1]], [[2, 4], [1, 3]])
    assert len(curve(runs[2:], "kl_sum", "steps")[0]) == 0


def test_runs_without_a_finite_number_are_counted_beside_the_others() -> None:
    found = results(algorithm=["seqgan"], reward=["log_d"])
    found[0]["records"][-1]["kl_sum"] = float("nan")
    del found[1]["records"][-1]["kl_sum"]
    assert "| seqgan | 3 | 1.740 [1.730, 1.750] | 0.730 [0.730, 0.730] (1 of 3) |" in markdown(found)
    assert curve(found, "kl_sum", "steps")[1].shape[1] == 1
    (group,) = groups_of(found)
    assert len(list(pictures(group, "kl_sum"))) == 3


def test_more_runs_than_colours_differ_by_their_style(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr("agents.sweeps.pictures.encoded_png", lambda figure: drawn.append(figure) or "png")
    grid = {"learning_rate": [n / 1000 for n in range(1, 13)]}
    (group,) = groups_of(results(algorithm=[{"name": "a2c", "grid": grid}], reward=["log_d"], seeds=[0]))
    list(pictures(group, "kl_sum"))
    for figure in drawn:
        (axes,) = figure.axes
        assert len({(line.get_color(), line.get_linestyle()) for line in axes.lines}) == len(axes.lines) == 12
        assert axes.get_legend() is None  # which would hide them
        assert len(figure.legends[0].get_texts()) == 12
    assert len(drawn) == 3


def test_every_measurement_is_in_the_table_of_numbers() -> None:
    made, environment = results(), describe()
    for result in made[1:]:
        result |= {"environment": environment, "peak_memory_mb": 300.0 + result["seed"]}
    rows = list(csv.DictReader(comma_separated(made).splitlines()))
    assert len(rows) == 2 * (3 * 2 + 1) * 3
    assert rows[1]["algorithm"] == "seqgan"
    assert float(rows[1]["kl_sum"]) == 0.75
    assert {row["kl_sum"] for row in rows if row["algorithm"] == "dqn"} == {""}
    machine = ("commit", "processor", "gpu")
    assert [rows[1][name] for name in (*machine, "peak_memory_mb")] == [""] * 4  # as older results
    for row in rows[2:]:
        assert [row[name] for name in machine] == [environment[name] or "" for name in machine]
        assert float(row["peak_memory_mb"]) == 300 + int(row["seed"])


def expected_numbers(path: Path) -> list[dict[str, Any]]:
    """Results on the disk, and the numbers of their report."""
    made = [*results(), *results(algorithm=["a2c"], seeds=[9])]
    made[0] |= {"environment": describe(), "peak_memory_mb": 300.5}
    made[1]["records"][0]["kl_sum"] = 2  # JSON has no types of numbers
    path.write_text("".join(json.dumps(result) + "\n" for result in made))
    return measurements(made)


def test_parquet_has_the_same_numbers_with_types(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "results.jsonl"
    expected = expected_numbers(path)
    *_, written = write_report(path, parquet=True)
    assert written.name == "results.parquet"
    read = parquet.read_table(written)
    assert read.to_pylist() == expected
    types = {name: str(read.schema.field(name).type) for name in ("task", "seed", "peak_memory_mb", "steps", "kl_sum")}
    assert list(types.values()) == ["string", "int64", "double", "int64", "double"]


def test_pandas_reads_the_numbers(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    path = tmp_path / "results.jsonl"
    expected = expected_numbers(path)
    write_report(path)
    read = pandas.read_csv(path.with_suffix(".csv"), keep_default_na=False, na_values={"kl_sum": [""]})
    for name in ("algorithm", "seed", "steps"):
        assert read[name].tolist() == [row[name] for row in expected]
    np.testing.assert_array_equal(read["kl_sum"], [np.nan if (v := row["kl_sum"]) is None else v for row in expected])


def test_without_pyarrow_parquet_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    path = tmp_path / "results.jsonl"
    expected_numbers(path)
    with pytest.raises(ValueError, match=r"Parquet needs pyarrow, which is not installed: pip install 'seqgan-env\[pa"):
        write_report(path, parquet=True)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", columns())
def test_every_metric_can_be_reported(name: str) -> None:
    """In the table, in all numbers, and in the probability of improvement where one of two numbers is better."""
    found, column = results(algorithm=["seqgan"], reward=["log_d", "constant"]), columns()[name]
    for run in found:
        for record in (run["start"], *run["records"]):
            del record["kl_sum"], record["nll_oracle"]
            record[name] = 1.0 + (run["axes"]["reward"] == "log_d") + run["seed"] / 16
    assert chosen_metrics(found, [name]) == [name]
    text = markdown(found, [name])
    assert (f"### Probability of improvement, {column.label}\n" in text) == (column.better != "neither")
    of_the_larger = {"higher": "1.00 [1.00, 1.00]", "lower": "0.00 [0.00, 0.00]", "neither": "none"}[column.better]
    assert (f"| log_d |  | {of_the_larger} |" in text) == (column.better != "neither")
    assert ("| log_d | 3 | 2.062 [2.000, 2.125] |" in text) == (column.subject == "generator" and column.in_tables)
    assert [row[name] for row in measurements(found)[-2:]] == [record[name] for record in found[-1]["records"]]


def test_the_page_needs_no_other_file_and_the_json_alone(tmp_path: Path) -> None:
    found = results(algorithm=["seqgan", "random"], seeds=[0, 1])
    failed = {name: found[0][name] for name in ("axes", "seed")}
    failed |= {"status": "failed", "error": "<b>no luck</b>", "seed": 7}
    path = tmp_path / "elsewhere.jsonl"
    path.write_text("".join(json.dumps(result) + "\n" for result in [*found, failed]))
    page, tables, numbers = write_report(path)
    assert {each.name for each in (page, tables, numbers)} == {f"elsewhere{s}" for s in (".html", ".md", ".csv")}
    html = page.read_text()
    assert html.count("<img") == 2 * 3  # two metrics: two curves and a profile of each
    assert "http" not in html.replace("http-equiv", "")
    assert "&lt;b&gt;no luck" in html
    assert "seed 7: <b>no luck</b>" in tables.read_text()
    assert numbers.read_text().startswith("task,algorithm,")
    assert too_wide(tmp_path, page.as_uri()) == {}


def test_a_name_may_have_what_tables_and_formulas_are_written_with(tmp_path: Path) -> None:
    name = "a|b $x_$ \\| c\n| d |"
    found = results(algorithm=["seqgan", "ppo"], reward=["log_d"], seeds=[0, 1])
    for result in found:
        result["axes"] |= {"task": name, "settings": name} if result["axes"]["algorithm"] == "ppo" else {"task": name}
    failed = {"axes": found[0]["axes"], "seed": 7, "status": "failed", "error": "no\nluck"}
    path = tmp_path / "results.jsonl"
    path.write_text("".join(json.dumps(result) + "\n" for result in [*found, failed]))
    page, tables, _ = write_report(path)
    lines = tables.read_text().splitlines()
    assert r"## a|b $x_$ \| c | d |" in lines
    assert r"- a|b $x_$ \| c | d |, seqgan, log_d, none, tabular, seed 7: no luck" in lines
    cells = page.read_text()
    assert cells.count(r"<td>ppo, a|b $x_$ \| c | d |</td>") == 3  # in the table, and in two of improvement
    assert any(line.startswith(r"| ppo, a\|b $x_$ \\| c \| d \| | 2 |") for line in lines)
    assert {row.count("<td>") for row in cells.split("<tr>") if "<td>" in row} == {7, 3}


@pytest.mark.parametrize("suffix", [".html", ".md", ".csv"])
def test_a_report_is_not_written_over_its_results(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_text(json.dumps(results()[0]) + "\n")
    before = path.read_text()
    with pytest.raises(ValueError, match=r"the report would be written over .*/x\.\w+: results need another name"):
        write_report(path)
    assert [each.read_text() for each in tmp_path.iterdir()] == [before]


def test_a_metric_is_chosen_by_name() -> None:
    assert chosen_metrics(results(), ()) == ["kl_sum", "nll_oracle"]
    assert chosen_metrics(results(), ["nll_oracle"]) == ["nll_oracle"]
    assert chosen_metrics(results(algorithm=["dqn"]), ()) == ["nll_oracle"]
    with pytest.raises(ValueError, match="metric must be one of nll_oracle, kl_sum; got 'beauty'"):
        chosen_metrics(results(), ["beauty"])


def test_higher_is_better_where_the_metric_says_so() -> None:
    found = results(algorithm=["seqgan"], reward=["log_d"])
    for result in found:
        for record in (result["start"], *result["records"]):
            record["grammatical"] = 0.5 + 0.1 * result["seed"]
    (group,) = groups_of(found)
    assert group.strata(found, "grammatical") == {"SeqGANTiny-v0": [-0.5, -0.6, -0.7]}
    assert "0.600 [0.500, 0.700]" in markdown(found)


def test_a_pretrained_generator_counts_once_however_many_runs_begin_with_it() -> None:
    cells = cells_of(spec_with(seeds=[0, 1], algorithm=["seqgan", "ppo", "maximum_likelihood"]))
    found = [result_of(cell) for cell in cells if cell.config.seed == 0 or cell.algorithm == "ppo"]
    for result in found:
        result["start"]["kl_sum"] = 1.0 + result["seed"]
    assert "| pretrained generator |  | 3.000 | 1.500 |" in markdown(found, ["kl_sum"])


def test_zero_has_no_sign() -> None:
    assert shown_interval(Interval(0.0, 0.0, -1e-9), flip=True) == "0.000 [0.000, 0.000]"
    assert shown_interval(Interval(-0.0004, -0.0006, 0.0006)) == "0.000 [-0.001, 0.001]"


def test_a_sweep_without_a_finished_run_has_a_report_of_its_failures(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text('{"axes": {"task": "a"}, "seed": 0, "status": "failed", "error": "no luck"}\n')
    page, tables, numbers = write_report(path)
    assert "<li>a, seed 0: no luck</li>" in page.read_text()
    assert tables.read_text() == "# Sweep\n\n## Failed\n\n- a, seed 0: no luck\n"
    assert numbers.read_text() == "task,algorithm,settings,reward,shaping,discriminator,variant,seed\n"
