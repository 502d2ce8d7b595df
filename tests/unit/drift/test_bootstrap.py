"""Calibration from windows of the reference."""

import numpy as np
import pytest

from modelward_drift.arrays import Array
from modelward_drift.building.bootstrap import calibrated, inflation
from modelward_drift.building.builder import profile_of
from modelward_drift.counting.counting import count
from modelward_drift.errors import SettingError
from modelward_drift.judging.significance import two_sample


def independent(windows: int, rows: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).multinomial(rows, np.full(10, 0.1), size=windows)


def test_independent_rows_are_hardly_inflated() -> None:
    found = inflation(independent(2000, 500))
    assert 1 <= found.factor < 1.2
    assert found.rows == 500


@pytest.mark.parametrize("size", [2, 5, 20])
def test_rows_that_come_in_batches_count_as_one(size: int) -> None:
    """The design effect of clusters that agree is their size (Kish)."""
    found = inflation(independent(2000, 100) * size)
    assert found.factor == pytest.approx(size, rel=0.2)
    assert found.mean == pytest.approx(size, rel=0.1)
    assert found.factor > size
    assert found.effective(100 * size) == pytest.approx(100, rel=0.2)


def test_the_closed_form_is_what_resampled_blocks_come_to() -> None:
    random = np.random.default_rng(3)
    levels = np.repeat(random.uniform(0.2, 0.8, 150), 4)  # four windows each that hang together
    windows = random.binomial(50, levels)
    counts = np.stack([windows, 50 - windows], axis=1)
    block = 4
    starts = random.integers(0, len(counts) - block + 1, (4000, len(counts) // block))
    resampled = counts[starts[..., None] + np.arange(block)].sum(axis=(1, 2))
    share = resampled[:, 0] / resampled.sum(axis=1)
    mean = counts[:, 0].sum() / counts.sum()
    factor = share.var() / (mean * (1 - mean) / counts.sum())
    assert inflation(counts, block).factor == pytest.approx(factor, rel=0.08)
    assert inflation(counts, block).factor > 2 * inflation(counts).factor
    assert inflation(counts, block).rows == 200


def test_the_largest_of_all_contrasts_counts() -> None:
    """Two cells that swing against each other, among eight that do not."""
    random = np.random.default_rng(4)
    windows = random.multinomial(1000, np.full(10, 0.1), size=1000)
    swing = random.integers(-40, 41, 1000)
    windows[:, 0] += swing
    windows[:, 1] -= swing
    variance = (200 + 4 * np.var(swing)) / 200
    assert inflation(windows).factor == pytest.approx(variance, rel=0.15)


def test_scarce_cells_are_taken_together() -> None:
    """A single row in a cell of its own would look like an endless inflation."""
    windows = np.hstack([independent(200, 500), np.zeros((200, 40), np.int64)])
    windows[:40, 10:] += np.eye(40, dtype=np.int64)
    assert inflation(windows).factor < 2


@pytest.mark.parametrize("windows", [np.full((30, 1), 7), np.hstack([np.full((30, 1), 7), np.zeros((30, 3))])])
def test_a_single_cell_has_nothing_to_scatter(windows: Array) -> None:
    assert inflation(windows.astype(np.int64)).factor == 1


@pytest.mark.parametrize(
    ("windows", "block"),
    [(independent(19, 50), 1), (independent(50, 50), 3), (independent(50, 0), 1), (independent(50, 9), 0)],
)
def test_too_few_windows_are_refused(windows: Array, block: int) -> None:
    with pytest.raises(SettingError, match="windows at least"):
        inflation(windows, block)


def test_the_cut_of_a_calibrated_profile_follows() -> None:
    values = np.repeat(np.random.default_rng(0).normal(size=4000), 5)
    profile = profile_of("x", "numeric", values)
    windows = np.array([count(profile, each).cells for each in values.reshape(-1, 100)])
    again = calibrated(profile, windows)
    assert again.inflation.factor == pytest.approx(5, rel=0.5)
    assert again.digest != profile.digest
    current = windows[0]
    assert two_sample(again.reference, current, again.inflation).psi_by_chance(1e-6) > 4 * two_sample(
        profile.reference, current
    ).psi_by_chance(1e-6)
    with pytest.raises(SettingError, match="count with its profile"):
        calibrated(profile, windows[:, 1:])
