"""Scores of two classes, in cells: what the areas under the curves and the calibration are made of.

A cell is a sixty-fourth of an octave of the smaller of the score and its complement, so that scores of rare classes
keep their order as well as those about a half. Rows of one cell count as tied. Each cell knows its lowest and highest
score: where these are equal it is a tie indeed, and each value says by how much it may be off because of the other
cells.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from math import exp, log, sqrt
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from modelward_quality.arrays import Floats, Integers, probabilities, same_rows, truths, weights_of
from modelward_quality.errors import QualityError
from modelward_quality.estimate import LEVEL, Estimate, estimate, quantile

PER_OCTAVE: Final = 64
OCTAVES: Final = 30
"""Below a half: what is below 2^-31 is one cell."""

LOWEST: Final = -PER_OCTAVE * OCTAVES - 1


@dataclass(frozen=True, eq=False)
class Scores:
    """Columns of cells that rise, each once: `cell`: its number; `rows`; `low`, `high`: the scores of its rows; sums of
    weights and of their squares by class. All have the shape (cells,)."""

    cell: Integers
    rows: Integers
    low: Floats
    high: Floats
    positive: Floats
    positive_squares: Floats
    negative: Floats
    negative_squares: Floats

    def __add__(self, other: "Scores") -> "Scores":
        return scores_of(
            **{
                each.name: np.concatenate([getattr(self, each.name), getattr(other, each.name)])
                for each in fields(self)
            }
        )


def cells_of(scores: Floats) -> Integers:
    """The number of each score's cell, shape (rows,): 0 is a half, what lies below is negative."""
    smaller = np.minimum(scores, 1 - scores)
    with np.errstate(divide="ignore"):
        depth = np.floor(np.log2(2 * smaller) * PER_OCTAVE)
    depth = np.maximum(depth, LOWEST)
    cells: Integers = np.where(scores < 0.5, depth, -depth).astype(np.int64)
    return cells


def scores_of(
    cell: ArrayLike,
    rows: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    positive: ArrayLike,
    positive_squares: ArrayLike,
    negative: ArrayLike,
    negative_squares: ArrayLike,
) -> Scores:
    """Of columns of any cells, also of several of one number."""
    numbers, place = np.unique(np.asarray(cell, np.int64), return_inverse=True)
    least, most = np.full(numbers.size, np.inf), np.full(numbers.size, -np.inf)
    np.minimum.at(least, place, np.asarray(low, np.float64))
    np.maximum.at(most, place, np.asarray(high, np.float64))

    def summed(column: ArrayLike) -> Floats:
        return np.bincount(place, np.asarray(column, np.float64), numbers.size).astype(np.float64)

    counted = summed(rows).astype(np.int64)
    return Scores(numbers, counted, least, most, *map(summed, (positive, positive_squares, negative, negative_squares)))


def nothing() -> Scores:
    """Of no row."""
    return scores_of(*([[]] * len(fields(Scores))))


def scores(values: ArrayLike, positive: ArrayLike, weights: ArrayLike | None = None) -> Scores:
    """Of rows: probabilities of the positive class, and whether it was. Raises QualityError."""
    found, truth = probabilities(values), truths(positive)
    weight = weights_of(weights, same_rows(found, truth))
    sides = (weight**power * side for side in (truth, ~truth) for power in (1, 2))
    return scores_of(cells_of(found), np.ones(found.size), found, found, *sides)


def dump(table: Scores) -> dict[str, list[float]]:
    """As JSON has it."""
    return {each.name: getattr(table, each.name).tolist() for each in fields(table)}


def load(stored: Mapping[str, Sequence[float]]) -> Scores:
    """The inverse of `dump`. Raises QualityError."""
    try:
        columns = {each.name: np.asarray(stored[each.name], np.float64) for each in fields(Scores)}
    except (KeyError, TypeError, ValueError) as error:
        raise QualityError(f"cells of scores can't be read: {error!r}") from error
    if len({each.shape for each in columns.values()}) != 1 or columns["cell"].ndim != 1:
        raise QualityError("cells of scores can't be read: their columns are not equally long")
    if not all(np.isfinite(each).all() for each in columns.values()):
        raise QualityError("cells of scores can't be read: some numbers are not finite")
    return scores_of(**columns)


def roc_auc(table: Scores, level: float = LEVEL) -> Estimate | None:
    """None where a class has no row. Its interval after DeLong, DeLong and Clarke-Pearson 1988 ("Comparing the areas
    under two or more correlated receiver operating characteristic curves"), on the scale of the logit (Qin and
    Hotilovac 2008)."""
    yes, no = table.positive, table.negative
    if yes.sum() == 0 or no.sum() == 0:
        return None
    below_yes = (np.cumsum(no) - no / 2) / no.sum()
    above_no = 1 - (np.cumsum(yes) - yes / 2) / yes.sum()
    value = float((yes * below_yes).sum() / yes.sum())
    within = float((yes * no)[table.low < table.high].sum() / (2 * yes.sum() * no.sum()))
    sizes = (
        yes.sum() ** 2 / table.positive_squares.sum(),
        no.sum() ** 2 / table.negative_squares.sum(),
    )
    if min(sizes) <= 1:
        return estimate(value, None, int(table.rows.sum()), within)
    variance = sum(
        float((side * (shares - value) ** 2).sum() / side.sum()) / (size - 1)
        for side, shares, size in ((yes, below_yes, sizes[0]), (no, above_no, sizes[1]))
    )
    return estimate(value, _by_logit(value, variance, min(sizes), level), int(table.rows.sum()), within)


def average_precision(table: Scores, level: float = LEVEL) -> Estimate | None:
    """The area under the curve of precision and recall, as the sum over thresholds of precision times what recall
    gains. None where no row is positive. Its interval by the logit (Boyd, Eng and Page 2013, "Area under the
    precision-recall curve: point estimates and confidence intervals")."""
    yes, no = table.positive, table.negative
    total = yes.sum()
    if total == 0:
        return None
    yes, no = yes[::-1], no[::-1]
    hits, all_of_them = np.cumsum(yes), np.cumsum(yes + no)
    with np.errstate(invalid="ignore", divide="ignore"):
        reached = np.where(all_of_them > 0, hits / all_of_them, 0.0)
        before_hits, before_all = hits - yes, all_of_them - yes - no
        # The order within a cell is unknown: at best its positive rows come first, at worst last.
        best = np.where(before_all + yes > 0, (before_hits + yes) / (before_all + yes), 0.0)
        worst = np.where(before_all + no > 0, before_hits / (before_all + no), 0.0)
    untied = (table.low < table.high)[::-1] & (yes > 0)
    value = float((yes * reached).sum() / total)
    within = float((yes * np.maximum(best - reached, reached - worst))[untied].sum() / total)
    size = total**2 / table.positive_squares.sum()
    return estimate(value, _by_logit(value, value * (1 - value) / size, size, level), int(table.rows.sum()), within)


def _by_logit(value: float, variance: float, size: float, level: float) -> tuple[float, float]:
    """Of an area; at 0 and 1, where there is no logit, by the rule of three (Hanley and Lippman-Hand 1983): 3 is
    the logarithm of 20, which is 1 / (1 - level) where that is 0.95."""
    nothing_seen = -log(1 - level) / size
    if value <= 0:
        return 0.0, min(1.0, nothing_seen)
    if value >= 1:
        return max(0.0, 1 - nothing_seen), 1.0
    centre, half = log(value / (1 - value)), quantile(level) * sqrt(max(variance, 0.0)) / (value * (1 - value))
    return _logistic(centre - half), _logistic(centre + half)


def _logistic(value: float) -> float:
    return 1 / (1 + exp(-value)) if value >= 0 else exp(value) / (1 + exp(value))
