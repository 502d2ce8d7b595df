"""References of any chunks of any rows: what has no order gives the same, whatever the order."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelward_drift.counting.counting import count
from modelward_inference import make_reference
from modelward_inference.reference import source
from modelward_inference.reference.types import joined, type_of, type_of_texts

pytestmark = pytest.mark.property

NUMBERS = st.one_of(st.none(), st.floats(), st.integers(-(10**6), 10**6))
TEXTS = st.one_of(st.none(), st.sampled_from(["a", "b", "", "true"]), st.text(max_size=80))
ANYTHING = st.one_of(NUMBERS, TEXTS, st.booleans(), st.binary(max_size=4))


def column(values: list[Any]) -> Any:
    array = np.empty(len(values), object)
    array[:] = values
    return array


@st.composite
def tables(draw: st.DrawFn) -> dict[str, Any]:
    rows = draw(st.integers(1, 60))
    kinds = {"numbers": NUMBERS, "texts": TEXTS, "anything": ANYTHING, "truths": st.sampled_from([True, False, None])}
    return {name: column(draw(st.lists(kind, min_size=rows, max_size=rows))) for name, kind in kinds.items()}


def cut(table: dict[str, Any], cuts: list[int]) -> list[dict[str, Any]]:
    rows = len(table["texts"])
    bounds = sorted({0, rows, *(each % rows for each in cuts)})
    return [{name: values[begin:end] for name, values in table.items()} for begin, end in pairwise(bounds)]


@settings(deadline=None)
@given(tables(), st.lists(st.integers(0, 10**6), max_size=5), st.randoms())
def test_neither_chunks_nor_their_order_change_a_reference(table: dict[str, Any], cuts: list[int], order: Any) -> None:
    whole = make_reference(table)
    chunks = cut(table, cuts)
    assert make_reference(chunks).digest == whole.digest
    order.shuffle(chunks)
    assert make_reference(chunks).digest == whole.digest


@settings(deadline=None)
@given(tables(), st.integers(1, 70))
def test_the_second_pass_counts_what_the_first_one_saw(table: dict[str, Any], most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "MOST_ROWS", most)
        for profile in make_reference(table).profiles:
            assert count(profile, table[profile.name]).cells.tolist() == list(profile.counts)
            assert sum(profile.counts) == profile.rows == len(table["texts"])


@given(st.lists(ANYTHING), st.lists(ANYTHING))
def test_types_are_joined(first: list[Any], second: list[Any]) -> None:
    parts = (type_of(column(first)), type_of(column(second)))
    assert type_of(column(first + second)) == joined(parts) == joined(reversed(parts))


FIELDS = st.one_of(
    st.sampled_from(["", "NA", "nan", "007", "1", "-1.5", "1e3", "true", "False", "1_0", " 2 ", "inf", "x", " "]),
    st.floats().map(repr), st.text(max_size=3),
)  # fmt: skip


@given(st.lists(FIELDS, min_size=1), st.lists(FIELDS, min_size=1))
def test_types_of_text_columns_are_joined(first: list[str], second: list[str]) -> None:
    parts = (type_of_texts(first), type_of_texts(second))
    assert type_of_texts(first + second) == joined(parts)


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
def test_numbers_survive_a_text_file(tmp_path_factory: pytest.TempPathFactory, values: list[float]) -> None:
    path = tmp_path_factory.mktemp("csv") / "d.csv"
    path.write_text("x\n" + "".join(f"{value!r}\n" for value in values))
    assert make_reference(path).digest == make_reference({"x": values}).digest
    assert not any(math.isnan(edge) for edge in make_reference(path).profiles[0].grid.edges)  # type: ignore[union-attr]
