"""The numbers of Evidently 0.7.23, from raw values: for comparison, not for judging.

It bins the union of reference and current, so that its numbers can't come from counts against a frozen reference, and
change with each outlier. Nulls and infinities are dropped first. Each function takes two columns, numbers for the
numeric ones, and any labels for the categorical ones; each side has to have values.
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from math import exp, gcd, log, sqrt
from typing import Final

import numpy as np

from modelward_drift.arrays import Array, Floats
from modelward_drift.special import chi2_sf

FEW_VALUES: Final = 20
"""Up to so many distinct values of the reference, each is a bin of its own."""

MIN_NORM: Final = 0.001
"""Of the Wasserstein distance, where the reference hardly varies."""

Labels = Sequence[Hashable]


def psi(reference: Array | Labels, current: Array | Labels) -> float:
    """Population stability index over equal-width bins, zero shares replaced."""
    p, q = (_filled(shares) for shares in _shares(reference, current))
    return float(np.sum((p - q) * np.log(p / q)))


def kl(reference: Array | Labels, current: Array | Labels) -> float:
    """Kullback-Leibler divergence of the reference from the current shares."""
    p, q = (_filled(shares) for shares in _shares(reference, current))
    return _kl(p / p.sum(), q / q.sum())


def js(reference: Array | Labels, current: Array | Labels) -> float:
    """Jensen-Shannon *distance*, natural logarithm."""
    p, q = (shares / shares.sum() for shares in _shares(reference, current))
    middle = (p + q) / 2
    return sqrt(max(0.0, (_kl(p, middle) + _kl(q, middle)) / 2))


def hellinger(reference: Array, current: Array) -> float:
    """Hellinger distance of numeric columns, over Sturges' bins of the distinct values."""
    x, y = _finite(reference), _finite(current)
    edges = np.histogram_bin_edges(np.union1d(x, y), bins="sturges")
    p, q = (np.histogram(side, edges)[0] / len(side) for side in (x, y))
    return sqrt(1 - min(1.0, float(np.sum(np.sqrt(p * q)))))


def wasserstein(reference: Array, current: Array) -> float:
    """Wasserstein distance of the values, divided by the reference's standard deviation or 0.001."""
    x, y = np.sort(_finite(reference)), np.sort(_finite(current))
    values = np.sort(np.concatenate([x, y]))
    gaps = [np.searchsorted(side, values[:-1], side="right") / len(side) for side in (x, y)]
    return float(np.abs(gaps[0] - gaps[1]) @ np.diff(values)) / max(float(np.std(x)), MIN_NORM)


def ks_p_value(reference: Array, current: Array) -> float:
    """p of the two-sided Kolmogorov-Smirnov test, exact (its time grows with rows times rows; for some thousands)."""
    x, y = np.sort(_finite(reference)), np.sort(_finite(current))
    values = np.concatenate([x, y])
    gaps = np.searchsorted(x, values, side="right") / len(x) - np.searchsorted(y, values, side="right") / len(y)
    common = gcd(len(x), len(y))
    scale = len(x) * len(y) // common
    return 1 - _inside(len(x) // common, len(y) // common, len(x), len(y), round(float(np.abs(gaps).max()) * scale))


def chi2_p_value(reference: Labels, current: Labels) -> float:
    """p of a one-sample goodness of fit: the reference's shares are taken as exact."""
    before, after = Counter(_present(reference)), Counter(_present(current))
    ratio = after.total() / before.total()
    levels = before | after
    if any(level not in before for level in levels):
        return 0.0
    statistic = sum((after[level] - before[level] * ratio) ** 2 / (before[level] * ratio) for level in levels)
    return chi2_sf(statistic, len(levels) - 1)


def _shares(reference: Array | Labels, current: Array | Labels) -> tuple[Floats, Floats]:
    if isinstance(reference, np.ndarray) and isinstance(current, np.ndarray) and reference.dtype.kind in "fiu":
        x, y = _finite(reference), _finite(current)
        if len(np.unique(x)) > FEW_VALUES:
            edges = np.histogram_bin_edges(np.concatenate([x, y]), bins="sturges")
            return np.histogram(x, edges)[0] / len(x), np.histogram(y, edges)[0] / len(y)
        reference, current = x.tolist(), y.tolist()
    before, after = Counter(_present(reference)), Counter(_present(current))
    levels = list(before | after)
    first, second = (np.array([side[level] for level in levels]) / side.total() for side in (before, after))
    return first, second


def _filled(shares: Floats) -> Floats:
    """0.0001 for zeros, or a millionth of the smallest share where that is smaller."""
    smallest = float(shares[shares > 0].min())
    return np.where(shares > 0, shares, smallest / 10**6 if smallest <= 0.0001 else 0.0001)


def _kl(p: Floats, q: Floats) -> float:
    seen = p > 0
    return float(np.sum(p[seen] * np.log(p[seen] / q[seen])))


def _finite(values: Array) -> Floats:
    floats = np.asarray(values, np.float64)
    return floats[np.isfinite(floats)]


def _present(labels: Array | Labels) -> list[Hashable]:
    return [label for label in labels if label is not None and label == label]


def _inside(a: int, b: int, rows: int, columns: int, distance: int) -> float:
    """The share of paths from (0, 0) to (rows, columns) on which |i b - j a| stays below `distance` (Hodges, Arkiv för
    Matematik 3, 1958). Each row of the lattice is scaled, since the numbers of paths have hundreds of digits."""
    index = np.arange(columns + 1)
    paths = (index * a < distance).astype(np.float64)
    scaled = 0.0
    for row in range(1, rows + 1):
        paths = np.cumsum(paths * (np.abs(row * b - index * a) < distance))
        paths *= np.abs(row * b - index * a) < distance
        largest = float(paths.max())
        if not largest:
            return 0.0
        paths /= largest
        scaled += log(largest)
    logs = np.log(np.arange(1, rows + columns + 1))
    every = float(logs.sum() - logs[:rows].sum() - logs[:columns].sum())
    return min(1.0, float(paths[-1]) * exp(scaled - every))
