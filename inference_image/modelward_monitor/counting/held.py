"""Rows that are held back while the reference is learned: it is made from them, and they are counted against it."""

from dataclasses import dataclass, field, replace
from typing import Final, Self

import numpy as np

from modelward_inference.artifact.features import Layout
from modelward_monitor.counting.arrivals import Table, joined

MAX_BYTES: Final = 16 << 20
"""Of held rows. Where they take more, learning ends with fewer rows."""

FEWEST: Final = 100
"""Rows that a reference is learned from at least."""

MOST_COLUMNS: Final = 5000
"""Of a layout that nothing but rows vouches for: whoever may ask a model could have the monitor watch a million."""

WEIGHT: Final = 100
"""Rows of one batch that have a vote at most: a single large request is not to outvote all others."""

TURNS: Final = 10
"""Layouts that are given up at most, so that learning ends where requests are of many forms."""

_PIECES: Final = 32
"""Tables that are kept side by side before they are joined."""


@dataclass(frozen=True)
class Held:
    """`rows`: of inputs, or of outputs where there are more; `size`: bytes, roughly. Where rows alone say what the
    layout is: `votes`: rows of its form, less those of another; `turns`: layouts that were given up before."""

    layout: Layout = field(default_factory=lambda: Layout(()))
    tables: tuple[Table, ...] = ()
    rows: int = 0
    size: int = 0
    votes: int = 0
    turns: int = 0

    def voted(self, form: Layout, rows: int) -> Self:
        """After a batch of so many rows that has this form. A form that more rows contradict than share is given up for
        that one, with what is held of it: the first request may have been a mistake. Rows that bring a part of the
        features (what is optional, or was not asked for) are of the form."""
        weight = min(rows, WEIGHT)
        if _places(form) <= _places(self.layout):
            return replace(self, layout=_widened(self.layout, form), votes=self.votes + weight)
        if self.layout.slots and (weight <= self.votes or self.turns == TURNS):
            return replace(self, votes=self.votes - weight)
        turns = self.turns + bool(self.layout.slots)
        return type(self)(form, votes=weight, turns=turns)

    def add(self, table: Table, rows: int) -> Self:
        """`rows`: by which the whole is longer; none for outputs of rows whose inputs came before."""
        # Copied: a view would keep all of its batch.
        own = Table(table.rows, {name: np.array(column) for name, column in table.columns.items()})
        tables = (*self.tables, own)
        if len(tables) > _PIECES:
            tables = tuple(joined(tables))
        return replace(self, tables=tables, rows=self.rows + rows, size=self.size + table.size)


def _widened(layout: Layout, form: Layout) -> Layout:
    """What a first answer gave as whole numbers are no labels where another one has fractions: JSON has one word for
    both, and some servers write 1.0 as 1."""
    numeric = {(each.side, each.tensor, each.column) for each in form.slots if each.kind == "numeric"}
    slots = tuple(
        replace(each, kind="numeric")
        if each.kind == "categorical" and (each.side, each.tensor, each.column) in numeric
        else each
        for each in layout.slots
    )
    return replace(layout, slots=slots)


def _places(layout: Layout) -> frozenset[tuple[str, str, int | None]]:
    return frozenset((each.side, each.tensor, each.column) for each in layout.slots)
