"""A value and how sure it is."""

from dataclasses import dataclass
from math import inf, isnan, sqrt
from statistics import NormalDist
from typing import Final

LEVEL: Final = 0.95
"""Of intervals for which nobody names another one."""


@dataclass(frozen=True)
class Estimate:
    """`low`, `high`: of the interval, None where there is no formula for it; `rows`: behind it; `within`: by
    how much the value may differ from that of the rows themselves, where these were put into cells (0: it is exact)."""

    value: float
    low: float | None
    high: float | None
    rows: int
    within: float = 0.0


def quantile(level: float = LEVEL) -> float:
    """Of the standard normal distribution, for both sides."""
    return NormalDist().inv_cdf(0.5 + level / 2)


def wilson(share: float, size: float, level: float = LEVEL) -> tuple[float, float]:
    """The interval of a share that was seen among `size` rows (effective ones, where they are weighted). Wilson 1927,
    "Probable inference, the law of succession, and statistical inference"."""
    if size <= 0:
        return 0.0, 1.0
    z = quantile(level)
    scale = 1 + z * z / size
    centre = (share + z * z / (2 * size)) / scale
    half = z / scale * sqrt(max(share * (1 - share), 0.0) / size + z * z / (4 * size * size))
    low = 0.0 if share <= 0 else max(0.0, centre - half)
    high = 1.0 if share >= 1 else min(1.0, centre + half)
    return low, high


def normal(
    value: float, variance: float, low: float = -inf, high: float = inf, level: float = LEVEL
) -> tuple[float, float] | None:
    """By the central limit theorem; `variance`: of the value; `low`, `high`: what it can't leave. None where nothing is
    known of the variance."""
    if isnan(variance):
        return None
    half = quantile(level) * sqrt(max(variance, 0.0))
    return max(low, value - half), min(high, value + half)


def estimate(value: float, interval: tuple[float, float | None] | None, rows: int, within: float = 0.0) -> Estimate:
    low, high = interval if interval is not None else (None, None)
    return Estimate(value, low, high, rows, within)
