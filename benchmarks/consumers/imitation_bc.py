"""Behavioural cloning with the library `imitation`: the real sequences are the demonstrations.

To clone what wrote real sequences is to maximise their likelihood, so this is pre-training by another name. `imitation`
1.0.1 asks for Gymnasium 0.29 and Stable-Baselines3 2.2, but runs with the versions of this project; pip must be told to
pay no attention to what it asks for. From the project's root::

    python3 -m venv build/imitation
    build/imitation/bin/pip install --no-deps --extra-index-url https://download.pytorch.org/whl/cpu "torch==2.13.0+cpu"
    build/imitation/bin/pip install -c constraints.txt -e .
    build/imitation/bin/pip install --no-deps imitation==1.0.1
    build/imitation/bin/python benchmarks/consumers/imitation_bc.py

The second line is for Linux, where PyPI's own torch brings gigabytes of CUDA libraries.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from imitation.algorithms.bc import BC  # type: ignore[import-not-found]
from imitation.data.types import Trajectory  # type: ignore[import-not-found]
from imitation.util.logger import configure  # type: ignore[import-not-found]
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.policies import ActorCriticPolicy

from agents import PrefixExtractor
from seqgan_env import Task
from seqgan_env.tokens import Tokens

TASK: dict[str, Any] = {"vocab_size": 20, "max_length": 6, "n_real": 5_000, "n_held_out": 1_000}


# begin: page
def demonstrations(task: Task, sequences: Tokens) -> list[Trajectory]:
    """Sequences as trajectories: t + 1 prefixes and the t tokens that follow them."""
    trajectories = []
    for sequence_T in sequences:
        actions = sequence_T[task.spec.is_token(sequence_T)]
        prefixes = np.full((len(actions) + 1, task.spec.max_length), task.spec.pad_id)
        for t, token in enumerate(actions):
            prefixes[t + 1 :, t] = token
        trajectories.append(Trajectory(obs=prefixes, acts=actions, infos=None, terminal=True))
    return trajectories


# end: page


def main(n_epochs: int = 10) -> None:
    """Train, and print the held-out log-loss of a token, and the return, before and after."""
    env = Monitor(gym.make("SeqGAN-v0", **TASK))
    task = Task(env.get_wrapper_attr("task_config"))
    torch.manual_seed(0)
    policy = ActorCriticPolicy(
        env.observation_space, env.action_space, lambda _: 1e-3, features_extractor_class=PrefixExtractor
    )
    trainer = BC(
        observation_space=env.observation_space,
        action_space=env.action_space,
        demonstrations=demonstrations(task, task.real_sequences),
        policy=policy,
        rng=np.random.default_rng(0),
        batch_size=128,
        custom_logger=configure(format_strs=[]),
    )
    held_out = demonstrations(task, task.held_out_sequences)
    print(", ".join(f"{name} {version(name)}" for name in ("imitation", "gymnasium", "stable-baselines3")))
    for name, epochs in (("before", 0), ("after", n_epochs)):
        if epochs:
            trainer.train(n_epochs=epochs, progress_bar=False)
        with torch.no_grad():
            prefixes = torch.as_tensor(np.concatenate([t.obs[:-1] for t in held_out]))
            tokens = torch.as_tensor(np.concatenate([t.acts for t in held_out]))
            log_loss = -trainer.policy.evaluate_actions(prefixes, tokens)[1].mean().item()
        mean, _ = evaluate_policy(trainer.policy, env, n_eval_episodes=200, deterministic=False)
        print(f"{name}: log-loss of a held-out token {log_loss:.3f} (uniform {np.log(20):.3f}), return {mean:.3f}")


if __name__ == "__main__":
    main()
