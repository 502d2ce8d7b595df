"""Segments that are one aggregate have the numbers that each has alone."""

from collections.abc import Callable
from math import isnan, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelward_evaluate.segments import MOST, Part, together
from modelward_evaluate.spec import Segment
from modelward_evaluate.sums import moments_of
from modelward_quality.estimate import quantile
from unit.evaluate.lakes import Lake, outcome, prediction

ROWS = 600

NAMES: dict[str, Callable[[Any], str]] = {
    "place": lambda value: "(missing)" if value is None else str(value),
    "size": lambda value: "(missing)" if value is None or isnan(value) else f"{abs(value):g}",
    "new": lambda value: "(missing)" if value is None else str(int(value)),
    "paid": lambda value: {None: "(missing)", "true": "1", "True": "1"}.get(value, value),
    "city": lambda value: value if value in ("c0", "c1") else "(others)",
}
"""Columns of the log, and what a value of each is called."""


def values(rng: np.random.Generator) -> dict[str, list[Any]]:
    return {
        "place": rng.choice(np.array([0, 1, 2, None], object), ROWS).tolist(),
        "size": rng.choice(np.array([0.0, -0.0, 1.5, np.nan, None], object), ROWS).tolist(),
        "new": rng.choice(np.array([True, False, None], object), ROWS).tolist(),
        "paid": rng.choice(np.array(["true", "True", "x", "", None], object), ROWS).tolist(),
        "city": [f"c{min(each, 9)}" for each in (rng.geometric(0.4, ROWS) - 1).tolist()],
    }


def test_segments_of_all_kinds_together_have_the_numbers_of_their_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    columns = values(rng)
    worth = 1e6 + rng.normal(size=ROWS)  # whose spread is lost where centres are not kept
    truth = rng.integers(0, 2, ROWS)
    lake = Lake(tmp_path)
    lake.predict(
        [
            prediction(each, **{f"input.{name}": column[each] for name, column in columns.items()}, amount=worth[each])
            for each in range(ROWS)
        ]
    )
    lake.tell([outcome(each, int(truth[each])) for each in range(ROWS)])
    found = lake.said(
        segments=[{"name": name, "column": f"input.{name}", "values": 2 if name == "city" else 50} for name in columns],
        business="amount",
    )
    told = {(each["segment"], each["value"]): each["metrics"] for each in found["values"] if each["segment"]}
    expected = {}
    for name, column in columns.items():
        called = np.array([NAMES[name](value) for value in column])
        for value in np.unique(called):
            expected[name, str(value)] = called == value
    assert told.keys() == expected.keys()
    for key, rows in expected.items():
        metrics, number = told[key], int(rows.sum())
        assert metrics["accuracy"]["rows"] == metrics["worth"]["rows"] == number
        assert metrics["accuracy"]["value"] == pytest.approx((truth[rows] == 1).mean(), abs=1e-9)
        assert metrics["worth"]["value"] == pytest.approx(worth[rows].mean(), rel=1e-12)
        half = quantile(0.95) * worth[rows].std() / sqrt(number - 1)
        assert metrics["worth"]["high"] - metrics["worth"]["value"] == pytest.approx(half, rel=1e-4)


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_a_group_that_weighs_nearly_nothing_takes_no_digits_of_the_others(order: list[int]) -> None:
    columns = {
        "rows": [1000, 1], "weight": [1000.0, 1e-20], "squares": [1000.0, 1e-40], "centre_worth": [1.25, 1e18],
        "sum_worth": [0.0, 0.0], "spread_worth": [10.0, 0.0],
    }  # fmt: skip
    found = moments_of({name: np.array(column)[order] for name, column in columns.items()}, "worth")
    assert (found.rows, found.weight) == (1001, 1000.0)
    assert found.mean == pytest.approx(1.25, rel=1e-4)


@pytest.mark.parametrize("cells", [1, 700, MOST, 10 * MOST])
def test_each_segment_is_in_one_aggregate_which_is_no_larger_than_it_may_be(cells: int) -> None:
    sizes = [50, 2, 0, 7, 200, 3, 3, 1]
    parts = [Part(Segment(name=f"s{place}", column="c"), None, size) for place, size in enumerate(sizes)]
    found = list(together(parts, cells))
    assert sorted(part.segment.name for some in found for part in some) == [part.segment.name for part in parts]
    for some in found:
        assert len(some) == 1 or cells * int(np.prod([max(part.values, 1) for part in some])) <= MOST
    assert len(found) < len(parts) or cells >= MOST


def test_nothing_is_no_aggregate() -> None:
    assert list(together([], 5)) == []
