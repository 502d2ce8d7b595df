"""Counts of successive windows of the data, from which it is measured how far rows in a row hang together."""

from collections.abc import Callable, Sequence
from math import log
from typing import Any, Final

import numpy as np

from modelward_drift.arrays import Integers
from modelward_drift.building.bootstrap import calibrated
from modelward_drift.building.ordering import order_log_p
from modelward_drift.counting.counts import Counts
from modelward_drift.profiles.profile import Profile

PARTS: Final = 8
"""Of a window, in which an order shows that evens out over the window, as that of the hours does over a day."""

SMALLEST: Final = 250
"""Rows of a part, where windows are not smaller: counting in smaller ones costs more than it tells."""

CHANCE: Final = 1e-3
"""The probability that rows in random order are taken for ordered ones."""

NOT_ORDERED: Final = (
    "not calibrated: windows of {rows} successive rows scatter no more than they would in random order. Are the data "
    "in the order of time? Training data are often shuffled. Verdicts take rows as independent; sort the data by time "
    "and calibrate again, or choose windows of a whole period (docs/which-window.md)"
)


class Calibration:
    """`window`: rows of one."""

    def __init__(self, profiles: Sequence[Profile], window: int) -> None:
        self._window, self._part = window, max(window // PARTS, min(window, SMALLEST))
        self._sizes = [len(profile.counts) for profile in profiles]
        self._windows: list[Integers] = []
        self._current, self._in_part = self._empty(), self._empty()
        self._filled = self._part_filled = self._parts = 0
        self._totals, self._squares = self._empty(), np.zeros(sum(self._sizes))

    def room(self, rows: int) -> int:
        """How many of the next `rows` are to be counted together."""
        return min(rows, self._window - self._filled, self._part - self._part_filled)

    def add(self, counts: Sequence[Counts], rows: int) -> None:
        """`counts`: of the next `rows`, no more than there is room for."""
        cells = np.concatenate([each.cells for each in counts])
        self._current, self._in_part = self._current + cells, self._in_part + cells
        self._filled, self._part_filled = self._filled + rows, self._part_filled + rows
        if self._filled == self._window:
            self._windows.append(self._current)
            self._current, self._filled = self._empty(), 0
        if self._part_filled == self._part:
            self._totals = self._totals + self._in_part
            self._squares = self._squares + self._in_part.astype(np.float64) ** 2
            self._in_part, self._part_filled, self._parts = self._empty(), 0, self._parts + 1

    def applied(self, profiles: Sequence[Profile], warn: Callable[[str], None]) -> list[Profile]:
        """The profiles with what was measured; as they are, with a line to `warn`, where the order tells nothing.
        Raises SettingError for too few windows."""
        table = np.array(self._windows, np.int64).reshape(len(self._windows), -1)
        found = [calibrated(each, part) for each, part in zip(profiles, self._split(table, axis=1), strict=True)]
        if self._is_ordered():
            return found
        warn(NOT_ORDERED.format(rows=f"{self._window:,}"))
        return list(profiles)

    def _is_ordered(self) -> bool:
        """By any feature: each is tested with an equal share of CHANCE (Bonferroni)."""
        pairs = zip(self._split(self._totals), self._split(self._squares), strict=True)
        least = min(order_log_p(totals, square, self._part, self._parts) for totals, square in pairs)
        return least < log(CHANCE / len(self._sizes))

    def _split(self, array: Any, axis: int = 0) -> list[Any]:
        return np.split(array, np.cumsum(self._sizes)[:-1], axis=axis)

    def _empty(self) -> Integers:
        return np.zeros(sum(self._sizes), np.int64)
