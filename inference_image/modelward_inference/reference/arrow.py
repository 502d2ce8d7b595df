"""Parquet and Arrow, by pyarrow: `pip install modelward[reference]`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from modelward_drift.counting.columns import is_null, label
from modelward_inference.artifact.arrays import Array
from modelward_inference.errors import InvalidConfiguration
from modelward_inference.reference.source import Chunk, Column, Texts, chunk_rows, none
from modelward_inference.reference.types import DATATYPES, Type

try:
    import pyarrow
except ImportError:
    raise InvalidConfiguration(
        "Parquet and Arrow are read by pyarrow, which is not installed: pip install 'modelward[reference]', "
        "or save the training data as .csv or .npy"
    ) from None


INDEX: Final = "__index_level_"
"""Begins the names of columns that hold a data frame's index, which is no feature."""

BUFFER: Final = 1 << 18
"""Bytes that are read ahead of each column."""


class Batches(Protocol):
    """`rows`: all of them, where it is known."""

    schema: Any
    rows: int | None

    def read(self, rows: int, columns: list[str]) -> Iterator[Any]:
        """Record batches of up to `rows` rows, in the order of the file."""
        ...


class Held:
    """A Table or a RecordBatch in memory."""

    def __init__(self, data: Any) -> None:
        self._data, self.schema, self.rows = data, data.schema, data.num_rows

    def read(self, rows: int, columns: list[str]) -> Iterator[Any]:
        data = self._data.select(columns)
        batches = data.to_batches(max_chunksize=rows) if hasattr(data, "to_batches") else [data]
        for batch in batches:
            yield from _slices(batch, rows)


class ParquetFile:
    """Read page by page, so that a row group may be larger than the memory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._open() as file:
            self.schema, self.rows = file.schema_arrow, file.metadata.num_rows

    def _open(self) -> Any:
        from pyarrow import parquet

        return parquet.ParquetFile(self._path, buffer_size=BUFFER, pre_buffer=False)

    def read(self, rows: int, columns: list[str]) -> Iterator[Any]:
        with self._open() as file:
            yield from file.iter_batches(batch_size=rows, columns=columns, use_threads=False)


class IpcFile:
    """Feather, or Arrow's file or stream format, mapped."""

    rows: int | None = None

    def __init__(self, path: Path) -> None:
        self._path = path
        with pyarrow.memory_map(str(path)) as mapped:
            self.schema = self._open(mapped).schema

    def _open(self, mapped: Any) -> Any:
        try:
            return pyarrow.ipc.open_file(mapped)
        except pyarrow.ArrowInvalid:
            mapped.seek(0)
            return pyarrow.ipc.open_stream(mapped)

    def read(self, rows: int, columns: list[str]) -> Iterator[Any]:
        with pyarrow.memory_map(str(self._path)) as mapped:
            opened = self._open(mapped)
            many = getattr(opened, "num_record_batches", None)
            batches = opened if many is None else map(opened.get_batch, range(many))
            for batch in batches:
                yield from _slices(batch.select(columns), rows)


class ArrowSource:
    """Raises InvalidConfiguration."""

    again = True
    notes: tuple[str, ...] = ()

    def __init__(self, batches: Batches, texts: Texts = none) -> None:
        self._batches, self._texts = batches, texts
        names = batches.schema.names
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InvalidConfiguration(f"the data have {', '.join(twice)[:200]} twice; name each column once")
        fields = (field for field in batches.schema if not field.name.startswith(INDEX))
        self._types = {field.name: _type(field.type) for field in fields}
        self.names = tuple(name for name, kind in self._types.items() if kind in DATATYPES)

    def chunks(self) -> Iterator[Chunk]:
        read = 0
        try:
            for batch in self._batches.read(chunk_rows(len(self.names)), list(self.names)):
                if not batch.num_rows:
                    continue
                read += batch.num_rows
                columns = zip(self.names, batch.columns, strict=True)
                table = {name: _array(column, self._texts(name)) for name, column in columns}
                yield Chunk(table, batch.num_rows, read / self._batches.rows if self._batches.rows else None)
        except (pyarrow.ArrowException, OSError) as error:
            raise InvalidConfiguration(f"the data can't be read after row {read}: {error}; write them again") from error

    def columns(self) -> Mapping[str, Column]:
        return {name: Column(kind) for name, kind in self._types.items()}


def opened(path: Path) -> Batches:
    """Raises InvalidConfiguration."""
    parquet = path.suffix.lower() in (".parquet", ".pq")
    try:
        return ParquetFile(path) if parquet else IpcFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        kind = "Parquet" if parquet else "Arrow"
        raise InvalidConfiguration(f"{path} can't be read as {kind}: {str(error)[:300]}; write it again") from error


def _slices(batch: Any, rows: int) -> Iterator[Any]:
    for begin in range(0, batch.num_rows, rows):
        yield batch.slice(begin, rows)


def _type(kind: Any) -> Type:
    types = pyarrow.types
    if types.is_dictionary(kind):
        return _type(kind.value_type)
    if types.is_boolean(kind):
        return Type.BOOLEAN
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return Type.NUMBER
    if types.is_null(kind):
        return Type.UNKNOWN
    if types.is_temporal(kind):
        return Type.TIME
    texts = (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary, types.is_fixed_size_binary)
    views = (getattr(types, name, None) for name in ("is_string_view", "is_binary_view"))
    return Type.TEXT if any(check(kind) for check in (*texts, *views) if check) else Type.OTHER


def _array(column: Any, as_texts: bool) -> Array:
    """(rows,): numbers with NaN for null, everything else as objects with None for it."""
    if pyarrow.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if _type(column.type) is Type.NUMBER and not as_texts:
        if pyarrow.types.is_decimal(column.type):
            column = column.cast(pyarrow.float64())
        return np.asarray(column.to_numpy(zero_copy_only=False))
    if _type(column.type) is Type.BOOLEAN and not column.null_count and not as_texts:
        return np.asarray(column.to_numpy(zero_copy_only=False))
    values = column.to_pylist()
    array = np.empty(len(values), object)
    array[:] = [_text(each) for each in values] if as_texts else values
    return array


def _text(value: Any) -> Any:
    """As the drift kernel names it, so that 1, which a null beside it has made 1.0, is the same as before."""
    if is_null(value):
        return None
    return value if isinstance(value, str | bytes) else str(label(value))
