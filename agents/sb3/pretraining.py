"""Maximum likelihood before the reinforcement learning, as a callback of any algorithm of Stable-Baselines3."""

from __future__ import annotations

from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from agents.sb3.actor_critic import GeneratorFeatures
from agents.sb3.handle import TaskHandle
from agents.seqgan import SeqGAN
from seqgan_env.autoregressive import AutoregressiveModel, LikelihoodConfig, MaximumLikelihoodTrainer
from seqgan_env.checks import NonNegativeInt, PositiveInt, build_config, check_arguments
from seqgan_env.progress import progress


class PretrainingCallback(BaseCallback):
    """Train the policy's generator on the task's real sequences before the first episode (eq. 13.34).

    For where no code of one's own stands between the making of a model and its learning, as in RL Baselines3 Zoo; else
    there are ``SeqGAN.pretrain`` and ``with_generator``. A model that has been updated, has played, or has been trained
    by this callback before goes on as it is. In a list of callbacks it stands before ``DiscriminatorCallback``, whose
    ``n_rounds_before`` train against its result.

    Args:
        n_epochs: passes over the real sequences, in which the step size falls to 0 unless ``schedule`` says otherwise.
        seed: of the order of the sequences, and of dropout.
        verbose: 1 prints a line when it is done.
        **settings: fields of ``LikelihoodConfig`` of ``seqgan_env.autoregressive``: ``learning_rate``, ...

    Raises:
        ValueError: a value is out of range; or, in learning, the environment is none of seqgan_env, the model has no
            generator, neither as its policy (``GeneratorActorCritic``, ``SeqGAN``) nor to read prefixes
            (``GeneratorFeatures``), it was made for other sequences, or ``VecNormalize`` scales the observations.
    """

    @check_arguments
    def __init__(
        self, n_epochs: PositiveInt = 25, *, seed: NonNegativeInt = 0, verbose: NonNegativeInt = 0, **settings: Any
    ) -> None:
        super().__init__(verbose)
        self.n_epochs, self.seed = n_epochs, seed
        self.config = build_config(LikelihoodConfig, settings, "PretrainingCallback")
        self._trained: BaseAlgorithm | None = None  # the model whose generator it has trained

    def _init_callback(self) -> None:
        self._generators = _generators_of(self.model)
        self._handle = TaskHandle(self.training_env)
        made_for, spec = self._generators[0].spec, self._handle.spec
        if made_for != spec:
            has_its_size = (made_for.vocab_size, made_for.max_length) == (spec.vocab_size, spec.max_length)
            arguments = f"policy_kwargs says the former: eos_id={spec.eos_id!r}, vocabulary={spec.vocabulary!r}"
            hint = arguments if has_its_size else "does a wrapper change observations or actions?"
            raise ValueError(f"the generator was made for {made_for}, the environment has {spec}; {hint}")
        self._handle.check_not_normalized()

    @property
    def is_due(self) -> bool:
        """Whether the generator of the model is still to be trained."""
        is_begun = getattr(self.model, "_n_updates", 0) > 0 or self.model.num_timesteps > 0
        return not is_begun and self._trained is not self.model

    def _on_training_start(self) -> None:
        if not self.is_due:
            return
        first, *others = self._generators
        trainer = MaximumLikelihoodTrainer(first, self.config, seed=self.seed, total_epochs=self.n_epochs)
        real = self._handle.real_sequences
        with progress(self.n_epochs, "maximum likelihood", "epoch") as bar:
            for _ in range(self.n_epochs):
                loss = trainer.epoch(real)
                bar.update()
        for other in others:  # a network of targets has readers of its own
            other.load_state_dict(first.state_dict())
        self._trained = self.model
        self.logger.record("pretraining/loss", loss)
        if self.verbose >= 1:
            print(f"maximum likelihood: {loss:.3f} nats per token after {self.n_epochs} epochs")  # noqa: T201 - asked for

    def _on_step(self) -> bool:
        return True


def _generators_of(model: BaseAlgorithm) -> list[AutoregressiveModel]:
    """The generators in a model's networks.

    Raises:
        ValueError: there is none.
    """
    if isinstance(model, SeqGAN):
        return [model.generator]
    found = [module.generator for module in model.policy.modules() if isinstance(module, GeneratorFeatures)]
    if not found:
        raise ValueError(
            "PretrainingCallback needs a policy with a generator, such as agents.GeneratorActorCritic, got "
            f"{type(model.policy).__name__}"
        )
    return found
