"""Counts of what was seen, by cell of a profile: a commutative monoid, exact over pods and windows.

`zero` is its zero, + its operation, and - takes an earlier state of the same counter from a later one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np

from modelward_drift.arrays import Integers
from modelward_drift.errors import MismatchError, ProfileError
from modelward_drift.profiles.profile import SPECIAL, Profile

QUALITY: Final = ("below_range", "above_range", "new_categories", "type_errors")
"""What is counted besides the cells, of rows that are in a cell already. New: never in the reference, but for the few
that its filter of rare labels takes for known; in a profile of an earlier release, and in one of more labels than are
told apart, all that have no cell."""


@dataclass(frozen=True, eq=False)
class Counts:
    """`digest`: of the profile; `cells`: int64, in its order; `quality`: int64, in the order of QUALITY."""

    digest: str
    cells: Integers
    quality: Integers

    @property
    def rows(self) -> int:
        return int(self.cells.sum())

    def __add__(self, other: "Counts") -> "Counts":
        """Raises MismatchError."""
        self._check(other)
        return Counts(self.digest, self.cells + other.cells, self.quality + other.quality)

    def __sub__(self, earlier: "Counts") -> "Counts":
        """What came since. Raises MismatchError, where `earlier` is none of this counter's earlier states too."""
        self._check(earlier)
        cells, quality = self.cells - earlier.cells, self.quality - earlier.quality
        if (cells < 0).any() or (quality < 0).any():
            raise MismatchError("the counter fell, so it began anew; take its counts whole, without a difference")
        return Counts(self.digest, cells, quality)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Counts)
            and self.digest == other.digest
            and np.array_equal(self.cells, other.cells)
            and np.array_equal(self.quality, other.quality)
        )

    __hash__ = None  # type: ignore[assignment] # arrays have none

    def _check(self, other: "Counts") -> None:
        if self.digest != other.digest:
            raise MismatchError(
                f"counts of the profile {other.digest} can't be added to counts of {self.digest}: their cells differ; "
                "pool only pods that have the same reference"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"digest": self.digest, "cells": self.cells.tolist(), "quality": self.quality.tolist()}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], profile: Profile) -> Self:
        """Raises MismatchError for counts of another profile, ProfileError for what can be no counts."""
        digest = raw.get("digest") if isinstance(raw, Mapping) else None
        if digest != profile.digest:
            raise MismatchError(
                f"counts of the profile {digest} were read as counts of {profile.name!r}, which is {profile.digest}; "
                "the pod still has an earlier reference"
            )
        lists = [raw.get("cells"), raw.get("quality")]
        sizes = [len(profile.counts), len(QUALITY)]
        for values, size in zip(lists, sizes, strict=True):
            whole = isinstance(values, list) and all(type(each) is int and 0 <= each < 2**62 for each in values)
            if not whole or len(values) != size:  # type: ignore[arg-type]
                raise ProfileError(f"counts of {profile.name!r} are not {size} whole numbers from 0; drop them")
        return cls(profile.digest, *(np.array(values, np.int64) for values in lists))


@dataclass(frozen=True)
class Quality:
    """Data quality of a window, in rows. `missing`: null or absent; `out_of_range`: beyond the reference's extremes."""

    rows: int
    missing: int
    non_finite: int
    out_of_range: int
    new_categories: int
    type_errors: int


def usual(profiles: Iterable[Profile]) -> dict[str, float]:
    """Values with an issue that a row is to be expected to have, by the reference: for each issue of Quality's of which
    it knows that.

    Beyond the extremes of n exchangeable values the next one lies with probability 2 / (n + 1). How many labels are
    new it does not know.
    """
    found = {"missing": 0.0, "non_finite": 0.0, "out_of_range": 0.0, "type_errors": 0.0}
    for profile in profiles:
        _, non_finite, null = (profile.reference[-len(SPECIAL) :] / max(profile.reference.sum(), 1)).tolist()
        found["missing"] += null
        found["non_finite"] += non_finite
        found["out_of_range"] += 2 / (profile.rows + 1) if profile.grid is not None else 0.0
    return found


def zero(profile: Profile) -> Counts:
    """Nothing seen."""
    return Counts(profile.digest, np.zeros(len(profile.counts), np.int64), np.zeros(len(QUALITY), np.int64))


def missing(profile: Profile, rows: int) -> Counts:
    """`rows` without the feature: null, all of them."""
    counts = zero(profile)
    counts.cells[-1] = rows
    return counts


def quality(counts: Counts) -> Quality:
    """Data quality by name."""
    below, above, new, wrong = counts.quality.tolist()
    _, non_finite, null = counts.cells[-len(SPECIAL) :].tolist()
    return Quality(counts.rows, null, non_finite, below + above, new, wrong)
