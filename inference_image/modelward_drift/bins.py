"""Bins of a numeric feature, frozen from the reference: quantiles, with open ends.

Edges lie midway between neighbouring values of the reference, never on one: rounding (a float32 client of a float64
reference) then moves nothing to another bin, and a value with many ties has a bin to itself.
"""

from dataclasses import dataclass
from math import inf, isfinite, nextafter
from typing import Final

import numpy as np

from modelward_drift.arrays import Floats, Integers

BINS: Final = 10
"""Deciles: what PSI's usual cuts of 0.1 and 0.2 were made for."""

ROUNDING: Final = 2.0**-23
"""Relative: what single precision may move a number by."""

_LARGEST: Final = float(np.finfo(np.float64).max)

ROOM: Final = 1e-6
"""Relative: how far another value of a constant feature is from it at least: beyond all rounding."""


@dataclass(frozen=True)
class Grid:
    """`edges`: ascending, finite; bin j holds edges[j - 1] <= x < edges[j], the first and the last are open.

    `centres`: one a bin, the mean of the reference's values in it; `low`, `high`: the reference's range; `scale`: its
    standard deviation, by which distances are divided (1 where it has none).
    """

    edges: tuple[float, ...]
    centres: tuple[float, ...]
    low: float
    high: float
    scale: float

    @property
    def range(self) -> tuple[float, float]:
        """From where to where values are in range: the reference's extremes themselves may come back rounded."""
        low, high = self.low - abs(self.low) * ROUNDING, self.high + abs(self.high) * ROUNDING
        return max(low, -_LARGEST), min(high, _LARGEST)


def quantile_grid(values: Floats, bins: int = BINS) -> Grid:
    """The grid of finite `values` (rows,), of some `bins` bins of equal counts; fewer where ties are heavy.

    Up to `bins` distinct values have a bin each. Where the first or the last bin holds a single value, an empty bin is
    put beyond it, so that a constant that changes is seen.
    """
    if not len(values):
        return Grid((), (0.0,), 0.0, 0.0, 1.0)
    # Adding 0 makes 0 of -0: they are equal, and which one is found first depends on the order.
    distinct, ties = np.unique(np.asarray(values, np.float64) + 0.0, return_counts=True)
    ranks = np.cumsum(ties)
    chosen = _boundaries(ranks, bins)
    edges = [_between(float(distinct[index]), float(distinct[index + 1])) for index in chosen]
    firsts = np.concatenate([[0], chosen + 1])
    lasts = np.concatenate([chosen, [len(distinct) - 1]])
    # Divided before they are summed: sums of the largest floats would be infinite.
    weights = ties / np.add.reduceat(ties, firsts).repeat(lasts - firsts + 1)
    centres = np.clip(np.add.reduceat(distinct * weights, firsts), distinct[firsts], distinct[lasts]).tolist()
    low, high = float(distinct[0]), float(distinct[-1])
    if firsts[0] == lasts[0]:
        _guard(edges, centres, low, float(distinct[1]) - low if len(distinct) > 1 else _room(low), below=True)
    if firsts[-1] == lasts[-1]:
        _guard(edges, centres, high, high - float(distinct[-2]) if len(distinct) > 1 else _room(high), below=False)
    return Grid(tuple(edges), tuple(centres), low, high, _deviation(distinct, ties))


def _boundaries(ranks: Integers, bins: int) -> Integers:
    """Positions of distinct values after which a bin ends: of all but the last, or those nearest to the quantiles."""
    if len(ranks) <= bins:
        return np.arange(len(ranks) - 1)
    wanted = ranks[-1] * np.arange(1, bins) / bins
    after = np.clip(np.searchsorted(ranks, wanted), 0, len(ranks) - 1)
    before = np.maximum(after - 1, 0)
    nearest = np.where(wanted - ranks[before] < ranks[after] - wanted, before, after)
    return np.unique(nearest[nearest < len(ranks) - 1])


def _between(lower: float, upper: float) -> float:
    middle = lower / 2 + upper / 2
    return middle if lower < middle <= upper else upper


def _guard(edges: list[float], centres: list[float], value: float, gap: float, *, below: bool) -> None:
    """An empty bin beyond a value that is alone in the outermost one."""
    gap = max(gap / 2, abs(value) * ROUNDING)
    edge = min(value - gap, nextafter(value, -inf)) if below else max(value + gap, nextafter(value, inf))
    beyond = 2 * edge - value
    if not isfinite(beyond):
        return
    edges.insert(0 if below else len(edges), edge)
    centres.insert(0 if below else len(centres), beyond)


def _room(value: float) -> float:
    return 2 * max(abs(value), 1.0) * ROOM


def _deviation(distinct: Floats, ties: Integers) -> float:
    largest = float(np.abs(distinct).max())
    if len(distinct) < 2 or not largest:
        return 1.0
    shares, scaled = ties / ties.sum(), distinct / largest
    mean = shares @ scaled
    deviation = float(np.sqrt(shares @ (scaled - mean) ** 2)) * largest
    return deviation if np.isfinite(deviation) and deviation > 0 else 1.0
