"""Tables of any make to a model's input tensors: data frames by duck typing, arrays, lists of texts, mappings."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from modelward_drift.counting.columns import is_null
from modelward_inference.artifact.arrays import DTYPES, Array
from modelward_inference.artifact.bundle import Signature, Tensor
from modelward_inference.errors import InvalidConfiguration


def from_data(data: Any, signature: Signature, columns: tuple[str, ...] = ()) -> dict[str, Array]:
    """The input tensors. `columns`: all of training, in their order, as they were called.

    Raises InvalidConfiguration, which names the column that does not fit.
    """
    raw = arranged(data, signature, columns)
    return {tensor.name: cast(raw[tensor.name], tensor) for tensor in signature.inputs}


def arranged(data: Any, signature: Signature, columns: tuple[str, ...] = ()) -> dict[str, Array]:
    """The data in the shapes of the input tensors, with the values as they are. Raises InvalidConfiguration."""
    inputs = signature.inputs
    if columns and len(inputs) == 1 and inputs[0].shape == (-1, len(columns)):
        data = _by_name(data, columns)
    if len(inputs) == 1 and inputs[0].shape != (-1, 1):
        return {inputs[0].name: _whole(data, inputs[0])}
    places = {name: index for index, name in enumerate(columns)}  # those that the model drops have one, too
    return {
        tensor.name: _one(_named(data, tensor, places.get(tensor.name, index)), tensor)
        for index, tensor in enumerate(inputs)
    }


def _by_name(data: Any, columns: tuple[str, ...]) -> Any:
    """Columns with names in the order of training: by position they would be taken for one another."""
    if not isinstance(data, Mapping) and not hasattr(data, "columns"):
        return data
    names = [str(name) for name in (data if isinstance(data, Mapping) else data.columns)]
    found = {name.replace(" ", "_"): name for name in names} | {name: name for name in names}  # as LightGBM keeps them
    lacking = [name for name in columns if name not in found]
    if lacking:
        raise InvalidConfiguration(
            f"data has no column {', '.join(map(repr, lacking))[:300]}, by which the model was trained; it has "
            f"{', '.join(names)[:300]}"
        )
    return {name: data[found[name]] for name in columns}


def _whole(data: Any, tensor: Tensor) -> Array:
    """All columns in one tensor, by position."""
    if isinstance(data, Mapping):
        if tensor.name in data:
            data = data[tensor.name]
        elif len(tensor.shape) == 1 and len(data) == 1:
            data = next(iter(data.values()))
        else:
            data = np.column_stack([np.asarray(column) for column in data.values()])
    elif hasattr(data, "to_numpy"):
        data = data.to_numpy()
    array = np.asarray(data)
    if tensor.any_rank:
        return array
    if len(tensor.shape) == 1 and array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    fits = array.ndim == len(tensor.shape) and all(
        wanted in (-1, size) for size, wanted in zip(array.shape, tensor.shape, strict=True)
    )
    if not fits:
        raise InvalidConfiguration(
            f"data has shape {list(array.shape)}, but the model's {tensor.name!r} takes {list(tensor.shape)} (-1: any "
            "size); pass the columns that the model was trained on, and no others"
        )
    return array


def _named(data: Any, tensor: Tensor, index: int) -> Array:
    """One column, by its name where the data has names, else by position."""
    names = list(data) if isinstance(data, Mapping) else list(getattr(data, "columns", ()))
    if names:
        if tensor.name not in names:
            raise InvalidConfiguration(f"data has no column {tensor.name!r}; it has {', '.join(map(str, names))[:500]}")
        return np.asarray(data[tensor.name])
    array = np.asarray(data)
    if array.ndim != 2 or array.shape[1] <= index:
        raise InvalidConfiguration(f"data has shape {list(array.shape)}, and so no column {index} for {tensor.name!r}")
    return np.asarray(array[:, index])


def _one(column: Array, tensor: Tensor) -> Array:
    return column.reshape(-1, 1) if len(tensor.shape) == 2 and column.ndim == 1 else column


def cast(array: Array, tensor: Tensor) -> Array:
    """To the tensor's datatype. Raises InvalidConfiguration."""
    target = DTYPES[tensor.datatype]
    try:
        if target.kind == "O":
            # A column may lack a value; a list of texts has none that is missing.
            null = None if tensor.shape[1:] == (1,) else ""
            found = np.empty(array.size, dtype=object)
            found[:] = [null if is_null(value) else str(value) for value in array.flat]
            return found.reshape(array.shape)
        if array.dtype.kind in "US":
            array = np.where(array == "", "nan", array)
        return np.ascontiguousarray(array.astype(target))
    except (ValueError, TypeError) as error:
        raise InvalidConfiguration(
            f"the column {tensor.name!r} does not hold {tensor.datatype} values: {str(error)[:200]}"
        ) from error
