"""The distribution over sequences of a policy of Stable-Baselines3.

A generator's is exact and fast. Another policy is asked for the next token again and again: one with a distribution
over actions has a likelihood, the product of its probabilities (eq. 13.31); a value-based one has samples alone, those
of the tokens it plays, since its probabilities say how much it explores and nothing of what it learnt.

Dimensions: B sequences, T time, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor

from agents.runs.evaluation import Drawable
from seqgan_env.autoregressive import AutoregressiveModel
from seqgan_env.seeding import torch_rng
from seqgan_env.tokens import SequenceSpec, Tokens


class StochasticSequences:
    """The sequences of a policy that has a distribution over tokens after each prefix; it may be recurrent.

    Args:
        policy: the policy, an ``ActorCriticPolicy``.
        spec: the form of the sequences.
    """

    def __init__(self, policy: ActorCriticPolicy, spec: SequenceSpec) -> None:
        self._policy, self._spec = policy, spec

    def draw(self, n: int, *, seed: int = 0, temperature: float = 1.0) -> Tokens:
        """See ``Drawable``."""
        rng = torch_rng(seed, "sample")

        def choose(t: int, log_prob_BV: Tensor) -> Tensor:
            uniform_B1 = torch.rand((n, 1), generator=rng, dtype=torch.float64)
            below_BV = (log_prob_BV / temperature).softmax(dim=1).cumsum(dim=1) <= uniform_B1
            return below_BV.sum(dim=1).clamp(max=self._spec.vocab_size - 1)

        return self._walk(n, choose)[0]

    def sequence_log_prob(self, tokens_BT: Tokens, temperature: float = 1.0) -> npt.NDArray[np.float64]:
        """See ``Likely``: the sum of ``log pi(a | prefix)``."""
        tokens = torch.from_numpy(tokens_BT).clamp(max=self._spec.vocab_size - 1)
        log_prob_BT = self._walk(len(tokens_BT), lambda t, log_prob_BV: tokens[:, t], temperature)[1]
        return np.asarray((log_prob_BT * self._spec.is_token(tokens_BT)).sum(axis=1), dtype=np.float64)

    @torch.no_grad()
    def _walk(
        self, n: int, choose: Callable[[int, Tensor], Tensor], temperature: float = 1.0
    ) -> tuple[Tokens, npt.NDArray[np.float64]]:
        """Sequences whose tokens a function chooses, and the log-probability of each token, ``(n, T)``."""
        spec, policy = self._spec, self._policy
        policy.set_training_mode(False)
        tokens_BT = np.full((n, spec.max_length), spec.pad_id)
        log_prob_BT = np.zeros((n, spec.max_length))
        states: Any = _first_states(policy, n)
        for t in range(spec.max_length):
            observation, _ = policy.obs_to_tensor(tokens_BT)
            if states is None:
                distribution = policy.get_distribution(observation)
            else:  # of sb3-contrib
                starts_B = torch.full((n,), float(t == 0), device=policy.device)
                distribution, states = policy.get_distribution(observation, states, starts_B)  # type: ignore[call-arg,misc]
            logits_BV: Tensor = distribution.distribution.logits.double().cpu()  # type: ignore[union-attr]
            token_B = choose(t, logits_BV)
            row_log_prob_BV = (logits_BV / temperature).log_softmax(dim=1)
            log_prob_BT[:, t] = row_log_prob_BV.gather(1, token_B[:, None]).squeeze(1).numpy()
            open_B = ~spec.is_complete(tokens_BT).astype(bool)
            tokens_BT[open_B, t] = token_B.numpy()[open_B]
        return tokens_BT, log_prob_BT


def _first_states(policy: Any, n: int) -> Any:
    """The states of a recurrent policy before the first token; None of one that is not."""
    shape = getattr(policy, "lstm_hidden_state_shape", None)
    if shape is None:
        return None
    zeros = torch.zeros((shape[0], n, shape[2]), device=policy.device)
    return zeros, zeros


class GreedySequences:
    """The sequences that a value-based model plays: the best token, or with its rate of exploration any other.

    Args:
        model: the model, such as ``DQN``.
        spec: the form of the sequences.
    """

    def __init__(self, model: BaseAlgorithm, spec: SequenceSpec) -> None:
        self._model, self._spec = model, spec

    @torch.no_grad()
    def draw(self, n: int, *, seed: int = 0, temperature: float = 1.0) -> Tokens:
        """See ``Drawable``; there is no temperature but 1."""
        spec, policy, rng = self._spec, self._model.policy, torch_rng(seed, "sample")
        rate: float = self._model.exploration_rate  # type: ignore[attr-defined]
        tokens_BT = np.full((n, spec.max_length), spec.pad_id)
        for t in range(spec.max_length):
            observation, _ = policy.obs_to_tensor(tokens_BT)
            best_B = policy._predict(observation, deterministic=True).cpu()
            any_B = torch.randint(spec.vocab_size, (n,), generator=rng)
            token_B = torch.where(torch.rand(n, generator=rng) < rate, any_B, best_B).numpy()
            open_B = ~spec.is_complete(tokens_BT).astype(bool)
            tokens_BT[open_B, t] = token_B[open_B]
        return tokens_BT


def sequences_of(model: BaseAlgorithm, spec: SequenceSpec) -> Drawable:
    """The distribution of a model.

    Args:
        model: the model.
        spec: the form of the sequences.

    Raises:
        ValueError: it has neither a generator, nor a distribution over actions, nor values of actions.
    """
    generator = getattr(model.policy, "generator", None)
    if isinstance(generator, AutoregressiveModel):
        return generator
    if isinstance(model.policy, ActorCriticPolicy):
        return StochasticSequences(model.policy, spec)
    if hasattr(model, "exploration_rate"):
        return GreedySequences(model, spec)
    raise ValueError(f"the sequences of {type(model).__name__} can't be drawn: it must give a Learner that has some")
