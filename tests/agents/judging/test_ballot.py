"""A person's answers about pairs of texts are kept, and turned into a preference with an interval."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from agents.judging import Ballot, Pair, Preference, draw_pairs
from agents.judging import ballot as ballot_module
from agents.runs.experiment import Experiment
from agents.runs.folder import RunFolder
from seqgan_env.files import COMPRESSED
from tests.support.runs import SHORT, without_pictures

PAIRS = [Pair("one", "eins", True), Pair("two", "zwei", False), Pair("three", "drei", True)]


def lines_file(folder: Path, name: str, n: int) -> str:
    path = folder / name
    path.write_text("".join(f"{name} {i}\n\n" for i in range(n)))
    return str(path)


class TestPairs:
    def test_lines_of_files_are_drawn_without_replacement(self, tmp_path: Path) -> None:
        a, b = lines_file(tmp_path, "a", 40), lines_file(tmp_path, "b", 60)
        pairs = draw_pairs(a, b, 40, seed=1)
        assert sorted(pair.a for pair in pairs) == sorted(f"a {i}" for i in range(40))
        assert len({pair.b for pair in pairs}) == 40
        assert 0 < sum(pair.a_is_left for pair in pairs) < 40

    def test_they_follow_the_seed(self, tmp_path: Path) -> None:
        files = lines_file(tmp_path, "a", 40), lines_file(tmp_path, "b", 60)
        drawn = [draw_pairs(*files, 10, seed=seed) for seed in (0, 0, 1)]
        assert drawn[0] == drawn[1] != drawn[2]

    def test_the_places_do_not_follow_the_sides(self, tmp_path: Path) -> None:
        files = lines_file(tmp_path, "a", 200), lines_file(tmp_path, "b", 200)
        n_left = sum(pair.a_is_left for pair in draw_pairs(*files, 200))
        assert binomtest(n_left, 200).pvalue > 1e-3

    def test_a_side_may_be_a_run_and_both_the_same(self, tmp_path: Path) -> None:
        with without_pictures():
            Experiment(SHORT, tmp_path / "run").run()
        run = str(tmp_path / "run")
        pairs = draw_pairs(run, run, 8)
        assert all(pair.a != pair.b for pair in pairs)
        assert all(word.isdecimal() for pair in pairs for word in f"{pair.a} {pair.b}".split())

    def test_equal_texts_make_no_pair(self, tmp_path: Path) -> None:
        for name, lines in (("a", "x\nx\nx\n"), ("b", "x\nx\ny\n")):
            (tmp_path / name).write_text(lines)
        a, b = str(tmp_path / "a"), str(tmp_path / "b")
        assert [(pair.a, pair.b) for pair in draw_pairs(a, b, 1)] == [("x", "y")]
        with pytest.raises(ValueError, match="2 pairs of texts that differ, got 1 of 3"):
            draw_pairs(a, b, 2)

    def test_no_space_at_an_end_tells_a_run_from_a_file(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Generator:
            def texts(self, n: int, *, seed: int) -> list[str]:
                return [f" {seed} {i}\t" for i in range(n)]

        monkeypatch.setattr(ballot_module, "load_generator", lambda folder, device: Generator())
        monkeypatch.setattr(RunFolder, "holds_run", True)
        assert all(text == text.strip() for pair in draw_pairs("a", "b", 3) for text in pair[:2])

    def test_texts_that_look_equal_make_no_pair(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("caf\u00e9  x\ny\n")
        (tmp_path / "b").write_text("cafe\u0301\tx\n" * 2)
        drawn = [draw_pairs(str(tmp_path / "a"), str(tmp_path / "b"), 1, seed=seed) for seed in range(8)]
        assert {pair.a for pairs in drawn for pair in pairs} == {"y"}

    def test_what_nobody_can_see_makes_no_pair(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("\u200b\n\u2060\u00ad\nx\u200b\nz\n", encoding="utf-8")
        (tmp_path / "b").write_text("x\n\ufeff\u200d\nx\n", encoding="utf-8")
        drawn = [draw_pairs(str(tmp_path / "a"), str(tmp_path / "b"), 1, seed=seed) for seed in range(8)]
        assert {pair[:2] for pairs in drawn for pair in pairs} == {("z", "x")}

    @pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "A.JSONL.XZ"])
    def test_a_field_of_json_is_that_of_the_file_that_has_some(self, tmp_path: Path, name: str) -> None:
        file, plain = tmp_path / name, lines_file(tmp_path, "b", 3)
        suffix = file.suffix.lower()
        with COMPRESSED[suffix](file, "wb") if suffix in COMPRESSED else file.open("wb") as stream:
            stream.write(b'{"text": "no", "caption": "yes"}\n\n')
        assert draw_pairs(str(file), plain, 1)[0].a == "no"
        assert draw_pairs(plain, str(file), 1, text_field="caption")[0].b == "yes"
        with pytest.raises(ValueError, match="line 1 has no field 'other'"):
            draw_pairs(str(file), plain, 1, text_field="other")
        with pytest.raises(ValueError, match="text_field is of lines of JSON, which neither"):
            draw_pairs(plain, plain, 1, text_field="caption")

    def test_wrong_sides_are_refused(self, tmp_path: Path) -> None:
        good = lines_file(tmp_path, "a", 3)
        (tmp_path / "empty").write_text("\n \n")
        (tmp_path / "binary").write_bytes(b"\x00\xff")
        with pytest.raises(ValueError, match="no run in"):
            draw_pairs(good, str(tmp_path), 1)
        for name, reason in (("empty", "at least one line"), ("binary", "UTF-8"), ("nowhere", "No such file")):
            with pytest.raises(ValueError, match=reason):
                draw_pairs(good, str(tmp_path / name), 1)
        for n in (0, 10**9):
            with pytest.raises(ValueError, match=f"n must be .*, got {n}"):
                draw_pairs(good, good, n)


class TestBallot:
    def test_answers_go_on_where_they_were(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "ballot.json"
        ballot = Ballot(path, ("A", "B"), PAIRS)
        assert not path.parent.exists()
        ballot.answer(0, "a")
        ballot.answer(1, "b")
        again = Ballot(path, ("A", "B"), PAIRS)
        assert (again.answers, again.next) == (["a", "b"], 2)
        again.take_back()
        again.answer(1, "tie")
        again.answer(2, "a")
        last = Ballot(path, ("A", "B"), PAIRS)
        assert (last.next, last.preference) == (None, Preference(2, 0, 1))

    def test_an_answer_is_about_the_next_pair(self, tmp_path: Path) -> None:
        ballot = Ballot(tmp_path / "ballot.json", ("A", "B"), PAIRS)
        ballot.take_back()
        for index, choice in ((1, "a"), (-1, "a"), (0, "left")):
            with pytest.raises(ValueError, match="answer must be"):
                ballot.answer(index, choice)
        for index in range(3):
            ballot.answer(index, "a")
        with pytest.raises(ValueError, match="about pair None"):
            ballot.answer(3, "a")
        assert ballot.answers == ["a"] * 3

    def test_answers_about_other_pairs_are_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "ballot.json"
        Ballot(path, ("A", "B"), PAIRS).answer(0, "a")
        with pytest.raises(ValueError, match="other pairs"):
            Ballot(path, ("A", "B"), PAIRS[::-1])

    def test_a_file_without_answers_keeps_nobody_out(self, tmp_path: Path) -> None:
        path = tmp_path / "ballot.json"
        Ballot(path, ("A", "B"), PAIRS).check_place()
        assert json.loads(path.read_text())["answers"] == []
        other = Ballot(path, ("A", "B"), PAIRS[::-1])
        other.answer(0, "a")
        assert Ballot(path, ("A", "B"), PAIRS[::-1]).answers == ["a"]

    def test_names_that_are_no_text_are_kept(self, tmp_path: Path) -> None:
        path, sides = tmp_path / "ballot.json", (os.fsdecode(b"\xff"), "B")
        Ballot(path, sides, PAIRS).answer(0, "a")
        assert json.loads(path.read_text())["sides"] == list(sides)
        assert Ballot(path, sides, PAIRS).answers == ["a"]

    def test_a_second_program_is_noticed(self, tmp_path: Path) -> None:
        path = tmp_path / "ballot.json"
        one, other = (Ballot(path, ("A", "B"), PAIRS) for _ in range(2))
        one.answer(0, "a")
        with pytest.raises(ValueError, match="changed by another program"):
            other.answer(0, "b")
        one.answer(1, "a")
        assert (other.answers, Ballot(path, ("A", "B"), PAIRS).answers) == ([], ["a", "a"])

    @pytest.mark.parametrize(
        "damage",
        [
            lambda stored: stored | {"answers": ["left"]},
            lambda stored: stored | {"answers": "a"},
            lambda stored: stored | {"answers": ["a"] * 4},
            lambda stored: stored | {"pairs": 3},
            lambda stored: {name: stored[name] for name in ("sides", "pairs")},
            lambda stored: [stored],
        ],
    )
    def test_a_damaged_file_is_refused(self, tmp_path: Path, damage) -> None:  # type: ignore[no-untyped-def]
        path = tmp_path / "ballot.json"
        Ballot(path, ("A", "B"), PAIRS).answer(0, "a")
        path.write_text(json.dumps(damage(json.loads(path.read_text()))))
        with pytest.raises(ValueError, match="not a readable ballot"):
            Ballot(path, ("A", "B"), PAIRS)


class TestPreference:
    @pytest.mark.parametrize("a", [0, 1, 17, 30])
    @pytest.mark.parametrize("b", [0, 5, 30])
    def test_the_interval_is_wilsons(self, a: int, b: int) -> None:
        found = Preference(a, b, 3)
        if not a + b:
            assert math.isnan(found.share)
            assert found.interval == (0.0, 1.0)
            return
        right = binomtest(a, a + b).proportion_ci(0.95, method="wilson")
        np.testing.assert_allclose(found.interval, (right.low, right.high), atol=1e-7)

    @pytest.mark.parametrize(
        ("counts", "meaning"),
        [((9, 0), "A is preferred"), ((1, 20), "B is preferred"), ((6, 5), "no preference"), ((0, 0), "Nothing")],
    )
    def test_the_verdict_says_no_more_than_the_interval(
        self, tmp_path: Path, counts: tuple[int, int], meaning: str
    ) -> None:
        ballot = Ballot(tmp_path / "ballot.json", ("A", "B"), [PAIRS[0]] * 30)
        ballot.answers = ["a"] * counts[0] + ["b"] * counts[1] + ["tie"] * 4
        assert meaning in ballot.verdict

    def test_the_verdict_is_a_sentence(self, tmp_path: Path) -> None:
        ballot = Ballot(tmp_path / "ballot.json", ("A", "A"), PAIRS)
        ballot.answer(0, "b")
        assert ballot.verdict == (
            "1 pair: A (first) was preferred in 0, A (second) in 1, neither in 0. A (first)'s share of the one decided "
            "pair is 0.0 %, 95 % interval 0.0 to 79.3 %: no preference is shown."
        )

    @pytest.mark.parametrize(
        ("n", "share", "low", "high"), [(50, 0.7, 0.8, 0.9), (50, 0.6, 0.3, 0.36), (200, 0.6, 0.8, 0.9)]
    )
    def test_the_questions_say_how_many_pairs_tell(self, n: int, share: float, low: float, high: float) -> None:
        """The numbers in docs/faq.md: how often so many pairs show a preference of so much."""
        shows = [k for k in range(n + 1) if Preference(k, n - k, 0).interval[0] > 0.5]
        assert low < float(np.sum(binom.pmf(shows, n, share))) < high
