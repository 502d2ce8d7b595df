"""Rows that are held back while the reference is learned: it is made from them, and they are counted against it."""

from dataclasses import dataclass, field, replace
from typing import Final, Self

import numpy as np

from modelward_inference.artifact.features import Layout
from modelward_monitor.arrivals import Table, joined

MAX_BYTES: Final = 16 << 20
"""Of held rows. Where they take more, learning ends with fewer rows."""

FEWEST: Final = 100
"""Rows that a reference is learned from at least."""

_PIECES: Final = 32
"""Tables that are kept side by side before they are joined."""


@dataclass(frozen=True)
class Held:
    """`rows`: of inputs, or of outputs where there are more; `size`: bytes, roughly."""

    layout: Layout = field(default_factory=lambda: Layout(()))
    tables: tuple[Table, ...] = ()
    rows: int = 0
    size: int = 0

    def add(self, table: Table, rows: int) -> Self:
        """`rows`: by which the whole is longer; none for outputs of rows whose inputs came before."""
        # Copied: a view would keep all of its batch.
        own = Table(table.rows, {name: np.array(column) for name, column in table.columns.items()})
        tables = (*self.tables, own)
        if len(tables) > _PIECES:
            tables = tuple(joined(tables))
        return replace(self, tables=tables, rows=self.rows + rows, size=self.size + table.size)
