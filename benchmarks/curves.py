"""Curves of quality against diversity over temperature, and the distance between two of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from agents.runs.folder import Record
from agents.runs.phases import ADVERSARIAL

BASELINE = "max. likelihood"
"""The row that every other one is compared with."""
KEPT = ("temperature", "nll_oracle", "nll_test", "kl_forward", "kl_reverse", "kl_sum")
"""The measurements of each temperature that results keep."""
Curve = Sequence[tuple[float, float, float]]
"""Temperature, ``nll_oracle`` and ``nll_test``."""


def curve_of(records: Sequence[Record]) -> Curve:
    """The curve of one generator's records, one a temperature."""
    return [(r["temperature"], r["nll_oracle"], r["nll_test"]) for r in records]


def record_at(row: Mapping[str, Any], temperature: float = 1.0) -> Record:
    """The one of a row's ``records`` that was measured at a temperature."""
    found: Record = next(r for r in row["records"] if r["temperature"] == temperature)
    return found


def best_sum(row: Mapping[str, Any]) -> float:
    """The sum of both divergences at the temperature that suits a row best, nats per token."""
    return float(min(r["kl_sum"] for r in row["records"]))


def game_seconds(records: Sequence[Record]) -> float:
    """The seconds of a game's updates, with its discriminator's between them; 0 without a game."""
    times = [r["wall_time_s"] for r in records if r["phase"] == ADVERSARIAL]
    return float(times[-1] - times[0]) if times else 0.0


def quality_at(curve: Curve, diversity: float) -> float | None:
    """``nll_oracle`` where the curve has this ``nll_test``, by linear interpolation on its branch of low temperatures.

    Returns:
        None where the curve doesn't come down, or up, to this ``nll_test``.
    """
    falling = sorted(curve, reverse=True)  # by temperature
    best = int(np.argmin([point[2] for point in falling]))
    _, quality, diversities = (np.array(values) for values in zip(*falling[best:], strict=True))
    if not diversities[0] <= diversity <= diversities.max():
        return None
    last = int(np.argmax(diversities >= diversity))
    upto = slice(0, last + 1)
    return float(np.interp(diversity, diversities[upto], quality[upto]))


def diversity_at(curve: Curve, quality: float) -> float | None:
    """``nll_test`` where the curve has this ``nll_oracle``, by linear interpolation over temperatures.

    Returns:
        None where the curve doesn't come to this ``nll_oracle``.
    """
    _, qualities, diversities = (np.array(values) for values in zip(*sorted(curve), strict=True))  # by temperature
    if not qualities.min() <= quality <= qualities.max():
        return None
    last = int(np.argmax(qualities >= quality))  # the first that is as bad, coming from low temperatures
    between = slice(max(0, last - 1), last + 1)
    return float(np.interp(quality, qualities[between], diversities[between]))


def gain_at(curve: Curve, baseline: Curve, temperature: float) -> float | None:
    """``nll_oracle`` less that of the baseline, where ``nll_test`` is what the baseline has at a temperature.

    Args:
        curve: of a generator.
        baseline: that it is compared with.
        temperature: one of the baseline's.

    Returns:
        The difference, below 0 where the generator is better; None where its curve doesn't come to this ``nll_test``,
        or the baseline has no such temperature.
    """
    point = next((point for point in baseline if point[0] == temperature), None)
    if point is None:
        return None
    _, quality, diversity = point
    value = quality_at(curve, diversity)
    # a lower temperature of the baseline may have the same nll_test, and better quality
    return None if value is None else value - (quality_at(baseline, diversity) or quality)


def curves_of(rows: Sequence[Mapping[str, Any]]) -> list[Curve]:
    """The curve of each row."""
    return [curve_of(row["records"]) for row in rows]


def gains_at(
    own: Sequence[Mapping[str, Any]], baseline: Sequence[Mapping[str, Any]], temperature: float
) -> list[float | None]:
    """``gain_at`` of each seed.

    Args:
        own: the rows of a generator, one a seed, with its ``records`` by temperature.
        baseline: those that they are compared with.
        temperature: one of the baseline's.
    """
    pairs = zip(curves_of(own), curves_of(baseline), strict=True)
    return [gain_at(curve, other, temperature) for curve, other in pairs]


def levels_below(curve: Curve, baseline: Curve) -> tuple[int, int]:
    """At how many levels a curve lies below another one, and at how many they are compared.

    A level is the ``nll_test`` of the baseline at one of its temperatures, from that of its least ``nll_test`` down. A
    curve that doesn't come down to a level is not below there; one that ends before it, at the lowest temperature
    measured, is not compared there.
    """
    best, end = min(baseline, key=lambda point: point[2])[0], min(curve)[2]
    gains = [gain_at(curve, baseline, t) for t, _, diversity in baseline if t <= best and diversity <= end]
    return sum(gain is not None and gain < 0 for gain in gains), len(gains)


def below_cell(own: Sequence[Curve], baseline: Sequence[Curve]) -> str:
    """The text of ``levels_below``: its levels in all seeds, and the seeds in which each of them is below."""
    found = [levels_below(*pair) for pair in zip(own, baseline, strict=True)]
    n_below, n_levels = (sum(numbers) for numbers in zip(*found, strict=True))
    whole = sum(n == of > 0 for n, of in found)
    return f"{n_below} of {n_levels} levels, {whole} of {len(found)} seeds"
