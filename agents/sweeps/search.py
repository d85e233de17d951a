"""Settings drawn from ranges, for a search: more trials add to those that there are.

The points are a scrambled Sobol sequence, which covers the ranges more evenly than independent draws do (for those:
Bergstra and Bengio, "Random Search for Hyper-Parameter Optimization", J. Mach. Learn. Res. 13, 2012). No trial waits
for the result of another one, so that all of them can be played at once, by any engine. Or Optuna proposes them:
``agents.sweeps.adaptive``.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch

from agents.runs.tune import load_optuna
from seqgan_env.checks import Interval, PositiveInt, Seed, build_config, check_choice, check_fields, shown
from seqgan_env.metrics import columns

_DIGITS = 3  # of a drawn number; more where the range is narrow
_TINY = 1e-9


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
        return self.rounded(_between(self.low, self.high, share, self.log))

    def rounded(self, value: float) -> float:
        """A value of the range with few digits, so that it can be written down."""
        narrow = max(abs(self.low), abs(self.high)) / (self.high - self.low)
        n_digits = _DIGITS + (math.ceil(math.log10(narrow)) if narrow > 10 else 0)
        return min(self.high, max(self.low, float(f"{value:.{n_digits}g}")))


@dataclass(frozen=True)
class Search:
    """The trials of an entry of an axis.

    Raises:
        ValueError: a value is out of range, or goes with the other sampler.
    """

    choices: Mapping[str, Any]
    """By the name of each setting a ``Range`` or a list of values."""
    trials: Annotated[int, Interval(1, 10_000)]
    """The settings that are tried; each is a run for every seed."""
    seed: Seed = 0
    """That they are drawn by."""
    sampler: Literal["sobol", "tpe"] = "sobol"
    """Evenly over all ranges, or as Optuna's tree of Parzen estimators learns from the trials before."""
    metric: str | None = None
    """The column of a metric by which Optuna learns: the mean over the seeds, at the end of the runs."""
    at_once: PositiveInt | None = None
    """The trials that Optuna proposes before it learns from any of them; None is 4."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.is_adaptive != (self.metric is not None) or not (self.is_adaptive or self.at_once is None):
            raise ValueError(
                "the sampler tpe needs a metric, and sobol takes neither that nor at_once; got "
                f"sampler {self.sampler!r}, metric {self.metric!r}, at_once {self.at_once}"
            )
        if self.metric is not None:
            check_choice("metric", self.metric, [name for name, each in columns().items() if each.better != "neither"])
            load_optuna()

    @property
    def is_adaptive(self) -> bool:
        """Whether a proposal depends on how others have ended."""
        return self.sampler == "tpe"

    def drawn(self) -> list[dict[str, Any]]:
        """The settings of every trial, of the sampler that waits for no result."""
        engine = torch.quasirandom.SobolEngine(len(self.choices), scramble=True, seed=self.seed)
        shares = engine.draw(self.trials, dtype=torch.float64).clamp(0, 1 - _TINY).tolist()
        return [
            {key: _value(choice, share) for (key, choice), share in zip(self.choices.items(), row, strict=True)}
            for row in shares
        ]

    def ends(self) -> Iterator[dict[str, Any]]:
        """Settings among which are both ends of each range and every value of each list."""
        shares = {
            key: (0.0, 1 - _TINY)
            if isinstance(choice, Range)
            else [(i + 0.5) / len(choice) for i in range(len(choice))]
            for key, choice in self.choices.items()
        }
        for row in itertools.zip_longest(*shares.values(), fillvalue=0.0):
            yield {key: _value(self.choices[key], share) for key, share in zip(shares, row, strict=True)}


_OWN = [field.name for field in dataclasses.fields(Search) if field.name != "choices"]


def search_of(name: str, table: Mapping[str, Any]) -> Search:
    """The search that a table means.

    Args:
        name: of the table, for an error.
        table: the fields of ``Search``, and by the name of each setting a list of values, or the fields of ``Range``.
            Their order does not matter. A setting of the name of a field can't be searched; a grid takes it.

    Raises:
        ValueError: something is missing, unknown or out of range, or Optuna is not installed.
    """
    own = {key: table[key] for key in _OWN if key in table}
    for key, value in own.items():
        if isinstance(value, (Mapping, list, tuple)):  # as if it were a setting of that name
            raise ValueError(
                f"{key} of {name} must be a value of its own, got {shown(value)}; a setting of the name {key!r} can't "
                "be searched, but a grid takes a list of its values"
            )
    if "trials" not in own:
        raise ValueError(f"{name} must have trials, how many settings are drawn")
    choices = {key: _choice(f"{name}, {key}", each) for key, each in sorted(table.items()) if key not in own}
    if not choices:
        raise ValueError(f"{name} must have the range of at least one setting")
    return build_config(Search, {**own, "choices": choices}, name)


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
