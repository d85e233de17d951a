"""A search that learns: what it proposes depends on what was before, and on nothing else."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.runs.workers import Outcome
from agents.sweeps import driver, run_sweep
from agents.sweeps.adaptive import Proposals
from agents.sweeps.cells import Cell
from agents.sweeps.folder import Result
from agents.sweeps.graph import Node
from agents.sweeps.search import Search, search_of
from agents.sweeps.spec import cells_of
from tests.support.sweeps import HereEngine, pretend, result_of, spec_with

RATE = {"low": 1e-5, "high": 1e-1, "log": True}
BEST = 1e-3


def search(**changes: Any) -> Search:
    return search_of("it", {"trials": 12, "sampler": "tpe", "metric": "kl_sum", "learning_rate": RATE, **changes})


def proposals(search: Search, worth: Callable[[Mapping[str, Any]], float | None]) -> list[dict[str, Any]]:
    return Proposals(search).more(worth)


def loss(settings: Mapping[str, Any], best: float = BEST) -> float:
    return abs(math.log10(settings["learning_rate"] / best))


@pytest.mark.parametrize("at_once", [1, 3, 5])
def test_a_batch_is_proposed_when_all_before_it_is_known_and_from_that_alone(at_once: int) -> None:
    wanted = search(at_once=at_once)
    whole = proposals(wanted, loss)
    assert len(whole) == 12
    for n_known in range(12):
        known = [settings["learning_rate"] for settings in whole[:n_known]]
        found = proposals(wanted, lambda settings: loss(settings) if settings["learning_rate"] in known else None)  # noqa: B023
        assert found == whole[: at_once * (n_known // at_once + 1)]


def test_what_is_known_is_asked_for_once_and_a_search_that_goes_on_is_the_same_as_one_that_begins_again() -> None:
    """So its time is not that of all its batches for each batch, and a kill changes nothing."""
    asked: list[float] = []

    def worth(settings: Mapping[str, Any]) -> float | None:
        rate = settings["learning_rate"]
        return asked.append(rate) or loss(settings) if rate in known else None

    goes_on, known = Proposals(search()), list[float]()
    found: list[dict[str, Any]] = []
    while more := goes_on.more(worth):
        assert len(more) == 4
        found += more
        known += [settings["learning_rate"] for settings in more]
    assert found == proposals(search(), loss)
    assert asked == known


def test_more_trials_add_to_those_that_there_are_and_another_seed_draws_others() -> None:
    assert proposals(search(trials=24), loss)[:12] == proposals(search(), loss)
    assert not {*map(str, proposals(search(), loss))} & {*map(str, proposals(search(seed=1), loss))}


def test_it_learns_where_the_best_settings_are() -> None:
    """The last trials are nearer than the first; of independent draws that is three standard deviations away."""
    loss_ST = np.array([list(map(loss, proposals(search(trials=40, seed=seed), loss))) for seed in range(5)])
    assert loss_ST[:, -12:].mean() < 2 / 3 * loss_ST[:, :12].mean()


def test_settings_are_those_of_their_ranges() -> None:
    ranges = {"x": {"low": 0.5, "high": 0.9}, "n": {"low": 0.5, "high": 3.5, "whole": True}, "of": [[1, 2], "a", None]}
    found = proposals(search(trials=40, **ranges), lambda settings: float(len(str(settings))))
    assert {settings["n"] for settings in found} == {1, 2, 3}
    assert {str(settings["of"]) for settings in found} == {"[1, 2]", "a", "None"}
    for settings in found:
        assert 0.5 <= settings["x"] <= 0.9
        assert settings["x"] == float(f"{settings['x']:.3g}")


@pytest.mark.parametrize("bad", [math.inf, math.nan])
@pytest.mark.parametrize("at_once", [1, 4, 20])
def test_a_failure_is_the_worst_and_nothing_but_failures_is_the_end(bad: float, at_once: int) -> None:
    wanted = search(trials=40, at_once=at_once)
    assert len(proposals(wanted, lambda settings: bad)) == max(4, at_once)
    first = proposals(wanted, lambda settings: None)[0]
    found = proposals(wanted, lambda settings: bad if settings == first or settings["learning_rate"] > BEST else 1.0)
    late = [settings["learning_rate"] > BEST for settings in found[-20:]]
    assert len(found) == 40
    assert np.mean(late) < 0.4


# In a sweep


def spec(**changes: Any) -> dict[str, Any]:
    learning = {"trials": 14, "at_once": 6, "sampler": "tpe", "metric": "kl_sum", "learning_rate": RATE}
    learning |= changes.pop("search", {})
    return spec_with(algorithm=[{"name": "a2c", "search": learning}], **changes)


def playing(score: Callable[[Cell], float], metric: str = "kl_sum") -> Callable[..., bytes]:
    """Work that takes no time, and ends with a score."""

    def work(node: Node, *inputs: bytes) -> bytes:
        if not isinstance(node.work, Cell):
            return pretend(node, *inputs)
        result = result_of(node.work)
        result["records"][-1][metric] = score(node.work)
        return json.dumps(result).encode()

    return work


def cell_loss(cell: Cell) -> float:
    return loss(cell.settings)


@pytest.fixture(autouse=True)
def _unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "check", lambda cell: None)


def sweep(out: Path, spec: dict[str, Any], engine: HereEngine | None = None) -> list[Result]:
    return run_sweep(spec, out, engine=engine or HereEngine(playing(cell_loss)), progress=False)


def rates(results: list[Result], reward: str = "log_d") -> list[float]:
    own = [result for result in results if result["axes"]["reward"] == reward]
    return sorted({result["settings"]["learning_rate"] for result in own})


def test_every_trial_is_played_with_every_seed_once(tmp_path: Path) -> None:
    engine = HereEngine(playing(cell_loss))
    results = sweep(tmp_path, spec(seeds=[0, 1]), engine)
    assert engine.kinds.count("run") == len(results) == 28
    assert engine.kinds.count("pretraining") == 2
    expected = proposals(search(trials=14, at_once=6), loss)
    assert rates(results) == sorted(settings["learning_rate"] for settings in expected)
    again = HereEngine(playing(cell_loss))
    assert sweep(tmp_path, spec(seeds=[0, 1]), again) == results
    assert again.submitted == []
    wider = HereEngine(playing(cell_loss))
    sweep(tmp_path, spec(seeds=[0, 1], search={"trials": 16}), wider)
    assert wider.kinds == ["run"] * 4


@pytest.mark.parametrize("n_before", [1, 5, 8, 15])
def test_a_search_that_was_killed_ends_as_if_it_had_not_been(tmp_path: Path, n_before: int) -> None:
    engine = HereEngine(playing(cell_loss))

    def dying(node: Node, *inputs: bytes) -> bytes:
        if len(engine.submitted) > n_before:
            raise KeyboardInterrupt
        return playing(cell_loss)(node, *inputs)

    engine._work = dying
    with pytest.raises(KeyboardInterrupt):
        sweep(tmp_path / "killed", spec(), engine)
    again = HereEngine(playing(cell_loss))
    assert sweep(tmp_path / "killed", spec(), again) == sweep(tmp_path / "whole", spec())
    assert len(again.submitted) == 16 - n_before  # a pretraining, a discriminator and fourteen runs


class Backwards(HereEngine):
    """Does three pieces of work at once, of which the last ends first."""

    n_slots = 3

    def wait(self, timeout_s: float) -> list[Outcome]:
        return super().wait(timeout_s)[::-1]


def test_the_order_in_which_runs_end_decides_nothing(tmp_path: Path) -> None:
    backwards = sweep(tmp_path / "a", spec(seeds=[0, 1]), Backwards(playing(cell_loss)))
    assert backwards == sweep(tmp_path / "b", spec(seeds=[0, 1]))


def test_a_trial_is_judged_by_the_mean_over_the_seeds_and_the_direction_of_the_metric(tmp_path: Path) -> None:
    one = rates(sweep(tmp_path / "one", spec()))

    def noisy(cell: Cell) -> float:
        return cell_loss(cell) + (-1) ** cell.config.seed * 5 * math.log10(cell.settings["learning_rate"])

    assert rates(sweep(tmp_path / "two", spec(seeds=[0, 1]), HereEngine(playing(noisy)))) == one
    assert rates(sweep(tmp_path / "noise", spec(), HereEngine(playing(noisy)))) != one
    higher = HereEngine(playing(lambda cell: -cell_loss(cell), "discriminator_share_of_optimum"))
    by_share = spec(search={"metric": "discriminator_share_of_optimum"})
    assert rates(sweep(tmp_path / "higher", by_share, higher)) == one


def test_each_combination_is_searched_by_itself(tmp_path: Path) -> None:
    best = {"log_d": 1e-4, "constant": 1e-2}
    own = {"reward": list(best)}
    both = sweep(
        tmp_path / "both", spec(**own), HereEngine(playing(lambda cell: loss(cell.settings, best[cell.axes["reward"]])))
    )
    for reward, at in best.items():
        alone = spec(**{**own, "reward": [reward]})
        work = playing(lambda cell: loss(cell.settings, at))  # noqa: B023
        assert rates(both, reward) == rates(sweep(tmp_path / reward, alone, HereEngine(work)), reward)
    assert rates(both, "log_d") != rates(both, "constant")


def test_a_run_that_fails_is_the_worst_and_tried_again_by_the_next_command(tmp_path: Path) -> None:
    failed: list[str] = []

    def failing(node: Node, *inputs: bytes) -> bytes:
        if isinstance(node.work, Cell) and not failed:
            failed.append(node.key)
            raise RuntimeError("no")
        return playing(cell_loss)(node, *inputs)

    results = sweep(tmp_path, spec(), HereEngine(failing))
    assert [result["status"] for result in results].count("failed") == 1
    assert len(results) == 14
    again = HereEngine(playing(cell_loss))
    sweep(tmp_path, spec(), again)
    assert again.submitted[0].key == failed[0]


def test_a_search_ends_where_everything_fails(tmp_path: Path) -> None:
    def failing(node: Node, *inputs: bytes) -> bytes:
        raise RuntimeError("no")

    engine = HereEngine(failing)
    results = sweep(tmp_path, spec(), engine)
    assert [result["status"] for result in results] == ["failed"] * 6
    assert engine.kinds == ["pretraining"]


def test_what_failed_is_not_needed_again_by_a_later_trial(tmp_path: Path) -> None:
    """Both algorithms begin with the same discriminators, and come to one that can't be trained at different times."""

    def dropout(node: Node) -> float:
        return float(node.work.task.discriminator_kwargs["dropout"] if not isinstance(node.work, Cell) else 0)

    def score(cell: Cell) -> float:
        rate = float(cell.config.task.discriminator_kwargs["dropout"])
        return rate if cell.algorithm == "a2c" else -rate

    def failing(node: Node, *inputs: bytes) -> bytes:
        if node.kind == "discriminator" and dropout(node) == bad:
            raise RuntimeError("no")
        return playing(score)(node, *inputs)

    wanted = {"trials": 10, "at_once": 1, "sampler": "tpe", "metric": "kl_sum", "dropout": [0.1, 0.2, 0.3, 0.4]}
    sweeps = spec_with(algorithm=["a2c", "ppo"], discriminator=[{"name": "cnn", "search": wanted}])
    for bad in wanted["dropout"]:
        results = sweep(tmp_path / str(bad), sweeps, HereEngine(failing))
        for result in results:
            is_bad = result["config"]["task"]["discriminator_kwargs"]["dropout"] == bad
            assert result["status"] == ("failed" if is_bad else "done")
            assert not is_bad or result["error"] == "its discriminator failed: no"


def test_settings_that_do_not_go_together_are_the_worst_and_not_played(tmp_path: Path) -> None:
    lengths = {"min_length": list(range(1, 11)), "max_length": list(range(1, 11))}
    wanted = {"trials": 20, "sampler": "tpe", "metric": "kl_sum", **lengths}
    proposed = proposals(search_of("it", wanted), lambda each: 1.0)
    assert any(each["min_length"] > each["max_length"] for each in proposed[:4])
    results = sweep(tmp_path, spec_with(task=[{"name": "SeqGANTiny-v0", "search": wanted}]), HereEngine())
    assert {result["status"] for result in results} == {"done"}
    assert 4 < len(results) < 20


def test_a_run_that_alone_lacks_the_number_is_the_worst(tmp_path: Path) -> None:
    def lacking(node: Node, *inputs: bytes) -> bytes:
        result = json.loads(playing(cell_loss)(node, *inputs)) if isinstance(node.work, Cell) else None
        if result is None:
            return pretend(node, *inputs)
        if result["settings"]["learning_rate"] > BEST:
            del result["records"][-1]["kl_sum"]
        return json.dumps(result).encode()

    found = rates(sweep(tmp_path, spec(), HereEngine(lacking)))
    assert len(found) == 14
    assert any(rate > BEST for rate in found)


def test_a_number_that_no_run_has_is_said_and_the_runs_are_kept(tmp_path: Path) -> None:
    engine = HereEngine(playing(cell_loss))
    with pytest.raises(ValueError, match=r"by nll_test needs runs that have it, unlike SeqGANTiny-v0, a2c,"):
        sweep(tmp_path, spec(search={"metric": "nll_test"}), engine)
    assert len(list((tmp_path / "run").iterdir())) == 6


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"search": {"metric": "kl_sum_best"}}, r"kl_sum_best is one on request: .* metrics = \['temperatures'\]"),
        ({"search": {"gae_lambda": {"low": 0.5, "high": 1.5}}}, "gae_lambda must be .*1.5"),
        ({"search": {"n_steps": [4, 0]}}, "n_steps must be .*got 0"),
        ({"search": {"rate": [1]}}, "algorithm 'a2c' takes .*; got rate"),
        (
            {
                "reward": [
                    {"name": "f_divergence", "search": {"trials": 2, "sampler": "tpe", "metric": "kl_sum", "x": [1]}}
                ]
            },
            "one entry of a combination may learn from others, got a2c and f_divergence",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_any_work(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        cells_of(spec(**changes))
