"""Measuring: seconds beside the machine's own rates, memory, and how costs grow."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import time
import timeit
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import SyncVectorEnv
from tqdm import tqdm

import seqgan_env
from benchmarks.speed.paths import HotPath, Setting, Size
from seqgan_env.autoregressive import AutoregressiveModel
from seqgan_env.device import set_matmul_precision
from seqgan_env.discriminators import CNNDiscriminator
from seqgan_env.tokens import SequenceSpec


def errors(setting: Setting, matmul_precision: str) -> dict[str, float]:
    """The largest errors beside double precision, nats: of a reward log D and of a token's log-probability."""
    generator, discriminator = setting.agent.generator, setting.task.scoring.discriminator
    tokens_BT, double = setting.generated[:1000], copy.deepcopy(generator).double()
    before = torch.get_float32_matmul_precision()
    set_matmul_precision(matmul_precision)
    try:
        rewards = [
            torch.nn.functional.logsigmoid(torch.from_numpy(logits(tokens_BT)))
            for logits in (discriminator.logits, discriminator.exact_logits)
        ]
        with torch.no_grad():
            tokens = torch.from_numpy(tokens_BT).to(generator.device)
            log_probs = [each.log_prob(tokens).double() for each in (generator, double)]
    finally:
        set_matmul_precision(before)
    return {
        "reward_error": float((rewards[0] - rewards[1]).abs().max()),
        "log_prob_error": float((log_probs[0] - log_probs[1]).abs().max()),
    }


def rates(device: str = "cpu") -> dict[str, float]:
    """Operations a second of a large matrix product, and bytes a second of a large copy (read and written)."""
    a, b = (torch.randn(2048, 2048, device=device) for _ in range(2))
    source, out = (torch.empty(1 << 26, device=device) for _ in range(2))
    return {
        "flops": 2 * 2048**3 / median(seconds(lambda: a @ b, device) for _ in range(5)),
        "bytes": 2 * source.nbytes / median(seconds(lambda: out.copy_(source), device) for _ in range(5)),
    }


def seconds(call: Callable[[], Any], device: str = "cpu") -> float:
    """The seconds of one call, until the device is done."""
    if device != "cpu":
        torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(
    all_paths: dict[str, HotPath], device: str = "cpu", repeats: int = 5, references: bool = True
) -> dict[str, dict[str, Any]]:
    """Seconds of every path and, next to it, of its reference, and the machine's ``rates`` around it.

    A path of milliseconds is run several times, of which the median counts.
    """
    for path in tqdm(all_paths.values(), desc="warming up", disable=None):
        path.ours()
    measured: dict[str, dict[str, Any]] = {
        name: {
            "ours": [],
            "reference": [],
            "rates": [],
            "flops": path.flops,
            "bytes": path.moved_bytes,
            "target": path.target,
        }
        for name, path in all_paths.items()
    }
    for repeat in range(repeats):
        before = rates(device)
        for name, path in tqdm(all_paths.items(), desc=f"repeat {repeat + 1} of {repeats}", disable=None):
            first = seconds(path.ours, device)
            n_more = min(8, int(1 / first))
            measured[name]["ours"].append(median([first, *(seconds(path.ours, device) for _ in range(n_more))]))
            after = rates(device)
            measured[name]["rates"].append({rate: (before[rate] + after[rate]) / 2 for rate in after})
            before = after
            if path.reference is not None and references:
                measured[name]["reference"].append(seconds(path.reference, device))
                before = rates(device)
    return measured


def environments(n_envs: int = 256, repeats: int = 9) -> dict[str, dict[str, float]]:
    """Microseconds of a step without a reward: one environment and CartPole; many, and Gymnasium's own vector of them.

    Every environment is as ``gymnasium.make`` gives it.
    """

    def one(env_id: str) -> float:
        env = gym.make(env_id)
        env.action_space.seed(0)
        actions = [env.action_space.sample() for _ in range(8)]
        total = 0.0
        for _ in range(500):
            env.reset()
            start = time.perf_counter()
            for action in actions:
                env.step(action)
            total += time.perf_counter() - start
        return total / (500 * len(actions)) * 1e6

    def many(env_id: str, mode: str, rounds: int) -> float:
        envs = gym.make_vec(env_id, num_envs=n_envs, vectorization_mode=mode)
        assert isinstance(envs, SyncVectorEnv if mode == "sync" else seqgan_env.SeqGANVectorEnv)
        actions = np.random.default_rng(0).integers(1, 100, size=(8, n_envs))
        total = 0.0
        for _ in range(rounds):
            envs.reset()
            start = time.perf_counter()
            for action_B in actions:
                envs.step(action_B)
            total += time.perf_counter() - start
        return total / (rounds * len(actions)) * 1e6

    measured: dict[str, dict[str, float]] = {}
    ids = ("SeqGAN-v0", "SeqGANGrammar-v0")
    taken: dict[str, dict[str, list[float]]] = {
        i: {"single": [], "cartpole": [], "vector": [], "sync": []} for i in ids
    }
    for _ in range(repeats):
        for env_id in ids:
            taken[env_id]["single"].append(one(env_id))
            taken[env_id]["cartpole"].append(one("CartPole-v1"))
            taken[env_id]["vector"].append(many(env_id, "vector_entry_point", 30))
            taken[env_id]["sync"].append(many(env_id, "sync", 3))
    for env_id, times in taken.items():
        measured[env_id] = {name: median(values) for name, values in times.items()}
    return measured


EPISODES = {"SeqGANTiny-v0": 50.0, "SeqGANSmall-v0": 400.0, "SeqGANGrammar-v0": 400.0, "SeqGAN-v0": 2000.0}
"""The most microseconds that an episode of each task is to take, its reward included."""


def episodes(n: int = 200, repeats: int = 9) -> dict[str, dict[str, float]]:
    """Microseconds of an episode, with its reset and its reward, and of a step of CartPole beside it.

    Every environment is as ``gymnasium.make`` gives it, and writes real sequences, which are of the usual length.
    """
    cartpole = gym.make("CartPole-v1")

    def of_cartpole() -> None:
        cartpole.reset(seed=0)
        for _ in range(8):
            cartpole.step(0)

    def of_task(env: gym.Env[Any, Any], rows: list[list[np.int64]]) -> None:
        for row in rows:
            env.reset()
            for action in row:
                env.step(action)

    measured: dict[str, dict[str, float]] = {}
    for env_id, target in EPISODES.items():
        env = gym.make(env_id)
        task = env.unwrapped.task  # type: ignore[attr-defined]
        rows = [list(tokens_T[tokens_T != task.spec.pad_id]) for tokens_T in task.real_sequences[:n]]
        of_task(env, rows)
        beside, took = [], []
        for _ in range(repeats):
            beside.append(timeit.timeit(of_cartpole, number=n) / (8 * n))
            took.append(timeit.timeit(lambda e=env, r=rows: of_task(e, r), number=1) / n)  # type: ignore[misc]
        measured[env_id] = {"episode": median(took) * 1e6, "cartpole": median(beside) * 1e6, "target": target}
        measured[env_id]["length"] = sum(map(len, rows)) / n
    return measured


def growth(size: Size, device: str = "cpu") -> dict[str, list[dict[str, float]]]:
    """Seconds of an estimate as one of B, N, V and T grows, the rest staying as it is."""
    small = replace(size, n_episodes=32, n_completions=8, n_sequences=64)
    grown: dict[str, list[dict[str, float]]] = {}
    sizes: dict[str, tuple[int, ...]] = {
        "n_episodes": (16, 32, 64, 128),
        "n_completions": (4, 8, 16, 32),
        "vocab_size": (1250, 2500, 5000, 10_000, 20_000),
        "max_length": (10, 20, 40, 80),
    }
    for name, values in sizes.items():
        grown[name] = []
        for value in tqdm(values, desc=name, disable=None):
            setting = Setting(Size(**{**asdict(small), name: value}), device)
            setting.estimate()
            took = median(seconds(setting.estimate, device) for _ in range(3))
            grown[name].append({"value": value, "seconds": took})
    return grown


def lengths(repeats: int = 5) -> dict[str, float]:
    """The speed-up of leaving out what short sequences lack: random ones of about 25 of at most 51 tokens."""
    spec, random = SequenceSpec(5000, 51, eos_id=0), np.random.default_rng(0)
    length_B = np.clip(random.poisson(25, 5000), 1, spec.max_length)
    tokens_BT = random.integers(1, spec.vocab_size, size=(5000, spec.max_length))
    tokens_BT[np.arange(5000), length_B - 1] = 0
    tokens_BT[np.arange(spec.max_length) >= length_B[:, None]] = spec.pad_id
    discriminator = CNNDiscriminator(spec)
    generator = AutoregressiveModel(spec, "lstm").requires_grad_(False)
    calls: dict[str, Callable[[], Any]] = {
        "scoring": lambda: discriminator.logits(tokens_BT),
        "likelihood": lambda: generator.sequence_log_prob(tokens_BT),
    }
    ratios: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats + 1):
        for name, call in calls.items():
            left_out = seconds(call)
            with ExitStack() as stack:
                for module in ("autoregressive.model", "discriminators.base", "discriminators.cnn"):
                    stack.enter_context(mock.patch(f"seqgan_env.{module}.may_look", return_value=False))
                ratios[name].append(seconds(call) / left_out)
    measured = {name: median(values[1:]) for name, values in ratios.items()}  # without a warm-up
    return {"horizon": spec.max_length, "mean": float(length_B.mean()), **measured}


def peak_memory() -> dict[str, float]:
    """``memory`` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.speed", "memory"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured
