"""The regimes in which a game teaches what maximum likelihood does not: a map over generator, data, task and judge.

``python -m benchmarks.regimes run`` trains every cell (it resumes) and writes ``benchmarks/results/regimes.json``;
``python -m benchmarks.regimes report`` writes the table and the picture of ``docs/results.md`` from it.
"""
