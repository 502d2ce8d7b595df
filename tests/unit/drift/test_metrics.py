"""The contract of all metrics, on features that they apply to; and each against SciPy."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

from modelward_drift.arrays import Array
from modelward_drift.building.builder import profile_of
from modelward_drift.counting.counting import count
from modelward_drift.counting.counts import missing, zero
from modelward_drift.errors import MismatchError, SettingError
from modelward_drift.judging.statistic import measure
from modelward_drift.metrics import contingency, divergence, grid
from modelward_drift.metrics.registry import METRICS, Metric
from modelward_drift.profiles.profile import Profile

VALUES = np.random.default_rng(7).normal(10, 2, 4000)
PROFILES = {
    "numeric": profile_of("numeric", "numeric", VALUES),
    "few": profile_of("few", "numeric", np.round(VALUES / 2)),
    "constant": profile_of("constant", "numeric", [3.0] * 50),
    "categorical": profile_of("categorical", "categorical", np.round(VALUES / 2).astype(int)),
    "boolean": profile_of("boolean", "boolean", VALUES > 9),
    "text": profile_of("text", "text", ["x" * int(each) for each in VALUES]),
    "nulls": profile_of("nulls", "numeric", [None] * 9 + [1.0]),
}
CASES = [
    pytest.param(metric, profile, id=f"{metric.name}-{name}")
    for metric in METRICS.values()
    for name, profile in PROFILES.items()
    if metric.applies(profile)
]
contract = pytest.mark.parametrize(("metric", "profile"), CASES)


def cells(profile: Profile, *first: int) -> Array:
    return np.array([*first, *[0] * (len(profile.counts) - len(first))], np.int64)


@contract
def test_no_drift_is_zero(metric: Metric, profile: Profile) -> None:
    assert metric.value(profile, profile.reference) == pytest.approx(0, abs=1e-6)


@contract
def test_the_same_shares_of_many_rows_come_near_zero(metric: Metric, profile: Profile) -> None:
    if metric.name != "chi2":  # it is zero, too, but sums rounding over rows
        assert metric.value(profile, profile.reference * 1000) < 0.05


@contract
def test_every_count_gives_a_finite_number_from_zero(metric: Metric, profile: Profile) -> None:
    last = len(profile.counts) - 1
    hostile = [
        cells(profile),
        missing(profile, 1).cells,
        cells(profile, 1),
        np.roll(cells(profile, 10**15), last),
        np.full(last + 1, 10**12),
        profile.reference[::-1].copy(),
    ]
    for current in hostile:
        value = metric.value(profile, current)
        assert math.isfinite(value)
        assert value >= 0


@contract
def test_an_empty_window_shows_nothing(metric: Metric, profile: Profile) -> None:
    assert metric.value(profile, zero(profile).cells) == 0


@contract
def test_counts_that_are_merged_are_counts_of_all_rows(metric: Metric, profile: Profile) -> None:
    rows: list[Any] = [3.0, 9.0, "7", True, None, math.inf, "xxxxxxxxx", *VALUES[:50].tolist()]
    pods = [count(profile, rows[pod::3]) for pod in range(3)]
    assert metric.value(profile, sum(pods, zero(profile)).cells) == metric.value(profile, count(profile, rows).cells)


@contract
def test_the_order_of_rows_does_not_matter(metric: Metric, profile: Profile) -> None:
    rows = VALUES[:300] + 1
    shuffled = np.random.default_rng(0).permutation(rows)
    assert metric.value(profile, count(profile, rows).cells) == metric.value(profile, count(profile, shuffled).cells)


@pytest.mark.parametrize("name", [name for name in METRICS if name != "wasserstein"])
def test_symmetry(name: str) -> None:
    metric = METRICS[name]
    there, back = (profile_of("x", "numeric", [0] * first + [1] * (100 - first), bins=2) for first in (50, 80))
    forth, reverse = metric.value(there, back.reference), metric.value(back, there.reference)
    assert metric.symmetric == (forth == pytest.approx(reverse, rel=1e-9))


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda each: each.name)
def test_a_larger_shift_is_a_larger_drift(metric: Metric) -> None:
    profile = PROFILES["numeric"]
    shifts = [metric.value(profile, count(profile, VALUES + by).cells) for by in (0, 0.2, 0.5, 1, 2, 4)]
    assert shifts == sorted(shifts)
    assert len(set(shifts)) == len(shifts)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES.keys())
def test_nulls_where_there_were_none_are_a_drift(name: str, profile: Profile) -> None:
    if profile.name != "nulls" and METRICS[name].applies(profile):
        assert METRICS[name].value(profile, profile.reference + missing(profile, 4000).cells) > 0.1


BAD: dict[str, Any] = {
    "nulls": np.full(4000, np.nan),
    "infinities": np.full(4000, np.inf),
    "words": np.array(["x"] * 4000, object),
    "some nulls": np.concatenate([VALUES[:400], np.full(3600, np.nan)]),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("name", METRICS)
def test_no_metric_is_blind_to_what_is_no_number(name: str, bad: str) -> None:
    profile = PROFILES["numeric"]
    value = METRICS[name].value(profile, count(profile, BAD[bad]).cells)
    assert value > 0.5
    back = METRICS[name].value(profile, count(profile, VALUES).cells)
    assert back < value / 10


UNORDERED: list[Callable[..., float]] = [
    divergence.psi, divergence.kl, divergence.js, divergence.js_distance, divergence.hellinger,
    contingency.chi2, contingency.cramers_v, contingency.g,
]  # fmt: skip


@pytest.mark.parametrize("compute", UNORDERED, ids=lambda each: each.__name__)
def test_the_order_of_cells_does_not_matter(compute: Callable[..., float]) -> None:
    random = np.random.default_rng(2)
    reference, current = random.integers(0, 50, 20), random.integers(0, 50, 20)
    order = random.permutation(20)
    assert compute(reference[order], current[order]) == pytest.approx(compute(reference, current), rel=1e-12)


@pytest.mark.parametrize("compute", UNORDERED, ids=lambda each: each.__name__)
def test_cells_that_are_empty_on_both_sides_say_nothing(compute: Callable[..., float]) -> None:
    reference, current = np.array([100, 200, 30]), np.array([7, 9, 4])
    padded = np.append(reference, [0] * 40), np.append(current, [0] * 40)
    assert compute(*padded) == compute(reference, current)


@pytest.mark.parametrize("rows", [1000, 10_000, 100_000, 1_000_000])
def test_an_effect_does_not_hang_on_the_size_of_the_reference(rows: int) -> None:
    """2.5 % of nulls where there were none: by the floor of 1e-4, 0.025 ln(0.025 / 1e-4) and a little."""
    reference = np.array([rows // 2, rows // 2, 0])
    assert divergence.psi(reference, np.array([975, 975, 50])) == pytest.approx(0.138, abs=0.002)


REFERENCE, CURRENT = np.array([500, 300, 200, 0, 40]), np.array([80, 80, 40, 3, 0])
TABLE = np.array([REFERENCE, CURRENT])
P, Q = (each / each.sum() for each in (np.maximum(REFERENCE / 1040, 1e-4), np.maximum(CURRENT / 203, 1e-4)))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (divergence.psi(REFERENCE, CURRENT), stats.entropy(P, Q) + stats.entropy(Q, P)),
        (divergence.kl(REFERENCE, CURRENT), stats.entropy(P, Q)),
        (divergence.js_distance(REFERENCE, CURRENT), jensenshannon(P, Q)),
        (divergence.js(REFERENCE, CURRENT), jensenshannon(P, Q) ** 2),
        (divergence.hellinger(REFERENCE, CURRENT), math.sqrt(1 - np.sqrt(P * Q).sum())),
        (contingency.chi2(REFERENCE, CURRENT), stats.chi2_contingency(TABLE, correction=False).statistic),
        (contingency.cramers_v(REFERENCE, CURRENT), stats.contingency.association(TABLE, method="cramer")),
        (
            contingency.g(REFERENCE, CURRENT),
            stats.chi2_contingency(TABLE, correction=False, lambda_="log-likelihood").statistic,
        ),
        (
            grid.ks(REFERENCE, CURRENT),
            stats.ks_2samp(np.repeat(range(5), REFERENCE), np.repeat(range(5), CURRENT), method="asymp").statistic,
        ),
        (
            grid.wasserstein(REFERENCE, CURRENT, np.array([0, 1, 4, 5, 9.0]), 2.0),
            stats.wasserstein_distance([0, 1, 4, 5, 9], [0, 1, 4, 5, 9], REFERENCE, CURRENT) / 2,
        ),
    ],
)
def test_against_scipy(value: float, expected: float) -> None:
    assert value == pytest.approx(expected, rel=1e-10)


def test_on_a_fine_grid_distances_are_those_of_the_values() -> None:
    profile = profile_of("x", "numeric", VALUES, bins=1000)
    moved = VALUES[:2000] * 1.1 - 0.5
    current = count(profile, moved).cells
    assert METRICS["ks"].value(profile, current) == pytest.approx(stats.ks_2samp(VALUES, moved).statistic, abs=0.002)
    expected = stats.wasserstein_distance(VALUES, moved) / VALUES.std()
    assert METRICS["wasserstein"].value(profile, current) == pytest.approx(expected, rel=0.02)


def test_wasserstein_has_no_unit() -> None:
    thousandfold = profile_of("x", "numeric", VALUES * 1000)
    assert METRICS["wasserstein"].value(thousandfold, count(thousandfold, VALUES * 1000 + 900).cells) == pytest.approx(
        METRICS["wasserstein"].value(PROFILES["numeric"], count(PROFILES["numeric"], VALUES + 0.9).cells)
    )


def test_averages_of_pods_are_no_psi_of_the_whole_but_merged_counts_are() -> None:
    """Ten pods of 100 rows without drift: the mean of their PSIs is ninefold."""
    profile = profile_of("x", "numeric", np.random.default_rng(0).normal(size=10_000))
    pods = [count(profile, np.random.default_rng(seed).normal(size=100)) for seed in range(10)]
    mean = np.mean([measure(profile, pod)[0].value for pod in pods])
    pooled = measure(profile, sum(pods, zero(profile)))[0].value
    assert pooled < 0.025 < 0.06 < mean


@pytest.mark.parametrize(
    ("profile", "metric", "problem"),
    [
        ("categorical", "ks", "needs an order"),
        ("boolean", "wasserstein", "needs an order"),
        ("numeric", "mmd", "no metric"),
    ],
)
def test_what_can_not_be_measured_is_refused(profile: str, metric: str, problem: str) -> None:
    with pytest.raises(SettingError, match=problem):
        measure(PROFILES[profile], zero(PROFILES[profile]), [metric])


def test_counts_of_another_reference_are_not_measured() -> None:
    with pytest.raises(MismatchError, match="against this reference"):
        measure(PROFILES["few"], zero(PROFILES["numeric"]))
