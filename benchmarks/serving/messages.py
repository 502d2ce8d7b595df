"""Requests of the Open Inference Protocol in its three forms, and what an answer holds.

The gRPC messages are written by hand: a few fields are all that is needed, and no server's wire types are used on it.
"""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.serving.models import INPUT

DTYPES = {"INT64": "<i8", "FP32": "<f4", "FP64": "<f8"}
JSON_LENGTH = "Inference-Header-Content-Length"


def json_body(rows: Any, output: str) -> bytes:
    """`rows`: (n, features), float32; flat data, as tritonclient sends it, in the form of 64-bit floats."""
    tensor = {"name": INPUT, "datatype": "FP32", "shape": list(rows.shape), "data": rows.ravel().tolist()}
    return json.dumps({"inputs": [tensor], "outputs": [{"name": output}]}, separators=(",", ":")).encode()


def binary_body(rows: Any, output: str) -> tuple[bytes, int]:
    """The binary tensor extension in both directions: the body, and the length of its JSON part."""
    raw = rows.astype("<f4").tobytes()
    tensor = {
        "name": INPUT, "datatype": "FP32", "shape": list(rows.shape), "parameters": {"binary_data_size": len(raw)},
    }  # fmt: skip
    wanted = {"name": output, "parameters": {"binary_data": True}}
    head = json.dumps({"inputs": [tensor], "outputs": [wanted]}, separators=(",", ":")).encode()
    return head + raw, len(head)


def read_json(body: bytes) -> Any:
    """The first output of an answer, flat."""
    return np.ravel(json.loads(body)["outputs"][0]["data"])


def read_binary(body: bytes, json_length: int | None) -> Any:
    """The first output of an answer, flat; a server may answer in JSON all the same."""
    if json_length is None:
        return read_json(body)
    output = json.loads(body[:json_length])["outputs"][0]
    size = output.get("parameters", {}).get("binary_data_size")
    if size is None:
        return np.ravel(output["data"])
    return np.frombuffer(body[json_length : json_length + size], DTYPES[output["datatype"]])


def grpc_request(rows: Any, model: str, output: str) -> bytes:
    """A ModelInferRequest with raw contents."""
    shape = b"".join(_varint(size) for size in rows.shape)
    tensor = _field(1, INPUT.encode()) + _field(2, b"FP32") + _field(3, shape)
    wanted = _field(1, output.encode())
    return _field(1, model.encode()) + _field(5, tensor) + _field(6, wanted) + _field(7, rows.astype("<f4").tobytes())


def read_grpc(message: bytes) -> Any:
    """The first output of a ModelInferResponse, flat, from raw or typed contents."""
    fields = list(_fields(message))
    output = list(_fields(next(value for number, value in fields if number == 5)))
    dtype = DTYPES[next(value for number, value in output if number == 2).decode()]
    raw = [value for number, value in fields if number == 6]
    if raw:
        return np.frombuffer(raw[0], dtype)
    contents = dict(_fields(next(value for number, value in output if number == 5)))
    packed = next(iter(contents.values()))
    return np.array(list(_varints(packed))) if dtype == "<i8" else np.frombuffer(packed, dtype)


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varints(data: bytes) -> Iterator[int]:
    position = 0
    while position < len(data):
        number, position = _read_varint(data, position)
        yield number


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number, position


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and value of each length-delimited field; the others are passed over."""
    position = 0
    while position < len(message):
        key, position = _read_varint(message, position)
        match key & 7:
            case 0:
                _, position = _read_varint(message, position)
            case 1:
                position += 8
            case 5:
                position += 4
            case 2:
                length, position = _read_varint(message, position)
                yield key >> 3, message[position : position + length]
                position += length
            case kind:
                raise ValueError(f"wire type {kind} in a gRPC answer")
