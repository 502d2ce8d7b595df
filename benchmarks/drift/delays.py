"""How many windows pass before a shift of one normal feature is found: our verdict, fixed cuts of PSI, and KS tests.

All see the same rows: hourly windows of 500, for 30 days at most, against a reference of 20,000. Ours may spend what it
would have with 20 features; without a threshold, since what is asked is how early drift is seen.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Final

import numpy as np
from scipy.stats import ks_2samp

from benchmarks.drift.false_alarms import PER_30_DAYS, REFERENCE, ROWS, counted, profile
from benchmarks.drift.looks import Looks, psis
from modelward_drift.arrays import Array, Floats
from modelward_drift.judging.budget import HOURLY, Budget
from modelward_drift.judging.verdict import Rule
from modelward_drift.profiles.bins import quantile_grid

SHIFTS: Final = (0.0, 0.1, 0.25, 0.5, 1.0)
"""In standard deviations. The first shows false alarms."""

FEATURES: Final = 20
FIXED: Final = (0.1, 0.2)
KS_P: Final = 0.05


@dataclass(frozen=True)
class Delays:
    """`found`: by run the window, from 1, in which the shift was found; None: not within 30 days."""

    method: str
    shift: float
    found: tuple[int | None, ...]

    @property
    def share(self) -> float:
        """Of runs in which it was found."""
        return sum(each is not None for each in self.found) / len(self.found)

    @property
    def median(self) -> float:
        """Windows; infinite where it was found in less than half of the runs."""
        return median(float("inf") if each is None else each for each in self.found)

    @property
    def mean(self) -> float:
        """Windows, at least: runs in which it was not found count with all their windows."""
        return sum(HOURLY if each is None else each for each in self.found) / len(self.found)


def run(shift: float, equal: float, runs: int, seed: int = 1) -> list[Delays]:
    """One for each method. `equal`: the cut of PSI that alarms as often as ours without drift."""
    random = np.random.default_rng(seed)
    rule = Rule(0.0, Budget(PER_30_DAYS, FEATURES).alpha)
    cuts = {f"PSI > {cut:g}": cut for cut in FIXED} | {"PSI, cut of equal rate": equal}
    found: dict[str, list[int | None]] = {"ours": [], **{name: [] for name in cuts}, f"KS, p < {KS_P:g}": []}
    for _ in range(runs):
        reference = random.standard_normal(REFERENCE)
        rows = random.standard_normal((HOURLY, ROWS)) + shift
        grid = quantile_grid(reference)
        looks = Looks.of(profile(grid, counted(reference, grid, REFERENCE)[0]), counted(rows.ravel(), grid, ROWS))
        values = psis(looks.profile.reference[: looks.profile.bins], looks.windows)
        found["ours"].append(_th(looks.first_alarm(rule)))
        for name, cut in cuts.items():
            found[name].append(first(values > cut))
        found[f"KS, p < {KS_P:g}"].append(_th(_ks(reference, rows)))
    return [Delays(name, shift, tuple(each)) for name, each in found.items()]


def first(alarms: Array) -> int | None:
    """From 1."""
    return int(np.argmax(alarms)) + 1 if alarms.any() else None


def _ks(reference: Floats, windows: Iterable[Floats]) -> int | None:
    """The first window that differs at KS_P, from 0."""
    tests = (ks_2samp(reference, window, method="asymp").pvalue < KS_P for window in windows)
    return next((look for look, alarm in enumerate(tests) if alarm), None)


def _th(look: int | None) -> int | None:
    return None if look is None else look + 1
