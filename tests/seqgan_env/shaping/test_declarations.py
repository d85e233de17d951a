"""Every registered shaping keeps the promises of its declaration: about the best policy, and about the length."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from seqgan_env import SeqGANEnv, enumeration
from seqgan_env.shaping import SHAPINGS
from tests.support.shaping import returns, small_text

CHANGES_THE_BEST_POLICY: dict[str, tuple[dict[str, Any], float]] = {
    # an agent that discounts is paid early increments in full, and the end is worth less
    "increments": ({}, 0.5),
    "prefix": ({}, 1.0),
    "length": ({"weight": -2.0}, 1.0),
    "repetition": ({"n": 1, "weight": 5.0}, 1.0),
}
"""Settings of a shaping and a discount with which another policy is best."""
LENGTHS: dict[str, list[tuple[dict[str, Any], str]]] = {
    "discriminator": [({}, "log_d"), ({}, "neg_log_one_minus_d")],
    "increments": [({"of": of, "weight": weight}, "log_d") for of in ("logit", "reward") for weight in (1.0, -1.0)],
    "prefix": [({}, "log_d"), ({}, "neg_log_one_minus_d"), ({"weight": -1.0}, "log_d")],
    "length": [({"weight": 0.1}, "log_d"), ({"weight": -0.1}, "log_d")],
    "repetition": [({"n": 1}, "log_d")],  # with n = 2 five tokens need not repeat any
}
"""Settings of a shaping, each with a reward."""
SHAPED = pytest.mark.parametrize("name", SHAPINGS)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A task whose sequences all look the same to its discriminator."""
    return small_text(tmp_path_factory.mktemp("shaping"))


def shaped(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    return {"shaping": name, "shaping_kwargs": {name: settings} if settings else {}}


def changed_states(task: dict[str, Any], shaping: dict[str, Any], gamma: float, seed: int) -> int:
    """The number of states in which the best token with shaping is another than without."""
    task = {**task, "discriminator_kwargs": {"scale": 2.0}, "discriminator_seed": seed, "shaping_gamma": gamma}
    spec = SeqGANEnv(**task).sequence_spec
    states = enumeration.open_prefixes(spec)
    plain, paid = (enumeration.optimal_policy(spec, returns(gamma, **task, **more)) for more in ({}, shaping))
    return int(np.count_nonzero(plain(states) != paid(states)))


@pytest.mark.theory
@SHAPED
def test_the_best_policy_stays_or_an_example_shows_that_it_does_not(name: str, task: dict[str, Any]) -> None:
    """Ng, Harada and Russell (1999), by enumeration."""
    if SHAPINGS[name].keeps_optimal_policy:
        for seed in range(3):
            for gamma in (0.5, 0.9, 1.0):
                assert changed_states(task, shaped(name, {}), gamma, seed) == 0
    else:
        settings, gamma = CHANGES_THE_BEST_POLICY[name]
        assert changed_states(task, shaped(name, settings), gamma, seed=0) > 0


@pytest.mark.theory
@pytest.mark.parametrize("of", ["logit", "reward"])
def test_increments_keep_the_best_policy_of_an_agent_that_does_not_discount(of: str, task: dict[str, Any]) -> None:
    for seed in range(3):
        assert changed_states(task, shaped("increments", {"of": of}), 1.0, seed) == 0


def effect(task: dict[str, Any], name: str, settings: dict[str, Any], reward: str) -> str:
    """The episodes that are paid most where the discriminator tells no sequence from another."""
    score = returns(1.0, **{**task, "reward": reward, **shaped(name, settings)})
    spec = SeqGANEnv(**task).sequence_spec
    tokens_KT = enumeration.all_sequences(spec)
    return_K, length_K = score(tokens_KT), spec.lengths(tokens_KT)
    best_T = np.array([return_K[length_K == length].max() for length in range(1, spec.max_length + 1)])
    best = enumeration.optimal_policy(spec, score)
    tokens: list[int] = []
    while len(tokens) < spec.max_length and spec.eos_id not in tokens:
        tokens.append(int(best([tokens])[0]))
    if np.allclose(return_K, return_K[0]):
        return "neither"
    if (np.diff(best_T) > 0).all():
        assert len(tokens) == spec.max_length
        return "longer"
    assert (np.diff(best_T) <= 1e-12).all()
    assert best_T[-1] < best_T[0]
    assert len(tokens) == 1
    return "shorter"


@SHAPED
def test_the_sign_favours_the_length_that_is_declared(name: str, task: dict[str, Any]) -> None:
    declared = SHAPINGS[name].length_effect
    found = {effect(task, name, settings, reward) for settings, reward in LENGTHS[name]}
    assert found == ({"longer", "shorter"} if declared == "depends" else {declared})
