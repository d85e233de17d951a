"""A person judges two generators without knowing which wrote what: ``seqgan judge``."""

from agents.judging.ballot import Ballot, Pair, Preference, draw_pairs
from agents.judging.server import serve

__all__ = ["Ballot", "Pair", "Preference", "draw_pairs", "serve"]
