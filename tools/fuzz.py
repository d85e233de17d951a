"""Fuzz the readers of files: whatever a file holds, it is read or refused with one line that begins with its path.

``python tools/fuzz.py [SECONDS [READER ...]]`` gives each reader so many seconds (60) of libFuzzer through atheris (the
extra ``fuzz``), which looks for inputs that reach new lines. An input that raises anything else, hangs or takes much
memory is written to ``build/fuzz`` and ends the program with an error.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

OUT = Path("build/fuzz")
SPLIT = b"\n--split--\n"
"""Between the parts of an input of which a well-formed file is made."""


def as_it_is(content: bytes) -> bytes:
    """The file that an input is."""
    return content


def as_zip(content: bytes) -> bytes:
    """A checkpoint of an input's two members, with the right checksums, so that mutations get past them."""
    state, _, tensors = content.partition(SPLIT)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("state.json", state)
        archive.writestr("tensors.safetensors", tensors)
    return buffer.getvalue()


def as_discriminator(content: bytes) -> bytes:
    """A discriminator's file of an input as its recipe, with sound weights and the right checksum."""
    from safetensors.torch import save

    from seqgan_env.weights import digest

    weights = _discriminator().state_dict()
    text = content.decode(errors="replace")
    return save(weights, metadata={"recipe": text, "sha256": digest(weights, text)})


def corpus_named(suffix: str) -> Callable[[Path], Any]:
    """The reader of a text whose name ends in a suffix, which says its form."""
    from seqgan_env.sources import Corpus

    return lambda path: Corpus(path.rename(path.with_suffix(suffix)))


def readers() -> dict[str, tuple[Callable[[Path], Any], Callable[[bytes], bytes], list[bytes]]]:
    """Each reader by name: the function, what makes a file of an input, and sound inputs to begin with."""
    from agents import SeqGAN, make_seqgan_vec_env
    from agents.checkpoint import load_checkpoint
    from agents.runs.config import RunConfig
    from seqgan_env.discriminators import load_discriminator, save_discriminator
    from seqgan_env.sources import Corpus, LSTMOracle
    from seqgan_env.vocabulary import Vocabulary

    with tempfile.TemporaryDirectory() as folder:
        agent, discriminator = Path(folder) / "agent.zip", Path(folder) / "d.safetensors"
        env = make_seqgan_vec_env("SeqGANTiny-v0", 2)
        SeqGAN("LstmPolicy", env, policy_kwargs={"embedding_dim": 2, "hidden_dim": 2}, seed=0).save(agent)
        save_discriminator(_discriminator(), discriminator)
        zipped, stored = agent.read_bytes(), discriminator.read_bytes()
        with zipfile.ZipFile(agent) as archive:
            members = SPLIT.join(archive.read(name) for name in ("state.json", "tensors.safetensors"))
    header = json.loads(stored[8 : 8 + int.from_bytes(stored[:8], "little")])
    config = json.dumps(RunConfig().to_dict()).encode()
    lines = b'{"text": "a man", "n": [1.5, null]}\n\n{"text": "a \\ud83d\\ude00 dog\\n"}\n'
    return {
        "corpus": (Corpus, as_it_is, [b"a man\na dog runs .\n", "caf\u00e9 \u2764\n\u00df\n".encode()]),
        "jsonl": (corpus_named(".jsonl"), as_it_is, [lines]),
        "gz": (corpus_named(".jsonl.gz"), as_it_is, [gzip.compress(lines, mtime=0)]),
        "bz2": (corpus_named(".jsonl.bz2"), as_it_is, [bz2.compress(lines)]),
        "xz": (corpus_named(".jsonl.xz"), as_it_is, [lzma.compress(lines)]),
        "pickle": (LSTMOracle.from_file, as_it_is, [pickle.dumps(LSTMOracle(3, 2, 2, 2).parameters)]),
        "zip": (load_checkpoint, as_it_is, [zipped]),
        "checkpoint": (load_checkpoint, as_zip, [members]),
        "agent": (lambda path: SeqGAN.load(path, device="cpu"), as_zip, [members]),
        "discriminator": (load_discriminator, as_it_is, [stored]),
        "recipe": (load_discriminator, as_discriminator, [header["__metadata__"]["recipe"].encode()]),
        "config": (RunConfig.load, as_it_is, [config]),
        "vocabulary": (
            Vocabulary.load,
            as_it_is,
            [json.dumps(Vocabulary(["<eos>", "<unk>", "a"]).to_json()).encode()],
        ),
    }


def _discriminator() -> Any:
    from seqgan_env.discriminators import build_discriminator
    from seqgan_env.tokens import SequenceSpec

    return build_discriminator("cnn", SequenceSpec(4, 3), kwargs={"embedding_dim": 2, "filters": [[1, 2]]})


def fuzz(name: str, seconds: int) -> None:
    """Fuzz one reader in this process, which ends with it."""
    import atheris

    with atheris.instrument_imports(include=["seqgan_env", "agents"]):
        read, make, seeds = readers()[name]
    folder = OUT / name
    (folder / "corpus").mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (folder / "corpus" / f"sound-{number}").write_bytes(seed)
    path = Path(tempfile.mkdtemp()) / "file"

    def once(content: bytes) -> None:
        path.write_bytes(make(content))
        try:
            read(path)
        except ValueError as error:
            line = str(error)
            if not line.startswith(str(path)) or "\n" in line or len(line) > 1000:
                raise AssertionError(f"not one line that begins with the path: {line!r}") from error

    limits = [f"-max_total_time={seconds}", "-timeout=20", "-rss_limit_mb=4000", "-print_final_stats=0", "-verbosity=0"]
    atheris.Setup([sys.argv[0], str(folder / "corpus"), f"-artifact_prefix={folder}{os.sep}", *limits], once)
    atheris.Fuzz()


def main(arguments: list[str]) -> int:
    """Fuzz some readers, each in a process of its own.

    Returns:
        The exit status: 0 if no input was found.
    """
    seconds = int(arguments[0]) if arguments else 60
    names = arguments[1:] or list(readers())
    if len(names) == 1 and "SEQGAN_FUZZED" in os.environ:
        fuzz(names[0], seconds)
    failed = []
    for name in names:
        print(f"{name}: {seconds} seconds", flush=True)
        command = [sys.executable, __file__, str(seconds), name]
        if subprocess.run(command, env={**os.environ, "SEQGAN_FUZZED": "1"}).returncode:
            failed.append(name)
    print(f"found in {', '.join(failed)}: see {OUT}" if failed else "nothing was found")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
