"""Every way to estimate the gradient is unbiased; the benchmark's numbers are what they say; the docs say the same."""

from __future__ import annotations

import dataclasses
import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from agents import SeqGAN, make_seqgan_vec_env
from agents.seqgan import Episodes
from benchmarks import variance
from benchmarks.page import section
from seqgan_env.seeding import torch_generator
from seqgan_env.task import Task
from tests import reference
from tests.significance import assert_mean, assert_not_mean, z_limit

COMBINED = ("prefix, stratified, exact last step", "learned, stratified, exact last step")
"""The options that hold all the parts; test_losses and test_monte_carlo have each part alone."""
POLICY = {"embedding_dim": 3, "hidden_dim": 2}


def task_arguments(kind: str, folder: Path) -> dict[str, Any]:
    """Three tokens and three steps, with a reward of its own for every sequence; "ends" by end-of-sequence."""
    arguments: dict[str, Any]
    arguments = {"n_real": 3, "n_held_out": 3, "discriminator": "tabular", "discriminator_kwargs": {"scale": 2.0}}
    if kind == "fixed":
        return {**arguments, "vocab_size": 3, "max_length": 3}
    folder.mkdir(exist_ok=True)
    (folder / "lines.txt").write_text("\n".join(["aa", "ab", "ba", "b", "a", "bb"]) + "\n")
    return {**arguments, "source": str(folder / "lines.txt"), "level": "char", "max_length": 3}


def agent_of(kind: str, folder: Path, **arguments: Any) -> tuple[SeqGAN, Task]:
    """An agent in double precision whose policy is far from uniform."""
    env = make_seqgan_vec_env("SeqGAN-v0", n_envs=1, **task_arguments(kind, folder))
    agent = SeqGAN("LstmPolicy", env, seed=0, device="cpu", policy_kwargs=POLICY, **arguments)
    with torch.no_grad():
        for parameter in agent.policy.parameters():
            parameter.mul_(3)
    agent.policy.double()
    return agent, env.get_attr("task")[0]


def exact_gradient(agent: SeqGAN, task: Task) -> Tensor:
    """Grad J by enumeration, in the slow form."""
    spec = task.spec
    rows = reference.sequences(spec)
    table = dict(zip(rows, task.score(reference.padded(spec, rows)).tolist(), strict=True))
    next_token = reference.next_token_of(agent.policy)
    parameters = list(agent.policy.parameters())
    return reference.gradient_by_enumeration(spec, next_token, reference.reward_of(table), parameters)


@pytest.mark.theory
@pytest.mark.parametrize("kind", ["fixed", "ends"])
@pytest.mark.parametrize("option", COMBINED)
def test_the_agent_with_every_option_is_unbiased(option: str, kind: str, tmp_path: Path) -> None:
    """Eq. 13.44: the mean over 300 updates of four episodes is the enumerated gradient, and is told from half of it."""
    arguments = {"normalize_advantage": False, **variance.OPTIONS[option]}
    agent, task = agent_of(kind, tmp_path, n_episodes=4, n_completions=2, **arguments)
    assert (task.spec.eos_id is None) == (kind == "fixed")
    exact_K = exact_gradient(agent, task)
    rows = [variance.update(agent, task, torch_generator(r, "test")) for r in range(300)]
    gradient_RK = torch.stack(rows).numpy()
    assert_mean(gradient_RK, exact_K.numpy())
    assert_not_mean(gradient_RK, exact_K.numpy() / 2)
    np.testing.assert_allclose(variance.exact_gradient(agent.policy, task), exact_K, atol=1e-12)


@pytest.mark.theory
def test_with_one_step_the_exact_last_step_is_the_whole_gradient(tmp_path: Path) -> None:
    """Eq. 13.44 at T = 1 (IRGAN's case): every update has the same gradient, and it is the exact one, to 1e-12."""
    env = make_seqgan_vec_env("SeqGAN-v0", **{**task_arguments("fixed", Path()), "vocab_size": 5, "max_length": 1})
    agent = SeqGAN("LstmPolicy", env, seed=0, n_episodes=2, normalize_advantage=False, exact_last_step=True)
    agent.policy.double()
    task: Task = env.get_attr("task")[0]
    exact_K = exact_gradient(agent, task)
    assert exact_K.abs().max() > 1e-3
    for r in range(3):
        torch.testing.assert_close(
            variance.update(agent, task, torch_generator(r, "test")), exact_K, rtol=0, atol=1e-12
        )


@pytest.mark.theory
@pytest.mark.parametrize("kind", ["fixed", "ends"])
@pytest.mark.parametrize("exact_last_step", [False, True])
def test_normalised_advantages_only_change_the_length(exact_last_step: bool, kind: str, tmp_path: Path) -> None:
    gradients = []
    for normalize_advantage in (False, True):
        agent, task = agent_of(
            kind,
            tmp_path,
            n_episodes=8,
            normalize_advantage=normalize_advantage,
            exact_last_step=exact_last_step,
        )
        gradients.append(variance.update(agent, task, torch_generator(1, "test")))
    plain_K, normalised_K = gradients
    ratio = float(normalised_K.norm() / plain_K.norm())
    assert ratio != pytest.approx(1)
    torch.testing.assert_close(normalised_K, ratio * plain_K)


def test_an_estimate_changes_nothing(tmp_path: Path) -> None:
    agent, task = agent_of("ends", tmp_path, n_episodes=4, n_completions=2, exact_last_step=True, baseline="learned")
    before = {name: tensor.clone() for name, tensor in agent.policy.state_dict().items()}
    tokens_BT = agent.policy.sample(4, torch_generator(0, "test"))
    episodes = Episodes(tokens_BT, tokens_BT != task.spec.pad_id, torch.ones(4, dtype=torch.float64))
    estimates = [agent.estimate(episodes, torch_generator(1, "test")) for _ in range(2)]
    assert torch.equal(estimates[0].loss, estimates[1].loss)
    assert not agent.policy.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in agent.policy.state_dict().items())
    assert all(parameter.grad is None for parameter in agent.policy.parameters())


def test_the_options_are_kept_in_a_file(tmp_path: Path) -> None:
    agent, _ = agent_of("fixed", tmp_path, stratified=True, exact_last_step=True, baseline="learned")
    agent.save(tmp_path / "agent")
    loaded = SeqGAN.load(tmp_path / "agent")
    assert (loaded.stratified, loaded.exact_last_step, loaded.baseline) == (True, True, "learned")


class TestSummary:
    def test_finds_the_variance_the_bias_and_the_scale(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """On draws made for it: parameters of known variance, one option biased, one of twice the length."""
        monkeypatch.setattr(variance, "REFERENCE", "a")
        monkeypatch.setattr(variance, "OPTIONS", {"a": {}, "b": {}, "c": {"normalize_advantage": True}})
        rng = np.random.default_rng(0)
        exact_K = np.array([3.0, -4.0])
        gradients = {
            "a": exact_K + rng.normal(size=(4000, 2)),
            "b": 0.9 * exact_K + 2 * rng.normal(size=(4000, 2)),
            "c": 2 * (exact_K + rng.normal(size=(4000, 2))),
        }
        seconds = {name: np.full(4000, s) for name, s in {"a": 1.0, "b": 0.5, "c": 3.0}.items()}
        rows: Any = variance.summary(gradients, seconds, exact_K)
        assert rows["a"]["variance"] == pytest.approx(2, rel=0.1)
        assert abs(rows["a"]["variance"] - 2) < 2 * rows["a"]["variance_half"]
        assert rows["b"]["variance_ratio"] == pytest.approx(4, rel=0.1)
        assert rows["b"]["product_ratio"] == pytest.approx(2, rel=0.1)
        assert rows["c"]["variance_ratio"] == pytest.approx(1, rel=0.1)  # the scale is taken out
        assert rows["c"]["scale"] == pytest.approx(2, rel=0.05)
        assert abs(rows["a"]["bias"]) < 2 * rows["a"]["bias_half"] < 0.05
        assert rows["b"]["bias"] == pytest.approx(-0.1, abs=2 * rows["b"]["bias_half"])
        assert rows["a"]["bias_z"] < 4 < rows["b"]["bias_z"]
        assert rows["c"]["bias"] is None
        assert variance.best(rows) == "a"

    def test_a_run_writes_what_the_report_reads(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(variance, "describe", lambda: {"versions": {"torch": "2"}, "processor": "none"})
        tiny = dataclasses.replace(variance.SCENARIOS["tiny"], n_episodes=4, n_completions=1, n_rounds=0)
        monkeypatch.setattr(variance, "SCENARIOS", {"tiny": tiny})
        results, page = tmp_path / "variance.json", tmp_path / "page.md"
        variance.run(results, scale=0.0)
        page.write_text("before\n<!-- variance: begin -->\nold\n<!-- variance: end -->\nafter\n")
        variance.report(results, page)
        text = page.read_text()
        assert text.startswith("before\n")
        assert text.endswith("after\n")
        assert "old" not in text
        for name in variance.OPTIONS:
            assert f"| {name} |" in text


@pytest.mark.skipif(not variance.FILE.exists(), reason="no results are committed")
class TestResults:
    DOCUMENT = json.loads(variance.FILE.read_text()) if variance.FILE.exists() else {}

    def test_the_page_is_made_from_the_committed_results(self) -> None:
        assert variance.tables(self.DOCUMENT) == section(variance.PAGE, "variance")

    def test_they_are_of_the_options_and_scenarios_of_today(self) -> None:
        assert set(self.DOCUMENT["scenarios"]) == set(variance.SCENARIOS)
        for name, measured in self.DOCUMENT["scenarios"].items():
            assert measured["scenario"] == json.loads(json.dumps(dataclasses.asdict(variance.SCENARIOS[name])))
            assert set(measured["rows"]) == set(variance.OPTIONS)

    def test_no_option_is_biased(self) -> None:
        """The z-scores of 652 parameters with each of ten options."""
        found = [row["bias_z"] for row in self.DOCUMENT["scenarios"]["tiny"]["rows"].values()]
        assert max(z for z in found if z is not None) < z_limit(652 * 10)

    def test_the_default_is_the_best_at_the_sizes_of_a_real_run(self) -> None:
        """Or no further from it than the two variances' intervals and the timing's noise, some 5 %, let it be."""
        rows = self.DOCUMENT["scenarios"]["grammar"]["rows"]
        assert rows["prefix, normalised"]["product_ratio"] < 1.05 * rows[variance.best(rows)]["product_ratio"]
        defaults = inspect.signature(SeqGAN).parameters
        names = ("baseline", "normalize_advantage", "stratified", "exact_last_step")
        assert [defaults[name].default for name in names] == ["prefix", True, False, False]
