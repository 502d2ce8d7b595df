"""Statistics of the 2 x B table of the reference's and the current counts (cells,), without smoothing."""

from math import sqrt

import numpy as np

from modelward_drift.arrays import Integers
from modelward_drift.metrics.shares import empty


def chi2(reference: Integers, current: Integers) -> float:
    """Pearson's two-sample chi-squared: sum over both rows of (observed - expected)^2 / expected, without a correction.

    It grows with the number of rows. SciPy's chi2_contingency. (Pearson, Biometrika 8, 1911.)
    """
    if empty(reference, current):
        return 0.0
    m, n = float(reference.sum()), float(current.sum())
    pooled = (reference + current).astype(np.float64)
    occupied = pooled > 0
    difference = (current / n - reference / m)[occupied]
    return float(np.sum(difference**2 / pooled[occupied])) * m * n


def cramers_v(reference: Integers, current: Integers) -> float:
    """Cramér's V: sqrt(chi2 / rows), from 0 to 1, whatever the number of rows (Cramér, Mathematical Methods, 1946)."""
    rows = float(reference.sum() + current.sum())
    return sqrt(chi2(reference, current) / rows) if rows else 0.0


def g(reference: Integers, current: Integers) -> float:
    """The log-likelihood ratio: 2 sum over both rows of observed ln(observed / expected) (Wilks, Annals of Mathematical
    Statistics 6, 1935). SciPy's chi2_contingency with lambda_="log-likelihood"."""
    if empty(reference, current):
        return 0.0
    pooled = (reference + current).astype(np.float64)
    total = pooled.sum()
    value = 0.0
    for row in (reference, current):
        seen = row > 0
        expected = pooled[seen] * (row.sum() / total)
        value += float(np.sum(row[seen] * np.log(row[seen] / expected)))
    return max(0.0, 2 * value)
