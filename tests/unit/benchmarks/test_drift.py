"""The benchmark's shortcuts say what the kernel says, and its simulations pass over no alarm."""

import numpy as np
import pytest

from benchmarks.drift import false_alarms
from benchmarks.drift.false_alarms import Draw, Result, Setting
from benchmarks.drift.looks import Looks, log_likelihood_ratios, psis
from modelward_drift.building.builder import profile_of
from modelward_drift.counting.counting import count
from modelward_drift.judging.verdict import Rule
from modelward_drift.metrics import contingency, divergence
from modelward_drift.profiles.bins import quantile_grid

DRAWS = [false_alarms.independent, false_alarms.correlated(0.9)]


def drifting(looks: Looks) -> Looks:
    """The more drift the later."""
    moved = np.linspace(0, 1, len(looks.windows))[:, None] ** 2
    windows = np.floor(looks.windows * (1 - moved)).astype(np.int64)
    windows[:, 0] += false_alarms.ROWS - windows.sum(axis=1)
    return Looks.of(looks.profile, windows)


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("threshold", [0.0, 0.2])
def test_alarms_are_the_kernels(draw: Draw, threshold: float) -> None:
    looks, rule = drifting(draw(np.random.default_rng(1))), Rule(threshold, 1e-5)
    one_by_one = [look for look in range(len(looks.windows)) if looks.decision(look, rule).drifted]
    assert list(looks.alarms(rule)) == one_by_one
    assert 0 < len(one_by_one) < len(looks.windows)


@pytest.mark.parametrize("draw", DRAWS)
def test_statistics_are_the_kernels(draw: Draw) -> None:
    looks = drifting(draw(np.random.default_rng(2)))
    reference = looks.profile.reference[: looks.profile.bins]
    for shortcut, kernel in ((log_likelihood_ratios, contingency.g), (psis, divergence.psi)):
        assert shortcut(reference, looks.windows) == pytest.approx([kernel(reference, each) for each in looks.windows])


def test_what_was_passed_over_is_checked() -> None:
    looks, rule = false_alarms.independent(np.random.default_rng(3)), Rule(0.0, 1e-5)
    assert looks.disagreements(rule, np.random.default_rng(0)) == 0
    blind = Looks(looks.profile, drifting(looks).windows, np.zeros(len(looks.windows)))
    assert not list(blind.alarms(rule))
    found = [blind.disagreements(rule, np.random.default_rng(seed)) for seed in range(20)]
    assert max(found) > 0


def test_counts_are_the_kernels() -> None:
    values = np.random.default_rng(4).standard_normal(1000)
    grid = quantile_grid(values)
    counts = false_alarms.counted(values, grid, 100)
    kernel = profile_of("f", "numeric", values)
    for window, rows in zip(counts, values.reshape(10, 100), strict=True):
        assert window.tolist() == count(kernel, rows).cells[:-3].tolist()


def test_a_run_counts_its_alarms() -> None:
    """Without drift next to none, with drift in every run."""
    seed = np.random.SeedSequence(0)
    found = false_alarms.block(Setting("independent", false_alarms.independent, 2), 5, seed)
    assert (found.runs, found.checked, len(found.largest)) == (5, 10, 5)
    always = Setting("shifted", lambda random: drifting(false_alarms.independent(random)), 1)
    assert false_alarms.block(always, 3, seed).rate == 1


def result(runs: int, alarmed: int) -> Result:
    return Result(runs, alarmed, alarmed, 0, np.arange(runs, dtype=float))


def test_intervals_are_exact() -> None:
    """No alarm, and alarms only: (alpha / 2) ^ (1 / n); Clopper and Pearson's 2 of 10."""
    assert result(100, 0).interval == pytest.approx((0, 1 - 0.025 ** (1 / 100)))
    assert result(10, 10).interval == pytest.approx((0.025 ** (1 / 10), 1))
    assert result(10, 2).interval == pytest.approx((0.0252, 0.5561), abs=1e-4)


def test_the_cut_of_equal_rate_is_exceeded_by_as_many_runs() -> None:
    found = result(100, 5)
    assert (found.largest > found.cut_of_equal_rate()).sum() == 5
