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
    hashes: dict[str, Any] = {}
    rows = 0
    for chunk in open_source(data).chunks():
        named = chunk.table if isinstance(chunk.table, Mapping) else {"": chunk.table}
        for name, column in named.items():
            if name not in hashes:
                hashes[name] = hashlib.sha256(repr((name or unnamed, column.shape[1:])).encode())
            _add(hashes[name], column)
        rows += chunk.rows
    return [each.digest() for each in hashes.values()], rows


def _add(found: Any, column: Array) -> None:
    if column.dtype.kind in "biuf":
        # In one order of bytes, whatever machine it is.
        array = np.ascontiguousarray(column, column.dtype.newbyteorder("<"))
        found.update(array.dtype.str.encode())
        found.update(array.tobytes())
        return
    for value in column.flat:
        text = b"" if is_null(value) else repr(value.item() if isinstance(value, np.generic) else value).encode()
        found.update(len(text).to_bytes(8, "little"))
        found.update(text)
