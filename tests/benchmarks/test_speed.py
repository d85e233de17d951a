"""A smoke of every hot path: it fails only where ours falls far behind the plain reference of the same run.

``make speed`` measures; under ``make test``, beside other tests, a time would say nothing. ``benchmarks.speed`` is the
real measurement, and ``docs/performance.md`` its result.
"""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import pytest

from benchmarks.speed.measuring import environments, episodes
from benchmarks.speed.paths import HotPath, Setting, Size
from benchmarks.speed.paths import paths as paths_of

SMALL = Size(
    vocab_size=2000,
    max_length=12,
    n_episodes=16,
    n_completions=8,
    n_sequences=1000,
    filters=((1, 32), (2, 64), (3, 64), (4, 32), (8, 32)),
)
LEAST_SPEEDUP = {
    "action values": 3.0,
    "sampling": 3.0,
    "discriminator epoch": 0.7,
    "maximum-likelihood epoch": 0.8,
    "regularised epoch": 0.8,
    "evaluation": 0.7,
}
"""The reference's seconds over ours: about half of what an idle machine shows, or less."""


@pytest.fixture(scope="module")
def paths() -> dict[str, HotPath]:
    return paths_of(Setting(SMALL))


@pytest.fixture(autouse=True)
def _only_when_asked(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("benchmark_enable"):
        pytest.skip("`make speed` measures")


@pytest.mark.parametrize("name", LEAST_SPEEDUP)
def test_a_path_is_not_far_slower_than_it_was(name: str, paths: dict[str, HotPath], benchmark: Any) -> None:
    path, reference_times = paths[name], []
    assert path.reference is not None
    path.ours()

    def reference_first() -> None:
        """Before each round, so that both see the same machine."""
        start = time.perf_counter()
        path.reference()  # type: ignore[misc]
        reference_times.append(time.perf_counter() - start)

    benchmark.group = name
    benchmark.pedantic(path.ours, setup=reference_first, rounds=3)
    assert median(reference_times) / benchmark.stats.stats.median > LEAST_SPEEDUP[name]


def test_a_policy_gradient_step_costs_no_more_than_twice_a_maximum_likelihood_step(
    paths: dict[str, HotPath], benchmark: Any
) -> None:
    likely = []

    def likelihood_first() -> None:
        start = time.perf_counter()
        paths["maximum-likelihood step"].ours()
        likely.append(time.perf_counter() - start)

    benchmark.pedantic(paths["policy-gradient step"].ours, setup=likelihood_first, rounds=9, warmup_rounds=1)
    assert benchmark.stats.stats.median / median(likely) < 2


def test_a_step_costs_less_than_cartpole_s_and_many_cost_little_more_than_one(benchmark: Any) -> None:
    measured = benchmark.pedantic(environments, kwargs={"repeats": 3}, rounds=1)
    for times in measured.values():
        assert times["single"] < times["cartpole"]
        assert times["sync"] / times["vector"] > 20


def test_an_episode_with_its_reward_costs_no_more_than_some_steps_of_cartpole(benchmark: Any) -> None:
    """CartPole takes some six microseconds where the targets were set; a busy machine is slower at both."""
    measured = benchmark.pedantic(episodes, kwargs={"n": 50, "repeats": 3}, rounds=1)
    for times in measured.values():
        assert times["episode"] / times["cartpole"] < 1.5 * times["target"] / 6
