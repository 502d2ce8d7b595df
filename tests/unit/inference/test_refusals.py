"""One look at all numbers of a request must never pass what one of the guards behind it would refuse."""

from typing import Any

import numpy as np
import pytest

from modelward_inference.artifact.bundle import Refusal
from modelward_inference.engine.refusals import Guards
from modelward_inference.protocol.messages import ModelRefusedError

GUARDS = Guards([Refusal("x", kind, (0, 2)) for kind in ("missing", "infinite", "large")], {"x": 3})
ROWS = (1, 3333, 3334, 20_000)  # the ways to look at numbers change at 10,000
ODD = {
    "missing": np.nan,
    "infinite": np.inf,
    "infinite, below": -np.inf,
    "large": 3.4028235677973366e38,  # the smallest that is infinite in single precision
    "large, below": -1e300,
}


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("odd", ODD)
def test_one_odd_number_among_many_is_found(rows: int, odd: str) -> None:
    numbers = np.full((rows, 3), 1e15)
    GUARDS.check({"x": numbers})
    numbers[rows // 2, 2] = ODD[odd]
    with pytest.raises(
        ModelRefusedError, match=rf"column 2 is {odd.split(',')[0].replace('large', 'too large')} in row"
    ):
        GUARDS.check({"x": numbers})


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -1e300])
def test_what_stands_in_another_column_is_nobodys_business(rows: int, value: float) -> None:
    numbers = np.zeros((rows, 3))
    numbers[:, 1] = value
    GUARDS.check({"x": numbers})


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("dtype", ["f2", "f4", "i8", "u1", "bool"])
def test_the_largest_numbers_of_smaller_types_are_taken(rows: int, dtype: str) -> None:
    kind: Any = np.dtype(dtype)
    most = True if dtype == "bool" else np.finfo(kind).max if kind.kind == "f" else np.iinfo(kind).max
    GUARDS.check({"x": np.full((rows, 3), most, kind)})


def test_categories_are_looked_at_whatever_else_there_is() -> None:
    guards = Guards([Refusal("city", "unknown", (0,), (), (1, 2)), Refusal("x", "missing", (0,))], {"city": 1, "x": 1})
    known, unknown = np.array([[1], [2]]), np.array([[1], [3]])
    guards.check({"city": known, "x": np.ones((2, 1))})
    with pytest.raises(ModelRefusedError, match="'3' in row 1 is a category"):
        guards.check({"city": unknown, "x": np.ones((2, 1))})
