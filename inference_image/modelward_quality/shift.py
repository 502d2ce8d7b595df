"""Concept drift: whether the loss has risen since some day, by a test that may be looked at each day for ever.

Losses of a cohort have a mean, which differs from the next cohort's by chance: by as much as rows within it say, and by
as much as the reference's cohorts show beyond that (days have something in common). Without a change all means are
about one unknown value. For each possible beginning of a change the mean since then is held against that of all before
it: a mixture of likelihood ratios over half-normal sizes of the rise, of which the unknown value falls out, so that it
is an e-process (Perez-Ortiz, Lardy, de Heide and Grünwald 2022, "E-statistics, group invariance and anytime-valid
testing"; means of many rows are taken as normal). Their sum over all beginnings is an e-detector: it crosses 1/a after
1/a cohorts at the earliest, on average, where nothing changes (Shin, Ramdas and Rinaldo 2022, "E-detectors: a
nonparametric framework for sequential change detection"). So the budget of false alarms is kept however often one
looks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import erfc, isfinite, log, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from modelward_quality.arrays import Floats
from modelward_quality.errors import QualityError
from modelward_quality.estimate import quantile
from modelward_quality.moments import Moments

SMALL_EFFECT: Final = 0.2
"""Standard deviations of a loss (Cohen 1988, "Statistical Power Analysis"): the scale of the rises that are bet on."""

SCALES: Final = ((1.0, 0.8), (4.0, 0.1), (16.0, 0.1))
"""Times that scale, and the share of the bet: a model that hardly ever erred may come to err by many deviations."""

DAYS: Final = 30.0
"""That a budget is about."""

LEAST_ROWS: Final = 30
"""Effective ones of a cohort: with fewer its mean is not near a normal one, and it waits for the next."""

LEAST_COHORTS: Final = 3
"""Of a reference: how much days have in common is not seen in fewer."""


@dataclass(frozen=True)
class Cohort:
    """Losses of the predictions of some time. `name`: of the time, such as a day."""

    name: str
    losses: Moments


@dataclass(frozen=True)
class Shift:
    """What is known of a rise of the loss. `evidence`: the e-detector's value, `needed`: what it has to reach within
    the budget; `since`: the name of the cohort that most likely began it; `rise`: the mean loss from then on less that
    before, `low`, `high`: its 95 % interval (which does not allow for the beginning having been chosen); `before`: that
    mean; `rows`: of the cohorts since."""

    evidence: float
    needed: float
    since: str
    rise: float
    low: float
    high: float
    before: float
    rows: int

    @property
    def alarm(self) -> bool:
        return self.evidence >= self.needed


def shift(
    reference: Sequence[Cohort],
    cohorts: Sequence[Cohort],
    budget: float,
    days: float = 1.0,
    tests: int = 1,
    margin: float = 0.0,
    largest: float | None = None,
) -> Shift | None:
    """Whether the loss of `cohorts`, by rising times, has risen above that of `reference`, which came before.

    `budget`: false alarms in 30 days, above 0, that all `tests` (segments, say) may raise together; `days`: that a
    cohort lasts; `margin`: a rise of the loss that does not matter; `largest`: the most that a row can lose, None:
    there is no bound. None where there is too little to say anything. Raises QualityError.
    """
    if not (isfinite(budget) and budget > 0 and days > 0 and tests >= 1 and margin >= 0):
        raise QualityError("a budget above 0, days above 0, at least one test and a margin of at least 0 are needed")
    earlier, later = _filled(reference), _filled(cohorts)
    if len(earlier) < LEAST_COHORTS or not later:
        return None
    whole = sum((each.losses for each in earlier), Moments())
    variance = max(whole.spread / whole.weight, _unseen(whole, largest))
    common = _in_common(earlier, whole)
    scale = SMALL_EFFECT * sqrt(variance + common)
    if scale == 0:
        # Not one loss differed from another, and they have no bound: of a first other one nobody knows how rare it is.
        return None
    means, weights = _columns((*earlier, *later), variance, common)
    first = len(earlier)
    # By beginnings: precision and mean of all before, and of all since.
    before = np.cumsum(weights)[first - 1 : -1]
    mean_before = np.cumsum(weights * means)[first - 1 : -1] / before
    since = np.cumsum(weights[::-1])[::-1][first:]
    mean_since = np.cumsum((weights * means)[::-1])[::-1][first:] / since
    spread = 1 / before + 1 / since
    logs = _log_mixture(mean_since - mean_before - margin, spread, scale)
    at = int(np.argmax(logs))
    rise, half = float(mean_since[at] - mean_before[at]), quantile() * sqrt(float(spread[at]))
    return Shift(
        evidence=float(np.exp(np.minimum(logs, 600.0)).sum()),
        needed=DAYS / days / budget * tests,
        since=later[at].name,
        rise=rise,
        low=rise - half,
        high=rise + half,
        before=float(mean_before[at]),
        rows=sum(each.losses.rows for each in later[at:]),
    )


def _filled(cohorts: Sequence[Cohort]) -> list[Cohort]:
    """Cohorts that are too small are counted with those after them; what is left at the end waits."""
    found: list[Cohort] = []
    name, waiting = "", Moments()
    for each in cohorts:
        name = name if waiting.rows else each.name
        waiting = waiting + each.losses
        if waiting.size >= LEAST_ROWS:
            found.append(Cohort(name, waiting))
            waiting = Moments()
    return found


def _unseen(whole: Moments, largest: float | None) -> float:
    """The least variance that `whole` allows to believe in: that one row more might have lost the most (Laplace's rule
    of succession). Else a reference without a mistake would take the first one for a change, or see none at all."""
    return 0.0 if largest is None else largest**2 / (whole.size + 2)


def _in_common(cohorts: Sequence[Cohort], whole: Moments) -> float:
    """The variance between cohorts beyond that of their rows (DerSimonian and Laird 1986, "Meta-analysis in clinical
    trials"), as high as it may well be: few cohorts show it badly, so what they show is held against the lower tenth of
    what they would show by chance (Wilson and Hilferty 1931)."""
    variance = whole.spread / whole.weight
    if variance == 0:
        return 0.0
    weights = np.array([each.losses.size for each in cohorts]) / variance
    means = np.array([each.losses.mean for each in cohorts])
    mean = float((weights * means).sum() / weights.sum())
    freedom = len(cohorts) - 1
    seen = float((weights * (means - mean) ** 2).sum())
    tenth = freedom * (1 - 2 / (9 * freedom) - 1.2816 * sqrt(2 / (9 * freedom))) ** 3
    unit = float(weights.sum() - (weights**2).sum() / weights.sum())
    return max(0.0, seen * freedom / tenth - freedom) / unit


def _columns(cohorts: Sequence[Cohort], variance: float, common: float) -> tuple[Floats, Floats]:
    """Means and precisions, by cohort."""
    means = np.array([each.losses.mean for each in cohorts])
    # A rise often comes with a wider spread: without a change each cohort's is that of the reference, but for chance.
    spreads = np.array([max(variance, each.losses.spread / each.losses.weight) / each.losses.size for each in cohorts])
    return means, 1 / (spreads + common)


def _log_mixture(rise: Floats, spread: Floats, scale: float) -> Floats:
    """Of `_log_evidence` over SCALES."""
    each = np.array([log(share) + _log_evidence(rise, spread, scale * times) for times, share in SCALES])
    found: Floats = np.logaddexp.reduce(each, axis=0)
    return found


def _log_evidence(rise: Floats, spread: Floats, scale: float) -> Floats:
    """The mixture over half-normal rises: 2 sqrt(V / (V + s²)) exp(z² / 2) Φ(z), z = rise s / sqrt(V (V + s²))."""
    whole = spread + scale**2
    z = rise * scale / np.sqrt(spread * whole)
    found: Floats = log(2.0) + (np.log(spread) - np.log(whole)) / 2 + _log_tail(z)
    return found


def _log_tail(z: NDArray[np.float64]) -> Floats:
    """log(exp(z² / 2) Φ(z)). Below -5, where Φ is nearly nothing, by its asymptotic series."""
    near = np.maximum(z, -5.0)
    inner = near**2 / 2 + np.log([0.5 * erfc(-each / sqrt(2)) for each in near.tolist()])
    far = np.minimum(z, -5.0)
    outer = -np.log(-far * sqrt(2 * np.pi)) + np.log1p(-1 / far**2 + 3 / far**4 - 15 / far**6)
    found: Floats = np.where(z < -5.0, outer, inner)
    return found
