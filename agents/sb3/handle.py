"""The task behind an environment of Stable-Baselines3, in this process or in others."""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv, unwrap_vec_normalize
from torch import Tensor

from agents.estimator import EstimatorConfig
from seqgan_env.device import resolve_device
from seqgan_env.discriminators import Discriminator, build_discriminator, discriminator_kind
from seqgan_env.rewards import reward_entry
from seqgan_env.task import Task
from seqgan_env.task_config import TaskConfig
from seqgan_env.tokens import SequenceSpec, Tokens
from seqgan_env.weights import Weights


class TaskHandle:
    """The task of a ``VecEnv``, whatever wraps it: questions to it, and changes of it.

    Args:
        env: the environment.

    Raises:
        ValueError: it is not a task of seqgan_env, its environments have other sequences than each other, or one in
            another process has a function that does not travel.
    """

    def __init__(self, env: VecEnv) -> None:
        self._env = env
        try:
            specs: list[SequenceSpec] = env.get_attr("sequence_spec")
            self.configs: list[TaskConfig] = env.get_attr("task_config")
        except AttributeError as error:
            got = f"one with observations {env.observation_space} and actions {env.action_space}"
            raise ValueError(f"env must be a task of seqgan_env, got {got}") from error
        except (EOFError, ConnectionError) as error:  # it has ended, since plain pickle can't send its settings
            got = f"one in another process with observations {env.observation_space} and actions {env.action_space}"
            raise ValueError(
                f"env must be a task of seqgan_env, got {got}, which could not tell its task; if it is one, give it "
                "its functions by name, 'module:function'"
            ) from error
        self.spec = specs[0]
        if other := next((spec for spec in specs if spec != self.spec), None):
            raise ValueError(f"the environments must have the same sequences, got {self.spec} and {other}")

    @property
    def config(self) -> TaskConfig:
        """The task of the first environment in plain values."""
        return self.configs[0]

    @property
    def local_task(self) -> Task | None:
        """The task itself, if the first environment lives in this process."""
        return self._get("task") if self._get("process_id") == os.getpid() else None

    @property
    def version(self) -> int:
        """The discriminator's version in the first environment."""
        return int(self._get("discriminator_version"))

    @property
    def newest_version(self) -> int:
        """The highest version that an environment carries."""
        return max(map(int, self._env.get_attr("discriminator_version")))

    @cached_property
    def real_sequences(self) -> Tokens:
        """The training set of real sequences, shape ``(n_real, T)``."""
        tokens_BT: Tokens = self._get("real_sequences")
        return tokens_BT

    @property
    def held_out_sequences(self) -> Tokens:
        """Real sequences that nothing is trained on, shape ``(n_held_out, T)``."""
        tokens_BT: Tokens = self._get("held_out_sequences")
        return tokens_BT

    def log_prob_real(self, tokens_BT: Tokens) -> np.ndarray | None:
        """The log-probabilities of sequences under the distribution of the real ones, where they are known."""
        log_prob_B: np.ndarray | None = self._call("log_prob_real", tokens_BT)
        return log_prob_B

    def score(self, tokens_BT: Tokens) -> np.ndarray:
        """The terminal rewards of complete sequences, float64, shape ``(B,)``."""
        reward_B: np.ndarray = self._call("score", tokens_BT)
        return reward_B

    def returns(self, tokens_BT: Tokens, start_B: Tokens | None = None) -> np.ndarray:
        """The sums of what the steps of complete episodes are paid, float64, shape ``(B,)``.

        Args:
            tokens_BT: their sequences.
            start_B: the lengths of the prefixes that they began with; None is the empty one.
        """
        return_B: np.ndarray = self._call("episode_return", tokens_BT, start_B)
        return return_B

    def returns_tensor(self, tokens_BT: Tensor) -> Tensor:
        """``returns`` of a tensor; in this process nothing leaves a device that would have to be waited for.

        Where steps are paid too it holds those of a given beginning, which no token after it changes.
        """
        task = self.local_task if tokens_BT.device.type != "cpu" and not self.config.is_shaped else None
        if task is not None:
            return task.scoring.score_tensor(tokens_BT)
        return torch.from_numpy(self.returns(tokens_BT.cpu().numpy())).to(tokens_BT.device)

    def action_values(self, tokens_BT: Tensor) -> Tensor:
        """The values that the terms of the discriminator's logit give each token, ``q_BT``, float64."""
        return self._of_scoring("action_values", tokens_BT)

    def known_values(self, tokens_BT: Tensor) -> Tensor:
        """The part of the value of every token that is known with it, ``known_BTV``, float64."""
        return self._of_scoring("known_values", tokens_BT)

    def reward_parts(self, tokens_BT: Tokens) -> dict[str, np.ndarray]:
        """The pay of the parts of a composite reward for complete sequences, by name, each of shape ``(B,)``."""
        parts: dict[str, np.ndarray] = self._call("reward_parts", tokens_BT)
        return parts

    def allowed_after(self, tokens_BT: Tokens) -> np.ndarray:
        """The tokens that may follow prefixes, ``(B, V)``."""
        mask_BV: np.ndarray = self._call("allowed_after", tokens_BT)
        return mask_BV

    def check_returns(self, tokens_BT: Tokens, start_B: Tokens, return_B: np.ndarray) -> None:
        """Refuse returns of episodes that differ from the task's own by more than rounding.

        Args:
            tokens_BT: their sequences.
            start_B: the lengths of the prefixes that they began with.
            return_B: the sums of what their steps were paid.

        Raises:
            ValueError: one does, as where a wrapper changes rewards, or one environment has another discriminator.
        """
        task = self.local_task
        n_scored = 0 if task is None else task.scoring.n_scored
        own_B = self.returns(tokens_BT, start_B)
        if task is not None:
            task.scoring.n_scored = n_scored  # these were scored when they were paid
        # the optimal discriminator computes in single precision, which may be that of another kind of product
        tolerance = 1e-4 if torch.get_float32_matmul_precision() == "highest" else 0.1
        wrong_B = ~np.isclose(return_B, own_B, rtol=tolerance, atol=tolerance)
        if wrong_B.any():
            b = int(wrong_B.argmax())
            raise ValueError(
                f"rewards must be the task's own, got {return_B[b]:.6g} for {tokens_BT[b].tolist()}, whose score is "
                f"{own_B[b]:.6g}; does a wrapper change rewards, or one environment have another discriminator?"
            )

    def check_observations(self) -> None:
        """Refuse observations that a wrapper has changed, so that they are not the tokens so far any more.

        Raises:
            ValueError: they are.
        """
        space = self._env.observation_space
        tokens = space.spaces.get("tokens") if isinstance(space, spaces.Dict) else space
        if (
            not isinstance(tokens, spaces.Box)
            or tokens.shape != (self.spec.max_length,)
            or not np.issubdtype(tokens.dtype, np.integer)
            or tokens.high.max() != self.spec.pad_id
        ):
            expected = f"Box(0, {self.spec.pad_id}, ({self.spec.max_length},), int64)"
            raise ValueError(f"observations must be tokens, {expected}; got {space}; does a wrapper change them?")
        self.check_not_normalized()

    def check_not_normalized(self) -> None:
        """Refuse observations that ``VecNormalize`` scales, which leaves their space as it is.

        Raises:
            ValueError: they are.
        """
        normalizer = unwrap_vec_normalize(self._env)
        if normalizer is not None and normalizer.norm_obs:
            raise ValueError(
                "observations must be tokens, which are names, got an environment inside VecNormalize; give that "
                "norm_obs=False"
            )

    def copy_discriminator(self) -> Discriminator:
        """A discriminator with the settings of the task and the weights that the first environment has."""
        name, kwargs = self._get("discriminator_arguments")
        copy = build_discriminator(name, self.spec, kwargs=kwargs)
        weights = {name: torch.tensor(array) for name, array in self._call("discriminator_weights").items()}
        try:
            copy.load_weights(weights)
        except ValueError as error:
            made = f"{name}, as the task's settings say; set_discriminator has given another one"
            raise ValueError(f"the first environment's discriminator must be a {made}: {error}") from error
        return copy.to(resolve_device(self.config.device))

    def has(self, discriminator: Discriminator) -> bool:
        """Whether the first environment pays with this very object."""
        task = self.local_task
        return task is not None and task.scoring.discriminator is discriminator

    def has_discriminator_of(self, other: TaskHandle) -> bool:
        """Whether the rewards of both are those of a trained discriminator with the same settings."""
        ours, theirs = (
            (reward_entry(each.config.reward).discriminator, each._get("discriminator_arguments"))
            for each in (self, other)
        )
        return bool(ours == theirs)

    @property
    def is_untrained(self) -> bool:
        """Whether the first environment pays with a trained discriminator that has never been given weights."""
        return reward_entry(self.config.reward).discriminator == "trained" and self.version == 0

    def push(self, discriminator: Discriminator, version: int) -> None:
        """Give a discriminator's weights to every environment, under a version.

        Raises:
            ValueError: it is made for other sequences, or the weights do not fit.
        """
        if discriminator.spec != self.spec:
            raise ValueError(f"the discriminator is made for {discriminator.spec}, the task has {self.spec}")
        state = discriminator.state_dict()
        weights = Weights(self.spec, {name: tensor.detach().cpu().numpy() for name, tensor in state.items()})
        self._env.env_method("load_discriminator", weights, version)

    def _of_scoring(self, method: str, tokens_BT: Tensor) -> Tensor:
        """A method of the task's scoring, where the tokens are."""
        values: Tensor
        if tokens_BT.device.type != "cpu" and (task := self.local_task) is not None:
            values = getattr(task.scoring, method)(tokens_BT)
        else:
            values = torch.from_numpy(self._call(method, tokens_BT.cpu().numpy()))
        return values.to(tokens_BT.device)

    def _get(self, name: str) -> Any:
        return self._env.get_attr(name, indices=[0])[0]

    def _call(self, method: str, *arguments: Any) -> Any:
        return self._env.env_method(method, *arguments, indices=[0])[0]


def handle_for_planning(env: VecEnv, estimator: EstimatorConfig | None = None) -> TaskHandle:
    """The task of an environment whose episodes a generator's completions can stand for.

    Args:
        env: the environment.
        estimator: what is estimated of them; None is the defaults.

    Raises:
        ValueError: it is another environment, or its task is paid or constrained in a way that completions, or the
            values that the estimator takes, are not.
    """
    handle = TaskHandle(env)
    estimator = EstimatorConfig() if estimator is None else estimator
    normalizer = unwrap_vec_normalize(env)
    if normalizer is not None and (normalizer.norm_obs or normalizer.norm_reward):
        # the completions are scored by the task itself, and tokens are names
        raise ValueError("SeqGAN needs tokens and rewards as they are, got an environment inside VecNormalize")
    handle.check_observations()
    for config, (discriminator, _) in zip(handle.configs, env.get_attr("discriminator_arguments"), strict=True):
        constraints, shaping = config.constraints, {"shaping": config.shaping}
        follows = discriminator_kind(discriminator).follows_generator
        sums = estimator.dense or estimator.exact_last_step
        for what, is_so, got in (
            ("the same constraints in every environment", constraints != handle.config.constraints, constraints),
            ("a task without constraints for sums over tokens", sums and constraints, constraints),
            ("a task without constraints for a likelihood of its own in D", follows and constraints, constraints),
            ("a task without shaping for a discount", estimator.discount < 1 and config.is_shaped, shaping),
            (
                "the reward log_ratio or exact_log_ratio, not clipped, for forward_kl",
                estimator.forward_kl > 0
                and (config.reward not in ("log_ratio", "exact_log_ratio") or config.reward_clip is not None),
                {"reward": config.reward, "reward_clip": config.reward_clip},
            ),
            ("a task without shaping for dense values", estimator.dense and config.is_shaped, shaping),
        ):
            if is_so:
                raise ValueError(f"SeqGAN needs {what}, got {got}")
    return handle
