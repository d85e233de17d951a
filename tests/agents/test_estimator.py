"""The choices of an estimate: at their defaults the plain algorithm, and none that contradict each other."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from stable_baselines3.common.callbacks import BaseCallback
from torch import Tensor

from agents import DiscriminatorCallback, SeqGAN, make_seqgan_vec_env
from agents.baselines import advantages, root_mean_square
from agents.collection import collect_episodes
from agents.estimator import EstimatorConfig
from agents.losses import policy_gradient_loss
from agents.monte_carlo import action_values
from seqgan_env.seeding import torch_rng
from tests.support.agents import N_STEPS, SGD, agent, assert_same_policy, collect, differ, env_of
from tests.support.builders import ORACLE, POLICY

CAUSAL = {"discriminator": "causal", "discriminator_kwargs": {"embedding_dim": 3, "hidden_dim": 4}}
SUM_TASK: dict[str, Any] = {**ORACLE, "reward": "log_ratio", **CAUSAL}
SUM = {"n_completions": 0, "baseline": "step"}
DENSE = {**SUM, "dense": True}
Option = tuple[dict[str, Any], dict[str, Any]]
"""The settings that an option stands beside, and those that it is turned on by."""
USED: dict[str, Option] = {
    "n_completions": ({}, {"n_completions": 3}),
    "baseline": ({}, {"baseline": "step"}),
    "normalize_advantage": ({}, {"normalize_advantage": False}),
    "stratified": ({}, {"stratified": True}),
    "exact_last_step": ({}, {"exact_last_step": True}),
    "rollout_lag": ({}, {"rollout_lag": 0.8}),
    "discount": ({}, {"discount": 0.9}),
    "dense": (SUM, {"dense": True}),
    "inner_sums": (DENSE, {"inner_sums": True}),
    "forward_kl": ({**DENSE, "inner_sums": True}, {"forward_kl": 0.5}),
    "real_prefixes": ({**DENSE, "inner_sums": True}, {"real_prefixes": 0.5}),
    "batch_statistic": ({}, {"batch_statistic": "rank"}),
    "exploration_temperature": ({}, {"exploration_temperature": 1.5}),
    "entropy_bonus": ({}, {"entropy_bonus": 0.1}),
    "kl_penalty": ({}, {"kl_penalty": 0.1}),
    "kl_target": ({"kl_penalty": 0.1}, {"kl_target": 1e-4}),
    "teacher_forcing": ({}, {"teacher_forcing": 0.5}),
    "teacher_forcing_steps": ({}, {"teacher_forcing_steps": 1}),
    "n_epochs": ({}, {"n_epochs": 3}),
    "clip_range": ({"n_epochs": 3}, {"clip_range": 0.01}),
    "weight_averaging": ({}, {"weight_averaging": 0.6}),
}
LEAST = 1e-300  # beside any number nothing, but above 0: the code of an option runs
NEUTRAL: dict[str, Option] = {
    "rollout_lag": ({}, {"rollout_lag": LEAST}),
    "forward_kl": ({**DENSE, "inner_sums": True}, {"forward_kl": LEAST}),
    "real_prefixes": ({**DENSE, "inner_sums": True}, {"real_prefixes": LEAST}),
    **{
        f"{name} {way}": (beside, {name: LEAST})
        for name in ("entropy_bonus", "kl_penalty")
        for way, beside in (
            ("", {}),
            ("last step", {"exact_last_step": True}),
            ("inner sums", {**DENSE, "inner_sums": True}),
        )
    },
    "kl_target": ({}, {"kl_penalty": LEAST, "kl_target": 1.0}),
    "teacher_forcing": ({}, {"teacher_forcing": LEAST}),
    "clip_range": ({"n_epochs": 3}, {"clip_range": 1e300}),
    "weight_averaging": ({}, {"weight_averaging": LEAST}),
}


def played(**arguments: Any) -> SeqGAN:
    """An agent after three updates in a task whose tokens have values."""
    env = make_seqgan_vec_env("SeqGAN-v0", 4, **SUM_TASK)
    return agent(env, **arguments).learn(3 * N_STEPS)


@functools.cache
def beside(name: str, kind: str) -> SeqGAN:
    return played(**{"used": USED, "neutral": NEUTRAL}[kind][name][0])


def test_every_option_is_used_and_by_default_it_is_off() -> None:
    assert list(USED) == [each.name for each in dataclasses.fields(EstimatorConfig)]
    plain = {**dict.fromkeys(USED), "n_completions": 16, "baseline": "prefix", "normalize_advantage": True}
    off = {"batch_statistic": "none", "discount": 1.0, "exploration_temperature": 1.0, "n_epochs": 1}
    defaults = vars(EstimatorConfig())
    assert {name: value or None for name, value in defaults.items()} == {**plain, **off}


@pytest.mark.parametrize("name", USED)
def test_each_option_changes_the_agent(name: str) -> None:
    others, own = USED[name]
    assert differ(played(**others, **own), beside(name, "used"))


@pytest.mark.parametrize("name", NEUTRAL)
def test_an_option_that_weighs_nothing_changes_nothing(name: str) -> None:
    """Bit for bit, after three updates, by the option's own code."""
    others, own = NEUTRAL[name]
    assert_same_policy(played(**others, **own), beside(name, "neutral"))


@pytest.mark.theory
def test_the_defaults_are_the_plain_algorithm() -> None:
    """Written out: episodes, completions of each prefix, the prefix's own value as baseline, a step of eq. 13.44."""
    plain: dict[str, Any] = {"policy_kwargs": {**POLICY, **SGD}, "learning_rate": 0.1}
    model, found = agent(**plain), agent(**plain).learn(3 * N_STEPS)
    generator, began = model.generator, weights_of(model)
    for n in range(3):
        tokens_BT, chosen_BT, reward_B = collect_episodes(  # type: ignore[misc]
            env_of(model), generator, 8, torch_rng(5, "episodes", n), lambda step: True
        )
        rng = torch_rng(5, "completions", n)
        q_BT = action_values(generator, tokens_BT, reward_B, model._score, n_completions=2, rng=rng)
        advantage_BT = advantages(q_BT, chosen_BT, "prefix")
        advantage_BT = advantage_BT / root_mean_square(advantage_BT, chosen_BT)
        generator.zero_grad()
        policy_gradient_loss(generator.log_prob(tokens_BT), advantage_BT, chosen_BT).backward()
        torch.nn.utils.clip_grad_norm_(generator.parameters(), 5.0)
        with torch.no_grad():
            for parameter in generator.parameters():
                assert parameter.grad is not None
                parameter -= 0.1 * parameter.grad
    torch.testing.assert_close(weights_of(model), weights_of(found), rtol=0, atol=1e-6)
    assert (weights_of(found) - began).abs().max() > 0.01


@pytest.mark.parametrize(
    "near", [{"rollout_lag": 1e-9}, {"discount": 1 - 1e-9}, {"exploration_temperature": 1 + 1e-7}], ids=str
)
def test_an_option_near_its_limit_is_near_the_plain_agent(near: dict[str, Any]) -> None:
    """The option's own code runs, and what it makes differs by rounding."""
    plain, other = (agent(**arguments).learn(3 * N_STEPS) for arguments in ({}, near))
    for name, tensor in plain.policy.state_dict().items():
        torch.testing.assert_close(other.policy.state_dict()[name], tensor, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n_completions": 2**62}, "n_completions must be a whole number in [0, 100000], got 4611686018427387904"),
        ({"forward_kl": 0.5}, "forward_kl 0.5 needs inner sums, got inner_sums False"),
        ({"real_prefixes": 0.5}, "real_prefixes 0.5 needs inner sums, got inner_sums False"),
        ({"rollout_lag": 1.0}, "rollout_lag must be a finite number in [0, 1), got 1.0"),
        ({"rollout_lag": 0.5, "n_completions": 0, "baseline": "step"}, "rollout_lag 0.5 needs completions"),
        ({"discount": 0.0}, "discount must be a finite number above 0 and at most 1, got 0.0"),
        ({"discount": 0.9, "n_completions": 0, "baseline": "step", "dense": True}, "discount 0.9 needs values that"),
        ({"kl_target": 0.2}, "kl_target 0.2 needs a weight to begin with, got kl_penalty 0.0"),
        ({"clip_range": 0.2}, "clip_range 0.2 needs steps after the first, got n_epochs 1"),
        ({"batch_statistic": "mean"}, "batch_statistic must be one of none, softmax, rank; got 'mean'"),
        ({"batch_statistic": "softmax"}, "it needs n_completions 0, dense False and discount 1, got 16, False and 1"),
        ({"batch_statistic": "rank", "exploration_temperature": 2.0}, "'rank' is of episodes of the policy itself"),
        ({"batch_statistic": "rank", "exact_last_step": True}, "batch_statistic must be 'none' with exact_last_step"),
        ({"exploration_temperature": 2.0, "exact_last_step": True}, "exploration_temperature must be 1 with exact_"),
        (
            {"n_epochs": 2, "n_completions": 0, "baseline": "step", "dense": True, "inner_sums": True},
            "n_epochs must be 1 with inner_sums, got 2",
        ),
    ],
)
def test_what_contradicts_is_refused_by_name(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        EstimatorConfig(**given)


@pytest.mark.parametrize(
    "given",
    [
        {"rollout_lag": 0.8, "n_epochs": 2, "teacher_forcing_steps": 1, "kl_penalty": 0.1, "kl_target": 0.01},
        {"exploration_temperature": 1.3, "n_epochs": 2, "n_completions": 0, "baseline": "step"},
        {"batch_statistic": "softmax", "n_completions": 0, "baseline": "batch"},
        {"weight_averaging": 0.9, "rollout_lag": 0.5},
    ],
)
def test_learning_goes_on_from_a_file_as_if_nothing_had_happened(given: dict[str, Any], tmp_path: Any) -> None:
    through, pieces = (agent(**given) for _ in range(2))
    through.learn(4 * N_STEPS)
    pieces.learn(2 * N_STEPS).save(tmp_path / "agent")
    resumed = type(pieces).load(tmp_path / "agent", env=pieces.env)
    assert resumed.estimator == pieces.estimator
    resumed.learn(2 * N_STEPS, reset_num_timesteps=False)
    assert_same_policy(resumed, through)


def test_a_discount_is_refused_where_steps_are_paid_too() -> None:
    env = make_seqgan_vec_env("SeqGANGrammar-v0", 4, shaping="length")
    with pytest.raises(ValueError, match="SeqGAN needs a task without shaping for a discount"):
        agent(env, discount=0.9, policy_kwargs=POLICY)


@pytest.mark.parametrize("task", [{"reward": "log_d"}, {"reward": "log_ratio", "reward_clip": [-1, 1]}], ids=str)
def test_the_forward_divergence_of_tokens_needs_their_log_ratios_as_they_are(task: dict[str, Any]) -> None:
    env = make_seqgan_vec_env("SeqGAN-v0", 4, **{**SUM_TASK, **task})
    with pytest.raises(ValueError, match="needs the reward log_ratio or exact_log_ratio, not clipped, for forward_kl"):
        agent(env, **DENSE, inner_sums=True, forward_kl=0.5)


def test_teacher_forcing_steps_raise_the_likelihood_of_real_sequences() -> None:
    found = []
    for n in (0, 20):
        model = agent(learning_rate=0.003, teacher_forcing_steps=n).learn(3 * N_STEPS)
        assert model._handle is not None
        real_BT = torch.from_numpy(model._handle.real_sequences)
        found.append(float(model.generator.log_prob(real_BT).mean().detach()))
        assert model.n_updates == 3
    assert found[1] > found[0] + 0.02


class Watching(BaseCallback):
    """Notes the weights that the agent has at the start of each collection, and these and its state at each step."""

    def __init__(self) -> None:
        super().__init__()
        self.at_rest: list[Tensor] = []
        self.in_steps: list[Tensor] = []
        self.states: list[dict[str, Any]] = []

    def _on_rollout_start(self) -> None:
        self.at_rest.append(weights_of(self.model))

    def _on_step(self) -> bool:
        self.in_steps.append(weights_of(self.model))
        self.states.append(self.model.state_dict())  # type: ignore[attr-defined]
        return True


def weights_of(model: Any) -> Tensor:
    return torch.nn.utils.parameters_to_vector(model.generator.parameters()).detach().clone()


class TestWeightAveraging:
    @pytest.mark.theory
    def test_the_agent_is_the_average_of_one_that_learns_as_without(self) -> None:
        """Through its own play, its discriminator's rounds, its completions and its lagging copy."""
        decay, found = 0.6, []
        for given in ({"weight_averaging": decay}, {}):
            watching = Watching()
            model = agent(rollout_lag=0.5, learning_rate=0.05, **given)
            model.learn(4 * N_STEPS, [DiscriminatorCallback(8, n_generated=256, n_held_out=4), watching])
            found.append((model, [*watching.at_rest[1:], weights_of(model)]))
        (averaged, at_rest), (_, seen) = found
        for n, mean in enumerate(at_rest, start=1):
            expected = sum(decay ** (n - 1 - i) * each for i, each in enumerate(seen[:n]))
            torch.testing.assert_close(mean, expected / sum(decay**i for i in range(n)), rtol=1e-5, atol=1e-6)
        with averaged.playing():
            assert torch.equal(weights_of(averaged), seen[-1])
        assert not torch.equal(weights_of(averaged), seen[-1])

    def test_a_state_in_the_middle_of_an_episode_has_the_average(self) -> None:
        watching = Watching()
        agent(weight_averaging=0.6).learn(3 * N_STEPS, watching)
        for state, at_rest in zip(watching.states[:: len(watching.states) // 3], watching.at_rest, strict=True):
            model = agent(weight_averaging=0.6)
            model.load_state_dict(state)
            assert torch.equal(weights_of(model), at_rest)

    def test_what_looks_in_the_middle_of_an_episode_sees_the_average_too(self) -> None:
        watching = Watching()
        agent(weight_averaging=0.6).learn(3 * N_STEPS, watching)
        n_steps = len(watching.in_steps) // 3
        for i, in_step in enumerate(watching.in_steps):
            assert torch.equal(in_step, watching.at_rest[i // n_steps])

    def test_parameters_that_are_set_are_gone_on_from(self) -> None:
        model, other = agent(weight_averaging=0.6, seed=1).learn(3 * N_STEPS), agent(seed=2)
        model.set_parameters(other.get_parameters())
        for context in (contextlib.nullcontext(), model.playing()):
            with context:
                assert torch.equal(weights_of(model), weights_of(other))

    def test_an_update_of_the_average_is_refused_before_it_is_made(self) -> None:
        model = agent(weight_averaging=0.6).learn(N_STEPS)
        episodes = collect(model)
        with model.playing():
            estimate = model.estimate(episodes)
        before = weights_of(model)
        for call in (lambda: model.estimate(episodes), lambda: model.update(episodes, estimate)):
            with pytest.raises(ValueError, match="needs the weights that learn, got their average"):
                call()
        assert torch.equal(weights_of(model), before)

    def test_a_file_without_it_and_one_with_it_go_on_in_the_other_way(self, tmp_path: Path) -> None:
        for decays in ((0.6, 0.0), (0.0, 0.6)):
            model = agent(weight_averaging=decays[0]).learn(3 * N_STEPS)
            model.save(tmp_path / "agent")
            loaded = type(model).load(tmp_path / "agent", env=model.env, weight_averaging=decays[1])
            for each in (loaded, type(model).load(tmp_path / "agent")):
                assert torch.equal(weights_of(each), weights_of(model))
            with loaded.playing():
                assert torch.equal(weights_of(loaded), weights_of(model))

    def test_maximum_likelihood_after_it_is_gone_on_from(self) -> None:
        model = agent(weight_averaging=0.6).learn(2 * N_STEPS)
        assert model._handle is not None
        model.pretrain(model._handle.real_sequences)
        pretrained = weights_of(model)
        with model.playing():
            assert torch.equal(weights_of(model), pretrained)
