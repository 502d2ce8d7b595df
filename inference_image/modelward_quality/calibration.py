"""Whether of the rows with a score of 0.7 seven in ten were positive."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from modelward_quality.arrays import probabilities, same_rows, truths, weights_of
from modelward_quality.estimate import LEVEL, Estimate, estimate, wilson
from modelward_quality.sums import summed

BINS: Final = 10
"""Of equal width."""


@dataclass(frozen=True)
class Bin:
    """`number`: from 0; `foretold`, `positive`: weighted sums of scores and of positive rows; `squares`: of weights."""

    number: int
    rows: int
    weight: float
    squares: float
    foretold: float
    positive: float

    def __add__(self, other: "Bin") -> "Bin":
        """Of the same number."""
        return Bin(
            self.number,
            self.rows + other.rows,
            self.weight + other.weight,
            self.squares + other.squares,
            self.foretold + other.foretold,
            self.positive + other.positive,
        )

    @property
    def score(self) -> float:
        """The mean."""
        return self.foretold / self.weight

    def share(self) -> Estimate:
        """Of positive rows."""
        value = self.positive / self.weight
        return estimate(value, wilson(value, self.weight**2 / self.squares), self.rows)


@dataclass(frozen=True)
class Calibration:
    """`bins`: rising, each once, those with rows."""

    bins: tuple[Bin, ...] = ()

    def __add__(self, other: "Calibration") -> "Calibration":
        return calibration_of((*self.bins, *other.bins))


def calibration_of(bins: Iterable[Bin]) -> Calibration:
    """Of any bins, also of several of one number."""
    return Calibration(summed(bins, lambda each: each.number))


def calibration(scores: ArrayLike, positive: ArrayLike, weights: ArrayLike | None = None) -> Calibration:
    """Of rows: probabilities of the positive class, and whether it was. Raises QualityError."""
    found, truth = probabilities(scores), truths(positive)
    weight = weights_of(weights, same_rows(found, truth))
    numbers, place = np.unique(np.minimum((found * BINS).astype(np.int64), BINS - 1), return_inverse=True)
    sums = (np.bincount(place, each, numbers.size) for each in (weight, weight**2, weight * found, weight * truth))
    rows = np.bincount(place, minlength=numbers.size)
    return Calibration(
        tuple(
            Bin(int(number), int(count), *map(float, each))
            for number, count, *each in zip(numbers, rows, *sums, strict=True)
        )
    )


def calibration_error(table: Calibration, _level: float = LEVEL) -> Estimate | None:
    """Expected calibration error: the mean distance of score and share over the bins, weighted by rows (Naeini, Cooper
    and Hauskrecht 2015, "Obtaining well calibrated probabilities using Bayesian binning"). It is never below 0, and so
    above it by chance for a calibrated model, too: no interval is given."""
    filled = [each for each in table.bins if each.weight > 0]
    weight = sum(each.weight for each in filled)
    if weight == 0:
        return None
    value = sum(abs(each.foretold - each.positive) for each in filled) / weight
    return estimate(value, None, sum(each.rows for each in filled))
