"""Bins of a numeric feature, frozen from the reference: quantiles, with open ends.

A heavy value has a bin to itself, and the quantiles are those of all others, so that it takes no resolution from them.
The outermost quantiles are split again by tens, as far as the reference has rows: what happens in a tail shows.

Edges lie midway between neighbouring values of the reference, never on one: rounding (a float32 client of a float64
reference) then moves nothing to another bin.
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

ROOM_OF_ZERO: Final = 1e-12
"""The same of 0, which has no size: beyond what cancellation leaves of sums of numbers near 1."""

HEAVY: Final = 2
"""A value is heavy that fills half a quantile bin: of `bins` = 10, a twentieth of the rows."""

SMALL: Final = 4
"""Of a quarter of the rows or less, those are heavy, too, that fill two of its quantile bins: beside 98 % zeros, a
value that the half of all others have."""

FEWEST: Final = 10
"""Rows of a heavy value, and of each quantile bin beside heavy ones."""

TAIL: Final = 50
"""Rows of the reference in the outermost bin, where it was split from a quantile."""


@dataclass(frozen=True)
class Grid:
    """`edges`: ascending, finite; bin j holds edges[j - 1] <= x < edges[j], the first and the last are open.

    `centres`: one a bin, the mean of the reference's values in it; `low`, `high`: the reference's range; `scale`: its
    standard deviation, by which distances are divided; of a constant, the distance to the bins beside it.
    `heavy`: bins of a single value that many rows have, those of the most rows first; none of an earlier release.
    """

    edges: tuple[float, ...]
    centres: tuple[float, ...]
    low: float
    high: float
    scale: float
    heavy: tuple[int, ...] = ()

    @property
    def range(self) -> tuple[float, float]:
        """From where to where values are in range: the reference's extremes themselves may come back rounded."""
        low, high = self.low - abs(self.low) * ROUNDING, self.high + abs(self.high) * ROUNDING
        return max(low, -_LARGEST), min(high, _LARGEST)


def quantile_grid(values: Floats, bins: int = BINS) -> Grid:
    """The grid of finite `values` (rows,): `bins` bins of equal counts of all that is not heavy, fewer where ties are,
    a bin for each heavy value, and more in the tails of a long reference.

    Up to `bins` distinct values have a bin each. Where the first or the last bin holds a single value, an empty bin is
    put beyond it, so that a constant that changes is seen.
    """
    if not len(values):
        return Grid((), (0.0,), 0.0, 0.0, 1.0)
    # Adding 0 makes 0 of -0: they are equal, and which one is found first depends on the order.
    distinct, ties = np.unique(np.asarray(values, np.float64) + 0.0, return_counts=True)
    heavy = _heavy(ties, bins)
    chosen = _boundaries(ties, heavy, bins)
    edges = [_between(float(distinct[index]), float(distinct[index + 1])) for index in chosen]
    firsts = np.concatenate([[0], chosen + 1])
    lasts = np.concatenate([chosen, [len(distinct) - 1]])
    # Divided before they are summed: sums of the largest floats would be infinite.
    weights = ties / np.add.reduceat(ties, firsts).repeat(lasts - firsts + 1)
    centres = np.clip(np.add.reduceat(distinct * weights, firsts), distinct[firsts], distinct[lasts]).tolist()
    low, high = float(distinct[0]), float(distinct[-1])
    alone = np.searchsorted(lasts, heavy)
    if firsts[0] == lasts[0]:
        _guard(edges, centres, low, float(distinct[1]) - low if len(distinct) > 1 else _room(low), below=True)
        alone += len(centres) - len(firsts)
    if firsts[-1] == lasts[-1]:
        _guard(edges, centres, high, high - float(distinct[-2]) if len(distinct) > 1 else _room(high), below=False)
    scale = _deviation(distinct, ties) or _step(centres)
    return Grid(tuple(edges), tuple(centres), low, high, scale, tuple(alone.tolist()))


def _boundaries(ties: Integers, heavy: Integers, bins: int) -> Integers:
    """Positions of distinct values after which a bin ends: of all but the last, or those around heavy values and those
    nearest to the quantiles of the others. `ties`: rows of each distinct value, in the order of values."""
    if len(ties) <= bins:
        return np.arange(len(ties) - 1)
    others = np.setdiff1d(np.arange(len(ties)), heavy)
    ranks = np.cumsum(ties[others])
    rows = int(ranks[-1])
    wanted = rows * _quantiles(max(1, min(bins, rows // FEWEST)) if len(heavy) else bins, rows)
    after = np.clip(np.searchsorted(ranks, wanted), 0, len(ranks) - 1)
    before = np.maximum(after - 1, 0)
    nearest = others[np.where(wanted - ranks[before] < ranks[after] - wanted, before, after)]
    ends = np.unique(np.concatenate([nearest, heavy - 1, heavy]))
    return ends[(ends >= 0) & (ends < len(ties) - 1)]


def _heavy(ties: Integers, bins: int) -> Integers:
    """Positions of the heavy values, the heaviest first."""
    rows = rest = int(ties.sum())
    found = []
    for position in np.argsort(-ties, kind="stable")[: HEAVY * bins]:
        own = int(ties[position])
        much = own * HEAVY * bins >= rows or (rest * SMALL <= rows and own * bins >= HEAVY * rest)
        if own < FEWEST or own == rest or not much:
            break
        found.append(position)
        rest -= own
    return np.array(found, np.int64)


def _quantiles(bins: int, rows: int) -> Floats:
    """Shares of the rows below the inner edges: bins - 1 even ones, and tenths of the outermost bin."""
    found = [index / bins for index in range(1, bins)]
    tail = 0.1 / bins
    while bins > 1 and tail * rows >= TAIL:
        found += [tail, 1 - tail]
        tail /= 10
    return np.array(found)


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
    return 2 * (abs(value) * ROOM or ROOM_OF_ZERO)


def _step(centres: list[float]) -> float:
    """What a constant's changes are measured in: the distance to the empty bins beside it, so that a value that is any
    other is one step away, whatever the unit."""
    step = (centres[-1] - centres[0]) / max(len(centres) - 1, 1)
    return step if isfinite(step) and step > 0 else 1.0


def _deviation(distinct: Floats, ties: Integers) -> float:
    """The standard deviation; 0 where there is none that can be told."""
    largest = float(np.abs(distinct).max())
    if len(distinct) < 2:
        return 0.0
    shares, scaled = ties / ties.sum(), distinct / largest
    mean = shares @ scaled
    deviation = float(np.sqrt(shares @ (scaled - mean) ** 2)) * largest
    return deviation if np.isfinite(deviation) else 0.0
