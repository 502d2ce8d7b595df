"""From counts to shares."""

from typing import Final

import numpy as np

from modelward_drift.arrays import Floats, Integers

SMOOTHING: Final = 1e-4
"""The least share of a cell that either side has, as Evidently takes it for empty ones (get_binned_data in
calculations/stattests/utils.py). Half a row instead would make a PSI of 0.18 or 0.36 of the same 4 % of nulls, as the
reference has 1,000 or 100,000 rows. Whether it is chance the test says, which needs no floor."""


def smoothed(reference: Integers, current: Integers, smoothing: float = SMOOTHING) -> tuple[Floats, Floats]:
    """Shares of both sides by cell, `smoothing` at least, whatever the numbers of rows. Cells that are empty on both
    sides are left out: they say nothing."""
    occupied = (reference > 0) | (current > 0)
    p = np.maximum(reference[occupied] / reference.sum(), smoothing)
    q = np.maximum(current[occupied] / current.sum(), smoothing)
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
