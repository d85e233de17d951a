"""SeqGAN's generator as an algorithm of Stable-Baselines3: policy gradient with Monte Carlo action values."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, TypeVar

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import MaybeCallback, Schedule
from stable_baselines3.common.utils import safe_mean
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, unwrap_vec_normalize
from torch import Tensor

from agents.checkpoint import load_checkpoint, save_checkpoint
from agents.losses import BASELINES, advantages, last_step_loss, policy_gradient_factors, root_mean_square
from agents.monte_carlo import action_values, last_step
from agents.policy import POLICIES, AutoregressivePolicy
from agents.pretraining import MaximumLikelihoodTrainer
from agents.sb3 import SeqGANVecEnv, make_seqgan_vec_env
from seqgan_env import mdp
from seqgan_env.device import may_look
from seqgan_env.seeding import torch_generator
from seqgan_env.task import Task
from seqgan_env.tokens import SequenceSpec, Tokens

Self = TypeVar("Self", bound="SeqGAN")

_SAMPLE_ROWS = 8192  # sequences drawn at once, so that memory stays bounded


class Episodes(NamedTuple):
    """What one collection brings home."""

    tokens_BT: Tensor
    """The complete sequences."""
    chosen_BT: Tensor
    """Which of their tokens the policy chose (not padding, not a prefix that the reset gave)."""
    reward_B: Tensor
    """The terminal rewards, float64."""


class Estimate(NamedTuple):
    """An estimate of the gradient, as the loss that has it."""

    loss: Tensor
    """Its gradient estimates ``-grad J`` (eq. 13.44), over a positive scale where advantages are normalised."""
    q_BT: Tensor
    """The action values, float64."""
    log_prob_BT: Tensor
    """The log-probability of each token, nats, with gradient."""


class SeqGAN(BaseAlgorithm):
    """Policy gradient over tokens (eq. 13.44) with action values from Monte Carlo completions.

    An iteration plays ``n_episodes`` episodes, estimates ``Q`` of every token they chose, and takes one gradient step.
    The completions are scored by the environment's own ``score``, so the rewards of an iteration all come from one
    version of the discriminator.

    Args:
        policy: ``"LstmPolicy"``, ``"GruPolicy"``, ``"AttentionPolicy"``, ``"TransformerPolicy"``, or a subclass of
            ``AutoregressivePolicy``.
        env: a registered id (played by the native vector environment), an environment, or a ``VecEnv``.
        learning_rate: step size of the policy's optimiser, or a schedule.
        n_episodes: B, the episodes of an iteration.
        n_completions: N, the completions of each prefix.
        baseline: one of ``agents.losses.BASELINES``.
        normalize_advantage: divide the advantages by their root mean square.
        stratified: draw the first tokens of a prefix's completions from equal parts of their distribution.
        exact_last_step: take the sums over the last token exactly, at the cost of V scores an episode.
        max_grad_norm: the gradient is scaled down to this norm.
        stats_window_size: episodes in the logged means.
        tensorboard_log: where TensorBoard events go; None is nowhere.
        policy_kwargs: further arguments of the policy.
        verbose: 0 silent, 1 tables of the logger.
        seed: everything random follows it; None draws one.
        device: where the policy computes.
        _init_setup_model: build the networks now.

    Raises:
        ValueError: an unknown policy or baseline, an environment of something else, or a value out of range.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {**POLICIES}
    policy: AutoregressivePolicy

    def __init__(
        self,
        policy: str | type[AutoregressivePolicy],
        env: gym.Env[Any, Any] | VecEnv | str | None,
        learning_rate: float | Schedule = 0.001,
        n_episodes: int = 64,
        n_completions: int = 16,
        baseline: str = "prefix",
        normalize_advantage: bool = True,
        stratified: bool = False,
        exact_last_step: bool = False,
        max_grad_norm: float = 5.0,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: torch.device | str = "auto",
        _init_setup_model: bool = True,
    ) -> None:
        if isinstance(policy, str) and policy not in self.policy_aliases:
            raise ValueError(f"policy must be one of {', '.join(self.policy_aliases)}; got {policy!r}")
        if isinstance(policy, type) and not issubclass(policy, AutoregressivePolicy):
            raise ValueError(f"policy must be a subclass of AutoregressivePolicy, got {policy.__name__}")
        if baseline not in BASELINES:
            raise ValueError(f"baseline must be one of {', '.join(BASELINES)}; got {baseline!r}")
        for name, value in (("n_episodes", n_episodes), ("n_completions", n_completions)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        for name, number in (("learning_rate", learning_rate), ("max_grad_norm", max_grad_norm)):
            if not callable(number) and not number > 0:
                raise ValueError(f"{name} must be above 0, got {number}")
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
        self.n_completions = n_completions
        self.baseline = baseline
        self.normalize_advantage = normalize_advantage
        self.stratified = stratified
        self.exact_last_step = exact_last_step
        self.max_grad_norm = max_grad_norm
        self._spec: SequenceSpec | None = None
        if self.env is not None:
            try:
                self._spec = self.env.get_attr("sequence_spec", indices=[0])[0]
                config = self.env.get_attr("task_config", indices=[0])[0]
            except AttributeError as error:
                raise ValueError(f"env must be a task of seqgan_env, got {env}") from error
            normalizer = unwrap_vec_normalize(self.env)
            if normalizer is not None and (normalizer.norm_obs or normalizer.norm_reward):
                # the completions are scored by the task itself, and tokens are names
                raise ValueError("SeqGAN needs tokens and rewards as they are, got an environment inside VecNormalize")
            # the completions of its estimate are drawn from the whole softmax, and paid at the end
            for option, value, plain in (
                ("observation", config.observation, "tokens"),
                ("shaping", config.shaping, "none"),
                ("min_length", config.min_length, 1),
                ("allowed_tokens", config.allowed_tokens, None),
                ("allowed_next", config.allowed_next, None),
            ):
                if value != plain:
                    raise ValueError(
                        f"SeqGAN needs a task with {option}={plain!r}, got {value!r}; other algorithms take it"
                    )
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        if self._spec is None:
            raise ValueError("env must be given: the policy is made for its sequences")
        self._setup_lr_schedule()
        self.set_random_seed(self.seed)
        self.policy = self.policy_class(  # type: ignore[assignment]
            self.observation_space,
            self.action_space,
            self.lr_schedule,
            eos_id=self._spec.eos_id,
            **self.policy_kwargs,
        ).to(self.device)
        self.policy.set_training_mode(False)

    # Learning

    def pretrain(
        self,
        real: Tokens,
        n_epochs: int = 1,
        *,
        learning_rate: float = 0.01,
        batch_size: int = 64,
        on_epoch: Callable[[float], None] | None = None,
    ) -> MaximumLikelihoodTrainer:
        """Maximum likelihood on real sequences (eq. 13.34).

        Args:
            real: sequences, shape ``(n, T)``.
            n_epochs: passes over them.
            learning_rate: step size of an Adam of its own.
            batch_size: sequences in an update.
            on_epoch: called after each epoch with its mean loss, nats per token.

        Returns:
            The trainer, for a caller who wants to go on.

        Raises:
            ValueError: the sequences are not of this task, or a value is out of range.
        """
        real = self.policy.spec.validate(real, complete=True, name="real")
        assert self.seed is not None
        trainer = MaximumLikelihoodTrainer(
            self.policy,
            learning_rate=learning_rate,
            batch_size=batch_size,
            max_grad_norm=self.max_grad_norm,
            seed=self.seed,
        )
        for _ in range(n_epochs):
            loss = trainer.epoch(real)
            if on_epoch is not None:
                on_epoch(loss)
        return trainer

    def learn(
        self: Self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int | None = 10,
        tb_log_name: str = "SeqGAN",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> Self:
        """Play and improve for at least ``total_timesteps`` steps of the environment; the arguments are SB3's."""
        total_timesteps, callback = self._setup_learn(
            total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar
        )
        callback.on_training_start({"self": self, "total_timesteps": total_timesteps}, {})
        iteration = 0
        while self.num_timesteps < total_timesteps:
            episodes = self.collect(callback)
            if episodes is None:
                break
            iteration += 1
            self._update_current_progress_remaining(self.num_timesteps, total_timesteps)
            self.train(episodes)
            if log_interval is not None and iteration % log_interval == 0:
                self._dump_logs()
        callback.on_training_end()
        return self

    def collect(self, callback: BaseCallback) -> Episodes | None:
        """Play ``n_episodes`` whole episodes from their start, an equal share in each environment.

        Taking the first episodes to end would favour short ones; each environment therefore has a quota, and one that
        has met it is stepped along without being looked at.

        Returns:
            The episodes, or None if a callback asked to stop.
        """
        env, policy, spec = self.env, self.policy, self.policy.spec
        assert env is not None
        assert self.seed is not None
        callback.on_rollout_start()
        generator = torch_generator(self.seed, "episodes", self._n_updates, device=self.device)
        observations = env.reset()
        assert isinstance(observations, np.ndarray)
        start_B = spec.lengths(observations)
        with torch.no_grad():
            state = policy.read(torch.from_numpy(observations).to(self.device))
        quota_B = np.full(env.num_envs, self.n_episodes // env.num_envs)
        quota_B[: self.n_episodes % env.num_envs] += 1
        tokens, starts, rewards = [], [], []
        while quota_B.any():
            with torch.no_grad():
                action_B = policy.choose(state, generator).cpu().numpy()
            if spec.eos_id is not None and spec.vocab_size > 1:
                # an idle environment must not end episode after episode: each would be scored for nothing
                idle = (quota_B == 0) & (action_B == spec.eos_id)
                action_B[idle] = (spec.eos_id + 1) % spec.vocab_size
            new_observations, reward_B, done_B, infos = env.step(action_B)
            self.num_timesteps += env.num_envs
            callback.update_locals({"actions": action_B, "rewards": reward_B, "dones": done_B, "infos": infos})
            if not callback.on_step():
                return None
            self._update_info_buffer(infos, done_B)
            for b in np.flatnonzero(done_B & (quota_B > 0)):
                tokens.append(infos[b]["terminal_observation"])
                starts.append(start_B[b])
                rewards.append(float(reward_B[b]))
            quota_B = quota_B - (done_B & (quota_B > 0))
            with torch.no_grad():
                state = policy.step(torch.from_numpy(action_B).to(self.device), state)
                if done_B.any() and quota_B.any():
                    assert isinstance(new_observations, np.ndarray)
                    start_B[done_B] = spec.lengths(new_observations[done_B])
                    fresh = policy.read(torch.from_numpy(new_observations[done_B]).to(self.device))
                    done = torch.from_numpy(done_B).to(self.device)
                    for part, new in zip(state, fresh, strict=True):
                        part[done] = new
        callback.on_rollout_end()
        tokens_BT = torch.from_numpy(np.stack(tokens)).to(self.device)
        start_B1 = torch.from_numpy(np.stack(starts)).to(self.device)[:, None]
        position_T = torch.arange(spec.max_length, device=self.device)
        chosen_BT = (tokens_BT != spec.pad_id) & (position_T >= start_B1)
        return Episodes(tokens_BT, chosen_BT, torch.tensor(rewards, dtype=torch.float64, device=self.device))

    def train(self, episodes: Episodes) -> None:
        """One policy-gradient step (eq. 13.44) on the episodes of a collection."""
        assert self.seed is not None
        generator = torch_generator(self.seed, "completions", self._n_updates, device=self.device)
        self._update_learning_rate(self.policy.optimizer)
        loss, q_BT, log_prob_BT = self.estimate(episodes, generator)
        self.policy.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        grad_norm = torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
        if not bool(q_BT.isfinite().all()):  # on a GPU nobody has looked yet
            raise ValueError("the action values must be finite; the discriminator's logits are not")
        self.policy.optimizer.step()
        self._n_updates += 1

        chosen_BT, n_chosen = episodes.chosen_BT, int(episodes.chosen_BT.sum())
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/policy_gradient_loss", float(loss.detach()))
        self.logger.record("train/grad_norm", float(grad_norm))
        self.logger.record("train/q_mean", float((q_BT * chosen_BT).sum()) / n_chosen)
        self.logger.record("train/entropy", -float((log_prob_BT.detach() * chosen_BT).sum()) / n_chosen)
        self.logger.record("rollout/reward_mean", float(episodes.reward_B.mean()))

    def estimate(self, episodes: Episodes, generator: torch.Generator | None = None) -> Estimate:
        """The estimate of the gradient of J (eq. 13.44) from the episodes of a collection; it changes nothing.

        Args:
            episodes: by the policy as it is now.
            generator: where the completions' randomness comes from; None is torch's global generator.
        """
        policy, (tokens_BT, chosen_BT, reward_B) = self.policy, episodes
        last = last_step(policy, tokens_BT, self._score) if self.exact_last_step else None
        q_BT = action_values(
            policy,
            tokens_BT,
            reward_B,
            self._score,
            n_completions=self.n_completions,
            generator=generator,
            stratified=self.stratified,
            last=last,
        )
        features_BTH = self._features(tokens_BT) if self.baseline == "learned" else None
        advantage_BT = advantages(q_BT, chosen_BT, self.baseline, features_BTH)
        scale = root_mean_square(advantage_BT, chosen_BT) if self.normalize_advantage else torch.ones_like(q_BT[0, 0])
        sampled_BT = chosen_BT
        if last is not None:
            sampled_BT = chosen_BT.clone()
            sampled_BT[last.sequence_M, -1] = False
        policy.set_training_mode(True)
        total, log_prob_BT = policy.weighted_log_prob(
            tokens_BT, policy_gradient_factors(advantage_BT / scale, sampled_BT)
        )
        policy.set_training_mode(False)
        loss = -total
        if last is not None:
            loss = loss + last_step_loss(last.log_prob_MV, last.q_MV / scale, len(tokens_BT))
        return Estimate(loss, q_BT, log_prob_BT)

    @torch.no_grad()
    def _features(self, tokens_BT: Tensor) -> Tensor:
        """The hidden state in which each token was chosen."""
        inputs_BT = torch.nn.functional.pad(tokens_BT[:, :-1], (1, 0), value=self.policy.spec.pad_id)
        hidden_BTH: Tensor = self.policy.core(inputs_BT)
        return hidden_BTH

    def _score(self, tokens_MT: Tensor) -> Tensor:
        assert self.env is not None
        if not may_look(tokens_MT.device) and isinstance(self.env.unwrapped, (SeqGANVecEnv, DummyVecEnv)):
            task: Task = self.env.get_attr("task", indices=[0])[0]  # in this process: nothing has to leave the device
            return task.score_tensor(tokens_MT)
        return torch.from_numpy(self.env.env_method("score", tokens_MT.cpu().numpy(), indices=[0])[0])

    def _dump_logs(self) -> None:
        elapsed = max((time.time_ns() - self.start_time) / 1e9, sys.float_info.epsilon)
        if self.ep_info_buffer:
            self.logger.record("rollout/ep_rew_mean", safe_mean([info["r"] for info in self.ep_info_buffer]))
            self.logger.record("rollout/ep_len_mean", safe_mean([info["l"] for info in self.ep_info_buffer]))
        self.logger.record("time/fps", int((self.num_timesteps - self._num_timesteps_at_start) / elapsed))
        self.logger.record("time/total_timesteps", self.num_timesteps, exclude="tensorboard")
        self.logger.dump(step=self.num_timesteps)

    # Generating

    def sample(
        self,
        n: int,
        *,
        seed: int = 0,
        temperature: float = 1.0,
        prefix: Any = (),
        top_k: int | None = None,
        top_p: float | None = None,
    ) -> Tokens:
        """Draw complete sequences.

        Args:
            n: how many, at least 1.
            seed: the same seed and policy give the same sequences.
            temperature: above 0; the logits are divided by it.
            prefix: token ids that every sequence begins with.
            top_k: only the k likeliest tokens are drawn; None is all.
            top_p: only the likeliest tokens that together reach this probability are drawn; None is all.

        Returns:
            ``int64``, shape ``(n, T)``, padded with V.

        Raises:
            ValueError: a value is out of range, or the prefix is too long, has ended or is out of vocabulary.
        """
        spec = self.policy.spec
        if n < 1 or not temperature > 0:
            raise ValueError(f"n must be at least 1 and temperature above 0, got {n} and {temperature}")
        prefix = mdp.initial(spec, 1, prefix).tokens_BT[0]
        generator = torch_generator(seed, "sample", device=self.device)
        parts = []
        for start in range(0, n, _SAMPLE_ROWS):
            rows = min(_SAMPLE_ROWS, n - start)
            parts.append(
                self.policy.sample(
                    rows, generator, temperature, prefix[prefix != spec.pad_id], top_k=top_k, top_p=top_p
                )
                .cpu()
                .numpy()
            )
        return np.concatenate(parts)

    # Keeping

    def state_dict(self) -> dict[str, Any]:
        """Everything that goes on after a checkpoint, as plain data and tensors."""
        return {
            "policy": dict(self.policy.state_dict()),
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
        try:
            self.policy.load_state_dict(state["policy"])
            self.policy.optimizer.load_state_dict(state["optimizer"])
            self.seed = int(state["seed"])
            self.num_timesteps = int(state["num_timesteps"])
            self._n_updates = int(state["n_updates"])
        except (KeyError, RuntimeError, TypeError) as error:
            raise ValueError(f"the state is not of this agent: {error!r}") from error

    def save(self, path: Any, exclude: Any = None, include: Any = None) -> None:
        """Write the agent to one file without code (see ``agents.checkpoint``).

        Args:
            path: of the file; ``.zip`` is added where there is no suffix.
            exclude: accepted for the interface of Stable-Baselines3; the format is fixed.
            include: the same.
        """
        spec = self.policy.spec
        arguments = {name: getattr(self, name) for name in _ARGUMENTS}
        if callable(self.learning_rate):
            # a schedule is code, which the file does not hold; it keeps the step size of the moment, or where that has
            # come down to 0 the one it began with
            arguments["learning_rate"] = self.policy.optimizer.param_groups[0]["lr"] or self.lr_schedule(1.0)
        state = {
            "kind": "SeqGAN",
            "policy_class": self.policy_class.__name__,
            "spec": {"vocab_size": spec.vocab_size, "max_length": spec.max_length, "eos_id": spec.eos_id},
            "arguments": arguments,
            "agent": self.state_dict(),
        }
        save_checkpoint(_with_suffix(path), state)

    @classmethod
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
            path: of the file.
            env: to go on learning in; None is enough to predict and to sample.
            device: where the policy computes.
            custom_objects: what the file cannot hold: ``policy_class`` for a policy of your own.
            print_system_info: accepted for the interface of Stable-Baselines3.
            force_reset: the same; an iteration always starts with a reset.
            **kwargs: arguments of the constructor that replace the stored ones.

        Raises:
            ValueError: the file is missing, damaged or of something else, or does not fit the environment.
        """
        path = _with_suffix(path)
        state = load_checkpoint(path)
        custom = dict(custom_objects or {})
        try:
            if state["kind"] != "SeqGAN":
                raise ValueError(f"{path} holds a {state['kind']}, not a SeqGAN agent")
            spec, agent, policy_name = SequenceSpec(**state["spec"]), state["agent"], str(state["policy_class"])
            arguments = {**{name: state["arguments"][name] for name in _ARGUMENTS}, **kwargs}
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path} is not a SeqGAN agent: {error!r}") from error
        policy: Any = custom.get("policy_class") or cls.policy_aliases.get(policy_name)
        if policy is None:
            raise ValueError(f"{path} has the policy {policy_name}; pass it in custom_objects['policy_class']")
        model = cls(policy, env, device=device, _init_setup_model=False, **arguments)
        if model._spec is None:
            model._spec = spec
            model.observation_space = spaces.Box(0, spec.vocab_size, (spec.max_length,), np.int64)
            model.action_space = spaces.Discrete(spec.vocab_size)
        elif model._spec != spec:
            raise ValueError(f"{path} was trained on {spec}, the environment has {model._spec}")
        model._setup_model()
        model.load_state_dict(agent)
        return model


_ARGUMENTS = (
    "learning_rate",
    "n_episodes",
    "n_completions",
    "baseline",
    "normalize_advantage",
    "stratified",
    "exact_last_step",
    "max_grad_norm",
    "policy_kwargs",
    "seed",
)


def _with_suffix(path: Any) -> Any:
    """Stable-Baselines3 names a checkpoint without its suffix."""
    text = str(path)
    return text if text.endswith(".zip") else text + ".zip"
