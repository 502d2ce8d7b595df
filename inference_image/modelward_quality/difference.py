"""A value of one arm against that of another."""

from math import sqrt

from modelward_quality.estimate import Estimate, estimate


def difference(one: Estimate, other: Estimate) -> Estimate:
    """`one` less `other`, of rows that chance divided between them. Its interval is made of both (Zou and Donner 2008,
    "Construction of confidence limits about effect measures", MOVER; of two shares it is Newcombe's), and there is
    none where one of them has none. Of the same rows, as with a shadow, it is wider than it need be."""
    value, rows = one.value - other.value, one.rows + other.rows
    within = one.within + other.within
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return estimate(value, None, rows, within)
    low = value - sqrt((one.value - one.low) ** 2 + (other.high - other.value) ** 2)
    high = value + sqrt((one.high - one.value) ** 2 + (other.value - other.low) ** 2)
    return estimate(value, (low, high), rows, within)
