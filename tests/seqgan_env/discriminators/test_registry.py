"""Discriminators by their names, and their files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from seqgan_env.discriminators import (
    DISCRIMINATORS,
    CNNDiscriminator,
    Discriminator,
    build_discriminator,
    check_discriminator,
    discriminator_kind,
    load_discriminator,
    register_discriminator,
    registry,
    save_discriminator,
)
from seqgan_env.tokens import SequenceSpec
from seqgan_env.weights import digest
from tests.support.discriminators import SMALL, SPEC, sequences, small

FORM = {"max_length": 6, "eos_id": None, "vocabulary": None}


@dataclass(frozen=True)
class MeanTokenConfig:
    """The settings of ``MeanToken``."""

    scale: float = 1.0


class MeanToken(Discriminator):
    """A discriminator of a user: what it weighs is the mean token."""

    Config = MeanTokenConfig

    def __init__(self, spec: SequenceSpec, config: MeanTokenConfig | None = None) -> None:
        super().__init__(spec, config)
        self.weight = torch.nn.Parameter(self.config.scale * torch.randn(()))

    @classmethod
    def check(cls, spec: SequenceSpec, config: MeanTokenConfig) -> None:
        if spec.max_length > 100:
            raise ValueError("MeanToken is for short sequences")

    def forward(self, tokens_BT: Tensor, rng: torch.Generator | None = None) -> Tensor:
        is_token_BT = self.spec.is_token(tokens_BT)
        return self.weight * (tokens_BT * is_token_BT).sum(dim=1) / is_token_BT.sum(dim=1)


class TestBuild:
    def test_the_seed_decides_the_weights_and_nothing_else_does(self) -> None:
        state = torch.get_rng_state()
        first = small(seed=3).state_dict()
        assert torch.equal(torch.get_rng_state(), state)  # nor is the global generator touched
        torch.rand(5)
        again, other = small(seed=3).state_dict(), small(seed=4).state_dict()
        assert all(torch.equal(first[name], again[name]) for name in first)
        assert not torch.equal(first["output.weight"], other["output.weight"])
        assert not small().training

    @pytest.mark.parametrize("function", [build_discriminator, check_discriminator])
    @pytest.mark.parametrize(
        ("name", "kwargs", "message"),
        [
            ("rnn", {}, r"discriminator must be one of causal, cnn, .*tabular.* or a file; got 'rnn'"),
            (".", {}, r"discriminator must be one of causal, cnn, .*tabular.* or a file; got '.'"),
            ("cnn", {"width": 3, "depth": 2}, "discriminator 'cnn' takes embedding_dim, .*; got depth, width"),
            ("cnn", {"spec": SPEC}, "discriminator 'cnn' takes embedding_dim, .*; got spec"),
            (
                "cnn",
                {"filters": 3},
                r"filters must be a list \(each \(a whole number of at least 1, a whole .* 1\)\), got 3",
            ),
            ("cnn", {"filters": [[2.5, 3]]}, r"filters\[0\]\[0\] must be a whole number of at least 1, got 2.5"),
            ("cnn", {"embedding_dim": "64"}, "embedding_dim must be a whole number of at least 1, got '64'"),
            ("cnn", {"dropout": 2}, "dropout must be a finite number in"),
        ],
    )
    def test_it_refuses(self, function: Any, name: str, kwargs: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            function(name, SPEC, kwargs=kwargs)


class TestFiles:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = tmp_path / "discriminator.safetensors"
        save_discriminator(small(seed=2, dropout=0.1), path)
        return path

    def test_a_round_trip(self, path: Path, tmp_path: Path) -> None:
        before = torch.get_rng_state()
        original, loaded = small(seed=2, dropout=0.1), load_discriminator(path)
        assert torch.equal(torch.get_rng_state(), before)
        assert loaded.spec == SPEC
        assert isinstance(loaded, CNNDiscriminator)
        assert loaded.dropout == 0.1
        assert not loaded.training
        state = loaded.state_dict()
        assert all(torch.equal(tensor, state[name]) for name, tensor in original.state_dict().items())
        np.testing.assert_array_equal(loaded.logits(sequences(5)), original.logits(sequences(5)))
        save_discriminator(loaded, tmp_path / "again")
        with safe_open(tmp_path / "again", framework="pt") as again, safe_open(path, framework="pt") as first:
            assert again.metadata() == first.metadata()  # the digest of the weights is among it

    def test_only_what_can_be_rebuilt_is_saved(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="only a registered discriminator can be saved, got MeanToken"):
            save_discriminator(MeanToken(SPEC), tmp_path / "x")
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("content", [b"", b"{}", b"\xff" * 40, b"a discriminator", b"PK\x03\x04" + bytes(60)])
    def test_a_foreign_file_is_refused(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"{path} is not a readable discriminator file"):
            load_discriminator(path)
        with pytest.raises(ValueError, match=f"{path} is not a readable discriminator file"):
            build_discriminator(str(path), SPEC)

    def test_a_missing_file_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="nowhere is not a readable discriminator file"):
            load_discriminator(tmp_path / "nowhere")

    @settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_a_truncated_file_is_refused(self, path: Path, tmp_path: Path, data: st.DataObject) -> None:
        content = path.read_bytes()
        part = tmp_path / "part"
        part.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
        with pytest.raises(ValueError, match="is not a readable discriminator file"):
            load_discriminator(part)

    @settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_a_damaged_file_is_refused_or_the_same(self, path: Path, tmp_path: Path, data: st.DataObject) -> None:
        """A bit of the header may say nothing, such as a space; no flipped bit becomes another weight."""
        content = bytearray(path.read_bytes())
        header = 8 + int.from_bytes(content[:8], "little")
        at = data.draw(st.one_of(st.integers(0, header - 1), st.integers(0, len(content) - 1)))
        content[at] ^= data.draw(st.integers(1, 255))
        damaged = tmp_path / "damaged"
        damaged.write_bytes(bytes(content))
        try:
            loaded = load_discriminator(damaged)
        except ValueError as error:
            assert str(error).startswith(f"{damaged} is not a readable discriminator file: ")  # noqa: PT017 - or no error
            return
        expected = small(seed=2, dropout=0.1)
        assert loaded.config == expected.config
        assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in expected.state_dict().items())

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (None, "its metadata has unknown or missing fields, .*: recipe"),
            ([], "the recipe must have name, kwargs, spec; got"),
            ({"kwargs": {}}, r"must have the names of the network's own; missing or unknown: convolutions\.3\.bias"),
            ({"kwargs": {**SMALL, "layers": 9}}, "takes embedding_dim"),
            ({"kwargs": None}, "kwargs must be a mapping from names, got None"),
            ({"name": "rnn"}, "'rnn'"),
            (
                {"spec": {**FORM, "vocab_size": 6}},
                r"must have shape \(7, 4\), got \(6, 4\)",
            ),
            (
                {"spec": {**FORM, "vocab_size": 2**24}},
                r"a file of \d+ bytes cannot be of Seq",
            ),
            ({"spec": {**FORM, "vocab_size": 10**15}}, "vocab_size must be at most 16777216"),
            ({"spec": {**FORM, "vocab_size": 0}}, "vocab_size must be"),
            ({"spec": {"vocab_size": 5}}, "max_length"),
        ],
    )
    def test_a_file_with_another_recipe_is_refused(self, path: Path, change: Any, message: str) -> None:
        discriminator = small()
        recipe = (
            {"name": "cnn", "kwargs": SMALL, "spec": asdict(SPEC), **change} if isinstance(change, dict) else change
        )
        metadata = {} if recipe is None else {"recipe": json.dumps(recipe)}
        weights = discriminator.state_dict()
        save_file(weights, path, metadata={**metadata, "sha256": digest(weights, metadata.get("recipe", ""))})
        with pytest.raises(ValueError, match=f"is not a readable discriminator file: .*{message}"):
            load_discriminator(path)

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"name": "my_own"}, "one of .*; got 'my_own' .*--import"),
            ({"kwargs": {"embedding_dim": 0}}, "embedding_dim"),
        ],
    )
    def test_whoever_reads_the_recipe_alone_refuses_it_likewise(self, path: Path, change: Any, says: str) -> None:
        recipe = json.dumps({"name": "cnn", "kwargs": SMALL, "spec": asdict(SPEC), **change})
        weights = small().state_dict()
        save_file(weights, path, metadata={"recipe": recipe, "sha256": digest(weights, recipe)})
        for read in (
            lambda: discriminator_kind(str(path)),
            lambda: check_discriminator(str(path), SPEC),
            lambda: gym.make("SeqGANTiny-v0", discriminator=str(path)),
        ):
            with pytest.raises(ValueError, match=f"^{path} is not a readable discriminator file: .*{says}"):
                read()

    @pytest.mark.parametrize(
        "settings",
        [
            {"filters": [[1, 30_000]]},
            {"filters": [[1, 1]] * 20_000},
            {"embedding_dim": 2**40},
            {"kind": "transformer", "n_members": 10**9},
            {"kind": "transformer", "n_members": 1, "kwargs": {"n_layers": 10**9}},
            {"hidden_dim": 2**20},
        ],
        ids=["filters", "pairs", "embedding", "members", "layers", "hidden"],
    )
    def test_settings_of_a_network_larger_than_the_file_build_nothing(
        self, path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        name = "ensemble" if "kind" in settings else "gru" if "hidden_dim" in settings else "cnn"
        recipe = json.dumps({"name": name, "kwargs": settings, "spec": asdict(SPEC)})
        weights = small().state_dict()
        save_file(weights, path, metadata={"recipe": recipe, "sha256": digest(weights, recipe)})
        monkeypatch.setattr(torch.nn.init, "uniform_", lambda tensor, *_, **__: tensor.is_meta or pytest.fail("built"))
        with pytest.raises(ValueError, match=r"is not a readable discriminator file: .*(must have|more weights than)"):
            load_discriminator(path)

    def test_writing_is_all_or_nothing(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        before = path.read_bytes()

        def fail(*_: Any) -> None:
            raise OSError("full")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fail)
            with pytest.raises(OSError, match="full"):
                save_discriminator(small(seed=3), path)
        assert path.read_bytes() == before
        assert list(path.parent.iterdir()) == [path]

    def test_a_file_cannot_send_the_reader_to_another(self, path: Path, tmp_path: Path) -> None:
        save_file(small().state_dict(), tmp_path / "link", metadata={"recipe": json.dumps({"name": str(path)})})
        with pytest.raises(ValueError, match="link is not a readable discriminator file"):
            load_discriminator(tmp_path / "link")

    def test_weights_that_are_no_numbers_are_refused(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        discriminator = small()
        with torch.no_grad():
            discriminator.output.bias.fill_(float("nan"))
        monkeypatch.setattr(registry, "check_weights", lambda *arguments: None)
        save_discriminator(discriminator, path)
        with pytest.raises(ValueError, match=r"is not a readable discriminator file: output.bias must be finite"):
            load_discriminator(path)


class TestRegister:
    @pytest.fixture
    def registered(self) -> Iterator[None]:
        register_discriminator("mean_token", MeanToken, summary="The mean token.", source="a test")
        yield
        DISCRIMINATORS.unregister("mean_token")

    @pytest.mark.usefixtures("registered")
    def test_a_discriminator_of_a_user_is_made_by_name(self) -> None:
        arguments: dict[str, Any] = {"vocab_size": 3, "max_length": 4, "reward": "log_ratio", "discriminator_seed": 7}
        env = gym.make("SeqGAN-v0", discriminator="mean_token", discriminator_kwargs={"scale": 2.0}, **arguments)
        task = env.get_wrapper_attr("task")
        (weight,) = build_discriminator("mean_token", task.spec, seed=7, kwargs={"scale": 2.0}).state_dict().values()
        assert weight.abs() > 0.01
        assert task.scoring.score([[0, 1, 2, 2]])[0] == pytest.approx(weight.item() * 5 / 4)

    @pytest.mark.usefixtures("registered")
    def test_its_settings_are_checked_like_those_of_any_other(self) -> None:
        with pytest.raises(ValueError, match="discriminator 'mean_token' takes scale; got width"):
            check_discriminator("mean_token", SPEC, {"width": 3})
        with pytest.raises(ValueError, match="MeanToken is for short sequences"):
            check_discriminator("mean_token", SequenceSpec(3, 101))

    @pytest.mark.usefixtures("registered")
    def test_it_goes_through_a_file(self, tmp_path: Path) -> None:
        original = build_discriminator("mean_token", SPEC, seed=3, kwargs={"scale": 2.0})
        save_discriminator(original, tmp_path / "own")
        loaded = load_discriminator(tmp_path / "own")
        assert isinstance(loaded, MeanToken)
        assert (loaded.spec, loaded.config) == (SPEC, MeanTokenConfig(2.0))
        np.testing.assert_array_equal(loaded.logits(sequences(9)), original.logits(sequences(9)))

    def test_one_that_was_not_made_by_name_is_saved_too(self, tmp_path: Path) -> None:
        original = CNNDiscriminator(SPEC)
        save_discriminator(original, tmp_path / "cnn")
        loaded = load_discriminator(tmp_path / "cnn")
        assert loaded.config == original.config
        np.testing.assert_array_equal(loaded.logits(sequences(9)), original.logits(sequences(9)))

    @pytest.mark.parametrize(
        ("name", "kind", "summary", "message"),
        [
            ("cnn", MeanToken, "The mean token.", "a discriminator named 'cnn' is registered already"),
            ("mean token", MeanToken, "The mean token.", "the name of a discriminator must be an identifier"),
            ("mean_token", torch.nn.Linear, "A layer.", "must be a subclass of Discriminator, got .*Linear"),
            ("mean_token", small(), "An object.", "must be a subclass of Discriminator, got CNNDiscriminator"),
            ("mean_token", MeanToken, " ", "discriminator 'mean_token' must declare summary and source"),
        ],
    )
    def test_what_is_no_discriminator_is_not_registered(self, name: str, kind: Any, summary: str, message: str) -> None:
        before = dict(DISCRIMINATORS)
        with pytest.raises(ValueError, match=message):
            register_discriminator(name, kind, summary=summary, source="a test")
        assert dict(DISCRIMINATORS) == before
