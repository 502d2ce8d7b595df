"""Bytes to requests and responses to bytes: JSON, and the binary tensor extension that tritonclient uses by default.

Failure: RequestError, which names the field. Every message of the hot path is made only where it is needed.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from modelward_inference.artifact.arrays import DTYPES, Array, datatype_of
from modelward_inference.protocol import labels, largejson
from modelward_inference.protocol.messages import InferRequest, InferResponse, Input, RequestError, WantedOutput
from modelward_inference.protocol.tensors import (
    MAX_DIMENSIONS,
    PIECE,
    check_number,
    from_json,
    kind_of,
    shown,
    to_json,
    where_of,
    written,
)
from modelward_inference.protocol.tensors import from_binary as from_binary  # gRPC's raw contents have the same form
from modelward_inference.protocol.tensors import to_binary as to_binary

_NOTHING: Mapping[str, Any] = {}
_NO_BYTES = memoryview(b"")

FEW = 1000
"""Lists, and values beside the tensors' data, which are looked at one by one: half a millisecond."""

ROWS = 5000
"""Lists that are looked at one by one in a thread."""

QUICK = 64 << 10
"""Bytes of JSON: a parser takes a tenth of a millisecond for so many."""

HEAD = 8 << 10
"""Bytes of JSON before binary tensors."""

BOM = b"\xef\xbb\xbf"


def decode(body: bytes | memoryview, json_length: int | None) -> InferRequest:
    """Read a request. `json_length`: of the header Inference-Header-Content-Length, None where all is JSON."""
    return _request(*_document(body, json_length))


def decode_answer(body: bytes | memoryview, json_length: int | None) -> tuple[Input, ...]:
    """The tensors that a server answered with, as `decode` reads a request. Raises RequestError; where it speaks of
    inputs, outputs are meant."""
    document, tail = _document(body, json_length)
    if not isinstance(document, dict):
        raise RequestError("the answer must be a JSON object")
    tensors, _ = _inputs(document.get("outputs"), tail)
    return tensors


def _document(body: bytes | memoryview, json_length: int | None) -> tuple[Any, memoryview]:
    """What a body says, and the bytes behind it."""
    tail = _NO_BYTES
    if body[: len(BOM)] == BOM:
        raise RequestError("the body begins with a byte order mark, which JSON has none of; send plain UTF-8")
    try:
        if json_length is None:
            document = (largejson.read(bytes(body)) if len(body) >= largejson.FROM else None) or orjson.loads(body)
        else:
            if not 0 < json_length <= len(body):
                raise RequestError(
                    f"Inference-Header-Content-Length is {json_length}, but the body has {len(body)} bytes"
                )
            whole = memoryview(body)
            head, tail = whole[:json_length], whole[json_length:]
            document = (largejson.read(bytes(head)) if json_length >= largejson.FROM else None) or orjson.loads(head)
    except orjson.JSONDecodeError as error:
        text = bytes(body)
        cure = "; write null for NaN" if b"NaN" in text or b"Infinity" in text else ""
        raise RequestError(f"the body is not valid JSON: {error}{cure}") from None
    return document, tail


def decode_quickly(body: bytes | memoryview, json_length: int | None) -> InferRequest | None:
    """The same, or None for what may take longer than half a millisecond, or is wrong: lists of anything but numbers,
    many tensors, many values beside them, a long text before binary tensors."""
    try:
        if json_length is None:
            little = isinstance(body, bytes) and len(body) <= QUICK
            document = largejson.read(bytes(body), FEW, FEW) if little else None
            return _request(document, _NO_BYTES) if document is not None else None
        head = bytes(body[: min(json_length, HEAD + 1)])
        # Other types are looked at one by one; and names of types may be written in other letters.
        if json_length > HEAD or b"BYTES" in head or b"BOOL" in head or b"\\" in head:
            return None
        return decode(body, json_length)
    except RequestError:
        return None


def decode_plain(body: bytes) -> InferRequest | None:
    """Numbers in lists and little besides, or None: a parser takes a millisecond for a mebibyte of those, and other
    threads run before and behind it."""
    try:
        document = largejson.read(body, FEW, ROWS)
        return _request(document, _NO_BYTES) if document is not None else None
    except RequestError:
        return None


def _request(document: Any, tail: memoryview) -> InferRequest:
    if not isinstance(document, dict):
        raise RequestError('the body must be a JSON object such as {"inputs": […]}')
    if "instances" in document:
        raise RequestError("instances belong to the V1 protocol; send them to /v1/models/NAME:predict")
    inputs, rest = _inputs(document.get("inputs"), tail)
    if len(rest):
        raise RequestError(f"{len(rest)} bytes of binary data are left that no input's binary_data_size claims")
    identifier = document.get("id")
    if identifier is not None and not isinstance(identifier, str):
        raise RequestError(f"id must be a string, not {kind_of(identifier)}")
    parameters = _object(document, "parameters", "parameters") if "parameters" in document else _NOTHING
    binary = _flag(parameters, "binary_data_output", "parameters.binary_data_output") if parameters else None
    if parameters:
        labels.check(parameters, "parameters")
    return InferRequest(inputs, _outputs(document.get("outputs")), identifier, bool(binary), parameters)


def _inputs(raw: Any, tail: memoryview) -> tuple[tuple[Input, ...], memoryview]:
    if not isinstance(raw, list) or not raw:
        raise RequestError("inputs is missing: send a list of at least one tensor")
    check_number(len(raw), "inputs")
    decoded = []
    for index, each in enumerate(raw):
        if not isinstance(each, dict):
            raise RequestError(
                f"inputs[{index}] must be an object with name, shape, datatype and data, not {kind_of(each)}"
            )
        tensor, tail = _input(each, index, tail)
        decoded.append(tensor)
    if len(decoded) > 1:
        _once([tensor.name for tensor in decoded], "inputs")
    return tuple(decoded), tail


def _input(raw: dict[str, Any], index: int, tail: memoryview) -> tuple[Input, memoryview]:
    name, datatype, sizes = raw.get("name"), raw.get("datatype"), raw.get("shape")
    if not isinstance(name, str) or not name:
        raise RequestError(f"inputs[{index}].name must be a non-empty string")
    where = where_of(index, name)
    if not isinstance(datatype, str) or datatype not in DTYPES:
        raise RequestError(f"{where}.datatype must be one of {', '.join(DTYPES)}, not {shown(datatype)}")
    if not isinstance(sizes, list):
        raise _bad_shape(sizes, where)
    for each in sizes:
        if type(each) is not int or each < 0:
            raise _bad_shape(sizes, where)
    if len(sizes) > MAX_DIMENSIONS:
        raise RequestError(f"{where}.shape has {len(sizes)} dimensions; a tensor may have {MAX_DIMENSIONS}")
    shape = tuple(sizes)
    parameters = _object(raw, "parameters", f"{where}.parameters") if "parameters" in raw else _NOTHING
    size = parameters.get("binary_data_size")
    if size is None:
        if "data" not in raw:
            raise RequestError(f"{where}.data is missing")
        array = from_json(raw["data"], datatype, shape, where)
        return Input(name, datatype, _read(array, parameters, where)), tail
    if type(size) is not int or size < 0:
        raise RequestError(f"{where}.parameters.binary_data_size must be a number of bytes, not {shown(size)}")
    if "data" in raw:
        raise RequestError(f"{where}: data and parameters.binary_data_size exclude each other")
    if size > len(tail):
        raise RequestError(f"{where}.parameters.binary_data_size is {size}, but only {len(tail)} bytes are left")
    array = from_binary(tail[:size], datatype, shape, where)
    return Input(name, datatype, _read(array, parameters, where)), tail[size:]


def _read(array: Array, parameters: Mapping[str, Any], where: str) -> Array:
    return labels.read(array, parameters, f"{where}.parameters") if parameters else array


def _bad_shape(raw: Any, where: str) -> RequestError:
    return RequestError(f"{where}.shape must be a list of whole numbers, such as [1, 30], not {shown(raw)}")


def _outputs(raw: Any) -> tuple[WantedOutput, ...]:
    if raw is None:
        return ()
    if not isinstance(raw, list):
        raise RequestError(f"outputs must be a list, not {kind_of(raw)}")
    check_number(len(raw), "outputs")
    wanted = []
    for index, each in enumerate(raw):
        if not isinstance(each, dict) or not isinstance(each.get("name"), str):
            raise RequestError(f"outputs[{index}] must be an object with a name")
        wanted.append(WantedOutput(each["name"], _wish(each, index) if "parameters" in each else None))
    if len(wanted) > 1:
        _once([each.name for each in wanted], "outputs")
    return tuple(wanted)


def _wish(raw: dict[str, Any], index: int) -> bool | None:
    """Whether an output is asked for in binary."""
    where = f"outputs[{index}].parameters"
    parameters = _object(raw, "parameters", where)
    labels.check(parameters, where)
    return _flag(parameters, "binary_data", f"{where}.binary_data")


def encode(response: InferResponse, request: InferRequest) -> tuple[bytes, int | None]:
    """The body of a response, and the length of its JSON part where binary tensors follow (else None)."""
    wishes = {wanted.name: wanted.binary for wanted in request.outputs}
    tensors, tail = [], []
    for name, array in response.outputs.items():
        tensor: dict[str, Any] = {"name": name, "datatype": datatype_of(array), "shape": array.shape}
        wish = wishes.get(name)
        if request.binary_output if wish is None else wish:
            raw = to_binary(array)
            tensor["parameters"] = {"binary_data_size": len(raw)}
            tail.append(raw)
        else:
            data = to_json(array)
            tensor["data"] = data if array.size <= PIECE else written(data)
        tensors.append(tensor)
    document: dict[str, Any] = {"model_name": response.model_name, "model_version": response.model_version}
    if response.id is not None:
        document["id"] = response.id
    if response.parameters:
        document["parameters"] = response.parameters
    document["outputs"] = tensors
    head = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    return (b"".join((head, *tail)), len(head)) if tail else (head, None)


def _once(names: list[str], where: str) -> None:
    if len(set(names)) != len(names):
        raise RequestError(f"{where}: a name occurs twice: {shown(', '.join(names))}")


def _object(holder: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    raw = holder.get(key)
    if raw is None:
        return _NOTHING
    if not isinstance(raw, dict):
        raise RequestError(f"{where} must be an object, not {kind_of(raw)}")
    return raw


def _flag(holder: Mapping[str, Any], key: str, where: str) -> bool | None:
    raw = holder.get(key)
    if raw is not None and not isinstance(raw, bool):
        raise RequestError(f"{where} must be true or false, not {shown(raw)}")
    return raw
