"""The CNN against a plain form, training against its objective, files, and the optimum that nothing beats."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from scipy import stats
from torch import Tensor

from seqgan_env.discriminators import (
    PAPER_FILTERS,
    CNNDiscriminator,
    Discriminator,
    DiscriminatorTrainer,
    OptimalDiscriminator,
    build_discriminator,
    check_discriminator,
    discriminator_loss,
    discriminator_scores,
    load_discriminator,
    save_discriminator,
)
from seqgan_env.discriminators.cnn import dropout
from seqgan_env.sources import LSTMOracle
from seqgan_env.tokens import SequenceSpec, Tokens
from tests.reference import all_sequences
from tests.reference_env import cnn_logit, log_loss

SPEC = SequenceSpec(5, 6, eos_id=0)
SMALL: dict[str, Any] = {"embedding_dim": 4, "filters": [[1, 2], [3, 4], [6, 3]]}


def small(seed: int = 0, **kwargs: Any) -> CNNDiscriminator:
    built = build_discriminator("cnn", SPEC, seed=seed, kwargs={**SMALL, **kwargs})
    assert isinstance(built, CNNDiscriminator)
    return built


def sequences(n: int, seed: int = 0) -> Tokens:
    """Sequences of all lengths from 1 to T."""
    tokens_BT = np.random.default_rng(seed).integers(0, 5, (n, 6))
    has_ended_BT = np.cumsum(tokens_BT == 0, axis=1) > 0
    tokens_BT[:, 1:][has_ended_BT[:, :-1]] = SPEC.pad_id
    return SPEC.validate(tokens_BT, complete=True)


class TestCNN:
    def test_the_paper_s_table(self) -> None:
        """arXiv 1609.05473, appendix A: 1,720 filters for T = 20."""
        discriminator = CNNDiscriminator(SequenceSpec(50, 20))
        shapes = [tuple(p.shape) for name, p in discriminator.convolutions.named_parameters() if "weight" in name]
        assert shapes == [(count, 64, width) for width, count in PAPER_FILTERS]
        assert [count for width, count in PAPER_FILTERS] == [100] + [200] * 4 + [100] * 5 + [160] * 2
        assert [width for width, count in PAPER_FILTERS] == [*range(1, 11), 15, 20]
        assert discriminator.output.in_features == 1720

    @pytest.mark.parametrize(("max_length", "n_filters"), [(1, 100), (4, 700), (10, 1400), (19, 1560), (20, 1720)])
    def test_widths_above_t_are_left_out(self, max_length: int, n_filters: int) -> None:
        assert CNNDiscriminator(SequenceSpec(50, max_length)).output.in_features == n_filters

    def test_it_is_its_definition(self) -> None:
        discriminator = small()
        tokens_BT = sequences(20)
        weights = {name: tensor.numpy() for name, tensor in discriminator.state_dict().items()}
        expected_B = [cnn_logit(weights, row) for row in tokens_BT.tolist()]
        assert np.std(expected_B) > 0.01
        np.testing.assert_allclose(discriminator.logits(tokens_BT), expected_B, rtol=1e-5)

    def test_gate_and_transform_have_parameters_of_their_own(self) -> None:
        discriminator = small()
        tokens_BT = sequences(20)
        logits_B = discriminator.logits(tokens_BT)
        for name, other_name in (("gate", "transform"), ("transform", "gate")):
            changed = copy.deepcopy(discriminator)
            own, other = changed.get_submodule(name), changed.get_submodule(other_name)
            before = [p.clone() for p in other.parameters()]
            with torch.no_grad():
                for p in own.parameters():
                    p.add_(1.0)
            assert all(map(torch.equal, other.parameters(), before))
            assert (changed.logits(tokens_BT) != logits_B).any()

    @pytest.mark.parametrize(
        ("kwargs", "message"),
        [
            ({"embedding_dim": 0}, "embedding_dim and filters must be at least 1, got 0"),
            ({"filters": [[0, 4]]}, "embedding_dim and filters must be at least 1, got"),
            ({"filters": [[2, 0]]}, "embedding_dim and filters must be at least 1, got"),
            ({"filters": [[7, 4]]}, "filters must hold a width of at most T = 6"),
            ({"filters": []}, "filters must hold a width of at most T = 6"),
            ({"dropout": 1.0}, r"dropout must be in \[0, 1\) and l2 at least 0, got 1.0"),
            ({"dropout": -0.1}, r"dropout must be in \[0, 1\)"),
            ({"dropout": float("nan")}, r"dropout must be in \[0, 1\)"),
            ({"l2": -1.0}, r"dropout must be in \[0, 1\) and l2 at least 0"),
            ({"l2": float("nan")}, r"dropout must be in \[0, 1\) and l2 at least 0"),
        ],
    )
    def test_it_refuses(self, kwargs: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            CNNDiscriminator(SPEC, **kwargs)

    def test_the_penalty_is_half_the_squared_norm_of_the_output_layer(self) -> None:
        discriminator = small(l2=0.3)
        squares = sum(x**2 for p in discriminator.output.parameters() for x in p.flatten().tolist())
        assert discriminator.penalty().item() == pytest.approx(0.3 / 2 * squares)
        assert small(l2=0.0).penalty().item() == 0
        discriminator.penalty().backward()
        touched = {name for name, p in discriminator.named_parameters() if p.grad is not None}
        assert touched == {"output.weight", "output.bias"}

    def test_padding_says_nothing_and_never_learns_to(self) -> None:
        discriminator = small()
        assert (discriminator.embedding.weight[SPEC.pad_id] == 0).all()
        before = discriminator.embedding.weight.clone()
        DiscriminatorTrainer(discriminator, 0.1).fit(sequences(64), sequences(64, seed=1), n_epochs=3)
        assert (discriminator.embedding.weight[SPEC.pad_id] == 0).all()
        assert (discriminator.embedding.weight[: SPEC.vocab_size] != before[: SPEC.vocab_size]).any(dim=1).all()


class TestLogits:
    @pytest.mark.parametrize("name", ["fixed length", "variable length"])
    def test_the_tables_of_frozen_convolutions_score_as_forward_does(self, name: str) -> None:
        """``scorer`` for many sequences is another sum of the same terms; for few it is ``forward`` itself."""
        spec = SequenceSpec(9, 6, eos_id=None if name == "fixed length" else 0)
        network = build_discriminator("cnn", spec, seed=3, kwargs={"filters": [[1, 5], [2, 4], [4, 3], [6, 2]]})
        rng = np.random.default_rng(0)
        tokens_BT = rng.integers(0, 9, size=(50, 6))
        if spec.eos_id is not None:
            ended_BT = np.cumsum(tokens_BT == 0, axis=1) - (tokens_BT == 0) > 0
            tokens_BT[ended_BT] = spec.pad_id
        assert network.scorer(1) is network
        tables = network.scorer(50)
        assert tables is not network
        with torch.no_grad():
            batch = torch.from_numpy(tokens_BT)
            torch.testing.assert_close(tables(batch), network(batch), rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("batch_size", [1, 3, 100])
    def test_the_batch_size_changes_nothing_but_the_last_bits(self, batch_size: int) -> None:
        tokens_BT = sequences(20)
        np.testing.assert_allclose(small().logits(tokens_BT, batch_size), small().logits(tokens_BT), rtol=1e-5)

    def test_there_is_no_dropout_and_the_mode_is_left_as_it_was(self) -> None:
        tokens_BT = sequences(20)
        discriminator = small(dropout=0.5)
        expected_B = discriminator.logits(tokens_BT)
        for mode in (True, False):
            discriminator.train(mode)
            np.testing.assert_array_equal(discriminator.logits(tokens_BT), expected_B)
            assert discriminator.training is mode

    def test_nothing_to_score(self) -> None:
        logits_B = small().logits(sequences(0))
        assert logits_B.shape == (0,)
        assert logits_B.dtype == np.float64
        with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
            small().logits(sequences(1), batch_size=0)

    def test_a_tensor_is_as_good_as_an_array(self) -> None:
        tokens_BT = sequences(5)
        np.testing.assert_array_equal(small().logits(torch.from_numpy(tokens_BT)), small().logits(tokens_BT))


class TestMediumPrecision:
    @pytest.fixture(autouse=True)
    def _restored(self) -> Iterator[None]:
        before = torch.get_float32_matmul_precision()
        yield
        torch.set_float32_matmul_precision(before)

    def test_scores_are_nearly_those_of_single_precision(self) -> None:
        discriminator = CNNDiscriminator(SequenceSpec(50, 20))
        tokens_BT = torch.randint(0, 50, (300, 20), generator=torch.Generator().manual_seed(0))
        logits = {}
        for precision in ("highest", "high", "medium"):
            torch.set_float32_matmul_precision(precision)
            logits[precision] = discriminator.logits(tokens_BT)
            np.testing.assert_allclose(discriminator.exact_logits(tokens_BT), logits["highest"], atol=1e-5)
        assert (logits["high"] == logits["highest"]).all()  # a CPU has nothing in between
        error_B = logits["medium"] - logits["highest"]
        assert 1e-5 < np.abs(error_B).max() < 0.02
        assert np.abs(error_B).mean() < 0.02 * logits["highest"].std()

    def test_training_is_in_single_precision(self) -> None:
        real_BT, generated_BT = torch.from_numpy(sequences(32)), torch.from_numpy(sequences(32, seed=1))
        losses = []
        for precision in ("highest", "medium"):
            torch.set_float32_matmul_precision(precision)
            losses.append(DiscriminatorTrainer(small(), 1e-2).update(real_BT, generated_BT))
        assert losses[0] == losses[1]


class TestDropout:
    def test_it_keeps_three_in_four_and_the_mean(self) -> None:
        """A right implementation fails for one seed in a thousand."""
        x = torch.full((400, 250), 3.0)
        dropped = dropout(x, 0.25, torch.Generator().manual_seed(0))
        kept = dropped != 0
        torch.testing.assert_close(dropped[kept], (x / 0.75)[kept])
        assert stats.binomtest(int(kept.sum()), kept.numel(), 0.75).pvalue > 1e-3

    def test_the_generator_decides_it(self) -> None:
        discriminator = small(dropout=0.5).train()
        tokens_BT = torch.from_numpy(sequences(20))

        def logits(seed: int) -> Tensor:
            logit_real_B: Tensor = discriminator(tokens_BT, torch.Generator().manual_seed(seed))
            return logit_real_B.detach()

        before = torch.get_rng_state()
        assert torch.equal(logits(0), logits(0))
        assert not torch.equal(logits(0), logits(1))
        assert torch.equal(torch.get_rng_state(), before)


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
            ("rnn", {}, "discriminator must be one of cnn, tabular or a file; got 'rnn'"),
            (".", {}, "discriminator must be one of cnn, tabular or a file; got '.'"),
            ("cnn", {"width": 3, "depth": 2}, "discriminator 'cnn' takes embedding_dim, .*; got depth, width"),
            ("cnn", {"spec": SPEC}, "discriminator 'cnn' takes embedding_dim, .*; got spec"),
            ("cnn", {"filters": 3}, "discriminator_kwargs {'filters': 3} of 'cnn': "),
            ("cnn", {"filters": [[2.5, 3]]}, "discriminator_kwargs .* of 'cnn': "),
            ("cnn", {"embedding_dim": "64"}, "discriminator_kwargs .* of 'cnn': "),
            ("cnn", {"dropout": 2}, "dropout must be in"),
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
        assert (tmp_path / "again").read_bytes() == path.read_bytes()

    def test_only_what_can_be_rebuilt_is_saved(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="only a discriminator made by build_discriminator"):
            save_discriminator(CNNDiscriminator(SPEC), tmp_path / "x")
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("content", [b"", b"{}", b"\xff" * 40, b"a discriminator", b"PK\x03\x04" + bytes(60)])
    def test_a_foreign_file_is_refused(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"{path} is not a discriminator file"):
            load_discriminator(path)
        with pytest.raises(ValueError, match=f"{path} is not a discriminator file"):
            build_discriminator(str(path), SPEC)

    def test_a_missing_file_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="nowhere is not a discriminator file"):
            load_discriminator(tmp_path / "nowhere")

    @settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_a_truncated_file_is_refused(self, path: Path, tmp_path: Path, data: st.DataObject) -> None:
        content = path.read_bytes()
        part = tmp_path / "part"
        part.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
        with pytest.raises(ValueError, match="is not a discriminator file"):
            load_discriminator(part)

    @settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_a_damaged_file_is_refused_or_is_a_discriminator(
        self, path: Path, tmp_path: Path, data: st.DataObject
    ) -> None:
        """The format has no checksum, so a flipped bit of a weight is another weight; but there is no other error."""
        content = bytearray(path.read_bytes())
        header = 8 + int.from_bytes(content[:8], "little")
        at = data.draw(st.one_of(st.integers(0, header - 1), st.integers(0, len(content) - 1)))
        content[at] ^= data.draw(st.integers(1, 255))
        damaged = tmp_path / "damaged"
        damaged.write_bytes(bytes(content))
        try:
            assert np.isfinite(load_discriminator(damaged).logits(sequences(3))).all()
        except ValueError as error:
            assert str(error).startswith(f"{damaged} is not a discriminator file: ")  # noqa: PT017 - or no error

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (None, "'recipe'"),
            ([], "indices"),
            ({"kwargs": {}}, r"must have the names of the network's own; missing or unknown: convolutions\.3\.bias"),
            ({"kwargs": {**SMALL, "layers": 9}}, "takes embedding_dim"),
            ({"kwargs": None}, "NoneType"),
            ({"name": "rnn"}, "'rnn'"),
            ({"spec": {"vocab_size": 6, "max_length": 6}}, r"embedding.weight must have shape \(7, 4\), got \(6, 4\)"),
            ({"spec": {"vocab_size": 10**15, "max_length": 6}}, "memory"),
            ({"spec": {"vocab_size": 0, "max_length": 6}}, "vocab_size must be"),
            ({"spec": {"vocab_size": 5}}, "max_length"),
        ],
    )
    def test_a_file_with_another_recipe_is_refused(self, path: Path, change: Any, message: str) -> None:
        discriminator = small()
        recipe = {**discriminator.recipe, **change} if isinstance(change, dict) else change
        metadata = {} if recipe is None else {"recipe": json.dumps(recipe)}
        save_file(discriminator.state_dict(), path, metadata=metadata)
        with pytest.raises(ValueError, match=f"is not a discriminator file: .*{message}"):
            load_discriminator(path)

    def test_a_file_cannot_send_the_reader_to_another(self, path: Path, tmp_path: Path) -> None:
        save_file(small().state_dict(), tmp_path / "link", metadata={"recipe": json.dumps({"name": str(path)})})
        with pytest.raises(ValueError, match="link is not a discriminator file"):
            load_discriminator(tmp_path / "link")

    def test_weights_that_are_no_numbers_are_refused(self, path: Path) -> None:
        discriminator = small()
        with torch.no_grad():
            discriminator.output.bias.fill_(float("nan"))
        save_discriminator(discriminator, path)
        with pytest.raises(ValueError, match=r"is not a discriminator file: output.bias must be finite"):
            load_discriminator(path)


class TestLoss:
    @pytest.mark.theory
    @given(
        real=st.lists(st.floats(-15, 15), min_size=1, max_size=6),
        generated=st.lists(st.floats(-15, 15), min_size=1, max_size=6),
    )
    def test_it_is_half_of_minus_eq_13_32_and_so_is_its_gradient(
        self, real: list[float], generated: list[float]
    ) -> None:
        logit_real_B = torch.tensor(real, dtype=torch.float64, requires_grad=True)
        logit_generated_B = torch.tensor(generated, dtype=torch.float64, requires_grad=True)
        loss = discriminator_loss(logit_real_B, logit_generated_B)
        assert loss.item() == pytest.approx(log_loss(real, generated), rel=1e-6)
        loss.backward()
        # d/dx of -log D is D - 1, of -log(1 - D) it is D
        d_real, d_generated = torch.sigmoid(logit_real_B.detach()), torch.sigmoid(logit_generated_B.detach())
        torch.testing.assert_close(logit_real_B.grad, 0.5 * (d_real - 1) / len(real))
        torch.testing.assert_close(logit_generated_B.grad, 0.5 * d_generated / len(generated))

    def test_knowing_nothing_costs_log_2(self) -> None:
        assert float(discriminator_loss(torch.zeros(3), torch.zeros(5))) == pytest.approx(math.log(2))

    def test_it_stays_finite(self) -> None:
        far = torch.tensor([1e4, -1e4])
        assert float(discriminator_loss(far, far)) == pytest.approx(5e3)

    @given(
        real=st.lists(st.integers(-3, 3), min_size=1, max_size=6),
        generated=st.lists(st.integers(-3, 3), min_size=1, max_size=6),
    )
    def test_scores_are_counted_one_by_one(self, real: list[int], generated: list[int]) -> None:
        def right(logit_for: int) -> float:
            return 0.5 if logit_for == 0 else float(logit_for > 0)

        accuracy = 0.5 * sum(map(right, real)) / len(real)
        accuracy += 0.5 * sum(right(-logit) for logit in generated) / len(generated)
        scores = discriminator_scores(np.array(real, dtype=float), np.array(generated, dtype=float))
        assert scores == pytest.approx({"accuracy": accuracy, "log_loss": log_loss(real, generated)})
        assert all(type(value) is float for value in scores.values())


class TestTraining:
    def test_an_update_reports_the_loss_before_it_and_goes_down_the_gradient(self) -> None:
        real_BT, generated_BT = torch.from_numpy(sequences(32)), torch.from_numpy(sequences(32, seed=1))
        discriminator = small(dropout=0.0)
        before = discriminator_scores(discriminator.logits(real_BT), discriminator.logits(generated_BT))["log_loss"]
        assert DiscriminatorTrainer(discriminator, 1e-3).update(real_BT, generated_BT) == pytest.approx(before)
        after = discriminator_scores(discriminator.logits(real_BT), discriminator.logits(generated_BT))["log_loss"]
        assert after < before
        assert not discriminator.training

    def test_the_penalty_is_trained_on_but_not_reported(self) -> None:
        real_BT = torch.from_numpy(sequences(32))
        losses, norms = [], []
        for l2 in (0.0, 50.0):
            discriminator = small(dropout=0.0, l2=l2)
            losses.append(DiscriminatorTrainer(discriminator, 1e-2).update(real_BT, real_BT))
            norms.append(discriminator.output.weight.norm().item())
        assert losses[0] == losses[1]
        assert norms[1] < norms[0]

    def test_the_gradient_is_clipped(self) -> None:
        discriminator = small()
        trainer = DiscriminatorTrainer(discriminator, max_grad_norm=1e-3)
        trainer.update(torch.from_numpy(sequences(32)), torch.from_numpy(sequences(32, seed=1)))
        norm = torch.stack([p.grad.norm() for p in discriminator.parameters() if p.grad is not None]).norm()
        assert float(norm) == pytest.approx(1e-3, rel=1e-3)

    def test_an_epoch_sees_each_generated_sequence_once_beside_as_many_real_ones(self) -> None:
        seen: list[tuple[Tensor, Tensor]] = []

        class Recording(DiscriminatorTrainer):
            def update(self, real_BT: Tensor, generated_BT: Tensor) -> Tensor:
                seen.append((real_BT, generated_BT))
                return super().update(real_BT, generated_BT)

        numbered = np.array([[1 + i // 64 % 4, 1 + i // 16 % 4, 1 + i // 4 % 4, 1 + i % 4, 1, 1] for i in range(50)])
        n_calls: list[None] = []
        trainer = Recording(small())
        trainer.fit(sequences(7), numbered, n_epochs=2, batch_size=16, on_update=lambda: n_calls.append(None))
        assert [len(generated) for _, generated in seen] == [16, 16, 16, 2] * 2
        assert [len(real) for real, _ in seen] == [16, 16, 16, 2] * 2
        assert len(n_calls) == trainer.n_updates == 8
        epochs = [torch.cat([generated for _, generated in seen[i : i + 4]]).tolist() for i in (0, 4)]
        assert sorted(epochs[0]) == sorted(epochs[1]) == numbered.tolist()
        assert epochs[0] != epochs[1] != numbered.tolist()

    def test_the_same_seed_gives_the_same_weights_bit_for_bit(self) -> None:
        def trained(seed: int) -> dict[str, Tensor]:
            trainer = DiscriminatorTrainer(small(dropout=0.5), 1e-2, seed=seed)
            torch.rand(3)  # what others draw makes no difference
            trainer.fit(sequences(40), sequences(50, seed=1), n_epochs=2, batch_size=16)
            return trainer.discriminator.state_dict()

        first, again, other = trained(0), trained(0), trained(1)
        assert all(torch.equal(first[name], again[name]) for name in first)
        assert not torch.equal(first["output.weight"], other["output.weight"])

    def test_resuming_equals_going_on(self) -> None:
        data = sequences(40), sequences(50, seed=1)
        whole = DiscriminatorTrainer(small(dropout=0.5), 1e-2, seed=3)
        losses = [whole.fit(*data, batch_size=16) for _ in range(3)]
        part = DiscriminatorTrainer(small(dropout=0.5), 1e-2, seed=3)
        assert part.fit(*data, batch_size=16) == losses[0]
        state = copy.deepcopy(part.state_dict())
        part.fit(*data, batch_size=16)  # what happens to the interrupted one afterwards doesn't matter
        resumed = DiscriminatorTrainer(small(seed=9, dropout=0.5), 1e-2, seed=3)
        resumed.load_state_dict(state)
        assert [resumed.fit(*data, batch_size=16) for _ in range(2)] == losses[1:]
        assert resumed.n_updates == whole.n_updates
        expected, weights = whole.discriminator.state_dict(), resumed.discriminator.state_dict()
        assert all(torch.equal(expected[name], weights[name]) for name in expected)

    @pytest.mark.parametrize(
        ("n_real", "n_generated", "kwargs", "message"),
        [
            (0, 3, {}, "real and generated must hold sequences, got 0 and 3"),
            (3, 0, {}, "real and generated must hold sequences, got 3 and 0"),
            (3, 3, {"n_epochs": 0}, "n_epochs and batch_size must be at least 1, got 0 and 64"),
            (3, 3, {"batch_size": 0}, "n_epochs and batch_size must be at least 1, got 1 and 0"),
        ],
    )
    def test_it_refuses(self, n_real: int, n_generated: int, kwargs: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            DiscriminatorTrainer(small()).fit(sequences(n_real), sequences(n_generated), **kwargs)

    def test_it_learns_an_order_that_no_count_of_tokens_shows(self) -> None:
        """Real sequences count upwards, generated ones downwards; every token is as frequent in both.

        On 2,000 held-out sequences a discriminator that knows nothing has an accuracy of 0.5 with a standard deviation
        of 0.011: one of the three seeds passes 0.9 with a probability below 1e-200.
        """
        spec, rng = SequenceSpec(6, 5), np.random.default_rng(0)
        start_B1, steps_T = rng.integers(0, 6, (2400, 1)), np.arange(5)
        real_BT, generated_BT = (start_B1 + steps_T) % 6, (start_B1 - steps_T) % 6
        noise_BT = rng.random(real_BT.shape) < 0.05
        real_BT = np.where(noise_BT, rng.integers(0, 6, real_BT.shape), real_BT)
        generated_BT = np.where(noise_BT, rng.integers(0, 6, real_BT.shape), generated_BT)
        for seed in range(3):
            kwargs = {"embedding_dim": 8, "filters": [[1, 8], [2, 16]]}
            trainer = DiscriminatorTrainer(build_discriminator("cnn", spec, seed=seed, kwargs=kwargs), 1e-2, seed=seed)
            trainer.fit(real_BT[:1400], generated_BT[:1400], n_epochs=4, batch_size=64)
            assert trainer.evaluate(real_BT[1400:], generated_BT[1400:])["accuracy"] > 0.9


@pytest.mark.theory
class TestOptimum:
    """On a task that can be enumerated the expected log-loss is a sum over all sequences, without any sampling."""

    REAL, GENERATOR = LSTMOracle(3, 3, 2, 4, seed=0), LSTMOracle(3, 3, 2, 4, seed=1)

    def expected_log_loss(self, logit_real_B: Any) -> float:
        """Half the negative of eq. 13.32, exactly."""
        outcomes_BT = all_sequences(self.REAL.spec)
        p_B, g_B = np.exp(self.REAL.log_prob(outcomes_BT)), np.exp(self.GENERATOR.log_prob(outcomes_BT))
        return float(0.5 * (p_B @ np.logaddexp(0, -logit_real_B) + g_B @ np.logaddexp(0, logit_real_B)))

    def optimal(self) -> OptimalDiscriminator:
        return OptimalDiscriminator(self.REAL.spec, self.REAL.log_prob, self.GENERATOR.log_prob)

    def test_d_is_p_over_p_plus_g(self) -> None:
        outcomes_BT = all_sequences(self.REAL.spec)
        p_B, g_B = np.exp(self.REAL.log_prob(outcomes_BT)), np.exp(self.GENERATOR.log_prob(outcomes_BT))
        logit_B = self.optimal().logits(outcomes_BT)
        np.testing.assert_allclose(logit_B, self.REAL.log_prob(outcomes_BT) - self.GENERATOR.log_prob(outcomes_BT))
        np.testing.assert_allclose(1 / (1 + np.exp(-logit_B)), p_B / (p_B + g_B))

    @given(st.lists(st.floats(-5, 5), min_size=27, max_size=27))
    def test_no_other_answer_has_a_lower_log_loss(self, change: list[float]) -> None:
        logit_B = self.optimal().logits(all_sequences(self.REAL.spec))
        least = self.expected_log_loss(logit_B)
        assert self.expected_log_loss(logit_B + np.array(change)) >= least - 1e-12
        assert least < math.log(2) - 0.05  # the two laws differ

    def test_no_cnn_beats_it_and_a_trained_one_comes_near(self) -> None:
        outcomes_BT, rng = all_sequences(self.REAL.spec), np.random.default_rng(0)
        least = self.expected_log_loss(self.optimal().logits(outcomes_BT))
        kwargs = {"embedding_dim": 8, "filters": [[1, 16], [2, 16], [3, 32]], "dropout": 0.0, "l2": 0.0}
        gaps = []
        for seed in range(3):
            discriminator = build_discriminator("cnn", self.REAL.spec, seed=seed, kwargs=kwargs)
            before = self.expected_log_loss(discriminator.logits(outcomes_BT)) - least
            trainer = DiscriminatorTrainer(discriminator, 1e-2, seed=seed)
            for _ in range(60):
                real_BT, generated_BT = (torch.from_numpy(law.sample(500, rng)) for law in (self.REAL, self.GENERATOR))
                trainer.update(real_BT, generated_BT)
            after = self.expected_log_loss(discriminator.logits(outcomes_BT)) - least
            gaps.append((before, after))
        for before, after in gaps:
            assert 0 < after < 0.01 < 0.05 < before

    def test_it_follows_a_generator_that_learns(self) -> None:
        laws = [self.GENERATOR, self.REAL]
        follower = OptimalDiscriminator(self.REAL.spec, self.REAL.log_prob, lambda tokens: laws[0].log_prob(tokens))
        outcomes_BT = all_sequences(self.REAL.spec)
        assert (follower.logits(outcomes_BT) != 0).all()
        laws.pop(0)
        np.testing.assert_array_equal(follower.logits(outcomes_BT), np.zeros(27))

    def test_it_has_nothing_to_train(self) -> None:
        assert not list(self.optimal().parameters())
        assert self.optimal().device == torch.device("cpu")
        assert float(self.optimal().penalty()) == 0


def test_a_subclass_must_say_how_it_scores() -> None:
    with pytest.raises(NotImplementedError, match="Discriminator must implement forward"):
        Discriminator(SPEC).logits(sequences(1))
