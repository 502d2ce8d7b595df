"""Divergences of the current shares q from the reference's shares p, in nats, smoothed.

`reference`, `current`: counts (cells,). The order of the cells does not matter.
"""

from math import sqrt

import numpy as np

from modelward_drift.arrays import Integers
from modelward_drift.metrics.shares import SMOOTHING, empty, smoothed


def psi(reference: Integers, current: Integers, smoothing: float = SMOOTHING) -> float:
    """Population stability index: sum (q - p) ln(q / p), that is Jeffreys' divergence KL(p, q) + KL(q, p).

    Without drift near (1/n + 1/m) times a chi-squared of B - 1 degrees of freedom (Yurdakul, Naranjo, "Statistical
    properties of the population stability index", Journal of Risk Model Validation 14, 2020).
    """
    if empty(reference, current):
        return 0.0
    p, q = smoothed(reference, current, smoothing)
    return float(np.sum((q - p) * np.log(q / p)))


def kl(reference: Integers, current: Integers, smoothing: float = SMOOTHING) -> float:
    """Kullback-Leibler divergence: sum p ln(p / q), of the reference from the current shares, as Evidently takes it
    (Kullback, Leibler, Annals of Mathematical Statistics 22, 1951)."""
    if empty(reference, current):
        return 0.0
    p, q = smoothed(reference, current, smoothing)
    return max(0.0, float(np.sum(p * np.log(p / q))))


def js(reference: Integers, current: Integers, smoothing: float = SMOOTHING) -> float:
    """Jensen-Shannon divergence: (KL(p, r) + KL(q, r)) / 2 with r = (p + q) / 2; ln 2 at most (Lin, IEEE Trans. Inf.
    Theory 37, 1991)."""
    if empty(reference, current):
        return 0.0
    p, q = smoothed(reference, current, smoothing)
    middle = (p + q) / 2
    return max(0.0, float(np.sum(p * np.log(p / middle) + q * np.log(q / middle))) / 2)


def js_distance(reference: Integers, current: Integers, smoothing: float = SMOOTHING) -> float:
    """Jensen-Shannon distance: the square root of the divergence, a metric (Endres, Schindelin, IEEE Trans. Inf. Theory
    49, 2003). Evidently's and SciPy's jensenshannon."""
    return sqrt(js(reference, current, smoothing))


def hellinger(reference: Integers, current: Integers, smoothing: float = SMOOTHING) -> float:
    """Hellinger distance: sqrt(1 - sum sqrt(p q)) = sqrt(sum (sqrt p - sqrt q)^2 / 2); 1 at most (Hellinger, 1909)."""
    if empty(reference, current):
        return 0.0
    p, q = smoothed(reference, current, smoothing)
    return float(np.sqrt(np.sum((np.sqrt(p) - np.sqrt(q)) ** 2) / 2))
