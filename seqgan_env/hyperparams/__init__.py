"""Hyperparameters that a search has found, as RL Baselines3 Zoo reads them: a file of YAML for each algorithm.

The zoo takes the path of such a file, or the name of the module beside it, wherever the package is:
``python -m rl_zoo3.train --algo ppo --env SeqGANGrammar-v0 --gym-packages seqgan_env -conf seqgan_env.hyperparams.ppo``
and ``--eval-freq -1``: the zoo's evaluations would be paid by a discriminator that nothing trains.
"""

from __future__ import annotations

from importlib import resources
from typing import Any


def read(algorithm: str) -> dict[str, Any]:
    """The hyperparameters of an algorithm, by the id of a task; it needs PyYAML, as the zoo does.

    Args:
        algorithm: the zoo's name of it: ``"ppo"``, ``"a2c"`` or ``"trpo"``.
    """
    import yaml

    hyperparams: dict[str, Any] = yaml.safe_load((resources.files(__name__) / f"{algorithm}.yml").read_text("utf-8"))
    return hyperparams
