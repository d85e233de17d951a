"""A file to train on and another one that is held out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from seqgan_env.sources import IdFile, Source, SourceConfig, build_source
from seqgan_env.sources.file_pair import FilePair
from seqgan_env.task import Task
from seqgan_env.task_config import TaskConfig
from seqgan_env.vocabulary import Vocabulary

TRAIN = "a b c\nb a\nc a b\nb b\nc c c\n" * 3
HELD_OUT = "c b\nb a\nb c\n"


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    for name, text in (("train.txt", TRAIN), ("test.txt", HELD_OUT)):
        (tmp_path / name).write_text(text)
    return str(tmp_path / "train.txt"), str(tmp_path / "test.txt")


def texts(source: Source, n_train: int = 99, n_test: int = 99, seed: int = 0) -> tuple[list[str], list[str]]:
    assert source.vocabulary is not None
    train, test = (map(source.vocabulary.decode, part) for part in source.split(n_train, n_test, seed))
    return list(train), list(test)


def test_each_set_comes_from_its_file(files: tuple[str, str]) -> None:
    source = build_source(files[0], held_out=files[1])
    assert isinstance(source, FilePair)
    assert source.spec == build_source(files[0]).spec
    train, test = texts(source)
    assert sorted(test) == sorted(HELD_OUT.splitlines())
    assert sorted(train) == sorted(line for line in TRAIN.splitlines() if line != "b a")  # which is held out


def test_byte_pair_encoding_is_that_of_the_file_to_train_on(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    train, test = "the low dog\nlower, lowest; the  cat\n" * 20 + "once\n", "the lowest z\n  the cat\n"
    for name, text in (("train.txt", train), ("test.txt", test)):
        (tmp_path / name).write_text(text)
    settings = {"level": "bpe", "vocab_size": 32, "min_count": 2}
    source = build_source(str(tmp_path / "train.txt"), held_out=str(tmp_path / "test.txt"), max_length=21, **settings)
    assert source.vocabulary == build_source(str(tmp_path / "train.txt"), **settings).vocabulary
    assert len(source.vocabulary or ()) == source.spec.vocab_size == 32
    assert source.spec.max_length == 21
    sets = texts(source)
    assert sorted(sets[1]) == sorted(test.replace("z", "\ufffd").splitlines())
    assert set(sets[0]) == set(train.replace("n", "\ufffd").splitlines())
    assert max(map(len, (source.vocabulary or Vocabulary.of([])).tokens[2:])) >= 4


def test_a_set_follows_the_seed_and_not_the_size_of_the_other(files: tuple[str, str]) -> None:
    source = build_source(files[0], held_out=files[1])
    train, test = texts(source)
    assert texts(source, n_test=1) == (train, test[:1])
    assert texts(source, n_train=4) == (train[:4], test)
    assert texts(source) == (train, test)
    assert texts(source, seed=1)[0] != train


def test_its_content_is_that_of_both(files: tuple[str, str]) -> None:
    def sha256() -> str:
        source = build_source(files[0], held_out=files[1])
        assert isinstance(source, FilePair)
        return source.sha256

    before = sha256()
    for path in files:
        text = Path(path).read_text()
        Path(path).write_text(text + "a a\n")
        assert sha256() != before
        Path(path).write_text(text)
    assert sha256() == before


def test_ids_and_other_forms_of_file(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("0,1\n2,3\n4,4\n")
    (tmp_path / "test.txt").write_text("3,3\n0,0\n")
    config = SourceConfig(
        str(tmp_path / "train.txt"), level="ids", delimiter=",", held_out=str(tmp_path / "test.txt"), vocab_size=9
    )
    source = config.build_source()
    assert source.vocabulary is None
    assert source.spec == IdFile(tmp_path / "train.txt", vocab_size=9, delimiter=",").spec
    train, test = source.split(9, 9, 0)
    assert sorted(test.tolist()) == [[0, 0], [3, 3]]
    assert sorted(train.tolist()) == [[0, 1], [2, 3], [4, 4]]


def test_rare_words_are_those_of_the_file_to_train_on(files: tuple[str, str]) -> None:
    Path(files[1]).write_text("a new c\nnew a\n")
    source = build_source(files[0], held_out=files[1], min_count=2)
    assert sorted(texts(source)[1]) == ["<unk> a", "a <unk> c"]


def test_a_line_that_only_looks_like_a_held_out_one_is_trained_on(tmp_path: Path) -> None:
    """Two rare words are the same to a generator."""
    (tmp_path / "train.txt").write_text("".join(f"the w{i}\n" for i in range(9)))
    (tmp_path / "test.txt").write_text("the zebra\nthe w1\n")
    source = build_source(str(tmp_path / "train.txt"), held_out=str(tmp_path / "test.txt"), min_count=2)
    assert texts(source) == (["the <unk>"] * 8, ["the <unk>"] * 2)


@pytest.mark.parametrize("text", ["1 1\n0 0 0\n", "1 1\n0 0\n"])
def test_ids_without_an_end_need_lines_of_the_same_length(text: str, tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("0 1 2\n2 1 0\n")
    (tmp_path / "test.txt").write_text(text)
    with pytest.raises(
        ValueError, match=r"test\.txt: all lines must have 3 ids, as no end-of-sequence is added to them"
    ):
        build_source(str(tmp_path / "train.txt"), level="ids", held_out=str(tmp_path / "test.txt"))


def test_the_environment_and_the_task_have_them(files: tuple[str, str]) -> None:
    env = gym.make("SeqGANText-v0", source=files[0], held_out=files[1], discriminator_kwargs={"filters": [[1, 4]]})
    assert len(env.unwrapped.task.held_out_sequences) == 3
    task = Task(TaskConfig(source=files[0], held_out=files[1], n_held_out=2))
    assert task.held_out_sequences.shape == (2, 4)
    assert not {row.tobytes() for row in task.held_out_sequences} & {row.tobytes() for row in task.real_sequences}


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("d e\n", {}, "the vocabulary covers nothing of it: it holds none of the file's tokens"),
        ("a b a b\n", {}, "1 of 1 lines are longer than max_length = 4 .*; raise max_length to 5, or drop them"),
        ("a b a b\n", {"long_lines": "drop"}, "all 1 lines are longer than max_length = 4"),
        ("\n", {}, "the corpus must hold at least one line that is not blank, it is empty"),
        (
            "0 1 1\n",
            {"level": "ids"},
            "1 of 1 lines are longer than max_length = 3 .*; raise max_length to 4, or drop them",
        ),
        (
            "0 9\n1\n",
            {"level": "ids"},
            "line 1 has the id 9; ids must be below 3, since 3, the last, is end-of-sequence; raise",
        ),
    ],
)
def test_names_what_is_wrong_with_the_second_file(
    text: str, options: dict[str, Any], message: str, files: tuple[str, str]
) -> None:
    if "level" in options:
        Path(files[0]).write_text("0 1\n2\n")
    Path(files[1]).write_text(text)
    with pytest.raises(ValueError, match=f"^{re.escape(files[1])}: {message}"):
        build_source(files[0], held_out=files[1], **options)


def test_what_it_cannot_be(files: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match=r"^held_out must be the path of a text file; there is no file 'none\.txt'$"):
        build_source(files[0], held_out="none.txt")
    for name in ("oracle", "grammar"):
        with pytest.raises(ValueError, match=r"as a source takes .*; it has no use for held_out$"):
            build_source(name, held_out=files[1])
    Path(files[1]).write_text("a b\n")
    with pytest.raises(ValueError, match=r"test\.txt: a held-out file must have at least 2 sequences, it has 1$"):
        build_source(files[0], held_out=files[1]).split(9, 9, 0)
    same = build_source(files[0], held_out=files[0])
    with pytest.raises(ValueError, match=r"train\.txt: all its lines stand in .*train\.txt too, which is held out$"):
        same.split(9, 9, 0)
    with pytest.raises(ValueError, match="n_test must be a whole number of at least 1"):
        build_source(files[0], held_out=files[1]).split(9, 0, 0)
