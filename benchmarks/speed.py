"""How fast the hot paths are: against a plain reference, against the arithmetic floor, and how their cost grows.

``python -m benchmarks.speed run`` measures at the size of the paper (a quarter of an hour on two cores) and writes
``benchmarks/results/speed.json``; ``--device cuda`` measures the same on a GPU and writes ``speed_cuda.json``.
``python -m benchmarks.speed report`` writes the table and the picture of ``docs/performance.md`` from the files.

Ours and the reference (``benchmarks.plain``) run in one process, in turn. The floor is the time that a perfect program
would need: its multiplications at the rate of a large matrix product, plus the table rows it must read at the rate of a
copy. Exponentials and random numbers are not counted. A machine that others share may be twice as fast one minute as
the next, so the two rates are measured directly before and after a path, its reference directly after it, and what is
reported are medians of the ratios.
"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any, Literal, cast
from unittest import mock

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import torch
import tyro
from gymnasium.vector import SyncVectorEnv
from torch import nn
from tqdm import tqdm

import seqgan_env
from agents import LstmPolicy, SeqGAN, make_seqgan_vec_env
from agents.monte_carlo import action_values
from agents.pretraining import MaximumLikelihoodTrainer
from agents.report import markdown_table
from agents.seqgan import Episodes
from benchmarks import plain
from benchmarks.environment import describe
from benchmarks.page import DOCS, RESULTS, replace_section
from seqgan_env.discriminators import CNNDiscriminator, DiscriminatorTrainer
from seqgan_env.metrics.likelihood import likelihood_metrics
from seqgan_env.sources import LSTMOracle
from seqgan_env.task import Task
from seqgan_env.tokens import SequenceSpec, Tokens

PAGE = DOCS / "performance.md"
PICTURE = DOCS / "performance.svg"

_ITERATION = ("collection", "action values", "policy-gradient step")


@dataclass(frozen=True)
class Size:
    """Of a measurement; the defaults are the paper's."""

    vocab_size: int = 5000
    max_length: int = 20
    n_episodes: int = 64
    n_completions: int = 16
    n_sequences: int = 10_000
    """Real sequences, and as many generated ones."""
    embedding_dim: int = 32
    hidden_dim: int = 32
    filters: tuple[tuple[int, int], ...] | None = None
    """None is the paper's table."""


@dataclass(frozen=True)
class HotPath:
    """One hot path."""

    ours: Callable[[], Any]
    reference: Callable[[], Any] | None = None
    flops: float = 0.0
    """Of the multiplications and additions that any program must make."""
    moved_bytes: float = 0.0
    """Read from tables, at least."""
    target: str = ""
    """What issue it was built to meet, in words."""


@dataclass
class Setting:
    """All that the paths work on, made once."""

    size: Size
    device: str = "cpu"
    kwargs: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def agent(self) -> SeqGAN:
        """The generator, after nothing: its weights are the initial ones."""
        size = self.size
        discriminator = {} if size.filters is None else {"filters": [list(pair) for pair in size.filters]}
        env = make_seqgan_vec_env(
            "SeqGAN-v0",
            n_envs=size.n_episodes,
            vocab_size=size.vocab_size,
            max_length=size.max_length,
            n_real=size.n_sequences,
            n_held_out=size.n_sequences,
            discriminator_kwargs=discriminator,
            device=self.device,
        )
        agent = SeqGAN(
            "LstmPolicy",
            env,
            n_episodes=size.n_episodes,
            n_completions=size.n_completions,
            policy_kwargs={"embedding_dim": size.embedding_dim, "hidden_dim": size.hidden_dim},
            seed=0,
            device=self.device,
        )
        # what `learn` prepares before the first collection
        agent._setup_learn(total_timesteps=1)
        return agent

    @property
    def task(self) -> Task:
        """Of the environment."""
        assert self.agent.env is not None
        task: Task = self.agent.env.get_attr("task")[0]
        return task

    @cached_property
    def episodes(self) -> Episodes:
        """Whole episodes of the generator."""
        generator = torch.Generator(self.device).manual_seed(1)
        tokens_BT = self.agent.policy.sample(self.size.n_episodes, generator)
        reward_B = self.agent._score(tokens_BT).to(self.device)
        return Episodes(tokens_BT, tokens_BT != self.task.spec.pad_id, reward_B)

    @cached_property
    def real(self) -> Tokens:
        """Real sequences."""
        return self.task.real_sequences

    @cached_property
    def source_real_B(self) -> npt.NDArray[np.float64]:
        """What the source says of the real ones: known once for all evaluations of a run."""
        return cast(LSTMOracle, self.task.source).log_prob(self.real)

    @cached_property
    def generated(self) -> Tokens:
        """As many generated ones."""
        return self.agent.sample(self.size.n_sequences, seed=0)

    def estimate(self) -> torch.Tensor:
        """One action-value estimate."""
        tokens_BT, _, reward_B = self.episodes
        n, score = self.size.n_completions, self.agent._score
        return action_values(self.agent.policy, tokens_BT, reward_B, score, n_completions=n)


def paths(setting: Setting) -> dict[str, HotPath]:
    """Every hot path at one size; references are for the CPU."""
    size, agent, task = setting.size, setting.agent, setting.task
    policy, discriminator = agent.policy, task.discriminator
    assert isinstance(discriminator, CNNDiscriminator)
    assert agent.env is not None
    on_cpu = setting.device == "cpu"
    frozen = plain.PlainDiscriminator(discriminator).eval()

    @torch.no_grad()
    def plain_score(tokens_MT: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.logsigmoid(frozen(tokens_MT).double())

    def reference_estimate() -> torch.Tensor:
        tokens_BT, _, reward_B = setting.episodes
        return plain.action_values(policy, tokens_BT, reward_B, plain_score, size.n_completions)

    trained = copy.deepcopy(discriminator)
    trainer = DiscriminatorTrainer(trained)
    plain_trained = plain.PlainDiscriminator(copy.deepcopy(discriminator))
    plain_adam = torch.optim.Adam(plain_trained.parameters(), lr=1e-4)
    likely, plain_likely = copy.deepcopy(policy), copy.deepcopy(policy)
    likelihood_trainer = MaximumLikelihoodTrainer(likely)
    plain_likely_adam = torch.optim.Adam(plain_likely.parameters(), lr=0.01)

    q_BT = setting.estimate()

    cost = Cost.of(size, discriminator)

    def update() -> None:
        """A policy-gradient step whose action values are there already."""
        with mock.patch("agents.seqgan.action_values", return_value=q_BT):
            agent.train(setting.episodes)

    def likelihood_step() -> None:
        likelihood_trainer.epoch(setting.episodes.tokens_BT.cpu().numpy())

    callback = agent._init_callback(None)
    lane_steps = size.n_completions * size.n_episodes * size.max_length * (size.max_length - 1) / 2
    n_scored = size.n_completions * size.n_episodes * (size.max_length - 1)
    n_tokens = size.n_sequences * size.max_length
    made: dict[str, HotPath] = {
        "action values": HotPath(
            setting.estimate,
            reference_estimate if on_cpu else None,
            lane_steps * cost.step + n_scored * cost.judge + cost.tables,
            n_scored * cost.table_bytes,
            "≥ 12 × the reference, ≤ 2 × the floor",
        ),
        "sampling": HotPath(
            lambda: agent.sample(size.n_sequences, seed=1),
            (lambda: plain.sample(policy, size.n_sequences)) if on_cpu else None,
            n_tokens * cost.step,
            target="≥ 15 × the reference",
        ),
        "discriminator epoch": HotPath(
            lambda: trainer.fit(setting.real, setting.generated, batch_size=64),
            (lambda: plain.discriminator_epoch(plain_trained, plain_adam, setting.real, setting.generated))
            if on_cpu
            else None,
            2 * size.n_sequences * 3 * (cost.convolve + cost.judge),
            target="≤ 1.5 × the floor",
        ),
        "maximum-likelihood epoch": HotPath(
            lambda: likelihood_trainer.epoch(setting.real),
            (lambda: plain.maximum_likelihood_epoch(plain_likely, plain_likely_adam, setting.real)) if on_cpu else None,
            n_tokens * 3 * cost.step,
            target="≤ 2 × the floor",
        ),
        "maximum-likelihood step": HotPath(
            likelihood_step, flops=size.n_episodes * size.max_length * 3 * cost.step, target="for comparison"
        ),
        "policy-gradient step": HotPath(
            update,
            flops=size.n_episodes * size.max_length * 3 * cost.step,
            target="≤ 1.2 × a maximum-likelihood step",
        ),
        "collection": HotPath(
            lambda: agent.collect(callback),
            flops=size.n_episodes * (size.max_length * cost.step + cost.convolve + cost.judge),
            target="≤ 5 % of an iteration, without its reward",
        ),
        "reward of the episodes": HotPath(
            lambda: task.score_complete(setting.episodes.tokens_BT.cpu().numpy()),
            flops=size.n_episodes * (cost.convolve + cost.judge),
            target="for comparison",
        ),
        "evaluation": HotPath(
            lambda: likelihood_metrics(
                task.source, setting.real, setting.generated, policy.sequence_log_prob, setting.source_real_B
            ),
            (lambda: plain.evaluate(policy, task.source, setting.real, setting.generated)) if on_cpu else None,
            3 * n_tokens * cost.step,
            target="≤ 1 × a maximum-likelihood epoch",
        ),
    }

    return made


@dataclass(frozen=True)
class Cost:
    """What one of each thing costs at least, in floating-point operations unless it says bytes."""

    step: float
    """A step of the generator: the LSTM and the softmax's logits."""
    convolve: float
    """The convolutions over one sequence as matrix products."""
    judge: float
    """The highway layer and the output for one sequence."""
    tables: float
    """The tables of embedding x filter."""
    table_bytes: float
    """The rows of the tables that one sequence sums up, in bytes."""

    @classmethod
    def of(cls, size: Size, discriminator: CNNDiscriminator) -> Cost:
        """Of the networks of one size."""
        e, h = size.embedding_dim, size.hidden_dim
        convolutions = [conv for conv in discriminator.convolutions if isinstance(conv, nn.Conv1d)]
        widths = [(conv.kernel_size[0], conv.out_channels) for conv in convolutions]
        windows = sum(w * n * (size.max_length - w + 1) for w, n in widths)
        d_embedding = discriminator.embedding.embedding_dim
        n_features = discriminator.output.in_features
        return cls(
            step=2.0 * (4 * h * (e + h) + h * size.vocab_size),
            convolve=2.0 * windows * d_embedding,
            judge=2.0 * (2 * n_features**2 + n_features),
            tables=2.0 * size.vocab_size * d_embedding * sum(w * n for w, n in widths),
            table_bytes=4.0 * windows,
        )


# ------------------------------------------------------------------------------------------------------- measuring


def run(
    results: Path | None = None,
    device: str = "cpu",
    repeats: int = 5,
    threads: int = 2,
    references: bool = True,
    scaling: bool = True,
    matmul_precision: Literal["highest", "high", "medium"] = "highest",
) -> None:
    """Measure and write the results.

    Args:
        results: the JSON file; None is one for each kind of device and precision.
        device: where the networks compute.
        repeats: of each path; the slow references are run three times.
        threads: of torch on the CPU.
        references: measure them too.
        scaling: measure how the costs grow too.
        matmul_precision: as ``torch.set_float32_matmul_precision`` has it; the results say what it costs in accuracy.
    """
    torch.set_num_threads(threads)
    differs = [device.split(":")[0]] * (device != "cpu") + [matmul_precision] * (matmul_precision != "highest")
    results = results or RESULTS / f"{'_'.join(['speed', *differs])}.json"
    setting = Setting(Size(), device)
    document: dict[str, Any] = {"environment": describe(), "size": asdict(setting.size)}
    document["precision"] = {"name": matmul_precision, **errors(setting, matmul_precision)}
    torch.set_float32_matmul_precision(matmul_precision)
    document["paths"] = measure(paths(setting), device, repeats, references)
    document["environments"] = environments()
    document["lengths"] = lengths()
    if device == "cpu":
        document["memory_mb"] = peak_memory()
    if scaling:
        document["scaling"] = growth(setting.size, device)
    results.parent.mkdir(exist_ok=True)
    results.write_text(json.dumps(document, indent=1) + "\n")
    print(f"wrote {results}", file=sys.stderr)


def errors(setting: Setting, matmul_precision: str) -> dict[str, float]:
    """The largest errors beside double precision, nats: of a reward log D and of a token's log-probability."""
    policy, discriminator = setting.agent.policy, setting.task.discriminator
    tokens_BT, double = setting.generated[:1000], copy.deepcopy(policy).double()
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(matmul_precision)
    try:
        rewards = [
            torch.nn.functional.logsigmoid(torch.from_numpy(logits(tokens_BT)))
            for logits in (discriminator.logits, discriminator.exact_logits)
        ]
        with torch.no_grad():
            tokens = torch.from_numpy(tokens_BT).to(policy.device)
            log_probs = [generator.log_prob(tokens).double() for generator in (policy, double)]
    finally:
        torch.set_float32_matmul_precision(before)
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
    """Of one call, until the device is done."""
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


def growth(size: Size, device: str = "cpu", repeats: int = 3) -> dict[str, list[dict[str, float]]]:
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
            took = median(seconds(setting.estimate, device) for _ in range(repeats))
            grown[name].append({"value": value, "seconds": took})
    return grown


def lengths(repeats: int = 5) -> dict[str, float]:
    """How much faster it is to leave out what short sequences lack: random ones of about 25 of at most 51 tokens."""
    spec, random = SequenceSpec(5000, 51, eos_id=0), np.random.default_rng(0)
    length_B = np.clip(random.poisson(25, 5000), 1, spec.max_length)
    tokens_BT = random.integers(1, spec.vocab_size, size=(5000, spec.max_length))
    tokens_BT[np.arange(5000), length_B - 1] = 0
    tokens_BT[np.arange(spec.max_length) >= length_B[:, None]] = spec.pad_id
    discriminator = CNNDiscriminator(spec)
    observations = gym.spaces.Box(0, spec.vocab_size, (spec.max_length,), np.int64)
    policy = LstmPolicy(observations, gym.spaces.Discrete(spec.vocab_size), lambda _: 1e-3, eos_id=spec.eos_id)
    calls: dict[str, Callable[[], Any]] = {
        "scoring": lambda: discriminator.logits(tokens_BT),
        "likelihood": lambda: policy.sequence_log_prob(tokens_BT),
    }
    ratios: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats + 1):
        for name, call in calls.items():
            left_out = seconds(call)
            with ExitStack() as stack:
                for module in ("agents.policy", "seqgan_env.discriminators.base", "seqgan_env.discriminators.cnn"):
                    stack.enter_context(mock.patch(f"{module}.may_look", return_value=False))
                ratios[name].append(seconds(call) / left_out)
    measured = {name: median(values[1:]) for name, values in ratios.items()}  # without a warm-up
    return {"horizon": spec.max_length, "mean": float(length_B.mean()), **measured}


def large(vocab_size: int = 50_000, max_length: int = 100, n_episodes: int = 64, n_completions: int = 16) -> None:
    """One of everything with a large vocabulary and long sequences, and the peak memory after each, in megabytes."""
    torch.set_num_threads(2)
    setting = Setting(Size(vocab_size, max_length, n_episodes, n_completions, n_sequences=256))
    trainer, discriminator = MaximumLikelihoodTrainer(setting.agent.policy), setting.task.discriminator
    evaluate, log_prob = likelihood_metrics, setting.agent.policy.sequence_log_prob
    steps: dict[str, Callable[[], Any]] = {
        "real sequences": lambda: setting.real,
        "maximum likelihood": lambda: trainer.epoch(setting.real),
        "generated sequences": lambda: setting.generated,
        "discriminator": lambda: DiscriminatorTrainer(discriminator).fit(setting.real, setting.generated),
        "action values": setting.estimate,
        "evaluation": lambda: evaluate(setting.task.source, setting.real, setting.generated, log_prob),
    }
    measured = {}
    for name, step in (bar := tqdm(steps.items(), disable=None)):
        bar.set_description(name)
        took = seconds(step)
        measured[name] = {"seconds": took, "peak_mb": _peak_mb()}
    print(json.dumps(measured, indent=1))


def memory() -> None:
    """Print the peak memory of the process, in megabytes, before and after an estimate at the paper's size."""
    torch.set_num_threads(2)
    setting = Setting(replace(Size(), n_sequences=64))
    _ = setting.episodes, setting.agent
    before = _peak_mb()
    setting.estimate()
    print(json.dumps({"before": before, "peak": _peak_mb()}))


def _peak_mb() -> float:
    """The largest resident memory of this process so far, which Linux tells without that of its parent."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def peak_memory() -> dict[str, float]:
    """``memory`` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.speed", "memory"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


# ------------------------------------------------------------------------------------------------------- reporting


def report(results: Sequence[Path] = (), page: Path = PAGE, picture: Path = PICTURE) -> None:
    """Write the tables and the picture of the docs.

    Args:
        results: the JSON files; none is all that are committed.
        page: the Markdown file, in which the tables stand between two comments.
        picture: the SVG file.
    """
    documents = [json.loads(file.read_text()) for file in list(results) or result_files()]
    replace_section(page, "speed", "\n".join(tables(document) for document in documents))
    draw(documents[0], picture)
    print(f"wrote {page} and {picture}", file=sys.stderr)


def result_files() -> list[Path]:
    """The committed results, that of the CPU first."""
    return sorted(RESULTS.glob("speed*.json"))


def rows(document: dict[str, Any]) -> dict[str, dict[str, float | None]]:
    """Median seconds of every path, and medians of its ratios to the reference and to the floor."""
    made: dict[str, dict[str, float | None]] = {}
    for name, path in document["paths"].items():
        ours, references = path["ours"], path["reference"]
        floors = [path["flops"] / rate["flops"] + path["bytes"] / rate["bytes"] for rate in path["rates"]]
        made[name] = {
            "seconds": median(ours),
            "floor": median(floors),
            "over_floor": _ratio(ours, floors),
            "reference": median(references) if references else None,
            "speedup": _ratio(references, ours) if references else None,
        }
    return made


def _ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """The median over the repeats."""
    return median(a / b for a, b in zip(numerators, denominators, strict=True))


def tables(document: dict[str, Any]) -> str:
    """The tables of the docs, in Markdown."""
    environment, size, paths = document["environment"], document["size"], document["paths"]
    speed = {of: median(rate[of] for path in paths.values() for rate in path["rates"]) for of in ("flops", "bytes")}
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items())
    where = environment["gpu"] or f"{environment['processor']}, {environment['threads']} threads"
    measured = rows(document)
    cells = {
        name: {
            "ours": _time(row["seconds"]),
            "floor": _time(row["floor"]),
            "ours / floor": f"{row['over_floor']:.1f}",
            "reference": _time(row["reference"]),
            "reference / ours": "" if row["speedup"] is None else f"**{row['speedup']:.1f}**",
            "target": paths[name]["target"],
        }
        for name, row in measured.items()
    }
    parts = [
        f"Matrix products in **{document['precision']['name']} precision**, measured with {versions}, on {where}. "
        f"V = {size['vocab_size']}, T = {size['max_length']}, "
        f"B = {size['n_episodes']}, N = {size['n_completions']}, {size['n_sequences']:,} sequences. "
        f"A matrix product makes {speed['flops'] / 1e9:.0f} G operations a second, a copy moves "
        f"{speed['bytes'] / 1e9:.1f} GB a second.\n",
        markdown_table(cells, list(next(iter(cells.values()))), first="path"),
    ]
    took = {name: path["ours"] for name, path in paths.items()}
    iterations = [sum(of) for of in zip(*(took[name] for name in _ITERATION), strict=True)]
    bare = [max(0.0, a - b) for a, b in zip(took["collection"], took["reward of the episodes"], strict=True)]
    parts.append(
        f"A policy-gradient step is {_ratio(took['policy-gradient step'], took['maximum-likelihood step']):.2f} "
        f"maximum-likelihood steps, an evaluation {_ratio(took['evaluation'], took['maximum-likelihood epoch']):.2f} "
        f"maximum-likelihood epochs. Collecting the episodes is {_ratio(took['collection'], iterations):.1%} of an "
        f"iteration; without their reward, {_ratio(bare, iterations):.1%}.\n"
    )
    known = document["lengths"]
    parts.append(
        f"Of sequences of {known['mean']:.0f} of at most {known['horizon']} tokens the rest is left out: scores are "
        f"{known['scoring']:.1f} times as fast as with it, likelihoods {known['likelihood']:.1f} times.\n"
    )
    precision = document["precision"]
    parts.append(
        f"With untrained networks a reward is off by at most {precision['reward_error']:.0e} nats, a token's "
        f"log-probability by at most {precision['log_prob_error']:.0e}.\n"
    )
    if "memory_mb" in document:
        peak = document["memory_mb"]
        parts.append(
            f"An estimate raises the peak memory of its process from {peak['before']:.0f} to {peak['peak']:.0f} MB.\n"
        )
    env_cells = {
        env_id: {
            "one environment, µs": f"{times['single']:.1f}",
            "CartPole-v1, µs": f"{times['cartpole']:.1f}",
            "256 environments, µs": f"{times['vector']:.0f}",
            "SyncVectorEnv, µs": f"{times['sync']:.0f}",
            "SyncVectorEnv / ours": f"**{times['sync'] / times['vector']:.0f}**",
        }
        for env_id, times in document["environments"].items()
    }
    parts.append(markdown_table(env_cells, list(next(iter(env_cells.values()))), first="a step without a reward"))
    return "\n".join(parts)


def draw(document: dict[str, Any], picture: Path) -> None:
    """Ours beside floor and reference, and how the cost of an estimate grows."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    measured = {name: row for name, row in rows(document).items() if row["reference"] is not None}
    with mpl.rc_context({"svg.hashsalt": "seqgan-env", "font.size": 9}):
        figure = Figure(figsize=(10, 3.6), layout="constrained")
        bars, lines = figure.subplots(1, 2)
        place = np.arange(len(measured))
        for i, (name, colour) in enumerate((("floor", "#bbbbbb"), ("seconds", "#4477aa"), ("reference", "#cc6677"))):
            label = {"seconds": "ours"}.get(name, name)
            bars.barh(place + 0.27 * (i - 1), [row[name] for row in measured.values()], 0.25, color=colour, label=label)
        bars.set_yticks(place, list(measured))
        bars.invert_yaxis()
        bars.set_xscale("log")
        bars.set_xlabel("seconds")
        bars.legend(loc="upper center", bbox_to_anchor=(0.5, 1.12), ncols=3, frameon=False)
        letters = {"n_episodes": "B", "n_completions": "N", "vocab_size": "V", "max_length": "T"}
        for name, points in document.get("scaling", {}).items():
            middle = points[1]
            lines.loglog(
                [point["value"] / middle["value"] for point in points],
                [point["seconds"] / middle["seconds"] for point in points],
                "o-",
                label=letters[name],
            )
        around = np.array([0.5, 8.0])
        lines.loglog(around, around, ":", color="#888888", label="linear")
        lines.loglog([0.5, 4.0], [0.25, 16.0], "--", color="#888888", label="square")
        lines.set_xticks([0.5, 1, 2, 4, 8], ["½", "1", "2", "4", "8"])
        lines.set_xticks([], minor=True)
        lines.set_xlabel("times as large")
        lines.set_ylabel("an estimate costs, times as much")
        lines.legend()
        figure.savefig(picture, format="svg", metadata={"Date": None})


def _time(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2f} s" if value >= 1 else f"{1e3 * value:.1f} ms"


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict(
        {"run": run, "report": report, "memory": memory, "large": large}, prog="python -m benchmarks.speed"
    )
