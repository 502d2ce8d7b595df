"""The columns of the benchmark change as it says; what finds nothing is told from what always alarms."""

import numpy as np
import pytest

from benchmarks.drift.sensitivity import COLUMNS, Column, alarms, smallest, zeros


@pytest.mark.parametrize("column", [COLUMNS[1], COLUMNS[-1]], ids=lambda each: each.name)
def test_ours_is_silent_without_a_change_and_finds_the_largest(column: Column) -> None:
    quiet, loud = alarms(column, column.nothing, 2), alarms(column, column.changes[-1], 2)
    for name in ("psi", "js_distance"):
        assert (quiet[name], loud[name]) == (0, 2)


def test_only_what_is_named_changes() -> None:
    column = zeros(0.9)
    plain, changed = (column.draw(np.random.default_rng(0), 1000, factor) for factor in (1.0, 3.0))
    assert changed == pytest.approx(3 * plain)
    assert (plain == 0).mean() == pytest.approx(0.9, abs=0.05)


def test_the_smallest_change_is_the_first_that_is_found() -> None:
    column = Column("shift", "numeric", lambda random, rows, by: random.normal(by, 1, rows), 0.0, (0.01, 3.0))
    assert set(smallest(column).values()) == {"3"}
