"""What every discriminator does: logits of batches, without dropout and without side effects."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from seqgan_env import SeqGANEnv
from seqgan_env.discriminators import (
    DISCRIMINATORS,
    Discriminator,
    DiscriminatorTrainer,
    build_discriminator,
    load_discriminator,
    save_discriminator,
)
from seqgan_env.enumeration import all_sequences, open_prefixes
from seqgan_env.tokens import SequenceSpec, Tokens
from tests.support.discriminators import SPEC, sequences, small


class TestLogits:
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


class Answers(Discriminator):
    """A user's own, of any answer."""

    def __init__(self, answer: Any) -> None:
        super().__init__(SPEC)
        self.weight, self.answer = torch.nn.Parameter(torch.zeros(())), answer

    def forward(self, tokens_BT: torch.Tensor, rng: torch.Generator | None = None) -> Any:
        return self.answer(self.weight * torch.ones(len(tokens_BT)))


@pytest.mark.parametrize(
    ("answer", "got"),
    [
        (lambda x: x[:, None], r"\(2, 1\) of torch\.float32"),
        (lambda x: x[1:], r"\(1,\) of"),
        (lambda x: x.sum(), r"\(\) of"),
        (lambda x: x.long(), r"\(2,\) of torch\.int64"),
        (lambda x: x.to(torch.complex64), r"\(2,\) of torch\.complex64"),
        (lambda x: None, "None"),
        (lambda x: x.detach().numpy(), r"array\(\[0\., 0\.\]"),
    ],
    ids=["a column", "too few", "a sum", "whole numbers", "complex", "nothing", "an array"],
)
def test_an_answer_that_is_no_logits_is_refused_whoever_asks(answer: Any, got: str) -> None:
    discriminator, tokens_BT = Answers(answer), sequences(2)
    message = rf"^forward of Answers must give floating-point logits of shape \(2,\), got {got}"
    for ask in (discriminator.logits, discriminator.exact_logits, discriminator.prefix_logits):
        with pytest.raises(ValueError, match=message):
            ask(tokens_BT)
    with pytest.raises(ValueError, match=message.replace("2,", "4,").split("got")[0]):
        DiscriminatorTrainer(discriminator).fit(tokens_BT, tokens_BT)


@pytest.mark.theory
@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("log_ratio", {"n_layers": 2}),
        ("log_ratio", {}),
        ("generative", {}),
        ("causal", {"n_layers": 3, "layer_norm": True}),
        ("causal", {}),
        *(("ensemble", {"kind": "causal", "combine": combine}) for combine in ("mean", "minimum", "pessimistic")),
    ],
)
def test_the_terms_of_every_token_are_those_that_it_would_have(name: str, kwargs: dict[str, Any]) -> None:
    """One token after the other in each place; at padding there are none."""
    discriminator = build_discriminator(name, SPEC, kwargs=kwargs).double().eval()
    rng = torch.Generator().manual_seed(0)
    for parameter in discriminator.parameters():
        parameter.data = torch.randn(parameter.shape, generator=rng, dtype=torch.float64)
    tokens_BT = torch.from_numpy(sequences(6))
    found_BTV = discriminator.all_token_logits(tokens_BT)
    for t in range(SPEC.max_length):
        open_B = SPEC.is_token(tokens_BT)[:, t]
        for token in range(SPEC.vocab_size):
            other_BT = tokens_BT[open_B].clone()
            other_BT[:, t], other_BT[:, t + 1 :] = token, SPEC.pad_id
            torch.testing.assert_close(found_BTV[open_B, t, token], discriminator.token_logits(other_BT)[:, t])
        assert (found_BTV[~open_B, t] == 0).all()


class Constant(Discriminator):
    """The same for each token."""

    def token_logits(self, tokens_BT: torch.Tensor, rng: torch.Generator | None = None) -> torch.Tensor:
        return self.spec.is_token(tokens_BT).float()


def test_that_a_logit_has_no_such_terms_is_said() -> None:
    tokens_BT = torch.from_numpy(sequences(1))
    with pytest.raises(ValueError, match="the logit of a CNNDiscriminator is no sum over tokens"):
        small().all_token_logits(tokens_BT)
    with pytest.raises(ValueError, match="the logit of a Constant has terms for the tokens of a sequence alone"):
        Constant(SPEC).all_token_logits(tokens_BT)
    for ask in ("token_logits", "all_token_logits"):
        with pytest.raises(ValueError, match="the logit of a CNNDiscriminator is no sum over tokens"):
            getattr(build_discriminator("ensemble", SPEC), ask)(tokens_BT)


def test_a_subclass_must_say_how_it_scores() -> None:
    with pytest.raises(NotImplementedError, match="Discriminator must implement forward"):
        Discriminator(SPEC).logits(sequences(1))


ENUMERABLE = SequenceSpec(4, 4, eos_id=0)


def data() -> tuple[Tokens, Tokens]:
    """Real and generated sequences that can be told apart."""
    rows_KT = all_sequences(ENUMERABLE)
    return rows_KT[np.random.default_rng(0).integers(len(rows_KT) // 2, size=64)], rows_KT[-64:]


def trained(name: str, **kwargs: Any) -> Discriminator:
    """One after some updates, since a kind may begin with the same answer for every sequence."""
    discriminator = build_discriminator(name, ENUMERABLE, kwargs=kwargs)
    discriminator.fit_real(data()[0], seed=0)
    DiscriminatorTrainer(discriminator, 0.01).fit(*data(), batch_size=16)
    return discriminator


@pytest.mark.parametrize("name", DISCRIMINATORS)
class TestEveryKind:
    """The interface, for every registered one with its defaults, on a task with end-of-sequence."""

    def test_a_sequence_s_logit_does_not_depend_on_the_batch(self, name: str) -> None:
        discriminator, rows_KT = trained(name), all_sequences(ENUMERABLE)
        together_K = discriminator.exact_logits(rows_KT)
        assert together_K.shape == (len(rows_KT),)
        assert together_K.std() > 1e-3
        alone_K = np.concatenate([discriminator.exact_logits(row_T[None]) for row_T in rows_KT])
        np.testing.assert_allclose(alone_K, together_K, rtol=0, atol=1e-12)

    @pytest.mark.theory
    def test_rows_are_scored_alike_to_the_last_bit_alone_and_together(self, name: str) -> None:
        discriminator, rows_KT = trained(name), np.concatenate([all_sequences(ENUMERABLE), open_prefixes(ENUMERABLE)])
        together_K = discriminator.row_logits(rows_KT).astype(np.float32)
        alone_K = np.concatenate([discriminator.row_logits(row_T[None]) for row_T in rows_KT]).astype(np.float32)
        np.testing.assert_array_equal(alone_K, together_K)
        np.testing.assert_allclose(together_K, discriminator.exact_logits(rows_KT), rtol=2e-6, atol=2e-6)
        assert discriminator.row_logits(rows_KT[:0]).shape == (0,)

    def test_rows_are_scored_with_the_weights_of_the_moment(self, name: str) -> None:
        discriminator, rows_KT = trained(name), all_sequences(ENUMERABLE)
        before_K = discriminator.row_logits(rows_KT)
        for parameter in discriminator.parameters():
            parameter.data.mul_(1.25)  # which torch's own count of changes doesn't see
        assert np.abs(discriminator.row_logits(rows_KT) - before_K).max() > 1e-3
        np.testing.assert_allclose(
            discriminator.row_logits(rows_KT), discriminator.exact_logits(rows_KT), rtol=2e-6, atol=2e-6
        )

    def test_fast_scores_are_exact_ones_rounded(self, name: str) -> None:
        discriminator, rows_KT = trained(name), all_sequences(ENUMERABLE)
        exact_K = discriminator.exact_logits(rows_KT)
        np.testing.assert_allclose(discriminator.logits(rows_KT), exact_K, atol=1e-5)
        np.testing.assert_allclose(discriminator.logits(rows_KT, batch_size=7), exact_K, atol=1e-5)

    def test_threads_may_share_it(self, name: str) -> None:
        """Scores in double precision read the weights alone: other threads' scores, fast or exact, are as ever."""
        discriminator, rows_KT = trained(name), all_sequences(ENUMERABLE)[:40]
        expected = discriminator.exact_logits(rows_KT), discriminator.logits(rows_KT)
        discriminator.load_weights({key: tensor.clone() for key, tensor in discriminator.state_dict().items()})

        def score(call: int) -> np.ndarray:
            return (discriminator.exact_logits, discriminator.logits)[call % 2](rows_KT)

        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            with ThreadPoolExecutor(4) as pool:
                scored = list(pool.map(score, range(80)))
        finally:
            sys.setswitchinterval(interval)
        for call, score_K in enumerate(scored):
            np.testing.assert_array_equal(score_K, expected[call % 2])
        assert {parameter.dtype for parameter in discriminator.parameters()} <= {torch.float32}

    def test_a_prefix_that_has_ended_is_a_sequence_and_any_other_is_finite(self, name: str) -> None:
        discriminator, rows_KT = trained(name), all_sequences(ENUMERABLE)
        np.testing.assert_allclose(
            discriminator.prefix_logits(rows_KT), discriminator.row_logits(rows_KT), rtol=0, atol=1e-12
        )
        prefix_ST = open_prefixes(ENUMERABLE)  # the empty one first
        assert np.isfinite(discriminator.prefix_logits(prefix_ST)).all()

    def test_training_lowers_the_loss_and_repeats_bit_for_bit(self, name: str) -> None:
        before = DiscriminatorTrainer(build_discriminator(name, ENUMERABLE)).evaluate(*data())["log_loss"]
        first = trained(name)
        assert DiscriminatorTrainer(first).evaluate(*data())["log_loss"] < before
        torch.rand(3)
        weights, again = first.state_dict(), trained(name).state_dict()
        assert all(torch.equal(weights[key], again[key]) for key in weights)
        assert all(parameter.isfinite().all() for parameter in first.parameters())

    def test_it_goes_through_a_file(self, name: str, tmp_path: Path) -> None:
        original = trained(name)
        save_discriminator(original, tmp_path / "file")
        loaded = load_discriminator(tmp_path / "file")
        assert type(loaded) is type(original)
        assert (loaded.spec, loaded.config) == (original.spec, original.config)
        rows_KT = all_sequences(ENUMERABLE)
        np.testing.assert_array_equal(loaded.logits(rows_KT), original.logits(rows_KT))

    def test_an_environment_is_made_with_it_by_name(self, name: str) -> None:
        env = gym.make("SeqGANTiny-v0", discriminator=name, discriminator_kwargs={}, discriminator_seed=5).unwrapped
        assert isinstance(env, SeqGANEnv)
        built = build_discriminator(name, env.task.spec, seed=5)
        env.reset(seed=0)
        paid = [env.step(np.int64(token % env.task.spec.vocab_size))[1] for token in range(env.task.spec.max_length)]
        sequence_1T = np.arange(env.task.spec.max_length)[None] % env.task.spec.vocab_size
        expected = torch.nn.functional.logsigmoid(torch.from_numpy(built.exact_logits(sequence_1T)))
        assert paid[-1] == pytest.approx(expected.item(), abs=1e-6)


WITH_DROPOUT = [name for name, entry in DISCRIMINATORS.items() if hasattr(entry.kind.Config(), "dropout")]


@pytest.mark.parametrize("name", WITH_DROPOUT)
def test_the_mode_decides_on_dropout_and_the_generator_on_its_noise(name: str) -> None:
    discriminator = trained(name, dropout=0.5)
    tokens_BT = torch.from_numpy(all_sequences(ENUMERABLE))
    before = torch.get_rng_state()
    discriminator.train()
    with torch.no_grad():
        one, same, other = (discriminator(tokens_BT, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(discriminator.logits(tokens_BT), discriminator.eval().logits(tokens_BT))
