"""The generator as the actor of sb3-contrib's ``MaskablePPO``; this module alone needs sb3-contrib."""

from __future__ import annotations

from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy

from agents.sb3.actor_critic import SharesGenerator


class MaskableGeneratorActorCritic(SharesGenerator, MaskableActorCriticPolicy):
    """The actor-critic policy for ``MaskablePPO``; the arguments are those of ``SharesGenerator``."""
