"""The speed of the hot paths: against a plain reference, against the arithmetic floor, and how their cost grows.

``python -m benchmarks.speed run`` measures at the size of the paper (a quarter of an hour on two cores) and writes
``benchmarks/results/speed.json``; ``--device cuda`` measures the same on a GPU and writes ``speed_cuda.json``.
``python -m benchmarks.speed report`` writes the table and the picture of ``docs/performance.md`` from the files.

Ours and the reference (``benchmarks.plain``) run in one process, in turn. The floor is the time that a perfect program
would need: its multiplications at the rate of a large matrix product, plus the table rows it must read at the rate of a
copy. Exponentials and random numbers are not counted. A machine that others share may be twice as fast one minute as
the next, so the two rates are measured directly before and after a path, its reference directly after it, and what is
reported are medians of the ratios.
"""
