"""What counts as what: the same for every way in which a value may arrive."""

import datetime
import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest

from modelward_drift.counting.columns import MAX_LABEL, Special, as_booleans, as_labels, as_lengths, as_numbers, column

NAN = math.nan


class Hostile:
    """Fails at whatever is asked of it."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    __ne__ = __eq__
    __hash__ = None  # type: ignore[assignment]
    __str__ = __float__ = __eq__  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (1, 1.0),
        (1.5, 1.5),
        (True, 1.0),
        (np.float32(0.5), 0.5),
        (np.int8(-3), -3.0),
        (np.bool_(False), 0.0),
        (Decimal("2.5"), 2.5),
        (Fraction(1, 4), 0.25),
        (10**400, math.inf),
        pytest.param(-(10**5000), -math.inf, id="more digits than Python writes"),
        (-math.inf, -math.inf),
        *((null, NAN) for null in (None, NAN, np.float32("nan"), pd.NA, pd.NaT, np.datetime64("NaT"), Decimal("nan"))),
        *((wrong, None) for wrong in ("1.5", b"1", [1], {}, 1j, datetime.date.min, Hostile(), np.array([1, 2]))),
    ],
)
def test_numbers(value: Any, number: float | None) -> None:
    found = as_numbers(column([value, "a text, so that the column is of objects"]))
    assert found.wrong is not None
    assert found.wrong.tolist() == [number is None, True]
    np.testing.assert_equal(found.values[0], NAN if number is None else number)


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("a", "a"),
        (b"a", "a"),
        (b"\xff", "\ufffd"),
        ("", ""),
        (1, "1"),
        (1.0, "1"),
        (np.int32(1), "1"),
        (0.1, "0.1"),
        (1e300, "1e+300"),
        (True, "true"),
        (np.bool_(False), "false"),
        (math.inf, Special.NON_FINITE),
        *((null, Special.NULL) for null in (None, NAN, pd.NA, pd.NaT)),
        *((wrong, Special.WRONG) for wrong in ([1], {}, object(), Hostile(), 1j)),
        pytest.param(10**5000, Special.WRONG, id="more digits than Python writes"),
    ],
)
def test_labels(value: Any, label: Any) -> None:
    (found,) = as_labels(column([value]))
    assert found == label
    assert isinstance(found, Special) == isinstance(label, Special)


def test_truths_and_ones_are_different_categories() -> None:
    assert as_labels(column([True, 1, 1.0, "true"])) == ["true", "1", "1", "true"]


def test_long_labels_are_short_and_different() -> None:
    first, second = as_labels(column(["x" * 10_000 + "a", "x" * 10_000 + "b"]))
    assert first != second
    assert len(str(first)) <= MAX_LABEL


@pytest.mark.parametrize(
    ("values", "expected", "wrong"),
    [
        ([True, False, 1, 0.0], [1, 0, 1, 0], 0),
        (np.array([0, 1, 2], np.int64), [0, 1, NAN], 1),
        ([True, "true", None, math.inf], [1, NAN, NAN, math.inf], 1),
    ],
)
def test_booleans(values: Any, expected: list[float], wrong: int) -> None:
    found = as_booleans(column(values))
    np.testing.assert_array_equal(found.values, expected)
    assert (0 if found.wrong is None else found.wrong.sum()) == wrong


@pytest.mark.parametrize(
    ("values", "expected", "wrong"),
    [
        (["", "ab", "né", None, 3], [0, 2, 2, NAN, NAN], 1),
        (np.array(["abc", ""]), [3, 0], 0),
        (np.array([b"abc", "né".encode()]), [3, 2], 0),
        ([b"\xff\xff"], [2], 0),
        (np.array(["ab", "c"], np.dtypes.StringDType()), [2, 1], 0),
        (np.arange(3), [NAN, NAN, NAN], 3),
    ],
)
def test_lengths(values: Any, expected: list[float], wrong: int) -> None:
    found = as_lengths(column(values))
    np.testing.assert_array_equal(found.values, expected)
    assert (0 if found.wrong is None else found.wrong.sum()) == wrong


@pytest.mark.parametrize(
    ("values", "expected", "wrong"),
    [
        (pd.Series([1, None, 3], dtype="Int64"), [1, NAN, 3], 0),
        (pd.Series([1.5, None]), [1.5, NAN], 0),
        (pd.Series(["a", None], dtype="string"), [NAN, NAN], 1),
        (np.ma.masked_array([1.0, 2.0], mask=[False, True]), [1, NAN], 0),
        (np.array([[1.0], [2.0]]), [1, 2], 0),
        (np.ones((2, 3)), [NAN, NAN], 2),
        (np.array([1, 2], ">f8"), [1, 2], 0),
        (np.array([1, 2], np.float16), [1, 2], 0),
        (np.array(["2026-01-01", "NaT"], "datetime64[D]"), [NAN, NAN], 1),
        (np.array([1j]), [NAN], 1),
        (np.zeros(2, [("a", "i4")]), [NAN, NAN], 2),
        (np.array(3.0), [3], 0),
        (iter([1, 2.5]), [1, 2.5], 0),
        ([2**70, 10**400], [float(2**70), math.inf], 0),
        ([], [], 0),
    ],
)
def test_columns_of_any_make(values: Any, expected: list[float], wrong: int) -> None:
    found = as_numbers(column(values))
    np.testing.assert_array_equal(found.values, expected)
    assert (0 if found.wrong is None else found.wrong.sum()) == wrong
