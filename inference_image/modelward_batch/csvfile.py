"""CSV in UTF-8 with a line of names: read by the model's types, and where a value is not of its type, as texts.

Numbers are those of Python and Arrow (1234.5, no commas for thousands or decimals); the texts that pandas reads as null
are null, but in keys, which stay as they stand. Failure: Incurable, with the file and the bytes.
"""

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO, Final

import pyarrow as pa
from pyarrow import csv as arrow_csv

from modelward_batch import lines
from modelward_batch.errors import Incurable
from modelward_batch.layout import Layout
from modelward_batch.plan import File
from modelward_batch.values import array_of
from modelward_inference.artifact.arrays import DTYPES
from modelward_inference.protocol.tensors import shown
from modelward_inference.reference import dialect
from modelward_inference.reference.types import NULLS, TRUTHS

FIELD: Final = 128 << 10
"""Characters of a column's name, at most."""

HEAD: Final = 1 << 20
"""Bytes at the beginning that have the names, and show the separator."""

BLOCK: Final = 64 << 20
"""Bytes of a unit: a larger file is several."""

_BOM: Final = b"\xef\xbb\xbf"

_KINDS: Final = {"f": pa.float64(), "i": pa.int64(), "u": pa.uint64(), "b": pa.bool_(), "O": pa.string()}


def looked_at(opened: BinaryIO, name: str, size: int, tag: str) -> tuple[File, int]:
    """What the plan says of a file, and where its rows begin."""
    head = opened.read(min(HEAD, size))
    start = len(_BOM) if head.startswith(_BOM) else 0
    end = start + lines.first_end(head[start:])
    if end == start:
        end = size if size <= HEAD else 0
    if not end:
        raise Incurable(f"{name}: its first line, which has to name the columns, has more than {HEAD} bytes")
    # The last line may be cut off.
    text = (head if size <= HEAD else head[: lines.last_end(head)])[start:].decode(errors="replace")
    csv.field_size_limit(FIELD)  # there is one for the whole process, and others set others
    separator = dialect.separator(lambda each: csv.reader(io.StringIO(text), delimiter=each))
    try:
        first = head[start:end].decode()
    except UnicodeDecodeError as error:
        raise Incurable(f"{name}: its first line is no UTF-8 ({error}); write it again in that encoding") from None
    try:
        header = tuple(next(csv.reader(io.StringIO(first), delimiter=separator), ()))
    except csv.Error as error:
        raise Incurable(
            f"{name}: its first line can't be read as CSV: {error}; write it again, with line ends of \\n or \\r\\n"
        ) from None
    dialect.check_names(name, header)
    if not header or "" in header:
        raise Incurable(
            f"{name} needs a first line with the name of each column; a column without one is often an index, which "
            "pandas leaves out with to_csv(index=False)"
        )
    return File(name, size, tag, "csv", None, separator, header), end


def check_values(opened: BinaryIO, file: File, begin: int, layout: Layout) -> None:
    """Raises Incurable where not one of a column's first values is of the model's type."""
    opened.seek(begin)
    head = opened.read(min(HEAD, file.size - begin))
    part = head if begin + len(head) == file.size else head[: lines.last_end(head)]
    try:
        table = _reading(file, layout, dict.fromkeys(layout.columns, pa.string()))(part)
    except pa.ArrowInvalid:
        return  # whoever reads it all says where
    for each in layout.features:
        values = [value for value in table.column(each.column).to_pylist() if value.strip() not in NULLS]
        if each.width > 1:
            raise Incurable(
                f"{file.name}: the model takes {each.width} values of {each.name!r} in a row, which CSV has no columns "
                f"for; name them in `columns` ({each.name}[0] and so on), or write lists as Parquet"
            )
        found = array_of(pa.array(values, pa.string()), each.column, each.datatype, each.shape, True)
        if values and len(found.bad) == len(values):
            raise Incurable(
                f"{file.name}: the column {each.column!r} holds none of the {each.datatype} that the model takes, but "
                f"{shown(values[0])!r}; write it again, or say in `columns` which column the model should get"
            )


def blocks(opened: BinaryIO, file: File, begin: int, block: int, piece: int) -> Iterator[tuple[int, int]]:
    """Bytes from, until before: of each unit. A file of several is read once for it."""
    if file.size - begin <= block:
        if file.size > begin:
            yield begin, file.size
        return
    opened.seek(begin)
    at = begin
    for part in lines.pieces(opened.read, file.size - begin, file.name, min(piece, block)):
        at += len(part)
        if at - begin >= block:
            yield begin, at
            begin = at
    if at > begin:
        yield begin, at


def batches(
    opened: BinaryIO, file: File, begin: int, end: int, layout: Layout, rows: int, piece: int
) -> Iterator[pa.RecordBatch]:
    """Of a unit."""
    kinds = {each.column: _KINDS[DTYPES[each.datatype].kind] for each in layout.features}
    typed = _reading(file, layout, kinds | dict.fromkeys(layout.keys, pa.string()))
    plain = _reading(file, layout, dict.fromkeys(layout.columns, pa.string()))
    opened.seek(begin)
    at = begin
    for part in lines.pieces(opened.read, end - begin, file.name, piece):
        try:
            try:
                table = typed(part)
            except pa.ArrowInvalid:  # a value, or the form
                table = plain(part)
        except pa.ArrowInvalid as error:
            raise Incurable(
                f"{file.name}, bytes {at} to {at + len(part)}: they can't be read as CSV in UTF-8 with "
                f"{len(file.header)} columns: {' '.join(str(error).split())[:300]}; write the file again"
            ) from None
        at += len(part)
        yield from table.to_batches(max_chunksize=rows)


def _reading(file: File, layout: Layout, kinds: Mapping[str, pa.DataType]) -> Callable[[bytes], pa.Table]:
    parse = arrow_csv.ParseOptions(delimiter=file.separator, newlines_in_values=True)
    convert = arrow_csv.ConvertOptions(
        column_types=dict(kinds), include_columns=layout.columns, null_values=sorted(NULLS), strings_can_be_null=False,
        true_values=[each for each, truth in TRUTHS.items() if truth] + ["1"],
        false_values=[each for each, truth in TRUTHS.items() if not truth] + ["0"],
    )  # fmt: skip

    def read(part: bytes) -> pa.Table:
        options = arrow_csv.ReadOptions(
            use_threads=False, column_names=list(file.header), block_size=max(len(part) + len(_BOM) + 1, 1 << 16)
        )
        if not part.strip():
            return pa.table({name: pa.array([], kinds[name]) for name in layout.columns})
        # Arrow leaves out such a mark wherever it begins to read: here it is a part of the first value.
        whole = _BOM + part if part.startswith(_BOM) else part
        return arrow_csv.read_csv(pa.BufferReader(whole), options, parse, convert)

    return read
