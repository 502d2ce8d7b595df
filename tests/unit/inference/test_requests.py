"""Malformed requests, each with the right status and a sentence that names the field; and good ones of every kind."""

import gzip
import json
import zlib
from typing import Any

import numpy as np
import pytest

from modelward_inference.artifact.bundle import Joining, Manifest
from modelward_inference.engine.dataplane import DataPlane
from modelward_inference.protocol import codec, largejson
from modelward_inference.protocol.messages import REFUSERS, RequestError
from modelward_inference.serve.rest import Rest, State

from .grpc_api.served import Echo
from .queueing import count

SIGNATURE = Echo.signature
MANIFEST = Manifest(
    "m",
    "onnx",
    "model.onnx",
    "sha256:" + "a" * 64,
    1,
    "s3://b/m.onnx",
    "2026-01-01T00:00:00Z",
    SIGNATURE,
    joining=Joining(True, "as the test says"),
)
MAX_BODY = 10_000


@pytest.fixture(scope="module")
def app() -> Rest:
    return Rest(DataPlane(Echo(), MANIFEST, "1", workers=1, max_waiting=0), State(), MAX_BODY)


async def call(
    app: Rest, body: bytes, path: str = "/v2/models/m/infer", method: str = "POST", **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    """One request, straight into the ASGI application."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": raw, "http_version": "1.1", "scheme": "http", "server": ("h", 80), "root_path": "",
    }  # fmt: skip
    await app(scope, receive, send)
    answer_headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], b"".join(part.get("body", b"") for part in sent[1:]), answer_headers


X = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1.5, 2.5]}
KIND = {"name": "kind", "shape": [1], "datatype": "BYTES", "data": ["a"]}
COUNT = {"name": "count", "shape": [1], "datatype": "INT8", "data": [7]}


def good(**changes: Any) -> dict[str, Any]:
    return {"inputs": [X, KIND, COUNT], **changes}


def with_x(**changes: Any) -> dict[str, Any]:
    return {"inputs": [{**X, **changes}, KIND, COUNT]}


def with_count(**changes: Any) -> dict[str, Any]:
    return {"inputs": [X, KIND, {**COUNT, **changes}]}


BAD: dict[str, tuple[Any, str]] = {
    "no JSON": (b"{", "not valid JSON"),
    "no UTF-8": (b'{"\xff": 1}', "not valid JSON"),
    "nothing": (b"", "not valid JSON"),
    "a list": ([], "the body must be a JSON object"),
    "no inputs": ({}, "inputs is missing"),
    "empty inputs": ({"inputs": []}, "inputs is missing"),
    "inputs as an object": ({"inputs": {}}, "inputs is missing"),
    "an input that is a number": ({"inputs": [1]}, "inputs[0] must be an object"),
    "no name": ({"inputs": [{}]}, "inputs[0].name must be a non-empty string"),
    "no datatype": (with_x(datatype=None), "inputs[0] (x).datatype must be one of BOOL"),
    "an unknown datatype": (with_x(datatype="FP8"), "inputs[0] (x).datatype must be one of BOOL"),
    "no shape": (with_x(shape=None), "inputs[0] (x).shape must be a list"),
    "a negative shape": (with_x(shape=[-1, 2]), "inputs[0] (x).shape must be a list of whole numbers"),
    "a shape of truths": (with_x(shape=[True, 2]), "inputs[0] (x).shape must be a list of whole numbers"),
    "a huge empty shape": (with_x(shape=[0, 2**62, 2**62], data=[]), "inputs[0] (x).shape"),
    "no data": (with_x(data=None), "inputs[0] (x).data must be a list"),
    "data as a text": (with_x(data="1,2"), "inputs[0] (x).data must be a list, not a string"),
    "too little data": (with_x(data=[1]), "inputs[0] (x).data has 1 values, but shape [1, 2] needs 2"),
    "too much data": (with_x(data=[1, 2, 3]), "inputs[0] (x).data has 3 values"),
    "nested otherwise": (with_x(data=[[1], [2]]), "inputs[0] (x).data is nested as [2, 1], but shape is [1, 2]"),
    "ragged": (
        with_x(shape=[2, 1], data=[[1], [2, 3]]),
        "inputs[0] (x).data does not hold FP32 values: it has lists of different length, or values beside lists",
    ),
    "ragged in another form": (with_x(data=[[1], [2, 3]]), "inputs[0] (x).data is nested as [2, 1], but shape is"),
    "a list among values": (with_x(data=[1, [2]]), "FP32 values: it has values beside lists"),
    "texts as numbers": (with_x(data=["1", "2"]), "inputs[0] (x).data does not hold FP32 values"),
    "a number too large": (with_x(data=[1e300, 1]), "a number that is too large for FP32"),
    "halves as whole numbers": (with_count(data=[1.5]), "inputs[2] (count).data does not hold INT8 values"),
    "beyond the datatype": (with_count(data=[300]), "they must lie between -128 and 127"),
    "beyond the model's datatype": (with_count(datatype="INT64", data=[300]), "the model takes INT8"),
    "floats for whole numbers": (with_count(datatype="FP32", data=[1.5]), "inputs (count).datatype is FP32"),
    "numbers as texts": ({"inputs": [X, {**KIND, "data": [1]}, COUNT]}, "inputs[1] (kind).data does not hold BYTES"),
    "another rank": (with_x(shape=[2], data=[1, 2]), "inputs (x).shape is [2], but the model takes [-1, 2]"),
    "another width": (with_x(shape=[1, 3], data=[1, 2, 3]), "but the model takes [-1, 2]"),
    "an unknown input": ({"inputs": [{**X, "name": "y"}]}, "the model takes no 'y'; it takes x, kind, count"),
    "a missing input": ({"inputs": [X]}, "inputs lacks kind, count"),
    "an input twice": ({"inputs": [X, X]}, "inputs: a name occurs twice"),
    "different numbers of rows": (with_x(shape=[2, 2], data=[1, 2, 3, 4]), "inputs differ in their number of rows"),
    "an unknown output": (good(outputs=[{"name": "z"}]), "the model has no 'z'; it gives sum, echo"),
    "an output twice": (good(outputs=[{"name": "sum"}, {"name": "sum"}]), "outputs: a name occurs twice"),
    "outputs as an object": (good(outputs={}), "outputs must be a list, not an object"),
    "an output without a name": (good(outputs=[{}]), "outputs[0] must be an object with a name"),
    "an id that is a number": (good(id=7), "id must be a string, not a number"),
    "parameters as a list": (good(parameters=[]), "parameters must be an object, not a list"),
    "a flag that is none": (good(parameters={"binary_data_output": 1}), "parameters.binary_data_output must be true"),
    "binary data without bytes": (
        with_x(data=None) | {"inputs": [{k: v for k, v in X.items() if k != "data"}
                                        | {"parameters": {"binary_data_size": 8}}, KIND, COUNT]},
        "binary_data_size is 8, but only 0 bytes are left",
    ),
    "data twice": (with_x(parameters={"binary_data_size": 8}), "exclude each other"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
async def test_a_malformed_request_is_told_what_is_wrong(app: Rest, case: str) -> None:
    document, words = BAD[case]
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    status, answer, _ = await call(app, body)
    assert status == 400
    assert words in json.loads(answer)["error"]


OTHERWISE: dict[str, tuple[int, dict[str, Any]]] = {
    "another model": (404, {"path": "/v2/models/other/infer"}),
    "another version": (404, {"path": "/v2/models/m/versions/2/infer"}),
    "no such path": (404, {"path": "/v2/nothing"}),
    "another method": (405, {"method": "PUT", "path": "/v2/health/live"}),
    "too large": (413, {"body": b" " * (MAX_BODY + 1)}),
    "too large once unpacked": (413, {"body": gzip.compress(b" " * (MAX_BODY + 1)), "content_encoding": "gzip"}),
    "broken compression": (400, {"body": b"x", "content_encoding": "gzip"}),
    "compression that breaks off": (400, {"body": gzip.compress(b"{}")[:-4], "content_encoding": "gzip"}),
    "unknown compression": (415, {"body": b"x", "content_encoding": "br"}),
    "a length that is a word": (400, {"inference_header_content_length": "x"}),
    "a length beyond the body": (400, {"inference_header_content_length": "999999"}),
    "an endless length": (400, {"inference_header_content_length": "9" * 5000}),
}  # fmt: skip


@pytest.mark.parametrize("case", OTHERWISE)
async def test_other_mistakes(app: Rest, case: str) -> None:
    status, options = OTHERWISE[case]
    found, answer, _ = await call(app, **({"body": json.dumps(good()).encode()} | options))
    assert found == status
    assert json.loads(answer)["error"]


async def test_a_good_request(app: Rest) -> None:
    status, answer, _ = await call(app, json.dumps(good(id="7")).encode())
    assert status == 200
    assert json.loads(answer) == {
        "model_name": "m", "model_version": "1", "id": "7",
        "outputs": [
            {"name": "sum", "datatype": "FP32", "shape": [1], "data": [4.0]},
            {"name": "echo", "datatype": "BYTES", "shape": [1], "data": ["a"]},
        ],
    }  # fmt: skip


@pytest.mark.parametrize("path", ["/v2/models/m/infer", "/v2/models/m/versions/1/infer"])
async def test_only_the_outputs_that_were_asked_for(app: Rest, path: str) -> None:
    _, answer, _ = await call(app, json.dumps(good(outputs=[{"name": "echo"}])).encode(), path)
    assert [each["name"] for each in json.loads(answer)["outputs"]] == ["echo"]


async def test_nested_data_and_other_numbers(app: Rest) -> None:
    status, answer, _ = await call(app, json.dumps(with_x(datatype="INT32", data=[[1, 2]])).encode())
    assert status == 200
    assert json.loads(answer)["outputs"][0]["data"] == [3.0]


async def test_null_stands_for_nan_both_ways(app: Rest) -> None:
    _, answer, _ = await call(app, json.dumps(with_x(data=[None, 1])).encode())
    assert json.loads(answer)["outputs"][0]["data"] == [None]


async def test_binary_tensors_both_ways(app: Rest) -> None:
    raw = np.array([[1.5, 2.5]], dtype="<f4").tobytes()
    binary = {"name": "x", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"inputs": [binary, KIND, COUNT], "parameters": {"binary_data_output": True}}).encode()
    status, answer, headers = await call(app, head + raw, inference_header_content_length=str(len(head)))
    assert status == 200
    length = int(headers["inference-header-content-length"])
    assert np.frombuffer(answer[length : length + 4], "<f4") == 4.0
    assert answer[length + 4 :] == b"\x01\x00\x00\x00a"


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_compressed_bodies(app: Rest, encoding: str, pack: Any) -> None:
    status, _, _ = await call(app, pack(json.dumps(good()).encode()), content_encoding=encoding)
    assert status == 200


async def test_a_model_that_raises_is_no_mistake_of_the_client(app: Rest) -> None:
    status, answer, _ = await call(app, json.dumps({"inputs": [X, {**KIND, "data": ["fail"]}, COUNT]}).encode())
    assert status == 500
    assert "told to" in json.loads(answer)["error"]


async def test_who_comes_too_many_is_told_to_come_again() -> None:
    full = Rest(DataPlane(Echo(), MANIFEST, "1", workers=1, max_waiting=-1), State(), MAX_BODY)
    status, answer, headers = await call(full, json.dumps(good()).encode())
    assert (status, headers["retry-after"]) == (503, "1")
    assert "try again" in json.loads(answer)["error"]


GETS = ["/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/m", "/v2/models/m/ready", "/metrics", "/docs"]


@pytest.mark.parametrize("path", GETS)
async def test_what_can_be_looked_at(app: Rest, path: str) -> None:
    status, _, _ = await call(app, b"", path, "GET")
    assert status == 200


async def test_metadata(app: Rest) -> None:
    _, answer, _ = await call(app, b"", "/v2/models/m/versions/1", "GET")
    assert json.loads(answer)["inputs"][0] == {"name": "x", "datatype": "FP32", "shape": [-1, 2]}
    _, answer, _ = await call(app, b"", "/v2", "GET")
    assert json.loads(answer)["extensions"][0] == "binary_tensor_data"


async def test_what_tritons_rest_client_asks(app: Rest) -> None:
    for path in ("/v2/models/stats", "/v2/models/m/stats", "/v2/models/m/versions/1/stats"):
        _, answer, _ = await call(app, b"", path, "GET")
        (stats,) = json.loads(answer)["model_stats"]
        assert (stats["name"], stats["version"]) == ("m", "1")
        assert set(stats["inference_stats"]["success"]) == {"count", "ns"}
    _, answer, _ = await call(app, b"", "/v2/models/m/config", "GET")
    assert json.loads(answer)["output"][1] == {"name": "echo", "data_type": "TYPE_STRING", "dims": [1]}
    _, answer, _ = await call(app, b"", "/v2/repository/index")
    assert json.loads(answer) == [{"name": "m", "version": "1", "state": "READY", "reason": ""}]
    status, _, _ = await call(app, b"", "/v2/models/other/config", "GET")
    assert status == 404


class Choosy(Echo):
    """Refuses a kind that it never saw."""

    def predict(self, inputs: Any, outputs: Any) -> dict[str, Any]:
        if "new" in inputs["kind"]:
            raise ValueError("unknown category")
        return super().predict(inputs, outputs)


REFUSED: dict[str, tuple[list[dict[str, Any]], dict[str, float]]] = {
    "answered": ([X, KIND, COUNT], {}),
    "by the model": ([X, {**KIND, "data": ["new"]}, COUNT], {"model": 1}),
    "an input too few": ([X, KIND], {"signature": 1}),
    "an input of another name": ([X, KIND, {**COUNT, "name": "y"}], {"signature": 1}),
    "another shape": ([{**X, "shape": [2, 1]}, KIND, COUNT], {"signature": 1}),
    "another type": ([{**X, "datatype": "BYTES", "data": ["a", "b"]}, KIND, COUNT], {"signature": 1}),
    "a tensor that the protocol refuses": ([{**X, "data": [1]}, KIND, COUNT], {}),
    "rows that differ": ([X, {**KIND, "shape": [2], "data": ["a", "b"]}, COUNT], {}),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_the_model_does_not_take_is_counted_apart_from_what_the_protocol_does_not(case: str) -> None:
    inputs, expected = REFUSED[case]
    choosy = Rest(DataPlane(Choosy(), MANIFEST, "choosy", workers=1, max_waiting=0), State(), MAX_BODY)

    def refused() -> dict[str, float]:
        return {by: count("refused_total", model="m", version="choosy", by=by) for by in REFUSERS}

    before = refused()
    status, _, _ = await call(choosy, json.dumps({"inputs": inputs}).encode())
    assert status == (200 if case == "answered" else 400)
    assert {by: number - before[by] for by, number in refused().items() if number != before[by]} == expected


@pytest.mark.parametrize(
    ("member", "field", "last"),
    [('"datatype": "FP32", "datatype": "FP64"', "datatype", "FP64"), ('"name": "y", "name": "z"', "name", "z")],
)
def test_of_a_name_that_occurs_twice_the_first_value_never_counts(member: str, field: str, last: str) -> None:
    """The last one does, as JSON's readers have it; large bodies, whose reader takes the first, are refused."""
    other = '"name": "x"' if field == "datatype" else '"datatype": "FP32"'

    def body(rows: int) -> bytes:
        numbers = ", ".join(["0.1"] * rows)
        return f'{{"inputs": [{{{member}, {other}, "shape": [{rows}], "data": [{numbers}]}}]}}'.encode()

    (tensor,) = codec.decode(body(1), None).inputs
    assert getattr(tensor, field) == last
    with pytest.raises(RequestError, match="one of them twice"):
        codec.decode(body(largejson.FROM), None)


@pytest.mark.parametrize("rows", [1, largejson.FROM])
def test_a_byte_order_mark_is_told_in_bodies_of_any_size(rows: int) -> None:
    tensor = {"name": "x", "datatype": "FP32", "shape": [rows], "data": [0.5] * rows}
    with pytest.raises(RequestError, match="byte order mark"):
        codec.decode(b"\xef\xbb\xbf" + json.dumps({"inputs": [tensor]}).encode(), None)


def test_what_is_missing_among_whole_numbers_is_told() -> None:
    tensor = {"name": "x", "datatype": "INT64", "shape": [2], "data": [1, None]}
    with pytest.raises(RequestError, match="does not hold INT64 values: found null"):
        codec.decode(json.dumps({"inputs": [tensor]}).encode(), None)


@pytest.mark.parametrize("datatype", ["FP64", "BYTES"])
def test_a_scalar_without_data_is_refused_and_one_that_is_null_is_missing(datatype: str) -> None:
    scalar = {"name": "x", "datatype": datatype, "shape": []}
    with pytest.raises(RequestError, match=r"inputs\[0\] \(x\).data is missing"):
        codec.decode(json.dumps({"inputs": [scalar]}).encode(), None)
    (tensor,) = codec.decode(json.dumps({"inputs": [{**scalar, "data": None}]}).encode(), None).inputs
    value = tensor.array.item()
    assert value is None or value != value
