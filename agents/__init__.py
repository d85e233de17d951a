"""Agents for the sequence tasks: SeqGAN's generator, and the callback that retrains the discriminator.

What stands here is imported when it is first asked for, so that the command line can answer before torch is there.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agents.callbacks import DiscriminatorCallback
    from agents.collapse import CollapseAlarm
    from agents.policy import AutoregressivePolicy
    from agents.runs.text_reward import as_trl_reward
    from agents.sb3.actor_critic import GeneratorActorCritic, with_generator
    from agents.sb3.features import PrefixExtractor
    from agents.sb3.pretraining import PretrainingCallback
    from agents.sb3.replay import RelabellingDictReplayBuffer, RelabellingReplayBuffer
    from agents.sb3.vec_env import SeqGANVecEnv, make_seqgan_vec_env
    from agents.seqgan import SeqGAN

__all__ = [
    "AutoregressivePolicy",
    "CollapseAlarm",
    "DiscriminatorCallback",
    "GeneratorActorCritic",
    "PrefixExtractor",
    "PretrainingCallback",
    "RelabellingDictReplayBuffer",
    "RelabellingReplayBuffer",
    "SeqGAN",
    "SeqGANVecEnv",
    "as_trl_reward",
    "make_seqgan_vec_env",
    "with_generator",
]

_MODULES = {
    "AutoregressivePolicy": "agents.policy",
    "CollapseAlarm": "agents.collapse",
    "DiscriminatorCallback": "agents.callbacks",
    "GeneratorActorCritic": "agents.sb3.actor_critic",
    "PrefixExtractor": "agents.sb3.features",
    "PretrainingCallback": "agents.sb3.pretraining",
    "RelabellingDictReplayBuffer": "agents.sb3.replay",
    "RelabellingReplayBuffer": "agents.sb3.replay",
    "SeqGAN": "agents.seqgan",
    "SeqGANVecEnv": "agents.sb3.vec_env",
    "as_trl_reward": "agents.runs.text_reward",
    "make_seqgan_vec_env": "agents.sb3.vec_env",
    "with_generator": "agents.sb3.actor_critic",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
