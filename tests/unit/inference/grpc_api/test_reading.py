"""Where a message is read, and that it is the same request, or the same refusal, wherever that is."""

import struct
from typing import Any

import numpy as np
import pytest

from modelward_inference.engine.bodies import Bodies
from modelward_inference.engine.readerprocess import ReaderProcess
from modelward_inference.engine.sharedbytes import SharedBytes
from modelward_inference.protocol.messages import InferRequest, RequestError
from modelward_inference.protocol.reading import Reading
from modelward_inference.serve.grpc_api.open_inference_pb2 import ModelInferRequest
from modelward_inference.serve.grpc_api.reading import QUICK, SMALL, Reader, is_quick

READER = Reader("m", "1")
MANY = QUICK // 4 + 1


def message(datatype: str = "FP32", count: int = MANY, **more: Any) -> ModelInferRequest:
    return ModelInferRequest(model_name="m", inputs=[{"name": "x", "datatype": datatype, "shape": [count, 1]}], **more)


def typed(datatype: str, **contents: list[Any]) -> ModelInferRequest:
    made = message(datatype, len(next(iter(contents.values()))))
    made.inputs[0].contents.MergeFrom(type(made.inputs[0].contents)(**contents))
    return made


RAW_TEXTS = (struct.pack("<I", 1) + b"a") * 2_000
TAKES_LONG = {
    "raw": message(raw_input_contents=[bytes(4 * MANY)]),
    "raw texts": message("BYTES", 2_000, raw_input_contents=[RAW_TEXTS]),
    "raw truths": message("BOOL", 20_000, raw_input_contents=[bytes(20_000)]),
    "typed": typed("FP32", fp32_contents=[1.5] * MANY),
    "typed, of fewer bytes": typed("INT64", int64_contents=list(range(9_000))),
    "typed texts": typed("BYTES", bytes_contents=[b"a", b"\xff"] * 5_000),
    "many tensors": ModelInferRequest(model_name="m", inputs=[{"name": str(each)} for each in range(5_000)]),
    "many outputs": message(
        count=1, outputs=[{"name": str(each)} for each in range(5_000)], raw_input_contents=[bytes(4)]
    ),
    "many raw contents": message(raw_input_contents=[b""] * 5_000),
    "a long id": message(id="a" * 9_000, count=1, raw_input_contents=[bytes(4)]),
    "too few numbers": message(raw_input_contents=[bytes(4 * MANY - 4)]),
    "another model": ModelInferRequest(model_name="n", raw_input_contents=[bytes(4 * MANY)]),
    "another version": ModelInferRequest(model_name="m", model_version="2", raw_input_contents=[bytes(4 * MANY)]),
}
BROKEN = {
    "no message": b"\xff" * (SMALL + 1),
    "it breaks off": TAKES_LONG["typed, of fewer bytes"].SerializeToString()[:-1],
    "unknown fields": b"\x78\x01" * SMALL,
}
BODIES = {name: each.SerializeToString() for name, each in TAKES_LONG.items()} | BROKEN
QUICK_ONES = {
    "little, whatever it is": b"\xff" * SMALL,
    "raw numbers": message(count=50_000, raw_input_contents=[bytes(200_000)]).SerializeToString(),
    "typed, and little": typed("FP32", fp32_contents=[1.5] * 1_000).SerializeToString(),
}


Outcome = InferRequest | tuple[str, int]


def read_here(body: bytes) -> Outcome:
    try:
        return READER.decode(body)
    except RequestError as error:
        return str(error), error.status


async def read_there(reader: ReaderProcess, body: bytes) -> Outcome:
    shared = SharedBytes()
    shared.write(body)
    try:
        return (await reader.read(Reading(READER.decode), shared, 0))[0]
    except RequestError as error:
        return str(error), error.status


@pytest.mark.parametrize("name", QUICK_ONES)
def test_what_is_quick_is_read_here(name: str) -> None:
    assert is_quick(QUICK_ONES[name])


async def test_what_takes_long_is_read_elsewhere_and_is_the_same() -> None:
    reader = ReaderProcess()
    for name, body in BODIES.items():
        assert not is_quick(body), name
        expected, found = read_here(body), await read_there(reader, body)
        if isinstance(expected, tuple) or isinstance(found, tuple):
            assert found == expected, name
            continue
        assert (found.id, found.outputs, found.binary_output, found.parameters) == (
            expected.id, expected.outputs, expected.binary_output, expected.parameters,
        ), name  # fmt: skip
        for mine, theirs in zip(found.inputs, expected.inputs, strict=True):
            assert (mine.name, mine.datatype, mine.array.dtype) == (theirs.name, theirs.datatype, theirs.array.dtype)
            np.testing.assert_array_equal(mine.array, theirs.array)


async def test_a_message_in_one_piece_is_handed_over_whole() -> None:
    bodies = Bodies()
    body = BODIES["raw"]
    with bodies.hold() as held:
        found = await bodies.read(Reading(READER.decode), body, held)
    assert found.inputs[0].array.shape == (MANY, 1)
