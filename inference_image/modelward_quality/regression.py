"""Numbers foretold: RMSE, MAE, MAPE, R²."""

from dataclasses import dataclass, field
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike

from modelward_quality.arrays import column, same_rows
from modelward_quality.estimate import LEVEL, Estimate, estimate
from modelward_quality.moments import Moments, moments


@dataclass(frozen=True)
class Errors:
    """Moments of the outcome, of the error (foretold less outcome), its square, its size, and its size relative to that
    of the outcome."""

    outcome: Moments = field(default_factory=Moments)
    error: Moments = field(default_factory=Moments)
    square: Moments = field(default_factory=Moments)
    absolute: Moments = field(default_factory=Moments)
    relative: Moments = field(default_factory=Moments)

    def __add__(self, other: "Errors") -> "Errors":
        return Errors(
            self.outcome + other.outcome,
            self.error + other.error,
            self.square + other.square,
            self.absolute + other.absolute,
            self.relative + other.relative,
        )


def errors(outcomes: ArrayLike, foretold: ArrayLike, weights: ArrayLike | None = None) -> Errors:
    """Of rows. Raises QualityError."""
    truth, said = column(outcomes, "outcomes"), column(foretold, "foretold")
    same_rows(truth, said)
    error = said - truth
    with np.errstate(over="ignore"):
        square, relative = error**2, np.abs(error) / np.maximum(np.abs(truth), np.finfo(np.float64).eps)
    return Errors(*(moments(each, weights) for each in (truth, error, square, np.abs(error), relative)))


def rmse(found: Errors, level: float = LEVEL) -> Estimate | None:
    """The root of the mean squared error, in the outcome's unit."""
    mean = found.square.estimate(low=0.0, level=level)
    if mean is None:
        return None
    interval = None if mean.low is None or mean.high is None else (sqrt(mean.low), sqrt(mean.high))
    return estimate(sqrt(mean.value), interval, mean.rows)


def mae(found: Errors, level: float = LEVEL) -> Estimate | None:
    return found.absolute.estimate(low=0.0, level=level)


def mape(found: Errors, level: float = LEVEL) -> Estimate | None:
    """As a fraction: 0.1 is ten percent. An outcome of 0 counts as the smallest number, as in scikit-learn."""
    return found.relative.estimate(low=0.0, level=level)


def bias(found: Errors, level: float = LEVEL) -> Estimate | None:
    """The mean error: above 0 where too much is foretold."""
    return found.error.estimate(level=level)


def r2(found: Errors, _level: float = LEVEL) -> Estimate | None:
    """1 less the squared errors by the outcomes' spread. None where all outcomes are the same, or there is but one."""
    if found.outcome.rows < 2 or found.outcome.spread == 0:
        return None
    value = 1 - found.square.mean * found.square.weight / found.outcome.spread
    return estimate(value, None, found.outcome.rows)
