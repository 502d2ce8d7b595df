"""CSV with a line of names, plain or gzipped, with Python's own reader: the same values on every machine.

All a file has is texts. Each column is read from end to end to learn its type (csvtypes.py): numbers, truths or points
in time, if all its values are, and else texts, as they stand in the file. One word in the last row so makes a column of
texts, in every chunk alike, and is told. Empty fields and NA are null (`types.NULLS`); numbers that begin with a zero
(007) are codes, and so texts. The separator is the file's own (dialect.py).
"""

import csv
import gzip
import io
import zlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, Final

from modelward_inference.errors import InvalidConfiguration
from modelward_inference.reference import dialect
from modelward_inference.reference.csvtypes import Found, notes, types_of
from modelward_inference.reference.source import Chunk, Column, Texts, chunk_rows, none
from modelward_inference.reference.types import values_of

MAX_FIELD: Final = 16 << 20
"""Characters of one value; more is a file with an odd quote in it, and would fill the memory."""

MOST_LINES: Final = 1 << 13
"""Rows of a chunk: lists of many more texts cost as much in garbage collection as in reading."""


class CsvSource:
    """Raises InvalidConfiguration."""

    again = True

    def __init__(self, path: Path, texts: Texts = none) -> None:
        self._path, self._texts = path, texts
        self._size = path.stat().st_size
        self._separator = dialect.separator(self._looked)
        with self._path.open("rb") as raw, closing(self._lines(raw, self._separator)) as lines:
            header = next(lines, (1, []))[1]
        if not header or "" in header:
            raise InvalidConfiguration(
                f"{path} needs a first line with the name of each column; a column without one is often an index, "
                "which pandas leaves out with to_csv(index=False)"
            )
        twice = sorted({name for name in header if header.count(name) > 1})
        if twice:
            raise InvalidConfiguration(
                f"{path} has {', '.join(twice)[:200]} twice; name each column once, in the first line"
            )
        told = (dialect.check_names(path, header), dialect.check_one_column(header, self._separator))
        self._told = tuple(each for each in told if each)
        self.names = tuple(header)
        self._types: dict[str, Found] | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        return (*self._told, *notes(self._known()))

    def chunks(self) -> Iterator[Chunk]:
        types = self._known()
        for _, texts, done in self._read():
            try:
                table = {
                    name: values_of(column, types[name].type, types[name].notation)
                    for name, column in zip(self.names, texts, strict=True)
                }
            except (ValueError, KeyError) as error:
                raise InvalidConfiguration(
                    f"{self._path} holds other values than a moment ago ({error}); wait until nobody writes to it"
                ) from error
            yield Chunk(table, len(texts[0]), done)

    def columns(self) -> Mapping[str, Column]:
        return {name: Column(each.type) for name, each in self._known().items()}

    def _known(self) -> dict[str, Found]:
        if self._types is None:
            rows = lambda: ((lines, texts) for lines, texts, _ in self._read())  # noqa: E731
            self._types = types_of(self.names, rows, self._texts, self._separator)
        return self._types

    def _read(self) -> Iterator[tuple[list[int], list[Sequence[str]], float]]:
        """The lines of a chunk's rows, its columns, and which part of the file has been read."""
        most = min(chunk_rows(len(self.names)), MOST_LINES)
        with self._path.open("rb") as raw, closing(self._lines(raw, self._separator)) as lines:
            next(lines, None)
            rows: list[list[str]] = []
            numbers: list[int] = []
            for number, row in lines:
                if len(row) != len(self.names):
                    raise InvalidConfiguration(
                        f"{self._path}, line {number}: {len(row)} values for {len(self.names)} columns; write the "
                        "file again, with quotes around values that have commas or quotes in them"
                    )
                rows.append(row)
                numbers.append(number)
                if len(rows) == most:
                    yield numbers, list(zip(*rows, strict=True)), raw.tell() / self._size
                    rows, numbers = [], []
            if rows:
                yield numbers, list(zip(*rows, strict=True)), 1.0

    def _looked(self, separator: str) -> Iterator[list[str]]:
        with self._path.open("rb") as raw, closing(self._lines(raw, separator)) as lines:
            yield from (row for _, row in lines)

    def _lines(self, raw: BinaryIO, separator: str) -> Generator[tuple[int, list[str]], None, None]:
        """Rows that are not empty, with the number of their last line."""
        unpacked = gzip.GzipFile(fileobj=raw) if self._path.suffix.lower() == ".gz" else raw
        csv.field_size_limit(MAX_FIELD)
        with io.TextIOWrapper(unpacked, "utf-8-sig", newline="") as text:
            reader = csv.reader(text, delimiter=separator, strict=True)
            try:
                for row in reader:
                    if row:
                        yield reader.line_num, row
            except (csv.Error, UnicodeDecodeError, EOFError, OSError, zlib.error) as error:
                raise InvalidConfiguration(
                    f"{self._path}, line {reader.line_num + 1}, can't be read as CSV in UTF-8: {error}; write it again"
                ) from error
