"""Groups of people treated alike, or not: definitions and numbers of fairlearn, with intervals.

A group with fewer rows than `smallest` is named and left out: nothing is said of twelve people. As the two groups that
are furthest apart were chosen by looking, their interval is that of all pairs together (Bonferroni).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import exp, log, sqrt
from typing import Final

from modelward_quality.confusion import Confusion, Pair, Share
from modelward_quality.difference import difference
from modelward_quality.estimate import LEVEL, Estimate, estimate, wilson

SMALLEST: Final = 100
"""Rows of a group, of those that a rate is about."""

Among = Callable[[Pair], bool]


@dataclass(frozen=True)
class Gap:
    """How far apart groups are. `difference`: of the highest and the lowest rate; `ratio`: of the lowest to the
    highest, None where that is 0; `left_out`: groups that are too small."""

    highest: str
    lowest: str
    difference: Estimate
    ratio: Estimate | None
    left_out: tuple[str, ...] = ()


def statistical_parity(
    groups: Mapping[str, Confusion], label: str, smallest: int = SMALLEST, level: float = LEVEL
) -> Gap | None:
    """Of the selection rates: how often `label` is foretold. Its difference is fairlearn's
    demographic_parity_difference, its ratio (the disparate impact) demographic_parity_ratio. None where fewer than two
    groups are large enough."""
    return _gap(groups, label, lambda _: True, smallest, level)


def equal_opportunity(
    groups: Mapping[str, Confusion], label: str, smallest: int = SMALLEST, level: float = LEVEL
) -> Gap | None:
    """Of the true positive rates: fairlearn's equal_opportunity_difference and _ratio."""
    return _gap(groups, label, lambda each: each.label == label, smallest, level)


def predictive_equality(
    groups: Mapping[str, Confusion], label: str, smallest: int = SMALLEST, level: float = LEVEL
) -> Gap | None:
    """Of the false positive rates."""
    return _gap(groups, label, lambda each: each.label != label, smallest, level)


def equalized_odds(
    groups: Mapping[str, Confusion], label: str, smallest: int = SMALLEST, level: float = LEVEL
) -> Gap | None:
    """The larger difference of equal_opportunity and predictive_equality, and the smaller ratio of the two: fairlearn's
    equalized_odds_difference and _ratio. None where one of the two can't be told."""
    gaps = [rate(groups, label, smallest, level) for rate in (equal_opportunity, predictive_equality)]
    found = [each for each in gaps if each is not None]
    if len(found) < len(gaps):
        return None
    widest = max(found, key=lambda each: each.difference.value)
    ratios = [each.ratio for each in found]
    known = [each for each in ratios if each is not None]
    ratio = min(known, key=lambda each: each.value) if len(known) == len(ratios) else None
    left_out = tuple(sorted({name for each in found for name in each.left_out}))
    return Gap(widest.highest, widest.lowest, widest.difference, ratio, left_out)


def _gap(groups: Mapping[str, Confusion], label: str, among: Among, smallest: int, of_all: float) -> Gap | None:
    rates = {name: table.share(lambda each: each.foretold == label, among) for name, table in sorted(groups.items())}
    large = [name for name, each in rates.items() if each.rows >= max(smallest, 1) and each.size > 0]
    left_out = tuple(name for name in rates if name not in large)
    if len(large) < 2:
        return None
    first, last = (of(large, key=lambda name: rates[name].value) for of in (max, min))
    if first == last:
        last = next(name for name in large if name != first)
    highest, lowest = rates[first], rates[last]
    pairs = len(large) * (len(large) - 1) / 2
    level = 1 - (1 - of_all) / pairs
    ratio = None
    if highest.value > 0:
        ratio = estimate(lowest.value / highest.value, _of_ratio(lowest, highest, level), highest.rows + lowest.rows)
    return Gap(first, last, difference(_rate(highest, level), _rate(lowest, level)), ratio, left_out)


def _rate(share: Share, level: float) -> Estimate:
    return estimate(share.value, wilson(share.value, share.size, level), share.rows)


def _of_ratio(one: Share, other: Share, level: float) -> tuple[float, float | None]:
    """By the limits of both on the scale of the logarithm (Zou and Donner 2008, "Construction of confidence limits
    about effect measures", MOVER). 0 where the lower limit is 0; None: it may be any above."""
    low, high = wilson(one.value, one.size, level)
    other_low, other_high = wilson(other.value, other.size, level)
    centre = _log(one.value) - _log(other.value)
    down = sqrt((_log(one.value) - _log(low)) ** 2 + (_log(other_high) - _log(other.value)) ** 2) if low > 0 else None
    up = None
    if other_low > 0:
        # Where none was selected, the upper limit of the one takes the place of its distance from nothing.
        start = _log(high) - _log(other.value) if one.value == 0 else centre
        own = 0.0 if one.value == 0 else _log(high) - _log(one.value)
        up = start + sqrt(own**2 + (_log(other.value) - _log(other_low)) ** 2)
    return (0.0 if down is None else exp(centre - down)), (None if up is None else exp(up))


def _log(value: float) -> float:
    return log(value) if value > 0 else float("-inf")
