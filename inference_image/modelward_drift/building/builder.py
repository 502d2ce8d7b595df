"""Profiles from a stream of chunks, in bounded memory.

A reference of up to CAPACITY rows gives its exact profile. Of a larger one a uniform sample is kept, and the profile is
that of the sample: its counts add up to the sample's size, so that statistics reckon with what was really counted.
Where the reference can be read twice, `recounted` makes the counts exact; only the bins are then the sample's. Which
labels there are at all is known of the whole stream.
"""

from collections import Counter
from dataclasses import replace
from typing import Any, Final

import numpy as np

from modelward_drift.arrays import Array
from modelward_drift.building.sample import CAPACITY, Sample
from modelward_drift.counting import columns
from modelward_drift.counting.columns import Special
from modelward_drift.counting.counting import count, count_labels
from modelward_drift.counting.counts import Counts
from modelward_drift.errors import MismatchError, ProfileError
from modelward_drift.profiles.bins import BINS, Grid, quantile_grid
from modelward_drift.profiles.profile import BOOLEANS, KINDS, SPECIAL, Kind, Profile, schema_of
from modelward_drift.profiles.rare import BYTES, GROUPS, Rare, Tally, halves, rare

LEVELS: Final = 50
"""Categories that have a cell of their own; the rest are `other`."""

LEAST: Final = 10
"""Rows of a category with a cell, where not all can have one: the commonest of thousands with two rows each are so by
chance, and would be rarer in every window."""


class Builder:
    """Of one feature. `seed`: of the sample; builders that are merged need different ones; `rare_bytes`: that its
    filter of rare labels may have. Raises ProfileError."""

    def __init__(
        self,
        name: str,
        kind: Kind,
        *,
        bins: int = BINS,
        levels: int = LEVELS,
        capacity: int = CAPACITY,
        seed: int = 0,
        rare_bytes: int = BYTES,
    ) -> None:
        if kind not in KINDS:
            raise ProfileError(f"{name!r} has the kind {kind!r}; it may be {', '.join(KINDS)}")
        if bins < 1 or levels < 1 or capacity < 1:
            raise ProfileError(f"{name!r} is to have {bins} bins, {levels} levels, {capacity} rows; 1 is the least")
        self.name, self.kind = name, kind
        self._bins, self._levels, self._seed = bins, levels, seed
        self._random = np.random.default_rng(seed)
        self._sample = Sample.empty(np.dtype(object if kind == "categorical" else np.float64), capacity)
        # Range and wrong types are exact whatever the sample holds.
        self._low, self._high = np.inf, -np.inf
        self._texts = False
        self._tally, self._rare_bytes = Tally(), rare_bytes

    def add(self, values: Any) -> None:
        """A chunk of rows, of anything that `count` takes."""
        column = columns.column(values)
        self._texts = self._texts or (self.kind in ("categorical", "text") and columns.has_texts(column))
        if self.kind == "categorical":
            coded = np.empty(len(column), object)
            coded[:] = columns.as_labels(column)
            self._tally.add(Counter(coded.tolist()))
        else:
            coded = self._numbers(column)
        self._sample = self._sample.add(coded, self._random)

    def merge(self, other: "Builder") -> None:
        """Take in what another builder of the same feature has seen. Raises MismatchError."""
        mine, theirs = ((each.name, each.kind, each._bins, each._levels) for each in (self, other))
        if mine != theirs:
            raise MismatchError(f"a builder of {theirs} can't be merged into one of {mine}; build the same feature")
        if self._seed == other._seed and self._sample.rows and other._sample.rows:
            raise MismatchError(f"both builders of {self.name!r} have the seed {self._seed}; give each its own")
        self._sample = self._sample.merge(other._sample)
        self._low, self._high = min(self._low, other._low), max(self._high, other._high)
        self._texts = self._texts or other._texts
        self._tally.merge(other._tally)

    @property
    def variety(self) -> tuple[int, int]:
        """Of the sample, without nulls: rows, and different values among them."""
        values = self._sample.values
        known = values[values != Special.NULL] if self.kind == "categorical" else values[~np.isnan(values)]
        return len(known), len(set(known.tolist()))

    def profile(self) -> Profile:
        """Of what was seen so far. Raises ProfileError where that is nothing."""
        if not self._sample.rows:
            raise ProfileError(f"the reference has no rows of {self.name!r}; give it some hundred at least")
        grid, levels, others = self._shape()
        cells = (len(grid.centres) if grid else len(levels) + (GROUPS + 1 if others else 0)) + len(SPECIAL)
        version = schema_of(grid, others)
        # A profile counts; the first one only to count the reference.
        blank = (1,) + (0,) * (cells - 1)
        draft = Profile(
            self.name, self.kind, blank, 1, grid, levels, texts=self._texts, rare=others, schema_version=version
        )
        return replace(draft, counts=self._counts(draft), rows=self._sample.rows)

    def _shape(self) -> tuple[Grid | None, tuple[str, ...], Rare | None]:
        values = self._sample.values
        if self.kind == "boolean":
            return None, BOOLEANS, None
        if self.kind == "categorical":
            return None, *self._categories()
        grid = quantile_grid(values[np.isfinite(values)], self._bins)
        if self._low <= self._high:  # the sample may lack the extremes
            grid = replace(grid, low=float(self._low) + 0.0, high=float(self._high) + 0.0)
        return grid, (), None

    def _categories(self) -> tuple[tuple[str, ...], Rare | None]:
        """Those with a cell, and the rest: None where there is none, or too many to be told apart."""
        seen = Counter(label for label in self._sample.values if not isinstance(label, Special))
        if len(seen) <= self._levels:
            levels, chosen = tuple(sorted(seen)), dict(seen)
        else:
            chosen = halves(seen)
            ranked = sorted(chosen, key=lambda label: (-chosen[label], label))[: self._levels]
            levels = tuple(sorted(label for label in ranked if 2 * chosen[label] >= LEAST))
        hashes, times = self._tally.without(levels)
        if not len(hashes):
            return levels, None
        found = rare(hashes, times, self._rare_bytes)
        held = tuple(seen[label] - chosen[label] for label in levels)
        return levels, replace(found, held=held, held_rows=max(sum(held), len(self._sample.values) // 2))

    def _numbers(self, column: Array) -> Array:
        read = {"numeric": columns.as_numbers, "boolean": columns.as_booleans, "text": columns.as_lengths}[self.kind]
        found = read(column)
        finite = found.values[np.isfinite(found.values)]
        if len(finite):
            self._low, self._high = min(self._low, finite.min()), max(self._high, finite.max())
        values = found.values.astype(np.float64)
        if found.wrong is not None:
            values.view(np.int64)[found.wrong] = _WRONG
        return values

    def _counts(self, draft: Profile) -> tuple[int, ...]:
        values = self._sample.values
        if self.kind == "categorical":
            return tuple(count_labels(draft, values.tolist()).cells.tolist())
        numeric = replace(draft, kind="numeric") if self.kind == "text" else draft
        counts = count(numeric, values).cells
        wrong = int(np.count_nonzero(values.view(np.int64) == _WRONG))
        counts[-len(SPECIAL)] += wrong
        counts[-1] -= wrong
        return tuple(counts.tolist())


_WRONG: Final = 0x7FF8_0000_0000_0BAD
"""A NaN of its own, for values of a wrong type."""


def profile_of(name: str, kind: Kind, values: Any, *, bins: int = BINS, levels: int = LEVELS) -> Profile:
    """The profile of one column that is in memory. Raises ProfileError where it is empty."""
    builder = Builder(name, kind, bins=bins, levels=levels)
    builder.add(values)
    return builder.profile()


def recounted(profile: Profile, counts: Counts) -> Profile:
    """The profile with the exact counts of the whole reference, counted against it. Raises MismatchError."""
    if counts.digest != profile.digest:
        raise MismatchError(f"the counts are not of the profile of {profile.name!r}; count against this very profile")
    return replace(profile, counts=tuple(counts.cells.tolist()), rows=counts.rows)
