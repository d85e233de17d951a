"""Wrong arguments to everything public are refused by name, before anything is done.

Functions, constructors, methods and settings are found by what the packages export, and the wrong values by signature
and annotation: a new argument is covered without being named, and one whose annotation allows nonsense is found.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import importlib
import inspect
import math
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from stable_baselines3 import PPO

from agents import SeqGAN, make_seqgan_vec_env, with_generator
from agents.adversary import RoundConfig
from agents.estimator import EstimatorConfig
from agents.runs.comparison import compare
from agents.runs.config import RunConfig
from agents.runs.evaluation import evaluate_run
from agents.runs.experiment import Experiment
from seqgan_env import SeqGANEnv, SequenceSpec, TaskConfig
from seqgan_env.autoregressive import CORES, AutoregressiveModel, LikelihoodConfig
from seqgan_env.discriminators import DISCRIMINATORS, Discriminator, DiscriminatorTrainer
from seqgan_env.rewards import REWARDS
from seqgan_env.shaping import SHAPINGS
from seqgan_env.sources import LSTMOracle
from seqgan_env.tokens import Tokens
from seqgan_env.vector_env import SeqGANVectorEnv
from seqgan_env.vocabulary import Vocabulary
from seqgan_env.wrappers import DiversityBonus, VectorDiversityBonus
from tests.support.builders import ORACLE, POLICY, lstm
from tests.support.discriminators import SPEC, small
from tests.support.runs import SHORT

EXPORTING = ["seqgan_env", "agents"] + [
    f"seqgan_env.{name}" for name in ("sources", "discriminators", "autoregressive", "rewards", "metrics", "shaping")
]
MORE = [Vocabulary, Experiment, compare, evaluate_run, DiversityBonus, VectorDiversityBonus]
"""Public without being exported by a package."""

INNER = {
    "discriminator_loss", "discriminator_scores", "Core", "Column", "EvaluationBatch", "measure", "likelihood_metrics",
    "MetricEntry", "check_groups",
    "columns", "columns_of_role", "RewardContext", "RewardEntry", "ShapingContext", "ShapingEntry",
    "Payment", "check_clip", "total_payments", "ConstrainedModel", "OptimalDiscriminator", "SeqGANVecEnv", "Task",
    "PotentialShaping", "build_shaping", "shaping_configs", "needed_discriminator", "Metric", "Reward", "Schedule",
    "Shaping", "Source", "KnownSource", "FactoredSource", "DenseReward", "register_metric", "register_reward",
    "register_shaping", "register_core", "RelabellingReplayBuffer", "RelabellingDictReplayBuffer",
    "AutoregressivePolicy", "GeneratorActorCritic",
}  # fmt: skip
"""Exported for those who extend the packages: mathematics on tensors, declarations, and what others construct."""
INNER_METHODS = {
    "hidden", "log_prob", "weighted_log_prob", "sequence_log_prob", "token_log_prob", "start", "read", "step", "choose",
    "complete", "forward", "loss", "tensor_logits", "exact_logits", "prefix_logits", "logits", "scorer", "token_logits",
    "row_logits", "fingerprint",
    "check", "fit_real", "follow", "update", "collect", "train", "estimate", "push", "learn_part", "spec", "decode",
    "observe", "step_size", "is_grammatical", "dump_logs", "save", "load_state_dict", "load_weights", "restore",
    "penalty", "evaluate", "get_attr", "set_attr", "env_method", "measure", "bar", "keep", "id_of", "is_token",
    "lengths", "is_complete", "with_start", "render", "render_mode", "fitting", "pairs", "of", "from_json",
    "set_parameters",
    "AutoregressiveModel.sample",
}  # fmt: skip
"""Methods of the same kind, and those of Stable-Baselines3's interface."""
SETTINGS: dict[str, Any] = {
    "task": TaskConfig,
    "kwargs": TaskConfig,
    "estimator": EstimatorConfig,
    "round_settings": RoundConfig,
    "settings": LikelihoodConfig,
    "core_arguments": CORES["lstm"].Config,
    "arguments": AutoregressiveModel.draw,
}
"""The meaning of arguments by keyword, by their name: fields or arguments of something else."""
NOT_OURS = {with_generator}
"""Functions whose arguments by keyword are somebody else's."""
MAY_LACK = {"source"}
"""Arguments that the id for text files has no value for."""
SIGNED = {"weight", "floor"}
"""Numbers that may be negative where their annotation has no limit."""
COUNTS: dict[str, int] = {}


def sample(name: str, hint: Any) -> Any:
    """A right value of an argument that must be given."""
    by_name: dict[str, Any] = {
        "policy": "LstmPolicy", "env": ENV, "env_id": "SeqGANTiny-v0", "vocab_size": 5, "max_length": 6, "n": 2,
        "real": REAL, "generated": REAL, "held_out_real": REAL, "held_out_generated": REAL, "tokens": ["<eos>", "a"],
        "name": "cnn", "path": Path("nowhere"), "source": "grammar", "seed": 0, "n_train": 2, "n_test": 2,
        "config": SHORT, "out": Path("out"), "run": Path("nowhere"), "runs": {"one": SHORT}, "counts": {"a": 1},
        "lines": ["a b"], "observation_space": spaces.Box(0, 5, (6,), np.int64), "text": "a", "real_BT": REAL,
        "n_updates": 0, "total_timesteps": 1, "rng": np.random.default_rng(0), "sequences": REAL, "weights": {},
        "kind": Discriminator, "summary": "a", "algorithm": PPO, "generator": GENERATOR, "state": None,
        "word": "a", "loss": "logistic", "reward": "log_d", "device": "cpu",
    }  # fmt: skip
    if hint is SequenceSpec:
        return SPEC
    if hint is Discriminator:
        return small()
    if typing.get_origin(hint) in (gym.Env, VectorEnv):
        return ENVS[typing.get_origin(hint)]
    return OBJECTS[0] if SeqGAN in typing.get_args(hint) else by_name[name]


ENV = make_seqgan_vec_env("SeqGAN-v0", 2, **ORACLE)
ENVS: dict[Any, Any] = {gym.Env: SeqGANEnv(**ORACLE), VectorEnv: SeqGANVectorEnv(2, **ORACLE)}
GENERATOR = lstm(SPEC)
REAL = np.array([[1, 2, 3, 4, 1, 2], [1, 0, 5, 5, 5, 5]])


def accepts(hint: Any, value: Any) -> bool:
    """Whether an annotation allows a value; written apart from the checks."""
    origin, arguments = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin is Annotated:
        return accepts(arguments[0], value) and all(value in each for each in arguments[1:])
    if origin in (Union, types.UnionType):
        return any(accepts(each, value) for each in arguments)
    if origin is Literal:
        return value in arguments
    if hint is None or hint is type(None):
        return value is None
    if origin in (int, float):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        return math.isfinite(value) and value >= 0 and (origin is float or isinstance(value, int))
    if origin is bool:
        return isinstance(value, bool)
    if origin is collections.abc.Callable:
        return callable(value)
    if origin in (np.ndarray, torch.Tensor) or isinstance(origin, typing.TypeVar) or origin is Any:
        return True
    return isinstance(value, origin)


def wrong_values(hint: Any) -> list[Any]:
    """The values that an annotation does not allow."""
    candidates = ["bogus", 1.5, True, None, math.nan, math.inf, -math.inf, -1, 0, -0.5, 2, 2**63, 1e300, [[]], object()]
    if any(each in (str, Path) or getattr(each, "__name__", "") == "PathLike" for each in _options(hint)):
        candidates.remove("bogus")
    return [value for value in candidates if not accepts(hint, value)]


def _options(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in (Union, types.UnionType) else (hint,)


def arguments_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotation of each argument; of arguments by keyword those of what they are for."""
    target: Any = function
    if inspect.isclass(function) and not dataclasses.is_dataclass(function):
        target = inspect.unwrap(function.__init__)  # type: ignore[misc]
    hints = typing.get_type_hints(inspect.unwrap(target), include_extras=True)
    found: dict[str, Any] = {}
    for name, each in inspect.signature(function).parameters.items():
        if each.kind is inspect.Parameter.VAR_KEYWORD and function in NOT_OURS:
            continue
        if each.kind is inspect.Parameter.VAR_KEYWORD:
            found |= {more: hint for more, hint in arguments_of(SETTINGS[name]).items() if more not in ("self", "n")}
        elif name != "self" and not name.startswith("_") and each.kind is not inspect.Parameter.VAR_POSITIONAL:
            found[name] = hints.get(name, Any)
    return found


def required_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Right values of the arguments that have no default."""
    hints = arguments_of(function)
    return {
        name: sample(name, hints[name])
        for name, each in inspect.signature(function).parameters.items()
        if each.default is inspect.Parameter.empty and name in hints
    }


def configurations() -> Iterator[type]:
    """The dataclasses of settings."""
    yield from (SequenceSpec, TaskConfig, RoundConfig, EstimatorConfig, LikelihoodConfig, RunConfig)
    yield from (type(getattr(RunConfig(), each.name)) for each in dataclasses.fields(RunConfig) if each.name != "seed")
    for registry, attribute in ((CORES, "Config"), (DISCRIMINATORS, "kind"), (REWARDS, "config"), (SHAPINGS, "config")):
        for entry in registry.values():
            found = getattr(entry, attribute)
            yield found.Config if attribute == "kind" else found


def public() -> dict[str, Callable[..., Any]]:
    """Everything that can be called wrongly, by name."""
    exported = [getattr(module, name) for module in map(importlib.import_module, EXPORTING) for name in module.__all__]
    found: dict[str, Callable[..., Any]] = {}
    for each in [*exported, *MORE]:
        is_called = inspect.isfunction(each) or (inspect.isclass(each) and not getattr(each, "_is_protocol", False))
        if is_called and each.__name__ not in INNER:
            found[each.__name__] = each
    found |= {f"{each.__module__}.{each.__name__}": each for each in configurations() if dataclasses.fields(each)}
    return found


OBJECTS: list[Any] = [
    SeqGAN("LstmPolicy", ENV, n_episodes=2, n_completions=1, policy_kwargs=POLICY),
    SeqGANVectorEnv(2, **ORACLE),
    LSTMOracle(5, 6, 2, 2),
    Vocabulary(["<eos>", "a", "b"]),
    DiscriminatorTrainer(small()),
    GENERATOR,
]
"""One of each class whose methods are called."""


def methods() -> dict[str, Callable[..., Any]]:
    """The public methods of each object, with it."""
    found = {}
    for each in OBJECTS:
        for kind in type(each).__mro__:
            if kind.__module__.split(".")[0] in ("seqgan_env", "agents"):
                for name, method in vars(kind).items():
                    full = f"{type(each).__name__}.{name}"
                    if inspect.isfunction(method) and name[0] != "_" and not INNER_METHODS & {name, full}:
                        found[full] = getattr(each, name)
    return found


CALLABLES = public() | methods()


@pytest.mark.parametrize("name", CALLABLES)
def test_a_wrong_argument_is_refused_by_its_name(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    function = CALLABLES[name]
    accepted = []
    for argument, hint in arguments_of(function).items():
        for value in wrong_values(hint | None if argument in MAY_LACK else hint):
            if argument in SIGNED and hint is float and value in (-1, -0.5):
                continue
            COUNTS[name] = COUNTS.get(name, 0) + 1
            try:
                function(**required_of(function) | {argument: value})
                accepted.append(f"{argument}={value!r} was accepted")
            except (ValueError, TypeError) as error:
                if argument not in str(error) or "\n" in str(error):
                    accepted.append(f"{argument}={value!r}: {error}")
            except Exception as error:
                accepted.append(f"{argument}={value!r}: {type(error).__name__}: {error}")
    assert not accepted, "\n".join(accepted)
    assert not list(tmp_path.iterdir())


def wrong_tokens(spec: SequenceSpec) -> list[Any]:
    """Batches that are none of a task's."""
    right = np.zeros((2, spec.max_length), np.int64)
    arrays = [right + spec.vocab_size + 1, right - 1, right + 0.5, right[..., None], right.astype(str)]
    return [*arrays, [[None]], None, "bogus"]


TAKE_TOKENS: dict[str, tuple[str, Callable[[Tokens], Any], SequenceSpec]] = {
    "SeqGAN.predict": ("observation", lambda tokens: OBJECTS[0].predict(tokens), OBJECTS[0].policy.spec),
    "SeqGAN.pretrain": ("real", lambda tokens: OBJECTS[0].pretrain(tokens), OBJECTS[0].policy.spec),
    "score": ("sequences", lambda tokens: OBJECTS[1].score(tokens), OBJECTS[1].sequence_spec),
    "action_values": ("tokens_BT", lambda tokens: OBJECTS[1].action_values(tokens), OBJECTS[1].sequence_spec),
    "LSTMOracle.log_prob": ("tokens", lambda tokens: OBJECTS[2].log_prob(tokens), OBJECTS[2].spec),
    "LSTMOracle.token_log_prob": ("tokens", lambda tokens: OBJECTS[2].token_log_prob(tokens), OBJECTS[2].spec),
    "fit, real": ("real", lambda tokens: OBJECTS[4].fit(tokens, REAL), SPEC),
    "fit, generated": ("generated", lambda tokens: OBJECTS[4].fit(REAL, tokens), SPEC),
}
"""Functions of batches: the name of the argument, the call, and the sequences of its task."""


@pytest.mark.parametrize("name", TAKE_TOKENS)
def test_ids_out_of_range_and_other_arrays_are_refused(name: str) -> None:
    argument, call, spec = TAKE_TOKENS[name]
    for tokens in wrong_tokens(spec):
        COUNTS[name] = COUNTS.get(name, 0) + 1
        with pytest.raises((ValueError, TypeError), match=rf"(?i){argument}"):
            call(tokens)


def test_the_table_is_as_large_as_the_interface() -> None:
    """Shown with ``-rP``: how many wrong calls there were."""
    print(f"{sum(COUNTS.values())} wrong calls of {len(COUNTS)} functions, constructors and settings")
    assert len(CALLABLES) > 60
