"""Small files that ask for much: refused in one line, within a limit of memory that the machine enforces."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import re
import resource
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import save_file

from agents.checkpoint import load_checkpoint, save_checkpoint
from agents.runs.config import RunConfig
from agents.seqgan import SeqGAN
from seqgan_env.discriminators import load_discriminator
from seqgan_env.files import COMPRESSED
from seqgan_env.sources import Corpus, LSTMOracle
from seqgan_env.vocabulary import Vocabulary
from seqgan_env.weights import digest
from tests.support.discriminators import SPEC, small

ROOM = 150 << 20
"""Bytes beside those that the process has already."""
DEEP = "[" * 200_000


def compressed(path: Path, method: int) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("tensors.safetensors", b"")
        with archive.open("state.json", "w") as member:
            member.write(bytes(ROOM + 1))


def recipe(path: Path, name: str, **changes: Any) -> None:
    spec = changes.pop("spec", asdict(SPEC))
    text = json.dumps({"name": name, "kwargs": changes, "spec": spec})
    weights = small().state_dict()
    save_file(weights, path, metadata={"recipe": text, "sha256": digest(weights, text)})


def agent(path: Path, whole: Path, **changes: Any) -> None:
    state = load_checkpoint(whole / "agent.zip")
    state["arguments"]["policy_kwargs"] |= changes.pop("policy_kwargs", {})
    save_checkpoint(path, {**state, **changes})


def deep_checkpoint(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("state.json", DEEP)
        archive.writestr("tensors.safetensors", b"")


def deep_recipe(path: Path) -> None:
    save_file(small().state_dict(), path, metadata={"recipe": DEEP, "sha256": ""})


def packed(path: Path, suffix: str) -> None:
    with COMPRESSED[suffix](path, "wb") as file:  # type: ignore[call-arg]
        for _ in range(ROOM >> 20):
            file.write(b" " * (1 << 20))


def corpus(suffix: str) -> Callable[[Path], Any]:
    """Read a text file of a name with that suffix."""
    return lambda path: Corpus(path.rename(f"{path}{suffix}"))


BOMBS: dict[str, tuple[Callable[[Path], Any], Callable[..., None], tuple[Any, ...], dict[str, Any]]] = {
    "bzip2": (load_checkpoint, compressed, (zipfile.ZIP_BZIP2,), {}),
    "deflate": (load_checkpoint, compressed, (zipfile.ZIP_DEFLATED,), {}),
    "text in gzip": (corpus(".gz"), packed, (".gz",), {}),
    "text in bzip2": (corpus(".bz2"), packed, (".bz2",), {}),
    "text in xz": (corpus(".xz"), packed, (".xz",), {}),
    "deep json lines": (corpus(".jsonl"), lambda path: path.write_text(DEEP), (), {}),
    "deep checkpoint": (load_checkpoint, deep_checkpoint, (), {}),
    "deep settings": (RunConfig.load, lambda path: path.write_text(DEEP), (), {}),
    "deep vocabulary": (Vocabulary.load, lambda path: path.write_text(DEEP), (), {}),
    "deep recipe": (load_discriminator, deep_recipe, (), {}),
    "one array often": (
        LSTMOracle.from_file,
        lambda path: path.write_bytes(pickle.dumps([np.zeros(1 << 18, np.float32)] * 100_000)),
        (),
        {},
    ),
    "filters": (load_discriminator, recipe, ("cnn",), {"filters": [[1, 30_000]]}),
    "pairs": (load_discriminator, recipe, ("cnn",), {"filters": [[1, 1]] * 50_000}),
    "members": (load_discriminator, recipe, ("ensemble",), {"kind": "gru", "n_members": 10**9}),
    "layers": (load_discriminator, recipe, ("transformer",), {"n_layers": 10**9}),
    "long sequences": (
        load_discriminator,
        recipe,
        ("log_ratio",),
        {"spec": {"vocab_size": 5, "max_length": 10**11, "eos_id": None}},
    ),
    "large agent": (SeqGAN.load, agent, ("whole",), {"policy_kwargs": {"hidden_dim": 10**6}}),
    "deep agent": (
        SeqGAN.load,
        agent,
        ("whole",),
        {"policy_kwargs": {"core": "transformer", "n_layers": 10**9, "n_heads": 1}},
    ),
    "agent of long sequences": (
        SeqGAN.load,
        agent,
        ("whole",),
        {"spec": {"vocab_size": 12, "max_length": 10**10, "eos_id": None}},
    ),
}
"""Each bomb: its reader, what makes the file, and with which arguments; ``whole`` is the folder of a sound run."""


def _read_within_the_limit(read: Callable[[Path], Any], path: Path, sender: Any) -> None:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    limit = (int(status["VmSize"].split()[0]) << 10) + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        read(path)
        sender.send("it was read")
    except ValueError as error:
        sender.send(str(error))
    except BaseException as error:
        sender.send(f"{type(error).__name__} passed through")
    os._exit(0)


pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the size of a process is read there")


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_one_line(name: str, whole: Path, tmp_path: Path) -> None:
    read, make, arguments, changes = BOMBS[name]
    path = tmp_path / "bomb.zip"
    make(path, *(whole if argument == "whole" else argument for argument in arguments), **changes)
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_read_within_the_limit, args=(read, path, sender))
    process.start()
    assert receiver.poll(100)
    line = receiver.recv()
    process.join()
    assert re.match(rf"{path}( is not |\.\w+: the corpus must be |\.\w+: line 1 must be )", line), line
    assert "\n" not in line
    assert "memory" not in line  # it is refused for what it says, not for what became of it


def test_the_limit_is_one(tmp_path: Path) -> None:
    """Memory that the process has had and given back counts as its own, so much more is asked for."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_read_within_the_limit, args=(lambda _: bytes(100 * ROOM), tmp_path, sender))
    process.start()
    assert receiver.recv() == "MemoryError passed through"
    process.join()
