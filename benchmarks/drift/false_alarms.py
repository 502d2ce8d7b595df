"""30 days without drift, many times: 20 features, looked at hourly, 500 rows an hour, each time a new reference.

Nothing but significance is asked for (the threshold of the effect is 0), which is the worst case for a budget. The
independent features are uniform, so that the windows' counts can be drawn at once; the correlated ones are an AR(1)
process, row by row, and calibrated on a week of the reference.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import log, sqrt
from typing import Final

import numpy as np
from scipy.signal import lfilter
from scipy.stats import beta

from modelward_drift.arrays import Array
from modelward_drift.bins import quantile_grid
from modelward_drift.bootstrap import inflation
from modelward_drift.budget import Budget
from modelward_drift.inflation import Inflation
from modelward_drift.significance import two_sample

FEATURES: Final = 20
ROWS: Final = 500
BUDGET: Final = Budget(0.05, FEATURES)
REFERENCE: Final = 168
"""Windows: a week."""

CORRELATION: Final = 0.9
"""Of one row with the next."""

WARM_UP: Final = 200
"""Rows after which the process has forgotten how it began."""

Feature = tuple[Array, Array, Inflation]
"""Counts of the reference (cells,), of the windows (looks, cells), and what was calibrated."""


@dataclass(frozen=True)
class Result:
    """`alarmed`: runs with any alarm; `alarms`: of all runs together."""

    runs: int
    alarmed: int
    alarms: int

    @property
    def rate(self) -> float:
        return self.alarmed / self.runs

    @property
    def upper95(self) -> float:
        """One-sided (Clopper, Pearson, Biometrika 26, 1934)."""
        return float(beta.ppf(0.95, self.alarmed + 1, self.runs - self.alarmed)) if self.alarmed < self.runs else 1.0


def run(feature: Callable[[np.random.Generator], Feature], runs: int, seed: int = 0) -> Result:
    """So many times 30 days."""
    random = np.random.default_rng(seed)
    found = [sum(_alarms(*feature(random)) for _ in range(FEATURES)) for _ in range(runs)]
    return Result(runs, sum(each > 0 for each in found), sum(found))


def independent(random: np.random.Generator) -> Feature:
    reference = random.random(ROWS * REFERENCE)
    edges = quantile_grid(reference).edges
    windows = random.multinomial(ROWS, np.diff([0.0, *edges, 1.0]), size=BUDGET.looks_per_30_days)
    return _counted(reference, edges).sum(axis=0), windows, Inflation()


def correlated(random: np.random.Generator) -> Feature:
    noise = random.standard_normal(WARM_UP + ROWS * (REFERENCE + BUDGET.looks_per_30_days))
    values = lfilter([sqrt(1 - CORRELATION**2)], [1, -CORRELATION], noise)[WARM_UP:]
    reference, live = values[: ROWS * REFERENCE], values[ROWS * REFERENCE :]
    edges = quantile_grid(reference).edges
    windows = _counted(reference, edges)
    return windows.sum(axis=0), _counted(live, edges), inflation(windows)


def _counted(values: Array, edges: tuple[float, ...]) -> Array:
    """Counts (windows, cells) of ROWS successive values each."""
    cells = len(edges) + 1
    windows = len(values) // ROWS
    found = np.searchsorted(edges, values, side="right") + cells * np.repeat(np.arange(windows), ROWS)
    return np.bincount(found, minlength=cells * windows).reshape(windows, cells)


def _alarms(reference: Array, windows: Array, measured: Inflation) -> int:
    return sum(
        two_sample(reference, each, measured).log_p <= log(BUDGET.alpha)
        for each in _suspicious(reference, windows, measured)
    )


def _suspicious(reference: Array, windows: Array, measured: Inflation) -> Iterator[Array]:
    """Windows whose log-likelihood ratio, which the test makes smaller only, comes near the cut; all at once."""
    m, n = reference.sum(), ROWS
    expected = (windows + reference) / (m + n)
    ratios = sum(
        2 * np.sum(side * np.log(np.where(side > 0, side, 1) / np.where(side > 0, expected * rows, 1)), axis=1)
        for side, rows in ((np.broadcast_to(reference, windows.shape), m), (windows, n))
    )
    cut = two_sample(reference, windows[0], measured).psi_by_chance(BUDGET.alpha) / (1 / m + 1 / n)
    yield from windows[ratios >= 0.95 * cut]
