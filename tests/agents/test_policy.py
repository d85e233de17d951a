"""The generator as a policy of Stable-Baselines3: what it predicts, and that it learns in the algorithm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.callbacks import CallbackList

from agents import AutoregressivePolicy, SeqGAN, make_seqgan_vec_env
from agents.policy import policy_names
from seqgan_env.autoregressive import CORES
from seqgan_env.autoregressive.cores import CoreState
from seqgan_env.tokens import SequenceSpec
from tests.support import reference
from tests.support.builders import GRAMMAR, ORACLE, POLICY, every_kind, make_generator, policy_name
from tests.support.significance import assert_frequencies


def policy_of(kind: str, spec: SequenceSpec, seed: int = 0) -> AutoregressivePolicy:
    """A policy with the generator of ``make_generator``."""
    spaces_of = spaces.Box(0, spec.vocab_size, (spec.max_length,), np.int64), spaces.Discrete(spec.vocab_size)
    policy = AutoregressivePolicy(*spaces_of, lambda _: 1e-3, core=kind, eos_id=spec.eos_id)
    policy.generator = make_generator(kind, spec, seed)
    return policy


@every_kind
class TestPredict:
    """What Stable-Baselines3 asks of a policy."""

    spec = SequenceSpec(5, 4, 4)

    def test_deterministic_is_the_likeliest_token(self, kind: str) -> None:
        agent = policy_of(kind, self.spec, seed=5)
        states = reference.open_prefixes(self.spec)
        next_token = reference.next_token_of(agent.generator)
        expected = [int(next_token(prefix).argmax()) for prefix in states]
        observations = reference.padded(self.spec, states)
        actions, state = agent.predict(observations, deterministic=True)
        assert state is None
        assert actions.tolist() == expected
        assert len(set(expected)) > 1
        for observation, token in zip(observations, expected, strict=True):
            action, _ = agent.predict(observation, deterministic=True)
            assert action.shape == ()
            assert int(action) == token

    @pytest.mark.theory
    def test_stochastic_follows_the_softmax(self, kind: str) -> None:
        """Eq. 13.30 through ``predict``, given a prefix."""
        agent = policy_of(kind, self.spec)
        observation = reference.padded(self.spec, [(2, 0)])
        torch.manual_seed(0)
        actions, _ = agent.predict(observation.repeat(5000, axis=0), deterministic=False)
        p_V = reference.next_token_of(agent.generator)((2, 0)).detach().numpy()
        assert_frequencies(np.bincount(actions, minlength=5), p_V)
        single = [int(agent.predict(observation[0])[0]) for _ in range(300)]
        assert_frequencies(np.bincount(single, minlength=5), p_V)

    def test_is_possible_in_an_environment(self, kind: str) -> None:
        env = gym.make("SeqGANGrammar-v0")
        observation, _ = env.reset()
        agent = AutoregressivePolicy(env.observation_space, env.action_space, lambda _: 1e-3, core=kind)
        action, _ = agent.predict(observation)
        assert env.action_space.contains(action[()])


@pytest.mark.theory
@every_kind
class TestInTheAlgorithm:
    """SeqGAN with each of the generators, by name."""

    def test_goes_on_from_a_file_as_if_nothing_had_happened(self, kind: str, tmp_path: Path) -> None:
        def agent() -> SeqGAN:
            env = make_seqgan_vec_env("SeqGAN-v0", n_envs=4, **ORACLE)
            return SeqGAN(
                policy_name(kind), env, n_episodes=4, n_completions=2, policy_kwargs=POLICY, seed=5, device="cpu"
            )

        through, first, untouched = agent().learn(48), agent().learn(24), agent()
        first.save(tmp_path / "agent")
        resumed = SeqGAN.load(tmp_path / "agent", env=make_seqgan_vec_env("SeqGAN-v0", n_envs=4, **ORACLE))
        resumed.learn(24, reset_num_timesteps=False)
        assert type(resumed.generator.core) is CORES[kind]
        for name, expected in through.policy.state_dict().items():
            assert torch.equal(resumed.policy.state_dict()[name], expected), name
        np.testing.assert_array_equal(resumed.sample(20), through.sample(20))
        gradients = [parameter.grad for parameter in through.policy.parameters()]
        assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
        moved = [
            (new != old).any().item()
            for new, old in zip(through.policy.parameters(), untouched.policy.parameters(), strict=True)
        ]
        assert all(moved)

    def test_maximum_likelihood_learns(self, kind: str) -> None:
        env = make_seqgan_vec_env("SeqGANGrammar-v0", n_envs=2, **GRAMMAR)
        model = SeqGAN(policy_name(kind), env, n_episodes=2, seed=0, device="cpu")
        losses: list[float] = []
        model.pretrain(env.get_attr("task")[0].real_sequences, 3, schedule="constant", on_epoch=losses.append)
        assert losses[-1] < losses[0] - 0.5

    def test_episodes_of_different_lengths_are_read_side_by_side(
        self, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """While some environments begin anew and others go on, every state is that of its own prefix."""
        env = make_seqgan_vec_env("SeqGANGrammar-v0", n_envs=3, **GRAMMAR)
        model = SeqGAN(
            policy_name(kind), env, n_episodes=9, n_completions=2, policy_kwargs=POLICY, seed=5, device="cpu"
        )
        assert model.env is not None
        observations: list[Any] = []
        lengths = set()
        reset, step = model.env.reset, model.env.step

        def choose(state: CoreState, rng: torch.Generator, temperature: float) -> torch.Tensor:
            tokens_BT = torch.from_numpy(observations[-1])
            lengths.add(tuple(model.policy.spec.lengths(observations[-1])))
            expected = model.generator.read(tokens_BT)
            torch.testing.assert_close(state[0], expected[0], rtol=0, atol=1e-5)
            return type(model.generator).choose(model.generator, state, rng, temperature)

        def watched_reset() -> Any:
            observations.append(reset())
            return observations[-1]

        def watched_step(action_B: Any) -> Any:
            result = step(action_B)
            observations.append(result[0])
            return result

        monkeypatch.setattr(model.env, "reset", watched_reset)
        monkeypatch.setattr(model.env, "step", watched_step)
        monkeypatch.setattr(model.generator, "choose", choose)
        _, callback = model._setup_learn(1, CallbackList([]))
        episodes = model.collect(callback)
        assert episodes is not None
        assert len(episodes.tokens_BT) == 9
        assert any(len(set(row)) > 1 for row in lengths)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"action_space": spaces.MultiDiscrete([3, 3])},
            r"the actions must be Discrete\(V\), got",
        ),
        ({"observation_space": spaces.Discrete(3)}, r"the observations must be Box\(0, V, \(T,\)\), or a Dict"),
        ({"observation_space": spaces.Box(0, 3, (2, 2), np.int64)}, "the observations must be"),
        ({"embedding_dim": 0}, "embedding_dim must be a whole number of at least 1, got 0"),
        ({"hidden_dim": 0}, "hidden_dim must be a whole number of at least 1, got 0"),
        ({"eos_id": 3}, "eos_id must be a whole number in"),
    ],
)
def test_spaces_of_no_task_and_sizes_below_one_are_refused(arguments: dict[str, Any], message: str) -> None:
    defaults = {"observation_space": spaces.Box(0, 3, (2,), np.int64), "action_space": spaces.Discrete(3)}
    with pytest.raises(ValueError, match=message):
        AutoregressivePolicy(**{**defaults, "lr_schedule": lambda _: 1e-3, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_layers": 0}, "n_layers must be a whole number of at least 1, got 0"),
        ({"n_heads": 0}, "n_heads must be a whole number of at least 1, got 0"),
        ({"n_heads": 5}, "n_heads must divide hidden_dim, got n_heads 5 and hidden_dim 32"),
        ({"hidden_dim": 6}, "n_heads must divide hidden_dim, got n_heads 4 and hidden_dim 6"),
        ({"hidden_dim": 0}, "hidden_dim must be a whole number of at least 1, got 0"),
    ],
)
def test_the_transformer_refuses(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AutoregressivePolicy(
            spaces.Box(0, 3, (2,), np.int64), spaces.Discrete(3), lambda _: 1e-3, core="transformer", **arguments
        )


@every_kind
def test_refuses_an_argument_that_no_core_has(kind: str) -> None:
    with pytest.raises(ValueError, match=f"core '{kind}' takes embedding_dim, hidden_dim.*; got n_legs"):
        make_generator(kind, SequenceSpec(3, 3), n_legs=4)


def test_refuses_an_unknown_core() -> None:
    with pytest.raises(ValueError, match="core must be one of lstm, gru, attention, transformer; got 'mlp'"):
        AutoregressivePolicy(spaces.Box(0, 3, (2,), np.int64), spaces.Discrete(3), lambda _: 1e-3, core="mlp")


def test_every_core_has_a_policy_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {
        "LstmPolicy": "lstm",
        "GruPolicy": "gru",
        "AttentionPolicy": "attention",
        "TransformerPolicy": "transformer",
    }
    assert policy_names() == names
    monkeypatch.setattr(CORES, "_entries", {**CORES, "two_words": CORES["gru"]})
    assert policy_names() == {**names, "TwoWordsPolicy": "two_words"}
    env = make_seqgan_vec_env("SeqGAN-v0", n_envs=1, **ORACLE)
    assert SeqGAN("TwoWordsPolicy", env, n_episodes=1).policy_kwargs["core"] == "two_words"


@every_kind
def test_a_policy_alone_is_saved_and_loaded(kind: str, tmp_path: Path) -> None:
    sizes = {"embedding_dim": 3, "hidden_dim": 4} | ({"n_heads": 2} if kind == "transformer" else {})
    box, discrete = spaces.Box(0, 5, (4,), np.int64), spaces.Discrete(5)
    policy = AutoregressivePolicy(box, discrete, lambda _: 1e-3, eos_id=2, core=kind, **sizes)
    policy.save(str(tmp_path / "policy.pth"))
    loaded = AutoregressivePolicy.load(str(tmp_path / "policy.pth"))
    tokens_BT = policy.generator.sample(20, torch.Generator().manual_seed(1))
    assert loaded.spec == policy.spec == SequenceSpec(5, 4, 2)
    assert torch.equal(loaded.generator.log_prob(tokens_BT), policy.generator.log_prob(tokens_BT))
