"""The mean of something, of weighted rows: count, weight, mean, and the sum of squared distances from it.

Merged as Chan, Golub and LeVeque 1983 ("Algorithms for computing the sample variance") do it, which loses no digits
where the mean is large.
"""

from dataclasses import dataclass
from math import isfinite, nan

import numpy as np
from numpy.typing import ArrayLike

from modelward_quality.arrays import column, same_rows, weights_of
from modelward_quality.errors import QualityError
from modelward_quality.estimate import LEVEL, Estimate, estimate, normal


@dataclass(frozen=True)
class Moments:
    """`weight`: the sum of weights; `squares`: of their squares; `mean`: weighted; `spread`: the weighted sum of
    squared distances from the mean."""

    rows: int = 0
    weight: float = 0.0
    squares: float = 0.0
    mean: float = 0.0
    spread: float = 0.0

    def __add__(self, other: "Moments") -> "Moments":
        weight = self.weight + other.weight
        if weight == 0:
            return Moments(self.rows + other.rows)
        away = other.mean - self.mean
        share = other.weight / weight
        return Moments(
            self.rows + other.rows,
            weight,
            self.squares + other.squares,
            self.mean + away * share,
            self.spread + other.spread + away * away * self.weight * share,
        )

    @property
    def size(self) -> float:
        """Effective rows (Kish 1965, "Survey Sampling"): as many equally weighted ones would be as sure."""
        return self.weight**2 / self.squares if self.squares else 0.0

    @property
    def variance_of_mean(self) -> float:
        """NaN below two effective rows."""
        if self.size <= 1:
            return nan
        return self.spread / self.weight / (self.size - 1)

    def estimate(self, low: float = float("-inf"), high: float = float("inf"), level: float = LEVEL) -> Estimate | None:
        """The mean, None without rows. `low`, `high`: what it can't leave."""
        if self.weight == 0:
            return None
        return estimate(self.mean, normal(self.mean, self.variance_of_mean, low, high, level), self.rows)


def moments(values: ArrayLike, weights: ArrayLike | None = None) -> Moments:
    """Of finite `values`, shape (rows,). Raises QualityError."""
    found = column(values, "values")
    weight = weights_of(weights, found.size)
    same_rows(found, weight)
    total = float(weight.sum())
    if total == 0:
        return Moments(found.size)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(np.average(found, weights=weight))
        spread = float((weight * (found - mean) ** 2).sum())
    if not (isfinite(mean) and isfinite(spread)):
        raise QualityError(f"values: {found.min():g} to {found.max():g} are too large to be squared")
    return Moments(found.size, total, float((weight**2).sum()), mean, spread)
