"""Arrays and the data types of the Open Inference Protocol."""

from typing import Any

import numpy as np
import numpy.typing as npt

from modelward_inference.artifact.bundle import Signature, Tensor

Array = npt.NDArray[Any]


DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(object),
}
"""Data types of the Open Inference Protocol. BYTES elements are str or bytes."""


DATATYPES = {dtype: name for name, dtype in DTYPES.items()}


def datatype_of(array: Array) -> str:
    """The protocol's name for the type of an array's elements; strings of any length are BYTES."""
    return "BYTES" if array.dtype.kind in "USO" else DATATYPES[array.dtype]


def warm_up_inputs(signature: Signature) -> dict[str, Array]:
    """One row of zeros (or empty strings), every dimension of open size being 1."""
    return {tensor.name: _zeros(tensor) for tensor in signature.inputs}


def no_rows(tensor: Tensor) -> Array:
    """None of its rows, every other dimension of open size being 0."""
    return np.empty((0, *(max(size, 0) for size in tensor.shape[1:])), DTYPES[tensor.datatype])


def _zeros(tensor: Tensor) -> Array:
    shape = tuple(1 if size < 0 else size for size in tensor.shape)
    if tensor.datatype == "BYTES":
        return np.full(shape, "", dtype=object)
    return np.zeros(shape, dtype=DTYPES[tensor.datatype])


def texts(array: Array) -> Array:
    """A BYTES tensor without bytes, which binary tensors bring; None stays. Raises ValueError where one is no UTF-8."""
    if not any(isinstance(each, bytes) for each in array.flat):
        return array
    found = np.empty(array.size, object)
    found[:] = [each.decode() if isinstance(each, bytes) else each for each in array.flat]
    return found.reshape(array.shape)


def missing_as_nan(array: Array) -> Array:
    """Texts with None as the libraries' own missing value."""
    if array.dtype.kind != "O" or all(each is not None for each in array.flat):
        return array
    found = np.empty(array.size, object)
    found[:] = [np.nan if each is None else each for each in array.flat]
    return found.reshape(array.shape)


def tensor_of(name: str, array: Array) -> Tensor:
    """The description of an output by an example of it: the first dimension is that of the rows."""
    return Tensor(name, datatype_of(array), (-1, *array.shape[1:]))
