"""docs/use_it_with.md: what it shows is run, and does what it says."""

from __future__ import annotations

import ast
import atexit
import csv
import math
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seqgan_env import SeqGANEnv, enumeration
from tests.support.documents import missing
from tests.support.package import ROOT

pytestmark = pytest.mark.consumers

PAGE = (ROOT / "docs/use_it_with.md").read_text(encoding="utf-8")
TINY = SeqGANEnv(vocab_size=4, max_length=4, discriminator="tabular", discriminator_kwargs={"scale": 2.0})
UNIFORM = enumeration.value(TINY.sequence_spec, TINY.score, enumeration.uniform_policy(TINY.sequence_spec))
"""The return of the untrained agent on SeqGANTiny-v0, exactly; the best is near 0."""


def sections(page: str) -> dict[str, dict[str, list[str]]]:
    """The blocks of each section, by language."""
    found = {}
    for section in page.split("\n## ")[1:]:
        blocks: dict[str, list[str]] = {}
        for language, block in re.findall(r"```(\w+)\n(.*?)```", section, flags=re.DOTALL):
            blocks.setdefault(language, []).append(block)
        found[section.splitlines()[0]] = blocks
    return found


SECTIONS = sections(PAGE)


def check_stable_baselines(names: dict[str, Any]) -> None:
    model, env = names["model"], names["env"]
    versions = env.get_attr("discriminator_version")
    assert versions[0] >= 2
    assert len(set(versions)) == 1
    assert len(model.ep_info_buffer) == 100
    assert all(1 <= info["l"] <= 20 and math.isfinite(info["r"]) for info in model.ep_info_buffer)


def check_generator(names: dict[str, Any]) -> None:
    model, agent = names["model"], names["agent"]
    assert model.num_timesteps >= 1_000
    assert set(model.env.get_attr("discriminator_version")) == {6}  # five rounds before the first episode
    weights, pretrained = (dict(m.named_parameters()) for m in (model.policy.generator, agent.generator))
    assert not all(torch.equal(weights[name], pretrained[name]) for name in pretrained)


def check_schedule(names: dict[str, Any]) -> None:
    model, retrain = names["model"], names["retrain"]
    assert model.num_timesteps >= 2_000
    assert set(model.env.get_attr("discriminator_version")) == {retrain.version}
    assert 0 <= model.logger.name_to_value.get("diversity/distinct", 1) <= 1


def check_masks(names: dict[str, Any]) -> None:
    check_stable_baselines(names)
    assert min(info["l"] for info in names["model"].ep_info_buffer) >= 5


def check_torchrl(names: dict[str, Any]) -> None:
    returns = names["returns"]
    assert returns[0] == pytest.approx(UNIFORM, abs=0.4)
    assert np.mean(returns[-5:]) > UNIFORM / 2


def check_torchrl_masks(names: dict[str, Any]) -> None:
    data, env = names["data"], names["env"]
    (ends,) = data["next", "done"].squeeze(-1).nonzero(as_tuple=True)
    assert ends.tolist() == [len(data) - 1]
    assert len(data) >= 5
    chosen = data["action_mask"].bool().gather(-1, data["action"].unsqueeze(-1))
    assert chosen.all()
    assert data["tokens"].shape == (len(data), env.unwrapped.sequence_spec.max_length)


def check_skrl(names: dict[str, Any]) -> None:
    import torch

    env, agent = names["env"], names["agent"]
    observation, _ = env.reset()
    totals = []
    for t in range(4 * 8):
        with torch.no_grad():
            actions = agent.policy.act({"observations": observation}, role="policy")[0]
        observation, rewards, terminated, _, _ = env.step(actions)
        assert observation.shape == (64, 4)
        assert rewards.shape == (64, 1)
        assert terminated.all() == (t % 4 == 3) == terminated.any()
        totals += rewards[terminated].tolist()
    assert len(totals) == 64 * 8
    assert np.mean(totals) > UNIFORM / 2


def check_vector_environment(names: dict[str, Any]) -> None:
    assert names["terminations"].all()
    assert names["observations"].tolist() == [[4] * 4] * 8
    np.testing.assert_allclose(names["infos"]["episode"]["r"], names["rewards"])
    assert names["infos"]["episode"]["l"].tolist() == [4] * 8


def check_minari(names: dict[str, Any]) -> None:
    dataset, env, sequences = names["dataset"], names["env"].unwrapped, names["sequences"]
    np.testing.assert_array_equal(sequences, env.real_sequences[:50])
    rewards = [episode.rewards for episode in dataset.iterate_episodes()]
    assert all(not reward[:-1].any() for reward in rewards)
    np.testing.assert_allclose([reward[-1] for reward in rewards], env.score(sequences), rtol=1e-6)
    assert dataset.recover_environment().unwrapped.sequence_spec == env.sequence_spec


def check_minari_source(names: dict[str, Any]) -> None:
    spec, env = names["env"].unwrapped.sequence_spec, names["task"].unwrapped
    real, held_out = env.real_sequences, env.task.held_out_sequences
    end = env.sequence_spec.eos_id
    assert end == spec.vocab_size == env.sequence_spec.vocab_size - 1
    found = sorted([*map(int, row[: row.tolist().index(end)])] for row in np.concatenate([real, held_out]))
    assert found == sorted(row[spec.is_token(row) & (row != spec.eos_id)].tolist() for row in names["sequences"])


def check_pieces(names: dict[str, Any]) -> None:
    spec, words, lines = (
        names["env"].unwrapped.sequence_spec,
        names["words"],
        Path("captions.txt").read_text().splitlines(),
    )
    assert 50 < spec.vocab_size <= 300
    assert max(map(len, words.tokens[2:])) > 3
    assert {words.decode(row) for row in names["env"].unwrapped.real_sequences[:20]} <= set(lines)
    assert names["sentence"] in lines


def check_discriminator(names: dict[str, Any]) -> None:
    env, task = names["env"], names["task"]
    assert env.discriminator_version == 1
    generated = np.stack(names["generated"])
    np.testing.assert_allclose(env.score(generated), task.scoring.score(generated))
    assert env.score(task.real_sequences).mean() > env.score(generated).mean()


RUNS: list[tuple[str, int, Callable[[dict[str, Any]], None]]] = [
    ("Stable-Baselines3", 0, check_stable_baselines),
    ("Stable-Baselines3", 1, check_generator),
    ("Stable-Baselines3", 2, check_schedule),
    ("sb3-contrib", 0, check_masks),
    ("TorchRL", 0, check_torchrl),
    ("TorchRL", 1, check_torchrl_masks),
    ("skrl", 0, check_skrl),
    ("One file, as CleanRL has it", 0, check_vector_environment),
    ("Minari", 0, check_minari),
    ("Minari", 1, check_minari_source),
    ("Hugging Face tokenizers", 0, check_pieces),
    ("The discriminator", 0, check_discriminator),
]
GOES_ON = ("Minari",)
"""The sections whose blocks have one name space."""
PRINTED = {"RLlib": "rllib_ppo.py", "imitation": "imitation_bc.py", "TRL": "trl_grpo.py"}


def needs(block: str) -> set[str]:
    """The packages that a block imports."""
    imports = [node for node in ast.walk(ast.parse(block)) if isinstance(node, (ast.Import, ast.ImportFrom))]
    names = [[alias.name for alias in n.names] if isinstance(n, ast.Import) else [str(n.module)] for n in imports]
    return {name.partition(".")[0] for group in names for name in group}


def test_every_block_is_run_or_is_part_of_a_program() -> None:
    shown = [(title, i) for title, blocks in SECTIONS.items() for i in range(len(blocks.get("python", [])))]
    assert shown == sorted(
        [(title, i) for title, i, _ in RUNS] + [(title, 0) for title in PRINTED],
        key=lambda run: (list(SECTIONS).index(run[0]), run[1]),
    )


def test_what_the_page_points_at_exists() -> None:
    assert missing(PAGE, ROOT / "docs/use_it_with.md", ROOT) == []


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(("title", "i", "check"), RUNS, ids=[f"{title} {i}" for title, i, _ in RUNS])
def test_the_page_s_python_runs(
    title: str, i: int, check: Callable[[dict[str, Any]], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = SECTIONS[title]["python"]
    block = "".join(blocks[: i + 1]) if title in GOES_ON else blocks[i]
    for package in sorted(needs(block) | ({"tokenizers"} if "bpe" in block else set())):
        pytest.importorskip(package)
    import torch

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    grammar = SeqGANEnv(source="grammar", n_real=300, n_held_out=2).task
    vocabulary = grammar.source.vocabulary
    assert vocabulary is not None
    Path("captions.txt").write_text("\n".join(map(vocabulary.decode, grammar.real_sequences)), encoding="utf-8")
    # skrl logs at exit, when pytest has taken its stream away
    monkeypatch.setattr(atexit, "register", lambda function, *_: function)
    names: dict[str, Any] = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        exec(compile(block, f"docs/use_it_with.md, {title}", "exec"), names)
        check(names)


@pytest.mark.parametrize("title", PRINTED)
def test_the_page_shows_what_stands_in_the_program(title: str) -> None:
    program = (ROOT / "benchmarks/consumers" / PRINTED[title]).read_text(encoding="utf-8")
    assert SECTIONS[title]["python"][0].strip() in program


def run(command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command of the page, with this Python."""
    program, *arguments = shlex.split(command)
    assert program == "python"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *arguments], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


def test_the_zoo_trains_with_the_page_s_file_and_command(tmp_path: Path) -> None:
    pytest.importorskip("rl_zoo3")
    from stable_baselines3 import PPO

    from tests.consumers.playing import play

    blocks = SECTIONS["RL Baselines3 Zoo"]
    (tmp_path / "ppo.yml").write_text(blocks["yaml"][0], encoding="utf-8")
    run(blocks["sh"][1], tmp_path)
    (folder,) = (tmp_path / "logs/ppo").iterdir()
    files = sorted(folder.glob("*.monitor.csv"))
    episodes = [row for file in files for row in csv.DictReader(file.read_text(encoding="utf-8").splitlines()[1:])]
    assert len(files) == 8
    assert len(episodes) >= 500
    assert {row["l"] for row in episodes} == {"4"}
    assert np.isfinite([float(row["r"]) for row in episodes]).all()
    model = PPO.load(folder / "SeqGANTiny-v0.zip", device="cpu")
    assert model.policy.features_extractor_class.__name__ == "PrefixExtractor"
    play(TINY, lambda observation: model.predict(observation)[0], 3)


def test_the_zoo_takes_the_package_s_hyperparameters(tmp_path: Path) -> None:
    pytest.importorskip("rl_zoo3")
    from stable_baselines3 import PPO

    done = run(SECTIONS["RL Baselines3 Zoo"]["sh"][0] + " -n 3000", tmp_path)
    assert "which nothing trains" not in done.stderr  # as the zoo's own evaluations would be
    (folder,) = (tmp_path / "logs/ppo").iterdir()
    model = PPO.load(folder / "SeqGANGrammar-v0.zip", device="cpu")
    env = SeqGANEnv(source="grammar", n_real=2, n_held_out=500)
    tokens_BT = torch.tensor(env.held_out_sequences)
    log_prob_BT = model.policy.generator.log_prob(tokens_BT)
    assert -log_prob_BT.sum() / env.sequence_spec.lengths(tokens_BT).sum() < 2.5  # random tokens have 5


def test_the_single_file_learns_from_the_command_line() -> None:
    done = run(SECTIONS["One file, as CleanRL has it"]["sh"][0], ROOT)
    first, last = map(float, re.findall(r"-?\d\.\d{3}", done.stdout))
    assert first < UNIFORM / 2 < last
