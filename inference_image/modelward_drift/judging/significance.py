"""Whether a window and the reference can come from one distribution: the log-likelihood ratio test of their counts.

One test for all metrics: what the metric measures decides whether drift matters, this whether it is there. Far out in
the tail, where budgets over thousands of looks lie, Pearson's statistic and PSI do not keep the chi-squared: a rare
category makes Pearson's exceed a cut of 1e-5 forty times too often, while the likelihood ratio's tail is right in its
exponent whatever the cells hold (Hoeffding, Annals of Mathematical Statistics 36, 1965). Williams' correction does the
rest.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from modelward_drift.arrays import Integers
from modelward_drift.metrics import contingency
from modelward_drift.metrics.shares import empty
from modelward_drift.profiles.inflation import Inflation
from modelward_drift.special import chi2_isf, chi2_log_sf, f_isf, f_log_sf

FEW_EXPECTED: Final = 2.0
"""Rows of a cell in the smaller side."""

SECOND_ORDER: Final = 2.0
"""Measured: with it 50 even cells exceed cuts of 1e-3 to 1e-5 no more than 1.2 times too often, whether 1.5 or 10
rows are expected in each."""


@dataclass(frozen=True)
class Test:
    """`statistic`: without drift chi-squared of `dof` degrees of freedom, which correlation makes fewer; where it was
    measured, on so many blocks that the estimate has `denominator` degrees, F.

    `variance`: of a share whose p (1 - p) is 1, which is 1/n + 1/m for n and m independent rows.
    """

    statistic: float
    dof: float
    denominator: float
    variance: float
    log_p: float

    def psi_by_chance(self, alpha: float) -> float:
        """What PSI exceeds with the probability `alpha` without drift, to first order."""
        if self.denominator:
            return self.variance * self.dof * f_isf(alpha, self.dof, self.denominator)
        return self.variance * chi2_isf(alpha, self.dof)


NOTHING = Test(0.0, 0.0, 0.0, 0.0, 0.0)
"""Where a side has no rows, everything agrees with everything."""


def two_sample(reference: Integers, current: Integers, inflation: Inflation | None = None, rows: int = 0) -> Test:
    """The test of counts (cells,) of the reference and of a window.

    `inflation`: of variances, for rows that hang together; `rows`: of the whole reference, of which `reference` may be
    a sample. The reference is as finite as the window: both vary.

    Of correlated rows the statistic is a sum of e_i chi-squared(1), e_i the inflations of the contrasts. Divided by the
    largest of them, it is below a chi-squared of sum e_i / max e_i degrees in the order of moment generating functions,
    since -log(1 - 2et) / e grows with e; and F instead of chi-squared allows for inflations that were only estimated.
    """
    if empty(reference, current):
        return NOTHING
    m, n = int(reference.sum()), int(current.sum())
    pooled = (reference + current)[(reference > 0) | (current > 0)]
    measured = inflation or Inflation()
    window = measured.at(n)
    # A sample of independent draws from rows that hang together: its own variance, and the surplus of the rows.
    variance = window.factor / n + 1 / m + (measured.factor - 1) / max(rows, m)
    statistic = contingency.g(reference, current) / (_williams(pooled, m, n) * variance / (1 / n + 1 / m))
    contrasts = len(pooled) - 1
    dof = max(contrasts * window.mean / window.factor, float(contrasts > 0))
    denominator = max(window.blocks - 1, 0.0)
    log_p = f_log_sf(statistic / max(dof, 1.0), dof, denominator) if denominator else chi2_log_sf(statistic, dof)
    return Test(statistic, dof, denominator, variance, min(log_p, 0.0))


def _williams(pooled: Integers, m: int, n: int) -> float:
    """Williams' divisor of the log-likelihood ratio of a contingency table (Biometrika 63, 1976).

    It is an expansion in 1 / expected rows, to the first order. What cells of few rows add to the far tail is allowed
    for by a second one; below FEW_EXPECTED a cell no longer adds more than a chi-squared, and the expansion ends.
    """
    cells, rows = len(pooled), m + n
    if cells < 2:
        return 1.0
    fewer = min(m, n)
    rarity = np.minimum(rows / (fewer * pooled), 1 / FEW_EXPECTED)
    seldom = fewer * float(np.sum(rarity * (1 + SECOND_ORDER * rarity)))
    return 1 + (rows / m + rows / n - 1) * max(seldom - 1, 0.0) / (6 * rows * (cells - 1))
