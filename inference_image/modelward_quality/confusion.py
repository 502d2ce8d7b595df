"""Which label was foretold for which: what accuracy, precision, recall and F1 are made of."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modelward_quality.arrays import Floats, same_rows, weights_of
from modelward_quality.errors import QualityError
from modelward_quality.estimate import LEVEL, Estimate, estimate, normal, wilson
from modelward_quality.moments import Moments
from modelward_quality.sums import summed

LABELS: Final = 1000
"""A table of more labels is refused: it is no classification, or the wrong column."""


@dataclass(frozen=True)
class Pair:
    """Rows of one label for which one was foretold. `squares`: the sum of the squares of their weights."""

    label: str
    foretold: str
    rows: int
    weight: float
    squares: float

    def __add__(self, other: "Pair") -> "Pair":
        """Of the same labels."""
        sums = (self.rows + other.rows, self.weight + other.weight, self.squares + other.squares)
        return Pair(self.label, self.foretold, *sums)


@dataclass(frozen=True)
class Share:
    """Of how many (effective) rows, 0 where none has a weight: then `value` says nothing."""

    value: float
    size: float
    rows: int

    def estimate(self, level: float = LEVEL) -> Estimate | None:
        """With its interval, None of no rows."""
        return estimate(self.value, wilson(self.value, self.size, level), self.rows) if self.size else None


@dataclass(frozen=True)
class Confusion:
    """`pairs`: sorted, each once."""

    pairs: tuple[Pair, ...] = ()

    def __add__(self, other: "Confusion") -> "Confusion":
        return confusion_of((*self.pairs, *other.pairs))

    @property
    def rows(self) -> int:
        return sum(each.rows for each in self.pairs)

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(sorted({each.label for each in self.pairs} | {each.foretold for each in self.pairs}))

    def share(self, hit: Callable[[Pair], bool], among: Callable[[Pair], bool]) -> "Share":
        """Of `hit`, weighted, among the rows that `among` lets through."""
        asked = [each for each in self.pairs if among(each)]
        rows, weight = sum(each.rows for each in asked), sum(each.weight for each in asked)
        if weight == 0:
            return Share(0.0, 0.0, rows)
        value = sum(each.weight for each in asked if hit(each)) / weight
        return Share(value, weight**2 / sum(each.squares for each in asked), rows)


def confusion_of(pairs: Iterable[Pair]) -> Confusion:
    """Of any pairs, also of several for the same two labels. Raises QualityError beyond LABELS."""
    made = Confusion(summed(pairs, lambda each: (each.label, each.foretold)))
    if len(made.labels) > LABELS:
        raise QualityError(
            f"{len(made.labels)} labels are more than {LABELS}: is it a number, and the task a regression?"
        )
    return made


def confusion(labels: ArrayLike, foretold: ArrayLike, weights: ArrayLike | None = None) -> Confusion:
    """Of rows; labels of any type, as text: whole numbers without a point, truths beside numbers as 1 and 0. Raises
    QualityError."""
    true, said = np.asarray(labels), np.asarray(foretold)
    if {true.dtype.kind, said.dtype.kind} <= set("biuf") and true.dtype.kind != said.dtype.kind:
        true, said = (each.astype(np.int64) if each.dtype.kind == "b" else each for each in (true, said))
    true, said = _texts(true), _texts(said)
    weight = weights_of(weights, same_rows(true, said))
    keys, place = np.unique(np.stack([true, said], 1), axis=0, return_inverse=True)
    place = place.reshape(-1)
    rows = np.bincount(place, minlength=len(keys))
    sums = np.bincount(place, weight, len(keys))
    squares = np.bincount(place, weight**2, len(keys))
    return confusion_of(
        Pair(str(label), str(told), int(count), float(total), float(square))
        for (label, told), count, total, square in zip(keys, rows, sums, squares, strict=True)
    )


def _texts(labels: NDArray[Any]) -> NDArray[np.str_]:
    if labels.dtype.kind != "f":
        return labels.astype(np.str_)
    whole = (labels == np.floor(labels)) & (np.abs(labels) < 2.0**53)
    return np.where(whole, np.where(whole, labels, 0).astype(np.int64).astype(np.str_), labels.astype(np.str_))


def accuracy(table: Confusion, level: float = LEVEL) -> Estimate | None:
    return table.share(lambda each: each.label == each.foretold, lambda _: True).estimate(level)


def mistakes(table: Confusion) -> Moments:
    """1 of each row for which another label was foretold, 0 of the others."""
    rows, weight = table.rows, sum(each.weight for each in table.pairs)
    if weight == 0:
        return Moments(rows)
    share = sum(each.weight for each in table.pairs if each.label != each.foretold) / weight
    return Moments(rows, weight, sum(each.squares for each in table.pairs), share, weight * share * (1 - share))


def precision(table: Confusion, label: str, level: float = LEVEL) -> Estimate | None:
    """None where `label` was never foretold."""
    return table.share(lambda each: each.label == label, lambda each: each.foretold == label).estimate(level)


def recall(table: Confusion, label: str, level: float = LEVEL) -> Estimate | None:
    """None where no row has `label`."""
    return table.share(lambda each: each.foretold == label, lambda each: each.label == label).estimate(level)


def false_positive_rate(table: Confusion, label: str, level: float = LEVEL) -> Estimate | None:
    """Rows for which `label` was foretold, of those that have another. None where there is none."""
    return table.share(lambda each: each.foretold == label, lambda each: each.label != label).estimate(level)


def selection_rate(table: Confusion, label: str, level: float = LEVEL) -> Estimate | None:
    """Rows for which `label` was foretold, of all."""
    return table.share(lambda each: each.foretold == label, lambda _: True).estimate(level)


def f1(table: Confusion, label: str, level: float = LEVEL) -> Estimate | None:
    """None where no row has `label` and none was foretold to.

    Its interval is that of F* = TP / (TP + FP + FN), a share, of which F1 = 2 F* / (1 + F*) is a rising function (Hand,
    Christen and Kirielle 2021, "F*: an interpretable transformation of the F-measure").
    """

    def concerned(each: Pair) -> bool:
        return label in (each.label, each.foretold)

    star = table.share(lambda each: each.label == each.foretold, concerned).estimate(level)
    if star is None:
        return None
    value, low, high = (2 * each / (1 + each) for each in (star.value, star.low or 0.0, star.high or 0.0))
    return estimate(value, (low, high), star.rows)


def macro_f1(table: Confusion, level: float = LEVEL) -> Estimate | None:
    """The mean of F1 over the labels that rows have or that were foretold; its interval by the delta method."""
    counts, size = _matrix(table)
    if not counts.size:
        return None
    both = counts.sum(0) + counts.sum(1)
    diagonal = np.diagonal(counts)
    scores = 2 * diagonal / both
    slope = -(scores / both)[:, None] - (scores / both)[None, :] + np.diag(2 / both)
    return _mean_over_labels(scores, slope, counts, size, table.rows, level)


def macro_recall(table: Confusion, level: float = LEVEL) -> Estimate | None:
    """The mean of recall over the labels that rows have: balanced accuracy."""
    counts, size = _matrix(table)
    there = counts.sum(1) > 0
    if not there.any():
        return None
    total = np.where(there, counts.sum(1), 1.0)
    scores = np.diagonal(counts) / total
    slope = np.where(there[:, None], -(scores / total)[:, None] + np.diag(1 / total), 0.0)
    return _mean_over_labels(scores[there], slope, counts, size, table.rows, level)


def _matrix(table: Confusion) -> tuple[Floats, float]:
    """Weights by label and by what was foretold, over labels that have any; and effective rows."""
    pairs = [each for each in table.pairs if each.weight > 0]
    names = sorted({each.label for each in pairs} | {each.foretold for each in pairs})
    place = {name: number for number, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)))
    for each in pairs:
        counts[place[each.label], place[each.foretold]] = each.weight
    squares = sum(each.squares for each in pairs)
    return counts, counts.sum() ** 2 / squares if squares else 0.0


def _mean_over_labels(scores: Floats, slope: Floats, counts: Floats, size: float, rows: int, level: float) -> Estimate:
    """`slope`: of the sum of the scores, by each count."""
    total = counts.sum()
    effect = slope * total / scores.size
    shares = counts / total
    variance = float((shares * effect**2).sum() - (shares * effect).sum() ** 2) / size
    value = float(scores.mean())
    # Where nothing was missed the delta method is sure of it, whatever the number of rows.
    interval = normal(value, variance, 0.0, 1.0, level) if variance > 0 else wilson(value, size, level)
    return estimate(value, interval, rows)
