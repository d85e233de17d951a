"""The actor of PPO and A2C is the generator: the same distribution, the same parameters, the same start."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from sb3_contrib import TRPO, MaskablePPO
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.vec_env import VecEnv

from agents import (
    AutoregressivePolicy,
    DiscriminatorCallback,
    GeneratorActorCritic,
    SeqGAN,
    make_seqgan_vec_env,
    with_generator,
)
from agents.checkpoint import save_checkpoint
from agents.sb3.actor_critic import SharesGenerator
from agents.sb3.maskable import MaskableGeneratorActorCritic
from seqgan_env import enumeration
from seqgan_env.autoregressive import CORES, MaximumLikelihoodTrainer, register_core
from seqgan_env.autoregressive.recurrent import GruCore
from seqgan_env.tokens import SequenceSpec
from tests.support import reference
from tests.support.builders import GRAMMAR, ORACLE, POLICY, RETRAIN, every_kind, make_generator, prefixes
from tests.support.exact import of_actor, of_generator
from tests.support.significance import assert_frequencies

SPECS = [
    SequenceSpec(3, 3),
    SequenceSpec(4, 4, 3),
    SequenceSpec(3, 1),
    SequenceSpec(1, 3, 0),
    SequenceSpec(5000, 20, 7),
]
KINDS: list[type[SharesGenerator]] = [GeneratorActorCritic, MaskableGeneratorActorCritic]


def sizes(kind: str, **more: Any) -> dict[str, Any]:
    """The arguments with which `make_generator` makes its generator."""
    heads = {"n_heads": 2} if kind == "transformer" else {}
    return {"embedding_dim": 3, "hidden_dim": 4, **heads, **more}


def actor_critic(
    spec: SequenceSpec, kind: str = "lstm", policy_class: type[Any] = GeneratorActorCritic, **more: Any
) -> Any:
    observation_space = spaces.Box(0, spec.vocab_size, (spec.max_length,), np.int64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return policy_class(
            observation_space,
            spaces.Discrete(spec.vocab_size),
            lambda _: 1e-3,
            core=kind,
            eos_id=spec.eos_id,
            **sizes(kind, **more),
        )


def spec_of(env: VecEnv) -> SequenceSpec:
    spec: SequenceSpec = env.get_attr("sequence_spec")[0]
    return spec


@every_kind
@pytest.mark.parametrize("policy_class", KINDS)
@pytest.mark.parametrize("spec", SPECS, ids=str)
class TestDistribution:
    def test_is_that_of_the_generator_at_every_prefix(
        self, spec: SequenceSpec, policy_class: type[Any], kind: str
    ) -> None:
        """Eq. 13.30, against `log_prob` of the generator that was loaded, through every method that SB3 calls."""
        other = make_generator(kind, spec)
        policy = actor_critic(spec, kind, policy_class).double()
        policy.load_generator(other)
        tokens_BT = prefixes(spec, 40, np.random.default_rng(0))
        length_B = (tokens_BT != spec.pad_id).sum(dim=1)
        open_B = torch.from_numpy(~spec.is_complete(tokens_BT.numpy()))
        tokens_BT, length_B = tokens_BT[open_B], length_B[open_B]
        row_B = torch.arange(len(tokens_BT))
        for token in {0, spec.vocab_size // 2, spec.vocab_size - 1}:
            longer_BT = tokens_BT.clone()
            longer_BT[row_B, length_B] = token
            expected_B = other.log_prob(longer_BT)[row_B, length_B]
            action_B = torch.full_like(length_B, token)
            _, log_prob_B, _ = policy.evaluate_actions(tokens_BT, action_B)
            torch.testing.assert_close(log_prob_B, expected_B, rtol=0, atol=1e-12)
            log_prob_B = policy.get_distribution(tokens_BT).log_prob(action_B)
            torch.testing.assert_close(log_prob_B, expected_B, rtol=0, atol=1e-12)
        torch.manual_seed(0)
        action_B, _, log_prob_B = policy(tokens_BT)
        longer_BT = tokens_BT.clone()
        longer_BT[row_B, length_B] = action_B
        torch.testing.assert_close(log_prob_B, other.log_prob(longer_BT)[row_B, length_B], rtol=0, atol=1e-12)

    def test_deterministic_is_the_likeliest_token(self, spec: SequenceSpec, policy_class: type[Any], kind: str) -> None:
        policy = actor_critic(spec, kind, policy_class).double()
        tokens_BT = prefixes(spec, 40, np.random.default_rng(0)).numpy()
        tokens_BT = tokens_BT[~spec.is_complete(tokens_BT)]
        expected_B = policy.generator.output(policy.generator.read(torch.from_numpy(tokens_BT))[0]).argmax(dim=1)
        action_B, _ = policy.predict(tokens_BT, deterministic=True)
        np.testing.assert_array_equal(action_B, expected_B)
        single, _ = policy.predict(tokens_BT[0], deterministic=True)
        assert single == expected_B[0]
        same = AutoregressivePolicy(policy.observation_space, policy.action_space, lambda _: 1e-3, eos_id=spec.eos_id)
        same.generator = policy.generator
        theirs, _ = same.predict(tokens_BT, deterministic=True)
        np.testing.assert_array_equal(action_B, theirs)


@pytest.mark.theory
@every_kind
def test_probabilities_of_all_sequences_are_the_generators(kind: str) -> None:
    """Eq. 13.31 and 13.39 by enumeration: the same value, so the same probability, of every sequence."""
    spec = SequenceSpec(3, 3, 0)
    policy = actor_critic(spec, kind)
    policy.load_generator(make_generator(kind, spec))
    tokens_KT = reference.padded(spec, reference.sequences(spec))
    reward_K = np.random.default_rng(0).normal(size=len(tokens_KT))
    reward_of = {row.tobytes(): reward for row, reward in zip(tokens_KT, reward_K, strict=True)}

    def score(tokens_BT: Any) -> Any:
        return np.array([reward_of[row.tobytes()] for row in tokens_BT])

    value = enumeration.value(spec, score, of_actor(policy))
    assert value == pytest.approx(enumeration.value(spec, score, of_generator(policy.generator)), abs=1e-5)
    expected = float(np.exp(policy.generator.sequence_log_prob(tokens_KT)) @ reward_K)
    assert value == pytest.approx(expected, abs=1e-5)


@pytest.mark.theory
class TestSampling:
    @pytest.mark.parametrize("policy_class", KINDS)
    def test_actions_follow_the_distribution(self, policy_class: type[Any]) -> None:
        """Eq. 13.29, by a chi-squared test, of the actions of a rollout and of `predict`."""
        spec = SequenceSpec(6, 4)
        policy = actor_critic(spec, policy_class=policy_class)
        policy.load_generator(make_generator("lstm", spec).float())
        torch.manual_seed(0)
        for row in ([6, 6, 6, 6], [3, 0, 6, 6]):
            tokens_BT = torch.tensor([row] * 20_000)
            probs_V = policy.get_distribution(tokens_BT[:1]).distribution.probs[0].detach().double().numpy()
            for action_B in (policy(tokens_BT)[0].numpy(), policy.predict(tokens_BT.numpy())[0]):
                assert_frequencies(np.bincount(action_B, minlength=6), probs_V / probs_V.sum())

    def test_what_has_no_probability_is_never_drawn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whatever the random number, and the least and the largest are reached too."""
        env = make_seqgan_vec_env("SeqGAN-v0", 4, **ORACLE, allowed_tokens=[3, 7, 15], observation="dict")
        model = PPO(GeneratorActorCritic, env, policy_kwargs=POLICY, seed=0, device="cpu")
        observation = env.reset()
        assert isinstance(observation, dict)
        many = {name: np.repeat(array, 5000, axis=0) for name, array in observation.items()}
        assert set(model.predict(many)[0].tolist()) == {3, 7, 15}
        for number, token in ((0.0, 3), (1.0 - 2**-24, 15), (1.0, 15)):
            monkeypatch.setattr(torch, "rand_like", lambda like, number=number: torch.full_like(like, number))
            assert set(model.predict(observation)[0].tolist()) == {token}


class TestParameters:
    @every_kind
    @pytest.mark.parametrize("policy_class", KINDS)
    def test_the_optimiser_has_each_of_them_once(self, policy_class: type[Any], kind: str) -> None:
        policy = actor_critic(SequenceSpec(3, 3), kind, policy_class)
        (group,) = policy.optimizer.param_groups
        ids = [id(parameter) for parameter in group["params"]]
        assert len(ids) == len(set(ids))
        assert set(ids) == {id(parameter) for parameter in policy.parameters()}
        assert {id(parameter) for parameter in policy.generator.parameters()} < set(ids)

    def test_the_critic_leaves_the_generator_alone(self) -> None:
        policy = actor_critic(SequenceSpec(4, 4))
        tokens_BT = prefixes(SequenceSpec(4, 4), 8, np.random.default_rng(0))
        policy.predict_values(tokens_BT).sum().backward()
        assert all(parameter.grad is not None for parameter in policy.value_net.parameters())
        assert all(parameter.grad is None for parameter in policy.generator.parameters())

    def test_the_value_depends_on_the_prefix(self) -> None:
        policy = actor_critic(SequenceSpec(4, 4), critic_layers=[8, 5])
        assert [layer.out_features for layer in policy.mlp_extractor.value_net if hasattr(layer, "out_features")] == [
            8,
            5,
        ]
        value_B1 = policy.predict_values(torch.tensor([[0, 1, 4, 4], [1, 0, 4, 4], [4, 4, 4, 4], [0, 1, 2, 3]]))
        assert value_B1.shape == (4, 1)
        assert len(set(value_B1.flatten().tolist())) == 4

    @pytest.mark.parametrize("algorithm", [PPO, A2C])
    @every_kind
    def test_training_moves_all_of_the_generator(self, algorithm: type[PPO | A2C], kind: str) -> None:
        env = make_seqgan_vec_env("SeqGAN-v0", 4, **ORACLE)
        arguments: dict[str, Any] = {"batch_size": 24} if algorithm is PPO else {}
        kwargs = {"core": kind, **sizes(kind)}
        model = algorithm(
            GeneratorActorCritic, env, n_steps=12, policy_kwargs=kwargs, seed=0, device="cpu", **arguments
        )
        assert isinstance(model.policy, GeneratorActorCritic)
        generator = model.policy.generator
        before = {name: parameter.detach().clone() for name, parameter in generator.named_parameters()}
        tokens_BT = prefixes(spec_of(env), 5, np.random.default_rng(0))
        log_prob_BT = generator.log_prob(tokens_BT).detach()
        model.learn(200, DiscriminatorCallback(8, **RETRAIN))
        for name, parameter in generator.named_parameters():
            assert not torch.equal(parameter, before[name]), name
        assert not torch.equal(generator.log_prob(tokens_BT), log_prob_BT)


class TestStart:
    def test_ppo_and_a2c_begin_where_the_agent_stands(self, tmp_path: Path) -> None:
        """From an agent and from its file the likelihood is the pretrained one's; from nothing it is no such thing."""
        env = make_seqgan_vec_env("SeqGANGrammar-v0", 4, **GRAMMAR)
        task = env.get_attr("task")[0]
        agent = SeqGAN("GruPolicy", env, policy_kwargs={"embedding_dim": 8, "hidden_dim": 8}, seed=0, device="cpu")
        ignorant = -agent.generator.sequence_log_prob(task.held_out_sequences).mean()
        agent.pretrain(task.real_sequences, 20, schedule="constant")
        agent.save(tmp_path / "agent")
        pretrained = -agent.generator.sequence_log_prob(task.held_out_sequences).mean()
        assert pretrained < 0.8 * ignorant

        for algorithm, source in ((PPO, agent), (A2C, tmp_path / "agent"), (PPO, str(tmp_path / "agent.zip"))):
            model = with_generator(algorithm, env, source, seed=1, device="cpu")
            assert isinstance(model.policy, GeneratorActorCritic)
            generator = model.policy.generator
            assert type(generator.core) is type(agent.generator.core)
            assert generator.spec == agent.policy.spec
            nll = -generator.sequence_log_prob(task.held_out_sequences).mean()
            assert nll == pytest.approx(pretrained, rel=1e-6)
            assert task.spec.is_complete(generator.sample(20, torch.Generator().manual_seed(0)).numpy()).all()

        plain = PPO(GeneratorActorCritic, env, policy_kwargs={"eos_id": task.spec.eos_id}, seed=1, device="cpu")
        assert isinstance(plain.policy, GeneratorActorCritic)
        assert -plain.policy.generator.sequence_log_prob(task.held_out_sequences).mean() > 0.95 * ignorant

    def test_algorithms_without_a_critic_and_constraints_are_refused(self) -> None:
        env = make_seqgan_vec_env("SeqGAN-v0", 2, **ORACLE)
        agent = SeqGAN("LstmPolicy", env, policy_kwargs=POLICY, device="cpu")
        with pytest.raises(ValueError, match="algorithm must be one with an actor and a critic, as PPO, got DQN"):
            with_generator(DQN, env, agent)
        constrained = make_seqgan_vec_env("SeqGAN-v0", 2, **ORACLE, allowed_tokens=[1, 2])
        with pytest.raises(ValueError, match=r"needs a task without constraints, got \{'allowed_tokens': \[1, 2\]\}"):
            with_generator(PPO, constrained, agent, device="cpu")

    def test_what_the_environment_plays_has_the_pretrained_likelihood(self) -> None:
        """The mean log-probability that PPO's own rollout records, over 960 tokens, against the generator's own."""
        env = make_seqgan_vec_env("SeqGAN-v0", 16, **ORACLE)
        agent = SeqGAN("LstmPolicy", env, policy_kwargs=POLICY, seed=0, device="cpu")
        agent.pretrain(env.get_attr("task")[0].real_sequences, 20)
        model = with_generator(PPO, env, agent, n_steps=60, batch_size=960, n_epochs=1, seed=0, device="cpu")
        _, callback = model._setup_learn(960)
        assert model.collect_rollouts(env, callback, model.rollout_buffer, n_rollout_steps=60)
        played = model.rollout_buffer.log_probs
        log_prob_BT = agent.generator.log_prob(torch.from_numpy(agent.sample(20_000))).detach().numpy()
        error = log_prob_BT.std() / np.sqrt(played.size)
        assert abs(played.mean() - log_prob_BT.mean()) < 5 * error
        uniform = -np.log(20)
        assert played.mean() > uniform + 10 * error

    def test_the_generator_can_be_pretrained_where_it_is(self) -> None:
        env = make_seqgan_vec_env("SeqGAN-v0", 4, **ORACLE)
        task = env.get_attr("task")[0]
        model = PPO(GeneratorActorCritic, env, policy_kwargs=sizes("lstm"), device="cpu", seed=0)
        assert isinstance(model.policy, GeneratorActorCritic)
        trainer = MaximumLikelihoodTrainer(model.policy.generator)
        losses = [trainer.epoch(task.real_sequences) for _ in range(5)]
        assert losses[-1] < losses[0]

    def test_arguments_of_the_policy_are_added(self) -> None:
        env = make_seqgan_vec_env("SeqGAN-v0", 4, **ORACLE)
        adam = {"optimizer_class": torch.optim.AdamW, "optimizer_kwargs": {"weight_decay": 0.1}}
        agent = SeqGAN("LstmPolicy", env, policy_kwargs={**POLICY, **adam}, device="cpu")
        model = with_generator(PPO, env, agent, policy_kwargs={"critic_layers": []}, device="cpu")
        assert type(model.policy.optimizer) is torch.optim.Adam  # that of the agent is the agent's
        assert [parameter.shape for parameter in model.policy.value_net.parameters()] == [(1, 4), (1,)]


class TestLoadGenerator:
    def test_takes_a_generator_an_agent_and_files(self, tmp_path: Path) -> None:
        env = make_seqgan_vec_env("SeqGAN-v0", 4, **ORACLE)
        agent = SeqGAN("LstmPolicy", env, policy_kwargs=sizes("lstm"), seed=5, device="cpu")
        agent.save(tmp_path / "agent.zip")
        save_checkpoint(tmp_path / "run.zip", {"spec": asdict(agent.policy.spec), "agent": agent.state_dict()})
        for source in (agent.generator, agent, tmp_path / "agent.zip", str(tmp_path / "run.zip")):
            policy = actor_critic(agent.policy.spec)
            critic = [parameter.detach().clone() for parameter in policy.value_net.parameters()]
            policy.load_generator(source)
            for name, tensor in agent.generator.state_dict().items():
                assert torch.equal(policy.generator.state_dict()[name], tensor)
            assert all(map(torch.equal, policy.value_net.parameters(), critic))
            policy.generator.output.bias.data += 1  # a copy: the source does not change with it
            assert not torch.equal(policy.generator.output.bias, agent.generator.output.bias)

    @pytest.mark.parametrize(
        ("kind", "spec", "arguments", "message"),
        [
            ("gru", SequenceSpec(4, 4, 3), {}, "the generator is of another kind or size"),
            ("lstm", SequenceSpec(4, 4, 3), {"hidden_dim": 8}, "the generator is of another kind or size"),
            ("lstm", SequenceSpec(5, 4, 3), {}, "the generator is of another kind or size"),
            ("lstm", SequenceSpec(4, 5, 3), {}, "the generator must be made for .*max_length=4.*, got"),
            ("lstm", SequenceSpec(4, 4), {}, "the generator must be made for .*eos_id=3.*, got"),
            ("transformer", SequenceSpec(4, 4, 3), {"n_heads": 4}, "the same weights but does not do the same"),
            ("transformer", SequenceSpec(4, 4, 3), {"n_layers": 3}, "the generator is of another kind or size"),
        ],
    )
    def test_refuses_another_generator_and_changes_nothing(
        self, kind: str, spec: SequenceSpec, arguments: dict[str, Any], message: str
    ) -> None:
        policy = actor_critic(SequenceSpec(4, 4, 3), "lstm" if kind == "gru" else kind)
        before = {name: tensor.clone() for name, tensor in policy.state_dict().items()}
        with pytest.raises(ValueError, match=message):
            policy.load_generator(make_generator(kind, spec, **arguments))
        assert all(torch.equal(tensor, before[name]) for name, tensor in policy.state_dict().items())

    def test_refuses_a_file_of_something_else(self, tmp_path: Path) -> None:
        policy = actor_critic(SequenceSpec(4, 4, 3))
        save_checkpoint(tmp_path / "other.zip", {"callback": {}})
        (tmp_path / "text.zip").write_text("no zip")
        for path in (tmp_path / "other.zip", tmp_path / "text.zip", tmp_path / "missing.zip"):
            with pytest.raises(ValueError, match=r"of another kind or size|not a readable checkpoint"):
                policy.load_generator(path)


class TestKeeping:
    @pytest.mark.parametrize("algorithm", [PPO, A2C, MaskablePPO])
    @every_kind
    def test_a_model_comes_back_from_its_file(self, algorithm: Any, kind: str, tmp_path: Path) -> None:
        env = make_seqgan_vec_env("SeqGAN-v0", 4, **ORACLE)
        arguments: dict[str, Any] = {} if algorithm is A2C else {"batch_size": 24}
        policy_class = MaskableGeneratorActorCritic if algorithm is MaskablePPO else GeneratorActorCritic
        kwargs = {"core": kind, "critic_layers": [5], **sizes(kind)}
        model = algorithm(policy_class, env, n_steps=12, policy_kwargs=kwargs, device="cpu", seed=0, **arguments)
        model.learn(48)
        model.save(tmp_path / "model")
        loaded = algorithm.load(tmp_path / "model", env=env, device="cpu")
        ours, theirs = loaded.policy.state_dict(), model.policy.state_dict()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
        observation = env.reset()
        np.testing.assert_array_equal(
            loaded.predict(observation, deterministic=True)[0], model.predict(observation, deterministic=True)[0]
        )
        loaded.learn(48, reset_num_timesteps=False)
        assert not torch.equal(loaded.policy.generator.output.weight, model.policy.generator.output.weight)

    @pytest.mark.parametrize("policy_class", KINDS)
    def test_a_policy_comes_back_from_its_file(self, policy_class: type[Any], tmp_path: Path) -> None:
        spec = SequenceSpec(4, 4, 3)
        policy = actor_critic(spec, "transformer", policy_class, critic_layers=[7])
        policy.save(tmp_path / "policy.pt")
        loaded = policy_class.load(tmp_path / "policy.pt", device="cpu")
        assert loaded.generator.spec == spec
        tokens_BT = prefixes(spec, 5, np.random.default_rng(0))
        assert torch.equal(loaded.predict_values(tokens_BT), policy.predict_values(tokens_BT))
        assert torch.equal(loaded.generator.log_prob(tokens_BT), policy.generator.log_prob(tokens_BT))


class Own(GruCore):
    """A core of one's own."""


class TestArguments:
    def test_takes_a_core_of_ones_own(self) -> None:
        register_core("own", Own)
        try:
            env = make_seqgan_vec_env("SeqGAN-v0", 4, **ORACLE)
            agent = SeqGAN("OwnPolicy", env, policy_kwargs=POLICY, device="cpu")
            model = with_generator(PPO, env, agent, device="cpu")
        finally:
            CORES.unregister("own")
        assert isinstance(model.policy, GeneratorActorCritic)
        assert type(model.policy.generator.core) is Own

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"core": "mlp"}, "core must be one of lstm, gru.*; got 'mlp'"),
            ({"hidden_dim": 0}, "hidden_dim must be a whole number of at least 1, got 0"),
            ({"eos_id": 20}, "eos_id must be a whole number in"),
        ],
    )
    def test_an_unknown_generator_and_arguments_out_of_range_are_refused(
        self, arguments: dict[str, Any], message: str
    ) -> None:
        env = make_seqgan_vec_env("SeqGAN-v0", 2, **ORACLE)
        with pytest.raises(ValueError, match=message):
            PPO(GeneratorActorCritic, env, policy_kwargs=arguments, device="cpu")

    def test_refuses_another_environment(self) -> None:
        with pytest.raises(ValueError, match="the observations must be Box"):
            PPO(GeneratorActorCritic, gym.make("FrozenLake-v1"), device="cpu")


class TestMasks:
    MASKED: dict[str, Any] = {**GRAMMAR, "min_length": 4}

    @pytest.mark.parametrize("observation", ["tokens", "dict"])
    def test_maskable_ppo_learns_a_constrained_task(self, observation: str) -> None:
        """An environment that is given a forbidden token raises."""
        env = make_seqgan_vec_env("SeqGANGrammar-v0", 4, **self.MASKED, observation=observation)
        kwargs = {"eos_id": spec_of(env).eos_id, **POLICY}
        model = MaskablePPO(
            MaskableGeneratorActorCritic, env, n_steps=32, batch_size=64, policy_kwargs=kwargs, seed=0, device="cpu"
        )
        assert isinstance(model.policy, MaskableGeneratorActorCritic)
        before = model.policy.generator.output.weight.detach().clone()
        model.learn(256, DiscriminatorCallback(8, **RETRAIN))
        assert not torch.equal(model.policy.generator.output.weight, before)

    @pytest.mark.parametrize("algorithm", [PPO, A2C])
    def test_the_mask_of_a_dictionary_is_obeyed(self, algorithm: type[PPO | A2C]) -> None:
        env = make_seqgan_vec_env("SeqGANGrammar-v0", 4, **self.MASKED, observation="dict")
        spec = spec_of(env)
        assert spec.eos_id is not None
        kwargs = {"eos_id": spec.eos_id, **POLICY}
        model = algorithm(GeneratorActorCritic, env, n_steps=32, policy_kwargs=kwargs, seed=0, device="cpu")
        assert isinstance(model.policy, GeneratorActorCritic)
        model.learn(256, DiscriminatorCallback(8, **RETRAIN))
        assert all(parameter.isfinite().all() for parameter in model.policy.parameters())
        observation = env.reset()
        assert isinstance(observation, dict)
        tensors = {name: torch.from_numpy(array) for name, array in observation.items()}
        prob_BV = model.policy.get_distribution(tensors).distribution.probs  # type: ignore[union-attr]
        assert (prob_BV[:, spec.eos_id] == 0).all()
        free_BV = torch.log_softmax(model.policy.generator.output(model.policy.generator.read(tensors["tokens"])[0]), 1)
        free_BV[:, spec.eos_id] = -torch.inf
        torch.testing.assert_close(prob_BV, free_BV.softmax(1), rtol=0, atol=1e-6)

    def test_a_dictionary_without_constraints_changes_nothing(self) -> None:
        env = make_seqgan_vec_env("SeqGAN-v0", 4, **ORACLE, observation="dict")
        model = PPO(GeneratorActorCritic, env, policy_kwargs=POLICY, seed=0, device="cpu")
        assert isinstance(model.policy, GeneratorActorCritic)
        observation = env.reset()
        assert isinstance(observation, dict)
        tensors = {name: torch.from_numpy(array) for name, array in observation.items()}
        prob_BV = model.policy.get_distribution(tensors).distribution.probs  # type: ignore[union-attr]
        generator: AutoregressivePolicy = model.policy.generator
        torch.testing.assert_close(prob_BV, generator.output(generator.read(tensors["tokens"])[0]).softmax(1))


@given(seed=st.integers(0, 1000))
@settings(max_examples=10)
def test_floats_are_read_as_the_ids_that_they_are(seed: int) -> None:
    """Stable-Baselines3 gives observations as floats; the ids of the largest vocabulary survive that."""
    spec = SPECS[-1]
    policy = actor_critic(spec)
    tokens_BT = prefixes(spec, 6, np.random.default_rng(seed))
    tokens_BT[0, 0] = spec.vocab_size - 1
    assert torch.equal(policy.predict_values(tokens_BT), policy.predict_values(tokens_BT.float()))


@every_kind
def test_trpo_differentiates_every_kind_twice(kind: str) -> None:
    """A GPU's fused recurrent layers have no second derivative; without a GPU their flag can be seen."""
    env = make_seqgan_vec_env("SeqGAN-v0", 4, **ORACLE)
    model = TRPO(GeneratorActorCritic, env, n_steps=12, batch_size=48, policy_kwargs={**POLICY, "core": kind})
    before = model.policy.generator.output.weight.detach().clone()
    model.learn(48)
    assert not torch.equal(model.policy.generator.output.weight, before)

    fused: list[bool] = []
    model.policy.features_extractor.register_forward_hook(lambda *_: fused.append(torch.backends.cudnn.enabled))
    observations = torch.full((2, 6), 20)
    model.policy.get_distribution(observations)
    with torch.no_grad():
        model.policy.get_distribution(observations)
    assert fused == [False, True]
