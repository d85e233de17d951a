"""Sweeps: algorithms, rewards, shapings and discriminators on tasks, every combination with several seeds.

``algorithms`` is the registry, ``spec_file`` reads the file that describes a sweep, ``spec`` makes sense of it,
``cells`` are its combinations, ``graph`` is the work they need, ``engines`` do it, ``report`` shows the results.
"""

from __future__ import annotations

from agents.sweeps import stable_baselines as stable_baselines  # these modules register their algorithms, in this order

from agents.sweeps import trainers as trainers  # isort: skip
from agents.sweeps.algorithms import ALGORITHMS, Contest, Learner, register_algorithm
from agents.sweeps.driver import run_sweep
from agents.sweeps.spec_file import read_spec

__all__ = ["ALGORITHMS", "Contest", "Learner", "read_spec", "register_algorithm", "run_sweep"]
