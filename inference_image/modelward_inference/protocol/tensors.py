"""The values of one tensor: from JSON's lists or binary data to an array, and back.

A tensor that can't be read raises RequestError with the name of its field. In JSON, null stands for NaN in floating
tensors, in both directions: JSON has no number for it; among texts it is a missing one (None). Binary tensors keep NaN
and infinities as they are. Invariant: what does not have the form of its shape is refused before anything is built of
it, and what has takes time and memory in proportion to its bytes.
"""

import math
import reprlib
import struct
from array import array as machine_array
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import orjson

from modelward_inference.artifact.arrays import DTYPES, Array, datatype_of
from modelward_inference.protocol.messages import RequestError

MAX_SHOWN = 256
"""Characters of a client's text that an error message repeats."""


def from_json(data: Any, datatype: str, shape: tuple[int, ...], where: str) -> Array:
    """A tensor from a flat list, or from lists nested as its shape says; `largejson` gives arrays instead of lists."""
    if shape == () and not isinstance(data, list | dict | np.ndarray):
        data = [data]  # a scalar needs no list
    if type(data) is list:
        check_form(data, shape, where)
    array = _fast(data, datatype)
    if array is None:
        if not isinstance(data, list | np.ndarray):
            raise RequestError(f"{where}.data must be a list, not {kind_of(data)}")
        try:
            flat = _flattened(data) if type(data) is list else data
            array = _BUILDERS[DTYPES[datatype].kind](flat, datatype)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise RequestError(f"{where}.data does not hold {datatype} values: {error}") from None
    if array.ndim != 1 and array.shape != shape:
        raise _misnested(array.shape, shape, where)
    return _reshaped(array, shape, where)


def check_form(data: Any, shape: tuple[int, ...], where: str) -> None:
    """Refuse lists whose own lengths, or those of the first in each, are not those of the shape: flat data is allowed
    for any shape, nested data must agree with it. Costs nothing; `data`: lists, or simdjson's arrays."""
    sizes, kind = [], type(data)
    while type(data) is kind:
        sizes.append(len(data))
        if not sizes[-1] or len(sizes) > MAX_DIMENSIONS:
            break
        data = data[0]
    if len(sizes) > 1 and tuple(sizes) != shape:
        raise _misnested(sizes, shape, where)
    if len(sizes) == 1 and sizes[0] != math.prod(shape):
        raise _miscounted(sizes[0], shape, where)


RAGGED = "it has lists of different length, or values beside lists"


def _flattened(data: list[Any]) -> list[Any]:
    """The values of lists that are all as long as the first of their kind. Raises ValueError where they are not."""
    while data and type(data[0]) is list:
        if set(map(type, data)) != {list} or len(set(map(len, data))) != 1:
            raise ValueError(RAGGED)
        data = list(chain.from_iterable(data))
    if list in set(map(type, data)):
        raise ValueError("it has values beside lists")
    return data


def _misnested(sizes: Sequence[int], shape: tuple[int, ...], where: str) -> RequestError:
    return RequestError(f"{where}.data is nested as {list(sizes)}, but shape is {list(shape)}")


def _miscounted(count: int, shape: tuple[int, ...], where: str) -> RequestError:
    return RequestError(f"{where}.data has {count} values, but shape {list(shape)} needs {math.prod(shape)}")


MAX_DIMENSIONS = 64
"""Of a shape: numpy's own limit. The product of a million sizes would keep the process busy for hours."""

MAX_TENSORS = 10_000
"""Of a request, each way: more than a model has columns."""


def check_number(number: int, field: str) -> None:
    """Of tensors in one field of a request."""
    if number > MAX_TENSORS:
        raise RequestError(f"{field} has {number} tensors; a request may have {MAX_TENSORS}")


_SQUARES = 1e76
"""What the squares of numbers may add up to that are all within single precision: its largest number is 3.4e38."""

_BOUND = 1e38

_ALONE = 10_000
"""Numbers up to which a product of vectors is computed without threads of its own."""


def are_ordinary(array: Array) -> bool:
    """Whether all numbers are finite, and within single precision. False also where that takes a closer look: this one
    is what nearly every request passes, at a fifth of the price of numpy.isfinite."""
    if array.dtype.kind != "f":
        return True  # whole numbers and truths are
    if array.size <= _ALONE:
        return float(np.vdot(array, array)) < _SQUARES  # what is no number makes the sum none, and is not less
    return float(np.minimum.reduce(array, axis=None)) > -_BOUND and float(np.maximum.reduce(array, axis=None)) < _BOUND


_MACHINE = {
    "FP32": ("f", np.dtype(np.float32)),
    "FP64": ("d", np.dtype(np.float64)),
    "INT64": ("q", np.dtype(np.int64)),
}
"""Datatypes that Python's own array module packs, more quickly than numpy finds out what a list holds."""


def _fast(data: Any, datatype: str) -> Array | None:
    """What nearly every request holds: numbers, flat or as rows. None: look more closely, to take it or to explain."""
    packed = _MACHINE.get(datatype)
    if packed is None or type(data) is not list or not data:
        return None
    code, dtype = packed
    first, rows = data[0], 0
    if type(first) is list:
        if not first or set(map(type, data)) != {list} or len(set(map(len, data))) != 1:
            return None
        rows, data, first = len(data), list(chain.from_iterable(data)), first[0]
    if type(first) is bool:
        return None
    try:
        array: Array = np.frombuffer(machine_array(code, data), dtype)  # type: ignore[call-overload]
    except (TypeError, OverflowError):
        return None
    if not are_ordinary(array) and not np.isfinite(array).all():
        return None
    return array.reshape(rows, -1) if rows else array


def _reshaped(array: Array, shape: tuple[int, ...], where: str) -> Array:
    if array.size != math.prod(shape):
        raise _miscounted(array.size, shape, where)
    return _shaped(array, shape, where)


def _shaped(array: Array, shape: tuple[int, ...], where: str) -> Array:
    """An empty tensor may name any other dimension, but not one beyond what numpy can address."""
    try:
        return array.reshape(shape)
    except (ValueError, OverflowError):
        raise RequestError(f"{where}.shape {list(shape)} is too large") from None


def _as_numpy_sees(data: Any, cure: str = "") -> Array:
    """Raises ValueError for a text: numpy would give every number beside it as much room as the longest text takes."""
    if isinstance(data, list) and str in set(map(type, data)):
        raise ValueError(f"found {shown(next(value for value in data if isinstance(value, str)))}{cure}")
    return np.array(data)


def _floats(data: Any, datatype: str) -> Array:
    # null among numbers: the only thing besides them that a floating tensor may hold.
    nulls = isinstance(data, list) and type(None) in (kinds := set(map(type, data))) and kinds <= _NUMBERS_AND_NULL
    array = np.array(data, dtype=np.float64) if nulls else _as_numpy_sees(data)
    if array.dtype.kind not in "fiu" and array.size:
        raise ValueError(f"found {_first_odd(array)}")
    with np.errstate(over="ignore"):
        cast = array.astype(DTYPES[datatype])
    if np.isinf(cast).any():
        raise ValueError(f"found a number that is too large for {datatype}")
    return cast


def _integers(data: Any, datatype: str) -> Array:
    array = _as_numpy_sees(data)
    if array.dtype.kind == "f" and datatype == "UINT64" and _only_whole(data):
        array = np.array(data, dtype=np.uint64)  # small numbers beside those from 2**63 on are floats to numpy
    if array.dtype.kind not in "iu" and array.size:
        raise ValueError(f"found {_first_odd(array)}")
    limits = np.iinfo(DTYPES[datatype])
    if array.size and (int(array.min()) < limits.min or int(array.max()) > limits.max):
        raise ValueError(f"they must lie between {limits.min} and {limits.max}")
    return array.astype(DTYPES[datatype])


def _booleans(data: Any, datatype: str) -> Array:
    cure = "; write true or false"
    array = _as_numpy_sees(data, cure)
    if array.dtype.kind != "b" and array.size:
        raise ValueError(f"found {_first_odd(array)}{cure}")
    return array.astype(DTYPES[datatype])


def _texts(data: Any, datatype: str) -> Array:
    array = np.array(data, dtype=DTYPES[datatype])
    flat = array.ravel()  # array.flat ends at 32 dimensions
    odd = next((value for value in flat if value is not None and not isinstance(value, str)), None)
    if odd is not None:
        raise ValueError(f"found {shown(odd)}; write strings, or null for one that is missing")
    return array


_BUILDERS = {"f": _floats, "i": _integers, "u": _integers, "b": _booleans, "O": _texts}


_NUMBERS_AND_NULL = {int, float, type(None)}


def _only_whole(data: list[Any]) -> bool:
    return set(map(type, data)) == {int}


def _first_odd(array: Array) -> str:
    """The first value that is not a number, as JSON has it; the first of all where each is one."""
    flat = array.ravel()
    first = next((each for each in flat if array.dtype.hasobject and not isinstance(each, int | float)), flat[0])
    return "null" if first is None else shown(first.item() if hasattr(first, "item") else first)


def to_json(array: Array) -> Any:
    """What orjson writes as a flat list; NaN and infinities become null."""
    if datatype_of(array) == "BYTES":
        return [
            value.decode(errors="replace") if isinstance(value, bytes) else value if value is None else str(value)
            for value in array.flat
        ]
    flat = np.ascontiguousarray(array).ravel()
    return flat.astype(np.float32) if flat.dtype == np.float16 else flat


PIECE = 5_000
"""Values that are written in one call, during which no other thread runs: some tenths of a millisecond."""


def written(values: Any) -> Any:
    """A list or an array as orjson writes it; a long one is written here, in pieces between which others run."""
    if not isinstance(values, list | np.ndarray) or len(values) < 2:
        return values
    first = values[0]
    width = len(first) if isinstance(first, dict) else np.size(first)
    step = max(1, PIECE // max(1, width))
    if len(values) <= step:
        return values
    pieces = (
        orjson.dumps(values[begin : begin + step], option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
        for begin in range(0, len(values), step)
    )
    return orjson.Fragment(b"[" + b",".join(pieces) + b"]")


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
    if datatype == "BOOL" and bytes(raw).translate(None, b"\0\1"):
        raise RequestError(f"{where}: the binary data of BOOL holds bytes other than 0 and 1")
    return _shaped(np.frombuffer(raw, dtype=dtype), shape, where)


def _split(raw: memoryview, where: str) -> Array:
    elements: list[str | bytes] = []
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
            elements.append(element)
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


def where_of(index: int, name: str) -> str:
    """How messages call an input."""
    return f"inputs[{index}] ({name if len(name) < 100 else shown(name)})"


def kind_of(value: Any) -> str:
    """What JSON calls it."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def shown(value: Any) -> str:
    """A client's value, short enough for a message."""
    text = value if isinstance(value, str) else reprlib.repr(value)  # bounded: it may be deep, and millions long
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"
