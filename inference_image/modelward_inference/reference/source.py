"""Where rows come from: files of any size, and what is in memory, as a stream of chunks."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from modelward_inference.artifact.arrays import Array
from modelward_inference.artifact.bundle import Tensor
from modelward_inference.errors import InvalidConfiguration
from modelward_inference.reference.types import DATATYPES, Type, joined, type_of
from modelward_inference.runtimes.estimators.columns import INPUT

MOST_ROWS: Final = 1 << 16
MOST_CELLS: Final = 1 << 21
"""Of a chunk: 16 MB of numbers."""

Table = Mapping[str, Array] | Array
"""Columns by name, or one array without names, rows first."""


@dataclass(frozen=True)
class Chunk:
    """`done`: which part of the source has been read with it, up to 1; None: nobody knows."""

    table: Table
    rows: int
    done: float | None = None


@dataclass(frozen=True)
class Column:
    """`tail`: the shape of one row's value, () for a plain one."""

    type: Type
    tail: tuple[int, ...] = ()


class Source(Protocol):
    """`names`: of the columns that are read, empty where they have none; `again`: `chunks` may be called again."""

    names: tuple[str, ...]
    again: bool

    @property
    def notes(self) -> tuple[str, ...]:
        """What was not taken as it may have been meant, in words. Raises as `columns`."""
        ...

    def chunks(self) -> Iterator[Chunk]:
        """All rows in their order, in chunks of bounded size, none of them empty. Raises InvalidConfiguration."""
        ...

    def columns(self) -> Mapping[str, Column]:
        """What the columns hold, over all rows, which are read for it if need be; INPUT where they have no names."""
        ...


def chunk_rows(columns: int) -> int:
    """Rows of a chunk that has so many columns."""
    return max(1, min(MOST_ROWS, MOST_CELLS // max(columns, 1)))


Texts = Callable[[str], bool]
"""Which columns of a file are texts, whatever they look like."""


def none(_: str) -> bool:
    """No column has to be texts."""
    return False


def open_source(data: Any, texts: Texts = none) -> Source:
    """The source for data of any kind.

    `data`: a path, a data frame, an array [rows, …], a mapping of columns, a pyarrow Table, a sparse matrix, a list of
    texts, or such chunks: a list of them, an iterator, or a function without arguments that makes one. Raises
    InvalidConfiguration.
    """
    from modelward_inference.reference import arrays, streams  # they need what is above

    if isinstance(data, str | Path):
        return _file(Path(data), texts)
    if callable(data) or hasattr(data, "__next__") or streams.is_list(data):
        return streams.StreamSource(data, texts)
    if type(data).__module__.partition(".")[0] == "pyarrow":
        from modelward_inference.reference import arrow

        return arrow.ArrowSource(arrow.Held(data), texts)
    return arrays.of_memory(data)


def _file(path: Path, texts: Texts) -> Source:
    if not path.is_file():
        raise InvalidConfiguration(f"{path} is no file; name a file of training data")
    name = path.name.lower()
    if path.stat().st_size == 0:
        raise InvalidConfiguration(f"{path} is empty; write the training data again")
    if name.endswith(".npy"):
        from modelward_inference.reference import arrays

        return arrays.of_npy(path)
    if name.endswith((".csv", ".csv.gz")):
        from modelward_inference.reference.textfile import CsvSource

        return CsvSource(path, texts)
    if name.endswith((".parquet", ".pq", ".arrow", ".feather", ".ipc")):
        from modelward_inference.reference import arrow

        return arrow.ArrowSource(arrow.opened(path), texts)
    raise InvalidConfiguration(
        f"{path} is none of .parquet, .feather, .arrow, .csv, .csv.gz and .npy; save the training data as one of these"
    )


def tensors_of(columns: Mapping[str, Column]) -> tuple[tuple[Tensor, ...], dict[str, str]]:
    """A tensor a column, as for a model that takes the data as they are; and what can be none, with the reason."""
    taken = {name: column for name, column in columns.items() if column.type in DATATYPES}
    tensors = (Tensor(name, DATATYPES[each.type], (-1, *each.tail)) for name, each in taken.items())
    return tuple(tensors), {
        name: f"{name!r} holds {each.type}, of which no profile is made; make numbers or texts of them"
        for name, each in columns.items()
        if name not in taken
    }


def joined_columns(first: Mapping[str, Column], second: Mapping[str, Column]) -> dict[str, Column]:
    """Of data whose parts hold these. Raises InvalidConfiguration where a column changes its shape."""
    for name in first.keys() & second.keys():
        if first[name].tail != second[name].tail:
            raise InvalidConfiguration(
                f"{name!r} has values of shape {first[name].tail} and then of {second[name].tail}; pass equal ones"
            )
    return {
        name: Column(joined(each[name].type for each in (first, second) if name in each), column.tail)
        for name, column in {**first, **second}.items()
    }


def columns_of(table: Table) -> dict[str, Column]:
    """What a chunk holds."""
    named = table if isinstance(table, Mapping) else {INPUT: table}
    return {name: Column(type_of(column), column.shape[1:]) for name, column in named.items()}


def spread(source: Source, count: int) -> Table:
    """Evenly spaced rows, `count` to twice as many where there are so many. Holds no more. Raises as `chunks`."""
    kept: list[Table] = []
    positions: list[int] = []
    step, begin = 1, 0
    for chunk in source.chunks():
        chosen = np.arange(-begin % step, chunk.rows, step)
        if len(chosen) > 2 * count:
            finer = len(chosen) // count
            step *= finer
            kept, positions = _thinned(kept, positions, step)
            chosen = np.arange(-begin % step, chunk.rows, step)
        kept += [_rows(chunk.table, slice(row, row + 1)) for row in chosen.tolist()]
        positions += (begin + chosen).tolist()
        begin += chunk.rows
        while len(kept) > 2 * count:
            step *= 2
            kept, positions = _thinned(kept, positions, step)
    if not kept:
        raise InvalidConfiguration("the data have no rows; pass some rows of training data")
    if isinstance(kept[0], Mapping):
        return {name: np.concatenate([each[name] for each in kept]) for name in kept[0]}
    return np.concatenate(kept)  # type: ignore[arg-type]


def _thinned(kept: list[Table], positions: list[int], step: int) -> tuple[list[Table], list[int]]:
    left = [index for index, position in enumerate(positions) if position % step == 0]
    return [kept[index] for index in left], [positions[index] for index in left]


def _rows(table: Table, chosen: slice) -> Table:
    """Copied: a view would keep its whole chunk in memory."""
    if isinstance(table, Mapping):
        return {name: np.array(column[chosen]) for name, column in table.items()}
    return np.array(table[chosen])
