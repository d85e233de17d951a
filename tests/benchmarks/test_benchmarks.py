"""The benchmarks: that their statistics are right, and that the docs say what the results say."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from benchmarks import agent, curves, discriminators, reranking, stable_baselines, sweeps, text, variance
from benchmarks.algorithms import comparison as algorithms
from benchmarks.algorithms import tables as algorithms_tables
from benchmarks.harness import (
    command_line,
    interval,
    keep_result,
    kept_result,
    write_results,
)
from benchmarks.pages import DOCS, replace_section, section
from benchmarks.paper import experiment as paper
from benchmarks.paper import tables as paper_tables
from benchmarks.regimes import cells as regimes
from benchmarks.regimes import tables as regimes_tables
from benchmarks.rewards import games
from benchmarks.rewards.ablations import ABLATIONS
from benchmarks.rewards.menu import MENU
from benchmarks.speed import __main__ as speed
from benchmarks.speed.measuring import errors, measure, rates
from benchmarks.speed.paths import HotPath, Setting, Size
from benchmarks.speed.report import episode_table, rows, tables


def test_the_interval_covers_the_mean_as_often_as_it_says() -> None:
    """95 % of the intervals of five normal draws hold the true mean; 4,000 trials, error rate below 1e-6."""
    rng = np.random.default_rng(0)
    draws = rng.normal(3.0, 2.0, size=(4000, 5))
    covered = sum(abs(mean - 3.0) <= half for mean, half in map(interval, draws))
    low, high = stats.binom.ppf([5e-7, 1 - 5e-7], 4000, 0.95)
    assert low <= covered <= high


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (ValueError("seeds must be\nfew"), "seeds must be few", ""),
        (FileNotFoundError(2, "No such file", "here"), "No such file: 'here'", ""),
        (KeyboardInterrupt(), 130, "interrupted; the same command goes on"),
    ],
)
def test_a_command_that_cannot_go_on_says_so_in_a_line(
    error: BaseException,
    status: str | int,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(seeds: int = 5) -> None:
        assert seeds == 3
        raise error

    def report() -> None: ...

    monkeypatch.setattr("sys.argv", ["benchmark", "run", "--seeds", "3"])
    with pytest.raises(SystemExit) as ended:
        command_line("agent", {"run": run, "report": report})
    if isinstance(status, str):
        assert str(ended.value.code).startswith("python -m benchmarks.agent: error: ")
        assert status in str(ended.value.code)
    else:
        assert ended.value.code == status
    assert says in capsys.readouterr().err


COMMANDS: dict[str, Callable[..., Any]] = {
    "agent": agent.run,
    "algorithms": algorithms.run,
    "discriminators": discriminators.run,
    "paper": paper.run,
    "regimes": regimes.run,
    "reranking": reranking.run,
    "rewards": games.run,
    "menu": MENU.run,
    "search": algorithms.search,
    "text": text.run,
    "stable_baselines": stable_baselines.run,
    "sweeps": sweeps.run,
    "variance": variance.run,
    "speed": speed.run,
    "episodes": speed.rewards,
}
"""The commands that measure for long and write a file of the user's choice."""


@pytest.mark.parametrize("name", COMMANDS)
def test_results_that_cannot_be_written_are_refused_before_any_work(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for work in ("variance.measure", "speed.__main__.errors", "speed.__main__.episodes"):
        monkeypatch.setattr(f"benchmarks.{work}", lambda *arguments: pytest.fail("it has begun"))
    occupied, other = tmp_path / "occupied", tmp_path / "other.json"
    occupied.write_text("no folder, so that there is no work to begin with")
    other.write_text("[1")
    run = COMMANDS[name]
    out = {"out": occupied} if "out" in inspect.signature(run).parameters else {}
    with pytest.raises(ValueError, match=r"other\.json is not a readable file of results"):
        run(**out, results=other)
    with pytest.raises(OSError, match="occupied"):
        run(**out, results=occupied / "results.json")
    with pytest.raises(OSError, match="/proc"):
        run(**out, results=Path("/proc/results.json"))
    assert other.read_text() == "[1"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_numbers_of_a_command_are_at_least_one(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    numbers = [
        each
        for each in ("seeds", "workers", "n", "trials", "timesteps", "runs")
        if each in inspect.signature(COMMANDS[name]).parameters
    ]
    for each in numbers:
        monkeypatch.setattr("sys.argv", [name, "run", f"--{each}", "0", "--results", str(tmp_path / "none" / "x")])
        with pytest.raises(SystemExit) as ended:
            command_line(name, {"run": COMMANDS[name], "report": lambda: None})
        assert f"{each} must be a whole number of at least 1, got 0" in str(ended.value.code)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("name", "flag"),
    [
        ("agent", "tasks"),
        ("algorithms", "only"),
        ("algorithms", "rows"),
        ("algorithms", "shapings"),
        ("discriminators", "tasks"),
        ("paper", "rows"),
        ("regimes", "only"),
        ("regimes", "tasks"),
        ("rewards", "only"),
        ("search", "only"),
        ("text", "only"),
    ],
)
def test_what_a_command_does_not_know_is_refused(name: str, flag: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{flag} must be some of .*; got 'other'"):
        COMMANDS[name](out=tmp_path / "runs", results=tmp_path / "results.json", **{flag: ("other",)})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", [agent, regimes, discriminators])
def test_what_other_tasks_have_stays_in_the_file(module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other seeds than those that stay are refused."""
    file = tmp_path / "results.json"
    for name in ("fit", "learn_models", "strong_generator"):
        monkeypatch.setattr(module, name, lambda *arguments: None, raising=False)
    monkeypatch.setattr(module, "measure", lambda *arguments: {"measured": 1, "source": "any"})

    def run(task: str, seeds: int) -> Any:
        module.run(tmp_path / "runs", seeds, file, 1, tasks=(task,))
        return json.loads(file.read_text())

    first = run("grammar", 1)
    both = run("small", 1)
    before = file.read_bytes()
    if module is agent:
        assert both["tasks"] == {name: {"measured": 1, "source": "any"} for name in ("grammar", "small")}
    else:
        assert [cell for cell in both["cells"] if cell["task"] == "grammar"] == first["cells"]
        assert {cell["task"] for cell in both["cells"]} == {"grammar", "small"}
    with pytest.raises(ValueError, match=r"seeds must be those of the results that stay, \[1\], got \[1, 2\]"):
        run("small", 2)
    assert file.read_bytes() == before


def test_a_file_that_cannot_be_finished_is_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page, file = tmp_path / "page.md", tmp_path / "results.json"
    page.write_text("<!-- x: begin -->\nold\n<!-- x: end -->\n")
    write_results(file, {"old": 1})
    before = page.read_bytes(), file.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(OSError, match=r"results\.json"):
            write_results(file, {"new": 1})
        with pytest.raises(OSError, match=r"page\.md"):
            replace_section(page, "x", "new\n")
    assert (page.read_bytes(), file.read_bytes()) == before
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("content", [b"", b'{"seconds": 1.0, "rec', b"[1]", b'{"seconds": 1.0}', b"\xff"])
def test_a_kept_result_that_is_none_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "row.json"
    made_with = {"sizes": (1, 2), "game": {"reward": "d"}}
    assert kept_result(file, ("seconds", "records"), made_with) is None
    keep_result(file, found := {"seconds": 1.0, "records": [float("inf")], "more": None}, made_with)
    assert kept_result(file, ("seconds", "records"), made_with) == found
    with pytest.raises(ValueError, match=r"row\.json has other settings: game\.reward 'log_d' instead of 'd'"):
        kept_result(file, ("seconds", "records"), {**made_with, "game": {"reward": "log_d"}})
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"row\.json is not a readable result, and without the file the work"):
        kept_result(file, ("seconds", "records"), made_with)


@pytest.mark.parametrize("content", [b"{", b"[]", b"{}", b'{"environment": 1}', b'{"environment": {}, "sizes": 3}'])
def test_a_report_refuses_what_are_no_results(content: bytes, tmp_path: Path) -> None:
    page, file = tmp_path / "page.md", tmp_path / "results.json"
    page.write_text(old := "<!-- paper: begin -->\n<!-- paper: end -->\n")
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"results\.json is not a readable file of results"):
        paper_tables.report(file, page)
    with pytest.raises(ValueError, match="nowhere is not a readable file of published curves"):
        paper_tables.report(file, page, tmp_path / "nowhere")
    assert page.read_text() == old


def test_differences_are_taken_within_a_seed() -> None:
    def curve(shift: float) -> curves.Curve:
        return [(t, 3.0 + t + shift, 3.0 - t) for t in games.LEVELS]

    both = {"max. likelihood": [curve(0.0), curve(8.0)], "SeqGAN log D": [curve(-0.5), curve(7.5)]}
    cells = " | ".join(["-0.500 ± 0.000"] * len(games.LEVELS))
    assert f"| SeqGAN log D | {cells} | 12 of 12 levels, 2 of 2 seeds |" in games.differences(both)


def test_curves_are_compared_at_equal_diversity() -> None:
    """On the branch that a falling temperature takes: quality gets better there, and diversity worse."""
    curve = [(1.2, 4.0, 2.2), (1.0, 3.0, 2.0), (0.8, 2.0, 2.1), (0.6, 1.0, 2.5)]
    assert curves.quality_at(curve, 2.0) == pytest.approx(3.0)
    assert curves.quality_at(curve, 2.2) == pytest.approx(1.75)  # a quarter of the way, not the 4.0 on the other side
    assert curves.quality_at(curve, 2.5) == pytest.approx(1.0)
    assert curves.quality_at(curve, 1.9) is None
    assert curves.quality_at(curve, 2.6) is None
    assert curves.quality_at(curve[::-1], 2.3) == pytest.approx(1.5)


def test_curves_are_compared_at_equal_quality() -> None:
    curve = [(1.2, 5.0, 2.1), (1.0, 4.0, 2.0), (0.8, 3.0, 2.2), (0.6, 1.0, 2.6)]
    assert curves.diversity_at(curve, 3.5) == pytest.approx(2.1)
    assert curves.diversity_at(curve, 1.5) == pytest.approx(2.5)
    assert curves.diversity_at(curve[::-1], 4.5) == pytest.approx(2.05)
    assert curves.diversity_at(curve, 1.0) == 2.6
    assert curves.diversity_at(curve, 5.1) is None
    assert curves.diversity_at(curve, 0.9) is None
    worse = {"max. likelihood": [curve], "SeqGAN log D": [[(t, q, d + 1) for t, q, d in curve]]}
    assert "| SeqGAN log D | not reached |" in games.differences(worse)


def test_a_curve_lies_below_another_one_at_levels_that_both_have() -> None:
    """From the least nll_test of the baseline on; not below where it does not come to, nor compared past its end."""
    baseline = [(1.2, 5.0, 2.1), (1.0, 4.0, 2.0), (0.8, 3.0, 2.2), (0.6, 2.0, 2.4), (0.4, 1.0, 2.6)]

    def moved(quality: float, diversity: float) -> curves.Curve:
        return [(t, q + quality, d + diversity) for t, q, d in baseline]

    assert curves.levels_below(moved(-0.1, 0.0), baseline) == (4, 4)
    assert curves.levels_below(baseline, baseline) == (0, 4)
    assert curves.levels_below(moved(0.1, 0.0)[::-1], baseline) == (0, 4)
    assert curves.levels_below(moved(-2.0, 0.1), baseline) == (3, 4)  # it doesn't come down to 2.0
    assert curves.levels_below(moved(0.0, -0.1), baseline) == (3, 3)  # it ends at 2.5
    crossing = [(t, q + 4 * (t - 0.7), d) for t, q, d in baseline]
    assert curves.levels_below(crossing, baseline) == (2, 4)
    pairs = [moved(-0.1, 0.0), crossing, moved(0.0, -1.0)], [baseline] * 3
    assert curves.below_cell(*pairs) == "6 of 8 levels, 1 of 3 seeds"


def test_a_mean_over_seeds_is_that_of_a_column_which_each_seed_has() -> None:
    """A measure is left out of a record where it is not defined; and what is in no table is not in these."""
    whole = {"nll_test": 1.0, "discriminator_share_of_optimum": 0.5, "discriminator_calibration_error": 0.1}
    lines = games.table({"all": [whole, whole], "some": [whole, {"nll_test": 3.0}]}).splitlines()
    assert lines[0] == "| generator | nll test | D share of optimum |"
    assert lines[2] == "| all | 1.000 ± 0.000 | 0.500 ± 0.000 |"
    assert lines[3].startswith("| some | 2.000 ±")
    assert lines[3].endswith("|  |")


@pytest.mark.parametrize(
    ("name", "page", "results", "tables"),
    [
        ("ablations", "results.md", ABLATIONS.file, ABLATIONS.tables),
        ("agent", "results.md", agent.FILE, agent.tables),
        ("algorithms", "benchmark.md", algorithms.FILE, algorithms_tables.tables),
        ("discriminators", "results.md", discriminators.FILE, discriminators.tables),
        ("menu", "results.md", MENU.file, MENU.tables),
        ("paper", "results.md", paper.FILE, paper_tables.tables),
        ("regimes", "results.md", regimes.FILE, regimes_tables.tables),
        ("reranking", "results.md", reranking.FILE, reranking.table),
        ("rewards", "results.md", games.FILE, games.tables),
        ("search", "benchmark.md", algorithms.SEARCH, algorithms_tables.search_table),
        ("stable_baselines", "results.md", stable_baselines.FILE, stable_baselines.table),
        ("sweeps", "sweeps.md", sweeps.FILE, sweeps.tables),
        ("text", "results.md", text.FILE, text.tables),
        ("variance", "theory.md", variance.FILE, variance.tables),
    ],
)
def test_the_tables_are_made_from_the_committed_results(
    name: str, page: str, results: Path, tables: Callable[[Any], str]
) -> None:
    """And where none are committed, there are no tables."""
    expected = tables(json.loads(results.read_text(encoding="utf-8"))) if results.exists() else ""
    assert section(DOCS / page, name) == expected


@pytest.mark.skipif(not stable_baselines.FILE.exists(), reason="no results are committed")
def test_stable_baselines_trained_for_long_and_its_reward_moved() -> None:
    for run in json.loads(stable_baselines.FILE.read_text())["runs"]:
        assert run["timesteps"] >= 50_000
        assert run["versions"] == list(range(len(run["versions"])))
        assert np.ptp(run["mean_reward"]) > 0.1


@pytest.mark.skipif(not games.FILE.exists(), reason="no results are committed")
def test_with_the_exact_reward_the_agent_passes_maximum_likelihood_at_any_temperature() -> None:
    """In each committed scenario the 95 % interval of the difference in the sum of divergences lies below 0."""
    for scenario in json.loads(games.FILE.read_text())["scenarios"].values():
        rows = scenario["rows"]
        (exact,) = (own for name, own in rows.items() if name.startswith("SeqGAN exact") and "best T" not in name)
        pairs = zip(exact, rows["max. likelihood, best T"], strict=True)
        mean, half = interval([a["kl_sum"] - b["kl_sum"] for a, b in pairs])
        assert mean + half < 0


def test_a_section_is_replaced_and_the_rest_of_the_page_stays(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n")
    replace_section(page, "x", "new\n")
    assert page.read_text() == "a\n<!-- x: begin -->\nnew\n<!-- x: end -->\nb\n"
    with pytest.raises(ValueError, match="once each"):
        replace_section(page, "y", "new\n")


def test_the_tables_of_speed_are_made_from_the_committed_results() -> None:
    documents = [json.loads(file.read_text()) for file in speed.result_files()]
    assert "\n".join(tables(document) for document in documents) == section(speed.PAGE, "speed")
    assert episode_table(json.loads(speed.EPISODES.read_text())) == section(speed.PAGE, "episodes")


def test_speed_is_told_by_ratios_to_neighbours_in_time() -> None:
    """A machine that becomes half as fast for one repeat moves no ratio."""
    path = {"ours": [1.0, 2.0, 1.0], "reference": [8.0, 16.0, 8.0], "flops": 5e8, "bytes": 1e9, "target": ""}
    rates = [{"flops": 1e9, "bytes": 4e9}, {"flops": 5e8, "bytes": 2e9}, {"flops": 1e9, "bytes": 4e9}]
    row = rows({"paths": {"it": {**path, "rates": rates}}})["it"]
    assert row == {"seconds": 1.0, "floor": 0.75, "over_floor": 4 / 3, "reference": 8.0, "speedup": 8.0}


def test_speed_is_measured_beside_the_machine_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = rates()  # once, which takes seconds
    assert machine.keys() == {"flops", "bytes"}
    assert all(rate > 1e6 for rate in machine.values())
    monkeypatch.setattr("benchmarks.speed.measuring.rates", lambda device: machine)
    calls: list[str] = []
    both = HotPath(lambda: calls.append("ours"), lambda: calls.append("reference"), flops=1.0)
    alone = HotPath(lambda: None)
    measured = measure({"both": both, "alone": alone}, repeats=2)
    assert [len(measured["both"][of]) for of in ("ours", "reference", "rates")] == [2, 2, 2]
    assert calls == ["ours"] + 2 * (9 * ["ours"] + ["reference"])  # a warm-up; what takes no time is run nine times
    assert measured["alone"]["reference"] == []
    assert measured["both"]["rates"] == [machine] * 2


def test_single_precision_is_near_double_precision() -> None:
    size = Size(vocab_size=200, max_length=6, n_episodes=4, n_sequences=50, filters=((1, 8), (3, 8)))
    found = errors(Setting(size), "highest")
    assert 0 < found["reward_error"] < 1e-5
    assert 0 < found["log_prob_error"] < 1e-4
