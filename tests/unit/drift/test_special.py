"""Tails of the chi-squared distribution against SciPy's."""

import math

import pytest
from scipy.stats import chi2, f

from modelward_drift.errors import SettingError
from modelward_drift.special import chi2_isf, chi2_log_sf, chi2_sf, f_isf, f_log_sf

DEGREES = [1, 2, 3, 5, 9, 10, 12, 29, 52, 200, 1000]


@pytest.mark.parametrize("dof", DEGREES)
@pytest.mark.parametrize("statistic", [1e-9, 0.01, 0.5, 1, 3, 9, 10, 11, 30, 60, 100, 200, 500, 1000, 1300])
def test_tails(statistic: float, dof: int) -> None:
    expected = chi2.sf(statistic, dof)
    if expected > 1e-300:
        assert chi2_sf(statistic, dof) == pytest.approx(expected, rel=1e-10)
    assert chi2_log_sf(statistic, dof) == pytest.approx(chi2.logsf(statistic, dof), rel=1e-10, abs=1e-300)


@pytest.mark.parametrize("dof", DEGREES)
@pytest.mark.parametrize("tail", [1 - 1e-9, 0.9, 0.5, 0.05, 1e-3, 3.5e-6, 1e-9, 1e-15, 1e-30, 1e-100, 1e-300])
def test_cuts(tail: float, dof: int) -> None:
    assert chi2_isf(tail, dof) == pytest.approx(chi2.isf(tail, dof), rel=1e-10)


@pytest.mark.parametrize("dof", [0.7, 1, 2.5, 9, 50])
@pytest.mark.parametrize("denominator", [1, 19, 23.5, 167, 719])
def test_tails_of_f(dof: float, denominator: float) -> None:
    for statistic in (1e-6, 0.1, 0.9, 1, 2, 5, 20, 100, 1e4):
        expected = f.sf(statistic, dof, denominator)
        if expected > 1e-250:  # SciPy's is no longer exact beyond
            assert f_log_sf(statistic, dof, denominator) == pytest.approx(math.log(expected), rel=1e-9, abs=1e-10)
    for tail in (0.9, 0.05, 3.5e-6, 1e-12):
        assert f_log_sf(f_isf(tail, dof, denominator), dof, denominator) == pytest.approx(math.log(tail), rel=1e-9)


def test_beyond_the_smallest_float() -> None:
    assert chi2_sf(1e5, 3) == 0
    assert chi2_log_sf(1e5, 3) == pytest.approx(-5e4, rel=1e-3)
    assert math.isfinite(chi2_log_sf(1e300, 3))


def test_without_degrees_of_freedom_nothing_scatters() -> None:
    assert (chi2_sf(0, 0), chi2_sf(1, 0), chi2_isf(0.01, 0)) == (1, 0, 0)


@pytest.mark.parametrize("tail", [0, -0.1, 1.1, math.nan])
def test_what_is_no_probability_is_refused(tail: float) -> None:
    with pytest.raises(SettingError, match="no probability"):
        chi2_isf(tail, 3)
