"""The difference of two arms where rows of one unit (a user) are not independent: the jackknife over groups of units.

Units are divided into groups at random (by a hash of what they are called), and the sums of each group merge to those
of all. By how much a value changes as each group is left out says how unsure it is (Tukey 1958; Shao and Tu 1995, "The
Jackknife and Bootstrap", chapter 2.3: the delete-a-group jackknife), whatever rows of one unit have in common, and for
every value that is a smooth function of sums. A group is left out of both arms at once, so that arms that answered the
same units (copies) are compared as such. The distance is a t statistic with as many degrees of freedom as the arm with
fewer effective groups has, less one. Intervals are never narrower than those of independent rows: an arm that by chance
has few of the units that differ looks surer than it is.
"""

from collections.abc import Sequence
from functools import reduce
from math import exp, lgamma, log, log1p, sqrt
from operator import add
from typing import Final

from modelward_quality.estimate import Estimate, estimate
from modelward_quality.reweighted import weight_of
from modelward_quality.statistics import Statistics, values

BUCKETS: Final = 64
"""Groups of units."""

FEWEST: Final = 8.0
"""Effective groups of an arm, below which one unit outweighs the others and there is no interval."""

_STEPS: Final = 200
"""Of a continued fraction, which needs far fewer."""


def effective(arm: Sequence[Statistics]) -> float:
    """The number of groups that would say as much if all had the same weight (Kish 1965, "Survey Sampling")."""
    weights = [weight_of(each) for each in arm]
    squares = sum(each * each for each in weights)
    return sum(weights) ** 2 / squares if squares else 0.0


def errors(
    one: Sequence[Statistics], other: Sequence[Statistics], positive: str | None
) -> tuple[dict[str, float], float]:
    """Standard errors of `one` less `other` by value, and the degrees of freedom. `one`, `other`: the same groups of
    units in the same order. A value that is not defined without some group has none."""
    without = [
        {name: own[name].value - others[name].value for name in own.keys() & others.keys()}
        for own, others in zip(
            *([values(each, positive) for each in _without_each(side)] for side in (one, other)), strict=True
        )
    ]
    groups = len(without)
    names = set.intersection(*(set(each) for each in without)) if without else set()
    made = {}
    for name in names:
        gaps = [each[name] for each in without]
        mean = sum(gaps) / groups
        made[name] = sqrt((groups - 1) / groups * sum((each - mean) ** 2 for each in gaps))
    return made, min(effective(one), effective(other)) - 1


def widened(gap: Estimate, error: float | None, freedom: float, level: float) -> Estimate:
    """`gap`: a difference with the interval of independent rows. Without one where units are too few, or `error` is
    None."""
    if gap.low is None or gap.high is None or error is None or freedom < FEWEST - 1:
        return estimate(gap.value, None, gap.rows, gap.within)
    half = student(level, freedom) * error
    return estimate(gap.value, (min(gap.low, gap.value - half), max(gap.high, gap.value + half)), gap.rows, gap.within)


def student(level: float, freedom: float) -> float:
    """The quantile of Student's distribution for both sides: within it lies the share `level`."""
    beyond, low, high = 1 - level, 0.0, 1.0
    while _outside(high, freedom) > beyond and high < 1e12:
        high *= 2
    while high - low > high * 1e-12:
        middle = (low + high) / 2
        low, high = (middle, high) if _outside(middle, freedom) > beyond else (low, middle)
    return high


def _outside(t: float, freedom: float) -> float:
    """The share of both tails: the regularised incomplete beta function of freedom / 2 and 1/2, at freedom / (freedom +
    t²) (Abramowitz and Stegun 1964, 26.7.1), by its continued fraction (26.5.8)."""
    if t <= 0:
        return 1.0
    a, b, x = freedom / 2, 0.5, freedom / (freedom + t * t)
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta(b, a, 1 - x)
    return _beta(a, b, x)


def _beta(a: float, b: float, x: float) -> float:
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x)) / a
    tiny, c = 1e-300, 1.0
    d = 1 / (1 - (a + b) * x / (a + 1) or tiny)
    found = d
    for m in range(1, _STEPS):
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):  # fmt: skip
            d = 1 / (1 + step * d or tiny)
            c = 1 + step / c or tiny
            found *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return front * found


def _without_each(arm: Sequence[Statistics]) -> list[Statistics]:
    """The sums of all groups but one, for each: what comes before it and what comes after."""
    before, after = [Statistics()], [Statistics()]
    for each in arm[:-1]:
        before.append(before[-1] + each)
    for each in reversed(arm[1:]):
        after.append(after[-1] + each)
    return [reduce(add, both) for both in zip(before, reversed(after), strict=True)]
