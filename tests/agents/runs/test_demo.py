"""``seqgan demo``, at a scale at which it takes seconds: all that it promises comes out."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from agents.cli import main
from agents.runs.demo import DEMO, demo_runs
from agents.runs.folder import RunFolder
from agents.runs.presets import PRESETS

LABELS = ("log D", "both KL, generative", "constant", "exact both KL")


def test_a_share_of_the_demo_is_the_same_games_but_shorter() -> None:
    whole = demo_runs(3)
    assert whole == {name: dataclasses.replace(PRESETS["demo"].changed(DEMO[name]), seed=3) for name in DEMO}
    for name, short in demo_runs(3, scale=0.01).items():
        assert short.agent.n_updates == -(-whole[name].agent.n_updates // 100)
        assert (short.task.n_real, short.pretraining.n_epochs, short.adversary.n_rounds) == (100, 1, 1)
        assert short.label == whole[name].label


@pytest.mark.parametrize("scale", ["0", "1.5"])
def test_no_more_than_the_whole_can_be_played(scale: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--scale", scale, "--out", str(tmp_path / "demo")]) == 2
    assert f"scale must be a finite number above 0 and at most 1, got {float(scale)}" in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()


def test_the_demo_shows_tables_sentences_and_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.runs.report._PANELS", ())  # of the pictures only the last one, as they take long
    assert main(["demo", "--scale", "0.005", "--workers", "1", "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    before, after = re.split(r"SeqGAN on the embedded grammar *\n", shown)[1:]
    rows = ["random", "max. likelihood", *(f"SeqGAN {label}" for label in LABELS)]
    row_of = re.compile(rf"^ ({'|'.join(map(re.escape, rows))}) +\d", re.MULTILINE)
    assert (row_of.findall(before), row_of.findall(after)) == (rows[:2], rows)
    assert "KL sum: the sum of both divergences" in after
    report = RunFolder(tmp_path).report.read_text(encoding="utf-8")
    for name, label in zip(DEMO, LABELS, strict=True):
        lines = RunFolder(tmp_path / name).samples.read_text(encoding="utf-8").splitlines()
        sentences = "".join(f"  {line}\n" for line in lines[:4])
        assert f"\nSentences after training with {label}:\n{sentences}" in after
        assert f"with the reward {label}</h2><ol><li>" in report
        assert "Quality against diversity" in RunFolder(tmp_path / name).report.read_text(encoding="utf-8")
    assert len(re.findall(r'<img alt="Quality against diversity: [^"]+" src="data:image/png;base64,', report)) == 1
    assert re.search(r"large enough .* gains\s+nothing from log D .* and both .* likelihood\s+ratio", after)
    assert shown.endswith(f"report: {RunFolder(tmp_path).report}\n")
