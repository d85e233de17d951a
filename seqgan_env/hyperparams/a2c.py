"""Hyperparameters of A2C."""

from seqgan_env.hyperparams.tasks import after_pretraining

hyperparams = {
    "SeqGANGrammar-v0": after_pretraining(
        "SeqGANGrammar-v0", batches=False, learning_rate=0.000419, ent_coef=0.001, gae_lambda=1.0
    ),
}
"""By the id of a task."""
