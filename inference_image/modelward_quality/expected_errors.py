"""Errors of numbers whose outcomes are not known yet, by how large those of such numbers turned out to be.

Direct loss estimation (DLE; NannyML's documentation, "How it works: performance estimation") with what was foretold as
the one thing that the size of an error is learnt from, in steps: rows whose outcomes are known are put into cells of
what was foretold, and those that wait have the mean loss of their cell. It sees that a model gets more of the numbers
that it is bad at, and not that the same rows turn out otherwise: no alarm is made of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Final

from modelward_quality.estimate import Estimate, estimate, normal
from modelward_quality.moments import Moments

CELLS: Final = 50
"""Of as many known rows each."""

LEAST: Final = 30
"""Known rows, effective ones, of a cell of which something is said."""


@dataclass(frozen=True)
class Known:
    """Of the rows of a cell: moments of the size of their errors, and of its square."""

    absolute: Moments
    square: Moments


@dataclass(frozen=True)
class Waiting:
    """Of the rows of a cell: `weight`, `squares`: sums of weights and of their squares."""

    rows: int
    weight: float
    squares: float


def estimates(known: Mapping[int, Known], waiting: Mapping[int, Waiting]) -> dict[str, Estimate]:
    """`mae` and `rmse` of the rows that wait, by cell. Nothing where one of their cells has too few known rows."""
    rows = sum(each.rows for each in waiting.values())
    if rows == 0 or any(cell not in known or known[cell].absolute.size < LEAST for cell in waiting):
        return {}
    mae = _mean({cell: known[cell].absolute for cell in waiting}, waiting)
    square = _mean({cell: known[cell].square for cell in waiting}, waiting)
    interval = None if square.low is None or square.high is None else (sqrt(max(0.0, square.low)), sqrt(square.high))
    return {"mae": mae, "rmse": estimate(sqrt(square.value), interval, rows)}


def _mean(losses: Mapping[int, Moments], waiting: Mapping[int, Waiting]) -> Estimate:
    """Its variance is that of each row's loss in its cell, and that of the cells' means (Cochran 1977, "Sampling
    Techniques", post-stratification)."""
    whole = sum(each.weight for each in waiting.values())
    value = variance = 0.0
    for cell, each in waiting.items():
        loss, share = losses[cell], each.weight / whole
        value += share * loss.mean
        spread = loss.spread / loss.weight
        variance += spread * each.squares / whole**2 + share**2 * loss.variance_of_mean
    return estimate(value, normal(value, variance, 0.0), sum(each.rows for each in waiting.values()))
