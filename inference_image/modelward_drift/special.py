"""Tails of the chi-squared and the F distribution, exact far out, where budgets over thousands of looks lie.

By the regularised incomplete gamma function: its series below the mean, its continued fraction above (Abramowitz and
Stegun 6.5.29 and 6.5.31; Lentz's method as modified by Thompson and Barnett, J. Comput. Phys. 64, 1986). Logarithms
throughout, so that nothing underflows. Relative error below 1e-10.
"""

from collections.abc import Callable
from functools import lru_cache
from math import exp, inf, lgamma, log, log1p
from typing import Final

from modelward_drift.errors import SettingError

CUTS: Final = 4096
"""Cuts that are remembered: a model's features share their alpha, and most of them their degrees of freedom."""

_PRECISION: Final = 1e-16
_TINY: Final = 1e-300


def chi2_log_sf(statistic: float, dof: float) -> float:
    """log P(X >= statistic) of a chi-squared X with `dof` degrees of freedom. With none X is 0."""
    if statistic <= 0:
        return 0.0
    if dof <= 0:
        return -inf
    return _log_gamma_q(dof / 2, statistic / 2)


def chi2_sf(statistic: float, dof: float) -> float:
    """P(X >= statistic); 0 below the smallest float."""
    return exp(chi2_log_sf(statistic, dof))


def f_log_sf(statistic: float, dof: float, denominator: float) -> float:
    """log P(F >= statistic) of Fisher's F of `dof` and `denominator` degrees of freedom: a chi-squared divided by its
    dof and by an estimated variance."""
    if statistic <= 0:
        return 0.0
    if dof <= 0:
        return -inf
    a, b = denominator / 2, dof / 2
    rest = dof * statistic / (denominator + dof * statistic)
    x = denominator / (denominator + dof * statistic)
    weight = a * log(x) + b * log(rest) + lgamma(a + b) - lgamma(a) - lgamma(b)
    if x < (a + 1) / (a + b + 2):
        return weight - log(a) + log(_beta_fraction(a, b, x))
    return log1p(-exp(weight - log(b)) * _beta_fraction(b, a, rest))


@lru_cache(maxsize=CUTS)
def chi2_isf(tail: float, dof: float) -> float:
    """The cut that X exceeds with the probability `tail`, from 0 (excluded) to 1. Raises SettingError."""
    return _cut(lambda statistic: chi2_log_sf(statistic, dof), tail, dof)


@lru_cache(maxsize=CUTS)
def f_isf(tail: float, dof: float, denominator: float) -> float:
    """The cut that F exceeds with the probability `tail`, from 0 (excluded) to 1. Raises SettingError."""
    return _cut(lambda statistic: f_log_sf(statistic, dof, denominator), tail, dof)


def _cut(log_sf: Callable[[float], float], tail: float, dof: float) -> float:
    """By bisection, which nothing can lead astray."""
    if not 0 < tail <= 1:
        raise SettingError(f"{tail} is no probability from 0 (excluded) to 1")
    if dof <= 0 or tail == 1:
        return 0.0
    wanted = log(tail)
    low, high = 0.0, dof
    while log_sf(high) > wanted:
        low, high = high, 2 * high
    while high - low > 1e-15 * high and low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if log_sf(middle) > wanted else (low, middle)
    return high


def _log_gamma_q(a: float, x: float) -> float:
    """log of the upper regularised incomplete gamma function Q(a, x)."""
    weight = a * log(x) - x - lgamma(a)
    if x < a + 1:
        term = total = 1 / a
        order = a
        while term > total * _PRECISION:
            order += 1
            term *= x / order
            total += term
        return log1p(-exp(weight + log(total)))
    return weight + log(_continued_fraction(a, x))


def _continued_fraction(a: float, x: float) -> float:
    """1/(x+1-a- 1(1-a)/(x+3-a- 2(2-a)/(x+5-a- …))): what Gamma(a, x) is, divided by x^a e^-x."""
    denominator = x + 1 - a
    c, d = 1 / _TINY, 1 / denominator
    fraction = d
    for order in range(1, 100_000):
        numerator = -order * (order - a)
        denominator += 2
        d = 1 / (numerator * d + denominator or _TINY)
        c = denominator + numerator / c or _TINY
        fraction *= c * d
        if abs(c * d - 1) < 10 * _PRECISION:
            break
    return fraction


def _beta_fraction(a: float, b: float, x: float) -> float:
    """The continued fraction of the incomplete beta function (Abramowitz and Stegun 26.5.8): I_x(a, b) without its
    factor x^a (1 - x)^b / (a B(a, b))."""
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1) or _TINY)
    fraction = d
    for order in range(1, 100_000):
        even = order * (b - order) * x / ((a + 2 * order - 1) * (a + 2 * order))
        odd = -(a + order) * (a + b + order) * x / ((a + 2 * order) * (a + 2 * order + 1))
        for numerator in (even, odd):
            d = 1 / (1 + numerator * d or _TINY)
            c = 1 + numerator / c or _TINY
            fraction *= c * d
        if abs(c * d - 1) < 10 * _PRECISION:
            break
    return fraction
