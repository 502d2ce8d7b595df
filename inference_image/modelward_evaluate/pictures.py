"""What a report draws of outcomes: values by day, the ROC curve, and scores against what became of them. Pure.

Few numbers, whatever was counted: each picture has a bound, and a point of a curve is one of the curve itself.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from modelward_quality.calibration import Calibration
from modelward_quality.estimate import Estimate
from modelward_quality.scores import Scores
from modelward_quality.statistics import Statistics, values

Row = list[Any]


@dataclass(frozen=True)
class Extent:
    """`metrics`: whose days are drawn, at most; `days`: the last ones; `points`: of the ROC curve; `digits`: that
    numbers keep."""

    metrics: int
    days: int
    points: int
    digits: int


WHOLE: Final = Extent(metrics=40, days=400, points=120, digits=7)
GROUP_RATES: Final = ("selectionRate", "recall", "falsePositiveRate")
"""What the gaps of fairness are made of."""

GROUPS: Final = 6
"""Of people, the largest, of which rates are told."""

BRIEF: Final = Extent(metrics=2, days=31, points=24, digits=4)
"""Within the message of a pod, beside what a verdict is made of."""


def pictures(
    days: Mapping[str, Statistics], whole: Statistics, names: Sequence[str], positive: str | None, extent: Extent
) -> dict[str, Any]:
    """`days`: of one revision, by their dates; `whole`: of all of them; `names`: of metrics, the first matter most.
    Intervals are of 95 %. As JSON: `days` has [day, metric, value, low, high, rows], `roc` [false positive rate, true
    positive rate], `calibration` [mean score, share of positive rows, low, high, rows]; what is not defined is absent.
    """
    defined = values(whole, positive)
    drawn = [name for name in names if name in defined][: extent.metrics]
    found: dict[str, Any] = {"days": list(_by_day(days, drawn, positive, extent))}
    if whole.scores is not None:
        found["roc"] = roc(whole.scores, extent)
    if whole.calibration is not None:
        found["calibration"] = calibrated(whole.calibration, extent)
    return {name: value for name, value in found.items() if value}


def numbers(found: Estimate, extent: Extent) -> Row:
    """Value, low, high and rows; an interval is wider by what cells of scores may be off."""
    low = None if found.low is None else _short(found.low - found.within, extent)
    high = None if found.high is None else _short(found.high + found.within, extent)
    return [_short(found.value, extent), low, high, found.rows]


def roc(table: Scores, extent: Extent) -> list[Row]:
    """Points of the curve from (0, 0) to (1, 1), about as far from each other; none where a class has no row."""
    yes, no = table.positive[::-1], table.negative[::-1]
    if yes.sum() <= 0 or no.sum() <= 0:
        return []
    curve = np.stack([np.cumsum(no) / no.sum(), np.cumsum(yes) / yes.sum()], 1)
    curve = np.concatenate([np.zeros((1, 2)), curve])
    way = curve.sum(1) / 2
    at = np.unique(np.searchsorted(way, np.linspace(0, 1, extent.points)).clip(0, len(curve) - 1))
    at = np.unique(np.concatenate([at, [0, len(curve) - 1]]))
    return [[_short(float(each), extent) for each in point] for point in curve[at]]


def group_rates(groups: Mapping[str, Statistics], positive: str, smallest: int, extent: Extent) -> list[Row]:
    """[group, metric, value, low, high, rows]; nothing of groups with less than `smallest` rows that a rate is
    about."""
    found = {
        name: {of: each for of, each in values(own, positive).items() if of in GROUP_RATES and each.rows >= smallest}
        for name, own in groups.items()
    }
    largest = sorted(found, key=lambda name: -max((each.rows for each in found[name].values()), default=0))[:GROUPS]
    return [
        [name, metric, *numbers(found[name][metric], extent)]
        for metric in GROUP_RATES
        for name in sorted(largest)
        if metric in found[name]
    ]


def calibrated(table: Calibration, extent: Extent) -> list[Row]:
    made = []
    for each in table.bins:
        if each.weight > 0:
            share = each.share()
            ends = (share.value, share.low or 0.0, 1.0 if share.high is None else share.high)
            made.append([*(_short(value, extent) for value in (each.score, *ends)), each.rows])
    return made


def _by_day(
    days: Mapping[str, Statistics], names: Sequence[str], positive: str | None, extent: Extent
) -> Iterable[Row]:
    for day in sorted(days)[-extent.days :]:
        of_day = values(days[day], positive)
        for name in names:
            if name in of_day:
                yield [day, name, *numbers(of_day[name], extent)]


def _short(value: float, extent: Extent) -> float:
    return float(f"{value:.{extent.digits}g}")
