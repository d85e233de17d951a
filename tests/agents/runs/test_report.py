"""Tables, legends and pages show what the metrics declare, and nothing else."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from agents.runs.experiment import Experiment
from agents.runs.report import (
    Lengths,
    legend,
    markdown_table,
    rich_table,
    shown_columns,
    summary,
    write_comparison,
    write_report,
)
from seqgan_env.metrics import METRICS, Column, EvaluationBatch, columns, register_metric
from tests.support.browser import too_wide
from tests.support.runs import TINY, changed


class Length:
    """A metric of one's own."""

    columns = {
        "mean_length": Column(
            "mean length",
            "tokens",
            "neither",
            "length of generated sequences",
            panel="lengths",
            narrow="mean\nlen.",
        )
    }

    def __call__(self, batch: EvaluationBatch) -> dict[str, float]:
        return {"mean_length": float(batch.source.spec.lengths(batch.generated_BT).mean())}


@pytest.fixture
def _with_lengths() -> Iterator[None]:
    register_metric("length", Length())
    yield
    METRICS.unregister("length")


def of_text() -> list[dict[str, Any]]:
    """Records of a run on text, whose true distribution is not known."""
    measured = {"nll_test": 3.0, "entropy": 2.0, "distinct": 0.5}
    judged = {
        "discriminator_accuracy": 0.6,
        "discriminator_log_loss": 0.5,
        "discriminator_calibration_error": 0.1,
        "discriminator_version": 1,
    }
    return [
        {"phase": "random", "step": 0, **measured},
        {"phase": "maximum_likelihood", "step": 1, "nll_validation": 2.5, **measured},
        {"phase": "maximum_likelihood", "step": 2, "nll_validation": 2.4, **measured},
        {"phase": "discriminator", "step": 1, **measured, **judged},
        {"phase": "adversarial", "step": 0, **measured, **judged},
        {"phase": "adversarial", "step": 2, **measured, **judged},
    ]


def printed(records: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    Console(file=out, width=200).print(rich_table(summary({"log D": records}), "a run"))
    return out.getvalue()


def test_a_title_is_shown_as_it_is_and_moves_no_cursor() -> None:
    """It is the name of a file, which may hold anything."""
    out = io.StringIO()
    title = "[red]\x1b[2J.txt"
    Console(file=out, width=200, force_terminal=True).print(rich_table(summary({"log D": of_text()}), title))
    assert r"[red]\x1b[2J.txt" in out.getvalue()
    assert "\x1b[2J" not in out.getvalue()


def test_a_narrow_terminal_shows_every_number_whole() -> None:
    """Of all the columns that terminals have, beside the longest name."""
    row = {name: 2.345 for name, column in columns().items() if column.narrow}
    out = io.StringIO()
    Console(file=out, width=80, force_terminal=True).print(
        rich_table({"SeqGAN log-ratio, generative, T = 0.85": row}, "")
    )
    assert "\u2026" not in out.getvalue()
    assert out.getvalue().count("2.345") == len(row)


def page_of(records: list[dict[str, Any]], folder: Path, lengths: Lengths | None = None) -> str:
    write_report(folder / "report.html", TINY, records, ["a b c"], lengths or {})
    return re.sub('base64,[^"]*', "", (folder / "report.html").read_text(encoding="utf-8"))


def plots(page: str) -> list[str]:
    return re.findall(r'<img alt="([^"]*)"', page)


@pytest.mark.usefixtures("without_pictures")
def test_the_page_of_several_runs_fits_a_phone(tmp_path: Path) -> None:
    config = changed(TINY, task={"held_out": "/a/long/path/to/a/file/of/sequences/that/nothing/has/learned/from.txt"})
    write_comparison(tmp_path / "report.html", config, {"word " * 20: of_text()}, {"x" * 100: ["y" * 100]}, {})
    assert too_wide(tmp_path, (tmp_path / "report.html").as_uri()) == {}


def test_a_name_is_no_formula(tmp_path: Path) -> None:
    write_comparison(tmp_path / "report.html", TINY, {"$x_$": of_text(), "b": of_text()}, {}, {})
    assert "Adversarial game" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_table_has_a_line_for_each_row_whatever_is_in_it() -> None:
    assert markdown_table({"a|b": {"x\ny": "1"}}, ["x\ny"]).splitlines() == [
        "| generator | x y |",
        "|---|---|",
        r"| a\|b | 1 |",
    ]


@pytest.mark.usefixtures("_with_lengths")
def test_a_metric_of_ones_own_is_measured_printed_and_drawn(tmp_path: Path) -> None:
    config = changed(TINY, pretraining={"n_epochs": 1}, adversary={"n_rounds": 1}, agent={"n_updates": 2})
    experiment = Experiment(config, tmp_path / "run", progress=False)
    records = experiment.run()
    assert all(record["mean_length"] == 5 for record in records)
    table = printed(records)
    assert re.search(r"\bmean\b.*\n.*\blen\.", table)
    assert "mean length: length of generated sequences (tokens)" in table
    page = experiment.folder.report.read_text(encoding="utf-8")
    assert "<th>mean length</th>" in page
    assert "mean length: length of generated sequences (tokens)" in page
    assert {"Maximum likelihood: lengths", "Adversarial game: lengths"} <= set(plots(page))


def test_a_metric_that_is_not_registered_is_not_shown(tmp_path: Path) -> None:
    records = [{**record, "mean_length": 5.0} for record in of_text()]
    assert "mean length" not in printed(records) + page_of(records, tmp_path)


def test_a_column_that_is_in_no_table_is_drawn_and_no_more(tmp_path: Path) -> None:
    assert "calibration" not in printed(of_text())
    page = page_of(of_text(), tmp_path)
    assert page.count("calibration") == sum("calibration" in plot for plot in plots(page)) == 2


def test_the_legend_explains_the_columns_that_are_shown_and_no_others(tmp_path: Path) -> None:
    rows = summary({"log D": of_text()})
    shown = shown_columns(rows)
    assert set(shown) == {"nll_test", "entropy", "distinct", "discriminator_accuracy", "discriminator_log_loss"}
    lines = legend(shown)
    assert [line.split(":")[0] for line in lines] == [column.label for column in shown.values()]
    for text in (printed(of_text()), page_of(of_text(), tmp_path)):
        assert "nll test" in text
        for unknown in ("nll oracle", "KL", "grammatical", "D*"):
            assert unknown not in text


def test_the_legend_says_which_direction_is_better() -> None:
    columns = {
        "up": Column("up", "share", "higher", "one"),
        "down": Column("down", "nats", "lower", "another"),
        "either": Column("either", "nats", "neither", "a third"),
    }
    assert legend(columns) == [
        "up: one (share, higher is better)",
        "down: another (nats, lower is better)",
        "either: a third (nats)",
    ]


def test_a_plot_is_drawn_of_what_was_measured_and_of_nothing_else(tmp_path: Path) -> None:
    """Without a known distribution there are no divergences, and no trade-off by temperature."""
    assert plots(page_of(of_text(), tmp_path)) == [
        "Maximum likelihood: likelihoods",
        "Discriminator&#x27;s pretraining: log-loss on held-out sequences",
        "Discriminator&#x27;s pretraining: calibration error on held-out sequences",
        "Adversarial game: likelihoods",
        "Adversarial game: log-loss on held-out sequences",
        "Adversarial game: calibration error on held-out sequences",
    ]


def test_the_place_of_a_legend_is_not_searched_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Matplotlib warns where the search takes it a second, as it does on a busy machine."""
    monkeypatch.setattr("matplotlib.legend.Legend._find_best_position", lambda *_: pytest.fail("it is"))
    assert plots(page_of(of_text(), tmp_path))


def test_the_rows_are_the_stages_of_the_generator() -> None:
    """The beginning of the game stands for maximum likelihood, and before there is a game its best epoch."""
    first, worst, best, _, start, last = of_text()
    assert summary({"log D": [first, worst, best]})["max. likelihood"] == best
    start["nll_test"], last["nll_test"] = 1.0, 0.5
    rows = summary({"log D": [first, worst, best, start, last]})
    assert list(rows) == ["random", "max. likelihood", "SeqGAN log D"]
    assert rows["random"] == first
    assert rows["max. likelihood"]["nll_test"] == 1.0
    assert rows["max. likelihood"]["discriminator_accuracy"] == 0.6
    assert rows["SeqGAN log D"] == last


def test_each_generator_has_a_row_at_the_temperature_that_suits_it_best(tmp_path: Path) -> None:
    """The least sum of both divergences decides, of maximum likelihood and of each game by itself."""

    def at(phase: str, sums: dict[float, float]) -> list[dict[str, Any]]:
        return [
            {"phase": phase, "step": 2, "temperature": t, "kl_sum": s, "nll_oracle": s + 2, "nll_test": 3 - s, **MORE}
            for t, s in sums.items()
        ]

    likelihood, game = at("temperature", {1.2: 0.9, 1.0: 0.5, 0.8: 0.4}), at("final_temperature", {1.0: 0.2, 0.8: 0.3})
    records = {
        "log D": [*of_text(), *likelihood, *game],
        "constant": [*of_text(), *at("final_temperature", {0.5: 0.7})],
    }
    rows = summary(records)
    assert [name for name in rows if "T =" in name] == [
        "max. likelihood, T = 0.8",
        "SeqGAN log D, T = 1",
        "SeqGAN constant, T = 0.5",
    ]
    assert rows["max. likelihood"] == {**likelihood[1], **rows["max. likelihood"]}
    assert rows["SeqGAN log D, T = 1"] == game[0]
    page = page_of(records["log D"], tmp_path)
    assert plots(page)[-1] == "Quality against diversity: nll oracle, nll test"


def test_text_has_curves_over_temperature_of_its_own_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = {}

    def finished(figure: Any, axes: Any, title: str, x_label: str, y_label: str) -> str:
        if "temperature" in title:
            drawn[x_label] = (title, y_label, [list(line.get_xydata().tolist()) for line in axes.lines])
        return ""

    monkeypatch.setattr("agents.runs.report._finished", finished)
    more = [
        {"phase": phase, "step": 2, "temperature": t, "bleu_4": 1 - t / 2, "self_bleu_4": 0.9 - t / 2 + shift, **MORE}
        for phase, shift in (("temperature", 0.0), ("final_temperature", 0.25))
        for t in (1.0, 0.5)
    ]
    scores = {"lm_forward": 2.0, "lm_reverse": 4.0}
    assert not [name for name in summary({"log D": [*of_text(), *more]}) if "T =" in name]  # no number sums it up
    page_of([*of_text(), *({**r, **scores} for r in more)], tmp_path)
    title, y_label, lines = drawn["BLEU-4 (BLEU)"]
    assert "down and right is better" in title
    assert y_label == "Self-BLEU-4 (BLEU)"
    curves = [[[0.5, 0.4], [0.75, 0.65]], [[0.5, 0.4]], [[0.5, 0.65], [0.75, 0.9]], [[0.5, 0.65]]]
    np.testing.assert_allclose(np.concatenate(lines), np.concatenate(curves))
    assert "down and left is better" in drawn["LM forward (nats per token)"][0]
    assert len(drawn) == 2


def test_a_curve_may_lack_the_temperature_1(tmp_path: Path) -> None:
    """The metrics of a pair may be undefined on one sample."""
    points = [{"phase": "temperature", "step": 2, "temperature": t, **MORE} for t in (1.2, 1.0, 0.8)]
    for i in (0, 2):
        points[i] |= {"bleu_4": 0.5, "self_bleu_4": 0.4}
    assert plots(page_of([*of_text(), *points], tmp_path))[-1].startswith("Quality against diversity: BLEU-4")


def test_steps_and_lengths_are_counted_in_whole_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = {}

    def finished(figure: Any, axes: Any, title: str, x_label: str, y_label: str) -> str:
        ticks[x_label] = axes.get_xticks()
        return ""

    monkeypatch.setattr("agents.runs.report._finished", finished)
    page_of(of_text(), tmp_path, {"real": np.array([1, 3])})
    assert len(ticks) == 4
    for name, found in ticks.items():
        assert (found % 1 == 0).all(), name


def test_lengths_are_drawn_where_they_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = {}

    def finished(figure: Any, axes: Any, title: str, x_label: str, y_label: str) -> str:
        drawn[title] = {line.get_label(): line.get_ydata().tolist() for line in axes.lines}
        return ""

    monkeypatch.setattr("agents.runs.report._finished", finished)
    lengths = {"generated": np.array([2, 2, 2, 4]), "real": np.array([1, 3])}
    assert plots(page_of(of_text(), tmp_path, lengths))[-1] == "Lengths"
    assert drawn["Lengths"] == {"generated": [0, 0, 0.75, 0, 0.25], "real": [0, 0.5, 0, 0.5]}
    assert "Lengths" not in plots(page_of(of_text(), tmp_path, {name: np.full(3, 5) for name in lengths}))


MORE = {"entropy": 2.0, "distinct": 0.5}
