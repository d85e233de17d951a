"""The worth of a reward: of the games of the demo, and of everything on the menu.

``python -m benchmarks.rewards run`` plays the games of the demo over several seeds, with a small generator and with a
large one; ``python -m benchmarks.rewards menu`` plays every reward, shaping and kind of discriminator with the small
one. Both resume, and write JSON into ``benchmarks/results``. ``python -m benchmarks.rewards report`` and
``menu-report`` write the tables and pictures of ``docs/results.md`` from these files, and train nothing.
"""
