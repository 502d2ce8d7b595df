"""Which data a model was trained on: a digest of all their rows, and MLflow's record of it.

MLflow's own digests are made of the first ten thousand rows and eight digits long; this one is of every value.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelward_drift.counting.columns import is_null
from modelward_inference.artifact.arrays import Array
from modelward_inference.errors import InvalidConfiguration
from modelward_inference.reference.source import open_source

DIGITS: Final = 32
"""Hexadecimal digits of a SHA-256: MLflow keeps 36 characters at most."""

_INPUT, _TARGET = "input", "target"


def digest_of(data: Any, targets: Any = None) -> str:
    """The first DIGITS digits of a SHA-256: of a file's bytes, as sha256sum prints them, where `data` is its path and
    there are no `targets`; else of the columns' names, types and values, row by row, and of the targets.

    Raises InvalidConfiguration where rows and targets are not as many.
    """
    if isinstance(data, str | Path) and targets is None:
        with Path(data).open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()[:DIGITS]
    columns, rows = _columns(data, _INPUT)
    if targets is not None:
        answers, count = _columns(targets, _TARGET)
        if count != rows:
            raise InvalidConfiguration(f"X has {rows} rows, and y has {count}; pass one answer for each row")
        columns += answers
    return hashlib.sha256(b"".join(columns)).hexdigest()[:DIGITS]


def _columns(data: Any, unnamed: str) -> tuple[list[bytes], int]:
    """The digest of each column with its name, in their order; and how many rows there are."""
    hashes: dict[str, _Column] = {}
    rows = 0
    for chunk in open_source(data).chunks():
        named = chunk.table if isinstance(chunk.table, Mapping) else {"": chunk.table}
        for name, column in named.items():
            if name not in hashes:
                hashes[name] = _Column(repr((name or unnamed, column.shape[1:])))
            hashes[name].add(column)
        rows += chunk.rows
    return [each.sha.digest() for each in hashes.values()], rows


class _Column:
    """The values of a column, in as many parts as they come."""

    def __init__(self, about: str) -> None:
        self.sha = hashlib.sha256(about.encode())
        self._type = ""

    def add(self, part: Array) -> None:
        numbers = part.dtype.kind in "biuf"
        # In one order of bytes, whatever machine it is.
        array = np.ascontiguousarray(part, part.dtype.newbyteorder("<")) if numbers else part
        told = array.dtype.str if numbers else "values"
        if told != self._type:
            self.sha.update(told.encode())
            self._type = told
        if numbers:
            self.sha.update(array.tobytes())
            return
        for value in array.flat:
            if isinstance(value, np.ndarray | np.generic):
                value = value.tolist()  # in full: an array's own words leave values out
            text = b"" if is_null(value) else repr(value).encode(errors="surrogatepass")
            self.sha.update(len(text).to_bytes(8, "little"))
            self.sha.update(text)
