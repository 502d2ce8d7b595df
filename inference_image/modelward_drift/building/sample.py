"""A uniform sample of a stream's rows, of bounded size, that merges: the rows of the smallest random priorities.

Each row gets a priority, and the sample keeps the smallest (bottom-k; Cohen, Kaplan, PODC 2007). While all rows fit,
all are kept, in the sample of a merge too. Of k rows every quantile is off by at most sqrt(ln(2 / d) / 2k) in rank,
with probability 1 - d at once (Dvoretzky, Kiefer, Wolfowitz; Massart 1990): 0.8 % of rank for k = 65536 and d = 0.1 %.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from modelward_drift.arrays import Array, Floats

CAPACITY: Final = 1 << 16
"""Rows: half a megabyte of numbers a feature, and more than any window has."""


@dataclass(frozen=True)
class Sample:
    """`values`: (k,) of any dtype; `priorities`: (k,), random; `rows`: that were seen."""

    values: Array
    priorities: Floats
    rows: int
    capacity: int

    @classmethod
    def empty(cls, dtype: "np.dtype[np.generic]", capacity: int = CAPACITY) -> Self:
        return cls(np.empty(0, dtype), np.empty(0), 0, capacity)

    def add(self, values: Array, random: np.random.Generator) -> "Sample":
        """The sample after more rows."""
        priorities = random.random(len(values))
        if len(self.values) == self.capacity:  # most rows of a long stream are out at once
            chosen = priorities < self.priorities.max()
            return self._kept(values[chosen], priorities[chosen], len(values))
        return self._kept(values, priorities, len(values))

    def merge(self, other: "Sample") -> "Sample":
        """The sample of both streams; their priorities have to come from independent generators."""
        return self._kept(other.values, other.priorities, other.rows)

    def _kept(self, values: Array, priorities: Floats, rows: int) -> "Sample":
        values = np.concatenate([self.values, values])
        priorities = np.concatenate([self.priorities, priorities])
        if len(values) > self.capacity:
            chosen = np.sort(np.argpartition(priorities, self.capacity - 1)[: self.capacity])
            values, priorities = values[chosen], priorities[chosen]
        return Sample(values, priorities, self.rows + rows, self.capacity)
