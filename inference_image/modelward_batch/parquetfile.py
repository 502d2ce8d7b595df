"""Parquet: what the plan says of a file, and a row group in record batches, page by page where it is large.

Failure: Incurable, with the file and the row group.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

import pyarrow as pa
from pyarrow import parquet

from modelward_batch.errors import Incurable
from modelward_batch.layout import Layout
from modelward_batch.plan import File, Unit

AT_ONCE: Final = 64 << 20
"""Bytes of a row group's columns that are read in few large requests; of larger ones each column is read ahead by
BUFFER."""

BUFFER: Final = 1 << 20

BATCH_BYTES: Final = 16 << 20
"""Of a record batch, by what the file says of its columns."""


def looked_at(opened: BinaryIO, name: str, size: int, tag: str) -> tuple[File, pa.Schema, list[int]]:
    """What the plan says of a file, its columns, and the rows of each row group."""
    with _readable(name):
        file = parquet.ParquetFile(opened)
        metadata = file.metadata
        groups = [metadata.row_group(each).num_rows for each in range(metadata.num_row_groups)]
        return File(name, size, tag, "parquet", metadata.num_rows), file.schema_arrow, groups


def schema_of(opened: BinaryIO, file: File) -> pa.Schema:
    with _readable(file.name):
        return parquet.ParquetFile(opened).schema_arrow


def batches(opened: BinaryIO, file: File, unit: Unit, layout: Layout, rows: int) -> Iterator[pa.RecordBatch]:
    """Of a unit, of up to `rows` rows. Raises Incurable also where there are others than the file promises."""
    where = f"{file.name}, row group {unit.group}"
    read = 0
    with _readable(where):
        names = layout.columns
        metadata = parquet.read_metadata(opened)
        wanted = [
            column
            for column in map(metadata.row_group(unit.group).column, range(metadata.num_columns))
            if not _prefixes(column.path_in_schema).isdisjoint(names)
        ]
        packed, plain = (
            sum(getattr(column, f"total_{form}_size") for column in wanted) for form in ("compressed", "uncompressed")
        )
        small = packed <= AT_ONCE
        source = parquet.ParquetFile(
            opened, metadata=metadata, page_checksum_verification=True, pre_buffer=small,
            buffer_size=0 if small else BUFFER,
        )  # fmt: skip
        fitting = max(1, BATCH_BYTES * max(unit.rows or 1, 1) // max(plain, 1))
        made: Iterator[Any] = source.iter_batches(
            batch_size=min(rows, fitting), row_groups=[unit.group], columns=names, use_threads=False
        )
    while True:
        with _readable(where):
            batch = next(made, None)
        if batch is None:
            break
        read += batch.num_rows
        yield batch
    if read != unit.rows:
        raise Incurable(f"{where}: it has {read} rows and promises {unit.rows}; write the file again")


def _prefixes(path: str) -> set[str]:
    """What a column that it is a part of may be called: names may have dots of their own."""
    parts = path.split(".")
    return {".".join(parts[:count]) for count in range(1, len(parts) + 1)}


@contextlib.contextmanager
def _readable(where: str) -> Iterator[None]:
    """Errors of the store have a number or a class of their own, and pass."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        words = " ".join(str(error).split())[:300]
        raise Incurable(f"{where}: it can't be read as Parquet: {words}; write the file again") from None
