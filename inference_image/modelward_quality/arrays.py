"""Types of arrays, and rows with their weights made ready."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modelward_quality.errors import QualityError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

LIGHTEST, HEAVIEST = 1e-100, 1e100
"""Of weights above 0: squares of others are no numbers."""


def column(values: ArrayLike, what: str) -> Floats:
    """One finite number a row, shape (rows,). Raises QualityError."""
    made = np.asarray(values, np.float64)
    if made.ndim != 1:
        raise QualityError(f"{what}: one number a row is needed, not {made.ndim} axes")
    if not np.isfinite(made).all():
        raise QualityError(
            f"{what}: {int((~np.isfinite(made)).sum())} of {made.size} are NaN or infinite; leave them out"
        )
    return made


def probabilities(values: ArrayLike) -> Floats:
    """Scores from 0 to 1, shape (rows,). Raises QualityError."""
    made = column(values, "scores")
    if made.size and not 0 <= made.min() <= made.max() <= 1:
        raise QualityError(f"scores: {made.min():g} to {made.max():g} are no probabilities")
    return made


def truths(values: ArrayLike, what: str = "positive") -> NDArray[np.bool_]:
    """Whether each row is, shape (rows,): of truths, or of 1 and 0. Raises QualityError: NaN would be true."""
    made = np.asarray(values)
    if made.size == 0 or made.dtype == np.bool_:
        return made.astype(np.bool_)
    if made.dtype.kind not in "iuf" or not np.isin(made, (0, 1)).all():
        raise QualityError(f"{what}: truths are needed, or 1 and 0")
    return made.astype(np.bool_)


def weights_of(values: ArrayLike | None, rows: int) -> Floats:
    """Shape (rows,), 1 each where there are none. Raises QualityError."""
    if values is None:
        return np.ones(rows)
    made = column(values, "weights")
    if made.size != rows:
        raise QualityError(f"weights: {made.size} for {rows} rows")
    if (made < 0).any():
        raise QualityError("weights: some are below 0")
    if ((made > 0) & ((made < LIGHTEST) | (made > HEAVIEST))).any():
        raise QualityError(f"weights: some are neither 0 nor from {LIGHTEST:g} to {HEAVIEST:g}")
    return made


def same_rows(*arrays: "NDArray[Any]") -> int:
    """Their rows. Raises QualityError where these differ."""
    sizes = {each.shape[0] for each in arrays}
    if len(sizes) != 1:
        raise QualityError(f"columns of {' and '.join(map(str, sorted(sizes)))} rows do not belong together")
    return int(sizes.pop())
