"""How far windows of the reference scatter beyond what independent rows would: a block bootstrap.

Requests of one client, hour or batch hang together, and a chi-squared cut then fires by itself. Windows of the
reference show by how much. The moving block bootstrap resamples blocks of successive windows; the covariance that it
would have with infinitely many resamples is known (Künsch, Annals of Statistics 17, 1989), so nothing has to be drawn.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from modelward_drift.arrays import Floats, Integers
from modelward_drift.errors import SettingError
from modelward_drift.profiles.inflation import Inflation
from modelward_drift.profiles.profile import Profile

FEWEST: Final = 20
"""Blocks: fewer tell little of how they scatter."""

SCARCE: Final = 1.0
"""Rows a block: cells that are expected less often are taken together."""


def inflation(windows: Integers, block: int = 1) -> Inflation:
    """The inflation of variances by correlation, from counts (windows, cells) of successive windows of the reference.

    Of the windows' length should be what is judged later; `block` windows are kept together, as many as hang together.
    Contrasts of cells have inflations of their own, the eigenvalues of their design effects (Rao, Scott, Journal of the
    American Statistical Association 76, 1981); none is taken to be below 1. Sampling noise makes the largest of many
    estimates too large rather than too small. Raises SettingError for fewer than 20 blocks.
    """
    windows = np.asarray(windows)
    sizes = windows.sum(axis=1)
    windows, sizes = windows[sizes > 0], sizes[sizes > 0]
    if block < 1 or len(windows) < FEWEST * block:
        raise SettingError(
            f"{len(windows)} windows with rows, in blocks of {block}, are too few to calibrate; take shorter windows "
            f"or a longer reference, {FEWEST * max(block, 1)} windows at least"
        )
    rows, blocks = int(sizes.sum()), len(windows) / block
    cells = _gathered(windows, SCARCE * blocks)
    measured = float(rows / blocks)
    if cells.shape[1] < 2:
        return Inflation(rows=measured, blocks=blocks)
    shares = cells.sum(axis=0) / rows
    deviations = _moving_sums(cells - sizes[:, None] * shares, block)
    covariance = blocks / rows * np.cov(deviations, rowvar=False)
    scale = np.sqrt(shares)
    # The first one is the sum of all cells, which does not scatter.
    effects = np.maximum(1.0, np.linalg.eigvalsh(covariance / np.outer(scale, scale))[1:])
    return Inflation(float(effects[-1]), min(float(effects.mean()), float(effects[-1])), measured, blocks)


def calibrated(profile: Profile, windows: Integers, block: int = 1) -> Profile:
    """The profile with the inflation of `windows`, counts of the reference itself. Raises SettingError."""
    if np.ndim(windows) != 2 or np.shape(windows)[1] != len(profile.counts):
        raise SettingError(f"windows of {profile.name!r} need {len(profile.counts)} cells; count with its profile")
    return replace(profile, inflation=inflation(windows, block))


def _gathered(windows: Integers, least: float) -> Floats:
    """Counts with the scarce cells taken together."""
    scarce = windows.sum(axis=0) < least
    kept = windows[:, ~scarce]
    rest = windows[:, scarce].sum(axis=1, keepdims=True)
    return np.hstack([kept, rest] if rest.any() else [kept]).astype(np.float64)


def _moving_sums(values: Floats, length: int) -> Floats:
    """Sums of `length` successive rows, overlapping."""
    sums = np.cumsum(np.vstack([np.zeros((1, values.shape[1])), values]), axis=0)
    return np.asarray(sums[length:] - sums[:-length])
