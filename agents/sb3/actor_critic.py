"""The generator as the actor of Stable-Baselines3's PPO and A2C, with a critic beside it.

They can start where SeqGAN starts, from the same maximum likelihood, and be measured by the same code:

>>> from stable_baselines3 import PPO
>>> from agents import GeneratorActorCritic, SeqGAN, make_seqgan_vec_env, with_generator
>>> env = make_seqgan_vec_env("SeqGANTiny-v0", n_envs=8)
>>> agent = SeqGAN("LstmPolicy", env, seed=0)
>>> _ = agent.pretrain(env.get_attr("real_sequences")[0])
>>> model = with_generator(PPO, env, agent, n_steps=4, batch_size=32)
>>> model.policy.generator.sample(2).shape
torch.Size([2, 4])

Dimensions: B observations, T time, V vocabulary, H hidden.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import gymnasium as gym
import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import CategoricalDistribution, Distribution
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, MlpExtractor
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor, nn

from agents.agent_file import existing_file, generator_weights
from agents.checkpoint import load_checkpoint
from agents.observations import tokens_of, tokens_space
from agents.sb3.features import prefix_inputs
from agents.sb3.handle import TaskHandle
from agents.seqgan import SeqGAN
from seqgan_env.autoregressive import AutoregressiveModel
from seqgan_env.autoregressive.sampling import invert
from seqgan_env.checks import build_config, check_arguments
from seqgan_env.device import twice_differentiable
from seqgan_env.files import refusal
from seqgan_env.tokens import SequenceSpec
from seqgan_env.weights import load_weights

Algorithm = TypeVar("Algorithm", bound=OnPolicyAlgorithm)
GeneratorSource = AutoregressiveModel | SeqGAN | str | Path
"""A generator, the agent that has one, or a file: an agent's, or a run's ``pretrained.zip`` or ``checkpoint.zip``."""

_MASKED = -1e8  # a logit whose probability is exactly 0; finite, so that no gradient is NaN


class SharesGenerator(BasePolicy):
    """Mixin that makes a generator the actor of an actor-critic policy of Stable-Baselines3.

    The observation is read once: the hidden state after its last token goes to the generator's softmax layer, which is
    the actor, and to the critic, whose loss moves the critic alone. The actor's distribution is the generator's at that
    prefix, exactly. Where observations are dictionaries, the actor gives probability 0 to what their ``action_mask``
    forbids.

    Args:
        observation_space: ``Box(0, V, (T,))``, or a ``Dict`` with that as ``tokens``.
        action_space: ``Discrete(V)``.
        lr_schedule: step size of the one optimiser, by remaining progress.
        core: the generator's core, a key of ``seqgan_env.autoregressive.CORES``.
        eos_id: the end-of-sequence token, or None.
        vocabulary: the hash of the vocabulary in the task's ``SequenceSpec``, or None.
        critic_layers: sizes of the critic's hidden layers.
        use_sde: accepted for the interface of Stable-Baselines3, whose algorithms refuse it for discrete actions.
        optimizer_class: of the one optimiser.
        optimizer_kwargs: its further arguments.
        **core_arguments: fields of the core's ``Config``: ``embedding_dim``, ``hidden_dim``, …

    Raises:
        ValueError: an unknown core, or spaces that are not those of a sequence task.
    """

    mlp_extractor: MlpExtractor
    action_net: Any

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        lr_schedule: Schedule,
        *,
        core: str = "lstm",
        eos_id: int | None = None,
        vocabulary: str | None = None,
        critic_layers: Sequence[int] = (64,),
        use_sde: bool = False,
        optimizer_class: type[torch.optim.Optimizer] = torch.optim.Adam,
        optimizer_kwargs: dict[str, Any] | None = None,
        **core_arguments: Any,
    ) -> None:
        reader = {"core": core, "eos_id": eos_id, "vocabulary": vocabulary}
        self._own_arguments = {**reader, "critic_layers": list(critic_layers), **core_arguments}
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            net_arch={"pi": [], "vf": list(critic_layers)},
            ortho_init=False,  # the generator starts as it does for SeqGAN
            features_extractor_class=GeneratorFeatures,
            features_extractor_kwargs={"action_space": action_space, **reader, "core_arguments": core_arguments},
            optimizer_class=optimizer_class,
            optimizer_kwargs=optimizer_kwargs,
        )

    @property
    def generator(self) -> AutoregressiveModel:
        """The actor, which shares its parameters."""
        assert isinstance(self.features_extractor, GeneratorFeatures)
        return self.features_extractor.generator

    def load_generator(self, source: GeneratorSource) -> None:
        """Take over the weights of a generator; the critic stays as it is.

        Args:
            source: a generator of the same kind and sizes, an agent that has one, or the file of either an agent or a
                run's state.

        Raises:
            ValueError: it is another kind, of other sizes or for other sequences, or the file is not readable; nothing
                has changed.
        """
        trial = copy.deepcopy(self.generator)
        try:
            other = _generator_of(source, like=trial)
            trial.load_state_dict(other.state_dict())
        except (KeyError, RuntimeError, TypeError) as error:
            raise ValueError(f"the generator is of another kind or size: {error}") from error
        if other.spec != trial.spec:
            raise ValueError(f"the generator must be made for {trial.spec}, got one for {other.spec}")
        # the same weights in another arrangement, such as another number of heads, are another generator
        probe_BT = torch.randint(trial.spec.vocab_size, (8, trial.spec.max_length), generator=torch.Generator())
        with torch.no_grad():
            ours_BT, theirs_BT = (g.log_prob(probe_BT.to(g.device)).double().cpu() for g in (trial, other))
        if not torch.allclose(ours_BT, theirs_BT, rtol=1e-4, atol=1e-4):
            raise ValueError("the generator has the same weights but does not do the same with them")
        self.generator.load_state_dict(trial.state_dict())

    def _build(self, lr_schedule: Schedule) -> None:
        generator = self.generator
        self.mlp_extractor = _Heads(generator.core.hidden_dim, self._own_arguments["critic_layers"])
        self.action_net = _Softmax(generator)
        self.value_net = nn.Linear(self.mlp_extractor.latent_dim_vf, 1)
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {
            "observation_space": self.observation_space,
            "action_space": self.action_space,
            "lr_schedule": self._dummy_schedule,
            "optimizer_class": self.optimizer_class,
            "optimizer_kwargs": self.optimizer_kwargs,
            **self._own_arguments,
        }


class GeneratorActorCritic(SharesGenerator, ActorCriticPolicy):
    """The actor-critic policy for PPO, A2C and TRPO; the arguments are those of ``SharesGenerator``."""

    def _build(self, lr_schedule: Schedule) -> None:
        self.action_dist = _Tokens(self.generator.spec.vocab_size)
        super()._build(lr_schedule)

    def get_distribution(self, obs: PyTorchObs) -> Distribution:
        """As in the base class; its gradient can be differentiated once more, as TRPO does."""
        with twice_differentiable():
            return super().get_distribution(obs)


@check_arguments
def with_generator(
    algorithm: type[Algorithm],
    env: gym.Env[Any, Any] | VecEnv | str,
    generator: SeqGAN | str | Path,
    *,
    policy: type[SharesGenerator] = GeneratorActorCritic,
    policy_kwargs: dict[str, Any] | None = None,
    **arguments: Any,
) -> Algorithm:
    """An algorithm of Stable-Baselines3 that goes on from an agent's generator.

    Args:
        algorithm: ``PPO``, ``A2C``, or another one with an actor and a critic.
        env: as the algorithm takes it.
        generator: the agent, or the file that it was saved to.
        policy: the policy's class.
        policy_kwargs: further arguments of the policy; the generator's own are those of the agent.
        **arguments: further arguments of the algorithm.

    Raises:
        ValueError: the agent was made for other sequences, the file is not an agent's, the algorithm has no actor and
            critic, or the task has constraints, which the policy knows nothing of.
    """
    if not issubclass(algorithm, OnPolicyAlgorithm):
        raise ValueError(f"algorithm must be one with an actor and a critic, as PPO, got {algorithm.__name__}")
    agent = generator if isinstance(generator, SeqGAN) else SeqGAN.load(generator, device="cpu")
    own = {name: value for name, value in agent.policy_kwargs.items() if not name.startswith("optimizer_")}
    spec = agent.policy.spec
    own |= {"eos_id": spec.eos_id, "vocabulary": spec.vocabulary}
    model = algorithm(
        cast("type[ActorCriticPolicy]", policy), env, policy_kwargs={**own, **(policy_kwargs or {})}, **arguments
    )
    if (handle := TaskHandle(cast(VecEnv, model.get_env()))).spec != spec:
        raise ValueError(f"the agent was made for {spec}, the environment has {handle.spec}")
    if handle.config.constraints:
        raise ValueError(f"with_generator needs a task without constraints, got {handle.config.constraints}")
    cast(SharesGenerator, model.policy).load_generator(agent)
    return model


def _generator_of(source: GeneratorSource, like: AutoregressiveModel) -> AutoregressiveModel:
    """The generator of any source; ``like`` has the kind and sizes that a run's state does not say."""
    if isinstance(source, AutoregressiveModel):
        return source
    if isinstance(source, SeqGAN):
        return source.generator
    source = existing_file(source)
    state = load_checkpoint(source)
    if state.get("kind") == "SeqGAN":
        return SeqGAN.load(source, device="cpu").generator
    with refusal(source, "checkpoint of a run"):
        if (found := build_config(SequenceSpec, state["spec"], "spec", complete=True)) != like.spec:
            raise ValueError(f"the generator must be made for {like.spec}, got one for {found}")
        load_weights(other := copy.deepcopy(like), generator_weights(state["agent"]))
    return other


class GeneratorFeatures(BaseFeaturesExtractor):
    """The generator's hidden state after the last token of each observation, and the action mask where there is one."""

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        eos_id: int | None,
        vocabulary: str | None,
        core: str,
        core_arguments: dict[str, Any],
    ) -> None:
        if not isinstance(action_space, spaces.Discrete):
            raise ValueError(f"the actions must be Discrete(V), got {action_space}")
        spec = SequenceSpec(int(action_space.n), tokens_space(observation_space).shape[0], eos_id, vocabulary)
        generator = AutoregressiveModel(spec, core, **core_arguments)
        self._has_mask = isinstance(observation_space, spaces.Dict)
        super().__init__(observation_space, generator.core.hidden_dim + generator.spec.vocab_size * self._has_mask)
        self.generator = generator

    def forward(self, observations: PyTorchObs) -> Tensor:
        """Token ids of any dtype, ``(B, T)``, to ``(B, H)``; dictionaries to ``(B, H + V)``."""
        inputs_BS, length_B = prefix_inputs(tokens_of(observations), self.generator.spec)
        hidden_BSH = self.generator.core(inputs_BS)
        hidden_BH: Tensor = hidden_BSH[torch.arange(len(length_B), device=length_B.device), length_B]
        if not isinstance(observations, dict):
            return hidden_BH
        return torch.cat([hidden_BH, observations["action_mask"].to(hidden_BH.dtype)], dim=1)


class _Heads(MlpExtractor):
    """The actor takes the features as they are, the critic takes layers of its own over the hidden state.

    The critic's loss stops there, so that nothing but the policy gradient moves the generator.
    """

    def __init__(self, hidden_dim: int, critic_layers: list[int]) -> None:
        super().__init__(hidden_dim, {"pi": [], "vf": critic_layers}, nn.Tanh)
        self.hidden_dim = hidden_dim

    def forward_critic(self, features: Tensor) -> Tensor:
        return super().forward_critic(features[:, : self.hidden_dim].detach())


class _Softmax(nn.Module):
    """The generator's softmax layer (eq. 13.30), with an action mask where there is one."""

    def __init__(self, generator: AutoregressiveModel) -> None:
        super().__init__()
        self.output = generator.output

    def forward(self, features: Tensor) -> Tensor:
        hidden_BH, mask_BV = features.tensor_split([self.output.in_features], dim=1)
        logits_BV: Tensor = self.output(hidden_BH)
        return logits_BV.masked_fill(mask_BV == 0, _MASKED) if mask_BV.shape[1] else logits_BV


class _Tokens(CategoricalDistribution):
    """A distribution over tokens, drawn from by inverting its cumulative sums.

    ``torch.multinomial``, which the base class calls, takes several times as long for a large vocabulary.
    """

    def sample(self) -> Tensor:
        probability_BV = self.distribution.probs
        return invert(probability_BV, torch.rand_like(probability_BV[:, :1]))[0].squeeze(1)
