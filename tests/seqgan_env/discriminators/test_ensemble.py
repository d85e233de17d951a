"""The ensemble is its members: their logits combined, their losses and penalties averaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from seqgan_env.discriminators import (
    CNNDiscriminator,
    DiscriminatorTrainer,
    EnsembleConfig,
    EnsembleDiscriminator,
    build_discriminator,
    check_discriminator,
    load_discriminator,
    save_discriminator,
)
from seqgan_env.tokens import SequenceSpec
from tests.support import reference
from tests.support.discriminators import SMALL, SPEC, sequences

COMBINE = ("mean", "minimum", "pessimistic")
KINDS: dict[str, dict[str, Any]] = {
    "cnn": SMALL,
    "gru": {"embedding_dim": 3, "hidden_dim": 4},
    "log_ratio": {"embedding_dim": 3, "hidden_dim": 4, "dropout": 0.2, "l2": 0.1},
}


def ensemble(kind: str = "cnn", seed: int = 0, **settings: Any) -> EnsembleDiscriminator:
    kwargs = {"kind": kind, "kwargs": KINDS[kind], **settings}
    built = build_discriminator("ensemble", SPEC, seed=seed, kwargs=kwargs)
    assert isinstance(built, EnsembleDiscriminator)
    return built


def members(of: EnsembleDiscriminator) -> list[Any]:
    return list(of.members)


class TestCombination:
    @pytest.mark.parametrize("combine", COMBINE)
    def test_the_logit_is_a_statistic_of_the_members(self, combine: str) -> None:
        discriminator, tokens_BT = ensemble(n_members=4, combine=combine, k=1.5), sequences(20)
        logit_MB = np.stack([member.exact_logits(tokens_BT) for member in members(discriminator)])
        expected_B = {
            "mean": [sum(column) / 4 for column in logit_MB.T.tolist()],
            "minimum": [min(column) for column in logit_MB.T.tolist()],
            "pessimistic": logit_MB.mean(axis=0) - 1.5 * np.sqrt(logit_MB.var(axis=0)),
        }[combine]
        assert logit_MB.std(axis=0).min() > 1e-4
        for logits, atol in ((discriminator.exact_logits, 1e-12), (discriminator.prefix_logits, 1e-6)):
            np.testing.assert_allclose(logits(tokens_BT), expected_B, rtol=0, atol=atol)
        np.testing.assert_allclose(discriminator.logits(tokens_BT), expected_B, rtol=0, atol=1e-5)

    def test_the_members_of_a_pessimist_that_agree_lose_nothing(self) -> None:
        discriminator = ensemble(combine="pessimistic", k=5.0)
        first, *others = members(discriminator)
        for other in others:
            other.load_weights(first.state_dict())
        np.testing.assert_allclose(discriminator.logits(sequences(9)), first.logits(sequences(9)), atol=1e-6)

    @pytest.mark.parametrize("combine", COMBINE)
    def test_the_tables_of_the_members_are_used(self, combine: str) -> None:
        """For many sequences a CNN makes tables; the ensemble's score is that of ``forward`` nevertheless."""
        discriminator, tokens_BT = ensemble(combine=combine), torch.from_numpy(sequences(200))
        for member in members(discriminator):
            assert member.scorer(200) is not member
        with torch.no_grad():
            score = discriminator.scorer(200)
            before = score(tokens_BT)
            torch.testing.assert_close(before, discriminator(tokens_BT), rtol=1e-5, atol=1e-6)
            for member in members(discriminator):  # the tables are of the weights as they were
                member.embedding.weight.zero_()
            assert torch.equal(score(tokens_BT), before)

    @pytest.mark.theory
    @pytest.mark.parametrize("combine", COMBINE)
    @pytest.mark.parametrize("n_members", [1, 3])
    def test_a_term_is_the_difference_between_the_logits_of_two_beginnings(self, combine: str, n_members: int) -> None:
        discriminator, tokens_BT = ensemble("log_ratio", combine=combine, n_members=n_members), sequences(20)
        for m, member in enumerate(members(discriminator)):
            torch.nn.init.normal_(member.output.weight, generator=torch.Generator().manual_seed(m))
        term_BT = discriminator.token_logits(torch.from_numpy(tokens_BT)).detach()
        before_B = np.zeros(20)
        for t in range(SPEC.max_length):
            prefix_BT = np.where(np.arange(SPEC.max_length) <= t, tokens_BT, SPEC.pad_id)
            logit_B = discriminator.prefix_logits(prefix_BT)
            np.testing.assert_allclose(term_BT[:, t], logit_B - before_B, rtol=0, atol=1e-5)
            before_B = logit_B
        assert (term_BT[~torch.from_numpy(SPEC.is_token(tokens_BT))] == 0).all()
        assert np.abs(before_B).min() > 1e-2

    def test_prefixes_are_the_members_business(self) -> None:
        """A table's logit of a prefix is a mean over completions, and so is that of an ensemble of tables."""
        kwargs = {"kind": "tabular", "kwargs": {"scale": 1.0}, "combine": "minimum"}
        discriminator = build_discriminator("ensemble", SequenceSpec(3, 3), kwargs=kwargs)
        assert isinstance(discriminator, EnsembleDiscriminator)
        prefixes = np.array([[0, 3, 3], [2, 1, 3]])
        expected = np.min([member.prefix_logits(prefixes) for member in members(discriminator)], axis=0)
        np.testing.assert_array_equal(discriminator.prefix_logits(prefixes), expected)


class TestMembers:
    def test_they_begin_differently(self) -> None:
        first, second, third = (member.output.weight for member in members(ensemble()))
        assert not torch.equal(first, second)
        assert not torch.equal(second, third)

    @pytest.mark.parametrize("combine", COMBINE)
    @pytest.mark.parametrize("kind", KINDS)
    def test_an_ensemble_of_one_is_its_member(self, kind: str, combine: str) -> None:
        """Bit for bit: the initial weights, the losses, the trained weights and the logits."""
        alone = DiscriminatorTrainer(build_discriminator(kind, SPEC, seed=3, kwargs=KINDS[kind]), 1e-2, seed=1)
        as_one = DiscriminatorTrainer(ensemble(kind, seed=3, n_members=1, combine=combine), 1e-2, seed=1)
        data = sequences(40), sequences(50, seed=1)
        assert [alone.fit(*data, batch_size=16) for _ in range(2)] == [as_one.fit(*data, batch_size=16) for _ in "ab"]
        assert as_one.discriminator.penalty().item() == alone.discriminator.penalty().item()
        weights = as_one.discriminator.state_dict()
        assert all(torch.equal(weights[f"members.0.{k}"], v) for k, v in alone.discriminator.state_dict().items())
        for name in ("logits", "exact_logits", "prefix_logits"):
            found, expected = (getattr(each.discriminator, name)(sequences(300)) for each in (as_one, alone))
            np.testing.assert_array_equal(found, expected)


class TestTraining:
    def test_each_member_sees_a_bootstrap_of_its_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        discriminator = ensemble(n_members=3)
        seen: list[Any] = []

        def record(real_BT: Tensor, generated_BT: Tensor, rng: torch.Generator) -> Tensor:
            seen.append((real_BT, generated_BT))
            return torch.zeros(())

        for member in members(discriminator):
            monkeypatch.setattr(member, "loss", record)
        real_BT, generated_BT = torch.from_numpy(sequences(30)), torch.from_numpy(sequences(20, seed=1))
        for seed in (0, 0, 1):
            discriminator.loss(real_BT, generated_BT, torch.Generator().manual_seed(seed))
        for i, whole_BT in enumerate((real_BT, generated_BT)):
            drawn = [rows[i].tolist() for rows in seen]
            assert all(len(rows) == len(whole_BT) for rows in drawn)
            assert all(row in whole_BT.tolist() for rows in drawn for row in rows)
            assert drawn[:3] == drawn[3:6]  # the same generator, the same rows
            assert len({json.dumps(rows) for rows in drawn}) == 6  # and else no two folds alike

    def test_the_penalty_is_the_mean_of_theirs(self) -> None:
        discriminator = ensemble("log_ratio")
        for i, member in enumerate(members(discriminator)):
            torch.nn.init.constant_(member.output.bias, i + 1.0)
        expected = 0.1 / 2 * SPEC.vocab_size * (1 + 4 + 9) / 3
        assert discriminator.penalty().item() == pytest.approx(expected)

    def test_without_dropout_and_bootstrap_the_loss_is_the_mean_of_theirs(self) -> None:
        """A batch of one row is its own bootstrap."""
        discriminator = ensemble("gru", kwargs={**KINDS["gru"], "dropout": 0.0}).train()
        real_1T, generated_1T = torch.from_numpy(sequences(1)), torch.from_numpy(sequences(1, seed=1))
        losses = [member.loss(real_1T, generated_1T).item() for member in members(discriminator)]
        assert discriminator.loss(real_1T, generated_1T).item() == pytest.approx(sum(losses) / 3)
        assert len(set(losses)) == 3


class TestFolds:
    def test_a_member_learns_nothing_of_its_own_part_and_the_others_do(self) -> None:
        """Tables, in which a real sequence that was never seen keeps the logit 0 that it began with."""
        spec = SequenceSpec(4, 4)
        tokens_BT = reference.all_sequences(spec)
        real, generated = tokens_BT[:200], tokens_BT[200:]
        kwargs = {"kind": "tabular", "folds": True, "n_members": 4}
        discriminator = build_discriminator("ensemble", spec, kwargs=kwargs)
        assert isinstance(discriminator, EnsembleDiscriminator)
        DiscriminatorTrainer(discriminator, 0.1).fit(real, generated, n_epochs=30, batch_size=8)
        logit_MB = np.stack([member.logits(real) for member in members(discriminator)])
        assert ((logit_MB == 0).sum(axis=0) == 1).all()
        assert ((logit_MB > 0).sum(axis=0) == 3).all()
        # of a binomial distribution of 200 and 1/4 all but a millionth lies within five standard deviations, 30.6
        assert (abs((logit_MB == 0).sum(axis=1) - 50) < 31).all()
        assert all((member.logits(generated) < 0).all() for member in members(discriminator))

    @pytest.mark.parametrize("method", ["loss", "gradient_penalty", "fit_real"])
    def test_a_part_is_the_same_wherever_a_sequence_stands(self, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
        discriminator, real = ensemble(n_members=3, folds=True), sequences(60)
        seen: dict[int, set[tuple[int, ...]]] = {}
        for m, member in enumerate(members(discriminator)):

            def record(real_BT: Any, *_: Any, m: int = m) -> Tensor:
                seen.setdefault(m, set()).update(map(tuple, real_BT.tolist()))
                return torch.zeros(())

            monkeypatch.setattr(member, method, record)
        for rows in (real, real[::-1].copy(), np.repeat(real[:7], 5, axis=0), real[:1]):
            if method == "fit_real":
                discriminator.fit_real(rows, 0)
            else:
                getattr(discriminator, method)(torch.from_numpy(rows), torch.from_numpy(sequences(60, seed=1)))
        for row in map(tuple, real.tolist()):
            assert sum(row in own for own in seen.values()) == 2

    def test_who_has_no_real_sequence_takes_no_part(self) -> None:
        discriminator = ensemble("gru", n_members=3, folds=True).eval()
        real_1T, generated_BT = torch.from_numpy(sequences(1)), torch.from_numpy(sequences(5, seed=1))
        losses = [member.loss(real_1T, generated_BT).item() for member in members(discriminator)]
        expected = [sum(losses[:m] + losses[m + 1 :]) / 2 for m in range(3)]
        assert any(discriminator.loss(real_1T, generated_BT).item() == pytest.approx(mean) for mean in expected)


class TestSettings:
    @pytest.mark.parametrize("function", [build_discriminator, check_discriminator])
    @pytest.mark.parametrize(
        ("kwargs", "message"),
        [
            ({"kind": "rnn"}, "discriminator must be one of causal, cnn, .*; got 'rnn'"),
            ({"n_members": 0}, "n_members must be a whole number of at least 1, got 0"),
            ({"n_members": 1, "folds": True}, "folds need at least 2 members, got n_members 1"),
            ({"combine": "median"}, "combine must be one of mean, minimum, pessimistic; got 'median'"),
            ({"k": -1.0}, "k must be a finite number of at least 0, got -1.0"),
            ({"k": float("nan")}, "k must be a finite number of at least 0, got nan"),
            ({"kwargs": {"width": 3}}, "discriminator 'cnn' takes embedding_dim, .*; got width"),
            ({"kwargs": 3}, "kwargs must be a mapping from names, got 3"),
            ({"kwargs": {"filters": [[7, 4]]}}, "filters must hold a width of at most T = 6"),
        ],
    )
    def test_it_refuses(self, function: Any, kwargs: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            function("ensemble", SPEC, kwargs=kwargs)

    def test_tuples_are_as_good_as_lists(self, tmp_path: Path) -> None:
        original = ensemble(kwargs={"embedding_dim": 4, "filters": ((1, 2), (3, 4))})
        assert original.config == EnsembleConfig(kwargs={"embedding_dim": 4, "filters": [[1, 2], [3, 4]]})
        save_discriminator(original, tmp_path / "file")
        loaded = load_discriminator(tmp_path / "file")
        assert loaded.config == original.config
        np.testing.assert_array_equal(loaded.logits(sequences(9)), original.logits(sequences(9)))

    def test_ensembles_nest(self) -> None:
        kwargs = {"kind": "ensemble", "n_members": 2, "kwargs": {"kind": "cnn", "n_members": 2, "kwargs": SMALL}}
        nested = build_discriminator("ensemble", SPEC, kwargs=kwargs)
        networks = [module for module in nested.modules() if isinstance(module, CNNDiscriminator)]
        assert len({float(network.logits(sequences(1))[0]) for network in networks}) == 4
