"""SeqGAN, and the algorithms of Stable-Baselines3 and sb3-contrib, as they take part in a sweep.

On-policy algorithms with an actor and a critic go on from the pretrained generator itself; a collection of theirs has
as many steps as SeqGAN's has at most. Value-based ones, and the recurrent policy, can share what the generator reads of
a prefix, its hidden state, which is learnt on; the layers above it begin anew. Rewards come at the end of episodes
whose length is known, so nothing is discounted.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from agents.runs.config import AgentConfig, RunConfig
from agents.sb3.actor_critic import GeneratorActorCritic, GeneratorFeatures, with_generator
from agents.sb3.replay import RelabellingReplayBuffer
from agents.sweeps.algorithms import Contest, register_algorithm
from seqgan_env.checks import PositiveInt, Share, StepSize, build_config, check_fields

_OURS = ("n_updates", "n_episodes", "final_learning_rate")
"""The fields of ``AgentConfig`` that the budget, the run or no schedule in common decides."""
_NO_SETTINGS = {
    *("self", "policy", "env", "policy_kwargs", "tensorboard_log", "stats_window_size", "verbose", "seed", "device"),
    *("optimize_memory_usage", "use_sde", "sde_sample_freq", "monitor_wrapper"),
}
"""Arguments of the algorithms that a sweep gives them, or that need other spaces."""
_OF_POLICY = {"n_quantiles"}
"""Settings of the policy's networks."""

_RANGES: dict[str, Any] = {
    **dict.fromkeys(("n_steps", "batch_size"), PositiveInt | None),
    **dict.fromkeys(("n_epochs", "buffer_size", "train_freq", "gradient_steps"), PositiveInt),
    **dict.fromkeys(("target_update_interval", "n_quantiles"), PositiveInt),
    **dict.fromkeys(("gamma", "gae_lambda"), Share),
    "learning_rate": StepSize,
}
"""The values of settings that the libraries check late, if ever."""


def _class(module: str, name: str) -> Any:
    """A class of a library.

    Raises:
        ValueError: the library is not installed.
    """
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise ValueError(
            f"{name} needs sb3-contrib, which is not installed: pip install 'seqgan-env[sweep]'"
        ) from error


def _settings(module: str, name: str, **ours: Any) -> type[Any]:
    """The plain arguments of an algorithm as a dataclass.

    Args:
        module: of the class.
        name: of the class.
        **ours: defaults that differ from those of the library, and arguments of our own.
    """
    parameters = inspect.signature(_class(module, name).__init__).parameters
    defaults = {key: each.default for key, each in parameters.items() if key not in _NO_SETTINGS and key[0] != "_"}
    plain = {
        key: value for key, value in {**defaults, **ours}.items() if isinstance(value, (int, float, str, type(None)))
    }
    fields = []
    for key, value in plain.items():
        is_float = isinstance(value, int) and "float" in str(getattr(parameters.get(key), "annotation", ""))
        hint = Any if value is None else float if is_float and not isinstance(value, bool) else type(value)
        fields.append((key, _RANGES.get(key, hint), dataclasses.field(default=value)))
    namespace = {"__post_init__": check_fields, "__doc__": f"The settings of {name}."}
    return dataclasses.make_dataclass(f"{name}Settings", fields, frozen=True, namespace=namespace)


def _arguments(contest: Contest) -> dict[str, Any]:
    """The settings with those that follow from the task: a collection of whole episodes, in batches that divide it."""
    given = dict(contest.settings)
    if "n_steps" in given and given["n_steps"] is None:
        given["n_steps"] = contest.game.task.spec.max_length
    if "batch_size" in given and given["batch_size"] is None:
        given["batch_size"] = contest.game.env.num_envs
    config = contest.game.config
    return {**given, "seed": config.seed, "device": config.runtime.device}


def _actor_critic(module: str, name: str, policy: Callable[[], Any], contest: Contest) -> BaseAlgorithm:
    """An actor-critic algorithm whose actor is the pretrained generator."""
    game = contest.game
    model: BaseAlgorithm = with_generator(
        _class(module, name), game.env, game.agent, policy=policy(), **_arguments(contest)
    )
    return model


def _maskable_policy() -> Any:
    """The policy of ``MaskablePPO``, where sb3-contrib is installed."""
    return _class("agents.sb3.maskable", "MaskableGeneratorActorCritic")


def _with_features(
    module: str, name: str, policy: str, contest: Contest, own: Mapping[str, Any] | None = None, **more: Any
) -> BaseAlgorithm:
    """An algorithm whose networks read a prefix as the pretrained generator does; ``own`` goes to its policy."""
    game, generator = contest.game, contest.game.agent.generator
    spec, shared = generator.spec, game.config.generator
    reader = {
        "action_space": game.env.action_space,
        "eos_id": spec.eos_id,
        "vocabulary": spec.vocabulary,
        "core": shared.core,
        "core_arguments": dict(shared.kwargs),
    }
    features = {"features_extractor_class": GeneratorFeatures, "features_extractor_kwargs": reader}
    policy_kwargs = {**(own or {}), **features}
    arguments = {**_arguments(contest), **more}
    model: BaseAlgorithm = _class(module, name)(policy, game.env, policy_kwargs=policy_kwargs, **arguments)
    for module_ in model.policy.modules():
        if isinstance(module_, GeneratorFeatures):
            module_.generator.load_state_dict(generator.state_dict())
    return model


def _value_based(module: str, name: str, contest: Contest) -> BaseAlgorithm:
    """An off-policy algorithm that replays episodes at what they are worth now."""
    settings = dict(contest.settings)
    relabels = {"replay_buffer_class": RelabellingReplayBuffer} if settings.pop("relabel") else {}
    # the library counts steps of all environments as one: as many gradient steps as it makes with a single one
    settings["gradient_steps"] *= contest.game.env.num_envs
    own = {key: settings.pop(key) for key in _OF_POLICY & set(settings)}
    model = _with_features(module, name, "MlpPolicy", dataclasses.replace(contest, settings=settings), own, **relabels)
    model.exploration_rate = model.exploration_initial_eps  # type: ignore[attr-defined]  # 0 until the first step
    if relabels:
        model.replay_buffer.set_env(model.get_env())  # type: ignore[attr-defined]
    return model


def _check_replay(name: str, run: RunConfig, settings: Mapping[str, Any]) -> None:
    """Refuse old rewards in a game whose rewards move."""
    if settings["relabel"] and run.task.is_shaped:
        raise ValueError(
            f"{name} relabels the rewards at the end of episodes, so it needs shaping 'none', got {run.task.shaping!r}"
        )
    if not settings["relabel"] and run.is_adversarial:
        raise ValueError(
            f"{name} would learn from rewards of discriminators that are no more: it needs relabel = true with a "
            f"reward that moves, such as {run.task.reward!r}"
        )


def _seqgan_settings() -> type[Any]:
    """The settings of SeqGAN: those of its estimate, and the step size."""
    fields = [
        (each.name, Any, dataclasses.field(default=getattr(AgentConfig(), each.name)))
        for each in dataclasses.fields(AgentConfig)
        if each.name not in _OURS
    ]
    return dataclasses.make_dataclass("SeqGANSettings", fields, frozen=True)


def seqgan_agent(run: RunConfig, settings: Mapping[str, Any]) -> AgentConfig:
    """The part ``agent`` of a run of SeqGAN.

    Args:
        run: the task.
        settings: those of the algorithm.

    Raises:
        ValueError: a value is out of range, or does not go with another one.
    """
    return build_config(AgentConfig, {"n_episodes": run.agent.n_episodes, **settings}, "algorithm 'seqgan'")


def _check_agent(run: RunConfig, settings: Mapping[str, Any]) -> None:
    seqgan_agent(run, settings)


def _task_settings(run: RunConfig) -> dict[str, Any]:
    return {name: value for name, value in vars(run.agent).items() if name not in _OURS}


register_algorithm(
    "seqgan",
    lambda contest: contest.game.agent,
    label="SeqGAN",
    summary="Policy gradient over tokens with action values from Monte Carlo completions.",
    source="arXiv 1609.05473",
    shares="generator",
    settings=_seqgan_settings,
    from_run=_task_settings,
    check=_check_agent,
)

_ON_POLICY: dict[str, Any] = {"n_steps": None, "gamma": 1.0}
_SB3, _CONTRIB = "stable_baselines3", "sb3_contrib"
for _module, _name, _key, _policy, _summary, _source, _ours in (
    (
        *(_SB3, "PPO", "ppo", lambda: GeneratorActorCritic),
        *("Proximal policy optimisation.", "arXiv 1707.06347", {"batch_size": None}),
    ),
    (
        *(_SB3, "A2C", "a2c", lambda: GeneratorActorCritic),
        *("Advantage actor-critic, synchronous.", "arXiv 1602.01783", {}),
    ),
    (
        *(_CONTRIB, "TRPO", "trpo", lambda: GeneratorActorCritic),
        *("Policy optimisation in a trust region.", "arXiv 1502.05477", {"batch_size": None}),
    ),
    (
        *(_CONTRIB, "MaskablePPO", "maskable_ppo", _maskable_policy),
        *("PPO that asks the environment for the tokens that may come.", "arXiv 2006.14171", {"batch_size": None}),
    ),
):
    register_algorithm(
        _key,
        partial(_actor_critic, _module, _name, _policy),
        label=_name,
        summary=_summary,
        source=_source,
        shares="generator",
        settings=partial(_settings, _module, _name, **{**_ON_POLICY, **_ours}),
    )

register_algorithm(
    "recurrent_ppo",
    partial(_with_features, _CONTRIB, "RecurrentPPO", "MlpLstmPolicy"),
    label="RecurrentPPO",
    summary="PPO with a recurrent layer of its own over what the generator reads of a prefix.",
    source="arXiv 1707.06347",
    shares="features",
    settings=partial(_settings, _CONTRIB, "RecurrentPPO", **_ON_POLICY, batch_size=None),
)

_REPLAY = {"buffer_size": 50_000, "gamma": 1.0, "target_update_interval": 1_000, "relabel": True}
for _module, _name, _key, _summary, _source, _more in (
    (_SB3, "DQN", "dqn", "Values of tokens by a deep network, from replayed episodes.", "arXiv 1312.5602", {}),
    (_CONTRIB, "QRDQN", "qrdqn", "The same with quantiles of the return.", "arXiv 1710.10044", {"n_quantiles": 200}),
):
    register_algorithm(
        _key,
        partial(_value_based, _module, _name),
        label=_name,
        summary=_summary,
        source=_source,
        shares="features",
        has_likelihood=False,
        settings=partial(_settings, _module, _name, **_REPLAY, **_more),
        check=partial(_check_replay, _name),
    )
