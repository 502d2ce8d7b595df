"""The profile of a feature: its bins, frozen, and how many rows of the reference lie in each.

Cells are the bins or categories in their order, then `other`, `non_finite` and `null`: every value has one. Where there
are rare labels they have cells of their own before these, and labels that the reference never had one after them. The
digest covers everything; counts carry it, and counts of different digests are never added.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, Final, Literal, Self, get_args

import numpy as np

from modelward_drift.arrays import Integers
from modelward_drift.errors import ProfileError
from modelward_drift.profiles.bins import Grid
from modelward_drift.profiles.inflation import Inflation
from modelward_drift.profiles.rare import GROUPS, Rare, dealt

SCHEMA_VERSION: Final = 1

LUMPS_VERSION: Final = 2
"""Of profiles with rare labels or heavy values, which an earlier release does not know."""

NEW: Final = "new"
"""The cell of labels that the reference never had, where its rare ones are known."""

Kind = Literal["numeric", "categorical", "boolean", "text"]
KINDS: Final[tuple[str, ...]] = get_args(Kind)

SPECIAL: Final = ("other", "non_finite", "null")
"""The last cells of every profile, in the order of columns.Special."""

BOOLEANS: Final = ("false", "true")


@dataclass(frozen=True)
class Profile:
    """`counts`: rows of the reference by cell; `grid`: of numbers and lengths of texts; `levels`: the categories kept.

    `rows`: of the whole reference; where it was sampled, `counts` add up to fewer, and are what statistics reckon with.
    `inflation`: of variances, where rows hang together. `texts`: whether labels were made of texts, so that 1.50 in a
    file is another than 1.5; else of the file's numbers; `rare`: the labels without a cell of their own, where there
    are any and they are known. Raises ProfileError.
    """

    name: str
    kind: Kind
    counts: tuple[int, ...]
    rows: int
    grid: Grid | None = None
    levels: tuple[str, ...] = ()
    inflation: Inflation = field(default_factory=Inflation)
    texts: bool = False
    rare: Rare | None = None
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem:
            raise ProfileError(f"the profile of {self.name!r} {problem}; make the reference anew")

    @property
    def bins(self) -> int:
        """Cells but the special ones."""
        return len(self.counts) - len(SPECIAL)

    @property
    def others(self) -> slice:
        """The cells of rare labels, where they are known."""
        return slice(len(self.levels), len(self.levels) + GROUPS)

    @cached_property
    def reference(self) -> Integers:
        """`counts`, as an array that can't be written."""
        array = np.array(self.counts, np.int64)
        array.flags.writeable = False
        return array

    @cached_property
    def digest(self) -> str:
        canonical = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return f"sha256:{hashlib.sha256(canonical.encode(errors='backslashreplace')).hexdigest()}"

    @cached_property
    def position(self) -> Mapping[str, int]:
        """Cells by category."""
        return {level: cell for cell, level in enumerate(self.levels)}

    def matched(self, current: Integers) -> tuple[Integers, Integers]:
        """Counts (cells,) of the reference and of a window, as they are to be compared.

        The reference has no new labels, and each window has some. Their share is what it has without drift; where it is
        no larger, they are taken for rare ones, so that a window of the reference's own rows is equal to it.
        """
        reference = self.reference
        if self.rare is None:
            return reference, current
        total, rows, new, others = int(reference.sum()), int(current.sum()), self.bins - 1, self.others
        reference, current = reference.copy(), current.copy()
        unseen = min(round(self.rare.unseen(self.rows) * total), int(reference[others].sum()))
        if int(current[new]) * total > (unseen + int(reference[new])) * rows:
            reference[new] += unseen
            reference[others] -= dealt(unseen, reference[others])
            return reference, current
        for each in (reference, current):
            each[others] += dealt(int(each[new]), self.reference[others])
            each[new] = 0
        return reference, current

    def unchosen(self, reference: Integers) -> Integers:
        """`reference`, as `matched` gives it, of the rows that did not choose which categories have cells."""
        if self.rare is None or not self.rare.held_rows:
            return reference
        rows, others = self.rare.held_rows, self.others
        held = np.round(reference * (rows / int(reference.sum()))).astype(np.int64)
        held[: len(self.levels)] = self.rare.held
        held[others] = 0
        held[others] = dealt(max(0, rows - int(held.sum())), reference[others])
        return held

    def cell_names(self) -> tuple[str, ...]:
        """What people are shown, cell by cell."""
        if self.grid is None:
            rare = (*(f"other ({group} of {GROUPS})" for group in range(1, GROUPS + 1)), NEW) if self.rare else ()
            return (*self.levels, *rare, *SPECIAL)
        if not self.grid.edges:
            return ("any", *SPECIAL)
        inner = (f"[{lower:.6g}, {upper:.6g})" for lower, upper in pairwise(self.grid.edges))
        return (f"< {self.grid.edges[0]:.6g}", *inner, f">= {self.grid.edges[-1]:.6g}", *SPECIAL)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON. What earlier releases did not have is left out where it says nothing."""
        found = asdict(self)
        if not self.texts:
            del found["texts"]
        if self.rare is None:
            del found["rare"]
        if self.grid is not None and not self.grid.heavy:
            del found["grid"]["heavy"]
        return found

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """Raises ProfileError, for another schema version too."""
        version = raw.get("schema_version") if isinstance(raw, Mapping) else None
        if version not in (SCHEMA_VERSION, LUMPS_VERSION):
            raise ProfileError(
                f"the profile has schema version {version!r}, this release reads {SCHEMA_VERSION} and {LUMPS_VERSION}; "
                "make the reference anew with `modelward reference`, or use the release that made it"
            )
        try:
            grid = raw["grid"]
            values = {
                **raw,
                "counts": tuple(raw["counts"]),
                "levels": tuple(raw["levels"]),
                "inflation": Inflation(**raw["inflation"]),
                "rare": raw.get("rare") and Rare(**{**raw["rare"], "held": tuple(raw["rare"]["held"])}),
                "grid": grid and _grid(grid),
            }
            return cls(**values)
        except (KeyError, TypeError, AttributeError) as error:
            raise ProfileError(f"the profile lacks or has a field too many: {error}; make it anew") from None


def _grid(raw: Mapping[str, Any]) -> Grid:
    lists = {name: tuple(raw[name]) for name in ("edges", "centres", "heavy") if name in raw}
    return Grid(**{**raw, **lists})


def schema_of(grid: Grid | None, rare: Rare | None) -> int:
    """The version of a profile with these: the first that knows all of it, so that earlier releases read what they
    can."""
    return LUMPS_VERSION if rare is not None or (grid is not None and grid.heavy) else SCHEMA_VERSION


def _problem(profile: Profile) -> str | None:
    if profile.kind not in KINDS:
        return f"has the kind {profile.kind!r}, which is none of {', '.join(KINDS)}"
    if schema_of(profile.grid, profile.rare) != profile.schema_version:
        return f"has another schema version than {profile.schema_version} by what is in it"
    if profile.rare is not None and (profile.kind, len(profile.rare.held)) != ("categorical", len(profile.levels)):
        return "has rare labels that are not of its categories"
    if not isinstance(profile.texts, bool):
        return f"says {profile.texts!r} of texts"
    if not all(isinstance(count, int) and count >= 0 for count in (*profile.counts, profile.rows)):
        return "has counts that are no whole numbers from 0"
    if not 0 < sum(profile.counts) <= min(profile.rows, 2**53):
        return f"counts {sum(profile.counts)} rows of {profile.rows}"
    if profile.kind in ("numeric", "text"):
        return "has no grid" if profile.grid is None else _grid_problem(profile.grid, profile.bins)
    if profile.grid is not None or not all(isinstance(level, str) for level in profile.levels):
        return "has no categories but a grid"
    cells = len(profile.levels) + (GROUPS + 1 if profile.rare else 0)
    if len(set(profile.levels)) != len(profile.levels) or cells != profile.bins:
        return "has other categories than counts"
    return "has other levels than false and true" if profile.kind == "boolean" and profile.levels != BOOLEANS else None


def _grid_problem(grid: Grid, bins: int) -> str | None:
    figures = (*grid.edges, *grid.centres, grid.low, grid.high, grid.scale)
    if not all(isinstance(each, int | float) and math.isfinite(each) for each in figures):
        return "has figures that are not finite"
    if len(grid.edges) + 1 != bins or len(grid.centres) != bins:
        return "has other bins than counts"
    if not all(type(each) is int and 0 <= each < bins for each in grid.heavy) or len({*grid.heavy}) < len(grid.heavy):
        return "has heavy values in bins that it has not"
    if any(lower >= upper for lower, upper in pairwise(grid.edges)):
        return "has edges that do not ascend"
    return "has no scale" if grid.scale <= 0 or grid.low > grid.high else None
