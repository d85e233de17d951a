"""Break the mathematics on purpose, one mistake at a time, and see a test fail each time, for ``make mutations``.

A test that holds an equation is worth something only if it fails where the equation is computed wrongly. ``MUTATIONS``
lists such mistakes, those that implementations of SeqGAN really make. Each is put into a copy of the project, and the
tests marked ``theory`` must find it there: first those of the files that the entry names, then, if it is still alive,
all of them. Left out is ``tests/agents/test_tiny.py``, which learns for minutes.

The copy is taken once, from the files under version control and new ones that git doesn't ignore, as they are in the
working tree. It must pass as it is; where only some mistakes are made, the files that they name must. A mistake counts
as found when a test fails; not when the code no longer imports, or stops at an error such as a missing name, which any
test at all would find.

The exit status is 1 if a mistake is not found, doesn't run, or no longer fits the code it is written for.

This file is also a plugin of the runs of pytest that it starts: it notes what fails, and where each module came from,
because the installed project lies beside the copy and must not be tested in its place.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("seqgan_env", "agents", "benchmarks", "tests")
LEFT_OUT = "tests/agents/test_tiny.py"
LIMIT_S = 900  # of one run; the whole suite takes about 90 seconds
RECORD = "SEQGAN_MUTATIONS_RECORD"  # the environment variable that tells the plugin where to write
DOES_NOT_RUN = ("AttributeError", "ImportError", "ModuleNotFoundError", "NameError", "SyntaxError", "TypeError")
"""Errors of a mutation that isn't written well: they say nothing about the tests."""


@dataclass(frozen=True)
class Mutation:
    """One mistake.

    Args:
        name: what is wrong, in words.
        file: the module that holds it.
        old: the text to replace, which stands there exactly once.
        new: what comes in its place.
        tests: files of ``tests/`` to run first, without ``test_`` and ``.py``, as in ``agents/losses``; none is the
            whole suite at once.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """The outcome of one run of tests."""

    killed_by: str
    """The test that failed first, or nothing."""
    error: str
    """The type of what it failed with where that is not a failed assertion; or why the run says nothing."""
    is_valid: bool
    """Whether the run says anything about the tests."""
    wall_time_s: float


def mutated(text: str, mutation: Mutation) -> str:
    """The text of a module with the mistake in it.

    Raises:
        ValueError: what is to be replaced is not there exactly once.
    """
    n = text.count(mutation.old)
    if n != 1:
        raise ValueError(
            f"{mutation.name!r}: the old text must stand in {mutation.file} exactly once, it is there {n}x"
        )
    return text.replace(mutation.old, mutation.new)


def copy_project(target: Path) -> None:
    """Copy what is or is about to be under version control, as it is now, so that a new test counts at once."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():  # a file that was deleted is still listed until the next commit
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def test_file(name: str) -> str:
    """The path of a file that a mutation names."""
    folder, _, stem = name.rpartition("/")
    return f"tests/{folder}/test_{stem}.py"


def run_tests(copy: Path, tests: Sequence[str], file: str | None = None) -> Result:
    """Run the theory tests of a copy up to the first failure.

    Args:
        copy: its root.
        tests: files and folders below it.
        file: a module that the tests must have imported.

    Raises:
        RuntimeError: a module came from elsewhere, or ``file`` was not imported.
    """
    record = copy / "mutations-record.json"
    record.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(copy), str(Path(__file__).parent)]),  # the second is for the plugin
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "CI": "1",  # the same hypothesis examples each time
        RECORD: str(record),
    }
    options = ["-m", "theory", "-x", "-q", "-p", "no:cacheprovider", "-p", Path(__file__).stem, f"--ignore={LEFT_OUT}"]
    command = [sys.executable, "-m", "pytest", *options, *tests]
    start = time.monotonic()
    try:
        run = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, check=False, timeout=LIMIT_S
        )
    except subprocess.TimeoutExpired:
        return Result("", f"not done after {LIMIT_S} s", is_valid=False, wall_time_s=time.monotonic() - start)
    wall_time_s = time.monotonic() - start
    if not record.is_file():
        raise RuntimeError(
            f"pytest ended with {run.returncode} before the plugin could write:\n{run.stdout}{run.stderr}"
        )
    noted = json.loads(record.read_text(encoding="utf-8"))
    strays = [path for path in noted["modules"] if not Path(path).is_relative_to(copy)]
    if strays:
        raise RuntimeError(f"these modules came from outside the copy {copy}: {', '.join(strays)}")
    if noted["not_collected"] or run.returncode not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        reason = "; ".join(noted["not_collected"]) or f"pytest ended with {run.returncode}"
        return Result("", reason, is_valid=False, wall_time_s=wall_time_s)
    if file is not None and str(copy / file) not in noted["modules"]:
        raise RuntimeError(f"none of {', '.join(tests)} imports {file}")
    killed_by, message = noted["failed"][0] if noted["failed"] else ("", "")
    if (run.returncode == pytest.ExitCode.TESTS_FAILED) != bool(killed_by):
        raise RuntimeError(f"pytest ended with {run.returncode}, but the failures are {noted['failed']}")
    # "AssertionError: ...", "package.SomeError: ...", "NotImplementedError", or "assert ..." as pytest explains it
    found = re.match(r"(?:\w+\.)*(\w+)(?=:|$)", message)
    error = found[1] if found and found[1] != "AssertionError" else ""
    return Result(killed_by, error, is_valid=error not in DOES_NOT_RUN, wall_time_s=wall_time_s)


def check(mutation: Mutation, original: Path, target: Path) -> Result:
    """Run the tests on a fresh copy of ``original`` that holds the mistake: those it names first, then all."""
    shutil.copytree(original, target)
    try:
        path = target / mutation.file
        path.write_text(mutated(path.read_text(encoding="utf-8"), mutation), encoding="utf-8")
        first = [test_file(name) for name in mutation.tests]
        result = run_tests(target, first or ["tests"], mutation.file)
        if not first or result.killed_by or not result.is_valid:
            return result
        whole = run_tests(target, ["tests"], mutation.file)
        if whole.killed_by and run_tests(original, [whole.killed_by]).killed_by:
            whole = Result("", f"{whole.killed_by} fails without it too", is_valid=False, wall_time_s=whole.wall_time_s)
        return Result(whole.killed_by, whole.error, whole.is_valid, result.wall_time_s + whole.wall_time_s)
    finally:
        shutil.rmtree(target)


def verdict(result: Result) -> str:
    """The words of the table on a run."""
    if not result.is_valid:
        return f"DOES NOT RUN: {result.error}"
    if not result.killed_by:
        return "SURVIVED"
    name = result.killed_by.removeprefix("tests/")
    return f"{name} ({result.error})" if result.error else name


def main(words: Sequence[str]) -> int:
    """Check the mutations whose name holds one of the words, or all; return the exit status.

    Raises:
        ValueError: an entry doesn't fit the code, or two have one name.
    """
    chosen = [m for m in MUTATIONS if not words or any(word in m.name for word in words)]
    if len({m.name for m in MUTATIONS}) < len(MUTATIONS):
        raise ValueError("two mutations have the same name")
    # resolved: where the temporary folder is a link, modules are known by the path behind it
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        base = Path(folder).resolve()
        original = base / "original"
        copy_project(original)
        for mutation in MUTATIONS:
            mutated((original / mutation.file).read_text(encoding="utf-8"), mutation)
            for name in mutation.tests:
                if not (original / test_file(name)).is_file():
                    raise ValueError(f"{mutation.name!r} names {test_file(name)}, which doesn't exist")
        named = sorted({test_file(name) for mutation in chosen for name in mutation.tests})
        untouched = run_tests(original, named if words and all(m.tests for m in chosen) else ["tests"])
        if untouched.killed_by or not untouched.is_valid:
            print(f"Without any mutation: {untouched.killed_by} {untouched.error}")
            return 1
        print(f"Without any mutation the theory tests pass, in {untouched.wall_time_s:.0f} s.", flush=True)
        results = []
        for mutation in chosen:
            results.append(check(mutation, original, base / "mutant"))
            print(f"{len(results)}/{len(chosen)} {mutation.name}: {verdict(results[-1])}", flush=True)
    rows = [(m.name, verdict(r), f"{r.wall_time_s:.0f}") for m, r in zip(chosen, results, strict=True)]
    rows = [("name", "killed by", "seconds"), *rows]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    print()
    for name, killed_by, seconds in rows:
        print(f"{name:{widths[0]}} | {killed_by:{widths[1]}} | {seconds:>{widths[2]}}")
    alive = sum(not r.killed_by or not r.is_valid for r in results)
    print(f"\n{len(results) - alive} of {len(results)} were found.")
    return int(alive > 0)


# --------------------------------------------------------------------------------------------------------- the plugin

_noted: dict[str, list[Any]] = {"failed": [], "not_collected": []}


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Note a file that couldn't be imported: with ``-x`` pytest's exit status alone doesn't tell it from a failure."""
    if report.failed:
        _noted["not_collected"].append(f"{report.nodeid}: {report.longreprtext.splitlines()[-1]}")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note a test that failed and with what."""
    if report.failed:
        crash = getattr(report.longrepr, "reprcrash", None)
        _noted["failed"].append((report.nodeid, crash.message if crash else ""))


def pytest_sessionfinish() -> None:
    """Write down what was noted, and where the project's modules came from; only in a run that ``main`` started."""
    if RECORD in os.environ:
        modules = [
            str(Path(path).resolve())
            for name, module in sys.modules.items()
            if name.partition(".")[0] in PACKAGES and (path := getattr(module, "__file__", None))
        ]
        Path(os.environ[RECORD]).write_text(json.dumps({**_noted, "modules": modules}), encoding="utf-8")


# ------------------------------------------------------------------------------------------------------- the mistakes

_MONTE_CARLO, _LOSSES, _BASELINES = "agents/monte_carlo.py", "agents/losses.py", "agents/baselines.py"
_GRADIENT, _COLLECTION = "agents/gradient.py", "agents/collection.py"
_MODEL, _CORES = "seqgan_env/autoregressive/model.py", "seqgan_env/autoregressive/cores.py"
_RECURRENT, _TRANSFORMER = "seqgan_env/autoregressive/recurrent.py", "seqgan_env/autoregressive/transformer.py"
_SAMPLING, _SOFTMAX = "seqgan_env/autoregressive/sampling.py", "seqgan_env/autoregressive/softmax.py"
_REWARDS, _DISCRIMINATOR_LOSSES = "seqgan_env/rewards/of_logit.py", "seqgan_env/discriminators/losses.py"

MUTATIONS: tuple[Mutation, ...] = (
    # the Monte Carlo estimate of 13.40
    Mutation(
        "completions: the lanes (p, n) are read as (n, p)",
        _MONTE_CARLO,
        "score(lanes_MT).to(q_BT).view(-1, n_completions)",
        "score(lanes_MT).to(q_BT).view(n_completions, -1).t()",
        ("agents/monte_carlo",),
    ),
    Mutation(
        "completions: the values of one prefix are those of another sequence",
        _MONTE_CARLO,
        "q_BT[sequence_P, t_P - 1] = reward_PN.mean(",
        "q_BT[batch - 1 - sequence_P, t_P - 1] = reward_PN.mean(",
        ("agents/monte_carlo",),
    ),
    Mutation(
        "completions: a lane goes on from the state of another sequence",
        _MONTE_CARLO,
        "state_S = rows_of(state_B, sequence_P[prefix_S])",
        "state_S = rows_of(state_B, sequence_P[prefix_S].flip(0))",
        ("agents/monte_carlo",),
    ),
    Mutation(
        "completions: Q of a token is that of the prefix without it",
        _MONTE_CARLO,
        "q_BT[sequence_P, t_P - 1] = reward_PN.mean(",
        "q_BT[sequence_P, t_P] = reward_PN.mean(",
        ("agents/monte_carlo",),
    ),
    Mutation(
        "completions: some at once, they begin with the same random numbers",
        _MONTE_CARLO,
        "_estimate(generator, tokens_BT[some], *arguments,",
        "_estimate(generator, tokens_BT[some], *arguments[:3], torch.Generator().manual_seed(0), stratified,",
        ("agents/monte_carlo",),
    ),
    Mutation(
        "completions: Q of a token is that of the prefix with the next one",
        _MONTE_CARLO,
        "q_BT[sequence_P, t_P - 1] = reward_PN.mean(",
        "q_BT[sequence_P, t_P - 2] = reward_PN.mean(",
        ("agents/monte_carlo",),
    ),
    Mutation(
        "completions: the state has read the token that is to be drawn",
        _MONTE_CARLO,
        "state_B = generator.step(tokens_BT[:, t - 1], state_B)",
        "state_B = generator.step(tokens_BT[:, t], state_B)",
        ("agents/monte_carlo",),
    ),
    Mutation(
        "completions: the prefix is read without the start symbol",
        _MONTE_CARLO,
        "state_B = generator.start(len(tokens_BT))",
        "state_B = generator.core.initial_state(len(tokens_BT))",
        ("agents/monte_carlo",),
    ),
    Mutation(
        "completions: end-of-sequence does not stop them",
        _MONTE_CARLO,
        "alive = (token_A != spec.eos_id).nonzero().squeeze(1)",
        "alive = (token_A >= 0).nonzero().squeeze(1)",
        ("agents/monte_carlo",),
    ),
    Mutation(
        "completions: after one lane ends, the others take each other's states",
        _MONTE_CARLO,
        "rows_of(state_A, alive)",
        "rows_of(state_A, slice(len(alive)))",
        ("agents/monte_carlo",),
    ),
    Mutation(
        "completions: all of one prefix begin with the same random number",
        _MONTE_CARLO,
        "generator.choose(state_S, uniform_BN=uniform_PNT[prefix_S, :, t])",
        "generator.choose(state_S, uniform_BN=uniform_PNT[prefix_S, :1, t].expand(-1, n))",
        ("agents/monte_carlo",),
    ),
    Mutation(
        "completions: two tokens of one are drawn with the same random number",
        _MONTE_CARLO,
        "uniform_BN=uniform_MT[row_A, t, None]",
        "uniform_BN=uniform_MT[row_A, t - t % 2, None]",
        ("agents/monte_carlo",),
    ),
    Mutation(
        "completions: lanes begin where those of another prefix do",
        _MONTE_CARLO,
        "(prefix_S[:, None] * n + torch.arange(n, device=t_P.device)).flatten()",
        "(prefix_S.flip(0)[:, None] * n + torch.arange(n, device=t_P.device)).flatten()",
        ("agents/monte_carlo",),
    ),
    Mutation(
        "completions: side by side, a part goes on with other sequences than its own",
        _MONTE_CARLO,
        "_complete(generator, tokens_BT[rows], of_P",
        "_complete(generator, tokens_BT[: rows.stop - rows.start], of_P",
        ("seqgan_env/parallel",),
    ),
    Mutation(
        "completions: on a GPU they go on after end-of-sequence",
        _MONTE_CARLO,
        "(before_A == spec.eos_id) | (before_A == spec.pad_id)",
        "before_A == spec.pad_id",
        ("agents/monte_carlo",),
    ),
    Mutation(
        "completions: stratified draws are not put in random order",
        _MONTE_CARLO,
        "part_SN = order_SN.argsort(dim=1)",
        "part_SN = torch.arange(order_SN.shape[1], device=order_SN.device).expand_as(order_SN)",
        ("agents/monte_carlo",),
    ),
    Mutation(
        "last token: its reward is divided by N too",
        _MONTE_CARLO,
        "return q_BT.scatter_(1, length_B[:, None] - 1, reward_B.to(q_BT)[:, None])",
        "return q_BT.scatter_(1, length_B[:, None] - 1, reward_B.to(q_BT)[:, None] / n_completions)",
        ("agents/monte_carlo",),
    ),
    Mutation(
        "last token: the reward stands at T, where sequences end earlier",
        _MONTE_CARLO,
        "return q_BT.scatter_(1, length_B[:, None] - 1, reward_B.to(q_BT)[:, None])",
        "return q_BT.index_copy_(1, length_B[:1] * 0 + horizon - 1, reward_B.to(q_BT)[:, None])",
        ("agents/monte_carlo",),
    ),
    Mutation(
        "exact last step: a sampled value in place of the exact one",
        _MONTE_CARLO,
        "q_BT[last.sequence_M, -2] = discount * last.value_M",
        "q_BT[last.sequence_M, -2] = last.q_MV.gather(1, last.log_prob_MV.exp().multinomial(1)).squeeze(1)",
        ("agents/monte_carlo",),
    ),
    Mutation(
        "exact last step: the value is the mean over tokens, whatever their probability",
        _MONTE_CARLO,
        "return (self.log_prob_MV.detach().to(self.q_MV).exp() * self.q_MV).sum(dim=1)",
        "return self.q_MV.mean(dim=1)",
        ("agents/monte_carlo",),
    ),
    Mutation(
        "exact last step: its probabilities carry no gradient",
        _MONTE_CARLO,
        "[:, -1]).log_softmax(dim=1)",
        "[:, -1]).log_softmax(dim=1).detach()",
        ("agents/losses", "agents/variance"),
    ),
    Mutation(
        "exact last step: log G in place of G",
        _LOSSES,
        "return -(log_prob_MV.exp() * q_MV.to(log_prob_MV.dtype)).sum() / n_sequences",
        "return -(log_prob_MV * q_MV.to(log_prob_MV.dtype)).sum() / n_sequences",
        ("agents/losses",),
    ),
    Mutation(
        "exact last step: the sampled term is kept beside it",
        _GRADIENT,
        "sampled_BT[last.sequence_M, -1] = False",
        "sampled_BT[last.sequence_M, -1] = True",
        ("agents/variance",),
    ),
    # the policy gradient of 13.44
    Mutation(
        "policy gradient: the sign of the reward is flipped",
        _LOSSES,
        "return advantage_BT.detach() * mask_BT / len(mask_BT)",
        "return -advantage_BT.detach() * mask_BT / len(mask_BT)",
        ("agents/losses",),
    ),
    Mutation(
        "policy gradient: a mean over tokens in place of a sum",
        _LOSSES,
        "return advantage_BT.detach() * mask_BT / len(mask_BT)",
        "return advantage_BT.detach() * mask_BT / mask_BT.sum()",
        ("agents/losses",),
    ),
    Mutation(
        "policy gradient: tokens that the policy did not choose are counted",
        _LOSSES,
        "return advantage_BT.detach() * mask_BT / len(mask_BT)",
        "return advantage_BT.detach() / len(mask_BT)",
        ("agents/losses",),
    ),
    Mutation(
        "policy gradient: the gradient flows through the reward (no detach)",
        _LOSSES,
        "return advantage_BT.detach() * mask_BT / len(mask_BT)",
        "return advantage_BT * mask_BT / len(mask_BT)",
        ("agents/losses",),
    ),
    Mutation(
        "policy gradient: the completions are by a copy of the first policy",
        _GRADIENT,
        "q_BT = action_values(\n            rollout or generator,",
        "q_BT = action_values(\n"
        '            generator.__dict__.setdefault("_first", __import__("copy").deepcopy(generator)),',
        ("agents/gradient", "agents/variance"),
    ),
    Mutation(
        "policy gradient: the last token of a given prefix counts as chosen",
        _COLLECTION,
        "device=device) >= start_B1)",
        "device=device) >= start_B1 - 1)",
        ("agents/collection",),
    ),
    Mutation(
        "entropy: its cost to go takes the baseline that holds the token's own cost",
        _GRADIENT,
        'of_others = "step" if config.baseline in OF_BEFORE else config.baseline',
        "of_others = config.baseline",
        ("agents/gradient",),
    ),
    Mutation(
        "inner sums: the sampled part still holds what is summed exactly",
        _GRADIENT,
        "advantage_BT = advantage_BT - advantages(inner.known_BT, chosen_BT, config.baseline)",
        "advantage_BT = advantage_BT",
        ("agents/inner_sums",),
    ),
    Mutation(
        "inner sums: tokens that the policy did not choose are counted",
        "agents/inner_sums.py",
        "(each * chosen_Kt1 for each in values(tokens_Kt))",
        "values(tokens_Kt)",
        ("agents/inner_sums",),
    ),
    Mutation(
        "inner sums: the gradient of the softmax's sum is left out",
        "seqgan_env/autoregressive/likelihood.py",
        "p_CV *= value_MV[rows] - mean_M1[rows]",
        "p_CV *= value_MV[rows]",
        ("seqgan_env/autoregressive/likelihood", "agents/inner_sums"),
    ),
    Mutation(
        "inner sums: the ratio of a beginning leaves out what lies before the token",
        "seqgan_env/rewards/divergences.py",
        "(before_BT1 + logit_real_BTV)",
        "(0 * before_BT1 + logit_real_BTV)",
        ("agents/inner_sums",),
    ),
    Mutation(
        "inner sums: the forward divergence is taken from what is sampled",
        _GRADIENT,
        "return known_KTV + weight * term_KTV.clamp(max=_MOST_LOG_RATIO).exp(), known_KTV",
        "return (both := known_KTV + weight * term_KTV.clamp(max=_MOST_LOG_RATIO).exp()), both",
        ("agents/inner_sums",),
    ),
    Mutation(
        "inner sums: the ratio of a token is not cut off",
        _GRADIENT,
        "term_KTV.clamp(max=_MOST_LOG_RATIO).exp()",
        "term_KTV.exp()",
        ("agents/gradient",),
    ),
    Mutation(
        "inner sums: the forward divergence has the log-ratio for the ratio",
        _GRADIENT,
        "weight * term_KTV.clamp(max=_MOST_LOG_RATIO).exp()",
        "weight * term_KTV.clamp(max=_MOST_LOG_RATIO)",
        ("agents/inner_sums",),
    ),
    Mutation(
        "divergence from the pretrained generator: it is the entropy alone",
        _GRADIENT,
        "config.kl_penalty * (log_g - log_prob(pretrained).double())",
        "config.kl_penalty * log_g",
        ("agents/gradient",),
    ),
    # its options that the paper has none of, or in its code alone
    Mutation(
        "discount: of a completion it counts the tokens of its prefix too",
        _MONTE_CARLO,
        ".view(-1, n_completions) - t_P[:, None]\n",
        ".view(-1, n_completions)\n",
        ("agents/monte_carlo",),
    ),
    Mutation(
        "discount: the value before a token lacks it",
        _BASELINES,
        "q_BT[:, :-1] / discount",
        "q_BT[:, :-1]",
        ("agents/baselines",),
    ),
    Mutation(
        "lag: the completions are the generator's all the same",
        _GRADIENT,
        "rollout or generator,",
        "generator,",
        ("agents/companions",),
    ),
    Mutation(
        "lag: the shares are exchanged",
        "agents/companions.py",
        "own.lerp_(theirs, 1 - self._lag)",
        "own.lerp_(theirs, self._lag)",
        ("agents/companions",),
    ),
    Mutation(
        "exploration: a token has the weight of its own choice alone",
        "agents/exploration.py",
        ".cumsum(dim=1).exp()",
        ".exp()",
        ("agents/exploration",),
    ),
    Mutation(
        "exploration: costs to come have the weight of what lies before them",
        _GRADIENT,
        "whole = not config.n_completions or cost_BT is not None",
        "whole = False",
        ("agents/exploration",),
    ),
    Mutation(
        "clipping: the ratio itself is left out of the gradient",
        _LOSSES,
        "changed_BT = factor_BT * ratio_BT",
        "changed_BT = factor_BT * torch.ones_like(ratio_BT)",
        ("agents/losses",),
    ),
    Mutation(
        "clipping: it holds on both sides, whatever the advantage",
        _LOSSES,
        "torch.where(factor_BT > 0, ratio_BT > 1 + clip_range, ratio_BT < 1 - clip_range)",
        "(ratio_BT > 1 + clip_range) | (ratio_BT < 1 - clip_range)",
        ("agents/losses",),
    ),
    Mutation(
        "batch statistic: ranks count from the lowest value",
        "agents/batch_statistics.py",
        "(0.5 - rank_BT)",
        "(rank_BT - 0.5)",
        ("agents/batch_statistics",),
    ),
    Mutation(
        "batch statistic: MaliGAN's weights are of D and not of D / (1 - D)",
        "agents/batch_statistics.py",
        "reward_B.softmax(dim=0)",
        "torch.nn.functional.logsigmoid(reward_B).softmax(dim=0)",
        ("agents/batch_statistics",),
    ),
    # baselines and normalisation
    Mutation(
        "baseline: the mean of the step has the sequence itself in it",
        _BASELINES,
        "others_BT = mask_BT.sum(dim=0) - mask_BT.long()\n    total_BT = (q_BT * mask_BT).sum(dim=0) - q_BT * mask_BT",
        "others_BT = mask_BT.sum(dim=0).expand_as(mask_BT)\n    total_BT = (q_BT * mask_BT).sum(dim=0)",
        ("agents/baselines",),
    ),
    Mutation(
        "baseline: the mean of the batch has the sequence itself in it",
        _BASELINES,
        "(total_BT.sum() - total_BT.sum(dim=1, keepdim=True)) / others_B1.clamp(min=1)",
        "total_BT.sum() / mask_BT.sum()",
        ("agents/baselines",),
    ),
    Mutation(
        "baseline: the value of the next state, which the action led to",
        _BASELINES,
        "value_BT[:, 1:] = torch.where(follows_BT, q_BT[:, :-1] / discount, value_BT[:, 1:])",
        "value_BT[:, :-1] = torch.where(follows_BT, q_BT[:, 1:], value_BT[:, :-1])",
        ("agents/baselines",),
    ),
    Mutation(
        "baseline: the regression is used on the half that it was fitted on",
        _BASELINES,
        "torch.where(half_B[:, None], value_BT, x_BTH @ weight_H)",
        "torch.where(half_B[:, None], x_BTH @ weight_H, value_BT)",
        ("agents/baselines",),
    ),
    Mutation(
        "baseline: the regression is told the value of the action itself",
        _BASELINES,
        "before_BT = torch.nn.functional.pad(q_BT * mask_BT, (1, 0))[:, :-1]",
        "before_BT = q_BT * mask_BT",
        ("agents/baselines",),
    ),
    Mutation(
        "normalisation: the mean of the advantages is subtracted as well",
        _GRADIENT,
        "scale = root_mean_square(advantage_BT, chosen_BT) if",
        "advantage_BT = (advantage_BT - advantage_BT[chosen_BT].mean() * config.normalize_advantage) * chosen_BT\n"
        "    scale = root_mean_square(advantage_BT, chosen_BT) if",
        ("agents/variance",),
    ),
    Mutation(
        "normalisation: it is applied to no advantage",
        _GRADIENT,
        "scale = root_mean_square(advantage_BT, chosen_BT) if config.normalize_advantage else",
        "scale = root_mean_square(advantage_BT, chosen_BT) if False else",
        ("agents/variance",),
    ),
    Mutation(
        "normalisation: the exact last step keeps another scale than the rest",
        _GRADIENT,
        "last_step_loss(last.log_prob_MV, last.q_MV / scale, len(tokens_BT))",
        "last_step_loss(last.log_prob_MV, last.q_MV, len(tokens_BT))",
        ("agents/variance",),
    ),
    # the generator and its likelihood, 13.28 to 13.34
    Mutation(
        "generator: the start symbol is token 0",
        "seqgan_env/tokens.py",
        "return F.pad(tokens_BT, (1, 0), value=self.pad_id)",
        "return F.pad(tokens_BT, (1, 0), value=0)",
        ("seqgan_env/autoregressive/model",),
    ),
    Mutation(
        "generator: inputs are not shifted, each token is predicted from itself",
        _MODEL,
        "self.core(self.spec.with_start(tokens_BT[:, :-1]), rng)",
        "self.core(tokens_BT, rng)",
        ("seqgan_env/autoregressive/model",),
    ),
    Mutation(
        "generator: a given prefix is read without the start symbol",
        _MODEL,
        "state = self.start(len(tokens_BT))",
        "state = self.core.initial_state(len(tokens_BT))",
        ("seqgan_env/autoregressive/model",),
    ),
    Mutation(
        "generator: on a GPU padding is counted in the log-probability",
        _MODEL,
        "return log_prob_BT.masked_fill(~self.spec.is_token(tokens_BT), 0)",
        "return log_prob_BT",
        ("seqgan_env/device",),
    ),
    Mutation(
        "generator: on a GPU padding has a gradient",
        _MODEL,
        "factor_BT.detach().masked_fill(~self.spec.is_token(tokens_BT), 0)",
        "factor_BT.detach()",
        ("seqgan_env/device",),
    ),
    Mutation(
        "generator: a likelihood is that of another sequence, sorted by length",
        _MODEL,
        "log_prob_BT[index] =",
        "log_prob_BT[: len(index)] =",
        ("seqgan_env/device",),
    ),
    Mutation(
        "generator: end-of-sequence does not end a sample",
        _MODEL,
        "alive_M &= token_M != spec.eos_id",
        "alive_M &= token_M >= 0",
        ("seqgan_env/autoregressive/model",),
    ),
    Mutation(
        "likelihood: padding is counted as tokens in the mean",
        "seqgan_env/autoregressive/maximum_likelihood.py",
        "return mask_BT.double() / mask_BT.sum()",
        "return mask_BT.double() / mask_BT.numel()",
        ("seqgan_env/autoregressive/maximum_likelihood",),
    ),
    Mutation(
        "pretraining: padding is counted as tokens in the mean",
        "seqgan_env/autoregressive/maximum_likelihood.py",
        "maximum_likelihood_factors(self.generator.spec.is_token(tokens_BT))",
        "maximum_likelihood_factors(tokens_BT >= 0)",
        ("seqgan_env/autoregressive/maximum_likelihood",),
    ),
    Mutation(
        "weight averaging: the first weights count as if they had always been there",
        "seqgan_env/averaging.py",
        "(1 - self._decay) / (1 - self._decay**self._n)",
        "(1 - self._decay)",
        ("seqgan_env/autoregressive/maximum_likelihood",),
    ),
    Mutation(
        "weight averaging: an epoch goes on from the average",
        "seqgan_env/autoregressive/maximum_likelihood.py",
        "self._average.having(learning=True)",
        "self._average.having(learning=False)",
        ("seqgan_env/autoregressive/maximum_likelihood",),
    ),
    Mutation(
        "weight averaging: the agent's discriminator learns from the average",
        "agents/adversary.py",
        'getattr(negatives, "playing", nullcontext)()',
        "nullcontext()",
        ("agents/estimator",),
    ),
    Mutation(
        "weight averaging: the agent's own updates are not averaged",
        "agents/seqgan.py",
        "        self._average.take()\n",
        "",
        ("agents/estimator",),
    ),
    Mutation(
        "weight averaging: within an episode a callback sees the weights that learn",
        "agents/seqgan.py",
        "with self._average.having(learning=False):  # which",
        "with self._average.having(learning=True):  # which",
        ("agents/estimator",),
    ),
    Mutation(
        "LSTM: the cell starts anew at each step",
        _RECURRENT,
        "torch.lstm_cell(x_BE, state, *weights)",
        "torch.lstm_cell(x_BE, (state[0], 0 * state[1]), *weights)",
        ("seqgan_env/autoregressive/model",),
    ),
    Mutation(
        "GRU: all lanes share the state of the first",
        _RECURRENT,
        "torch.gru_cell(x_BE, state[0], *weights)",
        "torch.gru_cell(x_BE, state[0][:1].expand_as(state[0]), *weights)",
        ("seqgan_env/autoregressive/model",),
    ),
    Mutation(
        "layers: each takes the state of another one",
        _RECURRENT,
        "state[end - n_parts : end], layer",
        "state[len(state) - end :][: n_parts], layer",
        ("seqgan_env/autoregressive/cores",),
    ),
    Mutation(
        "layers: the state begins with that of the first",
        _RECURRENT,
        "part[0], part + stepped",
        "part[0], stepped + part",
        ("seqgan_env/autoregressive/cores",),
    ),
    Mutation(
        "attention: the memory's unwritten slots are read",
        _CORES,
        "seen_BS = torch.arange(key_BSAD.shape[1], device=n_read_B.device) <= n_read_B[:, None]",
        "seen_BS = torch.arange(key_BSAD.shape[1], device=n_read_B.device) <= n_read_B[:, None] + 1",
        ("seqgan_env/autoregressive/cores", "seqgan_env/autoregressive/model"),
    ),
    Mutation(
        "attention: lanes that have read different numbers see as far as the longest",
        _CORES,
        "seen_BS = torch.arange(key_BSAD.shape[1], device=n_read_B.device) <= n_read_B[:, None]",
        "seen_BS = (torch.arange(key_BSAD.shape[1]) <= n_read_B.max()).expand(len(n_read_B), -1)",
        ("seqgan_env/autoregressive/cores", "seqgan_env/autoregressive/model"),
    ),
    Mutation(
        "attention: the LSTM's looks ahead",
        _RECURRENT,
        "self.query(output_BTH), output_BTH, output_BTH, is_causal=True)",
        "self.query(output_BTH), output_BTH, output_BTH)",
        ("seqgan_env/autoregressive/cores",),
    ),
    Mutation(
        "attention: the transformer's looks ahead",
        _TRANSFORMER,
        "F.scaled_dot_product_attention(query_BATD, key_BATD, value_BATD, is_causal=True)",
        "F.scaled_dot_product_attention(query_BATD, key_BATD, value_BATD)",
        ("seqgan_env/autoregressive/cores",),
    ),
    Mutation(
        "attention: the transformer's positions are one ahead in steps",
        _TRANSFORMER,
        "self.position(n_read_B)",
        "self.position((n_read_B + 1).clamp(max=self.n_slots - 1))",
        ("seqgan_env/autoregressive/model",),
    ),
    # drawing tokens, 13.30
    Mutation(
        "sampling: the weights are multiplied by the temperature",
        _SOFTMAX,
        "self._weight_VH = weight_VH * (scale * LOG2_E)",
        "self._weight_VH = weight_VH * (LOG2_E / scale)",
        ("seqgan_env/autoregressive/sampling",),
    ),
    Mutation(
        "sampling: the temperature does not divide the bias",
        _SOFTMAX,
        "self._bias_V = bias_V * (scale * LOG2_E)",
        "self._bias_V = bias_V * LOG2_E",
        ("seqgan_env/autoregressive/sampling",),
    ),
    Mutation(
        "log-probability: the logits are multiplied by the temperature",
        _MODEL,
        "(hidden_MH / temperature, self.output.weight",
        "(hidden_MH * temperature, self.output.weight",
        ("seqgan_env/autoregressive/model",),
    ),
    Mutation(
        "log-probability: the gradient of the softmax's sum is not weighted by the advantage",
        "seqgan_env/autoregressive/likelihood.py",
        "x_CV.mul_(-factor_C1 / total_C1)",
        "x_CV.mul_(-1 / total_C1)",
        ("agents/losses",),
    ),
    Mutation(
        "policy gradient: the agent descends where it should climb",
        _GRADIENT,
        "    loss = -total\n",
        "    loss = total\n",
        ("agents/gradient", "agents/variance"),
    ),
    Mutation(
        "pretraining: the likelihood is made least",
        "seqgan_env/autoregressive/maximum_likelihood.py",
        "return -self.generator.weighted_log_prob(",
        "return self.generator.weighted_log_prob(",
        ("seqgan_env/autoregressive/maximum_likelihood",),
    ),
    Mutation(
        "sampling: top-p leaves out the token that reaches p",
        _SAMPLING,
        "p_CK.masked_fill(before_CK >= mass, 0)",
        "p_CK.masked_fill((before_CK + p_CK > mass) & (before_CK > 0) & (mass < 1), 0)",
        ("seqgan_env/autoregressive/sampling",),
    ),
    Mutation(
        "sampling: top-k keeps one token too few",
        _SAMPLING,
        "logits_CV.topk(n_kept, dim=1)",
        "logits_CV.topk(max(1, n_kept - (n_kept < logits_CV.shape[1])), dim=1)",
        ("seqgan_env/autoregressive/sampling",),
    ),
    Mutation(
        "sampling: all lanes draw with one random number",
        _SAMPLING,
        "torch.rand(n_rows, 1, generator=rng, device=hidden_MH.device, dtype=hidden_MH.dtype)",
        "torch.rand(1, 1, generator=rng, dtype=hidden_MH.dtype).expand(n_rows, 1)",
        ("seqgan_env/autoregressive/sampling",),
    ),
    # the discriminator and the rewards, 13.32 and 13.35 to 13.38
    Mutation(
        "reward: log D computed from D",
        _REWARDS,
        "return F.logsigmoid(logit_real_B)",
        "return torch.sigmoid(logit_real_B).log()",
        ("seqgan_env/rewards/of_logit",),
    ),
    Mutation(
        "reward: -log(1 - D) computed from D",
        _REWARDS,
        "return -F.logsigmoid(-logit_real_B)",
        "return -(1 - torch.sigmoid(logit_real_B)).log()",
        ("seqgan_env/rewards/of_logit",),
    ),
    Mutation(
        "reward: log(1 - D) in place of log D",
        _REWARDS,
        "return F.logsigmoid(logit_real_B)",
        "return F.logsigmoid(-logit_real_B)",
        ("seqgan_env/rewards/of_logit",),
    ),
    Mutation(
        "reward: the environment pays at every step",
        "seqgan_env/env.py",
        "if terminated:\n            reward = float(self.task.scoring.step_reward(",
        "if length:\n            reward = float(self.task.scoring.step_reward(",
        ("seqgan_env/env",),
    ),
    Mutation(
        "reward: shaping pays the potential of a complete sequence too",
        "seqgan_env/shaping/potential.py",
        "new_BK[~ended_B] = self.start(tokens_BT[~ended_B], length_B[~ended_B])",
        "new_BK[:] = self.start(tokens_BT, length_B)",
        ("seqgan_env/shaping/potential",),
    ),
    Mutation(
        "reward: increments pay the score of the prefix and not its change",
        "seqgan_env/shaping/increments.py",
        "(score_B1 - carry_BK)[:, 0]",
        "score_B1[:, 0]",
        ("seqgan_env/shaping/declarations",),
    ),
    Mutation(
        "discriminator: dropout stays on while it scores",
        "seqgan_env/discriminators/parts.py",
        "if was_training:\n        network.eval()\n    try:",
        "network.train()\n    try:",
        ("seqgan_env/discriminators/optimal", "seqgan_env/scoring", "seqgan_env/env"),
    ),
    Mutation(
        "discriminator: the window of padding is left out with the others",
        "seqgan_env/discriminators/cnn.py",
        "any(dim=0).sum()) + 1",
        "any(dim=0).sum())",
        ("seqgan_env/device",),
    ),
    Mutation(
        "discriminator: a score is that of another sequence, sorted by length",
        "seqgan_env/discriminators/base.py",
        "[order_B.argsort()]",
        "[order_B]",
        ("seqgan_env/device",),
    ),
    Mutation(
        "discriminator: the loss takes real for label 0",
        _DISCRIMINATOR_LOSSES,
        "F.softplus(-logit_real_B).mean() + F.softplus(logit_generated_B).mean()",
        "F.softplus(logit_real_B).mean() + F.softplus(-logit_generated_B).mean()",
        ("seqgan_env/discriminators/losses",),
    ),
    Mutation(
        "discriminator: the more frequent kind weighs more in the loss",
        _DISCRIMINATOR_LOSSES,
        "0.5 * (F.softplus(-logit_real_B).mean() + F.softplus(logit_generated_B).mean())",
        "F.softplus(torch.cat([-logit_real_B, logit_generated_B])).mean()",
        ("seqgan_env/discriminators/losses",),
    ),
    Mutation(
        "discriminator: real and generated change places in the batch",
        "seqgan_env/discriminators/base.py",
        "torch.cat([real_BT, generated_BT])",
        "torch.cat([generated_BT, real_BT])",
        ("seqgan_env/discriminators/tabular",),
    ),
    Mutation(
        "generative discriminator: the members' log-probabilities are averaged",
        "seqgan_env/discriminators/generative.py",
        "log_prob_KBT.logsumexp(dim=0) - math.log(len(self.members))",
        "log_prob_KBT.mean(dim=0)",
        ("seqgan_env/discriminators/generative",),
    ),
    Mutation(
        "gradient penalty: the interpolates are of tokens that both have",
        "seqgan_env/discriminators/embedded.py",
        "self.spec.is_token(real_BT) | self.spec.is_token(generated_BT)",
        "self.spec.is_token(real_BT) & self.spec.is_token(generated_BT)",
        ("seqgan_env/discriminators/embedded",),
    ),
    Mutation(
        "gradient penalty: each token has a slope of its own",
        "seqgan_env/discriminators/embedded.py",
        "torch.linalg.vector_norm(slope_BTE.flatten(1), dim=1)",
        "torch.linalg.vector_norm(slope_BTE, dim=2)",
        ("seqgan_env/discriminators/embedded",),
    ),
    Mutation(
        "gradient penalty: it has no gradient by the weights",
        "seqgan_env/discriminators/embedded.py",
        "(torch.linalg.vector_norm(slope_BTE",
        "0 * logit_real_B.sum() + (torch.linalg.vector_norm(slope_BTE.detach()",
        ("seqgan_env/discriminators/embedded",),
    ),
    Mutation(
        "spectral norm: a weight is divided by the norm of all its entries",
        "seqgan_env/discriminators/parts.py",
        "matrix_norm(weight.flatten(1), ord=2)",
        "matrix_norm(weight.flatten(1))",
        ("seqgan_env/discriminators/parts",),
    ),
    Mutation(
        "spectral norm: the singular value has no gradient",
        "seqgan_env/discriminators/parts.py",
        "weight / norm.clamp",
        "weight / norm.detach().clamp",
        ("seqgan_env/discriminators/parts",),
    ),
    Mutation(
        "layer norm: the states that the output reads stay as they are",
        "seqgan_env/discriminators/causal.py",
        "self._dropped(self.norm(hidden_BSH), rng)",
        "self._dropped(hidden_BSH, rng)",
        ("seqgan_env/discriminators/parts",),
    ),
    Mutation(
        "wasserstein: the critic is asked to prefer generated sequences",
        _DISCRIMINATOR_LOSSES,
        "return logit_generated_B.mean() - logit_real_B.mean()",
        "return logit_real_B.mean() - logit_generated_B.mean()",
        ("seqgan_env/discriminators/losses",),
    ),
    Mutation(
        "relativistic: each kind is compared with its own mean",
        _DISCRIMINATOR_LOSSES,
        "logit_real_B - logit_generated_B.mean(),\n        logit_generated_B - logit_real_B.mean(),",
        "logit_real_B - logit_real_B.mean(),\n        logit_generated_B - logit_generated_B.mean(),",
        ("seqgan_env/discriminators/losses",),
    ),
    Mutation(
        "causal discriminator: a sequence that has ended no longer counts",
        "seqgan_env/discriminators/causal.py",
        ".masked_fill(length_B1 == 0, 0)",
        ".masked_fill(~self.spec.is_token(tokens_BT), 0)",
        ("seqgan_env/discriminators/causal",),
    ),
    Mutation(
        "causal discriminator: the first token's difference is left out",
        "seqgan_env/discriminators/causal.py",
        "torch.zeros_like(logit_real_BT[:, :1])",
        "logit_real_BT[:, :1]",
        ("seqgan_env/discriminators/causal",),
    ),
    Mutation(
        "causal discriminator: an answer has read one token less",
        "seqgan_env/discriminators/causal.py",
        ".minimum(length_B1 - 1)",
        ".minimum(length_B1 - 1) - 1",
        ("seqgan_env/discriminators/causal",),
    ),
    Mutation(
        "dense values: the ratio of a beginning leaves its last token out",
        "seqgan_env/rewards/divergences.py",
        "logit_real_BT.cumsum(dim=1).clamp",
        "(logit_real_BT.cumsum(dim=1) - logit_real_BT).clamp",
        ("seqgan_env/rewards/divergences",),
    ),
    Mutation(
        "dense values: the log-ratio of what follows leaves the token out",
        "seqgan_env/rewards/of_logit.py",
        "return logit_real_BT.flip(1).cumsum(dim=1).flip(1)",
        "return logit_real_BT.flip(1).cumsum(dim=1).flip(1) - logit_real_BT",
        ("seqgan_env/rewards/divergences",),
    ),
    Mutation(
        "dense values: the baseline of a function of the logit knows the token",
        "seqgan_env/rewards/of_logit.py",
        "self.function(sum_BT[:, -1:]) - self.function(sum_BT - logit_real_BT)",
        "self.function(sum_BT[:, -1:]) - self.function(sum_BT)",
        ("seqgan_env/rewards/f_divergence",),
    ),
    Mutation(
        "dense values: a clipped reward has those of the whole one",
        "seqgan_env/scoring.py",
        "reward, clip = reward.clipped(*clip), None",
        "clip = None",
        ("agents/inner_sums",),
    ),
    Mutation(
        "causal discriminator: the terms of every token hold what was before",
        "seqgan_env/discriminators/causal.py",
        "terms.append(answer_BV - answer_B1)",
        "terms.append(answer_BV)",
        ("seqgan_env/discriminators/base",),
    ),
    Mutation(
        "ensemble: the terms of every token are combined without what was before",
        "seqgan_env/discriminators/ensemble.py",
        "[before_BT1 + all_BTV for",
        "[all_BTV for",
        ("seqgan_env/discriminators/base",),
    ),
    Mutation(
        "discriminator: the optimum's ratio is upside down",
        "seqgan_env/discriminators/optimal.py",
        "self._log_prob_real(tokens) - self._log_prob_generated(tokens)",
        "self._log_prob_generated(tokens) - self._log_prob_real(tokens)",
        ("seqgan_env/discriminators/optimal",),
    ),
    Mutation(
        "discriminator: its share of the optimum is a quotient of log-losses",
        "seqgan_env/discriminators/optimal.py",
        "return _reduction(logits)[0] / best if",
        "return (math.log(2) - best) / (math.log(2) - _reduction(logits)[0]) if",
        ("seqgan_env/metrics/discrimination",),
    ),
    Mutation(
        "discriminator: equal answers to real and generated sequences fall into different bins",
        _DISCRIMINATOR_LOSSES,
        "return_inverse=True)",
        'return_inverse=True)[0], d_M.argsort(kind="stable").argsort()',
        ("seqgan_env/metrics/discrimination",),
    ),
    # constraints, shaping, the menu of rewards
    Mutation(
        "constraints: the likelihood is that of the whole softmax",
        "seqgan_env/autoregressive/likelihood.py",
        "logits2 = Logits2(hidden_MH, weight_VH, bias_V, allowed_MV=allowed_MV)",
        "logits2 = Logits2(hidden_MH, weight_VH, bias_V)",
        ("seqgan_env/autoregressive/constrained",),
    ),
    Mutation(
        "constraints: the mask of a token knows the token itself",
        "seqgan_env/autoregressive/constrained.py",
        "< place_M1",
        "<= place_M1",
        ("seqgan_env/autoregressive/constrained",),
    ),
    Mutation(
        "constraints: completions are drawn from the whole softmax",
        "seqgan_env/autoregressive/constrained.py",
        "return self._mask(state[-1])",
        "return torch.ones_like(self._mask(state[-1]))",
        ("seqgan_env/autoregressive/constrained",),
    ),
    Mutation(
        "shaping: the return of an episode holds its last payment alone",
        "seqgan_env/shaping/totals.py",
        "paid_B[moves_B] += bonus_M",
        "paid_B[moves_B] = bonus_M",
        ("seqgan_env/shaping/totals",),
    ),
    Mutation(
        "rewards: the slope of the Hellinger distance lacks its half",
        "seqgan_env/rewards/f_divergence.py",
        "torch.expm1(0.5 * x_B)",
        "torch.expm1(x_B)",
        ("seqgan_env/rewards/f_divergence",),
    ),
    Mutation(
        "rewards: a rank is taken against the mean of the comparison set",
        "seqgan_env/rewards/comparing.py",
        "logit_compared_R).logsumexp(dim=0)",
        "logit_compared_R).mean(dim=0)",
        ("seqgan_env/rewards/comparing",),
    ),
    Mutation(
        "bleu: a repeated n-gram counts each time",
        "seqgan_env/bleu.py",
        "np.minimum(held.count_C, most_C)",
        "np.where(most_C > 0, held.count_C, 0)",
        ("seqgan_env/bleu", "seqgan_env/rewards/bleu"),
    ),
    Mutation(
        "metrics: Self-BLEU counts the sentence among its own references",
        "seqgan_env/bleu.py",
        "np.where(is_first_C, next_K[held.gram_C], count_C[first_K][held.gram_C])",
        "count_C[first_K][held.gram_C]",
        ("seqgan_env/bleu",),
    ),
    Mutation(
        "metrics: Self-BLEU's brevity penalty compares a sentence with its own length",
        "seqgan_env/bleu.py",
        "distance_RL[is_alone_RL] = self._spec.max_length + 1",
        "distance_RL[is_alone_RL] = 0",
        ("seqgan_env/bleu",),
    ),
    Mutation(
        "discriminator: of old negatives the newest are kept more often",
        "agents/history.py",
        "rng.integers(0, n_before + 1)",
        "rng.integers(0, np.full(len(rest), self._capacity))",
        ("agents/history",),
    ),
    Mutation(
        "discriminator: a single sequence passes another gate than a batch",
        "seqgan_env/discriminators/cnn.py",
        "0.5 * (1 + np.tanh(0.5 * (",
        "0.5 * (1 + np.tanh(1.0 * (",
        ("seqgan_env/discriminators/base",),
    ),
    # the rivals
    Mutation(
        "distillation: the reverse divergence is the forward one",
        "agents/rivals/distillation.py",
        "_kl(log_q_MV, log_p_MV),",
        "_kl(log_p_MV, log_q_MV),",
        ("agents/rivals/distillation",),
    ),
    Mutation(
        "distillation: the teachers' mean is one of logarithms",
        "agents/rivals/distillation.py",
        "torch.stack(of_each).logsumexp(dim=0) - math.log(len(of_each))",
        "torch.stack(of_each).mean(dim=0)",
        ("agents/rivals/distillation",),
    ),
    Mutation(
        "distillation: all prefixes are real",
        "agents/rivals/distillation.py",
        "torch.cat([tokens_BT[n_own:], self.generator.sample(n_own, rng)])",
        "tokens_BT[n_own:]",
        ("agents/rivals/distillation",),
    ),
    Mutation(
        "cooperative: the divergence is upside down",
        "agents/rivals/cooperative.py",
        "output(hidden_MH).log_softmax(dim=1) - mixture_log_prob(self.mediators, tokens_BT)",
        "mixture_log_prob(self.mediators, tokens_BT) - output(hidden_MH).log_softmax(dim=1)",
        ("agents/rivals/cooperative",),
    ),
    Mutation(
        "self-adversarial: the logit is the likelihood without that of the old generator",
        "agents/rivals/self_adversarial.py",
        "(self.generator.log_prob(tokens_BT) - self.old.log_prob(tokens_BT))",
        "self.generator.log_prob(tokens_BT)",
        ("agents/rivals/self_adversarial",),
    ),
    Mutation(
        "scheduled sampling: own tokens are those that should be real",
        "agents/rivals/scheduled_sampling.py",
        ">= self.real_share",
        "< self.real_share",
        ("agents/rivals/scheduled_sampling",),
    ),
    # the exact forms and the measurements
    Mutation(
        "recursion: the value of a state is the mean over tokens, whatever their probability",
        "seqgan_env/enumeration.py",
        "(p_SV[states] * q_RV).sum(axis=1)",
        "q_RV.mean(axis=1)",
        ("seqgan_env/enumeration",),
    ),
    Mutation(
        "measurement: the reverse divergence is the forward one with its sign changed",
        "seqgan_env/metrics/likelihood.py",
        '"kl_reverse": -logits[1]}',
        '"kl_reverse": -logits[0]}',
        ("seqgan_env/metrics/likelihood",),
    ),
)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("words", nargs="*", help="only the mutations whose name holds one of these; all by default")
    sys.exit(main(parser.parse_args().words))
