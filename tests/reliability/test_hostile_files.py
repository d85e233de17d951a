"""Files with every fault at every field are refused in one line, or read as if nothing were wrong with them.

The fields are those that the files have, so a new one is covered without being named. By default each field has one
kind of fault in turn; with ``SEQGAN_THOROUGH`` set, every kind.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from safetensors.torch import load, save_file

from agents.checkpoint import load_checkpoint, save_checkpoint
from agents.play import make_env
from agents.runs.config import RunConfig
from agents.runs.evaluation import evaluate_run
from agents.runs.experiment import Experiment
from agents.seqgan import SeqGAN
from seqgan_env.discriminators import (
    check_discriminator,
    discriminator_kind,
    load_discriminator,
    save_discriminator,
)
from seqgan_env.files import printable
from seqgan_env.sources import build_source
from seqgan_env.vocabulary import Vocabulary
from seqgan_env.weights import digest
from tests.support.discriminators import SPEC, small
from tests.support.hostile import THOROUGH, faults, same
from tests.support.runs import SHORT

Read = Callable[[Path], Any]
"""Reads a file and gives what was read, as a tree; of a ``ValueError`` the message is looked at."""


class Kind:
    """A kind of file: how it is made, taken apart, put together again, and read."""

    name: str
    every = 1
    """One field in so many has a fault, unless thorough."""

    def make(self, whole: Path, folder: Path) -> Path:
        """A file of the kind in an empty folder."""
        raise NotImplementedError

    def tree(self, path: Path) -> Any:
        """Its fields."""
        raise NotImplementedError

    def write(self, path: Path, tree: Any) -> None:
        """A well-formed file of these fields, with the right checksums."""
        raise NotImplementedError

    def read(self, path: Path) -> Any:
        """Everything that a program would use of it."""
        raise NotImplementedError


def write_checkpoint(path: Path, tree: Any) -> None:
    """``save_checkpoint``, which of tensors that are not finite writes none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("agents.checkpoint._check_finite", lambda tensor: None)
        save_checkpoint(path, tree)


class Agent(Kind):
    name = "agent.zip"

    def make(self, whole: Path, folder: Path) -> Path:
        return Path(shutil.copy(whole / "agent.zip", folder))

    def tree(self, path: Path) -> Any:
        return load_checkpoint(path)

    def write(self, path: Path, tree: Any) -> None:
        write_checkpoint(path, tree)

    def read(self, path: Path) -> Any:
        agent = SeqGAN.load(path, device="cpu")
        core = agent.generator.core  # with its defaults, which the file need not hold
        settings = (agent.n_episodes, agent.learning_rate, agent.max_grad_norm, agent.estimator)
        return [agent.policy.spec, *settings, type(core), core.config, agent.state_dict()]


def used(experiment: Experiment) -> dict[str, Any]:
    """The state of an experiment but for its measurements, which are only shown."""
    steps = [(record["phase"], record["step"]) for record in experiment.records]
    return experiment._state_dict() | {"seconds": 0.0, "records": steps}


class Checkpoint(Agent):
    name = "checkpoint.zip"
    every = 2

    def make(self, whole: Path, folder: Path) -> Path:
        return shutil.copytree(whole, folder / "run") / self.name

    def read(self, path: Path) -> Any:
        return used(Experiment(SHORT, path.parent, resume=True, progress=False))


class Pretrained(Checkpoint):
    name = "pretrained.zip"
    every = 7  # it is checked as the other one is

    def read(self, path: Path) -> Any:
        new = path.parent.parent / "new"
        return used(Experiment(SHORT, new, start_from=path.parent, progress=False))


class Config(Kind):
    name = "config.json"

    def make(self, whole: Path, folder: Path) -> Path:
        return Path(shutil.copy(whole / "config.json", folder))

    def tree(self, path: Path) -> Any:
        return json.loads(path.read_text())

    def write(self, path: Path, tree: Any) -> None:
        path.write_text(json.dumps(tree))

    def read(self, path: Path) -> Any:
        config = RunConfig.load(path)
        if config != SHORT:  # what the settings alone cannot tell is refused before anything is trained
            try:
                Experiment(config, path.parent / "run", progress=False)
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from error
        return config.to_dict()


class VocabularyFile(Config):
    name = "vocabulary.json"

    def make(self, whole: Path, folder: Path) -> Path:
        Vocabulary(["<eos>", "<unk>", "a", "b", "ab"], "bpe", merges=[("a", "b")]).save(folder / self.name)
        return folder / self.name

    def read(self, path: Path) -> Any:
        return Vocabulary.load(path).to_json()


class DiscriminatorFile(Kind):
    name = "discriminator.safetensors"

    def make(self, whole: Path, folder: Path) -> Path:
        save_discriminator(small(), folder / self.name)
        return folder / self.name

    def tree(self, path: Path) -> Any:
        with safe_open(path, framework="pt") as file:
            recipe = json.loads(file.metadata()["recipe"])
        return {"recipe": recipe, "weights": load(path.read_bytes())}

    def write(self, path: Path, tree: Any) -> None:
        weights = tree.get("weights") if isinstance(tree, dict) else None
        if not isinstance(weights, dict) or not all(hasattr(each, "shape") for each in weights.values()):
            path.write_bytes(b"no tensors")
            return
        metadata = {}
        if "recipe" in tree:
            metadata = {"recipe": json.dumps(tree["recipe"])}
        metadata["sha256"] = digest(weights, metadata.get("recipe", ""))
        save_file(weights, path, metadata=metadata)

    def read(self, path: Path) -> Any:
        kind = discriminator_kind(str(path))
        check_discriminator(str(path), SPEC)
        discriminator = load_discriminator(path)
        assert type(discriminator) is kind
        return [vars(discriminator.config), discriminator.spec, dict(discriminator.state_dict())]


UNNOTICED = re.compile(
    r"\['optimizer'\]\['state'\]\[\d+\]: missing$|\['last_scores'\].*: (missing|extra field|negative)$"
)
"""A parameter that never had a gradient has no statistics; the scores of a round may be any numbers."""
KINDS = [Agent(), Checkpoint(), Pretrained(), Config(), VocabularyFile(), DiscriminatorFile()]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def outcome(kind: Kind, path: Path) -> Any:
    """What was read, or the line with which it was refused; anything else that is raised passes through."""
    try:
        return kind.read(path)
    except ValueError as error:
        line = str(error)
    assert line.startswith(str(path)), line
    assert "\n" not in line
    assert line == printable(line)
    assert len(line) < 1000
    return line


@every_kind
def test_a_fault_at_any_field_is_refused_or_of_no_consequence(kind: Kind, whole: Path, tmp_path: Path) -> None:
    path = kind.make(whole, tmp_path)
    tree, original = kind.tree(path), kind.read(path)
    n_refused = n_faults = 0
    for name, faulty in faults(tree, kind.every):
        if UNNOTICED.search(name):
            continue
        kind.write(path, faulty)
        read = outcome(kind, path)
        n_faults += 1
        n_refused += isinstance(read, str)
        assert isinstance(read, str) or same(read, original), name
    assert n_refused > 0.5 * n_faults
    kind.write(path, tree)
    assert same(kind.read(path), original)


@every_kind
def test_a_cut_or_a_flipped_bit_is_refused_or_of_no_consequence(kind: Kind, whole: Path, tmp_path: Path) -> None:
    path = kind.make(whole, tmp_path)
    content, original = path.read_bytes(), kind.read(path)
    rng = random.Random(0)
    for _ in range(300 if THOROUGH else 30):
        damaged = bytearray(content)
        if rng.random() < 0.3:
            del damaged[rng.randrange(len(content)) :]
        else:
            damaged[rng.randrange(min(len(content), rng.choice((200, len(content)))))] ^= 1 << rng.randrange(8)
        path.write_bytes(bytes(damaged))
        read = outcome(kind, path)
        if not isinstance(kind, Config) or isinstance(kind, VocabularyFile):
            assert isinstance(read, str) or same(read, original)  # the settings, which a person may edit, have no sum


def test_an_evaluation_refuses_the_weights_that_a_resumption_refuses(whole: Path, tmp_path: Path) -> None:
    """The other way in which a checkpoint is read."""
    path = Checkpoint().make(whole, tmp_path)
    tree = load_checkpoint(path)
    for part, name in (("agent", "policy"), ("adversary", "discriminator")):
        for where, faulty in faults({name: tree[part][name]}):
            write_checkpoint(path, {**tree, part: {**tree[part], **faulty} if name in faulty else {}})
            with pytest.raises(ValueError, match=f"^{path} is not a readable") as caught:
                evaluate_run(path.parent)
            assert "\n" not in str(caught.value), where


def test_the_functions_that_settings_name_are_not_imported_by_an_evaluation(whole: Path, tmp_path: Path) -> None:
    run = shutil.copytree(whole, tmp_path / "run")
    (tmp_path / "trap_for_seqgan.py").write_text("raise SystemExit('imported')")
    state = load_checkpoint(run / "checkpoint.zip")
    config = json.loads(state["config"])
    config["task"] |= dict.fromkeys(("allowed_next", "shaping", "reward"), "trap_for_seqgan:f")
    write_checkpoint(run / "checkpoint.zip", {**state, "config": json.dumps(config)})
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        assert "nll_test" in evaluate_run(run)
        with pytest.raises(ValueError, match="the reward of a run that is played must be one of"):
            make_env(str(run))
    assert "trap_for_seqgan" not in sys.modules


def test_sources_that_are_no_files_on_a_disk_are_refused() -> None:
    with pytest.raises(ValueError, match="there is no file"):
        build_source("/dev/nothing.pkl")
