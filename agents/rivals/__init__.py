"""Other ways to train the same generator from the same real sequences, for comparison.

Each is a trainer of ``seqgan_env.autoregressive``, as maximum likelihood is: it makes epochs over the real sequences,
follows a seed, and goes on after a checkpoint. What differs from it is the loss.
"""

from __future__ import annotations

from agents.rivals.cooperative import CooperativeConfig, CooperativeTrainer
from agents.rivals.distillation import DistillationConfig, DistillationTrainer
from agents.rivals.expert_iteration import ExpertIterationConfig, ExpertIterationTrainer
from agents.rivals.relaxed import RelaxedConfig, RelaxedTrainer
from agents.rivals.scheduled_sampling import ScheduledSamplingConfig, ScheduledSamplingTrainer
from agents.rivals.self_adversarial import SelfAdversarialConfig, SelfAdversarialTrainer

__all__ = [
    "CooperativeConfig",
    "CooperativeTrainer",
    "DistillationConfig",
    "DistillationTrainer",
    "ExpertIterationConfig",
    "ExpertIterationTrainer",
    "RelaxedConfig",
    "RelaxedTrainer",
    "ScheduledSamplingConfig",
    "ScheduledSamplingTrainer",
    "SelfAdversarialConfig",
    "SelfAdversarialTrainer",
]
