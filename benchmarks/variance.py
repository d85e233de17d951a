"""The variance, the bias and the seconds of each way to estimate the gradient.

``python -m benchmarks.variance run`` measures (some minutes) and writes ``benchmarks/results/variance.json``;
``python -m benchmarks.variance report`` writes the tables of ``docs/theory.md`` from that file.

The policy and the discriminator of a scenario are made once and stay as they are. Every repetition makes, with each
option in turn, all that an update needs: episodes, their rewards, action values and the gradient. Suffixes: R
repetitions, K parameters.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from agents import SeqGAN, make_seqgan_vec_env
from agents.collection import Episodes
from agents.runs.report import markdown_table
from benchmarks.harness import RESULTS, begin_results, command_line, measured_with, write_results
from benchmarks.pages import DOCS, reporter
from seqgan_env.autoregressive import AutoregressiveModel
from seqgan_env.discriminators import DiscriminatorTrainer
from seqgan_env.enumeration import all_sequences
from seqgan_env.seeding import torch_rng
from seqgan_env.task import Task

FILE = RESULTS / "variance.json"

Gradients = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scenario:
    """A task, a policy and a discriminator, all fixed, and the sizes of an update."""

    env_id: str
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    policy_kwargs: Mapping[str, Any] = field(default_factory=dict)
    n_episodes: int = 64
    n_completions: int = 16
    n_pretraining: int = 1
    """Epochs of maximum likelihood."""
    n_rounds: int = 0
    """Rounds of the discriminator's training, each on 512 fresh negatives; 0 leaves it as the task has it."""
    enumerable: bool = False
    """Whether the exact gradient is known."""
    repetitions: int = 120


SCENARIOS: dict[str, Scenario] = {
    "tiny": Scenario(
        "SeqGANTiny-v0",
        policy_kwargs={"embedding_dim": 8, "hidden_dim": 8},
        n_completions=4,
        enumerable=True,
        repetitions=1000,
    ),
    "grammar": Scenario(
        "SeqGANGrammar-v0",
        env_kwargs={"discriminator_kwargs": {"embedding_dim": 32, "filters": [[w, 64] for w in range(1, 6)]}},
        n_episodes=128,
        n_completions=4,
        n_pretraining=3,
        n_rounds=30,
    ),
}
"""An enumerable task, and the grammar at its preset's sizes after brief maximum likelihood."""

OPTIONS: dict[str, dict[str, Any]] = {
    "none": {"baseline": "none"},
    "batch": {"baseline": "batch"},
    "step": {"baseline": "step"},
    "prefix": {"baseline": "prefix"},
    "learned": {"baseline": "learned"},
    "prefix, stratified": {"baseline": "prefix", "stratified": True},
    "prefix, exact last step": {"baseline": "prefix", "exact_last_step": True},
    "prefix, stratified, exact last step": {"baseline": "prefix", "stratified": True, "exact_last_step": True},
    "learned, stratified": {"baseline": "learned", "stratified": True},
    "learned, stratified, exact last step": {"baseline": "learned", "stratified": True, "exact_last_step": True},
    "prefix, normalised": {"baseline": "prefix", "normalize_advantage": True},
}
"""Arguments of ``SeqGAN``; advantages are not normalised unless it is said."""

REFERENCE = "prefix"


def run(results: Path = FILE, scale: float = 1.0) -> None:
    """Measure and write the results.

    Args:
        results: the JSON file.
        scale: of the numbers of repetitions; below 1 for a quick look.
    """
    begin_results(results)
    torch.set_num_threads(1)
    scenarios = {}
    for name, scenario in SCENARIOS.items():
        own = dataclasses.replace(scenario, repetitions=max(10, round(scale * scenario.repetitions)))
        scenarios[name] = {"scenario": dataclasses.asdict(own), "rows": measure(own)}
        print(f"{name}: done", file=sys.stderr)
    write_results(results, {"scenarios": scenarios})


def measure(scenario: Scenario) -> dict[str, dict[str, float | None]]:
    """Every option of one scenario, side by side."""
    env = make_seqgan_vec_env(scenario.env_id, n_envs=1, **scenario.env_kwargs)
    task: Task = env.get_attr("task")[0]
    agents = {
        name: SeqGAN(
            "LstmPolicy",
            env,
            n_episodes=scenario.n_episodes,
            n_completions=scenario.n_completions,
            policy_kwargs=dict(scenario.policy_kwargs),
            seed=0,
            device="cpu",
            **{"normalize_advantage": False, "stratified": False, "exact_last_step": False, **arguments},
        )
        for name, arguments in OPTIONS.items()
    }
    first = agents[REFERENCE]
    first.pretrain(task.real_sequences, n_epochs=scenario.n_pretraining)
    trainer = DiscriminatorTrainer(task.scoring.discriminator, learning_rate=1e-3)
    for i in range(scenario.n_rounds):
        trainer.fit(task.real_sequences, first.sample(512, seed=i))
    for agent in agents.values():
        agent.policy.load_state_dict(first.policy.state_dict())

    gradients: dict[str, list[Tensor]] = {name: [] for name in OPTIONS}
    seconds: dict[str, list[float]] = {name: [] for name in OPTIONS}
    for r in range(-3, scenario.repetitions):  # the first three warm caches up
        for i, (name, agent) in enumerate(agents.items()):
            rng = torch_rng(i, "variance", r)
            started = time.perf_counter()
            gradient_K = update(agent, task, rng)
            elapsed = time.perf_counter() - started
            if r >= 0:
                gradients[name].append(gradient_K)
                seconds[name].append(elapsed)
    exact_K = exact_gradient(first.generator, task) if scenario.enumerable else None
    return summary(
        {name: torch.stack(rows).double().numpy() for name, rows in gradients.items()},
        {name: np.array(times) for name, times in seconds.items()},
        exact_K,
    )


def update(agent: SeqGAN, task: Task, rng: torch.Generator) -> Tensor:
    """All that an update computes, up to the gradient: the estimate of ``grad J``, in one vector."""
    tokens_BT = agent.generator.sample(agent.n_episodes, rng)
    reward_B = torch.from_numpy(task.scoring.step_reward(tokens_BT.numpy()))
    episodes = Episodes(tokens_BT, task.spec.is_token(tokens_BT), reward_B)
    return -_gradient(agent.estimate(episodes, rng).loss, agent.generator)


def exact_gradient(generator: AutoregressiveModel, task: Task) -> Gradients:
    """Grad J by differentiating the sum over all sequences (eq. 13.39)."""
    tokens_BT = all_sequences(task.spec)
    p_B = generator.log_prob(torch.from_numpy(tokens_BT)).double().sum(dim=1).exp()
    value = (p_B * torch.from_numpy(task.scoring.step_reward(tokens_BT))).sum()
    return _gradient(value, generator).double().numpy()


def summary(
    gradients: Mapping[str, Gradients], seconds: Mapping[str, Gradients], exact_K: Gradients | None
) -> dict[str, dict[str, float | None]]:
    """One row an option, from the gradients ``(R, K)`` and seconds ``(R,)`` of its repetitions.

    - ``variance``: the trace of the covariance; ``variance_half`` is half of its 95 % interval.
    - ``variance_ratio``, ``seconds_ratio``, ``product_ratio``: over those of ``REFERENCE``. The ratio of seconds is the
      median of the ratios within a repetition.
    - ``bias``: along the exact gradient, as a share of its length; ``bias_half`` as above. ``bias_z``: the largest bias
      of a parameter in standard errors. None where the exact gradient isn't known.
    - ``scale``: how many times the true gradient the mean is. Where advantages are normalised the variance is divided
      by its square, as what matters is the noise in proportion to the signal.
    """
    plain = [rows.mean(axis=0) for name, rows in gradients.items() if not OPTIONS[name].get("normalize_advantage")]
    signal_K = np.mean(plain, axis=0) if exact_K is None else exact_K
    rows: dict[str, dict[str, float | None]] = {}
    for name, g_RK in gradients.items():
        normalised = OPTIONS[name].get("normalize_advantage", False)
        along_R = g_RK @ signal_K / (signal_K @ signal_K)
        scale = float(along_R.mean()) if normalised else 1.0
        square_R = ((g_RK - g_RK.mean(axis=0)) ** 2).sum(axis=1) / scale**2
        n = len(g_RK)
        row: dict[str, float | None] = {
            "variance": float(square_R.sum() / (n - 1)),
            "variance_half": float(1.96 * square_R.std(ddof=1) / np.sqrt(n)),
            "seconds": float(np.median(seconds[name])),
            "seconds_ratio": float(np.median(seconds[name] / seconds[REFERENCE])),
            "scale": scale,
            "bias": None,
            "bias_half": None,
            "bias_z": None,
        }
        if exact_K is not None and not normalised:
            error_K = g_RK.std(axis=0, ddof=1) / np.sqrt(n)
            moved_K = error_K > 0
            row["bias"] = float(along_R.mean() - 1)
            row["bias_half"] = float(1.96 * along_R.std(ddof=1) / np.sqrt(n))
            row["bias_z"] = float(np.abs((g_RK.mean(axis=0) - exact_K)[moved_K] / error_K[moved_K]).max())
        rows[name] = row
    for row in rows.values():
        row["variance_ratio"] = _float(row["variance"]) / _float(rows[REFERENCE]["variance"])
        row["product_ratio"] = _float(row["variance_ratio"]) * _float(row["seconds_ratio"])
    return rows


def tables(document: Mapping[str, Any]) -> str:
    """The tables of the docs, in Markdown."""
    parts = [f"Measured with {measured_with(document['environment'])}, one thread.\n"]
    for name, measured in document["scenarios"].items():
        scenario, rows = measured["scenario"], measured["rows"]
        parts.append(
            f"### {name}\n\n`{scenario['env_id']}`, B = {scenario['n_episodes']}, N = {scenario['n_completions']}, "
            f"{scenario['repetitions']} repetitions. Least variance × seconds: **{best(rows)}**.\n\n{table(rows)}"
        )
    return "\n".join(parts)


def best(rows: Mapping[str, Mapping[str, float | None]]) -> str:
    """The option with the least product of variance and seconds."""
    return min(rows, key=lambda name: _float(rows[name]["product_ratio"]))


def table(rows: Mapping[str, Mapping[str, float | None]]) -> str:
    """Variance, bias, seconds and their product, one line an option."""
    columns: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "variance": lambda row: f"{row['variance']:.3g} ± {row['variance_half']:.1g}",
        "bias along ∇J": lambda row: "" if row["bias"] is None else f"{row['bias']:+.1%} ± {row['bias_half']:.1%}",
        "ms": lambda row: f"{1e3 * row['seconds']:.1f}",
        f"variance / {REFERENCE}": lambda row: f"{row['variance_ratio']:.2f}",
        f"seconds / {REFERENCE}": lambda row: f"{row['seconds_ratio']:.2f}",
        "product": lambda row: f"{row['product_ratio']:.2f}",
    }
    if all(row["bias"] is None for row in rows.values()):
        del columns["bias along ∇J"]
    cells = {name: {column: cell(row) for column, cell in columns.items()} for name, row in rows.items()}
    return markdown_table(cells, list(columns), first="option")


def _gradient(scalar: Tensor, generator: AutoregressiveModel) -> Tensor:
    return torch.cat([part.flatten() for part in torch.autograd.grad(scalar, list(generator.parameters()))])


def _float(value: float | None) -> float:
    assert value is not None
    return value


report = reporter("variance", FILE, lambda document, _: tables(document), DOCS / "theory.md")

if __name__ == "__main__":
    command_line("variance", {"run": run, "report": report})
