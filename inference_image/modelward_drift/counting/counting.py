"""From columns to counts. Exact: the same rows give the same counts, whatever the batches, the dtype or the layout."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np

from modelward_drift.arrays import Floats
from modelward_drift.counting import columns
from modelward_drift.counting.columns import Numbers, Special
from modelward_drift.counting.counts import Counts, missing, zero
from modelward_drift.profiles.bins import Grid
from modelward_drift.profiles.profile import SPECIAL, Profile
from modelward_drift.profiles.rare import groups, hashed

FEW: Final = 2048
"""Rows up to which a binary search is quicker than comparing all with each edge."""

CHUNK: Final = 1 << 15
"""Rows that are worked on at once: a chunk and its comparisons stay in the processor's cache."""

LABELS: Final = 1 << 16
"""Rows whose categories are told apart at once: a million new ones never are in memory together."""

OTHER, NON_FINITE, NULL = (position - len(SPECIAL) for position in Special if position < len(SPECIAL))
BELOW, ABOVE, NEW, WRONG = range(4)


def count(profile: Profile, values: Any) -> Counts:
    """How many rows of a column lie in each cell. `values`: an array (rows,), or any sequence of anything."""
    column = columns.column(values)
    counts = zero(profile)
    if profile.kind == "categorical":
        for start in range(0, len(column), LABELS):
            counts += count_labels(profile, columns.as_labels(column[start : start + LABELS]))
    elif profile.kind == "boolean":
        _add_booleans(columns.as_booleans(column), counts)
    elif profile.grid is not None:
        read = columns.as_lengths if profile.kind == "text" else columns.as_numbers
        _add_numbers(profile.grid, read(column), counts)
    return counts


def count_table(profiles: Iterable[Profile], table: Mapping[str, Any], rows: int) -> list[Counts]:
    """One count a profile. `table`: columns by name, of `rows` rows each; a feature that is absent is null in all."""
    return [
        count(profile, table[profile.name]) if profile.name in table else missing(profile, rows) for profile in profiles
    ]


def count_labels(profile: Profile, labels: list[columns.Label]) -> Counts:
    """Rows by cell, of a categorical feature."""
    counts = zero(profile)
    without: list[tuple[str, int]] = []
    for label, rows in Counter(labels).items():
        # A Special equals the number that it is, and is never equal to a text.
        if isinstance(label, Special):
            wrong = label is Special.WRONG
            counts.cells[OTHER if wrong else label - len(SPECIAL)] += rows
            counts.quality[WRONG] += rows * wrong
        elif (cell := profile.position.get(label)) is not None:
            counts.cells[cell] += rows
        else:
            without.append((label, rows))
    if not without:
        return counts
    rows_of = np.array([rows for _, rows in without], np.int64)
    if profile.rare is None:
        counts.cells[OTHER] += rows_of.sum()
        counts.quality[NEW] += rows_of.sum()
        return counts
    hashes = hashed(label for label, _ in without)
    known = profile.rare.known(hashes)
    np.add.at(counts.cells[profile.others], groups(hashes[known]), rows_of[known])
    new = rows_of[~known].sum()
    counts.cells[profile.bins - 1] += new
    counts.quality[NEW] += new
    return counts


def _add_booleans(found: Numbers, counts: Counts) -> None:
    values = found.values
    wrong = 0 if found.wrong is None else int(found.wrong.sum())
    false, true, infinite = (np.count_nonzero(each) for each in (values == 0, values == 1, np.isinf(values)))
    counts.cells[:] = false, true, wrong, infinite, len(values) - false - true - infinite - wrong
    counts.quality[WRONG] = wrong


def _add_numbers(grid: Grid, found: Numbers, counts: Counts) -> None:
    values = found.values
    wrong = 0 if found.wrong is None else int(found.wrong.sum())
    if len(values) <= FEW:
        _search(grid, values, counts)
    else:
        edges = Edges(grid, values.dtype)
        for start in range(0, len(values), CHUNK):
            edges.compare(values[start : start + CHUNK], counts)
    # So far whatever is wrong was counted as null.
    counts.cells[OTHER] += wrong
    counts.cells[NULL] -= wrong
    counts.quality[WRONG] += wrong


def _search(grid: Grid, values: Floats, counts: Counts) -> None:
    # In float64: numpy would compare a float32 column with float32 versions of the range.
    finite = values[np.isfinite(values)].astype(np.float64)
    cells = np.searchsorted(grid.edges, finite, side="right")
    counts.cells[: -len(SPECIAL)] += np.bincount(cells, minlength=len(grid.edges) + 1)
    null = np.count_nonzero(np.isnan(values))
    counts.cells[NON_FINITE] += len(values) - len(finite) - null
    counts.cells[NULL] += null
    low, high = grid.range
    counts.quality[BELOW] += np.count_nonzero(finite < low)
    counts.quality[ABOVE] += np.count_nonzero(finite > high)


class Edges:
    """A grid's edges in a column's own dtype, such that comparing in it says the same as comparing in float64."""

    def __init__(self, grid: Grid, dtype: "np.dtype[Any]") -> None:
        self._edges = [_ceil(edge, dtype) for edge in grid.edges]
        low, high = grid.range
        self._low, self._high = _ceil(low, dtype), _floor(high, dtype)
        self._smaller = np.empty(CHUNK, np.bool_)

    def compare(self, values: Floats, counts: Counts) -> None:
        """Adds a chunk. One pass over it for each edge that lies within it: vectorised, unlike a binary search."""
        lowest, highest = values.min(), values.max()
        below = [0, *(self._less(values, edge, lowest, highest) for edge in self._edges)]
        total = len(values)
        if not (self._low <= lowest and highest <= self._high):  # or there is a NaN, with which nothing compares
            negative = int(np.count_nonzero(values == -np.inf))
            positive = int(np.count_nonzero(values == np.inf))
            null = int(np.count_nonzero(np.isnan(values)))
            below[0] = negative
            total -= positive + null
            counts.cells[NON_FINITE] += negative + positive
            counts.cells[NULL] += null
            counts.quality[BELOW] += np.count_nonzero(values < self._low) - negative
            counts.quality[ABOVE] += np.count_nonzero(values > self._high) - positive
        counts.cells[: -len(SPECIAL)] += np.diff(below, append=total)

    def _less(self, values: Floats, edge: Any, lowest: Any, highest: Any) -> int:
        if edge <= lowest:
            return 0
        if highest < edge:
            return len(values)
        smaller = self._smaller[: len(values)]
        np.less(values, edge, out=smaller)
        return int(np.count_nonzero(smaller))


def _ceil(value: float, dtype: "np.dtype[Any]") -> Any:
    """The smallest number of `dtype` that is not below `value`."""
    with np.errstate(over="ignore"):
        cast = dtype.type(value)
    # As floats of Python: numpy would compare in `dtype`, in which both are the same.
    return cast if float(cast) >= value else np.nextafter(cast, dtype.type(np.inf))


def _floor(value: float, dtype: "np.dtype[Any]") -> Any:
    return -_ceil(-value, dtype)
