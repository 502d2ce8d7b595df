"""Which columns of a file fill the model's tensors: by name, as a server takes them, and only where nothing has names
by place.

Invariant: a column that does not fit is told before a row is scored. Failure: Incurable, with the column.
"""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa

from modelward_batch.errors import Incurable
from modelward_batch.values import Values, array_of, is_nested, unfit
from modelward_inference.artifact.arrays import Array, datatype_of
from modelward_inference.artifact.bundle import Manifest, Tensor
from modelward_inference.protocol.checks import Expected
from modelward_inference.protocol.messages import Input

log = logging.getLogger(__name__)

INDEX: Final = "__index_level_"
"""Begins the names of columns that hold a data frame's index, which is no feature."""

SHOWN: Final = 300
"""Characters of a list of names in a message."""


class Named(Protocol):
    """How the rows' columns are to be read: a run's Spec, or anything alike. `keys`: that name a row; `columns`: the
    input's by what the model calls it, where that differs."""

    @property
    def keys(self) -> tuple[str, ...]: ...

    @property
    def columns(self) -> Mapping[str, str]: ...


@dataclass(frozen=True)
class Feature:
    """`name`: as the model calls it; `column`: as the file does; `datatype`: of the tensor; `shape`: of a row."""

    name: str
    column: str
    datatype: str
    shape: tuple[int, ...]

    @property
    def width(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Filled:
    """A tensor, and the columns that are one beside the other in it; or the only one, which fills it."""

    tensor: Tensor
    features: tuple[Feature, ...]

    @cached_property
    def expected(self) -> tuple[Expected, ...]:
        if len(self.features) == 1 and self.features[0].shape == self.tensor.shape[1:]:
            return (Expected(self.tensor),)
        return tuple(Expected(Tensor(each.name, self.tensor.datatype, (-1, 1))) for each in self.features)


@dataclass(frozen=True)
class Layout:
    """Of one file. `keys`: columns that name a row; `texts`: whether all values are texts, as in CSV; `placed`: columns
    that are taken in the file's order, since the model has no names for them."""

    tensors: tuple[Filled, ...]
    keys: tuple[str, ...]
    texts: bool = False
    placed: tuple[str, ...] = ()

    @property
    def features(self) -> tuple[Feature, ...]:
        return tuple(each for filled in self.tensors for each in filled.features)

    @property
    def columns(self) -> list[str]:
        """All that have to be read, each once."""
        return list(dict.fromkeys((*self.keys, *(each.column for each in self.features))))

    def check_types(self, schema: pa.Schema, file: str) -> None:
        """Raises Incurable for a column that has values of another type than the model takes."""
        for each in self.features:
            problem = unfit(schema.field(each.column).type, each.datatype, each.width)
            if problem:
                raise Incurable(
                    f"{file}: the column {each.column!r} {problem}; write it again with that type, or say in `columns` "
                    "which column the model should get"
                )
        for key in self.keys:
            if is_nested(schema.field(key).type):
                raise Incurable(f"{file}: the key {key!r} has lists or objects; name a column with one value a row")

    def values(self, batch: pa.RecordBatch) -> dict[str, Values]:
        """Of each feature, by its name."""
        return {
            each.name: array_of(batch.column(each.column), each.column, each.datatype, each.shape, self.texts)
            for each in self.features
        }

    def inputs(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The model's tensors, from arrays by feature. Raises ModelRefusedError."""
        found = {}
        for filled in self.tensors:
            parts = [
                expected.check(Input(each.name, datatype_of(arrays[each.name]), arrays[each.name]))
                for expected, each in zip(filled.expected, filled.features, strict=True)
            ]
            found[filled.tensor.name] = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        return found


def layout_of(manifest: Manifest, names: Sequence[str], spec: Named, file: str, *, texts: bool = False) -> Layout:
    """`names`: the file's columns. Raises Incurable."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Incurable(f"{file} has {_listed(twice)} twice; name each column once")
    missing = [key for key in spec.keys if key not in names]
    if missing:
        raise Incurable(
            f"{file} has no column {_listed(missing)}, which keys names; it has {_listed(names)}. Name one of these in "
            "keys, spelled alike, or add it"
        )
    reader = _Reader(manifest, [name for name in names if not name.startswith(INDEX)], spec, file)
    found = tuple(reader.filled(tensor) for tensor in manifest.signature.inputs)
    unknown = sorted(spec.columns.keys() - reader.known)
    if unknown:
        raise Incurable(
            f"columns names {_listed(unknown)}, which the model does not take; it takes {_listed(sorted(reader.known))}"
        )
    return Layout(found, spec.keys, texts, reader.placed)


def check_alike(file: str, placed: Sequence[str], first: str, wanted: Sequence[str]) -> None:
    """Raises Incurable where two files have other columns, or another order of them, and nothing but their place says
    which is which: the answers of one would be wrong, and nobody would see it. `first`: the file that has `wanted`."""
    if placed != wanted:
        raise Incurable(
            f"{file} has the columns {_listed(placed)}, and {first} has {_listed(wanted)}: the model has no names for "
            "them, so that they are taken in the file's order, which has to be one in all files; write them alike, or "
            "say in `columns` which is which"
        )


class _Reader:
    def __init__(self, manifest: Manifest, names: Sequence[str], spec: Named, file: str) -> None:
        self._manifest, self._names, self._spec, self._file = manifest, names, spec, file
        # As LightGBM keeps names: blanks become underscores there.
        self._plain = {name.replace(" ", "_"): name for name in names}
        self.known: set[str] = set()
        self.placed: tuple[str, ...] = ()

    def filled(self, tensor: Tensor) -> Filled:
        rest = tensor.shape[1:]
        if tensor.any_rank or tensor.shape[:1] not in ((-1,), (1,)) or min(rest, default=1) < 1:
            raise Incurable(
                f"the model's input {tensor.name!r} has the shape {list(tensor.shape)}, which no columns fill: it "
                "has to be one row after another, each as wide; send requests to the server instead"
            )
        width, alone = math.prod(rest), len(self._manifest.signature.inputs) == 1
        named = self._manifest.columns
        if alone and named and tensor.shape == (-1, len(named)):
            self.known.update(named)
            columns = {name: self._column(name) for name in named}
            lacking = [name for name, column in columns.items() if column is None]
            if not lacking:
                return Filled(
                    tensor, tuple(Feature(n, column, tensor.datatype, (1,)) for n, column in columns.items() if column)
                )
            raise self._lacks(lacking)
        self.known.add(tensor.name)
        places = [f"{tensor.name}[{place}]" for place in range(width)] if width > 1 else []
        self.known.update(places)
        column = self._column(tensor.name)
        if column is not None:
            return Filled(tensor, (Feature(tensor.name, column, tensor.datatype, rest),))
        return self._by_place(tensor, places, alone)

    def _by_place(self, tensor: Tensor, places: list[str], alone: bool) -> Filled:
        """A tensor whose columns had no names at training."""
        if len(tensor.shape) == 2:
            columns = [column for name in places if (column := self._column(name)) is not None]
            if places and len(columns) == len(places):
                return _side_by_side(tensor, places, columns)
        others = [name for name in self._names if name not in self._spec.keys]
        width = math.prod(tensor.shape[1:])
        numbers = [str(place) for place in range(width)]
        if alone and len(tensor.shape) == 2 and sorted(others) == sorted(numbers) and not self._spec.columns:
            # As pandas calls the columns of an array: these are places, in whatever order they come.
            return _side_by_side(tensor, places or [tensor.name], numbers)
        if alone and len(others) == width and len(tensor.shape) <= 2 and not self._spec.columns:
            log.warning(
                "%s: the model's columns have no names, so they are taken in the file's order: %s",
                self._file, _listed(others),
            )  # fmt: skip
            self.placed = tuple(others)
            if width == 1:
                return Filled(tensor, (Feature(tensor.name, others[0], tensor.datatype, tensor.shape[1:]),))
            return _side_by_side(tensor, [f"{tensor.name}[{place}]" for place in range(width)], others)
        if not alone or not places:
            raise self._lacks([tensor.name])
        raise Incurable(
            f"{self._file}: the model takes {width} columns that had no names when it was trained; give the file "
            f"exactly these beside its keys, in the order of training (it has {len(others)}), or a column of lists "
            f"{tensor.name!r}, or say in `columns` which is which: {places[0]!r} to {places[-1]!r}"
        )

    def _column(self, name: str) -> str | None:
        """The file's, for what the model calls `name`. Raises Incurable for one that `columns` promises."""
        asked = self._spec.columns.get(name)
        if asked is not None:
            if asked not in self._names:
                raise Incurable(
                    f"{self._file} has no column {asked!r}, which `columns` names for {name!r}; it has "
                    f"{_listed(self._names)}"
                )
            return asked
        return name if name in self._names else self._plain.get(name)

    def _lacks(self, names: Sequence[str]) -> Incurable:
        return Incurable(
            f"{self._file} has no column {_listed(names)}, which the model takes; it has {_listed(self._names)}. Add "
            "it, or say in `columns` what the file calls it"
        )


def _side_by_side(tensor: Tensor, names: Sequence[str], columns: Sequence[str]) -> Filled:
    pairs: Iterator[tuple[str, str]] = zip(names, columns, strict=True)
    return Filled(tensor, tuple(Feature(name, column, tensor.datatype, (1,)) for name, column in pairs))


def _listed(names: Sequence[Any]) -> str:
    text = ", ".join(map(repr, names))
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
