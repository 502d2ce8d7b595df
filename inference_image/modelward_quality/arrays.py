"""Types of arrays, and rows with their weights made ready."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modelward_quality.errors import QualityError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


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


def weights_of(values: ArrayLike | None, rows: int) -> Floats:
    """Shape (rows,), 1 each where there are none. Raises QualityError."""
    if values is None:
        return np.ones(rows)
    made = column(values, "weights")
    if made.size != rows:
        raise QualityError(f"weights: {made.size} for {rows} rows")
    if (made < 0).any():
        raise QualityError("weights: some are below 0")
    return made


def same_rows(*arrays: "NDArray[Any]") -> int:
    """Their rows. Raises QualityError where these differ."""
    sizes = {each.shape[0] for each in arrays}
    if len(sizes) != 1:
        raise QualityError(f"columns of {' and '.join(map(str, sorted(sizes)))} rows do not belong together")
    return int(sizes.pop())
