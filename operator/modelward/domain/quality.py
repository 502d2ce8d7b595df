"""Data quality as features: the share of bad values of an input or an output, judged like any other feature.

Each is a profile of two cells, good and bad, made from what the reference and the window have counted. As numbers 0 and
1 they have an order, so that the distance of Kolmogorov and Smirnov is the difference of the two shares, which is what
people set thresholds on; significance and the budget of false alarms hold as for all features.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from modelward.api.driftpolicy import DataQuality
from modelward.api.durations import share
from modelward.domain.drift import FeatureRule
from modelward.domain.windows import Window
from modelward_drift.bins import Grid
from modelward_drift.counts import Counts, Quality, zero
from modelward_drift.counts import quality as quality_of
from modelward_drift.profile import SPECIAL, Profile
from modelward_drift.reference import Feature, Reference

PREFIX: Final = "quality:"
"""Begins the names of these features."""

METRIC: Final = "ks"

_GRID: Final = Grid(edges=(0.5,), centres=(0.0, 1.0), low=0.0, high=1.0, scale=1.0)

_Pick = Callable[[Quality], int]
_SEEN: Final[dict[str, _Pick]] = {
    "missing": lambda seen: seen.missing,
    "new_categories": lambda seen: seen.new_categories,
    "out_of_range": lambda seen: seen.out_of_range,
    "type_errors": lambda seen: seen.type_errors,
    "non_finite": lambda seen: seen.non_finite,
}


def with_quality(
    reference: Reference, window: Window, limits: DataQuality, ignored: Collection[str] = ()
) -> tuple[Reference, Window, dict[str, FeatureRule]]:
    """Both with the features of `limits` added to them, and their rules by name. `ignored`: features that have none."""
    added = list(_features(reference, window, limits, ignored))
    if not added:
        return reference, window, {}
    features, counts, rules = zip(*added, strict=True)
    return (
        replace(reference, features=(*reference.features, *features)),
        replace(window, counts=(*window.counts, *counts)),
        {feature.name: rule for feature, rule in zip(features, rules, strict=True)},
    )


def worsened(feature: Feature, counts: Counts) -> bool:
    """Whether the share of bad values rose: fewer of them are no drift."""
    before, now = feature.profile.reference, counts.cells
    return bool(now[1] * before.sum() > before[1] * now.sum())


def _features(
    reference: Reference, window: Window, limits: DataQuality, ignored: Collection[str]
) -> Iterator[tuple[Feature, Counts, FeatureRule]]:
    for feature, counts in zip(reference.features, window.counts, strict=True):
        if feature.name in ignored:
            continue
        for what, seen in _SEEN.items():
            limit = getattr(limits, what)
            bad = _bad_of_reference(feature.profile, what)
            if limit is not None and bad is not None:
                name = f"{PREFIX}{_name(what)}:{feature.name}"
                profile = _profile(name, feature.profile, bad)
                derived = Feature(feature.side, feature.tensor, feature.column, profile)
                yield (
                    derived,
                    _counts(profile, counts.rows, seen(quality_of(counts))),
                    FeatureRule(METRIC, share(limit)),
                )


def _name(what: str) -> str:
    first, *rest = what.split("_")
    return first + "".join(map(str.capitalize, rest))


def _bad_of_reference(profile: Profile, what: str) -> int | None:
    """Bad rows of the reference, None for what such a feature can't have."""
    other, infinite, null = profile.counts[-len(SPECIAL) :]
    categories = bool(profile.levels)
    match what:
        case "missing":
            return null
        case "new_categories":
            # Categories too rare to be kept are among the new ones of a window, too.
            return other if profile.kind == "categorical" else None
        case "non_finite":
            return infinite if profile.kind == "numeric" else None
        case "out_of_range":
            return 0 if profile.kind == "numeric" else None
        case _:
            return 0 if categories else other


def _profile(name: str, source: Profile, bad: int) -> Profile:
    total = sum(source.counts)
    counts = (total - bad, bad, *(0 for _ in SPECIAL))
    return Profile(name, "numeric", counts, source.rows, _GRID, inflation=source.inflation)


def _counts(profile: Profile, rows: int, bad: int) -> Counts:
    cells = np.zeros(len(profile.counts), np.int64)
    cells[:2] = rows - min(bad, rows), min(bad, rows)
    return replace(zero(profile), cells=cells)
