"""What was measured of a feature in a window; no decision. verdict.py decides on it."""

from collections.abc import Iterable
from dataclasses import dataclass

from modelward_drift.counts import Counts
from modelward_drift.errors import MismatchError, SettingError
from modelward_drift.metrics.registry import Metric, metric
from modelward_drift.profile import Profile
from modelward_drift.significance import Test, two_sample


@dataclass(frozen=True)
class Statistic:
    """`value`: of the metric; `rows`, `reference_rows`: that were counted; `effective_rows`: independent ones of them
    that say as much; `test`: of the window against the reference, the same for all metrics of the feature."""

    feature: str
    metric: str
    value: float
    rows: int
    effective_rows: float
    reference_rows: int
    test: Test


def measure(profile: Profile, counts: Counts, metrics: Iterable[str] = ("psi",)) -> tuple[Statistic, ...]:
    """One a metric. Raises MismatchError, and SettingError for a metric that there is not or that needs an order."""
    if counts.digest != profile.digest:
        raise MismatchError(
            f"counts of the profile {counts.digest} can't be compared with {profile.name!r}, which is "
            f"{profile.digest}; count against this reference"
        )
    rows = counts.rows
    test = two_sample(profile.reference, counts.cells, profile.inflation, profile.rows)
    measured = []
    for chosen in map(metric, metrics):
        _check(chosen, profile)
        value = chosen.value(profile, counts.cells)
        effective = profile.inflation.effective(rows)
        total = int(profile.reference.sum())
        measured.append(Statistic(profile.name, chosen.name, value, rows, effective, total, test))
    return tuple(measured)


def _check(chosen: Metric, profile: Profile) -> None:
    if not chosen.applies(profile):
        raise SettingError(
            f"{chosen.name} needs an order, but {profile.name!r} is {profile.kind}; choose psi, js or hellinger for it"
        )
