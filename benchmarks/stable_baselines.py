"""PPO and A2C of Stable-Baselines3 on ``SeqGAN-v0``, against a discriminator that is retrained as they learn.

``python -m benchmarks.stable_baselines run`` writes ``benchmarks/results/stable_baselines.json``, ``... report`` the
table of ``docs/results.md`` from it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.callbacks import BaseCallback

from agents import DiscriminatorCallback, PrefixExtractor, make_seqgan_vec_env
from agents.runs.report import markdown_table
from benchmarks.harness import RESULTS, begin_results, command_line, write_results
from benchmarks.pages import reporter
from seqgan_env.checks import PositiveInt

FILE = RESULTS / "stable_baselines.json"
ALGORITHMS = {"PPO": (PPO, {"n_steps": 128}), "A2C": (A2C, {})}
"""Class and arguments of each; PPO's collections are short, since the discriminator can only change between them."""


class _Rewards(BaseCallback):
    """The terminal rewards and the versions that paid them, as the agent met them."""

    def __init__(self) -> None:
        super().__init__()
        self.rewards: list[float] = []
        self.versions: list[int] = []

    def _on_step(self) -> bool:
        for done, reward, info in zip(self.locals["dones"], self.locals["rewards"], self.locals["infos"], strict=True):
            if done:
                self.rewards.append(float(reward))
                self.versions.append(int(info["discriminator_version"]))
        return True


def play(algorithm: str, timesteps: int, n_envs: int, every_n_episodes: int, seed: int) -> dict[str, Any]:
    """One run.

    Args:
        algorithm: a key of ``ALGORITHMS``.
        timesteps: steps of the environment.
        n_envs: episodes side by side.
        every_n_episodes: between two trainings of the discriminator.
        seed: of the algorithm.

    Returns:
        The mean terminal reward under each version of the discriminator, and what the run took.
    """
    env = make_seqgan_vec_env("SeqGAN-v0", n_envs=n_envs)
    kind, arguments = ALGORITHMS[algorithm]
    policy_kwargs = {"features_extractor_class": PrefixExtractor}
    model = kind("MlpPolicy", env, policy_kwargs=policy_kwargs, seed=seed, device="cpu", **arguments)
    record = _Rewards()
    started = time.perf_counter()
    callbacks = [DiscriminatorCallback(every_n_episodes, n_generated=512, seed=seed), record]
    model.learn(timesteps, callback=callbacks, progress_bar=True)
    versions = np.asarray(record.versions)
    return {
        "algorithm": algorithm,
        "timesteps": model.num_timesteps,
        "episodes": len(versions),
        "versions": [int(v) for v in np.unique(versions)],
        "mean_reward": [float(np.mean(np.asarray(record.rewards)[versions == v])) for v in np.unique(versions)],
        "wall_time_s": round(time.perf_counter() - started, 1),
    }


def run(
    timesteps: PositiveInt = 50_000,
    n_envs: PositiveInt = 16,
    every_n_episodes: PositiveInt = 250,
    seed: int = 0,
    results: Path = FILE,
) -> None:
    """Run both and write the results.

    Args:
        timesteps: steps of the environment in each run.
        n_envs: episodes side by side.
        every_n_episodes: between two trainings of the discriminator.
        seed: of the algorithms.
        results: the JSON file.
    """
    begin_results(results)
    runs = [play(algorithm, timesteps, n_envs, every_n_episodes, seed) for algorithm in ALGORITHMS]
    write_results(results, {"seed": seed, "runs": runs})


def table(document: Mapping[str, Any]) -> str:
    """One line an algorithm."""
    rows = {
        run["algorithm"]: {
            "steps": f"{run['timesteps']:,}",
            "episodes": f"{run['episodes']:,}",
            "versions": str(len(run["versions"])),
            "mean log D under each version": ", ".join(f"{reward:.2f}" for reward in run["mean_reward"]),
        }
        for run in document["runs"]
    }
    return markdown_table(rows, list(next(iter(rows.values()))), first="algorithm")


report = reporter("stable_baselines", FILE, lambda document, _: table(document))

if __name__ == "__main__":
    command_line("stable_baselines", {"run": run, "report": report})
