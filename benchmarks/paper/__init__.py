"""The experiment of the SeqGAN paper: its table with controls, rivals and whole curves over temperature.

``python -m benchmarks.paper run`` trains every row over several seeds (it resumes) and writes
``benchmarks/results/paper.json``; ``python -m benchmarks.paper report`` writes the tables and pictures of
``docs/results.md`` from it, and trains nothing.
"""
