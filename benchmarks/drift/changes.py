"""The series with annotated changes that the river package carries: false alarms before the change, delay after it.

A change is where the first two annotators agree, to a hundredth of the series. What comes before it is the reference,
but for the last quarter, in which every alarm is a false one. Windows have the reference's thirtieth, and 5 rows at
least; where the reference has 20 of them, its rows' correlation is measured on them. Many of these series have a trend
or a season, so that even the quarter before the change is none that its reference knows.
"""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy.stats import ks_2samp

from benchmarks.drift.delays import FIXED, KS_P, first
from benchmarks.drift.false_alarms import PER_30_DAYS
from benchmarks.serving.environments import python_for
from modelward_drift.arrays import Array, Floats
from modelward_drift.building.bootstrap import FEWEST, inflation
from modelward_drift.building.builder import profile_of
from modelward_drift.counting.counting import count
from modelward_drift.errors import DriftError
from modelward_drift.judging.budget import Budget
from modelward_drift.judging.statistic import measure
from modelward_drift.judging.verdict import Rule, decide
from modelward_drift.profiles.profile import Profile

PEERS: Final = Path(__file__).parent / "peers"
SMALLEST: Final = 5
FEWEST_ROWS: Final = 30
"""Of a reference: below it the series is left out."""

WINDOWS: Final = 30
"""Of a reference."""


@dataclass(frozen=True)
class Outcome:
    """Of a method on a series. `early`: of `quiet` windows before the change that alarmed; `delay`: windows after it,
    from 1, None where nothing alarmed until the next change or the end."""

    method: str
    early: int
    quiet: int
    delay: int | None


@dataclass(frozen=True, eq=False)
class Series:
    """`columns`: (rows,) by name; `change`, `end`: rows; the next change, or the series', ends it."""

    name: str
    columns: Mapping[str, Floats]
    change: int
    end: int

    @property
    def reference(self) -> int:
        """Rows."""
        return self.change * 3 // 4

    @property
    def window(self) -> int:
        """Rows."""
        return max(SMALLEST, self.reference // WINDOWS)

    @property
    def quiet(self) -> int:
        """Windows from the reference to the change."""
        return (self.change - self.reference) // self.window


def load() -> list[Series]:
    """Of the package, in an environment of its own. Raises SetupError."""
    python = python_for("drift-river", PEERS / "river.txt")
    found = subprocess.run(
        [python, PEERS / "river_series.py"], capture_output=True, check=True, env={**os.environ, "PYTHONPATH": ""}
    )
    return [each for name, raw in json.loads(found.stdout).items() if (each := series(name, raw)) is not None]


def series(name: str, raw: Mapping[str, Any]) -> Series | None:
    """None where no two annotators agree, or too little comes before that."""
    columns = {column: np.array(values) for column, values in raw["columns"].items()}
    rows = len(next(iter(columns.values())))
    changes = agreed(raw["annotations"], max(1, rows // 100))
    if not changes:
        return None
    found = Series(name, columns, changes[0], [*changes, rows][1])
    return found if found.reference >= FEWEST_ROWS else None


def agreed(annotations: list[list[int]], near: int) -> list[int]:
    """Rows that a second annotator marked near a first one's mark, one for each group of marks."""
    marks = sorted((row, who) for who, rows in enumerate(annotations) for row in set(rows))
    pairs = [later for (row, who), (later, other) in pairwise(marks) if who != other and later - row <= near]
    return [row for index, row in enumerate(pairs) if index == 0 or row - pairs[index - 1] > near]


def outcomes(given: Series) -> list[Outcome]:
    """One for each method: any of the series' columns may alarm."""
    looks = _windows(given)
    quiet = given.quiet
    psi = _psi(given, looks)
    alarms = {
        "ours": _ours(given, looks),
        **{f"PSI > {cut:g}": psi > cut for cut in FIXED},
        # Chosen in hindsight, which no one has before the change: the lowest cut with as few false alarms.
        "PSI, cut in hindsight": psi > psi[:quiet].max(),
        f"KS, p < {KS_P:g}": _ks(given, looks),
    }
    return [Outcome(name, int(each[:quiet].sum()), quiet, first(each[quiet:])) for name, each in alarms.items()]


def _windows(given: Series) -> list[slice]:
    """Aligned to the change, so that none lies across it."""
    start = given.change - given.quiet * given.window
    return [slice(row, row + given.window) for row in range(start, given.end - given.window + 1, given.window)]


def _ours(given: Series, looks: list[slice]) -> Array:
    rule = Rule(0.0, Budget(PER_30_DAYS, len(given.columns), looks_per_30_days=len(looks)).alpha)
    found = np.zeros(len(looks), bool)
    for values in given.columns.values():
        profile = _profile(given, values)
        for look, rows in enumerate(looks):
            (statistic,) = measure(profile, count(profile, values[rows]))
            found[look] |= decide(statistic, rule).drifted
    return found


def _profile(given: Series, values: Floats) -> Profile:
    reference = values[: given.reference]
    profile = profile_of("column", "numeric", reference)
    blocks = [reference[start : start + given.window] for start in range(0, len(reference), given.window)]
    if len(blocks) < FEWEST:
        return profile
    try:
        return replace(profile, inflation=inflation(np.array([count(profile, block).cells for block in blocks])))
    except DriftError:
        return profile


def _psi(given: Series, looks: list[slice]) -> Floats:
    """The largest of the columns in each window."""
    found = np.zeros(len(looks))
    for values in given.columns.values():
        profile = profile_of("column", "numeric", values[: given.reference])
        found = np.maximum(found, [measure(profile, count(profile, values[rows]))[0].value for rows in looks])
    return found


def _ks(given: Series, looks: list[slice]) -> Array:
    found = np.zeros(len(looks), bool)
    for values in given.columns.values():
        reference = values[: given.reference]
        found |= [ks_2samp(reference, values[rows], method="asymp").pvalue < KS_P for rows in looks]
    return found
