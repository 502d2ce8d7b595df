"""Data quality as features: the share of bad values of an input or an output, judged like any other feature.

Each is a profile of two cells, good and bad, made from what the reference and the window have counted. As numbers 0 and
1 they have an order, so that the distance of Kolmogorov and Smirnov is the difference of the two shares, which is what
people set thresholds on; significance and the budget of false alarms hold as for all features.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from modelward_drift.counting.counts import Counts, quality, zero
from modelward_drift.judging.causes import percent
from modelward_drift.judging.judge import FeatureRule
from modelward_drift.profiles.bins import Grid
from modelward_drift.profiles.profile import SPECIAL, Profile
from modelward_drift.profiles.reference import Feature, Reference

PREFIX: Final = "quality:"
"""Begins the names of these features."""

METRIC: Final = "ks"

_GRID: Final = Grid(edges=(0.5,), centres=(0.0, 1.0), low=0.0, high=1.0, scale=1.0)

_WORDS: Final = {
    "missing": "are missing", "new_categories": "are new categories", "out_of_range": "are out of range",
    "type_errors": "are of another type", "non_finite": "are infinite",
}  # fmt: skip
"""What is said of bad values, by the name that their limit has in Limits, and their number in Quality."""


@dataclass(frozen=True)
class Limits:
    """By how much the share (0 to 1) of each kind of bad values may rise; None: not judged."""

    missing: float | None = None
    new_categories: float | None = None
    out_of_range: float | None = None
    type_errors: float | None = None
    non_finite: float | None = None


@dataclass(frozen=True)
class BadValues:
    """A feature of bad values, what a window counted of it, and its rule. `what`: a field of Limits; `source`: whose
    values they are."""

    what: str
    source: str
    feature: Feature
    counts: Counts
    rule: FeatureRule

    @property
    def cause(self) -> str:
        """As causes.py says it of other features."""
        before, now = self.feature.profile.reference, self.counts.cells
        return f"{percent(now[1] / max(now.sum(), 1))} {_WORDS[self.what]}, before {percent(before[1] / before.sum())}"


def bad_values(
    reference: Reference, window: Collection[Counts], limits: Limits, ignored: Collection[str] = ()
) -> tuple[BadValues, ...]:
    """The features that `limits` add. `window`: counts in the order of the reference's features; `ignored`: features
    that have none."""
    return tuple(_features(reference, window, limits, ignored))


def worsened(feature: Feature, counts: Counts) -> bool:
    """Whether the share of bad values rose: fewer of them are no drift."""
    before, now = feature.profile.reference, counts.cells
    return bool(now[1] * before.sum() > before[1] * now.sum())


def _features(
    reference: Reference, window: Collection[Counts], limits: Limits, ignored: Collection[str]
) -> Iterator[BadValues]:
    judged = [(what, limit) for what in _WORDS if (limit := getattr(limits, what)) is not None]
    for feature, counts in zip(reference.features, window, strict=True):
        if feature.name in ignored or not judged:
            continue
        seen = quality(counts)
        for what, limit in judged:
            bad = _bad_of_reference(feature.profile, what)
            if bad is not None:
                profile = _profile(f"{PREFIX}{_name(what)}:{feature.name}", feature.profile, bad)
                derived = Feature(feature.side, feature.tensor, feature.column, profile)
                found = _counts(profile, counts.rows, getattr(seen, what))
                yield BadValues(what, feature.name, derived, found, FeatureRule(METRIC, limit))


def _name(what: str) -> str:
    first, *rest = what.split("_")
    return first + "".join(map(str.capitalize, rest))


def _bad_of_reference(profile: Profile, what: str) -> int | None:
    """Bad rows of the reference, None for what such a feature can't have."""
    other, infinite, null = profile.counts[-len(SPECIAL) :]
    match what:
        case "missing":
            return null
        case "new_categories":
            if profile.kind != "categorical":
                return None
            # Where rare labels are not known, they are among the new ones of a window. Where they are, some new ones
            # come without drift.
            return other if profile.rare is None else round(profile.rare.unseen(profile.rows) * sum(profile.counts))
        case "non_finite":
            return infinite if profile.kind == "numeric" else None
        case "out_of_range":
            return 0 if profile.kind == "numeric" else None
        case _:
            return 0 if profile.grid is None else other


def _profile(name: str, source: Profile, bad: int) -> Profile:
    total = sum(source.counts)
    counts = (total - bad, bad, *(0 for _ in SPECIAL))
    return Profile(name, "numeric", counts, source.rows, _GRID, inflation=source.inflation)


def _counts(profile: Profile, rows: int, bad: int) -> Counts:
    cells = np.zeros(len(profile.counts), np.int64)
    cells[:2] = rows - min(bad, rows), min(bad, rows)
    return replace(zero(profile), cells=cells)
