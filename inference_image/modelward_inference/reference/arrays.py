"""What is in memory: arrays, data frames, mappings of columns; and .npy files, which are mapped into it."""

from collections.abc import Iterator, Mapping
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from modelward_inference.artifact.arrays import Array
from modelward_inference.errors import InvalidConfiguration
from modelward_inference.reference import sparse
from modelward_inference.reference.source import Chunk, Column, chunk_rows, columns_of, joined_columns
from modelward_inference.reference.types import Type, type_of
from modelward_inference.runtimes.estimators.columns import INPUT


class ColumnsSource:
    """Columns by name, all as long; one may have more dimensions, for a tensor of its own."""

    again = True
    notes: tuple[str, ...] = ()

    def __init__(self, columns: Mapping[str, Array]) -> None:
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) > 1:
            raise InvalidConfiguration(
                f"the columns have different lengths: {str(lengths)[:500]}; pass all rows of each"
            )
        self.names = tuple(columns)
        self._columns = columns
        self._rows = next(iter(lengths.values()), 0)

    def chunks(self) -> Iterator[Chunk]:
        most = chunk_rows(sum(int(np.prod(column.shape[1:])) for column in self._columns.values()))
        for begin in range(0, self._rows, most):
            part = slice(begin, min(begin + most, self._rows))
            table = {name: tidy(column[part]) for name, column in self._columns.items()}
            yield Chunk(table, part.stop - begin, part.stop / self._rows)

    def columns(self) -> Mapping[str, Column]:
        return reduce(joined_columns, (columns_of(chunk.table) for chunk in self.chunks()), {})


class ArraySource:
    """One array (rows, …) without names."""

    names: tuple[str, ...] = ()
    again = True
    notes: tuple[str, ...] = ()

    def __init__(self, array: Array) -> None:
        self._array = array

    def chunks(self) -> Iterator[Chunk]:
        rows = len(self._array)
        most = chunk_rows(int(np.prod(self._array.shape[1:])))
        for begin in range(0, rows, most):
            # Copied, so that of a mapped file no more is in memory than this.
            part = np.array(self._array[begin : begin + most])
            yield Chunk(tidy(part), len(part), min(begin + most, rows) / rows)

    def columns(self) -> Mapping[str, Column]:
        return reduce(joined_columns, (columns_of(chunk.table) for chunk in self.chunks()), {})


def of_memory(data: Any) -> "ColumnsSource | ArraySource | sparse.SparseSource":
    """Raises InvalidConfiguration where it is no table."""
    if sparse.is_sparse(data):
        return sparse.SparseSource(data)
    if isinstance(data, Mapping):
        return ColumnsSource({str(name): column(values, str(name)) for name, values in data.items()})
    if hasattr(data, "columns") and hasattr(data, "to_numpy"):
        names = [str(name) for name in data.columns]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InvalidConfiguration(f"the data frame has {', '.join(twice)[:200]} twice; name each column once")
        return ColumnsSource({name: column(data[each], name) for name, each in zip(names, data.columns, strict=True)})
    return of_array(column(data, INPUT))


def of_npy(path: Path) -> ColumnsSource | ArraySource:
    """A file that is mapped: its size does not matter. Raises InvalidConfiguration."""
    try:
        return of_array(np.load(path, mmap_mode="r", allow_pickle=False))
    except (ValueError, OSError, EOFError) as error:
        cure = "an array of objects has to be saved as Parquet" if "bject" in str(error) else "write it again"
        raise InvalidConfiguration(f"{path} can't be read as .npy: {str(error)[:200]}; {cure}") from error


def of_array(array: Array) -> ColumnsSource | ArraySource:
    """A structured array has columns with names."""
    if array.dtype.names:
        return ColumnsSource({name: array[name] for name in array.dtype.names})
    return ArraySource(array)


def column(values: Any, name: str) -> Array:
    """Anything with one entry a row, as an array of rows. Raises InvalidConfiguration."""
    if isinstance(values, np.ma.MaskedArray):
        mask, values = np.ma.getmaskarray(values), values.data.astype(object)
        values[mask] = None
    try:
        array = values.to_numpy() if hasattr(values, "to_numpy") else np.asarray(values)
        if array.dtype.kind == "U" and not isinstance(values, np.ndarray):
            array = np.asarray(values, object)  # numpy makes texts of [1, "a"]
    except ValueError as error:
        raise InvalidConfiguration(f"{name!r} is no column of one value a row: {error}") from error
    if not array.ndim:
        raise InvalidConfiguration(f"{name!r} is a {type(values).__name__}, not one value a row")
    return np.asarray(array)


def tidy(array: Array) -> Array:
    """Objects that are all numbers become floats; pandas' NA becomes NaN, of which every library makes null."""
    if array.dtype.kind != "O":
        return array
    if type_of(array) is Type.NUMBER:
        flat = [np.nan if value is None or type(value).__name__ == "NAType" else value for value in array.flat]
        try:
            return np.fromiter(map(float, flat), np.float64, len(flat)).reshape(array.shape)
        except OverflowError:
            return array  # whole numbers beyond the floats, which are told apart one by one
    nulls = [index for index, value in enumerate(array.flat) if type(value).__name__ == "NAType"]
    if nulls:
        array = array.copy()
        array.reshape(-1)[nulls] = np.nan
    return array
