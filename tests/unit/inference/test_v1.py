"""The V1 protocol: instances by row or by column name, and columns; answered by the same data plane."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from modelward_inference.artifact.arrays import Array
from modelward_inference.artifact.bundle import Joining, Manifest, Signature, Tensor
from modelward_inference.engine.dataplane import MAX_ROWS, DataPlane
from modelward_inference.serve.rest import Rest, State

from .test_requests import call

pytestmark = pytest.mark.unit


class Iris:
    """One wide tensor, or a tensor each for columns; labels and probabilities, as scikit-learn's classifiers have."""

    libraries: Mapping[str, str] = {}
    warnings: Sequence[str] = ()
    outputs = (Tensor("predict", "INT64", (-1,)), Tensor("predict_proba", "FP64", (-1, 2)))

    def __init__(self, wide: bool, labels: bool = True) -> None:
        each = (Tensor("a", "FP64", (-1, 1)), Tensor("kind", "BYTES", (-1, 1)))
        outputs = self.outputs if labels else (Tensor("y", "FP64", (-1, 2)), Tensor("z", "FP32", (-1,)))
        self.signature = Signature((Tensor("input", "FP64", (-1, 2)),) if wide else each, outputs)

    def predict(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        first = inputs["input" if "input" in inputs else "a"][:, 0].astype(float)
        if "kind" in inputs:
            first = first + np.array([len(text or "") for text in inputs["kind"][:, 0]])
        answers = {
            "predict": (first > 2).astype(np.int64), "predict_proba": np.stack((first, first + 1), axis=1),
            "y": np.stack((first, first), axis=1), "z": first.astype(np.float32),
        }  # fmt: skip
        return {name: answers[name] for name in outputs}


def app(wide: bool = True, labels: bool = True) -> Rest:
    model = Iris(wide, labels)
    manifest = Manifest("m", "sklearn", "f", "", 1, "", "", model.signature, joining=Joining(True, "as the test says"))
    return Rest(DataPlane(model, manifest, "1", workers=1, max_waiting=8), State(), 10_000)


async def ask(body: Any, path: str = "/v1/models/m:predict", **kinds: bool) -> tuple[int, Any]:
    status, answer, _ = await call(app(**kinds), json.dumps(body).encode(), path)
    return status, json.loads(answer)


ROWS = {"instances": [[1.0, 2.0], [3, 4]]}


@pytest.mark.parametrize("path", ["/v1/models/m:predict", "/v1/models/m/versions/1:predict"])
async def test_rows_are_answered_by_labels(path: str) -> None:
    assert await ask(ROWS, path) == (200, {"predictions": [0, 1]})


async def test_columns_are_answered_as_columns() -> None:
    assert await ask({"inputs": [[1, 2], [3, 4]]}) == (200, {"outputs": [0, 1]})
    assert await ask({"inputs": {"a": [1, 3], "kind": ["", ""]}}, wide=False) == (200, {"outputs": [0, 1]})


@pytest.mark.parametrize(
    "inputs",
    [
        {"a": 3, "kind": "x"},
        [{"a": [3], "kind": ["x"]}],
        [[{"a": 3}, {"kind": "x"}]],
        [{"kind": ["x"]}, {"a": 3}],
        [{"a": 3, "kind": "x"}],
    ],
)
async def test_objects_of_columns_in_a_list_are_columns(inputs: Any) -> None:
    assert await ask({"inputs": inputs}, wide=False) == (200, {"outputs": [1]})


async def test_objects_are_columns_by_name() -> None:
    rows = [{"a": 1, "kind": "x"}, {"kind": None, "a": 3.5}]
    assert await ask({"instances": rows}, wide=False) == (200, {"predictions": [0, 1]})
    encoded = [{"a": 1, "kind": {"b64": "eHg="}}]
    assert await ask({"instances": encoded}, wide=False) == (200, {"predictions": [1]})


async def test_a_column_of_missing_texts_is_one_of_texts() -> None:
    assert await ask({"instances": [{"a": 1, "kind": None}]}, wide=False) == (200, {"predictions": [0]})
    assert await ask({"inputs": {"a": [3, 1], "kind": [None, None]}}, wide=False) == (200, {"outputs": [1, 0]})
    assert await ask({"inputs": {"a": [], "kind": []}}, wide=False) == (200, {"outputs": []})


async def test_truths_are_numbers_where_the_model_takes_these() -> None:
    assert await ask({"instances": [[True, False], [True, True]]}) == (200, {"predictions": [0, 0]})
    assert await ask({"instances": [{"a": True, "kind": "xx"}]}, wide=False) == (200, {"predictions": [1]})


async def test_several_outputs_are_an_object_a_row() -> None:
    answer = {"predictions": [{"y": [1.0, 1.0], "z": 1.0}, {"y": [3.0, 3.0], "z": 3.0}]}
    assert await ask(ROWS, labels=False) == (200, answer)
    columns = {"outputs": {"y": [[1.0, 1.0], [3.0, 3.0]], "z": [1.0, 3.0]}}
    assert await ask({"inputs": ROWS["instances"]}, labels=False) == (200, columns)


async def test_no_rows_have_no_answers() -> None:
    assert await ask({"instances": []}) == (200, {"predictions": []})
    body = {"inputs": [{"name": "input", "shape": [0, 2], "datatype": "FP64", "data": []}]}
    status, answer = await ask(body, "/v2/models/m/infer")
    assert status == 200
    assert [(each["shape"], each["data"]) for each in answer["outputs"]] == [([0], []), ([0, 2], [])]


BAD: dict[str, tuple[Any, str]] = {
    "neither": ({"rows": []}, "send either instances"),
    "both": ({"instances": [], "inputs": []}, "send either instances"),
    "no object": ([1], "must be a JSON object"),
    "no list": ({"instances": "x"}, "instances must be a list, not a string"),
    "ragged": (
        {"instances": [[1, 2], [3]]},
        "instances.data does not hold INT64 values: it has lists of different length",
    ),
    "too narrow": ({"instances": [[1], [2]]}, "shape is [2, 1], but the model takes [-1, 2]"),
    "words": ({"instances": [["a", "b"]]}, "datatype is BYTES, but the model takes FP64"),
    "another signature": ({"signature_name": "x", **ROWS}, "signature_name is x"),
    "an object among values": ({"instances": [[{"c": 1}, 2]]}, "has an object among its values"),
    "columns twice": ({"inputs": [{"a": 1}, {"a": 2}]}, "has the column a twice; send several rows as instances"),
    "no base64": ({"instances": [[{"b64": "?"}, 2]]}, "is no text in base64"),
    "deep": ({"instances": [[[[1]]]]}, "shape is [1, 1, 1, 1]"),
}


@pytest.mark.parametrize("case", BAD)
async def test_mistakes_are_told_with_the_field(case: str) -> None:
    body, words = BAD[case]
    status, answer = await ask(body)
    assert status == 400
    assert words in answer["error"]


async def test_objects_of_different_columns_are_told() -> None:
    status, answer = await ask({"instances": [{"a": 1, "kind": "x"}, {"a": 1}]}, wide=False)
    assert (status, answer["error"]) == (400, "instances[1] has other columns than the first: ['a']")


async def test_deep_nesting_ends() -> None:
    body = b'{"instances": ' + b"[" * 900 + b"]" * 900 + b"}"
    status, answer, _ = await call(app(), body, "/v1/models/m:predict")
    assert status == 400
    assert b"instances" in answer


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/", {"status": "alive"}),
        ("/v2/models/", {"models": ["m"]}),
        ("/v1/models", {"models": ["m"]}),
        ("/v2/models", {"models": ["m"]}),
        ("/v1/models/m", {"name": "m", "ready": True,
                          "model_version_status": [{"version": "1", "state": "AVAILABLE"}]}),
    ],
)  # fmt: skip
async def test_what_is_there(path: str, answer: Any) -> None:
    status, body, _ = await call(app(), b"", path, "GET")
    assert (status, json.loads(body)) == (200, answer)


@pytest.mark.parametrize(
    "path", ["/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/m", "/metrics", "/v1/models/m"]
)
async def test_load_balancers_may_ask_with_head(path: str) -> None:
    status, _, _ = await call(app(), b"", path, "HEAD")
    assert status == 200


async def test_other_paths_say_where_to_go() -> None:
    status, body, _ = await call(app(), b"{}", "/v1/models/m:explain")
    assert status == 405
    assert "inference is POST /v2/models/m/infer" in json.loads(body)["error"]
    status, body, _ = await call(app(), json.dumps(ROWS).encode())
    assert status == 400
    assert "/v1/models/NAME:predict" in json.loads(body)["error"]
    status, body, _ = await call(app(), b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [NaN]}]}')
    assert status == 400
    assert "write null for NaN" in json.loads(body)["error"]


@pytest.mark.parametrize("row", ["[1]", "1", '{"a":1}', "[]", "null"])
async def test_too_many_rows_are_refused_before_they_are_read(row: str) -> None:
    """Also where the last one would be a mistake: nothing is made of any of them."""
    body = f'{{"instances":[{",".join([row] * MAX_ROWS)},[[[]]]]}}'.encode()
    plane = app()._plane
    status, answer, _ = await call(Rest(plane, State(), 1 << 30), body, "/v1/models/m:predict")
    assert (status, json.loads(answer)["error"]) == (
        413,
        "instances has 100001 rows or more; this server takes 100000 at a time",
    )
