"""The exact interval of a share, held against scipy's quantiles of the beta distribution."""

import pytest
from scipy import stats

from modelward_quality.beta import clopper_pearson
from modelward_quality.estimate import wilson

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("level", [0.5, 0.95, 1 - 2e-6])
@pytest.mark.parametrize(
    ("seen", "size"), [(1, 1), (0, 10), (2, 10), (0.3, 0.7), (7.5, 20.2), (20, 1e3), (999, 5e5), (5, 1e8), (995, 1e3)]
)
def test_the_interval_of_a_share_is_the_exact_one(seen: float, size: float, level: float) -> None:
    low, high = clopper_pearson(seen / size, size, level)
    beyond = (1 - level) / 2
    assert low == (pytest.approx(stats.beta.ppf(beyond, seen, size - seen + 1), rel=1e-6) if seen else 0)
    assert high == (pytest.approx(stats.beta.isf(beyond, seen + 1, size - seen), rel=1e-6) if seen < size else 1)


def test_of_many_on_both_sides_it_is_wilsons() -> None:
    assert clopper_pearson(0.01, 1e6, 0.9999) == wilson(0.01, 1e6, 0.9999)
    beside = clopper_pearson(0.000999, 1e6, 0.95)
    assert beside == pytest.approx(wilson(0.000999, 1e6, 0.95), rel=1e-3)
    assert clopper_pearson(0.5, 0.0, 0.95) == (0, 1)


@pytest.mark.parametrize("size", [1, 10, 100])
def test_a_share_is_not_passed_more_often_than_the_level_says(size: int) -> None:
    """One in a hundred, which is a small share: Wilson's passes it forty times as often of ten rows."""
    chance = 1e-4
    low = (clopper_pearson(seen / size, size, 1 - 2 * chance)[0] for seen in range(size + 1))
    passed = sum(each <= 0.01 for each in low)
    assert stats.binom.sf(passed - 1, size, 0.01) <= chance
