"""Bodies of KServe's events, good and bad."""

from typing import Any

import numpy as np
import orjson
import pytest

from modelward_inference.protocol.messages import RequestError
from modelward_monitor.endpoints.logger import arrival

REQUEST, RESPONSE = (f"org.kubeflow.serving.inference.{each}" for each in ("request", "response"))
ONE: Any = {"input": ("x",), "output": ("y",)}
MORE: Any = {"input": ("a", "b"), "output": ("y", "z")}
TENSOR = {"name": "x", "shape": [2, 2], "datatype": "FP64", "data": [1.0, 2.0, 3.0, 4.0]}


@pytest.mark.parametrize(
    ("kind", "tensors", "document", "expected"),
    [
        (REQUEST, ONE, {"instances": [[1, 2.5], [3, None]]}, {"x": [[1, 2.5], [3, None]]}),
        (REQUEST, ONE, {"instances": [[1.0, 2.5]], "parameters": {}}, {"x": [[1.0, 2.5]]}),
        (REQUEST, ONE, {"instances": ["some", "words"]}, {"x": ["some", "words"]}),
        (REQUEST, MORE, {"instances": [{"a": 1, "c": 9}, {"b": "w"}]}, {"a": [1, None], "b": [None, "w"]}),
        (RESPONSE, ONE, {"predictions": [0, 1, 1]}, {"y": [0, 1, 1]}),
        (RESPONSE, MORE, {"predictions": [{"y": 1, "z": 0.5}]}, {"y": [1], "z": [0.5]}),
        (REQUEST, ONE, {"inputs": [TENSOR]}, {"x": [[1, 2], [3, 4]]}),
        (REQUEST, ONE, {"inputs": [{**TENSOR, "name": "input-0"}]}, {"x": [[1, 2], [3, 4]]}),
        (RESPONSE, ONE, {"model_name": "m", "outputs": [{**TENSOR, "shape": [4]}]}, {"y": [1, 2, 3, 4]}),
    ],
)
def test_bodies_become_tensors(kind: str, tensors: Any, document: Any, expected: dict[str, Any]) -> None:
    found = arrival(kind, orjson.dumps(document), tensors)
    side = found.batch.inputs if kind == REQUEST else found.batch.outputs
    assert {name: each.tolist() for name, each in side.items()} == expected
    assert found.sides == (("input",) if kind == REQUEST else ("output",))
    assert (found.batch.number, found.batch.rows) == (0, len(next(iter(expected.values()))))


def test_rows_of_different_lengths_are_rows_of_a_wrong_type() -> None:
    found = arrival(REQUEST, b'{"instances": [[1, 2], [3]]}', ONE).batch.inputs["x"]
    assert (found.shape, found.dtype) == ((2,), np.dtype(object))


@pytest.mark.parametrize(
    ("kind", "tensors", "body", "told"),
    [
        (None, ONE, b"{}", "ce-type"),
        ("something else", ONE, b"{}", "ce-type"),
        (REQUEST, ONE, b"\x00\x01", "not valid JSON"),
        (REQUEST, ONE, b"{" * 100_000, "not valid JSON"),
        (REQUEST, ONE, b"[]", "instances"),
        (REQUEST, ONE, b"{}", "instances"),
        (REQUEST, ONE, b'{"instances": {}}', "instances"),
        (REQUEST, ONE, b'{"instances": []}', "empty"),
        (REQUEST, ONE, b'{"inputs": []}', "empty"),
        (RESPONSE, ONE, b'{"instances": [1]}', "predictions"),
        (REQUEST, {}, b'{"instances": [1]}', "neither a reference"),
        (REQUEST, ONE, b'{"instances": [{"x": 1}, [1]]}', "mixes objects and other values: instances\\[1\\] is a list"),
        (REQUEST, MORE, b'{"instances": [{"A": 1}]}', "none of the rows' fields, which are A; send a, b"),
        (REQUEST, ONE, b'{"inputs": [1]}', "inputs\\[0\\]"),
        (REQUEST, ONE, orjson.dumps({"inputs": [{**TENSOR, "datatype": "FP8"}]}), "datatype"),
        (REQUEST, ONE, orjson.dumps({"inputs": [{**TENSOR, "shape": [2, -2]}]}), "shape"),
        (REQUEST, ONE, orjson.dumps({"inputs": [{**TENSOR, "shape": [1] * 100}]}), "shape"),
        (REQUEST, ONE, orjson.dumps({"inputs": [{**TENSOR, "shape": [3, 2]}]}), "needs 6"),
        (REQUEST, ONE, orjson.dumps({"inputs": [{**TENSOR, "data": ["a"] * 4}]}), "FP64"),
        (REQUEST, ONE, orjson.dumps({"inputs": [TENSOR, TENSOR]}), "twice"),
        (REQUEST, ONE, orjson.dumps({"inputs": [TENSOR, {**TENSOR, "name": "b", "shape": [4]}]}), "numbers of rows"),
        (REQUEST, ONE, orjson.dumps({"inputs": [{key: TENSOR[key] for key in TENSOR if key != "data"}]}), "binary"),
    ],
)
def test_what_can_not_be_read_is_told_with_its_cause(kind: Any, tensors: Any, body: bytes, told: str) -> None:
    with pytest.raises(RequestError, match=told):
        arrival(kind, body, tensors)
