"""The evaluations of a run as a checkpoint gives them back."""

from __future__ import annotations

from typing import Any

from agents.runs.phases import ADVERSARIAL, DISCRIMINATOR, FINAL_TEMPERATURE, LIKELIHOOD, RANDOM, TEMPERATURE
from seqgan_env.checks import NonNegativeInt, check_choice, check_type, shown
from seqgan_env.metrics import METRICS, columns
from seqgan_env.metrics.base import RESERVED

MEASURED = (RANDOM, LIKELIHOOD, TEMPERATURE, DISCRIMINATOR, ADVERSARIAL, FINAL_TEMPERATURE)
"""The names of all measurements."""


def check_records(records: Any) -> None:
    """Refuse what is not the evaluations of a run, each with the same measurements of the generator.

    Those on request may differ: at another temperature than 1, or of an odd sample, some are not defined.

    Raises:
        ValueError: it is not.
    """
    known = {*columns(), *RESERVED}
    always = [entry.metric.columns for entry in METRICS.values() if entry.group is None]
    of_generator = {name for own in always for name, column in own.items() if column.subject == "generator"}
    if not isinstance(records, list):
        raise ValueError(f"the records must be a list, got {shown(records)}")
    for number, record in enumerate(records):
        if not isinstance(record, dict) or not isinstance(record.get("phase"), str):
            raise ValueError(f"record {number} must be measurements by name, and their phase; got {shown(record)}")
        check_choice(f"the phase of record {number}", record["phase"], MEASURED)
        if unknown := sorted(map(str, record.keys() - known)):
            raise ValueError(f"record {number} has measurements of no registered metric: {', '.join(unknown)}")
        check_type(f"step of record {number}", record.get("step"), NonNegativeInt)
        for name, value in record.items():
            if name != "phase" and (isinstance(value, bool) or not isinstance(value, (int, float))):
                raise ValueError(f"{name} of record {number} must be a number, got {shown(value)}")
        if differing := of_generator & (record.keys() ^ records[0].keys()):
            raise ValueError(f"record {number} has unknown or missing measurements: {', '.join(sorted(differing))}")
