"""SeqGAN's generator as an algorithm of Stable-Baselines3: policy gradient with Monte Carlo action values."""

# Over 300 lines: Stable-Baselines3 wants construction, learning, saving and loading of one class; half are docstrings.

from __future__ import annotations

import dataclasses
import functools
import math
import secrets
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, TypeVar

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.type_aliases import MaybeCallback, Schedule
from stable_baselines3.common.utils import safe_mean
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from agents.agent_file import (
    OPTIMIZERS,
    AgentArguments,
    AgentFile,
    check_optimizer,
    optimizer_name,
    plain_arguments,
    stored_class,
)
from agents.checkpoint import check_storable
from agents.collection import Episodes, collect_episodes
from agents.companions import Companions
from agents.estimator import EstimatorConfig
from agents.gradient import Estimate, estimate_gradient, further_loss, likelihood_loss
from agents.policy import AutoregressivePolicy, policy_names
from agents.sb3.handle import TaskHandle, handle_for_planning
from agents.sb3.vec_env import make_seqgan_vec_env
from seqgan_env.autoregressive import AutoregressiveModel, LikelihoodConfig, MaximumLikelihoodTrainer
from seqgan_env.averaging import WeightAverage
from seqgan_env.checks import (
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Seed,
    StepSize,
    build_config,
    check_arguments,
    check_choice,
)
from seqgan_env.descent import check_step_size, gradient_step
from seqgan_env.device import check_device
from seqgan_env.files import refusal
from seqgan_env.seeding import numpy_rng, torch_rng
from seqgan_env.tokens import SequenceSpec, Tokens
from seqgan_env.weights import check_buildable, check_form, load_optimizer

Self = TypeVar("Self", bound="SeqGAN")

_N_CHECKED = 32  # episodes of an update whose rewards are compared with the task's own


class Update(NamedTuple):
    """Measurements of one policy-gradient update."""

    loss: float
    """The surrogate whose gradient was taken."""
    grad_norm: float
    """The gradient's norm before it was scaled down."""
    q_mean: float
    """The mean action value of the chosen tokens."""
    entropy: float
    """The mean negative log-probability of the chosen tokens, nats per token."""
    reward_mean: float
    """The mean terminal reward."""


class SeqGAN(BaseAlgorithm):
    """Policy gradient over tokens (eq. 13.44) with action values from Monte Carlo completions.

    An iteration plays ``n_episodes`` episodes, estimates ``Q`` of every token they chose, and takes one gradient step.
    The completions are scored by the environment's own ``score``, so the rewards of an iteration all come from one
    version of the discriminator.

    Args:
        policy: ``"LstmPolicy"``, ``"GruPolicy"``, ``"AttentionPolicy"``, ``"TransformerPolicy"`` (one for each
            registered core), or a subclass of ``AutoregressivePolicy``.
        env: a registered id (played by the native vector environment), an environment, or a ``VecEnv``.
        learning_rate: step size of the policy's optimiser, or a schedule.
        n_episodes: B, the episodes of an iteration.
        max_grad_norm: the gradient is scaled down to this norm.
        stats_window_size: episodes in the logged means.
        tensorboard_log: where TensorBoard events go; None is nowhere.
        policy_kwargs: further arguments of the policy.
        verbose: 0 silent, 1 tables of the logger.
        seed: everything random follows it; None draws one.
        device: where the policy computes.
        _init_setup_model: build the networks now.
        **estimator: fields of ``agents.estimator.EstimatorConfig``: ``n_completions``, ``baseline``,
            ``normalize_advantage``, ``stratified``, ``exact_last_step``, ``dense``, ``inner_sums``, …

    Raises:
        ValueError: an unknown policy or argument, an environment of something else, or a value out of range.
    """

    policy: AutoregressivePolicy
    seed: int

    @check_arguments
    def __init__(
        self,
        policy: str | type[AutoregressivePolicy],
        env: gym.Env[Any, Any] | VecEnv | str | None,
        learning_rate: StepSize | Schedule = 0.001,
        n_episodes: PositiveInt = 64,
        *,
        max_grad_norm: PositiveFloat = 5.0,
        stats_window_size: PositiveInt = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: NonNegativeInt = 0,
        seed: Seed | None = None,
        device: torch.device | str = "auto",
        _init_setup_model: bool = True,
        **estimator: Any,
    ) -> None:
        if isinstance(policy, str):
            names = policy_names()
            check_choice("policy", policy, names)
            policy_kwargs = {"core": names[policy], **(policy_kwargs or {})}
            check_choice(f"the core of {policy!r}", policy_kwargs["core"], (names[policy],))
            policy = AutoregressivePolicy
        if not issubclass(policy, AutoregressivePolicy):
            raise ValueError(f"policy must be a subclass of AutoregressivePolicy, got {policy.__name__}")
        self.estimator = build_config(EstimatorConfig, estimator, type(self).__name__)
        check_device(str(device))
        check_storable("policy_kwargs", plain_arguments(policy_kwargs or {}))
        if isinstance(env, str):
            env = make_seqgan_vec_env(env, n_envs=n_episodes)
        super().__init__(
            policy,
            env,
            learning_rate,
            policy_kwargs=policy_kwargs,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            verbose=verbose,
            device=device,
            support_multi_env=True,
            seed=secrets.randbits(31) if seed is None else seed,
            supported_action_spaces=(spaces.Discrete,),
        )
        self.n_episodes = n_episodes
        self.max_grad_norm = max_grad_norm
        self.last_update: Update | None = None
        """The measurements of the last update."""
        self._companions = Companions(self.estimator)
        self._constraints: tuple[str, ...] = ()  # their names, which an agent without an environment knows too
        self._handle: TaskHandle | None = None
        self._spec: SequenceSpec | None = None
        if self.env is not None:
            self._handle = handle_for_planning(self.env, self.estimator)
            self._spec = self._handle.spec
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        if self._spec is None:
            raise ValueError("env must be given: the policy is made for its sequences")
        self._setup_lr_schedule()
        check_step_size(self.lr_schedule(1.0))
        self.set_random_seed(self.seed)
        self.policy = self.policy_class(  # type: ignore[assignment]
            self.observation_space,
            self.action_space,
            self.lr_schedule,
            eos_id=self._spec.eos_id,
            vocabulary=self._spec.vocabulary,
            **self.policy_kwargs,
        ).to(self.device)
        self.policy.set_training_mode(False)
        self._average = WeightAverage(self.generator, self.estimator.weight_averaging)
        self._constrain()

    @property
    def _task(self) -> TaskHandle:
        """The handle of the environment, which an agent that was loaded without one can't ask for."""
        assert self._handle is not None
        return self._handle

    @property
    def generator(self) -> AutoregressiveModel:
        """The generator ``G_theta``; with ``weight_averaging`` it has the average, but while it is ``playing``."""
        return self.policy.generator

    def playing(self) -> AbstractContextManager[None]:
        """A context in which the generator has the weights that learn, and not their average."""
        return self._average.having(learning=True)

    def _constrain(self) -> None:
        """Let the policy keep to the constraints of the environment."""
        if (handle := self._handle) is not None:
            self._constraints = tuple(handle.config.constraints)
            self.policy.allowed = handle.allowed_after if self._constraints else None

    @property
    def n_updates(self) -> int:
        """Policy-gradient updates so far."""
        return self._n_updates

    # Learning

    @check_arguments
    def pretrain(
        self,
        real: Any,
        n_epochs: PositiveInt = 1,
        *,
        on_epoch: Callable[[float], None] | None = None,
        **settings: Any,
    ) -> MaximumLikelihoodTrainer:
        """Maximum likelihood on real sequences (eq. 13.34).

        Args:
            real: sequences, shape ``(n, T)``.
            n_epochs: passes over them, in which the step size falls to 0 unless ``schedule`` says otherwise.
            on_epoch: called after each epoch with its mean loss, nats per token.
            **settings: fields of ``LikelihoodConfig`` of ``seqgan_env.autoregressive``: ``learning_rate``, …

        Returns:
            The trainer, for a caller who wants to go on.

        Raises:
            ValueError: the sequences are not of this task, or a value is out of range.
        """
        real = self.policy.spec.validate(real, complete=True, name="real")
        config = build_config(LikelihoodConfig, settings, "pretrain")
        self._average.forget()  # learning goes on from the weights that this makes
        trainer = MaximumLikelihoodTrainer(self.generator, config, seed=self.seed, total_epochs=n_epochs)
        for _ in range(n_epochs):
            loss = trainer.epoch(real)
            if on_epoch is not None:
                on_epoch(loss)
        return trainer

    @check_arguments
    def learn(
        self: Self,
        total_timesteps: PositiveFloat,
        callback: MaybeCallback = None,
        log_interval: PositiveInt | None = 10,
        tb_log_name: str = "SeqGAN",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> Self:
        """Play and improve for at least ``total_timesteps`` steps of the environment; the arguments are SB3's.

        A number such as ``1e5`` is welcome, as it is in Stable-Baselines3.

        Raises:
            ValueError: the agent has no environment, or a number is out of range.
        """
        n_timesteps, callback = self._setup_learn(
            math.ceil(total_timesteps), callback, reset_num_timesteps, tb_log_name, progress_bar
        )
        callback.on_training_start({"self": self, "callback": callback, "total_timesteps": n_timesteps}, {})
        iteration = 0
        while self.num_timesteps < n_timesteps and self._iterate(callback, lambda: self.num_timesteps / n_timesteps):
            iteration += 1
            if log_interval is not None and iteration % log_interval == 0:
                self.dump_logs()
        callback.on_training_end()
        return self

    @check_arguments
    def learn_updates(self: Self, n_updates: NonNegativeInt, callback: MaybeCallback = None) -> Self:
        """Play and improve until ``n_updates`` updates have been made in all, those before this call included.

        Args:
            n_updates: how many; a schedule of the step size sees their share as its progress.
            callback: as for ``learn``.

        Raises:
            ValueError: the agent has no environment.
        """
        _, callback = self._setup_learn(0, callback, reset_num_timesteps=False)
        callback.on_training_start({"self": self, "callback": callback, "n_updates": n_updates}, {})
        while self._n_updates < n_updates and self._iterate(callback, lambda: self._n_updates / n_updates):
            pass
        callback.on_training_end()
        return self

    def _setup_learn(self, *arguments: Any, **more: Any) -> tuple[int, BaseCallback]:
        if self.env is None:
            raise ValueError("learning needs an environment: pass env to load, or call set_env")
        return super()._setup_learn(*arguments, **more)

    def _iterate(self, callback: BaseCallback, progress: Callable[[], float]) -> bool:
        """One iteration, with a step size for the ``progress`` after its collection; False if a callback stopped it."""
        episodes = self.collect(callback)
        if episodes is None:
            return False
        self._current_progress_remaining = max(0.0, 1.0 - progress())  # the last collection may overshoot
        self.train(episodes)
        return True

    def collect(self, callback: BaseCallback) -> Episodes | None:
        """Play ``n_episodes`` whole episodes; see ``collect_episodes``.

        Returns:
            The episodes, or None if a callback asked to stop.

        Raises:
            ValueError: an episode was cut short, or what it was paid is not the task's own score of its sequence.
        """
        assert self.env is not None
        n_envs = self.env.num_envs

        def on_step(step: dict[str, Any]) -> bool:
            self.num_timesteps += n_envs
            callback.update_locals(step)
            with self._average.having(learning=False):  # which an evaluation measures here too
                goes_on = callback.on_step()
            if not goes_on:
                return False
            self._update_info_buffer(step["infos"], step["dones"])
            return True

        callback.on_rollout_start()
        rng = torch_rng(self.seed, "episodes", self._n_updates, device=self.device)
        with self.playing():
            episodes = collect_episodes(
                self.env,
                self.policy.acting,
                self.n_episodes,
                rng,
                on_step,
                temperature=self.estimator.exploration_temperature,
                pays_steps=self._task.config.is_shaped,
            )
            if episodes is not None:
                self._check_returns(episodes)
        if episodes is not None:
            callback.on_rollout_end()
        return episodes

    def _check_returns(self, episodes: Episodes) -> None:
        """Compare what was paid with the task's own score, which completions are paid: of many episodes that of some.

        Others are compared in the next update.
        """
        step = -(-self.n_episodes // _N_CHECKED)
        some = slice(self._n_updates % step, None, step)
        tokens_KT, chosen_KT, return_K = (each[some].cpu().numpy() for each in episodes)
        start_K = self._task.spec.lengths(tokens_KT) - chosen_KT.sum(axis=1)
        self._task.check_returns(tokens_KT, start_K, return_K)

    def train(self, episodes: Episodes) -> None:
        """One update: policy-gradient steps (eq. 13.44) on the episodes of a collection, by default one."""
        rng = torch_rng(self.seed, "completions", self._n_updates, device=self.device)
        with self.playing():
            self._companions.begin(self.generator)
            self.update(episodes, self.estimate(episodes, rng))

    def estimate(self, episodes: Episodes, rng: torch.Generator | None = None) -> Estimate:
        """The estimate of the gradient from the episodes of a collection; see ``estimate_gradient``.

        With ``weight_averaging`` call it, and ``update``, while the generator is ``playing``.

        Raises:
            ValueError: the generator has the average.
        """
        self._check_playing()
        handle = self._task

        def acting(model: AutoregressiveModel | None) -> AutoregressiveModel | None:
            return None if model is None else self.policy.constrained(model)

        return estimate_gradient(
            self.policy.acting,
            episodes,
            self._score,
            dataclasses.replace(self.estimator, kl_penalty=self._companions.kl_weight),
            rng,
            handle.action_values,
            handle.known_values,
            acting(self._companions.pretrained),
            acting(self._companions.rollout),
            self._some_real("prefixes") if self.estimator.real_prefixes else None,
        )

    def update(self, episodes: Episodes, estimate: Estimate) -> None:
        """Take the step of an estimate, and those after it that are asked for, while the generator is ``playing``.

        Raises:
            ValueError: the step size, the action values, the loss or the gradient is not finite, or the generator has
                the average.
        """
        self._check_playing()
        loss, q_BT, log_prob_BT, *_ = estimate
        config, acting = self.estimator, self.policy.acting
        self._update_learning_rate(self.policy.optimizer)

        def step(loss: Tensor, **also: Tensor) -> Tensor:
            # on a GPU nothing has been read yet
            return gradient_step(self.policy.optimizer, loss, self.max_grad_norm, "generator", also=also, waits=True)

        def forced(loss: Tensor, *of: Any) -> Tensor:
            """With the likelihood of real sequences, if it is asked for."""
            weight = config.teacher_forcing
            return loss + likelihood_loss(self.generator, self._some_real(*of), weight) if weight else loss

        grad_norm = step(forced(loss), **{"the action values": q_BT})
        for epoch in range(1, config.n_epochs):
            step(forced(further_loss(acting, episodes.tokens_BT, estimate, config.clip_range), "epoch", epoch))
        for i in range(config.teacher_forcing_steps):
            step(likelihood_loss(self.generator, self._some_real("step", i), 1.0))
        self._companions.follow(self.generator)
        self._average.take()
        self._n_updates += 1

        chosen_BT, n_chosen = episodes.chosen_BT, int(episodes.chosen_BT.sum())
        self.last_update = update = Update(
            loss=float(loss.detach()),
            grad_norm=float(grad_norm),
            q_mean=float((q_BT * chosen_BT).sum()) / n_chosen,
            entropy=-float((log_prob_BT.detach() * chosen_BT).sum()) / n_chosen,
            reward_mean=float(episodes.reward_B.mean()),
        )
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/policy_gradient_loss", update.loss)
        self.logger.record("train/grad_norm", update.grad_norm)
        self.logger.record("train/q_mean", update.q_mean)
        self.logger.record("train/entropy", update.entropy)
        self.logger.record("rollout/reward_mean", update.reward_mean)
        if estimate.divergence is not None:
            self._companions.steer(divergence := float(estimate.divergence))
            self.logger.record("train/kl_to_pretrained", divergence)
            self.logger.record("train/kl_weight", self._companions.kl_weight)

    def _check_playing(self) -> None:
        if self.estimator.weight_averaging and not self._average.is_learning:
            raise ValueError("an update needs the weights that learn, got their average: use agent.playing()")

    def _some_real(self, *of: Any) -> Tensor:
        """As many real sequences as episodes, others for each update and name."""
        real = self._task.real_sequences
        rng = numpy_rng(self.seed, "teacher forcing", self._n_updates, *of)
        return torch.from_numpy(real[rng.integers(len(real), size=self.n_episodes)]).to(self.device)

    def _score(self, tokens_MT: Tensor) -> Tensor:
        return self._task.returns_tensor(tokens_MT)

    def dump_logs(self, iteration: int = 0) -> None:
        """Write the table of the logger.

        Args:
            iteration: accepted for the interface of Stable-Baselines3.
        """
        elapsed = max((time.time_ns() - self.start_time) / 1e9, sys.float_info.epsilon)
        if self.ep_info_buffer:
            self.logger.record("rollout/ep_rew_mean", safe_mean([info["r"] for info in self.ep_info_buffer]))
            self.logger.record("rollout/ep_len_mean", safe_mean([info["l"] for info in self.ep_info_buffer]))
        self.logger.record("time/fps", int((self.num_timesteps - self._num_timesteps_at_start) / elapsed))
        self.logger.record("time/total_timesteps", self.num_timesteps, exclude="tensorboard")
        self.logger.dump(step=self.num_timesteps)

    def sample(self, n: int, *, seed: int = 0, **arguments: Any) -> Tokens:
        """Draw ``n`` complete sequences, ``(n, T)``; see ``AutoregressiveModel.draw``.

        A second call with the same seed draws the same ones again; training goes on as if none had been drawn. They
        keep to the constraints of the environment; an agent that was loaded without one knows of none.
        """
        return self.policy.acting.draw(n, seed=seed, **arguments)

    # Keeping

    @check_arguments
    def set_env(self, env: gym.Env[Any, Any] | VecEnv, force_reset: bool = True) -> None:
        """Go on in another environment.

        Args:
            env: of a task with the same sequences.
            force_reset: accepted for the interface of Stable-Baselines3; an iteration always starts with a reset.

        Raises:
            ValueError: the constructor would refuse the environment, or its sequences are others.
        """
        wrapped = self._wrap_env(env, self.verbose)
        handle = handle_for_planning(wrapped, self.estimator)
        if handle.spec != self._spec:
            raise ValueError(f"the agent was made for {self._spec}, the environment has {handle.spec}")
        self.n_envs = wrapped.num_envs  # unknown to an agent that was loaded without an environment
        self.observation_space = wrapped.observation_space  # of the same tokens, in either form
        super().set_env(wrapped, force_reset)
        self._handle = handle
        self._constrain()

    @check_arguments
    def set_random_seed(self, seed: Seed | None = None) -> None:
        """See ``BaseAlgorithm``; the agent's own numbers follow this seed from now on too. None changes nothing."""
        super().set_random_seed(seed)
        self.seed = self.seed if seed is None else seed

    def set_parameters(self, load_path_or_dict: Any, exact_match: bool = True, device: Any = "auto") -> None:
        """See ``BaseAlgorithm``; learning goes on from these weights, and an average begins anew with them."""
        super().set_parameters(load_path_or_dict, exact_match, device)
        self._average.forget()

    def state_dict(self) -> dict[str, Any]:
        """Everything that goes on after a checkpoint, as plain data and tensors."""
        with self._average.having(learning=False):
            policy = {name: tensor.clone() for name, tensor in self.policy.state_dict().items()}
        return {
            "policy": policy,
            "averaging": self._average.state_dict(),
            **self._companions.state_dict(),
            "optimizer": self.policy.optimizer.state_dict(),
            "seed": self.seed,
            "num_timesteps": self.num_timesteps,
            "n_updates": self._n_updates,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore ``state_dict``.

        Raises:
            ValueError: it is the state of another agent.
        """
        fresh: dict[str, Any] = {
            "kl_weight": 0.0,
            "pretrained": {},
            "rollout": {},
            "averaging": {"n": 0, "weights": {}},
            "seed": 0,
            "num_timesteps": 0,
            "n_updates": 0,
        }
        check_form("the agent's state", state, self.state_dict() | fresh)
        self._companions.load_state_dict(state, self.generator)
        load_optimizer(self.policy.optimizer, state["optimizer"])
        with self._average.having(learning=False):
            self._average.load_state_dict(state["averaging"])
            self.policy.load_state_dict(state["policy"])
        self.seed, self.num_timesteps, self._n_updates = (state[n] for n in ("seed", "num_timesteps", "n_updates"))

    def save(self, path: Any, exclude: Any = None, include: Any = None) -> None:
        """Write the agent to one file without code (see ``agents.checkpoint``).

        Args:
            path: of the file, where ``.zip`` is added if it has no suffix and missing folders are made; or a stream.
            exclude: accepted for the interface of Stable-Baselines3; the format is fixed.
            include: the same.

        Raises:
            ValueError: it is neither a path nor a stream of bytes.
        """
        arguments = {
            **dataclasses.asdict(self.estimator),
            **{name: getattr(self, name) for name in ("learning_rate", "n_episodes", "max_grad_norm", "seed")},
            **{name: getattr(self, name) for name in ("verbose", "tensorboard_log")},
            "stats_window_size": self._stats_window_size,
            "policy_kwargs": plain_arguments(self.policy_kwargs),
        }
        if callable(self.learning_rate):
            # a schedule is code, which the file does not hold; it keeps the step size of the moment, or where that has
            # come down to 0 the one it began with
            arguments["learning_rate"] = self.policy.optimizer.param_groups[0]["lr"] or self.lr_schedule(1.0)
        kept = build_config(AgentArguments, arguments, "an agent's file")
        names = self.policy_class.__name__, optimizer_name(self.policy.optimizer_class)
        AgentFile(*names, self.policy.spec, self._constraints, kept, self.state_dict()).write(path)

    @classmethod
    @check_arguments
    def load(
        cls: type[Self],
        path: Any,
        env: gym.Env[Any, Any] | VecEnv | None = None,
        device: torch.device | str = "auto",
        custom_objects: dict[str, Any] | None = None,
        print_system_info: bool = False,
        force_reset: bool = True,
        **kwargs: Any,
    ) -> Self:
        """Read an agent that ``save`` wrote; nothing in the file is executed.

        Args:
            path: of the file, with ``.zip`` or without; or a stream.
            env: to go on learning in; None is enough to predict and to sample, without the constraints of the task,
                which no file holds: a warning names those that are lost.
            device: where the policy computes.
            custom_objects: what the file cannot hold, as ``policy_class`` and ``optimizer_class`` for those of your
                own; and arguments of the constructor that replace the stored ones.
            print_system_info: accepted for the interface of Stable-Baselines3.
            force_reset: the same; an iteration always starts with a reset.
            **kwargs: arguments of the constructor that replace the stored ones.

        Raises:
            ValueError: the file is missing, damaged or of something else, or does not fit the environment.
        """
        stored = AgentFile.read(path)
        given = dict(custom_objects or {})
        policies = {AutoregressivePolicy.__name__: AutoregressivePolicy}
        policy = stored_class(path, "policy_class", stored.policy_class, policies, given)
        optimizer = stored_class(path, "optimizer_class", stored.optimizer_class, OPTIMIZERS, given)
        kept = vars(stored.arguments)
        arguments = {**kept, **given, **kwargs}
        arguments["policy_kwargs"] = {"optimizer_class": optimizer, **arguments["policy_kwargs"]}
        optimizer_arguments = ("optimizer_class", "optimizer_kwargs")
        core_arguments = {k: v for k, v in arguments["policy_kwargs"].items() if k not in optimizer_arguments}
        skeleton = functools.partial(policy, *_spaces(stored.spec), lambda _: 1.0, eos_id=stored.spec.eos_id)
        with refusal(path, "SeqGAN agent"):
            check_buildable(lambda: skeleton(**core_arguments), stored.state.get("policy"))
            if not {"optimizer_class", "policy_kwargs"} & {**(custom_objects or {}), **kwargs}.keys():
                check_optimizer(optimizer, kept["policy_kwargs"])
        model = cls(policy, env, device=device, _init_setup_model=False, **arguments)
        if model._spec is None:
            model._spec = stored.spec
            model.observation_space, model.action_space = _spaces(stored.spec)
        elif model._spec != stored.spec:
            raise ValueError(f"{path} was trained on {stored.spec}, the environment has {model._spec}")
        model._setup_model()
        if lost := ", ".join(name for name in stored.constraints if name not in model._constraints):
            said = f"the agent kept to the constraints {lost}, which it does not now: only an environment has them"
            warnings.warn(said, stacklevel=3)
        if env is None:
            model._constraints = stored.constraints
        seed = model.seed
        with refusal(path, "SeqGAN agent"):
            model.load_state_dict(stored.state)
        model.seed = seed  # the stored one, or the one in place of it
        if "kl_penalty" in {**given, **kwargs}:
            model._companions.kl_weight = model.estimator.kl_penalty  # wherever the stored one has been steered to
        return model


def _spaces(spec: SequenceSpec) -> tuple[spaces.Box, spaces.Discrete]:
    """The observations and actions of sequences."""
    return spaces.Box(0, spec.vocab_size, (spec.max_length,), np.int64), spaces.Discrete(spec.vocab_size)
