"""From counts to shares."""

from typing import Final

import numpy as np

from modelward_drift.arrays import Floats, Integers

SMOOTHING: Final = 0.5
"""Added to each cell that either side has: Jeffreys' prior (Krichevsky, Trofimov, IEEE Trans. Inf. Theory 27, 1981)."""


def smoothed(reference: Integers, current: Integers, smoothing: float = SMOOTHING) -> tuple[Floats, Floats]:
    """Shares of both sides by cell, all above 0. Cells that are empty on both sides are left out: they say nothing, and
    smoothing would make a difference of them where the sides have different numbers of rows."""
    occupied = (reference > 0) | (current > 0)
    p, q = reference[occupied] + smoothing, current[occupied] + smoothing
    return p / p.sum(), q / q.sum()


def moved(reference: Integers, current: Integers, bins: int) -> float:
    """The share of rows that came to the cells from `bins` on, or left them: the total variation on these (0 to 1)."""
    if empty(reference, current):
        return 0.0
    difference = current[bins:] / current.sum() - reference[bins:] / reference.sum()
    return float(max(difference[difference > 0].sum(), -difference[difference < 0].sum()))


def empty(reference: Integers, current: Integers) -> bool:
    """Whether a side has no rows."""
    return not (np.any(reference) and np.any(current))
