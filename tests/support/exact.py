"""Trained policies as what `seqgan_env.enumeration` asks for: a function from prefixes to next-token probabilities."""

from __future__ import annotations

import numpy as np
import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from torch.distributions import Categorical

from seqgan_env.autoregressive import AutoregressiveModel
from seqgan_env.enumeration import Floats, Policy
from seqgan_env.tokens import Tokens
from tests.support import reference


def of_generator(policy: AutoregressiveModel) -> Policy:
    """A generator, by the log-probability that it gives to each token after each prefix."""

    @torch.no_grad()
    def probabilities(prefix_BT: Tokens) -> Floats:
        vocab_size, max_length = policy.spec.vocab_size, policy.spec.max_length
        longer_BVT = prefix_BT[:, None].repeat(vocab_size, axis=1)
        row_B, length_B = np.arange(len(prefix_BT)), policy.spec.lengths(prefix_BT)
        longer_BVT[row_B, :, length_B] = np.arange(vocab_size)
        log_prob_MT = policy.log_prob(torch.from_numpy(longer_BVT.reshape(-1, max_length)))
        log_prob_BVT = log_prob_MT.double().numpy().reshape(longer_BVT.shape)
        return np.asarray(np.exp(log_prob_BVT[row_B, :, length_B]))

    return probabilities


def of_actor(policy: ActorCriticPolicy) -> Policy:
    """An actor of Stable-Baselines3."""

    @torch.no_grad()
    def probabilities(prefix_BT: Tokens) -> Floats:
        distribution = policy.get_distribution(torch.from_numpy(prefix_BT)).distribution
        assert isinstance(distribution, Categorical)
        return distribution.probs.double().numpy()

    return probabilities


def of_reference(next_token: reference.NextToken) -> Policy:
    """A policy of `tests.support.reference`, one prefix after the other."""

    def probabilities(prefix_BT: Tokens) -> Floats:
        pad_id = len(next_token(()))
        rows = [tuple(token for token in row if token != pad_id) for row in prefix_BT.tolist()]
        return torch.stack([next_token(row) for row in rows]).detach().numpy()

    return probabilities
