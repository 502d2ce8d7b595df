"""Parts in random order are told from parts that hang together."""

import numpy as np
import pytest
from scipy import stats

from modelward_drift.building.ordering import order_log_p


def log_p(parts: np.ndarray) -> float:
    return order_log_p(parts.sum(axis=0), (parts.astype(float) ** 2).sum(axis=0), int(parts[0].sum()), len(parts))


def test_it_is_pearsons_test() -> None:
    parts = np.random.default_rng(0).multinomial(100, [0.2, 0.3, 0.5], size=40)
    assert log_p(parts) == pytest.approx(np.log(stats.chi2_contingency(parts, correction=False).pvalue), rel=1e-6)


def test_random_order_is_hardly_ever_taken_for_an_order() -> None:
    random = np.random.default_rng(1)
    shares = np.array([0.001, 0.009, 0.09, 0.4, 0.5])
    found = [log_p(random.multinomial(250, shares, size=80)) for _ in range(2000)]
    assert sum(each < np.log(1e-3) for each in found) <= 12


def test_drawing_without_an_order_is_not_but_a_trend_is() -> None:
    random = np.random.default_rng(2)
    trend = np.linspace(0.4, 0.6, 80)
    parts = np.stack([random.binomial(250, trend), np.zeros(80, int)], axis=1)
    parts[:, 1] = 250 - parts[:, 0]
    assert log_p(parts) < np.log(1e-9)


@pytest.mark.parametrize("parts", [np.array([[5, 5]]), np.zeros((30, 2), int), np.array([[7, 0]] * 30)])
def test_nothing_to_tell(parts: np.ndarray) -> None:
    if parts.any():
        assert log_p(parts) == 0.0
    else:
        assert order_log_p(parts.sum(axis=0), np.zeros(2), 1, 30) == 0.0
