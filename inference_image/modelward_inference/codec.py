"""Bytes to tensors and back: JSON, and the binary tensor extension that tritonclient uses by default.

A tensor that can't be read raises RequestError with the name of its field. In JSON, null stands for NaN in floating
tensors, in both directions: JSON has no number for it. Binary tensors keep NaN and infinities as they are.
"""

import math
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from modelward_inference.protocol import InferRequest, InferResponse, Input, RequestError, WantedOutput
from modelward_inference.runtimes.base import DTYPES, Array, datatype_of

MAX_NAME = 256
"""Characters of a client's text that an error message repeats."""


def decode(body: bytes, json_length: int | None) -> InferRequest:
    """Read a request. `json_length`: of the header Inference-Header-Content-Length, None where all is JSON."""
    if json_length is not None and not 0 < json_length <= len(body):
        raise RequestError(f"Inference-Header-Content-Length is {json_length}, but the body has {len(body)} bytes")
    try:
        document = orjson.loads(body if json_length is None else memoryview(body)[:json_length])
    except orjson.JSONDecodeError as error:
        raise RequestError(f"the body is not valid JSON: {error}") from None
    if not isinstance(document, dict):
        raise RequestError('the body must be a JSON object such as {"inputs": […]}')
    tail = memoryview(b"") if json_length is None else memoryview(body)[json_length:]
    inputs, rest = _inputs(document.get("inputs"), tail)
    if len(rest):
        raise RequestError(f"{len(rest)} bytes of binary data are left that no input's binary_data_size claims")
    identifier = document.get("id")
    if identifier is not None and not isinstance(identifier, str):
        raise RequestError(f"id must be a string, not {_kind(identifier)}")
    parameters = _object(document.get("parameters"), "parameters")
    binary_output = _flag(parameters.get("binary_data_output"), "parameters.binary_data_output")
    return InferRequest(inputs, _outputs(document.get("outputs")), identifier, bool(binary_output))


def _inputs(raw: Any, tail: memoryview) -> tuple[tuple[Input, ...], memoryview]:
    if not isinstance(raw, list) or not raw:
        raise RequestError("inputs is missing: send a list of at least one tensor")
    decoded = []
    for index, each in enumerate(raw):
        where = f"inputs[{index}]"
        if not isinstance(each, dict):
            raise RequestError(f"{where} must be an object with name, shape, datatype and data, not {_kind(each)}")
        tensor, tail = _input(each, where, tail)
        decoded.append(tensor)
    names = [tensor.name for tensor in decoded]
    if len(set(names)) != len(names):
        raise RequestError(f"inputs: a name occurs twice: {_shown(', '.join(names))}")
    return tuple(decoded), tail


def _input(raw: dict[str, Any], where: str, tail: memoryview) -> tuple[Input, memoryview]:
    name = raw.get("name")
    if not isinstance(name, str) or not name:
        raise RequestError(f"{where}.name must be a non-empty string")
    where = f"{where} ({_shown(name)})"
    datatype = raw.get("datatype")
    if not isinstance(datatype, str) or datatype not in DTYPES:
        raise RequestError(f"{where}.datatype must be one of {', '.join(DTYPES)}, not {_shown(datatype)}")
    shape = _shape(raw.get("shape"), where)
    parameters = _object(raw.get("parameters"), f"{where}.parameters")
    size = parameters.get("binary_data_size")
    if size is None:
        return Input(name, datatype, _from_json(raw.get("data"), datatype, shape, where)), tail
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise RequestError(f"{where}.parameters.binary_data_size must be a number of bytes, not {_shown(size)}")
    if "data" in raw:
        raise RequestError(f"{where}: data and parameters.binary_data_size exclude each other")
    if size > len(tail):
        raise RequestError(f"{where}.parameters.binary_data_size is {size}, but only {len(tail)} bytes are left")
    return Input(name, datatype, from_binary(tail[:size], datatype, shape, where)), tail[size:]


def _shape(raw: Any, where: str) -> tuple[int, ...]:
    if not isinstance(raw, list) or any(
        isinstance(size, bool) or not isinstance(size, int) or size < 0 for size in raw
    ):
        raise RequestError(f"{where}.shape must be a list of whole numbers, such as [1, 30], not {_shown(raw)}")
    return tuple(raw)


def _from_json(data: Any, datatype: str, shape: tuple[int, ...], where: str) -> Array:
    if not isinstance(data, list):
        raise RequestError(f"{where}.data must be a list, not {_kind(data)}")
    try:
        array = _BUILDERS[DTYPES[datatype].kind](data, datatype)
    except (ValueError, TypeError, OverflowError) as error:
        raise RequestError(f"{where}.data does not hold {datatype} values: {error}") from None
    # Flat data is allowed for any shape, nested data must agree with it.
    if array.ndim != 1 and array.shape != shape:
        raise RequestError(f"{where}.data is nested as {list(array.shape)}, but shape is {list(shape)}")
    return _reshaped(array, shape, where)


def _reshaped(array: Array, shape: tuple[int, ...], where: str) -> Array:
    if array.size != math.prod(shape):
        raise RequestError(f"{where}.data has {array.size} values, but shape {list(shape)} needs {math.prod(shape)}")
    return _shaped(array, shape, where)


def _shaped(array: Array, shape: tuple[int, ...], where: str) -> Array:
    """An empty tensor may name any other dimension, but not one beyond what numpy can address."""
    try:
        return array.reshape(shape)
    except (ValueError, OverflowError):
        raise RequestError(f"{where}.shape {list(shape)} is too large") from None


def _floats(data: list[Any], datatype: str) -> Array:
    array = np.array(data)
    if array.dtype.kind == "O":
        # null among numbers: the only thing besides them that a floating tensor may hold.
        array = np.array(data, dtype=np.float64) if _only_numbers_and_null(data) else array
    if array.dtype.kind not in "fiu" and array.size:
        raise ValueError(f"found {_first_odd(array)}")
    with np.errstate(over="ignore"):
        cast = array.astype(DTYPES[datatype])
    if np.isinf(cast).any():
        raise ValueError(f"found a number that is too large for {datatype}")
    return cast


def _integers(data: list[Any], datatype: str) -> Array:
    array = np.array(data)
    if array.dtype.kind not in "iu" and array.size:
        raise ValueError(f"found {_first_odd(array)}")
    limits = np.iinfo(DTYPES[datatype])
    if array.size and (int(array.min()) < limits.min or int(array.max()) > limits.max):
        raise ValueError(f"they must lie between {limits.min} and {limits.max}")
    return array.astype(DTYPES[datatype])


def _booleans(data: list[Any], datatype: str) -> Array:
    array = np.array(data)
    if array.dtype.kind != "b" and array.size:
        raise ValueError(f"found {_first_odd(array)}; write true or false")
    return array.astype(DTYPES[datatype])


def _texts(data: list[Any], datatype: str) -> Array:
    array = np.array(data, dtype=DTYPES[datatype])
    odd = next((value for value in array.flat if not isinstance(value, str)), None)
    if odd is not None or any(value is None for value in array.flat):
        raise ValueError(f"found {_shown(odd)}; write strings")
    return array


_BUILDERS = {"f": _floats, "i": _integers, "u": _integers, "b": _booleans, "O": _texts}


def _only_numbers_and_null(data: list[Any]) -> bool:
    return all(
        _only_numbers_and_null(value) if isinstance(value, list) else
        value is None or (isinstance(value, int | float) and not isinstance(value, bool))
        for value in data
    )  # fmt: skip


def _first_odd(array: Array) -> str:
    return _shown(array.flat[0].item() if hasattr(array.flat[0], "item") else array.flat[0])


def from_binary(raw: memoryview, datatype: str, shape: tuple[int, ...], where: str) -> Array:
    """A tensor from its binary form: little-endian elements, BYTES elements each after their length in 4 bytes."""
    if datatype == "BYTES":
        return _reshaped(_split(raw, where), shape, where)
    dtype = DTYPES[datatype].newbyteorder("<")
    if len(raw) != math.prod(shape) * dtype.itemsize:
        raise RequestError(
            f"{where}: {len(raw)} bytes of binary data, but {datatype} of shape {list(shape)} needs "
            f"{math.prod(shape) * dtype.itemsize}"
        )
    return _shaped(np.frombuffer(raw, dtype=dtype), shape, where)


def _split(raw: memoryview, where: str) -> Array:
    elements = []
    position = 0
    while position < len(raw):
        if position + 4 > len(raw):
            raise RequestError(f"{where}: the binary data ends within the length of an element")
        (length,) = struct.unpack_from("<I", raw, position)
        position += 4
        if position + length > len(raw):
            raise RequestError(
                f"{where}: an element of {length} bytes begins {len(raw) - position} bytes before the end"
            )
        element = bytes(raw[position : position + length])
        try:
            elements.append(element.decode())
        except UnicodeDecodeError:
            elements.append(element)  # type: ignore[arg-type]
        position += length
    array = np.empty(len(elements), dtype=object)
    array[:] = elements
    return array


def to_binary(array: Array) -> bytes:
    """The inverse of `from_binary`."""
    if datatype_of(array) == "BYTES":
        encoded = [value if isinstance(value, bytes) else str(value).encode() for value in array.flat]
        return b"".join(struct.pack("<I", len(value)) + value for value in encoded)
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()


def _outputs(raw: Any) -> tuple[WantedOutput, ...]:
    if raw is None:
        return ()
    if not isinstance(raw, list):
        raise RequestError(f"outputs must be a list, not {_kind(raw)}")
    wanted = []
    for index, each in enumerate(raw):
        if not isinstance(each, dict) or not isinstance(each.get("name"), str):
            raise RequestError(f"outputs[{index}] must be an object with a name")
        parameters = _object(each.get("parameters"), f"outputs[{index}].parameters")
        where = f"outputs[{index}].parameters.binary_data"
        wanted.append(WantedOutput(each["name"], _flag(parameters.get("binary_data"), where)))
    names = [each.name for each in wanted]
    if len(set(names)) != len(names):
        raise RequestError(f"outputs: a name occurs twice: {_shown(', '.join(names))}")
    return tuple(wanted)


def encode(response: InferResponse, request: InferRequest) -> tuple[bytes, int | None]:
    """The body of a response, and the length of its JSON part where binary tensors follow (else None)."""
    wishes = {wanted.name: wanted.binary for wanted in request.outputs}
    tensors, tail = [], []
    for name, array in response.outputs.items():
        tensor: dict[str, Any] = {"name": name, "datatype": datatype_of(array), "shape": list(array.shape)}
        wish = wishes.get(name)
        if request.binary_output if wish is None else wish:
            raw = to_binary(array)
            tensor["parameters"] = {"binary_data_size": len(raw)}
            tail.append(raw)
        else:
            tensor["data"] = _to_json(array)
        tensors.append(tensor)
    document: dict[str, Any] = {"model_name": response.model_name, "model_version": response.model_version}
    if response.id is not None:
        document["id"] = response.id
    document["outputs"] = tensors
    head = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    return (b"".join((head, *tail)), len(head)) if tail else (head, None)


def _to_json(array: Array) -> Any:
    if datatype_of(array) == "BYTES":
        return [value.decode(errors="replace") if isinstance(value, bytes) else str(value) for value in array.flat]
    flat = np.ascontiguousarray(array).ravel()
    # orjson writes NaN and infinities as null.
    return flat.astype(np.float32) if flat.dtype == np.float16 else flat


def _object(raw: Any, where: str) -> Mapping[str, Any]:
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise RequestError(f"{where} must be an object, not {_kind(raw)}")
    return raw


def _flag(raw: Any, where: str) -> bool | None:
    if raw is not None and not isinstance(raw, bool):
        raise RequestError(f"{where} must be true or false, not {_shown(raw)}")
    return raw


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= MAX_NAME else text[:MAX_NAME] + "…"
