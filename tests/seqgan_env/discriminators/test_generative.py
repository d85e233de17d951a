"""The generative discriminator: the log-ratio of a mixture of language models and the generator."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents import DiscriminatorCallback, SeqGAN, make_seqgan_vec_env
from agents.adversary import Adversary, RoundConfig
from seqgan_env.autoregressive import AutoregressiveModel, MaximumLikelihoodTrainer
from seqgan_env.discriminators import (
    DiscriminatorTrainer,
    GenerativeDiscriminator,
    OptimalDiscriminator,
    build_discriminator,
    check_discriminator,
    discriminator_kind,
    save_discriminator,
)
from seqgan_env.tokens import SequenceSpec
from tests.support import reference
from tests.support.agents import agent
from tests.support.builders import GRAMMAR, ORACLE, make_generator, show

SPEC = SequenceSpec(3, 3, 0)
SPECS = pytest.mark.parametrize("spec", [SequenceSpec(3, 3), SPEC, SequenceSpec(4, 1)], ids=show)
TINY: dict[str, Any] = {"embedding_dim": 3, "hidden_dim": 4, "dropout": 0.1, "n_epochs": 2}
OF_GENERATOR: dict[str, Any] = {"generator_kwargs": {"embedding_dim": 3, "hidden_dim": 4}}


def build(spec: SequenceSpec = SPEC, **kwargs: Any) -> GenerativeDiscriminator:
    built = build_discriminator("generative", spec, kwargs={**TINY, **OF_GENERATOR, **kwargs})
    assert isinstance(built, GenerativeDiscriminator)
    return built


def peaked(spec: SequenceSpec, n_members: int = 2) -> GenerativeDiscriminator:
    """One in double precision whose models are far from uniform and from each other."""
    discriminator = build(spec, n_members=n_members).double()
    for seed, model in enumerate([*discriminator.language_models, discriminator.generator]):
        model.load_state_dict(make_generator("lstm", spec, seed).state_dict())
    return discriminator


@pytest.mark.theory
@SPECS
class TestDefinition:
    def test_the_logit_is_that_of_the_mean_of_the_members_token_by_token(self, spec: SequenceSpec) -> None:
        """The slow form: one prefix at a time, the members' probabilities averaged, over those of the generator."""
        discriminator = peaked(spec)
        members = [reference.next_token_of(member) for member in discriminator.language_models]
        generator = reference.next_token_of(discriminator.generator)
        for row in reference.sequences(spec):
            ratios = [
                sum(member(row[:t])[row[t]] for member in members) / len(members) / generator(row[:t])[row[t]]
                for t in range(len(row))
            ]
            tokens_1T = torch.from_numpy(reference.padded(spec, [row]))
            with torch.no_grad():
                found_T = discriminator.token_logits(tokens_1T)[0]
                assert discriminator(tokens_1T).item() == pytest.approx(found_T.sum().item(), abs=1e-12)
            assert found_T[: len(row)].tolist() == pytest.approx([torch.log(r).item() for r in ratios], abs=1e-12)
            assert (found_T[len(row) :] == 0).all()

    def test_it_is_the_optimum_where_the_members_are_the_law_of_the_data(self, spec: SequenceSpec) -> None:
        discriminator = peaked(spec, n_members=3)
        law = discriminator.language_models[0]
        for member in discriminator.language_models[1:]:
            member.load_state_dict(law.state_dict())
        optimal = OptimalDiscriminator(spec, law.sequence_log_prob, discriminator.generator.sequence_log_prob)
        rows_KT = reference.all_sequences(spec)
        np.testing.assert_allclose(discriminator.exact_logits(rows_KT), optimal.exact_logits(rows_KT), atol=1e-12)

    def test_the_ratio_of_a_prefix_is_the_mean_ratio_of_its_completions(self, spec: SequenceSpec) -> None:
        """E_G[p(Y)/G(Y) | Y_{1:t}] = p(Y_{1:t}) / G(Y_{1:t}), as both are distributions (eq. 13.31)."""
        discriminator = peaked(spec)
        policy = reference.next_token_of(discriminator.generator)
        for prefix in reference.open_prefixes(spec)[1:]:
            rows = reference.sequences(spec, prefix)
            weight_K = torch.stack([reference.probability(policy, row) for row in rows]).detach()
            ratio_K = np.exp(discriminator.exact_logits(reference.padded(spec, rows)))
            mean = float((weight_K * torch.from_numpy(ratio_K)).sum() / weight_K.sum())
            found = np.exp(discriminator.prefix_logits(reference.padded(spec, [prefix])))[0]
            assert found == pytest.approx(mean, rel=1e-10)


class TestReal:
    """The part that is learned from real sequences alone."""

    REAL = reference.all_sequences(SPEC)[:9].repeat(8, axis=0)

    def test_the_members_become_the_law_of_the_data(self) -> None:
        discriminator = build(n_members=1, hidden_dim=16, n_epochs=100, dropout=0.0, validation=0.0)
        discriminator.fit_real(self.REAL, seed=0)
        (member,) = discriminator.language_models
        log_prob_K = member.sequence_log_prob(reference.all_sequences(SPEC))
        np.testing.assert_allclose(np.exp(log_prob_K[:9]), 1 / 9, atol=0.03)
        assert np.exp(log_prob_K[9:]).sum() < 0.05

    def test_each_member_is_another_one_and_so_with_another_seed(self) -> None:
        one, same, other = (build(n_members=2) for _ in range(3))
        for discriminator, seed in ((one, 0), (same, 0), (other, 1)):
            for member in discriminator.language_models[1:]:  # the same beginning
                member.load_state_dict(discriminator.language_models[0].state_dict())
            discriminator.fit_real(self.REAL, seed)
        rows_KT = reference.all_sequences(SPEC)
        first_K, second_K = (member.sequence_log_prob(rows_KT) for member in one.language_models)
        assert not np.array_equal(first_K, second_K)
        np.testing.assert_array_equal(one.logits(rows_KT), same.logits(rows_KT))
        assert not np.array_equal(one.logits(rows_KT), other.logits(rows_KT))

    @pytest.mark.parametrize("validation", [0.0, 0.25])
    def test_a_member_is_left_as_it_was_when_it_foresaw_its_own_part_best(
        self, validation: float, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Few sequences are soon learnt by heart; each member holds another part of them out, and none is lost."""
        real = reference.all_sequences(SPEC)[:12]
        assert len(real) == len(np.unique(real, axis=0)) == 12
        passes: list[tuple[AutoregressiveModel, Any, dict[str, torch.Tensor]]] = []
        epoch = MaximumLikelihoodTrainer.epoch

        def noted(trainer: MaximumLikelihoodTrainer, learned: Any) -> float:
            loss = epoch(trainer, learned)
            weights = {name: weight.clone() for name, weight in trainer.generator.state_dict().items()}
            passes.append((trainer.generator, learned, weights))
            return loss

        monkeypatch.setattr(MaximumLikelihoodTrainer, "epoch", noted)
        discriminator = build(n_members=2, n_epochs=30, learning_rate=0.3, dropout=0.0, validation=validation)
        discriminator.fit_real(real, seed=0)
        held_out = []
        for member in discriminator.language_models:
            own = [(learned, weights) for model, learned, weights in passes if model is member]
            learned = {tuple(row) for row in own[0][0]}
            part = np.array([row for row in real if tuple(row) not in learned]).reshape(-1, real.shape[1])
            held_out += [tuple(row) for row in part]
            assert len(own) == 30
            kept = member.state_dict()
            copy = AutoregressiveModel(SPEC, "lstm", **{k: v for k, v in TINY.items() if k != "n_epochs"})
            found = []
            for _, weights in own:
                copy.load_state_dict(weights)
                found.append(float(copy.sequence_log_prob(part).sum()))
            best = own[int(np.argmax(found)) if validation else -1][1]
            assert all(torch.equal(kept[name], weight) for name, weight in best.items())
            assert not validation or np.argmax(found) < 29
        assert len(held_out) == len(set(held_out)) == 2 * validation * len(real)

    @pytest.mark.parametrize("n_done", [1, 2])
    def test_what_is_done_is_not_done_again_and_goes_through_the_weights(self, n_done: int) -> None:
        whole = build(n_members=3)
        whole.fit_real(self.REAL, seed=0)

        stopped, parts = build(n_members=3), itertools.count(1)

        def stop() -> None:
            if next(parts) == n_done:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            stopped.fit_real(self.REAL, 0, stop)
        resumed = build(n_members=3)
        resumed.load_weights(stopped.state_dict())
        done: list[None] = []
        resumed.fit_real(self.REAL, 0, lambda: done.append(None))
        assert len(done) == 3 - n_done
        resumed.fit_real(self.REAL, seed=1)  # there is nothing left
        assert all(torch.equal(resumed.state_dict()[name], weight) for name, weight in whole.state_dict().items())

    @pytest.mark.parametrize("tune", [False, True])
    def test_rounds_train_the_members_if_they_are_to_be_tuned(self, tune: bool) -> None:
        discriminator = build(tune=tune)
        trainer = DiscriminatorTrainer(discriminator, 0.01)
        before = {name: weight.clone() for name, weight in discriminator.state_dict().items()}
        real, generated = self.REAL, reference.all_sequences(SPEC)[-9:]
        loss = trainer.fit(real, generated, batch_size=9)
        assert 0 < loss < 10
        assert trainer.n_updates == 1
        changed = {name for name, weight in discriminator.state_dict().items() if not torch.equal(weight, before[name])}
        assert any(name.startswith("members") for name in changed) == tune
        assert not any(name.startswith("generator") for name in changed)
        untuned = DiscriminatorTrainer(build(tune=False), 0.01)
        expected = untuned.evaluate(real[:9], generated)["log_loss"]
        assert tune or untuned.fit(real[:9], generated, batch_size=9) == pytest.approx(expected, abs=1e-5)


class TestGenerator:
    def test_each_round_takes_it_over_as_it_is(self) -> None:
        model = agent(policy_kwargs=OF_GENERATOR["generator_kwargs"])
        discriminator = build(model.policy.spec)
        trainer = DiscriminatorTrainer(discriminator)
        real = model.sample(32, seed=3)
        adversary = Adversary(trainer, real, real, RoundConfig(n_generated=16, n_held_out=8))
        rows_BT = model.sample(16, seed=4)
        for _ in range(2):
            adversary.round(model)
            np.testing.assert_array_equal(
                discriminator.generator.sequence_log_prob(rows_BT), model.generator.sequence_log_prob(rows_BT)
            )
            with torch.no_grad():
                model.generator.output.bias += torch.arange(len(model.generator.output.bias))
        adversary.measure(model)  # of the rewards as they are: the environments would not be told of others
        assert not np.array_equal(
            discriminator.generator.sequence_log_prob(rows_BT), model.generator.sequence_log_prob(rows_BT)
        )

    @pytest.mark.parametrize("generator_kwargs", [{"hidden_dim": 5, "embedding_dim": 3}, {"embedding_dim": 5}])
    def test_of_another_form_is_refused_and_changes_nothing(self, generator_kwargs: dict[str, int]) -> None:
        discriminator = build()
        before = {name: weight.clone() for name, weight in discriminator.state_dict().items()}
        with pytest.raises(ValueError, match=r"generator_kwargs are of another generator: core 'lstm' with .*4"):
            discriminator.follow(AutoregressiveModel(SPEC, **generator_kwargs))
        assert all(torch.equal(before[name], weight) for name, weight in discriminator.state_dict().items())

    def test_of_another_form_is_served_by_the_same_language_models_from_a_file(self, tmp_path: Path) -> None:
        first, path = peaked(SPEC).float(), tmp_path / "models.safetensors"
        save_discriminator(first, path)
        other = {"generator_core": "gru", "generator_kwargs": {"embedding_dim": 5, "hidden_dim": 6}}
        found = build_discriminator(str(path), SPEC, kwargs=other)
        assert isinstance(found, GenerativeDiscriminator)
        generator = AutoregressiveModel(SPEC, "gru", **other["generator_kwargs"])
        found.follow(generator)
        rows = reference.all_sequences(SPEC)
        log_prob_B = first.logits(rows) + first.generator.sequence_log_prob(rows)
        np.testing.assert_allclose(
            found.logits(rows) + generator.sequence_log_prob(rows), log_prob_B, rtol=1e-4, atol=1e-5
        )
        assert discriminator_kind(str(path)) is GenerativeDiscriminator

    def test_is_all_that_a_file_leaves_to_choose(self, tmp_path: Path) -> None:
        path, of_cnn = tmp_path / "models.safetensors", tmp_path / "cnn.safetensors"
        save_discriminator(build(), path)
        save_discriminator(build_discriminator("cnn", SPEC, kwargs={"filters": [[1, 2]]}), of_cnn)
        for file, kwargs, message in (
            (path, {"dropout": 0.5, **OF_GENERATOR}, "come with the file .*; got dropout"),
            (of_cnn, OF_GENERATOR, "come with the file .*; got generator_kwargs"),
            (path, {"generator_kwargs": {"units": 3}}, "core 'lstm' takes .*; got units"),
        ):
            with pytest.raises(ValueError, match=message):
                check_discriminator(str(file), SPEC, kwargs)

    def test_is_needed(self) -> None:
        trainer = DiscriminatorTrainer(build())
        rows = reference.all_sequences(SPEC)
        with pytest.raises(ValueError, match="needs a generator whose likelihood is known"):
            Adversary(trainer, rows, rows, RoundConfig(n_held_out=0)).round(rows)

    @pytest.mark.parametrize("task", [("SeqGAN-v0", ORACLE), ("SeqGANGrammar-v0", GRAMMAR)], ids=["T fixed", "eos"])
    def test_reaches_the_environments_with_thelanguage_models(self, task: tuple[str, dict[str, Any]]) -> None:
        name, arguments = task
        env = make_seqgan_vec_env(
            name,
            4,
            **{**arguments, "discriminator": "generative", "discriminator_kwargs": {**TINY, **OF_GENERATOR}},
        )
        model = SeqGAN(
            "LstmPolicy",
            env,
            n_episodes=8,
            n_completions=2,
            seed=0,
            policy_kwargs=OF_GENERATOR["generator_kwargs"],
        )
        callback = DiscriminatorCallback(8, n_generated=16, n_held_out=8)
        model.learn(1, callback)
        callback.retrain()
        assert callback.trainer is not None
        rows_BT = model.sample(8, seed=1)
        (weights,) = env.env_method("discriminator_weights", indices=[0])
        trained = callback.trainer.discriminator.state_dict()
        assert all(np.array_equal(weights[key], trained[key].numpy()) for key in trained)
        ours = model.generator.state_dict()
        assert all(torch.equal(trained[f"generator.{key}"], ours[key]) for key in ours)
        logit_B = callback.trainer.discriminator.exact_logits(rows_BT)
        (paid_B,) = env.env_method("score", rows_BT, indices=[0])
        np.testing.assert_allclose(paid_B, -np.logaddexp(0, -logit_B), atol=1e-5)


@pytest.mark.parametrize("core", ["lstm", "gru", "attention", "transformer"])
def test_members_have_as_many_layers_as_they_are_given(core: str) -> None:
    sizes = {"core": core, "hidden_dim": 4}
    depths = [{m.core.config.n_layers for m in build(**sizes, n_layers=n).language_models} for n in (None, 1, 3)]
    assert depths == [{2 if core == "transformer" else 1}, {1}, {3}]


def test_settings_are_checked() -> None:
    for kwargs, message in (
        ({"n_members": 0}, "n_members must be a whole number of at least 1"),
        ({"core": "rnn"}, "core must be one of"),
        ({"n_layers": 0}, "n_layers must be a whole number of at least 1"),
        ({"dropout": 1.0}, "dropout must be a finite number in"),
        ({"learning_rate": 0.0}, "learning_rate must be"),
        ({"generator_kwargs": {"width": 3}}, "width"),
    ):
        with pytest.raises(ValueError, match=message):
            build(**kwargs)
