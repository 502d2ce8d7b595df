"""30 days without drift, many times: hourly looks at 500 rows, each feature of each run with a new reference.

Nothing but significance is asked for (the threshold of the effect is 0), which is the worst case for a budget. The
independent features are uniform, so that the windows' counts can be drawn at once; the correlated ones are an AR(1)
process, row by row, and calibrated on a week of the reference.
"""

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from math import sqrt
from multiprocessing import get_context
from typing import Final

import numpy as np
from scipy.signal import lfilter
from scipy.stats import beta

from benchmarks.drift.looks import Looks, psis
from modelward_drift.arrays import Array, Floats
from modelward_drift.building.bootstrap import inflation
from modelward_drift.judging.budget import HOURLY, Budget
from modelward_drift.judging.verdict import Rule
from modelward_drift.profiles.bins import Grid, quantile_grid
from modelward_drift.profiles.inflation import Inflation
from modelward_drift.profiles.profile import SPECIAL, Profile

ROWS: Final = 500
"""A window has."""

PER_30_DAYS: Final = 0.05

REFERENCE: Final = 20_000
"""Rows of an independent reference."""

WEEK: Final = 168
"""Windows of a correlated reference."""

WARM_UP: Final = 200
"""Rows after which the process has forgotten how it began."""

BLOCK: Final = 50
"""Runs that one process does at a time, with random numbers of their own."""

Draw = Callable[[np.random.Generator], Looks]


@dataclass(frozen=True)
class Setting:
    """`features`: that a run watches, all drawn by `draw`."""

    name: str
    draw: Draw
    features: int

    @property
    def rule(self) -> Rule:
        return Rule(0.0, Budget(PER_30_DAYS, self.features).alpha)


@dataclass(frozen=True, eq=False)
class Result:
    """`alarmed`: runs with any alarm; `alarms`: of all runs together; `checked`: looks that had been passed over and
    were put before the kernel, too; `largest`: the largest PSI of each run (runs,)."""

    runs: int
    alarmed: int
    alarms: int
    checked: int
    largest: Floats

    @property
    def rate(self) -> float:
        return self.alarmed / self.runs

    @property
    def interval(self) -> tuple[float, float]:
        """Of the rate, 95 %, exact (Clopper, Pearson, Biometrika 26, 1934)."""
        hits, misses = self.alarmed, self.runs - self.alarmed
        low = float(beta.ppf(0.025, hits, misses + 1)) if hits else 0.0
        return low, float(beta.ppf(0.975, hits + 1, misses)) if misses else 1.0

    def cut_of_equal_rate(self) -> float:
        """The fixed cut of PSI that as many of these runs exceed."""
        return float(np.sort(self.largest)[self.runs - self.alarmed - 1])


def run(setting: Setting, runs: int, seed: int = 0) -> Result:
    """So many times 30 days, on all cores; the same whatever their number. Raises AssertionError where the shortcut
    says other than the kernel."""
    sizes = [min(BLOCK, runs - start) for start in range(0, runs, BLOCK)]
    seeds = np.random.SeedSequence(seed).spawn(len(sizes))
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), get_context("spawn")) as workers:
        parts = list(workers.map(partial(block, setting), sizes, seeds))
    return Result(
        runs,
        sum(part.alarmed for part in parts),
        sum(part.alarms for part in parts),
        sum(part.checked for part in parts),
        np.concatenate([part.largest for part in parts]),
    )


def block(setting: Setting, runs: int, seed: np.random.SeedSequence) -> Result:
    """Some of the runs, on one core. Raises AssertionError."""
    random = np.random.default_rng(seed)
    rule = setting.rule
    alarms, largest = [], []
    for _ in range(runs):
        features = [setting.draw(random) for _ in range(setting.features)]
        alarms.append(sum(len(list(each.alarms(rule))) for each in features))
        largest.append(max(_largest(each) for each in features))
        if features[0].disagreements(rule, random):
            raise AssertionError("an alarm of the kernel was passed over: the simulation is wrong")
    return Result(runs, sum(each > 0 for each in alarms), sum(alarms), 2 * runs, np.array(largest))


def independent(random: np.random.Generator) -> Looks:
    values = random.random(REFERENCE)
    grid = quantile_grid(values)
    windows = random.multinomial(ROWS, np.diff([0.0, *grid.edges, 1.0]), size=HOURLY)
    return Looks.of(profile(grid, counted(values, grid, REFERENCE)[0]), windows)


def correlated(correlation: float) -> Draw:
    """`correlation`: of one row with the next."""
    return partial(_correlated, correlation)


def uncalibrated(correlation: float) -> Draw:
    """The same as if the rows were independent."""
    return partial(_uncalibrated, correlation)


def _correlated(correlation: float, random: np.random.Generator) -> Looks:
    noise = random.standard_normal(WARM_UP + ROWS * (WEEK + HOURLY))
    values = lfilter([sqrt(1 - correlation**2)], [1, -correlation], noise)[WARM_UP:]
    grid = quantile_grid(values[: ROWS * WEEK])
    windows = counted(values, grid, ROWS)
    reference = windows[:WEEK]
    return Looks.of(profile(grid, reference.sum(axis=0), inflation(reference)), windows[WEEK:])


def _uncalibrated(correlation: float, random: np.random.Generator) -> Looks:
    looks = _correlated(correlation, random)
    return replace(looks, profile=replace(looks.profile, inflation=Inflation()))


def profile(grid: Grid, reference: Array, measured: Inflation | None = None) -> Profile:
    counts = (*reference.tolist(), *(0 for _ in SPECIAL))
    return Profile("feature", "numeric", counts, sum(counts), grid, inflation=measured or Inflation())


def counted(values: Floats, grid: Grid, rows: int) -> Array:
    """Counts (windows, bins) of `rows` successive values each."""
    edges = (np.greater_equal(values, edge).reshape(-1, rows).view(np.uint8) for edge in grid.edges)
    above = np.stack([each.sum(axis=1, dtype=np.uint32) for each in edges], axis=1).astype(np.int64)
    return -np.diff(above, axis=1, prepend=rows, append=0)


def _largest(looks: Looks) -> float:
    """PSI of the windows whose ratios are largest, to which it is near."""
    highest = np.argpartition(looks.ratios, -10)[-10:]
    reference = looks.profile.reference[: looks.profile.bins]
    return float(psis(reference, looks.windows[highest]).max())
