"""Every way to estimate the gradient is unbiased."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from agents import SeqGAN, make_seqgan_vec_env
from agents.collection import Episodes
from benchmarks import variance
from seqgan_env.seeding import torch_rng
from seqgan_env.task import Task
from tests.support import reference
from tests.support.significance import assert_mean, assert_not_mean

COMBINED = ("prefix, stratified, exact last step", "learned, stratified, exact last step")
"""The options that hold all the parts; test_losses, test_baselines and test_monte_carlo have each part alone."""
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
    table = dict(zip(rows, task.scoring.score(reference.padded(spec, rows)).tolist(), strict=True))
    next_token = reference.next_token_of(agent.generator)
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
    rows = [variance.update(agent, task, torch_rng(r, "test")) for r in range(300)]
    gradient_RK = torch.stack(rows).numpy()
    assert_mean(gradient_RK, exact_K.numpy())
    assert_not_mean(gradient_RK, exact_K.numpy() / 2)
    np.testing.assert_allclose(variance.exact_gradient(agent.generator, task), exact_K, atol=1e-12)


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
        torch.testing.assert_close(variance.update(agent, task, torch_rng(r, "test")), exact_K, rtol=0, atol=1e-12)


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
        gradients.append(variance.update(agent, task, torch_rng(1, "test")))
    plain_K, normalised_K = gradients
    ratio = float(normalised_K.norm() / plain_K.norm())
    assert ratio != pytest.approx(1)
    torch.testing.assert_close(normalised_K, ratio * plain_K)


def test_an_estimate_changes_nothing(tmp_path: Path) -> None:
    agent, task = agent_of("ends", tmp_path, n_episodes=4, n_completions=2, exact_last_step=True, baseline="learned")
    before = {name: tensor.clone() for name, tensor in agent.policy.state_dict().items()}
    tokens_BT = agent.generator.sample(4, torch_rng(0, "test"))
    episodes = Episodes(tokens_BT, tokens_BT != task.spec.pad_id, torch.ones(4, dtype=torch.float64))
    estimates = [agent.estimate(episodes, torch_rng(1, "test")) for _ in range(2)]
    assert torch.equal(estimates[0].loss, estimates[1].loss)
    assert not agent.policy.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in agent.policy.state_dict().items())
    assert all(parameter.grad is None for parameter in agent.policy.parameters())


def test_the_options_are_kept_in_a_file(tmp_path: Path) -> None:
    agent, _ = agent_of("fixed", tmp_path, stratified=True, exact_last_step=True, baseline="learned")
    agent.save(tmp_path / "agent")
    loaded = SeqGAN.load(tmp_path / "agent")
    assert loaded.estimator == agent.estimator
    assert (loaded.estimator.stratified, loaded.estimator.exact_last_step) == (True, True)
    assert loaded.estimator.baseline == "learned"
