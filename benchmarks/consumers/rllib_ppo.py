"""PPO of RLlib on a task of ours, with nothing changed but the line that makes the environment.

RLlib pins an older Gymnasium (2.60 pins 1.2.2), so it gets a virtual environment of its own; from the project's root::

    python3 -m venv build/rllib
    build/rllib/bin/pip install --no-deps --extra-index-url https://download.pytorch.org/whl/cpu "torch==2.13.0+cpu"
    build/rllib/bin/pip install "ray[rllib]==2.60.0" "torch==2.13.0" safetensors
    build/rllib/bin/pip install --no-deps -e .
    build/rllib/bin/python benchmarks/consumers/rllib_ppo.py

The second line is for Linux, where PyPI's own torch brings gigabytes of CUDA libraries.
"""

from __future__ import annotations

import os

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import gymnasium as gym
import numpy as np
import ray
from gymnasium.wrappers import DtypeObservation
from ray.rllib.algorithms.ppo import PPOConfig
from ray.tune.registry import register_env

import seqgan_env  # noqa: F401 - registers the ids

# begin: page
register_env("seqgan", lambda kwargs: DtypeObservation(gym.make("seqgan_env:SeqGANTiny-v0", **kwargs), np.float32))
config = PPOConfig().environment("seqgan", env_config={"reward": "log_d"})
# end: page


def main(n_iterations: int = 12) -> None:
    """Train, and print the mean return and length of the episodes of each iteration."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    algorithm = (
        config.env_runners(num_env_runners=0, num_envs_per_env_runner=8)
        .training(train_batch_size_per_learner=1024, minibatch_size=256, num_epochs=6, lr=1e-3, gamma=1.0)
        .debugging(seed=0)
        .build_algo()
    )
    print(f"ray {ray.__version__}, gymnasium {gym.__version__}")
    for i in range(n_iterations):
        result = algorithm.train()["env_runners"]
        print(f"{i}: return {result['episode_return_mean']:.3f}, length {result['episode_len_mean']:.1f}")
    algorithm.stop()
    ray.shutdown()


if __name__ == "__main__":
    main()
