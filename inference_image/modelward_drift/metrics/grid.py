"""Distances between distributions on an ordered grid. Counts (bins,) without the special cells."""

import numpy as np

from modelward_drift.arrays import Floats, Integers
from modelward_drift.metrics.shares import empty


def ks(reference: Integers, current: Integers) -> float:
    """Kolmogorov-Smirnov distance on the grid: max |F - G| at its edges, which never exceeds that of the values
    (Smirnov, 1939)."""
    if empty(reference, current):
        return 0.0
    return float(np.max(np.abs(_gaps(reference, current))))


def wasserstein(reference: Integers, current: Integers, centres: Floats, scale: float) -> float:
    """Wasserstein (earth mover's) distance between masses at the bins' centres: integral of |F - G|, divided by
    `scale`.

    `centres`: ascending, in the feature's unit; `scale`: the reference's standard deviation, as in Evidently's "normed"
    distance (Vallender, Theory of Probability and its Applications 18, 1974). Values beyond the outermost centres count
    as if they lay there.
    """
    if empty(reference, current):
        return 0.0
    # Divided first: differences of the largest floats would be infinite.
    return float(np.abs(_gaps(reference, current)[:-1]) @ np.diff(centres / scale))


def spread(reference: Integers, centres: Floats) -> float:
    """The standard deviation of masses at the bins' centres; 0 where there is none that can be told."""
    if not np.any(reference):
        return 0.0
    shares, largest = reference / reference.sum(), float(np.abs(centres).max()) or 1.0
    scaled = centres / largest
    deviation = float(np.sqrt(shares @ (scaled - shares @ scaled) ** 2)) * largest
    return deviation if np.isfinite(deviation) else 0.0


def _gaps(reference: Integers, current: Integers) -> Floats:
    """F - G at the upper edge of each bin."""
    return np.asarray(np.cumsum(reference) / reference.sum() - np.cumsum(current) / current.sum())
