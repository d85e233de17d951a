"""Hyperparameters of PPO, by the id of a task."""

from seqgan_env.hyperparams import read

hyperparams = read("ppo")
