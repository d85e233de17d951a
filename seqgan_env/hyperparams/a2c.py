"""Hyperparameters of A2C, by the id of a task."""

from seqgan_env.hyperparams import read

hyperparams = read("a2c")
