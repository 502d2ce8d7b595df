"""Columns as a server's requests would have them, and the rows whose value is none."""

from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from modelward_batch.values import array_of, unfit

NAN = float("nan")

FITTING: list[tuple[pa.Array, str, list[Any], dict[int, str]]] = [
    (pa.array([1.5, None]), "FP32", [1.5, NAN], {}),
    (pa.array([1, None], pa.int8()), "FP64", [1.0, NAN], {}),
    (pa.array([2**40, 3]), "FP64", [2**40, 3], {}),
    (pa.array([True, None, False]), "FP32", [1.0, NAN, 0.0], {}),
    (pa.array([Decimal("1.25"), None]), "FP64", [1.25, NAN], {}),
    (pa.array([1.5], pa.float16()), "FP32", [1.5], {}),
    (pa.nulls(2), "FP32", [NAN, NAN], {}),
    (pa.array(["a", None]), "BYTES", ["a", None], {}),
    (pa.array(["a", "b", "a", None]).dictionary_encode(), "BYTES", ["a", "b", "a", None], {}),
    (pa.array([b"a"]), "BYTES", [b"a"], {}),
    (pa.array(["a"], pa.large_string()), "BYTES", ["a"], {}),
    (pa.nulls(1), "BYTES", [None], {}),
    (pa.array([1, None]), "INT64", [1, 0], {1: "has no value"}),
    (pa.array([True, None]), "BOOL", [True, False], {1: "has no value"}),
    (pa.nulls(1), "INT32", [0], {0: "has no value"}),
]


@pytest.mark.parametrize(("column", "datatype", "wanted", "bad"), FITTING)
def test_a_column_becomes_the_array_that_a_request_would_bring(
    column: pa.Array, datatype: str, wanted: list[Any], bad: dict[int, str]
) -> None:
    assert unfit(column.type, datatype) == ""
    found = array_of(column, "c", datatype, ())
    assert (found.array.dtype.kind == "O") is (datatype == "BYTES")
    np.testing.assert_array_equal(found.array, np.array(wanted, found.array.dtype))
    assert found.bad.keys() == bad.keys()
    assert all(words in found.bad[row] for row, words in bad.items())


@pytest.mark.parametrize(("column", "datatype"), [
    (pa.array(["1"]), "FP32"), (pa.array([1]), "BYTES"), (pa.array([1.0]), "INT64"), (pa.array([1]), "BOOL"),
    (pa.array([0], pa.timestamp("us")), "FP64"), (pa.array([0], pa.date32()), "INT32"), (pa.array([[1.0]]), "FP32"),
    (pa.array([{"a": 1}]), "FP32"), (pa.array([True]), "BYTES"), (pa.array(["x"]).dictionary_encode(), "FP32"),
])  # fmt: skip
def test_a_column_of_another_type_is_told(column: pa.Array, datatype: str) -> None:
    assert f"and the model takes {datatype}" in unfit(column.type, datatype)


@pytest.mark.parametrize(("datatype", "texts", "wanted", "bad"), [
    ("FP64", ["1.5", " 2 ", "", "NA", "inf", "x", "1_0"], [1.5, 2, NAN, NAN, np.inf, 0, 0], [5, 6]),
    ("INT64", ["1", "2.0", "2.5", "", str(2**63), "nan"], [1, 2, 0, 0, 0, 0], [2, 3, 4, 5]),
    ("UINT8", ["1", "-1"], [1, 0], [1]),
    ("BOOL", ["true", "False", "1", "0", "yes", ""], [True, False, True, False, False, False], [4, 5]),
])  # fmt: skip
def test_texts_of_a_csv_file_are_read_one_by_one(datatype: str, texts: Any, wanted: Any, bad: Any) -> None:
    found = array_of(pa.array(texts), "c", datatype, (), True)
    np.testing.assert_array_equal(found.array, np.array(wanted, found.array.dtype))
    assert sorted(found.bad) == bad


def test_texts_that_pandas_reads_as_null_are_null_in_csv_alone() -> None:
    column = pa.array(["NA", "Rome", ""])
    assert array_of(column, "c", "BYTES", (), True).array.tolist() == [None, "Rome", None]
    assert array_of(column, "c", "BYTES", ()).array.tolist() == ["NA", "Rome", ""]


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.large_list(pa.float64())])
def test_lists_fill_wide_tensors_and_those_of_another_length_are_told(kind: pa.DataType) -> None:
    column = pa.array([[1, 2, 3, 4], [5], None, [5, 6, None, 8]], kind)
    found = array_of(column, "c", "FP32", (2, 2))
    assert found.array.shape == (4, 2, 2)
    assert found.array[0].tolist() == [[1, 2], [3, 4]]
    np.testing.assert_array_equal(found.array[3], [[5, 6], [NAN, 8]])
    assert found.bad == {
        1: "the column 'c' has 1 values, and the model takes 4", 2: "the column 'c' has no list, and the model takes 4"
    }  # fmt: skip
    assert unfit(kind, "FP32", 4) == ""
    assert unfit(pa.list_(pa.float32(), 3), "FP32", 4) == "holds lists of 3 values, and the model takes 4"
    assert "and the model takes lists of 4 values" in unfit(pa.float64(), "FP32", 4)


def test_a_value_within_a_list_is_its_rows_trouble() -> None:
    found = array_of(pa.array([[1, 2], [3, None]]), "c", "INT64", (2,))
    assert list(found.bad) == [1]
    assert found.array.tolist() == [[1, 2], [3, 0]]
