"""Algorithms, rewards and shapings beside each other, each algorithm with the settings that a search has found.

``search`` tries settings on seeds that are not reported, ``run`` compares with the best of them, and ``report`` writes
docs/benchmark.md. All of it is done by ``seqgan sweep``'s own functions, so that it resumes, and can be widened.
"""
