"""References of data with and without a model: what is profiled, how exactly, and in how much memory."""

import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from modelward_drift.building.sample import CAPACITY
from modelward_drift.counting.counting import count
from modelward_drift.errors import SettingError
from modelward_drift.profiles.inflation import Inflation
from modelward_drift.profiles.reference import Reference
from modelward_inference import make_reference, save_bundle
from modelward_inference.artifact.bundle import Signature, Tensor
from modelward_inference.errors import FormatUnknown, InvalidConfiguration
from modelward_inference.reference import models
from modelward_inference.reference.source import Chunk, open_source
from unit.inference.artifacts import pickled
from unit.inference.models import TEXTS, case, customers


def names(reference: Reference) -> list[str]:
    return [each.name for each in reference.features]


def kinds(reference: Reference) -> dict[str, str]:
    return {profile.name: profile.kind for profile in reference.profiles}


def many(rows: int = 3 * CAPACITY) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {"x": rng.normal(size=rows), "group": rng.choice(np.array(list("abc"), object), rows)}


def test_counts_of_more_rows_than_a_sample_are_exact() -> None:
    data = many()
    reference = make_reference(data)
    for profile in reference.profiles:
        assert sum(profile.counts) == profile.rows == 3 * CAPACITY
        assert count(profile, data[profile.name]).cells.tolist() == list(profile.counts)


def test_what_is_read_once_is_a_sample_and_says_so() -> None:
    data, said = many(), []
    chunks = (
        {name: column[begin : begin + 5000] for name, column in data.items()} for begin in range(0, 3 * CAPACITY, 5000)
    )
    reference = make_reference(chunks, warn=said.append)
    assert {(sum(profile.counts), profile.rows) for profile in reference.profiles} == {(CAPACITY, 3 * CAPACITY)}
    assert len(said) == 1
    assert f"of {3 * CAPACITY} rows a sample of {CAPACITY} was profiled" in said[0]


def test_data_that_grow_between_passes_are_refused() -> None:
    sizes = iter([5, 5, CAPACITY + 5, CAPACITY + 6])  # the beginning, the types, and both passes
    with pytest.raises(InvalidConfiguration, match="wait until nobody writes to them"):
        make_reference(lambda: iter([{"x": np.zeros(next(sizes))}]))


def test_a_text_file_that_changes_between_passes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("a,b\n1,true\n")
    source = open_source(tmp_path / "d.csv")
    source.columns()
    for line in ("x,true", "1,x"):
        (tmp_path / "d.csv").write_text(f"a,b\n{line}\n")
        with pytest.raises(InvalidConfiguration, match="wait until nobody writes to it"):
            list(source.chunks())


def test_a_file_larger_than_memory(tmp_path: Path) -> None:
    """80 MB of Parquet in one row group, and as much of .npy, in an eighth of that."""
    rows, columns = 500_000, 20
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(rows, columns))
    np.save(tmp_path / "d.npy", matrix)
    table = pa.table({f"c{index}": matrix[:, index] for index in range(columns)})
    parquet.write_table(table, tmp_path / "d.parquet", row_group_size=rows, use_dictionary=False)
    del table, matrix
    for name in ("d.npy", "d.parquet"):
        before = pa.total_allocated_bytes()
        tracemalloc.start()
        held, read = 0, 0
        for chunk in open_source(tmp_path / name).chunks():
            read += chunk.rows
            held = max(held, pa.total_allocated_bytes() - before)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert read == rows
        assert peak + held < (tmp_path / name).stat().st_size / 2, name


def test_chunks_are_bounded_whatever_the_width(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("a,b\n" + "1,x\n" * 70_000)
    sources = [tmp_path / "d.csv", np.zeros((70_000, 2)), np.zeros((3000, 900))]
    for data in sources:
        chunks: list[Chunk] = list(open_source(data).chunks())
        assert len(chunks) > 1
        assert max(chunk.rows for chunk in chunks) <= 1 << 16
        assert chunks[-1].done == 1.0
    assert max(chunk.rows for chunk in open_source(sources[2]).chunks()) * 900 <= 1 << 21


def test_a_signature_names_and_types_the_columns(tmp_path: Path) -> None:
    """007 is a text because the model takes texts; the target is dropped, since the model does not take it."""
    (tmp_path / "d.csv").write_text("zip,age,target\n" + "".join(f"{index % 9},{index},0\n" for index in range(50)))
    named = Signature((Tensor("age", "FP64", (-1, 1)), Tensor("zip", "BYTES", (-1, 1))), ())
    reference = make_reference(tmp_path / "d.csv", signature=named, ignore=["target"])
    assert kinds(reference) == {"age": "numeric", "zip": "categorical"}
    assert reference.profiles[1].levels == tuple("012345678")
    reference = make_reference(tmp_path / "d.csv", signature=WIDE, ignore=["target"])
    assert [(each.name, each.tensor, each.column) for each in reference.features] == [
        ("zip", "input", 0), ("age", "input", 1),
    ]  # fmt: skip


MODELS: list[tuple[str, Any]] = [
    ("columns by name", lambda: customers()[0]),
    ("columns by name", lambda: pa.Table.from_pandas(customers()[0])),
    ("forest", lambda: case("forest").rows),
    ("texts", lambda: TEXTS),
]


@pytest.mark.parametrize("form", ["estimator", "file", "bundle"])
@pytest.mark.parametrize(("name", "data"), MODELS)
def test_outputs_of_a_model_are_profiled(tmp_path: Path, name: str, data: Any, form: str) -> None:
    model: Any = case(name).model
    if form == "file":
        (tmp_path / "m.joblib").write_bytes(pickled(model))
        model = tmp_path / "m.joblib"
    elif form == "bundle":
        model = save_bundle(tmp_path / "b.tar", model, data())
    reference = make_reference(data(), model=model)
    outputs = [each for each in reference.features if each.side == "output"]
    assert {each.tensor for each in outputs} <= {"predict", "predict_proba"}
    predicted = next(each.profile for each in outputs if each.tensor == "predict")
    assert predicted.name == "output:predict"
    expected = case(name).model.predict(customers()[0] if name == "columns by name" else data())
    if predicted.kind == "categorical":
        labels, many = np.unique(expected, return_counts=True)
        assert dict(zip(predicted.levels, predicted.counts, strict=False)) == dict(
            zip(map(str, labels), many.tolist(), strict=True)
        )
    assert {sum(profile.counts) for profile in reference.profiles} == {len(expected)}


def test_how_many_rows_a_model_answers_at_once_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make_reference(case("forest").rows, model=case("forest").model)
    monkeypatch.setattr(models, "AT_ONCE", 17)
    assert make_reference(case("forest").rows, model=case("forest").model).digest == whole.digest


def correlated(rows: int = 40_000) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(4)
    yield {"alone": rng.normal(size=rows), "together": np.repeat(rng.normal(size=rows // 50), 50)}


def test_calibration_finds_rows_that_hang_together() -> None:
    reference = make_reference(correlated, calibrate_window=500)
    alone, together = reference.profiles
    assert alone.inflation.mean < 2
    assert together.inflation.mean == pytest.approx(50, rel=0.5)
    assert (together.inflation.rows, together.inflation.blocks) == (500, 80)
    assert sum(together.counts) == 40_000


def test_calibration_of_shuffled_rows_measures_nothing_and_says_so() -> None:
    """The same rows as above in random order: 1.0 would be no measurement."""
    data, told = next(correlated()), list[str]()
    order = np.random.default_rng(1).permutation(40_000)
    shuffled = {name: column[order] for name, column in data.items()}
    reference = make_reference(shuffled, calibrate_window=500, warn=told.append)
    assert [each.inflation for each in reference.profiles] == [Inflation(), Inflation()]
    assert len(told) == 1
    assert "Are the data in the order of time?" in told[0]


def test_an_order_that_evens_out_over_a_window_is_an_order() -> None:
    """Whole days scatter less than independent rows: that was measured, since their hours differ."""
    rng, told = np.random.default_rng(2), list[str]()
    day = np.sin(np.arange(40_000) / 1000 * 2 * np.pi)
    reference = make_reference({"amount": rng.normal(day)}, calibrate_window=1000, warn=told.append)
    found = reference.profiles[0].inflation
    assert (found.blocks, told) == (40, [])
    assert found.mean < 1.5


def test_windows_do_not_depend_on_chunks() -> None:
    data = next(correlated(5000))
    cuts = [0, 3, 999, 1000, 1001, 4000, 5000]
    chunks = [{name: column[begin:end] for name, column in data.items()} for begin, end in pairwise(cuts)]
    assert make_reference(chunks, calibrate_window=100).digest == make_reference(data, calibrate_window=100).digest


WIDE = Signature((Tensor("input", "FP32", (-1, 2)),), ())
SIGNATURE = Signature((Tensor("a", "FP64", (-1, 1)), Tensor("b", "INT64", (-1, 1))), ())

WRONG: dict[str, tuple[Any, dict[str, Any], type[Exception], str]] = {
    "a column that is missing": ({"a": [1.0]}, {"signature": SIGNATURE}, InvalidConfiguration, "no column 'b'; it has"),
    "a column of times": (
        {"a": [1.0], "b": pd.to_datetime(["2026-01-01"])}, {"signature": SIGNATURE}, InvalidConfiguration, "'b'",
    ),
    "texts for numbers": (
        {"a": ["x"], "b": [1]}, {"signature": SIGNATURE}, InvalidConfiguration, "'a' does not hold FP64 values",
    ),
    "one column too many": (
        pd.DataFrame(np.ones((9, 3)), columns=list("abc")),
        {"signature": WIDE}, InvalidConfiguration,
        r"takes \[-1, 2\].*; leave out what the model does not take \(--ignore\)",
    ),
    "an unknown feature": ({"a": [1.0]}, {"kinds": {"b": "text"}}, InvalidConfiguration, "b: no feature has this name"),
    "an unknown column": ({"a": [1.0]}, {"ignore": ["b"]}, InvalidConfiguration, "b: no feature has this name"),
    "an unknown kind": ({"a": [1.0]}, {"kinds": {"a": "float"}}, InvalidConfiguration, "can't be of the kind 'float'"),
    "a kind that fits no value": (
        {"a": ["x", "y"]}, {"kinds": {"a": "numeric"}}, InvalidConfiguration, "is to be numeric, and none of",
    ),
    "everything is left out": ({"a": [1.0]}, {"ignore": ["a"]}, InvalidConfiguration, "no feature is left"),
    "no model": ({"a": [1.0]}, {"model": "nowhere.tar"}, FormatUnknown, "is no file"),
    "too few windows": ({"a": np.zeros(100)}, {"calibrate_window": 10}, SettingError, "20 windows at least"),
    "no window": ({"a": np.zeros(100)}, {"calibrate_window": 0}, InvalidConfiguration, "a window of 0 rows"),
    "an iterator to calibrate": (
        iter([{"a": np.zeros(100)}]), {"calibrate_window": 5}, InvalidConfiguration, "reads the data twice",
    ),
    "nulls where a model takes whole numbers": (
        [[1.0], [np.nan]], {"model": case("linear regression").model}, InvalidConfiguration, "takes",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_says_why(name: str) -> None:
    data, options, kind, words = WRONG[name]
    with pytest.raises(kind, match=words):
        make_reference(data, **options)


def test_rows_that_a_model_refuses_are_told() -> None:
    rows = np.array(case("linear regression").rows)
    rows[3, 0] = np.nan
    with pytest.raises(InvalidConfiguration, match=r"the model fails on rows 0 to \d+ of the data: ValueError: .*NaN"):
        make_reference(rows, model=case("linear regression").model)


def test_null_texts_and_whole_numbers_are_counted_as_null() -> None:
    signature = Signature((Tensor("a", "BYTES", (-1, 1)), Tensor("b", "INT64", (-1, 1))), ())
    data = {"a": np.array(["x", None, float("nan")], object), "b": [1.0, float("nan"), 2.0]}
    reference = make_reference(data, signature=signature)
    assert [profile.counts[-1] for profile in reference.profiles] == [2, 1]
    assert reference.profiles[0].levels == ("x",)


def test_more_columns_than_are_watched_one_by_one() -> None:
    said: list[str] = []
    with pytest.raises(InvalidConfiguration, match="no feature is left"):
        make_reference(np.zeros((3, 1001)), warn=said.append)
    assert said == ["left out: the input 'input' has 1001 values a row; more than 1000 are not watched one by one"]
    assert len(make_reference(np.zeros((3, 1000))).features) == 1000


def test_points_in_time_are_left_out_and_it_is_said() -> None:
    said: list[str] = []
    data = pd.DataFrame({"at": pd.date_range("2026-01-01", periods=3), "x": [1.0, 2.0, 3.0]})
    assert names(make_reference(data, warn=said.append)) == ["x"]
    assert len(said) == 1
    assert "'at' holds points in time, of which no profile is made" in said[0]
    said.clear()
    assert names(make_reference(data, ignore=["at"], warn=said.append)) == ["x"]
    assert said == []
