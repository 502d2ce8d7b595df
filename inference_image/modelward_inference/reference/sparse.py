"""Sparse matrices of scipy, which are never dense as a whole: chunk by chunk only, as models are asked.

What stands for an entry that is absent, the model's library says: zero, but for XGBoost a missing value. A request has
to say the same, so a model that was trained on a sparse matrix is asked with nulls there.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from modelward_inference.artifact.arrays import Array
from modelward_inference.errors import InvalidConfiguration
from modelward_inference.reference.source import Chunk, Column, chunk_rows
from modelward_inference.reference.types import Type
from modelward_inference.runtimes.estimators.columns import INPUT

FEW = 64
"""Rows by which it is told what absent entries are."""


def is_sparse(data: Any) -> bool:
    """Of any layout, matrix or array."""
    return isinstance(data, SparseTable) or (hasattr(data, "tocsr") and hasattr(data, "nnz"))


class SparseTable:
    """A sparse matrix, and what its absent entries are."""

    def __init__(self, matrix: Any, absent: float) -> None:
        self.matrix, self.absent = matrix, absent


def as_taken(data: Any, model: Any) -> Any:
    """The data with the value of absent entries for this model, chunks of a stream too; other data as they are.

    Raises InvalidConfiguration where no dense row has the answer that the sparse one has.
    """
    return _marked(data, model, [])


def _marked(data: Any, model: Any, absent: list[float]) -> Any:
    """`absent`: the value, once it is known."""
    if is_sparse(data):
        if isinstance(data, SparseTable):
            return data
        if not absent:
            absent.append(_absent_for(model, data))
        return SparseTable(data, absent[0])
    if callable(data):
        return lambda: (_marked(each, model, absent) for each in data())
    if isinstance(data, list | tuple) and any(map(is_sparse, data)):
        return [_marked(each, model, absent) for each in data]
    return (_marked(each, model, absent) for each in data) if hasattr(data, "__next__") else data


def _absent_for(model: Any, data: Any) -> float:
    """By the model's own answers to sparse rows: an ensemble may hide what it is made of."""
    estimator, booster = getattr(model, "estimator", None), getattr(model, "booster", None)
    if estimator is None:
        return np.nan if hasattr(booster, "inplace_predict") else 0.0
    few = data.tocsr()[:FEW]
    outputs = [tensor.name for tensor in model.signature.outputs]
    (name,) = (tensor.name for tensor in model.signature.inputs[:1])
    for value in (0.0, np.nan):
        table = next(SparseSource(SparseTable(few, value)).chunks()).table
        try:
            got = model.predict({name: table}, outputs)
            wanted = {each: getattr(estimator, each)(few) for each in outputs}
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001, S112  a model may raise anything; what its rows have to be like is told below
            continue
        if all(_same(wanted[each], got[each]) for each in outputs):
            return value
    raise InvalidConfiguration(
        "the model answers rows of a sparse matrix otherwise than the same rows with zeros, or with missing values, "
        "where entries are absent; a request has no absent entries: train on a dense array, or on parts of one"
    )


def _same(wanted: Any, got: Array) -> bool:
    found = np.asarray(wanted.toarray() if hasattr(wanted, "toarray") else wanted)
    if found.shape != got.shape or found.dtype.kind != "f":
        return np.array_equal(found, got)
    return bool(np.allclose(found, got, rtol=1e-5, atol=1e-8, equal_nan=True))


class SparseSource:
    """One matrix (rows, columns) without names."""

    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    again = True

    def __init__(self, data: Any) -> None:
        matrix, self._absent = (data.matrix, data.absent) if isinstance(data, SparseTable) else (data, 0.0)
        if len(matrix.shape) != 2:
            raise InvalidConfiguration(f"data has shape {list(matrix.shape)}; pass a sparse matrix [rows, columns]")
        if matrix.dtype.kind not in "biuf":
            raise InvalidConfiguration(f"data holds values of type {matrix.dtype}; pass a sparse matrix of numbers")
        self._matrix = matrix.tocsr()
        if not self._matrix.has_canonical_format:
            self._matrix = self._matrix.copy()
            self._matrix.sum_duplicates()

    def chunks(self) -> Iterator[Chunk]:
        rows, width = self._matrix.shape
        most = chunk_rows(width)
        for begin in range(0, rows, most):
            part = self._matrix[begin : begin + most]
            table = np.full(part.shape, self._absent, np.float64)
            places = part.tocoo()
            table[places.row, places.col] = places.data
            yield Chunk(table, len(table), min(begin + most, rows) / rows)

    def columns(self) -> Mapping[str, Column]:
        return {INPUT: Column(Type.NUMBER, self._matrix.shape[1:])}
