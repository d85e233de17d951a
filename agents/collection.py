"""Collecting whole episodes by quota.

Dimensions: B episodes or environments, T time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from agents.observations import tokens_of
from seqgan_env.autoregressive import AutoregressiveModel, ConstrainedModel
from seqgan_env.descent import check_weights
from seqgan_env.tokens import SequenceSpec, Tokens


class Episodes(NamedTuple):
    """The complete episodes of one collection."""

    tokens_BT: Tensor
    """The complete sequences."""
    chosen_BT: Tensor
    """The tokens that the policy chose (not padding, not a prefix that the reset gave), boolean."""
    reward_B: Tensor
    """The sums of what their steps were paid, float64."""


def collect_episodes(
    env: VecEnv,
    generator: AutoregressiveModel,
    n_episodes: int,
    rng: torch.Generator,
    on_step: Callable[[dict[str, Any]], bool],
    *,
    temperature: float = 1.0,
    pays_steps: bool = False,
) -> Episodes | None:
    """Play whole episodes from their start, an equal share in each environment.

    Taking the first episodes to end would favour short ones; each environment therefore has a quota, and one that has
    met it is stepped along without being looked at.

    Args:
        env: of a sequence task.
        generator: chooses the tokens.
        n_episodes: how many.
        rng: where the randomness comes from, on the generator's device.
        on_step: called after each step with ``actions``, ``rewards``, ``dones`` and ``infos``; False stops.
        temperature: at which it does.
        pays_steps: whether steps before the last one may be paid.

    Returns:
        The episodes, or None if ``on_step`` asked to stop.

    Raises:
        ValueError: the generator's weights are not finite, an episode was cut short before its sequence was complete,
            a step before its last was paid, or an episode holds other tokens than were chosen.
    """
    check_weights(generator, "generator")
    spec, device = generator.spec, generator.device
    observations = env.reset()
    written_BT = spec.validate(tokens_of(observations), name="observations")
    start_B, row_B = spec.lengths(written_BT), np.arange(env.num_envs)
    length_B = start_B.copy()
    with torch.no_grad():
        state = generator.read(torch.from_numpy(written_BT).to(device))
    quota_B = np.full(env.num_envs, n_episodes // env.num_envs)
    quota_B[: n_episodes % env.num_envs] += 1
    paid_B = np.zeros(env.num_envs)
    tokens, written, starts, rewards = [], [], [], []
    while quota_B.any():
        with torch.no_grad():
            action_B = generator.choose(state, rng, temperature).cpu().numpy()
        if spec.eos_id is not None and spec.vocab_size > 1 and not isinstance(generator, ConstrainedModel):
            # unless tokens are forbidden an idle environment must not end episodes: each would be scored for nothing
            idle = (quota_B == 0) & (action_B == spec.eos_id)
            action_B[idle] = (spec.eos_id + 1) % spec.vocab_size
        written_BT[row_B, length_B] = action_B
        length_B += 1
        new_observations, reward_B, done_B, infos = env.step(action_B)
        if not on_step({"actions": action_B, "rewards": reward_B, "dones": done_B, "infos": infos}):
            return None
        paid_B += reward_B
        early_B = np.where(done_B, 0, reward_B)
        if early_B.any() and not pays_steps:
            raise ValueError(f"a step that ends no sequence must be paid 0, got {early_B[early_B != 0][0]:.6g}")
        for b in np.flatnonzero(done_B & (quota_B > 0)):
            tokens.append(tokens_of(infos[b]["terminal_observation"]))
            written.append(written_BT[b].copy())
            starts.append(start_B[b])
            rewards.append(paid_B[b])
        paid_B[done_B] = 0
        quota_B = quota_B - (done_B & (quota_B > 0))
        with torch.no_grad():
            state = generator.step(torch.from_numpy(action_B).to(device), state)
            if done_B.any() and quota_B.any():
                written_BT[done_B] = spec.validate(tokens_of(new_observations)[done_B], name="observations")
                start_B[done_B] = length_B[done_B] = spec.lengths(written_BT[done_B])
                fresh = generator.read(torch.from_numpy(written_BT[done_B]).to(device))
                done = torch.from_numpy(done_B).to(device)
                for part, new in zip(state, fresh, strict=True):
                    part[done] = new
    _check_chosen(ended_BT := ended_sequences(spec, tokens), np.stack(written))
    tokens_BT = torch.from_numpy(ended_BT).to(device)
    start_B1 = torch.from_numpy(np.stack(starts)).to(device)[:, None]
    chosen_BT = spec.is_token(tokens_BT) & (torch.arange(spec.max_length, device=device) >= start_B1)
    return Episodes(tokens_BT, chosen_BT, torch.tensor(rewards, dtype=torch.float64, device=device))


def ended_sequences(spec: SequenceSpec, rows: Sequence[Tokens]) -> Tokens:
    """The sequences of episodes that have ended, shape ``(B, T)``.

    Args:
        spec: their form.
        rows: a sequence for each; whole numbers, of whatever dtype a wrapper has given them.

    Raises:
        ValueError: one is not complete, as where a wrapper limits an episode to fewer than T steps.
    """
    rows_BT = np.stack(rows)
    if rows_BT.dtype.kind == "f" and (np.isfinite(rows_BT) & (rows_BT == np.rint(rows_BT))).all():
        rows_BT = rows_BT.astype(np.int64)
    name = "sequences of ended episodes, which no wrapper may cut short,"
    return spec.validate(rows_BT, complete=True, name=name)


def last_rows(model: BaseAlgorithm, step: Mapping[str, Any]) -> list[Tokens]:
    """The sequences of the episodes that ended in a step, as they stand in its observations.

    Args:
        model: the algorithm that took it.
        step: its ``locals``, as a callback is given them.

    Raises:
        ValueError: they don't say which episodes have ended.
    """
    if "dones" not in step or "infos" not in step:
        raise ValueError(f"{type(model).__name__} does not tell its callbacks which episodes have ended")
    return [tokens_of(step["infos"][b]["terminal_observation"]) for b in np.flatnonzero(step["dones"])]


def _check_chosen(ended_BT: Tokens, chosen_BT: Tokens) -> None:
    """Refuse sequences that are not the tokens that were chosen, as where a wrapper changes actions."""
    other_B = (ended_BT != chosen_BT).any(axis=1)
    if other_B.any():
        b = int(other_B.argmax())
        raise ValueError(
            f"an episode must hold the tokens that were chosen, {chosen_BT[b].tolist()}, got {ended_BT[b].tolist()}; "
            "does a wrapper change actions or observations?"
        )
