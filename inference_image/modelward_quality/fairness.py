"""Groups of people treated alike, or not: definitions and numbers of fairlearn, with intervals.

A group with fewer rows than `smallest` is named and left out: nothing is said of twelve people. As the two groups that
are furthest apart were chosen by looking, their interval is that of all pairs together (Bonferroni).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import exp, log, sqrt
from typing import Final

from modelward_quality.confusion import Confusion, Pair
from modelward_quality.estimate import LEVEL, Estimate, estimate, wilson

SMALLEST: Final = 100
"""Rows of a group, of those that a rate is about."""

Among = Callable[[Pair], bool]


@dataclass(frozen=True)
class Rate:
    """A share of the rows of a group, and how many (effective) rows it is of."""

    group: str
    share: float
    size: float
    rows: int


@dataclass(frozen=True)
class Gap:
    """How far apart groups are. `difference`: of the highest and the lowest rate; `ratio`: of the lowest to the
    highest, None where that is 0; `left_out`: groups that are too small."""

    highest: str
    lowest: str
    difference: Estimate
    ratio: Estimate | None
    left_out: tuple[str, ...] = ()


def statistical_parity(groups: Mapping[str, Confusion], label: str, smallest: int = SMALLEST) -> Gap | None:
    """Of the selection rates: how often `label` is foretold. Its difference is fairlearn's
    demographic_parity_difference, its ratio (the disparate impact) demographic_parity_ratio. None where fewer than two
    groups are large enough."""
    return _gap(groups, label, lambda _: True, smallest)


def equal_opportunity(groups: Mapping[str, Confusion], label: str, smallest: int = SMALLEST) -> Gap | None:
    """Of the true positive rates: fairlearn's equal_opportunity_difference and _ratio."""
    return _gap(groups, label, lambda each: each.label == label, smallest)


def predictive_equality(groups: Mapping[str, Confusion], label: str, smallest: int = SMALLEST) -> Gap | None:
    """Of the false positive rates."""
    return _gap(groups, label, lambda each: each.label != label, smallest)


def equalized_odds(groups: Mapping[str, Confusion], label: str, smallest: int = SMALLEST) -> Gap | None:
    """The larger difference of equal_opportunity and predictive_equality, and the smaller ratio of the two: fairlearn's
    equalized_odds_difference and _ratio. None where one of the two can't be told."""
    gaps = [rate(groups, label, smallest) for rate in (equal_opportunity, predictive_equality)]
    found = [each for each in gaps if each is not None]
    if len(found) < len(gaps):
        return None
    widest = max(found, key=lambda each: each.difference.value)
    ratios = [each.ratio for each in found]
    known = [each for each in ratios if each is not None]
    ratio = min(known, key=lambda each: each.value) if len(known) == len(ratios) else None
    left_out = tuple(sorted({name for each in found for name in each.left_out}))
    return Gap(widest.highest, widest.lowest, widest.difference, ratio, left_out)


def _gap(groups: Mapping[str, Confusion], label: str, among: Among, smallest: int) -> Gap | None:
    rates = [_rate(name, table, label, among) for name, table in sorted(groups.items())]
    large = [each for each in rates if each.rows >= max(smallest, 1) and each.size > 0]
    left_out = tuple(each.group for each in rates if each not in large)
    if len(large) < 2:
        return None
    highest, lowest = max(large, key=lambda each: each.share), min(large, key=lambda each: each.share)
    if highest is lowest:
        lowest = next(each for each in large if each is not highest)
    pairs = len(large) * (len(large) - 1) / 2
    level = 1 - (1 - LEVEL) / pairs
    rows = highest.rows + lowest.rows
    difference = estimate(highest.share - lowest.share, _of_difference(highest, lowest, level), rows)
    ratio = None
    if highest.share > 0:
        ratio = estimate(lowest.share / highest.share, _of_ratio(lowest, highest, level), rows)
    return Gap(highest.group, lowest.group, difference, ratio, left_out)


def _rate(group: str, table: Confusion, label: str, among: Among) -> Rate:
    asked = [each for each in table.pairs if among(each)]
    weight, squares = sum(each.weight for each in asked), sum(each.squares for each in asked)
    rows = sum(each.rows for each in asked)
    if weight == 0:
        return Rate(group, 0.0, 0.0, rows)
    share = sum(each.weight for each in asked if each.foretold == label) / weight
    return Rate(group, share, weight**2 / squares, rows)


def _of_difference(one: Rate, other: Rate, level: float) -> tuple[float, float]:
    """Newcombe 1998 ("Interval estimation for the difference between independent proportions"), method 10."""
    low, high = wilson(one.share, one.size, level)
    other_low, other_high = wilson(other.share, other.size, level)
    value = one.share - other.share
    return (
        value - sqrt((one.share - low) ** 2 + (other_high - other.share) ** 2),
        value + sqrt((high - one.share) ** 2 + (other.share - other_low) ** 2),
    )


def _of_ratio(one: Rate, other: Rate, level: float) -> tuple[float, float | None]:
    """By the limits of both on the scale of the logarithm (Zou and Donner 2008, "Construction of confidence limits
    about effect measures", MOVER). 0 where the lower limit is 0; None: it may be any above."""
    low, high = wilson(one.share, one.size, level)
    other_low, other_high = wilson(other.share, other.size, level)
    centre = _log(one.share) - _log(other.share)
    down = sqrt((_log(one.share) - _log(low)) ** 2 + (_log(other_high) - _log(other.share)) ** 2) if low > 0 else None
    up = None
    if other_low > 0:
        # Where none was selected, the upper limit of the one takes the place of its distance from nothing.
        start = _log(high) - _log(other.share) if one.share == 0 else centre
        own = 0.0 if one.share == 0 else _log(high) - _log(one.share)
        up = start + sqrt(own**2 + (_log(other.share) - _log(other_low)) ** 2)
    return (0.0 if down is None else exp(centre - down)), (None if up is None else exp(up))


def _log(value: float) -> float:
    return log(value) if value > 0 else float("-inf")
