"""Progress of single calls that take long."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm

_SECONDS = 10.0


def progress(total: int, desc: str, unit: str) -> tqdm[Any]:
    """A bar with an estimate of the time left that appears on a terminal after ten seconds, and goes when it is done.

    Args:
        total: how many units there are; ``update`` counts them.
        desc: what is done.
        unit: one of what.
    """
    return tqdm(total=total, desc=desc, unit=unit, unit_scale=True, delay=_SECONDS, leave=False, disable=None)
