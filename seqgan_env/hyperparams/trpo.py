"""Hyperparameters of TRPO."""

from seqgan_env.hyperparams.tasks import after_pretraining

hyperparams = {
    "SeqGANGrammar-v0": after_pretraining(
        "SeqGANGrammar-v0", target_kl=0.000356, gae_lambda=0.95, sub_sampling_factor=4, n_critic_updates=3
    ),
}
"""By the id of a task."""
