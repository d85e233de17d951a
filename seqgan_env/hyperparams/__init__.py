"""Hyperparameters that a search has found, by algorithm and task, as RL Baselines3 Zoo reads them.

``python -m rl_zoo3.train --algo ppo --env SeqGANGrammar-v0 --gym-packages seqgan_env -conf seqgan_env.hyperparams.ppo``
and ``--eval-freq -1``: the zoo's evaluations would be paid by a discriminator that nothing trains.
"""
