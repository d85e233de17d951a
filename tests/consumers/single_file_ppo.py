"""Proximal policy optimisation in one file, in the manner of CleanRL: nothing but Gymnasium, torch and an id.

    python tests/consumers/single_file_ppo.py SeqGANTiny-v0

Only two lines know that the task is a sequence: the observation is one-hot encoded, and gamma is 1, as the reward comes
at the end of an episode of known length.

Dimensions: E environments, M minibatch, T time, F features of an observation.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

import gymnasium as gym
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Categorical

import seqgan_env  # noqa: F401 - registers the ids


@dataclass
class Settings:
    """Hyperparameters."""

    n_updates: int = 25
    n_steps: int = 16
    n_epochs: int = 4
    n_minibatches: int = 4
    learning_rate: float = 3e-3
    gamma: float = 1.0
    gae_lambda: float = 0.95
    clip: float = 0.2
    entropy_weight: float = 0.01
    value_weight: float = 0.5
    seed: int = 0


class Agent(nn.Module):
    """A policy and a value on the one-hot encoded prefix."""

    def __init__(self, envs: gym.vector.VectorEnv) -> None:
        super().__init__()
        space = envs.single_observation_space
        self.n_symbols = int(space.high.max()) + 1
        n_features = self.n_symbols * space.shape[0]
        self.policy = nn.Sequential(nn.Linear(n_features, 64), nn.Tanh(), nn.Linear(64, envs.single_action_space.n))
        self.value = nn.Sequential(nn.Linear(n_features, 64), nn.Tanh(), nn.Linear(64, 1))

    def forward(self, observation_MT: Tensor) -> tuple[Categorical, Tensor]:
        """The distribution of the next token, and the value, of each prefix."""
        features_MF = F.one_hot(observation_MT, self.n_symbols).flatten(1).float()
        return Categorical(logits=self.policy(features_MF)), self.value(features_MF).squeeze(1)


@dataclass
class Result:
    """The agent, and the return of each episode in the order in which they ended."""

    agent: Agent
    returns: list[float] = field(default_factory=list)


def train(envs: gym.vector.VectorEnv, s: Settings) -> Result:
    """Train on a vector environment that resets in the step that ends an episode (`AutoresetMode.SAME_STEP`)."""
    torch.manual_seed(s.seed)
    result = Result(Agent(envs))
    agent = result.agent
    optimizer = torch.optim.Adam(agent.parameters(), lr=s.learning_rate, eps=1e-5)
    observation = torch.as_tensor(envs.reset(seed=s.seed)[0])
    episode_return_E = np.zeros(envs.num_envs)
    for _ in range(s.n_updates):
        steps = []
        for _ in range(s.n_steps):
            with torch.no_grad():
                distribution, value_E = agent(observation)
            action_E = distribution.sample()
            new, reward_E, terminated_E, truncated_E, _ = envs.step(action_E.numpy())
            done_E = terminated_E | truncated_E
            episode_return_E += reward_E
            result.returns += episode_return_E[done_E].tolist()
            episode_return_E[done_E] = 0
            reward, done = torch.as_tensor(reward_E).float(), torch.as_tensor(done_E).float()
            steps.append((observation, action_E, distribution.log_prob(action_E), reward, done, value_E))
            observation = torch.as_tensor(new)
        observations, actions, log_probs, rewards, dones, values = (torch.stack(x) for x in zip(*steps, strict=True))

        # generalised advantage estimation, from the last step back
        with torch.no_grad():
            next_value_E = agent(observation)[1]
        advantages = torch.zeros_like(rewards)
        running_E = torch.zeros(envs.num_envs)
        for t in reversed(range(s.n_steps)):
            going_on_E = 1 - dones[t]
            error_E = rewards[t] + s.gamma * next_value_E * going_on_E - values[t]
            running_E = error_E + s.gamma * s.gae_lambda * going_on_E * running_E
            advantages[t], next_value_E = running_E, values[t]
        targets = advantages + values

        batch = [x.flatten(0, 1) for x in (observations, actions, log_probs, advantages, targets)]
        for _ in range(s.n_epochs):
            for rows in torch.randperm(len(batch[0])).chunk(s.n_minibatches):
                observation_MT, action_M, old_M, advantage_M, target_M = (x[rows] for x in batch)
                distribution, value_M = agent(observation_MT)
                ratio_M = (distribution.log_prob(action_M) - old_M).exp()
                advantage_M = (advantage_M - advantage_M.mean()) / (advantage_M.std() + 1e-8)
                clipped_M = ratio_M.clamp(1 - s.clip, 1 + s.clip) * advantage_M
                policy_loss = -torch.minimum(ratio_M * advantage_M, clipped_M).mean()
                loss = policy_loss - s.entropy_weight * distribution.entropy().mean()
                loss = loss + s.value_weight * F.mse_loss(value_M, target_M)
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
                optimizer.step()
    return result


if __name__ == "__main__":
    made = gym.make_vec(sys.argv[1], num_envs=32, autoreset_mode=gym.vector.AutoresetMode.SAME_STEP)
    returns = train(made, Settings()).returns
    sys.stdout.write(f"return of the first 500 episodes {np.mean(returns[:500]):.3f}, ")
    sys.stdout.write(f"of the last 500 {np.mean(returns[-500:]):.3f}\n")
