"""Trackers: the evaluations of a run, told to TensorBoard, Weights & Biases, MLflow, trackio or one of the user's own.

A step is the number of an evaluation in ``metrics.jsonl``, from 1; in a sweep it is the tokens chosen so far.
"""

from agents.runs.trackers import services as services  # registers those that the project brings
from agents.runs.trackers.base import TRACKERS, TrackedRun, Tracker, register_tracker
from agents.runs.trackers.writer import Trackers, values_of

__all__ = ["TRACKERS", "TrackedRun", "Tracker", "Trackers", "register_tracker", "values_of"]
