"""From columns to counts: tables of features of each kind, and ways to count that have to agree."""

import math
from typing import Any

import numpy as np
import pytest

from modelward_drift.building.builder import profile_of
from modelward_drift.counting import counting
from modelward_drift.counting.counting import count, count_table
from modelward_drift.counting.counts import Quality, missing, quality
from modelward_drift.profiles.profile import Kind

NAN, INF = math.nan, math.inf

REFERENCES: dict[Kind, Any] = {
    "numeric": [0, 1, 2],
    "categorical": ["a", "a", "b"],
    "boolean": [True, False],
    "text": ["", "ab"],
}


@pytest.mark.parametrize(
    ("kind", "values", "cells", "expected"),
    [
        # Bins of -1 (a guard), 0, 1, 2 and 3 (a guard); then other, non_finite and null.
        ("numeric", [0, 1, 2, 2], [0, 1, 1, 2, 0, 0, 0, 0], Quality(4, 0, 0, 0, 0, 0)),
        ("numeric", [-9, 9, 2.4, 0.4], [1, 1, 0, 1, 1, 0, 0, 0], Quality(4, 0, 0, 3, 0, 0)),
        ("numeric", [NAN, None, INF, -INF, "1"], [0, 0, 0, 0, 0, 1, 2, 2], Quality(5, 2, 2, 0, 0, 1)),
        ("numeric", [], [0] * 8, Quality(0, 0, 0, 0, 0, 0)),
        ("categorical", ["a", "b", "c", "d", "c"], [1, 1, 3, 0, 0], Quality(5, 0, 0, 0, 3, 0)),
        ("categorical", [None, NAN, INF, [], "a"], [1, 0, 1, 1, 2], Quality(5, 2, 1, 0, 0, 1)),
        ("boolean", [True, 0, 1.0, None, INF, 2, "true"], [1, 2, 2, 1, 1], Quality(7, 1, 1, 0, 0, 2)),
        ("text", ["", "xy", None, 3], [0, 1, 1, 0, 1, 0, 1], Quality(4, 1, 0, 0, 0, 1)),
        ("text", np.array([np.nan, np.nan]), [0, 0, 0, 0, 0, 0, 2], Quality(2, 2, 0, 0, 0, 0)),
        ("text", np.array([np.nan, 1.0]), [0, 0, 0, 0, 1, 0, 1], Quality(2, 1, 0, 0, 0, 1)),
        ("text", ["x" * 99], [0, 0, 0, 1, 0, 0, 0], Quality(1, 0, 0, 1, 0, 0)),
    ],
)
def test_cells_and_quality(kind: Kind, values: list[Any], cells: list[int], expected: Quality) -> None:
    counts = count(profile_of("x", kind, REFERENCES[kind]), values)
    assert counts.cells.tolist() == cells
    assert quality(counts) == expected


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int64, np.uint8, object])
def test_the_quick_way_for_many_rows_agrees_with_the_search_for_few(
    dtype: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(3)
    profile = profile_of("x", "numeric", random.normal(20, 5, 5000))
    values = random.normal(20, 8, 100_000).astype(dtype if dtype is not np.uint8 else np.int64).astype(dtype)
    if np.dtype(dtype).kind in "fO":
        values[::7], values[::11], values[::13] = NAN, INF, -INF
    quick = count(profile, values)
    monkeypatch.setattr(counting, "FEW", len(values))
    assert quick == count(profile, values)
    assert quick.rows == len(values)


def test_rounding_to_float32_moves_nothing() -> None:
    """Values of the reference itself, as a client that computes in single precision sends them."""
    values = np.round(np.random.default_rng(1).normal(100, 10, 30_000), 2)
    profile = profile_of("x", "numeric", values)
    assert count(profile, values.astype(np.float32)) == count(profile, values.astype(np.float32).astype(np.float64))
    assert count(profile, values.astype(np.float32)).cells.tolist() == list(profile.counts)


@pytest.mark.parametrize("rows", [1, 5000])
def test_a_range_that_single_precision_does_not_hold(rows: int) -> None:
    largest = float(np.finfo(np.float32).max)
    profile = profile_of("x", "numeric", [largest])
    assert count(profile, np.full(rows, largest, np.float32)) == count(profile, np.full(rows, largest))


def test_a_million_new_categories_are_other() -> None:
    profile = profile_of("x", "categorical", ["a", "b"])
    counts = count(profile, np.arange(1_000_000))
    assert counts.cells.tolist() == [0, 0, 1_000_000, 0, 0]
    assert quality(counts).new_categories == 1_000_000


def test_features_that_vanish_are_null_and_those_that_appear_are_left_out() -> None:
    profiles = [profile_of(name, "numeric", [1, 2]) for name in ("kept", "gone")]
    kept, gone = count_table(profiles, {"kept": [1, 2, 2], "new": [0, 0, 0]}, rows=3)
    assert kept.rows == 3
    assert gone == missing(profiles[1], 3)
    assert quality(gone).missing == 3


def test_a_column_that_is_not_contiguous() -> None:
    table = np.random.default_rng(0).normal(size=(5000, 3))
    profile = profile_of("x", "numeric", table[:, 1])
    assert count(profile, table[:, 1]).cells.tolist() == list(profile.counts)
