"""Delays, annotated changes and pooling: what is reckoned from what was simulated or read."""

import math
from typing import Any

import numpy as np
import pytest

from benchmarks.drift import changes, delays, pooling
from benchmarks.drift.changes import Series
from benchmarks.drift.delays import Delays


@pytest.mark.parametrize(
    ("found", "share", "median", "mean"),
    [((1, 1, 4), 1, 1, 2), ((None, 2), 0.5, math.inf, 361), ((None,), 0, math.inf, 720)],
)
def test_delays(found: tuple[int | None, ...], share: float, median: float, mean: float) -> None:
    these = Delays("ours", 0.1, found)
    assert (these.share, these.median, these.mean) == (share, median, mean)


def test_a_large_shift_is_found_at_once_and_none_by_none() -> None:
    large = {each.method: each.found for each in delays.run(1.0, 0.09, 2)}
    assert set(large.values()) == {(1, 1)}
    assert list(large) == ["ours", "PSI > 0.1", "PSI > 0.2", "PSI, cut of equal rate", "KS, p < 0.05"]
    none = {each.method: each.share for each in delays.run(0.0, 1.0, 2)}
    assert none["ours"] == none["PSI > 0.2"] == none["PSI, cut of equal rate"] == 0


def test_first() -> None:
    assert delays.first(np.array([False, True, True])) == 2
    assert delays.first(np.array([False])) is None


@pytest.mark.parametrize(
    ("annotations", "rows"),
    [
        ([[10], [50]], []),
        ([[10, 12]], []),  # one annotator does not agree with himself
        ([[10], [12]], [12]),
        ([[10], [12], [13]], [12]),  # one change, not two
        ([[10, 100], [9, 103], [101]], [10, 101]),
    ],
)
def test_agreed(annotations: list[list[int]], rows: list[int]) -> None:
    assert changes.agreed(annotations, 3) == rows


def step(change: int, rows: int) -> Series:
    values = np.random.default_rng(0).standard_normal(rows)
    values[change:] += 5
    return Series("step", {"a": values, "b": np.zeros(rows)}, change, rows)


def test_a_step_is_found_in_its_first_window() -> None:
    found = {each.method: each for each in changes.outcomes(step(1200, 1500))}
    assert all(each.quiet == 10 for each in found.values())
    assert (found["ours"].early, found["ours"].delay) == (0, 1)
    assert (found["PSI, cut in hindsight"].early, found["PSI, cut in hindsight"].delay) == (0, 1)
    assert found["PSI > 0.1"].early > 0  # windows of thirty rows


def test_windows_do_not_lie_across_the_change() -> None:
    given = step(403, 600)
    looks = changes._windows(given)
    assert looks[given.quiet].start == 403
    assert looks[0].start >= given.reference
    assert looks[-1].stop <= given.end


@pytest.mark.parametrize(
    ("annotations", "found"), [([[80], [81]], (81, 200)), ([[80, 150], [80, 150]], (80, 150)), ([[9], [9]], None)]
)
def test_series(annotations: list[list[int]], found: tuple[int, int] | None) -> None:
    raw: dict[str, Any] = {"columns": {"a": [0.0] * 200}, "annotations": annotations}
    series = changes.series("s", raw)
    assert (series and (series.change, series.end)) == found


def test_a_look_judges_the_rows_of_all_pods() -> None:
    reference, documents = pooling.readings(3, 4)
    decisions = pooling.look(reference, documents)
    assert sorted(each.statistic.feature for each in decisions) == ["f0", "f1", "f2", "f3"]
    assert {each.statistic.rows for each in decisions} == {3 * pooling.ROWS}
    found = pooling.run(3, 4, repeats=1)
    assert found.size == sum(map(len, documents))
    assert found.seconds > 0
