"""What the files' columns are: their types, names, and what is done to them."""

import hashlib
import hmac
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelward_drift.building.builder import profile_of
from modelward_drift.profiles.reference import Feature, Reference
from modelward_inference.artifact.bundle import Manifest, Signature, Tensor
from modelward_inference.capture.requests import Requests
from modelward_inference.capture.wire import Batch
from modelward_inference.errors import InvalidConfiguration
from modelward_monitor.predictionlog import schema, table
from modelward_monitor.predictionlog.settings import Columns, LogSettings
from modelward_monitor.predictionlog.table import Rules, Tally
from unit.monitor.worlds import write_bundle

from .logs import MOMENT

KEY = b"0123456789abcdef"


def manifest(folder: Path, *inputs: Tensor, outputs: tuple[Tensor, ...] = (), **more: Any) -> Manifest:
    write_bundle(folder, None, Signature(inputs, outputs or (Tensor("y", "FP32", (-1, 1)),)))
    return replace(Manifest.read(folder), **more)


def rules(columns: list[schema.Column], how: Columns | None = None, **more: Any) -> Rules:
    how = how or Columns()
    kept, fields, _ = schema.changed(columns, how)
    return Rules(tuple(kept), fields, how, "v", **more)


def batch(rows: int, inputs: dict[str, Any], outputs: dict[str, Any] | None = None, **more: Any) -> Batch:
    ids = [f"r{row}" for row in range(rows)]
    requests = Requests(ids, [None] * rows, ["stable"] * rows, [1] * rows, [0] * rows, [MOMENT] * rows, [0.0] * rows)
    return Batch("run", 1, rows, inputs, outputs or {}, requests=replace(requests, **more))


def only(of: Batch, how: Rules, tally: Tally | None = None) -> pa.Table:
    (part,) = table.parts(of, how, tally or Tally())
    return part.table


@pytest.mark.parametrize(
    ("datatype", "values", "kind", "expected"),
    [
        ("BOOL", np.array([True, False]), pa.bool_(), [True, False]),
        ("INT8", np.array([1, -2], np.int8), pa.int8(), [1, -2]),
        ("UINT64", np.array([1, 2**64 - 1], np.uint64), pa.uint64(), [1, 2**64 - 1]),
        ("FP16", np.array([0.5, np.nan], np.float16), pa.float32(), [0.5, None]),
        ("FP32", np.array([0.5, np.inf], ">f4"), pa.float32(), [0.5, np.inf]),
        ("FP64", np.array([None, 1, "x"], object)[:2], pa.float64(), [None, 1.0]),
        ("BYTES", np.array(["ü", None], object), pa.string(), ["ü", None]),
        ("BYTES", np.array([True, 1.5], object), pa.string(), ["true", "1.5"]),
    ],
)
def test_a_column_has_the_models_type(
    tmp_path: Path, datatype: str, values: Any, kind: pa.DataType, expected: list[Any]
) -> None:
    columns = schema.columns_of(manifest(tmp_path, Tensor("x", datatype, (-1, 1))), None)
    found = only(batch(2, {"x": values.reshape(2, 1)}), rules(columns))
    assert found.schema.field("input.x").type == kind
    assert found["input.x"].to_pylist() == expected
    assert found["output.y"].to_pylist() == [None, None]


def test_a_value_that_fits_no_column_is_null_and_counted(tmp_path: Path) -> None:
    columns = schema.columns_of(manifest(tmp_path, Tensor("x", "INT32", (-1,))), None)
    tally = Tally()
    values = np.array([1, "two", 2**40, 3.5, None], object)
    assert only(batch(5, {"x": values}), rules(columns), tally)["input.x"].to_pylist() == [1, None, None, None, None]
    assert (tally.values, tally.rows) == (3, 5)
    assert only(batch(1, {"x": np.ones((1, 2))}), rules(columns), tally)["input.x"].to_pylist() == [None]
    assert tally.values == 4


def test_columns_are_called_as_in_the_reference_else_by_place(tmp_path: Path) -> None:
    outputs = (Tensor("p", "FP32", (-1, 2)), Tensor("label", "INT64", (-1,)))
    of = manifest(tmp_path, Tensor("x", "FP32", (-1, 3)), outputs=outputs, classes=("ham", "spam"))
    plain = [each.name for each in schema.columns_of(of, None)]
    assert plain == ["input.x[0]", "input.x[1]", "input.x[2]", "output.p[ham]", "output.p[spam]", "output.label"]
    profiles = [profile_of(name, "numeric", np.arange(200.0)) for name in ("age", "output:p[spam]")]
    known = Reference((Feature("input", "x", 1, profiles[0]), Feature("output", "p", 1, profiles[1])), "training")
    named = [each.name for each in schema.columns_of(of, known)]
    assert named == ["input.x[0]", "input.age", "input.x[2]", "output.p[ham]", "output.p[spam]", "output.label"]
    of = replace(of, columns=("a", "b", "c"))
    assert [each.name for each in schema.columns_of(of, None)][:3] == ["input.a", "input.b", "input.c"]


def test_what_is_wide_or_open_or_named_twice_is_a_list(tmp_path: Path) -> None:
    inputs = (
        Tensor("image", "UINT8", (-1, 40, 40)), Tensor("open", "INT64", (-1, -1)), Tensor("x", "FP32", (-1, 2)),
        Tensor("x[0]", "FP32", (-1, 1)),
    )  # fmt: skip
    columns = schema.columns_of(manifest(tmp_path, *inputs), None)
    arrays = {
        "image": np.zeros((2, 40, 40), np.uint8), "open": np.array([[1, 2], [3, 4]]), "x": np.ones((2, 2), np.float32),
        "x[0]": np.zeros((2, 1), np.float32),
    }  # fmt: skip
    found = only(batch(2, arrays), rules(columns))
    assert found["input.image"].to_pylist() == [[0] * 1600] * 2
    assert found["input.open"].to_pylist() == [[1, 2], [3, 4]]
    assert found["input.x"].to_pylist() == [[1.0, 1.0]] * 2
    assert found["input.x[0]"].to_pylist() == [0.0, 0.0]


def test_columns_are_left_out_hashed_and_truncated(tmp_path: Path) -> None:
    of = manifest(tmp_path, Tensor("name", "BYTES", (-1,)), Tensor("n", "INT64", (-1,)), Tensor("text", "BYTES", (-1,)))
    how = Columns(
        frozenset({"input.name"}), frozenset({"key", "input.n", "input.nothing"}), {"input.text": 2, "output.y": 3}, KEY
    )
    kept, fields, unknown = schema.changed(schema.columns_of(of, None), how)
    assert unknown == {"input.nothing"}
    arrays = {"name": np.array(["ann"], object), "n": np.array([5]), "text": np.array(["münchen"], object)}
    outputs = {"y": np.array([[0.123]], np.float64)}
    found = only(batch(1, arrays, outputs, keys=["order 1"]), Rules(tuple(kept), fields, how, "v"))
    assert "input.name" not in found.column_names

    def hashed(text: str) -> str:
        return hmac.new(KEY, text.encode(), hashlib.sha256).hexdigest()[:32]

    assert found["key"].to_pylist() == [hashed("order 1")]
    assert found["input.n"].to_pylist() == [hashed("5")]
    assert found["input.text"].to_pylist() == ["mü"]
    assert found["output.y"].to_pylist() == ["0.1"]
    (row,) = found.to_pylist()
    assert "ann" not in str(row)
    assert "order 1" not in str(row)


def test_the_key_can_be_left_out(tmp_path: Path) -> None:
    columns = schema.columns_of(manifest(tmp_path, Tensor("x", "FP32", (-1,))), None)
    found = only(batch(1, {"x": np.ones(1)}, keys=["k"]), rules(columns, Columns(frozenset({"key"}))))
    assert found.column_names[:3] == ["request_id", "row", "time"]


def test_a_request_of_many_rows_numbers_them_and_is_chosen_as_one(tmp_path: Path) -> None:
    columns = schema.columns_of(manifest(tmp_path, Tensor("x", "INT64", (-1,))), None)
    requests = Requests(
        [f"r{each}" for each in range(200)], [None] * 200, ["stable"] * 200, [3] * 200, [0] * 199 + [7],
        [MOMENT] * 200, [0.0] * 200,
    )  # fmt: skip
    of = Batch("run", 1, 600, {"x": np.arange(600)}, {}, requests=requests)
    tally = Tally()
    found = only(of, rules(columns, fraction=0.5, total=0.25), tally).to_pylist()
    assert (tally.rows + tally.left_out, tally.rows) == (600, len(found))
    assert 150 < len(found) < 450
    for first, second, third in zip(*[iter(found)] * 3, strict=True):
        request = int(first["request_id"][1:])
        begin = 7 if request == 199 else 0
        assert [each["row"] for each in (first, second, third)] == [begin, begin + 1, begin + 2]
        assert [each["input.x"] for each in (first, second, third)] == [3 * request + each for each in range(3)]
        assert first["fraction"] == 0.25


@given(st.lists(st.floats(MOMENT, MOMENT + 10 * 3600), min_size=1, max_size=30))
def test_each_row_is_in_the_part_of_its_hour(times: list[float]) -> None:
    columns = [schema.Column("input.x", "input", "x", None, pa.int64())]
    of = batch(len(times), {"x": np.arange(len(times))}, times=times)
    found = list(table.parts(of, rules(columns), Tally()))
    assert sorted(row for part in found for row in part.table["input.x"].to_pylist()) == list(range(len(times)))
    for part in found:
        assert {moment.timestamp() // 3600 for moment in part.table["time"].to_pylist()} == {part.hour}


def test_without_a_bundle_the_columns_are_those_of_the_batches() -> None:
    of = batch(2, {"x": np.ones((2, 2), np.float32), "t": np.array(["a", "b"], object)}, {"y": np.array([1, 2])})
    columns = schema.seen_in([of])
    found = only(of, rules(columns))
    assert found["input.x"].to_pylist() == [[1.0, 1.0]] * 2
    assert found["input.t"].to_pylist() == ["a", "b"]
    assert found["output.y"].to_pylist() == [1, 2]


GOOD = {
    "PREDICTION_LOG_URI": "s3://lake/log/", "MODEL_NAMESPACE": "ml", "MODEL_NAME": "m", "MODEL_REVISION": "m-a",
    "POD_UID": "pod-1",
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"PREDICTION_LOG_URI": "ftp://x"}, "PREDICTION_LOG_URI"),
        ({"PREDICTION_LOG_PREFIX": "../x"}, "PREDICTION_LOG_PREFIX"),
        ({"MODEL_REVISION": ""}, "MODEL_REVISION"),
        ({"MODEL_NAMESPACE": "a/b"}, "MODEL_NAMESPACE"),
        ({"PREDICTION_LOG_FRACTION": "0"}, "PREDICTION_LOG_FRACTION"),
        ({"PREDICTION_LOG_DISK_BYTES": "1"}, "PREDICTION_LOG_DISK_BYTES"),
        ({"PREDICTION_LOG_COLUMNS": "{"}, "PREDICTION_LOG_COLUMNS"),
        ({"PREDICTION_LOG_COLUMNS": '{"drop": []}'}, "PREDICTION_LOG_COLUMNS"),
        ({"PREDICTION_LOG_COLUMNS": '{"truncate": {"key": -1}}'}, "PREDICTION_LOG_COLUMNS"),
        ({"PREDICTION_LOG_COLUMNS": '{"hash": ["key"]}'}, "hashKeySecret"),
        ({"PREDICTION_LOG_COLUMNS": '{"hash": ["key"]}', "PREDICTION_LOG_HASH_KEY": "short"}, "16 bytes"),
        ({"PREDICTION_LOG_HASH_KEY_FILE": "/no/such"}, "PREDICTION_LOG_HASH_KEY_FILE"),
    ],
)
def test_settings_that_are_none_are_told_by_name(change: dict[str, str], said: str) -> None:
    found = LogSettings.from_environment(GOOD)
    assert found is not None
    assert (found.uri, found.pod) == ("s3://lake/log", "pod-1")
    with pytest.raises(InvalidConfiguration, match=said):
        LogSettings.from_environment({**GOOD, **change})
