"""What was measured of a feature in a window; no decision. verdict.py decides on it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import log

import numpy as np

from modelward_drift.arrays import Integers
from modelward_drift.counting.counts import Counts
from modelward_drift.errors import MismatchError, SettingError
from modelward_drift.judging.parts import CERTAIN, rests
from modelward_drift.judging.significance import Test, two_sample
from modelward_drift.metrics.registry import Metric, metric
from modelward_drift.profiles.profile import Profile


@dataclass(frozen=True)
class Statistic:
    """`value`: of the metric; `rows`, `reference_rows`: that were counted; `effective_rows`: independent ones of them
    that say as much; `test`: of the window against the reference, the same for all metrics of the feature; `share`: of
    the reference's ordinary values that `value` is of, below 1 where the rest besides heavy ones moved furthest."""

    feature: str
    metric: str
    value: float
    rows: int
    effective_rows: float
    reference_rows: int
    test: Test
    share: float = 1.0


def measure(profile: Profile, counts: Counts, metrics: Iterable[str] = ("psi",)) -> tuple[Statistic, ...]:
    """One a metric. Raises MismatchError, and SettingError for a metric that there is not or that needs an order."""
    if counts.digest != profile.digest:
        raise MismatchError(
            f"counts of the profile {counts.digest} can't be compared with {profile.name!r}, which is "
            f"{profile.digest}; count against this reference"
        )
    rows, effective = counts.rows, profile.inflation.effective(counts.rows)
    reference, current = profile.matched(counts.cells)
    fair = profile.unchosen(reference)
    test = two_sample(fair, current, profile.inflation, profile.rows)
    total = int(reference.sum())
    parts = [(1.0, None), *_moved_rests(profile, reference, current)]
    measured = []
    for chosen in map(metric, metrics):
        _check(chosen, profile)
        value, share = max((chosen.compute(profile, reference, current, part), share) for share, part in parts)
        measured.append(Statistic(profile.name, chosen.name, value, rows, effective, total, test, share))
    return tuple(measured)


def _moved_rests(profile: Profile, reference: Integers, current: Integers) -> Iterator[tuple[float, Integers]]:
    """What is left besides heavy cells, with its share of the ordinary values, where it certainly differs."""
    # Of a categorical feature rare labels are ordinary values, too; of others `other` is what has a wrong type.
    ordinary = reference[: profile.bins + (profile.kind == "categorical")]
    heaviest = np.argsort(-ordinary, kind="stable").tolist() if profile.grid is None else profile.grid.heavy
    fair, total = profile.unchosen(reference), int(ordinary.sum())
    for part in rests(ordinary, heaviest):
        share = int(reference[part].sum()) / total
        found = two_sample(fair[part], current[part], profile.inflation, round(share * profile.rows))
        if found.log_p <= log(CERTAIN):
            yield share, part


def _check(chosen: Metric, profile: Profile) -> None:
    if not chosen.applies(profile):
        raise SettingError(
            f"{chosen.name} needs an order, but {profile.name!r} is {profile.kind}; choose psi, js or hellinger for it"
        )
