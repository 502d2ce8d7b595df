"""From the data's columns to input tensors: of a model's signature, or of the data's own where there is none.

A tensor is profiled as the model takes it, but for nulls in datatypes that have none: they are profiled as null.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import numpy as np

from modelward_drift.counting.columns import is_null
from modelward_inference.artifact import tables
from modelward_inference.artifact.arrays import Array
from modelward_inference.artifact.bundle import Signature, Tensor
from modelward_inference.errors import InvalidConfiguration
from modelward_inference.reference.source import Source, Table, columns_of, joined_columns, tensors_of
from modelward_inference.reference.types import DATATYPES, type_of
from modelward_inference.runtimes.estimators.columns import INPUT

Tensors = dict[str, Array]


class Fitting(Protocol):
    """`names`: of the columns of a single wide tensor, empty where they have none; `left_out`: what is not read."""

    signature: Signature
    names: Sequence[str]
    left_out: Sequence[str]

    def tensors(self, table: Table) -> tuple[Tensors, Tensors]:
        """A chunk as it is profiled, and as the model takes it. Raises InvalidConfiguration."""
        ...


class ToModel:
    """For a signature. `ignore`: of these columns those are dropped that are too many for the model; `columns`: their
    names at training, in the order of a single wide tensor."""

    left_out: Sequence[str] = ()

    def __init__(
        self,
        signature: Signature,
        source: Source,
        ignore: Collection[str],
        *,
        predicted: bool,
        columns: tuple[str, ...] = (),
    ) -> None:
        self.signature = signature
        self._source, self._predicted = source, predicted
        self._dropped = _too_many(source.names, signature, set(ignore))
        alone = len(signature.inputs) == 1 and signature.inputs[0].name not in source.names
        self._columns = columns
        kept = (columns if source.names else ()) or [name for name in source.names if name not in self._dropped]
        self.names: Sequence[str] = kept if alone else []

    def tensors(self, table: Table) -> tuple[Tensors, Tensors]:
        if isinstance(table, Mapping):
            table = {name: column for name, column in table.items() if name not in self._dropped}
        try:
            raw = tables.arranged(table, self.signature, self._columns)
        except InvalidConfiguration as error:
            raise InvalidConfiguration(f"{error}{self._hint()}") from None
        profiled, taken = {}, {}
        for tensor in self.signature.inputs:
            profiled[tensor.name], taken[tensor.name] = self._tensor(raw[tensor.name], tensor)
        return profiled, taken

    def _tensor(self, array: Array, tensor: Tensor) -> tuple[Array, Array]:
        if tensor.datatype.startswith("FP"):
            both = tables.cast(array, tensor)
            return both, both
        if type_of(array) not in DATATYPES:
            raise InvalidConfiguration(f"{tensor.name!r} holds {type_of(array)}, and the model takes {tensor.datatype}")
        null = _nulls(array)
        if null is None:
            both = tables.cast(array, tensor)
            return both, both
        if tensor.datatype == "BYTES":
            taken = tables.cast(array, tensor)
        elif self._predicted:
            raise InvalidConfiguration(
                f"{tensor.name!r} has nulls, and the model takes {tensor.datatype}, which has none; fill them as in "
                "training"
            )
        else:
            taken = tables.cast(np.where(null, 0, array), tensor)
        profiled = taken.astype(object)
        profiled[null] = None
        return profiled, taken

    def _hint(self) -> str:
        """Why a column may be missing, or be one too many."""
        _, reasons = tensors_of(self._source.columns())
        wide = len(self.signature.inputs) == 1 and len(self.names) > 1
        cure = "; leave out what the model does not take (--ignore)" if wide else ""
        return "".join(f"; {reason}" for reason in reasons.values()) or cure


class AsTheyAre:
    """For data without a model: a tensor a column, or one for an array without names."""

    names: Sequence[str] = ()

    def __init__(self, source: Source, ignore: Collection[str]) -> None:
        self._ignore = set(ignore)
        self._columns = {name: each for name, each in source.columns().items() if name not in self._ignore}
        self._again, self._row = source.again, 0
        inputs, left_out = tensors_of(self._columns)
        self.signature = Signature(inputs, ())
        self.left_out: Sequence[str] = tuple(left_out.values())

    def tensors(self, table: Table) -> tuple[Tensors, Tensors]:
        if not self._again:
            self._check(table)
        named = table if isinstance(table, Mapping) else {INPUT: table}
        found = {tensor.name: named[tensor.name] for tensor in self.signature.inputs}
        return found, found

    def _check(self, table: Table) -> None:
        """What can be read once only was judged by its beginning."""
        for name, column in columns_of(table).items():
            known = self._columns.get(name, column)
            if joined_columns({name: known}, {name: column})[name] != known:
                raise InvalidConfiguration(
                    f"{name!r} holds {known.type} in the first chunk, and {column.type} in a later one; pass a "
                    "function that makes the iterator, so that all can be looked at before anything is counted"
                )


def _too_many(names: Sequence[str], signature: Signature, ignore: set[str]) -> set[str]:
    if len(signature.inputs) != 1 or signature.inputs[0].name in names:
        return set()
    shape = signature.inputs[0].shape
    return ignore & set(names) if math.prod(shape[1:]) != len(names) else set()


def _nulls(array: Array) -> Array | None:
    """Where they are; None: nowhere."""
    if array.dtype.kind == "O":
        found = np.fromiter(map(is_null, array.flat), np.bool_, array.size).reshape(array.shape)
    elif array.dtype.kind == "f":
        found = np.isnan(array)
    else:
        return None
    return found if found.any() else None


def texts_of(signature: Signature | None, column: str) -> bool:
    """Whether a model takes this column of a file as texts, so that 007 must not become a 7."""
    inputs = signature.inputs if signature else ()
    return any(each.datatype == "BYTES" and (len(inputs) == 1 or each.name == column) for each in inputs)
