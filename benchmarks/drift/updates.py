"""What it costs to count a table against a kept reference, beside one pass over its memory."""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Final

import numpy as np

from modelward_drift.builder import profile_of
from modelward_drift.counting import count_table

SHAPES: Final = ((1_000_000, 30), (100_000, 300))
REPEATS: Final = 5
REFERENCE: Final = 50_000
"""Rows."""


@dataclass(frozen=True)
class Update:
    """Seconds, the best of REPEATS, which take turns."""

    rows: int
    features: int
    counting: float
    memory_pass: float

    @property
    def ratio(self) -> float:
        return self.counting / self.memory_pass


def run(rows: int, features: int) -> Update:
    """Normal features, column by column as data frames and Arrow have them."""
    random = np.random.default_rng(0)
    table = np.asfortranarray(random.standard_normal((features, rows)).T)
    names = [f"f{index}" for index in range(features)]
    profiles = [profile_of(name, "numeric", random.standard_normal(REFERENCE)) for name in names]
    columns = {name: table[:, index] for index, name in enumerate(names)}
    rounds = [
        (_seconds(lambda: count_table(profiles, columns, rows)), _seconds(lambda: np.sum(table)))
        for _ in range(REPEATS)
    ]
    counting, memory_pass = (min(times) for times in zip(*rounds, strict=True))
    return Update(rows, features, counting, memory_pass)


def _seconds(work: Callable[[], object]) -> float:
    started = perf_counter()
    work()
    return perf_counter() - started
