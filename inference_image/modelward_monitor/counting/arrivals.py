"""Rows that have arrived, and their columns by feature.

A feature that is absent is null where it is an input, since requests have to bring it; an output that is absent was not
asked for, and is not counted. A tensor with another number of rows than its batch is a type error in each of them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from modelward_drift.profiles.reference import Side
from modelward_inference.artifact.arrays import Array
from modelward_inference.artifact.features import Layout
from modelward_inference.capture.wire import Batch

SIDES: Final[tuple[Side, ...]] = ("input", "output")

_WRONG: Final = ()
"""Neither a number nor a text nor null: every kind of feature counts it as a type error."""


@dataclass(frozen=True)
class Arrival:
    """`sides`: that the batch speaks of; `refused`: its rows could not be read; `raw`: head and body of the server's
    batch, as they came. A batch without a number (0) is of no server's run: it comes once."""

    batch: Batch
    sides: tuple[Side, ...] = SIDES
    refused: bool = False
    raw: tuple[bytes, bytes] | None = None

    @property
    def size(self) -> int:
        """Bytes, roughly."""
        return sum(weight(each) for side in (self.batch.inputs, self.batch.outputs) for each in side.values())


@dataclass(frozen=True)
class Table:
    """Columns (rows,) by feature."""

    rows: int
    columns: Mapping[str, Array]

    @property
    def size(self) -> int:
        """Bytes, roughly."""
        return sum(map(weight, self.columns.values()))


def tabulate(layout: Layout, arrival: Arrival) -> Table:
    """The columns that are counted."""
    rows, batch = arrival.batch.rows, arrival.batch
    sides = {"input": batch.inputs, "output": batch.outputs}
    aligned = {
        side: {name: each for name, each in tensors.items() if each.ndim and len(each) == rows}
        for side, tensors in sides.items()
    }
    found = layout.columns(aligned["input"], aligned["output"])
    columns = {}
    for slot in layout.slots:
        if slot.name in found:
            columns[slot.name] = found[slot.name]
        elif slot.tensor in sides[slot.side] and slot.tensor not in aligned[slot.side]:
            columns[slot.name] = filled(_WRONG, rows)
        elif slot.side == "input" and "input" in arrival.sides:
            columns[slot.name] = filled(None, rows)
    return Table(rows, columns)


def joined(tables: Iterable[Table]) -> list[Table]:
    """The same rows in as few tables as can be: one for each set of features."""
    alike: dict[frozenset[str], list[Table]] = {}
    for table in tables:
        alike.setdefault(frozenset(table.columns), []).append(table)
    return [_concatenated(each) if len(each) > 1 else each[0] for each in alike.values()]


def filled(value: object, rows: int) -> Array:
    """A column of one value."""
    column = np.empty(rows, object)
    for row in range(rows):
        column[row] = value
    return column


def weight(array: Array) -> int:
    """Bytes of an array with what it points to, roughly."""
    if array.dtype.kind != "O":
        return int(array.nbytes)
    return array.size * 8 + sum(56 + len(each) if isinstance(each, str | bytes) else 32 for each in array.flat)


def _concatenated(tables: list[Table]) -> Table:
    columns = {name: np.concatenate([each.columns[name] for each in tables]) for name in tables[0].columns}
    return Table(sum(each.rows for each in tables), columns)
