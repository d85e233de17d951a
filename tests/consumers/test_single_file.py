"""PPO in a single file of torch learns the task whose best return is known."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch
from scipy import stats

from seqgan_env import SeqGANEnv, enumeration
from seqgan_env.tokens import Tokens
from tests.consumers.single_file_ppo import Settings, train

pytestmark = pytest.mark.consumers


@pytest.mark.parametrize("seed", range(3))
def test_it_learns(seed: int) -> None:
    """Exactly, by enumeration: from nothing above the uniform policy, at least 80 % of the way to the best.

    And as anyone would see it: the last returns are higher than the first, where a policy that does not change would be
    found higher so clearly once in a million runs.
    """
    envs = gym.make_vec("SeqGANTiny-v0", num_envs=32, autoreset_mode=gym.vector.AutoresetMode.SAME_STEP)
    env = gym.make("SeqGANTiny-v0").unwrapped
    assert isinstance(env, SeqGANEnv)
    spec = env.sequence_spec
    uniform = enumeration.value(spec, env.score, enumeration.uniform_policy(spec))
    best = enumeration.optimal_value(spec, env.score)
    state = torch.random.get_rng_state()
    try:
        result = train(envs, Settings(seed=seed))
    finally:
        torch.random.set_rng_state(state)

    def policy(prefix_BT: Tokens) -> np.ndarray:
        with torch.no_grad():
            return result.agent(torch.from_numpy(prefix_BT))[0].probs.double().numpy()

    learnt = enumeration.value(spec, env.score, policy)
    assert (learnt - uniform) / (best - uniform) > 0.8
    assert len(result.returns) == 32 * 16 * 25 / spec.max_length
    first, last = result.returns[:300], result.returns[-300:]
    assert stats.ttest_ind(last, first, alternative="greater").pvalue < 1e-6
