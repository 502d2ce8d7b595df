"""The three forms of a request, and what is read from the answers. The bytes of gRPC were made by protobuf itself."""

import json

import numpy as np
import pytest

from benchmarks.serving import messages

ROWS = np.arange(3, dtype=np.float32).reshape(1, 3)


def test_json() -> None:
    assert json.loads(messages.json_body(ROWS, "predict")) == {
        "inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 3], "data": [0.0, 1.0, 2.0]}],
        "outputs": [{"name": "predict"}],
    }
    assert list(messages.read_json(b'{"outputs": [{"name": "predict", "data": [[1], [0]]}]}')) == [1, 0]


def test_binary() -> None:
    body, length = messages.binary_body(ROWS, "predict")
    head = json.loads(body[:length])
    assert head["inputs"][0]["parameters"]["binary_data_size"] == len(body) - length == 12
    assert np.frombuffer(body[length:], "<f4").tolist() == [0.0, 1.0, 2.0]


def test_a_binary_answer() -> None:
    raw = np.array([1, 300]).astype("<i8").tobytes()
    output = {"name": "predict", "datatype": "INT64", "shape": [2], "parameters": {"binary_data_size": 16}}
    head = json.dumps({"outputs": [output]}).encode()
    assert messages.read_binary(head + raw, len(head)).tolist() == [1, 300]


def test_an_answer_in_json_to_a_binary_request() -> None:
    assert messages.read_binary(b'{"outputs": [{"name": "predict", "data": [1]}]}', None).tolist() == [1]


def test_a_grpc_request() -> None:
    expected = "0a056d6f64656c2a110a05696e7075741204465033321a02010332090a07707265646963743a0c000000000000803f00000040"
    assert messages.grpc_request(ROWS, "model", "predict").hex() == expected


@pytest.mark.parametrize(
    ("answer", "values"),
    [
        ("0a056d6f64656c2a0d0a01701204465033321a02010232080000803e0000403f", [0.25, 0.75]),
        ("0a056d6f64656c2a190a01701204465033321a0201022a0a32080000803e0000403f", [0.25, 0.75]),
        (
            "0a056d6f64656c1201311a017822070a016b120210052a1a0a07707265646963741205494e5436341a01022a051a0301ac02",
            [1, 300],
        ),
    ],
    ids=["raw", "typed floats", "typed integers, with an id and parameters"],
)
def test_a_grpc_answer(answer: str, values: list[float]) -> None:
    assert messages.read_grpc(bytes.fromhex(answer)).tolist() == values
