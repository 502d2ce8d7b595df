"""Whether rows that follow one another are more alike than rows in random order.

Only then does a calibration say anything of windows of live traffic: training data are often shuffled, and windows of
shuffled rows scatter as those of independent ones, whatever hung together before.
"""

from typing import Final

import numpy as np

from modelward_drift.arrays import Floats, Integers
from modelward_drift.special import chi2_log_sf

LEAST: Final = 1.0
"""Expected rows of a cell in a part: scarcer ones are left out."""


def order_log_p(totals: Integers, squares: Floats, rows: int, parts: int) -> float:
    """log of the probability that parts in random order would scatter so much.

    `totals`: (cells,) over `parts` successive parts of `rows` each; `squares`: sums of the parts' squared counts.
    Pearson's chi-squared test of homogeneity (Philosophical Magazine 50, 1900): the sum over parts and cells of
    (observed - expected)^2 / expected has (parts - 1)(cells - 1) degrees of freedom.
    """
    kept = totals >= LEAST * parts
    if parts < 2 or not kept.any():
        return 0.0
    shares = totals[kept] / totals.sum()
    statistic = float(np.sum(squares[kept] / (rows * shares) - totals[kept]))
    return chi2_log_sf(statistic, (parts - 1) * float(np.sum(1 - shares)))
