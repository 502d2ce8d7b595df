"""Labels of the question are written as the engine writes those of the data."""

from typing import Any

import ibis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelward_evaluate.cohorts import text_of
from modelward_evaluate.columns import as_kept, as_label, as_time, label

TEXTS = st.one_of(
    st.text("01.-+ e5tT\n", max_size=8),
    st.sampled_from(
        ["true", "TRUE", "False", " 1.00 ", "-0", "-0.0", "01.0", "10", "100.0", "1.", ".5", "1e3", "spam"]
    ),
)
NUMBERS = st.floats(-1e15, 1e15).filter(lambda value: value == 0 or abs(value) >= 1e-3)
"""Smaller ones are no labels, and DuckDB begins to write exponents at another size than Python does."""

VALUES = st.one_of(TEXTS, st.booleans(), NUMBERS, st.sampled_from([0.0, -0.0, 1.5, 0.1, 1e-7]))


@settings(deadline=None, max_examples=300)
@given(VALUES)
def test_a_label_is_the_same_on_both_sides(value: Any) -> None:
    found = ENGINE.execute(as_label(ibis.literal(value)))
    assert (found or "") == label(value)


@pytest.mark.parametrize(
    ("value", "said"),
    [("1.50", "1.5"), ("01", "01"), (" 10.0", "10"), ("-0", "0"), (True, "1"), (2.0, "2"), ("True", "1")],
)
def test_a_label(value: Any, said: str) -> None:
    assert label(value) == said


@pytest.mark.parametrize("kind", ["boolean", "int64", "float64", "string", "decimal(9, 2)"])
def test_what_is_not_there_is_no_label_and_no_name_of_a_segment(kind: str) -> None:
    nothing = ibis.null(kind)
    assert [ENGINE.to_pyarrow(each(nothing)).as_py() for each in (as_label, as_kept)] == [None, None]
    assert ENGINE.to_pyarrow(text_of(as_kept(nothing))).as_py() == "(missing)"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2026-3-1", "2026-03-01 00:00:00"), ("2026/03/01 10:30:00", "2026-03-01 10:30:00"), ("2026-03", None),
        ("2026/03", None), ("2026", None), ("10:30", None), ("infinity", None), ("a/b/c", None),
    ],
)  # fmt: skip
def test_a_time_has_a_day(text: str, said: str | None) -> None:
    found = ENGINE.execute(as_time(ibis.literal(text)).cast("timestamp").cast("string"))
    assert found == said


ENGINE = ibis.duckdb.connect()
