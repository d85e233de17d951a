"""Files: written whole or not at all, by any number of writers, and refused in one line that a terminal can show."""

from __future__ import annotations

import errno
import io
import multiprocessing
import os
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest

from seqgan_env.files import (
    atomic_write,
    is_partial,
    one_line,
    parse_json,
    printable,
    read_bytes,
    read_members,
    refusal,
    remove_partial,
)


def test_the_name_appears_when_the_content_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "text"
    synced: list[str] = []

    def fsync(descriptor: int) -> None:
        synced.append(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
        assert path.exists() == (len(synced) == 2)

    if not Path("/proc/self/fd").exists():
        pytest.skip("open files have no names here")
    monkeypatch.setattr(os, "fsync", fsync)
    with atomic_write(path) as file:
        file.write(b"hello")
        assert not path.exists()
    assert path.read_bytes() == b"hello"
    assert is_partial(Path(synced[0]))  # the file, then the folder that has its name
    assert synced[1] == tmp_path.name


def test_an_error_names_the_file_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "none" / "text"
    with pytest.raises(FileNotFoundError) as caught, atomic_write(path):
        pass
    assert caught.value.filename == str(path)
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError) as caught, atomic_write(tmp_path / "file" / "text"):
        pass
    assert caught.value.filename == str(tmp_path / "file" / "text")
    with pytest.raises(ValueError, match=r"^path must name a file, got '\.'$"), atomic_write("."):
        pass


def test_two_writers_at_once_leave_the_whole_file_of_one(tmp_path: Path) -> None:
    path = tmp_path / "text"
    with atomic_write(path) as first, atomic_write(path) as second:
        for _ in range(3):
            first.write(b"first")
            second.write(b"second ")
    assert path.read_bytes() == b"first" * 3
    assert os.listdir(tmp_path) == ["text"]


def _write_often(path: Path, byte: int) -> None:
    for _ in range(30):
        with atomic_write(path) as file:
            for _ in range(20):
                file.write(bytes([byte]) * 1000)


def test_processes_that_write_one_file_never_leave_a_mixture(tmp_path: Path) -> None:
    path = tmp_path / "text"
    _write_often(path, 0)
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write_often, args=(path, byte)) for byte in (1, 2)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        content = path.read_bytes()
        assert content == content[:1] * 20_000
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert os.listdir(tmp_path) == ["text"]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"old")

    def write() -> None:
        with atomic_write(path) as file:
            file.write(b"new")
            raise OSError(errno.ENOSPC, "the disk is full")

    with pytest.raises(OSError, match="full") as caught:
        write()
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, os.fspath(path))
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["text"]


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in (".text.1.ab.partial", "text.partial", ".hidden", "text"):
        (tmp_path / name).write_bytes(b"")
    remove_partial(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".hidden", "text", "text.partial"]


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (KeyError("seed"), "it lacks 'seed'"),
        (MemoryError("Unable to allocate"), "it asks for too much memory: Unable to allocate"),
        (RecursionError("too deep"), "too deep"),
        (FileNotFoundError(2, "No such file or directory", "x"), "No such file or directory"),
        (ValueError("two\n\x1b[31mlines"), r"two \\x1b\[31mlines"),
        (AttributeError(), "AttributeError"),
        (OverflowError("too large"), "too large"),
        (ValueError("x" * 10_000), "x{400}.* ..."),
    ],
)
def test_every_fault_becomes_one_line(error: BaseException, says: str) -> None:
    with pytest.raises(ValueError, match=f"^a/b is not a readable thing: {says}$") as caught, refusal("a/b", "thing"):
        raise error
    assert len(str(caught.value)) < 600


def test_an_interruption_is_no_fault_of_the_file() -> None:
    with pytest.raises(KeyboardInterrupt), refusal("a/b", "thing"):
        raise KeyboardInterrupt


def test_a_pipe_a_device_and_a_folder_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ValueError, match="not a file on a disk"):
            read_bytes(path)
    with pytest.raises(IsADirectoryError):
        read_bytes(tmp_path)


def test_a_field_that_stands_twice_is_refused() -> None:
    assert parse_json('{"a": {"b": 1}}') == {"a": {"b": 1}}
    with pytest.raises(ValueError, match="names a field twice"):
        parse_json('{"a": {"b": 1, "b": 2}}')


def zipped(*members: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a name that stands there already
                archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (zipped(("a", b"1")), "must hold a and b, got 'a'"),
        (zipped(), "must hold a and b, got nothing"),
        (zipped(("a", b"1"), ("b", b"2"), ("c", b"3")), "got 'a', 'b', 'c'"),
        (zipped(("a", b"1"), ("b", b"2"), ("b", b"3")), "got 'a', 'b', 'b'"),
        (zipped(("a", b"1" * 999), ("b", b"2"), compression=zipfile.ZIP_DEFLATED), "a must be stored as it is"),
        (zipped(("a", b"1" * 999), ("b", b"2"), compression=zipfile.ZIP_BZIP2), "a must be stored as it is"),
        (zipped(("a", b"1" * 999), ("b", b"2"), compression=zipfile.ZIP_LZMA), "a must be stored as it is"),
    ],
)
def test_only_the_members_that_are_asked_for_and_only_stored_ones_are_read(
    content: bytes, says: str, tmp_path: Path
) -> None:
    path = tmp_path / "file.zip"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=says):
        read_members(path, ("a", "b"))
    path.write_bytes(zipped(("b", b"2"), ("a", b"1")))
    assert read_members(path, ("a", "b")) == {"a": b"1", "b": b"2"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Grüße,\tzusammen\n", "Grüße,\tzusammen\n"),
        ("\u4f60\u597d\u3000\u00a0", "\u4f60\u597d\u3000\u00a0"),
        ("\U0001f469\u200d\U0001f680", "\U0001f469\u200d\U0001f680"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b31m\r\x00", "\\x9b31m\\r\\x00"),
        ("a\u202eb", "a\\u202eb"),
        ("\udcff", "\\udcff"),
    ],
)
def test_only_what_would_command_a_terminal_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown


def test_a_line_has_no_line_break_and_an_end() -> None:
    line: Any = one_line("a\nb\r\x1b" + "c" * 10_000)
    assert line.startswith("a b \\x1bccc")
    assert line.endswith(" ...")
    assert len(line) < 600
