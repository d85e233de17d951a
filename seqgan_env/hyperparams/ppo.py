"""Hyperparameters of PPO."""

from seqgan_env.hyperparams.tasks import after_pretraining

hyperparams = {
    "SeqGANGrammar-v0": after_pretraining(
        "SeqGANGrammar-v0", learning_rate=0.000304, n_epochs=3, ent_coef=0.001, gae_lambda=0.95
    ),
}
"""By the id of a task."""
