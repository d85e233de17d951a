"""Maximum likelihood as a callback: what SeqGAN's own pretraining does, once, and for every reader of prefixes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.vec_env import VecFrameStack, VecNormalize
from torch import Tensor

from agents import DiscriminatorCallback, GeneratorActorCritic, PretrainingCallback, SeqGAN, make_seqgan_vec_env
from agents.sb3.actor_critic import GeneratorFeatures
from tests.support.builders import GRAMMAR

SIZES: dict[str, Any] = {"embedding_dim": 3, "hidden_dim": 4}
STEPS = {"n_steps": 4, "batch_size": 16}


def environment(n_envs: int = 4) -> Any:
    return make_seqgan_vec_env("SeqGANGrammar-v0", n_envs=n_envs, **GRAMMAR)


def sizes_for(env: Any) -> dict[str, Any]:
    spec = env.get_attr("sequence_spec")[0]
    return {**SIZES, "eos_id": spec.eos_id, "vocabulary": spec.vocabulary}


def actor_critic(env: Any, algorithm: Any = PPO, **more: Any) -> Any:
    steps = STEPS if algorithm is PPO else {}
    return algorithm(GeneratorActorCritic, env, policy_kwargs=sizes_for(env), seed=0, device="cpu", **steps, **more)


def weights(model: Any) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.policy.generator.state_dict().items()}


def started(model: Any, *callbacks: Any) -> Any:
    """The model with the callbacks' work before the first episode done, and no other."""
    model._setup_learn(1, list(callbacks))[1].on_training_start({"callback": None}, {})
    return model


@pytest.mark.parametrize("algorithm", [PPO, A2C])
def test_it_is_the_pretraining_of_seqgan(algorithm: Any) -> None:
    env = environment()
    model, agent = actor_critic(env, algorithm), SeqGAN("LstmPolicy", env, seed=5, device="cpu", policy_kwargs=SIZES)
    agent.generator.load_state_dict(model.policy.generator.state_dict())
    agent.pretrain(env.get_attr("real_sequences")[0], 3, learning_rate=0.05)
    before = weights(model)
    started(model, PretrainingCallback(3, seed=5, learning_rate=0.05))
    for name, tensor in weights(model).items():
        assert torch.equal(tensor, agent.generator.state_dict()[name])
        assert not torch.equal(tensor, before[name])


def test_seqgan_itself_takes_it() -> None:
    env = environment()
    ours, theirs = (SeqGAN("LstmPolicy", env, seed=5, device="cpu", policy_kwargs=SIZES) for _ in range(2))
    ours.pretrain(env.get_attr("real_sequences")[0], 2)
    started(theirs, PretrainingCallback(2, seed=5))
    assert all(torch.equal(theirs.generator.state_dict()[n], t) for n, t in ours.generator.state_dict().items())


def value_network(env: Any, **more: Any) -> Any:
    own = sizes_for(env)
    reader = {key: own.pop(key) for key in ("eos_id", "vocabulary")}
    reader |= {"action_space": env.action_space, "core": "lstm", "core_arguments": own}
    policy = {"features_extractor_class": GeneratorFeatures, "features_extractor_kwargs": reader}
    return DQN("MlpPolicy", env, policy_kwargs=policy, seed=0, device="cpu", buffer_size=100, **more)


def test_every_reader_of_prefixes_is_trained() -> None:
    env = environment()
    model = value_network(env)
    started(model, PretrainingCallback(2, learning_rate=0.05))
    trained, target = (
        net.features_extractor.generator.state_dict() for net in (model.policy.q_net, model.policy.q_net_target)
    )
    fresh = value_network(env)
    for name, tensor in trained.items():
        assert torch.equal(tensor, target[name])
        assert not torch.equal(tensor, fresh.policy.q_net.features_extractor.generator.state_dict()[name])


def test_a_model_that_has_learnt_goes_on_as_it_is(tmp_path: Path) -> None:
    env = environment()
    model = actor_critic(env)
    model.learn(16, callback=PretrainingCallback(1))
    model.save(tmp_path / "model.zip")
    again = PPO.load(tmp_path / "model.zip", env=env, device="cpu")
    started(again, PretrainingCallback(1))
    assert all(torch.equal(tensor, weights(model)[name]) for name, tensor in weights(again).items())


class Stop(BaseCallback):
    """Ends a learning with its first step, before any update."""

    def _on_step(self) -> bool:
        return False


MODELS = {
    "PPO": actor_critic,
    "DQN": lambda env: value_network(env, learning_starts=1000),
    "SeqGAN": lambda env: SeqGAN("LstmPolicy", env, seed=5, device="cpu", policy_kwargs=SIZES),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_learning_that_ended_before_its_first_update_does_not_train_again(name: str) -> None:
    model = MODELS[name](environment())
    callback = PretrainingCallback(1)
    model.learn(16, callback=[callback, Stop()])
    assert model._n_updates == 0
    before = {key: tensor.clone() for key, tensor in model.policy.state_dict().items()}
    started(model, callback)
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.policy.state_dict().items())


def test_a_model_that_has_played_goes_on_as_it_is(tmp_path: Path) -> None:
    env = environment()
    model = actor_critic(env)
    model.learn(16, callback=[PretrainingCallback(1), Stop()])
    model.save(tmp_path / "model.zip")
    again = PPO.load(tmp_path / "model.zip", env=env, device="cpu")
    again.learn(16, callback=[PretrainingCallback(1), Stop()], reset_num_timesteps=False)
    assert all(torch.equal(tensor, weights(model)[name]) for name, tensor in weights(again).items())


def test_rounds_of_the_discriminator_before_it_are_refused() -> None:
    """But not where none would be made, or where there is nothing left to train."""
    env = environment()
    model = actor_critic(env)
    rounds = DiscriminatorCallback(n_rounds_before=2, n_generated=16, batch_size=8, n_held_out=8)
    for wrong in ([rounds, PretrainingCallback(1)], [CallbackList([rounds]), CallbackList([PretrainingCallback(1)])]):
        with pytest.raises(ValueError, match=r"must stand before DiscriminatorCallback\(n_rounds_before=2\), .* after"):
            model.learn(16, callback=wrong)
    assert env.get_attr("discriminator_version") == [0] * 4
    model.learn(16, callback=[DiscriminatorCallback(n_generated=16), PretrainingCallback(1)])
    model.learn(16, callback=[rounds, PretrainingCallback(1)])
    assert rounds.state_dict()["n_rounds"] == 2


def test_the_discriminator_is_trained_against_the_result() -> None:
    env = environment()
    before = DiscriminatorCallback(n_rounds_before=2, n_generated=16, batch_size=8, n_held_out=8)
    model = actor_critic(env)
    started(model, PretrainingCallback(1), before)
    assert env.get_attr("discriminator_version") == [2] * 4
    assert before.state_dict()["n_rounds"] == 2
    model.learn(16, callback=before)  # it has been trained, so that this is no beginning
    assert before.state_dict()["n_rounds"] == 2


def test_rounds_that_were_interrupted_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    before = DiscriminatorCallback(n_rounds_before=3, n_generated=16, batch_size=8, n_held_out=8)
    model, push = actor_critic(environment()), DiscriminatorCallback.push

    def interrupted(self: DiscriminatorCallback) -> None:
        if self.version == 1:
            raise KeyboardInterrupt
        push(self)

    with monkeypatch.context() as patch:
        patch.setattr(DiscriminatorCallback, "push", interrupted)
        with pytest.raises(KeyboardInterrupt):
            model.learn(16, callback=before)
    assert before.state_dict()["n_rounds"] == 1
    model.learn(16, callback=before)
    assert before.state_dict()["n_rounds"] == 3


def test_what_cannot_be_pretrained_is_refused() -> None:
    env = environment()
    with pytest.raises(ValueError, match=r"needs a policy with a generator, such as agents\..*, got ActorCriticPolicy"):
        PPO("MlpPolicy", env, device="cpu", **STEPS).learn(16, callback=PretrainingCallback())
    eos_id = env.get_attr("sequence_spec")[0].eos_id
    model = PPO(GeneratorActorCritic, env, policy_kwargs=SIZES, device="cpu", **STEPS)
    with pytest.raises(ValueError, match=rf"policy_kwargs says the former: eos_id={eos_id}, vocabulary='"):
        model.learn(16, callback=PretrainingCallback())
    with pytest.raises(ValueError, match=r"n_rounds_before needs a policy with a generator .* got ActorCriticPolicy"):
        PPO("MlpPolicy", env, device="cpu", **STEPS).learn(16, callback=DiscriminatorCallback(n_rounds_before=1))
    constrained = make_seqgan_vec_env("SeqGANGrammar-v0", n_envs=4, **GRAMMAR, min_length=5)
    with pytest.raises(ValueError, match=r"got GeneratorActorCritic under the constraints {'min_length': 5}"):
        actor_critic(constrained).learn(16, callback=DiscriminatorCallback(n_rounds_before=1))
    for wrapped, message in (
        (VecFrameStack(env, 2), "does a wrapper change observations or actions"),
        (
            VecNormalize(env),
            "observations must be tokens, .* got an environment inside VecNormalize; .* norm_obs=False",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            PPO(GeneratorActorCritic, wrapped, policy_kwargs=sizes_for(env), **STEPS).learn(16, PretrainingCallback(1))
    rescaled = VecNormalize(env, norm_obs=False)
    started(actor_critic(rescaled), PretrainingCallback(1))
    with pytest.raises(ValueError, match="learning_rate"):
        PretrainingCallback(learning_rate=-1)
    with pytest.raises(ValueError, match="n_epochs"):
        PretrainingCallback(0)
