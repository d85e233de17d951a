"""Hyperparameters of TRPO."""

from seqgan_env.hyperparams.tasks import after_pretraining

hyperparams = {
    "SeqGANGrammar-v0": after_pretraining("SeqGANGrammar-v0", target_kl=0.00192, gae_lambda=1),
}
"""By the id of a task."""
