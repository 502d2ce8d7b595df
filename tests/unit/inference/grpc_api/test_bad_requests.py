"""Malformed requests, raw and typed: each with the right status and a sentence that names the field."""

import gzip
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as pb

from modelward_inference.serve.grpc_api.service import MAX_MESSAGE

from .served import DEADLINE, MAX_BODY, Echo, Served

INFER = "/inference.GRPCInferenceService/ModelInfer"
INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
Change = Callable[[Any], object]

X = np.array([[1.5, 2.5]], "<f4").tobytes()


@pytest.fixture(scope="module")
def channel() -> Iterator[grpc.Channel]:
    with Served(Echo()) as served, grpc.insecure_channel(served.address) as channel:
        yield channel


@pytest.fixture(scope="module")
def call(channel: grpc.Channel) -> Callable[[bytes], bytes]:
    bytes_call = channel.unary_unary(INFER)
    return lambda body: bytes_call(body, timeout=DEADLINE)


def described() -> Any:
    request = pb.ModelInferRequest(model_name="m")
    request.inputs.add(name="x", datatype="FP32", shape=[1, 2])
    request.inputs.add(name="kind", datatype="BYTES", shape=[1])
    request.inputs.add(name="count", datatype="INT8", shape=[1])
    return request


def raw() -> Any:
    request = described()
    request.raw_input_contents.extend([X, b"\x01\0\0\0a", b"\x07"])
    return request


def typed() -> Any:
    request = described()
    request.inputs[0].contents.fp32_contents.extend([1.5, 2.5])
    request.inputs[1].contents.bytes_contents.append(b"a")
    request.inputs[2].contents.int_contents.append(7)
    return request


def put(path: str, value: Any) -> Change:
    """Set a field, such as inputs.0.name; lists are replaced."""

    def change(request: Any) -> None:
        *way, last = path.split(".")
        for step in way:
            request = request[int(step)] if step.isdecimal() else getattr(request, step)
        if last.isdecimal():
            request[int(last)] = value
        elif isinstance(value, list):
            request.ClearField(last)
            getattr(request, last).extend(value)
        else:
            setattr(request, last, value)

    return change


def each(*changes: Change) -> Change:
    return lambda request: [change(request) for change in changes]


def input_parameter(request: Any) -> None:
    request.inputs[0].parameters["shared_memory_region"].string_param = "r"


def output_parameter(request: Any) -> None:
    request.outputs.add(name="sum").parameters["shared_memory_region"].string_param = "r"


def outputs(*names: str) -> Change:
    return lambda request: [request.outputs.add(name=name) for name in names]


HUGE = 2**62

BOTH: dict[str, tuple[Change, grpc.StatusCode, str]] = {
    "no model": (put("model_name", ""), NOT_FOUND, "there is no model '' here; this server has 'm'"),
    "another model": (put("model_name", "other"), NOT_FOUND, "there is no model 'other'"),
    "another version": (put("model_version", "2"), NOT_FOUND, "model 'm' has no version '2' here; it has '1'"),
    "no inputs": (lambda request: request.ClearField("inputs"), INVALID, "inputs is missing"),
    "no name": (put("inputs.0.name", ""), INVALID, "inputs[0].name must be a non-empty string"),
    "an unknown name": (put("inputs.0.name", "y"), INVALID, "the model takes no 'y'; it takes x, kind, count"),
    "a name twice": (put("inputs.1.name", "x"), INVALID, "inputs: a name occurs twice"),
    "no datatype": (put("inputs.0.datatype", ""), INVALID, "inputs[0] (x).datatype must be one of BOOL"),
    "an unknown datatype": (put("inputs.0.datatype", "FP8"), INVALID, "inputs[0] (x).datatype must be one of BOOL"),
    "a datatype in small letters": (put("inputs.0.datatype", "fp32"), INVALID, "inputs[0] (x).datatype must be one"),
    "numbers called texts": (put("inputs.0.datatype", "BYTES"), INVALID, "inputs[0] (x)"),
    "texts called numbers": (put("inputs.1.datatype", "INT64"), INVALID, "inputs[1] (kind)"),
    "a wider datatype": (put("inputs.0.datatype", "FP64"), INVALID, "inputs[0] (x)"),
    "a negative size": (put("inputs.0.shape", [-1, 2]), INVALID, "inputs[0] (x).shape must be a list of whole numbers"),
    "the smallest size": (put("inputs.0.shape", [-(2**63)]), INVALID, "inputs[0] (x).shape must be a list of whole"),
    "no shape": (put("inputs.0.shape", []), INVALID, "inputs[0] (x)"),
    "one row too many": (put("inputs.0.shape", [2, 2]), INVALID, "inputs[0] (x)"),
    "no row": (put("inputs.0.shape", [0, 2]), INVALID, "inputs[0] (x)"),
    "another rank": (put("inputs.0.shape", [2]), INVALID, "inputs (x).shape is [2], but the model takes [-1, 2]"),
    "another width": (put("inputs.0.shape", [2, 1]), INVALID, "inputs (x).shape is [2, 1]"),
    "a huge shape": (put("inputs.0.shape", [HUGE, HUGE]), INVALID, "inputs[0] (x)"),
    "very many dimensions": (put("inputs.0.shape", [HUGE] * 9000), INVALID, "inputs[0] (x).shape has 9000 dimensions"),
    "an output without a name": (outputs(""), INVALID, "the model has no ''; it gives sum, echo"),
    "an unknown output": (outputs("z"), INVALID, "the model has no 'z'; it gives sum, echo"),
    "an output twice": (outputs("sum", "sum"), INVALID, "outputs: a name occurs twice"),
    "shared memory in": (input_parameter, INVALID, "inputs[0] (x).parameters.shared_memory_region"),
    "shared memory out": (output_parameter, INVALID, "outputs[0].parameters.shared_memory_region"),
    "a long name": (put("inputs.0.name", "ü" * 20_000), INVALID, "inputs: the model takes no 'üüü"),
    "a long model name": (put("model_name", "\U0001f600" * 9_000), NOT_FOUND, "Request for unknown model: there is no"),
}

RAW: dict[str, tuple[Change, str]] = {
    "a tensor too few": (lambda request: request.raw_input_contents.pop(), "has 2 tensors, but inputs has 3"),
    "a tensor too many": (lambda request: request.raw_input_contents.append(b""), "has 4 tensors, but inputs has 3"),
    "one byte short": (put("raw_input_contents.0", X[:-1]), "inputs[0] (x): 7 bytes of binary data"),
    "one byte over": (put("raw_input_contents.0", X + b"\0"), "inputs[0] (x): 9 bytes of binary data"),
    "no bytes": (put("raw_input_contents.0", b""), "inputs[0] (x): 0 bytes of binary data"),
    "a text without a length": (put("raw_input_contents.1", b"a"), "inputs[1] (kind): the binary data ends within"),
    "a text that breaks off": (put("raw_input_contents.1", b"\x09\0\0\0a"), "inputs[1] (kind): an element of 9 bytes"),
    "a lying length": (put("raw_input_contents.1", b"\xff\xff\xff\xffa"), "an element of 4294967295 bytes"),
    "a text too few": (put("raw_input_contents.1", b""), "inputs[1] (kind).data has 0 values, but shape [1] needs 1"),
    "a text too many": (put("raw_input_contents.1", b"\0\0\0\0" * 2), "inputs[1] (kind).data has 2 values"),
    "typed contents too": (put("inputs.0.contents.fp32_contents", [1, 2]), "inputs[0] (x).contents and raw_input_cont"),
    "typed contents of another": (put("inputs.2.contents.bool_contents", [True]), "inputs[2] (count).contents and raw"),
    "no truth": (each(put("inputs.2.datatype", "BOOL"), put("raw_input_contents.2", b"\x02")), "other than 0 and 1"),
    "a fraction for a whole number": (
        each(put("inputs.2.datatype", "FP32"), put("raw_input_contents.2", b"\0\0\xc0\x3f")),
        "1.5",
    ),
    "different numbers of rows": (each(put("inputs.0.shape", [2, 2]), put("raw_input_contents.0", X * 2)), "differ"),
}

FP16_TYPED = each(put("inputs.0.datatype", "FP16"))
TYPED: dict[str, tuple[Change, str]] = {
    "no contents": (lambda request: request.inputs[0].ClearField("contents"), "fp32_contents has 0 values, but shape"),
    "a value short": (put("inputs.0.contents.fp32_contents", [1]), "inputs[0] (x).contents.fp32_contents has 1 values"),
    "a value over": (put("inputs.0.contents.fp32_contents", [1, 2, 3]), "fp32_contents has 3 values"),
    "the wrong field": (put("inputs.0.datatype", "FP64"), "has fp32_contents, but FP64 belongs into fp64_contents"),
    "two fields": (put("inputs.0.contents.int_contents", [1]), "inputs[0] (x).contents has int_contents, but FP32"),
    "texts in numbers": (put("inputs.1.contents.int_contents", [1]), "inputs[1] (kind).contents has int_contents"),
    "beyond INT8": (put("inputs.2.contents.int_contents", [300]), "inputs[2] (count).contents.int_contents must lie"),
    "below INT8": (put("inputs.2.contents.int_contents", [-129]), "must lie between -128 and 127, as INT8 does"),
    "beyond the model's type": (
        each(put("inputs.2.datatype", "INT32"), put("inputs.2.contents.int_contents", [300])),
        "inputs (count).datatype is INT32, but the model takes INT8",
    ),
    "FP16": (FP16_TYPED, "inputs[0] (x).contents can't hold FP16; send it in raw_input_contents"),
    "a text too many": (put("inputs.1.contents.bytes_contents", [b"a", b"b"]), "bytes_contents has 2 values"),
    "all empty": (lambda request: [tensor.ClearField("contents") for tensor in request.inputs], "has 0 values"),
}

CASES = [
    *((f"raw: {name}", raw, *case) for name, case in BOTH.items()),
    *((f"typed: {name}", typed, *case) for name, case in BOTH.items()),
    *((f"raw: {name}", raw, change, INVALID, words) for name, (change, words) in RAW.items()),
    *((f"typed: {name}", typed, change, INVALID, words) for name, (change, words) in TYPED.items()),
]


def refusal(call: Callable[[bytes], bytes], body: bytes) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(body)
    return caught.value.code(), caught.value.details()


@pytest.mark.parametrize(("build", "change", "code", "words"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_a_malformed_request_is_told_what_is_wrong(
    call: Callable[[bytes], bytes], build: Callable[[], Any], change: Change, code: grpc.StatusCode, words: str
) -> None:
    request = build()
    change(request)
    found, details = refusal(call, request.SerializeToString())
    assert found is code, details
    assert words in details
    assert len(details.encode()) <= MAX_MESSAGE


BODIES = {
    "no message": b"\xff\xff\xff",
    "a message that breaks off": typed().SerializeToString()[:-3],
    "a name that is no UTF-8": b"\x0a\x01\xff",
    "an endless number": b"\x0a" + b"\xff" * 12,
    "JSON": b'{"inputs": []}',
    "compressed by hand": gzip.compress(raw().SerializeToString()),
}


@pytest.mark.parametrize("name", BODIES)
def test_what_is_no_message_is_the_clients_mistake(call: Callable[[bytes], bytes], name: str) -> None:
    code, details = refusal(call, BODIES[name])
    assert code is INVALID, details
    assert "the message is no ModelInferRequest" in details


def test_a_truncated_message_never_ends_in_an_internal_error(call: Callable[[bytes], bytes]) -> None:
    for whole in (raw().SerializeToString(), typed().SerializeToString()):
        for length in range(len(whole)):
            code, details = refusal(call, whole[:length])
            assert code in (INVALID, NOT_FOUND), (length, details)


def test_a_message_beyond_the_limit_is_refused(call: Callable[[bytes], bytes]) -> None:
    code, details = refusal(call, b"\0" * (MAX_BODY + 1))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert str(MAX_BODY) in details


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_a_message_beyond_the_limit_once_unpacked_is_refused(
    channel: grpc.Channel, compression: grpc.Compression
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(INFER)(b"\0" * (MAX_BODY + 1), compression=compression, timeout=DEADLINE)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("build", [raw, typed])
def test_the_requests_that_are_spoilt_here_are_sound(call: Callable[[bytes], bytes], build: Callable[[], Any]) -> None:
    assert pb.ModelInferResponse.FromString(call(build().SerializeToString())).outputs[0].name == "sum"
