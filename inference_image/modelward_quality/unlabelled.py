"""Values of rows whose outcomes are not known yet, by what rows with such scores turned out to be.

Confidence-based performance estimation (CBPE; NannyML's documentation, "How it works: performance estimation"): scores
are calibrated by rows whose outcomes are known, and each row then counts as positive by its probability. It sees that a
model gets more of the rows that it is unsure about, and not that the same rows turn out otherwise: what it says is
shown until the truth is there, and no alarm is made of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import sqrt
from typing import Final

import numpy as np

from modelward_quality.arrays import Floats, Integers
from modelward_quality.confusion import Confusion, Pair, confusion_of
from modelward_quality.estimate import Estimate
from modelward_quality.scores import Scores, scores_of
from modelward_quality.statistics import Statistics, values

NOT: Final = "not "
"""Before the positive label: any other."""

ESTIMATED: Final = (
    "accuracy", "precision", "recall", "f1", "falsePositiveRate", "selectionRate", "rocAuc", "averagePrecision",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Waiting:
    """Rows without outcomes by the cells of their scores, which rise, each once (see `scores.py`), shape (cells,):
    `weight`, `squares`: sums of weights and of their squares; `chosen`: of the weights of those for which the positive
    label was foretold."""

    cell: Integers
    rows: Integers
    low: Floats
    high: Floats
    weight: Floats
    squares: Floats
    chosen: Floats


def estimates(known: Statistics, waiting: Waiting, positive: str) -> dict[str, Estimate]:
    """Values of `waiting`, by name, calibrated by `known`: rows with scores and outcomes, of both kinds; else nothing.

    An interval allows for the chance in these rows and in those that they were calibrated by.
    """
    if known.scores is None or known.confusion is None:
        return {}
    if known.scores.positive.sum() == 0 or known.scores.negative.sum() == 0 or waiting.weight.sum() == 0:
        return {}
    share, rarer = calibrated(known.scores, waiting)
    expected = _expected(share, waiting, positive)
    of_known = values(replace(known, confusion=_two_labels(known.confusion, positive)), positive)
    return {
        name: _with(each, of_known[name], rarer)
        for name, each in values(expected, positive).items()
        if name in ESTIMATED and name in of_known
    }


def calibrated(known: Scores, waiting: Waiting) -> tuple[Floats, float]:
    """The probability of the positive label, by cell of `waiting`: isotonic regression of the outcomes on the scores by
    pooling adjacent violators (Barlow et al. 1972, "Statistical Inference under Order Restrictions"), between cells
    along a line. And by how much the standard error of a mean of `known` grows where its rows are weighted as those
    that wait are distributed over the pools (Kish 1965, "Survey Sampling")."""
    weight = known.positive + known.negative
    with_rows = weight > 0
    at, weight = ((known.low + known.high) / 2)[with_rows], weight[with_rows]
    share = known.positive[with_rows] / weight
    blocks: list[list[float]] = []
    for value, mass in zip(share.tolist(), weight.tolist(), strict=True):
        blocks.append([value, mass, 1])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            last, before = blocks.pop(), blocks[-1]
            before[0] = (before[0] * before[1] + last[0] * last[1]) / (before[1] + last[1])
            before[1] += last[1]
            before[2] += last[2]
    cells = np.array([int(each[2]) for each in blocks])
    asked = (waiting.low + waiting.high) / 2
    found: Floats = np.interp(asked, at, np.repeat([each[0] for each in blocks], cells))
    ends = at[np.cumsum(cells) - 1]
    pool = np.minimum(np.searchsorted(ends, asked), len(blocks) - 1)
    shares = np.bincount(pool, waiting.weight, len(blocks)) / waiting.weight.sum()
    masses = np.array([each[1] for each in blocks])
    return found, sqrt(float((shares**2 / masses).sum() * masses.sum()))


def _expected(share: Floats, waiting: Waiting, positive: str) -> Statistics:
    """What is counted on average."""
    other = NOT + positive
    spread = np.divide(waiting.squares, waiting.weight, out=np.zeros_like(share), where=waiting.weight > 0)
    sides: Mapping[tuple[str, str], Floats] = {
        (positive, positive): waiting.chosen * share,
        (other, positive): waiting.chosen * (1 - share),
        (positive, other): (waiting.weight - waiting.chosen) * share,
        (other, other): (waiting.weight - waiting.chosen) * (1 - share),
    }
    pairs = [
        Pair(label, foretold, round(float(mass.sum())), float(mass.sum()), float((mass * spread).sum()))
        for (label, foretold), mass in sides.items()
    ]
    yes, no = waiting.weight * share, waiting.weight * (1 - share)
    expected = scores_of(waiting.cell, waiting.rows, waiting.low, waiting.high, yes, yes * spread, no, no * spread)
    return Statistics(confusion=confusion_of(pairs), scores=expected)


def _two_labels(table: Confusion, positive: str) -> Confusion:
    """All labels but the positive one are one."""

    def named(label: str) -> str:
        return label if label == positive else NOT + positive

    return confusion_of(replace(each, label=named(each.label), foretold=named(each.foretold)) for each in table.pairs)


def _with(own: Estimate, reference: Estimate, rarer: float) -> Estimate:
    """The interval of both sources of chance. `rarer`: see `calibrated`."""
    if own.low is None or own.high is None or reference.low is None or reference.high is None:
        return own
    low = own.value - sqrt((own.value - own.low) ** 2 + (rarer * (reference.value - reference.low)) ** 2)
    high = own.value + sqrt((own.high - own.value) ** 2 + (rarer * (reference.high - reference.value)) ** 2)
    return replace(own, low=max(0.0, low), high=min(1.0, high))
