"""Settings drawn from ranges, for a search: more trials add to those that there are.

The points are a scrambled Sobol sequence, which covers the ranges more evenly than independent draws do (for those:
Bergstra and Bengio, "Random Search for Hyper-Parameter Optimization", J. Mach. Learn. Res. 13, 2012). No trial waits
for the result of another one, so that all of them can be played at once, by any engine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch

from seqgan_env.checks import Interval, Seed, build_config, check_fields, shown

_DIGITS = 3  # of a drawn number, so that it can be written down; more where the range is narrow


@dataclass(frozen=True)
class Range:
    """The values between two numbers.

    Raises:
        ValueError: the bounds are the wrong way round or equal, too far apart to subtract, without a whole number
            between them where it must be one, or not above 0 where a logarithm needs it.
    """

    low: float
    """The least value."""
    high: float
    """The greatest."""
    log: bool = False
    """Draw the logarithm uniformly."""
    whole: bool = False
    """Whole numbers alone."""

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.low < self.high:
            raise ValueError(f"low must be below high, got {self.low:g} and {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"low must be above 0 where log is true, got {self.low:g}")
        if not math.isfinite(self.high - self.low):
            raise ValueError(f"high - low must be a finite number, got {self.low:g} and {self.high:g}")
        if self.whole and math.ceil(self.low) > math.floor(self.high):
            raise ValueError(f"a whole number must be from low to high, got {self.low:g} and {self.high:g}")

    def at(self, share: float) -> float | int:
        """The value at a share of the range, in [0, 1)."""
        if self.whole:
            low, high = math.ceil(self.low), math.floor(self.high)
            if not self.log:
                return low + int(share * (high + 1 - low))
            # each whole number takes the part of the logarithm down to halfway
            return min(high, max(low, round(_between(low - 0.5 if low > 1 else 0.5, high + 0.5, share, True))))
        narrow = max(abs(self.low), abs(self.high)) / (self.high - self.low)
        n_digits = _DIGITS + (math.ceil(math.log10(narrow)) if narrow > 10 else 0)
        value = float(f"{_between(self.low, self.high, share, self.log):.{n_digits}g}")
        return min(self.high, max(self.low, value))


@dataclass(frozen=True)
class _Trials:
    trials: Annotated[int, Interval(1, 10_000)]  # each of them is a run, whose settings are checked before the first
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_fields(self)


def drawn(name: str, table: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The settings of every trial.

    Args:
        name: of the table, for an error.
        table: ``trials``, how many; ``seed``, 0 if it is not there; and by the name of each setting a list of values,
            or the fields of ``Range``. Their order does not matter. A setting of one of these two names can't be
            searched; a grid takes it.

    Raises:
        ValueError: something is missing, unknown or out of range.
    """
    own = {key: table[key] for key in ("trials", "seed") if key in table}
    for key, value in own.items():
        if isinstance(value, (Mapping, list, tuple)):  # as if it were a setting of that name
            raise ValueError(
                f"{key} of {name} must be a number of its own, got {shown(value)}; a setting of the name {key!r} can't "
                "be searched, but a grid takes a list of its values"
            )
    if "trials" not in own:
        raise ValueError(f"{name} must have trials, how many settings are drawn")
    wanted = build_config(_Trials, own, name)
    choices = {key: _choice(f"{name}, {key}", each) for key, each in sorted(table.items()) if key not in own}
    if not choices:
        raise ValueError(f"{name} must have the range of at least one setting")
    engine = torch.quasirandom.SobolEngine(len(choices), scramble=True, seed=wanted.seed)
    shares = engine.draw(wanted.trials, dtype=torch.float64).clamp(0, 1 - 1e-9).tolist()
    return [
        {key: _value(choice, share) for (key, choice), share in zip(choices.items(), row, strict=True)}
        for row in shares
    ]


def _choice(name: str, given: Any) -> Range | Sequence[Any]:
    if isinstance(given, Mapping) and {"low", "high"} <= set(given):
        return build_config(Range, dict(given), name)
    if isinstance(given, (list, tuple)) and given:
        return given
    raise ValueError(f"{name} must be a list of values, or a table of low and high; got {shown(given)}")


def _value(choice: Range | Sequence[Any], share: float) -> Any:
    return choice.at(share) if isinstance(choice, Range) else choice[int(share * len(choice))]


def _between(low: float, high: float, share: float, log: bool) -> float:
    if log:
        return math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    return low + share * (high - low)
