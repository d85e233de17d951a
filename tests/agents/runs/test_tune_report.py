"""The table, the flags and the picture of a search."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from agents.runs.search_space import SPACE, Range, to_plain
from agents.runs.tune_report import best_first, draw, search_table, train_flags

LOG = {"low": 0.001, "high": 0.1, "log": True, "step": None}


def results(*trials: tuple[str, list[float]]) -> dict[str, Any]:
    """A search of two settings with these states and likelihoods."""
    return {
        "space": {"pretraining.learning_rate": LOG, "pretraining.schedule": ["cosine", "plateau"]},
        "trials": [
            {
                "number": number,
                "state": state,
                "settings": {"pretraining.learning_rate": 0.01 * (number + 1), "pretraining.schedule": "plateau"},
                "nll_validation": min(values, default=None),
                "values": values,
                "seconds": 2.0,
            }
            for number, (state, values) in enumerate(trials)
        ],
    }


SEARCH = results(("complete", [3.0, 2.5, 2.625]), ("pruned", [1.0]), ("complete", [2.0, 2.25, 2.5]), ("pruned", []))


def test_the_best_is_a_trial_that_made_all_its_epochs() -> None:
    assert [trial["number"] for trial in best_first(SEARCH)] == [2, 0]
    assert train_flags(SEARCH) == ["--pretraining.learning-rate", "0.03", "--pretraining.schedule", "plateau"]
    assert train_flags(results(("pruned", []))) == []


def test_the_table_has_the_best_trials_and_their_settings() -> None:
    page = io.StringIO()
    Console(width=110, file=page).print(search_table(SEARCH, n=1))
    text = page.getvalue()
    assert "the best of 4 trials" in " ".join(text.split())
    assert "2 trials were ended early" in " ".join(text.split())
    lines = [line.split("  ")[0].strip() + ": " + line.split()[-1] for line in text.splitlines() if line.strip()]
    expected = ["trial: 2", "NLL: 2.0000", "epoch: 1", "learning rate: 0.03", "schedule: plateau", "seconds: 2"]
    assert [line for line in lines if line in expected] == expected


def test_the_table_of_all_that_is_searched_fits_a_terminal() -> None:
    settings = {name: 1.23e-05 if isinstance(values, Range) else values[0] for name, values in SPACE.items()}
    trial = {"number": 10, "state": "complete", "settings": settings, "nll_validation": 1.9, "values": [1.9]}
    trials = [{**trial, "seconds": 1234.0}] * 20
    page = io.StringIO()
    Console(width=80, file=page).print(search_table({"space": to_plain(SPACE), "trials": trials}))
    assert "\N{HORIZONTAL ELLIPSIS}" not in page.getvalue()
    assert page.getvalue().count("1.9000") == 6


@pytest.mark.parametrize("search", [SEARCH, results(("pruned", [])), results()], ids=["some", "diverged", "none"])
def test_the_picture_has_a_panel_for_each_setting(
    search: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Matplotlib warns where the search for a legend's place takes it a second, as it does on a busy machine."""
    monkeypatch.setattr("matplotlib.legend.Legend._find_best_position", lambda *_: pytest.fail("it is searched for"))
    draw(search, tmp_path / "tune.png")
    with Image.open(tmp_path / "tune.png") as image:
        width, height = image.size
    assert width > 2 * height
