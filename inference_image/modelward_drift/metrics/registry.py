"""The metrics by name, with what a verdict has to know of each."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import sqrt
from typing import Final

import numpy as np

from modelward_drift.arrays import Integers
from modelward_drift.errors import SettingError
from modelward_drift.metrics import contingency, divergence, grid
from modelward_drift.metrics.shares import moved
from modelward_drift.profiles.profile import Profile


@dataclass(frozen=True)
class Metric:
    """`value`: of a profile and current cells; `ordered`: of numbers and lengths only; of special cells, which have no
    place in an order, the share that moved counts where it is the larger effect.

    `compute`: of a profile, the counts of reference and window, and, for a part by itself, its cells.

    `noise`: what the metric reaches where PSI reaches `w`, to first order near no drift (an upper bound for ordered
    metrics); its arguments are w and the rows of reference and window.
    """

    name: str
    compute: Callable[[Profile, Integers, Integers, Integers | None], float]
    noise: Callable[[float, float, float], float]
    ordered: bool = False
    symmetric: bool = True

    def value(self, profile: Profile, current: Integers) -> float:
        """Over all rows. `current`: counts (cells,)."""
        return self.compute(profile, *profile.matched(current), None)

    def applies(self, profile: Profile) -> bool:
        return not self.ordered or profile.grid is not None


def metric(name: str) -> Metric:
    """Raises SettingError."""
    try:
        return METRICS[name]
    except KeyError:
        raise SettingError(f"{name!r} is no metric; there are {', '.join(METRICS)}") from None


Pairwise = Callable[[Integers, Integers], float]


def _of_cells(
    pairwise: Pairwise, _profile: Profile, reference: Integers, current: Integers, part: Integers | None
) -> float:
    return pairwise(reference, current) if part is None else pairwise(reference[part], current[part])


def _ks(profile: Profile, reference: Integers, current: Integers, part: Integers | None) -> float:
    if part is not None:
        return grid.ks(reference[part], current[part])
    bins = profile.bins
    return max(grid.ks(reference[:bins], current[:bins]), moved(reference, current, bins))


def _wasserstein(profile: Profile, reference: Integers, current: Integers, part: Integers | None) -> float:
    if profile.grid is None:
        raise SettingError(f"wasserstein needs an order, but {profile.name!r} is {profile.kind}; choose psi or js")
    bins, centres = profile.bins, np.array(profile.grid.centres)
    if part is not None:
        scale = grid.spread(reference[part], centres[part]) or profile.grid.scale
        return grid.wasserstein(reference[part], current[part], centres[part], scale)
    distance = grid.wasserstein(reference[:bins], current[:bins], centres, profile.grid.scale)
    return max(distance, moved(reference, current, bins))


# With r = sum (q - p)^2 / p, small: PSI = r, KL = r / 2, JS = r / 8, Hellinger^2 = r / 8, chi2 = r mn / (m + n).
# The share that moved to or from special cells is that of an event, whose indicator is a step.
# For any f: (sum f (q - p))^2 <= var(f) r (Cauchy, Schwarz). A step has a variance of 1/4 at most, and a 1-Lipschitz
# function the feature's own, which bounds KS and, by Kantorovich's duality, the Wasserstein distance.
METRICS: Final = {
    each.name: each
    for each in (
        Metric("psi", partial(_of_cells, divergence.psi), lambda w, _m, _n: w),
        Metric("kl", partial(_of_cells, divergence.kl), lambda w, _m, _n: w / 2, symmetric=False),
        Metric("js", partial(_of_cells, divergence.js), lambda w, _m, _n: w / 8),
        Metric("js_distance", partial(_of_cells, divergence.js_distance), lambda w, _m, _n: sqrt(w / 8)),
        Metric("hellinger", partial(_of_cells, divergence.hellinger), lambda w, _m, _n: sqrt(w / 8)),
        Metric("chi2", partial(_of_cells, contingency.chi2), lambda w, m, n: w * m * n / (m + n)),
        Metric("cramers_v", partial(_of_cells, contingency.cramers_v), lambda w, m, n: sqrt(w * m * n) / (m + n)),
        Metric("ks", _ks, lambda w, _m, _n: sqrt(w) / 2, ordered=True),
        Metric("wasserstein", _wasserstein, lambda w, _m, _n: sqrt(w), ordered=True, symmetric=False),
    )
}
