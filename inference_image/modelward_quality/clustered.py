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
from math import sqrt
from operator import add
from typing import Final

from modelward_quality.beta import student
from modelward_quality.estimate import Estimate, estimate
from modelward_quality.reweighted import weight_of
from modelward_quality.statistics import Statistics, values

BUCKETS: Final = 64
"""Groups of units."""

FEWEST: Final = 8.0
"""Effective groups of an arm, below which one unit outweighs the others and there is no interval."""


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


def _without_each(arm: Sequence[Statistics]) -> list[Statistics]:
    """The sums of all groups but one, for each: what comes before it and what comes after."""
    before, after = [Statistics()], [Statistics()]
    for each in arm[:-1]:
        before.append(before[-1] + each)
    for each in reversed(arm[1:]):
        after.append(after[-1] + each)
    return [reduce(add, both) for both in zip(before, reversed(after), strict=True)]
