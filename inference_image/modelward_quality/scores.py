"""Scores of two classes, in cells: what the areas under the curves and the calibration are made of.

A cell is a sixty-fourth of an octave of the smaller of the score and its complement, so that scores of rare classes
keep their order as well as those about a half. Rows of one cell count as tied. Each cell knows its lowest and highest
score: where these are equal it is a tie indeed, and each value says by how much it may be off because of the other
cells.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from modelward_quality.arrays import Floats, Integers, column, same_rows, weights_of
from modelward_quality.errors import QualityError
from modelward_quality.estimate import Estimate, estimate, quantile

PER_OCTAVE: Final = 64
OCTAVES: Final = 30
"""Below a half: what is below 2^-31 is one cell."""

LOWEST: Final = -PER_OCTAVE * OCTAVES - 1


@dataclass(frozen=True)
class Cell:
    """`low`, `high`: scores of its rows; sums of weights and of their squares by class."""

    cell: int
    rows: int
    low: float
    high: float
    positive: float = 0.0
    positive_squares: float = 0.0
    negative: float = 0.0
    negative_squares: float = 0.0


@dataclass(frozen=True)
class Scores:
    """`cells`: rising, each once."""

    cells: tuple[Cell, ...] = ()

    def __add__(self, other: "Scores") -> "Scores":
        return scores_of((*self.cells, *other.cells))

    @property
    def rows(self) -> int:
        return sum(each.rows for each in self.cells)


def cells_of(scores: Floats) -> Integers:
    """The number of each score's cell, shape (rows,): 0 is a half, what lies below is negative."""
    smaller = np.minimum(scores, 1 - scores)
    with np.errstate(divide="ignore"):
        depth = np.floor(np.log2(2 * smaller) * PER_OCTAVE)
    depth = np.maximum(depth, LOWEST)
    cells: Integers = np.where(scores < 0.5, depth, -depth).astype(np.int64)
    return cells


def scores_of(cells: Iterable[Cell]) -> Scores:
    """Of any cells, also of several of one number."""
    sums: dict[int, Cell] = {}
    for each in cells:
        so_far = sums.get(each.cell)
        sums[each.cell] = each if so_far is None else Cell(
            each.cell, so_far.rows + each.rows, min(so_far.low, each.low), max(so_far.high, each.high),
            so_far.positive + each.positive, so_far.positive_squares + each.positive_squares,
            so_far.negative + each.negative, so_far.negative_squares + each.negative_squares,
        )  # fmt: skip
    return Scores(tuple(sums[number] for number in sorted(sums)))


def scores(values: ArrayLike, positive: ArrayLike, weights: ArrayLike | None = None) -> Scores:
    """Of rows: probabilities of the positive class, and whether it was. Raises QualityError."""
    found, truth = column(values, "scores"), np.asarray(positive, bool)
    weight = weights_of(weights, same_rows(found, truth))
    if found.size and not 0 <= found.min() <= found.max() <= 1:
        raise QualityError(f"scores: {found.min():g} to {found.max():g} are no probabilities")
    numbers, place = np.unique(cells_of(found), return_inverse=True)
    low, high = np.full(numbers.size, 1.0), np.zeros(numbers.size)
    np.minimum.at(low, place, found)
    np.maximum.at(high, place, found)
    rows = np.bincount(place, minlength=numbers.size)
    sums = [np.bincount(place, weight**power * side, numbers.size) for side in (truth, ~truth) for power in (1, 2)]
    return Scores(
        tuple(
            Cell(int(number), int(count), float(least), float(most), *map(float, sides))
            for number, count, least, most, *sides in zip(numbers, rows, low, high, *sums, strict=True)
        )
    )


def _sides(table: Scores) -> tuple[Floats, Floats]:
    return _column(table, "positive"), _column(table, "negative")


def _column(table: Scores, name: str) -> Floats:
    return np.array([getattr(each, name) for each in table.cells], np.float64)


def _untied(table: Scores) -> Sequence[bool]:
    return [each.low < each.high for each in table.cells]


def roc_auc(table: Scores) -> Estimate | None:
    """None where a class has no row. Its interval after DeLong, DeLong and Clarke-Pearson 1988 ("Comparing the areas
    under two or more correlated receiver operating characteristic curves"), on the scale of the logit (Qin and
    Hotilovac 2008)."""
    yes, no = _sides(table)
    if yes.sum() == 0 or no.sum() == 0:
        return None
    below_yes = (np.cumsum(no) - no / 2) / no.sum()
    above_no = 1 - (np.cumsum(yes) - yes / 2) / yes.sum()
    value = float((yes * below_yes).sum() / yes.sum())
    within = float((yes * no)[_untied(table)].sum() / (2 * yes.sum() * no.sum()))
    sizes = (
        yes.sum() ** 2 / _column(table, "positive_squares").sum(),
        no.sum() ** 2 / _column(table, "negative_squares").sum(),
    )
    if min(sizes) <= 1:
        return estimate(value, None, table.rows, within)
    variance = sum(
        float((side * (shares - value) ** 2).sum() / side.sum()) / (size - 1)
        for side, shares, size in ((yes, below_yes, sizes[0]), (no, above_no, sizes[1]))
    )
    return estimate(value, _by_logit(value, variance, min(sizes)), table.rows, within)


def average_precision(table: Scores) -> Estimate | None:
    """The area under the curve of precision and recall, as the sum over thresholds of precision times what recall
    gains. None where no row is positive. Its interval by the logit (Boyd, Eng and Page 2013, "Area under the
    precision-recall curve: point estimates and confidence intervals")."""
    yes, no = _sides(table)
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
    untied = np.array(_untied(table)[::-1], bool) & (yes > 0)
    value = float((yes * reached).sum() / total)
    within = float((yes * np.maximum(best - reached, reached - worst))[untied].sum() / total)
    size = total**2 / _column(table, "positive_squares").sum()
    return estimate(value, _by_logit(value, value * (1 - value) / size, size), table.rows, within)


def _by_logit(value: float, variance: float, size: float) -> tuple[float, float]:
    """Of an area; at 0 and 1, where there is no logit, by the rule of three (Hanley and Lippman-Hand 1983)."""
    if value <= 0:
        return 0.0, min(1.0, 3 / size)
    if value >= 1:
        return max(0.0, 1 - 3 / size), 1.0
    centre, half = log(value / (1 - value)), quantile() * sqrt(max(variance, 0.0)) / (value * (1 - value))
    return _logistic(centre - half), _logistic(centre + half)


def _logistic(value: float) -> float:
    return 1 / (1 + exp(-value)) if value >= 0 else exp(value) / (1 + exp(value))
