"""Typed tensor contents (InferTensorContents) to arrays and back.

Each datatype belongs into one field; FP16 has none. Failure: RequestError with the name of the field.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from modelward_inference.artifact.arrays import DTYPES, Array
from modelward_inference.protocol.messages import RequestError
from modelward_inference.serve.grpc_api.open_inference_pb2 import InferTensorContents

FIELDS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents", "INT64": "int64_contents",
    "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents", "UINT64": "uint64_contents",
    "FP32": "fp32_contents", "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}  # fmt: skip

_PACKED_AS_ELEMENTS = {"BOOL", "FP32", "FP64"}
"""Their packed form on the wire is the array itself, little-endian; whole numbers are of varying length there."""


def to_array(contents: InferTensorContents, datatype: str, shape: tuple[int, ...], where: str) -> Array:
    """The tensor that an input's contents hold."""
    field = FIELDS.get(datatype)
    if field is None:
        raise RequestError(f"{where}.contents can't hold {datatype}; send it in raw_input_contents")
    present = {descriptor.name: values for descriptor, values in contents.ListFields()}
    values = present.pop(field, ())
    if present:
        raise RequestError(f"{where}.contents has {', '.join(present)}, but {datatype} belongs into {field}")
    needed = math.prod(shape)
    if len(values) != needed:
        raise RequestError(f"{where}.contents.{field} has {len(values)} values, but shape {list(shape)} needs {needed}")
    try:
        return _flat(contents, values, datatype, f"{where}.contents.{field}").reshape(shape)
    except (ValueError, OverflowError):
        # An empty tensor may name any other dimension, but not one beyond what numpy can address.
        raise RequestError(f"{where}.shape {list(shape)} is too large") from None


def _flat(contents: InferTensorContents, values: Any, datatype: str, where: str) -> Array:
    count, dtype = len(values), DTYPES[datatype]
    if datatype == "BYTES":
        return _texts(values)
    if datatype in _PACKED_AS_ELEMENTS and count:
        # The one field that is set ends the message: its elements are the last bytes. No Python object for each.
        contents.DiscardUnknownFields()
        wire = contents.SerializeToString()
        return np.frombuffer(wire, dtype.newbyteorder("<"), count, len(wire) - count * dtype.itemsize)
    if datatype in _PACKED_AS_ELEMENTS:
        return np.empty(0, dtype)
    wide: Array = np.fromiter(values, np.uint64 if dtype.kind == "u" else np.int64, count)
    limits = np.iinfo(dtype)
    if count and (int(wide.min()) < limits.min or int(wide.max()) > limits.max):
        raise RequestError(f"{where} must lie between {limits.min} and {limits.max}, as {datatype} does")
    return wide.astype(dtype)


def _texts(elements: Sequence[bytes]) -> Array:
    """str where they are UTF-8, else as they are."""
    array = np.empty(len(elements), dtype=object)
    for index, element in enumerate(elements):
        try:
            array[index] = element.decode()
        except UnicodeDecodeError:
            array[index] = element
    return array


def from_array(array: Array, datatype: str) -> InferTensorContents:
    """The inverse of `to_array`, for every datatype but FP16."""
    flat = array.ravel().tolist()
    if datatype == "BYTES":
        flat = [value if isinstance(value, bytes) else str(value).encode() for value in flat]
    return InferTensorContents(**{FIELDS[datatype]: flat})
