"""Checkpoints: what was saved comes back, a damaged file is refused, a crash loses nothing, and no code runs."""

from __future__ import annotations

import json
import math
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from agents import checkpoint
from agents.checkpoint import load_checkpoint, save_checkpoint
from tests.support.hostile import Call

DTYPES = [
    torch.float32,
    torch.float64,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.uint8,
    torch.bool,
]

leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.builds(
        lambda shape, dtype, seed: torch.from_numpy(np.random.default_rng(seed).integers(0, 2, shape)).to(dtype),
        st.lists(st.integers(0, 3), max_size=3),
        st.sampled_from(DTYPES),
        st.integers(0, 100),
    ),
)
keys = st.one_of(st.text(), st.integers())
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner), st.tuples(inner, inner), st.dictionaries(keys, inner)),
    max_leaves=10,
)

STATE: dict[str, Any] = {
    "weights": {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(3)},
    "optimizer": {"state": {0: {"step": torch.tensor(7.0)}}, "param_groups": [{"lr": 0.1, "betas": (0.9, 0.999)}]},
    "n_updates": 12,
    "name": "Grüße",
    "best": None,
}


def assert_same(read: Any, saved: Any) -> None:
    """Equal in value, type and, for tensors, dtype and shape; a tuple has become a list."""
    if isinstance(saved, torch.Tensor):
        assert isinstance(read, torch.Tensor)
        assert (read.dtype, read.shape) == (saved.dtype, saved.shape)
        assert torch.equal(read, saved)
    elif isinstance(saved, dict):
        assert isinstance(read, dict)
        assert list(map(repr, read)) == list(map(repr, saved))
        for key, value in saved.items():
            assert_same(read[key], value)
    elif isinstance(saved, (list, tuple)):
        assert isinstance(read, list)
        assert len(read) == len(saved)
        for ours, theirs in zip(read, saved, strict=True):
            assert_same(ours, theirs)
    else:
        assert type(read) is type(saved)
        assert read == saved or (math.isnan(read) and math.isnan(saved))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_tensors_that_are_not_finite_are_neither_written_nor_read(value: float, tmp_path: Path) -> None:
    path = tmp_path / "state.zip"
    save_checkpoint(path, {"w": torch.tensor([1.0, 2.0])})
    before = path.read_bytes()
    spoilt = torch.tensor([1.0, value])
    with pytest.raises(ValueError, match="the tensors of a checkpoint must be finite, got NaN or infinity"):
        save_checkpoint(path, {"w": spoilt})
    assert path.read_bytes() == before
    with zipfile.ZipFile(path) as archive:
        tree = archive.read("state.json")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("state.json", tree)
        archive.writestr("tensors.safetensors", save({"0": spoilt}))
    with pytest.raises(ValueError, match=r"state\.zip is not a readable checkpoint: the tensors of .* must be finite"):
        load_checkpoint(path)


class TestRoundTrip:
    @given(st.dictionaries(keys, trees, max_size=4))
    @settings(max_examples=30)
    def test_any_tree_comes_back(self, tmp_path_factory: Any, state: dict[str, Any]) -> None:
        path = tmp_path_factory.getbasetemp() / "tree.zip"
        save_checkpoint(path, state)
        assert_same(load_checkpoint(path), state)

    def test_a_typical_state_comes_back(self, tmp_path: Path) -> None:
        save_checkpoint(tmp_path / "state.zip", STATE)
        assert_same(load_checkpoint(str(tmp_path / "state.zip")), STATE)
        assert os.listdir(tmp_path) == ["state.zip"]

    def test_views_parameters_and_shared_tensors_come_back_by_value(self, tmp_path: Path) -> None:
        base = torch.arange(12.0).reshape(3, 4)
        state = {
            "transposed": base.t(),
            "strided": base[:, ::2],
            "expanded": torch.ones(1).expand(5),
            "parameter": torch.nn.Parameter(base),
            "again": base,
        }
        save_checkpoint(tmp_path / "state.zip", state)
        read = load_checkpoint(tmp_path / "state.zip")
        assert_same(read, {name: tensor.detach().clone() for name, tensor in state.items()})
        read["parameter"][0, 0] = 99
        assert read["again"][0, 0] == 0
        assert base[0, 0] == 0

    def test_an_optimiser_goes_on(self, tmp_path: Path) -> None:
        """What the format is for: the state of Adam has integer keys, tuples and tensors of no dimension."""

        def run(n_steps: int, weight: torch.Tensor, optimizer: torch.optim.Optimizer) -> None:
            for _ in range(n_steps):
                optimizer.zero_grad()
                (weight**4).sum().backward()
                optimizer.step()

        def make() -> tuple[torch.Tensor, torch.optim.Optimizer]:
            weight = torch.nn.Parameter(torch.arange(4.0))
            return weight, torch.optim.Adam([weight], lr=0.1)

        through, through_optimizer = make()
        run(10, through, through_optimizer)
        before, before_optimizer = make()
        run(4, before, before_optimizer)
        save_checkpoint(tmp_path / "state.zip", {"w": before, "optimizer": before_optimizer.state_dict()})
        after, after_optimizer = make()
        state = load_checkpoint(tmp_path / "state.zip")
        after.data.copy_(state["w"])
        after_optimizer.load_state_dict(state["optimizer"])
        run(6, after, after_optimizer)
        assert torch.equal(after, through)

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            (object(), "a checkpoint holds plain data and tensors, got object"),
            (np.zeros(2), "got ndarray"),
            ({1.5: 0}, r"the keys of a checkpoint are strings and integers, got \[1.5\]"),
            ({(1, 2): 0}, "the keys of a checkpoint are strings and integers"),
            ({None: 0}, "the keys of a checkpoint are strings and integers"),
        ],
    )
    def test_what_would_not_come_back_is_refused(self, value: Any, message: str, tmp_path: Path) -> None:
        path = tmp_path / "state.zip"
        save_checkpoint(path, STATE)
        with pytest.raises(TypeError, match=message):
            save_checkpoint(path, {"value": [value]})
        assert_same(load_checkpoint(path), STATE)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: Any) -> bytes:
    """The content of a checkpoint."""
    path = tmp_path_factory.mktemp("whole") / "state.zip"
    save_checkpoint(path, STATE)
    return bytes(path.read_bytes())


def read_or_refusal(path: Path) -> dict[str, Any] | str:
    """The state, or the message of the ``ValueError``; anything else that is raised passes through."""
    try:
        return load_checkpoint(path)
    except ValueError as error:
        return str(error)


class TestDamage:
    def refuses(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"state.zip is not a readable checkpoint: ."):
            load_checkpoint(path)

    def test_truncated_anywhere(self, whole: bytes, tmp_path: Path) -> None:
        for length in range(len(whole)):
            self.refuses(tmp_path / "state.zip", whole[:length])

    def test_every_byte_changed(self, whole: bytes, tmp_path: Path) -> None:
        """Either it is noticed, or it was a byte that says nothing, such as a date: never a different state."""
        path = tmp_path / "state.zip"
        n_noticed = 0
        for position in range(len(whole)):
            for change in (0x01, 0x80, 0xFF):
                path.write_bytes(whole[:position] + bytes([whole[position] ^ change]) + whole[position + 1 :])
                read = read_or_refusal(path)
                if isinstance(read, str):
                    assert read.startswith(str(path))
                    n_noticed += 1
                else:
                    assert_same(read, STATE)
        assert n_noticed > 0.8 * 3 * len(whole)

    @given(data=st.data())
    @settings(max_examples=100)
    def test_stretches_replaced_removed_or_inserted(self, whole: bytes, tmp_path_factory: Any, data: Any) -> None:
        path = tmp_path_factory.getbasetemp() / "stretches.zip"
        start = data.draw(st.integers(0, len(whole)))
        stop = data.draw(st.integers(start, min(len(whole), start + 200)))
        path.write_bytes(whole[:start] + data.draw(st.binary(max_size=200)) + whole[stop:])
        read = read_or_refusal(path)
        if isinstance(read, str):
            assert read.startswith(str(path))
        else:
            assert_same(read, STATE)

    @pytest.mark.parametrize(
        "content",
        [b"", b"\0" * 1000, b"PK\x05\x06" + b"\0" * 18, pickle.dumps(STATE["name"]), b"{}", "Grüße".encode("utf-16")],
        ids=["empty", "zeros", "empty-zip", "pickle", "json", "text"],
    )
    def test_something_else(self, content: bytes, tmp_path: Path) -> None:
        self.refuses(tmp_path / "state.zip", content)

    def test_a_missing_file_and_a_folder(self, tmp_path: Path) -> None:
        for path in (tmp_path / "none.zip", tmp_path):
            with pytest.raises(ValueError, match="is not a readable checkpoint"):
                load_checkpoint(path)

    @pytest.mark.parametrize(
        ("document", "message"),
        [
            ([], "is not a readable checkpoint"),
            ({"format": "another", "version": 1, "state": {"dict": []}}, "it says 'another', version 1"),
            ({"format": checkpoint.FORMAT, "version": 2, "state": {"dict": []}}, "version 2"),
            ({"format": checkpoint.FORMAT, "version": 1}, "state"),
            ({"format": checkpoint.FORMAT, "version": 1, "state": {"list": []}}, "it holds a list"),
            ({"format": checkpoint.FORMAT, "version": 1, "state": 3}, "it holds a int"),
            ({"format": checkpoint.FORMAT, "version": 1, "state": {"tensor": "0"}}, "is not a readable checkpoint"),
            ({"format": checkpoint.FORMAT, "version": 1, "state": {"call": []}}, "it holds a 'call'"),
            ({"format": checkpoint.FORMAT, "version": 1, "state": {"dict": [], "list": []}}, "is not a readable"),
            ({"format": checkpoint.FORMAT, "version": 1, "state": {"dict": [["a"]]}}, "is not a readable checkpoint"),
            ({"format": checkpoint.FORMAT, "version": 1, "state": {"dict": [[[], 1]]}}, "is not a readable checkpoint"),
            ({"format": checkpoint.FORMAT, "version": 1, "state": {"dict": [["a", 1], ["a", 2]]}}, "different strings"),
            ({"format": checkpoint.FORMAT, "version": 1, "state": {"dict": [[True, 1]]}}, "different strings and int"),
            ({"format": checkpoint.FORMAT, "version": 1, "state": {"dict": [["a", []]]}}, "is not a readable"),
            (
                {"format": checkpoint.FORMAT, "version": 1, "state": {"dict": []}, "more": 1},
                "unknown or missing .*more",
            ),
            ({"format": checkpoint.FORMAT, "version": True, "state": {"dict": []}}, "version True"),
        ],
    )
    def test_a_zip_that_says_something_else(self, document: Any, message: str, tmp_path: Path) -> None:
        path = tmp_path / "state.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("state.json", json.dumps(document))
            archive.writestr("tensors.safetensors", save({}))
        with pytest.raises(ValueError, match=message):
            load_checkpoint(path)

    def test_nesting_without_end(self, tmp_path: Path) -> None:
        path = tmp_path / "state.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("state.json", '{"list": [' * 100_000)
        with pytest.raises(ValueError, match="is not a readable checkpoint"):
            load_checkpoint(path)


class TestNoCode:
    def test_the_trap_works(self, tmp_path: Path) -> None:
        pickle.loads(pickle.dumps(Call(os.mkdir, str(tmp_path / "made"))))
        assert (tmp_path / "made").is_dir()

    def test_a_pickle_is_refused_and_not_run(self, tmp_path: Path) -> None:
        path = tmp_path / "state.zip"
        path.write_bytes(pickle.dumps(Call(os.mkdir, str(tmp_path / "made"))))
        with pytest.raises(ValueError, match="is not a readable checkpoint"):
            load_checkpoint(path)
        torch.save(Call(os.mkdir, str(tmp_path / "made")), path)
        with pytest.raises(ValueError, match="is not a readable checkpoint"):
            load_checkpoint(path)
        assert not (tmp_path / "made").exists()

    @pytest.mark.parametrize("name", ["data", "data.pkl", "policy.pth", "pytorch_variables.pth"])
    def test_a_pickle_beside_the_parts_is_refused_and_not_run(self, name: str, tmp_path: Path) -> None:
        path = tmp_path / "state.zip"
        save_checkpoint(path, STATE)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(name, pickle.dumps(Call(os.mkdir, str(tmp_path / "made"))))
        with pytest.raises(ValueError, match=f"it must hold state.json and tensors.safetensors, got .*{name!r}"):
            load_checkpoint(path)
        assert not (tmp_path / "made").exists()

    @pytest.mark.parametrize("name", ["state.json", "tensors.safetensors"])
    def test_a_pickle_in_place_of_a_part_is_refused_and_not_run(self, name: str, tmp_path: Path) -> None:
        path = tmp_path / "state.zip"
        save_checkpoint(path, STATE)
        with zipfile.ZipFile(path) as archive:
            parts = {part: archive.read(part) for part in archive.namelist()}
        assert set(parts) == {"state.json", "tensors.safetensors"}
        parts[name] = pickle.dumps(Call(os.mkdir, str(tmp_path / "made")))
        with zipfile.ZipFile(path, "w") as archive:
            for part, content in parts.items():
                archive.writestr(part, content)
        with pytest.raises(ValueError, match="is not a readable checkpoint"):
            load_checkpoint(path)
        assert not (tmp_path / "made").exists()


class TestCrash:
    @pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()], ids=["full", "interrupt"])
    @pytest.mark.parametrize("place", ["writestr", "fsync", "replace"])
    def test_leaves_the_old_file_and_nothing_else(
        self, place: str, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "state.zip"
        save_checkpoint(path, STATE)
        before = path.read_bytes()

        def crash(*_: Any, **__: Any) -> None:
            assert path.read_bytes() == before
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(zipfile.ZipFile if place == "writestr" else os, place, crash)
            with pytest.raises(type(error)):
                save_checkpoint(path, {"n_updates": 13})
        assert path.read_bytes() == before
        assert os.listdir(tmp_path) == ["state.zip"]

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            save_checkpoint(tmp_path / "none" / "state.zip", STATE)
