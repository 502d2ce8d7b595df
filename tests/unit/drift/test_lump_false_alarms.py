"""False alarms by simulation where cells are small: beside heavy values, in tails, and of labels that few rows have.

Columns do not change. As in test_false_alarms.py, budgets are large, so that seconds suffice.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import beta

from modelward_drift.arrays import Array
from modelward_drift.building.builder import profile_of
from modelward_drift.counting.counts import QUALITY, Counts
from modelward_drift.judging.budget import Budget
from modelward_drift.judging.statistic import measure
from modelward_drift.profiles.profile import Kind, Profile
from modelward_drift.profiles.rare import groups, hashed

ROWS, LOOKS, REFERENCES = 500, 50, 25
BUDGET = Budget(0.02 * LOOKS, features=1, looks_per_30_days=LOOKS)
ALLOWED = BUDGET.per_30_days / LOOKS

Draw = Callable[[np.random.Generator, int], Array]


def zeros(share: float) -> Draw:
    return lambda random, rows: np.where(random.random(rows) < share, 0.0, random.lognormal(5, 2, rows))


def labels(number: int, exponent: float) -> Draw:
    shares = 1 / np.arange(1, number + 1) ** exponent
    return lambda random, rows: random.choice(number, rows, p=shares / shares.sum())


COLUMNS: dict[str, tuple[Kind, Draw, int]] = {
    "80 % zeros": ("numeric", zeros(0.8), 20_000),
    "92 % zeros": ("numeric", zeros(0.92), 20_000),
    "99 % zeros": ("numeric", zeros(0.99), 20_000),
    "lognormal": ("numeric", lambda random, rows: random.lognormal(0, 2, rows), 60_000),
    "Pareto": ("numeric", lambda random, rows: random.pareto(1.5, rows), 20_000),
    "10,000 labels, Zipf": ("categorical", labels(10_000, 1.0), 20_000),
    "10,000 labels, even": ("categorical", labels(10_000, 0.0), 20_000),
    "300 labels, even": ("categorical", labels(300, 0.0), 5_000),
    "short reference": ("categorical", labels(10_000, 0.7), 1_000),
}


def found(kind: Kind, draw: Draw, size: int) -> tuple[int, float]:
    """Of REFERENCES times LOOKS windows: what chance is excluded of, and the largest PSI of these."""
    random = np.random.default_rng(17)
    alarms, largest = 0, 0.0
    for _ in range(REFERENCES):
        profile = profile_of("x", kind, draw(random, size))
        for cells in windows(profile, draw, random, len(profile.counts)):
            (statistic,) = measure(profile, Counts(profile.digest, cells, np.zeros(len(QUALITY), np.int64)))
            if statistic.test.log_p <= math.log(BUDGET.alpha):
                alarms, largest = alarms + 1, max(largest, statistic.value)
    return alarms, largest


def windows(profile: Profile, draw: Draw, random: np.random.Generator, cells: int) -> Array:
    """(LOOKS, cells) of independent rows, which are all drawn at once."""
    values = draw(random, ROWS * LOOKS)
    if profile.grid is not None:
        place = np.searchsorted(profile.grid.edges, values, side="right")
    else:
        distinct, which = np.unique(values, return_inverse=True)
        place = cells_of(profile, list(map(str, distinct)))[which]
    flat = place + cells * (np.arange(len(values)) // ROWS)
    return np.bincount(flat, minlength=cells * LOOKS).reshape(LOOKS, cells)


def cells_of(profile: Profile, names: list[str]) -> Array:
    """As `count` has it, without a count for each."""
    assert profile.rare is not None
    hashes = hashed(names)
    rest = np.where(profile.rare.known(hashes), profile.others.start + groups(hashes), profile.bins - 1)
    return np.array([profile.position.get(name, cell) for name, cell in zip(names, rest.tolist(), strict=True)])


@pytest.mark.parametrize("name", COLUMNS)
def test_small_cells_keep_the_budget(name: str) -> None:
    alarms, largest = found(*COLUMNS[name])
    assert float(beta.ppf(0.05, alarms, REFERENCES * LOOKS - alarms + 1) if alarms else 0.0) <= ALLOWED
    assert alarms <= 1.25 * ALLOWED * REFERENCES * LOOKS
    assert largest < 0.4, "and the effect of chance is not far above what thresholds are set to"


def test_hashes_are_the_same_on_every_machine() -> None:
    """Stored filters are read by other releases and machines."""
    assert hashed(["", "a", "\ud800"]).tolist() == HASHES


HASHES = [13020603013274838756, 3405396810240292928, 7497787021708494914]
