"""The beta distribution, and what is told by it: quantiles of Student's, and the exact interval of a share."""

from collections.abc import Callable
from math import exp, lgamma, log, log1p
from typing import Final

from modelward_quality.estimate import wilson

FEW: Final = 1000.0
"""Rows on either side of a share, from which on Wilson's interval says the same as the exact one."""

_STEPS: Final = 20_000
"""Of a continued fraction, which needs far fewer."""


def below(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function (Abramowitz and Stegun 1964, 26.5), by its continued fraction
    (26.5.8)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _tail(b, a, 1 - x)
    return _tail(a, b, x)


def student(level: float, freedom: float) -> float:
    """The quantile of Student's distribution for both sides: within it lies the share `level`."""
    beyond, high = 1 - level, 1.0
    while _outside(high, freedom) > beyond and high < 1e12:
        high *= 2
    return _where(lambda t: _outside(t, freedom) <= beyond, high)


def clopper_pearson(share: float, size: float, level: float) -> tuple[float, float]:
    """The interval of a share that was seen among `size` rows (effective ones, which need not be whole). Clopper and
    Pearson 1934, "The use of confidence or fiducial limits"; Korn and Graubard 1998, "Confidence intervals for
    proportions with small expected number of positive counts estimated from survey data". Where shares are small,
    Wilson's passes them from below far more often than its level says."""
    seen = share * size
    if min(seen, size - seen) >= FEW:
        return wilson(share, size, level)
    if size <= 0:
        return 0.0, 1.0
    beyond = (1 - level) / 2
    low = 0.0 if share <= 0 else _where(lambda p: below(p, seen, size - seen + 1) >= beyond, 1.0)
    high = 1.0 if share >= 1 else _where(lambda p: below(p, seen + 1, size - seen) >= 1 - beyond, 1.0)
    return low, high


def _where(holds: Callable[[float], bool], high: float) -> float:
    """From where on it holds, which it does at `high`."""
    low = 0.0
    while high - low > high * 1e-12:
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _outside(t: float, freedom: float) -> float:
    """The share of both tails of Student's (Abramowitz and Stegun 1964, 26.7.1)."""
    return below(freedom / (freedom + t * t), freedom / 2, 0.5)


def _tail(a: float, b: float, x: float) -> float:
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
